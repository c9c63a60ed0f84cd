//! The syntax tree of a `.pi` file: what was written, nothing resolved. Every node knows its span.

mod clause;
mod define;
mod engine;
mod expr;
mod pattern;

pub use clause::{Body, Clause, ClauseHead, Column, Group, GroupKind, ShowOption};
pub use define::{AggDef, FnDef, Import, ImportPath, Let, Param, ProbeDef, TypeRef};
pub use engine::{Edge, Engine, EnumDef, EnumVariant, PointDef, PointStmt, PointStmtKind, StructDef, StructField};
pub use expr::{BinaryOp, CallArg, Expr, ExprKind, Number, UnaryOp, Unit};
pub use pattern::{At, AtArg, Pattern, PatternAlt, PatternKind};

use crate::span::{Span, Spanned};

/// A word as written.
pub type Ident = Spanned<String>;

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The `//!` lines at the top, without the marker and one leading blank.
    pub doc: Vec<String>,
    /// `profinfer 1`, if written.
    pub edition: Option<Spanned<u64>>,
    /// The items in source order.
    pub items: Vec<Item>,
}

/// One top-level item with the `///` lines above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The `///` lines, without the marker and one leading blank.
    pub docs: Vec<String>,
    /// What it is.
    pub kind: ItemKind,
    /// The item without its docs.
    pub span: Span,
}

/// The kinds of item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemKind {
    /// `import std.x`, `import "./x.pi" as y`
    Import(Import),
    /// `param top: int = 20`
    Param(Param),
    /// `let a = 4096` (top level) or a derived field of a probe or point
    Let(Let),
    /// `fn f(x) = x + 1`
    Fn(FnDef),
    /// `agg latency(x) = count(), avg(x)`
    Agg(AggDef),
    /// `probe slow = llama_ubatch where (dur > 1ms)`
    Probe(ProbeDef),
    /// `on … < … >`, `every 1s < … >`, `begin < … >` …
    Clause(Clause),
    /// `engine ggml "llama.cpp" where (exports("f"))`
    Engine(Engine),
    /// `struct s { f: i32 @ 0 }`
    Struct(StructDef),
    /// `enum e = table "SYMBOL" else { A, B }`
    Enum(EnumDef),
    /// `point p : span { … }`
    Point(PointDef),
}

/// Dotted words: `ggml_op`, `std.moe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// The words; never empty.
    pub parts: Vec<Ident>,
    /// All of it.
    pub span: Span,
}

impl Path {
    /// The words joined by dots.
    pub fn text(&self) -> String {
        self.parts.iter().map(|p| p.node.as_str()).collect::<Vec<_>>().join(".")
    }
}
