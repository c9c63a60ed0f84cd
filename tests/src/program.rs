//! Small programs that a test compiles: they do nothing but what the test says, round by round.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use object::{Object, ObjectSymbol};

use crate::OrFail;

/// Compiles `source` in `folder` to a file called `name`, as C++ if it is one (`.cc`).
///
/// # Panics
/// If there is no compiler, or it refuses.
#[track_caller]
pub fn compile(folder: &Path, name: &str, source: &str, is_cpp: bool, flags: &[&str]) -> PathBuf {
    let (compiler, ending) = if is_cpp { ("g++", "cc") } else { ("gcc", "c") };
    let (text, made) = (folder.join(format!("{name}.{ending}")), folder.join(name));
    fs::write(&text, source).or_fail(text.display());
    let output = Command::new(compiler).args(["-O2", "-rdynamic", "-o"]).arg(&made).arg(&text).args(flags).output();
    let output = output.or_fail(format_args!("this test needs {compiler} (apt-get install {compiler})"));
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    made
}

/// Address of a symbol as the file counts.
///
/// # Panics
/// If it has none of that name.
#[track_caller]
pub fn address_of(file: &Path, symbol: &str) -> u64 {
    let data = fs::read(file).or_fail(file.display());
    let elf = object::File::parse(&*data).or_fail(file.display());
    let found = elf.dynamic_symbols().find(|s| s.name() == Ok(symbol));
    found.or_fail(format_args!("no {symbol} in {}", file.display())).address()
}

/// A program that runs, and waits for what it is told.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it and waits until it says `ready`.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn start(file: &Path, arguments: &[&str]) -> Program {
        let mut command = Command::new(file);
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().or_fail("it starts");
        let stdout = BufReader::new(child.stdout.take().or_fail("its stdout"));
        let mut program = Program { stdin: child.stdin.take(), child, stdout };
        program.answers("ready");
        program
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do `rounds` rounds.
    ///
    /// # Panics
    /// If it dies of it.
    #[track_caller]
    pub fn go(&mut self, rounds: u64) {
        let stdin = self.stdin.as_mut().or_fail("its stdin");
        writeln!(stdin, "{rounds}").and_then(|()| stdin.flush()).or_fail("the program is gone");
        self.answers("done");
    }

    /// Has it end; it must end well.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn quit(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().or_fail("the program").success(), "it lives on as if nothing had been");
    }

    #[track_caller]
    fn answers(&mut self, word: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).or_fail("the program is gone");
        assert_eq!(line.trim(), word, "its answer");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
