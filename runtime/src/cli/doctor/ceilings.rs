//! What the machine can do at most: measured on request, else as it was measured before.

use std::io::{IsTerminal, stderr};

use super::COLUMN;
use crate::ceilings::{Ceilings, Measured, measure, steps};
use crate::cli::page::{Page, Tone};
use crate::cli::{exit, say};

/// Characters of the progress bar.
const BAR: usize = 30;

/// Measures the ceilings anew and keeps them, or takes those that are kept.
///
/// # Errors
/// The exit code, after saying why they cannot be kept.
pub(super) fn look(anew: bool) -> Result<Ceilings, u8> {
    if !anew {
        return Ok(Ceilings::of_this_machine());
    }
    let (all, terminal) = (steps(), stderr().is_terminal());
    if !terminal {
        say::err("profinfer: measuring the ceilings of this machine, which takes some seconds\n");
    }
    let ceilings = measure(|done| {
        if terminal {
            let full = BAR * done / all;
            let (bar, rest) = ("#".repeat(full), ".".repeat(BAR - full));
            // Behind the last step the line is wiped.
            let line = if done < all { format!("measuring  [{bar}{rest}]  {done} of {all}") } else { String::new() };
            say::err(&format!("\r\x1b[K{line}"));
        }
    });
    let kept = ceilings.keep().map_err(|e| say::fail(exit::OUTPUT, format!("cannot keep the ceilings: {e}")))?;
    say::err(&format!("profinfer: kept in {}\n", kept.display()));
    Ok(ceilings)
}

/// Writes them.
pub(super) fn write(page: &mut Page, ceilings: &Ceilings) {
    page.heading("ceilings");
    if ceilings.is_empty() {
        let how = "not measured yet: profinfer doctor --ceilings";
        page.entry(2, COLUMN, (Tone::Plain, "memory"), &[(Tone::Faint, how)]);
        return;
    }
    page.entry(2, COLUMN, (Tone::Plain, "machine"), &[(Tone::Plain, &ceilings.machine)]);
    let instructions = format!("({})", ceilings.instructions);
    for (label, all, unit, about) in [
        ("memory", &ceilings.memory, "GB/s", "(read)"),
        ("f32", &ceilings.f32, "Gop/s", &*instructions),
        ("int8", &ceilings.int8, "Gop/s", &*instructions),
    ] {
        let text = all.iter().map(|m| one(m, unit)).collect::<Vec<_>>().join(", ");
        page.entry(2, COLUMN, (Tone::Plain, label), &[(Tone::Plain, &text), (Tone::Faint, about)]);
    }
}

fn one(m: &Measured, unit: &str) -> String {
    let threads = if m.threads == 1 { "thread" } else { "threads" };
    let digits = |x: f64| if x < 100.0 { format!("{x:.1}") } else { format!("{x:.0}") };
    format!("{} {unit} with {} {threads} (median {})", digits(m.best / 1e9), m.threads, digits(m.median / 1e9))
}
