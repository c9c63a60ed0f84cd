//! The expressions of a tree, to be looked at or rewritten.

use profinfer_lang::ast::{At, AtArg, Expr, ExprKind, Pattern, PatternKind};

/// Runs `f` on `e` and on all within it, outer ones first; what stands inside of an expression is left out where `f` gives
/// false for it.
pub(crate) fn walk(e: &mut Expr, f: &mut dyn FnMut(&mut Expr) -> bool) {
    if !f(e) {
        return;
    }
    match &mut e.kind {
        ExprKind::Number(_) | ExprKind::Str(_) | ExprKind::Bool(_) | ExprKind::Param(_) | ExprKind::Name(_) => {}
        ExprKind::Member(a, _) | ExprKind::Unary(_, a) | ExprKind::Paren(a) => walk(a, f),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::Range(a, b) => {
            walk(a, f);
            walk(b, f);
        }
        ExprKind::Call { args, .. } => args.iter_mut().for_each(|a| walk(&mut a.value, f)),
        ExprKind::Pattern(p) => walk_pattern(p, f),
    }
}

/// [`walk`] for the numbers and parameters of a pattern.
pub(crate) fn walk_pattern(p: &mut Pattern, f: &mut dyn FnMut(&mut Expr) -> bool) {
    for alt in &mut p.alts {
        match &mut alt.kind {
            PatternKind::Range { from, to } => from.iter_mut().chain(to).for_each(|e| walk(e, f)),
            PatternKind::Value(e) => walk(e, f),
            PatternKind::Str(_) | PatternKind::Glob(_) => {}
        }
    }
}

/// [`walk`] for the fields and patterns in the parentheses of a point.
pub(crate) fn walk_at(at: &mut At, f: &mut dyn FnMut(&mut Expr) -> bool) {
    for arg in &mut at.args {
        if let AtArg::Pattern { field, pattern } = arg {
            field.iter_mut().for_each(|e| walk(e, f));
            walk_pattern(pattern, f);
        }
    }
}

/// How many expressions `e` is made of; what stands in patterns is not counted.
pub(crate) fn size(e: &Expr) -> usize {
    match &e.kind {
        ExprKind::Member(a, _) | ExprKind::Unary(_, a) | ExprKind::Paren(a) => 1 + size(a),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::Range(a, b) => 1 + size(a) + size(b),
        ExprKind::Call { args, .. } => 1 + args.iter().map(|a| size(&a.value)).sum::<usize>(),
        _ => 1,
    }
}
