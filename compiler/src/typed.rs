//! Typed expressions: names resolved down to a point's arguments and the target's memory.

use std::fmt;

use profinfer_lang::span::Span;

use crate::counter::Counter;
use crate::display::{Shown, duration};
use crate::pattern::Pattern;
use crate::types::{ArithOp, CmpOp, Mem, Type};

/// Index of a point in its [`Catalogue`](crate::catalogue::Catalogue).
pub type PointId = usize;

/// An expression with its type and the place it was written at.
#[derive(Debug, Clone)]
pub struct Typed {
    /// What it is.
    pub kind: Kind,
    /// Its type.
    pub ty: Type,
    /// Where the script's text for it stands.
    pub span: Span,
    /// The name it has in the script or the engine description, where it has one: `layer`, `src0.name`.
    pub name: Option<String>,
}

/// Two expressions are the same when they compute the same, wherever they stand.
impl PartialEq for Typed {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of typed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A whole number in its base unit.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// A truth value.
    Bool(bool),
    /// Nothing.
    Absent,
    /// A word of an enum; its number is known only with the target.
    Word(String, String),
    /// How many words an enum has in the target.
    EnumCount(String),
    /// The argument of that name of a point's start.
    Arg(PointId, String),
    /// A value in the target's memory.
    Load {
        /// The pointer.
        base: Box<Typed>,
        /// Where behind it.
        place: Place,
        /// A run-time index, in units of so many bytes.
        index: Option<(Box<Typed>, u32)>,
        /// A number of that form, or text if none.
        mem: Option<Mem>,
    },
    /// The duration of a point's event.
    Dur(PointId),
    /// From the start of a point's event to the last hit of its mark.
    UntilMark(PointId),
    /// The time (monotonic, ns) at which a point's event began.
    Start(PointId),
    /// Process id, thread id, CPU, thread name.
    Common(Common),
    /// A sum, count or last value over the events of an inner point.
    Accum(PointId, Accum),
    /// A value carried from one event of a series to the next.
    Series(PointId, Series),
    /// The first operand that is not absent.
    First(Vec<Typed>),
    /// `if(c, a, b)`
    If(Box<[Typed; 3]>),
    /// Arithmetic.
    Arith(ArithOp, Box<[Typed; 2]>),
    /// A comparison.
    Cmp(CmpOp, Box<[Typed; 2]>),
    /// All of them hold.
    And(Box<[Typed; 2]>),
    /// One of them holds.
    Or(Box<[Typed; 2]>),
    /// It does not hold.
    Not(Box<Typed>),
    /// Minus.
    Neg(Box<Typed>),
    /// The value matches a pattern; absent never does.
    Matches(Box<Typed>, Pattern),
    /// The number that follows a text in a text, at its end or before ` (`.
    NumberAfter(Box<Typed>, String),
    /// The value behind the first glob that the text matches.
    Select(Box<Typed>, Vec<(String, Typed)>),
    /// Texts one after the other; absent if one is.
    Concat(Vec<Typed>),
    /// The text is not empty and printable.
    Readable(Box<Typed>),
    /// It is not absent.
    Has(Box<Typed>),
    /// The number of the row (0) or column (1) of the element at hand.
    Element(PointId, usize),
    /// The number of the part at hand.
    PartIndex(PointId),
    /// Something put together of the parts of an event.
    Part(PointId, Part),
    /// The number that these bits are as a single-precision float: a ratio.
    Float32(Box<Typed>),
    /// How many whole steps of so many parts of a whole a ratio of the target has, rounded down.
    Steps(Box<Typed>, i64, i64),
    /// A pointer as a number.
    AddressOf(Box<Typed>),
    /// What is known of a call of a function that the script names.
    Call(PointId, CallValue),
    /// The call stack, in the thread's own code, where a point's event begins.
    Stack(PointId),
    /// What the thread counted during a point's event.
    Counter(PointId, Counter),
}

/// What is known of a call of a function that a script names, beside its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallValue {
    /// Which of the functions that are meant it is.
    Function,
    /// What it returned, a number that lies so in its register.
    Returned(Mem),
    /// Its duration less that of the point's calls from within it.
    Own,
}

