//! Columns: from the slots of merged rows to what is shown, and the order in which it is shown.

use std::cmp::Ordering;
use std::collections::HashMap;

use indexmap::IndexMap;
use profinfer_compiler::QUANTILE_K;
use profinfer_compiler::plan::{
    ColumnExpr, FIXED_ONE, OutColumn, OutKey, PrintPart, Slot, SlotHow, SortBy, Table, UserExpr,
};
use profinfer_compiler::types::{ArithOp, CmpOp, Type};
use profinfer_ebpf::layout::{bucket_range, linear_bucket_range};

use super::rows::{Key, Rows, SlotValue};
use crate::ceilings::Ceilings;
use crate::record::{Bucket, Column, Part, Quantity, Row, Value};
use crate::view::shown;

/// The error bound of a quantile: half a bucket of 2^5 per power of two.
const QUANTILE_ERROR: &str = "±1.6 %";
const _: () = assert!(QUANTILE_K == 5);

/// Nanoseconds in a second: rates are kept per nanosecond until they are shown.
const PER_SECOND: f64 = 1e9;

/// A number on its way to a cell: whole as long as it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Absent,
    Int(i64),
    Float(f64),
}

impl Number {
    fn float(self) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Int(n) => Some(n as f64),
            Self::Float(x) => Some(x),
        }
    }
}

/// The heads of a table's keys and columns, those of its groups side by side.
pub fn heads(groups: &[(&Table, &Rows)]) -> (Vec<Column>, Vec<Column>) {
    let first = groups.first().into_iter().flat_map(|(t, _)| t.keys.iter().enumerate());
    let keys = first.map(|(i, k)| {
        // A key may be absent throughout one group and something in another.
        let types = groups.iter().filter_map(|(t, _)| t.keys.get(i)).map(|k| &k.ty);
        let ty = types.clone().find(|ty| **ty != Type::Absent).unwrap_or(&k.ty);
        let whole = groups.iter().filter_map(|(t, _)| t.keys.get(i)).all(is_whole);
        Column { name: k.name.clone(), quantity: quantity(ty), error: None, whole }
    });
    let columns = groups.iter().flat_map(|(t, _)| t.columns.iter().map(move |c| (t, c)));
    let columns = columns.filter(|(_, c)| !c.is_hidden()).map(|(t, c)| {
        let quantity = match (&c.value, quantity(&c.ty)) {
            (ColumnExpr::Hist(_), Quantity::Duration) => Quantity::HistDuration,
            (ColumnExpr::Hist(_), Quantity::Bytes) => Quantity::HistBytes,
            (ColumnExpr::Hist(_), _) if c.ty == Type::Ratio => Quantity::HistRatio,
            (ColumnExpr::Hist(_), _) => Quantity::HistNumber,
            (ColumnExpr::Share(..), _) => Quantity::Share,
            (ColumnExpr::HitRates(_), _) => Quantity::HitRates,
            (_, q) => q,
        };
        let error = matches!(c.value, ColumnExpr::Quantile(..)).then_some(QUANTILE_ERROR);
        // What is computed goes on with a fraction where it leaves 64 bits.
        let whole = match &c.value {
            ColumnExpr::Slot(i, _) | ColumnExpr::Quantile(i, _) => !t.slots[*i].fixed,
            value => matches!(value, ColumnExpr::Distinct(_)),
        };
        Column { name: c.name.clone(), quantity, error, whole }
    });
    (keys.collect(), columns.collect())
}

/// What is printed of an event.
pub fn parts(parts: &[PrintPart], heads: &[OutKey], keys: &[Key]) -> Vec<Part> {
    let part = |part: &PrintPart| match part {
        PrintPart::Text(text) => Part::Text(text.clone()),
        PrintPart::Key(i) => {
            let (quantity, value) = known(heads, keys, *i);
            Part::Value { name: heads[*i].name.clone(), quantity, value, whole: is_whole(&heads[*i]) }
        }
    };
    parts.iter().map(part).collect()
}

