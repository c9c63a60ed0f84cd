//! The text of a program, for people and for golden tests: maps and counters by name, jumps by label, one instruction a
//! line. Nothing in it depends on a descriptor or on the order in which hash maps are walked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::Plan;

use crate::asm::{Code, MAY_GOTO, Reloc};
use crate::insn::{Insn, helper};
use crate::layout::{Layout, MapId, PointCounter, TABLE_CAUSES, TableCounter, counter};
use crate::object::{Action, Object, Program};

/// Columns that a label takes, and lines without one are indented by.
const INDENT: usize = 6;

/// What a program does, its sites and its code.
pub fn program(program: &Program, object: &Object, plan: &Plan) -> String {
    let mut text = String::new();
    let at = program.site.at.of();
    let symbols = program.site.symbols.join(" or ");
    // Writing into a string cannot fail.
    let _ = writeln!(text, "; {}", actions(program, plan));
    let _ = writeln!(text, "; at {at}{symbols}{}", if program.site.optional { " ?" } else { "" });
    let _ = writeln!(text, "; {} instructions", program.code.insns.len());
    text.push_str(&code(&program.code, &Names { plan, layout: &object.layout }));
    text
}

/// What a program does for its points: `open llama_decode, close ggml_op`.
pub fn actions(program: &Program, plan: &Plan) -> String {
    actions_of(&program.actions, plan)
}

