//! What a process has mapped: `/proc/PID/maps`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::TargetError;

/// Which file something is, whatever its name: the device and the inode as the kernel shows them in `maps`.
///
/// On file systems with subvolumes (btrfs, some overlays) this is not what `stat` gives; compare only among mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    /// Major and minor number of the device.
    pub dev: (u32, u32),
    /// The inode on it.
    pub inode: u64,
}

/// What may be done with a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// It can be read.
    pub read: bool,
    /// It can be written.
    pub write: bool,
    /// It can be executed.
    pub execute: bool,
    /// Writes are shared with others and reach the file.
    pub shared: bool,
}

/// One line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What may be done with it.
    pub perms: Permissions,
    /// Bytes into the file at which it starts.
    pub offset: u64,
    /// Major and minor number of the file's device; `(0, 0)` without a file.
    pub dev: (u32, u32),
    /// The file's inode; 0 without a file.
    pub inode: u64,
    /// The file as the process sees it, `[stack]` and the like, or empty for anonymous memory. Without ` (deleted)`.
    pub path: PathBuf,
    /// The file has no name any more (or had ` (deleted)` at the end of its name: the kernel writes both alike).
    pub deleted: bool,
}

impl Mapping {
    /// Which file is mapped, or `None` where there is none.
    #[must_use]
    pub fn identity(&self) -> Option<FileIdentity> {
        let is_file = self.inode != 0 && self.path.has_root();
        is_file.then_some(FileIdentity { dev: self.dev, inode: self.inode })
    }
}

/// Reads what the process has mapped, in the order of addresses.
///
/// # Errors
/// [`TargetError::NoSuchProcess`], [`TargetError::NotPermitted`], or a file that cannot be read or understood.
pub fn read(pid: u32) -> Result<Vec<Mapping>, TargetError> {
    let path = PathBuf::from(format!("/proc/{pid}/maps"));
    let text = fs::read(&path).map_err(|source| proc_error(pid, path.clone(), source))?;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            parse_line(line).ok_or_else(|| TargetError::ProcFormat {
                path: path.clone(),
                line: String::from_utf8_lossy(line).into_owned(),
            })
        })
        .collect()
}

/// One mapping for each distinct file of which any part can be executed: the lowest one, in the order of addresses.
///
/// Left out are anonymous memory, `[vdso]` and its like, device files and System V segments. A `memfd` is a file and
/// stays in: whether it holds a program shows when it is opened ([`TargetError::NotElf`]).
#[must_use]
pub fn executable_files(mappings: &[Mapping]) -> Vec<&Mapping> {
    let mut seen = HashSet::new();
    mappings
        .iter()
        .filter(|mapping| mapping.perms.execute)
        .filter(|mapping| {
            !["/dev/", "/SYSV"].iter().any(|p| mapping.path.as_os_str().as_encoded_bytes().starts_with(p.as_bytes()))
        })
        .filter(|mapping| mapping.identity().is_some_and(|identity| seen.insert(identity)))
        .collect()
}

/// The error for a file of a process that cannot be read: gone, refused, or something else.
pub(super) fn proc_error(pid: u32, path: PathBuf, source: io::Error) -> TargetError {
    match (source.kind(), source.raw_os_error()) {
        (ErrorKind::NotFound, _) | (_, Some(libc::ESRCH)) => TargetError::NoSuchProcess { pid },
        (ErrorKind::PermissionDenied, _) => TargetError::NotPermitted { pid, path },
        _ => TargetError::Proc { path, source },
    }
}

