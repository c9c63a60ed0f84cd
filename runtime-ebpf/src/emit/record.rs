//! Open records: filled when an event begins, told to tables and enclosing records when it ends.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::{Capture, CaptureValue, Expr, Series};
use profinfer_compiler::typed::{AccumHow, PointId, SeriesHow};

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{FP, NOW, R0, R1, R2, R3, RECORD, Reg, SLOT, helper};
use crate::layout::{ABSENT, ABSENT_TEXT, MapId, PointCounter, counter, record};

/// Offsets in a value of [`MapId::Series`].
mod series {
    pub(super) const COUNT: i16 = 0;
    /// From which position on the event after goes on.
    pub(super) const FROM_POS: i16 = 0;
    pub(super) const LAST_END: i16 = 8;
    /// Last position plus one; 0 while there is none.
    pub(super) const NEXT_POS: i16 = 16;
    /// When the run of positions at hand began: 0 while there is none, [`UNSEEN`] while its start was not seen.
    pub(super) const FIRST_START: i16 = 24;
    pub(super) const UNSEEN: i32 = -1;
}

/// Bytes of a key and a value of [`MapId::Series`].
pub(crate) const SERIES_KEY: u32 = 24;
/// Bytes of a value of [`MapId::Series`].
pub(crate) const SERIES_VALUE: u32 = 32;

