//! Points as a clause names them, with the patterns in their parentheses.

use super::{Expr, Ident, Path, TypeRef};
use crate::span::Span;

/// A point with its patterns: `ggml_op(MUL_MAT, src0.type = Q4_*)?`
#[derive(Debug, Clone, PartialEq)]
pub struct At {
    /// The point.
    pub path: Path,
    /// What stands in its parentheses.
    pub args: Vec<AtArg>,
    /// `?` behind it: carry on if the target lacks it.
    pub optional: bool,
    /// All of it.
    pub span: Span,
}

/// One argument of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum AtArg {
    /// `req: ptr(request)`: a typed argument of a probed function.
    Typed {
        /// The name it gets.
        name: Ident,
        /// Its type.
        ty: TypeRef,
    },
    /// `MUL_MAT`, `layer = 0..15`
    Pattern {
        /// The field; none for the point's own first pattern.
        field: Option<Expr>,
        /// The pattern.
        pattern: Pattern,
    },
}

/// `!? alt | alt`
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// `!`: none of the alternatives.
    pub negated: bool,
    /// The alternatives; never empty.
    pub alts: Vec<PatternAlt>,
    /// All of it.
    pub span: Span,
}

/// One alternative of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternAlt {
    /// What it matches.
    pub kind: PatternKind,
    /// Where it stands.
    pub span: Span,
}

/// What an alternative matches.
#[derive(Debug, Clone, PartialEq)]
pub enum PatternKind {
    /// `0..15`, `4..`, `..8`: both ends are within it.
    Range {
        /// Lower bound.
        from: Option<Expr>,
        /// Upper bound.
        to: Option<Expr>,
    },
    /// A number or a `$param`.
    Value(Expr),
    /// `"ffn_*"`: a glob.
    Str(String),
    /// `MUL_*`: an unquoted glob or an enum's word.
    Glob(String),
}
