//! `doctor`, `list` and `plan` on real engines: nothing is touched, and what they say is what a run then does.

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer};
use profinfer_tests::system::{engine_library, patched_bytes};

const SCRIPT: &str = "on ggml_op < n = count() by op > on llama_ubatch < n = count() >";

fn look(pid: u32, arguments: &[&str]) -> Output {
    Profinfer::run(arguments.iter().copied().chain(["--pid", &pid.to_string()]))
}

#[track_caller]
fn printed(output: &Output, words: &[&str]) {
    assert_eq!(output.code, Some(0), "exit code; it printed:\n{}\nand said:\n{}", output.stdout, output.stderr);
    let flat = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "no {word:?} in:\n{}", output.stdout);
    }
}

fn a_healthy_engine_is_found_healthy(kind: Kind) {
    let lab = Lab::new();
    let engine = lab.engine(kind);
    let report = look(engine.pid(), &["doctor"]);
    let library = engine_library(engine.pid());
    printed(&report, &[&library, "build id", "words read out of the engine", "This process can be measured."]);
    printed(&report, &["close and open ggml_op ggml_cpu_extra_compute_forward in", "(push, emulated)"]);
    let version = report.stdout.lines().find_map(|l| l.trim().strip_prefix("version ")).or_fail("no version");
    assert!(version.trim().starts_with(|c: char| c.is_ascii_digit()), "version {version}");
    let cet = if kind == Kind::Node { "CET, build id" } else { "no CET, build id" };
    printed(&report, &[cet]);
}

fn an_engine_has_every_point_and_numbers_its_words(kind: Kind) {
    let lab = Lab::new();
    let engine = lab.engine(kind);
    let report = look(engine.pid(), &["list"]);
    printed(&report, &["numbered by the engine, which has"]);
    assert!(!report.stdout.contains("not available"), "{}", report.stdout);
    printed(&look(engine.pid(), &["list", "ggml_op"]), &["0 NONE", "1 DUP", "2 ADD", "MUL_MAT"]);
    let costs = ["available", "close and open ggml_op ggml_cpu_extra_compute_forward in", "(push, emulated)"];
    printed(&look(engine.pid(), &["list", "-v", "ggml_op"]), &costs);
}

/// As many instructions as `plan` shows are probed by a run.
fn a_plan_shows_the_sites_of_a_run(kind: Kind) {
    let lab = Lab::new();
    let engine = lab.engine(kind);
    let library = engine_library(engine.pid());
    let plan = look(engine.pid(), &["plan", "-e", SCRIPT]);
    printed(&plan, &["close and open ggml_op", "kernel memory"]);
    assert_eq!(patched_bytes(engine.pid(), &library), 0, "a plan touches nothing");
    let shown = plan.stdout.lines().filter(|l| l.trim_start().starts_with("+0x") && l.contains('`')).count();
    let running = Profinfer::attach(engine.pid(), SCRIPT);
    let said = running.said();
    running.interrupt().succeeded();
    let sites = said.split(' ').zip(said.split(' ').skip(1)).find(|(_, word)| word.starts_with("sites"));
    let probed: usize = sites.and_then(|(n, _)| n.parse().ok()).or_fail(format_args!("no number of sites in {said}"));
    assert_eq!(shown, probed, "{}", plan.stdout);
}

on_each_engine! {
    a_healthy_engine_is_found_healthy,
    an_engine_has_every_point_and_numbers_its_words,
    a_plan_shows_the_sites_of_a_run,
}
