//! Learns of code that processes load later (`dlopen`, `exec`), and of processes that begin.
//!
//! A process that we started is stopped at each such moment until everything in it is attached, so that not a single
//! event is missed, and so is every process that it begins; one that was there before is never stopped.

use std::collections::HashMap;
use std::time::Duration;

use profinfer_ebpf::layout::MapId;
use profinfer_ebpf::object::RAW_TRACEPOINT;
use profinfer_ebpf::watch::flag;
use tokio::io::unix::AsyncFd;

use super::SessionError;
use super::guardian::Guardian;
use super::instance::{close_all, link_maps};
use super::sites::own_pid_namespace;
use crate::kernel::{AttachType, Kernel, LICENSE, Link, Map, MapSpec, ProgramSpec, ProgramType, RingBuffer, Update};
use crate::target::launch;

/// Processes watched at once.
const MAX_WATCHED: u32 = 1024;
/// Tasks that begin at once.
const MAX_BIRTHS: u32 = 1024;
/// Bytes of the ring; an event takes 16.
const RING_BYTES: u32 = 64 << 10;
/// How long a process that was sent a SIGSTOP may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is watched for, beside code that is loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Processes that watched ones begin.
    pub births: bool,
    /// Every process that begins to run another program.
    pub execs: bool,
}

/// A watch over processes.
pub struct Watch {
    watched: Map,
    events: AsyncFd<RingBuffer>,
    /// The flags of those that are known to be watched.
    flags: HashMap<u32, u32>,
    /// Tasks that watched processes have begun and that have not come to their first instruction, where that is watched.
    births: Option<Map>,
    /// Once a process is held.
    guardian: Option<Guardian>,
    links: Vec<Link>,
}

impl Watch {
    /// Begins to watch; no process yet.
    ///
    /// # Errors
    /// The kernel refuses a map, a program or a tracepoint.
    pub fn new(kernel: &dyn Kernel, scope: Scope) -> Result<Watch, SessionError> {
        let watched = kernel.create_map(&MapSpec::hash("pi_watched", 4, 4, MAX_WATCHED))?;
        let ring = kernel.create_map(&MapSpec::ring_buffer("pi_watch", RING_BYTES))?;
        let births = match scope.births {
            true => Some(kernel.create_map(&MapSpec::lru_hash("pi_births", 4, 4, MAX_BIRTHS))?),
            false => None,
        };
        let mut programs = profinfer_ebpf::watch::programs(own_pid_namespace())?;
        if births.is_some() {
            let child_at = kernel.tracepoint_field("sched", "sched_process_fork", "child_pid")?;
            programs.extend(profinfer_ebpf::watch::births(own_pid_namespace(), child_at)?);
        }
        let mut links = Vec::new();
        for program in programs {
            let insns = link_maps(&program.code, |id| match id {
                MapId::Watched => Some(watched.fd()),
                MapId::WatchEvents => Some(ring.fd()),
                MapId::Births => births.as_ref().map(Map::fd),
                _ => None,
            });
            let (category, name) = program.tracepoint;
            let is_raw = category == RAW_TRACEPOINT;
            let loaded = kernel.load(&ProgramSpec {
                name: program.name,
                prog_type: if is_raw { ProgramType::RawTracepoint } else { ProgramType::Tracepoint },
                expected_attach_type: AttachType::Perf,
                insns: &insns,
                license: LICENSE,
            })?;
            links.push(match is_raw {
                true => kernel.raw_tracepoint(&loaded, name)?,
                false => kernel.tracepoint(&loaded, category, name)?,
            });
        }
        let watching = if scope.execs { flag::ALL_EXECS } else { 0 };
        watched.update(&0u32.to_ne_bytes(), &watching.to_ne_bytes(), Update::Any)?;
        let events = RingBuffer::new(&ring)?.watch()?;
        Ok(Watch { watched, events, flags: HashMap::new(), births, guardian: None, links })
    }

