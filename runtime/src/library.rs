//! Where imports come from: built-in modules, files beside the script, folders of shared ones.
//!
//! A script is code that runs with the rights of whoever starts it, most often root's. So a file is imported only if nobody
//! else could have written it: see [`Distrust`].

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use profinfer_compiler::modules::{Distrust, LoadError, Loaded, Loader};
use profinfer_lang::ast::ImportPath;
use profinfer_lang::parse::MAX_BYTES;
use profinfer_scripts::Text;

/// What stands before the name of a built-in file in its key.
const BUILT_IN: &str = "built-in:";

/// Everybody may write.
const WORLD_WRITABLE: u32 = 0o002;
/// In such a folder only a file's owner may replace it.
const STICKY: u32 = 0o1000;

/// The folders of shared modules, and whose files are trusted.
#[derive(Debug, Clone)]
pub struct Library {
    /// Searched in this order.
    folders: Vec<PathBuf>,
    /// User numbers of those whose files are trusted.
    trusted: Vec<u32>,
    /// Whether files of others are refused even where nobody else could have put them.
    strict: bool,
}

impl Library {
    /// That of the user: the absolute folders of `PROFINFER_PATH`, then `profinfer/lib` in the folder of the user's data. Files
    /// of root, of this user, and as root of the one who called `sudo` are trusted.
    pub fn of_user() -> Library {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let path = std::env::var_os("PROFINFER_PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
        let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        folders.extend(data.map(|data| data.join("profinfer/lib")));
        // SAFETY: takes nothing and cannot fail.
        let user = unsafe { libc::geteuid() };
        let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).filter(|_| user == 0);
        Library { folders, trusted: [0, user].into_iter().chain(caller).collect(), strict: user == 0 }
    }

    /// The files that may be meant, in the order in which they are looked for.
    fn candidates(&self, wanted: &ImportPath, from: &str) -> Vec<Candidate> {
        let shared = |relative: &str| self.folders.iter().map(|f| Candidate::File(f.join(relative))).collect();
        match wanted {
            ImportPath::Module(path) => {
                let parts: Vec<&str> = path.parts.iter().map(|p| p.node.as_str()).collect();
                let relative = format!("{}.pi", parts.join("/"));
                if parts[0] == "std" { vec![Candidate::BuiltIn(relative)] } else { shared(&relative) }
            }
            ImportPath::File(file) if file.node.starts_with("./") || file.node.starts_with("../") => {
                match from.strip_prefix(BUILT_IN) {
                    Some(from) => vec![Candidate::BuiltIn(beside(from, &file.node))],
                    None => {
                        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
                        vec![Candidate::File(folder.join(&file.node))]
                    }
                }
            }
            ImportPath::File(file) if file.node.starts_with('/') => vec![Candidate::File(file.node.clone().into())],
            ImportPath::File(file) => shared(&file.node),
        }
    }

    /// Reads a file that is there and to be trusted; none if there is no such file.
    fn read(&self, path: &Path) -> Result<Option<Loaded>, LoadError> {
        let shown = path.display().to_string();
        let unreadable = |e: &io::Error| LoadError::Unreadable { path: shown.clone(), reason: e.to_string() };
        // A pipe of that name is not waited for.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(unreadable(&e)),
        };
        let found = file.metadata().map_err(|e| unreadable(&e))?;
        if !found.is_file() {
            return Err(LoadError::Unreadable { path: shown, reason: "it is no file".to_owned() });
        }
        let real = path.canonicalize().map_err(|e| unreadable(&e))?;
        self.trust(&real, &found)?;
        let Some(key) = real.to_str() else {
            return Err(LoadError::Unreadable { path: shown, reason: "its path is no UTF-8".to_owned() });
        };
        let text = text(file, &shown).map_err(|e| e.unwrap_or_else(|e| unreadable(&e)))?;
        Ok(Some(Loaded { key: key.to_owned(), name: short(&real), text }))
    }

    /// Whether nobody else could have written what was opened: neither the file nor one in its place.
    fn trust(&self, path: &Path, opened: &Metadata) -> Result<(), LoadError> {
        let distrust = |path: &Path, why| Err(LoadError::Untrusted { path: path.display().to_string(), why });
        let unreadable = |path: &Path, reason| LoadError::Unreadable { path: path.display().to_string(), reason };
        let mut below: Option<(&Path, Metadata)> = None;
        for path in path.ancestors() {
            let is = fs::metadata(path).map_err(|e| unreadable(path, e.to_string()))?;
            if below.is_none() && (is.dev(), is.ino()) != (opened.dev(), opened.ino()) {
                return Err(unreadable(path, "it was replaced while it was read".to_owned()));
            }
            let open_to_all = is.mode() & WORLD_WRITABLE != 0;
            if open_to_all && !(is.is_dir() && is.mode() & STICKY != 0) {
                return distrust(path, Distrust::WorldWritable);
            }
            if let Some((below, owner)) = below.as_ref().map(|(path, is)| (path, is.uid()))
                && open_to_all
                && !self.trusted.contains(&owner)
            {
                return distrust(below, Distrust::Owner(owner));
            }
            if self.strict && !self.trusted.contains(&is.uid()) {
                return distrust(path, Distrust::Owner(is.uid()));
            }
            below = Some((path, is));
        }
        Ok(())
    }
}

