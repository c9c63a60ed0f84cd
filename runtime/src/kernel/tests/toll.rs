//! What an empty program costs, on functions made for it.

use crate::kernel::{Toll, process_cpu_ns};

#[unsafe(naked)]
extern "C" fn cheap() {
    #[cfg(target_arch = "x86_64")]
    std::arch::naked_asm!("push rbp", "pop rbp", "ret");
    #[cfg(not(target_arch = "x86_64"))]
    std::arch::naked_asm!("nop", "ret");
}

/// The numbers are those of a trap: more than any call, less than a system call takes by far, and the statistics' own clock is
/// part of what they add.
#[test]
fn a_trap_costs_what_traps_cost() {
    let toll = Toll::measure(cheap).unwrap();
    assert!((50.0..20_000.0).contains(&toll.hit), "{toll:?}");
    assert!((1.0..2_000.0).contains(&toll.empty), "{toll:?}");
    assert!(toll.counting < toll.hit, "{toll:?}");
}

/// Time goes on while this process computes, and is not to be had of one that is not there.
#[test]
fn the_time_of_a_process_is_that_of_all_its_threads() {
    let own = std::process::id();
    let before = process_cpu_ns(own).unwrap();
    let spun = std::thread::spawn(|| {
        let begin = std::time::Instant::now();
        while begin.elapsed() < std::time::Duration::from_millis(40) {}
    });
    spun.join().unwrap();
    let used = process_cpu_ns(own).unwrap() - before;
    assert!(used > 5_000_000, "{used} ns, with those of a thread that has ended");
    assert!(process_cpu_ns((1 << 22) - 1).is_err());
}
