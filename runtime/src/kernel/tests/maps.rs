//! Maps from user space: every kind that profinfer uses, read whole and by key.

use std::collections::BTreeMap;

use super::number;
use crate::kernel::{Kernel as _, KernelError, Linux, Map, MapKind, MapSpec, MappedArray, Update, possible_cpus};

/// What a walk calls with key and value.
type Entry<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

fn filled_hash(rows: u64) -> Map {
    let map = Linux::new().create_map(&MapSpec::hash("rows", 8, 16, 4 * rows as u32)).unwrap();
    for row in 0..rows {
        let value: Vec<u8> = [row * 3, row].iter().flat_map(|word| word.to_ne_bytes()).collect();
        map.update(&row.to_ne_bytes(), &value, Update::New).unwrap();
    }
    map
}

#[test]
fn entries_come_and_go() {
    let map = filled_hash(2);
    let key = 1u64.to_ne_bytes();
    assert_eq!(map.lookup(&key).unwrap().map(number), Some(3));
    assert_eq!(map.update(&key, &[0; 16], Update::New).unwrap_err().errno(), Some(libc::EEXIST));
    assert_eq!(map.update(&[9; 8], &[0; 16], Update::Existing).unwrap_err().errno(), Some(libc::ENOENT));
    map.update(&key, &[1; 16], Update::Existing).unwrap();
    assert_eq!(map.lookup(&key).unwrap(), Some(vec![1; 16]));
    assert!(map.delete(&key).unwrap() && !map.delete(&key).unwrap());
    assert_eq!(map.lookup(&key).unwrap(), None);
    assert_eq!(map.keys().unwrap(), [0u64.to_ne_bytes()]);
    assert!(matches!(map.lookup(&[0; 4]), Err(KernelError::Spec { given: 4, wanted: 8, .. })));
    assert!(matches!(map.update(&key, &[0; 8], Update::Any), Err(KernelError::Spec { given: 8, wanted: 16, .. })));
}

#[test]
fn a_full_map_says_so() {
    let spec = MapSpec { no_prealloc: false, ..MapSpec::hash("small", 4, 4, 1) };
    let map = Linux::new().create_map(&spec).unwrap();
    map.update(&[0; 4], &[0; 4], Update::Any).unwrap();
    let error = map.update(&[1; 4], &[0; 4], Update::Any).unwrap_err();
    assert!(error.to_string().contains("cannot write map `small`") && error.to_string().contains("is full"), "{error}");
}

#[test]
fn whole_maps_are_read_in_every_way() {
    let rows = 20_000;
    let map = filled_hash(rows);
    let walk = |way: &dyn Fn(&mut Entry<'_>) -> usize| {
        let mut seen = BTreeMap::new();
        let told = way(&mut |key, value| assert_eq!(seen.insert(number(key), number(value)), None));
        assert_eq!(told, seen.len());
        seen
    };
    let expected: BTreeMap<u64, u64> = (0..rows).map(|row| (row, row * 3)).collect();
    assert_eq!(walk(&|entry| map.for_each(entry).unwrap()), expected);
    // One entry a call: buckets that hold two ask for more room.
    assert_eq!(walk(&|entry| map.by_batch_of(1, entry).unwrap().unwrap()), expected);
    assert_eq!(walk(&|entry| map.by_key(entry).unwrap()), expected);
}

#[test]
fn a_walk_by_key_survives_keys_that_go() {
    let map = filled_hash(500);
    let mut seen = Vec::new();
    map.by_key(&mut |key, _| {
        seen.push(number(key));
        map.delete(key).unwrap();
    })
    .unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    assert!(map.keys().unwrap().is_empty());
}

#[test]
fn arrays_are_walked_by_index() {
    let map = Linux::new().create_map(&MapSpec::array("words", 8, 5000)).unwrap();
    map.update(&4999u32.to_ne_bytes(), &77u64.to_ne_bytes(), Update::Any).unwrap();
    let mut last = 0;
    assert_eq!(map.for_each(|_, value| last = number(value)).unwrap(), 5000);
    assert_eq!(last, 77);
}

