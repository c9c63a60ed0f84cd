//! What this kernel can do, found by doing it: version numbers lie where distributions backport.

use std::{
    fs,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread::{self, ScopedJoinHandle},
};

use super::{
    error::KernelError,
    program::AttachType,
    tracefs::TracefsSource,
    trials::{self, COOKIE},
};

/// One thing that a kernel may be able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Whether this kernel can.
    pub available: bool,
    /// One word for it.
    pub name: &'static str,
    /// What profinfer uses it for, or does without it, in one line.
    pub about: &'static str,
    /// How it was found out, or what the kernel answered.
    pub found: String,
}

/// What this kernel can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The kernel's release, as `uname -r` has it.
    pub release: String,
    /// Many sites in one link.
    pub uprobe_multi: Feature,
    /// Entry and return in one program.
    pub session: Feature,
    /// One number per site.
    pub attach_cookie: Feature,
    /// A link's pid stands for all threads of that process (Linux 6.10); before, for one thread only.
    pub pid_filter_matches_process: Feature,
    /// Sites by perf events.
    pub uprobe_perf: Feature,
    /// A value per thread.
    pub task_storage: Feature,
    /// One buffer for all events.
    pub ringbuf: Feature,
    /// Many entries read by one call.
    pub map_batch: Feature,
    /// Memory shared between programs and profinfer.
    pub shared_memory: Feature,
    /// Loops of any length.
    pub bpf_loop: Feature,
    /// Numbers of tracepoints.
    pub tracefs: Feature,
}

impl Features {
    /// Tries everything: attaches to functions of this very program, loads and makes, and lets go of it all again.
    /// Takes 0.1 to 0.2 s, nearly all of it for detaching.
    #[must_use]
    pub fn probe() -> Self {
        // Trials count exactly, so two threads must not call the functions that they sit on at the same time.
        static TRYING: Mutex<()> = Mutex::new(());
        let _alone = TRYING.lock().unwrap_or_else(PoisonError::into_inner);
        // Detaching is what takes time, and it is the kernel that takes it.
        let (multi, session, perf) = thread::scope(|scope| {
            let (session, perf) = (scope.spawn(trials::session), scope.spawn(trials::perf));
            (trials::multi(), joined(session), joined(perf))
        });
        Self {
            release: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            uprobe_multi: Feature::new(
                "uprobe_multi",
                "attach to many sites at once; else one perf event a site, slow to detach",
                multi.as_ref().map(|seen| (seen.own > 0, format!("attached to itself, counted {} of 1 hit", seen.own))),
            ),
            session: Feature::new(
                "session",
                "entry and return in one program; else two programs and a map between them",
                session.as_ref().map(|[entry, ret]| {
                    (
                        [*entry, *ret] == [1, 1],
                        format!("attached to itself, {entry} entry and {ret} return of 1 counted"),
                    )
                }),
            ),
            attach_cookie: Feature::new(
                "attach_cookie",
                "one program tells its sites apart; else one program a site",
                // Perf events have cookies since 5.15, multi links always.
                multi
                    .as_ref()
                    .map(|seen| seen.cookie)
                    .or_else(|_| trials::perf_cookie())
                    .as_ref()
                    .map(|cookie| (*cookie == COOKIE, format!("gave {COOKIE:#x}, read {cookie:#x}"))),
            ),
            pid_filter_matches_process: Feature::new(
                "pid_filter",
                "a link's pid means the process; else programs run in all processes and check for themselves",
                multi
                    .as_ref()
                    .map(|seen| (seen.thread == 1, format!("{} of 1 hit on another thread counted", seen.thread))),
            ),
            uprobe_perf: Feature::new(
                "uprobe_perf",
                "the way to attach on kernels before 6.6",
                perf.as_ref().map(|hits| (*hits == 1, format!("attached to itself, {hits} of 1 hit counted"))),
            ),
            task_storage: Feature::new(
                "task_storage",
                "a slot per thread that ends with it; else a hash by thread id that forgets the oldest",
                trials::task_storage().as_ref().map(|()| (true, "made one, loaded a program that uses it".to_owned())),
            ),
            ringbuf: Feature::new(
                "ringbuf",
                "how events reach profinfer; without it only tables work",
                trials::ringbuf().as_ref().map(|()| (true, "made one".to_owned())),
            ),
            map_batch: Feature::new(
                "map_batch",
                "read thousands of rows by one call; else one by one",
                trials::batch().as_ref().map(|rows| (*rows == Some(1), "asked a hash for its rows".to_owned())),
            ),
            shared_memory: Feature::new(
                "shared_memory",
                "counters and the start signal without system calls",
                trials::shared_memory().as_ref().map(|value| (*value == 7, "wrote by call, read in memory".to_owned())),
            ),
            bpf_loop: Feature::new(
                "bpf_loop",
                "loops with a callback",
                trials::callback().as_ref().map(|()| (true, "loaded a program with a callback".to_owned())),
            ),
            tracefs: Feature::new(
                "tracefs",
                "attach to tracepoints; without it `sched`, `syscalls` and the like are not to be had",
                trials::tracefs().as_ref().map(|source| match source {
                    TracefsSource::Mounted => (true, "mounted".to_owned()),
                    TracefsSource::Detached => (true, "not mounted, opened for this process only".to_owned()),
                }),
            ),
        }
    }

    /// All of them, in the order in which to show them.
    pub fn iter(&self) -> impl Iterator<Item = &Feature> {
        [
            &self.uprobe_multi,
            &self.session,
            &self.attach_cookie,
            &self.pid_filter_matches_process,
            &self.uprobe_perf,
            &self.task_storage,
            &self.ringbuf,
            &self.map_batch,
            &self.shared_memory,
            &self.bpf_loop,
            &self.tracefs,
        ]
        .into_iter()
    }

    /// How to load a program that only wants a site's entry.
    #[must_use]
    pub fn entry_attach_type(&self) -> AttachType {
        if self.uprobe_multi.available { AttachType::UprobeMulti } else { AttachType::Perf }
    }
}

impl Feature {
    fn new(name: &'static str, about: &'static str, tried: Result<(bool, String), &KernelError>) -> Self {
        let (available, found) = tried.unwrap_or_else(|error| (false, first_line(error)));
        Self { available, name, about, found }
    }
}

/// What a trial on another thread gave; its panic is this thread's.
fn joined<T>(trial: ScopedJoinHandle<'_, T>) -> T {
    trial.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// An error's first line: the rest of a verifier log has no place in a list.
fn first_line(error: &KernelError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
