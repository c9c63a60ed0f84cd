//! `diff`: what is the same is no difference, and what differs is found, on real engines.

use std::path::PathBuf;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options, Timings};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, stock};
use serde_json::Value;

const TOKENS: u64 = 60;

/// Records what a comparison needs over one generation.
#[track_caller]
fn record(lab: &Lab, engine: &mut Engine, name: &str, tokens: u64) -> (PathBuf, Timings) {
    let file = lab.folder().join(name);
    let script = stock("compare.pi").display().to_string();
    let (to, pid) = (file.display().to_string(), engine.pid().to_string());
    let running = Profinfer::start_attached(["record", &script, "-o", &to, "--pid", &pid]);
    let timings = engine.generate(tokens);
    let done = running.interrupt();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    (file, timings)
}

#[track_caller]
fn diff(files: &[&PathBuf], more: &[&str]) -> Output {
    let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let files = files.iter().map(String::as_str);
    Profinfer::run(["diff", "--format", "json", "--top", "1000"].into_iter().chain(files).chain(more.iter().copied()))
}

/// What was found of a row of a table; none if there is none.
fn row<'o>(output: &'o Output, table: &str, is: &[(&str, &str)]) -> Option<&'o Value> {
    let table = output.records.iter().find(|r| r["name"] == table)?;
    table["rows"].as_array()?.iter().find(|row| is.iter().all(|(name, value)| row[*name] == *value))
}

#[track_caller]
fn verdict<'o>(output: &'o Output, table: &str, is: &[(&str, &str)]) -> &'o str {
    let row = row(output, table, is).or_fail(format!("{is:?} in {table} of {}", output.stdout));
    row["verdict"].as_str().or_fail("a verdict")
}

/// Recordings in turns: a, b, a, b.
fn the_same_thing_is_no_difference(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let files = ["a1", "b1", "a2", "b2"].map(|name| record(&lab, &mut engine, name, TOKENS));
    let all: Vec<&PathBuf> = files.iter().map(|(file, _)| file).collect();
    let found = diff(&all, &["--fail-on-change"]);
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
    // Nothing is another, to the operator.
    assert!(!found.records.iter().any(|r| r["name"] == "shape"), "{}", found.stdout);
    let mean = row(&found, "steps", &[("phase", "decode"), ("of", "mean")]).or_fail("the mean of all steps");
    // All steps that could be compared were, and they take no longer than the engine says that all of it took.
    let compared = row(&found, "verdict", &[("phase", "decode")]).or_fail("a verdict")["steps compared"].as_u64();
    let lost = found.stderr.contains("was lost when it was recorded");
    assert!(compared == Some(2 * (TOKENS - 1)) || lost, "{compared:?}, {}", found.stderr);
    let before = mean["before"].as_f64().or_fail("a time");
    let most = (files[0].1.eval_ms + files[2].1.eval_ms) * 1e6;
    assert!(
        before > 0.0 && (before * (2 * (TOKENS - 1)) as f64) < most || lost,
        "{before} ns a step, {most} ns in all"
    );
    // The same files give the same bytes.
    assert_eq!(diff(&all, &[]).stdout, found.stdout);
}

