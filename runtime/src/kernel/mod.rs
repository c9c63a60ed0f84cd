//! Everything profinfer asks of the running kernel: maps, programs, links, rights and what this kernel can do.
//!
//! [`Kernel`] is the seam: [`Linux`] is the real one, over raw `bpf(2)`. Nothing here is ever pinned or mounted: each
//! map, program and link lives exactly as long as the descriptor that holds it, so the kernel takes all of it back when
//! this process ends, however it ends.
//!
//! Invariant: `sys.rs` is the only file that sees the raw attribute union of `bpf(2)` and `perf_event_open(2)`.

use std::path::Path;

mod batch;
mod cpus;
mod error;
pub mod features;
mod functions;
pub mod ids;
pub mod kfunc;
mod limits;
pub mod link;
mod linux;
pub mod map;
mod mapped;
pub mod meter;
pub mod program;
mod quiet;
pub mod rights;
mod ring;
mod sys;
mod toll;
mod tracefs;
mod trials;
mod words;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use cpus::{online_cpus, possible_cpus};
pub use error::{Action, KernelError};
pub use features::{Feature, Features};
pub use limits::{MAX_LOG_BYTES, kernel_name};
pub use link::{Link, LinkKind, SoftwareEvent};
pub use linux::Linux;
pub use map::{Map, MapKind, MapSpec, Update};
pub use mapped::MappedArray;
pub use meter::{CountedEvent, Meter, Reading};
pub use program::{AttachType, LICENSE, Program, ProgramInfo, ProgramSpec, ProgramType, Stats};
pub use quiet::wait_for_programs;
pub use rights::Rights;
pub use ring::RingBuffer;
pub use toll::{Toll, process_cpu_ns};
pub use tracefs::{Tracefs, TracefsSource};

#[cfg(test)]
pub(crate) use fake::{Call, Fake};

/// The kernel as the rest of the runtime sees it.
pub trait Kernel: Send + Sync {
    /// What this kernel can do; tried once, at the first call (0.1 to 0.2 s), then remembered.
    fn features(&self) -> &Features;

    /// Makes a map. A map of [`MapKind::ArrayOfMaps`] starts with empty slots.
    ///
    /// # Errors
    /// [`KernelError::Denied`] without the rights, [`KernelError::Spec`] for a shape that no kernel takes,
    /// [`KernelError::Refused`] for anything else the kernel says.
    fn create_map(&self, spec: &MapSpec) -> Result<Map, KernelError>;

    /// Makes an array of `n` maps that are all shaped like `inner`, and puts `inner` into slot 0.
    ///
    /// # Errors
    /// As [`Kernel::create_map`].
    fn create_array_of_maps(&self, name: &str, inner: &Map, n: u32) -> Result<Map, KernelError>;

    /// Verifies and loads a program. Nothing runs until it is attached.
    ///
    /// # Errors
    /// [`KernelError::Verifier`] with the whole log, [`KernelError::Denied`] without the rights,
    /// [`KernelError::Refused`] where the kernel gave no log.
    fn load(&self, spec: &ProgramSpec<'_>) -> Result<Program, KernelError>;

    /// Attaches a program to file offsets of an executable or library, all sites in one link.
    ///
    /// How is decided by what the program was loaded for: [`AttachType::UprobeMulti`] and [`AttachType::UprobeSession`]
    /// make one multi link, [`AttachType::Perf`] one perf event per site (the fallback for kernels before 6.6, which
    /// takes about 100 ms a site to detach and `CAP_SYS_ADMIN` where a multi link takes `CAP_BPF` and `CAP_PERFMON`).
    ///
    /// `cookies` is empty or as long as `offsets`; `bpf_get_attach_cookie` reads the site's. `ret` asks for the return
    /// instead of the entry and is without meaning for a session, which has both. `pid` limits the sites to one
    /// process, but not exactly on every kernel ([`Features::pid_filter_matches_process`]): a program has to check the
    /// tgid itself. One site that the kernel cannot probe fails the whole call, and then nothing is attached.
    ///
    /// # Errors
    /// [`KernelError::Spec`] for no site or a wrong number of cookies, [`KernelError::Denied`] without the rights,
    /// [`KernelError::Refused`] for anything else, with a hint where the reason is known.
    fn uprobe_multi(
        &self,
        program: &Program,
        path: &Path,
        offsets: &[u64],
        cookies: &[u64],
        pid: Option<u32>,
        ret: bool,
    ) -> Result<Link, KernelError>;

    /// Attaches a program of [`ProgramType::Tracepoint`] to `category:name`, for every process and CPU.
    ///
    /// # Errors
    /// [`KernelError::Tracepoint`] where there is no such tracepoint, else as [`Kernel::uprobe_multi`].
    fn tracepoint(&self, program: &Program, category: &str, name: &str) -> Result<Link, KernelError>;

    /// Attaches a program of [`ProgramType::RawTracepoint`] to a tracepoint by its name alone, for every process and CPU. Unlike
    /// one that is attached to a perf event, it is not left out while a map is being read on its CPU.
    ///
    /// # Errors
    /// As [`Kernel::uprobe_multi`].
    fn raw_tracepoint(&self, program: &Program, name: &str) -> Result<Link, KernelError>;

    /// Counts something on a CPU, whatever runs there, from now on.
    ///
    /// # Errors
    /// [`KernelError::Denied`] without the rights, [`KernelError::Refused`] where it cannot be counted (`ENOENT`: this machine
    /// has no such counter).
    fn count(&self, event: CountedEvent, cpu: i32) -> Result<Meter, KernelError>;

    /// The offset of a field in the records of a tracepoint, in bytes.
    ///
    /// # Errors
    /// [`KernelError::Tracepoint`] where there is no such tracepoint or field.
    fn tracepoint_field(&self, category: &str, name: &str, field: &str) -> Result<u16, KernelError>;

    /// Runs a program of [`ProgramType::PerfEvent`] `hz` times a second of running time on every CPU that is online.
    ///
    /// # Errors
    /// As [`Kernel::uprobe_multi`].
    fn sample(&self, program: &Program, hz: u64) -> Result<Link, KernelError>;

    /// Runs a program of [`ProgramType::PerfEvent`] at every event that the kernel itself counts, on every CPU that is online.
    ///
    /// # Errors
    /// As [`Kernel::uprobe_multi`].
    fn software(&self, program: &Program, event: SoftwareEvent) -> Result<Link, KernelError>;

    /// The fields of a tracepoint: its file `format`, as text.
    ///
    /// # Errors
    /// As [`Kernel::tracepoint_field`].
    fn tracepoint_format(&self, category: &str, name: &str) -> Result<String, KernelError>;
}
