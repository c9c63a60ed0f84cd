//! Rows: out of the kernel's maps, decoded, filtered, merged over instances by the keys that are shown.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use profinfer_compiler::eval::{Value, eval, truth};
use profinfer_compiler::plan::{FIXED_ONE, SlotHow, Table, UserExpr};
use profinfer_compiler::types::Type;
use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::{
    ABSENT, ABSENT_TEXT, LOG2_BUCKETS, MapId, TableLayout, bucket_of, front, linear_bucket_of,
};

use super::caches::{Frequencies, LruDepths};
use super::instance::Instance;
use super::stream::Line;
use crate::kernel::{KernelError, Map};

/// What is kept of a slot, merged.
#[derive(Debug, Clone, PartialEq)]
pub enum SlotValue {
    /// Counts, sums, minima and maxima.
    Number(i64),
    /// Counts by bucket.
    Buckets(HashMap<u64, u64>),
    /// The last one, with the time of its event.
    Last(Option<(u64, i64)>),
    /// Different values.
    Distinct(HashSet<i64>),
    /// Depths in stacks of least recent use.
    Lru(LruDepths),
    /// How often each value came, for each cache.
    Pinned(Frequencies),
    /// A line through points.
    Line(Line),
}

impl SlotValue {
    /// How many different values are kept for it.
    pub fn kept(&self) -> usize {
        match self {
            Self::Distinct(values) => values.len(),
            Self::Lru(depths) => depths.kept(),
            Self::Pinned(counts) => counts.kept(),
            Self::Number(_) | Self::Buckets(_) | Self::Last(_) | Self::Line(_) => 0,
        }
    }
}

/// A key as it is compared: floats by their bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Nothing.
    Absent,
    /// A whole number.
    Int(i64),
    /// A number with a fraction, by its bits.
    Float(u64),
    /// Text.
    Text(String),
    /// A truth value.
    Bool(bool),
}

impl From<Value> for Key {
    fn from(v: Value) -> Key {
        match v {
            Value::Absent => Key::Absent,
            Value::Int(n) => Key::Int(n),
            Value::Float(x) => Key::Float(x.to_bits()),
            Value::Text(s) => Key::Text(s),
            Value::Bool(b) => Key::Bool(b),
        }
    }
}

/// Rows by their shown keys.
pub type Rows = IndexMap<Vec<Key>, Vec<SlotValue>>;

/// Where the maps of a table are: those written to now, or those taken out by a swap.
pub enum Source<'m> {
    /// Still written to.
    Live,
    /// Taken out.
    Full(&'m HashMap<MapId, Map>),
}

