//! profinfer is killed while it starts a command and stops it for every library that it loads: the command never stays
//! stopped. It ends with profinfer if it had not begun, else it runs to its end as if nothing had been.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer};
use profinfer_tests::system::{engine_library, patched_bytes, processes_with, signal, state, wait_until};

const SCRIPT: &str = "on ggml_op < n = count() by op >";
/// What the engine writes when it runs to its end.
const TEXT: &str = "The three primary colors of light are red, green and blue";
/// How long a process may be seen stopped at a stretch before it counts as left behind.
const STOPPED: Duration = Duration::from_secs(3);
/// How long a process may take to load and to generate.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine started by profinfer.
struct Launch {
    running: Profinfer,
    /// A word that only the command lines of this launch have.
    word: String,
}

impl Launch {
    fn new(lab: &Lab, kind: Kind, attempt: usize, tokens: u64) -> Launch {
        let package = lab.folder().join(format!("attempt-{attempt}"));
        let from = match kind {
            Kind::Xllamacpp => lab.cache().xllamacpp(),
            Kind::Node => lab.cache().node_llama_cpp(),
        };
        symlink(from, &package).or_fail(package.display());
        let engine = command(lab.cache(), kind, Some(&package), &["-n".into(), tokens.to_string().into()]);
        let before = ["-e", SCRIPT, "--format", "json", "--"].map(OsString::from);
        let words = [engine.get_program()].into_iter().chain(engine.get_args()).map(OsString::from);
        let running = Profinfer::start(before.into_iter().chain(words));
        Launch { running, word: package.to_string_lossy().into_owned() }
    }

    /// What profinfer has started, also where it has not become the engine yet.
    fn started(&self) -> Vec<u32> {
        processes_with(&self.word).into_iter().filter(|pid| *pid != self.running.pid()).collect()
    }

    /// Kills profinfer and waits until all that it started has ended by itself.
    #[track_caller]
    fn kill(self, when: &str) -> Output {
        signal(self.running.pid(), libc::SIGKILL);
        let begin = Instant::now();
        let mut ran = begin;
        loop {
            let left = self.started();
            let stopped = left.iter().any(|pid| matches!(state(*pid), Some('T' | 't')));
            if left.is_empty() {
                break;
            }
            if !stopped {
                ran = Instant::now();
            }
            if ran.elapsed() > STOPPED || begin.elapsed() > PATIENCE {
                let states: Vec<_> = left.iter().map(|pid| (*pid, state(*pid))).collect();
                left.into_iter().for_each(|pid| signal(pid, libc::SIGKILL));
                panic!("killed {when}, profinfer leaves behind, after {:?}: {states:?}", begin.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = self.running.finish();
        assert_eq!(report.code, None, "profinfer was killed {when}; it said:\n{}", report.stderr);
        report
    }
}

/// At any moment between its own start and that of the engine.
fn a_kill_at_any_moment_leaves_nothing_stopped(kind: Kind) {
    let lab = Lab::new();
    for (attempt, delay) in [5, 10, 20, 35, 50, 70, 95, 125, 160, 210, 280, 400].into_iter().enumerate() {
        let launch = Launch::new(&lab, kind, attempt, 2);
        std::thread::sleep(Duration::from_millis(delay));
        launch.kill(&format!("after {delay} ms"));
    }
}

/// At the worst moment: the command has just been stopped because it loads a library, and will be for the next one.
fn a_kill_while_it_is_stopped_lets_it_go_on(kind: Kind) {
    let lab = Lab::new();
    for stops in 1..=12 {
        let launch = Launch::new(&lab, kind, stops, 2);
        let (mut seen, mut before) = (0, None);
        let begin = Instant::now();
        let mut pids = Vec::new();
        while seen < stops && begin.elapsed() < PATIENCE {
            if pids.is_empty() {
                pids = launch.started();
            }
            let now = pids.first().and_then(|pid| state(*pid));
            seen += usize::from(now == Some('T') && before != Some('T'));
            before = now;
        }
        assert_eq!(seen, stops, "times that the command was seen stopped; profinfer said:\n{}", launch.running.said());
        let report = launch.kill(&format!("at stop {stops}"));
        assert!(report.stderr.contains(TEXT), "killed at stop {stops}, the engine said:\n{}", report.stderr);
    }
}

/// In the middle of a generation: the engine finishes, without a probe in it.
fn a_kill_while_it_counts_lets_it_finish(kind: Kind) {
    let lab = Lab::new();
    let launch = Launch::new(&lab, kind, 0, 400);
    wait_until("the first events", PATIENCE, || launch.running.said().contains("the layout of"));
    let pids = launch.started();
    // Beside the engine there is the guardian, which has the command line of the profinfer that it was forked from.
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let engines: Vec<u32> = pids.into_iter().filter(|pid| name(*pid).trim() != "profinfer-guard").collect();
    let [pid] = engines[..] else { panic!("one engine: {engines:?}") };
    let library = engine_library(pid);
    assert!(patched_bytes(pid, &library) > 0, "breakpoints while attached");
    signal(launch.running.pid(), libc::SIGKILL);
    wait_until("the kernel to take the probes away", Duration::from_secs(20), || patched_bytes(pid, &library) == 0);
    assert!(state(pid).is_some_and(|s| "RSD".contains(s)), "the engine still runs: {:?}", state(pid));
    let report = launch.kill("while it counted");
    assert!(report.stderr.contains(TEXT), "the engine said:\n{}", report.stderr);
}

on_each_engine! {
    a_kill_at_any_moment_leaves_nothing_stopped,
    a_kill_while_it_is_stopped_lets_it_go_on,
    a_kill_while_it_counts_lets_it_finish,
}