fn another_number_of_threads_is_said_exactly(kind: Kind) {
    let lab = Lab::new();
    let one = record(&lab, &mut lab.engine_with(kind, &Options { threads: 1, ..Options::default() }), "one", TOKENS).0;
    let two = record(&lab, &mut lab.engine(kind), "two", TOKENS).0;
    let found = diff(&[&one, &two], &[]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let shape = |what: &str| row(&found, "shape", &[("what differs", what)]).cloned();
    let threads = shape("threads").or_fail(&found.stdout);
    assert_eq!((&threads["before"], &threads["after"]), (&"1".into(), &"2".into()));
    // Nothing else is another.
    let rows = found.records.iter().find(|r| r["name"] == "shape").or_fail("a shape")["rows"].as_array().map(Vec::len);
    assert_eq!(rows, Some(1), "{}", found.stdout);
}

on_each_engine! {
    the_same_thing_is_no_difference,
    another_number_of_threads_is_said_exactly,
}

/// Attention over some seven hundred positions against that over fifty: nothing else changes as much.
#[test]
fn an_operator_that_takes_longer_is_found() {
    let lab = Lab::new();
    let short = record(&lab, &mut lab.engine(Kind::Xllamacpp), "short", TOKENS).0;
    let options = Options { repeat_prompt: 60, ..Options::default() };
    let long = record(&lab, &mut lab.engine_with(Kind::Xllamacpp, &options), "long", TOKENS).0;
    let found = diff(&[&short, &long], &["--fail-on-change"]);
    assert_eq!(found.code, Some(7), "{}", found.stdout);
    let attention = verdict(&found, "decode: op", &[("op", "FLASH_ATTN_EXT")]);
    assert!(attention.starts_with("slower"), "{attention}: {}", found.stdout);
    assert!(found.stderr.contains("decode: steps are at other positions"), "{}", found.stderr);
}

#[test]
fn experts_against_one_network_are_other_operators() {
    let lab = Lab::new();
    let dense = record(&lab, &mut lab.engine(Kind::Xllamacpp), "dense", TOKENS).0;
    let options = Options { model: Model::Moe, ..Options::default() };
    let experts = record(&lab, &mut lab.engine_with(Kind::Xllamacpp, &options), "experts", TOKENS).0;
    let found = diff(&[&dense, &experts], &["--fail-on-change"]);
    assert_eq!(found.code, Some(7), "{}", found.stderr);
    assert_eq!(verdict(&found, "decode: op", &[("op", "MUL_MAT_ID")]), "only after");
    assert_eq!(verdict(&found, "decode: part", &[("part", "router")]), "only after");
    // Three products of the feed-forward network in each of thirty layers, which experts have otherwise.
    let products = row(&found, "shape", &[("what differs", "MUL_MAT ffn Q4_1")]).or_fail(&found.stdout);
    assert_eq!(products["before"], "90", "{products}");
    // The other way round as well, and by keys of one's own.
    let back = diff(&[&experts, &dense], &["--by", "layer, op"]);
    assert_eq!(back.code, Some(0), "{}", back.stderr);
    assert_eq!(verdict(&back, "decode: layer, op", &[("op", "MUL_MAT_ID")]), "only before");
}

#[test]
fn two_builds_are_told_apart_by_their_files() {
    let lab = Lab::new();
    let one = record(&lab, &mut lab.engine(Kind::Xllamacpp), "one", TOKENS).0;
    let other = record(&lab, &mut lab.engine(Kind::Node), "other", TOKENS).0;
    let found = diff(&[&one, &other], &[]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let engine = row(&found, "shape", &[("what differs", "engine")]).or_fail(&found.stdout);
    assert!(engine["before"].as_str().is_some_and(|t| t.contains("xllamacpp")), "{engine}");
    assert!(engine["after"].as_str().is_some_and(|t| t.contains("libggml-cpu")), "{engine}");
    assert!(row(&found, "shape", &[("what differs", "build")]).is_some(), "{}", found.stdout);
}

#[test]
fn recordings_that_say_too_little_are_refused_with_the_cure() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let good = record(&lab, &mut engine, "good", 2).0;
    let little = lab.folder().join("little");
    let (to, pid) = (little.display().to_string(), engine.pid().to_string());
    let running = Profinfer::start_attached(["record", "-e", "on ggml_op < count() by op >", "-o", &to, "--pid", &pid]);
    engine.generate(2);
    assert_eq!(running.interrupt().code, Some(0));
    let found = diff(&[&good, &little], &[]);
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    assert!(found.stderr.contains("profinfer record compare.pi -o FILE --pid N"), "{}", found.stderr);
    // Two steps are no ground for anything.
    let few = diff(&[&good, &good], &["--fail-on-change"]);
    assert_eq!(few.code, Some(0), "{}", few.stderr);
    assert_eq!(verdict(&few, "steps", &[("phase", "decode"), ("of", "median")]), "cannot tell");
    let odd = diff(&[&good, &good, &little], &[]);
    assert_eq!(odd.code, Some(2), "{}", odd.stderr);
    let keys = diff(&[&good, &good], &["--by", "leyer"]);
    assert_eq!(keys.code, Some(1), "{}", keys.stderr);
    assert!(keys.stderr.contains("these are no keys of operators: leyer"), "{}", keys.stderr);
}
