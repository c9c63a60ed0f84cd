//! The `profinfer` binary, run as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::OrFail;
use crate::system::signal;

/// How long profinfer may take to attach or to report.
const PATIENCE: Duration = Duration::from_secs(60);

/// A finished run.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// stdout's lines that are JSON objects.
    pub records: Vec<Value>,
}

/// A run that has not ended; killed when dropped.
#[derive(Debug)]
pub struct Profinfer {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

/// The binary: `$PROFINFER_BIN`, else what `cargo build -p profinfer` makes in the test's own target folder.
///
/// # Panics
/// If it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(set) = std::env::var_os("PROFINFER_BIN") {
            return set.into();
        }
        // The test's executable is TARGET/PROFILE/deps/NAME.
        let test = std::env::current_exe().or_fail("the test's own path");
        let profile = test.ancestors().nth(2).or_fail("the target folder");
        let target = profile.parent().or_fail("the target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "profinfer", "--bin", "profinfer", "--target-dir"]).arg(target);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().or_fail("cargo").success(), "profinfer does not build: {build:?}");
        profile.join("profinfer")
    })
}

/// A file below `scripts/`: a stock script or an engine description.
pub fn stock(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name)
}

impl Profinfer {
    /// Starts it with these arguments.
    #[track_caller]
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Profinfer {
        Profinfer::start_with(arguments, &[])
    }

    /// Like [`Profinfer::start`], with variables in its environment.
    #[track_caller]
    pub fn start_with<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        arguments: I,
        variables: &[(&str, &std::ffi::OsStr)],
    ) -> Profinfer {
        let mut command = Command::new(binary());
        // What it keeps for its user is none of this user's.
        command.env("XDG_CACHE_HOME", std::env::temp_dir().join("profinfer-tests-cache"));
        command.envs(variables.iter().copied());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The usual environment of users, not that of a developer.
        command.env_remove("PROFINFER_PATH").env_remove("RUST_LOG").env("NO_COLOR", "1");
        let mut child = command.spawn().or_fail(format_args!("{command:?}"));
        let mut out = child.stdout.take().or_fail("stdout of profinfer");
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = out.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let err = BufReader::new(child.stderr.take().or_fail("stderr of profinfer"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let (send, lines) = channel();
        let kept = Arc::clone(&stderr);
        let reader = std::thread::spawn(move || {
            for line in err.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
                let _ = send.send(line);
            }
        });
        Profinfer { child, stdout: Some(stdout), stderr, lines, reader: Some(reader) }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Output {
        Profinfer::start(arguments).finish()
    }

    /// Starts it on a process with a script text, JSON out, and waits until it counts.
    #[track_caller]
    pub fn attach(pid: u32, script: &str) -> Profinfer {
        Profinfer::attach_with(pid, script, &[])
    }

    /// Like [`Profinfer::attach`], with more arguments.
    #[track_caller]
    pub fn attach_with(pid: u32, script: &str, more: &[&str]) -> Profinfer {
        let pid = pid.to_string();
        Profinfer::start_attached(["-e", script, "--pid", &pid, "--format", "json"].iter().chain(more))
    }

    /// Starts it with these arguments and waits until it counts.
    #[track_caller]
    pub fn start_attached<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Profinfer {
        let mut running = Profinfer::start(arguments);
        running.wait_attached();
        running
    }

    /// Waits until it says that it counts.
    ///
    /// # Panics
    /// If it ends before, or takes a minute, with all it said.
    #[track_caller]
    pub fn wait_attached(&mut self) {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains("attached") => return,
                Ok(_) => {}
                Err(error) => panic!("profinfer did not attach ({error}); it said:\n{}", self.said()),
            }
        }
    }

    /// Waits until it counts, or has ended: says which.
    pub fn attaches(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
                Ok(line) if line.contains("attached") => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Interrupts it as Ctrl-C does and takes its report.
    #[track_caller]
    pub fn interrupt(self) -> Output {
        signal(self.pid(), libc::SIGINT);
        self.finish()
    }

    /// Kills it, giving it no chance to tidy up.
    #[track_caller]
    pub fn kill(self) -> Output {
        signal(self.pid(), libc::SIGKILL);
        self.finish()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes more than a minute.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().or_fail("waiting for profinfer") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "profinfer does not end; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.stdout.take().map(|t| t.join().unwrap_or_default()).unwrap_or_default();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let records = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Output { code: status.code(), stderr: self.said(), stdout, records }
    }
}

