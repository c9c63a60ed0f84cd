//! One running process: that it is one, which one it is, and whether it still is.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::TargetError;
use super::maps::{self, Mapping, proc_error};

/// `PF_KTHREAD` of the kernel's task flags.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A process, pinned by a descriptor so that a reused number is never taken for it.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    namespace_pid: u32,
    comm: String,
    exe: Option<PathBuf>,
    start_time: u64,
    pidfd: OwnedFd,
}

impl Process {
    /// Opens the process with this number, as seen from here.
    ///
    /// # Errors
    /// There is no such process, or it is a thread, a kernel thread or a zombie, or it may not be read.
    pub fn open(pid: u32) -> Result<Self, TargetError> {
        let status_path = PathBuf::from(format!("/proc/{pid}/status"));
        let status = fs::read(&status_path).map_err(|source| proc_error(pid, status_path.clone(), source))?;
        let status = String::from_utf8_lossy(&status);
        let number = |name: &str| -> Result<u32, TargetError> {
            field(&status, name)
                .and_then(|value| value.split_ascii_whitespace().next_back())
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| TargetError::ProcFormat { path: status_path.clone(), line: name.to_owned() })
        };
        let tgid = number("Tgid")?;
        if tgid != pid {
            return Err(TargetError::IsThread { pid, tgid });
        }
        // From here on the number cannot be given to another process unnoticed: the descriptor tells.
        let pidfd = pidfd_open(pid)?;
        let stat = Stat::read(pid)?;
        let comm = stat.comm.clone();
        if matches!(stat.state, b'Z' | b'X') {
            return Err(TargetError::Zombie { pid, comm });
        }
        if stat.flags & KERNEL_THREAD != 0 {
            return Err(TargetError::KernelThread { pid, comm });
        }
        let exe_path = PathBuf::from(format!("/proc/{pid}/exe"));
        let exe = match fs::read_link(&exe_path) {
            Ok(exe) => Some(exe),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(TargetError::NotPermitted { pid, path: exe_path });
            }
            Err(_) => None,
        };
        let namespace_pid = number("NSpid").unwrap_or(pid);
        let process = Self { pid, namespace_pid, comm, exe, start_time: stat.start_time, pidfd };
        if process.is_alive() { Ok(process) } else { Err(TargetError::NoSuchProcess { pid }) }
    }

    /// Its number as seen from here.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its number as it sees itself; differs from [`pid`](Self::pid) in a container.
    #[must_use]
    pub fn namespace_pid(&self) -> u32 {
        self.namespace_pid
    }

    /// Its short name, at most 15 bytes, as it was when opened or last asked for anew.
    #[must_use]
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// It may run another program since, by whose name it is called then. One that has ended keeps its name.
    pub fn rename(&mut self) {
        if let Ok(stat) = Stat::read(self.pid) {
            self.comm = stat.comm;
        }
    }

    /// The program it runs, as it sees it, with ` (deleted)` behind it if it was replaced; `None` where that is unknown.
    #[must_use]
    pub fn exe(&self) -> Option<&Path> {
        self.exe.as_deref()
    }

    /// The program that it runs now, which another `exec` may have changed; as its mappings name it.
    #[must_use]
    pub fn program(&self) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        Some(path.to_str().and_then(|p| p.strip_suffix(" (deleted)")).map_or_else(|| path.clone(), PathBuf::from))
    }

    /// When it started, in clock ticks (1/100 s on Linux) since boot. With the number this tells processes apart.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Its root directory as seen from here.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid))
    }

    /// What it has mapped right now.
    ///
    /// # Errors
    /// As [`maps::read`]; [`TargetError::NoSuchProcess`] also when the number belongs to another process by now.
    pub fn mappings(&self) -> Result<Vec<Mapping>, TargetError> {
        let mappings = maps::read(self.pid)?;
        if self.is_alive() { Ok(mappings) } else { Err(TargetError::NoSuchProcess { pid: self.pid }) }
    }

    /// A descriptor that becomes readable when the process ends.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// It has not ended. Never blocks, and never mistakes another process for it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd` of ours; a time-out of 0 returns at once.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready == 0
    }

    /// It stands still because of a signal (SIGSTOP, Ctrl-Z) or a tracer.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_alive() && Stat::read(self.pid).is_ok_and(|stat| matches!(stat.state, b'T' | b't'))
    }
}

