//! What the thread counts during an event: read when it begins and when it ends, and at the mark of a team's step, since the
//! last one of a graph is ended by thread 0, which cannot read what the others counted.
//!
//! A program may be preempted between two readings, so all are read again if the thread was switched meanwhile. That it is
//! not on the CPU that it last came to would mean that a switch was not seen.

use profinfer_compiler::counter::Counter;
use profinfer_compiler::typed::PointId;

use super::Emit;
use super::value::KeyAt;
use crate::asm::{Alu, Asm, Jump, Label};
use crate::counting::{READING, counted, counted_at, read, readings};
use crate::insn::{FP, R0, R1, R2, R3, R4, RECORD, Reg, helper};
use crate::layout::{ABSENT, MapId, PointCounter};

/// How often readings are taken that a switch came between.
const ATTEMPTS: i64 = 4;

/// Places on the stack: the task, and where its numbers are.
#[derive(Debug, Clone, Copy)]
struct Own {
    task: i16,
    counted: i16,
}

impl Emit<'_> {
    /// The event at hand begins: what the thread has counted so far goes into its record, which is r8.
    pub(crate) fn open_counts(&mut self, point: PointId) {
        let Some(layout) = self.layout.points[point].counts.clone() else { return };
        self.asm.store_imm(RECORD, layout.whose, 0);
        self.none_counted(point);
        if self.counters_there(point).is_empty() {
            return;
        }
        let (known, end) = (self.asm.label(), self.asm.label());
        let own = self.own_counts(true, end);
        self.read_counts(point, own, true, end);
        // A thread's numbers are told from those that another one of the same address had by the time.
        self.asm.load(8, R1, FP, own.counted);
        self.asm.load(8, R0, R1, counted::CPU);
        self.asm.store(RECORD, layout.cpu, R0);
        self.asm.load(8, R0, R1, counted::WHOSE);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, known);
        self.asm.call(helper::KTIME_GET_NS);
        self.asm.load(8, R1, FP, own.task);
        self.asm.alu(Alu::Add, R0, R1);
        self.asm.alu_imm(Alu::Or, R0, 1);
        self.asm.load(8, R1, FP, own.counted);
        self.asm.store(R1, counted::WHOSE, R0);
        self.asm.place(known);
        self.asm.store(RECORD, layout.whose, R0);
        self.asm.place(end);
        self.asm.release(16);
    }

    /// The event at hand ends: what was counted is in its record then. Where it began on another thread, or readings fail, that
    /// is absent and told.
    pub(crate) fn close_counts(&mut self, point: PointId) {
        if self.counters_there(point).is_empty() {
            return;
        }
        let (foreign, failed, uncounted, end) =
            (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        self.count_since(point, foreign, failed);
        self.scale(point);
        self.moved(point);
        self.asm.jump(end);
        self.asm.place(foreign);
        if let (Some(at), Some(team)) = (self.first_count(point), self.layout.points[point].team) {
            // The last step of another thread of a team: the mark has told.
            self.asm.load(8, R0, RECORD, team.thread);
            self.asm.load(8, R1, FP, self.pid_tgid);
            self.asm.jump_if(Jump::Eq, R0, R1, failed);
            self.asm.load(8, R0, RECORD, at);
            self.asm.load_imm(R1, ABSENT);
            self.asm.jump_if(Jump::Eq, R0, R1, uncounted);
            self.asm.jump(end);
        }
        self.asm.place(failed);
        self.none_counted(point);
        self.asm.place(uncounted);
        self.count_point(point, PointCounter::Uncounted);
        self.asm.place(end);
    }

    /// The thread comes to the mark of its open step, which is r8: what it has counted until now goes into the record.
    pub(crate) fn mark_counts(&mut self, point: PointId) {
        if self.counters_there(point).is_empty() {
            return;
        }
        let end = self.asm.label();
        self.count_since(point, end, end);
        self.scale(point);
        self.asm.place(end);
    }

    /// Tells of an event that ends on another CPU than it began on.
    fn moved(&mut self, point: PointId) {
        let Some(layout) = self.layout.points[point].counts.clone() else { return };
        let same = self.asm.label();
        self.asm.call(helper::GET_SMP_PROCESSOR_ID);
        self.asm.load(8, R1, RECORD, layout.cpu);
        self.asm.jump_if(Jump::Eq, R0, R1, same);
        self.count_point(point, PointCounter::Moved);
        self.asm.place(same);
    }

    /// `r0` = what the thread has counted during the event at hand; says that it may be absent.
    pub(crate) fn counted(&mut self, index: usize, point: PointId) -> bool {
        let counter = self.plan.points[point].counters[index];
        match &self.layout.points[point].counts {
            Some(layout) if self.target.has_counter(counter) => {
                self.asm.load(8, R0, RECORD, layout.counters[index][0][1]);
                true
            }
            _ => self.absent(),
        }
    }

    /// The counters of a point that the machine has, with their places in the record.
    fn counters_there(&self, point: PointId) -> Vec<(Counter, Vec<[i16; 2]>)> {
        let Some(layout) = &self.layout.points[point].counts else { return Vec::new() };
        let all = self.plan.points[point].counters.iter().copied().zip(layout.counters.iter().cloned());
        all.filter(|(counter, _)| self.target.has_counter(*counter)).collect()
    }

    /// Where the record has what the first counter counted.
    fn first_count(&self, point: PointId) -> Option<i16> {
        self.counters_there(point).first().map(|(_, places)| places[0][1])
    }

    /// Nothing is known of what was counted.
    fn none_counted(&mut self, point: PointId) {
        for (_, places) in self.counters_there(point) {
            self.asm.load_imm(R0, ABSENT);
            self.asm.store(RECORD, places[0][1], R0);
        }
    }

    /// What the current task has counted; made if there is nothing and `make`, else `without` is where to go on. Takes 16
    /// bytes of the stack.
    fn own_counts(&mut self, make: bool, without: Label) -> Own {
        let own = Own { task: self.asm.alloc(8), counted: self.asm.alloc(8) };
        self.asm.call(helper::GET_CURRENT_TASK);
        self.asm.store(FP, own.task, R0);
        let key = KeyAt::Stack(own.task);
        if make {
            self.lookup_or_begin(MapId::Counted, key, without);
        } else {
            self.lookup(MapId::Counted, key);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, without);
        }
        self.asm.store(FP, own.counted, R0);
        own
    }

    /// Puts what was counted since the event at hand began into its record. Goes to `foreign` where that was on another thread
    /// or is not known, to `failed` where something cannot be read.
    fn count_since(&mut self, point: PointId, foreign: Label, failed: Label) {
        let Some(layout) = self.layout.points[point].counts.clone() else { return };
        let own = self.own_counts(false, foreign);
        self.asm.load(8, R0, R0, counted::WHOSE);
        self.asm.load(8, R1, RECORD, layout.whose);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, foreign);
        self.asm.jump_if(Jump::Ne, R0, R1, foreign);
        self.read_counts(point, own, false, failed);
        self.asm.release(16);
    }

    /// Reads all counters of the point: what the thread has counted so far, or, unless `opens`, since the event began.
    fn read_counts(&mut self, point: PointId, own: Own, opens: bool, failed: Label) {
        let all = self.plan.counters();
        let [turns, attempts] = [self.asm.alloc(8), self.asm.alloc(8)];
        let place = self.asm.alloc(READING);
        let [again, here, torn, done] = [0; 4].map(|_| self.asm.label());
        self.asm.load_imm(R0, ATTEMPTS);
        self.asm.store(FP, attempts, R0);
        self.asm.place(again);
        self.asm.load(8, R1, FP, own.counted);
        self.asm.load(8, R0, R1, counted::TURNS);
        self.asm.store(FP, turns, R0);
        self.asm.call(helper::GET_SMP_PROCESSOR_ID);
        self.asm.load(8, R1, FP, own.counted);
        if opens {
            // The first readings: whatever the numbers are, from here on they go on.
            let known = self.asm.label();
            self.asm.load(8, R2, R1, counted::WHOSE);
            self.asm.jump_if_imm(Jump::Ne, R2, 0, known);
            self.asm.store(R1, counted::CPU, R0);
            self.asm.store_imm(R1, counted::RUNS, 1);
            self.asm.place(known);
        }
        let unseen = self.asm.label();
        self.asm.load(8, R2, R1, counted::RUNS);
        self.asm.jump_if_imm(Jump::Eq, R2, 0, unseen);
        self.asm.load(8, R2, R1, counted::CPU);
        self.asm.jump_if(Jump::Eq, R2, R0, here);
        self.asm.place(unseen);
        self.asm.load(8, R0, R1, counted::TURNS);
        self.asm.load(8, R2, FP, turns);
        self.asm.jump_if(Jump::Ne, R0, R2, torn);
        // It came here unseen: nothing may be compared with what was read before.
        self.asm.store_imm(R1, counted::WHOSE, 0);
        self.asm.jump(if opens { torn } else { failed });
        self.asm.place(here);
        for (counter, places) in self.counters_there(point) {
            read(&mut self.asm, counter, place, failed);
            self.asm.load(8, R1, FP, own.counted);
            for reading in readings(counter) {
                let at = counted_at(&all, counter, reading);
                let [before, since] = places[reading];
                self.asm.load(8, R0, FP, place + 8 * reading as i16);
                self.asm.load(8, R2, R1, at);
                self.asm.alu(Alu::Sub, R0, R2);
                self.asm.load(8, R2, R1, at + 8);
                self.asm.alu(Alu::Add, R0, R2);
                if opens {
                    self.asm.store(RECORD, before, R0);
                } else {
                    self.asm.load(8, R2, RECORD, before);
                    self.asm.alu(Alu::Sub, R0, R2);
                    self.asm.store(RECORD, since, R0);
                }
            }
        }
        self.asm.load(8, R1, FP, own.counted);
        self.asm.load(8, R0, R1, counted::TURNS);
        self.asm.load(8, R2, FP, turns);
        self.asm.jump_if(Jump::Eq, R0, R2, done);
        self.asm.place(torn);
        self.asm.load(8, R0, FP, attempts);
        self.asm.alu_imm(Alu::Sub, R0, 1);
        self.asm.store(FP, attempts, R0);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, again);
        self.asm.jump(failed);
        self.asm.place(done);
        self.asm.release(16 + READING);
    }

    /// Where a counter shared its place in the processor with others, what it counted is made up for the time in which it did
    /// not run.
    fn scale(&mut self, point: PointId) {
        for (_, places) in self.counters_there(point).into_iter().filter(|(counter, _)| counter.is_hardware()) {
            let [count, wanted, ran] = [0, 1, 2].map(|reading| places[reading][1]);
            let (next, never) = (self.asm.label(), self.asm.label());
            self.asm.load(8, R1, RECORD, wanted);
            self.asm.load(8, R2, RECORD, ran);
            self.asm.jump_if(Jump::Eq, R1, R2, next);
            self.asm.jump_if_imm(Jump::SLe, R2, 0, never);
            self.count_point(point, PointCounter::Scaled);
            self.asm.load(8, R0, RECORD, count);
            self.asm.load(8, R1, RECORD, wanted);
            self.asm.load(8, R2, RECORD, ran);
            scaled(&mut self.asm, never);
            self.asm.store(RECORD, count, R0);
            self.asm.jump(next);
            self.asm.place(never);
            self.asm.load_imm(R0, ABSENT);
            self.asm.store(RECORD, count, R0);
            self.count_point(point, PointCounter::NeverRan);
            self.asm.place(next);
        }
    }
}