/// Actions in words. The start of a sequence closes what is open and opens the next.
pub fn actions_of(actions: &[Action], plan: &Plan) -> String {
    let words = actions.iter().map(|action| {
        let point = &plan.points[action.point()];
        let verb = match (action, point.template) {
            (Action::Stop(_), _) => "close",
            (Action::Mark(_), _) => "mark",
            (Action::Start(..), Template::Enter) => "count",
            (Action::Start(..), Template::Rows) => "count each of",
            (Action::Start(..), Template::Span | Template::Call) => "open",
            (Action::Start(..), Template::Sequence) => "close and open",
            (Action::Start(..), Template::OffCpu) => "close one and open one",
            (Action::Start(..), Template::Fault) => "close",
            (Action::Start(..), Template::Disk | Template::Sample | Template::Tracepoint) => "count",
        };
        format!("{verb} {}", point.name)
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The maps and counters of a plan by name.
#[derive(Debug, Clone, Copy)]
pub struct Names<'p> {
    /// Whose points and tables.
    pub plan: &'p Plan,
    /// Where the counters lie.
    pub layout: &'p Layout,
}

impl Names<'_> {
    /// The name of a map. Unlike its name in the kernel it is not cut, so no two are alike.
    pub fn map(&self, id: MapId) -> String {
        let point = |p: usize| self.plan.points.get(p).map_or_else(|| p.to_string(), |p| p.name.clone());
        let table = |t| self.table(t);
        match id {
            MapId::Counters => "counters".to_owned(),
            MapId::Threads => "threads".to_owned(),
            MapId::State(p) => format!("open {}", point(p)),
            MapId::Series => "series".to_owned(),
            MapId::Parts(p) => format!("parts of {}", self.plan.points[p].name),
            MapId::Table(t) => format!("table {}", table(t)),
            MapId::Front(t) => format!("front of {}", table(t)),
            MapId::Hist(t, slot) => format!("buckets {}.{slot}", table(t)),
            MapId::Fresh => "fresh".to_owned(),
            MapId::Check(p) => format!("check {}", point(p)),
            MapId::Events => "events".to_owned(),
            MapId::Watched => "watched".to_owned(),
            MapId::Births => "births".to_owned(),
            MapId::WatchEvents => "watch events".to_owned(),
            MapId::Targets => "targets".to_owned(),
            MapId::Ranges => "ranges".to_owned(),
            MapId::Stacks => "stacks".to_owned(),
            MapId::Counted => "counted".to_owned(),
            MapId::Perf(counter) => format!("counter {counter}"),
        }
    }

    /// The name of a table; of several with one name all but the first have a number.
    fn table(&self, t: usize) -> String {
        let Some(table) = self.plan.tables.get(t) else { return t.to_string() };
        match self.plan.tables[..t].iter().filter(|before| before.name == table.name).count() {
            0 => table.name.clone(),
            n => format!("{}#{}", table.name, n + 1),
        }
    }

    /// A byte offset in the counters by the name of its word: `gate`, `ggml_op.events`, `ops.table_full`.
    fn counter(&self, offset: u32) -> String {
        let word = offset / 8;
        match word {
            counter::GATE => return "gate".to_owned(),
            counter::ALL_KNOWN => return "all_known".to_owned(),
            counter::ACTIVE => return "active".to_owned(),
            _ => {}
        }
        for (id, p) in self.plan.points.iter().enumerate() {
            let found = POINT_COUNTERS.iter().find(|(which, _)| self.layout.point_counter(id, *which) == word);
            if let Some((_, name)) = found {
                return format!("{}.{name}", p.name);
            }
        }
        for (id, p) in self.plan.points.iter().enumerate() {
            if p.mark.is_some() && self.layout.mark_counter(id) == word {
                return format!("{}.marked", p.name);
            }
        }
        for t in 0..self.plan.tables.len() {
            let generation = (TableCounter::Generation, "generation");
            let mut all = TABLE_CAUSES.iter().chain([&generation]);
            if let Some((_, name)) = all.find(|(which, _)| self.layout.table_counter(t, *which) == word) {
                return format!("{}.{name}", self.table(t));
            }
        }
        format!("word {word}")
    }

    fn reference(&self, reloc: &Reloc) -> String {
        match (reloc.map, reloc.value) {
            (map, None) => format!("map[{}]", self.map(map)),
            (MapId::Counters, Some(offset)) => format!("&counters[{}]", self.counter(offset)),
            (map, Some(0)) => format!("&map[{}]", self.map(map)),
            (map, Some(offset)) => format!("&map[{}] +{offset}", self.map(map)),
        }
    }
}

/// Names of the counters of a point.
const POINT_COUNTERS: [(PointCounter, &str); 10] = [
    (PointCounter::Hits, "hits"),
    (PointCounter::Events, "events"),
    (PointCounter::Cut, "cut"),
    (PointCounter::FailedRead, "failed_read"),
    (PointCounter::NoRoom, "no_room"),
    (PointCounter::Samples, "samples"),
    (PointCounter::Uncounted, "uncounted"),
    (PointCounter::NeverRan, "never_ran"),
    (PointCounter::Moved, "moved"),
    (PointCounter::Scaled, "scaled"),
];

/// The code alone, one instruction a line.
pub fn code(code: &Code, names: &Names<'_>) -> String {
    let insns = &code.insns;
    let relocs: BTreeMap<usize, &Reloc> = code.relocs.iter().map(|r| (r.at, r)).collect();
    let labels = labels(insns);
    let mut text = String::new();
    let mut at = 0;
    while at < insns.len() {
        let insn = insns[at];
        let wide = insn.code == LOAD_WIDE;
        let line = match relocs.get(&at) {
            Some(reloc) => format!("r{} = {}", insn.dst(), names.reference(reloc)),
            None if wide => {
                let high = insns.get(at + 1).map_or(0, |i| i.imm);
                wide_load(insn, high, at, &labels)
            }
            None => line(insn, at, &labels),
        };
        let label = labels.get(&at).map_or_else(String::new, |n| format!("L{n}:"));
        let _ = writeln!(text, "{label:<INDENT$}{line}");
        at += if wide { 2 } else { 1 };
    }
    text
}

/// A load of 64 bits, which takes two slots.
const LOAD_WIDE: u8 = 0x18;
/// A call: of a helper, or with a source register of a function.
const CALL: u8 = 0x85;
/// Source register of a call, or of a wide load, that means a function of this program.
const LOCAL_CALL: u8 = 1;
const LOCAL_FUNCTION: u8 = 4;
/// Source register of a call of a function of the kernel.
const KERNEL_CALL: u8 = 2;

/// Where jumps and calls lead, numbered in the order of the code.
fn labels(insns: &[Insn]) -> BTreeMap<usize, usize> {
    let mut targets = BTreeMap::new();
    let mut at = 0;
    while at < insns.len() {
        if let Some(target) = target(insns[at], at) {
            targets.insert(target, 0);
        }
        at += if insns[at].code == LOAD_WIDE { 2 } else { 1 };
    }
    targets.values_mut().enumerate().for_each(|(n, label)| *label = n + 1);
    targets
}

fn target(insn: Insn, at: usize) -> Option<usize> {
    let by = match (insn.code & 0x07, insn.code) {
        (_, LOAD_WIDE) if insn.src() == LOCAL_FUNCTION => insn.imm,
        (_, CALL) if insn.src() == LOCAL_CALL => insn.imm,
        (_, CALL | 0x95) => return None,
        (5 | 6, _) => i32::from(insn.off),
        _ => return None,
    };
    at.checked_add_signed(by as isize + 1)
}

fn wide_load(insn: Insn, high: i32, at: usize, labels: &BTreeMap<usize, usize>) -> String {
    if insn.src() == LOCAL_FUNCTION {
        return format!("r{} = function {}", insn.dst(), label(insn, at, labels));
    }
    let value = i64::from(high) << 32 | i64::from(insn.imm as u32);
    format!("r{} = {}", insn.dst(), number(value))
}

fn label(insn: Insn, at: usize, labels: &BTreeMap<usize, usize>) -> String {
    match target(insn, at).and_then(|t| labels.get(&t)) {
        Some(n) => format!("L{n}"),
        None => "?".to_owned(),
    }
}

/// The ends of the range have names: they stand for what is absent, and for rows without a value yet.
fn number(n: i64) -> String {
    match n {
        crate::layout::ABSENT => "ABSENT".to_owned(),
        n => n.to_string(),
    }
}

fn line(insn: Insn, at: usize, labels: &BTreeMap<usize, usize>) -> String {
    let Insn { code, off, imm, .. } = insn;
    let (dst, src) = (insn.dst(), insn.src());
    let place = |base: u8| format!("*({} *)(r{base} {off:+})", size(code));
    match code & 0x07 {
        // Loads and stores.
        1 => format!("r{dst} = {}", place(src)),
        2 => format!("{} = {imm}", place(dst)),
        3 if code & 0xe0 == 0xc0 => atomic(insn, &place(dst)),
        3 => format!("{} = r{src}", place(dst)),
        // Arithmetic, 32 and 64 bits.
        class @ (4 | 7) => {
            let r = if class == 7 { 'r' } else { 'w' };
            let by = if code & 0x08 == 0 { imm.to_string() } else { format!("{r}{src}") };
            match code & 0xf0 {
                0xb0 => format!("{r}{dst} = {by}"),
                0x80 => format!("{r}{dst} = -{r}{dst}"),
                op => format!("{r}{dst} {}= {by}", arithmetic(op, off)),
            }
        }
        class => match code {
            0x95 => "exit".to_owned(),
            CALL => match src {
                LOCAL_CALL => format!("call {}", label(insn, at, labels)),
                KERNEL_CALL => format!("call kernel function {imm}"),
                _ => match helper::name(imm) {
                    "?" => format!("call helper {imm}"),
                    name => format!("call {name}"),
                },
            },
            0x05 => format!("goto {}", label(insn, at, labels)),
            MAY_GOTO => format!("may_goto {}", label(insn, at, labels)),
            _ => {
                let r = if class == 5 { 'r' } else { 'w' };
                let by = if code & 0x08 == 0 { imm.to_string() } else { format!("{r}{src}") };
                format!("if {r}{dst} {} {by} goto {}", comparison(code & 0xf0), label(insn, at, labels))
            }
        },
    }
}

fn size(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

fn atomic(insn: Insn, place: &str) -> String {
    let src = insn.src();
    match insn.imm {
        0x00 => format!("lock {place} += r{src}"),
        0x01 => format!("r{src} = fetch_add({place}, r{src})"),
        0xe1 => format!("r{src} = xchg({place}, r{src})"),
        0xf1 => format!("r0 = cmpxchg({place}, r0, r{src})"),
        op => format!("r{src} = atomic({op:#x}, {place}, r{src})"),
    }
}

fn arithmetic(op: u8, off: i16) -> &'static str {
    match (op, off) {
        (0x00, _) => "+",
        (0x10, _) => "-",
        (0x20, _) => "*",
        (0x30, 0) => "/",
        (0x30, _) => "s/",
        (0x40, _) => "|",
        (0x50, _) => "&",
        (0x60, _) => "<<",
        (0x70, _) => ">>",
        (0x90, 0) => "%",
        (0x90, _) => "s%",
        (0xa0, _) => "^",
        (0xc0, _) => "s>>",
        _ => "?",
    }
}

fn comparison(op: u8) -> &'static str {
    match op {
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::{Alu, Asm, Jump};
    use crate::insn::{CTX, FP, R0, R1, R2, Reg};

    fn listed(build: impl FnOnce(&mut Asm)) -> String {
        let mut asm = Asm::new();
        build(&mut asm);
        asm.exit();
        let plan = Plan {
            engine: String::new(),
            points: Vec::new(),
            tables: Vec::new(),
            begin: Vec::new(),
            end: Vec::new(),
            timers: Vec::new(),
            enums: indexmap::IndexMap::new(),
            structs: indexmap::IndexMap::new(),
            reads: false,
        };
        let layout = Layout::new(&plan).unwrap();
        code(&asm.finish().unwrap(), &Names { plan: &plan, layout: &layout })
    }

    #[test]
    fn every_kind_of_instruction_has_its_text() {
        let text = listed(|asm| {
            let (back, end) = (asm.label(), asm.label());
            asm.place(back);
            asm.mov(CTX, R1);
            asm.load(4, R0, CTX, 112);
            asm.load(1, R0, FP, -8);
            asm.store(FP, -16, R0);
            asm.store_imm(FP, -24, 7);
            asm.store_byte(FP, -24, 255);
            asm.alu(Alu::SMod, R0, R2);
            asm.alu_imm(Alu::Arsh, R0, 32);
            asm.alu_imm(Alu::Neg, R0, 0);
            asm.load_imm(R0, -1);
            asm.load_imm(R1, 1 << 40);
            asm.load_imm(R1, crate::layout::ABSENT);
            asm.load_map(R1, MapId::Threads);
            asm.load_map_value(R2, MapId::Counters, 8);
            asm.atomic_add(R2, 0, R1);
            asm.atomic_fetch_add(R2, 0, R1);
            asm.cmpxchg(R2, 8, R1);
            asm.jump_if_imm(Jump::SGt, R0, 5, end);
            asm.jump_if(Jump::Lt, R0, Reg(3), back);
            asm.call(helper::PROBE_READ_USER);
            asm.call(9999);
            asm.jump(end);
            asm.place(end);
        });
        let expected = "\
L1:   r6 = r1
      r0 = *(u32 *)(r6 +112)
      r0 = *(u8 *)(r10 -8)
      *(u64 *)(r10 -16) = r0
      *(u64 *)(r10 -24) = 7
      *(u8 *)(r10 -24) = 255
      r0 s%= r2
      r0 s>>= 32
      r0 = -r0
      r0 = -1
      r1 = 1099511627776
      r1 = ABSENT
      r1 = map[threads]
      r2 = &counters[all_known]
      lock *(u64 *)(r2 +0) += r1
      r1 = fetch_add(*(u64 *)(r2 +0), r1)
      r0 = cmpxchg(*(u64 *)(r2 +8), r0, r1)
      if r0 s> 5 goto L2
      if r0 < r3 goto L1
      call probe_read_user
      call helper 9999
      goto L2
L2:   r0 = 0
      exit
";
        assert_eq!(text, expected);
    }
}
