//! Whoever may write into the output folder, or beside what is imported, exchanges things while profinfer is at it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use profinfer::folder::Folder;
use profinfer::library::Library;
use profinfer_compiler::modules::Loader;
use profinfer_lang::ast::{Ident, ImportPath};
use profinfer_lang::span::{FileId, Span};

/// Two things exchange their names again and again, until dropped.
struct Exchange {
    stop: Arc<AtomicBool>,
    times: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Exchange {
    fn of(a: &Path, b: &Path) -> Exchange {
        let [a, b] = [a, b].map(|p| CString::new(p.as_os_str().as_bytes()).unwrap());
        let (stop, times) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, times) = (Arc::clone(&stop), Arc::clone(&times));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = libc::AT_FDCWD;
                    // SAFETY: both names are C strings that live through the call.
                    let done = unsafe { libc::renameat2(at, a.as_ptr(), at, b.as_ptr(), libc::RENAME_EXCHANGE) };
                    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
                    times.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Exchange { stop, times, thread: Some(thread) }
    }

    fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// `out/run` is a folder at one moment and a link out of the folder at the next.
#[test]
fn no_race_leads_out_of_the_output_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir_all(out.join("run")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("t.csv"), "untouched").unwrap();
    symlink("../outside", out.join("link")).unwrap();
    let folder = Folder::open(&out).unwrap();
    let exchange = Exchange::of(&out.join("run"), &out.join("link"));
    let (mut written, mut refused) = (0, 0);
    while exchange.times() < 2000 || written < 20 || refused < 20 {
        assert!(written + refused < 200_000, "{written} written, {refused} refused");
        match folder.replace("run/t.csv", b"from the script") {
            Ok(()) => written += 1,
            Err(_) => refused += 1,
        }
    }
    drop(exchange);
    assert_eq!(fs::read_to_string(outside.join("t.csv")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "and nothing is beside it");
}

/// The file itself is plain at one moment and a link at the next: what it leads to is never written to.
#[test]
fn no_race_makes_a_file_be_written_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(dir.path().join("secret.csv"), "untouched").unwrap();
    fs::write(out.join("t.csv"), "").unwrap();
    symlink("../secret.csv", out.join("link")).unwrap();
    let folder = Folder::open(&out).unwrap();
    let exchange = Exchange::of(&out.join("t.csv"), &out.join("link"));
    while exchange.times() < 2000 {
        let _either = folder.replace("t.csv", b"from the script");
    }
    drop(exchange);
    assert_eq!(fs::read_to_string(dir.path().join("secret.csv")).unwrap(), "untouched");
}

fn imported(path: &Path) -> ImportPath {
    ImportPath::File(Ident::new(path.to_str().unwrap().to_owned(), Span::new(FileId(0), 0, 0)))
}

/// What everybody may write is exchanged with a file that is to be trusted: what is taken is always the latter.
#[test]
fn no_race_makes_a_file_be_imported_that_is_not_to_be_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("lib.pi"), dir.path().join("other.pi"));
    fs::write(&good, "let a = 1").unwrap();
    fs::write(&bad, "let a = 666").unwrap();
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o666)).unwrap();
    let library = Library::of_user();
    let exchange = Exchange::of(&good, &bad);
    let (mut taken, mut refused) = (0, 0);
    while exchange.times() < 2000 || taken < 20 || refused < 20 {
        assert!(taken + refused < 200_000, "{taken} taken, {refused} refused");
        match library.load(&imported(&good), "") {
            Ok(loaded) => {
                assert_eq!(loaded.text, "let a = 1");
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
}

/// A link to it is as good as the file that it leads to, and no better.
#[test]
fn a_link_is_trusted_as_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (inner, file) = (dir.path().join("all"), dir.path().join("all/lib.pi"));
    fs::create_dir(&inner).unwrap();
    fs::write(&file, "let a = 1").unwrap();
    let link = dir.path().join("lib.pi");
    symlink(&file, &link).unwrap();
    let library = Library::of_user();
    assert!(library.load(&imported(&link), "").is_ok());
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = library.load(&imported(&link), "").unwrap_err().to_string();
    assert!(refused.contains("all is not to be trusted"), "it is the folder behind the link: {refused}");
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
    // A link to what is no file, a pipe that nobody writes to: neither is waited for.
    let pipe = CString::new(inner.join("pipe.pi").as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a C string.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    for what in ["all/pipe.pi", "/dev/zero", "all"] {
        let link = dir.path().join("what.pi");
        symlink(dir.path().join(what), &link).unwrap();
        assert!(library.load(&imported(&link), "").unwrap_err().to_string().contains("it is no file"), "{what}");
        fs::remove_file(&link).unwrap();
    }
}