/// A file that may be meant.
enum Candidate {
    /// One that is built in, by its name there.
    BuiltIn(String),
    /// One of the file system.
    File(PathBuf),
}

impl Loader for Library {
    fn load(&self, wanted: &ImportPath, from: &str) -> Result<Loaded, LoadError> {
        let mut tried = Vec::new();
        for candidate in self.candidates(wanted, from) {
            match candidate {
                Candidate::BuiltIn(name) => match built_in(&name) {
                    Some(text) => {
                        return Ok(Loaded { key: built_in_key(text), name, text: text.text.to_owned() });
                    }
                    None => tried.push(format!("the built-in {name}")),
                },
                Candidate::File(path) => match self.read(&path)? {
                    Some(loaded) => return Ok(loaded),
                    None => tried.push(path.display().to_string()),
                },
            }
        }
        Err(LoadError::NotFound { tried, near: meant(wanted) })
    }
}

/// What a script in a file is known by. A script that stands in no file imports from the working folder.
///
/// # Errors
/// There is no such file.
pub fn key_of(path: &Path) -> io::Result<String> {
    Ok(path.canonicalize()?.to_string_lossy().into_owned())
}

/// What a built-in file is known by.
pub fn built_in_key(text: &Text) -> String {
    format!("{BUILT_IN}{}", text.path)
}

/// The built-in module or stock script of that name.
fn built_in(name: &str) -> Option<&'static Text> {
    profinfer_scripts::STD.iter().chain(profinfer_scripts::SCRIPTS).find(|text| text.path == name)
}

/// The name of a file that lies as `relative` says from a built-in one.
fn beside(from: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A built-in module that an import may have meant.
fn meant(wanted: &ImportPath) -> Option<String> {
    let ImportPath::Module(path) = wanted else { return None };
    let last = path.parts.last()?.node.as_str();
    let names = || profinfer_scripts::STD.iter().filter_map(|t| t.path.strip_prefix("std/")?.strip_suffix(".pi"));
    profinfer_compiler::resolve::near(last, names()).map(|name| format!("std.{name}"))
}

/// The text of a file; what is wrong with it, or why it cannot be read.
fn text(file: File, path: &str) -> Result<String, Result<LoadError, io::Error>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Err)?;
    if bytes.len() > MAX_BYTES {
        return Err(Ok(LoadError::TooLarge { path: path.to_owned(), most: MAX_BYTES }));
    }
    String::from_utf8(bytes)
        .map_err(|e| Ok(LoadError::NotText { path: path.to_owned(), at: e.utf8_error().valid_up_to() }))
}

