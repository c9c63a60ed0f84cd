//! The output folder, the only place that a script's `to` can write to.
//!
//! A script may come from anybody and runs as root. So names are looked up by the kernel below the folder's own
//! descriptor: nothing leads out of it, neither `..` nor a symbolic link, whatever is renamed meanwhile. A file comes to
//! its name whole: it is written under another one beside it first, and whoever reads sees the old or the new.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::target::sudo_ids;

/// A file that cannot be written into the output folder.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum FolderError {
    #[error("cannot use {} as the output folder: {source}; make it, or name another with --output-dir", folder.display())]
    NoFolder { folder: PathBuf, source: io::Error },
    #[error("cannot write {file:?}: a file behind `to` is a name below the output folder, without `..`")]
    NotBelow { file: String },
    #[error("cannot write {}: a folder on the way there is a symbolic link, which is not followed; put a folder in its place", path.display())]
    Link { path: PathBuf },
    #[error("cannot write {}: there is no folder {}; make it first", path.display(), path.parent().unwrap_or(path).display())]
    NoParent { path: PathBuf },
    #[error("cannot write {}: there is {what} of that name, which is not replaced; remove it, or name another file", path.display())]
    Occupied { path: PathBuf, what: &'static str },
    #[error("cannot write {}: this kernel has no openat2, which came with Linux 5.6; use -o FILE", path.display())]
    TooOld { path: PathBuf },
    #[error("cannot write {}: {source}; name a folder with room and rights with --output-dir", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A folder, held open: it stays the same one even if another gets its name.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// The folder of that name; here links are followed, since it is the user who names it.
    ///
    /// # Errors
    /// [`FolderError::NoFolder`]: it is not there, or is no folder.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|source| FolderError::NoFolder { folder: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), fd: file.into() })
    }

    /// Puts a file there, in place of one of that name, and gives it to the caller of `sudo` if there is one.
    ///
    /// # Errors
    /// [`FolderError`]; then what stood there is untouched, and nothing is left beside it.
    pub fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let (parent, name) = file.rsplit_once('/').unwrap_or((".", file));
        let (Ok(parent), Ok(name_c)) = (CString::new(parent), CString::new(name)) else {
            return Err(FolderError::NotBelow { file: file.to_owned() });
        };
        if ["", ".", ".."].contains(&name) {
            return Err(FolderError::NotBelow { file: file.to_owned() });
        }
        let path = self.path.join(file);
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let parent = open_below(self.fd.as_fd(), &parent, flags, 0).map_err(|e| way(e, file, &path))?;
        let io = |source| FolderError::Io { path: path.clone(), source };
        if let Some(what) = occupied(parent.as_fd(), &name_c).map_err(io)? {
            return Err(FolderError::Occupied { path, what });
        }
        let mut temporary = Temporary::new(parent.as_fd()).map_err(io)?;
        temporary.file.write_all(bytes).map_err(io)?;
        if let Some((uid, gid)) = sudo_ids() {
            // Some file systems have no owners; there it is nobody's.
            let _not_there = std::os::unix::fs::fchown(&temporary.file, Some(uid), Some(gid));
        }
        temporary.become_(&name_c).map_err(io)
    }
}

/// Why the folder of a file cannot be reached.
fn way(e: io::Error, file: &str, path: &Path) -> FolderError {
    let path = path.to_owned();
    match e.raw_os_error() {
        Some(libc::EXDEV) => FolderError::NotBelow { file: file.to_owned() },
        Some(libc::ELOOP) => FolderError::Link { path },
        Some(libc::ENOENT | libc::ENOTDIR) => FolderError::NoParent { path },
        Some(libc::ENOSYS) => FolderError::TooOld { path },
        _ => FolderError::Io { path, source: e },
    }
}

/// What stands there that is no plain file; nothing if a file can be put there.
fn occupied(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<&'static str>> {
    // SAFETY: an all-zero `stat` is a valid value of it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with a zero and `stat` is as large as the kernel writes.
    let done = unsafe { libc::fstatat(parent.as_raw_fd(), name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW) };
    if done != 0 {
        let e = io::Error::last_os_error();
        return if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) };
    }
    Ok(match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => None,
        libc::S_IFLNK => Some("a symbolic link"),
        libc::S_IFDIR => Some("a folder"),
        _ => Some("a device, pipe or socket"),
    })
}

/// Opens a path below a folder, over no symbolic link.
fn open_below(folder: BorrowedFd<'_>, path: &CStr, flags: libc::c_int, mode: u64) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero `open_how` is a valid value of it.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    how.mode = mode;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    loop {
        // SAFETY: the path ends with a zero, and the kernel is told how large `how` is.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                folder.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                std::mem::size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: the kernel has just made it, and nobody else knows it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) });
        }
        let e = io::Error::last_os_error();
        // EAGAIN: something was renamed while the kernel looked.
        if !matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(e);
        }
    }
}

/// A file under a name of its own, gone again unless it gets its right one.
struct Temporary<'p> {
    parent: BorrowedFd<'p>,
    name: CString,
    file: File,
    kept: bool,
}

