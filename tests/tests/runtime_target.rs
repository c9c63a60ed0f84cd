//! Targets: those that are none, those that go away, those that were stripped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::Profinfer;
use profinfer_tests::system::{engine_library, patched_bytes, wait_until};

const SCRIPT: &str = "on ggml_op < n = count() by op >";

fn on(pid: u32) -> [String; 4] {
    ["-e".into(), SCRIPT.into(), "--pid".into(), pid.to_string()]
}

#[test]
fn a_process_that_does_not_exist_is_named() {
    let mut gone = Command::new("true").spawn().or_fail("true");
    let pid = gone.id();
    gone.wait().or_fail("waiting for true");
    Profinfer::run(on(pid)).failed(3, &[&pid.to_string()]);
    Profinfer::run(["-e", SCRIPT, "--pid", "4194999"]).failed(3, &["4194999"]);
}

#[test]
fn a_process_without_an_engine_is_refused() {
    let mut sleep = Command::new("sleep").arg("600").spawn().or_fail("sleep");
    let report = Profinfer::run(on(sleep.id()));
    let alive = sleep.try_wait().or_fail("sleep").is_none();
    sleep.kill().or_fail("ending sleep");
    sleep.wait().or_fail("waiting for sleep");
    report.failed(3, &["sleep", "engine"]);
    assert!(alive, "the process lives on");
}

#[test]
fn what_is_no_number_is_a_wrong_usage() {
    Profinfer::run(["-e", SCRIPT, "--pid", "many"]).failed(2, &["many"]);
    Profinfer::run(["-e", SCRIPT, "--pid", "-1"]).failed(2, &["-1"]);
}

/// The script is read before the target is looked at, let alone touched.
#[test]
fn a_wrong_script_is_told_before_the_target_is_touched() {
    Profinfer::run(["-e", "on nonsense < count() >", "--pid", "4194999"]).failed(1, &["nonsense"]);
}

/// Ended by a signal in the middle of a token: the report has all whole steps, and says why it ended.
fn a_target_that_is_killed_ends_with_a_report(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let running = Profinfer::attach(engine.pid(), "on ggml_op < n = count() > on llama_ubatch < n = count() >");
    engine.begin(2000);
    std::thread::sleep(Duration::from_millis(700));
    engine.signal(libc::SIGKILL);
    assert!(!engine.wait(), "the engine was killed");
    let report = running.finish();
    report.succeeded();
    let (ubatches, steps) = (report.table("llama_ubatch").total("n"), report.table("ggml_op").total("n"));
    assert!(ubatches > 0, "micro-batches before the end");
    assert!((515 * ubatches..515 * (ubatches + 1)).contains(&steps), "{steps} steps of {ubatches} whole micro-batches");
    assert!(report.end()["reason"].as_str().unwrap_or_default().contains("exit"), "{}", report.end());
}

fn a_target_that_ends_ends_with_a_report(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let running = Profinfer::attach(engine.pid(), SCRIPT);
    engine.generate(3);
    assert!(engine.quit(), "exit status of the engine");
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.table("ggml_op").total("n"), 3 * 515);
}

/// Interrupted in the middle of a token: what is cut is said to be open, and the engine goes on.
fn an_interrupt_between_steps_cuts_nothing_in_two(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let running = Profinfer::attach(engine.pid(), "on ggml_op < n = count() > on llama_ubatch < n = count() >");
    engine.begin(60);
    std::thread::sleep(Duration::from_millis(300));
    let report = running.interrupt();
    engine.finish(60);
    report.succeeded();
    let (ubatches, steps) = (report.table("llama_ubatch").total("n"), report.table("ggml_op").total("n"));
    assert!(
        (515 * ubatches..=515 * (ubatches + 1)).contains(&steps),
        "{steps} steps of {ubatches} whole micro-batches"
    );
    assert!(report.end()["open"].as_u64().is_some_and(|open| open <= 3), "{}", report.end());
}

