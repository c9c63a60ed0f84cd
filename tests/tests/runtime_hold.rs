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

    /// Waits until it has been stopped this many times.
    #[track_caller]
    fn wait_stopped(&self, stops: usize) {
        let (mut seen, mut before) = (0, None);
        let begin = Instant::now();
        let mut pids = Vec::new();
        while seen < stops && begin.elapsed() < PATIENCE {
            if pids.is_empty() {
                pids = self.started();
            }
            let now = pids.first().and_then(|pid| state(*pid));
            seen += usize::from(now == Some('T') && before != Some('T'));
            before = now;
        }
        assert_eq!(seen, stops, "times that the command was seen stopped; profinfer said:\n{}", self.running.said());
    }

    /// Kills profinfer and waits until all that it started has ended by itself.
    #[track_caller]
    fn kill(self, when: &str) -> Output {
        signal(self.running.pid(), libc::SIGKILL);
        self.ends(when)
    }

    /// Waits until all that profinfer, which has been killed, started has ended by itself.
    #[track_caller]
    fn ends(self, when: &str) -> Output {
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
        launch.wait_stopped(stops);
        let report = launch.kill(&format!("at stop {stops}"));
        assert!(report.stderr.contains(TEXT), "killed at stop {stops}, the engine said:\n{}", report.stderr);
    }
}

/// By its name, as `pkill -9 profinfer` does: its guardian has another one.
fn a_kill_by_name_lets_it_go_on(kind: Kind) {
    let lab = Lab::new();
    for stops in [1, 2, 4, 6] {
        let launch = Launch::new(&lab, kind, stops, 2);
        launch.wait_stopped(stops);
        let ours = children(launch.running.pid());
        assert_eq!(ours.iter().filter(|pid| name(**pid) == GUARDIAN).count(), 1, "guardians at stop {stops}: {ours:?}");
        signal(launch.running.pid(), libc::SIGKILL);
        ours.into_iter().filter(|pid| name(*pid).contains("profinfer")).for_each(|pid| signal(pid, libc::SIGKILL));
        let report = launch.ends(&format!("by name at stop {stops}"));
        assert!(report.stderr.contains(TEXT), "killed by name at stop {stops}, the engine said:\n{}", report.stderr);
    }
}

/// The name of the process that wakes what profinfer has stopped.
const GUARDIAN: &str = "pi_guardian";

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn children(pid: u32) -> Vec<u32> {
    let parent = format!("PPid:\t{pid}");
    let is_child = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    };
    let folders = std::fs::read_dir("/proc").or_fail("/proc").flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// A command that does nothing for this many seconds, and the two processes of profinfer's: command and guardian.
fn sleep_with_guardian(seconds: &str) -> (Profinfer, u32, u32) {
    let running = Profinfer::start(["-e", SCRIPT, "--", "sleep", seconds]);
    let find = |wanted: &str| children(running.pid()).into_iter().find(|pid| name(*pid) == wanted);
    wait_until("the command to sleep", PATIENCE, || {
        find("sleep").is_some_and(|pid| state(pid) == Some('S')) && find(GUARDIAN).is_some()
    });
    let (command, guardian) = (find("sleep").or_fail("the command"), find(GUARDIAN).or_fail("the guardian"));
    (running, command, guardian)
}

#[test]
fn the_guardian_holds_nothing_and_leaves_with_profinfer() {
    let (running, _, guardian) = sleep_with_guardian("2");
    let files = std::fs::read_dir(format!("/proc/{guardian}/fd")).or_fail("its files").count();
    assert_eq!(files, 2, "files that the guardian has open: a pipe and a map");
    // Ctrl-C is for the whole group, from the terminal; what it has no handler for would end it.
    signal(guardian, libc::SIGINT);
    signal(guardian, libc::SIGTERM);
    assert_eq!(name(guardian), GUARDIAN, "it heeds no signal");
    let report = running.finish();
    assert_eq!(report.code, Some(0), "it said:\n{}", report.stderr);
    assert_eq!(state(guardian), None, "the guardian after profinfer has ended");
}

#[test]
fn the_guardian_wakes_once_and_leaves_after_a_kill() {
    let (running, command, guardian) = sleep_with_guardian("1000");
    signal(running.pid(), libc::SIGKILL);
    wait_until("the guardian to leave", Duration::from_secs(10), || matches!(state(guardian), None | Some('Z')));
    // Whoever stops the command from now on means it.
    signal(command, libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(500));
    let stopped = state(command);
    signal(command, libc::SIGKILL);
    assert_eq!(stopped, Some('T'), "the command, stopped by hand after profinfer was killed");
}

/// In the middle of a generation: the engine finishes, without a probe in it.
fn a_kill_while_it_counts_lets_it_finish(kind: Kind) {
    let lab = Lab::new();
    let launch = Launch::new(&lab, kind, 0, 400);
    wait_until("the first events", PATIENCE, || launch.running.said().contains("the layout of"));
    let pids = launch.started();
    let [pid] = pids[..] else { panic!("one engine: {pids:?}") };
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
    a_kill_by_name_lets_it_go_on,
    a_kill_while_it_counts_lets_it_finish,
}
