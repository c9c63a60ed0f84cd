//! Links: every hit is counted, at its site, in its process, and only while the link is held.

use std::{process, thread};

use super::{call, count_by_cookie, count_of, counts, number, offset_of, own_file, role, start, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, KernelError, Link, LinkKind, Linux, Map, kfunc, words};

target!(profinfer_test_thousand, 0x11);
target!(profinfer_test_return, 0x12);
target!(profinfer_test_session, 0x13);
target!(profinfer_test_cookie_a, 0x14);
target!(profinfer_test_cookie_b, 0x15);
target!(profinfer_test_pid_multi, 0x16);
target!(profinfer_test_pid_perf, 0x17);
target!(profinfer_test_dropped, 0x18);
target!(profinfer_test_perf, 0x19);
target!(profinfer_test_neighbour, 0x1a);

// A function that begins with an instruction which the kernel does not let a probe replace.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl profinfer_test_locked",
    ".type profinfer_test_locked, @function",
    "profinfer_test_locked:",
    "lock addl $0, (%rsp)",
    "ret",
    options(att_syntax)
);
#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn profinfer_test_locked();
}

const WAYS: [(AttachType, LinkKind); 2] =
    [(AttachType::UprobeMulti, LinkKind::UprobeMulti), (AttachType::Perf, LinkKind::UprobePerf)];

/// Attaches a count by cookie.
fn attach(way: AttachType, symbols: &[&str], cookies: &[u64], pid: Option<u32>, ret: bool) -> (Map, Link) {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let program = linux.load(&uprobe("count", way, &count_by_cookie(&map))).unwrap();
    let offsets: Vec<u64> = symbols.iter().map(|symbol| offset_of(symbol)).collect();
    let link = linux.uprobe_multi(&program, own_file(), &offsets, cookies, pid, ret).unwrap();
    (map, link)
}

#[test]
fn a_thousand_calls_are_a_thousand_counts() {
    let (map, link) = attach(AttachType::UprobeMulti, &["profinfer_test_thousand"], &[], Some(process::id()), false);
    assert_eq!((link.kind(), link.sites()), (LinkKind::UprobeMulti, 1));
    call(profinfer_test_thousand, 1000);
    assert_eq!(count_of(&map, 0), 1000);
}

#[test]
fn returns_are_counted_too() {
    for (way, kind) in WAYS {
        let (map, link) = attach(way, &["profinfer_test_return"], &[5], Some(process::id()), true);
        call(profinfer_test_return, 100);
        assert_eq!((link.kind(), count_of(&map, 5)), (kind, 100));
    }
}

#[test]
fn a_session_sees_entry_and_return() {
    let linux = Linux::new();
    let [Some(is_return)] = kfunc::ids(["bpf_session_is_return"]).unwrap() else {
        panic!("no sessions in this kernel")
    };
    let map = linux.create_map(&counts("counts")).unwrap();
    // Keys by `is_return` where the count by cookie keys by cookie.
    let mut insns = count_by_cookie(&map);
    insns[0] = words::call_kfunc(is_return);
    let program = linux.load(&uprobe("session", AttachType::UprobeSession, &insns)).unwrap();
    let offset = offset_of("profinfer_test_session");
    let link = linux.uprobe_multi(&program, own_file(), &[offset], &[], Some(process::id()), false).unwrap();
    call(profinfer_test_session, 50);
    assert_eq!(link.kind(), LinkKind::UprobeSession);
    assert_eq!((count_of(&map, 0), count_of(&map, 1)), (50, 50));
}

#[test]
fn cookies_tell_sites_apart() {
    for (way, _) in WAYS {
        let symbols = ["profinfer_test_cookie_a", "profinfer_test_cookie_b"];
        let (map, _link) = attach(way, &symbols, &[71, u64::MAX - 1], Some(process::id()), false);
        call(profinfer_test_cookie_a, 30);
        call(profinfer_test_cookie_b, 4);
        assert_eq!((count_of(&map, 71), count_of(&map, u64::MAX - 1), count_of(&map, 0)), (30, 4, 0), "{way:?}");
    }
}

/// A pid stands for all threads of that process and for no other process.
fn pid_means_the_process(way: AttachType, test: &str, symbol: &str, target: extern "C" fn(u64) -> u64) {
    if role().is_some() {
        call(target, 700);
        return;
    }
    let (filtered, _link) = attach(way, &[symbol], &[], Some(process::id()), false);
    let (all, _all_link) = attach(way, &[symbol], &[], None, false);
    // The test harness runs this on a thread that is not the first one; one more makes two.
    call(target, 200);
    thread::spawn(move || call(target, 100)).join().unwrap();
    assert!(start(test, "call").wait().unwrap().success());
    assert_eq!((count_of(&filtered, 0), count_of(&all, 0)), (300, 1000));
}

