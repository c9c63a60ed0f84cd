//! The machine: rights, kernel, and what that can do.

use std::fs;

use profinfer_compiler::counter::Counter;
use serde::Serialize;

use super::COLUMN;
use crate::cli::page::{Page, Tone};
use crate::kernel::rights::Capability;
use crate::kernel::{Feature, Features, KernelError, Linux, Rights, Tracefs};
use crate::session::counters::on_all_cpus;

/// Whether programs are compiled to machine code.
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// What there is.
#[derive(Debug)]
pub(super) struct Machine {
    rights: Rights,
    release: String,
    /// Nothing where there is no right to try them.
    features: Option<Features>,
    /// The counters, and why those that there are not cannot be had. None where there is no right to try them.
    counters: Vec<(Counter, Result<(), KernelError>)>,
}

/// The machine for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Json<'m> {
    user: u32,
    rights: Vec<RightJson>,
    lockdown: Option<&'m str>,
    kernel: &'m str,
    features: Vec<FeatureJson<'m>>,
    counters: Vec<CounterJson>,
}

#[derive(Debug, Serialize)]
struct CounterJson {
    name: &'static str,
    available: bool,
    found: String,
}

#[derive(Debug, Serialize)]
struct RightJson {
    name: &'static str,
    held: bool,
    needed: bool,
    purpose: &'static str,
}

#[derive(Debug, Serialize)]
struct FeatureJson<'m> {
    name: &'static str,
    available: bool,
    needed: bool,
    used_by: &'static str,
    about: &'static str,
    found: &'m str,
}

impl Machine {
    /// Looks, and tries what the kernel can do where that is allowed.
    pub(super) fn look() -> Machine {
        let rights = Rights::of_this_process();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let features = rights.can_bpf().then(Features::probe);
        let linux = Linux::new();
        let try_one = |counter: Counter| (counter, on_all_cpus(counter, &linux).map(drop));
        let counters = if features.is_some() { Counter::NAMED.map(try_one).into() } else { Vec::new() };
        Machine { rights, release, features, counters }
    }

    /// Writes what there is.
    pub(super) fn write(&self, page: &mut Page) {
        page.heading("rights");
        rights(page, &self.rights);
        page.heading("kernel");
        page.entry(2, COLUMN, (Tone::Plain, "release"), &[(Tone::Plain, &self.release)]);
        jit(page);
        match &self.features {
            Some(all) => {
                all.iter().for_each(|one| feature(page, all, one));
                counters(page, &self.counters);
            }
            None => {
                if Tracefs::mounted().is_none() {
                    let why = "not to be seen with these rights";
                    page.entry(2, COLUMN, (Tone::Plain, "tracefs"), &[(Tone::Faint, why)]);
                }
                let why = "not tried: it takes the rights above";
                page.entry(2, COLUMN, (Tone::Plain, "features"), &[(Tone::Faint, why)]);
            }
        }
    }

    /// What is wrong, with what to do about it.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.rights.can_bpf() {
            let advice = self.rights.advice();
            // It is written to stand behind another text.
            let (first, rest) = advice.split_at(advice.chars().next().map_or(0, char::len_utf8));
            wrong.push(format!("{}{rest}.", first.to_uppercase()));
            if !self.rights.user_namespace && self.rights.euid != 0 {
                wrong.push(
                    "To give the rights to the program once and for all: sudo setcap \
                     cap_bpf,cap_perfmon,cap_sys_ptrace,cap_sys_admin+ep \"$(command -v profinfer)\""
                        .to_owned(),
                );
            }
        }
        let Some(features) = &self.features else { return wrong };
        for feature in features.iter().filter(|f| !f.available && needed(features, f.name)) {
            wrong.push(format!(
                "This kernel lacks {}, which profinfer cannot do without: {}. It takes Linux 5.15 or later (6.6 or \
                 later attaches much faster), with CONFIG_UPROBE_EVENTS and CONFIG_BPF_EVENTS.",
                feature.name, feature.found
            ));
        }
        wrong
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Json<'_> {
        let right = |capability: Capability| RightJson {
            name: capability.name(),
            held: self.rights.holds(capability),
            needed: capability.essential(),
            purpose: capability.purpose(),
        };
        let features = self.features.iter().flat_map(|all| {
            all.iter().map(|one| FeatureJson {
                name: one.name,
                available: one.available,
                needed: needed(all, one.name),
                used_by: used_by(one.name),
                about: one.about,
                found: &one.found,
            })
        });
        Json {
            user: self.rights.euid,
            rights: Capability::ALL.map(right).into(),
            lockdown: self.rights.lockdown.as_deref(),
            kernel: &self.release,
            features: features.collect(),
            counters: self
                .counters
                .iter()
                .map(|(counter, tried)| CounterJson {
                    name: counter.word(),
                    available: tried.is_ok(),
                    found: tried.as_ref().err().map_or_else(|| "counts".to_owned(), ToString::to_string),
                })
                .collect(),
        }
    }
}