/// Something known of an event, and what it is.
pub fn known(heads: &[OutKey], keys: &[Key], i: usize) -> (Quantity, Value) {
    let quantity = quantity(&heads[i].ty);
    (quantity, scaled(keys.get(i).map_or(Value::Absent, key_value), quantity))
}

/// Whether a key is a whole number wherever it is a number.
fn is_whole(key: &OutKey) -> bool {
    fn stays_whole(e: &UserExpr) -> bool {
        match e {
            UserExpr::Float(_) | UserExpr::Arith(..) | UserExpr::Neg(_) => false,
            UserExpr::First(all) => all.iter().all(stays_whole),
            UserExpr::If(c) => c[1..].iter().all(stays_whole),
            UserExpr::Select(_, cases) => cases.iter().all(|(_, e)| stays_whole(e)),
            UserExpr::Named(_, e) => stays_whole(e),
            _ => true,
        }
    }
    !matches!(key.ty, Type::Ratio | Type::PerSecond | Type::BytesPerSecond) && stays_whole(&key.value)
}

/// A value of user space's expressions as it is shown: rates are kept per nanosecond.
fn scaled(value: Value, quantity: Quantity) -> Value {
    match (value, quantity) {
        (Value::Int(n), Quantity::PerSecond | Quantity::BytesPerSecond) => Value::Float(n as f64 * PER_SECOND),
        (Value::Float(x), Quantity::PerSecond | Quantity::BytesPerSecond) => Value::Float(x * PER_SECOND),
        (value, _) => value,
    }
}

fn quantity(ty: &Type) -> Quantity {
    match ty {
        Type::Duration => Quantity::Duration,
        Type::Bytes => Quantity::Bytes,
        Type::PerSecond => Quantity::PerSecond,
        Type::BytesPerSecond => Quantity::BytesPerSecond,
        Type::Bool => Quantity::Bool,
        Type::Str(_) | Type::Enum(_) => Quantity::Text,
        Type::Int | Type::Ratio | Type::Absent | Type::Array(..) => Quantity::Number,
        Type::Ptr(_) | Type::NumPtr(_) | Type::PtrPtr | Type::Address => Quantity::Address,
        Type::Stack => Quantity::Stack,
    }
}

