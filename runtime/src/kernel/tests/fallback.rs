//! The fake: it remembers, it refuses, and what it passes on really runs.

use std::process;

use super::{call, count_by_cookie, count_of, counts, offset_of, own_file, target, uprobe};
use crate::kernel::{AttachType, Call, Fake, Kernel, LinkKind, MapSpec};

target!(profinfer_test_fallback, 0x31);

#[test]
fn an_old_kernel_is_played_on_the_real_one() {
    let old = Fake::real().without(|features| {
        features.uprobe_multi.available = false;
        features.session.available = false;
        features.task_storage.available = false;
    });
    assert_eq!(old.create_map(&MapSpec::task_storage("slots", 16)).expect_err("lacking").errno(), Some(libc::EINVAL));
    let map = old.create_map(&counts("counts")).unwrap();
    let insns = count_by_cookie(&map);
    assert!(old.load(&uprobe("multi", AttachType::UprobeMulti, &insns)).is_err());
    let program = old.load(&uprobe("entry", old.features().entry_attach_type(), &insns)).unwrap();
    let offset = offset_of("profinfer_test_fallback");
    let link = old.uprobe_multi(&program, own_file(), &[offset], &[9], Some(process::id()), false).unwrap();
    call(profinfer_test_fallback, 12);
    assert_eq!((link.kind(), count_of(&map, 9)), (LinkKind::UprobePerf, 12));
}

#[test]
fn a_fake_needs_no_rights_and_remembers_the_order() {
    let fake = Fake::new();
    let kernel: &dyn Kernel = &fake;
    let map = kernel.create_map(&counts("counts")).unwrap();
    let outer = kernel.create_array_of_maps("outer", &map, 2).unwrap();
    let program = kernel.load(&uprobe("one", AttachType::UprobeMulti, &[1, 2])).unwrap();
    let link = kernel.uprobe_multi(&program, "/lib/x.so".as_ref(), &[16], &[3], Some(7), false).unwrap();
    assert_eq!(link.kind(), LinkKind::UprobeMulti);
    assert_eq!(kernel.tracepoint(&program, "sched", "sched_switch").unwrap().kind(), LinkKind::Tracepoint);
    assert_eq!(kernel.sample(&program, 99).unwrap().kind(), LinkKind::Sample);
    assert_eq!(
        fake.calls(),
        [
            Call::CreateMap { spec: counts("counts") },
            Call::CreateMap { spec: outer.spec().clone() },
            Call::Load { name: "one".into(), attach_type: AttachType::UprobeMulti, insns: vec![1, 2] },
            Call::Uprobes {
                program: "one".into(),
                path: "/lib/x.so".into(),
                offsets: vec![16],
                cookies: vec![3],
                pid: Some(7),
                ret: false
            },
            Call::Tracepoint { program: "one".into(), category: "sched".into(), name: "sched_switch".into() },
            Call::Sample { program: "one".into(), hz: 99 },
        ]
    );
}
