//! Expressions of a plan as text, with the names that the script and the engine description give.

use std::fmt;

use crate::pattern::{Alt, Pattern};
use crate::plan::{Accum, ColumnExpr, Expr, FIXED_ONE, KeyField, Plan, Series, UserExpr};
use crate::typed::{AccumHow, CallValue, PointId};
use crate::types::{ArithOp, Type};

/// A kernel expression of `plan` as seen at `point`.
pub(crate) struct Kernel<'p> {
    pub plan: &'p Plan,
    pub point: PointId,
    pub expr: &'p Expr,
}

impl<'p> Kernel<'p> {
    fn of(&self, expr: &'p Expr) -> Self {
        Self { plan: self.plan, point: self.point, expr }
    }

    /// A part of a record, with the name of the point where that is another one.
    fn part(&self, f: &mut fmt::Formatter<'_>, of: PointId, text: &str) -> fmt::Result {
        let name = &self.plan.points[of].name;
        let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        match (of == self.point, is_name) {
            (true, _) => f.write_str(text),
            (false, true) => write!(f, "{name}.{text}"),
            (false, false) => write!(f, "{text} of {name}"),
        }
    }

    /// An operand, in parentheses where it is made of operands itself.
    fn operand(&self, expr: &'p Expr, unit: Unit) -> Operand<'p> {
        Operand { inner: self.of(expr), unit, parens: true }
    }

    /// An argument of a function.
    fn argument(&self, expr: &'p Expr, unit: Unit) -> Operand<'p> {
        Operand { inner: self.of(expr), unit, parens: false }
    }

    /// What the first of these that is no bare number counts.
    fn first_unit(&self, all: &[Expr]) -> Unit {
        all.iter().map(|e| self.unit(e)).find(|u| *u != Unit::None).unwrap_or(Unit::None)
    }

    /// What a constant beside `expr` counts.
    fn unit(&self, expr: &Expr) -> Unit {
        let is_time = |ty: &Type| *ty == Type::Duration;
        let time = match expr {
            Expr::Dur | Expr::UntilMark | Expr::Start(_) | Expr::Call(CallValue::Own) => true,
            Expr::Counter(i) => is_time(&self.plan.points[self.point].counters[*i].ty()),
            Expr::Capture(p, i) => is_time(&self.plan.points[*p].captures[*i].ty),
            Expr::Series(p, i) => self.plan.points[*p].series[*i].how.is_time(),
            Expr::Accum(p, i) => {
                let accum = &self.plan.points[*p].accums[*i];
                let inner = |v| Kernel { plan: self.plan, point: accum.of, expr: v }.unit(v) == Unit::Time;
                accum.how != AccumHow::Count && accum.value.as_ref().is_some_and(inner)
            }
            Expr::Neg(a) => return self.unit(a),
            Expr::Arith(ArithOp::Add | ArithOp::Sub | ArithOp::Rem, ab) => {
                return ab.iter().map(|e| self.unit(e)).find(|u| *u == Unit::Time).unwrap_or(Unit::None);
            }
            Expr::Arith(ArithOp::Mul, ab) => (self.unit(&ab[0]) == Unit::Time) != (self.unit(&ab[1]) == Unit::Time),
            Expr::Arith(ArithOp::Div, ab) => self.unit(&ab[0]) == Unit::Time && self.unit(&ab[1]) == Unit::None,
            Expr::Float32(_) => return Unit::Fixed,
            // Each operand is looked at once: they nest.
            Expr::If(c) => return self.first_unit(&c[1..]),
            Expr::First(all) => return self.first_unit(all),
            _ => false,
        };
        if time { Unit::Time } else { Unit::None }
    }
}

/// What a bare constant counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    None,
    Time,
    Fixed,
}

struct Operand<'p> {
    inner: Kernel<'p>,
    unit: Unit,
    parens: bool,
}

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.expr {
            Expr::Const(n) if self.unit == Unit::Time => f.write_str(&duration(*n)),
            Expr::Const(n) if self.unit == Unit::Fixed => write!(f, "{}", *n as f64 / FIXED_ONE as f64),
            Expr::Arith(..) | Expr::Cmp(..) | Expr::And(_) | Expr::Or(_) | Expr::Matches(..) | Expr::Not(_)
                if self.parens =>
            {
                write!(f, "({})", self.inner)
            }
            _ => write!(f, "{}", self.inner),
        }
    }
}