/// The rows as shown, sorted: those of its groups with the same keys in one, absent where a group has none. `wall_ns` is
/// the time over which they were gathered.
pub fn rows(groups: &[(&Table, &Rows)], wall_ns: u64, ceilings: &Ceilings, sort: Option<(SortBy, bool)>) -> Vec<Row> {
    let mut joined: IndexMap<&[Key], Vec<Option<&[SlotValue]>>> = IndexMap::new();
    for (i, (_, rows)) in groups.iter().enumerate() {
        for (keys, slots) in *rows {
            joined.entry(keys).or_insert_with(|| vec![None; groups.len()])[i] = Some(slots);
        }
    }
    let places = groups.iter().enumerate().flat_map(|(g, (t, _))| t.columns.iter().map(move |c| (g, c)));
    let computing = Computing {
        tables: groups.iter().map(|(t, _)| *t).collect(),
        totals: groups.iter().map(|(t, rows)| totals(t, rows)).collect(),
        by_name: places.clone().rev().map(|(g, c)| (c.name.as_str(), (g, &c.value))).collect(),
        wall_ns,
        ceilings,
    };
    let cells = |(keys, slots): (_, Vec<Option<&[SlotValue]>>)| {
        let cell = |(g, c): (usize, &OutColumn)| computing.of(&slots).cell(&c.value, &c.ty, g);
        (keys, places.clone().map(cell).collect())
    };
    let row = |(keys, cells): (&[Key], _)| Row { keys: keys.iter().map(key_value).collect(), cells };
    let mut out: Vec<Row> = joined.into_iter().map(cells).map(row).collect();
    let Some((table, _)) = groups.first() else { return out };
    let (by, descending) = sort.unwrap_or_else(|| default_sort(table));
    out.sort_by(|a, b| {
        let by_column = match by {
            SortBy::Key(i) => order(a.keys.get(i), b.keys.get(i), descending),
            SortBy::Column(i) => order(a.cells.get(i), b.cells.get(i), descending),
        };
        by_column.then_with(|| {
            let pairs = a.keys.iter().zip(&b.keys);
            pairs.map(|(x, y)| order(Some(x), Some(y), false)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        })
    });
    let shown: Vec<bool> = places.map(|(_, c)| !c.is_hidden()).collect();
    if shown.contains(&false) {
        for row in &mut out {
            let mut shown = shown.iter();
            row.cells.retain(|_| shown.next().copied().unwrap_or(true));
        }
    }
    out
}

fn totals(table: &Table, rows: &Rows) -> Vec<i64> {
    let add = |sum: i64, slot: &SlotValue| match slot {
        SlotValue::Number(n) => sum.wrapping_add(*n),
        _ => sum,
    };
    (0..table.slots.len()).map(|i| rows.values().fold(0, |sum, slots| add(sum, &slots[i]))).collect()
}

/// Tables whose first key is a number go by it; others by their first column, largest first.
fn default_sort(table: &Table) -> (SortBy, bool) {
    let by_key =
        table.keys.first().is_some_and(|k| matches!(k.ty, Type::Int | Type::Duration | Type::Bytes | Type::Ratio));
    let first = table.columns.iter().position(|c| !c.is_hidden()).unwrap_or(0);
    if by_key { (SortBy::Key(0), false) } else { (SortBy::Column(first), true) }
}

/// Absent comes last, either way.
fn order(a: Option<&Value>, b: Option<&Value>, descending: bool) -> Ordering {
    let rank = |v: Option<&Value>| match v {
        None | Some(Value::Absent) => None,
        Some(Value::Int(n)) => Some(*n as f64),
        Some(Value::Float(x)) => Some(*x),
        Some(Value::Bool(b)) => Some(f64::from(u8::from(*b))),
        Some(Value::Hist(buckets)) => Some(buckets.iter().map(|b| b.n as f64).sum()),
        // By the smallest cache.
        Some(Value::Curve(rates)) => rates.first().copied(),
        Some(Value::Text(_)) => Some(0.0),
    };
    let direction = |o: Ordering| if descending { o.reverse() } else { o };
    if let (Some(Value::Text(x)), Some(Value::Text(y))) = (a, b) {
        return direction(x.cmp(y));
    }
    match (rank(a), rank(b)) {
        (Some(x), Some(y)) => direction(x.total_cmp(&y)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// A value of an event, with what it is called.
pub fn said(head: &OutKey, key: Option<&Key>) -> (Column, Value) {
    let quantity = quantity(&head.ty);
    let value = scaled(key.map_or(Value::Absent, key_value), quantity);
    (Column { name: head.name.clone(), quantity, error: None, whole: is_whole(head) }, value)
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Absent => Value::Absent,
        Key::Int(n) => Value::Int(*n),
        Key::Float(bits) => Value::Float(f64::from_bits(*bits)),
        Key::Text(s) => Value::Text(s.clone()),
        Key::Bool(b) => Value::Bool(*b),
    }
}

/// What all rows of a table have in common.
struct Computing<'t> {
    /// Its groups.
    tables: Vec<&'t Table>,
    /// The totals of each group's slots.
    totals: Vec<Vec<i64>>,
    /// Columns by name: the group and what it is.
    by_name: HashMap<&'t str, (usize, &'t ColumnExpr)>,
    /// Over how long the rows were gathered.
    wall_ns: u64,
    /// What the machine can do.
    ceilings: &'t Ceilings,
}

impl<'t> Computing<'t> {
    fn of<'r>(&'r self, slots: &'r [Option<&'r [SlotValue]>]) -> Joined<'r, 't> {
        Joined { all: self, slots }
    }
}

/// A row with the slots of each group that has it.
struct Joined<'r, 't> {
    all: &'r Computing<'t>,
    slots: &'r [Option<&'r [SlotValue]>],
}

