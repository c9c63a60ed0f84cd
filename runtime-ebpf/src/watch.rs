//! Programs that watch processes for code they load later (`dlopen`, `exec`), and for processes that they begin.

use crate::asm::{Alu, Asm, BuildError, Code, Jump, Label};
use crate::insn::{CTX, FP, R0, R1, R2, R3, R4, SLOT, helper};
use crate::layout::MapId;
use crate::object::RAW_TRACEPOINT;

/// A watching program and the tracepoint it is for.
#[derive(Debug)]
pub struct Watch {
    /// Name in the kernel.
    pub name: &'static str,
    /// Category and name of the tracepoint; of [`RAW_TRACEPOINT`] its program takes the arguments of the kernel's own call.
    pub tracepoint: (&'static str, &'static str),
    /// Its code; refers to [`MapId::Watched`] (4-byte process id to 4-byte [`flag`]s), [`MapId::Births`] and
    /// [`MapId::WatchEvents`]. Whoever takes number 0 off the map first, then a process, and **then** sends that a SIGCONT
    /// can be sure that it is not left stopped.
    pub code: Code,
}

/// What is to be done with a watched process; number 0 stands for whoever watches, and is there as long as it does.
pub mod flag {
    /// It is stopped whenever it loads code, and so is a process that it begins.
    pub const HOLD: u32 = 1;
    /// Processes that it begins are watched like it.
    pub const FOLLOW: u32 = 2;
    /// Of number 0: every process is told of that begins another program.
    pub const ALL_EXECS: u32 = 4;
}

/// `SIGSTOP`
const SIGSTOP: i64 = 19;
/// `SIGCONT`
const SIGCONT: i64 = 18;
/// `PROT_EXEC`
const PROT_EXEC: i32 = 4;
/// Offset of the result in every `syscalls:sys_exit_*`.
const RESULT: i16 = 16;

/// The watching programs: one for mappings of code, one for `exec`. Process numbers are those of the PID namespace (see
/// [`TargetFacts`](crate::TargetFacts)).
///
/// # Errors
/// Never in practice: the programs are the same always.
pub fn programs(namespace: Option<(u64, u64)>) -> Result<Vec<Watch>, BuildError> {
    Ok(vec![
        Watch { name: "pi_watch_mmap", tracepoint: ("syscalls", "sys_enter_mmap"), code: program(true, namespace)? },
        Watch {
            name: "pi_watch_exec",
            tracepoint: (RAW_TRACEPOINT, "sched_process_exec"),
            code: program(false, namespace)?,
        },
    ])
}

/// The programs for processes that watched ones begin: one where the parent begins it, which knows whose child it is, and one
/// for each way in which the child comes out of the system call, before its first instruction. `child_at` is the offset of
/// `child_pid` in `sched:sched_process_fork`, which differs between kernels.
///
/// # Errors
/// As [`programs`].
pub fn births(namespace: Option<(u64, u64)>, child_at: u16) -> Result<Vec<Watch>, BuildError> {
    let begins = Watch {
        name: "pi_watch_fork",
        tracepoint: ("sched", "sched_process_fork"),
        code: parent(namespace, child_at as i16)?,
    };
    let mut all = vec![begins];
    for (name, call) in [
        ("pi_born_clone", "sys_exit_clone"),
        ("pi_born_clone3", "sys_exit_clone3"),
        ("pi_born_fork", "sys_exit_fork"),
        ("pi_born_vfork", "sys_exit_vfork"),
    ] {
        all.push(Watch { name, tracepoint: ("syscalls", call), code: child(namespace)? });
    }
    Ok(all)
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
    let (tell, known) = (asm.label(), asm.label());
    crate::emit::current(&mut asm, namespace, key, end);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.store(FP, key, R0);
    look_up(&mut asm, MapId::Watched, key);
    asm.jump_if_imm(Jump::Ne, R0, 0, known);
    if !mmap {
        let zero = asm.alloc(8);
        asm.store_imm(FP, zero, 0);
        look_up(&mut asm, MapId::Watched, zero);
        asm.jump_if_imm(Jump::Eq, R0, 0, end);
        asm.load(4, R0, R0, 0);
        asm.alu_imm(Alu::And, R0, flag::ALL_EXECS as i32);
        asm.jump_if_imm(Jump::Ne, R0, 0, tell);
    }
    asm.jump(end);
    asm.place(known);
    asm.load(4, R0, R0, 0);
    hold_and_tell(asm, key, tell, end)
}

