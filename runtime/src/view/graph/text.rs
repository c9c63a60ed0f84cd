//! Graphs in words, for a terminal.

use super::All;
use crate::view::escape::escape;
use crate::view::line::{Line, Style};

/// A few lines: what graphs there are, and how to see them.
pub(in crate::view) fn lines(all: &All) -> Vec<Line> {
    let mut lines = Vec::new();
    for graph in &all.graphs {
        lines.push(Line::of(Style::Head, format!("graph {}", escape(&graph.title()))));
        let facts = graph.facts();
        lines.extend(facts.split(" · ").map(|fact| Line::of(Style::Plain, format!("  {fact}"))));
    }
    lines.extend(all.notes.iter().map(|note| Line::of(Style::Warn, format!("  {}", escape(note)))));
    if !all.graphs.is_empty() {
        lines.push(Line::of(Style::Dim, "  a picture: -o graph.svg, or -o graph.dot for graphviz"));
    }
    lines
}
