//! Emits the programs' code. One file per idea: expressions, records, rows, templates.
//!
//! Registers: r6 the probed thread's registers, r7 its slot, r8 the record at hand, r9 the time; r0 to r5 are free.

mod aside;
mod aside_team;
mod block;
mod call;
mod counts;
mod enclosing;
mod expr;
mod front;
mod kernel;
mod mark;
mod off_cpu;
mod parts;
mod ranges;
mod record;
mod row;
mod rows;
mod send;
mod team;
mod template;
mod value;

pub(crate) use ranges::RANGED;
pub(crate) use record::{SERIES_KEY, SERIES_VALUE};
pub(crate) use template::CHECK_SAMPLES;

use profinfer_compiler::plan::Plan;
use profinfer_compiler::typed::PointId;
use profinfer_lang::ast::Edge;

use self::value::KeyAt;
use crate::asm::{Alu, Asm, Jump, Label};
use crate::insn::{CTX, FP, NOW, R0, R1, R2, R3, R4, SLOT, helper};
use crate::layout::{Layout, MapId, PointCounter, TableCounter};
use crate::target::TargetFacts;

/// What the code at hand is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An event of the point begins at its start of that index; so many captures are stored already.
    Open { start: usize, stored: usize },
    /// An event of the point ends.
    Close,
}

/// Emits one program.
pub(crate) struct Emit<'p> {
    pub(crate) asm: Asm,
    pub(crate) plan: &'p Plan,
    pub(crate) layout: &'p Layout,
    pub(crate) target: &'p TargetFacts,
    /// Stack place of `pid_tgid`.
    pub(crate) pid_tgid: i16,
    /// Stack place of the event's duration.
    pub(crate) dur: i16,
    /// Where a failed read of the target's memory goes.
    pub(crate) failed: Label,
    /// Stack place of the cookie, where functions are told apart by it.
    pub(crate) cookie: i16,
    /// Stack place of the duration less that of calls from within, where a call returns.
    pub(crate) own: i16,
    /// Where in its functions the program is attached.
    pub(crate) at: Edge,
    /// The thread is not known yet: it is asked for behind the first condition.
    unasked: bool,
    /// r9 holds the time already.
    timed: bool,
    /// Stack place of the generation of the table at hand.
    generation: i16,
    /// Fields that have been read already.
    blocks: Vec<block::Block>,
    /// The point whose events are being told that were put aside.
    telling: Option<PointId>,
    /// Arguments of an event that was put aside, on the stack.
    kept: Vec<(String, i16)>,
    /// Arguments of a point of the kernel that are on the stack.
    places: Vec<(&'static str, i16)>,
}

impl<'p> Emit<'p> {
    /// Begins a program: keeps the registers, leaves if the hit is another process's.
    ///
    /// `called` says whether the sites are those of functions that a script names, whose cookies say more.
    pub(crate) fn new(plan: &'p Plan, layout: &'p Layout, target: &'p TargetFacts, at: Edge, called: bool) -> Self {
        let mut asm = Asm::new();
        let pid_tgid = asm.alloc(8);
        let dur = asm.alloc(8);
        let (cookie, own) = if called { (asm.alloc(8), asm.alloc(8)) } else { (0, 0) };
        let failed = asm.label();
        asm.mov(CTX, R1);
        let (other, ours) = (asm.label(), asm.label());
        if target.by_process && !called && at == Edge::Entry {
            // The kernel has seen to the process, and such sites have no conditions.
            current(&mut asm, target.pid_namespace, pid_tgid, other);
            if target.pid_namespace.is_some() {
                asm.jump(ours);
                asm.place(other);
                asm.exit();
                asm.place(ours);
            }
            return Self { at, ..Self::begun(asm, (plan, layout, target), [pid_tgid, dur], failed) };
        }
        asm.call(helper::GET_ATTACH_COOKIE);
        asm.mov(NOW, R0);
        if called {
            asm.store(FP, cookie, R0);
            // What is left are the process and the condition.
            let rest = 64 - (crate::target::cookie::HIGH + 15);
            asm.alu_imm(Alu::Lsh, NOW, rest);
            asm.alu_imm(Alu::Rsh, NOW, rest);
        }
        if at == Edge::Return {
            Self::leave_unless_taken(&mut asm, other);
        }
        current(&mut asm, target.pid_namespace, pid_tgid, other);
        asm.alu_imm(Alu::Rsh, R0, 32);
        asm.jump_if(Jump::Eq, R0, NOW, ours);
        asm.place(other);
        asm.exit();
        asm.place(ours);
        Self { cookie, own, at, ..Self::begun(asm, (plan, layout, target), [pid_tgid, dur], failed) }
    }

    /// Begins a program that leaves most hits alone: whose they are is asked of the others only, and of the kernel, which
    /// knows the process.
    pub(crate) fn of_some_hits(plan: &'p Plan, layout: &'p Layout, target: &'p TargetFacts) -> Self {
        let mut asm = Asm::new();
        let pid_tgid = asm.alloc(8);
        let dur = asm.alloc(8);
        let failed = asm.label();
        asm.mov(CTX, R1);
        Self { unasked: true, ..Self::begun(asm, (plan, layout, target), [pid_tgid, dur], failed) }
    }

