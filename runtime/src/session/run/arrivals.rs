//! What there is to say of processes that still load their engine, and of those that are left out.
//!
//! An engine comes in several files, and tries out some that it does not keep. Each one changes what is attached; only
//! what it is in the end is worth saying.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{Level, Message};
use crate::session::SessionError;

/// A process that has loaded nothing for so long is done.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// Processes that were attached to and may load more.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: Vec<Arrival>,
    /// Why processes were left out, and how many of each.
    left_out: HashMap<String, u64>,
}

#[derive(Debug)]
struct Arrival {
    pid: u32,
    /// The engine's file; none where the process is left out.
    engine: Option<PathBuf>,
    at: Instant,
    news: Vec<Message>,
    /// Why it is left out.
    why: Option<String>,
}

impl Arrivals {
    /// What to say of an engine in a process, in place of what was to be said before.
    pub(super) fn put(&mut self, pid: u32, engine: &Path, news: Vec<Message>) {
        self.replace(Arrival { pid, engine: Some(engine.to_owned()), at: Instant::now(), news, why: None });
    }

    /// A process that came by itself is not attached to, and what there is to say of it now. One that still loads may be in
    /// a moment: it is told of only if that does not happen. Of those left out for one reason the first is told of.
    pub(super) fn leave_out(&mut self, pid: u32, error: &SessionError, loading: bool) -> Option<Message> {
        let message = Message { level: Level::Warning, kind: "left_out", text: format!("{error}: it is left out") };
        let why = error.reason();
        if !loading {
            return first(&mut self.left_out, why).then_some(message);
        }
        self.replace(Arrival { pid, engine: None, at: Instant::now(), news: vec![message], why: Some(why) });
        None
    }

    fn replace(&mut self, arrival: Arrival) {
        self.waiting.retain(|a| a.pid != arrival.pid || a.engine != arrival.engine);
        self.waiting.push(arrival);
    }

    /// Nothing is to be said of engines in a process but of these.
    pub(super) fn keep(&mut self, pid: u32, engines: &[PathBuf]) {
        self.waiting.retain(|a| a.pid != pid || a.engine.as_ref().is_some_and(|engine| engines.contains(engine)));
    }

    /// Takes what there is to say of those that are `done`, or were last put longer ago than `quiet`.
    pub(super) fn settled(&mut self, quiet: Duration, done: impl Fn(u32) -> bool) -> Vec<Message> {
        let settled = self.waiting.extract_if(.., |a| a.at.elapsed() >= quiet || done(a.pid));
        let left_out = &mut self.left_out;
        settled.filter(|a| a.why.clone().is_none_or(|why| first(left_out, why))).flat_map(|a| a.news).collect()
    }

    /// What there is to say at the end of those that were left out and not told of.
    pub(super) fn others(&self) -> Option<Message> {
        let others: u64 = self.left_out.values().map(|n| n - 1).sum();
        let text = format!("{others} more processes were left out, for the same reasons");
        (others > 0).then_some(Message { level: Level::Warning, kind: "left_out", text })
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Counts a process that is left out; whether it is the first one of this reason.
fn first(left_out: &mut HashMap<String, u64>, why: String) -> bool {
    let number = left_out.entry(why).or_default();
    *number += 1;
    *number == 1
}