impl Drop for Profinfer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Nothing but records on stdout, exit code 0, nothing lost.
    ///
    /// # Panics
    /// If that is not so, with all it said.
    #[track_caller]
    pub fn succeeded(&self) {
        assert_eq!(self.code, Some(0), "exit code of profinfer; it said:\n{}", self.stderr);
        assert_eq!(self.records.len(), self.stdout.lines().count(), "JSON lines only on stdout:\n{}", self.stdout);
        assert_eq!(self.end()["dropped"], serde_json::json!({}), "losses");
    }

    /// It failed with `code` and its message holds all of `words`.
    ///
    /// # Panics
    /// If that is not so.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "exit code of profinfer; it said:\n{}\n{}", self.stderr, self.stdout);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in what profinfer said:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "profinfer panicked:\n{}", self.stderr);
    }

    /// The last table of this name.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn table(&self, name: &str) -> Table {
        let found = self.tables(name).pop();
        found.or_fail(format_args!("no table {name}; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }

    /// All tables of this name, oldest first.
    pub fn tables(&self, name: &str) -> Vec<Table> {
        let tables = self.records.iter().filter(|r| r["type"] == "table" && r["name"] == name);
        tables.map(|r| Table { rows: r["rows"].as_array().cloned().unwrap_or_default() }).collect()
    }

    /// The last record, which must be the end.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn end(&self) -> &Value {
        let last = self.records.last().filter(|r| r["type"] == "end");
        last.or_fail(format_args!("no end record; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }

    /// Events of a point, as the end record has them.
    ///
    /// # Panics
    /// If the end record lacks it.
    #[track_caller]
    pub fn hits(&self, point: &str) -> u64 {
        self.end()["hits"][point].as_u64().or_fail(format_args!("no hits of {point} in {}", self.end()))
    }
}

/// A table of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its rows: objects of keys and columns.
    pub rows: Vec<Value>,
}

impl Table {
    /// Sum of a column of whole numbers.
    ///
    /// # Panics
    /// If a row lacks it.
    #[track_caller]
    pub fn total(&self, column: &str) -> u64 {
        self.rows.iter().map(|row| whole(row, column)).sum()
    }

    /// The only row.
    ///
    /// # Panics
    /// If there are more or none.
    #[track_caller]
    pub fn only(&self) -> &Value {
        assert_eq!(self.rows.len(), 1, "rows: {:#?}", self.rows);
        &self.rows[0]
    }

    /// The row whose key has this value.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn row(&self, key: &str, value: &str) -> &Value {
        self.rows.iter().find(|r| r[key] == value).or_fail(format_args!("no {key} {value} in {:#?}", self.rows))
    }

    /// The row whose key is this number.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn row_of(&self, key: &str, value: u64) -> &Value {
        self.rows.iter().find(|r| r[key] == value).or_fail(format_args!("no {key} {value} in {:#?}", self.rows))
    }

    /// A column by a key of text; absent keys are `-`.
    ///
    /// # Panics
    /// If a row lacks the column.
    #[track_caller]
    pub fn by(&self, key: &str, column: &str) -> std::collections::BTreeMap<String, u64> {
        self.rows.iter().map(|r| (text(r, key), whole(r, column))).collect()
    }
}

/// A cell as text; absent is `-`.
pub fn text(row: &Value, column: &str) -> String {
    match &row[column] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// A whole number of a row.
///
/// # Panics
/// If it is not there or not whole.
#[track_caller]
pub fn whole(row: &Value, column: &str) -> u64 {
    row[column].as_u64().or_fail(format_args!("no whole number {column} in {row}"))
}

/// A number of a row.
///
/// # Panics
/// If it is not there.
#[track_caller]
pub fn number(row: &Value, column: &str) -> f64 {
    row[column].as_f64().or_fail(format_args!("no number {column} in {row}"))
}
