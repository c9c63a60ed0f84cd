//! What an empty program costs, on functions made for it.

use crate::kernel::{Map, MapSpec, MappedArray, Toll, process_cpu_ns, wait_for_programs};

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

/// A word is replaced only where it is what it was thought to be.
#[test]
fn words_are_replaced_where_they_are_as_thought() {
    let map = Map::create(&MapSpec::shared_words("word", 2)).unwrap();
    let words = MappedArray::new(&map).unwrap();
    words.store_u64(1, 2);
    assert!(!words.replace_u64(1, 1, 0));
    assert_eq!(words.load_u64(1), 2);
    assert!(words.replace_u64(1, 2, 7));
    assert_eq!((words.load_u64(0), words.load_u64(1)), (0, 7));
}

/// It comes back, whatever the kernel can do.
#[test]
fn waiting_for_programs_ends() {
    let begin = std::time::Instant::now();
    wait_for_programs();
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
}
