//! What a run says, where and when: outputs that cannot be written, targets that go away while they are attached to,
//! words at the right time, an end in time and drawn once.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, pipe};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, binary};
use profinfer_tests::system::{engine_library, patched_bytes, signal, wait_until};
use tempfile::TempDir;

const SCRIPT: &str = "on ggml_op < n = count() by op into t > every 50ms < show t >";
/// A script with many sites, so that attaching takes its time.
const ATTACHED: &str = "on ggml_op < n = count() by name > on llama_ubatch < n = count() by phase >
    on ggml_graph < n = count() > on llama_decode < n = count() >";
/// What the engine writes when it runs to its end.
const TEXT: &str = "The three primary colors of light are red, green and blue";
const PATIENCE: Duration = Duration::from_secs(60);

/// Where profinfer's stdout goes.
#[derive(Debug, Clone, Copy)]
enum Stdout {
    /// A pipe that nobody reads any more.
    Closed,
    /// A disk without room.
    Full,
}

impl Stdout {
    fn open(self) -> Stdio {
        match self {
            Stdout::Closed => {
                let (reader, writer) = pipe().or_fail("a pipe");
                drop(reader);
                writer.into()
            }
            Stdout::Full => full(),
        }
    }
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").or_fail("/dev/full").into()
}

/// Runs profinfer with that stdout: its exit code and what it and its command said.
fn run(stdout: Stdio, before: &[&str], command: &[&str]) -> (Option<i32>, String) {
    let mut profinfer = Command::new(binary());
    profinfer.args(before).arg("--").args(command).env("NO_COLOR", "1");
    let output = profinfer.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output();
    let output = output.or_fail(format_args!("{profinfer:?}"));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The first record comes before the command runs, so its output fails while it is held.
#[test]
fn a_command_runs_to_its_end_whatever_becomes_of_the_output() {
    let folder = TempDir::new().or_fail("a temporary folder");
    let done = folder.path().join("done");
    let json = ["-e", SCRIPT, "--format", "json"];
    let file = ["-e", SCRIPT, "--format", "json", "-o", "/dev/full"];
    let cases = [
        (Some(Stdout::Closed), json.as_slice(), 0, ""),
        (Some(Stdout::Full), &json, 6, "cannot write to stdout: No space left"),
        (None, &file, 6, "cannot write /dev/full: No space left"),
    ];
    for (stdout, arguments, fine, words) in cases {
        for (status, expected) in [(0, fine), (7, 7)] {
            let what = format!("stdout {stdout:?}, a command with status {status}");
            let script = format!("sleep 0.2; touch '{}'; exit {status}", done.display());
            let (code, said) = run(stdout.map_or_else(Stdio::null, Stdout::open), arguments, &["sh", "-c", &script]);
            assert!(done.exists(), "{what}: the command has run to its end; profinfer said:\n{said}");
            std::fs::remove_file(&done).or_fail(done.display());
            assert_eq!(code, Some(expected), "{what}; profinfer said:\n{said}");
            assert!(said.contains(words), "{what}: no {words:?} in:\n{said}");
            assert_eq!(said.contains("cannot write"), !words.is_empty(), "{what}:\n{said}");
        }
    }
}

/// A script that shows its tables at the end writes nothing before the command has ended.
#[test]
fn a_command_goes_on_only_if_it_has_not_ended() {
    let at_the_end = ["-e", "on ggml_op < n = count() by op >"];
    let at_once = ["-e", SCRIPT, "--format", "json"];
    for (arguments, goes_on) in [(at_the_end.as_slice(), false), (&at_once, true)] {
        let (code, said) = run(Stdout::Full.open(), arguments, &["sleep", "0.3"]);
        assert_eq!(code, Some(6), "it said:\n{said}");
        assert!(said.contains("cannot write to stdout"), "it said:\n{said}");
        assert_eq!(said.contains("the command goes on"), goes_on, "it said:\n{said}");
    }
}

/// Nobody hears that nobody can be told.
#[test]
fn words_that_cannot_be_said_are_no_failure() {
    let mut profinfer = Command::new(binary());
    profinfer.args(["-e", SCRIPT, "--", "sh", "-c", "exit 7"]).stdout(Stdio::null()).stderr(full());
    let status = profinfer.status().or_fail(format_args!("{profinfer:?}"));
    assert_eq!(status.code(), Some(7));
}

/// While it counts: it stops measuring at once, and the command goes on without a probe in it.
fn a_command_goes_on_unobserved(kind: Kind) {
    let lab = Lab::new();
    let engine = command(lab.cache(), kind, None, &["-n".into(), "400".into()]);
    let mut profinfer = Command::new(binary());
    profinfer.args(["-e", SCRIPT, "--format", "json", "--"]).arg(engine.get_program()).args(engine.get_args());
    profinfer.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = profinfer.spawn().or_fail(format_args!("{profinfer:?}"));
    let mut records = BufReader::new(running.stdout.take().or_fail("stdout of profinfer")).lines();
    let mut pid = None;
    loop {
        let record = records.next().or_fail("no layout was checked").or_fail("a record");
        if let Some((_, rest)) = record.split_once("(pid ") {
            pid = rest.split(')').next().and_then(|pid| pid.parse().ok());
        } else if record.contains(r#""kind":"checked""#) {
            break;
        }
    }
    let pid = pid.or_fail("it is said what is attached to before its layout is");
    let library = engine_library(pid);
    assert!(patched_bytes(pid, &library) > 0, "breakpoints while attached");
    drop(records);
    wait_until("the probes to go", PATIENCE, || patched_bytes(pid, &library) == 0);
    assert!(running.try_wait().or_fail("profinfer").is_none(), "it waits for the command");
    let mut said = String::new();
    let mut stderr = running.stderr.take().or_fail("stderr of profinfer");
    stderr.read_to_string(&mut said).or_fail("stderr of profinfer");
    let status = running.wait().or_fail("profinfer");
    assert_eq!(status.code(), Some(0), "it said:\n{said}");
    assert!(said.contains(TEXT) && !said.contains("cannot write"), "it said:\n{said}");
}

/// A process that was there before has nothing to do with it either.
fn a_process_goes_on_unobserved(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let library = engine_library(engine.pid());
    for (stdout, expected) in [(Stdout::Closed, 0), (Stdout::Full, 6)] {
        let mut profinfer = Command::new(binary());
        profinfer.args(["-e", SCRIPT, "--format", "json", "--pid", &engine.pid().to_string()]);
        let output = profinfer.stdout(stdout.open()).output().or_fail(format_args!("{profinfer:?}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{stdout:?}; it said:\n{said}");
        assert_eq!(said.contains("cannot write to stdout"), expected != 0, "{stdout:?}; it said:\n{said}");
        assert_eq!(patched_bytes(engine.pid(), &library), 0, "{stdout:?}: breakpoints that stay");
        engine.generate(2);
    }
}

/// However many files the engine has and whatever it tries out while it loads, with the engine that computes.
fn a_command_is_said_to_be_attached_to_once(kind: Kind) {
    let lab = Lab::new();
    let engine = command(lab.cache(), kind, None, &["-n".into(), "3".into()]);
    let before = ["-e", "on llama_ubatch < n = count() >", "--format", "json", "--"].map(OsString::from);
    let words = [engine.get_program()].into_iter().chain(engine.get_args()).map(OsString::from);
    let report = Profinfer::run(before.into_iter().chain(words));
    report.succeeded();
    let kinds: Vec<&str> = report.records.iter().filter_map(|r| r["kind"].as_str()).collect();
    assert_eq!(kinds, ["waiting", "attached", "checked"], "{}", report.stdout);
    let said: Vec<&str> = report.stderr.lines().filter(|line| line.starts_with("profinfer: attached to ")).collect();
    assert_eq!(said.len(), 1, "{}", report.stderr);
    let file = if kind == Kind::Node { "engine libggml" } else { "engine xllamacpp" };
    assert!(said[0].contains("(pid ") && said[0].contains(file) && said[0].ends_with(" sites"), "{}", said[0]);
}

/// Where the time is up nothing more is counted, whatever profinfer has to tidy up.
fn a_duration_is_kept(kind: Kind) {
    let lab = Lab::new();
    let engine = lab.engine(kind);
    let pid = engine.pid().to_string();
    let counted = |_| {
        let script = "on ggml_op < n = count() >";
        let report = Profinfer::run(["-e", script, "--pid", &pid, "--format", "json", "--duration", "700ms"]);
        report.succeeded();
        assert_eq!(report.end()["reason"], "duration");
        report.end()["duration_ns"].as_u64().or_fail("no duration") / 1_000_000
    };
    // Three times, since the machine may do something else.
    let ms = (0..3).map(counted).min().or_fail("three runs");
    assert!((700..740).contains(&ms), "{ms} ms were counted");
}

/// The tables of `end` are drawn once, below each other.
fn the_end_is_drawn_once_on_a_terminal(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (mut ours, theirs) = terminal();
    let script = "
        on ggml_op < n = count() by op into ops > on llama_ubatch < n = count() by phase into phases >
        on ggml_graph < n = count() into graphs >
        end < show ops top 3; show phases; show graphs >
    ";
    let mut profinfer = Command::new(binary());
    profinfer.args(["-e", script, "--pid", &engine.pid().to_string()]).env("NO_COLOR", "1");
    let stdout = theirs.try_clone().or_fail("the terminal");
    profinfer.stdin(Stdio::null()).stdout(stdout).stderr(theirs);
    let mut running = profinfer.spawn().or_fail(format_args!("{profinfer:?}"));
    drop(profinfer);
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    let mut stopped = false;
    // Reading fails once nobody has the terminal open any more.
    while let Ok(n) = ours.read(&mut piece) {
        shown.extend_from_slice(&piece[..n]);
        if !stopped && String::from_utf8_lossy(&shown).contains("attached to") {
            engine.generate(2);
            signal(running.id(), libc::SIGINT);
            stopped = true;
        }
    }
    assert!(running.wait().or_fail("profinfer").success());
    let shown = String::from_utf8_lossy(&shown);
    for table in ["ops  at ", "phases  at ", "graphs  at ", "ended    after "] {
        assert_eq!(shown.matches(table).count(), 1, "{table:?} in:\n{}", shown.escape_debug());
    }
}

/// A terminal of 80 columns and 24 lines: our end, and that of a program.
fn terminal() -> (File, OwnedFd) {
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: two descriptors of ours are written and the size is read; neither a name nor settings are asked for.
    let made = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, none, std::ptr::null(), &raw const size) };
    assert_eq!(made, 0, "no terminal: {}", std::io::Error::last_os_error());
    // SAFETY: both are new and nobody else's.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// At any moment while it is being attached to: it is the target that is gone, not the kernel that refuses.
fn a_target_that_is_killed_while_attaching_is_told(kind: Kind) {
    const ATTEMPTS: u32 = 16;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let begin = Instant::now();
    let running = Profinfer::attach(engine.pid(), ATTACHED);
    let whole = begin.elapsed();
    running.interrupt().succeeded();
    let mut told = 0;
    for attempt in 0..ATTEMPTS {
        let pid = engine.pid();
        let running = Profinfer::start(["-e", ATTACHED, "--pid", &pid.to_string(), "--format", "json"]);
        std::thread::sleep(whole * attempt / ATTEMPTS);
        engine.signal(libc::SIGKILL);
        engine.wait();
        let report = running.finish();
        assert!(!report.stderr.contains("/proc/self/fd"), "attempt {attempt}; it said:\n{}", report.stderr);
        match report.code {
            Some(0) => assert_eq!(report.end()["reason"], "target exited", "attempt {attempt}"),
            _ => {
                report.failed(3, &[&format!("process {pid}")]);
                told += u32::from(report.stderr.contains("ended while it was being attached to"));
            }
        }
        engine = lab.engine(kind);
    }
    assert!(told > 0, "no attempt met it while attaching, in {whole:?}");
}

on_each_engine! {
    a_command_goes_on_unobserved,
    a_process_goes_on_unobserved,
    a_command_is_said_to_be_attached_to_once,
    a_duration_is_kept,
    the_end_is_drawn_once_on_a_terminal,
    a_target_that_is_killed_while_attaching_is_told,
}
