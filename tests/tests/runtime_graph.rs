//! The graph of a step is the one that the engine computes: node for node and edge for edge as llama.cpp's own eval callback
//! tells it in the same process, on a dense model and on a mixture of experts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;

use profinfer_tests::callback::{Callback, Computed};
use profinfer_tests::engine::{Kind, Model};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, stock};

/// Operators that only say how memory is looked at.
const VIEWS: [&str; 4] = ["VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"];

/// A node as a picture has it: its operator and its name.
type Name = String;

/// A graph: its nodes in the order in which they are computed, and its edges.
#[derive(Debug, Default, PartialEq, Eq)]
struct Graph {
    nodes: Vec<Name>,
    edges: BTreeSet<(Name, Name)>,
    leaves: BTreeSet<(Name, Name)>,
}

/// What the engine says, views followed and pairs of RMS_NORM and MUL taken together. A cache has what was written into it last:
/// SET_ROWS says into what by its third source.
fn of_the_engine(all: &[Computed]) -> Graph {
    let by_id: HashMap<u64, &Computed> = all.iter().map(|c| (c.tensor.id, c)).collect();
    let is_view = |id: &u64| by_id.get(id).is_some_and(|c| VIEWS.contains(&c.tensor.op.as_str()));
    let root = |id: u64| {
        let mut at = id;
        while is_view(&at) {
            at = by_id[&at].sources[0].id;
        }
        at
    };
    let mut graph = Graph::default();
    let mut written: HashMap<u64, Name> = HashMap::new();
    let mut known: HashMap<u64, Name> = HashMap::new();
    let mentioned = all.iter().flat_map(|c| c.sources.iter().chain([&c.tensor]));
    let names: HashMap<u64, &Name> = mentioned.map(|t| (t.id, &t.name)).collect();
    let computed: Vec<&Computed> = all.iter().filter(|c| !is_view(&c.tensor.id) && c.tensor.op != "NONE").collect();
    let mut at = 0;
    while let Some(first) = computed.get(at) {
        let fused = computed.get(at + 1).filter(|next| {
            let reads = next.sources.iter().any(|s| s.id == first.tensor.id);
            (first.tensor.op.as_str(), next.tensor.op.as_str()) == ("RMS_NORM", "MUL") && reads
        });
        let (op, last) = match fused {
            Some(last) => ("RMS_NORM+MUL", *last),
            None => (first.tensor.op.as_str(), *first),
        };
        let name = format!("{op} {}", last.tensor.name);
        let more = fused.map_or(&[][..], |last| &last.sources);
        for source in first.sources.iter().chain(more).filter(|s| s.id != first.tensor.id) {
            let root = root(source.id);
            match written.get(&root).or_else(|| known.get(&root)) {
                Some(from) => graph.edges.insert((from.clone(), name.clone())),
                None => graph.leaves.insert((names[&root].clone(), name.clone())),
            };
        }
        if last.tensor.op == "SET_ROWS" {
            written.insert(root(last.sources[2].id), name.clone());
        }
        known.insert(last.tensor.id, name.clone());
        graph.nodes.push(name);
        at += 1 + usize::from(fused.is_some());
    }
    graph
}

/// The graph of a picture in DOT, each line of it understood.
#[track_caller]
fn of_the_picture(dot: &str) -> (Graph, BTreeMap<String, usize>) {
    let mut graph = Graph::default();
    let mut names: HashMap<&str, (Name, bool)> = HashMap::new();
    let mut clusters = BTreeMap::new();
    let mut edges = Vec::new();
    for line in dot.lines().map(str::trim) {
        let word = line.split(' ').next().unwrap_or_default();
        let is_box = word.strip_prefix('n').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        if let (true, Some((from, to))) = (is_box, line.split_once(" -> ")) {
            edges.push((from, to.split(' ').next().unwrap_or_default()));
        } else if is_box {
            let label = line.split_once("[label=\"").and_then(|(_, rest)| rest.split_once('"')).expect(line).0;
            let lines: Vec<&str> = label.split("\\n").collect();
            let is_leaf = line.contains("dashed");
            names.insert(word, if is_leaf { (lines[0].to_owned(), true) } else { (lines[..2].join(" "), false) });
            if !is_leaf {
                graph.nodes.push(lines[..2].join(" "));
            }
        } else if let Some(title) = line.strip_prefix("label=\"layer") {
            *clusters.entry(title.split(" · ").next().unwrap_or_default().to_owned()).or_default() += 1;
        } else {
            let known = ["digraph profinfer {", "rankdir=TB", "}", ""];
            let begins = ["subgraph cluster_", "node [shape", "edge [color", "label=\"decode"];
            assert!(known.contains(&line) || begins.iter().any(|b| line.starts_with(b)), "what is this: {line}");
        }
    }
    for (from, to) in edges {
        let ((from, is_leaf), (to, _)) = (names[from].clone(), names[to].clone());
        let all = if is_leaf { &mut graph.leaves } else { &mut graph.edges };
        assert!(all.insert((from.clone(), to.clone())), "{from} -> {to} is there twice");
    }
    (graph, clusters)
}

