//! An array's memory, shared with this process: counters and flags are read and written without a system call.

use std::{
    fmt, io,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};

use super::{
    error::{Action, KernelError},
    map::{Map, MapKind},
};

/// The 8-byte words of an array that was made `mmapable`. It keeps the map alive.
pub struct MappedArray {
    memory: MmapRaw,
    words: usize,
}

impl MappedArray {
    /// Shares the memory of an array.
    ///
    /// # Errors
    /// [`KernelError::Spec`] if the map is not such an array, [`KernelError::Refused`] if the mapping fails.
    pub fn new(map: &Map) -> Result<Self, KernelError> {
        let spec = map.spec();
        if spec.kind != MapKind::Array || !spec.mmapable {
            return Err(map.misfit("only an array made with `mmapable` can be shared", spec.mmapable.into(), 1));
        }
        let bytes = (spec.value_size as usize).next_multiple_of(8) * spec.max_entries as usize;
        let memory = MmapOptions::new()
            .len(bytes)
            .map_raw(map.fd().as_raw_fd())
            .map_err(|source| map.failed(Action::ShareMap, source))?;
        if memory.as_ptr().align_offset(align_of::<AtomicU64>()) != 0 {
            return Err(map.failed(Action::ShareMap, io::Error::from_raw_os_error(libc::EFAULT)));
        }
        Ok(Self { memory, words: bytes / 8 })
    }

    /// How many words there are: one per entry where values take 8 bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// Reads a word; what happened in the kernel before it was written is visible then.
    ///
    /// # Panics
    /// If `index` is not below [`MappedArray::len`].
    #[must_use]
    pub fn load_u64(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Writes a word; what this process did before is visible to programs that read it.
    ///
    /// # Panics
    /// If `index` is not below [`MappedArray::len`].
    pub fn store_u64(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    /// Writes a word if it is `from`; whether it was.
    ///
    /// # Panics
    /// If `index` is not below [`MappedArray::len`].
    pub fn replace_u64(&self, index: usize, from: u64, to: u64) -> bool {
        self.word(index).compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "word {index} of an array of {} words", self.words);
        // SAFETY: within the mapping (checked above), aligned (checked when it was made), and alive as long as `self`;
        // programs change it meanwhile, which an atomic allows.
        unsafe { AtomicU64::from_ptr(self.memory.as_mut_ptr().cast::<u64>().add(index)) }
    }
}

impl fmt::Debug for MappedArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedArray").field("words", &self.words).finish_non_exhaustive()
    }
}
