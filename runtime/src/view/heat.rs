//! A table as pictures: rows by the first key, columns by the second, a number at each crossing. Which colour and which
//! characters that gets is for the renderers.

use std::collections::HashMap;

use super::value;
use crate::record::{Column, Quantity, Row, Table, Value};

/// An axis of numbers that spans no more is shown whole, with what is missing in it.
const WHOLE: i128 = 128;
/// Of a longer one, gaps of up to this many numbers are.
const SHORT_GAP: i128 = 3;

/// The colour so far (0 to 1) along a scale of colours.
pub(super) fn along(ramp: &[[u8; 3]], fraction: f64) -> [u8; 3] {
    let at = fraction.clamp(0.0, 1.0) * (ramp.len() - 1) as f64;
    let below = (at as usize).min(ramp.len() - 2);
    let part = at - below as f64;
    std::array::from_fn(|i| {
        let [a, b] = [ramp[below][i], ramp[below + 1][i]].map(f64::from);
        (a + (b - a) * part).round() as u8
    })
}

/// Pictures with the same axes and the same scale: one for each combination of the keys behind the second.
pub(super) struct Heat<'t> {
    /// Rows.
    pub(super) rows: Axis<'t>,
    /// Columns.
    pub(super) columns: Axis<'t>,
    /// The pictures, in the order of their first rows.
    pub(super) pictures: Vec<Picture<'t>>,
    /// Smallest and largest number.
    pub(super) scale: Scale,
    /// All numbers are whole.
    whole: bool,
}

/// One picture.
pub(super) struct Picture<'t> {
    /// The keys behind the second, with their heads.
    pub(super) further: Vec<(&'t Column, &'t Value)>,
    /// By place on the axes: the table's row.
    cells: HashMap<(usize, usize), &'t Row>,
}

/// What stands along a side.
pub(super) struct Axis<'t> {
    /// The key.
    pub(super) head: &'t Column,
    /// The places, in order.
    pub(super) places: Vec<Place>,
}

/// A place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// A value of the key.
    Key(Value),
    /// More numbers than are drawn, none of them in the table.
    Gap,
}

/// The range of the numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The smallest.
    pub(super) lo: f64,
    /// The largest.
    pub(super) hi: f64,
}

impl<'t> Heat<'t> {
    /// The pictures of a table; none if it has no two keys, no column or no number.
    pub(super) fn of(table: &'t Table) -> Option<Self> {
        let [first, second, ..] = &table.keys[..] else { return None };
        let numbers = || table.rows.iter().filter_map(number);
        let lo = numbers().min_by(f64::total_cmp)?;
        let hi = numbers().max_by(f64::total_cmp)?;
        let (rows, row_at) = Axis::new(first, table, 0);
        let (columns, column_at) = Axis::new(second, table, 1);
        let mut pictures: Vec<Picture<'t>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for row in &table.rows {
            let (Some(a), Some(b)) = (row.keys.first(), row.keys.get(1)) else { continue };
            let further = || table.keys.iter().zip(&row.keys).skip(2);
            let name: String = further().map(|(_, v)| format!("{v:?},")).collect();
            let at = *known.entry(name).or_insert_with(|| {
                pictures.push(Picture { further: further().collect(), cells: HashMap::new() });
                pictures.len() - 1
            });
            pictures[at].cells.insert((row_at[&identity(a)], column_at[&identity(b)]), row);
        }
        let whole = table.rows.iter().all(|r| !matches!(r.cells.first(), Some(Value::Float(_))));
        Some(Self { rows, columns, pictures, scale: Scale { lo, hi }, whole })
    }

    /// An end of the scale in print; whole where the numbers are, as far as a float tells.
    pub(super) fn bound(&self, x: f64, quantity: Quantity) -> value::Figure {
        let whole = self.whole && x.abs() < 9e15;
        value::cell(&if whole { Value::Int(x as i64) } else { Value::Float(x) }, quantity)
    }
}

impl<'t> Picture<'t> {
    /// The table's row at a crossing.
    pub(super) fn row(&self, row: usize, column: usize) -> Option<&'t Row> {
        self.cells.get(&(row, column)).copied()
    }

    /// The largest number of a row at some columns; none if there is none.
    pub(super) fn largest(&self, row: usize, columns: std::ops::Range<usize>) -> Option<f64> {
        columns.filter_map(|c| number(self.row(row, c)?)).max_by(f64::total_cmp)
    }
}