impl<'m> Source<'m> {
    fn map(&self, id: MapId, table: usize, instance: &'m Instance) -> Option<&'m Map> {
        match self {
            Self::Live => instance.current(id, table),
            Self::Full(maps) => maps.get(&id),
        }
    }
}

/// Adds the rows of one instance to `rows`; gives back how many of the kernel's rows found no place within the limit.
///
/// # Errors
/// A map cannot be read.
pub fn gather(
    rows: &mut Rows,
    index: usize,
    table: &Table,
    instance: &Instance,
    source: &Source<'_>,
) -> Result<u64, KernelError> {
    let layout = &instance.layout.tables[index];
    gather_of(rows, table, layout, &instance.facts, |hist, each| {
        let id = hist.map_or(MapId::Table(layout.kept_in), |slot| MapId::Hist(index, slot));
        let Some(map) = source.map(id, index, instance) else { return Ok(false) };
        map.for_each(&mut *each)?;
        let front = instance.map(MapId::Front(layout.kept_in)).filter(|_| hist.is_none());
        if let Some(front) = front {
            front.for_each(|_, all| rows_in_front(all, layout, each))?;
        }
        Ok(true)
    })
}

/// The rows that lie in front of a table's map: see [`front`].
fn rows_in_front(all: &[u8], layout: &TableLayout, each: &mut dyn FnMut(&[u8], &[u8])) {
    for row in all.chunks_exact(layout.front_row() as usize) {
        let (head, rest) = row.split_at(front::VALUE as usize);
        if word(head) == front::READY as u64 {
            let (value, key) = rest.split_at(layout.value_size as usize);
            each(key, value);
        }
    }
}

/// As [`gather`], of rows that lie as the kernel's do, wherever they are: `all` tells those of the table, or of the histogram of a
/// slot that has a map of its own, and whether there are any to tell.
///
/// # Errors
/// `all` cannot tell them.
pub fn gather_of<E>(
    rows: &mut Rows,
    table: &Table,
    layout: &TableLayout,
    facts: &TargetFacts,
    mut all: impl FnMut(Option<usize>, &mut dyn FnMut(&[u8], &[u8])) -> Result<bool, E>,
) -> Result<u64, E> {
    let mut lost = 0;
    let derives = table.slots.iter().any(|s| s.derived.is_some());
    let there = all(None, &mut |key, value| {
        if let Some(row) = row_of(rows, key, table, layout, facts, &mut lost) {
            let found = if derives { derived(key, table, layout, facts) } else { Vec::new() };
            for (i, ((slot, at), into)) in table.slots.iter().zip(&layout.slots).zip(row).enumerate() {
                let Some(at) = at else { continue };
                let value = &value[*at as usize..];
                match slot.derived {
                    None => add(into, slot.how, value),
                    Some(_) => {
                        if let Some([Some(number), _]) = found.get(i) {
                            add_times(into, slot.how, *number, word(value));
                        }
                    }
                }
            }
        }
    })?;
    if !there {
        return Ok(lost);
    }
    for (i, slot) in table.slots.iter().enumerate() {
        if !matches!(slot.how, SlotHow::Hist(k) if k > 0) || slot.derived.is_some() {
            continue;
        }
        all(Some(i), &mut |key, value| {
            let (key, bucket) = key.split_at(layout.key_size as usize);
            // The row itself has been counted as lost above.
            let Some(row) = row_of(rows, key, table, layout, facts, &mut 0) else { return };
            if let SlotValue::Buckets(buckets) = &mut row[i] {
                *buckets.entry(word(bucket)).or_default() += word(value);
            }
        })?;
    }
    Ok(lost)
}

/// The row of a kernel key, made if it is new; none if user space filters it out, or if the table is full.
fn row_of<'r>(
    rows: &'r mut Rows,
    key: &[u8],
    table: &Table,
    layout: &TableLayout,
    facts: &TargetFacts,
    lost: &mut u64,
) -> Option<&'r mut Vec<SlotValue>> {
    let shown = shown(key, table, layout, facts)?;
    let place = place(rows, shown, table);
    *lost += u64::from(place.is_none());
    Some(&mut rows[place?])
}

/// The keys that are shown of a kernel key; none if user space filters the row out.
pub(super) fn shown(key: &[u8], table: &Table, layout: &TableLayout, facts: &TargetFacts) -> Option<Vec<Key>> {
    let fields = fields(key, table, layout, facts);
    let counts = |name: &str| facts.enums.get(name).map(|words| words.len() as i64);
    if let Some(condition) = &table.user
        && !truth(&eval(condition, &fields, &counts))
    {
        return None;
    }
    Some(table.keys.iter().map(|k| eval(&k.value, &fields, &counts).into()).collect())
}

/// The key fields of a kernel key.
fn fields(key: &[u8], table: &Table, layout: &TableLayout, facts: &TargetFacts) -> Vec<Value> {
    let fields = table.key.iter().zip(&layout.key);
    fields.map(|(f, at)| decode(&key[*at as usize..][..f.bytes() as usize], &f.ty, facts)).collect()
}

/// What each slot's number and its other axis are, where user space finds them in a kernel key.
pub(super) fn derived(key: &[u8], table: &Table, layout: &TableLayout, facts: &TargetFacts) -> Vec<[Option<i64>; 2]> {
    let fields = fields(key, table, layout, facts);
    let counts = |name: &str| facts.enums.get(name).map(|words| words.len() as i64);
    let number = |e: &Option<UserExpr>, fixed: bool| {
        let value = match eval(e.as_ref()?, &fields, &counts) {
            Value::Int(n) if !fixed => return Some(n),
            Value::Int(n) => n as f64,
            Value::Float(x) => x,
            Value::Bool(b) => return Some(i64::from(b)),
            Value::Absent | Value::Text(_) => return None,
        };
        Some(if fixed { (value * FIXED_ONE as f64) as i64 } else { value as i64 })
    };
    table.slots.iter().map(|s| [number(&s.derived, s.fixed), number(&s.against_derived, s.against_fixed)]).collect()
}

