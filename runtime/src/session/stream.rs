//! Streamed tables: their events come one by one, and their rows are kept here.

use std::collections::HashMap;
use std::sync::Arc;

use profinfer_compiler::plan::{Plan, SlotHow, Table};
use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::{ABSENT, Layout, TableLayout, sent};

use super::caches::Room;
use super::rows::{Key, Rows, SlotValue, bucket, derived, place, shown, word};

/// The keys of a row as they are shown, kept once.
type Keys = Arc<[Key]>;
/// What a kernel key comes to: the keys that are shown, and the numbers that slots find in it.
#[derive(Debug, Clone)]
struct Known {
    keys: Keys,
    derived: Arc<[[Option<i64>; 2]]>,
}
/// A slot of a row, process and context: what a gap is measured along.
type Along = (usize, Keys, u32, i64);

/// The rows of streamed tables.
#[derive(Debug, Default)]
pub struct Streams {
    /// By the table that they add to.
    tables: HashMap<usize, Stream>,
    /// What became of the kernel's keys, by the kernel's table.
    keys: HashMap<usize, HashMap<Vec<u8>, Option<Known>>>,
    /// Values of the events before, by slot and keys, process and context. They outlive a clear.
    before: HashMap<Along, i64>,
    /// Values that found no place among those that are kept, since the beginning.
    over: u64,
    /// For more values.
    room: Room,
}

#[derive(Debug, Default)]
struct Stream {
    rows: Rows,
    /// Events that found no row within the limit, since the rows were last taken.
    over: u64,
}

/// What all slots of a row are told of an event.
struct Event<'e> {
    process: u32,
    context: i64,
    time: u64,
    keys: &'e Keys,
}

impl Streams {
    /// Counts an event as it was sent; see [`sent`].
    pub fn count(&mut self, event: &[u8], plan: &Plan, facts: &TargetFacts, layout: &Layout) {
        let head = word(event);
        let index = (head & u64::from(u32::MAX)) as usize;
        let (Some(table), Some(lies)) = (plan.tables.get(index), layout.tables.get(index)) else { return };
        let (key, values) = event[sent::KEY as usize..].split_at(lies.key_size as usize);
        let Some(Known { keys, derived }) = self.keys_of((index, key), table, lies, facts) else { return };
        let stream = self.tables.entry(table.adds_to).or_default();
        let known = stream.rows.get_index_of(&keys[..]);
        let Some(row) = known.or_else(|| place(&mut stream.rows, keys.to_vec(), table)) else {
            stream.over += 1;
            return;
        };
        let mut values = values.chunks_exact(8).map(|b| word(b) as i64);
        let context = if table.context.is_some() { values.next_back().unwrap_or(ABSENT) } else { ABSENT };
        let time = word(&event[sent::TIME as usize..]);
        let event = Event { process: (head >> 32) as u32, context, time, keys: &keys };
        for (i, slot) in table.slots.iter().enumerate() {
            let found = |which: usize| derived.get(i).and_then(|d| d[which]).unwrap_or(ABSENT);
            let mut of = slot.of.as_ref().map(|_| values.next().unwrap_or(ABSENT));
            of = of.or_else(|| slot.derived.as_ref().map(|_| found(0)));
            let against = slot.against.as_ref().map(|_| values.next().unwrap_or(ABSENT));
            let against = against.or_else(|| slot.against_derived.as_ref().map(|_| found(1)));
            if slot.gap
                && let Some(value) = of
            {
                // The slots of one gap keep it each for itself.
                of = Some(match value {
                    ABSENT => ABSENT,
                    value => {
                        let place = (i, Arc::clone(event.keys), event.process, event.context);
                        let has_room = self.before.contains_key(&place) || self.room.take();
                        self.over += u64::from(!has_room);
                        let before = has_room.then(|| self.before.insert(place, value)).flatten();
                        before.map_or(ABSENT, |before| value.wrapping_sub(before))
                    }
                });
            }
            if of != Some(ABSENT) {
                let (into, value) = (&mut stream.rows[row][i], of.unwrap_or_default());
                let is_kept = add(into, slot.how, value, against, &event, &mut self.room);
                self.over += u64::from(!is_kept);
            }
        }
    }

    /// Values that found no place among those that are kept, since the beginning.
    pub fn over(&self) -> u64 {
        self.over
    }

