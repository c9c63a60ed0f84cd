//! Where the bench ran, in words that name no one machine.

use std::fs;

use profinfer_tests::cache::{LLAMA_CPP, NODE_LLAMA_CPP};

use super::data::Machine;
use crate::build::workspace;
use crate::command::answer;

/// What can be told of this machine.
pub(super) fn look(threads: u32) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let is_guest = field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Behind the numbers stands who built it.
    let kernel = release.trim().split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default().to_owned();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let git = |arguments: &[&str]| {
        let folder = workspace().display().to_string();
        answer("git", &[&["-C", folder.as_str()], arguments].concat())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "of no commit".to_owned());
    Machine {
        date: answer("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        cpu: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        hypervisor: is_guest.then(|| "a virtual machine".to_owned()),
        kernel: format!("Linux {kernel}"),
        profinfer: format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        bpftrace: answer("bpftrace", &["--version"]).unwrap_or_default().trim_start_matches("bpftrace ").to_owned(),
        plain: format!(
            "llama.cpp b{} built from its sources with gcc, without CET",
            LLAMA_CPP.trim_end_matches(".0.0")
        ),
        cet: format!("node-llama-cpp {NODE_LLAMA_CPP}, prebuilt, stripped, with CET"),
        models:
            "SmolLM2-135M-Instruct Q4_1 (`dense`), and the same as a mixture of 8 experts, of which 2 are used (`moe`)"
                .to_owned(),
        threads,
        seconds: 0.0,
        load: load.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0),
        again: Vec::new(),
    }
}