#[test]
fn the_pid_of_a_multi_link_means_the_process() {
    let test = "attach::the_pid_of_a_multi_link_means_the_process";
    pid_means_the_process(AttachType::UprobeMulti, test, "profinfer_test_pid_multi", profinfer_test_pid_multi);
}

#[test]
fn the_pid_of_perf_events_means_the_process() {
    let test = "attach::the_pid_of_perf_events_means_the_process";
    pid_means_the_process(AttachType::Perf, test, "profinfer_test_pid_perf", profinfer_test_pid_perf);
}

#[test]
fn a_dropped_link_counts_no_more() {
    for (way, _) in WAYS {
        let (map, link) = attach(way, &["profinfer_test_dropped"], &[], Some(process::id()), false);
        call(profinfer_test_dropped, 10);
        drop(link);
        call(profinfer_test_dropped, 10);
        assert_eq!(count_of(&map, 0), 10, "{way:?}");
    }
}

#[test]
fn perf_events_count_exactly() {
    let (map, link) = attach(AttachType::Perf, &["profinfer_test_perf"], &[], Some(process::id()), false);
    call(profinfer_test_perf, 1000);
    assert_eq!((link.kind(), link.sites(), link.ids().unwrap().len()), (LinkKind::UprobePerf, 1, 1));
    assert_eq!(count_of(&map, 0), 1000);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn one_site_that_cannot_be_probed_fails_the_link_and_says_so() {
    // Named here, so that the linker keeps it.
    std::hint::black_box(profinfer_test_locked as *const ());
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let program = linux.load(&uprobe("count", AttachType::UprobeMulti, &count_by_cookie(&map))).unwrap();
    let offsets = [offset_of("profinfer_test_neighbour"), offset_of("profinfer_test_locked")];
    let error =
        linux.uprobe_multi(&program, own_file(), &offsets, &[], Some(process::id()), false).expect_err("refused");
    assert_eq!(error.errno(), Some(524));
    assert!(error.to_string().contains("an instruction that the kernel cannot probe"), "{error}");
    call(profinfer_test_neighbour, 10);
    assert_eq!(count_of(&map, 0), 0, "nothing stays attached");
}

#[test]
fn a_wrong_request_is_named() {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let program = linux.load(&uprobe("count", AttachType::UprobeMulti, &count_by_cookie(&map))).unwrap();
    let attach = |path: &str, offsets: &[u64], cookies: &[u64], pid| {
        linux.uprobe_multi(&program, path.as_ref(), offsets, cookies, pid, false).expect_err("refused").to_string()
    };
    assert_eq!(attach("/proc/self/exe", &[], &[], None), "`count`: a link needs a site, 0 given and 1 wanted");
    assert_eq!(
        attach("/proc/self/exe", &[1], &[2, 3], None),
        "`count`: every site needs a cookie, or none has one, 2 given and 1 wanted"
    );
    assert_eq!(
        attach("/no/such/file", &[1], &[], None),
        "cannot attach to code of `/no/such/file`: No such file or directory (os error 2); there is no such file \
         as seen from here; a container's is below /proc/PID/root"
    );
    let gone = start("attach::the_pid_of_perf_events_means_the_process", "call");
    let pid = gone.id();
    assert!(gone.wait_with_output().unwrap().status.success());
    let offset = offset_of("profinfer_test_neighbour");
    let error = attach("/proc/self/exe", &[offset], &[], Some(pid));
    assert!(error.ends_with("No such process (os error 3); the process has ended"), "{error}");
}

#[test]
fn samples_come_on_every_cpu() {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let program = linux
        .load(&crate::kernel::ProgramSpec {
            prog_type: crate::kernel::ProgramType::PerfEvent,
            ..uprobe("sample", AttachType::Perf, &count_by_cookie(&map))
        })
        .unwrap();
    let link = linux.sample(&program, 199).unwrap();
    let burn = |ms| {
        let until = std::time::Instant::now() + std::time::Duration::from_millis(ms);
        while std::time::Instant::now() < until {}
    };
    burn(300);
    let seen = count_of(&map, 0);
    assert!(seen > 20, "{seen} samples of about 60");
    assert_eq!(link.sites(), super::super::cpus::online_cpus().unwrap().len());
    drop(link);
    let after = number(map.lookup(&[0; 8]).unwrap().unwrap());
    burn(50);
    assert_eq!(count_of(&map, 0), after);
    assert!(matches!(linux.sample(&program, u64::MAX), Err(KernelError::Refused { .. })));
}
