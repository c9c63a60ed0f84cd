//! The end: lets open steps finish, detaches, shows what is left, and says what was lost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::Point;
use profinfer_ebpf::layout::{LEVELS, MapId, PointCounter, gate, record as record_layout};

use super::show::OVER_LIMIT;
use super::signals::{Signals, Wake};
use super::{Run, RunError, Sink};
use crate::kernel::KernelError;
use crate::record::{End, Level, Record, Silent};
use crate::session::instance::Instance;
use crate::session::watch::Watch;

/// How long the end waits for steps that are open.
const DRAIN: Duration = Duration::from_secs(3);
/// Different values beyond those that `lru`, `pinned`, `distinct` and `gap` keep.
const VALUES_OVER_LIMIT: &str = "values_over_limit";
/// How often it looks whether they are closed.
const DRAIN_TICK: Duration = Duration::from_millis(2);

impl Run<'_> {
    /// Lets open steps end, detaches, shows what is left to show. Nothing new is counted from the first moment on, however
    /// long the rest takes.
    pub(super) async fn finish(
        &mut self,
        reason: String,
        signals: &mut Signals,
        watch: Watch,
        sink: &mut dyn Sink,
    ) -> Result<bool, RunError> {
        self.instances.iter().for_each(|i| i.set_gate(gate::NO_NEW_STEP));
        if let Some(all) = &self.all_steps {
            all.finish();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.stop(self.settings.duration.filter(|_| reason == "duration"));
        }
        // Nothing is attached to any more, and nobody stands still for it. The kernel takes its time with the links meanwhile.
        drop(watch);
        let until = Instant::now() + DRAIN;
        while self.observed.iter().any(|o| o.process.is_alive())
            && self.instances.iter().any(|i| i.active() > 0)
            && Instant::now() < until
        {
            tokio::select! {
                // A second Ctrl-C does not wait.
                wake = signals.next() => if matches!(wake, Wake::Interrupt | Wake::Terminate) { break },
                () = tokio::time::sleep(DRAIN_TICK) => {}
            }
        }
        self.end_cost();
        let counted = self.started.elapsed();
        self.ended = Some(Instant::now());
        self.arrive(sink, Duration::ZERO)?;
        self.check(sink)?;
        self.instances.iter_mut().for_each(Instance::detach_all);
        if let Some(all) = &mut self.all_steps {
            all.detach_all();
        }
        self.drain();
        // Whether one of them is an `exit` makes no difference any more.
        self.happen(Duration::ZERO, sink)?;
        let (fault, told) = self.missing.outcome();
        for message in told.into_iter().chain(self.arrivals.others()) {
            sink.record(&Record::Message(message)).map_err(RunError::Output)?;
        }
        sink.ending();
        let actions = self.plan.end.clone();
        self.act(&actions, sink)?;
        for table in self.plan.shown_tables() {
            if !self.plan.shows(table) {
                self.show_plain(table, sink)?;
            }
        }
        self.about_memory(sink)?;
        let end = self.end(reason, counted)?;
        let losses = !end.dropped.is_empty();
        self.end_recording(&end, sink)?;
        sink.record(&Record::End(end)).map_err(RunError::Output)?;
        fault.map_or(Ok(losses), |error| Err(error.into()))
    }

    /// Says what is not to be seen in the tables: stacks that are not whole, memory that was not told apart.
    fn about_memory(&self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let seen = self.instances.iter().filter_map(Instance::stacks_seen);
        let (all, cut) = seen.fold((0, 0), |(all, cut), (a, c)| (all + a, cut + c));
        if cut > 0 {
            let text = format!(
                "{cut} of {all} call stacks ({:.0} %) end before the beginning of their thread: there is code without frame \
                 pointers in them, and callers may be missing",
                100.0 * cut as f64 / all as f64
            );
            self.say(sink, Level::Warning, "stacks", text)?;
        }
        if self.instances.iter().any(Instance::ranges_are_crowded) {
            let text = "more was mapped than can be told apart: of some of it `file`, `offset` and `tensor` are absent";
            self.say(sink, Level::Warning, "ranges", text.to_owned())?;
        }
        Ok(())
    }

    fn end(&self, reason: String, counted: Duration) -> Result<End, RunError> {
        let at_events = self.done_at_events();
        let (cost, no_cost) = match self.cost.cost() {
            Ok(cost) => (Some(cost), None),
            Err(why) => (None, Some(why)),
        };
        let duration_ns = counted.as_nanos() as u64;
        let mut end = End { duration_ns, reason, at_events, cost, no_cost, kept: self.kept(), ..End::default() };
        end.open = self.keeping.as_ref().map_or(0, |keeping| keeping.cut);
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
                lose("uncounted", counter(PointCounter::Uncounted));
                lose("never_ran", counter(PointCounter::NeverRan));
                let cut = match is_call(p) {
                    // Of what began, all that is not told otherwise.
                    true => {
                        let told = [PointCounter::Events, PointCounter::FailedRead, PointCounter::NoRoom].map(counter);
                        let told = told.iter().sum::<u64>() + open_calls(instance, id)?;
                        counter(PointCounter::Hits).saturating_sub(told)
                    }
                    false => counter(PointCounter::Cut),
                };
                if !p.counters.is_empty() {
                    let of = end.counted.entry(p.name.clone()).or_default();
                    of.moved += counter(PointCounter::Moved);
                    of.uncounted += counter(PointCounter::Uncounted);
                    of.never_ran += counter(PointCounter::NeverRan);
                    of.scaled += counter(PointCounter::Scaled);
                }
                lose("cut", if p.wanted { cut } else { 0 });
            }
            for table in 0..self.plan.tables.len() {
                for (cause, n) in instance.table_drops(table) {
                    lose(cause, n);
                }
            }
            end.kernel_bytes += instance.kernel_bytes()?;
            end.open += self.open_steps(instance)?;
        }
        lose(VALUES_OVER_LIMIT, self.streams.over());
        for over in &self.over {
            lose(OVER_LIMIT, over.before + over.now);
        }
        end.shared = self.counters.shared()?.into_iter().map(|(counter, ran)| (counter.to_string(), ran)).collect();
        let any = hits.iter().any(|n| *n > 0);
        // The check stays attached until every point has passed it: what had events has been checked.
        let has_checks = self.plan.points.iter().any(|p| p.used && !p.checks.is_empty());
        end.layout = match () {
            () if !has_checks && !self.plan.reads => "none",
            () if has_checks && (self.checked || any) => "checked",
            () => "unchecked",
        }
        .to_owned();
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
                    (Some(reason), _) if p.template.is_kernel() && !self.instances.is_empty() => reason.clone(),
                    (Some(reason), _) if p.called.is_some() && self.instances.iter().any(|i| i.facts.has(id)) => {
                        reason.clone()
                    }
                    _ if self.instances.is_empty() && self.plan.needs_engine() => "no engine was loaded".to_owned(),
                    _ if p.called.is_some() => "no process has the function".to_owned(),
                    (Some(reason), true) => reason.clone(),
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
            .filter(|(id, p)| p.used && instance.facts.has(*id) && p.template == Template::Span)
            .map(|(id, _)| id)
            .collect();
        let steps: Vec<usize> = spans.iter().copied().filter(|id| self.plan.points[*id].step).collect();
        let looked_at = if steps.is_empty() { spans } else { steps };
        let mut open = 0;
        for (id, _) in self.plan.points.iter().enumerate().filter(|(_, p)| is_call(p)) {
            open += open_calls(instance, id)?;
        }
        for (id, _) in self.plan.points.iter().enumerate().filter(|(_, p)| p.used && p.template == Template::OffCpu) {
            // Threads that have left the CPU and not come back.
            open += instance.map(MapId::State(id)).map_or(Ok(0), |map| map.keys().map(|keys| keys.len() as u64))?;
        }
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