/// `7f..-7f.. r-xp 00001000 08:01 1234   /path with spaces`
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut word = || -> Option<&str> {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        std::str::from_utf8(word).ok().filter(|word| !word.is_empty())
    };
    let (start, end) = word()?.split_once('-')?;
    let perms = word()?.as_bytes();
    let offset = word()?;
    let (major, minor) = word()?.split_once(':')?;
    let inode = word()?;
    let [r, w, x, shared] = *perms else { return None };
    // The name is padded to a column; it may itself begin with no space, since it begins with `/` or `[`.
    let name = rest.iter().position(|byte| *byte != b' ').map_or(&[][..], |at| &rest[at..]);
    let (name, deleted) = match name.strip_suffix(b" (deleted)") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        perms: Permissions { read: r == b'r', write: w == b'w', execute: x == b'x', shared: shared == b's' },
        offset: u64::from_str_radix(offset, 16).ok()?,
        dev: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        path: PathBuf::from(OsString::from_vec(unescape(name))),
        deleted,
    })
}

/// The kernel writes a newline in a name as `\012`, and nothing else so: not even the backslash.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    fn parse(line: &str) -> Mapping {
        parse_line(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_library() {
        let m = parse("7f1c2a000000-7f1c2a021000 r-xp 00001000 103:0a 131077                     /usr/lib/libc.so.6");
        assert_eq!((m.start, m.end, m.offset), (0x7f1c_2a00_0000, 0x7f1c_2a02_1000, 0x1000));
        assert_eq!(m.perms, Permissions { read: true, write: false, execute: true, shared: false });
        assert_eq!(m.identity(), Some(FileIdentity { dev: (0x103, 10), inode: 131_077 }));
        assert_eq!(m.path, Path::new("/usr/lib/libc.so.6"));
        assert!(!m.deleted);
    }

    #[test]
    fn odd_names() {
        let prefix = "00400000-00401000 rw-s 00000000 fe:00 7 ";
        assert_eq!(parse(&format!("{prefix}  /a/@node llama/x y.so")).path, Path::new("/a/@node llama/x y.so"));
        let deleted = parse(&format!("{prefix} /tmp/x.so (deleted)"));
        assert_eq!((deleted.path.as_path(), deleted.deleted), (Path::new("/tmp/x.so"), true));
        assert!(deleted.perms.shared);
        assert_eq!(parse(&format!("{prefix} /a\\012b\\c")).path.as_os_str().as_bytes(), b"/a\nb\\c");
    }

    #[test]
    fn no_file() {
        let anonymous = parse("00400000-00401000 rw-p 00000000 00:00 0 ");
        assert_eq!((anonymous.identity(), anonymous.path.as_os_str().len()), (None, 0));
        assert_eq!(parse("00400000-00401000 r-xp 00000000 00:00 0    [vdso]").identity(), None);
        assert!(parse_line(b"00400000 r-xp").is_none());
    }

    #[test]
    fn one_mapping_for_each_file() {
        let text = [
            "00001000-00002000 r--p 00000000 08:01 5 /bin/a",
            "00002000-00003000 r-xp 00001000 08:01 5 /bin/a",
            "00004000-00005000 r-xp 00003000 08:01 5 /bin/a",
            "00006000-00007000 r-xp 00000000 08:01 6 /bin/b (deleted)",
            "00007000-00008000 rwxp 00000000 00:00 0 ",
            "00008000-00009000 r-xs 00000000 00:05 9 /dev/zero",
            "00009000-0000a000 r-xp 00000000 00:00 0 [vdso]",
        ];
        let mappings: Vec<_> = text.iter().map(|line| parse(line)).collect();
        let starts: Vec<_> = executable_files(&mappings).iter().map(|mapping| mapping.start).collect();
        assert_eq!(starts, [0x2000, 0x6000]);
    }

    #[test]
    fn this_process() {
        let mappings = read(std::process::id()).unwrap();
        let exe = std::env::current_exe().unwrap();
        assert!(executable_files(&mappings).iter().any(|mapping| mapping.path == exe), "{mappings:#?}");
    }

    #[test]
    fn no_such_process() {
        let pid = u32::try_from(i32::MAX).unwrap();
        assert!(matches!(read(pid), Err(TargetError::NoSuchProcess { .. })));
    }
}