impl CallValue {
    /// The field's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Function => "func",
            Self::Returned(_) => "ret",
            Self::Own => "self",
        }
    }
}

/// A place behind a pointer: a field, whose offset the target decides, and bytes from there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// The struct and its field.
    pub field: Option<(String, String)>,
    /// Bytes from there.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, field)) = &self.field {
            write!(f, ".{field}")?;
        }
        if self.offset != 0 || self.field.is_none() {
            write!(f, "[+{}]", self.offset)?;
        }
        Ok(())
    }
}

/// What every event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Common {
    /// Process id.
    Pid,
    /// Thread id.
    Tid,
    /// CPU.
    Cpu,
    /// The thread's name, 16 bytes.
    Comm,
}

/// What an outer point's record gathers from the events of an inner one.
#[derive(Debug, Clone, PartialEq)]
pub struct Accum {
    /// How.
    pub how: AccumHow,
    /// The inner point.
    pub of: PointId,
    /// What is gathered (none for a count).
    pub value: Option<Box<Typed>>,
}

/// How an outer point's record gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccumHow {
    /// Adds up.
    Sum,
    /// Counts.
    Count,
    /// Keeps the last.
    Last,
}

impl AccumHow {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sum => "sum_of",
            Self::Count => "count_of",
            Self::Last => "last_of",
        }
    }
}

/// What is put together of the parts of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// How.
    pub how: PartHow,
    /// What is taken of each part (none for a count).
    pub value: Option<Box<Typed>>,
}

/// How something is put together of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartHow {
    /// The number of the row's parts.
    Count,
    /// The value of the row's first part.
    First,
    /// The value of the row's last part.
    Last,
    /// The sum over the row's parts.
    Sum,
    /// The number of rows with a single part.
    Lone,
    /// The sum over all parts.
    All,
}

impl PartHow {
    /// Whether it is one of a row, not of the whole event.
    pub fn is_of_row(self) -> bool {
        !matches!(self, Self::Lone | Self::All)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "part_count",
            Self::First => "part_first",
            Self::Last => "part_last",
            Self::Sum => "part_sum",
            Self::Lone => "lone_parts",
            Self::All => "parts_sum",
        }
    }
}

/// A value carried along a series of events with equal keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// How.
    pub how: SeriesHow,
    /// What is fed to it: nothing, or some numbers (see [`SeriesHow`]).
    pub inputs: Vec<Typed>,
    /// Events with equal keys (and of one process) are a series; at most two.
    pub keys: Vec<Typed>,
}

/// The kinds of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeriesHow {
    /// 1, 2, 3 …
    Ordinal,
    /// From the end of the event before to this one's start.
    SinceEnd,
    /// From the end of the event before to this one's end, if it goes on there: the first input here is not below the second
    /// one there, and at most one above the third one there.
    SincePos,
    /// On the first event whose second input holds: from the start of the first event whose first input holds, as long as
    /// each event's third input is the one before's fourth plus one.
    SinceFirst,
    /// The sum of the input over the events before.
    SumBefore,
    /// As [`SincePos`](Self::SincePos), but how many positions of the event before were kept: the first input here, less the second one
    /// there, plus one.
    Advance,
}

impl SeriesHow {
    /// Whether it is a time, not a number.
    pub fn is_time(self) -> bool {
        !matches!(self, Self::Ordinal | Self::SumBefore | Self::Advance)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ordinal => "ordinal",
            Self::SinceEnd => "since_end",
            Self::SincePos => "since_pos",
            Self::SinceFirst => "since_first",
            Self::SumBefore => "sum_before",
            Self::Advance => "advance_pos",
        }
    }
}

/// When the value of an expression can be known, from early to late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// When the script is compiled or the target known.
    Const,
    /// In the kernel, when an event of this point begins.
    Open(PointId),
    /// In the kernel, when the event ends.
    Close,
    /// In user space.
    User,
}

