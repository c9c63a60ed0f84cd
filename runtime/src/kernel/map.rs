//! Maps: what they look like and how user space reads and writes them.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use profinfer_ebpf::btf::Types;

use super::{
    cpus::possible_cpus,
    error::{Action, KernelError},
    sys,
};

/// The shape of a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// Its name in listings; the kernel keeps 15 bytes of it.
    pub name: String,
    /// What it is.
    pub kind: MapKind,
    /// Bytes of a key; 4 for arrays, 0 for ring buffers.
    pub key_size: u32,
    /// Bytes of a value (of one CPU's copy for per-CPU kinds); 0 for ring buffers.
    pub value_size: u32,
    /// Entries it can hold; for ring buffers its size in bytes, for task storage 0.
    pub max_entries: u32,
    /// Take memory for an entry when it is made, not all at once: cheap to create, counted by [`Map::kernel_bytes`] as
    /// it grows. For [`MapKind::Hash`] and [`MapKind::PerCpuHash`], and without meaning for the others.
    pub no_prealloc: bool,
    /// Let [`MappedArray`](super::MappedArray) share its memory. For [`MapKind::Array`].
    pub mmapable: bool,
}

/// What a map is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// Any key to a value.
    Hash,
    /// A hash that forgets what was used longest ago when it is full.
    LruHash,
    /// A hash with a copy of every value per possible CPU.
    PerCpuHash,
    /// Values by index.
    Array,
    /// An array with a copy of every value per possible CPU.
    PerCpuArray,
    /// Maps by index, all shaped like `inner`.
    ArrayOfMaps {
        /// The shape that every inner map must have.
        inner: Box<MapSpec>,
    },
    /// Records from programs to one reader.
    RingBuf,
    /// A value per thread that goes away with it. Values must be a multiple of 8 bytes.
    TaskStorage,
    /// User stacks by id: a value is an array of 8-byte addresses.
    StackTrace,
    /// Perf events by CPU, for programs to read counters from.
    PerfEventArray,
}

/// What an update may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Update {
    /// Make the entry or replace its value.
    #[default]
    Any = 0,
    /// Only make it (`EEXIST` if it is there).
    New = 1,
    /// Only replace its value (`ENOENT` if it is not there).
    Existing = 2,
}

/// A map in the kernel; it goes away with the last descriptor, program or outer map that holds it.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    spec: MapSpec,
    value_bytes: usize,
}

impl MapKind {
    fn number(&self) -> u32 {
        match self {
            Self::Hash => 1,
            Self::Array => 2,
            Self::PerfEventArray => 4,
            Self::PerCpuHash => 5,
            Self::PerCpuArray => 6,
            Self::StackTrace => 7,
            Self::LruHash => 9,
            Self::ArrayOfMaps { .. } => 12,
            Self::RingBuf => 27,
            Self::TaskStorage => 29,
        }
    }

    fn per_cpu(&self) -> bool {
        matches!(self, Self::PerCpuHash | Self::PerCpuArray)
    }
}

impl MapSpec {
    /// A hash, not preallocated.
    #[must_use]
    pub fn hash(name: impl Into<String>, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        Self { no_prealloc: true, ..Self::plain(name, MapKind::Hash, key_size, value_size, max_entries) }
    }

    /// A hash that forgets what was used longest ago.
    #[must_use]
    pub fn lru_hash(name: impl Into<String>, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        Self::plain(name, MapKind::LruHash, key_size, value_size, max_entries)
    }

    /// An array.
    #[must_use]
    pub fn array(name: impl Into<String>, value_size: u32, max_entries: u32) -> Self {
        Self::plain(name, MapKind::Array, 4, value_size, max_entries)
    }

    /// An array of 8-byte words whose memory user space shares.
    #[must_use]
    pub fn shared_words(name: impl Into<String>, words: u32) -> Self {
        Self { mmapable: true, ..Self::array(name, 8, words) }
    }