    /// The rows of a table as they are now, and how many events found no row.
    pub fn live(&self, table: usize) -> (Rows, u64) {
        self.tables.get(&table).map_or_else(Default::default, |s| (s.rows.clone(), s.over))
    }

    /// The rows of a table, which is empty after, and how many events found no row.
    pub fn take(&mut self, table: usize) -> (Rows, u64) {
        let Some(stream) = self.tables.get_mut(&table) else { return Default::default() };
        self.room.give_back(stream.rows.values().flatten().map(SlotValue::kept).sum());
        (std::mem::take(&mut stream.rows), std::mem::take(&mut stream.over))
    }

    /// The keys that are shown of a kernel key; none if user space filters it out.
    fn keys_of(
        &mut self,
        (index, key): (usize, &[u8]),
        table: &Table,
        lies: &TableLayout,
        facts: &TargetFacts,
    ) -> Option<Known> {
        let keys = self.keys.entry(index).or_default();
        if let Some(known) = keys.get(key) {
            return known.clone();
        }
        // They are only kept so as not to be made anew.
        if keys.len() >= Room::ALL {
            keys.clear();
        }
        let known = || {
            let keys = Arc::from(shown(key, table, lies, facts)?);
            Some(Known { keys, derived: Arc::from(derived(key, table, lies, facts)) })
        };
        keys.entry(key.to_vec()).or_insert_with(known).clone()
    }
}

/// Adds a value that is there to a slot; false if it is one too many to keep.
#[must_use]
fn add(
    into: &mut SlotValue,
    how: SlotHow,
    value: i64,
    against: Option<i64>,
    event: &Event<'_>,
    room: &mut Room,
) -> bool {
    match into {
        SlotValue::Number(n) => {
            *n = match how {
                SlotHow::Count | SlotHow::Present => *n + 1,
                SlotHow::Min => (*n).min(value),
                SlotHow::Max => (*n).max(value),
                _ => n.wrapping_add(value),
            };
        }
        SlotValue::Buckets(buckets) => {
            *buckets.entry(bucket(value, how)).or_default() += 1;
        }
        SlotValue::Last(last) => {
            if last.is_none_or(|(time, _)| time <= event.time) {
                *last = Some((event.time, value));
            }
        }
        SlotValue::Distinct(values) => {
            if !values.contains(&value) {
                return room.take() && values.insert(value);
            }
        }
        // Without anything to tell caches apart by there is one; where it is absent, there is none to look in.
        SlotValue::Lru(_) | SlotValue::Pinned(_) if against == Some(ABSENT) => {}
        SlotValue::Lru(depths) => return depths.count((event.process, event.context, against), value, room),
        SlotValue::Pinned(counts) => return counts.count((event.process, event.context, against), value, room),
        SlotValue::Line(line) => {
            if let Some(x) = against.filter(|x| *x != ABSENT) {
                line.add(x as f64, value as f64);
            }
        }
    }
    true
}

/// The straight line with the least squares through points, one point at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Line {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    /// Sum of the squares of x less its mean.
    xx: f64,
    /// Sum of the products of both less their means.
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.n;
        self.mean_y += dy / self.n;
        self.xx += dx * (x - self.mean_x);
        self.xy += dx * (y - self.mean_y);
    }

    /// Its slope; none while all points have one x.
    pub fn slope(&self) -> Option<f64> {
        (self.xx > 0.0).then(|| self.xy / self.xx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_the_one_that_ended_last_whichever_came_first() {
        let keys: Keys = Arc::from(Vec::new());
        let mut last = SlotValue::Last(None);
        for (time, value) in [(20, 7), (30, 8), (10, 9)] {
            let event = Event { process: 1, context: ABSENT, time, keys: &keys };
            assert!(add(&mut last, SlotHow::Last, value, None, &event, &mut Room::default()));
        }
        assert_eq!(last, SlotValue::Last(Some((30, 8))));
    }

    #[test]
    fn a_line_through_points_on_a_line_has_its_slope() {
        let mut line = Line::default();
        assert_eq!(line.slope(), None);
        (0..100).for_each(|x| line.add(1e12 + f64::from(x), 7.0 - 3.0 * f64::from(x)));
        assert!((line.slope().unwrap_or_default() + 3.0).abs() < 1e-6, "{line:?}");
    }
}