/// Notes whose child a task is, by the number that it has for the whole machine. Threads are noted too: what they are is to be
/// seen on themselves.
fn parent(namespace: Option<(u64, u64)>, child_at: i16) -> Result<Code, BuildError> {
    let mut asm = Asm::new();
    let end = asm.label();
    asm.mov(CTX, R1);
    let (key, child, flags) = (asm.alloc(8), asm.alloc(8), asm.alloc(8));
    crate::emit::current(&mut asm, namespace, key, end);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.store(FP, key, R0);
    look_up(&mut asm, MapId::Watched, key);
    asm.jump_if_imm(Jump::Eq, R0, 0, end);
    asm.load(4, R0, R0, 0);
    asm.store(FP, flags, R0);
    asm.alu_imm(Alu::And, R0, flag::FOLLOW as i32);
    asm.jump_if_imm(Jump::Eq, R0, 0, end);
    asm.load(4, R0, CTX, child_at);
    asm.store(FP, child, R0);
    update(&mut asm, MapId::Births, child, flags);
    asm.place(end);
    asm.exit();
    asm.finish()
}

/// A child before its first instruction: it is watched from here on.
fn child(namespace: Option<(u64, u64)>) -> Result<Code, BuildError> {
    let mut asm = Asm::new();
    let end = asm.label();
    asm.mov(CTX, R1);
    asm.load(8, R0, CTX, RESULT);
    asm.jump_if_imm(Jump::Ne, R0, 0, end);
    asm.call(helper::GET_CURRENT_PID_TGID);
    let (key, task, flags) = (asm.alloc(8), asm.alloc(8), asm.alloc(8));
    asm.mov(SLOT, R0);
    asm.alu_imm(Alu::Lsh, R0, 32);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.store(FP, task, R0);
    look_up(&mut asm, MapId::Births, task);
    asm.jump_if_imm(Jump::Eq, R0, 0, end);
    asm.load(4, R0, R0, 0);
    asm.store(FP, flags, R0);
    asm.load_map(R1, MapId::Births);
    asm.stack_address(R2, task);
    asm.call(helper::MAP_DELETE_ELEM);
    // A thread of a process that is known.
    asm.alu_imm(Alu::Rsh, SLOT, 32);
    asm.load(8, R0, FP, task);
    asm.jump_if(Jump::Ne, R0, SLOT, end);
    crate::emit::current(&mut asm, namespace, key, end);
    asm.alu_imm(Alu::Rsh, R0, 32);
    asm.store(FP, key, R0);
    update(&mut asm, MapId::Watched, key, flags);
    let tell = asm.label();
    // Too many: it is told, and not held.
    asm.jump_if_imm(Jump::Ne, R0, 0, tell);
    asm.load(8, R0, FP, flags);
    hold_and_tell(asm, key, tell, end)
}

/// The end of a program: stops the process if its flags in r0 say so, tells of it, and leaves.
fn hold_and_tell(mut asm: Asm, key: i16, tell: Label, end: Label) -> Result<Code, BuildError> {
    asm.alu_imm(Alu::And, R0, flag::HOLD as i32);
    asm.jump_if_imm(Jump::Eq, R0, 0, tell);
    hold(&mut asm, key);
    asm.place(tell);
    send(&mut asm, key);
    asm.place(end);
    asm.exit();
    asm.finish()
}

/// Stops the process. Delivered on the way back from the system call: what it did is done by then.
///
/// If it was taken off the map since, the SIGCONT that follows may have come before our SIGSTOP; then this is seen here, since
/// both signals were sent under one lock, and the stop is taken back before it is delivered. The same if nobody watches any
/// more: whoever empties the map takes number 0 off first, so a process put into it meanwhile is either found by them or finds
/// that gone.
fn hold(asm: &mut Asm, key: i16) {
    let (back, stays) = (asm.label(), asm.label());
    let zero = asm.alloc(8);
    asm.store_imm(FP, zero, 0);
    asm.load_imm(R1, SIGSTOP);
    asm.call(helper::SEND_SIGNAL);
    look_up(asm, MapId::Watched, key);
    asm.jump_if_imm(Jump::Eq, R0, 0, back);
    look_up(asm, MapId::Watched, zero);
    asm.jump_if_imm(Jump::Ne, R0, 0, stays);
    asm.place(back);
    asm.load_map(R1, MapId::Watched);
    asm.stack_address(R2, key);
    asm.call(helper::MAP_DELETE_ELEM);
    asm.load_imm(R1, SIGCONT);
    asm.call(helper::SEND_SIGNAL);
    asm.place(stays);
}

fn look_up(asm: &mut Asm, map: MapId, key: i16) {
    asm.load_map(R1, map);
    asm.stack_address(R2, key);
    asm.call(helper::MAP_LOOKUP_ELEM);
}

fn update(asm: &mut Asm, map: MapId, key: i16, value: i16) {
    asm.load_map(R1, map);
    asm.stack_address(R2, key);
    asm.stack_address(R3, value);
    asm.load_imm(R4, 0);
    asm.call(helper::MAP_UPDATE_ELEM);
}

fn send(asm: &mut Asm, key: i16) {
    asm.load_map(R1, MapId::WatchEvents);
    asm.stack_address(R2, key);
    asm.load_imm(R3, 8);
    asm.load_imm(R4, 0);
    asm.call(helper::RINGBUF_OUTPUT);
}
