//! A point of one's own: an engine description with one more point, of the template that the shipped ones do not use.

use std::fs;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, stock, whole};

const POINT: &str = r#"
/// A graph handed to the backends.
point graph_given : enter {
  start "_ZN13llama_context13graph_computeEP11ggml_cgraphb" (ctx: ptr, g: ptr(ggml_cgraph))
  within llama_ubatch
  check (g.n_nodes >= 1) "the graph has nodes"

  /// Nodes of the graph, views included.
  let n_nodes = g.n_nodes
}
"#;
const TOKENS: u64 = 5;

/// An `enter` point counts calls, reads what is behind its arguments, and knows what encloses it.
fn a_function_is_counted_at_its_entry(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let shipped = fs::read_to_string(stock("engines/ggml.pi")).or_fail("ggml.pi");
    let description = lab.write("with_a_point.pi", &format!("{shipped}{POINT}"));
    let running = Profinfer::attach_with(
        engine.pid(),
        "on graph_given < n = count() by n_nodes, phase, step into given > on ggml_op < n = count() into ops >",
        &["--engine", &description.to_string_lossy()],
    );
    engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let given = report.table("given");
    assert_eq!(given.total("n"), TOKENS, "one graph a micro-batch");
    assert_eq!(given.rows.len() as u64, TOKENS, "each in a step of its own: {:?}", given.rows);
    let nodes = match kind {
        Kind::Xllamacpp => 939,
        Kind::Node => 936,
    };
    assert!(given.rows.iter().all(|row| whole(row, "n_nodes") == nodes), "{:?}", given.rows);
    assert_eq!(report.hits("graph_given"), TOKENS);
    assert_eq!(report.table("ops").total("n"), 515 * TOKENS, "the other points are what they were");
}

on_each_engine! {
    a_function_is_counted_at_its_entry,
}
