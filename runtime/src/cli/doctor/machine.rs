//! The machine: rights, kernel, and what that can do.

use std::fs;

use super::COLUMN;
use crate::cli::page::{Page, Tone};
use crate::kernel::rights::Capability;
use crate::kernel::{Feature, Features, Rights, Tracefs};

/// Whether programs are compiled to machine code.
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Writes what there is, and adds what is wrong.
pub(super) fn examine(page: &mut Page, wrong: &mut Vec<String>) {
    let rights = Rights::of_this_process();
    page.heading("rights");
    rights_of(page, wrong, &rights);
    page.heading("kernel");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    page.entry(2, COLUMN, (Tone::Plain, "release"), &[(Tone::Plain, release.trim())]);
    jit(page);
    if !rights.can_bpf() {
        if Tracefs::mounted().is_none() {
            page.entry(2, COLUMN, (Tone::Plain, "tracefs"), &[(Tone::Faint, "not to be seen with these rights")]);
        }
        page.entry(2, COLUMN, (Tone::Plain, "features"), &[(Tone::Faint, "not tried: it takes the rights above")]);
        return;
    }
    let features = Features::probe();
    for feature in features.iter() {
        feature_of(page, wrong, &features, feature);
    }
}

fn rights_of(page: &mut Page, wrong: &mut Vec<String>, rights: &Rights) {
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
    if !rights.can_bpf() {
        let advice = rights.advice();
        // It is written to stand behind another text.
        let (first, rest) = advice.split_at(advice.chars().next().map_or(0, char::len_utf8));
        wrong.push(format!("{}{rest}.", first.to_uppercase()));
        if !rights.user_namespace && rights.euid != 0 {
            wrong.push(
                "To give the rights to the program once and for all: sudo setcap \
                 cap_bpf,cap_perfmon,cap_sys_ptrace,cap_sys_admin+ep \"$(command -v profinfer)\""
                    .to_owned(),
            );
        }
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

fn feature_of(page: &mut Page, wrong: &mut Vec<String>, features: &Features, feature: &Feature) {
    let needed = needed(features, feature.name);
    let (tone, state) = match (feature.available, needed) {
        (true, _) => (Tone::Good, "yes,"),
        (false, true) => (Tone::Bad, "no, and needed:"),
        (false, false) => (Tone::Weak, "no:"),
    };
    let about = format!("({})", feature.about);
    let text = [(tone, state), (Tone::Plain, feature.found.as_str()), (Tone::Faint, about.as_str())];
    page.entry(2, COLUMN, (Tone::Plain, feature.name), &text);
    if !feature.available && needed {
        wrong.push(format!(
            "This kernel lacks {}, which profinfer cannot do without: {}. It takes Linux 5.15 or later (6.6 or later \
             attaches much faster), with CONFIG_UPROBE_EVENTS and CONFIG_BPF_EVENTS.",
            feature.name, feature.found
        ));
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
