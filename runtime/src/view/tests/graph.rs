//! Graphs, from records such as `dag.pi` makes.

use insta::assert_snapshot;

use super::*;
use crate::record::{AtEvents, Node, Part, Source, Tensor, What};

/// The tensors that a step begins with.
const TABLE: i64 = 1;
const TOKENS: i64 = 2;
const CACHE: i64 = 10_000_000;
const WEIGHT: i64 = 20_000_000;

fn tensor(id: i64, name: &str) -> Tensor {
    Tensor { id, root: id, name: name.to_owned() }
}

fn source(id: i64, root: i64, name: &str, kind: &str, views: &[(&str, i64)]) -> Source {
    let views = views.iter().map(|(word, of)| ((*word).to_owned(), *of)).collect();
    Source { tensor: Tensor { id, root, name: name.to_owned() }, kind: kind.to_owned(), views }
}

/// A step of a model with so many layers, each node with its time.
fn step(number: i64, layers: i64, dur: &dyn Fn(i64) -> u64) -> Vec<Record> {
    let mut records = step_with_views(number, layers, dur);
    for record in &mut records {
        if let Record::Node(node) = record {
            node.sources.iter_mut().for_each(|source| source.views.clear());
        }
    }
    records
}

/// The same with the views that are read.
fn step_with_views(number: i64, layers: i64, dur: &dyn Fn(i64) -> u64) -> Vec<Record> {
    let mut nodes = Vec::new();
    let mut at = 0;
    let mut node = |op: &str, layer: Option<i64>, result: Tensor, sources: Vec<Source>| {
        at += 1;
        let group = layer.map_or(Value::Absent, int);
        let label = vec![Part::Text(format!("{op}\n")), part("name", Quantity::Text, text(&result.name))];
        nodes.push(Record::Node(Box::new(Node {
            name: "node".to_owned(),
            point: "ggml_op".to_owned(),
            at_ns: (number * 1_000 + at) as u64,
            pid: 7,
            step: number,
            graph: Some((column("phase", Quantity::Text), text("decode"))),
            result,
            sources,
            dur_ns: Some(dur(at)),
            label,
            group: Some((column("layer", Quantity::Number), group)),
            colour: Some((column("dur", Quantity::Duration), int(dur(at) as i64))),
            leaves: false,
            expand: String::new(),
        })));
    };
    let inputs = [(TABLE, "token_embd.weight", "weights"), (TOKENS, "inp_tokens", "input")];
    let of = inputs.map(|(id, name, kind)| source(id, id, name, kind, &[])).to_vec();
    node("GET_ROWS", None, tensor(10, "embd"), of);
    let mut before = 10;
    for layer in 0..layers {
        let base = 1_000 * (layer + 1);
        let weight = source(WEIGHT + layer, WEIGHT + layer, &format!("blk.{layer}.attn_k.weight"), "weights", &[]);
        let x = source(before, before, "x", "input", &[]);
        node("MUL_MAT", Some(layer), tensor(base, &format!("Kcur-{layer}")), vec![weight, x.clone()]);
        // The view of a result, and the cache that is written: the value is in the cache's memory.
        let cache = format!("cache_k_l{layer}");
        let of = vec![
            source(base + 1, base, &format!("Kcur-{layer}"), "input", &[("RESHAPE", base)]),
            source(CACHE + layer, CACHE + layer, &cache, "cache", &[]),
        ];
        let written = Tensor { id: base + 2, root: CACHE + layer, name: format!("{cache} (view)") };
        node("SET_ROWS", Some(layer), written, of);
        // Two views of the cache itself: nothing but its memory says that it was written before.
        let views = [("PERMUTE", base + 4), ("VIEW", CACHE + layer)];
        let of = vec![source(base + 3, CACHE + layer, &cache, "cache", &views), x];
        node("FLASH_ATTN_EXT", Some(layer), tensor(base + 5, &format!("node_{}", 7 + 4 * layer)), of);
        before = base + 5;
    }
    let head = source(TABLE, TABLE, "token_embd.weight", "weights", &[]);
    let x = source(before, before, "x", "input", &[]);
    node("MUL_MAT", None, tensor(20, "result_output"), vec![head, x]);
    nodes
}

fn part(name: &str, quantity: Quantity, value: Value) -> Part {
    Part::Value { name: name.to_owned(), quantity, value, whole: true }
}

/// Two steps of a model with three layers, the second one slower, and the end.
fn records(change: &dyn Fn(&mut Node)) -> Vec<Record> {
    let first = step(1, 3, &|at| 1_000 * at as u64);
    let second = step(2, 3, &|at| 3_000 * at as u64);
    let mut records: Vec<Record> = first.into_iter().chain(second).collect();
    for record in &mut records {
        if let Record::Node(node) = record {
            change(node);
        }
    }
    records.push(end(0));
    records
}

fn end(lost: u64) -> Record {
    let done = AtEvents { name: "node".to_owned(), point: "ggml_op".to_owned(), what: What::Nodes, done: 22, lost };
    Record::End(End { at_events: vec![done], ..silent_end() })
}