impl fmt::Display for Kernel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = |e| self.operand(e, Unit::None);
        match self.expr {
            Expr::Const(n) => write!(f, "{n}"),
            Expr::Absent => f.write_str("absent"),
            Expr::Word(_, word) => f.write_str(word),
            Expr::Arg(name) => f.write_str(name),
            Expr::Load { base, index: Some((i, _)), .. } => write!(f, "{}[{}]", operand(base), self.of(i)),
            Expr::Load { base, place, .. } => write!(f, "{}{place}", operand(base)),
            Expr::Capture(p, i) => self.part(f, *p, &self.plan.points[*p].captures[*i].text),
            Expr::Accum(p, i) => self.part(f, *p, &self.plan.points[*p].accums[*i].text),
            Expr::Series(p, i) => self.part(f, *p, &self.plan.points[*p].series[*i].text),
            Expr::Dur => f.write_str("dur"),
            Expr::UntilMark => {
                f.write_str(self.plan.points[self.point].mark.as_ref().map_or("until_mark()", |mark| &mark.field))
            }
            Expr::Start(p) => self.part(f, *p, "time"),
            Expr::PartIndex => f.write_str("part"),
            Expr::Part(p, i) => {
                let parts = self.plan.points[*p].parts.as_ref();
                self.part(f, *p, parts.map_or("parts", |parts| &parts.gathered[*i].text))
            }
            Expr::Element(i) => f.write_str(["row", "column"][(*i).min(1)]),
            Expr::Float32(a) => write!(f, "f32({})", self.of(a)),
            Expr::Call(value) => f.write_str(value.word()),
            Expr::Counter(i) => write!(f, "{}", self.plan.points[self.point].counters[*i]),
            Expr::Steps(a, p, q) => write!(f, "steps of {p}/{q} in {}", self.of(a)),
            Expr::Stack => f.write_str("stack(user)"),
            Expr::Pid => f.write_str("pid"),
            Expr::Tid => f.write_str("tid"),
            Expr::Cpu => f.write_str("cpu"),
            Expr::Neg(a) => write!(f, "-{}", operand(a)),
            Expr::Not(a) => write!(f, "not {}", operand(a)),
            Expr::Has(a) => write!(f, "has({})", self.of(a)),
            Expr::Arith(op, ab) => {
                let unit = if matches!(op, ArithOp::Mul | ArithOp::Div) { Unit::None } else { self.unit(self.expr) };
                write!(f, "{} {} {}", self.operand(&ab[0], unit), op.symbol(), self.operand(&ab[1], unit))
            }
            Expr::Cmp(op, ab) => {
                let (a, b) = (self.unit(&ab[1]), self.unit(&ab[0]));
                write!(f, "{} {} {}", self.operand(&ab[0], a), op.symbol(), self.operand(&ab[1], b))
            }
            Expr::And(ab) => write!(f, "{} and {}", operand(&ab[0]), operand(&ab[1])),
            Expr::Or(ab) => write!(f, "{} or {}", operand(&ab[0]), operand(&ab[1])),
            Expr::If(c) => {
                let unit = self.unit(self.expr);
                write!(f, "if({}, {}, {})", self.of(&c[0]), self.argument(&c[1], unit), self.argument(&c[2], unit))
            }
            Expr::First(all) => {
                let unit = self.unit(self.expr);
                let all: Vec<String> = all.iter().map(|e| self.argument(e, unit).to_string()).collect();
                write!(f, "first({})", all.join(", "))
            }
            Expr::Matches(a, _, p) => {
                write!(f, "{} = {}", operand(a), Shown { pattern: p, time: self.unit(a) == Unit::Time })
            }
        }
    }
}

/// A gathered value of a point, with what it gathers.
pub(crate) struct Gathered<'p>(pub &'p Plan, pub &'p Accum);

impl fmt::Display for Gathered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, a) = self;
        let inner = &plan.points[a.of].name;
        let definition = match &a.value {
            None => format!("{}({inner})", a.how.word()),
            Some(expr) => format!("{}({inner}.{})", a.how.word(), Kernel { plan, point: a.of, expr }),
        };
        if a.text == definition { f.write_str(&definition) } else { write!(f, "{} = {definition}", a.text) }
    }
}

/// A carried value of a point, with what it carries.
pub(crate) struct Carried<'p>(pub &'p Plan, pub PointId, pub &'p Series);

