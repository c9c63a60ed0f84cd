//! The Plan: plain data that says what is probed, what the kernel keeps and what user space makes of it.
//!
//! It knows no file, no offset of a site and no operator number: those come with the target.

mod column;
mod node;

pub use column::{Ceiling, ColumnExpr, OutColumn};
pub use node::{Node, Source, Under, Value};
use profinfer_lang::span::Span;

use crate::catalogue::{self, Called, Enum, Start, Stop, Struct, Template};
use crate::counter::Counter;
use crate::pattern::Pattern;
use crate::typed::{AccumHow, CallValue, PartHow, Place, PointId, SeriesHow};
use crate::types::{ArithOp, CmpOp, Mem, Type};

/// A compiled script.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The engine description it was compiled against.
    pub engine: String,
    /// All points of the engine, by [`PointId`]; only those with `used` are probed.
    pub points: Vec<Point>,
    /// What clauses gather.
    pub tables: Vec<Table>,
    /// What is done before counting begins.
    pub begin: Vec<Action>,
    /// What is done when it ends.
    pub end: Vec<Action>,
    /// What is done at times.
    pub timers: Vec<Timer>,
    /// Enums of the engine, whose words the target may number anew.
    pub enums: indexmap::IndexMap<String, Enum>,
    /// Structs of the engine.
    pub structs: indexmap::IndexMap<String, Struct>,
    /// Memory is read as the script says, which nothing checks.
    pub reads: bool,
}

/// A point as the script uses it.
#[derive(Debug, Clone)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Whether anything of it is needed.
    pub used: bool,
    /// Whether a clause stands on it, without which the target is not worth attaching to.
    pub wanted: bool,
    /// All clauses on it are marked `?`.
    pub optional: bool,
    /// How its events come about.
    pub template: Template,
    /// Where an event begins.
    pub starts: Vec<Start>,
    /// Where the open one ends.
    pub stops: Vec<Stop>,
    /// What an open event is kept under.
    pub state_by: Vec<Expr>,
    /// Whether events are put aside when they end, and read when there are enough of them or the stop comes: what they are
    /// of lasts until then. See [`crate::aside`].
    pub aside: bool,
    /// Hits that do not satisfy it are left at once.
    pub only: Option<Expr>,
    /// What does not satisfy it when it ends is no event.
    pub only_return: Option<Expr>,
    /// Where an open event goes over from work to waiting, where a script asks for it.
    pub mark: Option<Mark>,
    /// How many threads have a part each, where each has an event of its own; its number is the last of `state_by`.
    pub team: Option<Expr>,
    /// Captures that are the numbers of rows and of columns, where its events are a matrix's elements (of a span, rows in
    /// one column).
    pub each: Option<[usize; 2]>,
    /// What an event is put together of, where a script asks for it.
    pub parts: Option<Parts>,
    /// Points that may enclose it, innermost first.
    pub within: Vec<PointId>,
    /// When its events count.
    pub gate: Gate,
    /// Whether it is the engine's step: counting covers whole ones.
    pub step: bool,
    /// What is read when an event begins, in this order.
    pub captures: Vec<Capture>,
    /// What is gathered from inner points.
    pub accums: Vec<Accum>,
    /// What is carried from event to event.
    pub series: Vec<Series>,
    /// What its events' threads count.
    pub counters: Vec<Counter>,
    /// What must hold of the first events.
    pub checks: Vec<Check>,
    /// Why it may attach and never fire.
    pub silent: Option<String>,
    /// The script describes it, not the engine's description.
    pub of_script: bool,
    /// The function that the script names for it; none for points of the engine.
    pub called: Option<Called>,
}

impl Point {
    /// Whether its events may come at any moment of a thread: what encloses them is what the thread has open then.
    pub fn comes_anywhere(&self) -> bool {
        self.called.is_some() || self.template.is_kernel()
    }

    /// Whether any of what is read when its event begins is this argument, or what is decided then hangs on it.
    pub fn reads(&self, argument: &str, tables: &[Table], id: PointId) -> bool {
        let captured = self.captures.iter().any(|c| match &c.value {
            CaptureValue::Number(e) => e.names(argument),
            CaptureValue::ArgText(name, _) => name == argument,
            CaptureValue::Text(..) | CaptureValue::Comm => false,
        });
        let conditions = tables.iter().filter(|t| t.point == id).flat_map(|t| &t.open);
        captured || conditions.chain(&self.only).any(|e| e.names(argument))
    }

