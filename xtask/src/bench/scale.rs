//! What a hit costs as tables grow and functions become many, and how many events a second can be printed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use profinfer::diff::median;

use super::data::{Scaled, Stream};
use super::failure::{Failure, at};
use super::loss;
use super::micro::above;
use super::target::{Bursts, Function, Probed};
use super::tool::Running;

/// Rows of a table: numbers that the key runs through.
const ROWS: [u64; 5] = [1, 10, 100, 1000, 10_000];
/// Functions that are probed: the number of the first of them, how many, and the glob for them.
const FUNCTIONS: [(u64, u64, &str); 4] =
    [(0, 1, "probe_many_0"), (0, 10, "probe_many_?"), (10, 90, "probe_many_??"), (100, 900, "probe_many_???")];
/// The most functions that bpftrace is given: each takes it 100 ms to leave.
const MOST_OF_BPFTRACE: u64 = 10;
/// Events a second that are tried.
const RATES: [u64; 7] = [10_000, 25_000, 50_000, 100_000, 200_000, 400_000, 800_000];

/// The cost of a hit by the number of rows.
pub(super) fn rows(
    probed: &mut Probed,
    binary: &Path,
    folder: &Path,
    bursts: Bursts,
    mut told: impl FnMut(&Scaled),
) -> Result<Vec<Scaled>, Failure> {
    let (pid, shown) = (probed.pid(), folder.join("shown"));
    let script = ["-e", r#"on enter("exe:probe_push") < count() by arg0 into rows limit 20000 >"#].map(str::to_owned);
    let bpftrace = format!("uprobe:{}:probe_push {{ @[arg0] = count(); }}", probed.path.display());
    let mut all = Vec::new();
    for tool in ["profinfer", "bpftrace"] {
        for size in ROWS {
            let bare = median(&probed.burst(Function::Push, size, bursts)?);
            let running = match tool {
                "profinfer" => Running::profinfer(binary, &script, pid, &shown)?,
                _ => Running::bpftrace(&bpftrace, pid, &shown)?,
            };
            // All rows are there, as in a run that lasts.
            probed.burst(Function::Push, size, Bursts { bursts: 1, calls: size as usize + 500 })?;
            let times = probed.burst(Function::Push, size, bursts)?;
            let (took, _) = running.end()?;
            let scaled = Scaled {
                tool: tool.to_owned(),
                size,
                ns: above(bare, &times),
                attach_ms: took.attach_ms,
                exit_ms: took.exit_ms,
            };
            told(&scaled);
            all.push(scaled);
        }
    }
    Ok(all)
}

/// The cost of a hit by the number of functions.
pub(super) fn sites(
    probed: &mut Probed,
    binary: &Path,
    folder: &Path,
    bursts: Bursts,
    mut told: impl FnMut(&Scaled),
) -> Result<Vec<Scaled>, Failure> {
    let (pid, shown) = (probed.pid(), folder.join("shown"));
    let mut all = Vec::new();
    for tool in ["profinfer", "bpftrace"] {
        for (from, size, glob) in FUNCTIONS {
            if tool == "bpftrace" && size > MOST_OF_BPFTRACE {
                continue;
            }
            let bare = median(&probed.many(from, size, bursts)?);
            let running = match tool {
                "profinfer" => {
                    let script = ["-e".to_owned(), format!(r#"on enter("exe:{glob}") < count() by func >"#)];
                    Running::profinfer(binary, &script, pid, &shown)?
                }
                _ => {
                    let probe = |n| format!("uprobe:{}:probe_many_{n}", probed.path.display());
                    let probes: Vec<String> = (from..from + size).map(probe).collect();
                    Running::bpftrace(&format!("{} {{ @[probe] = count(); }}", probes.join(", ")), pid, &shown)?
                }
            };
            probed.many(from, size, Bursts { bursts: 1, calls: size as usize })?;
            let times = probed.many(from, size, bursts)?;
            let (took, _) = running.end()?;
            let scaled = Scaled {
                tool: tool.to_owned(),
                size,
                ns: above(bare, &times),
                attach_ms: took.attach_ms,
                exit_ms: took.exit_ms,
            };
            told(&scaled);
            all.push(scaled);
        }
    }
    Ok(all)
}

/// Events printed at growing rates, each for so many milliseconds.
pub(super) fn stream(
    probed: &mut Probed,
    binary: &Path,
    folder: &Path,
    ms: u64,
    mut told: impl FnMut(&Stream),
) -> Result<Vec<Stream>, Failure> {
    let (pid, shown) = (probed.pid(), folder.join("printed"));
    let script = ["--format", "json", "-e", r#"on enter("exe:probe_push") < print("{arg0}") >"#].map(str::to_owned);
    let bpftrace = format!(r#"uprobe:{}:probe_push {{ printf("%d\n", arg0); }}"#, probed.path.display());
    let mut all = Vec::new();
    for tool in ["profinfer", "bpftrace"] {
        for asked in RATES {
            let running = match tool {
                "profinfer" => Running::profinfer(binary, &script, pid, &shown)?,
                _ => Running::bpftrace(&bpftrace, pid, &shown)?,
            };
            let (happened, rate) = probed.pace(asked, ms)?;
            let (_, said) = running.end()?;
            let printed = BufReader::new(File::open(&shown).map_err(at(&shown))?).lines().map_while(Result::ok);
            let (mut n, mut told_lost) = (0, 0);
            for line in printed {
                match tool {
                    "profinfer" => match line.strip_prefix(r#"{"type":""#) {
                        Some(rest) if rest.starts_with("print") => n += 1,
                        Some(rest) if rest.starts_with("end") => told_lost += loss::of_profinfer(&line),
                        _ => {}
                    },
                    _ if !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()) => n += 1,
                    _ => told_lost += loss::of_bpftrace(&line),
                }
            }
            told_lost += said.lines().map(loss::of_bpftrace).sum::<u64>();
            let stream = Stream { tool: tool.to_owned(), rate, happened, printed: n, told_lost };
            told(&stream);
            all.push(stream);
            // The probed program comes no faster.
            if rate < 0.8 * asked as f64 {
                break;
            }
        }
    }
    Ok(all)
}
