//! Expressions, their operators, and numbers with their units.

use super::{Ident, Pattern};
use crate::span::Span;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// All of it.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number with its unit.
    Number(Number),
    /// A string, escapes resolved.
    Str(String),
    /// `true`, `false`
    Bool(bool),
    /// `$top`
    Param(String),
    /// A word: a field, a point, an enum's value, a constant.
    Name(String),
    /// `src0.type`
    Member(Box<Expr>, Ident),
    /// `ne[0]`
    Index(Box<Expr>, Box<Expr>),
    /// `hist(dur, k=2)`
    Call {
        /// The function.
        name: Ident,
        /// Its arguments.
        args: Vec<CallArg>,
    },
    /// `-x`, `not x`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`, `a < b`, `a and b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `( x )`; kept for the formatter.
    Paren(Box<Expr>),
    /// `a..b`, as an argument only.
    Range(Box<Expr>, Box<Expr>),
    /// `MUL_* | ADD`, `"ffn_*"`, `0..3` on the right of `=` or `!=` in a condition.
    Pattern(Box<Pattern>),
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallArg {
    /// `k` in `k=0`
    pub name: Option<Ident>,
    /// The value.
    pub value: Expr,
}

/// Operators with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `not`
    Not,
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its own symbol")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

impl BinaryOp {
    /// The operator as written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::And => "and",
            Self::Or => "or",
        }
    }

    /// Whether it compares (`=` to `>=`).
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }
}

/// A number as written: value × unit, exact where the unit is a whole number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number, in the unit's base (ns, bytes, hertz) where it has one.
    Int(i64, Unit),
    /// A number with a fraction that no unit makes whole.
    Ratio(f64),
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A bare number.
    None,
    /// `ns us ms s min h`: nanoseconds.
    Duration,
    /// `B KiB MiB GiB KB MB GB`: bytes.
    Bytes,
    /// `hz`: events per second.
    Hertz,
}
