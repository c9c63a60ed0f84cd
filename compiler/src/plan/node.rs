//! What is known of an event that is a node of a graph. All numbers are places among the keys of its table.

use super::PrintPart;

/// A node of a graph: what the event computed, of what, and how it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The process.
    pub pid: usize,
    /// What is the same for all nodes of one graph, and another number for the next.
    pub step: usize,
    /// What the event computes.
    pub result: Value,
    /// What it computes that of; absent ones are none.
    pub sources: Vec<Source>,
    /// How long it took, where events of the point take time.
    pub dur: Option<usize>,
    /// What stands in its box.
    pub label: Vec<PrintPart>,
    /// What it is drawn together with: its layer.
    pub group: Option<usize>,
    /// What its colour stands for.
    pub colour: Option<usize>,
    /// What kinds of graph are told apart by.
    pub graph: Option<usize>,
    /// Whether values that no node computes are drawn: weights, caches, inputs.
    pub leaves: bool,
    /// Which groups are drawn each by itself, as the script writes it: `0, 5..7`, `all`; else those that are alike are drawn
    /// once.
    pub expand: String,
}

/// A value that is computed, or of which something is.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Its number: its address.
    pub id: usize,
    /// The number of the value whose memory it is in: its own unless it is a view, or is written into another one.
    pub root: usize,
    /// Its name.
    pub name: usize,
}

/// A value that something is computed of.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The value; its name is that of its root.
    pub value: Value,
    /// What it is if no node computes it.
    pub kind: usize,
    /// What it is a view of, step by step; nothing where views are not drawn.
    pub under: Vec<Under>,
}

/// What a value is a view of.
#[derive(Debug, Clone, PartialEq)]
pub struct Under {
    /// The word for the view; absent where the value is none.
    pub view: usize,
    /// The number of the value that it is a view of.
    pub id: usize,
}
