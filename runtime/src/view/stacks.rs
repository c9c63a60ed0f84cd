//! A table as stacks: the keys of a row are the frames of one, outermost first, and its first column is how wide that is.
//! What is drawn of them is for the renderers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::escape::escape;
use super::value;
use crate::record::{Column, Quantity, Table, Value};

/// The most that all widths may add up to: formats keep them as signed numbers of 64 bits.
const MOST: u64 = i64::MAX.cast_unsigned();

/// The stacks of a table.
pub(super) struct Stacks<'t> {
    /// The column that makes the widths.
    pub(super) column: &'t Column,
    /// The frames of each, and its width. Every stack is there once, those with the same outer frames one after the other.
    pub(super) all: Vec<(Vec<String>, u64)>,
    /// All widths together.
    pub(super) total: u64,
    /// Rows that cannot be drawn, since they are below zero, or no whole number.
    pub(super) left_out: usize,
}

/// Why a table has no stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoStacks {
    /// The compiler lets no such table be shown as a flame graph.
    #[error("a flame graph needs keys and a column")]
    Empty,
    /// No format could hold it.
    #[error("its widths add up to more than 9,223,372,036,854,775,807")]
    TooWide,
}

impl<'t> Stacks<'t> {
    /// The stacks of a table.
    ///
    /// A key that is absent is left out; so rows can come to have the same frames, and are one stack.
    pub(super) fn of(table: &'t Table) -> Result<Self, NoStacks> {
        let Some(column) = table.columns.first().filter(|_| !table.keys.is_empty()) else {
            return Err(NoStacks::Empty);
        };
        let mut all: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        let (mut total, mut left_out) = (0u64, 0);
        for row in &table.rows {
            let width = match row.cells.first() {
                Some(Value::Int(n)) => match u64::try_from(*n) {
                    Ok(width) => width,
                    Err(_) => {
                        left_out += 1;
                        continue;
                    }
                },
                None | Some(Value::Absent) => 0,
                Some(_) => {
                    left_out += 1;
                    continue;
                }
            };
            if width == 0 {
                continue;
            }
            total = total.checked_add(width).filter(|total| *total <= MOST).ok_or(NoStacks::TooWide)?;
            let mut frames: Vec<String> =
                table.keys.iter().zip(&row.keys).flat_map(|(head, key)| names(head, key)).collect();
            if frames.is_empty() {
                frames.push("-".to_owned());
            }
            *all.entry(frames).or_default() += width;
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|(a, _), (b, _)| compare(a, b));
        Ok(Self { column, all, total, left_out })
    }

    /// What is said of rows that are not drawn.
    pub(super) fn remark(&self) -> Option<String> {
        match self.left_out {
            0 => None,
            1 => Some("a row below zero is left out".to_owned()),
            n => Some(format!("{n} rows below zero are left out")),
        }
    }
}

/// The order of stacks: frame by frame, so that those with the same outer frames stand together, and numbers by what they are.
fn compare(a: &[String], b: &[String]) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| in_order(a, b));
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// The order of two names: `layer=9` comes before `layer=10`.
fn in_order(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| -> Option<(usize, u128)> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (word, number) = name.split_at(name.len() - digits);
        Some((word.len(), number.parse().ok()?))
    };
    match (parts(a), parts(b)) {
        (Some((word, n)), Some((other, m))) if a[..word] == b[..other] => n.cmp(&m).then_with(|| a.cmp(b)),
        _ => a.cmp(b),
    }
}

/// The frames that a key makes: of a call stack each of its calls, of what is absent none.
fn names(head: &Column, key: &Value) -> Vec<String> {
    match key {
        Value::Absent => Vec::new(),
        Value::Text(calls) if head.quantity == Quantity::Stack => calls.split(';').map(text).collect(),
        Value::Text(word) => vec![text(word)],
        // A number says nothing by itself.
        other => vec![text(&format!("{}={}", head.name, value::key(other, head.quantity)))],
    }
}

/// A name that every format can hold: tools cut lines of stacks at `;` and at the last blank, take a second number at the end for
/// another width, and lines that begin with `# ` for remarks; XML cannot hold the two characters that are none.
fn text(name: &str) -> String {
    let escaped = escape(name).replace(';', "\\u{3b}");
    let mut safe = escaped.replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}");
    if safe.is_empty() {
        return "\"\"".to_owned();
    }
    if let Some(rest) = safe.strip_prefix("# ") {
        safe = format!("\\u{{23}} {rest}");
    }
    if let Some(rest) = safe.strip_prefix(' ') {
        safe = format!("\\u{{20}}{rest}");
    }
    if let Some((before, last)) = safe.rsplit_once(' ')
        && last.chars().all(|c| c.is_ascii_digit() || c == '.')
    {
        safe = format!("{before}\\u{{20}}{last}");
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["MUL_MAT", "RMS_NORM+MUL", "operator new(unsigned long)", "(not in an operator)", "-", "größe"] {
            assert_eq!(text(name), name);
        }
    }

    #[test]
    fn numbers_stand_in_their_order() {
        let mut names = ["layer=10", "a b", "layer=9", "a", "(rest)", "layer=1", "layer=", "a1x"];
        names.sort_by(|a, b| in_order(a, b));
        assert_eq!(names, ["(rest)", "a", "a b", "a1x", "layer=", "layer=1", "layer=9", "layer=10"]);
    }

    #[test]
    fn no_name_breaks_a_line_of_stacks() {
        assert_eq!(text("a;b"), "a\\u{3b}b");
        assert_eq!(text("layer 12"), "layer\\u{20}12");
        assert_eq!(text("v 1.5"), "v\\u{20}1.5");
        assert_eq!(text("# a"), "\\u{23} a");
        assert_eq!(text(" a"), "\\u{20}a");
        assert_eq!(text("a "), "a\\u{20}");
        assert_eq!(text(""), "\"\"");
        assert_eq!(text("a\nb\u{1b}[2J\u{ffff}"), "a\\u{a}b\\u{1b}[2J\\u{ffff}");
    }
}
