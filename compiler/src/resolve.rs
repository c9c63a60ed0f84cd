//! Names to memory: turns expressions of the script into [`Typed`] ones, down to a point's arguments.

use std::cell::RefCell;
use std::collections::HashMap;

use indexmap::IndexMap;
use profinfer_lang::ast::{self, BinaryOp, ExprKind, UnaryOp};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::catalogue::{Catalogue, Template};
use crate::pattern::{Alt, Pattern};
use crate::typed::{Accum, AccumHow, Common, Kind, Place, PointId, Series, SeriesHow, Typed};
use crate::types::{ArithOp, CmpOp, Mem, Type, arithmetic};

/// Words of the language that are column functions, not scalar ones.
pub(crate) const AGGREGATES: &[&str] = &[
    "count", "sum", "avg", "min", "max", "hist", "quantile", "share", "rate", "last", "stats", "lhist", "distinct",
    "lru", "slope",
];

/// Words that are parsed and will be scalar functions or event columns.
pub(crate) const LATER: &[&str] = &["gap", "bucket", "print", "slice", "gauge", "node", "stack"];

type Resolved = Result<Typed, Diagnostic>;

/// Resolves expressions against a catalogue, a script's constants and its parameters.
pub struct Resolver<'a> {
    catalogue: &'a Catalogue,
    /// `$name` to its value.
    pub params: IndexMap<String, Typed>,
    /// Top-level `let`s.
    pub constants: IndexMap<String, Typed>,
    /// Functions of the script; those of the catalogue come after.
    pub fns: IndexMap<String, ast::FnDef>,
    fields: RefCell<HashMap<(PointId, String), Typed>>,
    depth: RefCell<usize>,
}

/// Where an expression stands: at which point, inside its own definition or in a script, with which function arguments.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// The point whose fields are to be had; none in constants.
    pub point: Option<PointId>,
    /// Inside the point's definition, where its arguments are to be had.
    pub inside: bool,
    /// Arguments of the function being expanded.
    pub locals: &'s [(String, Typed)],
}

impl<'s> Scope<'s> {
    /// In a clause on `point`.
    pub fn clause(point: PointId) -> Self {
        Self { point: Some(point), inside: false, locals: &[] }
    }

    /// Where no field is to be had.
    pub fn constant() -> Self {
        Self { point: None, inside: false, locals: &[] }
    }

    fn definition(point: PointId) -> Self {
        Self { point: Some(point), inside: true, locals: &[] }
    }
}

/// How deep definitions may nest before they are taken for circular.
const MAX_DEPTH: usize = 96;

