//! What of a script is recorded.

mod common;

use common::{Files, ggml};
use profinfer_compiler::modules::link;
use profinfer_compiler::plan::{Action, Each};
use profinfer_compiler::recording::recording;
use profinfer_compiler::{Compiled, Leaves, compile_leaves, print};
use profinfer_lang::parse;
use profinfer_lang::source::SourceMap;

fn compiled(text: &str, leaves: Leaves) -> Compiled {
    let mut sources = SourceMap::new();
    let file = sources.add("test.pi", text);
    let parsed = parse(&sources, file);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let linked = link(parsed.program, "test.pi", &mut sources, &Files::default());
    compile_leaves(&linked, &sources, &ggml(), &[], leaves).expect("it compiles")
}

/// The fields that are recorded, point by point.
fn fields(text: &str) -> Vec<String> {
    let streams = recording(&compiled(text, Leaves::Fields)).streams;
    let of = |s: &profinfer_compiler::recording::Stream| {
        let texts: Vec<&str> = s.leaves.iter().map(|leaf| leaf.text.as_str()).collect();
        format!("{}: {}", s.point, texts.join(", "))
    };
    streams.iter().map(of).collect()
}

#[test]
fn fields_are_recorded_each_by_itself() {
    for (text, expected) in [
        ("on ggml_op < count() >", "ggml_op: tid, dur"),
        (
            "on ggml_op where (op = MUL_MAT and dur > 1ms) < sum(ne[0] * 2 + ne[1]) by cpu >",
            "ggml_op: tid, dur, op, ne[0], ne[1], cpu",
        ),
        (
            "on ggml_op < count() by layer, big = (ne[0] > 7), src0.type >",
            "ggml_op: tid, dur, name, src0.name, ne[0], src0.type",
        ),
        (
            "on ggml_op where (not (llama_ubatch.phase = decode)) < count() >",
            "ggml_op: tid, dur, llama_ubatch.phase, llama_ubatch.time",
        ),
    ] {
        let mut found: Vec<String> = fields(text);
        let sort = |line: &str| {
            let (point, fields) = line.split_once(": ").expect("a point");
            let mut fields: Vec<String> = fields.split(", ").map(str::to_owned).collect();
            fields.sort();
            (point.to_owned(), fields)
        };
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(sort(&found.remove(0)), sort(expected), "{text}");
    }
}

#[test]
fn what_is_read_has_one_identity_whichever_script_asks() {
    let identity = |text: &str, field: &str| {
        let streams = recording(&compiled(text, Leaves::Fields)).streams;
        let leaves = streams.into_iter().flat_map(|s| s.leaves);
        leaves.filter(|leaf| leaf.text == field).map(|leaf| leaf.identity).next().expect("it is recorded")
    };
    let (one, other) = ("on ggml_op < count() by op >", "on ggml_op where (op = ADD) < sum(ne[0]) by name >");
    assert_eq!(identity(one, "op"), identity(other, "op"));
    assert_ne!(identity(other, "op"), identity(other, "ne[0]"));
}

#[test]
fn a_run_beside_a_recording_is_as_it_is_without() {
    let text =
        "on ggml_op(MUL_MAT) where (not (llama_ubatch.phase = decode) and ne[0] > 7) < sum(dur) by layer, has(src2) >
                end < show ggml_op >";
    let (run, both) = (compiled(text, Leaves::Early), compiled(text, Leaves::Both));
    for (run, both) in run.plan.tables.iter().zip(&both.plan.tables) {
        assert_eq!((&run.open, &run.close, &run.user, &run.key), (&both.open, &both.close, &both.user, &both.key));
    }
    assert_eq!(run.plan.tables.len(), both.plan.tables.len());
    let made = recording(&both);
    assert_eq!(made.plan.tables.len(), 2);
    assert_eq!(made.streams[0].table, 1);
    assert!(print::plan(&made.plan).contains("record events: ggml_op"), "{}", print::plan(&made.plan));
}

#[test]
fn of_what_a_script_does_only_its_end_is_done() {
    let text = "on ggml_op < n = count() into t; show t; exit >
                begin < show t > every 1s < show t; clear t > after 3s < show t; exit > end < show t >";
    let made = recording(&compiled(text, Leaves::Fields));
    assert_eq!((made.plan.begin.len(), made.plan.end.len(), made.plan.timers.len()), (0, 0, 1));
    assert_eq!(made.plan.timers[0].actions, [Action::Exit]);
    let each: Vec<_> = made.plan.tables.iter().map(|t| t.each.clone()).collect();
    assert_eq!(each, [Some(Each::Act(vec![Action::Exit])), Some(Each::Record)]);
}