/// Where the row of these keys is, made if it is new; none if the table is full.
pub(super) fn place(rows: &mut Rows, shown: Vec<Key>, table: &Table) -> Option<usize> {
    if rows.len() as u64 >= table.limit && !rows.contains_key(&shown) {
        return None;
    }
    let entry = rows.entry(shown);
    let at = entry.index();
    entry.or_insert_with(|| {
        let fresh = |how: SlotHow| match how {
            SlotHow::Hist(_) | SlotHow::Linear(_) => SlotValue::Buckets(HashMap::new()),
            SlotHow::Last => SlotValue::Last(None),
            SlotHow::Distinct => SlotValue::Distinct(HashSet::new()),
            SlotHow::Lru => SlotValue::Lru(LruDepths::default()),
            SlotHow::Pinned => SlotValue::Pinned(Frequencies::default()),
            SlotHow::Slope => SlotValue::Line(Line::default()),
            SlotHow::Min => SlotValue::Number(i64::MAX),
            SlotHow::Max => SlotValue::Number(i64::MIN),
            _ => SlotValue::Number(0),
        };
        table.slots.iter().map(|s| fresh(s.how)).collect()
    });
    Some(at)
}

/// The number of the bucket of a value in a slot's histogram.
pub(super) fn bucket(value: i64, how: SlotHow) -> u64 {
    match how {
        SlotHow::Linear(linear) => linear_bucket_of(value, linear),
        SlotHow::Hist(k) => bucket_of(value, k),
        _ => 0,
    }
}

/// Adds a number that `n` events have.
fn add_times(into: &mut SlotValue, how: SlotHow, number: i64, n: u64) {
    match into {
        _ if n == 0 => {}
        SlotValue::Buckets(buckets) => *buckets.entry(bucket(number, how)).or_default() += n,
        SlotValue::Number(all) => {
            *all = match how {
                SlotHow::Min => (*all).min(number),
                SlotHow::Max => (*all).max(number),
                SlotHow::Sum => all.wrapping_add(number.wrapping_mul(n as i64)),
                _ => all.wrapping_add(n as i64),
            };
        }
        // Only streamed tables have these.
        SlotValue::Last(_) | SlotValue::Distinct(_) | SlotValue::Lru(_) | SlotValue::Pinned(_) | SlotValue::Line(_) => {
        }
    }
}

fn add(into: &mut SlotValue, how: SlotHow, bytes: &[u8]) {
    match into {
        SlotValue::Buckets(buckets) => {
            let all = if let SlotHow::Linear(linear) = how { linear.all() } else { LOG2_BUCKETS };
            for (bucket, count) in bytes[..all as usize * 8].chunks_exact(8).enumerate() {
                let n = word(count);
                if n > 0 {
                    *buckets.entry(bucket as u64).or_default() += n;
                }
            }
        }
        // Only streamed tables have these; their rows do not come from maps.
        SlotValue::Last(_) | SlotValue::Distinct(_) | SlotValue::Lru(_) | SlotValue::Pinned(_) | SlotValue::Line(_) => {
        }
        SlotValue::Number(n) => {
            let new = word(bytes) as i64;
            *n = match how {
                SlotHow::Min => (*n).min(new),
                SlotHow::Max => (*n).max(new),
                _ => n.wrapping_add(new),
            };
        }
    }
}

pub(in crate::session) fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |b| u64::from_ne_bytes(*b))
}

/// A value as the kernel keeps it, by its type. Words of enums become text.
pub fn decode(bytes: &[u8], ty: &Type, facts: &TargetFacts) -> Value {
    if let Type::Str(_) = ty {
        if bytes.first() == Some(&ABSENT_TEXT) {
            return Value::Absent;
        }
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        return Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned());
    }
    let n = word(bytes) as i64;
    match ty {
        _ if n == ABSENT || n == 0 && ty.is_pointer() => Value::Absent,
        Type::Bool => Value::Bool(n != 0),
        Type::Stack => facts.stacks.get(&n).map_or(Value::Absent, |text| Value::Text(text.clone())),
        Type::Ratio => Value::Float(n as f64 / FIXED_ONE as f64),
        Type::Enum(of) => Value::Text(facts.word(of, n).map_or_else(|| n.to_string(), str::to_owned)),
        _ => Value::Int(n),
    }
}
