//! Counters of a CPU: events of the processor or the kernel that are counted, whoever runs there.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
};

use profinfer_compiler::counter::Counter;

use super::{
    error::{Action, KernelError},
    sys,
};

/// Something that can be counted: the numbers of `perf_event_open(2)`, and what people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CountedEvent {
    counter: Counter,
}

/// An event that is being counted on one CPU, until it is dropped.
#[derive(Debug)]
pub struct Meter {
    fd: OwnedFd,
    event: CountedEvent,
}

/// What an event has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// How often it happened while it ran.
    pub count: u64,
    /// For how long it was to run, in ns.
    pub wanted_ns: u64,
    /// For how long it ran, in ns: less where the processor has too few places for all that is counted.
    pub ran_ns: u64,
}

impl CountedEvent {
    /// The event behind a counter of the language.
    #[must_use]
    pub fn of(counter: Counter) -> Self {
        Self { counter }
    }

    /// Type and number (`linux/perf_event.h`).
    fn numbers(self) -> (u32, u64) {
        match self.counter {
            Counter::Cycles => (sys::PERF_HARDWARE, 0),
            Counter::Instructions => (sys::PERF_HARDWARE, 1),
            Counter::LlcRefs => (sys::PERF_HARDWARE, 2),
            Counter::LlcMisses => (sys::PERF_HARDWARE, 3),
            Counter::BranchMisses => (sys::PERF_HARDWARE, 5),
            Counter::StalledBackend => (sys::PERF_HARDWARE, 8),
            Counter::Pmu(number) => (sys::PERF_RAW, number),
            Counter::TaskClock => (sys::PERF_SOFTWARE, 1),
            Counter::PageFaults => (sys::PERF_SOFTWARE, 2),
            Counter::CtxSwitches => (sys::PERF_SOFTWARE, 3),
            Counter::Migrations => (sys::PERF_SOFTWARE, 4),
            Counter::MajorFaults => (sys::PERF_SOFTWARE, 6),
        }
    }
}

impl Meter {
    /// Counts on a CPU.
    pub(super) fn open(event: CountedEvent, cpu: i32) -> Result<Self, KernelError> {
        let (event_type, config) = event.numbers();
        let fd = sys::perf_count(event_type, config, cpu).map_err(|source| Self::refused(event, source))?;
        Ok(Self { fd, event })
    }

    /// Why it cannot be counted.
    pub(super) fn refused(event: CountedEvent, source: io::Error) -> KernelError {
        let hint = match (source.raw_os_error(), event.counter) {
            (Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP), counter) if counter.is_hardware() => {
                Some("this machine shows no such counter of the processor, as most virtual machines do not")
            }
            (Some(libc::EINVAL), Counter::Pmu(_)) => Some("the processor has no event of that number"),
            (Some(libc::EMFILE), _) => {
                Some("each counter takes a descriptor for each CPU; raise the limit with `ulimit -n`")
            }
            _ => None,
        };
        KernelError::hinted(Action::Count, event.counter.to_string(), hint, source)
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// [`KernelError::Refused`] where it cannot be read.
    pub fn read(&self) -> Result<Reading, KernelError> {
        let words = sys::perf_read(self.fd.as_fd());
        let failed = |source| KernelError::new(Action::ReadCount, self.event.counter.to_string(), source);
        let [count, wanted_ns, ran_ns] = words.map_err(failed)?;
        Ok(Reading { count, wanted_ns, ran_ns })
    }

    /// Its descriptor, for a map of [`MapKind::PerfEventArray`](super::MapKind::PerfEventArray).
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// One that reads what it is told to.
    #[cfg(test)]
    pub(super) fn of_readings(event: CountedEvent, readings: &[Reading]) -> Self {
        use std::io::Write as _;
        let (reader, mut writer) = io::pipe().unwrap();
        for r in readings {
            let words = [r.count, r.wanted_ns, r.ran_ns];
            writer.write_all(&words.map(u64::to_ne_bytes).concat()).unwrap();
        }
        Self { fd: reader.into(), event }
    }
}
