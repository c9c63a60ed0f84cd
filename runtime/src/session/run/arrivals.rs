//! What there is to say of processes that still load their engine.
//!
//! An engine comes in several files, and tries out some that it does not keep. Each one changes what is attached; only
//! what it is in the end is worth saying.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::record::Message;

/// A process that has loaded nothing for so long is done.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// Processes that were attached to and may load more.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Vec<Arrival>);

#[derive(Debug)]
struct Arrival {
    pid: u32,
    /// The engine's file.
    engine: PathBuf,
    at: Instant,
    news: Vec<Message>,
}

impl Arrivals {
    /// What to say of an engine in a process, in place of what was to be said before.
    pub(super) fn put(&mut self, pid: u32, engine: PathBuf, news: Vec<Message>) {
        self.0.retain(|a| a.pid != pid || a.engine != engine);
        self.0.push(Arrival { pid, engine, at: Instant::now(), news });
    }

    /// Nothing is to be said of engines in a process but of these.
    pub(super) fn keep(&mut self, pid: u32, engines: &[PathBuf]) {
        self.0.retain(|a| a.pid != pid || engines.contains(&a.engine));
    }

    /// Takes what there is to say of those that are `done`, or were last put longer ago than `quiet`.
    pub(super) fn settled(&mut self, quiet: Duration, done: impl Fn(u32) -> bool) -> Vec<Message> {
        let settled = self.0.extract_if(.., |a| a.at.elapsed() >= quiet || done(a.pid));
        settled.flat_map(|a| a.news).collect()
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
