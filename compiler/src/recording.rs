//! What of a script's events is recorded: of each point that it has clauses on the fields that they read, event by event.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::catalogue::Template;
use crate::compile::Compiled;
use crate::plan::{Action, CaptureValue, Each, Expr, KeyField, KeySource, Plan, Table, Timer};
use crate::typed::{CallValue, PointId};
use crate::types::Type;

/// A plan that records.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What the kernel is to do: tables that are recorded stand behind those of the script.
    pub plan: Plan,
    /// What is recorded, point by point.
    pub streams: Vec<Stream>,
}

/// What is recorded of the events of a point.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its table in the plan: the key is what is recorded.
    pub table: usize,
    /// The point's name.
    pub point: String,
    /// How its events come about: see [`template_word`].
    pub template: Template,
    /// What is recorded, in the order of the key.
    pub leaves: Vec<Leaf>,
}

/// Something that is recorded of every event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// How the script sees it.
    pub text: String,
    /// Its type.
    pub ty: Type,
    /// What is read, whatever it is called and whichever script asks for it.
    pub identity: String,
    /// Bytes of a text; none of a number.
    pub text_bytes: Option<u32>,
}

/// The word for how events come about.
pub fn template_word(template: Template) -> String {
    format!("{template:?}").to_lowercase()
}

/// The recording of a script that was compiled with [`Leaves::Fields`](crate::Leaves::Fields), or with
/// [`Leaves::Both`](crate::Leaves::Both) where its own tables are to be filled too.
pub fn recording(compiled: &Compiled) -> Recording {
    let mut plan = compiled.plan.clone();
    let with_tables = !compiled.by_fields.is_empty();
    let tables = if with_tables { &compiled.by_fields } else { &compiled.plan.tables };
    let mut streams = Vec::new();
    let mut recorded = Vec::new();
    for (id, point) in plan.points.iter().enumerate() {
        let of_point: Vec<&Table> = tables.iter().filter(|t| t.point == id).collect();
        let Some(first) = of_point.first() else { continue };
        let mut key = always(id, point.template);
        for table in of_point.iter().copied() {
            for field in fields(&plan, table) {
                if !key.iter().any(|k| k.source == field.source) {
                    key.push(field);
                }
            }
        }
        // Whether there is an enclosing event is known by its start.
        let mut outer = Vec::new();
        key.iter().for_each(|field| owners(&field.source, &mut outer));
        outer.sort_unstable();
        outer.dedup();
        for of in outer.into_iter().filter(|of| *of != id) {
            let source = KeySource::Number(Expr::Start(of));
            if !key.iter().any(|k| k.source == source) {
                let text = format!("{}.time", plan.points[of].name);
                key.push(KeyField { text, source, ty: Type::Duration });
            }
        }
        let leaves = key.iter().map(|field| leaf(&plan, id, field)).collect();
        streams.push(Stream { table: recorded.len(), point: point.name.clone(), template: point.template, leaves });
        recorded.push(table_of(id, first, key));
    }
    if !with_tables {
        // Of what the script does only that is done which ends the run.
        plan.tables.retain(|t| matches!(&t.each, Some(Each::Act(actions)) if actions.contains(&Action::Exit)));
        for table in &mut plan.tables {
            table.each = Some(Each::Act(vec![Action::Exit]));
        }
        for (i, table) in plan.tables.iter_mut().enumerate() {
            (table.shown_with, table.adds_to) = (i, i);
        }
        let exits = |actions: &mut Vec<Action>| actions.retain(|a| *a == Action::Exit);
        exits(&mut plan.begin);
        exits(&mut plan.end);
        plan.timers.iter_mut().for_each(|t: &mut Timer| exits(&mut t.actions));
        plan.timers.retain(|t| !t.actions.is_empty());
    }
    let before = plan.tables.len();
    for (i, mut table) in recorded.into_iter().enumerate() {
        (table.shown_with, table.adds_to) = (before + i, before + i);
        // Events are sent as they come.
        plan.points[table.point].aside = false;
        plan.tables.push(table);
    }
    streams.iter_mut().for_each(|s| s.table += before);
    Recording { plan, streams }
}

/// The bytes of an event of a recorded point, as it goes through the ring.
pub fn event_bytes(table: &Table) -> u32 {
    16 + table.key.iter().map(KeyField::bytes).sum::<u32>()
}

/// What every recorded event has: its thread, and how long it took where that can be said.
fn always(_: PointId, template: Template) -> Vec<KeyField> {
    let number = |text: &str, e, ty| KeyField { text: text.to_owned(), source: KeySource::Number(e), ty };
    let mut all = vec![number("tid", Expr::Tid, Type::Int)];
    if matches!(template, Template::Span | Template::Sequence | Template::Call) {
        all.push(number("dur", Expr::Dur, Type::Duration));
    }
    all
}

