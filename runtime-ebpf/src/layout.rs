//! How everything lies in the kernel: counters, thread slots, open records, rows.

use profinfer_compiler::aside;
use profinfer_compiler::catalogue::Template;
use profinfer_compiler::compile::DEFAULT_LIMIT;
use profinfer_compiler::counter::Counter;
use profinfer_compiler::plan::{Linear, Plan, SlotHow};
use profinfer_compiler::typed::PointId;

use crate::asm::BuildError;
use crate::counting::{CountsLayout, counted_size, readings};
use crate::emit::SERIES_VALUE;
use crate::together;

/// A map of a program set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapId {
    /// Gate, hits, drops: one array value of 8-byte words, shared with user space.
    Counters,
    /// Thread slots by `pid_tgid`.
    Threads,
    /// Open records of a sequence point by its state key; of calls by thread and stack pointer.
    State(PointId),
    /// What is carried along series.
    Series,
    /// What the parts of a point's events come to, by thread and row. See [`part`].
    Parts(PointId),
    /// Rows of a table.
    Table(usize),
    /// Rows of a table by the number of the event: see [`front`].
    Front(usize),
    /// Buckets of a table's histogram slot with more than one bucket per power of two.
    Hist(usize, usize),
    /// What rows, slots and records begin with: zeros, then a fresh row of each table.
    Fresh,
    /// Values read by a point's layout checks.
    Check(PointId),
    /// Processes whose new mappings are watched; the value says what is done with them.
    Watched,
    /// Tasks that watched processes begin, by their number for the whole machine.
    Births,
    /// Events of streamed tables.
    Events,
    /// What the watch saw: a process id per record.
    WatchEvents,
    /// Processes whose kernel events are wanted, with where their [`MapId::Ranges`] are. See [`range`].
    Targets,
    /// What lies in the memory of processes, in the order of addresses.
    Ranges,
    /// Call stacks by number.
    Stacks,
    /// What threads have counted, by task. See [`counted`](crate::counting::counted).
    Counted,
    /// The events of one of the plan's counters, by CPU.
    Perf(Counter),
}

/// The sentinel that stands for "absent" among the kernel's numbers.
pub const ABSENT: i64 = i64::MIN;

/// First byte of a text that is absent; no UTF-8 text begins with it.
pub const ABSENT_TEXT: u8 = 0xff;

/// Buckets of a histogram with one bucket per power of two: negative, zero, then 2^0 to 2^62.
pub const LOG2_BUCKETS: u32 = 65;

/// Words of the counters before those of points and tables.
pub mod counter {
    /// 0 not counting, 1 counting, 2 no new step.
    pub const GATE: u32 = 0;
    /// 1 if no step can have been cut by attaching: the target was held.
    pub const ALL_KNOWN: u32 = 1;
    /// Steps open now.
    pub const ACTIVE: u32 = 2;
    /// Where the points' words begin.
    pub const POINTS: u32 = 3;
}

/// The gate's positions: see [`counter::GATE`].
pub mod gate {
    /// Nothing counts yet.
    pub const SHUT: u64 = 0;
    /// All is attached.
    pub const COUNTING: u64 = 1;
    /// What has begun is counted to its end.
    pub const NO_NEW_STEP: u64 = 2;
}

/// Counter words of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointCounter {
    /// Hits of its start sites that passed `only`.
    Hits,
    /// Events that ended and counted.
    Events,
    /// Events cut: their end was never seen.
    Cut,
    /// Reads of the target's memory that failed; the event is not counted.
    FailedRead,
    /// Open records for which there was no room.
    NoRoom,
    /// Layout samples taken.
    Samples,
    /// Events without their counters: they began on another thread, or before a switch that was not seen.
    Uncounted,
    /// Events in which a counter never ran, others having its place.
    NeverRan,
    /// Events that ended on another CPU than they began on.
    Moved,
    /// Counts made up for the time in which others had the counter's place.
    Scaled,
}

