//! `profinfer doctor`: whether this machine, and a process, can be measured; what is missing, and what to do about it.
//!
//! Works without any right, and loads and attaches only what a trial of the kernel takes (see
//! [`Features::probe`](crate::kernel::Features::probe)).

mod ceilings;
mod engine;
mod machine;
mod version;

use serde::Serialize;

use super::args::{Color, DoctorArgs};
use super::page::{Page, Tone};
use super::{exit, say, script};
use machine::Machine;

use crate::ceilings::Ceilings;

/// Where the text of an entry begins.
const COLUMN: usize = 18;

/// What is wrong, with what to do about it.
#[derive(Debug, Default, Serialize)]
struct Findings {
    /// Of the machine: rights and kernel.
    machine: Vec<String>,
    /// Of the target.
    target: Vec<String>,
}

impl Findings {
    /// The exit code that they make.
    fn code(&self) -> u8 {
        match (self.machine.is_empty(), self.target.is_empty()) {
            (true, true) => 0,
            (true, false) => exit::TARGET,
            (false, _) => exit::KERNEL,
        }
    }
}

/// What `--json` prints: see `docs/json.md`.
#[derive(Serialize)]
struct Report<'m> {
    r#type: &'static str,
    v: u32,
    #[serde(flatten)]
    machine: machine::Json<'m>,
    ceilings: &'m Ceilings,
    pid: Option<u32>,
    wrong: &'m Findings,
}

/// Looks at everything; the exit code.
pub(super) fn run(args: &DoctorArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &DoctorArgs) -> Result<u8, u8> {
    let engines = script::engines(args.engine.as_deref())?;
    let mut page = Page::stdout(Color::Auto);
    let machine = Machine::look();
    let ceilings = ceilings::look(args.ceilings)?;
    machine.write(&mut page);
    ceilings::write(&mut page, &ceilings);
    let mut findings = Findings { machine: machine.wrong(), target: Vec::new() };
    let examined = args.pid.map(|pid| engine::examine(&mut page, &mut findings.target, pid, &engines)).transpose();
    if args.json {
        examined?;
        let report = Report {
            r#type: "doctor",
            v: 1,
            machine: machine.json(),
            ceilings: &ceilings,
            pid: args.pid,
            wrong: &findings,
        };
        let text = serde_json::to_string(&report).map_err(|e| say::fail(exit::OUTPUT, e))?;
        say::out(&format!("{text}\n"))?;
        return Ok(findings.code());
    }
    if examined.is_ok() {
        verdict(&mut page, &findings, args.pid.is_some());
    }
    page.print()?;
    examined.map(|_| findings.code())
}

fn verdict(page: &mut Page, findings: &Findings, with_target: bool) {
    page.blank();
    if findings.code() == 0 {
        let what = if with_target { "This process can be measured." } else { "This machine can measure." };
        page.line(0, Tone::Good, what);
    }
    for what in findings.machine.iter().chain(&findings.target) {
        page.entry(0, 2, (Tone::Bad, "!"), &[(Tone::Plain, what)]);
    }
}
