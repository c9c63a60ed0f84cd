//! What this process may do, and what it would take to do the rest.

use std::{fmt, fs};

/// A capability that profinfer has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// `CAP_BPF`: make maps, load programs.
    Bpf,
    /// `CAP_PERFMON`: read memory and attach to code and tracepoints.
    Perfmon,
    /// `CAP_SYS_PTRACE`: look at processes of other users.
    SysPtrace,
    /// `CAP_SYS_ADMIN`: open tracefs, attach to code by perf events (before Linux 6.6 the only way), measure programs,
    /// list BPF objects.
    SysAdmin,
}

impl Capability {
    /// All of them, the most needed first.
    pub const ALL: [Self; 4] = [Self::Bpf, Self::Perfmon, Self::SysPtrace, Self::SysAdmin];

    /// Its name as `capabilities(7)` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::Perfmon => "CAP_PERFMON",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        }
    }

    /// What profinfer needs it for.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Bpf => "make maps and load programs",
            Self::Perfmon => "read the target's memory and attach to its code",
            Self::SysPtrace => "look at processes of other users",
            Self::SysAdmin => "open tracefs; before Linux 6.6, attach to code",
        }
    }

    /// Whether nothing works without it.
    #[must_use]
    pub fn essential(self) -> bool {
        matches!(self, Self::Bpf | Self::Perfmon)
    }

    fn bit(self) -> u64 {
        1 << match self {
            Self::Bpf => 39,
            Self::Perfmon => 38,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What this process may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rights {
    /// Effective user id.
    pub euid: u32,
    /// Effective capabilities, of the calling thread, one bit each.
    pub effective: u64,
    /// Whether it runs in a user namespace of its own, where capabilities mean nothing to BPF.
    pub user_namespace: bool,
    /// `kernel.unprivileged_bpf_disabled`, where it can be read.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.perf_event_paranoid`, where it can be read.
    pub perf_event_paranoid: Option<i64>,
    /// The lockdown mode: `none`, `integrity` or `confidentiality`; nothing on a kernel without lockdown.
    pub lockdown: Option<String>,
    /// Capabilities that it lacks, the most needed first. `CAP_SYS_ADMIN` stands in for `CAP_BPF` and `CAP_PERFMON`.
    pub missing: Vec<Capability>,
}

impl Rights {
    /// Those of the calling thread, from `/proc` and `/sys`; what cannot be read counts as not held.
    #[must_use]
    pub fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let effective =
            field(&status, "CapEff:").and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or_default();
        let euid = field(&status, "Uid:").and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
        Self {
            euid: euid.unwrap_or(u32::MAX),
            effective,
            user_namespace: !uid_map.is_empty() && !uid_map.split_whitespace().eq(["0", "0", "4294967295"]),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            lockdown: lockdown.and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
            missing: missing(effective),
        }
    }

    /// Whether it holds a capability, or one that stands in for it.
    #[must_use]
    pub fn holds(&self, capability: Capability) -> bool {
        !self.missing.contains(&capability)
    }

    /// Whether it holds what loading and attaching take.
    #[must_use]
    pub fn can_bpf(&self) -> bool {
        !self.user_namespace && Capability::ALL.into_iter().all(|needed| !needed.essential() || self.holds(needed))
    }

    /// What to do about a refusal, in one sentence.
    #[must_use]
    pub fn advice(&self) -> String {
        if self.user_namespace {
            return "this process runs in a user namespace (a rootless container?), where the kernel grants no BPF; run \
                    profinfer outside of it"
                .into();
        }
        let missing: Vec<String> = self.missing.iter().map(|lacks| format!("{lacks} ({})", lacks.purpose())).collect();
        if !missing.is_empty() {
            return format!("run profinfer as root, or give it what user {} lacks: {}", self.euid, missing.join(", "));
        }
        match self.lockdown.as_deref() {
            Some(mode @ ("integrity" | "confidentiality")) => format!(
                "no capability is missing, but the kernel is locked down ({mode}); boot without `lockdown=` or turn \
                 Secure Boot off"
            ),
            _ => {
                "no capability is missing, so a seccomp filter (a container's?) or a security module forbids it".into()
            }
        }
    }
}

fn missing(effective: u64) -> Vec<Capability> {
    let admin = effective & Capability::SysAdmin.bit() != 0;
    let held = |capability: Capability| effective & capability.bit() != 0 || (admin && capability.essential());
    Capability::ALL.into_iter().filter(|&capability| !held(capability)).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Capability, missing};

    #[test]
    fn admin_stands_in_for_bpf_and_perfmon_only() {
        assert_eq!(missing(Capability::SysAdmin.bit()), [Capability::SysPtrace]);
        assert_eq!(
            missing(Capability::Bpf.bit() | Capability::SysPtrace.bit()),
            [Capability::Perfmon, Capability::SysAdmin]
        );
        assert_eq!(missing(0), Capability::ALL);
    }
}
