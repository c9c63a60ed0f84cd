//! Names to memory: turns expressions of the script into [`Typed`] ones, down to a point's arguments.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use profinfer_lang::ast::{self, BinaryOp, ExprKind, UnaryOp};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::catalogue::{Catalogue, Template};
pub use crate::faults::near;
use crate::faults::{HelpNear, bare_text, consequence, is_consequence, mismatch, told_at, with_unit_hint};
use crate::fold::combine;
use crate::pattern::{Alt, Pattern};
use crate::typed::{Common, Kind, Place, PointId, Typed};
use crate::types::{ArithOp, CmpOp, Mem, Type};

/// Words of the language that are column functions, not scalar ones.
pub(crate) const AGGREGATES: &[&str] = &[
    "count", "sum", "avg", "min", "max", "hist", "quantile", "share", "rate", "last", "stats", "lhist", "distinct",
    "lru", "slope",
];

/// Words of the language that are scalar functions.
pub(crate) const SCALARS: &[&str] = &["first", "if", "has", "number_after", "match", "concat", "readable"];

/// Words that are parsed and will be scalar functions or event columns.
pub(crate) const LATER: &[&str] = &["gap", "bucket", "print", "slice", "gauge", "node", "stack"];

pub(crate) type Resolved = Result<Typed, Diagnostic>;

/// Resolves expressions against a catalogue, a script's constants and its parameters.
pub struct Resolver<'a> {
    catalogue: &'a Catalogue,
    /// `$name` to its value.
    pub params: IndexMap<String, Typed>,
    /// Top-level `let`s.
    pub constants: IndexMap<String, Typed>,
    /// Functions of the script; those of the catalogue come after.
    pub fns: IndexMap<String, ast::FnDef>,
    /// Names that are declared and whose declaration has a fault that has been told: `$top`, `f`, `slow`.
    pub(crate) broken: HashSet<String>,
    fields: RefCell<HashMap<(PointId, String), Typed>>,
    /// Definitions being put in place, outermost first.
    open: RefCell<Vec<String>>,
    depth: Cell<usize>,
    copied: Cell<usize>,
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

/// How deep expressions may nest once definitions are put in their places.
const MAX_DEPTH: usize = 128;

/// How much may be copied while definitions are put in their places, in nodes of expressions.
const MAX_COPIED: usize = 200_000;

