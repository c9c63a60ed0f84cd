//! Events: they come in order, and the descriptor wakes who waits for them.

use std::{os::fd::AsRawFd as _, thread, time::Duration};

use super::{call, offset_of, own_file, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, KernelError, Link, Linux, Map, MapSpec, RingBuffer, words};

target!(profinfer_test_ring, 0x51);
target!(profinfer_test_ring_waits, 0x52);

/// Sends the site's cookie at every call.
fn sending(symbol: &str, cookie: u64) -> (Map, Link) {
    const RINGBUF_OUTPUT: i32 = 130;
    let linux = Linux::new();
    let ring = linux.create_map(&MapSpec::ring_buffer("events", 4096)).unwrap();
    let [map, map_end] = words::map_fd(1, ring.fd().as_raw_fd());
    let insns = [
        words::call(words::ATTACH_COOKIE),
        words::store64(10, -8, 0),
        map,
        map_end,
        words::mov(2, 10),
        words::add_imm(2, -8),
        words::mov_imm(3, 8),
        words::mov_imm(4, 0),
        words::call(RINGBUF_OUTPUT),
        words::mov_imm(0, 0),
        words::exit(),
    ];
    let program = linux.load(&uprobe("send", AttachType::UprobeMulti, &insns)).unwrap();
    let (offset, pid) = (offset_of(symbol), Some(std::process::id()));
    let link = linux.uprobe_multi(&program, own_file(), &[offset], &[cookie], pid, false).unwrap();
    (ring, link)
}

#[test]
fn records_come_out_as_they_went_in() {
    let (map, _link) = sending("profinfer_test_ring", 0xabcd);
    let mut ring = RingBuffer::new(&map).unwrap();
    assert_eq!(ring.next(), None);
    call(profinfer_test_ring, 100);
    let records: Vec<Vec<u8>> = std::iter::from_fn(|| ring.next()).collect();
    assert_eq!(records, vec![0xabcdu64.to_ne_bytes().to_vec(); 100]);
    call(profinfer_test_ring, 1);
    assert!(ring.with_next(|record| assert_eq!(record, 0xabcdu64.to_ne_bytes())));
    assert!(!ring.with_next(|_| ()));
}

#[test]
fn a_full_buffer_keeps_what_it_has() {
    let (map, _link) = sending("profinfer_test_ring", 1);
    let mut ring = RingBuffer::new(&map).unwrap();
    call(profinfer_test_ring, 1000);
    // 4096 bytes hold 16 each: 8 of header and 8 of record; the kernel leaves the last free.
    assert_eq!(std::iter::from_fn(|| ring.next()).count(), 255);
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let (map, _link) = sending("profinfer_test_ring_waits", 7);
    let mut ring = RingBuffer::new(&map).unwrap().watch().unwrap();
    let caller = thread::spawn(|| {
        thread::sleep(Duration::from_millis(50));
        call(profinfer_test_ring_waits, 3);
    });
    let mut records = 0;
    while records < 3 {
        let mut ready = tokio::time::timeout(Duration::from_secs(10), ring.readable_mut()).await.unwrap().unwrap();
        while ready.get_inner_mut().next().is_some() {
            records += 1;
        }
        ready.clear_ready();
    }
    caller.join().unwrap();
    assert_eq!(records, 3);
}

#[test]
fn only_ring_buffers_are_read() {
    let map = Linux::new().create_map(&MapSpec::array("words", 8, 1)).unwrap();
    assert!(matches!(RingBuffer::new(&map), Err(KernelError::Spec { .. })));
}
