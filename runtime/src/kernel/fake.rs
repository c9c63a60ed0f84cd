//! A kernel for tests: it writes down what it is asked, refuses what it was told to lack, and either passes the rest on
//! to the real one or hands out descriptors that do nothing.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Kernel,
    error::{Action, KernelError},
    features::{Feature, Features},
    link::{Link, LinkKind, SoftwareEvent},
    linux::Linux,
    map::{Map, MapKind, MapSpec},
    meter::{CountedEvent, Meter, Reading},
    program::{AttachType, Program, ProgramSpec},
};

/// A request that reached a [`Fake`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    CreateMap { spec: MapSpec },
    Load { name: String, attach_type: AttachType, insns: Vec<u64> },
    Uprobes { program: String, path: PathBuf, offsets: Vec<u64>, cookies: Vec<u64>, pid: Option<u32>, ret: bool },
    Tracepoint { program: String, category: String, name: String },
    Sample { program: String, hz: u64 },
    Software { program: String, event: SoftwareEvent },
    RawTracepoint { program: String, name: String },
    Count { event: CountedEvent, cpu: i32 },
}

/// A kernel that remembers, and lacks what it is told to lack.
#[derive(Debug)]
pub(crate) struct Fake {
    features: Features,
    inner: Option<Linux>,
    calls: Mutex<Vec<Call>>,
    /// What is read of counters, one reading after the other, and the error number of those that there are not.
    counts: Vec<(CountedEvent, Result<Vec<Reading>, i32>)>,
}

impl Fake {
    /// Can everything, does nothing; needs no rights.
    pub(crate) fn new() -> Self {
        let all = |name| Feature { available: true, name, about: "", found: String::new() };
        let features = Features {
            release: "6.18.0".into(),
            uprobe_multi: all("uprobe_multi"),
            session: all("session"),
            attach_cookie: all("attach_cookie"),
            pid_filter_matches_process: all("pid_filter"),
            uprobe_perf: all("uprobe_perf"),
            task_storage: all("task_storage"),
            ringbuf: all("ringbuf"),
            map_batch: all("map_batch"),
            shared_memory: all("shared_memory"),
            bpf_loop: all("bpf_loop"),
            tracefs: all("tracefs"),
        };
        Self { features, inner: None, calls: Mutex::default(), counts: Vec::new() }
    }

    /// The real kernel, so that what a fallback makes really runs.
    pub(crate) fn real() -> Self {
        let linux = Linux::new();
        Self { features: linux.features().clone(), inner: Some(linux), calls: Mutex::default(), counts: Vec::new() }
    }

    /// As a kernel without some features; what needs one of them is refused as an old kernel would.
    pub(crate) fn without(mut self, lack: impl FnOnce(&mut Features)) -> Self {
        lack(&mut self.features);
        self
    }

    /// What each of its CPUs reads of a counter, one after the other; or the error number with which it has none.
    pub(crate) fn counting(mut self, event: CountedEvent, readings: Result<Vec<Reading>, i32>) -> Self {
        self.counts.push((event, readings));
        self
    }

