//! What an item gives a name to: imports, parameters, constants, functions, aggregations, probes; types as written.

use super::{At, Column, Expr, Ident, Path};
use crate::span::{Span, Spanned};

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