    /// Watches a process; with `hold` it is stopped whenever it loads code, and with it every process that it begins, until
    /// [`Watch::resume`].
    ///
    /// # Errors
    /// The kernel refuses the entry.
    pub fn add(&mut self, pid: u32, hold: bool) -> Result<(), SessionError> {
        if hold && self.guardian.is_none() {
            let guardian = Guardian::new(&self.watched);
            self.guardian = Some(guardian.map_err(|source| SessionError::Io { action: "start a guardian", source })?);
        }
        let flags = if hold { flag::HOLD } else { 0 } | if self.births.is_some() { flag::FOLLOW } else { 0 };
        self.watched.update(&pid.to_ne_bytes(), &flags.to_ne_bytes(), Update::Any)?;
        self.flags.insert(pid, flags);
        Ok(())
    }

    /// Whether a process is watched: also one that began meanwhile, whose parent is.
    ///
    /// # Errors
    /// The kernel cannot tell.
    pub fn watches(&mut self, pid: u32) -> Result<bool, SessionError> {
        let flags = self.watched.lookup(&pid.to_ne_bytes())?;
        if let Some(flags) = flags.as_deref().and_then(<[u8]>::first_chunk) {
            self.flags.insert(pid, u32::from_ne_bytes(*flags));
        }
        Ok(self.flags.contains_key(&pid))
    }

    /// Watches a process no more, and lets it go on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&mut self, pid: u32) -> Result<(), SessionError> {
        let _known = self.watched.delete(&pid.to_ne_bytes())?;
        self.resume(pid)?;
        self.flags.remove(&pid);
        Ok(())
    }

    /// Whether a task is on its way of which nobody knows yet.
    pub fn awaits_birth(&self) -> bool {
        self.births.as_ref().is_some_and(|births| matches!(births.next_key(None), Ok(Some(_))))
    }

    fn is_held(&self, pid: u32) -> bool {
        self.flags.get(&pid).is_some_and(|flags| flags & flag::HOLD != 0)
    }

    /// Waits for processes to load code. A process that is held stands still when this returns.
    ///
    /// # Errors
    /// The ring cannot be waited for.
    pub async fn next(&mut self) -> Result<Vec<u32>, SessionError> {
        let mut pids = Vec::new();
        while pids.is_empty() {
            let mut ready = self
                .events
                .readable_mut()
                .await
                .map_err(|source| SessionError::Io { action: "wait for the process", source })?;
            while let Some(record) = ready.get_inner_mut().next() {
                if let Some(bytes) = record.first_chunk::<8>() {
                    let pid = u64::from_ne_bytes(*bytes) as u32;
                    if !pids.contains(&pid) {
                        pids.push(pid);
                    }
                }
            }
            ready.clear_ready();
        }
        for pid in &pids {
            if self.watches(*pid)? && self.is_held(*pid) {
                // If it has ended meanwhile, there is nothing to wait for.
                let _stopped = launch::wait_stopped(*pid, STOP_TIMEOUT);
            }
        }
        Ok(pids)
    }

    /// Lets a held process go on.
    ///
    /// # Errors
    /// It is not ours to resume.
    pub fn resume(&self, pid: u32) -> Result<(), SessionError> {
        if self.is_held(pid) {
            match launch::resume(pid) {
                Err(crate::target::TargetError::NoSuchProcess { .. }) | Ok(()) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // No process that we stopped may stay so: nor one that is being put into the map just now.
        let _first = self.watched.delete(&0u32.to_ne_bytes());
        let mut left = Vec::new();
        while let Ok(Some(key)) = self.watched.next_key(None) {
            let gone = self.watched.delete(&key);
            left.extend(key.first_chunk().map(|pid| u32::from_ne_bytes(*pid)));
            if gone.is_err() {
                break;
            }
        }
        let held = self.flags.iter().filter(|(_, flags)| **flags & flag::HOLD != 0).map(|(pid, _)| *pid);
        // With one that is held all are: they are its children.
        left.extend(held);
        for pid in left.into_iter().filter(|_| self.guardian.is_some()) {
            let _gone = launch::resume(pid);
        }
        // Nothing waits for it: with an empty map the programs do nothing any more.
        let _in_background = close_all(std::mem::take(&mut self.links));
    }
}