    /// What it was asked so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.log().clone()
    }

    fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(action: Action, subject: &str) -> KernelError {
        KernelError::new(action, subject, io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn nothing(action: Action, subject: &str) -> Result<OwnedFd, KernelError> {
        File::open("/dev/null").map(OwnedFd::from).map_err(|source| KernelError::new(action, subject, source))
    }
}

impl Kernel for Fake {
    fn features(&self) -> &Features {
        &self.features
    }

    fn create_map(&self, spec: &MapSpec) -> Result<Map, KernelError> {
        self.log().push(Call::CreateMap { spec: spec.clone() });
        let lacks = match spec.kind {
            MapKind::TaskStorage => !self.features.task_storage.available,
            MapKind::RingBuf => !self.features.ringbuf.available,
            _ => spec.mmapable && !self.features.shared_memory.available,
        };
        if lacks {
            return Err(Self::refused(Action::CreateMap, &spec.name));
        }
        match &self.inner {
            Some(linux) => linux.create_map(spec),
            None => Map::from_fd(Self::nothing(Action::CreateMap, &spec.name)?, spec.clone()),
        }
    }

    fn create_array_of_maps(&self, name: &str, inner: &Map, n: u32) -> Result<Map, KernelError> {
        let spec = MapSpec::array_of_maps(name, inner.spec().clone(), n);
        self.log().push(Call::CreateMap { spec: spec.clone() });
        match &self.inner {
            Some(linux) => linux.create_array_of_maps(name, inner, n),
            None => Map::from_fd(Self::nothing(Action::CreateMap, name)?, spec),
        }
    }

    fn load(&self, spec: &ProgramSpec<'_>) -> Result<Program, KernelError> {
        let attach_type = spec.expected_attach_type;
        self.log().push(Call::Load { name: spec.name.into(), attach_type, insns: spec.insns.to_vec() });
        let lacks = match attach_type {
            AttachType::Perf => false,
            AttachType::UprobeMulti => !self.features.uprobe_multi.available,
            AttachType::UprobeSession => !self.features.session.available,
        };
        if lacks {
            return Err(Self::refused(Action::Load, spec.name));
        }
        match &self.inner {
            Some(linux) => linux.load(spec),
            None => Ok(Program::from_fd(Self::nothing(Action::Load, spec.name)?, spec)),
        }
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
        self.log().push(Call::Uprobes {
            program: program.name().into(),
            path: path.into(),
            offsets: offsets.to_vec(),
            cookies: cookies.to_vec(),
            pid,
            ret,
        });
        if let Some(linux) = &self.inner {
            return linux.uprobe_multi(program, path, offsets, cookies, pid, ret);
        }
        let kind = match program.attach_type() {
            AttachType::Perf => LinkKind::UprobePerf,
            AttachType::UprobeMulti => LinkKind::UprobeMulti,
            AttachType::UprobeSession => LinkKind::UprobeSession,
        };
        Ok(Link::holding(kind, offsets.len(), Self::nothing(Action::AttachUprobes, program.name())?))
    }

    fn tracepoint(&self, program: &Program, category: &str, name: &str) -> Result<Link, KernelError> {
        let call = Call::Tracepoint { program: program.name().into(), category: category.into(), name: name.into() };
        self.log().push(call);
        match &self.inner {
            Some(linux) => linux.tracepoint(program, category, name),
            None => Ok(Link::holding(LinkKind::Tracepoint, 1, Self::nothing(Action::AttachTracepoint, name)?)),
        }
    }

    fn raw_tracepoint(&self, program: &Program, name: &str) -> Result<Link, KernelError> {
        self.log().push(Call::RawTracepoint { program: program.name().into(), name: name.into() });
        match &self.inner {
            Some(linux) => linux.raw_tracepoint(program, name),
            None => Ok(Link::holding(LinkKind::RawTracepoint, 1, Self::nothing(Action::AttachTracepoint, name)?)),
        }
    }

    fn count(&self, event: CountedEvent, cpu: i32) -> Result<Meter, KernelError> {
        self.log().push(Call::Count { event, cpu });
        match self.counts.iter().find(|(counted, _)| *counted == event) {
            Some((_, Ok(readings))) => Ok(Meter::of_readings(event, readings)),
            Some((_, Err(errno))) => Err(Meter::refused(event, io::Error::from_raw_os_error(*errno))),
            None => Linux::new().count(event, cpu),
        }
    }

    fn tracepoint_field(&self, category: &str, name: &str, field: &str) -> Result<u16, KernelError> {
        match &self.inner {
            Some(linux) => linux.tracepoint_field(category, name, field),
            None => Ok(8),
        }
    }

    fn software(&self, program: &Program, event: SoftwareEvent) -> Result<Link, KernelError> {
        self.log().push(Call::Software { program: program.name().into(), event });
        match &self.inner {
            Some(linux) => linux.software(program, event),
            None => Ok(Link::holding(LinkKind::Software, 1, Self::nothing(Action::AttachSample, program.name())?)),
        }
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<String, KernelError> {
        match &self.inner {
            Some(linux) => linux.tracepoint_format(category, name),
            None => Err(KernelError::Tracepoint { category: category.into(), name: name.into() }),
        }
    }

    fn sample(&self, program: &Program, hz: u64) -> Result<Link, KernelError> {
        self.log().push(Call::Sample { program: program.name().into(), hz });
        match &self.inner {
            Some(linux) => linux.sample(program, hz),
            None => Ok(Link::holding(LinkKind::Sample, 1, Self::nothing(Action::AttachSample, program.name())?)),
        }
    }
}
