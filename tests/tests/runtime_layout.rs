//! A description that is not true of the engine: it is refused, by name, and no table is ever shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, stock};
use profinfer_tests::system::{engine_library, patched_bytes};

const SCRIPT: &str = "on ggml_op < n = count() by op > on llama_ubatch < n = count(), max(pos) by phase >";
const DECODE: &str = r#"start "_ZN13llama_context6decodeERK15llama_batch_ext" or "_ZN13llama_context6decodeERK11llama_batch" or "llama_decode""#;

/// A copy of the description of ggml in which every `from` is a `to`.
#[track_caller]
fn altered(lab: &Lab, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = fs::read_to_string(stock("engines/ggml.pi")).or_fail("ggml.pi");
    for (from, to) in changes {
        assert!(text.contains(from), "ggml.pi has no {from:?} to alter");
        text = text.replace(from, to);
    }
    lab.write("altered.pi", &text)
}

fn start(pid: u32, engine: &Path, script: &str) -> Profinfer {
    let (pid, engine) = (pid.to_string(), engine.to_string_lossy());
    Profinfer::start(["-e", script, "--engine", &engine, "--pid", &pid, "--format", "json"])
}

/// No table, no end, nothing but messages.
#[track_caller]
fn shows_nothing(report: &Output) {
    assert!(report.records.iter().all(|r| r["type"] == "message"), "it shows:\n{}", report.stdout);
    assert_eq!(report.records.len(), report.stdout.lines().count(), "JSON lines only:\n{}", report.stdout);
}

/// The engine computes; the run must end by itself, as a layout error with these words, and leave the engine alone.
#[track_caller]
fn refused(kind: Kind, changes: &[(&str, &str)], words: &[&str]) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let text = engine.generate(3).text;
    let library = engine_library(engine.pid());
    let mut running = start(engine.pid(), &altered(&lab, changes), SCRIPT);
    running.wait_attached();
    assert_eq!(engine.generate(3).text, text, "text while a wrong description is attached");
    let report = running.finish();
    report.failed(3, words);
    report.failed(3, &["laid out differently", "ggml", "docs/engines.md"]);
    shows_nothing(&report);
    assert_eq!(patched_bytes(engine.pid(), &library), 0, "breakpoints left");
    assert_eq!(engine.generate(3).text, text, "text after it");
}

fn a_moved_operator_is_refused(kind: Kind) {
    refused(kind, &[("op: enum(ggml_op) @ 80", "op: enum(ggml_op) @ 88")], &["operator number", "t.op is "]);
}

fn a_moved_name_is_refused(kind: Kind) {
    refused(kind, &[("name: str[64] @ 256", "name: str[64] @ 264")], &["name is printable text", "t.name is "]);
}

fn a_moved_thread_number_is_refused(kind: Kind) {
    refused(kind, &[("ith: i32 @ 0", "ith: i32 @ 8")], &["number of threads", "p.ith is "]);
}

/// Micro-batches laid out as in builds from before, or from after, this one.
fn the_layout_of_another_build_is_refused(kind: Kind) {
    let condition = "struct llama_ubatch where (";
    refused(kind, &[(condition, "struct llama_ubatch where (not ")], &["u."]);
}

/// Half of one pointer and half of another.
fn positions_moved_by_half_a_pointer_are_refused(kind: Kind) {
    let moved = [("pos: ptr(i32) @ 48", "pos: ptr(i32) @ 52"), ("pos: ptr(i32) @ 40", "pos: ptr(i32) @ 44")];
    // Half of one pointer and half of the next lead nowhere: the read fails, and the point is named.
    refused(kind, &moved, &["could not be read", "llama_ubatch"]);
}

/// One field of a micro-batch, `bytes` further than it lies in each of the two layouts.
fn moved(field: &str, offsets: [i64; 2], bytes: i64) -> [(String, String); 2] {
    let at = |offset: i64| format!("{field} @ {offset}\n");
    let mut changes = offsets.map(|offset| (at(offset), at(offset + bytes)));
    // The layouts are 8 bytes apart: what the first change makes must not be what the second one looks for.
    if bytes < 0 {
        changes.reverse();
    }
    changes
}

#[track_caller]
fn refused_where_moved(kind: Kind, field: &str, offsets: [i64; 2], bytes: i64, words: &[&str]) {
    let changes = moved(field, offsets, bytes);
    let changes: Vec<(&str, &str)> = changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    refused(kind, &changes, words);
}