/// Counter words of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableCounter {
    /// Events without a row, the table being full.
    Full,
    /// Events without a row for lack of memory.
    NoMemory,
    /// Minima or maxima not updated under contention.
    Contended,
    /// Values without a bucket, the histogram being full.
    HistFull,
    /// Events that were not sent, the ring being full.
    RingFull,
    /// Which of the two maps of a swapped table is written to: 0 or 1.
    Generation,
}

/// Rows in front of a table's map.
pub const FRONT_ROWS: u32 = 2_048;

/// Bytes of a key from which on rows lie in front of its map.
const FRONT_KEY: u32 = 64;

/// Offsets in a row of [`MapId::Front`]; the key is behind the value.
pub mod front {
    /// What is in it.
    pub const STATE: i16 = 0;
    /// The value.
    pub const VALUE: i16 = 8;
    /// Nothing.
    pub const FREE: i32 = 0;
    /// Its key is being written.
    pub const TAKEN: i32 = 1;
    /// A row.
    pub const READY: i32 = 2;
}

/// Offsets in a value of [`MapId::Parts`].
pub mod part {
    /// When the event began that the parts are of.
    pub const EVENT: i16 = 0;
    /// How many there are.
    pub const COUNT: i16 = 8;
    /// A word for each that is put together.
    pub const VALUES: i16 = 16;
}

/// A value of [`MapId::Ranges`]: memory from one address to that of the next entry; and of [`MapId::Targets`].
pub mod range {
    /// Its first address, 8 bytes.
    pub const START: i16 = 0;
    /// What is added to an address for the offset in the file, 8 bytes.
    pub const DELTA: i16 = 8;
    /// The number of the file, 4 bytes; [`NONE`] where there is none.
    pub const FILE: i16 = 16;
    /// The number of the tensor, 4 bytes; [`NONE`] where there is none.
    pub const TENSOR: i16 = 20;
    /// Bytes of an entry.
    pub const SIZE: u32 = 24;
    /// No file, no tensor.
    pub const NONE: u32 = i32::MAX as u32;
    /// Entries, over all processes.
    pub const MAX: u32 = 1 << 16;
    /// The value of a process: how many entries it has (low half), from the one of that number on (high half).
    pub fn of_process(first: u32, number: u32) -> u64 {
        u64::from(first) << 32 | u64::from(number)
    }
}

/// Offsets in what is kept of a thread that is off the CPU.
pub mod waiting {
    /// `pid_tgid`.
    pub const THREAD: i16 = 0;
    /// When it left the CPU.
    pub const BEGAN: i16 = 8;
    /// The state it left in, as the records of `sched:sched_switch` have it.
    pub const STATE: i16 = 16;
    /// Where it was in the kernel: a number of `kernel_entry`.
    pub const ENTRY: i16 = 24;
    /// When it was woken; 0 while it was not.
    pub const WOKEN: i16 = 32;
    /// Its name.
    pub const COMM: i16 = 40;
    /// Its call stack, where that is wanted.
    pub const STACK: i16 = 56;
    /// Bytes of all.
    pub const SIZE: u32 = 64;
}

/// Frames of a call stack.
pub const MAX_FRAMES: u32 = 127;
/// Call stacks that are told apart.
pub const MAX_STACKS: u32 = 8_192;

/// Bytes into a row, a record or a thread slot that an instruction can reach.
const REACH: u32 = i16::MAX as u32;
/// Words per point.
const POINT_WORDS: u32 = 10;
/// Words per table.
const TABLE_WORDS: u32 = 6;

/// The causes of [`TableCounter`], as reported.
pub const TABLE_CAUSES: [(TableCounter, &str); 5] = [
    (TableCounter::Full, "table_full"),
    (TableCounter::NoMemory, "no_memory"),
    (TableCounter::Contended, "contended"),
    (TableCounter::HistFull, "histogram_full"),
    (TableCounter::RingFull, "ring_full"),
];

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Words of [`MapId::Counters`].
    pub counter_words: u32,
    /// Bytes of a thread slot.
    pub thread_size: u32,
    /// Per point: where its parts lie.
    pub points: Vec<PointLayout>,
    /// Per table.
    pub tables: Vec<TableLayout>,
    /// Bytes of zeros that [`MapId::Fresh`] begins with.
    pub zeros: u32,
    /// Bytes of [`MapId::Fresh`].
    fresh_size: u32,
    points_count: u32,
    /// Points with a mark.
    marks: Vec<PointId>,
}

