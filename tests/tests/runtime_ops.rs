//! Every step is counted once: profinfer's counts against those of the kernel's own uprobe events.

use std::collections::BTreeMap;

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{text, whole};
use profinfer_tests::truth::Truth;

const TOKENS: u64 = 6;

fn counts_by_op_are_those_of_the_kernel(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let truth = Truth::of(&mut engine, TOKENS);
    let report = lab.trace(&mut engine, "on ggml_op < count() by op >", TOKENS);
    assert_eq!(report.table("ggml_op").by("op", "count()"), truth.by_op);
    assert_eq!(report.hits("ggml_op"), truth.steps());
    assert_eq!(report.end()["open"], 0, "steps left open");
    assert_eq!(report.end()["layout"], "checked");
}

fn counts_by_name_are_those_of_the_kernel(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let truth = Truth::of(&mut engine, TOKENS);
    let report = lab.trace(&mut engine, "on ggml_op < n = count() by op, name into names >", TOKENS);
    let rows = report.table("names").rows;
    let counted: BTreeMap<_, _> = rows.iter().map(|r| ((text(r, "op"), text(r, "name")), whole(r, "n"))).collect();
    assert_eq!(counted, truth.by_name);
    assert_eq!(rows.len(), counted.len(), "no row is there twice");
}

/// 30 layers of 17 steps; the embedding and the head belong to none.
fn counts_by_layer_are_those_of_the_model(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let table = lab.trace(&mut engine, "on ggml_op < n = count() by layer >", TOKENS).table("ggml_op");
    let layers = table.by("layer", "n");
    for layer in 0..28 {
        assert_eq!(layers.get(&layer.to_string()), Some(&(17 * TOKENS)), "layer {layer} of {layers:?}");
    }
    // The last steps have names without a layer; their sources, those of one of the last two layers.
    assert!(layers["28"] >= 17 * TOKENS && layers["29"] >= 17 * TOKENS, "{layers:?}");
    assert!(layers["-"] >= 2 * TOKENS, "embedding and head: {layers:?}");
    assert_eq!(layers.len(), 31, "{layers:?}");
    assert_eq!(table.total("n"), 515 * TOKENS);
}

/// What a filter leaves is what the same steps are without it.
fn filters_leave_exactly_what_they_name(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let truth = Truth::of(&mut engine, TOKENS);
    let sum = |keep: &dyn Fn(&str, &str) -> bool| -> u64 {
        truth.by_name.iter().filter(|((op, name), _)| keep(op, name)).map(|(_, n)| n).sum()
    };
    let sum_src0 = |keep: &dyn Fn(&str, u64) -> bool| -> u64 {
        truth.by_src0.iter().filter(|((op, src0), _)| keep(op, *src0)).map(|(_, n)| n).sum()
    };
    let all = truth.steps();
    let expected = [
        ("on ggml_op(MUL_MAT)", sum(&|op, _| op == "MUL_MAT")),
        ("on ggml_op(MUL_*)", sum(&|op, _| op.starts_with("MUL_"))),
        ("on ggml_op(GLU | ROPE)", sum(&|op, _| op == "GLU" || op == "ROPE")),
        ("on ggml_op(!MUL_MAT)", sum(&|op, _| op != "MUL_MAT")),
        ("on ggml_op(*_ROWS)", sum(&|op, _| op.ends_with("_ROWS"))),
        ("on ggml_op(op = RMS_NORM)", truth.fused),
        ("on ggml_op(name = \"ffn_*\")", sum(&|_, name| name.starts_with("ffn_"))),
        ("on ggml_op(MUL_MAT, name = \"Qcur-7\")", TOKENS),
        ("on ggml_op(layer = 3..5)", 3 * 17 * TOKENS),
        (
            "on ggml_op(MUL_MAT, src0.type = Q4_* | Q6_K)",
            sum_src0(&|op, t| op == "MUL_MAT" && [2, 3, 12, 14].contains(&t)),
        ),
        ("on ggml_op(src0.type = F32)", sum_src0(&|_, t| t == 0)),
        ("on ggml_op(src0.type = !F32)", sum_src0(&|_, t| t != 0)),
        ("on ggml_op where (dur > 0ns)", all),
        ("on ggml_op where (dur >= 1000s)", 0),
        ("on ggml_op where (nth = 2)", all),
        ("on ggml_op where (nth != 2)", 0),
        ("on ggml_op where (layer = 3 and op = MUL_MAT)", 7 * TOKENS),
        ("on ggml_op where (not (op = MUL_MAT or op = ADD))", sum(&|op, _| op != "MUL_MAT" && op != "ADD")),
    ];
    // One script and one generation for all: clauses do not get in each other's way.
    let script: String =
        expected.iter().enumerate().map(|(i, (on, _))| format!("{on} < n = count() into t{i} >\n")).collect();
    let report = lab.trace(&mut engine, &script, TOKENS);
    for (i, (on, n)) in expected.iter().enumerate() {
        assert_eq!(report.table(&format!("t{i}")).total("n"), *n, "{on}");
    }
    // And some alone: a filter that all clauses share is decided where it is cheapest.
    for (on, n) in expected.into_iter().step_by(4) {
        let report = lab.trace(&mut engine, &format!("{on} < n = count() into t >"), TOKENS);
        assert_eq!(report.table("t").total("n"), n, "{on}");
    }
}

/// Clauses of one script see the same events.
fn clauses_of_one_script_agree(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), sum(dur) by op into one >
        on ggml_op < n = count(), sum(dur), max(dur), min(dur) by op, layer into two >
        on ggml_op(MUL_MAT) < n = count(), t = sum(dur) into three >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let (one, two, three) = (report.table("one"), report.table("two"), report.table("three"));
    assert_eq!(one.total("n"), 515 * TOKENS);
    assert_eq!((one.total("n"), one.total("sum(dur)")), (two.total("n"), two.total("sum(dur)")));
    let products = one.row("op", "MUL_MAT");
    assert_eq!(whole(three.only(), "n"), whole(products, "n"));
    assert_eq!(whole(three.only(), "t"), whole(products, "sum(dur)"));
    for row in &two.rows {
        let (min, max) = (whole(row, "min(dur)"), whole(row, "max(dur)"));
        assert!(0 < min && min <= max && max <= whole(row, "sum(dur)"), "{row}");
    }
}

on_each_engine! {
    counts_by_op_are_those_of_the_kernel,
    counts_by_name_are_those_of_the_kernel,
    counts_by_layer_are_those_of_the_model,
    filters_leave_exactly_what_they_name,
    clauses_of_one_script_agree,
}