#[test]
fn a_per_cpu_value_has_a_copy_for_every_cpu() {
    let linux = Linux::new();
    for kind in [MapKind::PerCpuArray, MapKind::PerCpuHash] {
        let spec = MapSpec { kind, ..MapSpec::array("copies", 12, 3) };
        let map = linux.create_map(&spec).unwrap();
        let cpus = possible_cpus().unwrap();
        assert_eq!(map.value_bytes(), 16 * cpus, "12 bytes are kept as 16");
        let copies: Vec<u8> = (0..cpus).flat_map(|cpu| [[cpu as u8; 12].as_slice(), &[0; 4]].concat()).collect();
        map.update(&2u32.to_ne_bytes(), &copies, Update::Any).unwrap();
        let mut sums = BTreeMap::new();
        map.for_each(|key, value| drop(sums.insert(key.to_vec(), value.to_vec()))).unwrap();
        assert_eq!(sums.get(2u32.to_ne_bytes().as_slice()), Some(&copies));
    }
}

#[test]
fn kernel_memory_grows_with_rows() {
    let spec = MapSpec::hash("rows", 8, 16, 80_000);
    let empty = Linux::new().create_map(&spec).unwrap().kernel_bytes().unwrap();
    let full = filled_hash(20_000).kernel_bytes().unwrap();
    assert!(full >= empty + 20_000 * 24, "{empty} bytes empty, {full} bytes with 20,000 rows");
}

#[test]
fn shared_memory_shows_both_sides() {
    let linux = Linux::new();
    let map = linux.create_map(&MapSpec::shared_words("gate", 600)).unwrap();
    let memory = MappedArray::new(&map).unwrap();
    assert_eq!(memory.len(), 600);
    map.update(&599u32.to_ne_bytes(), &5u64.to_ne_bytes(), Update::Any).unwrap();
    assert_eq!(memory.load_u64(599), 5);
    memory.store_u64(1, u64::MAX);
    assert_eq!(map.lookup(&1u32.to_ne_bytes()).unwrap().map(number), Some(u64::MAX));
    drop(map);
    assert_eq!(memory.load_u64(1), u64::MAX, "the memory outlives the descriptor");
    let plain = linux.create_map(&MapSpec::array("plain", 8, 1)).unwrap();
    assert!(matches!(MappedArray::new(&plain), Err(KernelError::Spec { .. })));
}

#[test]
#[should_panic(expected = "word 600 of an array of 600 words")]
fn shared_memory_ends_where_it_ends() {
    let map = Linux::new().create_map(&MapSpec::shared_words("gate", 600)).unwrap();
    let _ = MappedArray::new(&map).unwrap().load_u64(600);
}

#[test]
fn every_kind_can_be_made() {
    let linux = Linux::new();
    let stacks = MapSpec { kind: MapKind::StackTrace, ..MapSpec::array("stacks", 8 * 127, 64) };
    let events = MapSpec { kind: MapKind::PerfEventArray, ..MapSpec::array("events", 4, 2) };
    let lru = MapSpec::lru_hash("lru", 8, 8, 64);
    let outer = MapSpec::array_of_maps("outer", MapSpec::hash("inner", 8, 8, 64), 2);
    for spec in [stacks, events, lru, outer, MapSpec::ring_buffer("ring", 8192), MapSpec::task_storage("slots", 24)] {
        let map = linux.create_map(&spec).unwrap();
        assert!(map.id().unwrap() > 0 && map.spec() == &spec);
    }
}

#[test]
fn shapes_that_no_kernel_takes_are_explained() {
    let refused = |spec: MapSpec| Linux::new().create_map(&spec).expect_err("refused").to_string();
    assert_eq!(
        refused(MapSpec::ring_buffer("events", 5000)),
        "`events`: a ring buffer's size is a power of two and whole pages, 5000 given and 8192 wanted"
    );
    assert_eq!(
        refused(MapSpec::task_storage("slots", 20)),
        "`slots`: a task storage value is whole 8-byte words, 20 given and 24 wanted"
    );
    let huge = refused(MapSpec::hash("huge", 8, u32::MAX - 64, 8));
    assert!(huge.contains("cannot make map `huge`") && huge.contains("too large"), "{huge}");
}