impl Joined<'_, '_> {
    /// A cell of a column of group `g`.
    fn cell(&self, e: &ColumnExpr, ty: &Type, g: usize) -> Value {
        match (e, self.slots[g]) {
            (ColumnExpr::Hist(i), Some(slots)) => return histogram(*i, self.all.tables[g], slots),
            (ColumnExpr::HitRates(i), Some(slots)) => {
                return match &slots[*i] {
                    SlotValue::Lru(depths) => Value::Curve(depths.hit_rates()),
                    SlotValue::Pinned(counts) => Value::Curve(counts.hit_rates()),
                    _ => Value::Absent,
                };
            }
            _ => {}
        }
        if matches!(ty, Type::Str(_)) {
            return self.text(e, g).map_or(Value::Absent, Value::Text);
        }
        let scale = if matches!(ty, Type::PerSecond | Type::BytesPerSecond) { PER_SECOND } else { 1.0 };
        match self.number(e, g) {
            Number::Absent => Value::Absent,
            Number::Int(n) if scale == 1.0 => Value::Int(n),
            Number::Int(n) => Value::Float(n as f64 * scale),
            Number::Float(x) if (x * scale).is_finite() => Value::Float(x * scale),
            Number::Float(_) => Value::Absent,
        }
    }

    /// A number made of what group `g` gathered, and of other columns by name.
    fn number(&self, e: &ColumnExpr, g: usize) -> Number {
        match e {
            ColumnExpr::Column(name) => match self.all.by_name.get(name.as_str()) {
                Some((of, value)) => self.number(value, *of),
                None => Number::Absent,
            },
            ColumnExpr::Const(x) => {
                if x.fract() == 0.0 && x.abs() < 9e15 {
                    Number::Int(*x as i64)
                } else {
                    Number::Float(*x)
                }
            }
            ColumnExpr::Neg(a) => match self.number(a, g) {
                Number::Int(n) => Number::Int(-n),
                Number::Float(x) => Number::Float(-x),
                Number::Absent => Number::Absent,
            },
            ColumnExpr::Arith(op, ab) => arithmetic(*op, self.number(&ab[0], g), self.number(&ab[1], g)),
            ColumnExpr::If(all) => self.number(&all[if self.holds(&all[0], g) { 1 } else { 2 }], g),
            ColumnExpr::First(all) => {
                let mut numbers = all.iter().map(|e| self.number(e, g));
                numbers.find(|n| *n != Number::Absent).unwrap_or(Number::Absent)
            }
            ColumnExpr::Least(all) => self.extreme(all, g, Ordering::Less),
            ColumnExpr::Greatest(all) => self.extreme(all, g, Ordering::Greater),
            ColumnExpr::Ceiling(what, threads) => {
                let threads = self.number(threads, g).float();
                threads
                    .and_then(|n| self.all.ceilings.at(*what, n))
                    .map_or(Number::Absent, |x| Number::Float(x / PER_SECOND))
            }
            _ => match self.slots[g] {
                Some(slots) => number(e, self.all.tables[g], slots, &self.all.totals[g], self.all.wall_ns),
                None => Number::Absent,
            },
        }
    }
}

impl Joined<'_, '_> {
    /// Whether a condition holds; of what is absent nothing does.
    fn holds(&self, e: &ColumnExpr, g: usize) -> bool {
        match e {
            ColumnExpr::Cmp(op, ab) => {
                let (Some(a), Some(b)) = (self.number(&ab[0], g).float(), self.number(&ab[1], g).float()) else {
                    return false;
                };
                match op {
                    CmpOp::Eq => a == b,
                    CmpOp::Ne => a != b,
                    CmpOp::Lt => a < b,
                    CmpOp::Le => a <= b,
                    CmpOp::Gt => a > b,
                    CmpOp::Ge => a >= b,
                }
            }
            ColumnExpr::And(ab) => self.holds(&ab[0], g) && self.holds(&ab[1], g),
            ColumnExpr::Or(ab) => self.holds(&ab[0], g) || self.holds(&ab[1], g),
            ColumnExpr::Not(a) => !self.holds(a, g),
            ColumnExpr::Has(a) => self.number(a, g) != Number::Absent || self.text(a, g).is_some(),
            ColumnExpr::If(all) => self.holds(&all[if self.holds(&all[0], g) { 1 } else { 2 }], g),
            _ => false,
        }
    }

