//! Task storage: every thread has its own value, and it is gone with the thread.

use std::{io, os::fd::AsRawFd as _, process, sync::mpsc, thread};

use super::{call, number, offset_of, own_file, target, uprobe};
use crate::kernel::{AttachType, Kernel as _, Linux, Map, MapSpec, words};

target!(profinfer_test_storage, 0x61);

#[test]
fn every_thread_counts_for_itself() {
    let linux = Linux::new();
    let storage = linux.create_map(&MapSpec::task_storage("slots", 16)).unwrap();
    let [map, map_end] = words::map_fd(1, storage.fd().as_raw_fd());
    let create = words::mov_imm(4, 1);
    let insns = [
        words::call(words::CURRENT_TASK_BTF),
        words::mov(2, 0),
        map,
        map_end,
        words::mov_imm(3, 0),
        create,
        words::call(words::TASK_STORAGE_GET),
        words::jump_eq(0, 0, 2),
        words::mov_imm(1, 1),
        words::add64(0, 8, 1),
        words::mov_imm(0, 0),
        words::exit(),
    ];
    let program = linux.load(&uprobe("slots", AttachType::UprobeMulti, &insns)).unwrap();
    let offset = offset_of("profinfer_test_storage");
    let _link = linux.uprobe_multi(&program, own_file(), &[offset], &[], Some(process::id()), false).unwrap();
    let (done, counted) = mpsc::channel();
    let threads: Vec<_> = [30, 70]
        .map(|times| {
            let done = done.clone();
            let (leave, left) = mpsc::channel::<()>();
            let handle = thread::spawn(move || {
                call(profinfer_test_storage, times);
                // SAFETY: takes nothing and always succeeds.
                done.send((times, unsafe { libc::gettid() })).unwrap();
                let _ = left.recv();
            });
            (leave, handle)
        })
        .into();
    for (times, tid) in counted.iter().take(2) {
        assert_eq!(of_thread(&storage, tid), Some(times));
    }
    for (leave, handle) in threads {
        drop(leave);
        handle.join().unwrap();
    }
    // SAFETY: takes nothing and always succeeds.
    assert_eq!(of_thread(&storage, unsafe { libc::gettid() }), None, "this thread never called");
    assert!(storage.keys().is_err(), "slots cannot be listed");
}

/// A thread's count; user space asks by a descriptor of the thread.
fn of_thread(storage: &Map, tid: libc::pid_t) -> Option<u64> {
    const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;
    // SAFETY: takes only integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, PIDFD_THREAD) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    let value = storage.lookup(&(fd as i32).to_ne_bytes()).unwrap();
    // SAFETY: the descriptor was made above and is closed once.
    unsafe { libc::close(fd as i32) };
    value.map(|bytes| number(&bytes[8..]))
}
