//! Calls inside of values: the language's own functions, those of scripts and descriptions, and what a point gathers.
//!
//! Each function is read by a function of its own: calls nest, and a frame for all of them together would be a large one.

use profinfer_lang::ast::{self, ExprKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::catalogue::Template;
use crate::columns::may_be_absent;
use crate::counter::Counter;
use crate::events::not_alone;
use crate::faults::{HelpNear, consequence, is_consequence, mismatch, told_at, told_within};
use crate::fold::combine;
use crate::pattern::{Alt, Pattern};
use crate::ratio;
use crate::resolve::{AGGREGATES, Resolved, Resolver, SCALARS, Scope};
use crate::texts::EVENT_COLUMNS;
use crate::typed::{Accum, AccumHow, CallValue, Kind, Part, PartHow, Place, Series, SeriesHow, Stage, Typed};
use crate::types::{ArithOp, CmpOp, Mem, Type};

/// A call as written, and where.
#[derive(Clone, Copy)]
struct Call<'e> {
    name: &'e ast::Ident,
    args: &'e [ast::CallArg],
    span: Span,
    scope: Scope<'e>,
    expected: Option<&'e Type>,
}

impl Call<'_> {
    /// The value of the call.
    fn value(&self, kind: Kind, ty: Type) -> Resolved {
        Ok(Typed::new(kind, ty, self.span))
    }

    fn wrong(&self, usage: &str) -> Diagnostic {
        Diagnostic::error("PI0306", format!("`{}` takes other arguments", self.name.node))
            .at(self.span, "here")
            .help(format!("usage: {usage}"))
    }
}

/// How each of [`SCALARS`] is used.
fn usage(name: &str) -> &'static str {
    match name {
        "first" => "first(a, b, …): the first that is not absent",
        "if" => "if(condition, a, b)",
        "has" => "has(x): whether it is not absent",
        "number_after" => "number_after(name, \"-\")",
        "match" => "match(name, \"attn*\", \"attention\", \"ffn*\", \"ffn\", \"other\")",
        "concat" => "concat(a, b, …)",
        "bucket" => "bucket(x, width): x down to a multiple of width, a constant above zero of its kind",
        "stack" => "stack(user): the calls that the thread is in, in its own code",
        "pmu" => "pmu(0xc0): an event of the processor by its number, at a point whose event takes time on one thread",
        "starts" => "starts(name, \"ffn_moe_\"): whether a text in the target begins with that",
        "i32_at" => "i32_at(pointer, bytes)",
        "f32_at" => "f32_at(pointer, bytes)",
        "address" => "address(pointer): the pointer as a number",
        _ => "readable(text)",
    }
}

