//! Starting a program so that it stands still before its first instruction until everything is attached.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::TargetError;
use super::caller::Caller;
use super::process::Stat;

/// How often a process is looked at while waiting for it to stop.
const POLL: Duration = Duration::from_millis(1);

/// How to start a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaunchOptions {
    /// What the command writes to its standard output goes to our standard error.
    pub stdout_to_stderr: bool,
    /// Keep root's rights under `sudo`, rather than giving the command those of the user who called it.
    pub keep_root: bool,
}

/// A command that was started and stands still right after `exec`: its program and the loader are mapped, and none of
/// its instructions has run. If it is dropped before [`release`](Self::release), or we end in whatever way, it is killed.
///
/// A program that replaces itself by another (`env`, a shell script with `exec`) has only itself mapped at this point.
#[derive(Debug)]
pub struct Held {
    command: String,
    child: Child,
    holder: Option<Holder>,
}

/// The thread that traces the child; only the thread that started it can.
#[derive(Debug)]
struct Holder {
    release: Sender<Sender<io::Result<()>>>,
    thread: JoinHandle<()>,
}

/// Why the child could not be held.
#[derive(Debug)]
enum StartError {
    Spawn(io::Error),
    Ended(ExitStatus),
    Trace(u32, io::Error),
}

impl Held {
    /// Starts the command, looked up in `PATH`, in our process group (so that Ctrl-C reaches it too), with our standard
    /// input and, under `sudo`, with the rights, groups and home of the user who called it.
    ///
    /// # Errors
    /// [`TargetError::NoCommand`], [`TargetError::CommandNotFound`], [`TargetError::CommandNotExecutable`],
    /// [`TargetError::EndedEarly`], [`TargetError::Hold`] where tracing is not allowed.
    pub fn spawn(cmd: &[OsString], options: LaunchOptions) -> Result<Self, TargetError> {
        let (program, args) = cmd.split_first().ok_or(TargetError::NoCommand)?;
        let name = program.to_string_lossy().into_owned();
        let cannot_start = |source: io::Error| start_error(program, source);
        let mut command = Command::new(program);
        command.args(args);
        if options.stdout_to_stderr {
            let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(cannot_start)?;
            command.stdout(Stdio::from(stderr));
        }
        if let Some(caller) = Caller::from_sudo().filter(|_| !options.keep_root) {
            caller.apply_to(&mut command);
        }
        let us = std::process::id();
        // SAFETY: between fork and exec only two system calls are made, and no memory is taken.
        unsafe { command.pre_exec(move || trace_me(us)) };

        let (started, start) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("holder".to_owned())
            .spawn(move || hold(command, &started, &released))
            .map_err(cannot_start)?;
        match start.recv() {
            Ok(Ok(child)) => Ok(Self { command: name, child, holder: Some(Holder { release, thread }) }),
            Ok(Err(StartError::Spawn(source))) => Err(cannot_start(source)),
            Ok(Err(StartError::Ended(status))) => Err(TargetError::EndedEarly { command: name, status }),
            Ok(Err(StartError::Trace(pid, source))) => Err(TargetError::Hold { action: "hold", pid, source }),
            Err(_) => Err(cannot_start(io::Error::other("the thread that starts it ended"))),
        }
    }

    /// The process number of the command.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The command as it was given, without its arguments.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// It still stands before its first instruction.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Lets it run. Does nothing if it runs already.
    ///
    /// # Errors
    /// [`TargetError::Hold`] if it has been killed meanwhile.
    pub fn release(&mut self) -> Result<(), TargetError> {
        let Some(Holder { release, .. }) = self.holder.take() else { return Ok(()) };
        let pid = self.pid();
        let (reply, replied) = mpsc::channel();
        let failed = || io::Error::other("the thread that holds it failed");
        let sent = release.send(reply).map_err(|_| failed());
        let detached = replied.recv().unwrap_or_else(|_| Err(failed()));
        sent.and(detached).map_err(|source| TargetError::Hold { action: "release", pid, source })
    }

    /// Waits until it has ended. Blocks; to wait for other things too, watch [`Process::pidfd`](super::Process::pidfd)
    /// and then use [`try_wait`](Self::try_wait).
    ///
    /// # Errors
    /// [`TargetError::Hold`], also if it has not been released, since it would never end.
    pub fn wait(&mut self) -> Result<ExitStatus, TargetError> {
        let pid = self.pid();
        let waited = match &self.holder {
            Some(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it has not been released")),
            None => self.child.wait(),
        };
        waited.map_err(|source| TargetError::Hold { action: "wait for", pid, source })
    }

    /// How it has ended, or `None` while it runs or is held.
    ///
    /// # Errors
    /// [`TargetError::Hold`] if the system cannot tell.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, TargetError> {
        if self.is_held() {
            return Ok(None); // while it is traced, its stops would be taken for its end
        }
        let pid = self.pid();
        self.child.try_wait().map_err(|source| TargetError::Hold { action: "wait for", pid, source })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Holder { release, thread }) = self.holder.take() {
            // Nothing can be done about an error here, and each means that it is gone already.
            let _ = self.child.kill();
            drop(release);
            let _ = thread.join();
            let _ = self.child.wait();
        }
    }
}