fn rights(page: &mut Page, rights: &Rights) {
    let user = if rights.euid == 0 { "root".to_owned() } else { format!("user {}", rights.euid) };
    page.entry(2, COLUMN, (Tone::Plain, "user"), &[(Tone::Plain, &user)]);
    for capability in Capability::ALL {
        let (tone, state) = match (rights.holds(capability), capability.essential()) {
            (true, _) => (Tone::Good, "held"),
            (false, true) => (Tone::Bad, "missing"),
            (false, false) => (Tone::Weak, "missing"),
        };
        let purpose = format!("({})", capability.purpose());
        page.entry(2, COLUMN, (Tone::Plain, capability.name()), &[(tone, state), (Tone::Faint, &purpose)]);
    }
    if let Some(mode) = &rights.lockdown {
        let tone = if mode == "none" { Tone::Good } else { Tone::Weak };
        page.entry(2, COLUMN, (Tone::Plain, "lockdown"), &[(tone, mode)]);
    }
}

fn jit(page: &mut Page) {
    let (tone, text) = match fs::read_to_string(JIT).as_deref().map(str::trim) {
        Ok("0") => (Tone::Weak, format!("off: every hit costs more (sysctl -w {})", "net.core.bpf_jit_enable=1")),
        Ok(_) => (Tone::Good, "on".to_owned()),
        Err(_) => (Tone::Faint, format!("not known: {JIT} cannot be read")),
    };
    page.entry(2, COLUMN, (Tone::Plain, "JIT"), &[(tone, &text)]);
}

fn feature(page: &mut Page, all: &Features, feature: &Feature) {
    let (tone, state) = match (feature.available, needed(all, feature.name)) {
        (true, _) => (Tone::Good, "yes,"),
        (false, true) => (Tone::Bad, "no, and needed;"),
        (false, false) => (Tone::Weak, "no,"),
    };
    let used = format!("used by {}:", used_by(feature.name));
    let found = format!("({})", feature.found);
    let text = [(tone, state), (Tone::Plain, &*used), (Tone::Plain, feature.about), (Tone::Faint, &*found)];
    page.entry(2, COLUMN, (Tone::Plain, feature.name), &text);
}

/// The counters that there are, and why the others are not.
fn counters(page: &mut Page, all: &[(Counter, Result<(), KernelError>)]) {
    page.heading("counters");
    let there: Vec<&str> = all.iter().filter(|(_, tried)| tried.is_ok()).map(|(c, _)| c.word()).collect();
    if !there.is_empty() {
        page.entry(2, COLUMN, (Tone::Plain, "there are"), &[(Tone::Good, &there.join(", "))]);
    }
    for (counter, tried) in all {
        if let Err(why) = tried {
            page.entry(
                2,
                COLUMN,
                (Tone::Plain, counter.word()),
                &[(Tone::Weak, "no,"), (Tone::Faint, &why.to_string())],
            );
        }
    }
}

/// Whether nothing works without a feature: to attach there are two ways, everything else on the list has no other.
fn needed(features: &Features, name: &str) -> bool {
    match name {
        "uprobe_multi" | "uprobe_perf" => !features.uprobe_multi.available && !features.uprobe_perf.available,
        "attach_cookie" | "ringbuf" | "shared_memory" | "tracefs" => true,
        _ => false,
    }
}

/// What uses a feature, behind "used by". Most kernels can do more than is made use of.
fn used_by(name: &str) -> &'static str {
    match name {
        "uprobe_multi" | "attach_cookie" | "shared_memory" => "every script",
        "ringbuf" => "every run, to learn of code that is loaded later, and by streamed tables",
        "tracefs" => "every run, to learn of code that is loaded later",
        "map_batch" => "every table",
        "uprobe_perf" => "every script on a kernel without uprobe_multi",
        _ => "nothing yet",
    }
}