/// Where the parts of a point's record lie.
#[derive(Debug, Clone, Default)]
pub struct PointLayout {
    /// Where the record begins in the thread slot (spans, sequences that are the thread's), or where the state key does
    /// (other sequences).
    pub in_slot: i16,
    /// Whether open events are kept in a map by state key, which the slot holds, rather than in the slot.
    pub by_state: bool,
    /// In the thread slot: where events are put aside.
    pub aside: Option<AsideLayout>,
    /// Bytes of the record.
    pub size: u32,
    /// Bytes of the state key (sequences).
    pub state_key: u32,
    /// Offsets of captures in the record.
    pub captures: Vec<i16>,
    /// Offsets of gathered values.
    pub accums: Vec<i16>,
    /// Offsets of carried values.
    pub series: Vec<i16>,
    /// Offset of the time of the last mark, 0 while there was none, where a script asks for it.
    pub mark: Option<i16>,
    /// Offsets of what is kept of the thread, where each of a team has an event.
    pub team: Option<TeamLayout>,
    /// Offsets of what tells calls of a function within each other apart.
    pub call: Option<CallLayout>,
    /// Offsets of what the thread counts, where a script asks for it.
    pub counts: Option<CountsLayout>,
    /// Offsets of the numbers of row and column at hand (rows).
    pub element: [i16; 2],
    /// Offsets of what concerns its parts.
    pub parts: Option<PartsLayout>,
    /// In the thread slot: when the page fault at hand began.
    pub began: i16,
    /// Offset of the place where keys are put together.
    pub scratch: i16,
    /// Offsets of values in a layout sample, per check and leaf.
    pub checks: Vec<Vec<u32>>,
    /// Bytes of a layout sample.
    pub check_size: u32,
}

/// Where the thread slot has events that are put aside: see [`profinfer_compiler::aside`]. Behind each other, room for one more
/// than are put aside: an event ends where the next one begins.
#[derive(Debug, Clone, Default)]
pub struct AsideLayout {
    /// The record that each of them is read into, one after the other.
    pub record: i16,
    /// How many there are.
    pub count: i16,
    /// The number of the one at hand.
    pub index: i16,
    /// How many were told since what lies around them began.
    pub ordinal: i16,
    /// How many threads the team has.
    pub team: i16,
    /// When the last of them ended, if that was before the stop that tells them.
    pub ended: i16,
    /// The first one: when it began and the number of its start, then when it came to its mark last, if that is asked for, then its
    /// arguments.
    pub events: i16,
    /// Whether the time of the mark is kept.
    pub marked: bool,
    /// Its arguments, by name.
    pub args: Vec<String>,
}

impl AsideLayout {
    /// Bits of the number of the start, below the time.
    pub const START_BITS: i32 = aside::STARTS.ilog2() as i32;

    /// Bytes of an event.
    pub fn size(&self) -> i32 {
        i32::from(self.first_arg()) + 8 * self.args.len() as i32
    }

    /// Where an event has its first argument.
    pub fn first_arg(&self) -> i16 {
        if self.marked { 16 } else { 8 }
    }

    /// How far behind the record something in the slot is.
    pub fn behind(&self, in_slot: i16) -> i16 {
        in_slot - self.record
    }

    /// Where an event has the time of its mark.
    pub const MARK: i16 = 8;

    /// Bytes of all but the record.
    fn bytes(&self) -> u32 {
        40 + (aside::EVENTS as u32 + 1) * self.size() as u32
    }
}

/// Where the record of a team's thread has what it says of the thread.
#[derive(Debug, Clone, Copy)]
pub struct TeamLayout {
    /// `pid_tgid`.
    pub thread: i16,
    /// The CPU on which the step began.
    pub cpu: i16,
}

