//! A process that lets go what we have stopped, should we be killed.
//!
//! The watch's program stops a held process at each of its mappings, and we let it go on. If we are killed, our
//! descriptors, and with them the program, go in no order that one could rely on, and a process stopped last would stay
//! so. The guardian is forked off, keeps nothing open but the map of held processes and the end of a pipe, and waits for
//! the other end to close. Then it takes the entries out of the map, so that nothing is stopped any more, and wakes
//! whom it found there. The program looks at the map again after each stop, so one that was under way is taken back.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use profinfer_ebpf::watch::flag::HOLD;

use crate::kernel::Map;

/// Processes that it can wake: as many as are watched at most.
const MAX_PROCESSES: usize = 1024;
/// Where descriptors are out of the way of the standard ones.
const ASIDE: libc::c_int = 100;
/// Its name and its command line. Ours would have it killed along with us by `pkill -9 profinfer`.
const NAME: &std::ffi::CStr = c"pi_guardian";
/// Where `/proc/PID/stat` has the address of the command line, counted behind the name: field 48 of proc_pid_stat(5),
/// which counts from 1. The next one is that of its end.
const COMMAND_LINE: usize = 48 - 3;

/// The guardian of a map of held processes: 4-byte process numbers to 4-byte flags.
#[derive(Debug)]
pub(super) struct Guardian {
    pid: libc::pid_t,
    /// As long as it is open the guardian waits.
    alive: Option<PipeWriter>,
}

/// What the guardian uses, made before the fork.
struct Duty {
    /// Ends with us.
    pipe: RawFd,
    /// The map.
    held: RawFd,
    /// From where to where in memory our command line lies.
    command_line: Option<(usize, usize)>,
}

impl Guardian {
    /// Forks it off; when this returns it can no longer be taken for us.
    ///
    /// # Errors
    /// The system allows no pipe or no further process.
    pub(super) fn new(held: &Map) -> io::Result<Guardian> {
        let (ours, alive) = io::pipe()?;
        let (ready, closed_when_ready) = io::pipe()?;
        let duty = Duty { pipe: ours.as_raw_fd(), held: held.fd().as_raw_fd(), command_line: command_line() };
        let pid = fork(&duty)?;
        drop(closed_when_ready);
        wait_for_end(ready);
        Ok(Guardian { pid, alive: Some(alive) })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.alive.take());
        let mut status = 0;
        // SAFETY: the status is ours and outlives the call.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// Forks with all signals blocked, so that our handlers never run in the child, nor Ctrl-C ends it.
fn fork(duty: &Duty) -> io::Result<libc::pid_t> {
    // SAFETY: a set of signals is plain data, for which zeros are valid.
    let (mut all, mut before) = unsafe { std::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>() };
    // SAFETY: the sets are ours and outlive the calls.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    // SAFETY: the child calls nothing but the system, with memory of its own stack, and never returns.
    let pid = match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => duty.fulfil(),
        pid => Ok(pid),
    };
    // SAFETY: the set is ours and was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    pid
}

impl Duty {
    /// The child: waits for the end of the pipe and wakes whom it finds in the map. It takes no memory, since another
    /// thread may have held the allocator's lock when we were forked.
    fn fulfil(&self) -> ! {
        // SAFETY: every call takes numbers or memory of this stack frame. Descriptors are closed that the copies of the
        // parent's owners never use again, since this function does not return.
        unsafe {
            // A signal for our group is not for it. It stays in our session: that may send a SIGCONT to any user in it.
            libc::setpgid(0, 0);
            self.take_name();
            let pipe = libc::fcntl(self.pipe, libc::F_DUPFD, ASIDE);
            let held = libc::fcntl(self.held, libc::F_DUPFD, ASIDE);
            if pipe == -1 || held == -1 || libc::dup2(pipe, 0) == -1 || libc::dup2(held, 1) == -1 {
                libc::_exit(1);
            }
            libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0);
            let mut byte = 0u8;
            while libc::read(0, (&raw mut byte).cast(), 1) == -1 && *libc::__errno_location() == libc::EINTR {}
            let mut woken = [0; MAX_PROCESSES];
            let number = release(BorrowedFd::borrow_raw(1), &mut woken);
            for pid in &woken[..number] {
                libc::kill(*pid, libc::SIGCONT);
            }
            libc::_exit(0)
        }
    }

    fn take_name(&self) {
        // SAFETY: the name ends with NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
        if let Some((start, end)) = self.command_line {
            let at = std::ptr::with_exposed_provenance_mut::<u8>(start);
            let length = NAME.count_bytes().min(end - start - 1);
            // SAFETY: the kernel put our words there, above the stack, where memory can be written; nothing in this
            // process, whose copy it is, reads them. The last byte stays NUL: else what follows would be shown too.
            unsafe {
                at.write_bytes(0, end - start);
                at.copy_from_nonoverlapping(NAME.as_ptr().cast(), length);
            }
        }
    }
}

fn command_line() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(COMMAND_LINE);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (0 < start && start < end).then_some((start, end))
}

/// Waits until nobody has the other end any more.
fn wait_for_end(mut pipe: PipeReader) {
    // An interrupted read is taken up again; any other error would be as good as the end.
    let _end = pipe.read_to_end(&mut Vec::new());
}

/// Empties the map; how many of its processes were held and are in `woken` now.
fn release(held: BorrowedFd<'_>, woken: &mut [libc::pid_t; MAX_PROCESSES]) -> usize {
    let mut number = 0;
    // First that somebody watches: who is being put into the map sees it and goes on, or is in it by now.
    // SAFETY: the map has 4-byte keys.
    let _first = unsafe { Map::remove(held, &0u32.to_ne_bytes()) };
    // SAFETY: the map has 4-byte keys and values.
    let _all = unsafe {
        Map::take_all(held, |pid: [u8; 4], flag: [u8; 4]| {
            if u32::from_ne_bytes(flag) & HOLD != 0 && number < MAX_PROCESSES {
                woken[number] = i32::from_ne_bytes(pid);
                number += 1;
            }
        })
    };
    number
}