fn table_of(point: PointId, like: &Table, key: Vec<KeyField>) -> Table {
    Table {
        name: "events".to_owned(),
        shown_with: 0,
        adds_to: 0,
        point,
        open: Vec::new(),
        close: Vec::new(),
        user: None,
        key,
        keys: Vec::new(),
        slots: Vec::new(),
        columns: Vec::new(),
        streamed: true,
        each: Some(Each::Record),
        context: None,
        limit: 0,
        cleared: false,
        span: like.span,
    }
}

/// What a table reads of an event.
pub fn fields(plan: &Plan, table: &Table) -> Vec<KeyField> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |field: KeyField, identity: String| {
        if seen.insert(identity) {
            found.push(field);
        }
    };
    let values = table.slots.iter().flat_map(|s| s.values());
    let mut exprs: Vec<&Expr> = table.open.iter().chain(&table.close).chain(values).chain(&table.context).collect();
    for field in &table.key {
        match &field.source {
            KeySource::Number(e) => exprs.push(e),
            KeySource::Text(..) => add(field.clone(), identity(plan, table.point, &field.source)),
        }
    }
    for expr in exprs {
        leaves_of(expr, &mut |e| {
            let source = KeySource::Number(e.clone());
            let (text, ty) = (text_of(plan, table.point, e), type_of(plan, table.point, e));
            let identity = identity(plan, table.point, &source);
            add(KeyField { text, source, ty }, identity);
        });
    }
    found
}

/// What a field of a recorded key is.
pub fn leaf(plan: &Plan, point: PointId, field: &KeyField) -> Leaf {
    Leaf {
        text: field.text.clone(),
        ty: field.ty.clone(),
        identity: identity(plan, point, &field.source),
        text_bytes: match &field.source {
            KeySource::Number(_) => None,
            KeySource::Text(_, _, len) => Some(*len),
        },
    }
}

/// What the kernel has to read for an expression: the parts that nothing else can be computed of.
pub fn leaves_of<'e>(e: &'e Expr, each: &mut dyn FnMut(&'e Expr)) {
    match e {
        Expr::Const(_) | Expr::Absent | Expr::Word(..) => {}
        Expr::Neg(a) | Expr::Not(a) | Expr::Has(a) | Expr::Steps(a, ..) | Expr::Matches(a, ..) => leaves_of(a, each),
        Expr::Arith(_, ab) | Expr::Cmp(_, ab) | Expr::And(ab) | Expr::Or(ab) => {
            ab.iter().for_each(|e| leaves_of(e, each));
        }
        Expr::If(c) => c.iter().for_each(|e| leaves_of(e, each)),
        Expr::First(all) => all.iter().for_each(|e| leaves_of(e, each)),
        Expr::Arg(_)
        | Expr::Load { .. }
        | Expr::Capture(..)
        | Expr::Accum(..)
        | Expr::Series(..)
        | Expr::Dur
        | Expr::UntilMark
        | Expr::Start(_)
        | Expr::Element(_)
        | Expr::PartIndex
        | Expr::Part(..)
        | Expr::Float32(_)
        | Expr::Call(_)
        | Expr::Counter(_)
        | Expr::Stack
        | Expr::Pid
        | Expr::Tid
        | Expr::Cpu => each(e),
    }
}

fn text_of(plan: &Plan, point: PointId, expr: &Expr) -> String {
    crate::display::Kernel { plan, point, expr }.to_string()
}

fn type_of(plan: &Plan, point: PointId, e: &Expr) -> Type {
    match e {
        Expr::Capture(p, i) => plan.points[*p].captures[*i].ty.clone(),
        Expr::Dur | Expr::UntilMark | Expr::Start(_) | Expr::Call(CallValue::Own) => Type::Duration,
        Expr::Counter(i) => plan.points[point].counters[*i].ty(),
        Expr::Series(p, i) if plan.points[*p].series[*i].how.is_time() => Type::Duration,
        Expr::Float32(_) => Type::Ratio,
        Expr::Stack => Type::Stack,
        _ => Type::Int,
    }
}

/// The points in whose records something lies.
fn owners(source: &KeySource, into: &mut Vec<PointId>) {
    match source {
        KeySource::Text(of, ..) => into.push(*of),
        KeySource::Number(
            Expr::Capture(of, _) | Expr::Accum(of, _) | Expr::Series(of, _) | Expr::Part(of, _) | Expr::Start(of),
        ) => into.push(*of),
        KeySource::Number(_) => {}
    }
}

/// What is read, as text that is the same whichever script asks for it. Of two plans two sources with one identity are the
/// same number or text of an event.
pub fn identity(plan: &Plan, point: PointId, source: &KeySource) -> String {
    let mut out = String::new();
    let naming = Naming { plan };
    match source {
        KeySource::Number(e) => naming.expr(&mut out, point, e),
        KeySource::Text(of, i, _) => naming.capture(&mut out, *of, *i),
    }
    out
}

struct Naming<'p> {
    plan: &'p Plan,
}

