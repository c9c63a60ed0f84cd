//! What a hit costs on this machine with a program that does nothing: measured on a function of this very process.

use std::{hint::black_box, io, process};

use super::{
    Stats,
    error::{Action, KernelError},
    link::Link,
    program::{AttachType, LICENSE, Program, ProgramSpec, ProgramType},
    trials::own_site,
    words,
};

/// Time that a burst may take, about.
const BURST_NS: f64 = 300_000.0;
/// Calls of one burst at the least and at the most.
const CALLS: (f64, f64) = (20.0, 200.0);
/// Bursts, of which the median counts.
const BURSTS: usize = 5;

/// What a hit costs with a program that does nothing, in ns of the thread's own time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Toll {
    /// A hit, all that it adds to the call.
    pub hit: f64,
    /// What the kernel's statistics add to it while they are on.
    pub counting: f64,
    /// What those statistics say that the program took, which does nothing: their own clock.
    pub empty: f64,
}

impl Toll {
    /// Probes `function`, a function of this process that nothing else calls, and calls it some hundred times, first without and
    /// then with the kernel's statistics. It takes 1 ms where the instruction is emulated, some 5 ms where it is
    /// single-stepped.
    ///
    /// # Errors
    /// What [`Kernel::load`](super::Kernel::load) and [`Kernel::uprobe_multi`](super::Kernel::uprobe_multi) say, and
    /// [`Stats::enable`].
    pub fn measure(function: extern "C" fn()) -> Result<Toll, KernelError> {
        let insns = [words::mov_imm(0, 0), words::exit()];
        let spec = |expected_attach_type| ProgramSpec {
            name: "pi_toll",
            prog_type: ProgramType::Kprobe,
            expected_attach_type,
            insns: &insns,
            license: LICENSE,
        };
        let program =
            Program::load(&spec(AttachType::UprobeMulti)).or_else(|_| Program::load(&spec(AttachType::Perf)))?;
        let (path, offset) = own_site(function as *const () as u64)?;
        let bare = burst(function)?;
        let link = Link::uprobe_multi(&program, &path, &[offset], &[], Some(process::id()), false)?;
        let hit = burst(function)? - bare;
        let stats = Stats::enable()?;
        let counted = burst(function)? - bare;
        let info = program.info()?;
        drop(stats);
        // The kernel waits until no program runs any more; nobody here has to.
        std::thread::spawn(move || drop(link));
        let empty = info.run_time_ns as f64 / info.run_cnt.max(1) as f64;
        Ok(Toll { hit: hit.max(0.0), counting: (counted - hit).max(0.0), empty })
    }
}

/// The median time of a call, in ns.
fn burst(function: extern "C" fn()) -> Result<f64, KernelError> {
    let call = |times: u32| -> Result<f64, KernelError> {
        let begin = thread_ns()?;
        for _ in 0..times {
            black_box(function)();
        }
        Ok((thread_ns()? - begin) as f64 / f64::from(times))
    };
    // The first calls bring code and pages into the caches.
    let about = call(5)?.max(1.0);
    let times = (BURST_NS / about).clamp(CALLS.0, CALLS.1) as u32;
    let mut bursts = [0.0; BURSTS];
    for burst in &mut bursts {
        *burst = call(times)?;
    }
    bursts.sort_by(f64::total_cmp);
    Ok(bursts[BURSTS / 2])
}

/// Time that this thread has been on a CPU.
fn thread_ns() -> Result<u64, KernelError> {
    cpu_clock(libc::CLOCK_THREAD_CPUTIME_ID)
        .map_err(|source| KernelError::new(Action::Inspect, "this thread's time on a CPU", source))
}

/// What all threads of a process have been on a CPU together, those that have ended too, in ns.
///
/// # Errors
/// There is no such process (any more).
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    // `CPUCLOCK_SCHED` of a process: the number's complement, shifted by the three bits that say so.
    const SCHED: libc::clockid_t = 2;
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    cpu_clock((!pid << 3) | SCHED)
}

fn cpu_clock(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives until the call returns.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}
