//! `roofline.pi`: what it says of a token is what was made to be so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::offload::{Offload, Split};
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, binary, number, stock, text, whole};
use profinfer_tests::system::page_out;
use serde_json::Value;

/// A cache with the ceilings of this machine, where the test says how high they are.
struct Ceilings {
    cache: PathBuf,
    file: PathBuf,
    measured: Value,
}

impl Ceilings {
    #[track_caller]
    fn measured(lab: &Lab) -> Ceilings {
        let cache = lab.folder().join("cache");
        let output = Command::new(binary()).args(["doctor", "--ceilings"]).env("XDG_CACHE_HOME", &cache).output();
        assert!(output.or_fail("doctor").status.success());
        let file = cache.join("profinfer/ceilings.json");
        let measured = fs::read_to_string(&file).or_fail(file.display());
        Ceilings { measured: serde_json::from_str(&measured).or_fail("JSON"), cache, file }
    }

    /// Says that the machine reads so many bytes and computes so much a second.
    #[track_caller]
    fn set(&self, memory: f64, arithmetic: f64) {
        let mut all = self.measured.clone();
        for (what, height) in [("memory", memory), ("f32", arithmetic), ("int8", arithmetic)] {
            for m in all[what].as_array_mut().into_iter().flatten() {
                m["best"] = height.into();
            }
        }
        fs::write(&self.file, all.to_string()).or_fail(self.file.display());
    }
}

/// `roofline.pi` on one generation.
#[track_caller]
fn verdict(engine: &mut Engine, cache: &Path, more: &[&str], tokens: u64, before: impl FnOnce()) -> Output {
    let script = stock("roofline.pi").display().to_string();
    let pid = engine.pid().to_string();
    let words = [&*script, "--pid", &pid, "--format", "json"];
    let mut running = Profinfer::start_with(words.iter().chain(more), &[("XDG_CACHE_HOME", cache.as_os_str())]);
    running.wait_attached();
    before();
    engine.generate(tokens);
    let report = running.interrupt();
    report.succeeded();
    report
}

/// What is said of a phase under a heading; nothing if it is not.
fn said(report: &Output, phase: &str, column: &str) -> String {
    report.table("verdict").row("phase", phase)[column].as_str().unwrap_or_default().to_owned()
}

/// The same run is bound by memory on one machine and by arithmetic on another; decode and prefill differ.
fn what_limits_a_token_goes_by_the_machine(kind: Kind) {
    let lab = Lab::new();
    let ceilings = Ceilings::measured(&lab);
    let mut engine = lab.engine_with(kind, &Options { repeat_prompt: 20, ..Options::default() });
    // A machine that has more than enough of both: what the operators get then is what another one shall have at most.
    ceilings.set(1e13, 1e15);
    let report = verdict(&mut engine, &ceilings.cache, &[], 5, || ());
    assert!(said(&report, "decode", "limit").contains("Memory is the nearer limit"), "{}", report.stdout);
    assert!(said(&report, "prefill", "limit").starts_with("Neither memory nor arithmetic"), "{}", report.stdout);
    let products = |report: &Output, phase: &str, column: &str| {
        let operators = report.table("operators");
        let row = operators.rows.iter().find(|r| r["phase"] == phase && r["op"] == "MUL_MAT");
        number(row.or_fail("products"), column)
    };
    // However much busier or idler the machine is by then: up to four times as slow, or twice as fast.
    let most = products(&report, "decode", "speed") / 0.5;
    ceilings.set(most, products(&report, "prefill", "flops") / 0.5);
    // Where even that is not enough, another run may be luckier: what is told of a starved engine is right, too.
    let mut told = Vec::new();
    let report = (0..3).find_map(|_| {
        let report = verdict(&mut engine, &ceilings.cache, &["-P", "limit=12"], 5, || ());
        let (decode, prefill) = (said(&report, "decode", "limit"), said(&report, "prefill", "limit"));
        let is_so = decode.starts_with("Memory-bound: ") && prefill.starts_with("Compute-bound: ");
        told.push((decode, prefill));
        is_so.then_some(report)
    });
    let report = report.or_fail(format_args!("decode is bound by memory, prefill by arithmetic: {told:?}"));
    for column in ["paging", "copying"] {
        assert_eq!(said(&report, "decode", column), "", "{column}");
    }
    // What is said of them is made of what the operators had to do.
    let memory = products(&report, "decode", "speed") / most;
    assert!((products(&report, "decode", "memory") - memory).abs() < 1e-3 * memory, "{}", report.stdout);
    // A machine that does less than what was done, and one that nothing is known of.
    ceilings.set(1e8, 1e8);
    let report = verdict(&mut engine, &ceilings.cache, &[], 2, || ());
    assert!(said(&report, "decode", "limit").starts_with("The ceilings cannot be right"), "{}", report.stdout);
    let report = verdict(&mut engine, lab.folder(), &[], 2, || ());
    assert!(said(&report, "decode", "limit").contains("doctor --ceilings"), "{}", report.stdout);
}

/// More threads than cores, on one engine: on the other they spin for minutes.
#[test]
fn engine_xllamacpp_threads_that_wait_for_a_core_are_told() {
    let lab = Lab::new();
    let cores = std::thread::available_parallelism().or_fail("cores").get() as u32;
    let mut engine = lab.engine_with(Kind::Xllamacpp, &Options { threads: 2 * cores, ..Options::default() });
    let report = verdict(&mut engine, lab.folder(), &[], 6, || ());
    let waiting = said(&report, "decode", "waiting");
    assert!(waiting.contains("more threads at work than cores"), "{}", report.stdout);
}

/// A model that was thrown out of memory.
#[test]
fn engine_xllamacpp_a_model_that_comes_from_the_disk_is_told() {
    let lab = Lab::new();
    let mut engine = lab.engine_with(Kind::Xllamacpp, &Options { model: Model::Moe, ..Options::default() });
    let pid = engine.pid();
    let report = verdict(&mut engine, lab.folder(), &["-P", "minor=1"], 3, || page_out(pid, ".gguf"));
    let paging = said(&report, "prefill", "paging");
    assert!(paging.starts_with("Paging: "), "{}", report.stdout);
    assert_eq!(said(&report, "prefill", "copying"), "");
}

/// Layers on another backend, between which tensors are copied.
#[test]
fn engine_llama_cpp_copies_between_backends_are_told() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Moe, Split::AllButExperts);
    let report = verdict(&mut offload.engine, lab.folder(), &[], 4, || ());
    let copying = said(&report, "decode", "copying");
    assert!(copying.starts_with("Copying: ") && copying.contains("99.0 copies a step"), "{}", report.stdout);
    assert_eq!(whole(report.table("verdict").row("phase", "decode"), "steps"), 3);
    assert_eq!(text(report.table("verdict").row("phase", "decode"), "phase"), "decode");
}

on_each_engine! { what_limits_a_token_goes_by_the_machine }
