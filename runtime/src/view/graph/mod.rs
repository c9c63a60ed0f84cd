//! Graphs, put together of their nodes: which node computes what another one reads, step by step; steps with the same
//! structure are one graph, with times that are means over them.
//!
//! - `shape` decides what is drawn: layers that are alike once.
//! - `layout` says where it stands.
//! - `colour` says which colour it has.
//! - `svg`, `dot` and `text` write it.

mod colour;
mod dot;
mod layout;
mod shape;
mod svg;
mod text;

use std::collections::HashMap;
use std::io;

use indexmap::IndexMap;

pub(super) use self::text::lines;
use super::{Renderer, emit, print, value};
use crate::record::{Column, End, Node, Record, Tensor, Value};

/// Steps of a process that may be in progress at once: older ones are over.
const OPEN_STEPS: usize = 16;

/// The formats of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dot,
    Svg,
}

/// Writes a picture of all graphs when the run ends.
pub(super) struct Picture {
    kind: Kind,
    graphs: Graphs,
}

impl Picture {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, graphs: Graphs::default() }
    }
}

impl Renderer for Picture {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Node(node) => self.graphs.add(node),
            Record::End(end) => {
                let all = self.graphs.finish(end);
                let text = match self.kind {
                    Kind::Dot => dot::picture(&all),
                    Kind::Svg => svg::picture(&all),
                };
                return emit(out, text.as_bytes());
            }
            _ => {}
        }
        Ok(())
    }
}

/// What stands for all graphs of a run.
#[derive(Debug, Default)]
pub(super) struct All {
    /// One for each structure, those of most steps first.
    pub(super) graphs: Vec<Graph>,
    /// What is to be known of them.
    pub(super) notes: Vec<String>,
}

/// A graph: all steps of one structure.
#[derive(Debug)]
pub(super) struct Graph {
    /// The name given to it, else `node`.
    pub(super) name: String,
    /// What kinds of graph are told apart by; empty where they are not.
    pub(super) kind: String,
    /// In the order in which they were computed.
    pub(super) nodes: Vec<Computed>,
    /// What no node computes.
    pub(super) leaves: Vec<Leaf>,
    /// Steps that had this structure.
    pub(super) steps: u64,
    /// Whether leaves are drawn.
    pub(super) with_leaves: bool,
    /// Which groups are drawn each by itself.
    pub(super) expand: String,
}

/// A node, as the mean of its steps.
#[derive(Debug)]
pub(super) struct Computed {
    /// The name of what it computes.
    pub(super) name: String,
    /// What stands in its box, as the first step has it.
    pub(super) label: String,
    /// What it is drawn together with: how that is called, and which one.
    pub(super) group: Option<(Column, Value)>,
    /// What it is computed of.
    pub(super) from: Vec<Edge>,
    /// Its time, step by step, in ns.
    pub(super) dur: Spread,
    /// What its colour stands for.
    pub(super) colour: Option<(Column, Shade)>,
}

/// What a colour stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shade {
    /// A number: the mean.
    Number(Spread),
    /// A word: the last one.
    Word(String),
}

/// A source of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Edge {
    /// What computes it.
    pub(super) of: From,
    /// The views of it that are read, the one that the node reads first.
    pub(super) views: Vec<String>,
}

/// Where a source comes from, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum From {
    Node(usize),
    Leaf(usize),
}

/// A value that no node computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leaf {
    pub(super) name: String,
    /// `weights`, `cache`, `input`
    pub(super) kind: String,
}

/// Numbers of which the mean and the range are shown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Spread {
    /// How many.
    pub(super) n: u64,
    /// Their sum, each times its weight.
    pub(super) sum: f64,
    /// The sum of the weights.
    pub(super) weight: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Adds a number. Weights are those of a mean that is a quotient of sums: of a rate, the time.
    pub(super) fn add(&mut self, x: f64, weight: f64) {
        self.min = if self.n == 0 { x } else { self.min.min(x) };
        self.max = if self.n == 0 { x } else { self.max.max(x) };
        self.n += 1;
        self.sum += x * weight;
        self.weight += weight;
    }

    /// Adds the numbers of another one.
    pub(super) fn join(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        self.min = if self.n == 0 { other.min } else { self.min.min(other.min) };
        self.max = if self.n == 0 { other.max } else { self.max.max(other.max) };
        self.n += other.n;
        self.sum += other.sum;
        self.weight += other.weight;
    }

    /// The mean; none of nothing.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.n > 0 && self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

