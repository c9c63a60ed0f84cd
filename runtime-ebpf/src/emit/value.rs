//! Values of maps by key: looked up, and begun where there is none.

use super::Emit;
use crate::asm::{Alu, Jump, Label};
use crate::insn::{FP, R0, R1, R2, R3, R4, SLOT, helper};
use crate::layout::MapId;

/// Where a key lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyAt {
    /// On the stack.
    Stack(i16),
    /// In the thread's slot, which is r7.
    Slot(i16),
}

impl Emit<'_> {
    /// `r1` and `r2` for a call on a map.
    pub(crate) fn map_and_key(&mut self, map: MapId, key: KeyAt) {
        self.asm.load_map(R1, map);
        let (base, at) = match key {
            KeyAt::Stack(at) => (FP, at),
            KeyAt::Slot(at) => (SLOT, at),
        };
        self.asm.mov(R2, base);
        self.asm.alu_imm(Alu::Add, R2, i32::from(at));
    }

    /// `r0` = where the value is, or 0. Uses r1 to r5.
    pub(crate) fn lookup(&mut self, map: MapId, key: KeyAt) {
        self.map_and_key(map, key);
        self.asm.call(helper::MAP_LOOKUP_ELEM);
    }

    /// `r0` = where the value is; if there was none, it is all zeros. Where there is no room for one, goes to `without`. Uses
    /// r1 to r5.
    pub(crate) fn lookup_or_begin(&mut self, map: MapId, key: KeyAt, without: Label) {
        let there = self.asm.label();
        self.lookup(map, key);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, there);
        self.map_and_key(map, key);
        self.asm.load_map_value(R3, MapId::Fresh, 0);
        self.asm.load_imm(R4, 0);
        self.asm.call(helper::MAP_UPDATE_ELEM);
        self.lookup(map, key);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, without);
        self.asm.place(there);
    }
}
