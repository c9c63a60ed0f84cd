//! `profinfer doctor`: whether this machine, and a process, can be measured; what is missing, and what to do about it.
//!
//! Works without any right, and loads and attaches only what a trial of the kernel takes (see
//! [`Features::probe`](crate::kernel::Features::probe)).

mod engine;
mod machine;
mod version;

use super::args::{Color, DoctorArgs};
use super::page::{Page, Tone};
use super::{exit, script};

/// Where the text of an entry begins.
const COLUMN: usize = 18;

/// What is wrong, with what to do about it.
#[derive(Debug, Default)]
struct Findings {
    /// Of the machine: rights and kernel.
    machine: Vec<String>,
    /// Of the target.
    target: Vec<String>,
}

/// Looks at everything; the exit code.
pub(super) fn run(args: &DoctorArgs) -> u8 {
    let engines = match script::engines(args.engine.as_deref()) {
        Ok(engines) => engines,
        Err(code) => return code,
    };
    let mut page = Page::stdout(Color::Auto);
    let mut findings = Findings::default();
    machine::examine(&mut page, &mut findings.machine);
    if let Some(pid) = args.pid
        && let Err(code) = engine::examine(&mut page, &mut findings.target, pid, &engines)
    {
        page.print();
        return code;
    }
    let code = verdict(&mut page, &findings, args.pid.is_some());
    page.print();
    code
}

fn verdict(page: &mut Page, findings: &Findings, with_target: bool) -> u8 {
    page.blank();
    let all: Vec<&String> = findings.machine.iter().chain(&findings.target).collect();
    if all.is_empty() {
        let what = if with_target { "This process can be measured." } else { "This machine can measure." };
        page.line(0, Tone::Good, what);
        return 0;
    }
    for what in all {
        page.entry(0, 2, (Tone::Bad, "!"), &[(Tone::Plain, what)]);
    }
    if findings.machine.is_empty() { exit::TARGET } else { exit::KERNEL }
}
