//! Events by themselves, as text.

use super::escape::escape;
use super::value;
use crate::record::{Part, Print, Quantity, Value};

/// The text of a print on one line, harmless to a terminal.
pub(super) fn line(print: &Print) -> String {
    harmless(&print.parts)
}

/// A text on one line, harmless to a terminal.
pub(super) fn harmless(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => escape(text).into_owned(),
        Part::Value { value, quantity, .. } => figure(value, *quantity),
    };
    parts.iter().map(part).collect()
}

/// The same as it is, for formats that escape by themselves.
pub(super) fn raw(print: &Print) -> String {
    text_of(&print.parts)
}

/// A text as it is.
pub(super) fn text_of(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) | Part::Value { value: Value::Text(text), .. } => text.clone(),
        Part::Value { value, quantity, .. } => figure(value, *quantity),
    };
    parts.iter().map(part).collect()
}

/// Plain numbers are mostly numbers of something, so they are not grouped.
fn figure(value: &Value, quantity: Quantity) -> String {
    match (value, quantity) {
        (Value::Int(_), Quantity::Number) => value::key(value, quantity).to_string(),
        _ => value::cell(value, quantity).to_string(),
    }
}

/// The values of a print with their names; one that is there already gets `_2`, `_3` … behind it.
pub(super) fn values(print: &Print) -> Vec<(String, &Value, Quantity)> {
    let mut values: Vec<(String, &Value, Quantity)> = Vec::new();
    for part in &print.parts {
        let Part::Value { name, quantity, value } = part else { continue };
        let mut numbered = std::iter::once(name.clone()).chain((2u32..).map(|n| format!("{name}_{n}")));
        let name = numbered.find(|name| !values.iter().any(|(taken, ..)| taken == name)).unwrap_or_default();
        values.push((name, value, *quantity));
    }
    values
}