/// `python3 (pid 4711)`, in a container `python3 (pid 4711, 7 in its container)`.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace_pid {
            own if own == self.pid => write!(f, "{} (pid {})", self.comm, self.pid),
            own => write!(f, "{} (pid {}, {own} in its container)", self.comm, self.pid),
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// What is used of `/proc/PID/stat`.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) state: u8,
    pub(super) flags: u64,
    pub(super) start_time: u64,
}

impl Stat {
    pub(super) fn read(pid: u32) -> Result<Self, TargetError> {
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let text = fs::read(&path).map_err(|source| proc_error(pid, path.clone(), source))?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text).ok_or_else(|| TargetError::ProcFormat { path, line: text.trim_end().to_owned() })
    }

    /// `PID (NAME) STATE …`, where the name may itself hold blanks and brackets.
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let (_, comm) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        Some(Self {
            comm: comm.to_owned(),
            state: *fields.first()?.as_bytes().first()?,
            // Fields 9 and 22 of proc_pid_stat(5), which counts from 1 and from the number.
            flags: fields.get(6)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The value behind `name:` in a `status` file.
pub(super) fn field<'text>(status: &'text str, name: &str) -> Option<&'text str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn pidfd_open(pid: u32) -> Result<OwnedFd, TargetError> {
    // SAFETY: the call takes two integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: the kernel just made this descriptor for us and nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Err(TargetError::NoSuchProcess { pid }),
            source => Err(TargetError::PidFd { pid, source }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn this_process() {
        let process = Process::open(std::process::id()).unwrap();
        assert_eq!(process.exe(), Some(std::env::current_exe().unwrap().as_path()));
        assert!(process.is_alive() && !process.is_stopped());
        assert!(process.start_time() > 0);
        assert!(process.root().join("proc").is_dir());
        assert!(!process.mappings().unwrap().is_empty());
    }

    #[test]
    fn a_thread_names_its_process() {
        let (to_test, from_thread) = mpsc::channel();
        let (release, wait) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            // SAFETY: takes nothing and cannot fail.
            to_test.send(unsafe { libc::gettid() }).unwrap();
            let _ = wait.recv();
        });
        let tid = u32::try_from(from_thread.recv().unwrap()).unwrap();
        let error = Process::open(tid).unwrap_err();
        drop(release);
        thread.join().unwrap();
        assert!(matches!(error, TargetError::IsThread { pid, tgid } if pid == tid && tgid == std::process::id()));
    }

    #[test]
    fn the_end_is_seen_and_a_zombie_told() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        assert_eq!(process.namespace_pid(), process.pid());
        assert!(process.is_alive());
        child.kill().unwrap();
        let mut poll = libc::pollfd { fd: process.pidfd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd` of ours.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 5000) }, 1, "the descriptor tells the end");
        assert!(!process.is_alive());
        assert!(matches!(Process::open(child.id()), Err(TargetError::Zombie { .. })));
        child.wait().unwrap();
        assert!(matches!(Process::open(child.id()), Err(TargetError::NoSuchProcess { .. })));
        assert!(matches!(process.mappings(), Err(TargetError::NoSuchProcess { .. })));
    }

    #[test]
    fn odd_names_in_stat() {
        let stat = Stat::parse("7 (a) b (c) T 1 7 7 0 -1 2097152 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0").unwrap();
        assert_eq!((stat.comm.as_str(), stat.state, stat.flags, stat.start_time), ("a) b (c", b'T', 0x20_0000, 4711));
    }

    #[test]
    fn a_kernel_thread() {
        // Number 2 is the kernel's thread starter wherever kernel threads can be seen at all (not in a container).
        if Stat::read(2).is_ok_and(|stat| stat.comm == "kthreadd") {
            assert!(matches!(Process::open(2), Err(TargetError::KernelThread { .. })));
        } else {
            eprintln!("not tested: no kernel thread can be seen here (a container)");
        }
    }
}