    /// Whether its events are spans of which each has an event for every row, when it ends.
    pub fn has_rows_at_end(&self) -> bool {
        self.template == Template::Span && self.each.is_some()
    }
}

/// A mark that a script needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where.
    pub site: catalogue::Mark,
    /// The field that it is needed for: `busy`.
    pub field: String,
}

/// The parts of an event, and what is put together of them when it begins.
#[derive(Debug, Clone)]
pub struct Parts {
    /// How many there are.
    pub number: Expr,
    /// The row that the part at hand belongs to.
    pub row: Expr,
    /// What is put together.
    pub gathered: Vec<Gathered>,
}

/// Something put together of parts.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// How the script sees it.
    pub text: String,
    /// How.
    pub how: PartHow,
    /// What is taken of each part (none for a count).
    pub value: Option<Expr>,
}

/// Two are the same when they put the same together, whatever they are called.
impl PartialEq for Gathered {
    fn eq(&self, other: &Self) -> bool {
        (self.how, &self.value) == (other.how, &other.value)
    }
}

/// When events of a point count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// As soon as everything is attached.
    Run,
    /// Inside an event of that point that counts.
    Inside(PointId),
    /// Inside an event of the step point that counts, or outside of any that was cut by attaching.
    Step(PointId),
}

/// Something read at the start of an event and kept until its end.
#[derive(Debug, Clone)]
pub struct Capture {
    /// How the script sees it.
    pub text: String,
    /// What is read.
    pub value: CaptureValue,
    /// Its type.
    pub ty: Type,
}

/// Two captures are the same when they read the same, whatever they are called.
impl PartialEq for Capture {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ty == other.ty
    }
}

/// What a capture reads.
#[derive(Debug, Clone, PartialEq)]
pub enum CaptureValue {
    /// A number, 8 bytes.
    Number(Expr),
    /// Text at the first of these addresses (pointer, place) that is there, `len` bytes, zeros behind its end.
    Text(Vec<(Expr, Place)>, u32),
    /// The thread's name, 16 bytes.
    Comm,
    /// A text among the start's arguments, by name, so many bytes, zeros behind its end.
    ArgText(String, u32),
}

impl Capture {
    /// Bytes it takes in a record, a multiple of 8.
    pub fn bytes(&self) -> u32 {
        match &self.value {
            CaptureValue::Number(_) => 8,
            CaptureValue::Text(_, len) => len.next_multiple_of(8),
            CaptureValue::Comm => 16,
            CaptureValue::ArgText(_, len) => len.next_multiple_of(8),
        }
    }
}

/// Something gathered from inner events.
#[derive(Debug, Clone)]
pub struct Accum {
    /// How the script sees it.
    pub text: String,
    /// How.
    pub how: AccumHow,
    /// The inner point.
    pub of: PointId,
    /// The value at the end of the inner event; none for a count.
    pub value: Option<Expr>,
}

/// Two gathered values are the same when they gather the same, whatever they are called.
impl PartialEq for Accum {
    fn eq(&self, other: &Self) -> bool {
        (self.how, self.of, &self.value) == (other.how, other.of, &other.value)
    }
}

/// Something carried along a series.
#[derive(Debug, Clone)]
pub struct Series {
    /// How the script sees it.
    pub text: String,
    /// How.
    pub how: SeriesHow,
    /// Numbers fed to it.
    pub inputs: Vec<Expr>,
    /// Its keys beside the process.
    pub keys: Vec<Expr>,
}

/// Two carried values are the same when they carry the same, whatever they are called.
impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        (self.how, &self.inputs, &self.keys) == (other.how, &other.inputs, &other.keys)
    }
}

/// A layout check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is read for it.
    pub leaves: Vec<Capture>,
    /// The condition over the leaves.
    pub condition: UserExpr,
    /// As the description writes it.
    pub text: String,
    /// What it says of the layout.
    pub message: String,
}