fn drawn_as(format: Format, change: &dyn Fn(&mut Node)) -> String {
    shown(format, Options::default(), &records(change))
}

/// A picture's lines from one text to another: `GET_ROWS embd -> MUL_MAT Kcur-0`, those to the next layer with `~`.
fn edges(dot: &str) -> Vec<String> {
    let label = |line: &str| {
        let (_, rest) = line.split_once("[label=\"")?;
        Some(rest.split_once('"')?.0.split("\\n").take(2).collect::<Vec<_>>().join(" "))
    };
    let lines = || dot.lines().map(str::trim);
    let names: BTreeMap<&str, String> =
        lines().filter_map(|l| Some((l.split_once(' ')?.0, label(l)?))).filter(|(n, _)| n.starts_with('n')).collect();
    let edge = |line: &str| {
        let (from, rest) = line.split_once(" -> ")?;
        let to = rest.split(' ').next()?;
        let arrow = if rest.contains("dashed") { "~>" } else { "->" };
        Some(format!("{} {arrow} {}", names[from], names[to]))
    };
    lines().filter_map(edge).collect()
}

#[test]
fn layers_that_are_alike_are_drawn_once() {
    let dot = drawn_as(Format::Dot, &|_| {});
    assert_eq!(
        edges(&dot),
        [
            "GET_ROWS embd -> MUL_MAT Kcur-N",
            "MUL_MAT Kcur-N -> SET_ROWS cache_k_lN (view)",
            "SET_ROWS cache_k_lN (view) -> FLASH_ATTN_EXT node_N",
            "GET_ROWS embd -> FLASH_ATTN_EXT node_N",
            "FLASH_ATTN_EXT node_N ~> MUL_MAT Kcur-N",
            "FLASH_ATTN_EXT node_N -> MUL_MAT result_output",
        ]
    );
    assert_snapshot!(dot);
}

#[test]
fn each_layer_by_itself() {
    let all = edges(&drawn_as(Format::Dot, &|n| n.expand = "all".to_owned()));
    assert_eq!(all.len(), 4 * 3 + 1, "{all:#?}");
    assert!(all.contains(&"FLASH_ATTN_EXT node_7 -> MUL_MAT Kcur-1".to_owned()), "{all:#?}");
    let one = edges(&drawn_as(Format::Dot, &|n| n.expand = "1..1".to_owned()));
    assert_eq!(one, all, "no two of the others are neighbours");
    let boxes = edges(&drawn_as(Format::Dot, &|n| n.expand = "none".to_owned()));
    assert_eq!(boxes, ["GET_ROWS embd -> layers 0–2 ×3", "layers 0–2 ×3 -> MUL_MAT result_output"]);
}

#[test]
fn views_and_leaves_are_shown_where_they_are_wanted() {
    let mut records = step_with_views(1, 3, &|_| 1_000);
    for record in &mut records {
        if let Record::Node(node) = record {
            (node.leaves, node.expand) = (true, "all".to_owned());
        }
    }
    records.push(end(0));
    let dot = shown(Format::Dot, Options::default(), &records);
    let all = edges(&dot);
    for edge in [
        "token_embd.weight weights -> GET_ROWS embd",
        "token_embd.weight weights -> MUL_MAT result_output",
        "blk.1.attn_k.weight weights -> MUL_MAT Kcur-1",
        "cache_k_l1 cache -> SET_ROWS cache_k_l1 (view)",
        "GET_ROWS embd -> FLASH_ATTN_EXT node_7",
    ] {
        assert!(all.contains(&edge.to_owned()), "{edge}: {all:#?}");
    }
    let bare: Vec<String> = dot.lines().filter(|l| l.contains("shape=oval")).map(|l| l.trim().to_owned()).collect();
    assert_eq!(bare.len(), 3 * 3, "a RESHAPE, a VIEW and a PERMUTE in each layer");
    // From the node that writes the cache through VIEW and PERMUTE to the one that reads it.
    let between = |from: &str, to: &str| dot.contains(&format!("{from} -> {to}"));
    let name = |label: &str, nth: usize| {
        let mut lines = dot.lines().map(str::trim).filter(|l| l.contains(&format!("[label=\"{label}")));
        lines.nth(nth).and_then(|l| l.split(' ').next()).unwrap().to_owned()
    };
    let chain = [name("SET_ROWS", 1), name("VIEW", 1), name("PERMUTE", 1), name("FLASH_ATTN_EXT", 1)];
    assert!(chain.windows(2).all(|w| between(&w[0], &w[1])), "{chain:?}: {dot}");
}

