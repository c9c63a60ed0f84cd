//! Reading whole maps: thousands of entries per call where the kernel can, key by key where it cannot.

use std::{collections::HashSet, io};

use super::{
    error::{Action, KernelError},
    map::Map,
    sys,
};

/// Entries asked for in one call.
const MAX_ENTRIES: usize = 4096;
/// Bytes that one call's keys and values take at most, unless a single bucket needs more.
const MAX_BYTES: usize = 8 << 20;

impl Map {
    /// Calls `entry` with every key and value; returns how many there were.
    ///
    /// Entries that are made or taken out meanwhile may be missed; an entry that stays is given exactly once.
    ///
    /// # Errors
    /// [`KernelError::Refused`] for a kind that cannot be walked (task storage, ring buffers).
    pub fn for_each(&self, mut entry: impl FnMut(&[u8], &[u8])) -> Result<usize, KernelError> {
        match self.by_batch(&mut entry)? {
            Some(count) => Ok(count),
            None => self.by_key(&mut entry),
        }
    }

    /// All keys.
    ///
    /// # Errors
    /// As [`Map::for_each`].
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, KernelError> {
        let mut keys = Vec::new();
        self.for_each(|key, _| keys.push(key.to_vec()))?;
        Ok(keys)
    }

    /// Walks by `BPF_MAP_LOOKUP_BATCH`; nothing if this kernel or this kind of map does not have it.
    pub(super) fn by_batch(&self, entry: &mut dyn FnMut(&[u8], &[u8])) -> Result<Option<usize>, KernelError> {
        let entry_bytes = self.spec().key_size as usize + self.value_bytes();
        self.by_batch_of((MAX_BYTES / entry_bytes.max(1)).clamp(1, MAX_ENTRIES), entry)
    }

    /// Walks by `BPF_MAP_LOOKUP_BATCH`, `count` entries at first; more where a bucket of the hash holds more.
    pub(super) fn by_batch_of(
        &self,
        mut count: usize,
        entry: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<usize>, KernelError> {
        let (key_size, value_size) = (self.spec().key_size as usize, self.value_bytes());
        if key_size == 0 || value_size == 0 {
            return Ok(None);
        }
        // A position is a key for arrays and a bucket number of 4 bytes for hashes.
        let mut from: Option<Vec<u8>> = None;
        let mut to = vec![0; key_size.max(4)];
        let (mut keys, mut values) = (vec![0; count * key_size], vec![0; count * value_size]);
        let mut total = 0;
        loop {
            // SAFETY: positions are as long as a key or 4 bytes, and both buffers hold `count` entries.
            let (copied, result) = unsafe {
                sys::map_lookup_batch(self.fd(), from.as_deref(), &mut to, &mut keys, &mut values, count as u32)
            };
            let copied = match &result {
                // On any other error the count is not written.
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => 0,
                _ => copied.min(count),
            };
            for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)).take(copied) {
                entry(key, value);
            }
            total += copied;
            match result.map_err(|error| (error.raw_os_error(), error)) {
                Ok(()) => from = Some(to.clone()),
                Err((Some(libc::ENOENT), _)) => return Ok(Some(total)),
                Err((Some(libc::ENOSPC), _)) if count <= u32::MAX as usize / 2 => {
                    count *= 2;
                    keys.resize(count * key_size, 0);
                    values.resize(count * value_size, 0);
                }
                Err((Some(libc::EINVAL | libc::EOPNOTSUPP | sys::ENOTSUPP), _)) if from.is_none() => return Ok(None),
                Err((_, source)) => return Err(self.failed(Action::ReadMap, source)),
            }
        }
    }

    /// Walks key by key. A key that goes away sends the walk back to the start, so keys that were given are remembered.
    pub(super) fn by_key(&self, entry: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize, KernelError> {
        let mut given = HashSet::new();
        let mut restarts = 0;
        let mut at = self.next_key(None)?;
        while let Some(key) = at {
            at = self.next_key(Some(&key))?;
            if given.contains(&key) {
                restarts += 1;
                if restarts > self.spec().max_entries {
                    return Err(self.failed(Action::ReadMap, io::Error::from_raw_os_error(libc::EAGAIN)));
                }
            } else if let Some(value) = self.lookup(&key)? {
                entry(&key, &value);
                given.insert(key);
            }
        }
        Ok(given.len())
    }
}
