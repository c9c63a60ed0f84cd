//! What the tests ask the operating system: signals, liveness, waiting with a limit.

use std::fs;
use std::time::{Duration, Instant};

use crate::OrFail;

/// Whether we are root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Sends `signal` to process `pid`.
///
/// # Panics
/// If there is no such process.
#[track_caller]
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: kill has no memory preconditions; pid is of a child that has not been waited for, so it is not reused.
    let done = unsafe { libc::kill(pid as i32, signal) };
    assert_eq!(done, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}

/// The state letter of `/proc/PID/stat`, or none if there is no such process.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// Processes with `word` among the words of their command line.
///
/// # Panics
/// If there is no `/proc`.
#[track_caller]
pub fn processes_with(word: &str) -> Vec<u32> {
    let named = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|w| w == word.as_bytes())
    };
    let folders = fs::read_dir("/proc").or_fail("/proc").flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).filter(named).collect()
}

/// Waits until `done` answers true.
///
/// # Panics
/// When `limit` has passed, with `what`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Paths of the files that a process has mapped with execute permission, each once.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub fn mapped_code(pid: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).or_fail(format_args!("/proc/{pid}/maps"));
    let mut paths: Vec<String> = Vec::new();
    for line in maps.lines() {
        let mut fields = line.splitn(6, ' ');
        let code = fields.nth(1).is_some_and(|perms| perms.contains('x'));
        let path = fields.nth(3).unwrap_or_default().trim();
        if code && path.starts_with('/') && !paths.iter().any(|p| p == path) {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// How many bytes of a process's code differ from the file `path` that it is mapped from: a probe is a breakpoint
/// written over an instruction.
///
/// # Panics
/// If the process or the file cannot be read.
#[track_caller]
pub fn patched_bytes(pid: u32, path: &str) -> usize {
    let file = fs::read(path).or_fail(path);
    let memory = fs::File::open(format!("/proc/{pid}/mem")).or_fail(format_args!("memory of {pid}"));
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).or_fail(format_args!("/proc/{pid}/maps"));
    let mut patched = 0;
    for line in maps.lines().filter(|line| line.ends_with(path)) {
        let mut fields = line.split(' ');
        let range = fields.next().and_then(|f| f.split_once('-')).or_fail(line);
        let hex = |text: &str| u64::from_str_radix(text, 16).or_fail(line);
        let (start, end) = (hex(range.0), hex(range.1));
        let code = fields.next().is_some_and(|perms| perms.contains('x'));
        let offset = hex(fields.next().or_fail(line)) as usize;
        if code {
            let mut live = vec![0; (end - start) as usize];
            std::os::unix::fs::FileExt::read_exact_at(&memory, &mut live, start).or_fail(line);
            // The last page of a mapping goes beyond the end of its file.
            patched += live.iter().zip(&file[offset..]).filter(|(live, filed)| live != filed).count();
        }
    }
    patched
}

/// The file among a process's mapped code that holds ggml's CPU operators.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn engine_library(pid: u32) -> String {
    let mut paths = mapped_code(pid).into_iter();
    paths.find(|p| p.contains("libggml-cpu") || p.contains("/xllamacpp.")).or_fail(format_args!("engine of {pid}"))
}

/// Takes a process's pages of a file out of its memory, so that the next touch of each is a fault.
///
/// # Panics
/// If they cannot be taken, or if the file is not mapped there.
#[track_caller]
pub fn page_out(pid: u32, ending: &str) {
    const MADV_PAGEOUT: i32 = 21;
    // SAFETY: the call takes numbers only.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(process >= 0, "pidfd_open");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).or_fail("maps");
    let mut taken = 0;
    for line in maps.lines().filter(|line| line.ends_with(ending)) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).or_fail("a range");
        let at = |text| u64::from_str_radix(text, 16).or_fail("an address");
        let range = [at(start), at(end) - at(start)];
        // SAFETY: the vector of one range outlives the call; the memory it names is another process's, and stays as it is.
        let done = unsafe { libc::syscall(libc::SYS_process_madvise, process, range.as_ptr(), 1, MADV_PAGEOUT, 0) };
        assert!(done > 0, "process_madvise: {}", std::io::Error::last_os_error());
        taken += range[1];
    }
    // SAFETY: the descriptor is ours, and used no more.
    unsafe { libc::close(process as i32) };
    assert!(taken > 50 << 20, "the model is not mapped: {taken} bytes of it are");
}

/// Bytes that the kernel has read from disks for a process.
///
/// # Panics
/// If the kernel does not say.
#[track_caller]
pub fn read_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).or_fail("io");
    text.lines().find_map(|l| l.strip_prefix("read_bytes: ")).and_then(|n| n.parse().ok()).or_fail("read_bytes")
}