impl<'t> Axis<'t> {
    /// The axis of a key, and the place of each of its values: numbers in their order, others as they come.
    fn new(head: &'t Column, table: &'t Table, key: usize) -> (Self, HashMap<String, usize>) {
        let mut values: Vec<&Value> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for value in table.rows.iter().filter_map(|row| row.keys.get(key)) {
            known.entry(identity(value)).or_insert_with(|| {
                values.push(value);
                0
            });
        }
        values.sort_by(|a, b| match (rank(a), rank(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => matches!(a, Value::Absent).cmp(&matches!(b, Value::Absent)),
        });
        let ints: Vec<i64> =
            values.iter().filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect();
        let span = |a: i64, b: i64| i128::from(b) - i128::from(a);
        let longest = match (ints.first(), ints.last()) {
            (Some(a), Some(b)) if span(*a, *b) < WHOLE => WHOLE,
            _ => SHORT_GAP,
        };
        let mut places: Vec<Place> = Vec::new();
        let mut before: Option<i64> = None;
        for value in values {
            if let (Value::Int(n), Quantity::Number) = (value, head.quantity) {
                match before.map(|before| (before, span(before, *n) - 1)) {
                    Some((_, missing)) if missing > longest => places.push(Place::Gap),
                    Some((before, _)) => places.extend((before + 1..*n).map(|n| Place::Key(Value::Int(n)))),
                    None => {}
                }
                before = Some(*n);
            }
            known.insert(identity(value), places.len());
            places.push(Place::Key(value.clone()));
        }
        (Self { head, places }, known)
    }

    /// What a place is called.
    pub(super) fn label(&self, at: usize) -> String {
        match self.places.get(at) {
            Some(Place::Key(value)) => value::key(value, self.head.quantity).to_string(),
            Some(Place::Gap) | None => String::new(),
        }
    }

    /// The whole number at a place.
    pub(super) fn int(&self, at: usize) -> Option<i64> {
        match self.places.get(at) {
            Some(Place::Key(Value::Int(n))) if self.head.quantity == Quantity::Number => Some(*n),
            _ => None,
        }
    }

    /// Whether its labels are numbers.
    pub(super) fn is_numeric(&self) -> bool {
        self.places.iter().any(|p| matches!(p, Place::Key(Value::Int(_) | Value::Float(_))))
    }

    /// Whether it is a row of whole numbers without gaps.
    pub(super) fn is_whole(&self) -> bool {
        (0..self.places.len()).all(|at| self.int(at).is_some())
    }
}

impl Scale {
    /// How far a number lies from the smallest to the largest, from 0 to 1.
    pub(super) fn fraction(self, x: f64) -> f64 {
        // Halves, since the distance of two floats need not be one.
        let (x, lo, hi) = (x / 2.0, self.lo / 2.0, self.hi / 2.0);
        if hi > lo { ((x - lo) / (hi - lo)).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// Which of `steps` equal parts of 0 to 1 a fraction is in.
pub(super) fn step(fraction: f64, steps: usize) -> usize {
    ((fraction * steps as f64) as usize).min(steps.saturating_sub(1))
}

/// The number that a row's colour stands for.
pub(super) fn number(row: &Row) -> Option<f64> {
    rank(row.cells.first()?)
}

fn rank(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) if x.is_finite() => Some(*x),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        _ => None,
    }
}

/// What tells values apart.
fn identity(value: &Value) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{column, table};

    fn axis(keys: &[Value]) -> String {
        let rows = keys.iter().map(|k| vec![k.clone(), Value::Int(0), Value::Int(1)]).collect();
        let heads = vec![column("a", Quantity::Number), column("b", Quantity::Number)];
        let table = table("t", heads, vec![column("n", Quantity::Number)], rows);
        let heat = Heat::of(&table).unwrap();
        let label = |(at, p): (usize, &Place)| if *p == Place::Gap { "~".to_owned() } else { heat.rows.label(at) };
        heat.rows.places.iter().enumerate().map(label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers_stand_in_their_order_with_what_is_missing() {
        let int = |all: &[i64]| all.iter().map(|n| Value::Int(*n)).collect::<Vec<_>>();
        assert_eq!(axis(&int(&[10, 2, 5])), "2 3 4 5 6 7 8 9 10");
        assert_eq!(axis(&int(&[1000, 2, 5])), "2 3 4 5 ~ 1000");
        assert_eq!(axis(&int(&[i64::MAX, i64::MIN])), "-9223372036854775808 ~ 9223372036854775807");
        assert_eq!(axis(&[Value::Absent, Value::Int(3), Value::Int(1)]), "1 2 3 -");
    }

    #[test]
    fn texts_stand_as_they_come_and_absent_last() {
        let text = |t: &str| Value::Text(t.to_owned());
        assert_eq!(axis(&[text("b"), Value::Absent, text("a"), text("b")]), "b a -");
    }

    #[test]
    fn steps_are_equal_parts_of_the_range() {
        let scale = Scale { lo: 0.0, hi: 10.0 };
        assert_eq!([0.0, 1.9, 2.0, 9.9, 10.0].map(|x| step(scale.fraction(x), 5)), [0, 0, 1, 4, 4]);
        assert_eq!(Scale { lo: 3.0, hi: 3.0 }.fraction(3.0), 1.0, "all alike: the last part");
        let wide = Scale { lo: f64::MIN, hi: f64::MAX };
        assert_eq!([f64::MIN, 0.0, f64::MAX].map(|x| wide.fraction(x)), [0.0, 0.5, 1.0]);
    }
}