impl fmt::Display for Carried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, point, s) = self;
        let list = |all: &[Expr]| {
            all.iter().map(|expr| Kernel { plan, point: *point, expr }.to_string()).collect::<Vec<_>>().join(", ")
        };
        write!(f, "{} = {}({})", s.text, s.how.word(), list(&s.inputs))?;
        if s.keys.is_empty() { Ok(()) } else { write!(f, " for each {}", list(&s.keys)) }
    }
}

/// A pattern, of times where it says so.
pub(crate) struct Shown<'p> {
    pub pattern: &'p Pattern,
    pub time: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.time {
            return write!(f, "{}", self.pattern);
        }
        let bound = |n: i64| if n == i64::MIN || n == i64::MAX { String::new() } else { duration(n) };
        let alts: Vec<String> = self
            .pattern
            .alts
            .iter()
            .map(|a| match a {
                Alt::Range(lo, hi) if lo == hi => duration(*lo),
                Alt::Range(lo, hi) => format!("{}..{}", bound(*lo), bound(*hi)),
                Alt::Glob(g) => g.clone(),
            })
            .collect();
        write!(f, "{}{}", if self.pattern.negated { "!" } else { "" }, alts.join("|"))
    }
}

/// A time in the largest unit that leaves it whole.
pub(crate) fn duration(ns: i64) -> String {
    let units = [(60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    match units.iter().find(|(n, _)| ns != 0 && ns % n == 0) {
        Some((n, unit)) => format!("{}{unit}", ns / n),
        None => format!("{ns}ns"),
    }
}

/// An expression of user space over fields.
pub(crate) struct User<'p> {
    pub fields: &'p [KeyField],
    pub expr: &'p UserExpr,
}

impl<'p> User<'p> {
    fn of(&self, expr: &'p UserExpr) -> Self {
        Self { fields: self.fields, expr }
    }

    fn list(&self, all: &'p [UserExpr]) -> String {
        all.iter().map(|e| self.of(e).to_string()).collect::<Vec<_>>().join(", ")
    }

    /// An operand, in parentheses where it is made of operands itself.
    fn operand(&self, expr: &'p UserExpr) -> String {
        match expr {
            UserExpr::Arith(..)
            | UserExpr::Cmp(..)
            | UserExpr::And(_)
            | UserExpr::Or(_)
            | UserExpr::Not(_)
            | UserExpr::Matches(..) => format!("({})", self.of(expr)),
            _ => self.of(expr).to_string(),
        }
    }
}

impl fmt::Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expr {
            UserExpr::Field(i) => f.write_str(self.fields.get(*i).map_or("absent", |k| &k.text)),
            UserExpr::Int(n) => write!(f, "{n}"),
            UserExpr::Float(x) => write!(f, "{x}"),
            UserExpr::Str(s) => write!(f, "{s:?}"),
            UserExpr::Bool(b) => write!(f, "{b}"),
            UserExpr::Absent => f.write_str("absent"),
            UserExpr::EnumCount(name) => write!(f, "count({name})"),
            UserExpr::First(all) => write!(f, "first({})", self.list(all)),
            UserExpr::If(c) => write!(f, "if({})", self.list(c.as_slice())),
            UserExpr::Arith(op, ab) => {
                write!(f, "{} {} {}", self.operand(&ab[0]), op.symbol(), self.operand(&ab[1]))
            }
            UserExpr::Cmp(op, ab) => write!(f, "{} {} {}", self.operand(&ab[0]), op.symbol(), self.operand(&ab[1])),
            UserExpr::And(ab) => write!(f, "{} and {}", self.operand(&ab[0]), self.operand(&ab[1])),
            UserExpr::Or(ab) => write!(f, "{} or {}", self.operand(&ab[0]), self.operand(&ab[1])),
            UserExpr::Not(a) => write!(f, "not {}", self.operand(a)),
            UserExpr::Neg(a) => write!(f, "-{}", self.operand(a)),
            UserExpr::Has(a) => write!(f, "has({})", self.of(a)),
            UserExpr::Matches(a, p) => write!(f, "{} = {p}", self.operand(a)),
            UserExpr::NumberAfter(a, mark) => write!(f, "number_after({}, {mark:?})", self.of(a)),
            UserExpr::Select(a, cases) => {
                write!(f, "match({}", self.of(a))?;
                for (glob, value) in cases {
                    write!(f, ", {glob:?}, {}", self.of(value))?;
                }
                f.write_str(")")
            }
            UserExpr::Concat(all) => write!(f, "concat({})", self.list(all)),
            UserExpr::Readable(a) => write!(f, "readable({})", self.of(a)),
            UserExpr::Named(name, _) => f.write_str(name),
        }
    }
}

