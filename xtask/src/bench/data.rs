//! What was measured, as it is kept in `results.json`: everything that the page, the plots and the CSV files are made of.

use profinfer::diff::median;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Estimate, bootstrap};

/// A run of the bench.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Results {
    /// Where it ran, and with which versions.
    pub(super) machine: Machine,
    /// What tools cost a token.
    pub(super) slowdown: Vec<Slowdown>,
    /// What a hit costs.
    pub(super) micro: Vec<Micro>,
    /// What a hit costs by the number of rows of a table.
    pub(super) rows: Vec<Scaled>,
    /// What a hit costs, and what attaching takes, by the number of functions that are probed.
    pub(super) sites: Vec<Scaled>,
    /// How many events a second can be printed.
    pub(super) stream: Vec<Stream>,
}

/// The machine and the versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Machine {
    /// The day of the run, UTC.
    pub(super) date: String,
    /// Its processor.
    pub(super) cpu: String,
    /// How many of them.
    pub(super) cpus: usize,
    /// Whether it is a virtual one, and which.
    pub(super) hypervisor: Option<String>,
    /// The kernel's release.
    pub(super) kernel: String,
    /// profinfer's version and commit.
    pub(super) profinfer: String,
    /// bpftrace's version.
    pub(super) bpftrace: String,
    /// The build without CET.
    pub(super) plain: String,
    /// The build with CET.
    pub(super) cet: String,
    /// The models.
    pub(super) models: String,
    /// Threads that the engines computed with.
    pub(super) threads: u32,
    /// The run took so many seconds.
    pub(super) seconds: f64,
    /// Load of the machine before anything ran (one minute).
    pub(super) load: f64,
    /// What was measured again since, when, and with which profinfer.
    pub(super) again: Vec<String>,
}

/// A tool on an engine with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Slowdown {
    /// `plain` or `cet`.
    pub(super) engine: String,
    /// `dense` or `moe`.
    pub(super) model: String,
    /// The tool.
    pub(super) tool: String,
    /// Tokens of a block.
    pub(super) tokens: usize,
    /// How many of them, from the beginning, are left out.
    pub(super) dropped: usize,
    /// The blocks.
    pub(super) fours: Vec<Four>,
    /// Hits of its programs a token, all threads together.
    pub(super) hits: f64,
    /// Hits at places in the engine by what a hit there costs: `push`, `single step`. Of bpftrace it is not known.
    pub(super) by_cost: Vec<(String, f64)>,
    /// What its programs take a token in the kernel's own count, in ns, all threads together: without the traps.
    pub(super) program_ns: f64,
    /// Each time that it was attached.
    pub(super) attached: Vec<Attachment>,
    /// What it said was lost, in all blocks.
    pub(super) lost: u64,
}

/// Four blocks; times in µs a token, the median and the mean of the tokens that count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Four {
    /// Medians of the first and the last block, which have nothing attached.
    pub(super) without: [f64; 2],
    /// Medians of the second and the third, which have the tool attached.
    pub(super) with: [f64; 2],
    /// The same as means.
    pub(super) mean_without: [f64; 2],
    /// The same as means.
    pub(super) mean_with: [f64; 2],
}

/// A tool attached once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Attachment {
    /// From the start of its process until it had attached, in ms.
    pub(super) attach_ms: f64,
    /// From Ctrl-C to its end, in ms.
    pub(super) exit_ms: f64,
    /// The most memory that it had, in KiB.
    pub(super) peak_kib: u64,
}

impl Slowdown {
    /// How much longer a token takes with the tool, as a part of the time without, of each pair of neighbours: by the medians of
    /// blocks. Pairs of four blocks are a group.
    pub(super) fn pairs(&self) -> Vec<Vec<f64>> {
        self.fours.iter().map(|four| relative(four.without, four.with)).collect()
    }

    /// The median of all pairs.
    pub(super) fn relative(&self) -> Estimate {
        bootstrap(&self.pairs())
    }

    /// The same by the means of blocks.
    pub(super) fn relative_of_means(&self) -> Estimate {
        bootstrap(&self.fours.iter().map(|four| relative(four.mean_without, four.mean_with)).collect::<Vec<_>>())
    }

    /// A token without the tool, in µs.
    pub(super) fn base_us(&self) -> f64 {
        median(&self.fours.iter().flat_map(|four| four.without).collect::<Vec<_>>())
    }

    /// What hits and their costs come to, as a part of a token, if all were on one thread one after the other.
    pub(super) fn computed(&self, cost_ns: impl Fn(&str) -> Option<f64>) -> Option<f64> {
        let traps: Option<f64> = self.by_cost.iter().map(|(class, hits)| Some(hits * cost_ns(class)?)).sum();
        (!self.by_cost.is_empty()).then_some((traps? + self.program_ns) / 1e3 / self.base_us())
    }
}

fn relative(without: [f64; 2], with: [f64; 2]) -> Vec<f64> {
    without.iter().zip(with).map(|(a, b)| b / a - 1.0).collect()
}

/// What a hit of a program costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Micro {
    /// Where: `push`, `endbr64`, `nop`.
    pub(super) site: String,
    /// Who: `profinfer`, `bpftrace`, `empty`, `bare`.
    pub(super) tool: String,
    /// What it does there.
    pub(super) what: String,
    /// The median of the bursts, in ns a call, the call itself taken off.
    pub(super) ns: Estimate,
    /// The program's own time a call in the kernel's own count, in ns.
    pub(super) program_ns: Option<f64>,
}

/// A cost at a size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Scaled {
    /// Who.
    pub(super) tool: String,
    /// Rows, or functions.
    pub(super) size: u64,
    /// ns a call, the call itself taken off.
    pub(super) ns: Estimate,
    /// What attaching took, in ms.
    pub(super) attach_ms: f64,
    /// What detaching and the end took, in ms.
    pub(super) exit_ms: f64,
}

/// Events printed at a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// Who.
    pub(super) tool: String,
    /// Events a second that happened.
    pub(super) rate: f64,
    /// Events that happened.
    pub(super) happened: u64,
    /// Events that were printed.
    pub(super) printed: u64,
    /// Events that the tool says were lost.
    pub(super) told_lost: u64,
}
