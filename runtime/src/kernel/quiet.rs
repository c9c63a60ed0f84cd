//! Waiting until what programs were doing is done.

use std::{thread, time::Duration};

/// Where the kernel does not wait: longer than any program runs.
const LONG_ENOUGH: Duration = Duration::from_millis(50);

/// Returns when every program that was running when this was called has ended; some 20 ms.
pub fn wait_for_programs() {
    // `MEMBARRIER_CMD_GLOBAL`: the kernel waits until each CPU has left what it did under its read lock, as programs do.
    const GLOBAL: libc::c_int = 1;
    let (no_flags, no_cpu): (libc::c_uint, libc::c_int) = (0, 0);
    // SAFETY: takes only integers.
    if unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, no_flags, no_cpu) } != 0 {
        thread::sleep(LONG_ENOUGH);
    }
}
