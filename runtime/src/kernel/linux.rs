//! The real kernel.

use std::{path::Path, sync::OnceLock};

use super::{
    Kernel,
    error::KernelError,
    features::Features,
    link::{Link, SoftwareEvent},
    map::{Map, MapSpec},
    meter::{CountedEvent, Meter},
    program::{Program, ProgramSpec},
};

/// The kernel that this process runs on.
#[derive(Debug, Default)]
pub struct Linux {
    features: OnceLock<Features>,
}

impl Linux {
    /// Opens nothing and tries nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kernel for Linux {
    fn features(&self) -> &Features {
        self.features.get_or_init(Features::probe)
    }

    fn create_map(&self, spec: &MapSpec) -> Result<Map, KernelError> {
        Map::create(spec)
    }

    fn create_array_of_maps(&self, name: &str, inner: &Map, n: u32) -> Result<Map, KernelError> {
        Map::create_array_of_maps(name, inner, n)
    }

    fn load(&self, spec: &ProgramSpec<'_>) -> Result<Program, KernelError> {
        Program::load(spec)
    }

    fn uprobe_multi(
        &self,
        program: &Program,
        path: &Path,
        offsets: &[u64],
        cookies: &[u64],
        pid: Option<u32>,
        ret: bool,
    ) -> Result<Link, KernelError> {
        Link::uprobe_multi(program, path, offsets, cookies, pid, ret)
    }

    fn tracepoint(&self, program: &Program, category: &str, name: &str) -> Result<Link, KernelError> {
        Link::tracepoint(program, category, name)
    }

    fn raw_tracepoint(&self, program: &Program, name: &str) -> Result<Link, KernelError> {
        Link::raw_tracepoint(program, name)
    }

    fn count(&self, event: CountedEvent, cpu: i32) -> Result<Meter, KernelError> {
        Meter::open(event, cpu)
    }

    fn tracepoint_field(&self, category: &str, name: &str, field: &str) -> Result<u16, KernelError> {
        super::tracefs::Tracefs::open()?.tracepoint_field(category, name, field)
    }

    fn software(&self, program: &Program, event: SoftwareEvent) -> Result<Link, KernelError> {
        Link::software(program, event)
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<String, KernelError> {
        super::tracefs::Tracefs::open()?.tracepoint_format(category, name)
    }

    fn sample(&self, program: &Program, hz: u64) -> Result<Link, KernelError> {
        Link::sample(program, hz)
    }
}
