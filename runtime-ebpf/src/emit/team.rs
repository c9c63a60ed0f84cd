//! Sequences of a team: each thread of a pool has an event of its own for what they compute together.
//!
//! Only thread 0 is known to be inside of something: the enclosing records are in its slot. So its step begins only where
//! its enclosing event counts, while the step of another thread begins in any case, and counts if thread 0's enclosing
//! event does when it ends. By then thread 0 has begun as well, since no thread passes a barrier before all have come to
//! it; the record of thread 0 under the same key says which thread it is, and so where its slot is.
//!
//! Thread 0's stop ends the steps of all. The others write to their records no more then: they wait behind the last
//! barrier, and what they do next thread 0 has to begin.

use profinfer_compiler::plan::Gate;
use profinfer_compiler::typed::PointId;

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{FP, R0, R1, RECORD, SLOT, helper};
use crate::layout::{MapId, PointCounter, counter, record};

/// Threads of a team at most.
pub(super) const MAX_TEAM: i32 = 4096;

impl Emit<'_> {
    /// A thread of the team begins a step, which ends the one it had open.
    pub(crate) fn team_start(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        if self.puts_aside(point) {
            return self.put_aside_in_team(point, start, end);
        }
        let plan = self.plan;
        let p = &plan.points[point];
        let reads: Vec<_> = p.only.iter().chain(&p.state_by).chain(&p.team).collect();
        self.read_blocks(&reads, point, start);
        self.only(point, start, end);
        let key = self.team_key(point, start);
        let number = key + 8 * p.state_by.len() as i16;
        let (other, leader) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R0, FP, number);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, other);
        self.slot_inside(point, end);
        // Kept for the stop, also where nothing counts: what the others have open goes then.
        self.key_to_slot(point, key);
        if let Some(size) = &p.team {
            self.number(size, point, Phase::Open { start, stored: 0 });
            self.asm.store(SLOT, self.layout.points[point].team_size(), R0);
        }
        self.gate(point, end);
        self.asm.jump(leader);
        self.asm.place(other);
        if self.layout.points[point].mark.is_some() || self.encloses_calls(point) {
            self.thread_slot(end, true);
            self.key_to_slot(point, key);
            // It is not for this thread to end the steps of all.
            self.asm.store_imm(SLOT, self.layout.points[point].team_size(), 0);
        }
        self.leader_slot(point, key, number, leader);
        self.asm.place(leader);
        self.count_point(point, PointCounter::Hits);
        self.team_record(point, start, key, end)
    }

    /// Ends the open step and begins the next one. r7 is the slot of thread 0, or 0 if that has not begun yet.
    fn team_record(&mut self, point: PointId, start: usize, key: i16, end: Label) -> Result<(), BuildError> {
        let (fresh, no_room) = (self.asm.label(), self.asm.label());
        self.lookup_or_begin(MapId::State(point), KeyAt::Stack(key), no_room);
        self.asm.mov(RECORD, R0);
        self.now();
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, fresh);
        self.asm.jump_if_imm(Jump::Eq, SLOT, 0, fresh);
        self.unless_of_the_leader(point, fresh);
        self.close_record(point);
        self.asm.place(fresh);
        if let Some(team) = self.layout.points[point].team {
            self.asm.load(8, R0, FP, self.pid_tgid);
            self.asm.store(RECORD, team.thread, R0);
            self.asm.call(helper::GET_SMP_PROCESSOR_ID);
            self.asm.store(RECORD, team.cpu, R0);
        }
        let (outer, fail) = (self.failed, self.asm.label());
        self.failed = fail;
        self.open_record(point, start)?;
        self.failed_in_record(fail, outer);
        self.asm.jump(end);
        self.asm.place(no_room);
        self.count_point(point, PointCounter::NoRoom);
        Ok(())
    }

    /// The stop on thread 0 ends the open steps of all threads of its team, and forgets them: teams may be made anew for
    /// every graph.
    pub(crate) fn team_stop(&mut self, point: PointId, end: Label) {
        if self.puts_aside(point) {
            self.stop_aside_in_team(point, end);
            return;
        }
        self.thread_slot(end, false);
        let in_slot = self.layout.points[point].in_slot;
        let size = self.layout.points[point].team_size();
        let number = size - 8;
        self.asm.load(8, R0, SLOT, in_slot);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.load(8, R0, SLOT, size);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.now();
        let (turn, closed, next, done) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        // In the slot, not on the stack: of a number in a map the verifier knows nothing, so that each turn of the loop is
        // the same to it.
        self.asm.store_imm(SLOT, number, 0);
        self.asm.place(turn);
        self.asm.may_goto(done);
        self.asm.load(8, R0, SLOT, number);
        self.asm.load(8, R1, SLOT, size);
        self.asm.jump_if(Jump::SGe, R0, R1, done);
        self.asm.jump_if_imm(Jump::SGe, R0, MAX_TEAM, done);
        self.lookup(MapId::State(point), KeyAt::Slot(self.layout.points[point].in_slot));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
        self.asm.mov(RECORD, R0);
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, closed);
        self.unless_of_the_leader(point, closed);
        self.close_record(point);
        self.asm.place(closed);
        self.state_in_slot(point);
        self.asm.call(helper::MAP_DELETE_ELEM);
        self.asm.place(next);
        self.asm.load(8, R0, SLOT, number);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(SLOT, number, R0);
        self.asm.jump(turn);
        self.asm.place(done);
        self.asm.store_imm(SLOT, in_slot, 0);
    }

    /// The state key of the hit, on the stack.
    pub(super) fn team_key(&mut self, point: PointId, start: usize) -> i16 {
        let plan = self.plan;
        let key = self.asm.alloc(self.layout.points[point].state_key);
        for (i, e) in plan.points[point].state_by.iter().enumerate() {
            self.number(e, point, Phase::Open { start, stored: 0 });
            self.asm.store(FP, key + 8 + 8 * i as i16, R0);
        }
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.store(FP, key, R0);
        key
    }

    pub(super) fn key_to_slot(&mut self, point: PointId, key: i16) {
        let in_slot = self.layout.points[point].in_slot;
        for at in (0..self.layout.points[point].state_key as i16).step_by(8) {
            self.asm.load(8, R0, FP, key + at);
            self.asm.store(SLOT, in_slot + at, R0);
        }
    }

    /// `r1` and `r2` for a call on the map of open steps, with the key in the slot.
    pub(super) fn state_in_slot(&mut self, point: PointId) {
        self.map_and_key(MapId::State(point), KeyAt::Slot(self.layout.points[point].in_slot));
    }

    /// `r7` = the slot of the team's thread 0, or 0 if it has not begun; goes to `none` as soon as that is known.
    pub(super) fn leader_slot(&mut self, point: PointId, key: i16, number: i16, none: Label) {
        let Some(team) = self.layout.points[point].team else { return };
        let own = self.asm.alloc(8);
        self.asm.load(8, R0, FP, number);
        self.asm.store(FP, own, R0);
        self.asm.store_imm(FP, number, 0);
        self.lookup(MapId::State(point), KeyAt::Stack(key));
        self.asm.load(8, R1, FP, own);
        self.asm.store(FP, number, R1);
        self.asm.load_imm(SLOT, 0);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.load(8, R0, R0, team.thread);
        self.asm.store(FP, own, R0);
        self.lookup(MapId::Threads, KeyAt::Stack(own));
        self.asm.mov(SLOT, R0);
        self.asm.release(8);
    }

    /// Goes to `not` unless the step at hand began in what thread 0 has open now, and that counts. A step of a graph that
    /// was cut, or did not count, may still be open.
    fn unless_of_the_leader(&mut self, point: PointId, not: Label) {
        match self.plan.points[point].gate {
            Gate::Inside(outer) if self.target.has(outer) => {
                let base = self.layout.points[outer].in_slot;
                self.asm.load(8, R0, SLOT, base + record::START);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, not);
                self.asm.load(8, R1, RECORD, record::START);
                self.asm.jump_if(Jump::Lt, R1, R0, not);
            }
            _ => {
                self.asm.load_map_value(R0, MapId::Counters, counter::GATE * 8);
                self.asm.load(8, R0, R0, 0);
                self.asm.jump_if_imm(Jump::Ne, R0, 1, not);
            }
        }
    }
}
