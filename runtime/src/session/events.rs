//! Events at which something is done, in the order of their times.

mod node;

use std::collections::HashMap;
use std::time::Duration;

use profinfer_compiler::plan::{self, Each, Plan, PrintPart};
use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::{Layout, sent};

use super::numbers;
use super::rows::{Key, shown, word};
use crate::record::{Detail, Gauge, Piece, Print, Process, Record, Slice, Value, What};

/// An event that came through the ring.
#[derive(Debug)]
pub struct Happened {
    /// When it ended, in ns of the monotonic clock.
    pub time: u64,
    /// Index in [`Plan::tables`] of what is done.
    pub table: usize,
    /// The process.
    pub pid: u32,
    /// What is known of it.
    pub keys: Vec<Key>,
}

/// Events that wait for their turn.
#[derive(Debug, Default)]
pub struct Events {
    waiting: Vec<Happened>,
    /// When counting began, in ns of the monotonic clock.
    began: u64,
    /// How many were told, by table.
    pub told: Vec<u64>,
    /// The names of processes.
    names: HashMap<u32, String>,
}

impl Events {
    /// None yet.
    pub fn new(plan: &Plan) -> Self {
        Self { told: vec![0; plan.tables.len()], ..Self::default() }
    }

    /// Counting begins.
    pub fn begin(&mut self) {
        self.began = monotonic();
    }

    /// Counting begins at that time.
    pub fn begin_at(&mut self, began: u64) {
        self.began = began;
    }

    /// When counting began, in ns of the monotonic clock.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// When the first of those that wait ended.
    pub fn first(&self) -> Option<u64> {
        self.waiting.iter().map(|e| e.time).min()
    }

    /// Since counting began, in ns.
    pub fn since_begin(&self, time: u64) -> u64 {
        time.saturating_sub(self.began)
    }

    /// Keeps an event as it was sent, if it is one of these; see [`sent`].
    pub fn put(&mut self, event: &[u8], plan: &Plan, facts: &TargetFacts, layout: &Layout) -> bool {
        let head = word(event);
        let (pid, index) = ((head >> 32) as u32, (head & u64::from(u32::MAX)) as usize);
        let (Some(table), Some(lies)) = (plan.tables.get(index), layout.tables.get(index)) else { return false };
        if table.each.is_none() {
            return false;
        }
        let key = &event[sent::KEY as usize..][..lies.key_size as usize];
        if let Some(keys) = shown(key, table, lies, facts) {
            self.waiting.push(Happened { time: word(&event[sent::TIME as usize..]), table: index, pid, keys });
        }
        true
    }

    /// Takes those that ended longer ago than `hold`, in the order of their times.
    pub fn due(&mut self, hold: Duration) -> Vec<Happened> {
        self.due_at(monotonic(), hold)
    }

    /// As [`due`](Self::due), where it is that time.
    pub fn due_at(&mut self, now: u64, hold: Duration) -> Vec<Happened> {
        // Those of one time stay as they were sent.
        self.waiting.sort_by_key(|e| e.time);
        let until = now.saturating_sub(hold.as_nanos() as u64);
        let due = self.waiting.partition_point(|e| e.time <= until);
        self.waiting.drain(..due).inspect(|e| self.told[e.table] += 1).collect()
    }

    /// What is printed of an event.
    pub fn print(&self, plan: &Plan, parts: &[PrintPart], event: &Happened) -> Print {
        let table = &plan.tables[event.table];
        Print {
            name: table.name.clone(),
            point: plan.points[table.point].name.clone(),
            at_ns: self.since_begin(event.time),
            parts: numbers::parts(parts, &table.keys, &event.keys),
        }
    }

    /// A process of which events come, as messages call it: `python3 (pid 4711)`.
    pub fn meet(&mut self, pid: u32, who: &str) {
        let name = who.rsplit_once(" (pid ").map_or(who, |(name, _)| name);
        self.names.insert(pid, name.to_owned());
    }

    /// What goes into the stream of an event, if anything does.
    pub fn record(&self, plan: &Plan, each: &Each, event: &Happened) -> Option<Record> {
        Some(match each {
            Each::Print(parts) => Record::Print(self.print(plan, parts, event)),
            Each::Slice(slice) => Record::Slice(self.slice(plan, slice, event)),
            Each::Gauge(gauge) => Record::Gauge(self.gauge(plan, gauge, event)),
            Each::Node(node) => Record::Node(Box::new(self.node(plan, node, event))),
            Each::Act(_) | Each::Record => return None,
        })
    }