/// Open calls of a thread, of one point, that are told from those that were left by an exception long ago. Deeper ones are
/// counted as well; among them only a call of the same frame tells that one was left.
pub const LEVELS: u32 = 16;

/// Where a call of a function that a script names has what it needs of the calls around it.
#[derive(Debug, Clone, Copy)]
pub struct CallLayout {
    /// In the thread slot: how many calls of the point are open.
    pub depth: i16,
    /// In the thread slot: when the open calls began, those [`LEVELS`] deeper in the places of others.
    pub began: i16,
    /// In the thread slot: how long calls from within the one at hand took, [`ABSENT`] if that is not known.
    pub inner: i16,
    /// In the record: `depth` when it began.
    pub at_depth: i16,
    /// In the record: `inner` when it began.
    pub before: i16,
}

/// Where a record has what concerns its parts.
#[derive(Debug, Clone)]
pub struct PartsLayout {
    /// The number of the part at hand.
    pub index: i16,
    /// How many there are.
    pub number: i16,
    /// What is put together: of the event, or of the row at hand.
    pub gathered: Vec<i16>,
}

impl PartsLayout {
    /// Bytes of a value of [`MapId::Parts`].
    pub fn value_size(&self) -> u32 {
        part::VALUES as u32 + 8 * self.gathered.len() as u32
    }
}

impl PointLayout {
    /// Where the thread slot has the number of threads of the team that the thread is number 0 of; it follows the state
    /// key.
    pub fn team_size(&self) -> i16 {
        self.in_slot + self.state_key as i16
    }
}

/// Offsets in every record.
pub mod record {
    /// Start time in ns; 0 while no event is open.
    pub const START: i16 = 0;
    /// The stack pointer at the entry (spans).
    pub const SP: i16 = 8;
    /// A bit per table of the point whose open conditions hold.
    pub const MATCH: i16 = 16;
    /// The first capture.
    pub const CAPTURES: i16 = 24;
}

/// Offsets in every event of a streamed table. The key follows, then a word per value of each slot, then the context.
pub mod sent {
    /// The table's index, 4 bytes, and the process, 4 bytes.
    pub const HEAD: i16 = 0;
    /// When it ended, in ns.
    pub const TIME: i16 = 8;
    /// The key.
    pub const KEY: i16 = 16;
}

/// Where the parts of a row lie.
#[derive(Debug, Clone, Default)]
pub struct TableLayout {
    /// Offsets of key fields.
    pub key: Vec<u32>,
    /// Bytes of the key, at least 8.
    pub key_size: u32,
    /// Offsets of slots in the value; none for histograms kept in a map of their own.
    pub slots: Vec<Option<u32>>,
    /// Bytes of the value, at least 8.
    pub value_size: u32,
    /// Where its fresh row lies in [`MapId::Fresh`].
    pub fresh: u32,
    /// Bytes of an event of it that is sent; 0 if none is. See [`sent`].
    pub event_size: u32,
    /// The table in whose map its rows lie, where offsets and sizes are: mostly itself. See [`crate::together`].
    pub kept_in: usize,
    /// The tables whose rows lie in its map, itself first; none if its own lie in another's.
    pub keeps: Vec<usize>,
    /// Whether rows lie in front of its map: see [`front`].
    pub front: bool,
}

impl TableLayout {
    /// Bytes of a row in front of its map.
    pub fn front_row(&self) -> u32 {
        front::VALUE as u32 + self.value_size + self.key_size
    }
}

impl Layout {
    /// The layout of a plan.
    ///
    /// # Errors
    /// [`BuildError::Row`] and [`BuildError::Record`] if something is larger than an instruction can reach into.
    pub fn new(plan: &Plan) -> Result<Layout, BuildError> {
        Self::with(plan, together::tables(plan, true))
    }

    /// As [`Layout::new`], with rows of its own for each table and a place of its own for each of its values.
    ///
    /// # Errors
    /// As there.
    pub fn apart(plan: &Plan) -> Result<Layout, BuildError> {
        Self::with(plan, together::tables(plan, false))
    }

