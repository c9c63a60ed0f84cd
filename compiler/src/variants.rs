//! Variants of a point: the same events met at another moment, where other fields are at hand.

use profinfer_lang::ast::{self, ExprKind, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::catalogue::Catalogue;
use crate::typed::PointId;

/// The variant of `point` that has all the fields a clause names: the point itself, if it has them.
///
/// # Errors
/// Fields are asked for that no variant has together.
pub(crate) fn variant(
    catalogue: &Catalogue,
    point: PointId,
    at: &ast::At,
    filter: Option<&ast::Expr>,
    clause: &ast::Clause,
) -> Result<PointId, Diagnostic> {
    let variants: Vec<PointId> =
        (0..catalogue.points.len()).filter(|v| catalogue.points[*v].variant == Some(point)).collect();
    if variants.is_empty() {
        return Ok(point);
    }
    let has = |of: PointId, name: &str| catalogue.points[of].fields.contains_key(name);
    let moments: Vec<PointId> = [point].into_iter().chain(variants).collect();
    let mut wanted: Vec<(&str, Span)> = names(at, filter, clause);
    wanted.retain(|(name, _)| moments.iter().any(|m| has(*m, name)));
    wanted.sort_by_key(|(_, span)| span.start);
    let fits = |m: &&PointId| wanted.iter().all(|(name, _)| has(**m, name));
    moments.iter().find(fits).copied().ok_or_else(|| {
        // Two that no moment has together, if there are two; else the last is one too many.
        let apart = |a: &str, b: &str| !moments.iter().any(|m| has(*m, a) && has(*m, b));
        let pairs = wanted.iter().enumerate().flat_map(|(i, b)| wanted[..i].iter().map(move |a| (*a, *b)));
        let (first, second) =
            pairs.clone().find(|(a, b)| apart(a.0, b.0)).or(pairs.last()).unwrap_or((wanted[0], wanted[0]));
        Diagnostic::error("PI0325", format!("`{}` and `{}` are not at hand at the same moment", first.0, second.0))
            .at(second.1, "at another moment")
            .note(first.1, "at one")
            .help("use each in a clause of its own")
    })
}

/// The bare names in a clause, with their places.
fn names<'c>(at: &'c ast::At, filter: Option<&'c ast::Expr>, clause: &'c ast::Clause) -> Vec<(&'c str, Span)> {
    let mut open: Vec<&ast::Expr> = filter.into_iter().collect();
    for arg in &at.args {
        if let ast::AtArg::Pattern { field: Some(field), .. } = arg {
            open.push(field);
        }
    }
    for group in &clause.body.groups {
        if let GroupKind::Columns { columns, by, .. } = &group.kind {
            open.extend(columns.iter().chain(by).map(|c| &c.expr));
        }
    }
    let mut found = Vec::new();
    while let Some(e) = open.pop() {
        match &e.kind {
            ExprKind::Name(name) => found.push((name.as_str(), e.span)),
            ExprKind::Member(base, _) | ExprKind::Unary(_, base) | ExprKind::Paren(base) => open.push(base),
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::Range(a, b) => open.extend([&**a, &**b]),
            ExprKind::Call { args, .. } => open.extend(args.iter().map(|a| &a.value)),
            _ => {}
        }
    }
    found
}
