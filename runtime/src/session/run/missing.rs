//! Functions that a script names, and processes that do not have them: not yet, or not at all.

use std::collections::HashMap;

use profinfer_compiler::plan::Plan;
use profinfer_compiler::typed::PointId;

use crate::record::{Level, Message};
use crate::session::SessionError;

/// What processes lack of what the script names.
///
/// Of processes that come by themselves (children, those of a name) one need not have what another has. That none ever
/// had it is a fault.
#[derive(Debug)]
pub(super) struct Missing {
    /// Processes that live and have not loaded it yet.
    living: HashMap<u32, (PointId, SessionError)>,
    /// Those that ended without it: the first, and how many, by point.
    ended: HashMap<PointId, (SessionError, u64)>,
    /// Whether some process had it, by point.
    had: Vec<bool>,
}

impl Missing {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { living: HashMap::new(), ended: HashMap::new(), had: vec![false; plan.points.len()] }
    }

    /// A process has what a point stands for.
    pub(super) fn has(&mut self, point: PointId) {
        self.had[point] = true;
    }

    /// A process does not have what a point stands for, or has all now.
    pub(super) fn put(&mut self, pid: u32, lacks: Option<(PointId, SessionError)>) {
        match lacks {
            Some(lacks) => self.living.insert(pid, lacks),
            None => self.living.remove(&pid),
        };
    }

    /// What a process lacks.
    pub(super) fn take(&mut self, pid: u32) -> Option<SessionError> {
        self.living.remove(&pid).map(|(_, error)| error)
    }

    /// A process has ended: it will not load any more.
    pub(super) fn ended(&mut self, pid: u32) {
        if let Some((point, error)) = self.living.remove(&pid) {
            self.ended.entry(point).or_insert((error, 0)).1 += 1;
        }
    }

    /// At the end of a run: why it has failed, if no process ever had something, and what is to be said otherwise.
    pub(super) fn outcome(&mut self) -> (Option<SessionError>, Vec<Message>) {
        let mut living: Vec<u32> = self.living.keys().copied().collect();
        living.sort_unstable();
        living.into_iter().for_each(|pid| self.ended(pid));
        let mut points: Vec<_> = self.ended.drain().collect();
        points.sort_by_key(|(point, _)| *point);
        let (mut fault, mut said) = (None, Vec::new());
        for (point, (error, number)) in points {
            if !self.had[point] {
                fault = fault.or(Some(error));
                continue;
            }
            let others = match number {
                1 => String::new(),
                n => format!(" (the same in {} more)", n - 1),
            };
            said.push(Message { level: Level::Warning, kind: "missing", text: format!("{error}{others}") });
        }
        (fault, said)
    }
}