    /// The slice that an event is.
    pub fn slice(&self, plan: &Plan, slice: &plan::Slice, event: &Happened) -> Slice {
        let table = &plan.tables[event.table];
        let number = |i: usize| match event.keys.get(i) {
            Some(Key::Int(n)) => Some(*n),
            _ => None,
        };
        let dur = number(slice.dur).unwrap_or_default().max(0);
        let point = &plan.points[table.point].name;
        let ends = event.time.cast_signed().wrapping_sub(self.began.cast_signed());
        let began = event.time.wrapping_sub(dur.cast_unsigned());
        // A part that is absent takes no time, and none ends behind the event.
        let mut at = ends - dur;
        let piece = |i: &usize| {
            let end_ns = at.saturating_add(number(*i)?.max(0)).min(ends);
            let begin_ns = std::mem::replace(&mut at, end_ns);
            Some(Piece { label: table.keys[*i].name.clone(), begin_ns, end_ns })
        };
        let parts = slice.parts.iter().filter_map(piece).collect();
        let detail = |i: &usize| {
            let (quantity, value) = numbers::known(&table.keys, &event.keys, *i);
            Detail { name: table.keys[*i].name.clone(), quantity, value }
        };
        let thread = slice.comm.map(|i| numbers::known(&table.keys, &event.keys, i).1);
        let within = slice.within.and_then(|(outer, i)| Some((&plan.points[outer].name, number(i)?)));
        Slice {
            name: table.name.clone(),
            point: point.clone(),
            at_ns: self.since_begin(event.time),
            begin_ns: ends - dur,
            end_ns: ends,
            process: self.process(event.pid),
            tid: number(slice.tid).unwrap_or_default(),
            thread: thread.and_then(|name| if let Value::Text(name) = name { Some(name) } else { None }),
            track: numbers::parts(&slice.track, &table.keys, &event.keys),
            label: numbers::parts(&slice.label, &table.keys, &event.keys),
            details: slice.details.iter().map(detail).collect(),
            parts,
            own: slice.encloses.then(|| mark(event.pid, point, began)),
            within: within.map(|(outer, begins)| mark(event.pid, outer, begins.cast_unsigned())),
        }
    }

    /// The value that an event gives a gauge.
    pub fn gauge(&self, plan: &Plan, gauge: &plan::Gauge, event: &Happened) -> Gauge {
        let table = &plan.tables[event.table];
        let (quantity, value) = numbers::known(&table.keys, &event.keys, gauge.value);
        Gauge {
            name: table.name.clone(),
            point: plan.points[table.point].name.clone(),
            at_ns: self.since_begin(event.time),
            process: self.process(event.pid),
            track: numbers::parts(&gauge.track, &table.keys, &event.keys),
            label: numbers::parts(&gauge.label, &table.keys, &event.keys),
            quantity,
            value,
        }
    }

    fn process(&self, pid: u32) -> Process {
        Process { pid, name: self.names.get(&pid).cloned().unwrap_or_default() }
    }

    /// What is done at events of a plan, by index.
    pub fn of(plan: &Plan) -> impl Iterator<Item = (usize, &Each)> {
        plan.tables.iter().enumerate().filter_map(|(i, t)| Some((i, t.each.as_ref()?)))
    }
}

/// What is done at events.
pub fn what(each: &Each) -> What {
    match each {
        Each::Print(_) => What::Printed,
        Each::Slice(_) => What::Slices,
        Each::Gauge(_) => What::Gauges,
        Each::Node(_) => What::Nodes,
        Each::Act(_) | Each::Record => What::Done,
    }
}

/// A number for an event that others belong to: the same for all of them, of whichever of them it is made.
fn mark(pid: u32, point: &str, began: u64) -> u64 {
    // FNV-1a.
    let bytes = pid.to_le_bytes().into_iter().chain(point.bytes()).chain(began.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The time that the kernel gives events, in ns.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that the call may write to, and the clock is one that every kernel has.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_for_those_before_them() {
        let now = monotonic();
        let mut events = Events { told: vec![0; 2], ..Events::default() };
        let later = now + 3_600_000_000_000;
        for (time, table) in [(now - 5, 0), (now - 9, 1), (later, 0), (now - 5, 1)] {
            events.waiting.push(Happened { time, table, pid: 1, keys: Vec::new() });
        }
        assert!(events.due(Duration::from_secs(3600)).is_empty(), "all of them are too young");
        let due: Vec<_> = events.due(Duration::ZERO).iter().map(|e| (now - e.time, e.table)).collect();
        assert_eq!(due, [(9, 1), (5, 0), (5, 1)], "by time, those of one time as they came");
        assert_eq!(events.told, [1, 2]);
        assert_eq!(events.waiting.len(), 1);
    }
}