impl Resolver<'_> {
    /// A call inside of a value.
    pub(crate) fn call(
        &self,
        name: &ast::Ident,
        args: &[ast::CallArg],
        span: Span,
        scope: Scope<'_>,
        expected: Option<&Type>,
    ) -> Resolved {
        let call = Call { name, args, span, scope, expected };
        let named = args.iter().any(|a| a.name.is_some());
        match (name.node.as_str(), args) {
            (n, _) if SCALARS.contains(&n) && named => Err(call.wrong(usage(n))),
            ("first", [_, ..]) => self.first(&call),
            ("if", [c, a, b]) => self.either(&call, &c.value, &a.value, &b.value),
            ("has", [of]) => call.value(Kind::Has(Box::new(self.expr(&of.value, scope, None)?)), Type::Bool),
            ("readable", [of]) => match self.expr(&of.value, scope, None)? {
                of if matches!(of.ty, Type::Str(_)) => call.value(Kind::Readable(Box::new(of)), Type::Bool),
                _ => Err(call.wrong(usage("readable"))),
            },
            ("stack", [of]) => self.stack(&call, &of.value),
            ("bucket", [of, width]) => self.bucket(&call, &of.value, &width.value),
            ("min" | "max", [a, b]) if !named => self.extreme(&call, &a.value, &b.value),
            ("pmu", [number]) => self.pmu(&call, &number.value),
            ("starts", [of, with]) => self.starts(&call, &of.value, &with.value),
            ("i32_at", [base, bytes]) => self.at_bytes(&call, &base.value, &bytes.value, false),
            ("f32_at", [base, bytes]) => self.at_bytes(&call, &base.value, &bytes.value, true),
            ("address", [of]) => match self.expr(&of.value, scope, None)? {
                of if of.ty.is_pointer() => call.value(Kind::AddressOf(Box::new(of)), Type::Int),
                _ => Err(call.wrong(usage("address"))),
            },
            ("number_after", [of, mark]) => self.number_after(&call, &of.value, &mark.value),
            ("match", [_, _, ..]) => self.select(args, span, scope),
            ("concat", [_, ..]) => call.value(Kind::Concat(self.values(&call)?), Type::Str(0)),
            ("count", [of]) if scope.inside => match &of.value.kind {
                ExprKind::Name(of) if self.catalogue().enums.contains_key(of) => {
                    call.value(Kind::EnumCount(of.clone()), Type::Int)
                }
                _ => Err(call.wrong("count(enum)")),
            },
            ("ordinal" | "since_end" | "since_pos" | "advance_pos" | "since_first" | "sum_before", _) if scope.inside => {
                self.series(&name.node, self.values(&call)?, span, scope).ok_or_else(|| {
                    call.wrong(
                        "since_end(key), since_pos(first, from, last, key), advance_pos(first, from, last, key), since_first(opens, done, first, last, key), sum_before(x, key)",
                    )
                })
            }
            ("returned", [of]) if scope.inside => match (&of.value.kind, scope.point) {
                (ExprKind::Name(word), Some(point)) if self.catalogue().points[point].template == Template::Span => {
                    let mem = Mem::of_word(word).ok_or_else(|| call.wrong("returned(i32)"))?;
                    let ty = if word == "bool" { Type::Bool } else { Type::Int };
                    call.value(Kind::Call(point, CallValue::Returned(mem)), ty)
                }
                _ => Err(call.wrong("returned(i32), in a point of the template `span`")),
            },
            ("until_mark", []) if scope.inside => match scope.point {
                Some(point) if self.catalogue().points[point].mark.is_some() => {
                    call.value(Kind::UntilMark(point), Type::Duration)
                }
                _ => Err(call.wrong("until_mark(), in a point with a `mark`")),
            },
            ("part_count" | "part_first" | "part_last" | "part_sum" | "lone_parts" | "parts_sum", _) if scope.inside => {
                self.part(&call)
            }
            ("sum_of" | "count_of" | "last_of", [of]) if scope.inside => self.accum(&name.node, &of.value, span, scope),
            ("gap", _) => Err(Diagnostic::error("PI0306", "`gap` stands in an aggregation")
                .at(span, "here")
                .help("usage: hist(gap(x)), avg(gap(x)): x less that of the event before with the same key")),
            (n, _) if AGGREGATES.contains(&n) => Err(aggregate(n, span)),
            (n, _) if EVENT_COLUMNS.contains(&n) => Err(not_alone(n, span)),
            (n, _) if SCALARS.contains(&n) => Err(call.wrong(usage(n))),
            _ => self.defined(&call),
        }
    }

    /// The call stack where the event begins.
    fn stack(&self, call: &Call<'_>, of: &ast::Expr) -> Resolved {
        match (&of.kind, call.scope.point) {
            (ExprKind::Name(word), Some(point)) if word == "user" => call.value(Kind::Stack(point), Type::Stack),
            _ => Err(call.wrong(usage("stack"))),
        }
    }

    /// An event of the processor by its own number.
    fn pmu(&self, call: &Call<'_>, number: &ast::Expr) -> Resolved {
        let number = self.expr(number, call.scope, None)?;
        let point = call.scope.point.filter(|p| Counter::is_of(&self.catalogue().points[*p]));
        match (point, &number.kind) {
            (Some(point), Kind::Int(n)) if number.ty == Type::Int && *n >= 0 => {
                let counter = Counter::Pmu(n.cast_unsigned());
                call.value(Kind::Counter(point, counter), counter.ty())
            }
            _ => Err(call.wrong(usage("pmu"))),
        }
    }

    /// A number down to a multiple of another.
    fn bucket(&self, call: &Call<'_>, of: &ast::Expr, width: &ast::Expr) -> Resolved {
        let (of, width) = (self.expr(of, call.scope, None)?, self.expr(width, call.scope, None)?);
        if !of.ty.is_quantity() {
            return Err(mismatch(&of, &Type::Int));
        }
        if ratio::is_fixed(&of) {
            return ratio::bucket(of, &width, call.span).unwrap_or_else(|| Err(call.wrong(usage("bucket"))));
        }
        let Kind::Int(n) = width.kind else {
            return Err(call.wrong(usage("bucket")));
        };
        if of.ty == Type::Ratio || n < 1 {
            return Err(call.wrong(usage("bucket")));
        }
        if of.ty != width.ty {
            return Err(mismatch(&width, &of.ty));
        }
        let rest = combine(ArithOp::Rem, of.clone(), width.clone(), call.span)?;
        // `%` takes the sign of what is divided.
        let rest = match may_be_negative(&of) {
            true => {
                let above = combine(ArithOp::Add, rest, width.clone(), call.span)?;
                combine(ArithOp::Rem, above, width, call.span)?
            }
            false => rest,
        };
        combine(ArithOp::Sub, of, rest, call.span)
    }

    /// The smaller or larger of two numbers; absent if one is.
    fn extreme(&self, call: &Call<'_>, a: &ast::Expr, b: &ast::Expr) -> Resolved {
        let (a, b) = (self.expr(a, call.scope, None)?, self.expr(b, call.scope, None)?);
        if !a.ty.is_quantity() {
            return Err(mismatch(&a, &Type::Int));
        }
        if a.ty != b.ty {
            return Err(mismatch(&b, &a.ty));
        }
        let is_min = call.name.node == "min";
        if let (Kind::Int(x), Kind::Int(y)) = (&a.kind, &b.kind) {
            return call.value(Kind::Int(if is_min { *x.min(y) } else { *x.max(y) }), a.ty);
        }
        let ty = a.ty.clone();
        let [a, b] = ratio::alike([a, b])?;
        let compared = |op| Typed::new(Kind::Cmp(op, Box::new([a.clone(), b.clone()])), Type::Bool, call.span);
        let (first, second) = if is_min { (CmpOp::Le, CmpOp::Gt) } else { (CmpOp::Ge, CmpOp::Lt) };
        let other = if may_be_absent(&a) || may_be_absent(&b) {
            let absent = Typed::new(Kind::Absent, Type::Absent, call.span);
            Typed::new(Kind::If(Box::new([compared(second), b.clone(), absent])), ty.clone(), call.span)
        } else {
            b.clone()
        };
        call.value(Kind::If(Box::new([compared(first), a.clone(), other])), ty)
    }

    /// Whether a text in the target's memory begins with some bytes: read as numbers, up to eight bytes at a time.
    fn starts(&self, call: &Call<'_>, of: &ast::Expr, with: &ast::Expr) -> Resolved {
        let (of, with) = (self.expr(of, call.scope, None)?, self.expr(with, call.scope, None)?);
        let (Kind::Load { base, place, index: None, mem: None }, Type::Str(len), Kind::Str(with)) =
            (of.kind, of.ty, with.kind)
        else {
            return Err(call.wrong(usage("starts")));
        };
        if with.is_empty() || with.len() > len as usize {
            return Err(call.wrong("starts(text of a struct, \"1 to so many bytes as it has\")"));
        }
        let mut bytes = with.as_bytes();
        let mut at = place.offset;
        let mut all: Option<Typed> = None;
        while !bytes.is_empty() {
            let size = [8, 4, 2, 1].into_iter().find(|n| *n <= bytes.len()).unwrap_or(1);
            let (now, rest) = bytes.split_at(size);
            let number = now.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)) as i64;
            let mem = Mem { size: size as u8, signed: false };
            let place = Place { offset: at, ..place.clone() };
            let load = Kind::Load { base: base.clone(), place, index: None, mem: Some(mem) };
            let pair = [load, Kind::Int(number)].map(|kind| Typed::new(kind, Type::Int, call.span));
            let same = Typed::new(Kind::Cmp(CmpOp::Eq, Box::new(pair)), Type::Bool, call.span);
            all = Some(match all {
                None => same,
                Some(all) => Typed::new(Kind::And(Box::new([all, same])), Type::Bool, call.span),
            });
            (bytes, at) = (rest, at + size as i64);
        }
        all.ok_or_else(|| call.wrong(usage("starts")))
    }

    /// A number so many bytes behind a pointer.
    fn at_bytes(&self, call: &Call<'_>, base: &ast::Expr, bytes: &ast::Expr, float: bool) -> Resolved {
        let (base, bytes) = (self.expr(base, call.scope, None)?, self.expr(bytes, call.scope, None)?);
        if !base.ty.is_pointer() || bytes.ty != Type::Int {
            return Err(call.wrong(usage(&call.name.node)));
        }
        let mem = Mem { size: 4, signed: !float };
        let index = Some((Box::new(bytes), 1));
        let load = Kind::Load { base: Box::new(base), place: Place::default(), index, mem: Some(mem) };
        if !float {
            return call.value(load, Type::Int);
        }
        let bits = Typed::new(load, Type::Int, call.span);
        call.value(Kind::Float32(Box::new(bits)), Type::Ratio)
    }

    fn values(&self, call: &Call<'_>) -> Result<Vec<Typed>, Diagnostic> {
        call.args.iter().map(|a| self.expr(&a.value, call.scope, None)).collect()
    }

    fn first(&self, call: &Call<'_>) -> Resolved {
        let each = |a: &ast::CallArg| self.expr(&a.value, call.scope, call.expected);
        let mut all = call.args.iter().map(each).collect::<Result<Vec<_>, _>>()?;
        let ty = self.common_type(&all)?;
        ratio::alike_all(&mut all)?;
        call.value(Kind::First(all), ty)
    }

    fn either(&self, call: &Call<'_>, c: &ast::Expr, a: &ast::Expr, b: &ast::Expr) -> Resolved {
        let Call { scope, expected, .. } = *call;
        let cond = self.condition(c, scope)?;
        let (a, b) = match self.expr(a, scope, expected) {
            Ok(a) => {
                let b = self.expr(b, scope, expected.or(Some(&a.ty)))?;
                (a, b)
            }
            // `if(c, ADD, op)`: the other value says of which enum the word is.
            Err(fault) if !matches!(a.kind, ExprKind::Name(_)) => return Err(fault),
            Err(fault) => match self.expr(b, scope, expected) {
                Ok(b) if matches!(b.ty, Type::Enum(_)) => (self.expr(a, scope, Some(&b.ty))?, b),
                _ => return Err(fault),
            },
        };
        let values = [a, b];
        let ty = self.common_type(&values)?;
        let [a, b] = ratio::alike(values)?;
        call.value(Kind::If(Box::new([cond, a, b])), ty)
    }

    fn number_after(&self, call: &Call<'_>, of: &ast::Expr, mark: &ast::Expr) -> Resolved {
        let of = self.expr(of, call.scope, None)?;
        match (self.expr(mark, call.scope, None)?.kind, &of.ty) {
            (Kind::Str(s), Type::Str(_)) => call.value(Kind::NumberAfter(Box::new(of), s), Type::Int),
            _ => Err(call.wrong(usage("number_after"))),
        }
    }

    /// A function of the script or the description, put in place.
    fn defined(&self, call: &Call<'_>) -> Resolved {
        let (n, span, scope) = (call.name.node.as_str(), call.span, call.scope);
        if self.broken.contains(n) || self.broken.contains(n.split('.').next().unwrap_or(n)) {
            return Err(consequence(span));
        }
        if self.aggs.contains_key(n) && !scope.inside {
            return Err(aggregate(n, span));
        }
        // A definition of the engine knows nothing of the script's functions.
        let of_script = self.fns.get(n).filter(|_| self.is_of_script(scope));
        let Some(f) = of_script.or_else(|| self.catalogue().fns.get(n)) else {
            let names = SCALARS.iter().copied().chain(self.fns.keys().chain(self.aggs.keys()).map(String::as_str));
            return Err(Diagnostic::error("PI0206", format!("no function is called `{n}`"))
                .at(call.name.span, "unknown")
                .help_near(
                    n,
                    names.chain(AGGREGATES.iter().copied()),
                    &format!("functions: {}; others are defined with fn", SCALARS.join(" ")),
                ));
        };
        if f.params.len() != call.args.len() || call.args.iter().any(|a| a.name.is_some()) {
            let names: Vec<_> = f.params.iter().map(|p| p.node.as_str()).collect();
            return Err(call.wrong(&format!("{n}({})", names.join(", "))));
        }
        let locals: Vec<_> = f.params.iter().map(|p| p.node.clone()).zip(self.values(call)?).collect();
        let inside = of_script.is_none();
        let body = || self.expr(&f.body, Scope { locals: &locals, inside, ..scope }, call.expected);
        match self.define(&format!("{n}()"), span, body) {
            Ok(value) => Ok(value.at(span)),
            Err(d) if is_consequence(&d) => Err(d),
            Err(d) if inside => Err(told_at(d, span, &format!("`{n}`"))),
            Err(d) => Err(told_within(d, span, &format!("`{n}`"))),
        }
    }

    fn select(&self, args: &[ast::CallArg], span: Span, scope: Scope<'_>) -> Resolved {
        let usage = || {
            Diagnostic::error(
                "PI0306",
                "`match` takes a text, then pairs of a glob and a value, and a value for the rest",
            )
            .at(span, "here")
            .help("usage: match(name, \"attn*\", \"attention\", \"ffn*\", \"ffn\", \"other\")")
        };
        let of = self.expr(&args[0].value, scope, None)?;
        if !matches!(of.ty, Type::Str(_) | Type::Enum(_)) {
            return Err(usage());
        }
        let glob = |a: &ast::CallArg| match self.expr(&a.value, scope, None) {
            Ok(Typed { kind: Kind::Str(s), .. }) => Ok(s),
            _ => Err(usage()),
        };
        if args.len() == 2 {
            let pattern = Pattern { negated: false, alts: vec![Alt::Glob(glob(&args[1])?)] };
            return Ok(Typed::new(Kind::Matches(Box::new(of), pattern), Type::Bool, span));
        }
        let mut cases = Vec::new();
        let mut rest = &args[1..];
        while let [pattern, value, more @ ..] = rest {
            cases.push((glob(pattern)?, self.expr(&value.value, scope, None)?));
            rest = more;
        }
        if let [default] = rest {
            cases.push(("*".to_owned(), self.expr(&default.value, scope, None)?));
        }
        let values: Vec<_> = cases.iter().map(|(_, v)| v.clone()).collect();
        let ty = self.common_type(&values)?;
        Ok(Typed::new(Kind::Select(Box::new(of), cases), ty, span))
    }

    fn series(&self, name: &str, mut all: Vec<Typed>, span: Span, scope: Scope<'_>) -> Option<Typed> {
        let (how, inputs, ty) = match name {
            "ordinal" => (SeriesHow::Ordinal, 0, Type::Int),
            "since_end" => (SeriesHow::SinceEnd, 0, Type::Duration),
            "sum_before" => (SeriesHow::SumBefore, 1, Type::Int),
            "since_pos" => (SeriesHow::SincePos, 3, Type::Duration),
            "advance_pos" => (SeriesHow::Advance, 3, Type::Int),
            _ => (SeriesHow::SinceFirst, 4, Type::Duration),
        };
        if all.len() < inputs || all.len() > inputs + 2 || all.iter().any(|e| !e.ty.is_kernel_number()) {
            return None;
        }
        let keys = all.split_off(inputs);
        let series = Series { how, inputs: all, keys };
        Some(Typed::new(Kind::Series(scope.point?, series), ty, span))
    }

    /// Something put together of the parts of an event.
    fn part(&self, call: &Call<'_>) -> Resolved {
        let how = match call.name.node.as_str() {
            "part_count" => PartHow::Count,
            "part_first" => PartHow::First,
            "part_last" => PartHow::Last,
            "part_sum" => PartHow::Sum,
            "lone_parts" => PartHow::Lone,
            _ => PartHow::All,
        };
        let has_parts = |p: &usize| !self.is_of_each_part() && self.catalogue().points[*p].parts.is_some();
        let point = call.scope.point.filter(has_parts);
        let Some(point) = point.filter(|p| !how.is_of_row() || !self.catalogue().points[*p].each.is_empty()) else {
            let needs = if how.is_of_row() { "`parts` and `each`" } else { "`parts`" };
            return Err(call.wrong(&format!("{}(…), in a point with {needs}", how.word())));
        };
        let value = match (how, call.args) {
            (PartHow::Count | PartHow::Lone, []) => None,
            (PartHow::First | PartHow::Last | PartHow::Sum | PartHow::All, [of]) => {
                let of = self.of_each_part(|this| this.expr(&of.value, call.scope, None))?;
                if !of.ty.is_kernel_number() || of.stage() != Stage::Open(point) {
                    return Err(call.wrong(&format!("{}(x): a number known when the event begins", how.word())));
                }
                Some(of)
            }
            _ => {
                return Err(
                    call.wrong("part_count(), part_first(x), part_last(x), part_sum(x), lone_parts(), parts_sum(x)")
                );
            }
        };
        let ty = value.as_ref().map_or(Type::Int, |v| v.ty.clone());
        call.value(Kind::Part(point, Part { how, value: value.map(Box::new) }), ty)
    }

    fn accum(&self, name: &str, of: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        let bad = || {
            Diagnostic::error("PI0306", format!("`{name}` gathers over an inner point"))
                .at(of.span, "not a field of a point")
                .help("usage: sum_of(inner.field), last_of(inner.field), count_of(inner)")
        };
        let Some(outer) = scope.point else { return Err(bad()) };
        let (inner, value) = match &of.kind {
            ExprKind::Name(point) => (self.catalogue().point(point).ok_or_else(bad)?, None),
            ExprKind::Member(point, field) => match &point.kind {
                ExprKind::Name(point) => {
                    let inner = self.catalogue().point(point).ok_or_else(bad)?;
                    let value = self
                        .field_or_common(inner, &field.node, field.span)?
                        .ok_or_else(|| self.unknown_field(inner, &field.node, field.span))?;
                    (inner, Some(value))
                }
                _ => return Err(bad()),
            },
            _ => return Err(bad()),
        };
        let (how, ty) = match (name, &value) {
            ("count_of", None) => (AccumHow::Count, Type::Int),
            ("sum_of", Some(v)) if v.ty.is_quantity() => (AccumHow::Sum, v.ty.clone()),
            ("last_of", Some(v)) if v.ty.is_kernel_number() => (AccumHow::Last, v.ty.clone()),
            _ => return Err(bad()),
        };
        let accum = Accum { how, of: inner, value: value.map(Box::new) };
        Ok(Typed::new(Kind::Accum(outer, accum), ty, span))
    }
}

/// Whether a number may be below zero, as far as is to be seen.
fn may_be_negative(e: &Typed) -> bool {
    match &e.kind {
        Kind::Int(n) => *n < 0,
        Kind::Dur(_) | Kind::Start(_) | Kind::Common(_) | Kind::Element(..) => false,
        Kind::Load { mem: Some(mem), .. } => mem.signed || mem.size == 8,
        _ => true,
    }
}

fn aggregate(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0304", format!("`{name}` is a column: it cannot be part of a field or condition"))
        .at(span, "an aggregation here")
        .help("aggregations stand as columns: < count(), sum(dur) by op >")
}
