//! Several engines in one process, and an engine in a container.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, text, whole};
use profinfer_tests::system::{processes_with, signal};

const STEPS: u64 = 515;

/// A driver with its pipes; killed when dropped.
struct Driver {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Driver {
    #[track_caller]
    fn start(mut command: Command) -> Driver {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().or_fail(format_args!("{command:?}"));
        let stdin = child.stdin.take().or_fail("its stdin");
        let stdout = BufReader::new(child.stdout.take().or_fail("its stdout"));
        Driver { child, stdin, stdout }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).or_fail("reading from the driver");
        assert!(!line.is_empty(), "the driver ended; its own words are above");
        line.trim().to_owned()
    }

    #[track_caller]
    fn tell(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).or_fail("the driver is gone");
        self.line()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().or_fail("cp");
    assert!(done.success(), "copying {}", from.display());
}

/// The same library loaded from two files: two engines, each with its own memory of what it computes.
#[test]
fn engine_xllamacpp_two_engines_of_one_process_are_both_seen() {
    let lab = Lab::new();
    let other = lab.folder().join("other");
    copy(&lab.cache().xllamacpp(), &other);
    let mut command = Command::new(lab.cache().python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/two.py"));
    command.arg(lab.cache().model()).arg(lab.cache().xllamacpp()).arg(&other);
    let mut driver = Driver::start(command);
    let ready = driver.line();
    let pid: u32 = ready.strip_prefix("ready ").and_then(|pid| pid.parse().ok()).or_fail(ready);
    let script = "
        on ggml_op < n = count() by context = llama_ubatch.context into steps; n = count() by op into ops >
        on llama_ubatch < n = count(), last = max(step), goes_on = sum(has(interval)) by context into ubatches >
        on span(\"libc*:getpriority\") < n = count(), returned = min(ret), t = hist(dur) into asked >
    ";
    let running = Profinfer::attach(pid, script);
    assert_eq!(driver.tell("go 3 5"), "done");
    let report = running.interrupt();
    report.succeeded();
    let attached: Vec<&str> = report.stderr.lines().filter(|l| l.contains("attached to")).collect();
    assert_eq!(attached.len(), 2, "{attached:?}");
    let (ours, others) = (lab.cache().xllamacpp(), other.display().to_string());
    for folder in [ours.display().to_string(), others] {
        assert!(attached.iter().any(|line| line.contains(&folder)), "{folder} in {attached:?}");
    }
    let mut ubatches: Vec<[u64; 3]> =
        report.table("ubatches").rows.iter().map(|r| ["n", "last", "goes_on"].map(|c| whole(r, c))).collect();
    ubatches.sort_unstable();
    assert_eq!(ubatches, [[3, 3, 2], [5, 5, 4]], "each context for itself");
    let steps = report.table("steps").by("context", "n");
    let contexts: BTreeMap<String, u64> =
        report.table("ubatches").rows.iter().map(|r| (text(r, "context"), whole(r, "n") * STEPS)).collect();
    assert_eq!(steps, contexts);
    // What belongs to neither is counted once.
    let asked = report.table("asked").only().clone();
    assert_eq!((&asked["n"], &asked["returned"]), (&2.into(), &0.into()));
    // Rows of both merge by their words.
    let ops = report.table("ops");
    assert_eq!((ops.total("n"), ops.rows.len()), (8 * STEPS, 8), "{ops:?}");
}

/// A root of its own, bound from ours, with PID, mount and user namespaces of its own.
fn container(lab: &Lab, kind: Kind) -> (Driver, u32) {
    let root = lab.folder().join("root");
    std::fs::DirBuilder::new().mode(0o755).create(&root).or_fail(root.display());
    let marker = lab.folder().join("inside").display().to_string();
    let engine = command(lab.cache(), kind, None, &["--hold".into(), "--prompt".into(), marker.clone().into()]);
    let mut command = Command::new("unshare");
    command.args(["-Urpm", "--mount-proc", "--fork", "sh", "-c"]);
    command.arg("mount --rbind / \"$0\" && exec chroot \"$0\" \"$@\"").arg(&root);
    command.arg(engine.get_program()).args(engine.get_args());
    let mut driver = Driver::start(command);
    assert_eq!(driver.line(), "ready 1", "it is the first process of its namespace");
    let is_engine = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|l| l.strip_prefix("NSpid:").is_some_and(|ids| ids.split_whitespace().last() == Some("1")))
    };
    let pid = processes_with(&marker).into_iter().find(is_engine).or_fail("the process in the container");
    (driver, pid)
}

/// Its files are opened through its own root; it is told by both of its numbers, and by ours in tables.
fn an_engine_in_a_container_is_observed(kind: Kind) {
    let lab = Lab::new();
    let (mut driver, pid) = container(&lab, kind);
    let script = "on ggml_op < n = count() by pid into steps > on llama_seq < n = count() by seq into seqs >";
    let running = Profinfer::attach(pid, script);
    let answer = driver.tell("go 4");
    let report = running.interrupt();
    signal(pid, libc::SIGKILL);
    report.succeeded();
    assert!(answer.contains("\"tokens\""), "{answer}");
    assert_eq!(report.table("steps").by("pid", "n"), BTreeMap::from([(pid.to_string(), 4 * STEPS)]));
    assert_eq!(report.table("seqs").total("n"), 4);
    let said = format!("(pid {pid}, 1 in its container)");
    assert!(report.stderr.contains(&said), "{said:?} in:\n{}", report.stderr);
}

/// By name too: what it is called is told from outside.
fn an_engine_in_a_container_is_found_by_name(kind: Kind) {
    let lab = Lab::new();
    let (mut driver, pid) = container(&lab, kind);
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).or_fail("its program");
    let name = program.file_name().map(|n| n.to_string_lossy().into_owned()).or_fail("its name");
    let script = "on ggml_op < n = count() by pid into steps >";
    let mut running = Profinfer::start(["-e", script, "--name", &name, "--format", "json"]);
    running.wait_attached();
    driver.tell("go 2");
    let report = running.interrupt();
    signal(pid, libc::SIGKILL);
    assert_eq!(report.code, Some(0), "it said:\n{}", report.stderr);
    let steps = report.table("steps").by("pid", "n");
    assert_eq!(steps.get(&pid.to_string()), Some(&(2 * STEPS)), "{steps:?}");
}

on_each_engine! {
    an_engine_in_a_container_is_observed,
    an_engine_in_a_container_is_found_by_name,
}
