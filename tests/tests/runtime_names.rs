//! Processes by name, and those that the observed ones begin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Options, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer};
use profinfer_tests::system::{processes_with, signal, state, wait_until};

const STEPS: u64 = 515;
const SCRIPT: &str = "
    on ggml_op < n = count() by pid into steps >
    on llama_ubatch < n = count() by n_tokens into ubatches >
";
/// How long a process that begins may take to be joined.
const JOINED: Duration = Duration::from_secs(10);

/// An engine whose process is called by `name`, which no other process is.
fn called(lab: &Lab, kind: Kind, name: &str) -> Engine {
    lab.engine_with(kind, &Options { called: Some(lab.folder().join(name)), ..Options::default() })
}

fn name(what: &str) -> String {
    format!("pf{}{what}", std::process::id() % 100_000)
}

#[track_caller]
fn wait_said(running: &Profinfer, words: &str) {
    wait_until(words, JOINED, || running.said().contains(words));
}

/// One that runs, one that begins later, one of another name.
fn processes_of_a_name_are_observed(kind: Kind) {
    let lab = Lab::new();
    let (glob, first) = (format!("{}*", name("a")), name("a1"));
    let mut one = called(&lab, kind, &first);
    let mut other = called(&lab, kind, &name("b"));
    let running = Profinfer::start_attached(["-e", SCRIPT, "--name", &glob, "--format", "json"]);
    one.generate(2);
    let mut two = called(&lab, kind, &name("a2"));
    wait_said(&running, &format!("(pid {})", two.pid()));
    let before = Instant::now();
    two.generate(3);
    other.generate(4);
    assert!(before.elapsed() < Duration::from_secs(60));
    let (pid_one, pid_two) = (one.pid().to_string(), two.pid().to_string());
    assert!(one.quit() && two.quit(), "both end");
    // When the last of them has ended, so does the run.
    let report = running.finish();
    report.succeeded();
    let steps = report.table("steps").by("pid", "n");
    // What the second computed while it was loading may have been before it was joined.
    assert_eq!(steps.get(&pid_one), Some(&(2 * STEPS)), "{steps:?}");
    assert!(steps.get(&pid_two).is_some_and(|n| n.is_multiple_of(STEPS) && *n >= 3 * STEPS), "{steps:?}");
    assert_eq!(steps.len(), 2, "nobody else: {steps:?}");
}

/// Nobody has the name yet.
fn a_process_of_the_name_is_waited_for(kind: Kind) {
    let lab = Lab::new();
    let name = name("w");
    let running = Profinfer::start(["-e", SCRIPT, "--name", &name, "--wait", "--format", "json"]);
    wait_said(&running, "waiting");
    let mut engine = called(&lab, kind, &name);
    wait_said(&running, "attached to");
    engine.generate(3);
    let pid = engine.pid().to_string();
    assert!(engine.quit());
    std::thread::sleep(Duration::from_millis(300));
    assert!(state(running.pid()).is_some_and(|s| s != 'Z'), "it waits for the next one");
    let report = running.interrupt();
    report.succeeded();
    let steps = report.table("steps").by("pid", "n");
    assert!(steps.get(&pid).is_some_and(|n| n.is_multiple_of(STEPS) && *n >= 3 * STEPS), "{steps:?}");
}

#[test]
fn what_is_wrong_with_a_name_is_told() {
    Profinfer::run(["-e", SCRIPT, "--name", &name("none")]).failed(3, &["no process is called", "--wait"]);
    Profinfer::run(["-e", SCRIPT, "--name", "x", "--pid", "1"]).failed(2, &["--pid", "--name", "together"]);
    Profinfer::run(["-e", SCRIPT, "--name", "x", "--", "true"]).failed(2, &["--name", "--", "together"]);
    Profinfer::run(["-e", SCRIPT, "--name", ""]).failed(2, &["--name"]);
    let folder = std::env::temp_dir().join(name("dir"));
    std::fs::create_dir_all(&folder).or_fail(folder.display());
    let path = folder.join(name("s"));
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|p| Path::new(p).exists()).or_fail("sleep");
    std::os::unix::fs::symlink(sleep, &path).or_fail(path.display());
    let mut sleep = Command::new(&path).arg("600").spawn().or_fail(path.display());
    let report = Profinfer::run(["-e", SCRIPT, "--name", &name("s")]);
    let alive = sleep.try_wait().or_fail("sleep").is_none();
    sleep.kill().or_fail("ending sleep");
    sleep.wait().or_fail("waiting for sleep");
    std::fs::remove_dir_all(&folder).or_fail(folder.display());
    report.failed(3, &["no engine", &name("s")]);
    assert!(alive, "the process lives on");
}

/// Three hundred processes of one name.
#[test]
fn too_many_of_a_name_are_refused() {
    let folder = std::env::temp_dir().join(name("many"));
    std::fs::create_dir_all(&folder).or_fail(folder.display());
    let path = folder.join(name("m"));
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|p| Path::new(p).exists()).or_fail("sleep");
    std::os::unix::fs::symlink(sleep, &path).or_fail(path.display());
    let mut all: Vec<_> = (0..300).map(|_| Command::new(&path).arg("600").spawn().or_fail(path.display())).collect();
    let report = Profinfer::run(["-e", SCRIPT, "--name", &name("m")]);
    for child in &mut all {
        child.kill().or_fail("ending sleep");
        child.wait().or_fail("waiting for sleep");
    }
    std::fs::remove_dir_all(&folder).or_fail(folder.display());
    report.failed(3, &["300 processes", "256"]);
}

