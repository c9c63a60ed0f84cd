//! Loading: what the verifier says, what is missing without rights, what the kernel counts.

use super::{call, count_by_cookie, count_of, counts, offset_of, own_file, role, start, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, KernelError, Linux, MapSpec, Stats, rights::Capability, words};

target!(profinfer_test_stats, 0x41);
target!(profinfer_test_loop, 0x42);
target!(profinfer_test_two, 0x43);

#[test]
fn the_verifier_is_quoted() {
    let insns = [words::mov(0, 3), words::exit()];
    let error = Linux::new().load(&uprobe("reads nothing", AttachType::UprobeMulti, &insns)).expect_err("refused");
    let KernelError::Verifier { name, errno, log } = &error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), *errno), ("reads nothing", libc::EACCES));
    assert!(log.contains("R3 !read_ok"), "{log}");
    let text = error.to_string();
    assert!(text.starts_with("the kernel's verifier refuses program `reads nothing` (Permission denied"), "{text}");
    assert!(text.contains("  R3 !read_ok"), "{text}");
}

#[test]
fn a_long_log_is_kept_whole() {
    // Two thousand instructions make a log of more than 64 KiB before the last one is refused.
    let mut insns: Vec<u64> = (0..2000).map(|n| words::mov_imm(0, n)).collect();
    insns.extend([words::mov(0, 9), words::exit()]);
    let error = Linux::new().load(&uprobe("long", AttachType::UprobeMulti, &insns)).expect_err("refused");
    let KernelError::Verifier { log, .. } = &error else { panic!("{error:?}") };
    assert!(log.len() > 64 << 10, "{} bytes", log.len());
    assert!(log.contains("0: (b7) r0 = 0") && log.contains("1999: (b7) r0 = 1999") && log.contains("R9 !read_ok"));
    assert!(error.to_string().lines().count() <= 13);
}

#[test]
fn without_rights_the_error_says_which() {
    if role().is_some() {
        // SAFETY: takes only integers; it ends this child's rights and nobody else's.
        assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
        let linux = Linux::new();
        let map = linux.create_map(&MapSpec::hash("mine", 8, 8, 8)).expect_err("refused");
        let program = linux.load(&uprobe("mine", AttachType::UprobeMulti, &[words::mov_imm(0, 0), words::exit()]));
        println!("{map}\n{}", program.expect_err("refused"));
        assert!(linux.features().iter().all(|feature| !feature.available || feature.name == "tracefs"));
        return;
    }
    let output = start("load::without_rights_the_error_says_which", "nobody").wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let advice = "`mine` (Operation not permitted (os error 1)): run profinfer as root, or give it what user 65534 \
                  lacks: CAP_BPF (make maps and load programs), \
                  CAP_PERFMON (read the target's memory and attach to its code)";
    assert!(text.contains(&format!("not allowed to make map {advice}")), "{text}");
    assert!(text.contains(&format!("not allowed to load program {advice}")), "{text}");
}

#[test]
fn two_capabilities_are_enough_for_a_multi_link() {
    const PERFMON_AND_BPF: u64 = 1 << 38 | 1 << 39;
    const AND_ADMIN: u64 = PERFMON_AND_BPF | 1 << 21;
    let attach = |way| -> Result<u64, KernelError> {
        let linux = Linux::new();
        let map = linux.create_map(&counts("counts"))?;
        let program = linux.load(&uprobe("count", way, &count_by_cookie(&map)))?;
        let offset = offset_of("profinfer_test_two");
        let _link = linux.uprobe_multi(&program, own_file(), &[offset], &[2], Some(std::process::id()), false)?;
        call(profinfer_test_two, 10);
        Ok(count_of(&map, 2))
    };
    if role().is_some() {
        // Rights belong to a thread, so each set of them gets one of its own.
        let with = |capabilities, way| {
            let limited = move || {
                keep_only(capabilities);
                attach(way)
            };
            std::thread::spawn(limited).join().unwrap()
        };
        assert_eq!(with(PERFMON_AND_BPF, AttachType::UprobeMulti).unwrap(), 10);
        let denied = with(PERFMON_AND_BPF, AttachType::Perf).unwrap_err();
        let KernelError::Denied { rights, .. } = &denied else { panic!("{denied}") };
        assert!(rights.can_bpf() && rights.euid == 65534);
        assert_eq!(rights.missing, [Capability::SysPtrace, Capability::SysAdmin]);
        assert!(denied.to_string().contains("CAP_SYS_ADMIN"), "{denied}");
        assert_eq!(with(AND_ADMIN, AttachType::Perf).unwrap(), 10);
        return;
    }
    assert!(start("load::two_capabilities_are_enough_for_a_multi_link", "two").wait().unwrap().success());
}

/// Makes this thread user 65534 with these capabilities only.
fn keep_only(capabilities: u64) {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let [low, high] = [capabilities as u32, (capabilities >> 32) as u32];
    // Effective, permitted and inheritable, first the lower halves of each.
    let data = [low, low, 0, high, high, 0];
    // SAFETY: takes only integers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }, 0);
    // By the system call: the library's function would change all threads.
    // SAFETY: takes only integers.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
    // SAFETY: header and data have the layout of version 3 and live until the call returns.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }, 0);
}

#[test]
fn run_count_and_time_are_measured_while_asked_for() {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let insns = count_by_cookie(&map);
    let program = linux.load(&uprobe("stats", AttachType::UprobeMulti, &insns)).unwrap();
    let before = program.info().unwrap();
    assert_eq!((before.run_cnt, before.run_time_ns), (0, 0));
    assert!(before.verified_insns > 10 && before.xlated_bytes as usize >= insns.len() * 8);
    let offset = offset_of("profinfer_test_stats");
    let _link = linux.uprobe_multi(&program, own_file(), &[offset], &[], Some(std::process::id()), false).unwrap();
    let stats = Stats::enable().unwrap();
    call(profinfer_test_stats, 100);
    drop(stats);
    let after = program.info().unwrap();
    assert_eq!((after.id, after.run_cnt), (before.id, 100));
    assert!(after.run_time_ns > 0);
}

#[test]
fn a_callback_is_described_and_runs() {
    let linux = Linux::new();
    let map = linux.create_map(&counts("counts")).unwrap();
    let [callback, callback_end] = words::function_address(2, 6);
    let mut insns = vec![
        words::mov_imm(1, 25),
        callback,
        callback_end,
        words::mov_imm(3, 0),
        words::mov_imm(4, 0),
        words::call(words::LOOP),
        words::mov_imm(0, 0),
        words::exit(),
    ];
    // The callback counts under key 0; it has no context to ask for a cookie.
    insns.push(words::mov_imm(0, 0));
    insns.extend(&count_by_cookie(&map)[1..]);
    let program = linux.load(&uprobe("a loop", AttachType::UprobeMulti, &insns)).unwrap();
    let offset = offset_of("profinfer_test_loop");
    let _link = linux.uprobe_multi(&program, own_file(), &[offset], &[], Some(std::process::id()), false).unwrap();
    call(profinfer_test_loop, 4);
    assert_eq!(count_of(&map, 0), 100);
}