    /// An array of maps shaped like `inner`.
    #[must_use]
    pub fn array_of_maps(name: impl Into<String>, inner: Self, max_entries: u32) -> Self {
        Self::plain(name, MapKind::ArrayOfMaps { inner: Box::new(inner) }, 4, 4, max_entries)
    }

    /// Events of a counter by CPU.
    #[must_use]
    pub fn perf_event_array(name: impl Into<String>, cpus: u32) -> Self {
        Self::plain(name, MapKind::PerfEventArray, 4, 4, cpus)
    }

    /// A ring buffer of `bytes`: a power of two and a multiple of the page size.
    #[must_use]
    pub fn ring_buffer(name: impl Into<String>, bytes: u32) -> Self {
        Self::plain(name, MapKind::RingBuf, 0, 0, bytes)
    }

    /// Call stacks of `value_size / 8` frames.
    #[must_use]
    pub fn stacks(name: impl Into<String>, value_size: u32, max_entries: u32) -> Self {
        Self::plain(name, MapKind::StackTrace, 4, value_size, max_entries)
    }

    /// A value of `value_size` bytes per thread.
    #[must_use]
    pub fn task_storage(name: impl Into<String>, value_size: u32) -> Self {
        Self::plain(name, MapKind::TaskStorage, 4, value_size, 0)
    }

    fn plain(name: impl Into<String>, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        Self { name: name.into(), kind, key_size, value_size, max_entries, no_prealloc: false, mmapable: false }
    }

    /// What every kernel would answer with a bare `EINVAL`, said in words.
    fn check(&self) -> Result<(), KernelError> {
        let wrong = |problem, given: u32, wanted: u32| {
            let (given, wanted) = (given.into(), wanted.into());
            Err(KernelError::Spec { subject: self.name.clone(), problem, given, wanted })
        };
        match self.kind {
            MapKind::RingBuf if !self.max_entries.is_power_of_two() || self.max_entries < 4096 => {
                let wanted = self.max_entries.max(4096).checked_next_power_of_two().unwrap_or(1 << 31);
                wrong("a ring buffer's size is a power of two and whole pages", self.max_entries, wanted)
            }
            MapKind::TaskStorage if self.value_size == 0 || !self.value_size.is_multiple_of(8) => {
                let wanted = self.value_size.max(8).checked_next_multiple_of(8).unwrap_or(8);
                wrong("a task storage value is whole 8-byte words", self.value_size, wanted)
            }
            MapKind::Array | MapKind::PerCpuArray | MapKind::ArrayOfMaps { .. } if self.key_size != 4 => {
                wrong("an array's key is 4 bytes", self.key_size, 4)
            }
            _ => Ok(()),
        }
    }
}

impl Map {
    /// Makes a map; an array of maps gets a template of its inner shape that lives only for the call.
    pub(super) fn create(spec: &MapSpec) -> Result<Self, KernelError> {
        spec.check()?;
        let template = match &spec.kind {
            MapKind::ArrayOfMaps { inner } => Some(Self::create(inner)?),
            _ => None,
        };
        Self::create_around(spec, template.as_ref())
    }

    /// Makes an array of maps and puts `inner` into slot 0.
    pub(super) fn create_array_of_maps(name: &str, inner: &Self, n: u32) -> Result<Self, KernelError> {
        let outer = Self::create_around(&MapSpec::array_of_maps(name, inner.spec.clone(), n), Some(inner))?;
        outer.set_inner(0, inner)?;
        Ok(outer)
    }