/// The fields an expression names that are put together in user space, each with what it stands for, inner ones last.
pub(crate) fn definitions<'p>(e: &'p UserExpr, found: &mut Vec<(&'p str, &'p UserExpr)>) {
    match e {
        UserExpr::Named(name, of) => {
            if !found.iter().any(|(n, _)| n == name) {
                found.push((name, of));
                definitions(of, found);
            }
        }
        UserExpr::First(all) | UserExpr::Concat(all) => all.iter().for_each(|e| definitions(e, found)),
        UserExpr::If(all) => all.iter().for_each(|e| definitions(e, found)),
        UserExpr::Arith(_, ab) | UserExpr::Cmp(_, ab) | UserExpr::And(ab) | UserExpr::Or(ab) => {
            ab.iter().for_each(|e| definitions(e, found));
        }
        UserExpr::Not(a)
        | UserExpr::Neg(a)
        | UserExpr::Has(a)
        | UserExpr::Matches(a, _)
        | UserExpr::NumberAfter(a, _)
        | UserExpr::Readable(a) => definitions(a, found),
        UserExpr::Select(a, cases) => {
            definitions(a, found);
            cases.iter().for_each(|(_, v)| definitions(v, found));
        }
        UserExpr::Field(_)
        | UserExpr::Int(_)
        | UserExpr::Float(_)
        | UserExpr::Str(_)
        | UserExpr::Bool(_)
        | UserExpr::Absent
        | UserExpr::EnumCount(_) => {}
    }
}

/// A column over the value's parts, which are called `v0`, `v1` …
impl fmt::Display for ColumnExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = |e: &ColumnExpr| match e {
            Self::Arith(..) | Self::Avg(..) | Self::Share(..) => format!("({e})"),
            _ => e.to_string(),
        };
        let absent = |present: &Option<usize>| present.map_or_else(String::new, |n| format!(", absent if v{n} is 0"));
        match self {
            Self::Slot(v, present) => write!(f, "v{v}{}", absent(present)),
            Self::Avg(v, n) => write!(f, "v{v} / v{n}"),
            Self::Hist(v) => write!(f, "buckets of v{v}"),
            Self::Distinct(v) => write!(f, "number of different v{v}"),
            Self::HitRates(v) => write!(f, "hit rates of v{v}"),
            Self::Slope(v) => write!(f, "slope of v{v}"),
            Self::Quantile(v, p) => write!(f, "quantile {p} of v{v}"),
            Self::Share(v, present) => write!(f, "v{v} / total of v{v}{}", absent(present)),
            Self::Rate(v, present) => write!(f, "v{v} per second{}", absent(present)),
            Self::Column(name) => f.write_str(name),
            Self::Const(x) => write!(f, "{x}"),
            Self::Arith(op, ab) => {
                let [a, b] = &**ab;
                // Where one of them is absent the whole is; that need not be said twice.
                let bare = |e: &ColumnExpr| match e {
                    Self::Slot(v, _) => format!("v{v}"),
                    Self::Share(v, _) => operand(&Self::Share(*v, None)),
                    Self::Rate(v, _) => operand(&Self::Rate(*v, None)),
                    _ => operand(e),
                };
                write!(f, "{} {} {}", bare(a), op.symbol(), bare(b))
            }
            Self::Neg(a) => write!(f, "-{}", operand(a)),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Absent => f.write_str("absent"),
            Self::Cmp(op, ab) => write!(f, "{} {} {}", operand(&ab[0]), op.symbol(), operand(&ab[1])),
            Self::And(ab) => write!(f, "({} and {})", ab[0], ab[1]),
            Self::Or(ab) => write!(f, "({} or {})", ab[0], ab[1]),
            Self::Not(a) => write!(f, "not ({a})"),
            Self::Has(a) => write!(f, "has({a})"),
            Self::If(all) => write!(f, "if({}, {}, {})", all[0], all[1], all[2]),
            Self::First(_) => write!(f, "first({})", list(self)),
            Self::Least(_) => write!(f, "min({})", list(self)),
            Self::Greatest(_) => write!(f, "max({})", list(self)),
            Self::Concat(_) => write!(f, "concat({})", list(self)),
            Self::Ceiling(what, threads) => write!(f, "ceiling({:?}, {threads})", what.word()),
        }
    }
}

/// What a column is made of, by commas.
fn list(e: &ColumnExpr) -> String {
    e.children().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
