//! Clearing a table by swapping the inner map loses no count, because the kernel waits for running programs.

use std::{
    os::fd::AsRawFd as _,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{call, count_of, counts, offset_of, own_file, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, KernelError, Linux, Map, MapSpec, Update, words};

target!(profinfer_test_swap, 0x71);

/// Adds one under key 0 of the map in slot 0 of `outer`; key 0 is there.
fn count_in_inner(outer: &Map) -> Vec<u64> {
    let [map, map_end] = words::map_fd(1, outer.fd().as_raw_fd());
    vec![
        words::store32_imm(10, -4, 0),
        words::mov(2, 10),
        words::add_imm(2, -4),
        map,
        map_end,
        words::call(words::MAP_LOOKUP),
        words::jump_eq(0, 0, 9),
        words::mov(1, 0),
        words::mov_imm(2, 0),
        words::store64(10, -16, 2),
        words::mov(2, 10),
        words::add_imm(2, -16),
        words::call(words::MAP_LOOKUP),
        words::jump_eq(0, 0, 2),
        words::mov_imm(1, 1),
        words::add64(0, 0, 1),
        words::mov_imm(0, 0),
        words::exit(),
    ]
}

#[test]
fn swapping_under_writers_loses_nothing() {
    let linux = Linux::new();
    let clear = |map: &Map| map.update(&[0; 8], &[0; 8], Update::Any).unwrap();
    let inner = [0, 1].map(|_| linux.create_map(&counts("inner")).unwrap());
    inner.iter().for_each(clear);
    let outer = linux.create_array_of_maps("outer", &inner[0], 1).unwrap();
    let program = linux.load(&uprobe("swap", AttachType::UprobeMulti, &count_in_inner(&outer))).unwrap();
    let offset = offset_of("profinfer_test_swap");
    let link = linux.uprobe_multi(&program, own_file(), &[offset], &[], Some(process::id()), false).unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let writers = [0, 1].map(|_| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                call(profinfer_test_swap, 100);
                made += 100;
            }
            made
        })
    });
    let (mut read, mut busy_swaps) = (0, 0);
    for swap in 0..40 {
        thread::sleep(Duration::from_millis(2));
        let [old, new] = if swap % 2 == 0 { [&inner[0], &inner[1]] } else { [&inner[1], &inner[0]] };
        outer.set_inner(0, new).unwrap();
        let count = count_of(old, 0);
        clear(old);
        read += count;
        busy_swaps += u64::from(count > 0);
    }
    stop.store(true, Ordering::Relaxed);
    let made: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    drop(link);
    read += inner.iter().map(|map| count_of(map, 0)).sum::<u64>();
    assert!(busy_swaps > 10, "writers ran in only {busy_swaps} of 40 swaps");
    assert_eq!(read, made);
}

#[test]
fn inner_maps_have_the_shape_of_the_first() {
    let linux = Linux::new();
    let first = linux.create_map(&counts("first")).unwrap();
    let outer = linux.create_array_of_maps("outer", &first, 2).unwrap();
    assert_eq!(outer.lookup(&0u32.to_ne_bytes()).unwrap(), Some(first.id().unwrap().to_ne_bytes().to_vec()));
    assert_eq!(outer.lookup(&1u32.to_ne_bytes()).unwrap(), None);
    let other = linux.create_map(&MapSpec::hash("other", 8, 16, 64)).unwrap();
    assert_eq!(outer.set_inner(1, &other).unwrap_err().errno(), Some(libc::EINVAL));
    outer.set_inner(1, &linux.create_map(&counts("second")).unwrap()).unwrap();
    assert_eq!(outer.set_inner(2, &first).unwrap_err().errno(), Some(libc::E2BIG));
    assert!(matches!(first.set_inner(0, &first), Err(KernelError::Spec { .. })));
}
