//! The reading end of a ring buffer.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{Map as AyaMap, MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    error::{Action, KernelError},
    map::{Map, MapKind},
};

/// Reads records of a ring buffer, in order. Its descriptor is readable while records wait: see [`RingBuffer::watch`].
/// One map has one reader: two would share a position.
pub struct RingBuffer {
    name: String,
    ring: RingBuf<MapData>,
}

impl RingBuffer {
    /// Starts reading where the last reader ended.
    ///
    /// # Errors
    /// [`KernelError::Spec`] if the map is no ring buffer, [`KernelError::Ring`] if its memory cannot be mapped.
    pub fn new(map: &Map) -> Result<Self, KernelError> {
        if map.spec().kind != MapKind::RingBuf {
            return Err(map.misfit("records come only out of a ring buffer", 0, 1));
        }
        let fd = map.fd().try_clone_to_owned().map_err(|source| map.failed(Action::ShareMap, source))?;
        let failed = |source| KernelError::Ring { name: map.spec().name.clone(), source };
        let data = MapData::from_fd(fd).map_err(failed)?;
        Ok(Self { name: map.spec().name.clone(), ring: RingBuf::try_from(AyaMap::RingBuf(data)).map_err(failed)? })
    }

    /// Lets a task wait for records. It has to read until nothing comes before it clears the readiness.
    ///
    /// # Errors
    /// [`KernelError::Refused`] if the runtime cannot watch another descriptor.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO.
    pub fn watch(self) -> Result<AsyncFd<Self>, KernelError> {
        // SAFETY: the descriptor is owned by `self`, never handed out or replaced, and closed only when `self` is
        // dropped.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }.map_err(|error| {
            let (ring, source) = error.into_parts();
            KernelError::new(Action::ReadMap, ring.name, source)
        })
    }

    /// The next record, if one is complete. Read until nothing comes before waiting for the descriptor again.
    #[expect(
        clippy::should_implement_trait,
        reason = "nothing now does not mean nothing more, as it would for an iterator"
    )]
    pub fn next(&mut self) -> Option<Vec<u8>> {
        self.ring.next().map(|record| record.to_vec())
    }

    /// Calls `record` with the next record without copying it; false if none is complete.
    pub fn with_next(&mut self, record: impl FnOnce(&[u8])) -> bool {
        self.ring.next().map(|item| record(&item)).is_some()
    }
}

impl AsFd for RingBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for RingBuffer {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl fmt::Debug for RingBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuffer").field("name", &self.name).finish_non_exhaustive()
    }
}