impl Graph {
    /// The mean time of a step in its nodes, in ns.
    pub(super) fn time(&self) -> f64 {
        self.nodes.iter().filter_map(|n| n.dur.mean()).sum()
    }

    /// Different pairs of a node and one that it is computed of.
    pub(super) fn edges(&self) -> usize {
        let sources = |n: &Computed| {
            let mut of: Vec<usize> = n.from.iter().filter_map(|e| e.of.node()).collect();
            of.sort_unstable();
            of.dedup();
            of.len()
        };
        self.nodes.iter().map(sources).sum()
    }

    /// The chain of nodes, each computed of the one before, that takes longest, and its time in ns.
    pub(super) fn longest(&self) -> (Vec<usize>, f64) {
        let mut best: Vec<(f64, Option<usize>)> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let before = node.from.iter().filter_map(|e| e.of.node());
            let before = before.max_by(|a, b| best[*a].0.total_cmp(&best[*b].0));
            let time = before.map_or(0.0, |b| best[b].0) + node.dur.mean().unwrap_or(0.0);
            best.push((time, before));
        }
        let last = (0..best.len()).max_by(|a, b| best[*a].0.total_cmp(&best[*b].0));
        let mut chain: Vec<usize> = std::iter::successors(last, |at| best[*at].1).collect();
        chain.reverse();
        (chain, last.map_or(0.0, |at| best[at].0))
    }

    /// One line of what it is.
    pub(super) fn title(&self) -> String {
        let kind = if self.kind.is_empty() { &self.name } else { &self.kind };
        let steps = if self.steps == 1 { "step" } else { "steps" };
        format!("{kind} · {} {steps}", value::grouped(i128::from(self.steps)))
    }

    /// What it has, and how long it takes.
    pub(super) fn facts(&self) -> String {
        let count = |n: usize| value::grouped(n as i128);
        let mut text = format!("{} nodes, {} edges", count(self.nodes.len()), count(self.edges()));
        let (chain, longest) = self.longest();
        let time = self.time();
        if time > 0.0 {
            let each = if self.steps == 1 { "" } else { " a step" };
            text += &format!(
                " · {}{each} · longest chain {} nodes, {} ({:.0} %)",
                value::duration(time as u64),
                count(chain.len()),
                value::duration(longest as u64),
                100.0 * longest / time
            );
        }
        text
    }
}

impl From {
    pub(super) fn node(self) -> Option<usize> {
        if let Self::Node(i) = self { Some(i) } else { None }
    }
}

/// What tells structures apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Structure {
    name: String,
    kind: String,
    nodes: Vec<(String, Vec<Edge>)>,
    leaves: Vec<Leaf>,
}

/// Graphs in the making.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    /// Nodes of steps that may be in progress, by name, process and step.
    open: IndexMap<(String, i64, i64), Vec<Node>>,
    done: IndexMap<Structure, Graph>,
}

impl Graphs {
    pub(super) fn add(&mut self, node: &Node) {
        self.open.entry((node.name.clone(), node.pid, node.step)).or_default().push(node.clone());
        if self.open.len() > OPEN_STEPS
            && let Some((_, nodes)) = self.open.shift_remove_index(0)
        {
            self.close(nodes);
        }
    }

    /// A step is over.
    fn close(&mut self, nodes: Vec<Node>) {
        let (froms, leaves) = connected(&nodes);
        let Some(first) = nodes.first() else { return };
        let structure = Structure {
            name: first.name.clone(),
            kind: first.graph.as_ref().map_or(String::new(), |(head, v)| value::key(v, head.quantity).to_string()),
            nodes: nodes.iter().map(|n| n.result.name.clone()).zip(froms).collect(),
            leaves,
        };
        let made = |structure: &Structure| Graph {
            name: structure.name.clone(),
            kind: structure.kind.clone(),
            nodes: nodes.iter().zip(&structure.nodes).map(|(node, (_, from))| computed(node, from.clone())).collect(),
            leaves: structure.leaves.clone(),
            steps: 0,
            with_leaves: first.leaves,
            expand: first.expand.clone(),
        };
        let new = if self.done.contains_key(&structure) { None } else { Some(made(&structure)) };
        let graph = match new {
            Some(new) => self.done.entry(structure).or_insert(new),
            None => match self.done.get_mut(&structure) {
                Some(graph) => graph,
                None => return,
            },
        };
        graph.steps += 1;
        for (node, seen) in graph.nodes.iter_mut().zip(&nodes) {
            node.see(seen);
        }
    }