/// One, as the kernel has ratios: signed fixed-point numbers with 32 bits behind the point.
pub const FIXED_ONE: i64 = 1 << 32;

/// A number the kernel computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Const(i64),
    /// Nothing.
    Absent,
    /// The number of an enum's word.
    Word(String, String),
    /// An argument of the start, by name; absent at a start that lacks it.
    Arg(String),
    /// A number in the target's memory.
    Load {
        /// The pointer.
        base: Box<Expr>,
        /// Where behind it.
        place: Place,
        /// A run-time index, in units of so many bytes.
        index: Option<(Box<Expr>, u32)>,
        /// Its form.
        mem: Mem,
    },
    /// A capture of a point's open record.
    Capture(PointId, usize),
    /// A gathered value of a point's open record.
    Accum(PointId, usize),
    /// A carried value of a point's open record.
    Series(PointId, usize),
    /// The event's duration in ns.
    Dur,
    /// From the event's start to the last hit of its point's mark, in ns; absent if there was none.
    UntilMark,
    /// When a point's open record began.
    Start(PointId),
    /// The number of the row (0) or column (1) of the element at hand.
    Element(usize),
    /// The number of the part at hand.
    PartIndex,
    /// Something put together of the parts of a point's open record.
    Part(PointId, usize),
    /// The fixed-point number that these bits of a single-precision float are: see [`FIXED_ONE`].
    Float32(Box<Expr>),
    /// What is known of a call of the point at hand.
    Call(CallValue),
    /// What the thread counted during the event, by its place among the counters of the point.
    Counter(usize),
    /// How many whole steps of so many parts (the first) of a whole (the second) a fixed-point number has, rounded down;
    /// absent where the number times the second leaves 64 bits.
    Steps(Box<Expr>, i64, i64),
    /// The call stack of the thread where the event of the point at hand begins, in its own code: the process (high half) and
    /// the number of the stack.
    Stack,
    /// Process id.
    Pid,
    /// Thread id.
    Tid,
    /// CPU.
    Cpu,
    /// Minus.
    Neg(Box<Expr>),
    /// 1 if it is 0, else 0.
    Not(Box<Expr>),
    /// 1 if it is not absent, else 0.
    Has(Box<Expr>),
    /// Arithmetic; absent if an operand is.
    Arith(ArithOp, Box<[Expr; 2]>),
    /// 1 or 0; 0 if an operand is absent.
    Cmp(CmpOp, Box<[Expr; 2]>),
    /// 1 or 0.
    And(Box<[Expr; 2]>),
    /// 1 or 0.
    Or(Box<[Expr; 2]>),
    /// Condition, then, else.
    If(Box<[Expr; 3]>),
    /// The first that is not absent.
    First(Vec<Expr>),
    /// 1 if it matches, else 0; the enum's name where words are to be numbered.
    Matches(Box<Expr>, Option<String>, Pattern),
}

impl Expr {
    /// Whether it or a part of it is so.
    pub fn any(&self, is: &dyn Fn(&Expr) -> bool) -> bool {
        is(self) || self.parts().into_iter().any(|part| part.any(is))
    }

