//! The kernel's own counters of single threads: a witness that shares nothing with those of whole CPUs.

use std::fs;
use std::io::Read;
use std::os::fd::FromRawFd;

use crate::OrFail;

/// Events of the kernel (`PERF_COUNT_SW_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the kernel's own name")]
pub enum Event {
    TaskClock = 1,
    PageFaults = 2,
    ContextSwitches = 3,
    CpuMigrations = 4,
    PageFaultsMaj = 6,
}

/// An event of one thread, counted from now on.
#[derive(Debug)]
pub struct ThreadCounter(fs::File);

impl ThreadCounter {
    /// Counts an event of a thread.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn new(tid: u32, event: Event) -> ThreadCounter {
        const BYTES: u32 = 128;
        const SOFTWARE: u32 = 1;
        // `struct perf_event_attr`: type, size, config; the rest is zero.
        let mut attr = [0u64; BYTES as usize / 8];
        attr[0] = u64::from(SOFTWARE) | u64::from(BYTES) << 32;
        attr[1] = event as u64;
        let (any_cpu, no_group, close_on_exec) = (-1, -1, 8);
        // SAFETY: the attribute lives until the call returns and says its size; there is no address in it.
        let fd =
            unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), tid, any_cpu, no_group, close_on_exec) };
        assert!(fd >= 0, "{event:?} of thread {tid}: {}", std::io::Error::last_os_error());
        // SAFETY: the kernel has just handed out this descriptor and nobody else knows it.
        ThreadCounter(unsafe { fs::File::from_raw_fd(fd as i32) })
    }

    /// How often it happened, or how long it took.
    ///
    /// # Panics
    /// If it cannot be read.
    #[track_caller]
    pub fn read(&mut self) -> u64 {
        let mut word = [0; 8];
        self.0.read_exact(&mut word).or_fail("a counter of a thread");
        u64::from_ne_bytes(word)
    }
}

/// The threads that a process has now.
///
/// # Panics
/// If there is no such process.
#[track_caller]
pub fn threads(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).or_fail("its threads");
    tasks.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
