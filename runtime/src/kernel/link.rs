//! Attachments. A link ends when it is dropped: its descriptors are all that keeps it.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use super::{
    cpus::online_cpus,
    error::{Action, KernelError},
    program::{AttachType, Program},
    sys::{self, PerfEvent, UprobeMulti},
    tracefs::Tracefs,
};

/// Most sites of one multi link (`MAX_UPROBE_MULTI_CNT`).
const MAX_SITES: usize = 1 << 20;
const UPROBE_PMU: &str = "/sys/bus/event_source/devices/uprobe";

/// An attached program. Dropping it detaches; a program that is just running still ends its run.
#[derive(Debug)]
#[must_use = "a link that is dropped detaches at once"]
pub struct Link {
    kind: LinkKind,
    sites: usize,
    parts: Vec<Part>,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// One link over all sites.
    UprobeMulti,
    /// One link over entry and return of all sites.
    UprobeSession,
    /// One perf event per site.
    UprobePerf,
    /// A tracepoint.
    Tracepoint,
    /// A sampling event per CPU.
    Sample,
    /// An event of the kernel's own counters per CPU.
    Software,
    /// A tracepoint, without a perf event.
    RawTracepoint,
}

/// An event that the kernel itself counts (`PERF_COUNT_SW_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SoftwareEvent {
    /// A page fault begins.
    PageFaults = 2,
    /// A page fault has been served without waiting for a disk.
    PageFaultsMin = 5,
    /// A page fault has been served, and it took reading.
    PageFaultsMaj = 6,
}

/// What holds one attachment. Fields are dropped in this order: the link before the event that it sits on.
#[derive(Debug)]
struct Part {
    link: Option<OwnedFd>,
    _event: Option<OwnedFd>,
}

impl Link {
    /// How it is attached.
    #[must_use]
    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// How many sites, or for samples how many CPUs.
    #[must_use]
    pub fn sites(&self) -> usize {
        self.sites
    }

    /// The kernel's numbers of the BPF links in it; none for perf events on kernels before 5.15, which hold the program
    /// themselves.
    ///
    /// # Errors
    /// [`KernelError::Refused`] if the kernel does not tell.
    pub fn ids(&self) -> Result<Vec<u32>, KernelError> {
        let links = self.parts.iter().filter_map(|part| part.link.as_ref());
        links
            .map(|fd| sys::link_id(fd.as_fd()).map_err(|source| KernelError::new(Action::Inspect, "a link", source)))
            .collect()
    }

    /// Attaches to user code in the way that the program was loaded for.
    pub(super) fn uprobe_multi(
        program: &Program,
        path: &Path,
        offsets: &[u64],
        cookies: &[u64],
        pid: Option<u32>,
        ret: bool,
    ) -> Result<Self, KernelError> {
        let spec = |problem, given: usize, wanted: usize| KernelError::Spec {
            subject: program.name().into(),
            problem,
            given: given as u64,
            wanted: wanted as u64,
        };
        if offsets.is_empty() {
            return Err(spec("a link needs a site", 0, 1));
        }
        if offsets.len() > MAX_SITES {
            return Err(spec("too many sites for one link", offsets.len(), MAX_SITES));
        }
        if !cookies.is_empty() && cookies.len() != offsets.len() {
            return Err(spec("every site needs a cookie, or none has one", cookies.len(), offsets.len()));
        }
        let failed = |source: io::Error| attach_error(path, source);
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
        let kind = match program.attach_type() {
            AttachType::Perf => return Self::uprobe_perf(program, path, offsets, cookies, pid, ret),
            AttachType::UprobeMulti => LinkKind::UprobeMulti,
            AttachType::UprobeSession => LinkKind::UprobeSession,
        };
        let link = sys::link_uprobe_multi(
            program.fd(),
            &UprobeMulti {
                attach_type: program.attach_type() as u32,
                path: &c_path,
                offsets,
                cookies,
                pid: pid.unwrap_or(0),
                ret: ret && kind == LinkKind::UprobeMulti,
            },
        )
        .map_err(failed)?;
        Ok(Self { kind, sites: offsets.len(), parts: vec![Part { link: Some(link), _event: None }] })
    }

    /// Attaches to user code by one perf event per site. With a pid the event belongs to the main thread but fires for
    /// all threads, since the breakpoint and the program sit on the address space.
    fn uprobe_perf(
        program: &Program,
        path: &Path,
        offsets: &[u64],
        cookies: &[u64],
        pid: Option<u32>,
        ret: bool,
    ) -> Result<Self, KernelError> {
        let failed = |source: io::Error| attach_error(path, source);
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
        let pmu = UprobePmu::read()?;
        let (pid, cpu) = match pid {
            Some(pid) => (i32::try_from(pid).map_err(|_| failed(io::Error::from_raw_os_error(libc::ESRCH)))?, -1),
            None => (-1, any_cpu()?),
        };
        let config = if ret { pmu.return_bit } else { 0 };
        let mut parts = Vec::with_capacity(offsets.len());
        for (index, &offset) in offsets.iter().enumerate() {
            let uprobe = Some((c_path.as_c_str(), offset));
            let event = PerfEvent { event_type: pmu.event_type, config, uprobe, hz: 0, pid, cpu };
            let cookie = cookies.get(index).copied().unwrap_or(0);
            parts.push(Part::on_event(program, &event, cookie).map_err(failed)?);
        }
        Ok(Self { kind: LinkKind::UprobePerf, sites: offsets.len(), parts })
    }