/// Whether its events are the calls of a function that the script names.
fn is_call(p: &Point) -> bool {
    p.used && p.template == Template::Call
}

/// Calls that have begun and may still return.
fn open_calls(instance: &Instance, id: usize) -> Result<u64, KernelError> {
    let (Some(threads), Some(calls)) = (instance.map(MapId::Threads), instance.map(MapId::State(id))) else {
        return Ok(0);
    };
    let Some(at) = instance.layout.points[id].call else { return Ok(0) };
    let mut slots: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    threads.for_each(|thread, slot| {
        slots.insert(thread.to_vec(), slot.to_vec());
    })?;
    let mut open = 0;
    // Those that were left by an exception may lie there still.
    calls.for_each(|frame, call| {
        let began = word(call, record_layout::START);
        let is_open = slots.get(&frame[..8]).is_some_and(|slot| {
            let depth = word(call, at.at_depth);
            let level = at.began + 8 * (depth % i64::from(LEVELS)) as i16;
            word(slot, at.depth) > depth && word(slot, level) == began
        });
        open += u64::from(began != 0 && is_open);
    })?;
    Ok(open)
}

/// A number of 8 bytes in a slot or a record.
fn word(bytes: &[u8], at: i16) -> i64 {
    let at = at as usize;
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_ne_bytes)
}
