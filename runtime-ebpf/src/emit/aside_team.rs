//! Events of a team that are put aside: each thread has its own in its slot (see `aside.rs` and `team.rs`).
//!
//! The map of states says by state key which thread it is, and holds no events. What encloses them is in the slot of thread 0, so
//! whoever tells a list looks that up: a thread whose list is full for its own, and thread 0's stop for those of all. By then thread
//! 0 has begun the same step at least, since no thread passes a barrier before all have come to it.

use profinfer_compiler::aside::{EVENTS, Fixed, fixed_or_there};
use profinfer_compiler::plan::{CaptureValue, Gate};
use profinfer_compiler::typed::PointId;

use super::team::MAX_TEAM;
use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{FP, NOW, R0, R1, R2, RECORD, Reg, SLOT};
use crate::layout::{AsideLayout, FRONT_ROWS, MapId, PointCounter, counter, record};

/// Threads whose rows lie in front of a table's map apart from each other.
const APART: i32 = 4;

impl Emit<'_> {
    /// A thread of the team begins a step: it is put aside in the thread's own slot.
    pub(super) fn put_aside_in_team(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let plan = self.plan;
        let p = &plan.points[point];
        let lies = self.aside(point);
        let reads: Vec<_> = p.only.iter().chain(&p.state_by).chain(&p.team).collect();
        self.read_blocks(&reads, point, start);
        self.only(point, start, end);
        let key = self.team_key(point, start);
        let number = key + 8 * p.state_by.len() as i16;
        self.thread_slot(end, true);
        self.join_team(point, key, number, end);
        if let Some(size) = &p.team {
            self.number(size, point, Phase::Open { start, stored: 0 });
            self.asm.store(SLOT, lies.team, R0);
        }
        let other = self.asm.label();
        self.asm.load(8, R0, FP, number);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, other);
        // Kept for the stop, also where nothing counts: what the others have put aside goes then.
        self.asm.load(8, R0, SLOT, lies.team);
        self.asm.store(SLOT, self.layout.points[point].team_size(), R0);
        self.gate(point, end);
        self.asm.place(other);
        self.append(point, start, end);
        self.asm.mov(RECORD, SLOT);
        self.asm.alu_imm(Alu::Add, RECORD, i32::from(lies.record));
        let (leader, nobody) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R0, FP, number);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, leader);
        self.leader_slot(point, key, number, nobody);
        self.asm.jump_if_imm(Jump::Eq, SLOT, 0, nobody);
        self.asm.place(leader);
        self.tell_all(point)?;
        self.asm.place(nobody);
        self.keep_last(point);
        Ok(())
    }

    /// Keeps in the slot which thread of which team this is, unless it is known already, and tells the team.
    fn join_team(&mut self, point: PointId, key: i16, number: i16, end: Label) {
        let lies = self.aside(point);
        let in_slot = self.layout.points[point].in_slot;
        let (fresh, known, no_room) = (self.asm.label(), self.asm.label(), self.asm.label());
        for at in (0..self.layout.points[point].state_key as i16).step_by(8) {
            self.asm.load(8, R0, FP, key + at);
            self.asm.load(8, R1, SLOT, in_slot + at);
            self.asm.jump_if(Jump::Ne, R0, R1, fresh);
        }
        self.asm.jump(known);
        self.asm.place(no_room);
        self.count_point(point, PointCounter::NoRoom);
        self.asm.jump(end);
        self.asm.place(fresh);
        self.asm.store_imm(SLOT, in_slot, 0);
        self.lookup_or_begin(MapId::State(point), KeyAt::Stack(key), no_room);
        if let Some(team) = self.layout.points[point].team {
            self.asm.load(8, R1, FP, self.pid_tgid);
            self.asm.store(R0, team.thread, R1);
            self.asm.store(SLOT, lies.record + team.thread, R1);
        }
        self.key_to_slot(point, key);
        // It is not for this thread to end the steps of all; if it is, that is said at once.
        self.asm.store_imm(SLOT, self.layout.points[point].team_size(), 0);
        self.asm.store_imm(SLOT, lies.record + record::START, 0);
        self.asm.store_imm(SLOT, lies.count, 0);
        self.asm.load(8, R0, FP, number);
        self.asm.alu_imm(Alu::And, R0, APART - 1);
        self.asm.alu_imm(Alu::Mul, R0, FRONT_ROWS as i32 / APART);
        self.asm.store(SLOT, lies.ordinal, R0);
        self.asm.place(known);
    }

    /// The stop on thread 0 ends the last steps of all threads of its team, tells what they have put aside, and forgets them:
    /// teams may be made anew for every graph.
    pub(super) fn stop_aside_in_team(&mut self, point: PointId, end: Label) {
        let lies = self.aside(point);
        let in_slot = self.layout.points[point].in_slot;
        let size = self.layout.points[point].team_size();
        let number = size - 8;
        self.thread_slot(end, false);
        self.asm.load(8, R0, SLOT, in_slot);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.load(8, R0, SLOT, size);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.now();
        if self.only_notes_end(point) {
            self.asm.store(SLOT, lies.ended, NOW);
            return;
        }
        let before = self.asm.stack();
        let thread = self.asm.alloc(8);
        let (turn, told, gone, next, done) =
            (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        // In the slot, as in the loop over the events of one.
        self.asm.store_imm(SLOT, number, 0);
        self.asm.place(turn);
        self.asm.may_goto(done);
        self.asm.load(8, R0, SLOT, number);
        self.asm.load(8, R1, SLOT, size);
        self.asm.jump_if(Jump::SGe, R0, R1, done);
        self.asm.jump_if_imm(Jump::SGe, R0, MAX_TEAM, done);
        self.lookup(MapId::State(point), KeyAt::Slot(in_slot));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
        if let Some(team) = self.layout.points[point].team {
            self.asm.load(8, R0, R0, team.thread);
        }
        self.asm.store(FP, thread, R0);
        self.lookup(MapId::Threads, KeyAt::Stack(thread));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, gone);
        self.asm.mov(RECORD, R0);
        self.asm.alu_imm(Alu::Add, RECORD, i32::from(lies.record));
        // The thread may be of another team by now.
        for at in (0..self.layout.points[point].state_key as i16).step_by(8) {
            self.asm.load(8, R0, SLOT, in_slot + at);
            self.asm.load(8, R1, RECORD, lies.behind(in_slot + at));
            self.asm.jump_if(Jump::Ne, R0, R1, gone);
        }
        self.number_aside(point, told);
        self.end_last(point);
        // Building it cannot fail here: it has been built for a start.
        let _ = self.tell_all(point);
        self.asm.place(told);
        self.asm.store_imm(RECORD, lies.behind(lies.count), 0);
        self.asm.load(8, R0, SLOT, number);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, gone);
        // Its own key thread 0 needs until all are told.
        self.asm.store_imm(RECORD, lies.behind(in_slot), 0);
        self.asm.place(gone);
        self.state_in_slot(point);
        self.asm.call(crate::insn::helper::MAP_DELETE_ELEM);
        self.asm.place(next);
        self.asm.load(8, R0, SLOT, number);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(SLOT, number, R0);
        self.asm.jump(turn);
        self.asm.place(done);
        self.asm.store_imm(SLOT, in_slot, 0);
        self.asm.store_imm(SLOT, lies.ended, 0);
        self.asm.release_to(before);
    }

    /// Goes to `not` unless an event that began at r9 lies in what thread 0 has open, and that counts. A step of a graph that was
    /// cut, or did not count, may still be there.
    pub(super) fn unless_in_the_leaders(&mut self, point: PointId, not: Label) {
        match self.plan.points[point].gate {
            Gate::Inside(outer) if self.target.has(outer) => {
                self.asm.load(8, R0, SLOT, self.layout.points[outer].in_slot + record::START);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, not);
                self.asm.jump_if(Jump::Lt, NOW, R0, not);
            }
            _ => {
                self.asm.load_map_value(R0, MapId::Counters, counter::GATE * 8);
                self.asm.load(8, R0, R0, 0);
                self.asm.jump_if_imm(Jump::Ne, R0, 1, not);
            }
        }
    }

    /// `to` = the slot's address plus the distance to the thread's last event from the first; goes to `none` if it has none.
    pub(super) fn last_aside(&mut self, point: PointId, to: Reg, none: Label) {
        let lies = self.aside(point);
        self.asm.load(8, to, SLOT, lies.count);
        self.asm.jump_if_imm(Jump::Eq, to, 0, none);
        self.asm.jump_if_imm(Jump::Gt, to, EVENTS as i32, none);
        self.asm.alu_imm(Alu::Sub, to, 1);
        self.asm.alu_imm(Alu::Mul, to, lies.size());
        self.asm.alu(Alu::Add, to, SLOT);
    }

    /// `r0` = what is at `at` in the record of the thread's open event of `of`, which is one of [`fixed`] or its start; `none` is where
    /// to go on if there is none, or it was opened later than the record at hand. Uses r1 and r2.
    pub(super) fn enclosing_aside(&mut self, of: PointId, at: i16, none: Label) {
        let lies = self.aside(of);
        self.asm.load(8, R0, SLOT, self.layout.points[of].in_slot);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.last_aside(of, R2, none);
        self.asm.load(8, R0, R2, lies.events);
        self.asm.alu_imm(Alu::Rsh, R0, AsideLayout::START_BITS);
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.jump_if(Jump::Gt, R0, R1, none);
        let captures = self.plan.points[of].captures.iter().zip(&self.layout.points[of].captures);
        let which = captures.filter(|(_, place)| **place == at).find_map(|(c, _)| match &c.value {
            CaptureValue::Number(e) => fixed_or_there(self.plan, of, e),
            _ => None,
        });
        match which {
            Some(Fixed::Word(which)) => self.asm.load(8, R0, SLOT, self.fixed_in_slot(which, of)),
            Some(Fixed::There) => self.asm.load_imm(R0, 1),
            // Its start, which is in r0.
            None => {}
        }
    }
}