    /// The smallest or largest of some numbers.
    fn extreme(&self, all: &[ColumnExpr], g: usize, wanted: Ordering) -> Number {
        let mut found: Option<Number> = None;
        for e in all {
            let next = self.number(e, g);
            let Some(x) = next.float() else { return Number::Absent };
            if found.and_then(Number::float).is_none_or(|y| x.total_cmp(&y) == wanted) {
                found = Some(next);
            }
        }
        found.unwrap_or(Number::Absent)
    }

    /// A text.
    fn text(&self, e: &ColumnExpr, g: usize) -> Option<String> {
        match e {
            ColumnExpr::Text(text) => Some(text.clone()),
            ColumnExpr::Column(name) => {
                let (of, value) = self.all.by_name.get(name.as_str())?;
                self.text(value, *of)
            }
            ColumnExpr::If(all) => self.text(&all[if self.holds(&all[0], g) { 1 } else { 2 }], g),
            ColumnExpr::First(all) => all.iter().find_map(|e| self.text(e, g)),
            ColumnExpr::Concat(all) => all.iter().map(|(e, ty)| self.as_text(e, ty, g)).collect(),
            _ => None,
        }
    }

    /// A value as a table shows it.
    fn as_text(&self, e: &ColumnExpr, ty: &Type, g: usize) -> Option<String> {
        if *ty == Type::Bool {
            return Some(self.holds(e, g).to_string());
        }
        match self.cell(e, ty, g) {
            Value::Absent => None,
            Value::Text(text) => Some(text),
            value => Some(shown(&value, quantity(ty))),
        }
    }
}

/// A number made of a row's slots.
fn number(e: &ColumnExpr, table: &Table, slots: &[SlotValue], totals: &[i64], wall_ns: u64) -> Number {
    let plain = |i: usize| match &slots[i] {
        SlotValue::Number(n) | SlotValue::Last(Some((_, n))) => *n,
        _ => 0,
    };
    // Ratios are fixed-point numbers in the kernel.
    let scaled = |i: usize| match table.slots[i].fixed {
        true => plain(i) as f64 / FIXED_ONE as f64,
        false => plain(i) as f64,
    };
    let lacks = |present: &Option<usize>| present.is_some_and(|p| plain(p) == 0);
    let quotient = |a: f64, b: f64| if b == 0.0 { Number::Absent } else { Number::Float(a / b) };
    match e {
        ColumnExpr::Slot(i, present) => {
            let empty = lacks(present)
                || matches!(slots[*i], SlotValue::Last(None))
                || matches!((table.slots[*i].how, plain(*i)), (SlotHow::Min, i64::MAX) | (SlotHow::Max, i64::MIN));
            match empty {
                true => Number::Absent,
                false if table.slots[*i].fixed => Number::Float(scaled(*i)),
                false => Number::Int(plain(*i)),
            }
        }
        ColumnExpr::Avg(sum, n) => quotient(scaled(*sum), plain(*n) as f64),
        ColumnExpr::Share(_, present) | ColumnExpr::Rate(_, present) if lacks(present) => Number::Absent,
        ColumnExpr::Share(i, _) => quotient(plain(*i) as f64, totals[*i] as f64),
        ColumnExpr::Rate(i, _) => quotient(scaled(*i), wall_ns as f64),
        ColumnExpr::Quantile(i, p) => quantile(*i, *p, table, slots),
        ColumnExpr::Distinct(i) => match &slots[*i] {
            SlotValue::Distinct(values) => Number::Int(values.len() as i64),
            _ => Number::Absent,
        },
        ColumnExpr::Slope(i) => match &slots[*i] {
            SlotValue::Line(line) => {
                // Where an axis is a ratio, its numbers are fixed-point ones.
                let unit = |fixed: bool| if fixed { FIXED_ONE as f64 } else { 1.0 };
                let slot = &table.slots[*i];
                let slope = line.slope().map(|s| s / unit(slot.fixed) * unit(slot.against_fixed));
                slope.map_or(Number::Absent, Number::Float)
            }
            _ => Number::Absent,
        },
        ColumnExpr::Hist(_) | ColumnExpr::HitRates(_) => Number::Absent,
        // The others are made of other numbers, or are texts and conditions.
        _ => Number::Absent,
    }
}