impl<'a> Resolver<'a> {
    /// A resolver without parameters and constants.
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            params: IndexMap::new(),
            constants: IndexMap::new(),
            fns: IndexMap::new(),
            broken: HashSet::new(),
            fields: RefCell::default(),
            open: RefCell::default(),
            depth: Cell::new(0),
            copied: Cell::new(0),
        }
    }

    /// The catalogue it resolves against.
    pub fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
    }

    /// The value of a point's field, down to the point's arguments.
    pub fn field(&self, point: PointId, name: &str, span: Span) -> Resolved {
        if let Some(known) = self.fields.borrow().get(&(point, name.to_owned())) {
            return self.copy(known, span).map(|copy| copy.at(span));
        }
        let info = &self.catalogue.points[point];
        let Some(field) = info.fields.get(name) else {
            return Err(self.unknown_field(point, name, span));
        };
        let value = self.define(&format!("{}.{name}", info.name), span, || {
            let value = self.expr(&field.value, Scope::definition(point), field.ty.as_ref())?;
            let Some(ty) = &field.ty else { return Ok(value) };
            match value.ty.unify(ty).or_else(|| int_as(&value.ty, ty)) {
                Some(ty) => Ok(Typed { ty, ..value }),
                None => Err(mismatch(&value, ty)),
            }
        });
        let value = value.map_err(|d| told_at(d, span, &format!("`{name}`")))?.named(name);
        self.fields.borrow_mut().insert((point, name.to_owned()), value.clone());
        Ok(value.at(span))
    }

    /// Runs `f` for the definition called `name`, which must not need itself.
    pub(crate) fn define<T>(
        &self,
        name: &str,
        span: Span,
        f: impl FnOnce() -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        if self.open.borrow().iter().any(|n| n == name) {
            return Err(Diagnostic::error("PI0211", format!("the definition of `{name}` needs itself"))
                .at(span, "goes round in a circle")
                .help("definitions are put in the places of their names: they can use only what does not use them"));
        }
        self.open.borrow_mut().push(name.to_owned());
        let result = f();
        self.open.borrow_mut().pop();
        result
    }

    fn deeper<T>(&self, span: Span, f: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        if self.depth.get() > MAX_DEPTH {
            return Err(too_much(span));
        }
        self.depth.set(self.depth.get() + 1);
        let result = f();
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// What a name stands for, to be put at its place; there is a limit to how much that may come to.
    fn copy(&self, value: &Typed, span: Span) -> Resolved {
        self.copied.set(self.copied.get().saturating_add(value.size()));
        if self.copied.get() > MAX_COPIED {
            return Err(too_much(span));
        }
        Ok(Typed { span, ..value.clone() })
    }

    /// A condition: an expression that is true or false.
    pub fn condition(&self, e: &ast::Expr, scope: Scope<'_>) -> Resolved {
        a_condition(self.expr(e, scope, Some(&Type::Bool))?)
    }

    /// Any expression; `expected` lets a word of an enum be recognised.
    pub fn expr(&self, e: &ast::Expr, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        let mut inner = e;
        while let ExprKind::Paren(bare) = &inner.kind {
            inner = bare;
        }
        self.deeper(e.span, || self.expr_inner(inner, scope, expected))
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
                    // Rates are kept per nanosecond, as quotients by a duration are.
                    ast::Unit::Hertz => return at(Kind::Float(*n as f64 / 1e9), Type::PerSecond),
                },
            ),
            ExprKind::Number(ast::Number::Ratio(x)) => at(Kind::Float(*x), Type::Ratio),
            ExprKind::Str(s) => at(Kind::Str(s.clone()), Type::Str(0)),
            ExprKind::Bool(b) => at(Kind::Bool(*b), Type::Bool),
            ExprKind::Paren(inner) => self.expr(inner, scope, expected),
            ExprKind::Param(name) => self.param(name, e.span),
            ExprKind::Name(name) => self.name(name, e.span, scope, expected),
            ExprKind::Member(base, member) => self.member(base, member, e.span, scope),
            ExprKind::Index(base, index) => self.index(base, index, e.span, scope),
            ExprKind::Unary(UnaryOp::Neg, inner) => negative(self.expr(inner, scope, None)?, e.span),
            ExprKind::Unary(UnaryOp::Not, inner) => {
                let inner = self.condition(inner, scope)?;
                at(Kind::Not(Box::new(inner)), Type::Bool)
            }
            ExprKind::Binary(op, a, b) if op.is_comparison() => self.comparison(*op, a, b, e.span, scope),
            ExprKind::Binary(..) => self.chain(e, scope),
            ExprKind::Call { name, args } => self.call(name, args, e.span, scope, expected),
            ExprKind::Range(..) | ExprKind::Pattern(_) => Err(misplaced(e.span)),
        }
    }

    fn param(&self, name: &str, span: Span) -> Resolved {
        match self.params.get(name) {
            Some(value) => Ok(Typed { span, ..value.clone() }),
            None if self.broken.contains(&format!("${name}")) => Err(consequence(span)),
            None => Err(Diagnostic::error("PI0203", format!("no parameter is called `${name}`"))
                .at(span, "not declared")
                .help_near(name, self.params.keys().map(String::as_str), "declare it: param name: type = value")),
        }
    }

    fn name(&self, name: &str, span: Span, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        if let Some((_, value)) = scope.locals.iter().find(|(n, _)| n == name) {
            return self.copy(value, span);
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
        if let (Some(value), false) = (self.constants.get(name), scope.inside) {
            return self.copy(value, span);
        }
        if self.broken.contains(name) {
            return Err(consequence(span));
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

    pub(crate) fn field_or_common(&self, point: PointId, name: &str, span: Span) -> Result<Option<Typed>, Diagnostic> {
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

    pub(crate) fn unknown_field(&self, point: PointId, name: &str, span: Span) -> Diagnostic {
        let names = self.names_at(point);
        let info = &self.catalogue.points[point];
        let points = info.within.iter().map(|p| self.catalogue.points[*p].name.as_str());
        Diagnostic::error("PI0202", format!("`{}` has no field `{name}`", info.name))
            .at(span, "unknown field")
            .help_near(
                name,
                names.iter().map(String::as_str).chain(points),
                &format!("fields of {}: {}", info.name, names.join(" ")),
            )
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
                .at(base.span, "not a struct")
                .help("only a field that points to a struct has parts: src0.name, src0.type")),
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
                    .at(base.span, "not an array")
                    .help("only an array has elements: ne[0]"));
            }
        };
        if let (Kind::Int(i), Some(len)) = (&index.kind, len)
            && !(0..len as i64).contains(i)
        {
            return Err(Diagnostic::error("PI0314", format!("the index is {i}, the array has {len} elements"))
                .at(index.span, format!("0 to {}", len.saturating_sub(1))));
        }
        let name = format!("{base}[{index}]");
        // An array inside a struct is the struct's memory; a pointer is followed.
        let (pointer, place) = match (len, base.kind) {
            (Some(_), Kind::Load { base, place, index: None, .. }) => (base, place),
            (_, kind) => (Box::new(Typed::new(kind, base.ty.clone(), base.span)), Place::default()),
        };
        let kind = match index.kind {
            Kind::Int(i) => {
                let Some(offset) = i.checked_mul(i64::from(mem.size)).and_then(|n| n.checked_add(place.offset)) else {
                    return Err(Diagnostic::error("PI0314", "the index is out of reach").at(index.span, "past 64 bits"));
                };
                Kind::Load { base: pointer, place: Place { offset, ..place }, index: None, mem: Some(mem) }
            }
            _ if len.is_some() => {
                return Err(Diagnostic::error("PI0314", "an array's index is a number here")
                    .at(index.span, "not a constant")
                    .help("write the number: ne[0]"));
            }
            _ => {
                Kind::Load { base: pointer, place, index: Some((Box::new(index), u32::from(mem.size))), mem: Some(mem) }
            }
        };
        Ok(Typed::new(kind, elem, span).named(name))
    }

    /// `a op b op c …`: long chains are read in a loop, so that they meet no limit of depth.
    fn chain(&self, e: &ast::Expr, scope: Scope<'_>) -> Resolved {
        let is_link = |op: BinaryOp| !op.is_comparison();
        let mut links = Vec::new();
        let mut first = e;
        while let ExprKind::Binary(op, a, b) = &first.kind
            && is_link(*op)
        {
            links.push((*op, &**b, first.span));
            first = a;
        }
        let mut left = self.expr(first, scope, None)?;
        for (op, right, span) in links.into_iter().rev() {
            let right = self.expr(right, scope, None)?;
            left = match op {
                BinaryOp::And | BinaryOp::Or => {
                    let pair = Box::new([a_condition(left)?, a_condition(right)?]);
                    let kind = if op == BinaryOp::And { Kind::And(pair) } else { Kind::Or(pair) };
                    Typed::new(kind, Type::Bool, span)
                }
                BinaryOp::Add => combine(ArithOp::Add, left, right, span)?,
                BinaryOp::Sub => combine(ArithOp::Sub, left, right, span)?,
                BinaryOp::Mul => combine(ArithOp::Mul, left, right, span)?,
                BinaryOp::Div => combine(ArithOp::Div, left, right, span)?,
                _ => combine(ArithOp::Rem, left, right, span)?,
            };
        }
        Ok(left)
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
        let left = match self.expr(a, scope, None) {
            Ok(left) => left,
            // The enum's word may stand on the left.
            Err(fault) => match (&a.kind, &b.kind) {
                (ExprKind::Name(_), ExprKind::Name(_) | ExprKind::Member(..)) => match self.expr(b, scope, None) {
                    Ok(Typed { ty: ty @ Type::Enum(_), .. }) => self.expr(a, scope, Some(&ty))?,
                    _ => return Err(fault),
                },
                _ => return Err(fault),
            },
        };
        // `!=` turns the pattern round, not the result: what is absent matches neither.
        let matches = |left: Typed, mut pattern: Pattern| {
            pattern.negated ^= negate;
            Ok(Typed::new(Kind::Matches(Box::new(left), pattern), Type::Bool, span))
        };
        if let (true, ExprKind::Pattern(p)) = (is_equality, &b.kind) {
            let pattern = self.pattern(p, &left, scope)?;
            return matches(left, pattern);
        }
        let right = match self.expr(b, scope, Some(&left.ty)) {
            Ok(right) => right,
            Err(fault) => match (&left.ty, bare_text(b)) {
                (Type::Str(_), Some(text)) if !is_consequence(&fault) => {
                    return Err(Diagnostic { help: Vec::new(), ..fault }
                        .help(format!("if it is a text, write it in quotes: \"{text}\"")));
                }
                _ => return Err(fault),
            },
        };
        if let (true, Type::Str(_) | Type::Enum(_), Kind::Str(s)) = (is_equality, &left.ty, &right.kind) {
            return matches(left, Pattern { negated: false, alts: vec![Alt::Glob(s.clone())] });
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
            if let (Type::Enum(of), _) | (_, Type::Enum(of)) = (&left.ty, &right.ty) {
                let word = self.catalogue.enums[of].words.keys().last().map_or("WORD", String::as_str);
                let field = if matches!(left.ty, Type::Enum(_)) { &left } else { &right };
                d = d.help(format!("compare it with its words, by `=` and `!=` only: ({field} = {word})"));
            } else if let (Type::Str(_), _) | (_, Type::Str(_)) = (&left.ty, &right.ty) {
                d = d.help("a text is compared with text in quotes, by `=` and `!=` only: (name = \"ffn_*\")");
            } else {
                d = with_unit_hint(d, &left.ty, &right.ty);
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
        let usage = match &value.ty {
            Type::Enum(_) => "write its words: ADD | MUL_*",
            Type::Str(_) => "write text with `*`: ffn_* | \"blk.*\"",
            Type::Int => "write a number or a range: 3, 0..15, 4..",
            Type::Duration => "write durations: 1ms..5ms, 10us..",
            Type::Bytes => "write sizes: 4KiB.., 1MB..2MB",
            Type::Bool => "write true or false",
            _ => "patterns are for numbers, texts, words and truth values; put a condition into where ( … )",
        };
        let misfit = |what: &str, span: Span| {
            Diagnostic::error("PI0308", format!("{what} does not fit {}", value.ty))
                .at(span, format!("held against {}", value.ty))
                .help(usage)
        };
        let wrong = |what: &str| Err(misfit(what, alt.span));
        let bound = |e: &ast::Expr| -> Result<i64, Diagnostic> {
            let bound = self.expr(e, Scope::constant(), None)?;
            match bound.kind {
                Kind::Int(n) if bound.ty == value.ty => Ok(n),
                _ => Err(misfit(&bound.ty.to_string(), e.span)),
            }
        };
        let numeric = matches!(value.ty, Type::Int | Type::Duration | Type::Bytes);
        let truth = |b: bool| Alt::Range(i64::from(b), i64::from(b));
        match &alt.kind {
            ast::PatternKind::Range { from, to } if numeric => {
                let lo = from.as_ref().map(bound).transpose()?.unwrap_or(i64::MIN);
                let hi = to.as_ref().map(bound).transpose()?.unwrap_or(i64::MAX);
                if lo > hi {
                    return Err(Diagnostic::error("PI0309", "the range is empty")
                        .at(alt.span, "ends before it begins")
                        .help("write the smaller bound first; both are within the range"));
                }
                Ok(Alt::Range(lo, hi))
            }
            ast::PatternKind::Range { .. } => wrong("a range"),
            ast::PatternKind::Value(e) => {
                let given = self.expr(e, scope, Some(&value.ty))?;
                match (given.kind, &value.ty) {
                    (Kind::Bool(b), Type::Bool) => Ok(truth(b)),
                    (Kind::Int(n), ty) if numeric && given.ty == *ty => Ok(Alt::Range(n, n)),
                    (Kind::Str(s), Type::Str(_) | Type::Enum(_)) => Ok(Alt::Glob(s)),
                    (Kind::Word(of, word), Type::Enum(ty)) if of == *ty => Ok(Alt::Glob(word)),
                    _ => wrong(&given.ty.to_string()),
                }
            }
            ast::PatternKind::Str(s) => match &value.ty {
                Type::Str(_) | Type::Enum(_) => Ok(Alt::Glob(s.clone())),
                _ => wrong("text"),
            },
            ast::PatternKind::Glob(g) => match &value.ty {
                Type::Bool if g == "true" || g == "false" => Ok(truth(g == "true")),
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
                _ => wrong("a word"),
            },
        }
    }

    pub(crate) fn common_type(&self, all: &[Typed]) -> Result<Type, Diagnostic> {
        let mut ty = Type::Absent;
        for e in all {
            ty = ty.unify(&e.ty).ok_or_else(|| mismatch(e, &ty))?;
        }
        Ok(ty)
    }
}

fn int_as(have: &Type, want: &Type) -> Option<Type> {
    (have.is_kernel_number() && *want == Type::Int && *have == Type::Bool).then_some(Type::Int)
}

fn a_condition(e: Typed) -> Resolved {
    if e.ty == Type::Bool {
        return Ok(e);
    }
    Err(Diagnostic::error("PI0313", format!("a condition is true or false, this is {}", e.ty))
        .at(e.span, "not a condition")
        .help("compare it: (dur > 1ms), (op = MUL_MAT), has(layer)"))
}

fn too_much(span: Span) -> Diagnostic {
    Diagnostic::error("PI0211", "too much comes of the definitions used here")
        .at(span, "nested too deep, or too long, once they are put in place")
        .help("use fewer functions and constants inside of each other")
}

fn negative(e: Typed, span: Span) -> Resolved {
    let kind = match e.kind {
        Kind::Int(n) if e.ty.is_quantity() => Kind::Int(n.saturating_neg()),
        Kind::Float(x) => Kind::Float(-x),
        _ if e.ty.is_quantity() => return Ok(Typed::new(Kind::Neg(Box::new(e.clone())), e.ty, span)),
        _ => return Err(mismatch(&e, &Type::Int)),
    };
    Ok(Typed::new(kind, e.ty, span))
}

fn misplaced(span: Span) -> Diagnostic {
    Diagnostic::error("PI0308", "a pattern stands only on the right of `=` or `!=`")
        .at(span, "a pattern")
        .help("write (field = pattern)")
}