    /// The expressions that it is directly made of.
    pub fn parts(&self) -> Vec<&Expr> {
        match self {
            Self::Load { base, index, .. } => {
                let index = index.iter().map(|(index, _)| &**index);
                std::iter::once(&**base).chain(index).collect()
            }
            Self::Neg(a)
            | Self::Not(a)
            | Self::Has(a)
            | Self::Matches(a, ..)
            | Self::Float32(a)
            | Self::Steps(a, ..) => vec![a],
            Self::Arith(_, ab) | Self::Cmp(_, ab) | Self::And(ab) | Self::Or(ab) => ab.iter().collect(),
            Self::If(c) => c.iter().collect(),
            Self::First(all) => all.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether an argument of that name is in it.
    pub fn names(&self, argument: &str) -> bool {
        self.any(&|e| matches!(e, Self::Arg(name) if name == argument))
    }

    /// Whether a call stack is in it.
    pub fn has_stack(&self) -> bool {
        self.any(&|e| matches!(e, Self::Stack))
    }
}

/// An expression of user space over the key fields of a row (or the leaves of a check).
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are those of `typed::Kind` that reach user space")]
pub enum UserExpr {
    Field(usize),
    Int(i64),
    Float(f64),
    Str(String),
    Bool(bool),
    Absent,
    EnumCount(String),
    First(Vec<UserExpr>),
    If(Box<[UserExpr; 3]>),
    Arith(ArithOp, Box<[UserExpr; 2]>),
    Cmp(CmpOp, Box<[UserExpr; 2]>),
    And(Box<[UserExpr; 2]>),
    Or(Box<[UserExpr; 2]>),
    Not(Box<UserExpr>),
    Neg(Box<UserExpr>),
    Has(Box<UserExpr>),
    Matches(Box<UserExpr>, Pattern),
    NumberAfter(Box<UserExpr>, String),
    Select(Box<UserExpr>, Vec<(String, UserExpr)>),
    Concat(Vec<UserExpr>),
    Readable(Box<UserExpr>),
    /// A field of the script by its name, and what it stands for.
    Named(String, Box<UserExpr>),
}

/// A table: what one group of a clause gathers.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The table whose rows these stand with: itself, or the first of that name.
    pub shown_with: usize,
    /// The table whose rows these add to: itself, or the first of that name with the same columns.
    pub adds_to: usize,
    /// The point whose events it gathers.
    pub point: PointId,
    /// Conditions known when an event begins.
    pub open: Vec<Expr>,
    /// Conditions known when it ends.
    pub close: Vec<Expr>,
    /// A condition only user space can decide, over the key fields.
    pub user: Option<UserExpr>,
    /// The key as it lies in the kernel.
    pub key: Vec<KeyField>,
    /// The keys as shown, over the key fields.
    pub keys: Vec<OutKey>,
    /// The value as it lies in the kernel.
    pub slots: Vec<Slot>,
    /// The columns as shown, over the slots.
    pub columns: Vec<OutColumn>,
    /// Whether its events are sent one by one, and its rows kept by user space.
    pub streamed: bool,
    /// What is done at each event, if it is no table at all: then nothing is gathered. Its `keys` are what is known of the
    /// event.
    pub each: Option<Each>,
    /// The context of an event, where a slot needs it: what its process is not enough to tell apart.
    pub context: Option<Expr>,
    /// Rows it may have.
    pub limit: u64,
    /// Whether the script clears it.
    pub cleared: bool,
    /// Where its group stands.
    pub span: Span,
}

/// What is done at each event.
#[derive(Debug, Clone, PartialEq)]
pub enum Each {
    /// A record of it goes into the stream.
    Print(Vec<PrintPart>),
    /// It is a slice of a timeline.
    Slice(Slice),
    /// It gives a gauge of a timeline its value.
    Gauge(Gauge),
    /// It is a node of a graph, which user space puts together.
    Node(Box<Node>),
    /// `show`, `clear`, `exit`, as one step.
    Act(Vec<Action>),
    /// It is kept in a recording, as its key lies in the kernel.
    Record,
}

/// An event as a slice of a timeline. Numbers without a type of their own are indices of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// What stands on it.
    pub label: Vec<PrintPart>,
    /// The track of the process that it lies on; empty for that of its thread.
    pub track: Vec<PrintPart>,
    /// What else is to be known of it.
    pub details: Vec<usize>,
    /// How long the event took.
    pub dur: usize,
    /// Times that the event is made of, one after the other.
    pub parts: Vec<usize>,
    /// The thread.
    pub tid: usize,
    /// The thread's name, where the slice lies on its track.
    pub comm: Option<usize>,
    /// The point around it whose slices it belongs to, and when that event began.
    pub within: Option<(PointId, usize)>,
    /// Others belong to it in this way.
    pub encloses: bool,
}

/// A number of an event as the value of a gauge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// What the gauge is called.
    pub label: Vec<PrintPart>,
    /// The track of the process that it stands under; empty for the process itself.
    pub track: Vec<PrintPart>,
    /// Its value, a key.
    pub value: usize,
}

/// A part of what is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrintPart {
    /// Text of the script.
    Text(String),
    /// A key, by its index.
    Key(usize),
}

