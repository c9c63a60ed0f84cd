//! Small trials of single features: each makes, loads or attaches the real thing and lets go of it again.

use std::{
    fs,
    hint::black_box,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process, thread,
};

use super::{
    error::KernelError,
    kfunc,
    link::Link,
    map::{Map, MapKind, MapSpec, Update},
    mapped::MappedArray,
    program::{AttachType, LICENSE, Program, ProgramSpec, ProgramType},
    tracefs::{Tracefs, TracefsSource},
    words,
};

/// The cookie that trial links give their site.
pub(super) const COOKIE: u64 = 0x70_72_6f_66;
/// Whole pages on every architecture.
const RING_BYTES: u32 = 64 << 10;
/// Keeps the site's cookie in the second word of the slot.
const KEEP_COOKIE: [u64; 2] = [words::call(words::ATTACH_COOKIE), words::store64(7, 8, 0)];
const MULTI: u64 = 0x71;
const PERF: u64 = 0x72;
const PERF_COOKIE: u64 = 0x73;
const SESSION: u64 = 0x74;
/// Kernel functions of session programs.
const SESSION_KFUNCS: [&str; 2] = ["bpf_session_is_return", "bpf_session_cookie"];

/// What a multi link on this very process counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct MultiSeen {
    /// Hits on the thread that attached, without a pid.
    pub(super) own: u64,
    /// Hits on another thread, with this process's pid.
    pub(super) thread: u64,
    /// What the program read as its site's cookie.
    pub(super) cookie: u64,
}

/// Attaches to [`probed`], for all processes and then for this one only; calls it on this thread, then on another.
pub(super) fn multi() -> Result<MultiSeen, KernelError> {
    // This thread may itself not be the process's first one, the only one that old kernels would match: so whether
    // links work at all is tried without a pid.
    let counts = Map::create(&MapSpec::array("probe", 16, 1))?;
    let program = counting(&counts, AttachType::UprobeMulti, &KEEP_COOKIE)?;
    let (path, offset) = own_site(probed::<MULTI> as *const () as u64)?;
    let all = Link::uprobe_multi(&program, &path, &[offset], &[COOKIE], None, false)?;
    let before = slots(&counts)?[0];
    black_box(probed::<MULTI>(1));
    let [after, cookie] = slots(&counts)?;
    drop(all);
    let mine = Link::uprobe_multi(&program, &path, &[offset], &[COOKIE], Some(process::id()), false)?;
    let alone = slots(&counts)?[0];
    let joined = thread::spawn(|| black_box(probed::<MULTI>(2))).join();
    let thread = if joined.is_ok() { slots(&counts)?[0] - alone } else { 0 };
    drop(mine);
    Ok(MultiSeen { own: after - before, thread, cookie })
}

/// Attaches to [`probed`] by a perf event and calls it on another thread; returns the hits.
pub(super) fn perf() -> Result<u64, KernelError> {
    let counts = Map::create(&MapSpec::array("probe", 16, 1))?;
    let program = counting(&counts, AttachType::Perf, &[])?;
    let (path, offset) = own_site(probed::<PERF> as *const () as u64)?;
    let _link = Link::uprobe_multi(&program, &path, &[offset], &[], Some(process::id()), false)?;
    // A thread that panicked made no hit, which is what is counted.
    let _ = thread::spawn(|| black_box(probed::<PERF>(3))).join();
    Ok(slots(&counts)?[0])
}

/// Attaches to [`probed`] by a perf event with a cookie; returns what the program read.
pub(super) fn perf_cookie() -> Result<u64, KernelError> {
    let counts = Map::create(&MapSpec::array("probe", 16, 1))?;
    let program = counting(&counts, AttachType::Perf, &KEEP_COOKIE)?;
    let (path, offset) = own_site(probed::<PERF_COOKIE> as *const () as u64)?;
    let _link = Link::uprobe_multi(&program, &path, &[offset], &[COOKIE], Some(process::id()), false)?;
    black_box(probed::<PERF_COOKIE>(5));
    Ok(slots(&counts)?[1])
}

/// Attaches a session program that counts entries and returns apart.
pub(super) fn session() -> Result<[u64; 2], KernelError> {
    let [is_return, cookie] = kfunc::ids(SESSION_KFUNCS)?;
    let (Some(is_return), Some(_)) = (is_return, cookie) else { return Ok([0, 0]) };
    let counts = Map::create(&MapSpec::array("probe", 16, 1))?;
    let body = [
        // The first word counted this run already; returns are counted again in the second.
        words::call_kfunc(is_return),
        words::jump_eq(0, 0, 2),
        words::mov_imm(1, 1),
        words::add64(7, 8, 1),
    ];
    let program = counting(&counts, AttachType::UprobeSession, &body)?;
    let (path, offset) = own_site(probed::<SESSION> as *const () as u64)?;
    let link = Link::uprobe_multi(&program, &path, &[offset], &[], Some(process::id()), false)?;
    // Every kernel with sessions takes a pid for the whole process, so it does not matter which thread this is.
    black_box(probed::<SESSION>(4));
    drop(link);
    let [runs, returns] = slots(&counts)?;
    Ok([runs - returns, returns])
}

