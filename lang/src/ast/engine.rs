//! What describes an engine: how it is recognised, its structs and enums, its points.

use super::{CallArg, Expr, Ident, Let, Pattern, TypeRef};
use crate::span::{Span, Spanned};

/// `engine NAME "DESCRIPTION" where (COND)`
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// The name.
    pub name: Ident,
    /// What it is, for people.
    pub description: Spanned<String>,
    /// How it is recognised; `exports("symbol")` joined by `and or not`.
    pub condition: Expr,
}

/// `struct NAME (size N)? (where (COND))? { FIELD: TYPE @ OFFSET … }`
#[derive(Debug, Clone, PartialEq)]
pub struct StructDef {
    /// The name.
    pub name: Ident,
    /// Its size in bytes, where written.
    pub size: Option<Spanned<u64>>,
    /// Which builds have this layout, where several are described; as for [`Engine`].
    pub condition: Option<Expr>,
    /// Its fields.
    pub fields: Vec<StructField>,
}

/// `FIELD: TYPE @ OFFSET`
#[derive(Debug, Clone, PartialEq)]
pub struct StructField {
    /// The name.
    pub name: Ident,
    /// The type.
    pub ty: TypeRef,
    /// Bytes from the start of the struct.
    pub offset: Spanned<u64>,
}

/// `enum NAME (= table "SYMBOL" else)? { A, B = 4 }`
#[derive(Debug, Clone, PartialEq)]
pub struct EnumDef {
    /// The name.
    pub name: Ident,
    /// The table of names in the target, by its symbol.
    pub table: Option<Spanned<String>>,
    /// Names and numbers; a name without `=` has the number before it plus one.
    pub variants: Vec<EnumVariant>,
}

/// One name of an enum.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumVariant {
    /// The name.
    pub name: Ident,
    /// Its number, where written.
    pub value: Option<i64>,
}

/// `point NAME : TEMPLATE { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct PointDef {
    /// The name.
    pub name: Ident,
    /// `enter`, `span`, `sequence` or `rows`.
    pub template: Ident,
    /// What stands in the braces, in order.
    pub stmts: Vec<PointStmt>,
}

/// Where in a function an event ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// At its entry.
    Entry,
    /// At its return instructions.
    Return,
    /// Behind the calls of it, once it has come back: also where it went on in another function.
    Behind,
}

impl Edge {
    /// The word for it in a description, with a blank behind it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Entry => "",
            Self::Return => "return ",
            Self::Behind => "behind ",
        }
    }

    /// What stands before a function's name, for people.
    pub fn of(self) -> &'static str {
        match self {
            Self::Entry => "",
            Self::Return => "return of ",
            Self::Behind => "behind calls of ",
        }
    }
}

/// One statement of a point, with the `///` lines above it.
#[derive(Debug, Clone, PartialEq)]
pub struct PointStmt {
    /// The `///` lines.
    pub docs: Vec<String>,
    /// What it is.
    pub kind: PointStmtKind,
    /// All of it.
    pub span: Span,
}

/// The kinds of statement in a point.
#[derive(Debug, Clone, PartialEq)]
pub enum PointStmtKind {
    /// `start "f" or "g" (p: ptr(params))?`: an event begins at the entry of the first function that is there.
    Start {
        /// Symbols, the first that the target has is taken.
        symbols: Vec<Spanned<String>>,
        /// The function's arguments by position, up to the last that is used.
        args: Vec<(Ident, TypeRef)>,
        /// `?`: the point works without it.
        optional: bool,
    },
    /// `mark "f"? "reason"`: the last hit before the end of an event splits work from waiting.
    Mark {
        /// Symbols, the first that the target has is taken.
        symbols: Vec<Spanned<String>>,
        /// `?`: the point works without it.
        optional: bool,
        /// Why the target may lack it.
        reason: Option<Spanned<String>>,
    },
    /// `stop "f"?` (entry of f), `stop return "f"?` (its return instructions), `stop behind "f"?` (behind the calls of it).
    Stop {
        /// Where.
        at: Edge,
        /// Symbols, the first that the target has is taken.
        symbols: Vec<Spanned<String>>,
        /// `?`: the point works without it.
        optional: bool,
    },
    /// `state by (p.threadpool, p.ith)`: what an open event is kept under.
    StateBy(Vec<Expr>),
    /// `lasting t, last`: arguments of starts; what they lead to stays as it is until the stop.
    Lasting(Vec<Ident>),
    /// `only (p.ith = 0)`: hits that do not satisfy it are left at once.
    Only(Expr),
    /// `only return (returned(bool))`: what ends otherwise is no event.
    OnlyReturn(Expr),
    /// `each (row < N, rank < M)`: an event for every element of a matrix of N rows and M columns; `each (row < N)`: an
    /// event for every row.
    Each {
        /// The name of the row's number.
        row: Ident,
        /// How many rows there are.
        rows: Expr,
        /// The name of the column's number, and how many columns there are.
        columns: Option<(Ident, Expr)>,
    },
    /// `parts (i < N) by (ROW)`: what an event is put together of, and which row each part belongs to.
    Parts {
        /// The name of the part's number.
        part: Ident,
        /// How many parts there are.
        number: Expr,
        /// The number of the row that a part belongs to.
        row: Expr,
    },
    /// `team (p.ith < p.nth)`: the threads of a team have an event each for what they compute together.
    Team {
        /// The number of the thread in its team; 0 is the one whose enclosing events count for all.
        number: Expr,
        /// How many threads there are.
        size: Expr,
    },
    /// `variant NAME`: stands in for that point where fields are asked for that only this one has.
    Variant(Ident),
    /// `within ggml_graph, llama_ubatch`: the points that may enclose this one, innermost first.
    Within(Vec<Ident>),
    /// `pattern op, op2`: the fields that a pattern without a field name is held against; any may match.
    Pattern(Vec<Ident>),
    /// `let NAME (: TYPE)? = EXPR`: a field.
    Let(Let),
    /// `check (COND) "what it means"`: holds if the layout is the right one.
    Check {
        /// The condition.
        condition: Expr,
        /// What it says of the layout when it fails.
        message: Spanned<String>,
    },
    /// `never op = VIEW | RESHAPE "reason"`: values that no event has.
    Never {
        /// The field.
        field: Ident,
        /// The values.
        pattern: Pattern,
        /// Why.
        reason: Spanned<String>,
    },
    /// `silent "reason"`: why the point may attach and never fire.
    Silent(Spanned<String>),
    /// `node (RESULT, SOURCE, …, root = root_of)`: what an event computes and of what, and the functions that tell of them what
    /// a graph is put together by.
    Node(Vec<CallArg>),
}