/// Part of a key in the kernel.
#[derive(Debug, Clone)]
pub struct KeyField {
    /// How the script sees it.
    pub text: String,
    /// Where it comes from.
    pub source: KeySource,
    /// Its type.
    pub ty: Type,
}

/// Two parts are the same when they come from the same place, whatever they are called.
impl PartialEq for KeyField {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.ty == other.ty
    }
}

impl KeyField {
    /// Bytes it takes in the key, a multiple of 8.
    pub fn bytes(&self) -> u32 {
        match &self.source {
            KeySource::Number(_) => 8,
            KeySource::Text(_, _, len) => len.next_multiple_of(8),
        }
    }
}

/// Where part of a key comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// A number, 8 bytes.
    Number(Expr),
    /// A text capture of a point: point, index, bytes.
    Text(PointId, usize, u32),
}

/// A key as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct OutKey {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its value.
    pub value: UserExpr,
}

/// Part of a row's value in the kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// How it is kept.
    pub how: SlotHow,
    /// What is kept (none for a count).
    pub of: Option<Expr>,
    /// Whether `of` may be absent, in which case it is skipped.
    pub nullable: bool,
    /// Whether it is a ratio, kept as a fixed-point number: see [`FIXED_ONE`].
    pub fixed: bool,
    /// What it is held against (a slope's other axis), or what caches are told apart by.
    pub against: Option<Expr>,
    /// Whether that is a ratio.
    pub against_fixed: bool,
    /// What user space makes of the key fields, where `of` is that: the kernel counts the events of each key.
    pub derived: Option<UserExpr>,
    /// The same for `against`.
    pub against_derived: Option<UserExpr>,
    /// Whether not `of` itself is kept but its difference to the event before with the same key, process and context.
    pub gap: bool,
}

/// How part of a row's value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotHow {
    /// Number of events.
    Count,
    /// Number of events in which it is not absent.
    Present,
    /// Sum.
    Sum,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Histogram with 2^k buckets per power of two.
    Hist(u32),
    /// Histogram with buckets of one width.
    Linear(Linear),
    /// The last one that is not absent. In streamed tables only, as are those that follow.
    Last,
    /// The different values.
    Distinct,
    /// How deep in a stack of least recent use each value was found, per process, context and `against`.
    Lru,
    /// How often each value came, per process, context and `against`.
    Pinned,
    /// Sums for a straight line through the points (`against`, `of`).
    Slope,
}

/// A range cut into buckets of one width. What is below has a bucket of its own, and so has what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Linear {
    /// The lowest value of the first bucket.
    pub lo: i64,
    /// One above the highest value of the last.
    pub hi: i64,
    /// How many buckets are between.
    pub buckets: u32,
}

impl Linear {
    /// How many buckets there are, with those below and above.
    pub fn all(self) -> u32 {
        self.buckets + 2
    }

    /// The width, where that is whole.
    pub fn width(self) -> Option<i64> {
        let range = self.hi.wrapping_sub(self.lo);
        (range % i64::from(self.buckets) == 0).then_some(range / i64::from(self.buckets))
    }
}

impl SlotHow {
    /// Whether it is a histogram.
    pub fn is_histogram(self) -> bool {
        matches!(self, Self::Hist(_) | Self::Linear(_))
    }

    /// Whether the kernel cannot keep it in a row: the table's events are sent one by one.
    pub fn is_streamed(self) -> bool {
        matches!(self, Self::Last | Self::Distinct | Self::Lru | Self::Pinned | Self::Slope)
    }

    /// Whether it keeps something for each context by itself.
    pub fn is_per_context(self) -> bool {
        matches!(self, Self::Lru | Self::Pinned)
    }
}

impl Slot {
    /// A slot that counts events.
    pub fn count() -> Self {
        Self {
            how: SlotHow::Count,
            of: None,
            nullable: false,
            fixed: false,
            against: None,
            against_fixed: false,
            derived: None,
            against_derived: None,
            gap: false,
        }
    }

    /// What is sent of an event for it, in a streamed table.
    pub fn values(&self) -> impl Iterator<Item = &Expr> {
        self.of.iter().chain(&self.against)
    }
}

/// Something done in user space.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Show a table.
    Show(Show),
    /// Empty a table.
    Clear(usize),
    /// End the run.
    Exit,
}