    /// All is there.
    pub(super) fn finish(&mut self, end: &End) -> All {
        for nodes in std::mem::take(&mut self.open).into_values() {
            self.close(nodes);
        }
        let mut all: Vec<(Structure, Graph)> = std::mem::take(&mut self.done).into_iter().collect();
        let mut notes = Vec::new();
        let is_cut = |s: &Structure| {
            let longer = |t: &Structure| {
                (&t.name, &t.kind) == (&s.name, &s.kind)
                    && t.nodes.len() > s.nodes.len()
                    && t.nodes.iter().zip(&s.nodes).all(|(a, b)| a == b)
            };
            all.iter().any(|(t, _)| longer(t))
        };
        let cut: Vec<bool> = all.iter().map(|(s, _)| is_cut(s)).collect();
        let steps: u64 = all.iter().zip(&cut).filter(|(_, cut)| **cut).map(|((_, g), _)| g.steps).sum();
        if steps > 0 {
            notes.push(format!("left out: {steps} steps of which only the beginning was seen"));
        }
        let mut cut = cut.into_iter();
        all.retain(|_| !cut.next().unwrap_or(false));
        for done in end.at_events.iter().filter(|done| done.lost > 0) {
            notes.push(format!(
                "{}: {} of {} nodes were lost, so that some graphs lack some",
                done.name,
                done.lost,
                done.done + done.lost
            ));
        }
        let mut graphs: Vec<Graph> = all.into_iter().map(|(_, graph)| graph).collect();
        graphs.sort_by_key(|g| std::cmp::Reverse(g.steps));
        All { graphs, notes }
    }
}

/// What each node is computed of, and what no node computes.
fn connected(nodes: &[Node]) -> (Vec<Vec<Edge>>, Vec<Leaf>) {
    let mut by_id: HashMap<i64, usize> = HashMap::new();
    // Who wrote last into a value's memory.
    let mut writers: HashMap<i64, usize> = HashMap::new();
    let mut leaves: IndexMap<i64, Leaf> = IndexMap::new();
    let mut all = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let mut from: Vec<Edge> = Vec::new();
        for source in &node.sources {
            let Tensor { id, root, name } = &source.tensor;
            let direct = by_id.get(id);
            let behind = source.views.iter().find_map(|(_, of)| by_id.get(of));
            let of = match direct.or(behind).or_else(|| writers.get(root)) {
                Some(node) => From::Node(*node),
                None => {
                    let entry = leaves.entry(*root);
                    let at = entry.index();
                    entry.or_insert_with(|| Leaf { name: name.clone(), kind: source.kind.clone() });
                    From::Leaf(at)
                }
            };
            let words = source.views.iter().map(|(word, _)| word.clone());
            let views = if direct.is_some() { Vec::new() } else { words.collect() };
            let edge = Edge { of, views };
            if !from.contains(&edge) {
                from.push(edge);
            }
        }
        by_id.insert(node.result.id, i);
        writers.insert(node.result.root, i);
        all.push(from);
    }
    (all, leaves.into_values().collect())
}

fn computed(node: &Node, from: Vec<Edge>) -> Computed {
    Computed {
        name: node.result.name.clone(),
        label: print::text(&node.label),
        group: node.group.clone().filter(|(_, v)| *v != Value::Absent),
        from,
        dur: Spread::default(),
        colour: None,
    }
}

impl Computed {
    /// Adds a step's node.
    fn see(&mut self, node: &Node) {
        let dur = node.dur_ns.map(|ns| ns as f64);
        if let Some(ns) = dur {
            self.dur.add(ns, 1.0);
        }
        let Some((head, value)) = &node.colour else { return };
        let number = match value {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) if x.is_finite() => Some(*x),
            _ => None,
        };
        let shade = match (value, number) {
            (_, Some(x)) => {
                let weight = if is_rate(head) { dur.unwrap_or(1.0) } else { 1.0 };
                let mut spread = match &self.colour {
                    Some((_, Shade::Number(spread))) => *spread,
                    _ => Spread::default(),
                };
                spread.add(x, weight);
                Shade::Number(spread)
            }
            (Value::Text(_) | Value::Bool(_), _) => Shade::Word(value::key(value, head.quantity).to_string()),
            _ => return,
        };
        self.colour = Some((head.clone(), shade));
    }
}

/// Whether its mean is a quotient of sums.
fn is_rate(head: &Column) -> bool {
    use crate::record::Quantity;
    matches!(head.quantity, Quantity::PerSecond | Quantity::BytesPerSecond)
}