impl<'a> Resolver<'a> {
    /// A resolver without parameters and constants.
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            params: IndexMap::new(),
            constants: IndexMap::new(),
            fns: IndexMap::new(),
            fields: RefCell::default(),
            depth: RefCell::new(0),
        }
    }

    /// The catalogue it resolves against.
    pub fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
    }

    /// The value of a point's field, down to the point's arguments.
    pub fn field(&self, point: PointId, name: &str, span: Span) -> Resolved {
        if let Some(known) = self.fields.borrow().get(&(point, name.to_owned())) {
            return Ok(known.clone().at(span));
        }
        let info = &self.catalogue.points[point];
        let Some(field) = info.fields.get(name) else {
            return Err(self.unknown_field(point, name, span));
        };
        self.deeper(span, || {
            let value = self.expr(&field.value, Scope::definition(point), field.ty.as_ref())?;
            let value = match &field.ty {
                Some(ty) => {
                    let Some(ty) = value.ty.unify(ty).or_else(|| int_as(&value.ty, ty)) else {
                        return Err(mismatch(&value, ty));
                    };
                    Typed { ty, ..value }
                }
                None => value,
            };
            self.fields.borrow_mut().insert((point, name.to_owned()), value.clone());
            Ok(value.at(span))
        })
    }

    fn deeper<T>(&self, span: Span, f: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        if *self.depth.borrow() > MAX_DEPTH {
            return Err(Diagnostic::error("PI0211", "definitions go round in a circle").at(span, "needs itself"));
        }
        *self.depth.borrow_mut() += 1;
        let result = f();
        *self.depth.borrow_mut() -= 1;
        result
    }

    /// A condition: an expression that is true or false.
    pub fn condition(&self, e: &ast::Expr, scope: Scope<'_>) -> Resolved {
        let cond = self.expr(e, scope, Some(&Type::Bool))?;
        if cond.ty == Type::Bool {
            Ok(cond)
        } else {
            Err(Diagnostic::error("PI0313", format!("a condition is true or false, this is {}", cond.ty))
                .at(e.span, "not a condition")
                .help("compare it: (dur > 1ms), (op = MUL_MAT), has(layer)"))
        }
    }

    /// Any expression; `expected` lets a word of an enum be recognised.
    pub fn expr(&self, e: &ast::Expr, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        self.deeper(e.span, || self.expr_inner(e, scope, expected))
    }

    fn expr_inner(&self, e: &ast::Expr, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        let at = |kind, ty| Ok(Typed::new(kind, ty, e.span));
        match &e.kind {
            ExprKind::Number(ast::Number::Int(n, unit)) => at(
                Kind::Int(*n),
                match unit {
                    ast::Unit::None => Type::Int,
                    ast::Unit::Duration => Type::Duration,
                    ast::Unit::Bytes => Type::Bytes,
                    ast::Unit::Hertz => Type::PerSecond,
                },
            ),
            ExprKind::Number(ast::Number::Ratio(x)) => at(Kind::Float(*x), Type::Ratio),
            ExprKind::Str(s) => at(Kind::Str(s.clone()), Type::Str(0)),
            ExprKind::Bool(b) => at(Kind::Bool(*b), Type::Bool),
            ExprKind::Paren(inner) => self.expr(inner, scope, expected),
            ExprKind::Param(name) => match self.params.get(name) {
                Some(value) => Ok(Typed { span: e.span, ..value.clone() }),
                None => Err(Diagnostic::error("PI0203", format!("no parameter is called `${name}`"))
                    .at(e.span, "not declared")
                    .help_near(name, self.params.keys().map(String::as_str), "declare it: param name: type = value")),
            },
            ExprKind::Name(name) => self.name(name, e.span, scope, expected),
            ExprKind::Member(base, member) => self.member(base, member, e.span, scope),
            ExprKind::Index(base, index) => self.index(base, index, e.span, scope),
            ExprKind::Unary(UnaryOp::Neg, inner) => {
                let inner = self.expr(inner, scope, None)?;
                match inner.kind {
                    Kind::Int(n) => at(Kind::Int(n.wrapping_neg()), inner.ty),
                    Kind::Float(x) => at(Kind::Float(-x), inner.ty),
                    _ if inner.ty.is_quantity() => {
                        let ty = inner.ty.clone();
                        at(Kind::Neg(Box::new(inner)), ty)
                    }
                    _ => Err(mismatch(&inner, &Type::Int)),
                }
            }
            ExprKind::Unary(UnaryOp::Not, inner) => {
                let inner = self.condition(inner, scope)?;
                at(Kind::Not(Box::new(inner)), Type::Bool)
            }
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, e.span, scope),
            ExprKind::Call { name, args } => self.call(name, args, e.span, scope, expected),
            ExprKind::Range(..) | ExprKind::Pattern(_) => {
                Err(Diagnostic::error("PI0308", "a pattern stands only on the right of `=` or `!=`")
                    .at(e.span, "a pattern")
                    .help("write (field = pattern)"))
            }
        }
    }

    fn name(&self, name: &str, span: Span, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        if let Some((_, value)) = scope.locals.iter().find(|(n, _)| n == name) {
            return Ok(Typed { span, ..value.clone() });
        }
        if let Some(Type::Enum(of)) = expected
            && self.catalogue.enums.get(of).is_some_and(|e| e.words.contains_key(name))
        {
            return Ok(Typed::new(Kind::Word(of.clone(), name.to_owned()), Type::Enum(of.clone()), span));
        }
        if name == "absent" {
            return Ok(Typed::new(Kind::Absent, Type::Absent, span));
        }
        if let Some(point) = scope.point {
            if scope.inside
                && let Some((ty, value)) = self.argument(point, name, span)
            {
                return Ok(Typed::new(value, ty, span));
            }
            if let Some(found) = self.field_or_common(point, name, span)? {
                return Ok(found);
            }
            for &outer in &self.catalogue.points[point].within {
                if self.has_field(outer, name) {
                    return self
                        .field_or_common(outer, name, span)?
                        .ok_or_else(|| self.unknown_field(outer, name, span));
                }
            }
        }
        if let Some(value) = self.constants.get(name) {
            return Ok(Typed { span, ..value.clone() });
        }
        if let Some(Type::Enum(of)) = expected {
            let words = self.catalogue.enums[of].words.keys().map(String::as_str);
            return Err(Diagnostic::error("PI0207", format!("`{name}` is no word of {of}"))
                .at(span, "unknown")
                .help_near(name, words, &format!("`profinfer list {of}` prints them")));
        }
        match scope.point {
            Some(point) => Err(self.unknown_field(point, name, span)),
            None => Err(Diagnostic::error("PI0202", format!("`{name}` is not known here"))
                .at(span, "only constants and parameters here")
                .help_near(name, self.constants.keys().map(String::as_str), "write a number or a $parameter")),
        }
    }

    fn argument(&self, point: PointId, name: &str, _span: Span) -> Option<(Type, Kind)> {
        let arg = self.catalogue.points[point].starts.iter().flat_map(|s| &s.args).find(|a| a.name == name)?;
        Some((arg.ty.clone(), Kind::Arg(point, name.to_owned())))
    }

    /// Whether a bare name means something of this very point (not of an enclosing one).
    fn has_field(&self, point: PointId, name: &str) -> bool {
        self.catalogue.points[point].fields.contains_key(name)
    }

    fn field_or_common(&self, point: PointId, name: &str, span: Span) -> Result<Option<Typed>, Diagnostic> {
        if self.has_field(point, name) {
            return self.field(point, name, span).map(Some);
        }
        let info = &self.catalogue.points[point];
        let (kind, ty) = match name {
            "dur" if info.template != Template::Enter => (Kind::Dur(point), Type::Duration),
            "time" => (Kind::Start(point), Type::Duration),
            "pid" => (Kind::Common(Common::Pid), Type::Int),
            "tid" => (Kind::Common(Common::Tid), Type::Int),
            "cpu" => (Kind::Common(Common::Cpu), Type::Int),
            "comm" => (Kind::Common(Common::Comm), Type::Str(16)),
            _ => return Ok(None),
        };
        Ok(Some(Typed::new(kind, ty, span)))
    }

    /// The names that can be written at a point, for "did you mean".
    pub fn names_at(&self, point: PointId) -> Vec<String> {
        let info = &self.catalogue.points[point];
        let mut names: Vec<String> = info.fields.keys().cloned().collect();
        if info.template != Template::Enter {
            names.push("dur".to_owned());
        }
        names.extend(["time", "pid", "tid", "cpu", "comm"].map(str::to_owned));
        for &outer in &info.within {
            for field in self.catalogue.points[outer].fields.keys() {
                if !names.contains(field) {
                    names.push(field.clone());
                }
            }
        }
        names
    }

    fn unknown_field(&self, point: PointId, name: &str, span: Span) -> Diagnostic {
        let names = self.names_at(point);
        let info = &self.catalogue.points[point];
        Diagnostic::error("PI0202", format!("`{}` has no field `{name}`", info.name))
            .at(span, "unknown field")
            .help_near(name, names.iter().map(String::as_str), &format!("fields of {}: {}", info.name, names.join(" ")))
    }

    fn member(&self, base: &ast::Expr, member: &ast::Ident, span: Span, scope: Scope<'_>) -> Resolved {
        if let (ExprKind::Name(name), Some(point)) = (&base.kind, scope.point) {
            let is_local = scope.locals.iter().any(|(n, _)| n == name)
                || self.has_field(point, name)
                || (scope.inside && self.argument(point, name, span).is_some());
            if !is_local {
                let target = match name.as_str() {
                    "self" => Some(point),
                    _ => self.catalogue.point(name),
                };
                if let Some(target) = target {
                    if target != point && !self.catalogue.points[point].within.contains(&target) {
                        return Err(Diagnostic::error(
                            "PI0212",
                            format!("`{}` is never inside a `{name}`", self.catalogue.points[point].name),
                        )
                        .at(base.span, "does not enclose this point"));
                    }
                    return self
                        .field_or_common(target, &member.node, span)?
                        .ok_or_else(|| self.unknown_field(target, &member.node, member.span));
                }
            }
        }
        let base = self.expr(base, scope, None)?;
        match &base.ty {
            Type::Ptr(of) => {
                let described = &self.catalogue.structs[of];
                let Some(placed) = described.field(&member.node) else {
                    return Err(Diagnostic::error("PI0202", format!("`{of}` has no field `{}`", member.node))
                        .at(member.span, "unknown field")
                        .help_near(&member.node, described.names(), "see the struct in the engine description"));
                };
                let (mem, ty) = (placed.mem, placed.ty.clone());
                let place = Place { field: Some((of.clone(), member.node.clone())), offset: 0 };
                Ok(Typed::new(Kind::Load { base: Box::new(base), place, index: None, mem }, ty, span))
            }
            ty => Err(Diagnostic::error("PI0301", format!("`.{}` needs a struct, this is {ty}", member.node))
                .at(base.span, "not a struct")),
        }
    }

    fn index(&self, base: &ast::Expr, index: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        let base = self.expr(base, scope, None)?;
        let index = self.expr(index, scope, None)?;
        if index.ty != Type::Int {
            return Err(mismatch(&index, &Type::Int));
        }
        let (elem, mem, len) = match &base.ty {
            Type::Array(elem, mem, len) => ((**elem).clone(), *mem, Some(*len)),
            Type::NumPtr(mem) => (Type::Int, *mem, None),
            Type::PtrPtr => (Type::Address, Mem::WORD, None),
            ty => {
                return Err(Diagnostic::error("PI0301", format!("an index needs an array, this is {ty}"))
                    .at(base.span, "not an array"));
            }
        };
        if let (Kind::Int(i), Some(len)) = (&index.kind, len)
            && !(0..len as i64).contains(i)
        {
            return Err(Diagnostic::error("PI0314", format!("the index is {i}, the array has {len} elements"))
                .at(index.span, format!("0 to {}", len.saturating_sub(1))));
        }
        // An array inside a struct is the struct's memory; a pointer is followed.
        let (pointer, place) = match (len, base.kind) {
            (Some(_), Kind::Load { base, place, index: None, .. }) => (base, place),
            (_, kind) => (Box::new(Typed::new(kind, base.ty.clone(), base.span)), Place::default()),
        };
        let kind = match index.kind {
            Kind::Int(i) => Kind::Load {
                base: pointer,
                place: Place { offset: place.offset + i * i64::from(mem.size), ..place },
                index: None,
                mem: Some(mem),
            },
            _ if len.is_some() => {
                return Err(Diagnostic::error("PI0314", "an array's index is a number here")
                    .at(index.span, "not a constant")
                    .help("write the number: ne[0]"));
            }
            _ => {
                Kind::Load { base: pointer, place, index: Some((Box::new(index), u32::from(mem.size))), mem: Some(mem) }
            }
        };
        Ok(Typed::new(kind, elem, span))
    }

    fn binary(&self, op: BinaryOp, a: &ast::Expr, b: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        let arith = match op {
            BinaryOp::And | BinaryOp::Or => {
                let pair = Box::new([self.condition(a, scope)?, self.condition(b, scope)?]);
                let kind = if op == BinaryOp::And { Kind::And(pair) } else { Kind::Or(pair) };
                return Ok(Typed::new(kind, Type::Bool, span));
            }
            _ if op.is_comparison() => return self.comparison(op, a, b, span, scope),
            BinaryOp::Add => ArithOp::Add,
            BinaryOp::Sub => ArithOp::Sub,
            BinaryOp::Mul => ArithOp::Mul,
            BinaryOp::Div => ArithOp::Div,
            _ => ArithOp::Rem,
        };
        let (a, b) = (self.expr(a, scope, None)?, self.expr(b, scope, None)?);
        combine(arith, a, b, span)
    }

    fn comparison(&self, op: BinaryOp, a: &ast::Expr, b: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        if matches!(&a.kind, ExprKind::Binary(inner, ..) if inner.is_comparison())
            || matches!(&b.kind, ExprKind::Binary(inner, ..) if inner.is_comparison())
        {
            return Err(Diagnostic::error("PI0305", "comparisons do not chain")
                .at(span, "two comparisons in one")
                .help("join them with and: (a < b and b < c)"));
        }
        let negate = op == BinaryOp::Ne;
        let is_equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let left = self.expr(a, scope, None)?;
        if let (true, ExprKind::Pattern(p)) = (is_equality, &b.kind) {
            let pattern = self.pattern(p, &left, scope)?;
            let test = Typed::new(Kind::Matches(Box::new(left), pattern), Type::Bool, span);
            return Ok(if negate { Typed::new(Kind::Not(Box::new(test)), Type::Bool, span) } else { test });
        }
        let right = self.expr(b, scope, Some(&left.ty))?;
        // The enum's word may stand on the left.
        if let (true, Type::Str(_), Kind::Str(s)) = (is_equality, &left.ty, &right.kind) {
            let pattern = Pattern { negated: false, alts: vec![Alt::Glob(s.clone())] };
            let test = Typed::new(Kind::Matches(Box::new(left), pattern), Type::Bool, span);
            return Ok(if negate { Typed::new(Kind::Not(Box::new(test)), Type::Bool, span) } else { test });
        }
        let comparable = match (&left.ty, &right.ty) {
            (Type::Absent, _) | (_, Type::Absent) => true,
            (Type::Enum(x), Type::Enum(y)) => x == y && is_equality,
            // In a description an enum may be held against the number of its words.
            (Type::Enum(_), Type::Int) => scope.inside,
            (Type::Bool, Type::Bool) | (Type::Str(_), Type::Str(_)) => is_equality,
            (x, y) if x.is_pointer() && y.is_pointer() => is_equality,
            (x, y) => x.is_quantity() && y.is_quantity() && x.unify(y).is_some(),
        };
        if !comparable {
            let mut d = Diagnostic::error("PI0301", format!("{} cannot be compared with {}", left.ty, right.ty))
                .at(span, format!("`{}` of two kinds", op.symbol()))
                .note(left.span, format!("{}", left.ty))
                .note(right.span, format!("{}", right.ty));
            if matches!(left.ty, Type::Enum(_)) {
                d = d.help("compare an enum with its words: (op = MUL_MAT)");
            } else if left.ty == Type::Duration && right.ty == Type::Int {
                d = d.help("write the unit: 10us, 1ms, 2s");
            }
            return Err(d);
        }
        let op = match op {
            BinaryOp::Eq => CmpOp::Eq,
            BinaryOp::Ne => CmpOp::Ne,
            BinaryOp::Lt => CmpOp::Lt,
            BinaryOp::Le => CmpOp::Le,
            BinaryOp::Gt => CmpOp::Gt,
            _ => CmpOp::Ge,
        };
        Ok(Typed::new(Kind::Cmp(op, Box::new([left, right])), Type::Bool, span))
    }

    /// A pattern that `value` is held against.
    pub fn pattern(&self, p: &ast::Pattern, value: &Typed, scope: Scope<'_>) -> Result<Pattern, Diagnostic> {
        let mut alts = Vec::new();
        for alt in &p.alts {
            alts.push(self.alternative(alt, value, scope)?);
        }
        Ok(Pattern { negated: p.negated, alts })
    }

    fn alternative(&self, alt: &ast::PatternAlt, value: &Typed, scope: Scope<'_>) -> Result<Alt, Diagnostic> {
        let wrong = |what: &str, help: String| {
            Err(Diagnostic::error("PI0308", format!("{what} does not fit {}", value.ty))
                .at(alt.span, format!("held against {}", value.ty))
                .help(help))
        };
        let bound = |e: &ast::Expr| -> Result<i64, Diagnostic> {
            let bound = self.expr(e, Scope::constant(), None)?;
            match bound.kind {
                Kind::Int(n) if bound.ty == value.ty => Ok(n),
                _ => Err(Diagnostic::error("PI0308", format!("{} does not fit {}", bound.ty, value.ty))
                    .at(e.span, format!("held against {}", value.ty))),
            }
        };
        let numeric = matches!(value.ty, Type::Int | Type::Duration | Type::Bytes);
        match &alt.kind {
            ast::PatternKind::Range { from, to } if numeric => {
                let lo = from.as_ref().map(bound).transpose()?.unwrap_or(i64::MIN);
                let hi = to.as_ref().map(bound).transpose()?.unwrap_or(i64::MAX);
                Ok(Alt::Range(lo, hi))
            }
            ast::PatternKind::Range { .. } => wrong("a range", "ranges are for numbers".to_owned()),
            ast::PatternKind::Value(e) => {
                let given = self.expr(e, scope, Some(&value.ty))?;
                match (given.kind, &value.ty) {
                    (Kind::Int(n), ty) if numeric && given.ty == *ty => Ok(Alt::Range(n, n)),
                    (Kind::Str(s), Type::Str(_) | Type::Enum(_)) => Ok(Alt::Glob(s)),
                    (Kind::Word(of, word), Type::Enum(ty)) if of == *ty => Ok(Alt::Glob(word)),
                    _ => wrong(&given.ty.to_string(), "give the parameter the field's type".to_owned()),
                }
            }
            ast::PatternKind::Str(s) => match &value.ty {
                Type::Str(_) | Type::Enum(_) => Ok(Alt::Glob(s.clone())),
                _ => wrong("text", "write a number or a range: layer = 0..15".to_owned()),
            },
            ast::PatternKind::Glob(g) => match &value.ty {
                Type::Enum(of) => {
                    let words = &self.catalogue.enums[of].words;
                    if !words.keys().any(|w| crate::pattern::glob(g, w)) {
                        return Err(Diagnostic::error("PI0207", format!("`{g}` matches no word of {of}"))
                            .at(alt.span, "unknown")
                            .help_near(
                                g,
                                words.keys().map(String::as_str),
                                "a name newer than profinfer is written in quotes",
                            ));
                    }
                    Ok(Alt::Glob(g.clone()))
                }
                Type::Str(_) => Ok(Alt::Glob(g.clone())),
                _ => wrong("a word", "write a number or a range: layer = 0..15".to_owned()),
            },
        }
    }

    fn call(
        &self,
        name: &ast::Ident,
        args: &[ast::CallArg],
        span: Span,
        scope: Scope<'_>,
        expected: Option<&Type>,
    ) -> Resolved {
        let wrong = |usage: &str| {
            Diagnostic::error("PI0306", format!("`{}` takes other arguments", name.node))
                .at(span, "here")
                .help(format!("usage: {usage}"))
        };
        let arg = |i: usize| args.get(i).map(|a| &a.value).ok_or_else(|| wrong("see docs/language.md"));
        let exprs = |from: usize| -> Result<Vec<Typed>, Diagnostic> {
            args[from..].iter().map(|a| self.expr(&a.value, scope, None)).collect()
        };
        let at = |kind, ty| Ok(Typed::new(kind, ty, span));
        match name.node.as_str() {
            "first" if !args.is_empty() => {
                let all = args.iter().map(|a| self.expr(&a.value, scope, expected)).collect::<Result<Vec<_>, _>>()?;
                let ty = self.common_type(&all)?;
                at(Kind::First(all), ty)
            }
            "if" if args.len() == 3 => {
                let cond = self.condition(arg(0)?, scope)?;
                let a = self.expr(arg(1)?, scope, expected)?;
                let b = self.expr(arg(2)?, scope, expected.or(Some(&a.ty)))?;
                let ty = self.common_type(&[a.clone(), b.clone()])?;
                at(Kind::If(Box::new([cond, a, b])), ty)
            }
            "if" => Err(wrong("if(condition, a, b)")),
            "has" if args.len() == 1 => {
                let of = self.expr(arg(0)?, scope, None)?;
                at(Kind::Has(Box::new(of)), Type::Bool)
            }
            "readable" if args.len() == 1 => {
                let of = self.expr(arg(0)?, scope, None)?;
                at(Kind::Readable(Box::new(of)), Type::Bool)
            }
            "number_after" if args.len() == 2 => {
                let of = self.expr(arg(0)?, scope, None)?;
                match (self.expr(arg(1)?, scope, None)?.kind, &of.ty) {
                    (Kind::Str(s), Type::Str(_)) => at(Kind::NumberAfter(Box::new(of), s), Type::Int),
                    _ => Err(wrong("number_after(name, \"-\")")),
                }
            }
            "match" if args.len() >= 2 => self.select(args, span, scope),
            "concat" if !args.is_empty() => at(Kind::Concat(exprs(0)?), Type::Str(0)),
            "count" if args.len() == 1 && scope.inside => match &arg(0)?.kind {
                ExprKind::Name(of) if self.catalogue.enums.contains_key(of) => {
                    at(Kind::EnumCount(of.clone()), Type::Int)
                }
                _ => Err(wrong("count(enum)")),
            },
            "ordinal" | "since_end" | "since_pos" | "since_first" if scope.inside => {
                self.series(&name.node, exprs(0)?, span, scope).ok_or_else(|| wrong("see docs/engines.md"))
            }
            "sum_of" | "count_of" | "last_of" if scope.inside && args.len() == 1 => {
                self.accum(&name.node, arg(0)?, span, scope)
            }
            n if AGGREGATES.contains(&n) => Err(Diagnostic::error(
                "PI0304",
                format!("`{n}` is a column: it cannot be part of a field or condition"),
            )
            .at(span, "an aggregation here")
            .help("aggregations stand as columns: < count(), sum(dur) by op >")),
            n if LATER.contains(&n) => Err(not_yet(&format!("`{n}`"), span)),
            n => {
                let Some(f) = self.fns.get(n).or_else(|| self.catalogue.fns.get(n)) else {
                    let known = ["first", "if", "has", "number_after", "match", "concat", "readable"];
                    let names = known.iter().copied().chain(self.fns.keys().map(String::as_str));
                    return Err(Diagnostic::error("PI0206", format!("no function is called `{n}`"))
                        .at(name.span, "unknown")
                        .help_near(n, names.chain(AGGREGATES.iter().copied()), "see docs/language.md"));
                };
                if f.params.len() != args.len() {
                    let names: Vec<_> = f.params.iter().map(|p| p.node.as_str()).collect();
                    return Err(wrong(&format!("{n}({})", names.join(", "))));
                }
                let locals: Vec<_> = f.params.iter().map(|p| p.node.clone()).zip(exprs(0)?).collect();
                Ok(self.expr(&f.body, Scope { locals: &locals, ..scope }, expected)?.at(span))
            }
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

    fn common_type(&self, all: &[Typed]) -> Result<Type, Diagnostic> {
        let mut ty = Type::Absent;
        for e in all {
            ty = ty.unify(&e.ty).ok_or_else(|| mismatch(e, &ty))?;
        }
        Ok(ty)
    }

    fn series(&self, name: &str, mut all: Vec<Typed>, span: Span, scope: Scope<'_>) -> Option<Typed> {
        let (how, inputs, ty) = match name {
            "ordinal" => (SeriesHow::Ordinal, 0, Type::Int),
            "since_end" => (SeriesHow::SinceEnd, 0, Type::Duration),
            "since_pos" => (SeriesHow::SincePos, 2, Type::Duration),
            _ => (SeriesHow::SinceFirst, 2, Type::Duration),
        };
        if all.len() < inputs || all.len() > inputs + 2 || all.iter().any(|e| !e.ty.is_kernel_number()) {
            return None;
        }
        let keys = all.split_off(inputs);
        let series = Series { how, inputs: all, keys };
        Some(Typed::new(Kind::Series(scope.point?, series), ty, span))
    }

    fn accum(&self, name: &str, of: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        let bad = || {
            Diagnostic::error("PI0306", format!("`{name}` gathers over an inner point"))
                .at(of.span, "not a field of a point")
                .help("usage: sum_of(inner.field), last_of(inner.field), count_of(inner)")
        };
        let Some(outer) = scope.point else { return Err(bad()) };
        let (inner, value) = match &of.kind {
            ExprKind::Name(point) => (self.catalogue.point(point).ok_or_else(bad)?, None),
            ExprKind::Member(point, field) => match &point.kind {
                ExprKind::Name(point) => {
                    let inner = self.catalogue.point(point).ok_or_else(bad)?;
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

/// `a op b`, folded where both are known.
pub(crate) fn combine(op: ArithOp, a: Typed, b: Typed, span: Span) -> Resolved {
    let Some(ty) = arithmetic(op, &a.ty, &b.ty) else {
        let mut d = Diagnostic::error("PI0302", format!("`{}` of {} and {}", op.symbol(), a.ty, b.ty))
            .at(span, "units do not go together")
            .note(a.span, a.ty.to_string())
            .note(b.span, b.ty.to_string());
        if matches!((&a.ty, &b.ty), (Type::Duration, Type::Int) | (Type::Int, Type::Duration)) {
            d = d.help("write the unit: 10us, 1ms, 2s");
        }
        return Err(d);
    };
    if let (Kind::Int(x), Kind::Int(y)) = (&a.kind, &b.kind) {
        let folded = match op {
            ArithOp::Add => x.checked_add(*y),
            ArithOp::Sub => x.checked_sub(*y),
            ArithOp::Mul => x.checked_mul(*y),
            ArithOp::Div if ty != Type::Ratio => x.checked_div(*y),
            ArithOp::Rem => x.checked_rem(*y),
            ArithOp::Div => None,
        };
        if let Some(n) = folded {
            return Ok(Typed::new(Kind::Int(n), ty, span));
        }
        if *y == 0 && matches!(op, ArithOp::Div | ArithOp::Rem) {
            return Err(Diagnostic::error("PI0315", "division by zero").at(span, "here"));
        }
        if op != ArithOp::Div {
            return Err(Diagnostic::error("PI0315", "the number is too large").at(span, "past 64 bits"));
        }
    }
    Ok(Typed::new(Kind::Arith(op, Box::new([a, b])), ty, span))
}

fn int_as(have: &Type, want: &Type) -> Option<Type> {
    (have.is_kernel_number() && *want == Type::Int && *have == Type::Bool).then_some(Type::Int)
}

pub(crate) fn mismatch(have: &Typed, want: &Type) -> Diagnostic {
    Diagnostic::error("PI0301", format!("this is {}, where {want} is expected", have.ty))
        .at(have.span, have.ty.to_string())
}

/// "Parsed, not compiled yet".
pub(crate) fn not_yet(what: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0401", format!("{what} is not supported yet"))
        .at(span, "parsed, not compiled yet")
        .help("`profinfer explain PI0401` lists what is not there yet")
}

/// "Did you mean" for diagnostics.
pub(crate) trait HelpNear {
    /// Adds `did you mean X?` if a name is near, else `otherwise`.
    #[must_use]
    fn help_near<'n>(self, name: &str, names: impl Iterator<Item = &'n str>, otherwise: &str) -> Self;
}

impl HelpNear for Diagnostic {
    fn help_near<'n>(self, name: &str, names: impl Iterator<Item = &'n str>, otherwise: &str) -> Self {
        match near(name, names) {
            Some(n) => self.help(format!("did you mean `{n}`?")),
            None => self.help(otherwise),
        }
    }
}

/// The name most like `name`, if one is near enough to be meant.
pub fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    names
        .map(|n| (strsim::damerau_levenshtein(&n.to_lowercase(), &lower), n))
        .filter(|(d, n)| *d <= n.len().max(lower.len()) / 3 && *d <= 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}
