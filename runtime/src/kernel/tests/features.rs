//! The probes find on this kernel at least what its version promises.

use crate::kernel::{Kernel as _, Linux, Rights, rights::Capability};

#[test]
fn what_the_version_promises_is_found() {
    let linux = Linux::new();
    let features = linux.features();
    let mut parts = features.release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let release = (parts.next().unwrap(), parts.next().unwrap());
    let since = [
        ("uprobe_multi", (6, 6)),
        ("session", (6, 14)),
        ("attach_cookie", (6, 6)),
        ("pid_filter", (6, 10)),
        ("uprobe_perf", (4, 17)),
        ("task_storage", (5, 11)),
        ("ringbuf", (5, 8)),
        ("map_batch", (5, 6)),
        ("shared_memory", (5, 5)),
        ("bpf_loop", (5, 17)),
        ("tracefs", (5, 2)),
    ];
    assert_eq!(features.iter().map(|feature| feature.name).collect::<Vec<_>>(), since.map(|(name, _)| name));
    for (feature, (_, since)) in features.iter().zip(since) {
        assert!(feature.available || release < since, "{}: {}", feature.name, feature.found);
        assert!(!feature.found.is_empty() && !feature.about.is_empty() && !feature.found.contains('\n'));
    }
}

#[test]
fn these_tests_run_with_all_rights() {
    let rights = Rights::of_this_process();
    assert!(rights.can_bpf() && rights.holds(Capability::SysAdmin), "{}", rights.advice());
}