    fn with(plan: &Plan, mut tables: Vec<TableLayout>) -> Result<Layout, BuildError> {
        for (table, layout) in plan.tables.iter().zip(&tables).filter(|(t, _)| !t.streamed) {
            if layout.value_size > REACH {
                return Err(BuildError::Row { table: table.name.clone(), bytes: layout.value_size });
            }
        }
        // A thread slot begins with a word that says whether it is known where in a step the thread is.
        let mut slot = 8u32;
        let points = plan
            .points
            .iter()
            .enumerate()
            .map(|(id, p)| {
                let mut l = PointLayout::default();
                if !p.used {
                    return l;
                }
                let mut at = record::CAPTURES as u32;
                let mut take = |bytes: u32| {
                    let here = at as i16;
                    at += bytes;
                    here
                };
                l.captures = p.captures.iter().map(|c| take(c.bytes())).collect();
                l.accums = p.accums.iter().map(|_| take(8)).collect();
                l.series = p.series.iter().map(|_| take(8)).collect();
                l.mark = p.mark.as_ref().map(|_| take(8));
                l.team = p.team.as_ref().map(|_| TeamLayout { thread: take(8), cpu: take(8) });
                l.parts = p.parts.as_ref().map(|parts| PartsLayout {
                    index: take(8),
                    number: take(8),
                    gathered: parts.gathered.iter().map(|_| take(8)).collect(),
                });
                l.counts = (!p.counters.is_empty()).then(|| CountsLayout {
                    whose: take(8),
                    cpu: take(8),
                    counters: p.counters.iter().map(|c| readings(*c).map(|_| [take(8), take(8)]).collect()).collect(),
                });
                if p.each.is_some() {
                    l.element = [take(8), take(8)];
                }
                let call = (p.template == Template::Call).then(|| (take(8), take(8)));
                let scratch = plan
                    .tables
                    .iter()
                    .zip(&tables)
                    .filter(|(t, l)| t.point == id && (t.streamed || !l.keeps.is_empty()))
                    .map(|(_, l)| (l.key_size + 8).max(l.event_size))
                    .max()
                    .unwrap_or(0);
                l.scratch = take(scratch);
                l.size = at;
                l.in_slot = slot as i16;
                l.state_key = 8 * (1 + p.state_by.len() as u32);
                if let Some((at_depth, before)) = call {
                    // Thread and stack pointer.
                    l.state_key = 16;
                    let depth = l.in_slot + 16;
                    l.call = Some(CallLayout { depth, inner: depth + 8, began: depth + 16, at_depth, before });
                }
                l.by_state = p.template == Template::Sequence && !p.state_by.is_empty();
                slot += match p.template {
                    Template::Sequence if l.by_state => l.state_key + if p.team.is_some() { 8 } else { 0 },
                    Template::Call => l.state_key + 16 + 8 * LEVELS,
                    Template::Fault => {
                        l.began = (slot + l.size) as i16;
                        l.size + 8
                    }
                    _ => l.size,
                };
                if p.aside {
                    let mut record = l.in_slot;
                    if l.by_state {
                        // The slot has the key already.
                        record = slot as i16;
                        slot += l.size;
                    }
                    let at = slot as i16;
                    let args = aside::arguments(plan, id).into_iter().map(str::to_owned).collect();
                    let marked = l.mark.is_some();
                    let of = AsideLayout {
                        record,
                        count: at,
                        index: at + 8,
                        ordinal: at + 16,
                        team: at + 24,
                        ended: at + 32,
                        events: at + 40,
                        marked,
                        args,
                    };
                    slot += of.bytes();
                    l.aside = Some(of);
                }
                let mut at = 0;
                l.checks = p
                    .checks
                    .iter()
                    .map(|c| {
                        let mut leaf = |bytes: u32| {
                            at += bytes;
                            at - bytes
                        };
                        c.leaves.iter().map(|c| leaf(c.bytes())).collect()
                    })
                    .collect();
                l.check_size = at.max(8);
                l
            })
            .collect::<Vec<_>>();
        for (p, l) in plan.points.iter().zip(&points) {
            if l.size > REACH || slot > REACH {
                return Err(BuildError::Record { point: p.name.clone(), bytes: l.size });
            }
        }
        let of_parts = points.iter().filter_map(|l: &PointLayout| l.parts.as_ref()).map(PartsLayout::value_size);
        let counted = counted_size(&plan.counters());
        let zeros = points
            .iter()
            .map(|l: &PointLayout| l.size)
            .chain(of_parts)
            .fold(slot.max(SERIES_VALUE).max(counted), u32::max);
        for (table, layout) in plan.tables.iter().zip(&mut tables) {
            let limited = layout.keeps.iter().any(|t| plan.tables[*t].limit < DEFAULT_LIMIT);
            let is_kept = !layout.keeps.is_empty() && !table.cleared && !table.streamed && !limited;
            let is_small = layout.slots.iter().all(Option::is_some) && layout.value_size <= 256;
            layout.front = plan.points[table.point].aside && is_kept && is_small && layout.key_size >= FRONT_KEY;
        }
        let mut at = zeros.next_multiple_of(8);
        for i in 0..tables.len() {
            tables[i].fresh = at;
            if tables[i].kept_in != i {
                tables[i].fresh = tables[tables[i].kept_in].fresh;
            } else if tables[i].event_size == 0 {
                at += tables[i].value_size;
            }
        }
        let fresh_size = at;
        let points_count = points.len() as u32;
        let words = counter::POINTS + points_count * POINT_WORDS + tables.len() as u32 * TABLE_WORDS;
        let marks: Vec<PointId> = (0..plan.points.len()).filter(|p| plan.points[*p].mark.is_some()).collect();
        Ok(Layout {
            counter_words: words + marks.len() as u32,
            marks,
            thread_size: slot,
            points,
            tables,
            zeros,
            fresh_size,
            points_count,
        })
    }