/// A path as short as it can be: below the working folder without that.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|dir| dir.canonicalize());
    let relative = here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    relative.as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use profinfer_lang::ast::Ident;
    use profinfer_lang::span::{FileId, Span};
    use tempfile::TempDir;

    use super::*;

    fn file(path: &str) -> ImportPath {
        ImportPath::File(Ident::new(path.to_owned(), Span::new(FileId(0), 0, 0)))
    }

    fn module(path: &str) -> ImportPath {
        let span = Span::new(FileId(0), 0, 0);
        let parts = path.split('.').map(|p| Ident::new(p.to_owned(), span)).collect();
        ImportPath::Module(profinfer_lang::ast::Path { parts, span })
    }

    /// A library of one folder, strict as for root, in which this user's files are trusted.
    fn library(folder: &Path) -> Library {
        Library { folders: vec![folder.join("lib")], strict: true, ..Library::of_user() }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn untrusted(result: Result<Loaded, LoadError>) -> Distrust {
        match result {
            Err(LoadError::Untrusted { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_found_beside_its_importer_or_in_the_library() {
        let folder = TempDir::new().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("lib/deep")).unwrap();
        fs::write(root.join("here.pi"), "let a = 1").unwrap();
        fs::write(root.join("lib/deep/there.pi"), "let a = 2").unwrap();
        symlink(root.join("here.pi"), root.join("lib/link.pi")).unwrap();
        let library = library(&root);
        let from = root.join("script.pi").to_str().unwrap().to_owned();
        let here = library.load(&file("./here.pi"), &from).unwrap();
        assert_eq!((here.text.as_str(), Path::new(&here.key)), ("let a = 1", &*root.join("here.pi")));
        for wanted in [module("deep.there"), file("deep/there.pi"), file("./lib/../lib/deep/there.pi")] {
            let there = library.load(&wanted, &from).unwrap();
            assert_eq!(Path::new(&there.key), root.join("lib/deep/there.pi"), "{wanted:?}");
        }
        // However it is called, it is one file.
        assert_eq!(library.load(&module("link"), &from).unwrap().key, here.key);
    }

    #[test]
    fn what_is_not_there_is_told_with_the_places() {
        let folder = TempDir::new().unwrap();
        let mut library = library(folder.path());
        library.folders.push("/nowhere".into());
        let tried = |wanted| match library.load(&wanted, "/script/here.pi") {
            Err(LoadError::NotFound { tried, .. }) => tried,
            other => panic!("{other:?}"),
        };
        let in_lib = folder.path().join("lib/a/b.pi").display().to_string();
        assert_eq!(tried(module("a.b")), [in_lib, "/nowhere/a/b.pi".to_owned()]);
        assert_eq!(tried(file("./a.pi")), ["/script/./a.pi"]);
        assert_eq!(tried(module("std.nothing")), ["the built-in std/nothing.pi"]);
        let near = |wanted| library.load(&wanted, "").unwrap_err();
        assert!(
            matches!(near(module("std.latencies")), LoadError::NotFound { near: Some(n), .. } if n == "std.latency")
        );
        assert!(matches!(near(module("latency")), LoadError::NotFound { near: Some(n), .. } if n == "std.latency"));
    }

    #[test]
    fn built_in_files_lie_beside_each_other() {
        assert_eq!(beside("std/latency.pi", "./parts.pi"), "std/parts.pi");
        assert_eq!(beside("ops.pi", "./std/../std/parts.pi"), "std/parts.pi");
        let loaded = Library::of_user().load(&file("./latency.pi"), "built-in:std/parts.pi").unwrap();
        assert_eq!(loaded.key, "built-in:std/latency.pi");
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let folder = TempDir::new().unwrap();
        let lib = folder.path().join("lib");
        fs::create_dir(&lib).unwrap();
        let path = lib.join("a.pi");
        fs::write(&path, "let a = 1").unwrap();
        let library = library(folder.path());
        let load = || library.load(&module("a"), "");
        assert!(load().is_ok());
        mode(&path, 0o666);
        assert_eq!(untrusted(load()), Distrust::WorldWritable);
        mode(&path, 0o644);
        mode(&lib, 0o777);
        assert_eq!(untrusted(load()), Distrust::WorldWritable);
        // There only the owner of a file may replace it.
        mode(&lib, 0o1777);
        assert!(load().is_ok());
        mode(&lib, 0o755);
        mode(folder.path(), 0o777);
        assert_eq!(untrusted(load()), Distrust::WorldWritable);
        mode(folder.path(), 0o700);
        assert!(load().is_ok());
    }

    #[test]
    fn files_of_strangers_are_not_trusted() {
        let folder = TempDir::new().unwrap();
        let lib = folder.path().join("lib");
        fs::create_dir(&lib).unwrap();
        let path = lib.join("a.pi");
        fs::write(&path, "let a = 1").unwrap();
        let owner = fs::metadata(&path).unwrap().uid();
        let mut library = library(folder.path());
        assert!(library.load(&module("a"), "").is_ok());
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("not tested: without root's rights no file can be given to somebody else");
            return;
        }
        for stranger in [&path, &lib] {
            chown(stranger, Some(4711), None).unwrap();
            assert_eq!(untrusted(library.load(&module("a"), "")), Distrust::Owner(4711));
            chown(stranger, Some(owner), None).unwrap();
        }
        // Whoever is not root may import from others, but not from where anybody could have put the file.
        library.strict = false;
        chown(&path, Some(4711), None).unwrap();
        assert!(library.load(&module("a"), "").is_ok());
        mode(&lib, 0o1777);
        assert_eq!(untrusted(library.load(&module("a"), "")), Distrust::Owner(4711));
        library.trusted.push(4711);
        assert!(library.load(&module("a"), "").is_ok());
    }

    #[test]
    fn what_is_no_text_is_told() {
        let folder = TempDir::new().unwrap();
        let lib = folder.path().join("lib");
        fs::create_dir(&lib).unwrap();
        let library = library(folder.path());
        let load = |bytes: &[u8]| {
            fs::write(lib.join("a.pi"), bytes).unwrap();
            library.load(&module("a"), "")
        };
        assert!(matches!(load(b"let a = \xff"), Err(LoadError::NotText { at: 8, .. })));
        assert!(matches!(load(&vec![b' '; MAX_BYTES + 1]), Err(LoadError::TooLarge { most: MAX_BYTES, .. })));
        assert!(load(&vec![b' '; MAX_BYTES]).is_ok());
        fs::create_dir(lib.join("b.pi")).unwrap();
        assert!(matches!(library.load(&module("b"), ""), Err(LoadError::Unreadable { .. })));
    }
}