#[test]
fn times_are_means_over_steps() {
    let dot = drawn_as(Format::Dot, &|n| n.expand = "all".to_owned());
    // The fifth node takes 5 µs in one step and 15 in the other.
    assert!(dot.contains("MUL_MAT\\nKcur-1\\n10.0 µs") || dot.contains("MUL_MAT\\nKcur-1\\n10 µs"), "{dot}");
    let words = drawn_as(Format::Table, &|_| {});
    let words: Vec<&str> = words.lines().take(5).collect();
    assert_eq!(words[0], "graph decode · 2 steps");
    assert_eq!(words[1], "  11 nodes, 13 edges");
    assert_eq!(words[2], "  132 µs a step");
    // All but nothing: each node is computed of the one before it.
    assert_eq!(words[3], "  longest chain 11 nodes, 132 µs (100 %)");
}

#[test]
fn steps_of_another_structure_are_another_graph() {
    let mut records: Vec<Record> = step(1, 3, &|_| 1_000);
    records.extend(step(2, 2, &|_| 1_000));
    records.extend(step(3, 3, &|_| 1_000));
    // One that was cut, of the same structure up to there.
    records.extend(step(4, 3, &|_| 1_000).into_iter().take(6));
    records.push(end(5));
    let words = shown(Format::Table, Options::default(), &records);
    let heads: Vec<&str> = words.lines().filter(|l| l.starts_with("graph")).collect();
    assert_eq!(heads, ["graph decode · 2 steps", "graph decode · 1 step"]);
    assert!(words.contains("left out: 1 steps of which only the beginning was seen"), "{words}");
    assert!(words.contains("node: 5 of 27 nodes were lost"), "{words}");
}

#[test]
fn a_picture_is_whole_and_no_text_of_the_target_is_markup() {
    let evil = "</text><script>alert(\"x\")</script>\x1b&#0;";
    let svg = drawn_as(Format::Svg, &|n| {
        if n.result.name == "embd" {
            n.result.name = evil.to_owned();
            n.label = vec![part("name", Quantity::Text, text(evil))];
        }
        n.graph = Some((column("phase", Quantity::Text), text("<b>&")));
    });
    let document = roxmltree::Document::parse(&svg).unwrap();
    assert!(document.descendants().all(|n| !n.has_tag_name("script")));
    let texts: Vec<&str> = document
        .descendants()
        .filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "title")))
        .filter_map(|n| n.text())
        .collect();
    assert!(texts.iter().any(|t| t.starts_with("</text><script>alert(\"x\")</script>\\u{1b}&#0;")), "{texts:?}");
    assert!(svg.contains("&lt;b&gt;&amp; · 2 steps"));
    let dot = drawn_as(Format::Dot, &|n| n.label = vec![part("name", Quantity::Text, text("a\"]\n} \\N"))]);
    assert!(dot.contains(r#"[label="a\"]\n} \\N\n"#), "{dot}");
}

/// The boxes of a picture.
fn boxes(svg: &str) -> Vec<[f64; 4]> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let number = |n: &roxmltree::Node<'_, '_>, name: &str| n.attribute(name).unwrap().parse::<f64>().unwrap();
    let rects = document.descendants().filter(|n| n.tag_name().name() == "rect");
    let boxes = rects.filter(|n| n.parent().unwrap().children().any(|c| c.tag_name().name() == "title"));
    boxes.filter(|n| n.attribute("x").is_some()).map(|n| ["x", "y", "width", "height"].map(|a| number(&n, a))).collect()
}

#[test]
fn no_box_is_upon_another_and_sources_stand_above() {
    for (expand, nodes) in [("", 5), ("all", 11), ("none", 3)] {
        let svg = drawn_as(Format::Svg, &|n| n.expand = expand.to_owned());
        let boxes = boxes(&svg);
        assert_eq!(boxes.len(), nodes, "{svg}");
        for (i, [x, y, w, h]) in boxes.iter().enumerate() {
            for [ox, oy, ow, oh] in &boxes[i + 1..] {
                let apart = x + w <= *ox || ox + ow <= *x || y + h <= *oy || oy + oh <= *y;
                assert!(apart, "{expand}: {boxes:?}");
            }
        }
        // Here each node is computed of the one before.
        assert!(boxes.windows(2).all(|w| w[0][1] + w[0][3] < w[1][1]), "{expand}: {boxes:?}");
    }
}

#[test]
fn the_picture() {
    assert_snapshot!(drawn_as(Format::Svg, &|_| {}));
}

/// Some 1,400 nodes: those of a model of 28 layers with experts have as many.
#[test]
fn a_graph_of_many_layers_stays_small() {
    let mut records = step(1, 466, &|_| 1_000);
    assert_eq!(records.len(), 1_400);
    records.push(end(0));
    let svg = shown(Format::Svg, Options::default(), &records);
    assert_eq!(boxes(&svg).len(), 5);
    assert!(svg.contains("layers 0–465 · ×466"), "{svg}");
    let words = shown(Format::Table, Options::default(), &records);
    assert!(words.contains("1,400 nodes"), "{words}");
}

#[test]
fn nodes_are_rows_and_objects() {
    let records = records(&|_| {});
    let json = shown(Format::Json, Options::default(), &records[3..4]);
    assert_snapshot!(json);
    let csv = shown(Format::Csv, Options::default(), &records[2..4]);
    assert_snapshot!(csv);
}