/// The array behind the positions counts each token's sequences: ones, which could be positions.
fn positions_moved_by_a_pointer_are_refused(kind: Kind) {
    refused_where_moved(kind, "pos: ptr(i32)", [48, 40], 8, &["positions are an array of their own", "u.pos is "]);
    refused_where_moved(kind, "pos: ptr(i32)", [48, 40], -8, &["u.pos"]);
}

/// The array behind the sequences holds indices of sequences, which could be sequences.
fn sequences_moved_by_a_pointer_are_refused(kind: Kind) {
    let words = ["sequences are an array of their own", "u.seq_idx is "];
    refused_where_moved(kind, "seq_id_unq: ptr(i32)", [72, 64], 8, &words);
}

/// The array before the output flags holds indices of sequences: zeros, which could be flags.
fn output_flags_moved_by_a_pointer_are_refused(kind: Kind) {
    let words = ["output flags are an array of their own", "u.output is "];
    refused_where_moved(kind, "output: ptr(i8)", [88, 80], -8, &words);
}

/// A mistake in the file is told where it stands, before the target is touched.
fn a_broken_definition_is_shown_where_it_is(kind: Kind) {
    let lab = Lab::new();
    let engine = lab.engine(kind);
    let path = altered(&lab, &[("let op = t.op\n", "let op = t.opp\n")]);
    let text = fs::read_to_string(&path).or_fail(path.display());
    let (row, line) = text.lines().enumerate().find(|(_, line)| line.contains("t.opp")).or_fail("t.opp");
    let place = format!("{}:{}:{}", path.display(), row + 1, line.find("opp").or_fail("opp") + 1);
    let report = start(engine.pid(), &path, SCRIPT).finish();
    report.failed(1, &["PI0202", "`opp`", "`op`", &place]);
    assert_eq!(report.stdout, "", "nothing is shown");
}

fn the_unaltered_description_counts(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let mut running = start(engine.pid(), &altered(&lab, &[]), SCRIPT);
    running.wait_attached();
    engine.generate(3);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("ggml_op").total("n"), 3 * 515);
    assert_eq!(report.end()["layout"], "checked");
}

/// No struct is read for calls, and still nothing is called checked before there was one.
fn calls_alone_are_not_checked_before_one_was_seen(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on llama_decode < n = count() >";
    let told = |report: &Output| report.records.iter().any(|r| r["type"] == "message" && r["kind"] == "checked");
    for tokens in [0, 3] {
        let mut running = start(engine.pid(), &altered(&lab, &[]), script);
        running.wait_attached();
        if tokens > 0 {
            engine.generate(tokens);
        }
        // Longer than it waits between two looks at what was read.
        std::thread::sleep(Duration::from_millis(1000));
        let report = running.interrupt();
        report.succeeded();
        assert_eq!(report.hits("llama_decode"), tokens);
        assert_eq!(report.end()["layout"], if tokens > 0 { "checked" } else { "unchecked" });
        assert_eq!(told(&report), tokens > 0, "whether it says that it has checked:\n{}", report.stdout);
    }
}

fn a_start_that_no_file_has_is_named(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let path = altered(&lab, &[(DECODE, r#"start "llama_decode_of_nowhere""#)]);
    let report = start(engine.pid(), &path, "on llama_decode < n = count() >").finish();
    report.failed(3, &["`llama_decode`", "llama_decode_of_nowhere"]);
    assert_eq!(report.stdout, "", "nothing is shown");

    // A clause that can do without goes on, and says that it had nothing.
    let script = "on llama_decode? < n = count() into calls > on ggml_op < n = count() into steps >";
    let mut running = start(engine.pid(), &path, script);
    running.wait_attached();
    engine.generate(3);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("steps").total("n"), 3 * 515);
    assert_eq!((report.table("calls").total("n"), report.hits("llama_decode")), (0, 0));
    assert_eq!(report.end()["silent"], serde_json::json!(["llama_decode"]));
}

on_each_engine! {
    a_moved_operator_is_refused,
    a_moved_name_is_refused,
    a_moved_thread_number_is_refused,
    the_layout_of_another_build_is_refused,
    positions_moved_by_half_a_pointer_are_refused,
    positions_moved_by_a_pointer_are_refused,
    sequences_moved_by_a_pointer_are_refused,
    output_flags_moved_by_a_pointer_are_refused,
    calls_alone_are_not_checked_before_one_was_seen,
    a_broken_definition_is_shown_where_it_is,
    the_unaltered_description_counts,
    a_start_that_no_file_has_is_named,
}
