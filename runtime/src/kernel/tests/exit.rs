//! Nothing is left in the kernel when profinfer is killed.

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader},
    process, thread,
    time::{Duration, Instant},
};

use super::{count_by_cookie, counts, offset_of, own_file, role, start, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, Linux, MapSpec, ids};

target!(profinfer_test_killed, 0x21);

const MARK: &str = "ids:";

#[test]
fn sigkill_leaves_nothing() {
    if role().is_some() {
        hold_everything();
    }
    let mut child = start("exit::sigkill_leaves_nothing", "hold");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains(MARK)).unwrap();
    let held: Vec<Vec<u32>> = line
        .split_once(MARK)
        .unwrap()
        .1
        .split(';')
        .map(|kind| kind.split(',').map(|id| id.parse().unwrap()).collect())
        .collect();
    let [maps, programs, links] = &held[..] else { panic!("{line}") };
    assert_eq!((maps.len(), programs.len(), links.len()), (4, 2, 3), "{line}");
    let left = || -> Vec<u32> {
        let all = [ids::maps().unwrap(), ids::programs().unwrap(), ids::links().unwrap()];
        held.iter().zip(all).flat_map(|(held, all)| held.iter().copied().filter(move |id| all.contains(id))).collect()
    };
    assert_eq!(left().len(), 9, "all is there while the process lives");
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel frees programs and maps a moment later, after a grace period.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "left: {:?} of {line}", left());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes one of each, says which, and waits to be killed.
fn hold_everything() -> ! {
    // Named here, so that the linker keeps it.
    black_box(profinfer_test_killed as *const ());
    let linux = Linux::new();
    let map = linux.create_map(&counts("held")).unwrap();
    let outer = linux.create_array_of_maps("outer", &map, 2).unwrap();
    let storage = linux.create_map(&MapSpec::task_storage("slots", 16)).unwrap();
    let ring = linux.create_map(&MapSpec::ring_buffer("events", 4096)).unwrap();
    let insns = count_by_cookie(&map);
    let multi = linux.load(&uprobe("held", AttachType::UprobeMulti, &insns)).unwrap();
    let perf = linux.load(&uprobe("held", AttachType::Perf, &insns)).unwrap();
    let offset = offset_of("profinfer_test_killed");
    let attach = |program, pid| linux.uprobe_multi(program, own_file(), &[offset], &[], pid, false).unwrap();
    let links = [attach(&multi, None), attach(&multi, Some(process::id())), attach(&perf, None)];
    let join = |ids: Vec<u32>| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    println!(
        "{MARK}{};{};{}",
        join([&map, &outer, &storage, &ring].iter().map(|map| map.id().unwrap()).collect()),
        join([&multi, &perf].iter().map(|program| program.info().unwrap().id).collect()),
        join(links.iter().flat_map(|link| link.ids().unwrap()).collect())
    );
    loop {
        thread::park();
    }
}