/// How a table is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    /// Index in [`Plan::tables`].
    pub table: usize,
    /// `table`, `hist`, `heatmap`, `flame`, `text`, `json` or `csv`.
    pub view: View,
    /// Rows at most.
    pub top: Option<u64>,
    /// Key or column to sort by, and whether largest first.
    pub sort: Option<(SortBy, bool)>,
    /// File below the output folder.
    pub to: Option<String>,
}

/// What a table is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// A key.
    Key(usize),
    /// A column.
    Column(usize),
}

/// The views of `show … as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is its own word")]
pub enum View {
    #[default]
    Table,
    Hist,
    Heatmap,
    Flame,
    Text,
    Json,
    Csv,
}

/// Something done at times.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// Nanoseconds.
    pub period_ns: u64,
    /// Again and again (`every`), or once (`after`).
    pub repeats: bool,
    /// What is done, as one step.
    pub actions: Vec<Action>,
}

impl Plan {
    /// What threads count during events, each counter once.
    pub fn counters(&self) -> Vec<Counter> {
        let mut all: Vec<Counter> =
            self.points.iter().filter(|p| p.used).flat_map(|p| p.counters.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether there is nothing to measure in a process without the engine: points of it are needed, or no others are there.
    pub fn needs_engine(&self) -> bool {
        let mut used = self.points.iter().filter(|p| p.used);
        // One that only serves those that may be missing may be missing, too.
        let optional = |p: &Point| !p.of_script && p.wanted && p.optional;
        let serves = |id: PointId, q: &Point| q.within.contains(&id) || q.accums.iter().any(|a| a.of == id);
        let served: Vec<&Point> = self.points.iter().filter(|p| p.used && optional(p)).collect();
        let needed = |(id, p): (PointId, &Point)| {
            let serves = !p.wanted && served.iter().any(|q| serves(id, q));
            p.used && !p.of_script && !optional(p) && !serves
        };
        self.points.iter().enumerate().any(needed) || !used.any(|p| p.of_script)
    }

    /// Whether any column asks what the machine can do at most.
    pub fn asks_ceilings(&self) -> bool {
        let columns = self.tables.iter().flat_map(|t| &t.columns);
        columns.into_iter().any(|c| c.value.any(&|e| matches!(e, ColumnExpr::Ceiling(..))))
    }

    /// Whether any table is shown by the script itself.
    pub fn shows(&self, table: usize) -> bool {
        self.actions().any(|a| matches!(a, Action::Show(s) if s.table == table))
    }

    /// Whether call stacks of the events of a point are kept.
    pub fn has_stacks(&self, point: PointId) -> bool {
        let p = &self.points[point];
        let captured = p.captures.iter().any(|c| matches!(&c.value, CaptureValue::Number(e) if e.has_stack()));
        p.used
            && (captured || self.tables.iter().filter(|t| t.point == point).flat_map(|t| &t.open).any(Expr::has_stack))
    }

    /// All that is done, at whatever time.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let at_events = self.tables.iter().filter_map(|t| match &t.each {
            Some(Each::Act(actions)) => Some(actions),
            _ => None,
        });
        let at_times = self.timers.iter().map(|t| &t.actions);
        [&self.begin, &self.end].into_iter().chain(at_times).chain(at_events).flatten()
    }

    /// What is shown as a table of its own: of groups with one name, the first.
    pub fn shown_tables(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.tables.len()).filter(|t| self.tables[*t].shown_with == *t && self.tables[*t].each.is_none())
    }

    /// The groups of columns that stand side by side in the table called as this one is.
    pub fn groups(&self, table: usize) -> impl Iterator<Item = usize> + '_ {
        let is_group = move |(i, t): &(usize, &Table)| t.shown_with == table && t.adds_to == *i;
        self.tables.iter().enumerate().filter(is_group).map(|(i, _)| i)
    }

    /// Points in the order in which their events nest, outermost first.
    pub fn outermost_first(&self) -> Vec<PointId> {
        let mut ids: Vec<PointId> = (0..self.points.len()).collect();
        ids.sort_by_key(|&p| self.points[p].within.len());
        ids
    }
}
