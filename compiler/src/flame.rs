//! Which tables make a flame graph: their keys are its frames, and their first column is as wide as all that lies on it.

use crate::plan::{ColumnExpr, OutColumn, SlotHow, Table};
use crate::types::{ArithOp, Type};

/// Columns that are made of each other, one in the other, at most: more are taken for none that adds up.
const DEEPEST: usize = 64;

/// Why a table makes no flame graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFlame {
    /// There are no frames.
    #[error("`{0}` has no key, and a flame graph's frames are the keys")]
    Keys(String),
    /// There is nothing that could be a width.
    #[error("the first column of `{0}` is hidden, and a flame graph's widths are that column")]
    Column(String),
    /// A width is a sum of widths, which this is not.
    #[error("`{0}` does not add up, and a flame graph's widths do")]
    Sum(String),
    /// Widths are whole numbers.
    #[error("`{0}` is no whole number, and a flame graph's widths are")]
    Whole(String),
}

impl NoFlame {
    /// A few words at the place.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Keys(_) => "needs frames",
            Self::Column(_) | Self::Sum(_) | Self::Whole(_) => "has no width",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Keys(_) => "name them, outermost first: < sum(dur) by phase, layer, op into t >",
            Self::Column(_) | Self::Sum(_) | Self::Whole(_) => {
                "the first column is the width: put count() or a sum there, such as sum(dur) or sum(bytes)"
            }
        }
    }
}

/// Whether a table makes a flame graph.
///
/// # Errors
/// Why it makes none.
pub fn suits(table: &Table) -> Result<(), NoFlame> {
    if table.keys.is_empty() {
        return Err(NoFlame::Keys(table.name.clone()));
    }
    let Some(column) = table.columns.iter().find(|c| !c.is_hidden()) else {
        return Err(NoFlame::Column(table.name.clone()));
    };
    if !adds_up(&column.value, table, DEEPEST) {
        return Err(NoFlame::Sum(column.name.clone()));
    }
    if !is_whole(column) {
        return Err(NoFlame::Whole(column.name.clone()));
    }
    Ok(())
}

/// Whether the value of two rows together is the sum of theirs.
fn adds_up(value: &ColumnExpr, table: &Table, deepest: usize) -> bool {
    if deepest == 0 {
        return false;
    }
    match value {
        ColumnExpr::Slot(slot, _) => {
            table.slots.get(*slot).is_some_and(|s| matches!(s.how, SlotHow::Count | SlotHow::Present | SlotHow::Sum))
        }
        ColumnExpr::Column(name) => {
            let named = table.columns.iter().find(|c| c.name == *name);
            named.is_some_and(|c| adds_up(&c.value, table, deepest - 1))
        }
        ColumnExpr::Arith(ArithOp::Add | ArithOp::Sub, parts) => {
            parts.iter().all(|part| adds_up(part, table, deepest - 1))
        }
        _ => false,
    }
}

fn is_whole(column: &OutColumn) -> bool {
    matches!(column.ty, Type::Int | Type::Duration | Type::Bytes)
}