/// Attached while a token is being computed: counting begins with whole steps.
fn attaching_in_the_middle_counts_whole_steps(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    engine.begin(150);
    let script = "on ggml_op < n = count() by op > on llama_ubatch < n = count() >";
    let running = Profinfer::attach(engine.pid(), script);
    engine.finish(150);
    let report = running.interrupt();
    report.succeeded();
    let ubatches = report.table("llama_ubatch").total("n");
    assert!(0 < ubatches && ubatches < 150, "{ubatches} micro-batches");
    let table = report.table("ggml_op");
    assert_eq!(table.total("n"), 515 * ubatches, "steps of {ubatches} whole micro-batches: {table:?}");
}

/// The same numbers without a symbol table.
fn a_stripped_engine_is_the_same(kind: Kind) {
    let lab = Lab::new();
    let package = lab.folder().join("a folder with blanks");
    let from = match kind {
        Kind::Xllamacpp => lab.cache().xllamacpp(),
        Kind::Node => lab.cache().node_llama_cpp(),
    };
    run(Command::new("cp").arg("-r").arg(&from).arg(&package));
    let mut libraries = Vec::new();
    shared_objects(&package, &mut libraries);
    assert!(!libraries.is_empty(), "libraries below {}", package.display());
    run(Command::new("strip").arg("--strip-all").args(&libraries));
    let mut whole = lab.engine(kind);
    let expected = lab.trace(&mut whole, SCRIPT, 4).table("ggml_op").by("op", "n");
    drop(whole);
    let mut stripped = lab.engine_with(kind, &Options { package: Some(package.clone()), ..Options::default() });
    let library = engine_library(stripped.pid());
    assert!(library.starts_with(&*package.to_string_lossy()), "{library} is the stripped one");
    assert_eq!(lab.trace(&mut stripped, SCRIPT, 4).table("ggml_op").by("op", "n"), expected);
    assert_eq!(expected.values().sum::<u64>(), 4 * 515);
}

/// SIGKILL gives profinfer no chance to tidy up: the kernel does.
fn killing_profinfer_leaves_nothing(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let library = engine_library(engine.pid());
    assert_eq!(patched_bytes(engine.pid(), &library), 0, "breakpoints before");
    let running = Profinfer::attach(engine.pid(), SCRIPT);
    assert!(patched_bytes(engine.pid(), &library) > 0, "breakpoints while attached");
    let text = engine.generate(6).text;
    engine.begin(6);
    let report = running.kill();
    assert_eq!(report.code, None, "ended by a signal");
    assert_eq!(engine.finish(6).text, text, "the engine goes on as if nothing had been");
    wait_until("the kernel to take the probes away", Duration::from_secs(20), || {
        patched_bytes(engine.pid(), &library) == 0
    });
    let report = lab.trace(&mut engine, SCRIPT, 2);
    assert_eq!(report.table("ggml_op").total("n"), 2 * 515, "it can be attached to again");
    assert_eq!(patched_bytes(engine.pid(), &library), 0, "breakpoints after an orderly end");
}

/// Tracing costs time, never a token.
fn the_text_is_the_same_under_tracing(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let bare = engine.generate(32).text;
    let script = "
        on ggml_op < count(), hist(dur) by op, name >
        on ggml_graph < sum(dur) > on llama_ubatch < sum(dur), sum(interval) by phase >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    let traced = engine.generate(32).text;
    running.interrupt().succeeded();
    assert_eq!(traced, bare);
    assert_eq!(engine.generate(32).text, bare, "and after it");
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().or_fail(format_args!("{command:?}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn shared_objects(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).or_fail(folder.display()).flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            shared_objects(&path, found);
        } else if path.extension().is_some_and(|e| e == "so" || e == "node") {
            found.push(path);
        }
    }
}

on_each_engine! {
    a_target_that_is_killed_ends_with_a_report,
    a_target_that_ends_ends_with_a_report,
    an_interrupt_between_steps_cuts_nothing_in_two,
    attaching_in_the_middle_counts_whole_steps,
    a_stripped_engine_is_the_same,
    killing_profinfer_leaves_nothing,
    the_text_is_the_same_under_tracing,
}
