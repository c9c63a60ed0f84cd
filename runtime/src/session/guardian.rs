//! A process that lets go what we have stopped, should we be killed.
//!
//! The watch's program stops a held process at each of its mappings, and we let it go on. If we are killed, our
//! descriptors, and with them the program, go in no order that one could rely on, and a process stopped last would stay
//! so. The guardian is forked off, keeps nothing open but the map of held processes and the end of a pipe, and waits for
//! the other end to close. Then it takes the entries out of the map, so that nothing is stopped any more, and wakes
//! whom it found there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::kernel::Map;

/// Processes that it can wake.
const MAX_PROCESSES: usize = 64;
/// How often it wakes them: a program that had read the map just before may still send its signal.
const ROUNDS: u32 = 5;
/// Microseconds between two rounds; the programs take some of one.
const ROUND_US: libc::c_uint = 10_000;
/// Where descriptors are out of the way of the standard ones.
const ASIDE: libc::c_int = 100;

/// The guardian of a map of held processes: 4-byte process numbers to 4-byte flags.
#[derive(Debug)]
pub(super) struct Guardian {
    pid: libc::pid_t,
    /// As long as it is open the guardian waits.
    alive: Option<OwnedFd>,
}

impl Guardian {
    /// Forks it off.
    ///
    /// # Errors
    /// The system allows no pipe or no further process.
    pub(super) fn new(held: &Map) -> io::Result<Guardian> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are new and nobody else's.
        let (ours, alive) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the child calls nothing but the system, with memory of its own stack, and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => guard(ours.as_raw_fd(), held.fd().as_raw_fd()),
            pid => Ok(Guardian { pid, alive: Some(alive) }),
        }
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

/// The child: waits for the end of the pipe and wakes whom it finds in the map. It takes no memory, since another thread
/// may have held the allocator's lock when we were forked.
fn guard(pipe: libc::c_int, held: libc::c_int) -> ! {
    // SAFETY: every call takes numbers or memory of this stack frame. Descriptors are closed that the copies of the
    // parent's owners never use again, since this function does not return.
    unsafe {
        // Signals for the group or the terminal are not for it, nor for one process are they: it ends with us.
        libc::setsid();
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        libc::prctl(libc::PR_SET_NAME, c"profinfer-guard".as_ptr());
        let (pipe, held) = (libc::fcntl(pipe, libc::F_DUPFD, ASIDE), libc::fcntl(held, libc::F_DUPFD, ASIDE));
        if pipe == -1 || held == -1 || libc::dup2(pipe, 0) == -1 || libc::dup2(held, 1) == -1 {
            libc::_exit(1);
        }
        libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0);
        let mut byte = 0u8;
        while libc::read(0, (&raw mut byte).cast(), 1) == -1 && *libc::__errno_location() == libc::EINTR {}
        let mut woken = [0; MAX_PROCESSES];
        let number = release(BorrowedFd::borrow_raw(1), &mut woken);
        for _ in 0..if number > 0 { ROUNDS } else { 0 } {
            for pid in &woken[..number] {
                libc::kill(*pid, libc::SIGCONT);
            }
            libc::usleep(ROUND_US);
        }
        libc::_exit(0)
    }
}

/// Empties the map; how many of its processes were held and are in `woken` now.
fn release(held: BorrowedFd<'_>, woken: &mut [libc::pid_t; MAX_PROCESSES]) -> usize {
    let mut number = 0;
    // SAFETY: the map has 4-byte keys and values.
    let _all = unsafe {
        Map::take_all(held, |pid: [u8; 4], flag: [u8; 4]| {
            if u32::from_ne_bytes(flag) != 0 && number < MAX_PROCESSES {
                woken[number] = i32::from_ne_bytes(pid);
                number += 1;
            }
        })
    };
    number
}
