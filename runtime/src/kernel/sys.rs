//! The raw system calls: the only place that fills the attribute unions of `bpf(2)` and `perf_event_open(2)`.
//!
//! Attributes start as zeros and are written field by field, so that padding stays zero: the kernel checks it.

use std::{
    ffi::CStr,
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use aya_obj::generated::{
    bpf_attr, bpf_cmd, bpf_link_info, bpf_map_info, bpf_prog_info, bpf_stats_type, perf_event_attr,
};

use super::limits::{NAME_BYTES, kernel_name};

/// `BPF_F_NO_PREALLOC`.
pub(super) const F_NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
pub(super) const F_MMAPABLE: u32 = 1 << 10;
/// The kernel's `ENOTSUPP`, which `errno.h` does not know: an operation or an instruction it does not handle.
pub(super) const ENOTSUPP: i32 = 524;

/// `PERF_TYPE_HARDWARE`.
pub(super) const PERF_HARDWARE: u32 = 0;
/// `PERF_TYPE_RAW`.
pub(super) const PERF_RAW: u32 = 4;
/// `PERF_TYPE_SOFTWARE`.
pub(super) const PERF_SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`.
pub(super) const PERF_TRACEPOINT: u32 = 2;

const BPF_F_UPROBE_MULTI_RETURN: u32 = 1;
const BPF_PERF_EVENT: u32 = 41;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const PERF_EVENT_IOC_ENABLE: libc::Ioctl = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::Ioctl = 0x4004_2408;
/// How often a load that a signal interrupted is tried again; libbpf does the same.
const LOAD_ATTEMPTS: usize = 5;

/// A map about to be made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MapCreate<'a> {
    pub(super) name: &'a str,
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) inner: Option<BorrowedFd<'a>>,
    /// Type information with the type ids of key and value.
    pub(super) btf: Option<(BorrowedFd<'a>, u32, u32)>,
}

/// A program about to be loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgLoad<'a> {
    pub(super) name: &'a str,
    pub(super) prog_type: u32,
    pub(super) expected_attach_type: u32,
    pub(super) insns: &'a [u64],
    pub(super) license: &'a CStr,
    /// Type information, and per function the index of its first instruction and its type id.
    pub(super) functions: Option<(BorrowedFd<'a>, &'a [[u32; 2]])>,
}

/// A multi link about to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct UprobeMulti<'a> {
    pub(super) attach_type: u32,
    pub(super) path: &'a CStr,
    pub(super) offsets: &'a [u64],
    /// Empty, or as long as `offsets`.
    pub(super) cookies: &'a [u64],
    /// 0 for all processes.
    pub(super) pid: u32,
    pub(super) ret: bool,
}

/// A perf event about to be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerfEvent<'a> {
    pub(super) event_type: u32,
    pub(super) config: u64,
    /// For the uprobe event: the file and the offset in it.
    pub(super) uprobe: Option<(&'a CStr, u64)>,
    /// Samples a second; 0 for events that fire each time.
    pub(super) hz: u64,
    /// -1 for all.
    pub(super) pid: i32,
    /// -1 for all.
    pub(super) cpu: i32,
}

/// A kind of object that the kernel numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Map,
    Program,
    Link,
}

pub(super) fn map_create(map: &MapCreate<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_1.map_type = map.map_type;
    attr.__bindgen_anon_1.key_size = map.key_size;
    attr.__bindgen_anon_1.value_size = map.value_size;
    attr.__bindgen_anon_1.max_entries = map.max_entries;
    attr.__bindgen_anon_1.map_flags = map.flags;
    attr.__bindgen_anon_1.map_name = raw_name(map.name);
    if let Some(inner) = map.inner {
        attr.__bindgen_anon_1.inner_map_fd = raw(inner);
    }
    if let Some((fd, key, value)) = map.btf {
        attr.__bindgen_anon_1.btf_fd = raw(fd);
        attr.__bindgen_anon_1.btf_key_type_id = key;
        attr.__bindgen_anon_1.btf_value_type_id = value;
    }
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Copies the value of `key` to `value`.
///
/// # Safety
/// `key` is as long as the map's keys, `value` as long as what the kernel copies for one (per-CPU maps: all copies).
pub(super) unsafe fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = raw(map);
    attr.__bindgen_anon_2.key = address(key);
    attr.__bindgen_anon_2.__bindgen_anon_1.value = address_mut(value);
    bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr).map(drop)
}

/// Sets the value of `key`.
///
/// # Safety
/// As [`map_lookup`].
pub(super) unsafe fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = raw(map);
    attr.__bindgen_anon_2.key = address(key);
    attr.__bindgen_anon_2.__bindgen_anon_1.value = address(value);
    attr.__bindgen_anon_2.flags = flags;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Takes `key` out.
///
/// # Safety
/// `key` is as long as the map's keys.
pub(super) unsafe fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = raw(map);
    attr.__bindgen_anon_2.key = address(key);
    bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr).map(drop)
}

/// Copies the key behind `key`, or the first one, to `next`; false at the end.
///
/// # Safety
/// Both are as long as the map's keys.
pub(super) unsafe fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = raw(map);
    attr.__bindgen_anon_2.key = key.map_or(0, address);
    attr.__bindgen_anon_2.__bindgen_anon_1.next_key = address_mut(next);
    match bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies up to `count` entries from position `from` on; returns how many came, with the kernel's word (`ENOENT`: these
/// were the last; `ENOSPC`: `count` is smaller than the next bucket).
///
/// # Safety
/// `from` and `to` are as long as the larger of 4 and the map's keys; `keys` and `values` hold `count` of each.
pub(super) unsafe fn map_lookup_batch(
    map: BorrowedFd<'_>,
    from: Option<&[u8]>,
    to: &mut [u8],
    keys: &mut [u8],
    values: &mut [u8],
    count: u32,
) -> (usize, io::Result<()>) {
    let mut attr = zeroed_attr();
    attr.batch.map_fd = raw(map);
    attr.batch.in_batch = from.map_or(0, address);
    attr.batch.out_batch = address_mut(to);
    attr.batch.keys = address_mut(keys);
    attr.batch.values = address_mut(values);
    attr.batch.count = count;
    let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr).map(drop);
    // SAFETY: the union was made from zeros and every bit pattern of this member is valid.
    let copied = unsafe { attr.batch.count };
    (copied as usize, result)
}

pub(super) fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_7.btf = address(btf);
    attr.__bindgen_anon_7.btf_size = len32(btf)?;
    bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// Loads a program; the verifier writes into `log` if there is one.
pub(super) fn prog_load(prog: &ProgLoad<'_>, log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_3.prog_type = prog.prog_type;
    attr.__bindgen_anon_3.expected_attach_type = prog.expected_attach_type;
    attr.__bindgen_anon_3.insn_cnt = len32(prog.insns)?;
    attr.__bindgen_anon_3.insns = address(prog.insns);
    attr.__bindgen_anon_3.license = prog.license.as_ptr().expose_provenance() as u64;
    attr.__bindgen_anon_3.prog_name = raw_name(prog.name);
    if let Some((btf, functions)) = prog.functions {
        attr.__bindgen_anon_3.prog_btf_fd = raw(btf);
        attr.__bindgen_anon_3.func_info_rec_size = mem::size_of::<[u32; 2]>() as u32;
        attr.__bindgen_anon_3.func_info = address(functions);
        attr.__bindgen_anon_3.func_info_cnt = len32(functions)?;
    }
    if let Some(log) = log {
        attr.__bindgen_anon_3.log_level = 1;
        attr.__bindgen_anon_3.log_size = len32(log)?;
        attr.__bindgen_anon_3.log_buf = address_mut(log);
    }
    let mut attempts = 1;
    loop {
        match bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempts < LOAD_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

/// Attaches a program to all sites in one link. `cookies`, if any, are as many as the offsets (checked by the caller,
/// and again here, since the kernel trusts the count).
pub(super) fn link_uprobe_multi(prog: BorrowedFd<'_>, multi: &UprobeMulti<'_>) -> io::Result<OwnedFd> {
    if !multi.cookies.is_empty() && multi.cookies.len() != multi.offsets.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut attr = zeroed_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(prog);
    attr.link_create.attach_type = multi.attach_type;
    attr.link_create.__bindgen_anon_3.uprobe_multi.path = multi.path.as_ptr().expose_provenance() as u64;
    attr.link_create.__bindgen_anon_3.uprobe_multi.offsets = address(multi.offsets);
    if !multi.cookies.is_empty() {
        attr.link_create.__bindgen_anon_3.uprobe_multi.cookies = address(multi.cookies);
    }
    attr.link_create.__bindgen_anon_3.uprobe_multi.cnt = len32(multi.offsets)?;
    attr.link_create.__bindgen_anon_3.uprobe_multi.flags = if multi.ret { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    attr.link_create.__bindgen_anon_3.uprobe_multi.pid = multi.pid;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Attaches a program to a perf event by a link (Linux 5.15).
pub(super) fn link_perf(prog: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(prog);
    attr.link_create.__bindgen_anon_2.target_fd = raw(event);
    attr.link_create.attach_type = BPF_PERF_EVENT;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Attaches a program to a perf event without a link: it stays until the event is closed.
pub(super) fn perf_set_bpf(event: BorrowedFd<'_>, prog: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open, and this request takes a descriptor by value.
    check(unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, prog.as_raw_fd()) }.into()).map(drop)
}

pub(super) fn perf_enable(event: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open, and this request takes a flag word by value.
    check(unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) }.into()).map(drop)
}

/// Opens a perf event, disabled.
pub(super) fn perf_open(event: &PerfEvent<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the structure holds only integers, for which zero is valid.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.size = mem::size_of::<perf_event_attr>() as u32;
    attr.type_ = event.event_type;
    attr.config = event.config;
    attr.set_disabled(1);
    if event.hz > 0 {
        attr.set_freq(1);
        attr.__bindgen_anon_1.sample_freq = event.hz;
    } else {
        attr.__bindgen_anon_1.sample_period = 1;
        attr.__bindgen_anon_2.wakeup_events = 1;
    }
    if let Some((path, offset)) = event.uprobe {
        attr.__bindgen_anon_3.uprobe_path = path.as_ptr().expose_provenance() as u64;
        attr.__bindgen_anon_4.probe_offset = offset;
    }
    let (no_group, flags): (RawFd, _) = (-1, PERF_FLAG_FD_CLOEXEC);
    // SAFETY: the attribute lives until the call returns and `size` is its size; the path in it ends in NUL and
    // outlives it.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, ptr::from_mut(&mut attr), event.pid, event.cpu, no_group, flags)
    };
    owned(fd)
}

/// Counts an event of a CPU, whatever runs there, from now on.
pub(super) fn perf_count(event_type: u32, config: u64, cpu: i32) -> io::Result<OwnedFd> {
    const TOTAL_TIME_ENABLED: u64 = 1;
    const TOTAL_TIME_RUNNING: u64 = 2;
    // SAFETY: the structure holds only integers, for which zero is valid.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.size = mem::size_of::<perf_event_attr>() as u32;
    attr.type_ = event_type;
    attr.config = config;
    attr.read_format = TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING;
    let (all, no_group, flags): (i32, RawFd, _) = (-1, -1, PERF_FLAG_FD_CLOEXEC);
    // SAFETY: the attribute lives until the call returns and `size` is its size; there is no address in it.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, ptr::from_mut(&mut attr), all, cpu, no_group, flags) };
    owned(fd)
}

/// Reads what a counting event has counted, and how long it was wanted and ran, in ns.
pub(super) fn perf_read(event: BorrowedFd<'_>) -> io::Result<[u64; 3]> {
    let mut words = [0u64; 3];
    // SAFETY: the words live until the call returns and their size is given; every bit pattern is valid for them.
    let read = unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), mem::size_of_val(&words)) };
    match usize::try_from(read) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(n) if n == mem::size_of_val(&words) => Ok(words),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Attaches a program to a tracepoint by its name.
pub(super) fn raw_tracepoint_open(prog: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.raw_tracepoint.name = name.as_ptr().expose_provenance() as u64;
    attr.raw_tracepoint.prog_fd = raw(prog);
    bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

pub(super) fn prog_info(prog: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: the structure holds only integers, for which zero is valid; zero addresses ask for no arrays.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    // SAFETY: every bit pattern is valid for it.
    unsafe { object_info(prog, &mut info) }?;
    Ok(info)
}

pub(super) fn map_id(map: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the structure holds only integers, for which zero is valid.
    let mut info: bpf_map_info = unsafe { mem::zeroed() };
    // SAFETY: every bit pattern is valid for it.
    unsafe { object_info(map, &mut info) }?;
    Ok(info.id)
}

pub(super) fn link_id(link: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the structure holds only integers and unions of them, for which zero is valid; zero addresses ask for no
    // arrays.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    // SAFETY: every bit pattern is valid for it.
    unsafe { object_info(link, &mut info) }?;
    Ok(info.id)
}

/// The lowest id above `after`.
pub(super) fn next_id(kind: ObjectKind, after: u32) -> io::Result<Option<u32>> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = after;
    let cmd = match kind {
        ObjectKind::Map => bpf_cmd::BPF_MAP_GET_NEXT_ID,
        ObjectKind::Program => bpf_cmd::BPF_PROG_GET_NEXT_ID,
        ObjectKind::Link => bpf_cmd::BPF_LINK_GET_NEXT_ID,
    };
    match bpf(cmd, &mut attr) {
        // SAFETY: the union was made from zeros and every bit pattern of this member is valid.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Measures run time and run count of all programs while the descriptor is open.
pub(super) fn enable_stats() -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.enable_stats.type_ = bpf_stats_type::BPF_STATS_RUN_TIME as u32;
    bpf_fd(bpf_cmd::BPF_ENABLE_STATS, &mut attr)
}

/// Opens a file system that nobody has mounted; the descriptor is its root and its only mount.
pub(super) fn detached_mount(fs_type: &CStr) -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name ends in NUL and lives until the call returns.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, fs_type.as_ptr(), FSOPEN_CLOEXEC) })?;
    let nothing = ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, nothing, nothing, 0) })?;
    // SAFETY: takes only integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

/// Opens a path below a folder for reading.
pub(super) fn open_at(folder: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path ends in NUL and lives until the call returns; the folder is open.
    owned(unsafe { libc::openat(folder.as_raw_fd(), path.as_ptr(), flags) }.into())
}

/// Fills `info` with what the kernel says about an object.
///
/// # Safety
/// `T` is the kernel's structure for this kind of object and valid for every bit pattern; addresses in it are zero.
unsafe fn object_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.info.bpf_fd = raw(object);
    attr.info.info_len = mem::size_of::<T>() as u32;
    attr.info.info = ptr::from_mut(info).expose_provenance() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

/// The call itself.
fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is initialised in full and its size given; the callers vouch for the addresses in it.
    check(unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_int, ptr::from_mut(attr), mem::size_of::<bpf_attr>()) })
}

/// The call itself, for commands that return a descriptor.
fn bpf_fd(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    owned(bpf(cmd, attr)?)
}

fn zeroed_attr() -> bpf_attr {
    // SAFETY: the union holds only integers, for which zero is valid.
    unsafe { mem::zeroed() }
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(check(result)?).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just handed out this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr().expose_provenance() as u64
}

fn address_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr().expose_provenance() as u64
}

fn len32<T>(slice: &[T]) -> io::Result<u32> {
    u32::try_from(slice.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))
}

fn raw_name(name: &str) -> [libc::c_char; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    for (to, from) in bytes.iter_mut().zip(kernel_name(name).bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    bytes
}
