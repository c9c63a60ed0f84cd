//! Names to memory: turns expressions of the script into [`Typed`] ones, down to a point's arguments.

mod definitions;
mod memory;
mod names;
mod operators;
mod patterns;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use profinfer_lang::ast::{self, ExprKind, UnaryOp};
use profinfer_lang::diagnostic::Diagnostic;

pub(crate) use self::definitions::too_much;
use self::operators::{a_condition, negative};
use self::patterns::misplaced;
use crate::catalogue::Catalogue;
use crate::faults::mismatch;
pub use crate::faults::near;
use crate::typed::{Kind, PointId, Typed};
use crate::types::Type;

/// Words of the language that are column functions, not scalar ones.
pub(crate) const AGGREGATES: &[&str] = &[
    "count", "sum", "avg", "min", "max", "hist", "quantile", "share", "rate", "last", "stats", "lhist", "distinct",
    "lru", "pinned", "slope",
];

/// Words of the language that are scalar functions.
pub(crate) const SCALARS: &[&str] = &[
    "first",
    "if",
    "has",
    "number_after",
    "pmu",
    "match",
    "concat",
    "bucket",
    "readable",
    "stack",
    "starts",
    "i32_at",
    "f32_at",
    "address",
];

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
    /// Bundles of columns of the script.
    pub(crate) aggs: IndexMap<String, ast::AggDef>,
    /// Probes of the script.
    pub(crate) probes: IndexMap<String, ast::ProbeDef>,
    /// Names that are declared and whose declaration has a fault that has been told: `$top`, `f`, `slow`.
    pub(crate) broken: HashSet<String>,
    fields: RefCell<HashMap<(PointId, String), Typed>>,
    /// Definitions being put in place, outermost first.
    open: RefCell<Vec<String>>,
    /// Definitions that were found to need themselves.
    circular: RefCell<HashSet<String>>,
    /// Fields are told of where they are defined, not where they are used: the description is held against itself.
    describing: bool,
    /// What is resolved is done for each part of an event: its number is known.
    in_parts: Cell<bool>,
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

    /// Where a point is described: its arguments are to be had.
    pub(crate) fn definition(point: PointId) -> Self {
        Self { point: Some(point), inside: true, locals: &[] }
    }
}

impl<'a> Resolver<'a> {
    /// A resolver without parameters and constants.
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            params: IndexMap::new(),
            constants: IndexMap::new(),
            fns: IndexMap::new(),
            aggs: IndexMap::new(),
            probes: IndexMap::new(),
            broken: HashSet::new(),
            fields: RefCell::default(),
            open: RefCell::default(),
            circular: RefCell::default(),
            describing: false,
            in_parts: Cell::new(false),
            depth: Cell::new(0),
            copied: Cell::new(0),
        }
    }

    /// A resolver for the definitions of the catalogue itself: each fault is told once, in the definition that has it.
    pub(crate) fn describing(catalogue: &'a Catalogue) -> Self {
        Self { describing: true, ..Self::new(catalogue) }
    }

    /// Resolves what is done for each part of an event; within such a thing there is none.
    pub(crate) fn of_each_part(&self, resolve: impl FnOnce(&Self) -> Resolved) -> Resolved {
        let before = self.in_parts.replace(true);
        let resolved = resolve(self);
        self.in_parts.set(before);
        resolved
    }

    /// Whether what is resolved is done for each part.
    pub(crate) fn is_of_each_part(&self) -> bool {
        self.in_parts.get()
    }

    /// The catalogue it resolves against.
    pub fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
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

    pub(crate) fn common_type(&self, all: &[Typed]) -> Result<Type, Diagnostic> {
        let mut ty = Type::Absent;
        for e in all {
            ty = ty.unify(&e.ty).ok_or_else(|| mismatch(e, &ty))?;
        }
        Ok(ty)
    }
}
