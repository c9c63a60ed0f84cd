//! Clauses: when they run, their groups of columns, and what is shown.

use super::{At, Expr, Ident};
use crate::span::{Span, Spanned};

/// A clause: when, and what to do then.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// When it runs.
    pub head: ClauseHead,
    /// Its groups, between `<` and `>`.
    pub body: Body,
    /// All of it.
    pub span: Span,
}

/// When a clause runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ClauseHead {
    /// `on at, at where (cond)`
    On {
        /// The points.
        ats: Vec<At>,
        /// The condition without its parentheses.
        filter: Option<Expr>,
    },
    /// `every 1s`
    Every(Expr),
    /// `after 10s`
    After(Expr),
    /// `begin`
    Begin,
    /// `end`
    End,
}

/// `< group; group >`
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// The groups; never empty.
    pub groups: Vec<Group>,
    /// With the angle brackets.
    pub span: Span,
}

/// One group of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What it is.
    pub kind: GroupKind,
    /// All of it.
    pub span: Span,
}

/// The kinds of group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKind {
    /// `count(), sum(dur) by op into ops limit 100`
    Columns {
        /// The columns; never empty.
        columns: Vec<Column>,
        /// The keys behind `by`.
        by: Vec<Column>,
        /// The table behind `into`.
        into: Option<Ident>,
        /// The rows behind `limit`.
        limit: Option<Spanned<u64>>,
    },
    /// `show ops as table top 10 sort total desc to "x.html"`
    Show {
        /// The table.
        table: Ident,
        /// What is said of it, in order.
        options: Vec<ShowOption>,
    },
    /// `clear ops`
    Clear(Ident),
    /// `exit`
    Exit,
}

/// One option of `show`.
#[derive(Debug, Clone, PartialEq)]
pub enum ShowOption {
    /// `as heatmap`
    As(Ident),
    /// `top 10`, `top $top`
    Top(Expr),
    /// `sort total desc`
    Sort {
        /// The column, by name or by its text (`sum(dur)`).
        column: Expr,
        /// `desc` or `asc`, where written.
        descending: Option<bool>,
    },
    /// `to "stalls.html"`
    To(Spanned<String>),
}

/// `(NAME =)? EXPR`: a column or a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name given to it.
    pub name: Option<Ident>,
    /// What it holds.
    pub expr: Expr,
}
