//! The program that the micro-benchmark probes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::failure::{Failure, at};
use crate::command::run;

/// What it is made of.
const SOURCE: &str = include_str!("target.c");

/// How often calls are measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bursts {
    /// Bursts.
    pub(super) bursts: usize,
    /// Calls of each.
    pub(super) calls: usize,
}

/// The running program.
#[derive(Debug)]
pub(super) struct Probed {
    /// Its file.
    pub(super) path: PathBuf,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// One of its functions that begin in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// `push`.
    Push = 0,
    /// `endbr64`, and nothing after it that the kernel emulates.
    Endbr64 = 1,
    /// `endbr64`, then `push`.
    Cet = 2,
    /// `nop`.
    Nop = 3,
}

impl Function {
    /// Its symbol.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Function::Push => "probe_push",
            Function::Endbr64 => "probe_endbr64",
            Function::Cet => "probe_cet",
            Function::Nop => "probe_nop",
        }
    }

    /// How it begins, for people.
    pub(super) fn beginning(self) -> &'static str {
        match self {
            Function::Push => "push",
            Function::Endbr64 => "endbr64",
            Function::Cet => "endbr64, push",
            Function::Nop => "nop",
        }
    }
}

impl Probed {
    /// Compiles it in a folder and starts it.
    pub(super) fn start(folder: &Path) -> Result<Probed, crate::error::Error> {
        let (text, made) = (folder.join("target.c"), folder.join("target"));
        std::fs::write(&text, SOURCE).map_err(crate::error::at(&text))?;
        run(Command::new("gcc").args(["-O2", "-o"]).arg(&made).arg(&text))?;
        Ok(Probed::run(made)?)
    }

    fn run(path: PathBuf) -> Result<Probed, Failure> {
        let child = Command::new(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(at(&path))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Answer { asked: "start".to_owned(), line: String::new() });
        };
        let mut probed = Probed { path, child, stdin, stdout: BufReader::new(stdout) };
        let line = probed.line()?;
        if line.trim() != "ready" {
            return Err(Failure::Answer { asked: "start".to_owned(), line });
        }
        Ok(probed)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls a function, its first argument running through so many numbers: ns a call of each burst.
    pub(super) fn burst(&mut self, function: Function, keys: u64, bursts: Bursts) -> Result<Vec<f64>, Failure> {
        let Bursts { bursts: n, calls } = bursts;
        self.times(&format!("burst {} {n} {calls} {keys}", function as u32), bursts)
    }

    /// Calls so many of the equal functions in turn: ns a call of each burst.
    pub(super) fn many(&mut self, from: u64, functions: u64, bursts: Bursts) -> Result<Vec<f64>, Failure> {
        let Bursts { bursts: n, calls } = bursts;
        self.times(&format!("many {from} {functions} {n} {calls}"), bursts)
    }

    /// Calls `probe_push` at a rate for so many milliseconds: how many calls, and how many a second these were.
    pub(super) fn pace(&mut self, rate: u64, ms: u64) -> Result<(u64, f64), Failure> {
        let asked = format!("pace {rate} {ms}");
        let numbers = self.ask(&asked)?;
        match numbers[..] {
            [calls, ns] if ns > 0.0 => Ok((calls as u64, calls * 1e9 / ns)),
            _ => Err(Failure::Answer { asked, line: format!("{numbers:?}") }),
        }
    }

    fn times(&mut self, asked: &str, bursts: Bursts) -> Result<Vec<f64>, Failure> {
        let numbers = self.ask(asked)?;
        if numbers.len() != bursts.bursts {
            return Err(Failure::Answer { asked: asked.to_owned(), line: format!("{numbers:?}") });
        }
        Ok(numbers.iter().map(|ns| ns / bursts.calls as f64).collect())
    }

    fn ask(&mut self, asked: &str) -> Result<Vec<f64>, Failure> {
        writeln!(self.stdin, "{asked}").and_then(|()| self.stdin.flush()).map_err(at(&self.path))?;
        let line = self.line()?;
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        numbers.map_err(|_| Failure::Answer { asked: asked.to_owned(), line })
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(at(&self.path))?;
        Ok(line)
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