    fn create_around(spec: &MapSpec, inner: Option<&Self>) -> Result<Self, KernelError> {
        let btf = match spec.kind {
            MapKind::TaskStorage => {
                let mut types = Types::new();
                let (int, u64) = (types.int(), types.u64());
                let array = types.array(u64, int, spec.value_size / 8);
                let btf = sys::btf_load(&types.encode());
                Some((btf.map_err(|source| KernelError::new(Action::LoadBtf, &spec.name, source))?, int, array))
            }
            _ => None,
        };
        let no_prealloc = match spec.kind {
            MapKind::Hash | MapKind::PerCpuHash => spec.no_prealloc,
            MapKind::TaskStorage => true,
            _ => false,
        };
        let flags = if no_prealloc { sys::F_NO_PREALLOC } else { 0 } | if spec.mmapable { sys::F_MMAPABLE } else { 0 };
        let fd = sys::map_create(&sys::MapCreate {
            name: &spec.name,
            map_type: spec.kind.number(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags,
            inner: inner.map(Self::fd),
            btf: btf.as_ref().map(|(fd, key, value)| (fd.as_fd(), *key, *value)),
        })
        .map_err(|source| {
            let hint = match source.raw_os_error() {
                Some(libc::EINVAL) => Some("this kernel lacks the kind of map or does not take its sizes and flags"),
                Some(libc::ENOMEM | libc::E2BIG) => Some("the map is too large; lower its number of rows"),
                _ => None,
            };
            KernelError::hinted(Action::CreateMap, &spec.name, hint, source)
        })?;
        Self::from_fd(fd, spec.clone())
    }

    /// Takes over a descriptor whose map has this shape.
    pub(super) fn from_fd(fd: OwnedFd, spec: MapSpec) -> Result<Self, KernelError> {
        let one = spec.value_size as usize;
        let value_bytes = if spec.kind.per_cpu() { one.next_multiple_of(8) * possible_cpus()? } else { one };
        Ok(Self { fd, spec, value_bytes })
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its shape.
    #[must_use]
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Bytes that a look-up returns: the value, or for per-CPU kinds its copies one after another, each rounded up to
    /// 8.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// The kernel's number for it.
    ///
    /// # Errors
    /// [`KernelError::Refused`] on a kernel without object ids.
    pub fn id(&self) -> Result<u32, KernelError> {
        sys::map_id(self.fd()).map_err(|source| self.failed(Action::Inspect, source))
    }

    /// The value of a key ([`Map::value_bytes`] long), if it is there.
    ///
    /// # Errors
    /// [`KernelError::Spec`] for a key of the wrong size, [`KernelError::Refused`] for a kind that cannot be read so.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KernelError> {
        self.check_key(key)?;
        let mut value = vec![0; self.value_bytes];
        // SAFETY: the key's size is checked, the value has the size that the kernel copies for this kind.
        match unsafe { sys::map_lookup(self.fd(), key, &mut value) } {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(source) => Err(self.failed(Action::ReadMap, source)),
        }
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`KernelError::Spec`] for a wrong size, [`KernelError::Refused`] for a full map (`E2BIG`) or what [`Update`]
    /// forbids.
    pub fn update(&self, key: &[u8], value: &[u8], update: Update) -> Result<(), KernelError> {
        self.check_key(key)?;
        self.check_size("a value of the wrong size", value.len(), self.value_bytes)?;
        // SAFETY: both sizes are checked.
        unsafe { sys::map_update(self.fd(), key, value, update as u64) }
            .map_err(|source| self.failed(Action::WriteMap, source))
    }

    /// Takes a key out; false if it was not there.
    ///
    /// # Errors
    /// [`KernelError::Spec`] for a wrong size, [`KernelError::Refused`] for a kind that keeps its entries.
    pub fn delete(&self, key: &[u8]) -> Result<bool, KernelError> {
        self.check_key(key)?;
        // SAFETY: the key's size is checked.
        match unsafe { sys::map_delete(self.fd(), key) } {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(source) => Err(self.failed(Action::WriteMap, source)),
        }
    }

    /// The key behind `key`, or the first one; nothing at the end. A key that has gone leads back to the first one.
    ///
    /// # Errors
    /// [`KernelError::Spec`] for a wrong size, [`KernelError::Refused`] for a kind without an order (task storage).
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, KernelError> {
        if let Some(key) = key {
            self.check_key(key)?;
        }
        let mut next = vec![0; self.spec.key_size as usize];
        // SAFETY: both have the size of the map's keys.
        let found = unsafe { sys::map_next_key(self.fd(), key, &mut next) };
        Ok(found.map_err(|source| self.failed(Action::ReadMap, source))?.then_some(next))
    }

    /// Puts a map into a slot of an array of maps.
    ///
    /// **When this returns, no program still writes into the map that was there before**: for arrays and hashes of maps
    /// `bpf(2)` waits after the update until every program that was running has ended (`maybe_wait_bpf_programs` in
    /// `kernel/bpf/syscall.c`, by `synchronize_rcu`). So swapping and then reading the old map loses no count.
    /// Sleepable programs are not waited for; profinfer loads none.
    ///
    /// # Errors
    /// [`KernelError::Spec`] if this is no array of maps, [`KernelError::Refused`] with `EINVAL` for a map of another
    /// shape and with `E2BIG` for an index behind the end.
    pub fn set_inner(&self, index: u32, inner: &Self) -> Result<(), KernelError> {
        if !matches!(self.spec.kind, MapKind::ArrayOfMaps { .. }) {
            return Err(self.misfit("only an array of maps has inner maps", self.spec.kind.number().into(), 12));
        }
        self.update(&index.to_ne_bytes(), &inner.fd.as_raw_fd().to_ne_bytes(), Update::Any)
    }

    /// Kernel memory that it takes, in bytes, without that of inner maps. Exact since Linux 6.4, an estimate before.
    ///
    /// # Errors
    /// [`KernelError::File`] where `/proc` cannot be read.
    pub fn kernel_bytes(&self) -> Result<u64, KernelError> {
        let path = PathBuf::from(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()));
        let error = |source| KernelError::File { path: path.clone(), source };
        let text = fs::read_to_string(&path).map_err(error)?;
        text.lines()
            .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
            .ok_or_else(|| error(io::Error::new(io::ErrorKind::InvalidData, "no line `memlock:`")))
    }

