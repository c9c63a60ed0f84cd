//! Learns of code that processes load later: `dlopen`, `exec`.
//!
//! A process that we started is stopped at each such moment until everything in it is attached, so that not a single
//! event is missed; one that was there before is never stopped.

use std::collections::HashMap;
use std::time::Duration;

use profinfer_ebpf::layout::MapId;
use tokio::io::unix::AsyncFd;

use super::SessionError;
use super::guardian::Guardian;
use super::instance::link_maps;
use super::sites::own_pid_namespace;
use crate::kernel::{AttachType, Kernel, LICENSE, Link, Map, MapSpec, ProgramSpec, ProgramType, RingBuffer, Update};
use crate::target::launch;

/// Processes watched at once.
const MAX_WATCHED: u32 = 1024;
/// Bytes of the ring; an event takes 16.
const RING_BYTES: u32 = 64 << 10;
/// How long a process that was sent a SIGSTOP may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A watch over processes.
pub struct Watch {
    watched: Map,
    events: AsyncFd<RingBuffer>,
    held: HashMap<u32, bool>,
    /// Once a process is held.
    guardian: Option<Guardian>,
    _links: Vec<Link>,
}

impl Watch {
    /// Begins to watch; no process yet.
    ///
    /// # Errors
    /// The kernel refuses a map, a program or a tracepoint.
    pub fn new(kernel: &dyn Kernel) -> Result<Watch, SessionError> {
        let watched = kernel.create_map(&MapSpec::hash("pi_watched", 4, 4, MAX_WATCHED))?;
        let ring = kernel.create_map(&MapSpec::ring_buffer("pi_watch", RING_BYTES))?;
        let mut links = Vec::new();
        for program in profinfer_ebpf::watch::programs(own_pid_namespace())? {
            let insns = link_maps(&program.code, |id| match id {
                MapId::Watched => Some(watched.fd()),
                MapId::WatchEvents => Some(ring.fd()),
                _ => None,
            });
            let loaded = kernel.load(&ProgramSpec {
                name: program.name,
                prog_type: ProgramType::Tracepoint,
                expected_attach_type: AttachType::Perf,
                insns: &insns,
                license: LICENSE,
            })?;
            links.push(kernel.tracepoint(&loaded, program.tracepoint.0, program.tracepoint.1)?);
        }
        let events = RingBuffer::new(&ring)?.watch()?;
        Ok(Watch { watched, events, held: HashMap::new(), guardian: None, _links: links })
    }

    /// Watches a process; with `hold` it is stopped whenever it loads code, until [`Watch::resume`].
    ///
    /// # Errors
    /// The kernel refuses the entry.
    pub fn add(&mut self, pid: u32, hold: bool) -> Result<(), SessionError> {
        if hold && self.guardian.is_none() {
            let guardian = Guardian::new(&self.watched);
            self.guardian = Some(guardian.map_err(|source| SessionError::Io { action: "start a guardian", source })?);
        }
        self.watched.update(&pid.to_ne_bytes(), &u32::from(hold).to_ne_bytes(), Update::Any)?;
        self.held.insert(pid, hold);
        Ok(())
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
            if self.held.get(pid) == Some(&true) {
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
        if self.held.get(&pid) == Some(&true) {
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
        // No process that we stopped may stay so.
        let held: Vec<u32> = self.held.iter().filter(|(_, hold)| **hold).map(|(pid, _)| *pid).collect();
        for pid in held {
            let _gone = self.watched.delete(&pid.to_ne_bytes());
            let _gone = launch::resume(pid);
        }
    }
}
