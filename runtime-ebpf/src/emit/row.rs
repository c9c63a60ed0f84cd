//! Rows: puts the key together, finds or makes the row, updates its slots.

use profinfer_compiler::plan::{Expr, KeySource, Linear, Slot, SlotHow};
use profinfer_compiler::typed::PointId;

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, Jump, Label};
use crate::insn::{FP, R0, R1, R2, R3, R4, RECORD, Reg, SLOT, helper};
use crate::layout::{ABSENT_TEXT, LOG2_BUCKETS, MapId, TableCounter, record};

/// The kernel's E2BIG: the map is full.
const E2BIG: i32 = 7;
/// The kernel's EEXIST: somebody else made it.
const EEXIST: i32 = 17;
/// `BPF_NOEXIST`
const NOEXIST: i64 = 1;
/// Tries at a minimum or maximum before the update is counted as lost.
const TRIES: usize = 8;

impl Emit<'_> {
    /// Counts the event at hand in a table, and goes to `next` if that cannot be done.
    pub(crate) fn row(&mut self, table: usize, point: PointId, next: Label) {
        if self.plan.tables[table].streamed {
            self.send(table, point);
            return;
        }
        self.key(table, point, 0);
        let value = self.asm.alloc(8);
        self.generation = self.asm.alloc(8);
        if self.plan.tables[table].cleared {
            // Read once: the row and its buckets go to maps of one generation.
            let word = self.layout.table_counter(table, TableCounter::Generation);
            self.asm.load_map_value(R1, MapId::Counters, word * 8);
            self.asm.load(8, R0, R1, 0);
            self.asm.store(FP, self.generation, R0);
        }
        let found = self.asm.label();
        if self.has_front(table, point) {
            let other = self.asm.label();
            self.row_in_front(table, point, other);
            self.asm.jump(found);
            self.asm.place(other);
        }
        self.find_or_make(
            MapId::Table(table),
            table,
            point,
            (self.layout.tables[table].fresh, TableCounter::Full),
            next,
        );
        self.asm.place(found);
        self.asm.store(FP, value, R0);
        let plan = self.plan;
        let mut updated = Vec::new();
        for of in self.layout.tables[table].keeps.clone() {
            for (i, slot) in plan.tables[of].slots.iter().enumerate() {
                let done = self.asm.label();
                match self.layout.tables[of].slots[i] {
                    Some(at) if updated.contains(&at) => {}
                    Some(at) => {
                        updated.push(at);
                        self.update(slot, at, value, table, point, done);
                        // That there was something to add is counted where that is known.
                        if let Some(at) = self.presence(table, slot).filter(|at| !updated.contains(at)) {
                            updated.push(at);
                            self.add_to(value, at as i16, None);
                        }
                    }
                    None => self.bucket_row(slot, table, i, point, done),
                }
                self.asm.place(done);
            }
        }
        self.asm.release(8);
        self.asm.release(8);
    }

    /// Where the rows of a table count the events in which what a slot sums up was there.
    fn presence(&self, table: usize, sum: &Slot) -> Option<u32> {
        if sum.how != SlotHow::Sum || !sum.nullable || sum.derived.is_some() {
            return None;
        }
        let is_it = |slot: &Slot| slot.how == SlotHow::Present && slot.of == sum.of && slot.derived.is_none();
        self.layout.tables[table].keeps.iter().find_map(|of| {
            let slots = self.plan.tables[*of].slots.iter().zip(&self.layout.tables[*of].slots);
            slots.filter(|(slot, _)| is_it(slot)).find_map(|(_, at)| *at)
        })
    }

    /// Puts the key together, `at` bytes into the place for it.
    pub(crate) fn key(&mut self, table: usize, point: PointId, at: i16) {
        let scratch = self.layout.points[point].scratch + at;
        let plan = self.plan;
        let keeps = self.layout.tables[table].keeps.clone();
        let lies = |of: usize| plan.tables[of].key.iter().zip(&self.layout.tables[of].key);
        let mut fields: Vec<_> = keeps.iter().flat_map(|of| lies(*of)).map(|(field, at)| (field, *at)).collect();
        fields.sort_by_key(|(_, at)| *at);
        fields.dedup_by_key(|(_, at)| *at);
        if fields.is_empty() {
            self.asm.store_imm(RECORD, scratch, 0);
        }
        for (field, at) in fields {
            let to = scratch + at as i16;
            match &field.source {
                KeySource::Number(e) => {
                    self.number(e, point, Phase::Close);
                    self.asm.store(RECORD, to, R0);
                }
                KeySource::Text(of, index, len) => {
                    let words = len.div_ceil(8) as i16;
                    let from = self.layout.points[*of].captures[*index];
                    if *of == point {
                        self.copy(RECORD, from, to, words);
                        continue;
                    }
                    let (absent, done) = (self.asm.label(), self.asm.label());
                    if self.target.has(*of) && self.looks_for(point, *of) {
                        let base = self.enclosing_record(*of, absent);
                        self.copy(R2, base + from, to, words);
                        self.asm.jump(done);
                    } else if self.target.has(*of) {
                        let base = self.layout.points[*of].in_slot;
                        self.asm.load(8, R0, SLOT, base + record::START);
                        self.asm.jump_if_imm(Jump::Eq, R0, 0, absent);
                        self.copy(SLOT, base + from, to, words);
                        self.asm.jump(done);
                    }
                    self.asm.place(absent);
                    for i in 0..words {
                        self.asm.store_imm(RECORD, to + 8 * i, 0);
                    }
                    self.asm.store_byte(RECORD, to, i32::from(ABSENT_TEXT));
                    self.asm.place(done);
                }
            }
        }
    }

    fn copy(&mut self, from: Reg, at: i16, to: i16, words: i16) {
        for i in 0..words {
            self.asm.load(8, R0, from, at + 8 * i);
            self.asm.store(RECORD, to + 8 * i, R0);
        }
    }

    fn key_address(&mut self, reg: Reg, point: PointId) {
        self.asm.mov(reg, RECORD);
        self.asm.alu_imm(Alu::Add, reg, i32::from(self.layout.points[point].scratch));
    }

    /// `r1` = the map, by way of the outer map where the table is cleared; kept at `place` of the stack then.
    fn table_map(&mut self, outer: MapId, cleared: bool, place: i16, next: Label, first: bool) {
        if !cleared {
            self.asm.load_map(R1, outer);
            return;
        }
        if first {
            let generation = self.generation;
            self.lookup(outer, KeyAt::Stack(generation));
            self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
            self.asm.store(FP, place, R0);
            self.asm.mov(R1, R0);
        } else {
            self.asm.load(8, R1, FP, place);
        }
    }

    /// `r0` = the value of the key at hand in a map of the table, made of what [`MapId::Fresh`] has at an offset if it
    /// is new; if there is no room, that is counted and `next` is where to go on.
    fn find_or_make(&mut self, map: MapId, table: usize, point: PointId, fresh: (u32, TableCounter), next: Label) {
        let (offset, full) = fresh;
        let cleared = self.plan.tables[table].cleared;
        let place = self.asm.alloc(8);
        let there = self.asm.label();
        self.table_map(map, cleared, place, next, true);
        self.key_address(R2, point);
        self.asm.call(helper::MAP_LOOKUP_ELEM);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, there);
        self.table_map(map, cleared, place, next, false);
        self.key_address(R2, point);
        self.asm.load_map_value(R3, MapId::Fresh, offset);
        self.asm.load_imm(R4, NOEXIST);
        self.asm.call(helper::MAP_UPDATE_ELEM);
        self.made_or_lost(table, full, next);
        self.table_map(map, cleared, place, next, false);
        self.key_address(R2, point);
        self.asm.call(helper::MAP_LOOKUP_ELEM);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, there);
        self.count_tables(table, TableCounter::NoMemory);
        self.asm.jump(next);
        self.asm.place(there);
        self.asm.release(8);
    }

    /// After an update in r0: goes on if it was made, here or by another CPU; else counts why not and goes to `next`.
    fn made_or_lost(&mut self, table: usize, full: TableCounter, next: Label) {
        let (made, memory) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::Eq, R0, 0, made);
        self.asm.jump_if_imm(Jump::Eq, R0, -EEXIST, made);
        self.asm.jump_if_imm(Jump::Ne, R0, -E2BIG, memory);
        self.count_tables(table, full);
        self.asm.jump(next);
        self.asm.place(memory);
        self.count_tables(table, TableCounter::NoMemory);
        self.asm.jump(next);
        self.asm.place(made);
    }

    fn update(&mut self, slot: &Slot, at: u32, value: i16, table: usize, point: PointId, done: Label) {
        let at = at as i16;
        match (&slot.of, slot.how) {
            (None, _) => self.add_to(value, at, None),
            (Some(of), SlotHow::Present) => {
                self.operand(of, slot.nullable, point, done);
                self.add_to(value, at, None);
            }
            (Some(of), SlotHow::Hist(_)) => {
                self.operand(of, slot.nullable, point, done);
                self.log2_bucket();
                self.count_bucket(LOG2_BUCKETS, value, at, done);
            }
            (Some(of), SlotHow::Linear(linear)) => {
                self.operand(of, slot.nullable, point, done);
                self.linear_bucket(linear);
                self.count_bucket(linear.all(), value, at, done);
            }
            (Some(of), SlotHow::Min | SlotHow::Max) => {
                self.operand(of, slot.nullable, point, done);
                self.extreme(slot.how == SlotHow::Min, at, value, table, done);
            }
            // Only streamed tables have these, and no rows in the kernel.
            (Some(_), SlotHow::Last | SlotHow::Distinct | SlotHow::Lru | SlotHow::Pinned | SlotHow::Slope) => {}
            (Some(of), SlotHow::Sum | SlotHow::Count) => {
                self.operand(of, slot.nullable, point, done);
                self.add_to(value, at, Some(R0));
            }
        }
    }

    /// Counts in bucket r0 of `buckets` that lie in the row.
    fn count_bucket(&mut self, buckets: u32, value: i16, at: i16, done: Label) {
        // Never taken; it tells the verifier that the bucket is within the row.
        self.asm.jump_if_imm(Jump::Gt, R0, buckets as i32 - 1, done);
        self.asm.alu_imm(Alu::Lsh, R0, 3);
        self.asm.load(8, R1, FP, value);
        self.asm.alu(Alu::Add, R1, R0);
        self.asm.load_imm(R0, 1);
        self.asm.atomic_add(R1, at, R0);
    }

    /// `r0` = the bucket of r0 in a range cut evenly; see [`crate::layout::linear_bucket_of`]. Uses r1.
    fn linear_bucket(&mut self, linear: Linear) {
        let (below, above, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.load_imm(R1, linear.lo);
        self.asm.jump_if(Jump::SLt, R0, R1, below);
        self.asm.load_imm(R1, linear.hi);
        self.asm.jump_if(Jump::SGe, R0, R1, above);
        self.asm.load_imm(R1, linear.lo);
        self.asm.alu(Alu::Sub, R0, R1);
        match linear.width() {
            Some(width) => self.asm.load_imm(R1, width),
            None => {
                self.asm.load_imm(R1, i64::from(linear.buckets));
                self.asm.alu(Alu::Mul, R0, R1);
                self.asm.load_imm(R1, linear.hi.wrapping_sub(linear.lo));
            }
        }
        self.asm.alu(Alu::SDiv, R0, R1);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.jump(end);
        self.asm.place(below);
        self.asm.load_imm(R0, 0);
        self.asm.jump(end);
        self.asm.place(above);
        self.asm.load_imm(R0, i64::from(linear.buckets) + 1);
        self.asm.place(end);
    }

    /// `r0 = of`; if it is absent, goes to `done`.
    fn operand(&mut self, of: &Expr, nullable: bool, point: PointId, done: Label) {
        let maybe = self.number(of, point, Phase::Close);
        self.skip_absent(maybe && nullable, done);
    }

    fn add_to(&mut self, value: i16, at: i16, by: Option<Reg>) {
        match by {
            Some(by) => self.asm.mov(R1, by),
            None => self.asm.load_imm(R1, 1),
        }
        self.asm.load(8, R2, FP, value);
        self.asm.atomic_add(R2, at, R1);
    }

    /// Keeps the smaller or larger of r0 and the slot, against other CPUs.
    fn extreme(&mut self, min: bool, at: i16, value: i16, table: usize, done: Label) {
        let better = if min { Jump::SLe } else { Jump::SGe };
        self.asm.mov(R1, R0);
        self.asm.load(8, R2, FP, value);
        self.asm.load(8, R0, R2, at);
        for _ in 0..TRIES {
            self.asm.jump_if(better, R0, R1, done);
            self.asm.mov(R3, R0);
            self.asm.cmpxchg(R2, at, R1);
            self.asm.jump_if(Jump::Eq, R0, R3, done);
        }
        self.count_table(table, TableCounter::Contended);
    }

    /// `r0` = the power of two of a positive r0. Uses r1 and r2.
    fn floor_log2(&mut self) {
        self.asm.mov(R1, R0);
        self.asm.load_imm(R0, 0);
        for shift in [32, 16, 8, 4, 2, 1] {
            let small = self.asm.label();
            self.asm.mov(R2, R1);
            self.asm.alu_imm(Alu::Rsh, R2, shift);
            self.asm.jump_if_imm(Jump::Eq, R2, 0, small);
            self.asm.alu_imm(Alu::Add, R0, shift);
            self.asm.mov(R1, R2);
            self.asm.place(small);
        }
    }

    /// `r0` = the bucket of r0 with one bucket per power of two; see [`crate::layout::bucket_of`].
    fn log2_bucket(&mut self) {
        let (positive, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::SGt, R0, 0, positive);
        // Zero has bucket 1, negative values have 0.
        self.asm.mov(R1, R0);
        self.asm.load_imm(R0, 1);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, end);
        self.asm.load_imm(R0, 0);
        self.asm.jump(end);
        self.asm.place(positive);
        self.floor_log2();
        self.asm.alu_imm(Alu::Add, R0, 2);
        self.asm.place(end);
    }

    /// `r0` = the bucket of r0 with 2^k buckets per power of two. Uses r1 to r4.
    fn fine_bucket(&mut self, k: u32) {
        let (positive, small, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.jump_if_imm(Jump::SGt, R0, 0, positive);
        self.asm.mov(R1, R0);
        self.asm.load_imm(R0, 1);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, end);
        self.asm.load_imm(R0, 0);
        self.asm.jump(end);
        self.asm.place(positive);
        self.asm.mov(R4, R0);
        self.floor_log2();
        // r4 the value, r0 its power n; the rest below 2^n, scaled to k bits.
        self.asm.load_imm(R1, 1);
        self.asm.alu(Alu::Lsh, R1, R0);
        self.asm.alu(Alu::Sub, R4, R1);
        self.asm.mov(R3, R0);
        self.asm.alu_imm(Alu::Lsh, R3, k as i32);
        self.asm.jump_if_imm(Jump::Lt, R0, k as i32, small);
        self.asm.alu_imm(Alu::Sub, R0, k as i32);
        self.asm.alu(Alu::Rsh, R4, R0);
        self.asm.mov(R0, R3);
        self.asm.alu(Alu::Add, R0, R4);
        self.asm.alu_imm(Alu::Add, R0, 2);
        self.asm.jump(end);
        self.asm.place(small);
        self.asm.load_imm(R1, i64::from(k));
        self.asm.alu(Alu::Sub, R1, R0);
        self.asm.alu(Alu::Lsh, R4, R1);
        self.asm.mov(R0, R3);
        self.asm.alu(Alu::Add, R0, R4);
        self.asm.alu_imm(Alu::Add, R0, 2);
        self.asm.place(end);
    }

    /// Counts a value in a histogram that has a map of its own, keyed by the row's key and the bucket.
    fn bucket_row(&mut self, slot: &Slot, table: usize, index: usize, point: PointId, done: Label) {
        let (Some(of), SlotHow::Hist(k)) = (&slot.of, slot.how) else { return };
        self.operand(of, slot.nullable, point, done);
        self.fine_bucket(k);
        let scratch = self.layout.points[point].scratch;
        let bucket = scratch + self.layout.tables[table].key_size as i16;
        self.asm.store(RECORD, bucket, R0);
        let fresh = (0, TableCounter::HistFull);
        self.find_or_make(MapId::Hist(table, index), table, point, fresh, done);
        self.asm.load_imm(R1, 1);
        self.asm.atomic_add(R0, 0, R1);
    }
}