    /// Asks which thread it is, if that has not been done.
    pub(crate) fn ask_thread(&mut self, other: Label) {
        if std::mem::take(&mut self.unasked) {
            current(&mut self.asm, self.target.pid_namespace, self.pid_tgid, other);
        }
    }

    /// A program that has begun, with places on its stack for the thread and a duration.
    fn begun(
        asm: Asm,
        (plan, layout, target): (&'p Plan, &'p Layout, &'p TargetFacts),
        [pid_tgid, dur]: [i16; 2],
        failed: Label,
    ) -> Self {
        Self {
            asm,
            plan,
            layout,
            target,
            pid_tgid,
            dur,
            failed,
            cookie: 0,
            own: 0,
            at: Edge::Entry,
            unasked: false,
            timed: false,
            generation: 0,
            blocks: Vec::new(),
            telling: None,
            kept: Vec::new(),
            places: Vec::new(),
        }
    }

    /// A jump that leaves the function only sometimes has its condition in the cookie (r9); here it is tried on the
    /// thread's flags. Leaves the process in r9. See [`crate::target::cookie`].
    fn leave_unless_taken(asm: &mut Asm, not_taken: Label) {
        use crate::target::cookie;
        let (always, set, decide) = (asm.label(), asm.label(), asm.label());
        asm.mov(R1, NOW);
        asm.alu_imm(Alu::Lsh, NOW, 32);
        asm.alu_imm(Alu::Rsh, NOW, 32);
        asm.alu_imm(Alu::Rsh, R1, 32);
        asm.jump_if_imm(Jump::Eq, R1, 0, always);
        asm.load(8, R2, CTX, crate::target::X86_FLAGS);
        asm.mov(R3, R1);
        asm.alu_imm(Alu::And, R3, cookie::FLAG_BITS);
        asm.alu(Alu::And, R3, R2);
        asm.jump_if_imm(Jump::Ne, R3, 0, set);
        asm.mov(R3, R1);
        asm.alu_imm(Alu::And, R3, cookie::SIGNS_DIFFER);
        asm.jump_if_imm(Jump::Eq, R3, 0, decide);
        // The sign flag is bit 7, the overflow flag bit 11.
        asm.mov(R3, R2);
        asm.alu_imm(Alu::Rsh, R3, 4);
        asm.alu_imm(Alu::And, R2, 1 << 7);
        asm.alu_imm(Alu::And, R3, 1 << 7);
        asm.jump_if(Jump::Eq, R2, R3, decide);
        asm.place(set);
        asm.alu_imm(Alu::And, R1, cookie::NEGATED);
        asm.jump_if_imm(Jump::Ne, R1, 0, not_taken);
        asm.jump(always);
        asm.place(decide);
        asm.alu_imm(Alu::And, R1, cookie::NEGATED);
        asm.jump_if_imm(Jump::Eq, R1, 0, not_taken);
        asm.place(always);
    }

    /// `r9` = the time of the hit.
    pub(crate) fn now(&mut self) {
        if !self.timed {
            self.asm.call(helper::KTIME_GET_NS);
            self.asm.mov(NOW, R0);
        }
    }

    /// Reads the time here, once for all that the program does.
    pub(crate) fn now_once(&mut self) {
        self.now();
        self.timed = true;
    }

    /// `counters[word] += 1`. Uses r0 and r1.
    pub(crate) fn count(&mut self, word: u32) {
        self.asm.load_map_value(R0, MapId::Counters, word * 8);
        self.asm.load_imm(R1, 1);
        self.asm.atomic_add(R0, 0, R1);
    }

    pub(crate) fn count_point(&mut self, point: PointId, which: PointCounter) {
        let word = self.layout.point_counter(point, which);
        self.count(word);
    }

    /// Counts for each table that is kept in the map of this one.
    pub(crate) fn count_tables(&mut self, table: usize, which: TableCounter) {
        for of in self.layout.tables[table].keeps.clone() {
            self.count_table(of, which);
        }
    }

    pub(crate) fn count_table(&mut self, table: usize, which: TableCounter) {
        let word = self.layout.table_counter(table, which);
        self.count(word);
    }

    /// `r7` = the thread's slot. Without one, it is made, or `without` is where to go on.
    pub(crate) fn thread_slot(&mut self, without: Label, make: bool) {
        let (map, key) = (MapId::Threads, KeyAt::Stack(self.pid_tgid));
        if make {
            self.lookup_or_begin(map, key, without);
        } else {
            self.lookup(map, key);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, without);
        }
        self.asm.mov(SLOT, R0);
    }
}

/// `r0`, and the stack at `place`, = process (high half) and thread, by the numbers that profinfer sees; a thread of
/// another PID namespace goes to `other`.
pub(crate) fn current(asm: &mut Asm, namespace: Option<(u64, u64)>, place: i16, other: Label) {
    match namespace {
        None => asm.call(helper::GET_CURRENT_PID_TGID),
        Some((device, inode)) => {
            asm.load_imm(R1, device as i64);
            asm.load_imm(R2, inode as i64);
            asm.stack_address(R3, place);
            asm.load_imm(R4, 8);
            asm.call(helper::GET_NS_CURRENT_PID_TGID);
            asm.jump_if_imm(Jump::Ne, R0, 0, other);
            // `struct bpf_pidns_info`: thread, then process, 4 bytes each.
            asm.load(8, R0, FP, place);
        }
    }
    asm.store(FP, place, R0);
}