impl Emit<'_> {
    /// Reads what is wanted of an event that begins; r8 is its record, r9 the time.
    ///
    /// A failed read leaves the record closed and goes to `failed`.
    pub(crate) fn open_record(&mut self, point: PointId, start: usize) -> Result<(), BuildError> {
        let p = &self.plan.points[point];
        let offsets = self.layout.points[point].captures.clone();
        // Until everything is read the record is not open.
        self.asm.store_imm(RECORD, record::START, 0);
        let reads = self.open_reads(point);
        self.read_blocks(&reads, point, start);
        self.gather_parts(point, start);
        for (i, c) in p.captures.iter().enumerate() {
            if let CaptureValue::Number(e) = &c.value {
                self.number(e, point, Phase::Open { start, stored: i });
                self.asm.store(RECORD, offsets[i], R0);
            }
        }
        let all = p.captures.len();
        let texts = self.asm.label();
        self.match_bits(point, Phase::Open { start, stored: all })?;
        let enclosing_needs = self.read_by_others(point);
        if !enclosing_needs && p.captures.iter().any(|c| !matches!(c.value, CaptureValue::Number(_))) {
            // No table wants it: its texts are not read.
            self.asm.load(8, R0, RECORD, record::MATCH);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, texts);
        }
        for (c, at) in p.captures.iter().zip(&offsets) {
            self.text_capture(c, *at, RECORD, point, Phase::Open { start, stored: all });
        }
        self.asm.place(texts);
        for (a, at) in p.accums.iter().zip(self.layout.points[point].accums.clone()) {
            match a.how {
                AccumHow::Last => {
                    self.asm.load_imm(R0, ABSENT);
                    self.asm.store(RECORD, at, R0);
                }
                AccumHow::Sum | AccumHow::Count => self.asm.store_imm(RECORD, at, 0),
            }
        }
        // Where each row is an event, its series are looked at when it ends.
        if !self.plan.points[point].has_rows_at_end() {
            self.open_series(point);
        }
        if let Some(at) = self.layout.points[point].mark {
            self.asm.store_imm(RECORD, at, 0);
        }
        self.open_counts(point);
        self.asm.store(RECORD, record::START, NOW);
        Ok(())
    }

    /// Stores a bit per table of the point whose conditions hold at the start.
    fn match_bits(&mut self, point: PointId, phase: Phase) -> Result<(), BuildError> {
        let tables: Vec<_> = self.plan.tables.iter().filter(|t| t.point == point).collect();
        if tables.len() > 64 {
            return Err(BuildError::TooManyTables(tables.len()));
        }
        let always =
            tables.iter().enumerate().filter(|(_, t)| t.open.is_empty()).fold(0u64, |bits, (i, _)| bits | 1 << i);
        if tables.iter().all(|t| t.open.is_empty()) {
            self.asm.load_imm(R0, always as i64);
            self.asm.store(RECORD, record::MATCH, R0);
            return Ok(());
        }
        let bits = self.asm.alloc(8);
        self.asm.load_imm(R0, always as i64);
        self.asm.store(FP, bits, R0);
        for (i, table) in tables.iter().enumerate().filter(|(_, t)| !t.open.is_empty()) {
            let no = self.asm.label();
            for condition in &table.open {
                let nullable = self.number(condition, point, phase);
                self.truth(nullable);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, no);
            }
            self.asm.load(8, R0, FP, bits);
            self.asm.load_imm(R1, 1 << i);
            self.asm.alu(Alu::Or, R0, R1);
            self.asm.store(FP, bits, R0);
            self.asm.place(no);
        }
        self.asm.load(8, R0, FP, bits);
        self.asm.store(RECORD, record::MATCH, R0);
        self.asm.release(8);
        Ok(())
    }

    /// Whether inner points read this one's record.
    fn read_by_others(&self, point: PointId) -> bool {
        self.plan.points.iter().enumerate().any(|(id, p)| id != point && p.used && p.within.contains(&point))
    }

    /// Copies a text to `to + at`, zeros behind its end. Numbers are left alone.
    pub(crate) fn text_capture(&mut self, c: &Capture, at: i16, to: Reg, point: PointId, phase: Phase) {
        match &c.value {
            CaptureValue::Number(_) => {}
            CaptureValue::ArgText(name, len) => self.kernel_text(name, *len, at, to, point),
            CaptureValue::Comm if self.plan.points[point].template == Template::OffCpu => self.name_of_other(at, to),
            CaptureValue::Comm => {
                self.asm.mov(R1, to);
                self.asm.alu_imm(Alu::Add, R1, i32::from(at));
                self.asm.load_imm(R2, 16);
                self.asm.call(helper::GET_CURRENT_COMM);
            }
            CaptureValue::Text(sources, len) => {
                // The slot is used again and again, and a short name must not keep a long one's tail.
                for i in 0..len.div_ceil(8) as i16 {
                    self.asm.store_imm(to, at + 8 * i, 0);
                }
                let done = self.asm.label();
                let mut certain = false;
                for (base, place) in sources {
                    let Some(offset) = self.target.offset(place).filter(|_| !self.lacks(base, point, phase)) else {
                        continue;
                    };
                    let next = self.asm.label();
                    certain = !self.address(base, point, phase, next);
                    self.asm.mov(R3, R0);
                    if offset != 0 {
                        self.asm.alu_imm(Alu::Add, R3, offset as i32);
                    }
                    self.asm.mov(R1, to);
                    self.asm.alu_imm(Alu::Add, R1, i32::from(at));
                    self.asm.load_imm(R2, i64::from(*len));
                    self.asm.call(helper::PROBE_READ_USER_STR);
                    let failed = self.failed;
                    self.asm.jump_if_imm(Jump::SLt, R0, 0, failed);
                    self.asm.jump(done);
                    self.asm.place(next);
                    if certain {
                        break;
                    }
                }
                if !certain {
                    self.asm.store_byte(to, at, i32::from(ABSENT_TEXT));
                }
                self.asm.place(done);
            }
        }
    }

    /// Whether an expression hangs on an argument that this start does not have.
    fn lacks(&self, e: &Expr, point: PointId, phase: Phase) -> bool {
        let Phase::Open { start, .. } = phase else { return false };
        match e {
            Expr::Arg(name) => !self.plan.points[point].starts[start].args.iter().any(|a| a.name == *name),
            Expr::Load { base, .. } => self.lacks(base, point, phase),
            _ => false,
        }
    }

    /// The event at hand ends: r8 is its record, r9 the time. Its record is not yet marked as closed.
    pub(crate) fn close_record(&mut self, point: PointId) {
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.mov(R0, NOW);
        self.asm.alu(Alu::Sub, R0, R1);
        self.asm.store(FP, self.dur, R0);
        self.close_counts(point);
        if !self.puts_aside(point) {
            // Else they are counted together.
            self.count_point(point, PointCounter::Events);
        }
        self.close_series(point);
        self.tell(point);
    }

    /// Tells enclosing records and tables of the event at hand.
    pub(crate) fn tell(&mut self, point: PointId) {
        self.gather(point);
        let tables: Vec<usize> = (0..self.plan.tables.len()).filter(|t| self.plan.tables[*t].point == point).collect();
        for (bit, table) in tables.into_iter().enumerate() {
            if self.layout.tables[table].keeps.is_empty() {
                continue;
            }
            let next = self.asm.label();
            if !self.plan.tables[table].open.is_empty() {
                self.asm.load(8, R0, RECORD, record::MATCH);
                self.asm.alu_imm(Alu::Rsh, R0, bit as i32);
                self.asm.alu_imm(Alu::And, R0, 1);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
            }
            for condition in &self.plan.tables[table].close {
                let nullable = self.number(condition, point, Phase::Close);
                self.truth(nullable);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
            }
            self.row(table, point, next);
            self.asm.place(next);
        }
    }

    /// Tells the enclosing records that gather over this point.
    fn gather(&mut self, point: PointId) {
        for (outer, p) in self.plan.points.iter().enumerate() {
            if !p.used || !self.target.has(outer) {
                continue;
            }
            let base = self.layout.points[outer].in_slot;
            for (i, a) in p.accums.iter().enumerate().filter(|(_, a)| a.of == point) {
                let skip = self.asm.label();
                self.asm.load(8, R0, SLOT, base + record::START);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, skip);
                let at = base + self.layout.points[outer].accums[i];
                match &a.value {
                    Some(value) => {
                        let nullable = self.number(value, point, Phase::Close);
                        if a.how == AccumHow::Sum {
                            self.skip_absent(nullable, skip);
                        }
                    }
                    None => self.asm.load_imm(R0, 1),
                }
                if self.plan.points[point].team.is_some() && a.how != AccumHow::Last {
                    // The threads of a team all write to the slot of thread 0.
                    self.asm.atomic_add(SLOT, at, R0);
                    self.asm.place(skip);
                    continue;
                }
                if a.how != AccumHow::Last {
                    // Only the slot's own thread writes here.
                    self.asm.load(8, R1, SLOT, at);
                    self.asm.alu(Alu::Add, R0, R1);
                }
                self.asm.store(SLOT, at, R0);
                self.asm.place(skip);
            }
        }
    }

    /// What is known of a series when an event begins.
    pub(crate) fn open_series(&mut self, point: PointId) {
        for (i, s) in self.plan.points[point].series.iter().enumerate() {
            let at = self.layout.points[point].series[i];
            self.asm.load_imm(R0, ABSENT);
            self.asm.store(RECORD, at, R0);
            let none = self.asm.label();
            match s.how {
                SeriesHow::Ordinal => {
                    self.series_value(point, i, none);
                    self.asm.load(8, R1, R0, series::COUNT);
                    self.asm.alu_imm(Alu::Add, R1, 1);
                    self.asm.store(R0, series::COUNT, R1);
                    self.asm.store(RECORD, at, R1);
                }
                SeriesHow::SinceEnd => {
                    self.series_value(point, i, none);
                    self.asm.load(8, R1, R0, series::LAST_END);
                    self.asm.jump_if_imm(Jump::Eq, R1, 0, none);
                    self.asm.mov(R2, NOW);
                    self.asm.alu(Alu::Sub, R2, R1);
                    self.asm.store(RECORD, at, R2);
                }
                SeriesHow::SincePos | SeriesHow::Advance => {}
                SeriesHow::SumBefore => {
                    let by = self.asm.alloc(8);
                    self.number(&s.inputs[0], point, Phase::Close);
                    self.asm.store(FP, by, R0);
                    self.series_value(point, i, none);
                    self.asm.load(8, R1, R0, series::COUNT);
                    self.asm.store(RECORD, at, R1);
                    self.asm.load(8, R2, FP, by);
                    self.asm.alu(Alu::Add, R1, R2);
                    self.asm.store(R0, series::COUNT, R1);
                    self.asm.release(8);
                }
                SeriesHow::SinceFirst => self.open_since_first(s, point, i, none),
            }
            self.asm.place(none);
        }
    }

    /// What becomes known of a series when an event ends.
    pub(crate) fn close_series(&mut self, point: PointId) {
        for (i, s) in self.plan.points[point].series.iter().enumerate() {
            let none = self.asm.label();
            match s.how {
                SeriesHow::Ordinal | SeriesHow::SumBefore => {}
                SeriesHow::SinceEnd => {
                    self.series_value(point, i, none);
                    self.asm.store(R0, series::LAST_END, NOW);
                }
                SeriesHow::SincePos | SeriesHow::Advance => self.close_since_pos(s, point, i, none),
                SeriesHow::SinceFirst => self.close_since_first(s, point, i, none),
            }
            self.asm.place(none);
        }
    }

    /// Time since the event before, or the number of positions that it has gained, where this one goes on there. What has no position ends the series.
    fn close_since_pos(&mut self, s: &Series, point: PointId, index: usize, none: Label) {
        let at = self.layout.points[point].series[index];
        let places = [self.asm.alloc(8), self.asm.alloc(8), self.asm.alloc(8)];
        for (input, place) in s.inputs.iter().zip(places) {
            self.number(input, point, Phase::Close);
            self.asm.store(FP, place, R0);
        }
        let [first, from, last] = places;
        self.series_value(point, index, none);
        let (keep, there) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R2, FP, first);
        self.asm.load_imm(R3, ABSENT);
        self.asm.jump_if(Jump::Ne, R2, R3, there);
        self.asm.store_imm(R0, series::NEXT_POS, 0);
        self.asm.jump(none);
        self.asm.place(there);
        self.asm.load(8, R1, R0, series::NEXT_POS);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, keep);
        self.asm.jump_if(Jump::SGt, R2, R1, keep);
        self.asm.load(8, R1, R0, series::FROM_POS);
        self.asm.jump_if(Jump::SLt, R2, R1, keep);
        if s.how == SeriesHow::SincePos {
            self.asm.load(8, R1, R0, series::LAST_END);
            self.asm.mov(R2, NOW);
        }
        self.asm.alu(Alu::Sub, R2, R1);
        if s.how == SeriesHow::Advance {
            self.asm.alu_imm(Alu::Add, R2, 1);
        }
        self.asm.store(RECORD, at, R2);
        self.asm.place(keep);
        self.asm.load(8, R1, FP, last);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.store(R0, series::NEXT_POS, R1);
        self.asm.load(8, R1, FP, from);
        self.asm.store(R0, series::FROM_POS, R1);
        self.asm.store(R0, series::LAST_END, NOW);
        places.into_iter().for_each(|_| self.asm.release(8));
    }

    /// Starts the clock of a [`SeriesHow::SinceFirst`] where the event is the first of a run of positions.
    ///
    /// An event that does not go on where the one before ended has left an unfinished run behind. What came before the
    /// first event seen of a series is known only if that is at position 0.
    fn open_since_first(&mut self, s: &Series, point: PointId, index: usize, none: Label) {
        let (opens, first) = (self.asm.alloc(8), self.asm.alloc(8));
        let nullable = self.number(&s.inputs[0], point, Phase::Close);
        self.truth(nullable);
        self.asm.store(FP, opens, R0);
        self.number(&s.inputs[2], point, Phase::Close);
        self.asm.store(FP, first, R0);
        self.series_value(point, index, none);
        let (goes_on, seen, start) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.load(8, R1, R0, series::NEXT_POS);
        self.asm.load(8, R2, FP, first);
        self.asm.jump_if(Jump::Eq, R1, R2, goes_on);
        self.asm.jump_if_imm(Jump::Ne, R1, 0, seen);
        self.asm.store_imm(R0, series::FIRST_START, series::UNSEEN);
        self.asm.jump(none);
        self.asm.place(seen);
        self.asm.store_imm(R0, series::FIRST_START, 0);
        self.asm.jump(start);
        self.asm.place(goes_on);
        self.asm.load(8, R1, R0, series::FIRST_START);
        self.asm.jump_if_imm(Jump::Ne, R1, 0, none);
        self.asm.place(start);
        self.asm.load(8, R1, FP, opens);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, none);
        self.asm.store(R0, series::FIRST_START, NOW);
        self.asm.release(8);
        self.asm.release(8);
    }

    /// Reads the clock of a [`SeriesHow::SinceFirst`] where the event is the one waited for, and notes where it ended.
    fn close_since_first(&mut self, s: &Series, point: PointId, index: usize, none: Label) {
        let (done, last) = (self.asm.alloc(8), self.asm.alloc(8));
        let nullable = self.number(&s.inputs[1], point, Phase::Close);
        self.truth(nullable);
        self.asm.store(FP, done, R0);
        self.number(&s.inputs[3], point, Phase::Close);
        self.asm.store(FP, last, R0);
        self.series_value(point, index, none);
        self.asm.load(8, R1, FP, last);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.store(R0, series::NEXT_POS, R1);
        self.asm.load(8, R1, FP, done);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, none);
        self.asm.load(8, R1, R0, series::FIRST_START);
        self.asm.store_imm(R0, series::FIRST_START, 0);
        self.asm.jump_if_imm(Jump::SLe, R1, 0, none);
        self.asm.mov(R2, NOW);
        self.asm.alu(Alu::Sub, R2, R1);
        self.asm.store(RECORD, self.layout.points[point].series[index], R2);
        self.asm.release(8);
        self.asm.release(8);
    }

    /// `r0` = the value kept for the series of these keys; made if there is none.
    fn series_value(&mut self, point: PointId, index: usize, without: Label) {
        let s = &self.plan.points[point].series[index];
        let key = self.asm.alloc(SERIES_KEY);
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        // Which series of which point, beside the process.
        let id = ((point as i64) << 8 | index as i64) << 32;
        self.asm.load_imm(R1, id);
        self.asm.alu(Alu::Or, R0, R1);
        self.asm.store(FP, key, R0);
        for (i, place) in [key + 8, key + 16].into_iter().enumerate() {
            match s.keys.get(i) {
                Some(e) => {
                    self.number(e, point, Phase::Close);
                    self.asm.store(FP, place, R0);
                }
                None => self.asm.store_imm(FP, place, 0),
            }
        }
        self.lookup_or_begin(MapId::Series, KeyAt::Stack(key), without);
        self.asm.release(SERIES_KEY);
    }

    /// Adds to the number of open steps.
    pub(crate) fn steps(&mut self, by: i64) {
        self.asm.load_map_value(R0, MapId::Counters, counter::ACTIVE * 8);
        self.asm.load_imm(R1, by);
        self.asm.atomic_add(R0, 0, R1);
    }
}
