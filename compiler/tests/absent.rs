//! What absent values do in conditions, as evaluated in user space. The kernel's code follows the same rules.

mod common;

use profinfer_compiler::eval::{Value, eval, truth};
use profinfer_compiler::plan::{KeySource, Table};

/// The condition that user space decides, for a tensor of this name whose sources have none.
fn holds(condition: &str, name: &str) -> bool {
    let plan = common::compile(&format!("on ggml_op where ({condition}) < count() >")).compiled().plan;
    let table: &Table = &plan.tables[0];
    let fields: Vec<Value> = table
        .key
        .iter()
        .map(|k| match (&k.source, k.text.as_str()) {
            (KeySource::Text(..), "name") => Value::Text(name.to_owned()),
            (KeySource::Text(..), _) => Value::Absent,
            (KeySource::Number(_), "op") => Value::Text("ADD".to_owned()),
            (KeySource::Number(_), "fused_op") => Value::Absent,
            (KeySource::Number(_), other) => panic!("{other} is not given"),
        })
        .collect();
    let condition = table.user.as_ref().expect("decided in user space");
    truth(&eval(condition, &fields, &|_| None))
}

#[test]
fn comparisons_with_absent_are_false_and_not_reverses_them() {
    for (condition, in_layer_3, in_no_layer) in [
        ("layer = 3", true, false),
        ("layer != 3", false, false),
        ("layer < 9", true, false),
        ("layer >= 0", true, false),
        ("layer = 0..5", true, false),
        ("layer != 0..5", false, false),
        ("layer = !0..5", false, false),
        ("layer != !0..5", true, false),
        ("layer = 1 | 3", true, false),
        ("not (layer = 3)", false, true),
        ("not (layer != 3)", true, true),
        ("has(layer) and not (layer = 4)", true, false),
        ("not has(layer)", false, true),
        ("layer + 1 = 4", true, false),
        ("layer % 2 = 1", true, false),
        ("-layer = -3", true, false),
        ("layer / 2 = 1.5", true, false),
        ("layer / (layer - 3) > 0", false, false),
        ("not (layer / (layer - 3) > 0)", true, true),
        ("layer * 9223372036854775807 > 0", true, false),
        ("first(layer, 7) = 7", false, true),
        ("if(layer = 3, true, false)", true, false),
        ("if(has(layer), layer, -1) = -1", false, true),
        ("layer = 3 or name = \"out*\"", true, true),
        ("layer = absent", false, false),
        ("layer != absent", false, false),
    ] {
        assert_eq!(holds(condition, "Qcur-3"), in_layer_3, "{condition} in layer 3");
        assert_eq!(holds(condition, "output"), in_no_layer, "{condition} in no layer");
    }
}

#[test]
fn texts_and_words_are_matched_whole() {
    for (condition, expected) in [
        ("name = \"Qcur-3\"", true),
        ("name = \"Qcur\"", false),
        ("name = Qcur*", true),
        ("name != \"Qcur*\"", false),
        ("name = \"K*\" | \"*3\"", true),
        ("name = \"Qcur-?\"", true),
        ("match(name, \"Q*\", 1, 2) = 1", true),
        ("match(name, \"K*\", 1) = 1", false),
        ("fused = \"ADD*\"", false),
        ("concat(op, \"/\", layer) = \"ADD/3\"", true),
        ("concat(op, fused_op) = \"*\"", false),
        ("has(concat(op, fused_op))", false),
    ] {
        assert_eq!(holds(condition, "Qcur-3"), expected, "{condition}");
    }
}
