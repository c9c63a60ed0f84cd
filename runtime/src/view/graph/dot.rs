//! The language of graphviz: one graph, with a cluster for each structure and each layer that is drawn.

use std::fmt::Write as _;

use super::colour::{Colours, hex, is_light};
use super::shape::{Cluster, Drawn, Shape, What, shape};
use super::{All, Graph, value};
use crate::view::escape::escape;

/// All graphs.
pub(super) fn picture(all: &All) -> String {
    let shapes: Vec<Shape> = all.graphs.iter().map(shape).collect();
    let pairs: Vec<(&Graph, &Shape)> = all.graphs.iter().zip(&shapes).collect();
    let colours = Colours::of(&pairs);
    let mut out = String::from(
        "digraph profinfer {\n  rankdir=TB\n  node [shape=box style=\"rounded,filled\" fontname=\"sans-serif\" fontsize=10]\n  \
         edge [color=\"#8c959f\"]\n",
    );
    for note in &all.notes {
        let _ = writeln!(out, "  // {}", escape(note));
    }
    for (g, (graph, shape)) in pairs.iter().enumerate() {
        let title = format!("{}\n{}", graph.title(), graph.facts());
        let _ = writeln!(out, "  subgraph cluster_{g} {{\n    label={} labelloc=t color=\"#ffffff00\"", quoted(&title));
        for (c, cluster) in shape.clusters.iter().enumerate() {
            let inside: Vec<usize> = (0..shape.boxes.len()).filter(|i| shape.boxes[*i].cluster == Some(c)).collect();
            if inside.is_empty() {
                continue;
            }
            let _ = writeln!(
                out,
                "    subgraph cluster_{g}_{c} {{\n      label={} style=\"rounded,filled\" color=\"#d0d7de\" fillcolor=\"#f4f6f8\"",
                quoted(&title_of(cluster))
            );
            inside.into_iter().for_each(|i| node(&mut out, "      ", g, i, &shape.boxes[i], &colours));
            out.push_str("    }\n");
        }
        for (i, drawn) in shape.boxes.iter().enumerate().filter(|(_, b)| b.cluster.is_none()) {
            node(&mut out, "    ", g, i, drawn, &colours);
        }
        for line in &shape.edges {
            let mut said = Vec::new();
            if line.again {
                said.push("style=dashed constraint=false");
            }
            if line.on_longest {
                said.push("color=\"#b3261e\" penwidth=2");
            }
            let said = if said.is_empty() { String::new() } else { format!(" [{}]", said.join(" ")) };
            let _ = writeln!(out, "    n{g}_{} -> n{g}_{}{said}", line.from, line.to);
        }
        out.push_str("  }\n");
    }
    out.push_str("}\n");
    out
}

fn title_of(cluster: &Cluster) -> String {
    let times = if cluster.times > 1 { format!(" ×{}", cluster.times) } else { String::new() };
    let time = cluster.dur.mean().filter(|mean| *mean > 0.0);
    let time = time.map_or(String::new(), |mean| format!(" · {}", value::duration(mean as u64)));
    format!("{}{times}{time}", cluster.title)
}

fn node(out: &mut String, indent: &str, graph: usize, at: usize, drawn: &Drawn, colours: &Colours) {
    let mut lines = drawn.lines.clone();
    if let (Some(mean), What::Node | What::Groups) = (drawn.dur.mean(), drawn.what) {
        lines.push(value::duration(mean as u64).to_string());
    }
    let _ = write!(out, "{indent}n{graph}_{at} [label={}", quoted(&lines.join("\n")));
    let fill = colours.fill(drawn.shade.as_ref());
    match drawn.what {
        What::Node | What::Groups => {
            let ink = if is_light(fill) { "#1b1f24" } else { "#ffffff" };
            let _ = write!(out, " fillcolor=\"{}\" fontcolor=\"{ink}\"", hex(fill));
        }
        What::View => out.push_str(" shape=oval fillcolor=\"#e6e8eb\""),
        What::Leaf => out.push_str(" style=\"rounded,dashed\""),
    }
    if drawn.on_longest() {
        out.push_str(" color=\"#b3261e\" penwidth=2");
    }
    if !drawn.sources.is_empty() {
        let _ = write!(out, " tooltip={}", quoted(&format!("of {}", drawn.sources.join(", "))));
    }
    out.push_str("]\n");
}

/// A text as DOT has it: no character of it ends it, and none is an escape of graphviz.
fn quoted(text: &str) -> String {
    let line = |line: &str| escape(line).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.lines().map(line).collect::<Vec<_>>().join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        assert_eq!(quoted("a \"b\" \\N"), r#""a \"b\" \\N""#);
        assert_eq!(quoted("one\ntwo\x1b"), r#""one\ntwo\\u{1b}""#);
    }
}