impl<'p> Temporary<'p> {
    fn new(parent: BorrowedFd<'p>) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = CString::new(format!(".profinfer-{}-{n}.tmp", std::process::id()))?;
            match open_below(parent, &name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o666) {
                Ok(fd) => return Ok(Self { parent, name, file: fd.into(), kept: false }),
                // Left by a process of this number that was killed: it may be anybody's.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < 1000 => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes the place of what has that name.
    fn become_(mut self, name: &CStr) -> io::Result<()> {
        let at = self.parent.as_raw_fd();
        // SAFETY: both names end with a zero.
        if unsafe { libc::renameat(at, self.name.as_ptr(), at, name.as_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // SAFETY: the name ends with a zero. If it is gone already there is nothing to do.
            unsafe { libc::unlinkat(self.parent.as_raw_fd(), self.name.as_ptr(), 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder to write to, with a file beside it that nothing may touch.
    fn place() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("secret.csv"), "untouched").unwrap();
        let folder = Folder::open(&dir.path().join("out")).unwrap();
        (dir, folder)
    }

    /// What is in the folder, by name.
    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path().join("out")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn refused(dir: &tempfile::TempDir, folder: &Folder, file: &str) -> String {
        let before = names(dir);
        let error = folder.replace(file, b"attack").unwrap_err().to_string();
        assert_eq!(names(dir), before, "nothing is left beside it");
        assert_eq!(fs::read_to_string(dir.path().join("secret.csv")).unwrap(), "untouched");
        error
    }

    #[test]
    fn a_file_is_written_and_replaced_whole() {
        let (dir, folder) = place();
        fs::create_dir(dir.path().join("out/run")).unwrap();
        folder.replace("run/a.csv", b"a longer first text").unwrap();
        let reader = File::open(dir.path().join("out/run/a.csv")).unwrap();
        folder.replace("run/a.csv", b"second").unwrap();
        assert_eq!(fs::read(dir.path().join("out/run/a.csv")).unwrap(), b"second");
        assert_eq!(io::read_to_string(reader).unwrap(), "a longer first text", "who reads the old one reads it whole");
        assert_eq!(names(&dir), ["run"]);
        assert_eq!(fs::read_dir(dir.path().join("out/run")).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn nothing_leads_out() {
        let (dir, folder) = place();
        fs::create_dir(dir.path().join("out/run")).unwrap();
        let absolute = dir.path().join("secret.csv").display().to_string();
        for file in ["../secret.csv", "run/../../secret.csv", &absolute, "..", "run/..", "run/", "", ".", "a\0b.csv"] {
            let error = refused(&dir, &folder, file);
            assert!(error.contains("below the output folder"), "{file:?}: {error}");
        }
    }

    #[test]
    fn no_link_is_followed() {
        let (dir, folder) = place();
        symlink("..", dir.path().join("out/up")).unwrap();
        symlink("../secret.csv", dir.path().join("out/file.csv")).unwrap();
        symlink(".", dir.path().join("out/here")).unwrap();
        symlink("/proc/self/cwd", dir.path().join("out/magic")).unwrap();
        for file in ["up/secret.csv", "here/x.csv", "magic/x.csv"] {
            let error = refused(&dir, &folder, file);
            assert!(error.contains("symbolic link, which is not followed"), "{file}: {error}");
        }
        let error = refused(&dir, &folder, "file.csv");
        assert!(error.contains("file.csv") && error.contains("a symbolic link of that name"), "{error}");
        assert_eq!(fs::read_link(dir.path().join("out/file.csv")).unwrap(), Path::new("../secret.csv"));
    }

    #[test]
    fn what_is_no_file_stays() {
        let (dir, folder) = place();
        fs::create_dir(dir.path().join("out/a.csv")).unwrap();
        assert!(refused(&dir, &folder, "a.csv").contains("a folder of that name"));
        let error = refused(&dir, &folder, "none/b.csv");
        assert!(error.contains("there is no folder") && error.contains("out/none;"), "{error}");
        fs::write(dir.path().join("out/plain"), "").unwrap();
        assert!(refused(&dir, &folder, "plain/b.csv").contains("there is no folder"));
        let error = Folder::open(&dir.path().join("secret.csv")).unwrap_err().to_string();
        assert!(error.contains("secret.csv") && error.contains("--output-dir"), "{error}");
    }

    #[test]
    fn the_folder_stays_the_one_that_was_opened() {
        let (dir, folder) = place();
        fs::rename(dir.path().join("out"), dir.path().join("moved")).unwrap();
        symlink(".", dir.path().join("out")).unwrap();
        folder.replace("secret.csv", b"new").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("secret.csv")).unwrap(), "untouched");
        assert_eq!(fs::read(dir.path().join("moved/secret.csv")).unwrap(), b"new");
    }

    #[test]
    fn a_name_that_a_dead_process_left_is_not_reused() {
        let (dir, folder) = place();
        let left: Vec<PathBuf> =
            (0..900).map(|n| dir.path().join(format!("out/.profinfer-{}-{n}.tmp", std::process::id()))).collect();
        for path in &left {
            symlink("../secret.csv", path).unwrap();
        }
        folder.replace("a.csv", b"new").unwrap();
        assert_eq!(fs::read(dir.path().join("out/a.csv")).unwrap(), b"new");
        assert_eq!(fs::read_to_string(dir.path().join("secret.csv")).unwrap(), "untouched");
    }
}
