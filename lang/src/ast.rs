//! The syntax tree of a `.pi` file: what was written, nothing resolved. Every node knows its span.

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

/// `import PATH ("as" NAME)?`
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// What is imported.
    pub from: ImportPath,
    /// The name given to it.
    pub alias: Option<Ident>,
}

/// How an import names its file.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportPath {
    /// `"./x.pi"`
    File(Spanned<String>),
    /// `std.x`
    Module(Path),
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

/// `param NAME: TYPE = VALUE`
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name, read as `$name`.
    pub name: Ident,
    /// Type word: `int duration bytes string bool ratio` or an enum's name.
    pub ty: TypeRef,
    /// Default; a parameter without one must be given.
    pub default: Option<Expr>,
}

/// `let NAME (: TYPE)? = EXPR`
#[derive(Debug, Clone, PartialEq)]
pub struct Let {
    /// The name.
    pub name: Ident,
    /// The type, where written (points only).
    pub ty: Option<TypeRef>,
    /// The value.
    pub value: Expr,
}

/// `fn NAME(a, b) = EXPR`
#[derive(Debug, Clone, PartialEq)]
pub struct FnDef {
    /// The name.
    pub name: Ident,
    /// Parameter names.
    pub params: Vec<Ident>,
    /// The body.
    pub body: Expr,
}

/// `agg NAME(a, b) = column, column`
#[derive(Debug, Clone, PartialEq)]
pub struct AggDef {
    /// The name.
    pub name: Ident,
    /// Parameter names.
    pub params: Vec<Ident>,
    /// The columns it stands for.
    pub columns: Vec<Column>,
}

/// `probe NAME = at, at where (…) { let … }`
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeDef {
    /// The name.
    pub name: Ident,
    /// What it stands for.
    pub ats: Vec<At>,
    /// Its filter.
    pub filter: Option<Expr>,
    /// Derived fields.
    pub lets: Vec<Let>,
}

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

/// A type as written: `i64[4]`, `ptr(ggml_tensor)[10]`, `str[64]`, `enum(ggml_op)`, `duration`.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeRef {
    /// `i64`, `ptr`, `enum`, `str`, `duration`, …
    pub name: Ident,
    /// What stands in its parentheses.
    pub of: Option<Ident>,
    /// The number in brackets.
    pub len: Option<u64>,
    /// All of it.
    pub span: Span,
}

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
    /// `enter`, `span` or `sequence`.
    pub template: Ident,
    /// What stands in the braces, in order.
    pub stmts: Vec<PointStmt>,
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
    /// `mark "f"?`: splits busy from waiting.
    Mark {
        /// Symbols, the first that the target has is taken.
        symbols: Vec<Spanned<String>>,
        /// `?`: the point works without it.
        optional: bool,
    },
    /// `stop "f"?` (entry of f), `stop return "f"?` (its return instructions).
    Stop {
        /// At the return instructions, not at the entry.
        at_return: bool,
        /// Symbols, the first that the target has is taken.
        symbols: Vec<Spanned<String>>,
        /// `?`: the point works without it.
        optional: bool,
    },
    /// `state by (p.threadpool, p.ith)`: what an open event is kept under.
    StateBy(Vec<Expr>),
    /// `only (p.ith = 0)`: hits that do not satisfy it are left at once.
    Only(Expr),
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
}
