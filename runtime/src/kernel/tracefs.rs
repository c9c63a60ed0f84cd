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
        let unknown = || KernelError::Tracepoint { category: category.into(), name: name.into() };
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !word(category) || !word(name) {
            return Err(unknown());
        }
        let path = format!("events/{category}/{name}/id");
        let failed = |source| KernelError::File { path: PathBuf::from(MOUNT_POINT).join(&path), source };
        let c_path = CString::new(path.as_str()).map_err(|error| failed(error.into()))?;
        let file = sys::open_at(self.root.as_fd(), &c_path).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => unknown(),
            _ => failed(error),
        })?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(failed)?;
        text.trim().parse().map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "not a number")))
    }
}