impl Typed {
    /// Whether it is made of more than so many parts.
    pub(crate) fn is_larger_than(&self, parts: usize) -> bool {
        fn count(e: &Typed, left: &mut usize) -> bool {
            *left = match left.checked_sub(1) {
                Some(rest) => rest,
                None => return true,
            };
            e.children().into_iter().any(|child| count(child, left))
        }
        count(self, &mut { parts })
    }

    /// A typed expression.
    pub fn new(kind: Kind, ty: Type, span: Span) -> Self {
        Self { kind, ty, span, name: None }
    }

    /// The same under a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The expressions it is made of.
    pub fn children(&self) -> Vec<&Typed> {
        match &self.kind {
            Kind::Load { base, index, .. } => {
                let mut all = vec![&**base];
                all.extend(index.iter().map(|(i, _)| &**i));
                all
            }
            Kind::Series(_, s) => s.inputs.iter().chain(&s.keys).collect(),
            Kind::First(all) | Kind::Concat(all) => all.iter().collect(),
            Kind::If(all) => all.iter().collect(),
            Kind::Arith(_, all) | Kind::Cmp(_, all) | Kind::And(all) | Kind::Or(all) => all.iter().collect(),
            Kind::Not(a) | Kind::Neg(a) | Kind::Matches(a, _) | Kind::NumberAfter(a, _) => vec![a],
            Kind::Readable(a) | Kind::Has(a) | Kind::Float32(a) | Kind::AddressOf(a) | Kind::Steps(a, ..) => vec![a],
            Kind::Select(a, cases) => std::iter::once(&**a).chain(cases.iter().map(|(_, v)| v)).collect(),
            Kind::Int(_)
            | Kind::Float(_)
            | Kind::Str(_)
            | Kind::Bool(_)
            | Kind::Absent
            | Kind::Word(..)
            | Kind::EnumCount(_)
            | Kind::Arg(..)
            | Kind::Dur(_)
            | Kind::UntilMark(_)
            | Kind::Start(_)
            | Kind::Common(_)
            | Kind::Element(..)
            | Kind::Call(..)
            | Kind::Stack(_)
            | Kind::Counter(..)
            | Kind::PartIndex(_)
            | Kind::Part(..)
            | Kind::Accum(..) => Vec::new(),
        }
    }

    /// Of how many expressions it is made, itself included.
    pub fn size(&self) -> usize {
        let inner = match &self.kind {
            Kind::Accum(_, Accum { value: Some(v), .. }) | Kind::Part(_, Part { value: Some(v), .. }) => v.size(),
            _ => self.children().into_iter().map(Typed::size).sum(),
        };
        1 + inner
    }

