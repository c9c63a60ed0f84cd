//! Makes the tables of a script out of a recording: what the kernel and a run do with events, done with those of a file.
//!
//! - `interpret` computes expressions of the plan.
//! - `tables` keeps rows as the kernel does.
//! - `bind` finds what a plan reads among what was recorded.
//!
//! Time is that of the events. A timer fires before the first event that ended after it.

pub mod bind;
pub mod interpret;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

use indexmap::IndexMap;
use profinfer_compiler::plan::{Action, Each, Plan, Show, View};
use profinfer_ebpf::asm::BuildError;
use profinfer_ebpf::layout::{Layout, sent};
use profinfer_ebpf::{Arch, TargetFacts, nominal};

use self::bind::{Bound, Lacking, bind};
use self::interpret::Seen;
use self::tables::Kept;
use crate::ceilings::Ceilings;
use crate::record::{self, AtEvents, End, Record};
use crate::recording::about::{Ended, Source};
use crate::recording::events::{Event, Value};
use crate::recording::head::Head;
use crate::recording::reader::{Recording, Told};
use crate::session::events::{Events, what};
use crate::session::rows::Rows;
use crate::session::run::{HOLD, OVER_LIMIT, Sink, table_record};
use crate::session::stream::Streams;

/// Why a recording is not replayed to its end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum ReplayError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Lacking(#[from] Lacking),
    #[error("cannot read the recording: {0}")]
    Read(#[source] io::Error),
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl From<io::Error> for ReplayError {
    fn from(e: io::Error) -> Self {
        Self::Read(e)
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events that were read.
    pub events: u64,
    /// Something had been lost when it was recorded, or the recording is not whole.
    pub losses: bool,
}

/// A replay of a plan.
pub struct Replay<'p> {
    plan: &'p Plan,
    layout: Layout,
    bound: Vec<Bound>,
    /// What numbers stand for, by source.
    facts: HashMap<u64, TargetFacts>,
    /// What numbers stand for where nothing was told of it.
    nominal: TargetFacts,
    /// Rows by table and source.
    kept: IndexMap<(usize, u64), Kept>,
    /// What was lost of rows that are cleared, by table and cause.
    dropped: HashMap<(usize, &'static str), u64>,
    streams: Streams,
    events: Events,
    /// Rows over the limit: in those that were cleared, and now.
    over: Vec<[u64; 2]>,
    ceilings: Ceilings,
    /// The time at hand.
    now: u64,
    began: u64,
    since: Vec<u64>,
    /// When each timer fires next; none if it is done.
    clocks: Vec<Option<u64>>,
    /// When the script ended the run.
    ended_at: Option<u64>,
    /// The recording ended as this script ends it: all of its events count.
    is_same: bool,
    read: u64,
    seen: Vec<u64>,
    end: Option<Ended>,
    /// What waits until it is known when nothing new was counted any more.
    scratch: Vec<u8>,
}

impl<'p> Replay<'p> {
    /// A replay of a plan that was compiled with [`Leaves::Fields`](profinfer_compiler::Leaves::Fields). `is_same` says that it
    /// is of the script that was recorded.
    ///
    /// # Errors
    /// [`ReplayError::Lacking`]: it reads what was not recorded.
    pub fn new(plan: &'p Plan, head: &Head, is_same: bool) -> Result<Self, ReplayError> {
        let layout = Layout::apart(plan)?;
        let bound = bind(plan, head)?;
        Ok(Self {
            layout,
            bound,
            facts: HashMap::new(),
            nominal: nominal::facts(plan, Arch::host()),
            kept: IndexMap::new(),
            dropped: HashMap::new(),
            streams: Streams::default(),
            events: Events::new(plan),
            over: vec![[0; 2]; plan.tables.len()],
            ceilings: serde_json::from_str(&head.ceilings).unwrap_or_default(),
            now: 0,
            began: 0,
            since: vec![0; plan.tables.len()],
            clocks: vec![None; plan.timers.len()],
            ended_at: None,
            is_same,
            read: 0,
            seen: vec![0; head.streams.len()],
            end: None,
            scratch: Vec::new(),
            plan,
        })
    }

    /// Goes through the recording.
    ///
    /// # Errors
    /// [`ReplayError`]
    pub fn go(mut self, recording: &mut Recording, sink: &mut dyn Sink) -> Result<Replayed, ReplayError> {
        recording.read(&mut |told| self.told(told, sink))?;
        let whole = recording.damage.is_none();
        let (ended, cut) = match self.end.take() {
            Some(ended) => (ended, false),
            // It ends with the last event.
            None => {
                let wall_ns = self.now.saturating_sub(self.began);
                let end = End {
                    duration_ns: wall_ns,
                    reason: "cut off".to_owned(),
                    layout: "none".to_owned(),
                    ..End::default()
                };
                (Ended { end, stopped_ns: wall_ns, wall_ns, streams: Vec::new() }, true)
            }
        };
        self.happen(self.began + ended.stopped_ns, HOLD, sink)?;
        self.pass(self.began + ended.stopped_ns, sink)?;
        self.now = match self.ended_at {
            Some(at) if !self.is_same => at,
            _ => self.began + ended.wall_ns,
        };
        self.happen(u64::MAX, Duration::ZERO, sink)?;
        sink.ending();
        let plan = self.plan;
        self.act(&plan.end, sink)?;
        for table in self.plan.shown_tables() {
            if !self.plan.shows(table) {
                let show = Show { table, view: View::Table, top: None, sort: None, to: None };
                let rows = self.rows(table);
                self.show(&show, &rows, self.wall_ns(table), sink)?;
            }
        }
        let end = self.end_record(&ended, cut);
        let losses = !whole || !end.dropped.is_empty();
        sink.record(&Record::End(end)).map_err(ReplayError::Output)?;
        Ok(Replayed { events: self.read, losses })
    }

    fn told(&mut self, told: Told, sink: &mut dyn Sink) -> Result<(), ReplayError> {
        match told {
            Told::Begin(begin) => {
                self.began = begin.monotonic_ns;
                self.now = self.began;
                self.since.fill(self.began);
                let (monotonic_ns, unix_ns) = (begin.monotonic_ns, begin.unix_ns);
                self.events.begin_at(monotonic_ns);
                sink.record(&Record::Begin(record::Begin { monotonic_ns, unix_ns })).map_err(ReplayError::Output)?;
                for (clock, timer) in self.clocks.iter_mut().zip(&self.plan.timers) {
                    *clock = Some(self.began + timer.period_ns);
                }
                let plan = self.plan;
                if self.act(&plan.begin, sink)? {
                    self.ended_at = Some(self.began);
                }
            }
            Told::Source(source) => self.source(source),
            Told::Process(process) => self.events.meet(process.pid as u32, &process.who),
            Told::Event(event) => {
                self.read += 1;
                if event.time > self.now {
                    // Ends as they are known to a run: a little later, in the order of their times.
                    self.pass(event.time, sink)?;
                    self.happen(event.time, HOLD, sink)?;
                    self.now = event.time;
                }
                if !self.is_over(&event) {
                    self.event(&event);
                }
            }
            Told::End(ended) => self.end = Some(*ended),
        }
        Ok(())
    }

    /// Whether an event began after the script ended the run.
    fn is_over(&self, event: &Event) -> bool {
        let Some(at) = self.ended_at.filter(|_| !self.is_same) else { return false };
        let dur = match (self.bound.get(event.stream).and_then(|b| b.dur), &event.values[..]) {
            (Some(i), values) => match values.get(i) {
                Some(Value::Number(dur)) if *dur > 0 => dur.cast_unsigned(),
                _ => 0,
            },
            _ => 0,
        };
        event.time.saturating_sub(dur) > at
    }

    fn source(&mut self, source: Source) {
        let facts = self.facts.entry(source.number).or_insert_with(|| self.nominal.clone());
        facts.enums.extend(source.enums);
        facts.stacks.extend(source.stacks);
    }

    /// Counts an event in all tables of its point.
    fn event(&mut self, event: &Event) {
        let Some(bound) = self.bound.get(event.stream) else { return };
        self.seen[event.stream] += 1;
        let facts = self.facts.get(&event.source).unwrap_or(&self.nominal);
        let seen = Seen { values: &event.values, pid: event.pid, facts };
        for table in &bound.tables {
            if !table.conditions.iter().all(|c| seen.holds(c)) {
                continue;
            }
            let (plan, layout) = (&self.plan.tables[table.index], &self.layout.tables[table.index]);
            self.scratch.clear();
            if plan.streamed {
                let head = u64::from(event.pid) << 32 | table.index as u64;
                self.scratch.extend(head.to_ne_bytes());
                self.scratch.extend(event.time.to_ne_bytes());
                debug_assert_eq!(self.scratch.len(), sent::KEY as usize);
            }
            table.key(seen, &mut self.scratch);
            if plan.streamed {
                for value in &table.sent {
                    self.scratch.extend(seen.number(value).to_ne_bytes());
                }
                if !self.events.put(&self.scratch, self.plan, facts, &self.layout) {
                    self.streams.count(&self.scratch, self.plan, facts, &self.layout);
                }
                continue;
            }
            let values: Vec<Option<i64>> = table.values.iter().map(|v| v.as_ref().map(|v| seen.number(v))).collect();
            let kept = self.kept.entry((table.index, event.source)).or_default();
            kept.count(&self.scratch, &values, plan, layout);
        }
    }

    /// Fires the timers that are due before that time, in their order.
    fn pass(&mut self, until: u64, sink: &mut dyn Sink) -> Result<(), ReplayError> {
        let plan = self.plan;
        loop {
            let due = self.clocks.iter().enumerate().filter_map(|(i, at)| at.map(|at| (at, i))).min();
            let Some((at, i)) = due.filter(|(at, _)| *at < until && self.ended_at.is_none()) else { return Ok(()) };
            self.happen(at, HOLD, sink)?;
            self.now = self.now.max(at);
            let timer = &plan.timers[i];
            self.clocks[i] = timer.repeats.then(|| at + timer.period_ns);
            if self.act(&timer.actions, sink)? {
                self.ended_at = Some(at);
            }
        }
    }

    /// Does what is to be done at events that ended longer before `now` than `hold`.
    fn happen(&mut self, now: u64, hold: Duration, sink: &mut dyn Sink) -> Result<(), ReplayError> {
        if self.events.first().is_none() {
            return Ok(());
        }
        let plan = self.plan;
        for event in self.events.due_at(now, hold) {
            let table = &plan.tables[event.table];
            match &table.each {
                None => {}
                Some(Each::Act(actions)) => {
                    let ends = self.act(actions, sink)?;
                    if ends && self.ended_at.is_none() {
                        self.ended_at = Some(event.time);
                    }
                }
                Some(each) => {
                    if let Some(record) = self.events.record(plan, each, &event) {
                        sink.record(&record).map_err(ReplayError::Output)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Does what a clause says; `true` if it ends the run.
    fn act(&mut self, actions: &[Action], sink: &mut dyn Sink) -> Result<bool, ReplayError> {
        let end = actions.iter().position(|a| *a == Action::Exit);
        let actions = &actions[..end.unwrap_or(actions.len())];
        let mut taken: IndexMap<usize, (Vec<Rows>, u64)> = IndexMap::new();
        for action in actions {
            if let Action::Clear(table) = action
                && !taken.contains_key(table)
            {
                let (wall, rows) = (self.wall_ns(*table), self.rows(*table));
                self.clear(*table);
                taken.insert(*table, (rows, wall));
            }
        }
        for action in actions {
            if let Action::Show(show) = action {
                let (rows, wall) = match taken.get(&show.table) {
                    Some((rows, wall)) => (rows.clone(), *wall),
                    None => (self.rows(show.table), self.wall_ns(show.table)),
                };
                self.show(show, &rows, wall, sink)?;
            }
        }
        Ok(end.is_some())
    }

    /// The time over which a table's rows were gathered, in ns.
    fn wall_ns(&self, table: usize) -> u64 {
        self.now.saturating_sub(self.since[table])
    }

    /// The rows of a table as they are now, group by group.
    fn rows(&mut self, table: usize) -> Vec<Rows> {
        self.over[table][1] = 0;
        let groups: Vec<usize> = self.plan.groups(table).collect();
        groups.into_iter().map(|group| self.rows_of_group(table, group)).collect()
    }

    fn rows_of_group(&mut self, table: usize, group: usize) -> Rows {
        if self.plan.tables[group].streamed {
            let (rows, over) = self.streams.live(group);
            self.over[table][1] += over;
            return rows;
        }
        let mut rows = Rows::new();
        for ((part, source), kept) in &self.kept {
            if self.plan.tables[*part].adds_to == group {
                let facts = self.facts.get(source).unwrap_or(&self.nominal);
                let (of, layout) = (&self.plan.tables[*part], &self.layout.tables[*part]);
                self.over[table][1] += kept.gather(&mut rows, of, layout, facts);
            }
        }
        rows
    }

    /// Empties a table.
    fn clear(&mut self, table: usize) {
        self.since[table] = self.now;
        self.over[table][0] += std::mem::take(&mut self.over[table][1]);
        let groups: Vec<usize> = self.plan.groups(table).collect();
        for group in groups {
            if self.plan.tables[group].streamed {
                let _taken = self.streams.take(group);
            }
            let plan = self.plan;
            for ((part, _), kept) in self.kept.iter_mut().filter(|((part, _), _)| plan.tables[*part].adds_to == group) {
                let kept = std::mem::take(kept);
                *self.dropped.entry((*part, TABLE_FULL)).or_default() += kept.full;
                *self.dropped.entry((*part, HIST_FULL)).or_default() += kept.buckets_full;
            }
        }
    }

    fn show(&self, show: &Show, rows: &[Rows], wall_ns: u64, sink: &mut dyn Sink) -> Result<(), ReplayError> {
        let at_ns = self.now.saturating_sub(self.began);
        let dropped = self.dropped(|t| self.plan.tables[t].shown_with == show.table, show.table..show.table + 1);
        let table = table_record(self.plan, show, rows, (wall_ns, at_ns), &self.ceilings, dropped);
        sink.record(&Record::Table(table)).map_err(ReplayError::Output)
    }

    /// What was lost while it was replayed, of these tables, by cause.
    fn dropped(&self, of: impl Fn(usize) -> bool, over: std::ops::Range<usize>) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        let mut lose = |cause: &str, n: u64| {
            if n > 0 {
                *all.entry(cause.to_owned()).or_default() += n;
            }
        };
        for ((_, cause), n) in self.dropped.iter().filter(|((t, _), _)| of(*t)) {
            lose(cause, *n);
        }
        for ((_, _), kept) in self.kept.iter().filter(|((t, _), _)| of(*t)) {
            lose(TABLE_FULL, kept.full);
            lose(HIST_FULL, kept.buckets_full);
        }
        for over in &self.over[over] {
            lose(OVER_LIMIT, over.iter().sum());
        }
        all
    }

    /// The end of the report: that of the recording, as far as it is about this script.
    fn end_record(&self, ended: &Ended, cut: bool) -> End {
        let plan = self.plan;
        let is_meant = |name: &str| plan.points.iter().any(|p| p.wanted && p.name == name);
        let mut end = ended.end.clone();
        end.hits.retain(|name, _| is_meant(name));
        end.silent.retain(|s| is_meant(s.point.split('.').next().unwrap_or_default()));
        end.counted.retain(|name, _| is_meant(name));
        if cut {
            for (stream, n) in self.seen.iter().enumerate() {
                if let Some(bound) = self.bound.get(stream).filter(|b| !b.tables.is_empty()) {
                    end.hits.insert(plan.points[bound.point].name.clone(), *n);
                }
            }
        }
        let lost = |stream: usize| ended.streams.get(stream).map_or(0, |(_, lost)| *lost);
        for (cause, n) in self.dropped(|_| true, 0..plan.tables.len()) {
            *end.dropped.entry(cause).or_default() += n;
        }
        if self.streams.over() > 0 {
            *end.dropped.entry(VALUES_OVER.to_owned()).or_default() += self.streams.over();
        }
        let of = |(table, each): (usize, &Each)| AtEvents {
            name: plan.tables[table].name.clone(),
            point: plan.points[plan.tables[table].point].name.clone(),
            what: what(each),
            done: self.events.told[table],
            lost: self.bound.iter().position(|b| b.tables.iter().any(|t| t.index == table)).map_or(0, lost),
        };
        end.at_events = Events::of(plan).map(of).collect();
        end
    }
}

/// Events that found no row.
const TABLE_FULL: &str = "table_full";
/// Values that found no bucket of a histogram.
const HIST_FULL: &str = "histogram_full";
/// Different values beyond those that are kept.
const VALUES_OVER: &str = "values_over_limit";
