//! Rows by the order of events: in front of a table's map lie rows by the number of the event since what lies around it began.
//!
//! Graph after graph has the same operators in the same order, so the row of the n-th is where it was the last time: one
//! behind the other in memory, and nothing has to be hashed. Whether it is that row its key tells, which is compared as a whole; where
//! it is another, the table's map has the row, as it has for all further events. User space adds both.

use profinfer_compiler::plan::SlotHow;
use profinfer_compiler::typed::PointId;

use super::Emit;
use crate::asm::{Alu, Jump, Label};
use crate::insn::{R0, R1, R2, R3, RECORD};
use crate::layout::{FRONT_ROWS, MapId, front};

impl Emit<'_> {
    /// `r0` = the value of the key at hand, of the row in front that has its number; goes to `other` if there is none, or it
    /// is another's.
    pub(crate) fn row_in_front(&mut self, table: usize, point: PointId, other: Label) {
        let Some(aside) = self.layout.points[point].aside.clone() else {
            self.asm.jump(other);
            return;
        };
        let layout = self.layout.tables[table].clone();
        let (ready, same) = (self.asm.label(), self.asm.label());
        let scratch = self.layout.points[point].scratch;
        let key = front::VALUE + layout.value_size as i16;
        let words = (layout.key_size / 8) as i16;
        self.asm.load(8, R1, RECORD, aside.behind(aside.ordinal));
        self.asm.jump_if_imm(Jump::Ge, R1, FRONT_ROWS as i32, other);
        self.asm.alu_imm(Alu::Mul, R1, layout.front_row() as i32);
        self.asm.load_map_value(R2, MapId::Front(table), 0);
        self.asm.alu(Alu::Add, R2, R1);
        self.asm.load(8, R0, R2, front::STATE);
        self.asm.jump_if_imm(Jump::Eq, R0, front::READY, ready);
        self.asm.jump_if_imm(Jump::Ne, R0, front::FREE, other);
        // Nobody's yet: it becomes that of this key.
        self.asm.load_imm(R1, i64::from(front::TAKEN));
        self.asm.cmpxchg(R2, front::STATE, R1);
        self.asm.jump_if_imm(Jump::Ne, R0, front::FREE, other);
        for word in 0..words {
            self.asm.load(8, R0, RECORD, scratch + 8 * word);
            self.asm.store(R2, key + 8 * word, R0);
        }
        for of in &layout.keeps {
            for (slot, at) in self.plan.tables[*of].slots.iter().zip(&self.layout.tables[*of].slots) {
                let first = match slot.how {
                    SlotHow::Min => i64::MAX,
                    SlotHow::Max => i64::MIN,
                    _ => continue,
                };
                if let (Some(at), None) = (at, &slot.derived) {
                    self.asm.load_imm(R0, first);
                    self.asm.store(R2, front::VALUE + *at as i16, R0);
                }
            }
        }
        // With what this orders behind the key's words.
        self.asm.load_imm(R1, i64::from(front::READY - front::TAKEN));
        self.asm.atomic_fetch_add(R2, front::STATE, R1);
        self.asm.jump(same);
        self.asm.place(ready);
        for word in 0..words {
            self.asm.load(8, R0, RECORD, scratch + 8 * word);
            self.asm.load(8, R3, R2, key + 8 * word);
            self.asm.jump_if(Jump::Ne, R0, R3, other);
        }
        self.asm.place(same);
        self.asm.mov(R0, R2);
        self.asm.alu_imm(Alu::Add, R0, i32::from(front::VALUE));
    }

    /// Whether rows of the table lie in front of its map.
    pub(crate) fn has_front(&self, table: usize, point: PointId) -> bool {
        self.layout.tables[table].front && self.puts_aside(point)
    }
}