    /// The same, said to stand at `span` with all its parts: what a definition elsewhere stands for is used there.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.move_to(span);
        self
    }

    fn move_to(&mut self, span: Span) {
        self.span = span;
        match &mut self.kind {
            Kind::Load { base, index, .. } => {
                base.move_to(span);
                if let Some((i, _)) = index {
                    i.move_to(span);
                }
            }
            Kind::Series(_, s) => s.inputs.iter_mut().chain(&mut s.keys).for_each(|e| e.move_to(span)),
            Kind::Accum(_, Accum { value: Some(v), .. }) | Kind::Part(_, Part { value: Some(v), .. }) => {
                v.move_to(span)
            }
            Kind::First(all) | Kind::Concat(all) => all.iter_mut().for_each(|e| e.move_to(span)),
            Kind::If(all) => all.iter_mut().for_each(|e| e.move_to(span)),
            Kind::Arith(_, all) | Kind::Cmp(_, all) | Kind::And(all) | Kind::Or(all) => {
                all.iter_mut().for_each(|e| e.move_to(span));
            }
            Kind::Not(a) | Kind::Neg(a) | Kind::Matches(a, _) | Kind::NumberAfter(a, _) => a.move_to(span),
            Kind::Readable(a) | Kind::Has(a) | Kind::Float32(a) | Kind::AddressOf(a) => a.move_to(span),
            Kind::Steps(a, ..) => a.move_to(span),
            Kind::Select(a, cases) => {
                a.move_to(span);
                cases.iter_mut().for_each(|(_, v)| v.move_to(span));
            }
            _ => {}
        }
    }

    /// When its value can be known.
    pub fn stage(&self) -> Stage {
        match &self.kind {
            Kind::Arg(..) if matches!(self.ty, Type::Str(_)) => return Stage::User,
            Kind::Arg(point, _)
            | Kind::PartIndex(point)
            | Kind::Call(point, CallValue::Function)
            | Kind::Stack(point) => {
                return Stage::Open(*point);
            }
            Kind::Call(..) | Kind::Counter(..) => return Stage::Close,
            Kind::Part(point, part) if !part.how.is_of_row() => return Stage::Open(*point),
            Kind::Part(..) => return Stage::Close,
            Kind::Dur(_) | Kind::UntilMark(_) | Kind::Start(_) => return Stage::Close,
            Kind::Accum(..) | Kind::Series(..) | Kind::Element(..) => return Stage::Close,
            Kind::Float32(a) | Kind::Steps(a, ..) => return a.stage(),
            Kind::Common(Common::Comm) => return Stage::User,
            Kind::Common(_) => return Stage::Close,
            Kind::Float(_) | Kind::Str(_) => return Stage::User,
            _ => {}
        }
        // Ratios are made of floats in the target's memory only; the kernel has no arithmetic for them.
        let is_ratio = self.ty == Type::Ratio && matches!(self.kind, Kind::Int(_) | Kind::If(_) | Kind::First(_));
        if !self.ty.is_kernel_number() && !is_ratio {
            return Stage::User;
        }
        let mut stage = match &self.kind {
            Kind::NumberAfter(..) | Kind::Select(..) | Kind::Concat(_) | Kind::Readable(_) | Kind::EnumCount(_) => {
                return Stage::User;
            }
            // The kernel has no exact quotient of two quantities.
            Kind::Arith(ArithOp::Div, _) if self.ty == Type::Ratio => return Stage::User,
            _ => Stage::Const,
        };
        for child in self.children() {
            stage = match (stage, child.stage()) {
                (_, Stage::User) => return Stage::User,
                (a, Stage::Const) => a,
                (Stage::Const, b) => b,
                (Stage::Open(a), Stage::Open(b)) if a == b => Stage::Open(a),
                _ => Stage::Close,
            };
        }
        stage
    }

    /// Whether it is text that the kernel can copy: a load of text, the thread's name, or the first of several loads of
    /// one point.
    pub fn is_kernel_text(&self) -> bool {
        match &self.kind {
            Kind::Load { mem: None, .. } | Kind::Common(Common::Comm) => true,
            Kind::Arg(..) => matches!(self.ty, Type::Str(_)),
            Kind::First(all) => {
                let is_load = |e: &Typed| matches!(e.kind, Kind::Load { mem: None, .. } | Kind::First(_));
                all.iter().all(|e| is_load(e) && e.is_kernel_text() && e.owner() == all[0].owner())
            }
            _ => false,
        }
    }

    /// Whether one of its leaves belongs to the point.
    pub fn is_of(&self, point: PointId) -> bool {
        let children = self.children();
        if children.is_empty() { self.owner() == Some(point) } else { children.into_iter().any(|e| e.is_of(point)) }
    }

    /// The point whose arguments its leaves belong to, if it has one.
    pub fn owner(&self) -> Option<PointId> {
        match &self.kind {
            Kind::Arg(p, _)
            | Kind::Element(p, _)
            | Kind::Call(p, _)
            | Kind::Stack(p)
            | Kind::Counter(p, _)
            | Kind::PartIndex(p)
            | Kind::Part(p, _)
            | Kind::Dur(p)
            | Kind::UntilMark(p)
            | Kind::Start(p)
            | Kind::Accum(p, _)
            | Kind::Series(p, _) => Some(*p),
            _ => self.children().into_iter().find_map(Typed::owner),
        }
    }
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, name: &str, all: &[&Typed]| {
            write!(f, "{name}(")?;
            for (i, e) in all.iter().enumerate() {
                write!(f, "{}{e}", if i > 0 { ", " } else { "" })?;
            }
            f.write_str(")")
        };
        if let Some(name) = &self.name {
            return f.write_str(name);
        }
        match &self.kind {
            Kind::Int(n) => match self.ty {
                Type::Duration => f.write_str(&duration(*n)),
                Type::Bytes => write!(f, "{n}B"),
                _ => write!(f, "{n}"),
            },
            // Rates are kept per nanosecond.
            Kind::Float(x) if self.ty == Type::PerSecond => write!(f, "{}hz", x * 1e9),
            Kind::Float(x) => write!(f, "{x}"),
            Kind::Str(s) => write!(f, "{s:?}"),
            Kind::Bool(b) => write!(f, "{b}"),
            Kind::Absent => f.write_str("absent"),
            Kind::Word(_, word) => f.write_str(word),
            Kind::EnumCount(name) => write!(f, "count({name})"),
            Kind::Arg(_, name) => f.write_str(name),
            Kind::Load { base, index: Some((i, _)), .. } => write!(f, "{base}[{i}]"),
            Kind::Load { base, place, .. } => write!(f, "{base}{place}"),
            Kind::Dur(_) => f.write_str("dur"),
            Kind::UntilMark(_) => f.write_str("until_mark()"),
            Kind::Start(_) => f.write_str("time"),
            Kind::Common(c) => f.write_str(match c {
                Common::Pid => "pid",
                Common::Tid => "tid",
                Common::Cpu => "cpu",
                Common::Comm => "comm",
            }),
            Kind::Accum(_, a) => {
                let how = a.how.word();
                match &a.value {
                    Some(v) => write!(f, "{how}(#{}: {v})", a.of),
                    None => write!(f, "{how}(#{})", a.of),
                }
            }
            Kind::Series(_, s) => list(f, s.how.word(), &s.inputs.iter().chain(&s.keys).collect::<Vec<_>>()),
            Kind::First(all) => list(f, "first", &all.iter().collect::<Vec<_>>()),
            Kind::If(all) => list(f, "if", &all.iter().collect::<Vec<_>>()),
            Kind::Arith(op, ab) => write!(f, "({} {} {})", ab[0], op.symbol(), ab[1]),
            Kind::Cmp(op, ab) => write!(f, "({} {} {})", ab[0], op.symbol(), ab[1]),
            Kind::And(ab) => write!(f, "({} and {})", ab[0], ab[1]),
            Kind::Or(ab) => write!(f, "({} or {})", ab[0], ab[1]),
            Kind::Not(a) => write!(f, "not {a}"),
            Kind::Neg(a) => write!(f, "-{a}"),
            Kind::Matches(a, p) => write!(f, "({a} = {})", Shown { pattern: p, time: a.ty == Type::Duration }),
            Kind::NumberAfter(a, s) => write!(f, "number_after({a}, {s:?})"),
            Kind::Select(a, cases) => {
                write!(f, "match({a}")?;
                for (glob, value) in cases {
                    write!(f, ", {glob:?}, {value}")?;
                }
                f.write_str(")")
            }
            Kind::Concat(all) => list(f, "concat", &all.iter().collect::<Vec<_>>()),
            Kind::Readable(a) => write!(f, "readable({a})"),
            Kind::Element(_, i) => f.write_str(["row", "column"][(*i).min(1)]),
            Kind::PartIndex(_) => f.write_str("part"),
            Kind::Part(_, p) => match &p.value {
                Some(v) => write!(f, "{}({v})", p.how.word()),
                None => write!(f, "{}()", p.how.word()),
            },
            Kind::Float32(a) => write!(f, "f32({a})"),
            Kind::Steps(a, p, q) => write!(f, "steps({a}, {p}/{q})"),
            Kind::AddressOf(a) => write!(f, "address({a})"),
            Kind::Call(_, value) => f.write_str(value.word()),
            Kind::Stack(_) => f.write_str("stack(user)"),
            Kind::Counter(_, counter) => write!(f, "{counter}"),
            Kind::Has(a) => write!(f, "has({a})"),
        }
    }
}