    /// Index of a point's counter word.
    pub fn point_counter(&self, point: PointId, which: PointCounter) -> u32 {
        counter::POINTS + point as u32 * POINT_WORDS + which as u32
    }

    /// Index of a table's counter word.
    pub fn table_counter(&self, table: usize, which: TableCounter) -> u32 {
        counter::POINTS + self.points_count * POINT_WORDS + table as u32 * TABLE_WORDS + which as u32
    }

    /// Index of the word that is 1 once the mark of a point was reached.
    pub fn mark_counter(&self, point: PointId) -> u32 {
        let behind = self.marks.iter().take_while(|p| **p != point).count() as u32;
        self.counter_words - self.marks.len() as u32 + behind
    }

    /// The value of [`MapId::Fresh`].
    pub fn fresh(&self, plan: &Plan) -> Vec<u8> {
        let mut all = vec![0u8; self.fresh_size as usize];
        for (table, layout) in plan.tables.iter().zip(&self.tables).filter(|(t, _)| !t.streamed) {
            for (slot, at) in table.slots.iter().zip(&layout.slots).filter(|(slot, _)| slot.derived.is_none()) {
                let start = match slot.how {
                    SlotHow::Min => i64::MAX,
                    SlotHow::Max => i64::MIN,
                    _ => continue,
                };
                if let Some(at) = at {
                    all[(layout.fresh + at) as usize..][..8].copy_from_slice(&start.to_ne_bytes());
                }
            }
        }
        all
    }
}

/// Number of the bucket of `value` in a histogram with 2^k buckets per power of two: negative values have 0, zero has 1.
pub fn bucket_of(value: i64, k: u32) -> u64 {
    match value {
        i64::MIN..=-1 => 0,
        0 => 1,
        _ => {
            let n = value.ilog2();
            let rest = (value as u64) & !(1 << n);
            let sub = if n >= k { rest >> (n - k) } else { rest << (k - n) };
            2 + (u64::from(n) << k) + sub
        }
    }
}

