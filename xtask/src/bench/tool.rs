//! What is attached to an engine and taken off again: profinfer, bpftrace, or empty programs.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use profinfer_tests::system::signal;

use super::failure::{Failure, at};
use crate::command::line;

/// SIGINT.
const INTERRUPT: i32 = 2;
/// How long a tool may take to attach or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// bpftrace attaches its probes one by one and does not say when it is done: so long no new one must have come.
const SETTLED: Duration = Duration::from_millis(300);
/// A Ctrl-C that comes while a tool is still busy attaching may be lost: after so long it is told again.
const AGAIN: Duration = Duration::from_secs(8);

/// What an attached tool came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    /// From the start of its process until it had attached, in milliseconds.
    pub(super) attach_ms: f64,
    /// From Ctrl-C to the end of its process, in milliseconds.
    pub(super) exit_ms: f64,
    /// The most memory that it had, in KiB (VmHWM).
    pub(super) peak_kib: u64,
}

/// A tool that runs in a process of its own and is attached.
#[derive(Debug)]
pub(super) struct Running {
    command: String,
    child: Child,
    lines: Receiver<String>,
    attach_ms: f64,
}

/// How a tool says that it has attached.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// A line on stderr has this word.
    Word(&'static str),
    /// It does not; its descriptors tell.
    Nothing,
}

impl Running {
    /// Starts profinfer with these arguments and waits until it counts. What it shows goes to `shown`.
    pub(super) fn profinfer(binary: &Path, arguments: &[String], pid: u32, shown: &Path) -> Result<Running, Failure> {
        let mut command = Command::new(binary);
        command.args(arguments).args(["--pid", &pid.to_string()]);
        // As users have it.
        command.env_remove("PROFINFER_PATH").env_remove("RUST_LOG").env("NO_COLOR", "1");
        Running::start(command, shown, Says::Word("attached"))
    }

    /// Starts bpftrace with this program and waits until all its probes are there.
    pub(super) fn bpftrace(program: &str, pid: u32, shown: &Path) -> Result<Running, Failure> {
        let mut command = Command::new("bpftrace");
        // Room for as many rows as profinfer is asked to keep.
        command.env("BPFTRACE_MAP_KEYS_MAX", "20000");
        command.args(["-p", &pid.to_string(), "-e", program]);
        Running::start(command, shown, Says::Nothing)
    }

    fn start(mut command: Command, shown: &Path, says: Says) -> Result<Running, Failure> {
        let out = File::create(shown).map_err(at(shown))?;
        let begin = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at(command.get_program()))?;
        let (send, lines) = channel();
        if let Some(err) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    // Whoever has stopped listening has what it wanted; the pipe must not fill up.
                    let _ = send.send(line);
                }
            });
        }
        let mut running = Running { command: line(&command), child, lines, attach_ms: 0.0 };
        match says {
            Says::Word(word) => running.wait_for_word(word)?,
            Says::Nothing => running.wait_for_events()?,
        }
        running.attach_ms = begin.elapsed().as_secs_f64() * 1e3;
        if let Says::Nothing = says {
            running.attach_ms -= SETTLED.as_secs_f64() * 1e3;
        }
        Ok(running)
    }

    fn wait_for_word(&mut self, word: &str) -> Result<(), Failure> {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(word) => return Ok(()),
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(self.not_attached(said)),
            }
        }
    }

    /// Waits until it has perf events, and for a while no more of them.
    fn wait_for_events(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut last = (0, Instant::now());
        loop {
            let events = self.descriptors("anon_inode:[perf_event]");
            if events != last.0 {
                last = (events, Instant::now());
            }
            if events > 0 && last.1.elapsed() >= SETTLED {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE || !matches!(self.child.try_wait(), Ok(None)) {
                return Err(self.not_attached(Vec::new()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn descriptors(&self, kind: &str) -> usize {
        let Ok(all) = fs::read_dir(format!("/proc/{}/fd", self.child.id())) else { return 0 };
        all.flatten().filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == kind)).count()
    }

    fn not_attached(&mut self, mut said: Vec<String>) -> Failure {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        said.extend(self.lines.iter());
        Failure::NotAttached { command: self.command.clone(), said: said.join("\n") }
    }

    /// How often its programs ran while the kernel counted that, and how many nanoseconds they took.
    pub(super) fn ran(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        let Ok(all) = fs::read_dir(format!("/proc/{}/fdinfo", self.child.id())) else { return sum };
        for entry in all.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let number = |name: &str| -> u64 {
                text.lines().find_map(|l| l.strip_prefix(name)).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
            };
            if text.contains("prog_tag:") {
                sum = (sum.0 + number("run_cnt:"), sum.1 + number("run_time_ns:"));
            }
        }
        sum
    }

    /// Ends it as Ctrl-C does, and waits; answers what it took and what it had left to say.
    pub(super) fn end(mut self) -> Result<(Took, String), Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
        let peak_kib = peak.and_then(|n| n.parse().ok()).unwrap_or(0);
        let begin = Instant::now();
        let mut told: Option<Instant> = None;
        while matches!(self.child.try_wait(), Ok(None)) {
            if told.is_none_or(|at| at.elapsed() > AGAIN) {
                signal(self.child.id(), INTERRUPT);
                told = Some(Instant::now());
            }
            if begin.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(Failure::DoesNotEnd { command: self.command.clone(), seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = Took { attach_ms: self.attach_ms, exit_ms: begin.elapsed().as_secs_f64() * 1e3, peak_kib };
        let said: Vec<String> = self.lines.iter().collect();
        Ok((took, said.join("\n")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