/// `r0` = r0 times r1 over r2, without leaving 64 bits on the way; goes to `never` where r2 is too small to divide by. Uses r0
/// to r4.
pub(crate) fn scaled(asm: &mut Asm, never: Label) {
    let rest: Reg = R4;
    // Of more than two seconds the microseconds do, of more than half an hour the milliseconds.
    for _ in 0..2 {
        let small = asm.label();
        asm.load_imm(R3, i64::from(i32::MAX));
        asm.jump_if(Jump::Le, R1, R3, small);
        asm.alu_imm(Alu::Rsh, R1, 10);
        asm.alu_imm(Alu::Rsh, R2, 10);
        asm.place(small);
    }
    asm.jump_if_imm(Jump::Eq, R2, 0, never);
    asm.mov(R3, R0);
    asm.alu(Alu::SDiv, R3, R2);
    asm.mov(rest, R0);
    asm.alu(Alu::SMod, rest, R2);
    asm.alu(Alu::Mul, rest, R1);
    asm.alu(Alu::SDiv, rest, R2);
    asm.mov(R0, R3);
    asm.alu(Alu::Mul, R0, R1);
    asm.alu(Alu::Add, R0, rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::Insn;

    /// What the code leaves in r0, by the rules of the instruction set; none if it goes to `never`.
    fn run(count: i64, wanted: i64, ran: i64) -> Option<i64> {
        let mut asm = Asm::new();
        let never = asm.label();
        // An exit clears r0.
        scaled(&mut asm, never);
        asm.mov(R1, R0);
        asm.exit();
        asm.place(never);
        asm.load_imm(R1, ABSENT);
        asm.exit();
        let code = asm.finish().unwrap().insns;
        let mut regs = [count, wanted, ran, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut at = 0usize;
        loop {
            let insn: Insn = code[at];
            at += 1;
            let by = if insn.code & 8 != 0 { regs[insn.src() as usize] } else { i64::from(insn.imm) };
            let to = insn.dst() as usize;
            match (insn.code & 7, insn.code & 0xf0) {
                (0, _) => {
                    regs[to] = i64::from(insn.imm.cast_unsigned()) | i64::from(code[at].imm) << 32;
                    at += 1;
                }
                (7, 0x00) => regs[to] = regs[to].wrapping_add(by),
                (7, 0x20) => regs[to] = regs[to].wrapping_mul(by),
                (7, 0x30) => regs[to] /= by,
                (7, 0x70) => regs[to] = (regs[to].cast_unsigned() >> by).cast_signed(),
                (7, 0x90) => regs[to] %= by,
                (7, 0xb0) => regs[to] = by,
                (5, 0x90) => return (regs[1] != ABSENT).then_some(regs[1]),
                (5, op) => {
                    let (a, b) = (regs[to].cast_unsigned(), by.cast_unsigned());
                    let taken = match op {
                        0x00 => true,
                        0x10 => a == b,
                        0xb0 => a <= b,
                        _ => panic!("jump {op:#x}"),
                    };
                    if taken {
                        at = (at as i64 + i64::from(insn.off)) as usize;
                    }
                }
                (class, op) => panic!("class {class}, operation {op:#x}"),
            }
        }
    }

    #[test]
    fn a_count_is_made_up_for_the_time_in_which_the_counter_did_not_run() {
        assert_eq!(run(1_000, 2_000_000, 1_000_000), Some(2_000));
        assert_eq!(run(7, 3, 1), Some(21));
        assert_eq!(run(0, 900, 300), Some(0));
        // Of an hour, with more instructions than 32 bits hold.
        let hour = 3_600_000_000_000;
        for (count, wanted, ran) in [
            (123_456_789, 987_654_321, 123_456),
            (10_000_000_000_000, hour, hour / 4),
            (1 << 45, 1 << 42, (1 << 41) + 12_345),
        ] {
            let exact = i128::from(count) * i128::from(wanted) / i128::from(ran);
            let made = i128::from(run(count, wanted, ran).unwrap());
            assert!((made - exact).abs() * 1_000_000 <= exact, "{made} for {exact}");
        }
        // Too short a time of too long a one to say anything.
        assert_eq!(run(5, 1 << 50, 100), None);
    }
}