/// Lets a process that a SIGSTOP has stopped run on.
///
/// # Errors
/// [`TargetError::NoSuchProcess`], [`TargetError::Hold`] if it is not ours to resume.
pub fn resume(pid: u32) -> Result<(), TargetError> {
    // SAFETY: the call takes two integers.
    let result = unsafe { libc::kill(raw(pid), libc::SIGCONT) };
    match result {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Err(TargetError::NoSuchProcess { pid }),
            source => Err(TargetError::Hold { action: "resume", pid, source }),
        },
    }
}

/// Waits until a signal has stopped the process, as SIGSTOP does: `false` if that took longer or it is gone.
#[must_use]
pub fn wait_stopped(pid: u32, timeout: Duration) -> bool {
    let start = Instant::now();
    loop {
        match Stat::read(pid) {
            Ok(stat) if stat.state == b'T' => return true,
            Ok(stat) if !matches!(stat.state, b'Z' | b'X') && start.elapsed() < timeout => thread::sleep(POLL),
            _ => return false,
        }
    }
}

/// Starts the command, says so when it stands still, and holds it until told.
fn hold(
    mut command: Command,
    started: &Sender<Result<Child, StartError>>,
    released: &Receiver<Sender<io::Result<()>>>,
) {
    let start = command.spawn().map_err(StartError::Spawn).and_then(|mut child| match stop_after_exec(child.id()) {
        Ok(()) => Ok(child),
        Err(error) => {
            if matches!(error, StartError::Trace(..)) {
                let _ = child.kill();
                let _ = child.wait();
            }
            Err(error)
        }
    });
    let Ok(pid) = start.as_ref().map(Child::id) else {
        let _ = started.send(start);
        return;
    };
    // If nobody listens any more, our end kills the child (EXITKILL).
    if let Some(Ok(reply)) = started.send(start).is_ok().then(|| released.recv()) {
        let _ = reply.send(ptrace(libc::PTRACE_DETACH, pid, 0));
    }
}

/// Waits for the stop that `exec` causes in a traced process, and has it killed should we end before it is released.
fn stop_after_exec(pid: u32) -> Result<(), StartError> {
    let fail = |source| StartError::Trace(pid, source);
    loop {
        let mut status = 0;
        // SAFETY: the status is ours and outlives the call.
        let waited = unsafe { libc::waitpid(raw(pid), &raw mut status, 0) };
        if waited < 0 {
            match io::Error::last_os_error() {
                error if error.kind() == ErrorKind::Interrupted => continue,
                error => return Err(fail(error)),
            }
        }
        if !libc::WIFSTOPPED(status) {
            return Err(StartError::Ended(ExitStatus::from_raw(status)));
        }
        match libc::WSTOPSIG(status) {
            libc::SIGTRAP => return ptrace(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_EXITKILL).map_err(fail),
            // A signal that came before `exec`: it shall have it.
            signal => ptrace(libc::PTRACE_CONT, pid, signal).map_err(fail)?,
        }
    }
}

/// Has `parent` trace us, if that is still our parent.
fn trace_me(parent: u32) -> io::Result<()> {
    ptrace(libc::PTRACE_TRACEME, 0, 0)?;
    // If it was killed before, whoever we fell to traces us now, and would let us stand at `exec` for ever.
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::getppid() } == raw(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
}

/// A request that takes a number and no memory.
fn ptrace(request: libc::c_uint, pid: u32, data: libc::c_int) -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: none of the requests used here (TRACEME, CONT, SETOPTIONS, DETACH) reads or writes our memory; the last
    // argument is a number, as wide as a pointer.
    let result = unsafe { libc::ptrace(request, raw(pid), nothing, libc::c_long::from(data)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number as system calls take it. Linux has none above 2²².
fn raw(pid: u32) -> libc::pid_t {
    pid.cast_signed()
}

fn start_error(program: &OsStr, source: io::Error) -> TargetError {
    let command = program.to_string_lossy().into_owned();
    // A file that is there but cannot be "found" lacks its interpreter or loader.
    let is_missing = source.kind() == ErrorKind::NotFound && !(command.contains('/') && Path::new(program).exists());
    if is_missing {
        TargetError::CommandNotFound { command, exit_code: 127 }
    } else {
        TargetError::CommandNotExecutable { command, exit_code: 126, source }
    }
}

#[cfg(test)]
mod tests;