pub(super) fn task_storage() -> Result<(), KernelError> {
    let storage = Map::create(&MapSpec::task_storage("probe", 32))?;
    let [map, map_end] = words::map_fd(1, storage.fd().as_raw_fd());
    let insns = [
        words::call(words::CURRENT_TASK_BTF),
        words::mov(2, 0),
        map,
        map_end,
        words::mov_imm(3, 0),
        words::mov_imm(4, 1),
        words::call(words::TASK_STORAGE_GET),
        words::mov_imm(0, 0),
        words::exit(),
    ];
    load(AttachType::Perf, &insns).map(drop)
}

pub(super) fn ringbuf() -> Result<(), KernelError> {
    Map::create(&MapSpec::ring_buffer("probe", RING_BYTES)).map(drop)
}

pub(super) fn batch() -> Result<Option<usize>, KernelError> {
    let hash = Map::create(&MapSpec::hash("probe", 8, 8, 16))?;
    hash.update(&[1; 8], &[2; 8], Update::Any)?;
    hash.by_batch(&mut |_, _| {})
}

pub(super) fn shared_memory() -> Result<u64, KernelError> {
    let map = Map::create(&MapSpec::shared_words("probe", 4))?;
    let memory = MappedArray::new(&map)?;
    map.update(&2u32.to_ne_bytes(), &7u64.to_ne_bytes(), Update::Any)?;
    Ok(memory.load_u64(2))
}

pub(super) fn callback() -> Result<(), KernelError> {
    let [address, address_end] = words::function_address(2, 6);
    let insns = [
        words::mov_imm(1, 10),
        address,
        address_end,
        words::mov_imm(3, 0),
        words::mov_imm(4, 0),
        words::call(words::LOOP),
        words::mov_imm(0, 0),
        words::exit(),
        words::mov_imm(0, 0),
        words::exit(),
    ];
    load(AttachType::Perf, &insns).map(drop)
}

pub(super) fn tracefs() -> Result<TracefsSource, KernelError> {
    let tracefs = Tracefs::open()?;
    tracefs.tracepoint_id("sched", "sched_switch")?;
    Ok(tracefs.source())
}

/// A program that adds one to the first word of slot 0, then does `body` with the context in r1 and r6, and the slot in
/// r7.
fn counting(counts: &Map, attach_type: AttachType, body: &[u64]) -> Result<Program, KernelError> {
    debug_assert_eq!(counts.spec().kind, MapKind::Array);
    let [map, map_end] = words::map_fd(1, counts.fd().as_raw_fd());
    let mut insns = vec![
        words::mov(6, 1),
        words::store32_imm(10, -4, 0),
        words::mov(2, 10),
        words::add_imm(2, -4),
        map,
        map_end,
        words::call(words::MAP_LOOKUP),
        words::jump_eq(0, 0, 4 + body.len() as i16),
        words::mov_imm(1, 1),
        words::add64(0, 0, 1),
        words::mov(7, 0),
        words::mov(1, 6),
    ];
    insns.extend(body);
    insns.extend([words::mov_imm(0, 0), words::exit()]);
    load(attach_type, &insns)
}

fn load(expected_attach_type: AttachType, insns: &[u64]) -> Result<Program, KernelError> {
    let (name, prog_type) = ("probe", ProgramType::Kprobe);
    Program::load(&ProgramSpec { name, prog_type, expected_attach_type, insns, license: LICENSE })
}

/// The two words of slot 0.
fn slots(counts: &Map) -> Result<[u64; 2], KernelError> {
    let value = counts.lookup(&0u32.to_ne_bytes())?.unwrap_or_default();
    let word = |at: usize| value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes);
    Ok([word(0), word(8)])
}

/// A function that trial links sit on; every trial has one of its own, so that they can run side by side.
#[inline(never)]
extern "C" fn probed<const TRIAL: u64>(value: u64) -> u64 {
    black_box(value ^ TRIAL)
}

/// The file that holds the code at an address of this program and the offset in it, by where it is mapped.
pub(super) fn own_site(address: u64) -> Result<(PathBuf, u64), KernelError> {
    let path = Path::new("/proc/self/maps");
    let error = |source| KernelError::File { path: path.into(), source };
    let maps = fs::read_to_string(path).map_err(error)?;
    let found = maps.lines().find_map(|line| site_in(line, address));
    let (file, inode, offset) = found.ok_or_else(|| error(io::ErrorKind::NotFound.into()))?;
    // The link to the executable leads to it even when its name is gone.
    let own = Path::new("/proc/self/exe");
    let is_own = fs::metadata(own).is_ok_and(|metadata| metadata.ino() == inode);
    Ok((if is_own { own.into() } else { file }, offset))
}

/// The file, its inode and the offset in it, if a line of `maps` holds the address.
fn site_in(line: &str, address: u64) -> Option<(PathBuf, u64, u64)> {
    // start-end permissions offset device inode path
    let mut fields = line.split_whitespace();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end, offset) = (hex(start)?, hex(end)?, hex(fields.nth(1)?)?);
    let inode = fields.nth(1)?.parse().ok()?;
    (start..end).contains(&address).then(|| (fields.collect::<PathBuf>(), inode, address - start + offset))
}