/// Writing into a string does not fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        let _never_fails = write!($out, $($arg)*);
    }};
}

impl Naming<'_> {
    fn capture(&self, out: &mut String, of: PointId, index: usize) {
        let p = &self.plan.points[of];
        put!(out, "{}.", p.name);
        match &p.captures[index].value {
            CaptureValue::Number(e) => self.expr(out, of, e),
            CaptureValue::Text(sources, len) => {
                put!(out, "text {len}");
                for (base, place) in sources {
                    put!(out, "|");
                    self.expr(out, of, base);
                    put!(out, "{place}");
                }
            }
            CaptureValue::Comm => put!(out, "comm"),
            CaptureValue::ArgText(name, len) => put!(out, "text {len} {name}"),
        }
    }

    fn all(&self, out: &mut String, name: &str, point: PointId, all: &[Expr]) {
        put!(out, "{name}(");
        for (i, e) in all.iter().enumerate() {
            put!(out, "{}", if i > 0 { ", " } else { "" });
            self.expr(out, point, e);
        }
        put!(out, ")");
    }

    fn expr(&self, out: &mut String, point: PointId, e: &Expr) {
        let points = &self.plan.points;
        match e {
            Expr::Const(n) => put!(out, "{n}"),
            Expr::Absent => put!(out, "absent"),
            Expr::Word(of, word) => put!(out, "{of}:{word}"),
            Expr::Arg(name) => put!(out, "arg {name}"),
            Expr::Load { base, place, index, mem } => {
                put!(out, "{}{}(", if mem.signed { "i" } else { "u" }, 8 * u32::from(mem.size));
                self.expr(out, point, base);
                put!(out, "{place}");
                if let Some((i, scale)) = index {
                    put!(out, "+{scale}*");
                    self.expr(out, point, i);
                }
                put!(out, ")");
            }
            Expr::Capture(of, i) => self.capture(out, *of, *i),
            Expr::Accum(of, i) => {
                let a = &points[*of].accums[*i];
                put!(out, "{}.{}({}: ", points[*of].name, a.how.word(), points[a.of].name);
                a.value.iter().for_each(|v| self.expr(out, a.of, v));
                put!(out, ")");
            }
            Expr::Series(of, i) => {
                let s = &points[*of].series[*i];
                put!(out, "{}.{}", points[*of].name, s.how.word());
                self.all(out, "", *of, &s.inputs);
                self.all(out, " by ", *of, &s.keys);
            }
            Expr::Dur => put!(out, "dur"),
            Expr::UntilMark => put!(out, "until_mark"),
            Expr::Start(of) => put!(out, "{}.start", points[*of].name),
            Expr::Element(i) => put!(out, "element {i}"),
            Expr::PartIndex => put!(out, "part"),
            Expr::Part(of, i) => {
                put!(out, "{}.", points[*of].name);
                if let Some(g) = points[*of].parts.as_ref().and_then(|parts| parts.gathered.get(*i)) {
                    put!(out, "{}(", g.how.word());
                    g.value.iter().for_each(|v| self.expr(out, *of, v));
                    put!(out, ")");
                }
            }
            Expr::Float32(a) => self.all(out, "f32", point, std::slice::from_ref(a)),
            Expr::Call(CallValue::Returned(mem)) => {
                put!(out, "ret {}{}", if mem.signed { "i" } else { "u" }, 8 * u32::from(mem.size));
            }
            Expr::Call(value) => put!(out, "{}", value.word()),
            Expr::Counter(i) => put!(out, "counter {}", points[point].counters[*i]),
            Expr::Steps(a, p, q) => {
                put!(out, "steps {p}/{q}");
                self.all(out, "", point, std::slice::from_ref(a));
            }
            Expr::Stack => put!(out, "stack"),
            Expr::Pid => put!(out, "pid"),
            Expr::Tid => put!(out, "tid"),
            Expr::Cpu => put!(out, "cpu"),
            Expr::Neg(a) => self.all(out, "-", point, std::slice::from_ref(a)),
            Expr::Not(a) => self.all(out, "not", point, std::slice::from_ref(a)),
            Expr::Has(a) => self.all(out, "has", point, std::slice::from_ref(a)),
            Expr::Arith(op, ab) => self.all(out, op.symbol(), point, ab.as_slice()),
            Expr::Cmp(op, ab) => self.all(out, op.symbol(), point, ab.as_slice()),
            Expr::And(ab) => self.all(out, "and", point, ab.as_slice()),
            Expr::Or(ab) => self.all(out, "or", point, ab.as_slice()),
            Expr::If(c) => self.all(out, "if", point, c.as_slice()),
            Expr::First(all) => self.all(out, "first", point, all),
            Expr::Matches(a, of, pattern) => {
                put!(out, "match {} {pattern:?}", of.as_deref().unwrap_or("number"));
                self.all(out, "", point, std::slice::from_ref(a));
            }
        }
    }
}
