//! Processes that join a run: those of a name when it begins, those that begin later, and children.

use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::{Observed, Run, RunError, Sink};
use crate::record::Level;
use crate::session::SessionError;
use crate::session::names::MAX_PROCESSES;
use crate::session::watch::Watch;
use crate::target::Process;

/// How long nobody has to live before it is over: a child that has begun is told of in that time.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long a child may take from its beginning to its first instruction.
const BIRTH: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// How long to wait until it is looked whether all is over.
    pub(super) fn last_look(&self) -> Duration {
        if self.settings.follow || !self.names.is_empty() { LAST_LOOK } else { Duration::ZERO }
    }

    /// Whether none of the processes lives, and none is to come.
    pub(super) fn is_over(&mut self, watch: &Watch) -> bool {
        let Some(since) = self.deserted else { return false };
        if self.settings.wait && !self.names.is_empty() {
            self.deserted = None;
            return false;
        }
        !watch.awaits_birth() || since.elapsed() > BIRTH
    }

    /// The processes that are meant by name now.
    pub(super) fn named(&self) -> Result<Vec<Process>, RunError> {
        let found = self.names.find()?;
        let (names, number) = (self.names.to_string(), found.len());
        match number {
            0 if !self.settings.wait => Err(SessionError::NoName { names }.into()),
            _ if number > MAX_PROCESSES => Err(SessionError::TooMany { names, number, limit: MAX_PROCESSES }.into()),
            _ => Ok(found),
        }
    }

    /// Observes a process from now on; its index.
    pub(super) fn put(&mut self, process: Process) -> Result<usize, RunError> {
        let fd = process.pidfd().try_clone_to_owned().map_err(RunError::system("wait for the process"))?;
        #[expect(deprecated, reason = "the descriptor is owned and stays open as long as the watch on it")]
        let exit = AsyncFd::new(fd).map_err(RunError::system("wait for the process"))?;
        self.deserted = None;
        let observed = Observed { process, exit, alive: true, is_one_of_many: false };
        // Places of those that have ended are taken again, but for the first: a command is told by it.
        let ended = self.observed.iter().skip(1).position(|o| !o.alive).map(|i| i + 1);
        let at = ended.unwrap_or(self.observed.len());
        match self.observed.get_mut(at) {
            Some(place) => *place = observed,
            None => self.observed.push(observed),
        }
        Ok(at)
    }

    /// A process has loaded code, or has begun: its index if it is to be looked at.
    pub(super) fn join(&mut self, pid: u32, watch: &mut Watch, sink: &mut dyn Sink) -> Result<Option<usize>, RunError> {
        if let Some(i) = self.observed.iter().position(|o| o.process.pid() == pid && o.alive) {
            self.observed[i].process.rename();
            return Ok(Some(i));
        }
        let is_child = watch.watches(pid)?;
        // It may have ended meanwhile.
        let Ok(process) = Process::open(pid) else {
            watch.remove(pid)?;
            return Ok(None);
        };
        let is_meant = is_child && self.settings.follow || self.names.fit(&process);
        if !is_meant {
            watch.remove(pid)?;
            return Ok(None);
        }
        if self.observed.iter().filter(|o| o.alive).count() >= MAX_PROCESSES {
            watch.remove(pid)?;
            if !std::mem::replace(&mut self.crowded, true) {
                let text =
                    format!("{process} is not observed, nor is any other: {MAX_PROCESSES} processes are the most");
                self.say(sink, Level::Warning, "crowded", text)?;
            }
            return Ok(None);
        }
        if !is_child {
            watch.add(pid, false)?;
        }
        let at = self.put(process)?;
        self.observed[at].is_one_of_many = true;
        Ok(Some(at))
    }
}