fn follow(words: impl IntoIterator<Item = OsString>) -> Output {
    let before = ["-e", SCRIPT, "--format", "json", "--follow", "--"].map(OsString::from);
    let report = Profinfer::run(before.into_iter().chain(words));
    report.succeeded();
    report
}

/// Micro-batches of a generation from the very first on; see `runtime_launch.rs`.
fn whole_run(kind: Kind, tokens: u64) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::from([("1".to_owned(), tokens - 1), ("11".to_owned(), 1)]);
    if kind == Kind::Xllamacpp {
        all.insert("2".to_owned(), 1);
    }
    all
}

/// A command that goes on in a child, which runs another program: nothing of it is missed.
fn a_command_that_goes_on_in_a_child_is_followed(kind: Kind) {
    let lab = Lab::new();
    let engine = command(lab.cache(), kind, None, &["-n".into(), "4".into()]);
    let words = [engine.get_program()].into_iter().chain(engine.get_args()).map(OsString::from);
    let shell = ["sh", "-c", "\"$@\" & exit 0", "sh"].map(OsString::from);
    let report = follow(shell.into_iter().chain(words));
    assert_eq!(report.table("ubatches").by("n_tokens", "n"), whole_run(kind, 4));
    let steps = whole_run(kind, 4).values().sum::<u64>() * STEPS;
    assert_eq!(report.table("steps").total("n"), steps);
}

/// Children that have the engine from their parent, and compute at once.
#[test]
fn engine_xllamacpp_children_with_the_engine_in_them_are_followed() {
    let lab = Lab::new();
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/fork.py");
    let words: Vec<OsString> = vec![
        lab.cache().python().into(),
        driver.into(),
        lab.cache().model().into(),
        lab.cache().xllamacpp().into(),
        "3".into(),
        "4".into(),
        "5".into(),
    ];
    let report = follow(words);
    let steps = report.table("steps");
    let mut counts: Vec<u64> = steps.by("pid", "n").into_values().collect();
    counts.sort_unstable();
    // While it loads, the server inside tries out one more.
    assert_eq!(counts, [4 * STEPS, 5 * STEPS, 6 * STEPS], "{steps:?}");
}

/// A process that was there before is not stopped, and its child is joined.
fn the_child_of_a_running_process_is_joined(kind: Kind) {
    let lab = Lab::new();
    let engine = command(lab.cache(), kind, None, &["-n".into(), "8".into()]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "read x; \"$@\"", "sh"]).arg(engine.get_program()).args(engine.get_args());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.spawn().or_fail("sh");
    let pid = shell.id().to_string();
    let running = Profinfer::start(["-e", SCRIPT, "--pid", &pid, "--follow", "--wait", "--format", "json"]);
    wait_said(&running, "waiting");
    drop(shell.stdin.take());
    let status = shell.wait().or_fail("waiting for sh");
    let report = running.finish();
    assert!(status.success(), "{status}");
    report.succeeded();
    let steps = report.table("steps").total("n");
    assert!(steps >= 4 * STEPS && steps.is_multiple_of(STEPS), "{steps} steps of whole micro-batches");
}

/// Without `--follow` a child is nobody's business.
fn a_child_is_not_observed_unasked(kind: Kind) {
    let lab = Lab::new();
    let engine = command(lab.cache(), kind, None, &["-n".into(), "2".into()]);
    let words = [engine.get_program()].into_iter().chain(engine.get_args()).map(OsString::from);
    let before = ["-e", SCRIPT, "--format", "json", "--", "sh", "-c", "\"$@\"; exit 0", "sh"].map(OsString::from);
    let report = Profinfer::run(before.into_iter().chain(words));
    report.succeeded();
    assert_eq!(report.table("steps").total("n"), 0);
}

/// profinfer is killed while a command begins one process after the other, each of which it stops: none stays so, and the
/// command runs to its end.
#[test]
fn a_kill_at_any_moment_leaves_no_child_stopped() {
    const LOOP: &str = "i=0; while [ $i -lt 1000 ]; do (exec true); i=$((i+1)); done; echo THE END";
    for (attempt, delay) in [20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 360, 430].into_iter().enumerate() {
        let word = name(&format!("kill{attempt}"));
        let running =
            Profinfer::start(["-e", SCRIPT, "--format", "json", "--follow", "--", "sh", "-c", LOOP, word.as_str()]);
        std::thread::sleep(Duration::from_millis(delay));
        let profinfer = running.pid();
        signal(profinfer, libc::SIGKILL);
        let begin = Instant::now();
        loop {
            let left: Vec<u32> = processes_with(&word).into_iter().filter(|pid| *pid != profinfer).collect();
            if left.is_empty() {
                break;
            }
            if begin.elapsed() > Duration::from_secs(30) {
                let states: Vec<_> = left.iter().map(|pid| (*pid, state(*pid))).collect();
                left.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
                panic!("killed after {delay} ms, profinfer leaves behind {states:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = running.finish();
        assert_eq!(report.code, None, "profinfer was killed; it said:\n{}", report.stderr);
    }
}

/// As many children as it likes, one after the other: all are let go, and the run ends with the last.
#[test]
fn many_children_come_and_go() {
    let script = "i=0; while [ $i -lt 300 ]; do (exec true); i=$((i+1)); done; echo THE END";
    let report = follow(["sh", "-c", script].map(OsString::from));
    assert!(report.stderr.contains("THE END"), "it said:\n{}", report.stderr);
}

on_each_engine! {
    processes_of_a_name_are_observed,
    a_process_of_the_name_is_waited_for,
    a_command_that_goes_on_in_a_child_is_followed,
    the_child_of_a_running_process_is_joined,
    a_child_is_not_observed_unasked,
}