/// Number of the bucket of `value` in a range cut evenly: what is below has 0, what is above the last.
pub fn linear_bucket_of(value: i64, linear: Linear) -> u64 {
    if value < linear.lo {
        return 0;
    }
    if value >= linear.hi {
        return u64::from(linear.buckets) + 1;
    }
    let above = value.wrapping_sub(linear.lo) as u64;
    1 + match linear.width() {
        Some(width) => above / width as u64,
        None => above * u64::from(linear.buckets) / linear.hi.wrapping_sub(linear.lo) as u64,
    }
}

/// The values `lo..hi` of a bucket of a range cut evenly.
pub fn linear_bucket_range(bucket: u64, linear: Linear) -> (i64, i64) {
    let range = i128::from(linear.hi) - i128::from(linear.lo);
    let buckets = i128::from(linear.buckets);
    // The smallest value that falls into the bucket: rounded up.
    let at = |n: u64| {
        let above = (range * i128::from(n) + buckets - 1) / buckets;
        (i128::from(linear.lo) + above) as i64
    };
    match bucket {
        0 => (i64::MIN, linear.lo),
        n if n > u64::from(linear.buckets) => (linear.hi, i64::MAX),
        n => (at(n - 1), at(n)),
    }
}

/// The values `lo..hi` of a bucket.
pub fn bucket_range(bucket: u64, k: u32) -> (i64, i64) {
    match bucket {
        0 => (i64::MIN, 0),
        1 => (0, 1),
        _ => {
            let b = bucket - 2;
            let (n, sub) = ((b >> k) as u32, b & ((1 << k) - 1));
            let at = |sub: u64| -> i64 {
                let base = 1u128 << n;
                let v = base + ((u128::from(sub) << n) >> k);
                i64::try_from(v).unwrap_or(i64::MAX)
            };
            // Below 2^k several sub-buckets share a number; only the first of them is ever filled.
            (at(sub), at(sub + 1).max(at(sub).saturating_add(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_range_of_its_even_bucket() {
        for linear in [
            Linear { lo: 0, hi: 100, buckets: 10 },
            Linear { lo: -7, hi: 14, buckets: 7 },
            // A tenth in fixed point: no whole number of units.
            Linear { lo: 0, hi: 1 << 32, buckets: 10 },
            Linear { lo: i64::MIN / 4, hi: i64::MAX / 4, buckets: 1 },
        ] {
            let mut values = vec![i64::MIN + 1, linear.lo - 1, linear.lo, linear.hi - 1, linear.hi, i64::MAX];
            for bucket in 0..u64::from(linear.all()) {
                let (lo, hi) = linear_bucket_range(bucket, linear);
                values.extend([lo, lo.saturating_add(1), hi - 1]);
            }
            for value in values {
                let bucket = linear_bucket_of(value, linear);
                let (lo, hi) = linear_bucket_range(bucket, linear);
                assert!(lo <= value && (value < hi || hi == i64::MAX), "{value} not in {lo}..{hi} of {linear:?}");
                assert!(bucket < u64::from(linear.all()));
            }
        }
    }

    #[test]
    fn every_value_is_in_the_range_of_its_bucket() {
        let mut values: Vec<i64> = (-3..2000).collect();
        for n in 10..63u32 {
            let v = 1i64 << n;
            values.extend([v - 1, v, v + 1, v + v / 3]);
        }
        values.push(i64::MAX);
        for k in [0, 2, 5, 8] {
            let mut last = 0;
            for &v in values.iter().filter(|v| **v > 0) {
                let b = bucket_of(v, k);
                let (lo, hi) = bucket_range(b, k);
                assert!(lo <= v && (v < hi || v == i64::MAX), "{v} not in {lo}..{hi} (k={k})");
                assert!(
                    (hi - lo) as f64 <= (v as f64 / f64::from(1 << k)).max(1.0),
                    "{v}: {lo}..{hi} too wide (k={k})"
                );
                let _ = last.max(b);
                last = b;
            }
            assert_eq!(bucket_of(-1, k), 0);
            assert_eq!(bucket_of(0, k), 1);
        }
        assert_eq!(bucket_of(i64::MAX, 0) + 1, u64::from(LOG2_BUCKETS));
    }
}
