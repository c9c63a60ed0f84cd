//! Events of streamed tables: sent through the ring, one by one.

use profinfer_compiler::plan::{Action, Each, Table};
use profinfer_compiler::typed::PointId;

use super::{Emit, Phase};
use crate::asm::{Alu, Jump};
use crate::insn::{FP, NOW, R0, R1, R2, R3, R4, RECORD, helper};
use crate::layout::{MapId, TableCounter, counter, gate, sent};

/// `BPF_RB_NO_WAKEUP`: user space comes by itself, several times a second.
const NO_WAKEUP: i64 = 1;

/// Whether its first event is the end of the run. Where user space decides which events are its own, it has to say so.
fn ends_run(table: &Table) -> bool {
    table.user.is_none() && matches!(&table.each, Some(Each::Act(actions)) if actions.contains(&Action::Exit))
}

impl Emit<'_> {
    /// Sends the event at hand to a streamed table; one that finds no room in the ring is counted.
    pub(crate) fn send(&mut self, table: usize, point: PointId) {
        let plan = self.plan;
        let t = &plan.tables[table];
        let (scratch, layout) = (self.layout.points[point].scratch, &self.layout.tables[table]);
        let (key_size, size) = (layout.key_size as i16, layout.event_size);
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.asm.load_imm(R1, table as i64);
        self.asm.alu(Alu::Or, R0, R1);
        self.asm.store(RECORD, scratch + sent::HEAD, R0);
        self.asm.store(RECORD, scratch + sent::TIME, NOW);
        self.key(table, point, sent::KEY);
        let values = t.slots.iter().flat_map(|s| s.values()).chain(&t.context);
        let mut at = scratch + sent::KEY + key_size;
        for value in values {
            self.number(value, point, Phase::Close);
            self.asm.store(RECORD, at, R0);
            at += 8;
        }
        let sent = self.asm.label();
        self.asm.load_map(R1, MapId::Events);
        self.asm.mov(R2, RECORD);
        self.asm.alu_imm(Alu::Add, R2, i32::from(scratch));
        self.asm.load_imm(R3, i64::from(size));
        self.asm.load_imm(R4, NO_WAKEUP);
        self.asm.call(helper::RINGBUF_OUTPUT);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, sent);
        self.count_table(table, TableCounter::RingFull);
        self.asm.place(sent);
        if ends_run(&self.plan.tables[table]) {
            // No step begins after this one, however late user space learns of it.
            self.asm.load_map_value(R1, MapId::Counters, counter::GATE * 8);
            self.asm.load_imm(R0, gate::NO_NEW_STEP as i64);
            self.asm.store(R1, 0, R0);
        }
    }
}