fn arithmetic(op: ArithOp, a: Number, b: Number) -> Number {
    if let (Number::Int(x), Number::Int(y)) = (a, b) {
        let exact = match op {
            ArithOp::Add => x.checked_add(y),
            ArithOp::Sub => x.checked_sub(y),
            ArithOp::Mul => x.checked_mul(y),
            ArithOp::Rem => x.checked_rem(y),
            ArithOp::Div => None,
        };
        if let Some(n) = exact {
            return Number::Int(n);
        }
    }
    let (Some(x), Some(y)) = (a.float(), b.float()) else { return Number::Absent };
    match op {
        ArithOp::Add => Number::Float(x + y),
        ArithOp::Sub => Number::Float(x - y),
        ArithOp::Mul => Number::Float(x * y),
        ArithOp::Div | ArithOp::Rem if y == 0.0 => Number::Absent,
        ArithOp::Div => Number::Float(x / y),
        ArithOp::Rem => Number::Float(x % y),
    }
}

/// The buckets of a slot in ascending order.
fn buckets(slot: usize, slots: &[SlotValue]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = match &slots[slot] {
        SlotValue::Buckets(b) => b.iter().map(|(b, n)| (*b, *n)).filter(|(_, n)| *n > 0).collect(),
        _ => Vec::new(),
    };
    all.sort_unstable();
    all
}

/// The values `lo..hi` of a bucket of a slot.
fn range_of(bucket: u64, slot: &Slot) -> (i64, i64) {
    match slot.how {
        SlotHow::Linear(linear) => linear_bucket_range(bucket, linear),
        SlotHow::Hist(k) => bucket_range(bucket, k),
        _ => bucket_range(bucket, 0),
    }
}

fn histogram(slot: usize, table: &Table, slots: &[SlotValue]) -> Value {
    Value::Hist(
        buckets(slot, slots)
            .into_iter()
            .map(|(b, n)| {
                let (lo, hi) = range_of(b, &table.slots[slot]);
                Bucket { lo, hi, n }
            })
            .collect(),
    )
}

/// The value below which a share `p` of all lies: the middle of the bucket in which it does.
fn quantile(slot: usize, p: f64, table: &Table, slots: &[SlotValue]) -> Number {
    let all = buckets(slot, slots);
    let total: u64 = all.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return Number::Absent;
    }
    let rank = ((p * total as f64).ceil() as u64).clamp(1, total);
    let mut seen = 0;
    for (b, n) in all {
        seen += n;
        if seen >= rank {
            let (lo, hi) = range_of(b, &table.slots[slot]);
            // The highest value in it is hi - 1; of all negative values nothing more is known.
            let value = if lo == i64::MIN { -1 } else { lo + (hi - 1 - lo) / 2 };
            return match table.slots[slot].fixed {
                true => Number::Float(value as f64 / FIXED_ONE as f64),
                false => Number::Int(value),
            };
        }
    }
    Number::Absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use profinfer_ebpf::layout::bucket_of;

    #[test]
    fn a_quantile_is_within_its_error_bound() {
        for value in [1i64, 31, 32, 33, 1000, 12_345, 987_654_321, 1 << 40] {
            let (lo, hi) = bucket_range(bucket_of(value, QUANTILE_K), QUANTILE_K);
            let middle = lo + (hi - 1 - lo) / 2;
            let error = (middle - value).abs() as f64 / value as f64;
            assert!(error <= 1.0 / 62.0, "{value}: {middle} is off by {error}");
        }
    }
}
