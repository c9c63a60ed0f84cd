//! What is shown and when: the actions of a script, tables on the way and at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use profinfer_compiler::plan::{Action, Each, Plan, Show, View};

use super::{Run, RunError, Sink};
use crate::ceilings::Ceilings;
use crate::record::{AtEvents, Record, Table, ViewKind};
use crate::session::events::{Events, what};
use crate::session::numbers;
use crate::session::rows::{Rows, Source, gather, word};

/// What is lost where user space puts more rows into a table than its limit.
pub(crate) const OVER_LIMIT: &str = "rows_over_limit";

impl Run<'_> {
    /// Does what a clause says; `true` if it ends the run.
    pub(super) fn act(&mut self, actions: &[Action], sink: &mut dyn Sink) -> Result<bool, RunError> {
        // A table that is shown and cleared in one clause is switched first: what is shown is exactly what is cleared.
        let mut taken: IndexMap<usize, (Vec<Rows>, u64)> = IndexMap::new();
        // What stands behind an `exit` is not done: its rows are shown by the end of the run.
        let end = actions.iter().position(|a| *a == Action::Exit);
        let actions = &actions[..end.unwrap_or(actions.len())];
        for action in actions {
            if let Action::Clear(t) = action
                && !taken.contains_key(t)
            {
                self.check(sink)?;
                let wall = self.wall_ns(*t);
                let rows = self.take(*t)?;
                taken.insert(*t, (rows, wall));
            }
        }
        for action in actions {
            match action {
                Action::Exit | Action::Clear(_) => {}
                Action::Show(show) => {
                    self.check(sink)?;
                    let (rows, wall) = match taken.get(&show.table) {
                        Some((rows, wall)) => (rows.clone(), *wall),
                        None => (self.live(show.table)?, self.wall_ns(show.table)),
                    };
                    self.show(show, &rows, wall, sink)?;
                }
            }
        }
        Ok(end.is_some())
    }

    /// The time, which stands still once counting has ended.
    pub(super) fn now(&self) -> Instant {
        self.ended.unwrap_or_else(Instant::now)
    }

    /// The time over which a table's rows were gathered, in ns.
    fn wall_ns(&self, table: usize) -> u64 {
        self.now().saturating_duration_since(self.since[table]).as_nanos() as u64
    }

    /// The rows of a table as they are now, group by group.
    fn live(&mut self, table: usize) -> Result<Vec<Rows>, RunError> {
        self.over[table].now = 0;
        let groups: Vec<usize> = self.plan.groups(table).collect();
        groups.into_iter().map(|group| self.live_group(table, group)).collect()
    }

    fn live_group(&mut self, table: usize, group: usize) -> Result<Rows, RunError> {
        if self.plan.tables[group].streamed {
            self.drain();
            let (rows, over) = self.streams.live(group);
            self.over[table].now += over;
            return Ok(rows);
        }
        let mut rows = Rows::new();
        for part in self.parts(group) {
            for instance in &mut self.instances {
                instance.look_up_stacks()?;
                let lost = gather(&mut rows, part, &self.plan.tables[part], instance, &Source::Live)?;
                self.over[table].now += lost;
            }
        }
        Ok(rows)
    }

    /// The rows of a table, group by group, which is empty after.
    fn take(&mut self, table: usize) -> Result<Vec<Rows>, RunError> {
        self.since[table] = self.now();
        self.over[table].now = 0;
        let groups: Vec<usize> = self.plan.groups(table).collect();
        groups.into_iter().map(|group| self.take_group(table, group)).collect()
    }

    fn take_group(&mut self, table: usize, group: usize) -> Result<Rows, RunError> {
        if self.plan.tables[group].streamed {
            self.drain();
            let (rows, over) = self.streams.take(group);
            self.over[table].before += over;
            return Ok(rows);
        }
        let mut rows = Rows::new();
        for part in self.parts(group) {
            for instance in &mut self.instances {
                let full = instance.swap(part, self.kernel)?;
                instance.look_up_stacks()?;
                let lost = gather(&mut rows, part, &self.plan.tables[part], instance, &Source::Full(&full))?;
                self.over[table].before += lost;
            }
        }
        Ok(rows)
    }

    /// Counts the events that were sent since.
    pub(super) fn drain(&mut self) {
        for instance in &mut self.instances {
            // What cannot be looked up is absent.
            let _looked_up = instance.look_up_stacks();
            let mut recorder = self.recorder.as_mut();
            let source = recorder.as_mut().map_or(0, |r| r.source(&instance.identity, &instance.facts, &instance.path));
            instance.events(|event, facts, layout| {
                if let Some(recorder) = &mut recorder
                    && let table = (word(event) & u64::from(u32::MAX)) as usize
                    && recorder.takes(table)
                {
                    recorder.event(source, table, event);
                } else if !self.events.put(event, self.plan, facts, layout) {
                    self.streams.count(event, self.plan, facts, layout);
                }
            });
        }
    }

    /// Does what is to be done at events that ended longer ago than `hold`; `true` if one of them ends the run.
    pub(super) fn happen(&mut self, hold: Duration, sink: &mut dyn Sink) -> Result<bool, RunError> {
        let (plan, mut ends) = (self.plan, false);
        for event in self.events.due(hold) {
            let table = &plan.tables[event.table];
            match &table.each {
                None => {}
                Some(Each::Act(actions)) => ends |= self.act(actions, sink)?,
                Some(each) => {
                    if let Some(record) = self.events.record(plan, each, &event) {
                        sink.record(&record).map_err(RunError::Output)?;
                    }
                }
            }
        }
        Ok(ends)
    }

    /// What was done at events, clause by clause, and how many of them were lost.
    pub(super) fn done_at_events(&self) -> Vec<AtEvents> {
        let of = |(table, each): (usize, &Each)| AtEvents {
            name: self.plan.tables[table].name.clone(),
            point: self.plan.points[self.plan.tables[table].point].name.clone(),
            what: what(each),
            done: self.events.told[table],
            lost: self.instances.iter().flat_map(|i| i.table_drops(table)).map(|(_, n)| n).sum(),
        };
        Events::of(self.plan).filter(|(_, each)| **each != Each::Record).map(of).collect()
    }

    /// The tables whose rows add up in a group.
    fn parts(&self, group: usize) -> Vec<usize> {
        (0..self.plan.tables.len()).filter(|t| self.plan.tables[*t].adds_to == group).collect()
    }

    fn show(&self, show: &Show, rows: &[Rows], wall_ns: u64, sink: &mut dyn Sink) -> Result<(), RunError> {
        let at_ns = self.now().duration_since(self.started).as_nanos() as u64;
        let dropped = self.table_drops(show.table);
        let table = table_record(self.plan, show, rows, (wall_ns, at_ns), &self.ceilings, dropped);
        sink.record(&Record::Table(table)).map_err(RunError::Output)
    }

    fn table_drops(&self, table: usize) -> BTreeMap<String, u64> {
        let mut drops = BTreeMap::new();
        let parts: Vec<usize> =
            (0..self.plan.tables.len()).filter(|t| self.plan.tables[*t].shown_with == table).collect();
        for (instance, part) in self.instances.iter().flat_map(|i| parts.iter().map(move |p| (i, *p))) {
            for (cause, n) in instance.table_drops(part).filter(|(_, n)| *n > 0) {
                *drops.entry(cause.to_owned()).or_default() += n;
            }
        }
        let over = self.over[table].before + self.over[table].now;
        if over > 0 {
            drops.insert(OVER_LIMIT.to_owned(), over);
        }
        drops
    }

    pub(super) fn show_all(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        self.check(sink)?;
        for table in self.plan.shown_tables() {
            self.show_plain(table, sink)?;
        }
        Ok(())
    }

    pub(super) fn show_plain(&mut self, table: usize, sink: &mut dyn Sink) -> Result<(), RunError> {
        let show = Show { table, view: View::Table, top: None, sort: None, to: None };
        let wall = self.wall_ns(table);
        let rows = self.live(table)?;
        self.show(&show, &rows, wall, sink)
    }
}

/// A table as it is shown: its rows, group by group, gathered over so many ns, and the time at which that is.
pub(crate) fn table_record(
    plan: &Plan,
    show: &Show,
    rows: &[Rows],
    (wall_ns, at_ns): (u64, u64),
    ceilings: &Ceilings,
    dropped: BTreeMap<String, u64>,
) -> Table {
    let groups: Vec<_> = plan.groups(show.table).map(|g| &plan.tables[g]).zip(rows).collect();
    let (keys, columns) = numbers::heads(&groups);
    let mut out = numbers::rows(&groups, wall_ns, ceilings, show.sort);
    let top = show.top.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let cut = out.len().saturating_sub(top) as u64;
    out.truncate(top);
    Table {
        name: plan.tables[show.table].name.clone(),
        at_ns,
        view: match show.view {
            View::Table => ViewKind::Table,
            View::Hist => ViewKind::Hist,
            View::Heatmap => ViewKind::Heatmap,
            View::Flame => ViewKind::Flame,
            View::Text => ViewKind::Text,
            View::Json => ViewKind::Json,
            View::Csv => ViewKind::Csv,
        },
        keys,
        columns,
        rows: out,
        cut,
        dropped,
        to: show.to.clone(),
    }
}
