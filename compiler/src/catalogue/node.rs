//! `node (RESULT, SOURCE, …, root = root_of)`: what a point's events compute, as its description says it.

use profinfer_lang::ast::{self, Expr, ExprKind, Ident};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::resolve::{Resolver, Scope};
use crate::typed::PointId;

/// What events compute and of what, and what is told of these values.
#[derive(Debug, Clone)]
pub struct NodeDef {
    /// What an event computes.
    pub result: Expr,
    /// What it computes that of; absent ones are none.
    pub sources: Vec<Expr>,
    /// What is the same for all events of one graph.
    pub step: Expr,
    /// Functions of such a value.
    pub of: Functions,
    /// Where it is described.
    pub span: Span,
}

/// The functions that tell of a value what a graph is put together by.
#[derive(Debug, Clone)]
pub struct Functions {
    /// The value whose memory it is in.
    pub root: Ident,
    /// Its name.
    pub name: Ident,
    /// What it is where no event computes it.
    pub kind: Ident,
    /// The word for it where it is only a view of another value, else absent.
    pub view: Ident,
    /// The value that it is a view of.
    pub under: Ident,
}

const USAGE: &str = "write: node (RESULT, SOURCE, …, step = NUMBER, root = F, name = F, kind = F, view = F, under = F), \
                     with functions F of one value";

/// Reads what stands behind `node`.
pub(super) fn read(args: &[ast::CallArg], span: Span) -> Result<NodeDef, Diagnostic> {
    let wrong = |at: Span, label: String| {
        Diagnostic::error("PI0210", "`node` says what an event computes and of what").at(at, label).help(USAGE)
    };
    let mut values = args.iter().filter(|a| a.name.is_none()).map(|a| a.value.clone());
    let named = |name: &str| {
        let mut found = args.iter().filter(|a| a.name.as_ref().is_some_and(|n| n.node == name));
        match (found.next(), found.next()) {
            (Some(arg), None) => Ok(&arg.value),
            (None, _) => Err(wrong(span, format!("`{name}` is missing"))),
            (_, Some(again)) => Err(wrong(again.value.span, format!("`{name}` is said twice"))),
        }
    };
    let function = |name: &str| match named(name)? {
        Expr { kind: ExprKind::Name(f), span } => Ok(Ident::new(f.clone(), *span)),
        other => Err(wrong(other.span, format!("`{name}` is the name of a function"))),
    };
    let known = ["step", "root", "name", "kind", "view", "under"];
    if let Some(name) = args.iter().filter_map(|a| a.name.as_ref()).find(|n| !known.contains(&n.node.as_str())) {
        return Err(wrong(name.span, "unknown".to_owned()));
    }
    let of = Functions {
        root: function("root")?,
        name: function("name")?,
        kind: function("kind")?,
        view: function("view")?,
        under: function("under")?,
    };
    let step = named("step")?.clone();
    let result = values.next().ok_or_else(|| wrong(span, "computes nothing".to_owned()))?;
    Ok(NodeDef { result, sources: values.collect(), step, of, span })
}

impl NodeDef {
    /// What is wrong with it.
    pub(crate) fn faults(&self, resolver: &Resolver<'_>, point: PointId) -> Vec<Diagnostic> {
        let Functions { root, name, kind, view, under } = &self.of;
        let values = std::iter::once(&self.result).chain(&self.sources);
        let told = values.flat_map(|v| [root, name, kind, view, under].map(|f| applied(f, v)));
        let all: Vec<Expr> = told.chain([self.step.clone()]).collect();
        all.iter().filter_map(|e| resolver.expr(e, Scope::definition(point), None).err()).collect()
    }
}

/// A function of a value.
pub(crate) fn applied(function: &Ident, value: &Expr) -> Expr {
    let args = vec![ast::CallArg { name: None, value: value.clone() }];
    Expr { kind: ExprKind::Call { name: function.clone(), args }, span: value.span }
}
