//! Tracepoints: on every CPU, and found where nobody has mounted tracefs.

use std::thread;

use super::{count_by_cookie, count_of, counts, uprobe};
use crate::kernel::{
    AttachType, Kernel as _, KernelError, Linux, ProgramSpec, ProgramType, Tracefs, TracefsSource, cpus::online_cpus,
    words,
};

/// `bpf_get_current_pid_tgid`
const PID_TGID: i32 = 14;

#[test]
fn a_system_call_is_seen_on_every_cpu() {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    // Keys by thread, so that what other processes call stays apart.
    let mut insns = count_by_cookie(&map);
    insns[0] = words::call(PID_TGID);
    let spec = ProgramSpec { prog_type: ProgramType::Tracepoint, ..uprobe("getpgid", AttachType::Perf, &insns) };
    let program = linux.load(&spec).unwrap();
    let link = linux.tracepoint(&program, "syscalls", "sys_enter_getpgid").unwrap();
    for cpu in online_cpus().unwrap() {
        let thread = thread::spawn(move || call_on(cpu, 20)).join().unwrap();
        assert_eq!(count_of(&map, thread), 20, "on CPU {cpu}");
    }
    drop(link);
    let thread = thread::spawn(|| call_on(0, 20)).join().unwrap();
    assert_eq!(count_of(&map, thread), 0, "a dropped link sees nothing");
}

/// Calls `getpgid` on one CPU; returns this thread as `bpf_get_current_pid_tgid` names it.
fn call_on(cpu: i32, times: usize) -> u64 {
    // SAFETY: a set of CPUs is plain bits, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPUs of this machine lie within the set.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: the set lives until the call returns and its size is given; 0 is this thread.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }, 0);
    for _ in 0..times {
        // SAFETY: takes only an integer.
        unsafe { libc::getpgid(0) };
    }
    // SAFETY: takes nothing and always succeeds.
    let tid = unsafe { libc::gettid() };
    u64::from(std::process::id()) << 32 | u64::from(tid.cast_unsigned())
}

#[test]
fn a_detached_tracefs_has_the_same_numbers_and_is_mounted_nowhere() {
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    let detached = Tracefs::detached().unwrap();
    assert_eq!(detached.source(), TracefsSource::Detached);
    let id = detached.tracepoint_id("sched", "sched_switch").unwrap();
    assert_eq!(mounts(), before);
    let here = std::path::Path::new("/sys/kernel/tracing/events/sched/sched_switch/id");
    assert_eq!(Tracefs::mounted().is_some(), here.exists());
    if let Some(mounted) = Tracefs::mounted() {
        assert_eq!(mounted.tracepoint_id("sched", "sched_switch").unwrap(), id);
    }
    assert_eq!(Tracefs::open().unwrap().tracepoint_id("sched", "sched_switch").unwrap(), id);
}

#[test]
fn tracefs_is_read_where_nobody_has_mounted_it() {
    let known = Tracefs::open().unwrap().tracepoint_id("syscalls", "sys_enter_read").unwrap();
    let alone = thread::spawn(|| {
        // A mount table of this thread's own.
        // SAFETY: takes only flags; nobody else shares what it changes.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) }, 0);
        let (root, point) = (c"/".as_ptr(), c"/sys/kernel/tracing".as_ptr());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: the paths end in NUL; what may be null is null.
        assert_eq!(unsafe { libc::mount(std::ptr::null(), root, std::ptr::null(), private, std::ptr::null()) }, 0);
        // SAFETY: the path ends in NUL.
        while unsafe { libc::umount2(point, libc::MNT_DETACH) } == 0 {}
        assert!(Tracefs::mounted().is_none());
        let tracefs = Tracefs::open().unwrap();
        (tracefs.source(), tracefs.tracepoint_id("syscalls", "sys_enter_read").unwrap())
    });
    assert_eq!(alone.join().unwrap(), (TracefsSource::Detached, known));
}

#[test]
fn a_tracepoint_that_is_not_there_is_named() {
    let tracefs = Tracefs::open().unwrap();
    for (category, name) in [("sched", "sched_swich"), ("no", "such"), ("..", "sched"), ("sched", ""), ("a/b", "c")] {
        let error = tracefs.tracepoint_id(category, name).unwrap_err();
        assert!(matches!(error, KernelError::Tracepoint { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("no tracepoint `{category}:{name}`")), "{error}");
    }
}
