//! The end: lets open steps finish, detaches, shows what is left, and says what was lost.

use std::time::{Duration, Instant};

use profinfer_ebpf::layout::{MapId, PointCounter, gate, record as record_layout};

use super::show::OVER_LIMIT;
use super::signals::{Signals, Wake};
use super::{Run, RunError, Sink};
use crate::record::{End, Record, Silent};
use crate::session::instance::Instance;
use crate::session::watch::Watch;

/// How long the end waits for steps that are open.
const DRAIN: Duration = Duration::from_secs(3);
/// How often it looks whether they are closed.
const DRAIN_TICK: Duration = Duration::from_millis(2);

impl Run<'_> {
    /// Lets open steps end, detaches, shows what is left to show. Nothing new is counted from the first moment on, however
    /// long the rest takes.
    pub(super) async fn finish(
        &mut self,
        reason: String,
        signals: &mut Signals,
        mut watch: Watch,
        sink: &mut dyn Sink,
    ) -> Result<bool, RunError> {
        self.instances.iter().for_each(|i| i.set_gate(gate::NO_NEW_STEP));
        let until = Instant::now() + DRAIN;
        while self.observed.iter().any(|o| o.process.is_alive())
            && self.instances.iter().any(|i| i.active() > 0)
            && Instant::now() < until
        {
            tokio::select! {
                // A second Ctrl-C does not wait.
                wake = signals.next() => if matches!(wake, Wake::Interrupt | Wake::Terminate) { break },
                // What is loaded now is not attached to any more, but a command that we started stands still for it.
                pids = watch.next() => pids?.into_iter().try_for_each(|pid| watch.resume(pid))?,
                () = tokio::time::sleep(DRAIN_TICK) => {}
            }
        }
        let counted = self.started.elapsed();
        self.ended = Some(Instant::now());
        drop(watch);
        self.arrive(sink, Duration::ZERO)?;
        self.check(sink)?;
        self.instances.iter_mut().for_each(Instance::detach_all);
        self.drain();
        // Whether one of them is an `exit` makes no difference any more.
        self.happen(Duration::ZERO, sink)?;
        sink.ending();
        let actions = self.plan.end.clone();
        self.act(&actions, sink)?;
        for table in self.plan.shown_tables() {
            if !self.plan.shows(table) {
                self.show_plain(table, sink)?;
            }
        }
        let end = self.end(reason, counted)?;
        let losses = !end.dropped.is_empty();
        sink.record(&Record::End(end)).map_err(RunError::Output)?;
        Ok(losses)
    }

    fn end(&self, reason: String, counted: Duration) -> Result<End, RunError> {
        let at_events = self.done_at_events();
        let mut end = End { duration_ns: counted.as_nanos() as u64, reason, at_events, ..End::default() };
        let mut hits = vec![0u64; self.plan.points.len()];
        let mut lose = |cause: &str, n: u64| {
            if n > 0 {
                *end.dropped.entry(cause.to_owned()).or_default() += n;
            }
        };
        for instance in &self.instances {
            for (id, p) in self.plan.points.iter().enumerate().filter(|(_, p)| p.used) {
                let counter = |which| instance.point_counter(id, which);
                hits[id] += counter(PointCounter::Events);
                lose("failed_read", counter(PointCounter::FailedRead));
                lose("no_room", counter(PointCounter::NoRoom));
                lose("cut", if p.wanted { counter(PointCounter::Cut) } else { 0 });
            }
            for table in 0..self.plan.tables.len() {
                for (cause, n) in instance.table_drops(table) {
                    lose(cause, n);
                }
            }
            end.kernel_bytes += instance.kernel_bytes()?;
            end.open += self.open_steps(instance)?;
        }
        for over in &self.over {
            lose(OVER_LIMIT, over.before + over.now);
        }
        let any = hits.iter().any(|n| *n > 0);
        // The check stays attached until every point has passed it: what had events has been checked.
        end.layout = if self.checked || any { "checked" } else { "unchecked" }.to_owned();
        for (id, p) in self.plan.points.iter().enumerate().filter(|(_, p)| p.used) {
            if p.wanted || hits[id] > 0 {
                end.hits.insert(p.name.clone(), hits[id]);
            }
            if let Some(mark) = &p.mark
                && self.instances.iter().any(|i| i.never_marked(id))
            {
                let reason = mark.site.reason.clone();
                let reason = reason.unwrap_or_else(|| format!("{} was never called", mark.site.symbols.join(" or ")));
                end.silent.push(Silent { point: format!("{}.{}", p.name, mark.field), reason });
            }
            if hits[id] == 0 && p.wanted {
                let reason = match (&p.silent, any) {
                    (Some(reason), true) => reason.clone(),
                    _ if self.instances.is_empty() => "no engine was loaded".to_owned(),
                    _ => "the engine computed nothing while we were attached".to_owned(),
                };
                end.silent.push(Silent { point: p.name.clone(), reason });
            }
        }
        Ok(end)
    }

    /// Records of steps (or, where none is probed, of the points that clauses stand on) that are still open.
    fn open_steps(&self, instance: &Instance) -> Result<u64, RunError> {
        let spans: Vec<usize> = self
            .plan
            .points
            .iter()
            .enumerate()
            .filter(|(id, p)| p.used && instance.facts.has(*id) && p.template.word() == "span")
            .map(|(id, _)| id)
            .collect();
        let steps: Vec<usize> = spans.iter().copied().filter(|id| self.plan.points[*id].step).collect();
        let looked_at = if steps.is_empty() { spans } else { steps };
        let mut open = 0;
        if let Some(threads) = instance.map(MapId::Threads) {
            threads.for_each(|_, slot| {
                for id in &looked_at {
                    let at = (instance.layout.points[*id].in_slot + record_layout::START) as usize;
                    open += u64::from(slot[at..at + 8] != [0; 8]);
                }
            })?;
        }
        Ok(open)
    }
}
