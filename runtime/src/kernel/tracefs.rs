//! Numbers of tracepoints, from tracefs. Where nobody has mounted it, profinfer opens it without mounting it anywhere:
//! a detached mount that goes away with its descriptor.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use super::{
    error::{Action, KernelError},
    sys,
};

/// Where tracefs is mounted, if it is.
const MOUNT_POINT: &str = "/sys/kernel/tracing";

/// An open tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: OwnedFd,
    source: TracefsSource,
}

/// Where an open tracefs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TracefsSource {
    /// It was mounted at `/sys/kernel/tracing`.
    Mounted,
    /// It was opened for this process only.
    Detached,
}

impl Tracefs {
    /// Opens the mounted one, else one of our own.
    ///
    /// # Errors
    /// [`KernelError::Denied`] if none is mounted and this process lacks `CAP_SYS_ADMIN`, [`KernelError::Refused`] if
    /// the kernel has no tracefs.
    pub fn open() -> Result<Self, KernelError> {
        Self::mounted().map_or_else(Self::detached, Ok)
    }

    /// Opens the one at `/sys/kernel/tracing`, if there is one.
    #[must_use]
    pub fn mounted() -> Option<Self> {
        let root = OwnedFd::from(File::open(MOUNT_POINT).ok()?);
        // The folder is there, and empty, when tracefs is not mounted.
        sys::open_at(root.as_fd(), c"events").ok()?;
        Some(Self { root, source: TracefsSource::Mounted })
    }

    /// Opens one that nobody else sees (Linux 5.2).
    ///
    /// # Errors
    /// As [`Tracefs::open`].
    pub fn detached() -> Result<Self, KernelError> {
        let root = sys::detached_mount(c"tracefs")
            .map_err(|source| KernelError::new(Action::OpenTracefs, "tracefs", source))?;
        Ok(Self { root, source: TracefsSource::Detached })
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> TracefsSource {
        self.source
    }

    /// The number of a tracepoint.
    ///
    /// # Errors
    /// [`KernelError::Tracepoint`] if there is none of this name, [`KernelError::File`] if its number cannot be read.
    pub fn tracepoint_id(&self, category: &str, name: &str) -> Result<u32, KernelError> {
        let (text, path) = self.read_event(category, name, "id")?;
        let source = || io::Error::new(io::ErrorKind::InvalidData, "not a number");
        text.trim().parse().map_err(|_| KernelError::File { path, source: source() })
    }

    /// The offset of a field in a tracepoint's records, in bytes.
    ///
    /// # Errors
    /// As [`Tracefs::tracepoint_id`], also where it has no such field.
    pub fn tracepoint_field(&self, category: &str, name: &str, field: &str) -> Result<u16, KernelError> {
        let (text, path) = self.read_event(category, name, "format")?;
        let source = || io::Error::new(io::ErrorKind::InvalidData, format!("it has no field {field}"));
        offset_of(&text, field).ok_or_else(|| KernelError::File { path, source: source() })
    }

    /// The fields of a tracepoint, as tracefs lists them.
    ///
    /// # Errors
    /// As [`Tracefs::tracepoint_id`].
    pub fn tracepoint_format(&self, category: &str, name: &str) -> Result<String, KernelError> {
        Ok(self.read_event(category, name, "format")?.0)
    }

    /// The names of all tracepoints, `category:name`.
    ///
    /// # Errors
    /// [`KernelError::File`] if they cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, KernelError> {
        let path = PathBuf::from(MOUNT_POINT).join("available_events");
        let failed = |source| KernelError::File { path: path.clone(), source };
        let file = sys::open_at(self.root.as_fd(), c"available_events").map_err(failed)?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(failed)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// A file of a tracepoint, and where it is.
    fn read_event(&self, category: &str, name: &str, file: &str) -> Result<(String, PathBuf), KernelError> {
        let unknown = || KernelError::Tracepoint { category: category.into(), name: name.into() };
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !word(category) || !word(name) {
            return Err(unknown());
        }
        let path = format!("events/{category}/{name}/{file}");
        let shown = PathBuf::from(MOUNT_POINT).join(&path);
        let failed = |source| KernelError::File { path: shown.clone(), source };
        let c_path = CString::new(path.as_str()).map_err(|error| failed(error.into()))?;
        let file = sys::open_at(self.root.as_fd(), &c_path).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => unknown(),
            _ => failed(error),
        })?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(failed)?;
        Ok((text, shown))
    }
}

/// The offset of a field in a tracepoint's format: `field:pid_t child_pid; offset:20; size:4; …`
fn offset_of(format: &str, field: &str) -> Option<u16> {
    let mut fields = format.lines().filter_map(|line| line.trim().strip_prefix("field:")?.split_once(';'));
    let (_, rest) = fields.find(|(declared, _)| declared.split([' ', '[']).any(|word| word == field))?;
    rest.split_once("offset:")?.1.split(';').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::offset_of;

    #[test]
    fn offsets_are_read_out_of_formats() {
        let now = "name: sched_process_fork\nID: 366\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
                   \tfield:pid_t parent_pid;\toffset:12;\tsize:4;\tsigned:1;\n\
                   \tfield:pid_t child_pid;\toffset:20;\tsize:4;\tsigned:1;\n";
        let before = "\tfield:char child_comm[16];\toffset:28;\tsize:16;\tsigned:0;\n\
                      \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";
        assert_eq!(offset_of(now, "child_pid"), Some(20));
        assert_eq!(offset_of(before, "child_pid"), Some(44));
        assert_eq!(offset_of(before, "child_comm"), Some(28));
        assert_eq!(offset_of(now, "pid"), None);
    }
}