    /// Attaches to a tracepoint. The event is opened on one CPU, yet the program runs on all: it hangs on the
    /// tracepoint, and the event's CPU only filters what the event itself would record.
    pub(super) fn tracepoint(program: &Program, category: &str, name: &str) -> Result<Self, KernelError> {
        let id = Tracefs::open()?.tracepoint_id(category, name)?;
        let (event_type, config, cpu) = (sys::PERF_TRACEPOINT, id.into(), any_cpu()?);
        let event = PerfEvent { event_type, config, uprobe: None, hz: 0, pid: -1, cpu };
        let part = Part::on_event(program, &event, 0)
            .map_err(|source| KernelError::new(Action::AttachTracepoint, format!("{category}:{name}"), source))?;
        Ok(Self { kind: LinkKind::Tracepoint, sites: 1, parts: vec![part] })
    }

    /// Attaches to a tracepoint without a perf event.
    pub(super) fn raw_tracepoint(program: &Program, name: &str) -> Result<Self, KernelError> {
        let failed = |source| KernelError::new(Action::AttachTracepoint, name, source);
        let c_name = CString::new(name).map_err(|error| failed(error.into()))?;
        let link = sys::raw_tracepoint_open(program.fd(), &c_name).map_err(failed)?;
        Ok(Self { kind: LinkKind::RawTracepoint, sites: 1, parts: vec![Part { link: Some(link), _event: None }] })
    }

    /// Attaches to the CPU clock of every CPU that is online.
    pub(super) fn sample(program: &Program, hz: u64) -> Result<Self, KernelError> {
        const CPU_CLOCK: u64 = 0;
        let mut parts = Vec::new();
        for cpu in online_cpus()? {
            let event = PerfEvent {
                event_type: sys::PERF_SOFTWARE,
                config: CPU_CLOCK,
                uprobe: None,
                hz: hz.max(1),
                pid: -1,
                cpu,
            };
            let part = Part::on_event(program, &event, 0)
                .map_err(|source| KernelError::new(Action::AttachSample, format!("cpu-clock of CPU {cpu}"), source))?;
            parts.push(part);
        }
        Ok(Self { kind: LinkKind::Sample, sites: parts.len(), parts })
    }

    /// Attaches to each of those events, on every CPU that is online.
    pub(super) fn software(program: &Program, event: SoftwareEvent) -> Result<Self, KernelError> {
        let mut parts = Vec::new();
        for cpu in online_cpus()? {
            let (event_type, config) = (sys::PERF_SOFTWARE, event as u64);
            let opened = PerfEvent { event_type, config, uprobe: None, hz: 0, pid: -1, cpu };
            let part = Part::on_event(program, &opened, 0).map_err(|source| {
                KernelError::new(Action::AttachSample, format!("software event {} of CPU {cpu}", config), source)
            })?;
            parts.push(part);
        }
        Ok(Self { kind: LinkKind::Software, sites: parts.len(), parts })
    }

    /// A link that holds a descriptor and nothing else.
    #[cfg(test)]
    pub(super) fn holding(kind: LinkKind, sites: usize, fd: OwnedFd) -> Self {
        Self { kind, sites, parts: vec![Part { link: None, _event: Some(fd) }] }
    }
}

impl Part {
    /// Opens an event and puts the program on it: by a link, or on kernels before 5.15, which have none and no cookies,
    /// directly.
    fn on_event(program: &Program, event: &PerfEvent<'_>, cookie: u64) -> io::Result<Self> {
        let event = sys::perf_open(event)?;
        let link = match sys::link_perf(program.fd(), event.as_fd(), cookie) {
            Ok(link) => Some(link),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && cookie == 0 => {
                sys::perf_set_bpf(event.as_fd(), program.fd())?;
                None
            }
            Err(error) => return Err(error),
        };
        sys::perf_enable(event.as_fd())?;
        Ok(Self { link, _event: Some(event) })
    }
}

/// How this kernel numbers the perf event of user code.
#[derive(Debug, Clone, Copy)]
struct UprobePmu {
    event_type: u32,
    return_bit: u64,
}

impl UprobePmu {
    fn read() -> Result<Self, KernelError> {
        let number = |file: &str, prefix: &str| -> Result<u32, KernelError> {
            let path = PathBuf::from(UPROBE_PMU).join(file);
            let failed = |source| KernelError::File { path: path.clone(), source };
            let text = fs::read_to_string(&path).map_err(failed)?;
            let digits = text.trim().strip_prefix(prefix).and_then(|digits| digits.parse().ok());
            digits.ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "not in the form that is known")))
        };
        let bit = number("format/retprobe", "config:")?;
        Ok(Self { event_type: number("type", "")?, return_bit: 1u64.checked_shl(bit).unwrap_or(1) })
    }
}

/// A CPU that is online.
fn any_cpu() -> Result<i32, KernelError> {
    Ok(online_cpus()?.first().copied().unwrap_or(0))
}

fn attach_error(path: &Path, source: io::Error) -> KernelError {
    let hint = match source.raw_os_error() {
        Some(sys::ENOTSUPP) => Some("one of the sites is an instruction that the kernel cannot probe; leave it out"),
        Some(libc::ENOENT) => Some("there is no such file as seen from here; a container's is below /proc/PID/root"),
        Some(libc::ESRCH) => Some("the process has ended"),
        Some(libc::EINVAL) => {
            Some("the file is no program, an offset lies outside of it, or this kernel lacks the way")
        }
        Some(libc::EMFILE) => Some("a perf event a site takes two descriptors; raise the limit with `ulimit -n`"),
        Some(libc::EIO) => Some("the file system of this file does not allow probes"),
        _ => None,
    };
    KernelError::hinted(Action::AttachUprobes, path.display().to_string(), hint, source)
}
