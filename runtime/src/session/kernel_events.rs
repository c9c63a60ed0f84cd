//! Events of the kernel that programs are attached to, by the names that plans have for them.

use profinfer_ebpf::SiteSpec;
use profinfer_ebpf::object::RAW_TRACEPOINT;

use super::SessionError;
use crate::kernel::{Kernel, Link, Program, SoftwareEvent};

/// An event of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelEvent<'s> {
    /// One that it counts: `software:page-faults-maj`.
    Software(SoftwareEvent),
    /// So many ticks a second of a CPU's clock: `clock:99`.
    Clock(u64),
    /// A tracepoint, by category and name.
    Tracepoint(&'s str, &'s str),
    /// A tracepoint by its name, with the arguments of the kernel's own call: `raw_tracepoint:sched_switch`. It is detached without
    /// waiting.
    RawTracepoint(&'s str),
}

/// The event that a site is, if it is one of the kernel's.
pub(super) fn kernel_event(site: &SiteSpec) -> Option<KernelEvent<'_>> {
    let (category, name) = site.symbols.first().filter(|_| site.kernel)?.split_once(':')?;
    Some(match (category, name) {
        ("software", "page-faults") => KernelEvent::Software(SoftwareEvent::PageFaults),
        ("software", "page-faults-min") => KernelEvent::Software(SoftwareEvent::PageFaultsMin),
        ("software", "page-faults-maj") => KernelEvent::Software(SoftwareEvent::PageFaultsMaj),
        ("clock", hz) => KernelEvent::Clock(hz.parse().ok()?),
        (RAW_TRACEPOINT, name) => KernelEvent::RawTracepoint(name),
        _ => KernelEvent::Tracepoint(category, name),
    })
}

/// Attaches a program to its event, for all processes.
///
/// # Errors
/// The kernel has no such event, or refuses.
pub(super) fn attach_to_kernel(site: &SiteSpec, program: &Program, kernel: &dyn Kernel) -> Result<Link, SessionError> {
    Ok(match kernel_event(site) {
        Some(KernelEvent::Software(event)) => kernel.software(program, event)?,
        Some(KernelEvent::Clock(hz)) => kernel.sample(program, hz)?,
        Some(KernelEvent::Tracepoint(category, name)) => kernel.tracepoint(program, category, name)?,
        Some(KernelEvent::RawTracepoint(name)) => kernel.raw_tracepoint(program, name)?,
        None => kernel.tracepoint(program, "", "")?,
    })
}
