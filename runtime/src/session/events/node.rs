//! What an event is that is a node of a graph.

use profinfer_compiler::plan::{Node as Known, Plan, Source as KnownSource, Value as KnownValue};

use super::{Events, Happened};
use crate::record::{Node, Source, Tensor, Value};
use crate::session::numbers;

impl Events {
    /// The node that an event is.
    pub fn node(&self, plan: &Plan, known: &Known, event: &Happened) -> Node {
        let table = &plan.tables[event.table];
        let said = |i: usize| numbers::said(&table.keys[i], event.keys.get(i));
        let number = |i: usize| if let (_, Value::Int(n)) = said(i) { Some(n) } else { None };
        let text = |i: usize| if let (_, Value::Text(text)) = said(i) { text } else { String::new() };
        let tensor = |value: &KnownValue| {
            let id = number(value.id).filter(|id| *id != 0)?;
            Some(Tensor { id, root: number(value.root).unwrap_or(id), name: text(value.name) })
        };
        let source = |source: &KnownSource| {
            let views =
                source.under.iter().map_while(|under| Some((said_text(&said(under.view).1)?, number(under.id)?)));
            Some(Source { tensor: tensor(&source.value)?, kind: text(source.kind), views: views.collect() })
        };
        Node {
            name: table.name.clone(),
            point: plan.points[table.point].name.clone(),
            at_ns: self.since_begin(event.time),
            pid: number(known.pid).unwrap_or_default(),
            step: number(known.step).unwrap_or_default(),
            graph: known.graph.map(said),
            result: tensor(&known.result).unwrap_or(Tensor { id: 0, root: 0, name: String::new() }),
            sources: known.sources.iter().filter_map(source).collect(),
            dur_ns: known.dur.and_then(number).and_then(|n| u64::try_from(n).ok()),
            label: numbers::parts(&known.label, &table.keys, &event.keys),
            group: known.group.map(said),
            colour: known.colour.map(said),
            leaves: known.leaves,
            expand: known.expand.clone(),
        }
    }
}

fn said_text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.clone()) } else { None }
}
