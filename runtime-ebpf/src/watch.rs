//! Programs that watch processes for code they load later (`dlopen`, `exec`).

use crate::asm::{Alu, Asm, BuildError, Code, Jump};
use crate::insn::{CTX, FP, R0, R1, R2, R3, R4, helper};
use crate::layout::MapId;

/// A watching program and the tracepoint it is for.
#[derive(Debug)]
pub struct Watch {
    /// Name in the kernel.
    pub name: &'static str,
    /// Category and name of the tracepoint.
    pub tracepoint: (&'static str, &'static str),
    /// Its code; refers to [`MapId::Watched`] (4-byte process id to 4-byte flag: stop it) and [`MapId::WatchEvents`].
    /// Whoever takes a process off the map and **then** sends it a SIGCONT can be sure that it is not left stopped.
    pub code: Code,
}

/// `SIGSTOP`
const SIGSTOP: i64 = 19;
/// `SIGCONT`
const SIGCONT: i64 = 18;
/// `PROT_EXEC`
const PROT_EXEC: i32 = 4;

/// The watching programs: one for mappings of code, one for `exec`. Process numbers are those of the PID namespace (see
/// [`TargetFacts`](crate::TargetFacts)).
pub fn programs(namespace: Option<(u64, u64)>) -> Result<Vec<Watch>, BuildError> {
    Ok(vec![
        Watch { name: "pi_watch_mmap", tracepoint: ("syscalls", "sys_enter_mmap"), code: program(true, namespace)? },
        Watch { name: "pi_watch_exec", tracepoint: ("sched", "sched_process_exec"), code: program(false, namespace)? },
    ])
}

fn program(mmap: bool, namespace: Option<(u64, u64)>) -> Result<Code, BuildError> {
    let mut asm = Asm::new();
    let end = asm.label();
    asm.mov(CTX, R1);
    if mmap {
        // syscalls:sys_enter_mmap has its arguments from byte 16 on: addr, len, prot, flags, fd, off.
        asm.load(8, R0, CTX, 32);
        asm.alu_imm(Alu::And, R0, PROT_EXEC);
        asm.jump_if_imm(Jump::Eq, R0, 0, end);
        asm.load(4, R0, CTX, 48);
        asm.alu_imm(Alu::Rsh, R0, 31);
        asm.jump_if_imm(Jump::Ne, R0, 0, end);
    }
    let key = asm.alloc(8);
    crate::emit::current(&mut asm, namespace, key, end);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.store(FP, key, R0);
    asm.load_map(R1, MapId::Watched);
    asm.stack_address(R2, key);
    asm.call(helper::MAP_LOOKUP_ELEM);
    asm.jump_if_imm(Jump::Eq, R0, 0, end);
    let tell = asm.label();
    asm.load(4, R0, R0, 0);
    asm.jump_if_imm(Jump::Eq, R0, 0, tell);
    // Delivered on the way back from the system call: the mapping is there by then.
    asm.load_imm(R1, SIGSTOP);
    asm.call(helper::SEND_SIGNAL);
    // If it was taken off the map since, the SIGCONT that follows may have come before our SIGSTOP; then this is seen
    // here, since both signals were sent under one lock, and the stop is taken back before it is delivered.
    asm.load_map(R1, MapId::Watched);
    asm.stack_address(R2, key);
    asm.call(helper::MAP_LOOKUP_ELEM);
    asm.jump_if_imm(Jump::Ne, R0, 0, tell);
    asm.load_imm(R1, SIGCONT);
    asm.call(helper::SEND_SIGNAL);
    asm.place(tell);
    asm.load_map(R1, MapId::WatchEvents);
    asm.stack_address(R2, key);
    asm.load_imm(R3, 8);
    asm.load_imm(R4, 0);
    asm.call(helper::RINGBUF_OUTPUT);
    asm.place(end);
    asm.exit();
    asm.finish()
}
