//! Tables whose rows are kept together: groups of one point that count the same events, by keys that differ, take one row of
//! one map for each event instead of a row each. User space makes of those rows what each of them shows, since it puts rows with
//! the same shown keys into one in any case.
//!
//! Such a row has the keys of all. That must not make many rows of few, so keys that not all of them have are texts and words
//! of what the event is of (a tensor's name, its type): there are as many combinations of them as there are different events.

use profinfer_compiler::compile::DEFAULT_LIMIT;
use profinfer_compiler::plan::{CaptureValue, Expr, KeyField, KeySource, Plan, Slot, SlotHow, Table};
use profinfer_compiler::typed::PointId;
use profinfer_compiler::types::Type;

use crate::layout::{LOG2_BUCKETS, TableLayout, sent};

/// How the rows of each table lie; those that fit together do so if `together`.
pub(crate) fn tables(plan: &Plan, together: bool) -> Vec<TableLayout> {
    let mut all: Vec<TableLayout> = Vec::new();
    for (i, table) in plan.tables.iter().enumerate() {
        let with = (0..i).find(|j| together && all[*j].kept_in == *j && fits(plan, &all[*j].keeps, table));
        let mut layout = TableLayout { kept_in: with.unwrap_or(i), keeps: Vec::new(), ..TableLayout::default() };
        if with.is_none() {
            layout.keeps.push(i);
        }
        all.push(layout);
        if let Some(first) = with {
            all[first].keeps.push(i);
        }
    }
    for first in 0..all.len() {
        lay(plan, &mut all, first, together);
    }
    all
}

/// Lays the keys and values of the tables that are kept in the map of `first`, if any are.
fn lay(plan: &Plan, all: &mut [TableLayout], first: usize, together: bool) {
    let mut fields: Vec<(&KeyField, u32)> = Vec::new();
    let mut slots: Vec<(&Slot, u32)> = Vec::new();
    let (mut key_size, mut value_size) = (0, 0);
    let keeps = all[first].keeps.clone();
    for table in &keeps {
        let t = &plan.tables[*table];
        let key = t.key.iter().map(|field| match fields.iter().find(|(known, _)| known.source == field.source) {
            // Within a table every field has a place of its own.
            Some((_, at)) if *table != first => *at,
            _ => {
                fields.push((field, key_size));
                key_size += field.bytes();
                key_size - field.bytes()
            }
        });
        all[*table].key = key.collect();
        let values = t.slots.iter().map(|slot| match slots.iter().find(|(known, _)| is_same(known, slot)) {
            Some((_, at)) if together => Some(*at),
            _ => {
                let bytes = bytes_of(slot)?;
                slots.push((slot, value_size));
                value_size += bytes;
                Some(value_size - bytes)
            }
        });
        all[*table].slots = values.collect();
    }
    for table in keeps {
        let t = &plan.tables[table];
        let values: usize = t.slots.iter().map(|s| s.values().count()).sum();
        let words = values as u32 + u32::from(t.context.is_some());
        let layout = &mut all[table];
        (layout.key_size, layout.value_size) = (key_size.max(8), value_size.max(8));
        layout.event_size = if t.streamed { sent::KEY as u32 + layout.key_size + 8 * words } else { 0 };
    }
}

/// Bytes of a slot in a row; none if it has a map of its own.
fn bytes_of(slot: &Slot) -> Option<u32> {
    match slot.how {
        // The kernel only counts.
        _ if slot.derived.is_some() => Some(8),
        SlotHow::Hist(0) => Some(LOG2_BUCKETS * 8),
        SlotHow::Hist(_) => None,
        SlotHow::Linear(linear) => Some(linear.all() * 8),
        _ => Some(8),
    }
}

/// Whether the kernel keeps the same in both.
fn is_same(a: &Slot, b: &Slot) -> bool {
    // What is never absent is there in every event.
    let counts_all = |s: &Slot| match s.how {
        SlotHow::Count => s.of.is_none(),
        SlotHow::Present => !s.nullable,
        _ => false,
    };
    let same = a.how == b.how && a.of == b.of && a.nullable == b.nullable || counts_all(a) && counts_all(b);
    a.derived.is_none() && b.derived.is_none() && same
}

/// Whether the table's rows may lie with those of these.
fn fits(plan: &Plan, kept: &[usize], table: &Table) -> bool {
    let first = &plan.tables[kept[0]];
    let same_events = first.point == table.point && first.open == table.open && first.close == table.close;
    let all = || kept.iter().map(|t| &plan.tables[*t]).chain([table]);
    same_events && all().all(may_be_kept_with_others) && {
        let has = |t: &Table, field: &KeyField| t.key.iter().any(|f| f.source == field.source);
        all().flat_map(|t| &t.key).all(|field| all().all(|t| has(t, field)) || tells_what(plan, table.point, field))
    }
}

/// Whether nothing is known of a table that its rows in the kernel have to be its own for.
fn may_be_kept_with_others(table: &Table) -> bool {
    let small = |s: &Slot| s.derived.is_some() || !matches!(s.how, SlotHow::Hist(_) | SlotHow::Linear(_));
    !table.streamed
        && table.each.is_none()
        && !table.cleared
        && table.limit >= DEFAULT_LIMIT
        && table.slots.iter().all(small)
}

/// Whether a key field is a text or a word of the very thing that the point's event is of, or of what that lies in.
fn tells_what(plan: &Plan, point: PointId, field: &KeyField) -> bool {
    let of_memory = |e: &Expr| matches!(e, Expr::Load { .. } | Expr::First(_) | Expr::If(_));
    match &field.source {
        KeySource::Text(of, index, _) => {
            *of == point && matches!(plan.points[*of].captures[*index].value, CaptureValue::Text(..))
        }
        KeySource::Number(Expr::Capture(of, index)) => match &plan.points[*of].captures[*index].value {
            CaptureValue::Number(e) => matches!(field.ty, Type::Enum(_) | Type::Bool) && of_memory(e),
            _ => false,
        },
        KeySource::Number(_) => false,
    }
}
