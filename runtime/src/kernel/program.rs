//! Programs: loading them, reading the verifier's word, and what the kernel counts about them.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::{
    error::{Action, KernelError},
    functions::Functions,
    limits::MAX_LOG_BYTES,
    sys,
};

/// The licence that profinfer's programs declare: the helpers they call ask for a GPL-compatible one.
pub const LICENSE: &str = "Dual MIT/GPL";

/// First size of a verifier log, in bytes; it grows by four until the log fits.
const FIRST_LOG_BYTES: usize = 64 << 10;

/// A program to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramSpec<'a> {
    /// Its name in listings and errors; the kernel keeps 15 bytes of it.
    pub name: &'a str,
    /// What kind of event it runs on.
    pub prog_type: ProgramType,
    /// How it will be attached.
    pub expected_attach_type: AttachType,
    /// Its instructions, 8 bytes each in native order, maps as descriptors in them. Functions whose address is taken
    /// (callbacks of `bpf_loop`) are found in them and described to the kernel.
    pub insns: &'a [u64],
    /// Its licence: [`LICENSE`].
    pub license: &'a str,
}

/// What kind of event a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgramType {
    /// Code of user programs (the kernel calls all of these kprobe programs).
    Kprobe = 2,
    /// Tracepoints.
    Tracepoint = 5,
    /// Sampling.
    PerfEvent = 7,
    /// Tracepoints, with the arguments of the kernel's own call.
    RawTracepoint = 17,
}

/// How a program will be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AttachType {
    /// By perf events: tracepoints, sampling, and user code on kernels before 6.6.
    #[default]
    Perf = 0,
    /// To many sites by one link (Linux 6.6).
    UprobeMulti = 48,
    /// To entry and return of many sites by one link (Linux 6.14).
    UprobeSession = 57,
}

/// A loaded program; it goes away with the last descriptor or link that holds it.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    name: String,
    prog_type: ProgramType,
    attach_type: AttachType,
}

/// What the kernel counts about a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProgramInfo {
    /// The kernel's number for it.
    pub id: u32,
    /// Bytes of verified instructions.
    pub xlated_bytes: u32,
    /// Bytes of machine code; 0 without a JIT.
    pub jited_bytes: u32,
    /// Instructions that the verifier walked through, over all paths; 0 before Linux 5.16.
    pub verified_insns: u32,
    /// How often it ran while a [`Stats`] was held.
    pub run_cnt: u64,
    /// Nanoseconds it ran while a [`Stats`] was held.
    pub run_time_ns: u64,
    /// Runs left out because it was running on that CPU already.
    pub recursion_misses: u64,
}

/// While it is held, the kernel measures the run time of all programs (some 20 ns a run).
#[derive(Debug)]
pub struct Stats {
    _fd: OwnedFd,
}

impl Program {
    /// Loads a program: without a log first, which is faster, and again with one if it is refused.
    pub(super) fn load(spec: &ProgramSpec<'_>) -> Result<Self, KernelError> {
        let refused = |source| KernelError::new(Action::Load, spec.name, source);
        let license = CString::new(spec.license).map_err(|error| refused(error.into()))?;
        let functions = Functions::describe(spec.name, spec.insns)
            .map_err(|source| KernelError::new(Action::LoadBtf, spec.name, source))?;
        let args = sys::ProgLoad {
            name: spec.name,
            prog_type: spec.prog_type as u32,
            expected_attach_type: spec.expected_attach_type as u32,
            insns: spec.insns,
            license: &license,
            functions: functions.as_ref().map(|found| (found.btf.as_fd(), &*found.records)),
        };
        let fd = match sys::prog_load(&args, None) {
            Ok(fd) => fd,
            Err(source) => match explain(&args) {
                Explained::Loaded(fd) => fd,
                Explained::Log(log) if log.trim().is_empty() => {
                    let hint = match source.raw_os_error() {
                        Some(libc::EINVAL) => Some("this kernel lacks the kind of program or of attachment"),
                        Some(libc::E2BIG) => Some("the program is too long"),
                        _ => None,
                    };
                    return Err(KernelError::hinted(Action::Load, spec.name, hint, source));
                }
                Explained::Log(log) => {
                    let errno = source.raw_os_error().unwrap_or(libc::EINVAL);
                    return Err(KernelError::Verifier { name: spec.name.into(), errno, log });
                }
            },
        };
        Ok(Self::from_fd(fd, spec))
    }

    /// Takes over a descriptor whose program was loaded from `spec`.
    pub(super) fn from_fd(fd: OwnedFd, spec: &ProgramSpec<'_>) -> Self {
        let attach_type = spec.expected_attach_type;
        Self { fd, name: spec.name.into(), prog_type: spec.prog_type, attach_type }
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its name, in full.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of event it runs on.
    #[must_use]
    pub fn prog_type(&self) -> ProgramType {
        self.prog_type
    }

    /// How it is to be attached.
    #[must_use]
    pub fn attach_type(&self) -> AttachType {
        self.attach_type
    }

    /// What the kernel counts about it.
    ///
    /// # Errors
    /// [`KernelError::Refused`] on a kernel without object ids.
    pub fn info(&self) -> Result<ProgramInfo, KernelError> {
        let info = sys::prog_info(self.fd())
            .map_err(|source| KernelError::new(Action::Inspect, self.name.as_str(), source))?;
        Ok(ProgramInfo {
            id: info.id,
            xlated_bytes: info.xlated_prog_len,
            jited_bytes: info.jited_prog_len,
            verified_insns: info.verified_insns,
            run_cnt: info.run_cnt,
            run_time_ns: info.run_time_ns,
            recursion_misses: info.recursion_misses,
        })
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Stats {
    /// Begins to measure.
    ///
    /// # Errors
    /// [`KernelError::Denied`] without `CAP_SYS_ADMIN`, [`KernelError::Refused`] before Linux 5.8.
    pub fn enable() -> Result<Self, KernelError> {
        let fd = sys::enable_stats()
            .map_err(|source| KernelError::new(Action::EnableStats, "run time statistics", source))?;
        Ok(Self { _fd: fd })
    }
}

/// What a load with a log gave.
enum Explained {
    /// It went well this time (a lack of memory had passed).
    Loaded(OwnedFd),
    /// The log; empty if the verifier never saw the program.
    Log(String),
}

/// Loads again with a log, larger each time until it fits.
fn explain(args: &sys::ProgLoad<'_>) -> Explained {
    let mut size = FIRST_LOG_BYTES;
    loop {
        let mut log = vec![0; size];
        match sys::prog_load(args, Some(&mut log)) {
            Ok(fd) => return Explained::Loaded(fd),
            Err(error) if is_full(&error) && size < MAX_LOG_BYTES => size = (size * 4).min(MAX_LOG_BYTES),
            Err(_) => {
                let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
                return Explained::Log(String::from_utf8_lossy(&log[..end]).into_owned());
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSPC)
}