    /// Takes every entry out of a hash by its bare descriptor, telling each to `taken`. It takes no memory of the heap:
    /// for a process that was forked.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Safety
    /// The map's keys are `K` bytes long and its values `V`.
    pub unsafe fn take_all<const K: usize, const V: usize>(
        map: BorrowedFd<'_>,
        mut taken: impl FnMut([u8; K], [u8; V]),
    ) -> io::Result<()> {
        let (mut key, mut value) = ([0; K], [0; V]);
        // SAFETY: the caller says how long keys and values are.
        while unsafe { sys::map_next_key(map, None, &mut key) }? {
            // SAFETY: as above.
            if unsafe { sys::map_lookup(map, &key, &mut value) }.is_ok() {
                taken(key, value);
            }
            // SAFETY: as above.
            match unsafe { sys::map_delete(map, &key) } {
                // A program was faster.
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes one entry out of a hash by its bare descriptor. It takes no memory of the heap.
    ///
    /// # Errors
    /// What the kernel says, also where there is no such entry.
    ///
    /// # Safety
    /// The map's keys are as long as `key`.
    pub unsafe fn remove(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
        // SAFETY: the caller says how long keys are.
        unsafe { sys::map_delete(map, key) }
    }

    /// An error of this map.
    pub(super) fn failed(&self, action: Action, source: io::Error) -> KernelError {
        let hint = match source.raw_os_error() {
            Some(libc::E2BIG) => Some("the map is full, or the index lies behind its end"),
            Some(libc::EINVAL | libc::EOPNOTSUPP | sys::ENOTSUPP) => Some("this kind of map does not take it"),
            _ => None,
        };
        KernelError::hinted(action, &self.spec.name, hint, source)
    }

    /// An error about how this map is used.
    pub(super) fn misfit(&self, problem: &'static str, given: u64, wanted: u64) -> KernelError {
        KernelError::Spec { subject: self.spec.name.clone(), problem, given, wanted }
    }

    fn check_key(&self, key: &[u8]) -> Result<(), KernelError> {
        self.check_size("a key of the wrong size", key.len(), self.spec.key_size as usize)
    }

    fn check_size(&self, problem: &'static str, given: usize, wanted: usize) -> Result<(), KernelError> {
        if given == wanted { Ok(()) } else { Err(self.misfit(problem, given as u64, wanted as u64)) }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}