fn sorted(mut names: Vec<Name>) -> Vec<Name> {
    names.sort();
    names
}

/// A picture of a recording.
#[track_caller]
fn picture(lab: &Lab, recording: &str, name: &str, params: &[&str]) -> String {
    let out = lab.folder().join(name);
    let mut arguments = vec!["replay".to_owned(), recording.to_owned(), "-o".to_owned(), out.display().to_string()];
    arguments.extend(params.iter().flat_map(|p| ["-P".to_owned(), (*p).to_owned()]));
    let run = Profinfer::run(arguments);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    fs::read_to_string(&out).expect("the picture")
}

/// Records all of a script's events while the engine decodes; the last graph that it computed.
#[track_caller]
fn recorded(engine: &mut Callback, recording: &str) -> Vec<Computed> {
    let (script, pid) = (stock("dag.pi"), engine.pid().to_string());
    let script = script.to_string_lossy();
    let arguments = ["record", &script, "-P", "views=true", "-P", "leaves=true", "-o", recording, "--pid", &pid];
    let running = Profinfer::start_attached(arguments);
    let graph = engine.graph(4);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    assert!(report.stderr.contains("lost     nothing"), "{}", report.stderr);
    graph
}

fn graph_is_that_of_the_engine(kind: Kind) {
    let lab = Lab::new();
    for (model, nodes) in [(Model::Dense, 515), (Model::Moe, 785)] {
        let mut engine = Callback::start_with(lab.cache(), kind, model, 512, 24);
        let recording = lab.folder().join("dag.pirec").display().to_string();
        let all = recorded(&mut engine, &recording);
        let engine = of_the_engine(&all);
        assert_eq!(engine.nodes.len(), nodes, "by the callback");
        let fused = engine.nodes.iter().filter(|n| n.starts_with("RMS_NORM+MUL ")).count();
        assert_eq!(fused, 61, "two in each layer and one at the end");

        // Everything by itself: the same nodes, edges, and what no node computes.
        let dot = picture(&lab, &recording, "all.dot", &["layers=all", "views=false"]);
        let (seen, clusters) = of_the_picture(&dot);
        assert_eq!(sorted(seen.nodes.clone()), sorted(engine.nodes.clone()));
        assert_eq!(seen.edges, engine.edges);
        assert_eq!(clusters.len(), 30, "{clusters:?}");
        // Each value but the last is read by somebody, and each node reads what was computed before it.
        let read: BTreeSet<&Name> = seen.edges.iter().map(|(from, _)| from).collect();
        let sinks: Vec<&Name> = engine.nodes.iter().filter(|n| !read.contains(n)).collect();
        assert_eq!(sinks, ["MUL_MAT result_output"]);
        assert_eq!(seen.leaves, engine.leaves);

        // Layers that are alike are drawn once, and as large as one.
        let once = picture(&lab, &recording, "once.dot", &["views=false", "leaves=false"]);
        let (drawn, clusters) = of_the_picture(&once);
        assert!(clusters.contains_key("s 0–27 ×28"), "{clusters:?}");
        assert!(drawn.nodes.len() < nodes / 8, "{} boxes", drawn.nodes.len());

        // Views are those that are read, one box each where several read it.
        let views = picture(&lab, &recording, "views.dot", &["layers=all"]);
        let words: BTreeSet<&str> = VIEWS.into_iter().collect();
        let oval = views.lines().filter(|l| l.contains("shape=oval"));
        let shown = oval.filter_map(|l| l.split("[label=\"").nth(1)?.split('"').next()).collect::<Vec<_>>();
        assert!(!shown.is_empty() && shown.iter().all(|word| words.contains(word)), "{shown:?}");
        let svg = picture(&lab, &recording, "once.svg", &["views=false", "leaves=false", "colour=part"]);
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{}", &svg[..200]);
    }
}

/// A format of graphs wants nodes, a picture no terminal, and a point of no graph is told.
#[test]
fn what_has_no_graph_is_told() {
    let run = |arguments: &[&str]| Profinfer::run(arguments.iter().copied());
    let nothing = run(&["-e", "on ggml_op < count() >", "-o", "x.svg", "--pid", "1"]);
    nothing.failed(2, &["the format svg draws graphs, and the script has no `node()`"]);
    run(&["check", "-e", "on llama_ubatch < node() >"]).failed(1, &["PI0306", "ggml_op"]);
    run(&["check", "-e", "on ggml_op < node(\"{op}\", color = dur) >"]).failed(1, &["PI0306", "unknown", "colour"]);
    run(&["check", "-e", "on ggml_op < node() by op >"]).failed(1, &["PI0330"]);
    run(&["check", "dag.pi", "-P", "layers=some"]).failed(1, &["PI0306", "5..7"]);
}

on_each_engine!(graph_is_that_of_the_engine);
