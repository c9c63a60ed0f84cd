//! What a plan reads, found among what was recorded.

use std::collections::HashMap;

use profinfer_compiler::plan::{KeySource, Plan, Table};
use profinfer_compiler::recording::{fields, identity};
use profinfer_compiler::typed::PointId;
use profinfer_ebpf::layout::ABSENT_TEXT;

use super::interpret::{Fields, Lacks, Number, Seen};
use crate::recording::events::Value;
use crate::recording::head::{Head, Recorded};

/// What is done with the events of a stream.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// The point in the plan.
    pub point: PointId,
    /// Its tables, in their order.
    pub tables: Vec<BoundTable>,
    /// The place of the duration, where it was recorded.
    pub dur: Option<usize>,
}

/// What a table makes of an event.
#[derive(Debug, Clone)]
pub struct BoundTable {
    /// Its index in the plan.
    pub index: usize,
    /// What must hold.
    pub conditions: Vec<Number>,
    /// The key, part by part.
    key: Vec<KeyPart>,
    /// What is added up, slot by slot.
    pub values: Vec<Option<Number>>,
    /// What is sent of an event, where user space keeps the rows.
    pub sent: Vec<Number>,
}

#[derive(Debug, Clone)]
enum KeyPart {
    Number(Number),
    /// Place, bytes.
    Text(usize, usize),
}

impl BoundTable {
    /// Puts the key together as it lies in the kernel.
    pub fn key(&self, seen: Seen<'_>, out: &mut Vec<u8>) {
        if self.key.is_empty() {
            out.extend([0; 8]);
        }
        for part in &self.key {
            match part {
                KeyPart::Number(number) => out.extend(seen.number(number).to_ne_bytes()),
                KeyPart::Text(at, bytes) => {
                    let end = out.len() + bytes;
                    match seen.values.get(*at) {
                        Some(Value::Text(Some(text))) => out.extend(text.iter().take(*bytes)),
                        _ => out.push(ABSENT_TEXT),
                    }
                    out.resize(end, 0);
                }
            }
        }
    }
}

/// Something that a script reads and a recording lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum Lacking {
    #[error(
        "the recording has no events of {point}, only those of {has}: record them with a script that has a clause on {point}, \
         for example profinfer record -e 'on {point} < count() >' …"
    )]
    Point { point: String, has: String },
    #[error(
        "the recording lacks {fields} of {point}: record it with a script that reads it, for example profinfer record -e 'on {point} < \
         print(\"{written}\") >' …; recorded of {point}: {has}"
    )]
    Fields { point: String, fields: String, written: String, has: String },
}

/// Finds what a plan reads; the events of which stream go to which tables, by stream.
///
/// # Errors
/// [`Lacking`]: something was not recorded.
pub fn bind(plan: &Plan, head: &Head) -> Result<Vec<Bound>, Lacking> {
    let mut bound = vec![Bound::default(); head.streams.len()];
    for (point, p) in plan.points.iter().enumerate() {
        let of_point: Vec<(usize, &Table)> = plan.tables.iter().enumerate().filter(|(_, t)| t.point == point).collect();
        if of_point.is_empty() {
            continue;
        }
        let Some(stream) = head.streams.iter().position(|s| s.point == p.name) else {
            let has: Vec<&str> = head.streams.iter().map(|s| s.point.as_str()).collect();
            return Err(Lacking::Point { point: p.name.clone(), has: has.join(", ") });
        };
        bound[stream] = bind_point(plan, point, &of_point, &head.streams[stream])?;
    }
    Ok(bound)
}

fn bind_point(plan: &Plan, point: PointId, tables: &[(usize, &Table)], recorded: &Recorded) -> Result<Bound, Lacking> {
    let places: HashMap<&str, usize> =
        recorded.fields.iter().enumerate().map(|(i, field)| (field.identity.as_str(), i)).collect();
    let dur = places.get("dur").copied();
    let mut lacks: Vec<String> = Vec::new();
    for field in tables.iter().flat_map(|(_, t)| fields(plan, t)) {
        let is_there = places.contains_key(identity(plan, point, &field.source).as_str());
        let is_process = matches!(&field.source, KeySource::Number(profinfer_compiler::plan::Expr::Pid));
        if !is_there && !is_process && !lacks.contains(&field.text) {
            lacks.push(field.text);
        }
    }
    let of = Fields { plan, point, places };
    let all: Result<Vec<BoundTable>, Lacks> = tables.iter().map(|(i, t)| bind_table(&of, *i, t)).collect();
    let lacking = || Lacking::Fields {
        point: plan.points[point].name.clone(),
        fields: lacks.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", "),
        written: lacks.iter().map(|text| format!("{{{text}}}")).collect::<Vec<_>>().join(" "),
        has: recorded.fields.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join(", "),
    };
    match all {
        Ok(tables) if lacks.is_empty() => Ok(Bound { point, tables, dur }),
        _ => Err(lacking()),
    }
}

fn bind_table(of: &Fields<'_>, index: usize, table: &Table) -> Result<BoundTable, Lacks> {
    let number = |e| of.number(e);
    let key = table.key.iter().map(|field| match &field.source {
        KeySource::Number(e) => number(e).map(KeyPart::Number),
        text @ KeySource::Text(..) => Ok(KeyPart::Text(of.place(text)?, field.bytes() as usize)),
    });
    let sent = table.slots.iter().flat_map(|s| s.values()).chain(&table.context);
    Ok(BoundTable {
        index,
        conditions: table.open.iter().chain(&table.close).map(number).collect::<Result<_, _>>()?,
        key: key.collect::<Result<_, _>>()?,
        values: table.slots.iter().map(|s| s.of.as_ref().map(number).transpose()).collect::<Result<_, _>>()?,
        sent: sent.map(number).collect::<Result<_, _>>()?,
    })
}
