//! Operators: arithmetic, logic, comparisons.

use profinfer_lang::ast::{self, BinaryOp, ExprKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Resolved, Resolver, Scope};
use crate::faults::{bare_text, is_consequence, mismatch, with_unit_hint};
use crate::fold::combine;
use crate::pattern::{Alt, Pattern};
use crate::ratio;
use crate::typed::{Kind, Typed};
use crate::types::{ArithOp, CmpOp, Type};

impl Resolver<'_> {
    /// `a op b op c …`: long chains are read in a loop, so that they meet no limit of depth.
    pub(super) fn chain(&self, e: &ast::Expr, scope: Scope<'_>) -> Resolved {
        let is_link = |op: BinaryOp| !op.is_comparison();
        let mut links = Vec::new();
        let mut first = e;
        while let ExprKind::Binary(op, a, b) = &first.kind
            && is_link(*op)
        {
            links.push((*op, &**b, first.span));
            first = a;
        }
        let mut left = self.expr(first, scope, None)?;
        for (op, right, span) in links.into_iter().rev() {
            let right = self.expr(right, scope, None)?;
            left = match op {
                BinaryOp::And | BinaryOp::Or => {
                    let pair = Box::new([a_condition(left)?, a_condition(right)?]);
                    let kind = if op == BinaryOp::And { Kind::And(pair) } else { Kind::Or(pair) };
                    Typed::new(kind, Type::Bool, span)
                }
                BinaryOp::Add => combine(ArithOp::Add, left, right, span)?,
                BinaryOp::Sub => combine(ArithOp::Sub, left, right, span)?,
                BinaryOp::Mul => combine(ArithOp::Mul, left, right, span)?,
                BinaryOp::Div => combine(ArithOp::Div, left, right, span)?,
                _ => combine(ArithOp::Rem, left, right, span)?,
            };
        }
        Ok(left)
    }

    pub(super) fn comparison(
        &self,
        op: BinaryOp,
        a: &ast::Expr,
        b: &ast::Expr,
        span: Span,
        scope: Scope<'_>,
    ) -> Resolved {
        if matches!(&a.kind, ExprKind::Binary(inner, ..) if inner.is_comparison())
            || matches!(&b.kind, ExprKind::Binary(inner, ..) if inner.is_comparison())
        {
            return Err(Diagnostic::error("PI0305", "comparisons do not chain")
                .at(span, "two comparisons in one")
                .help("join them with and: (a < b and b < c)"));
        }
        let negate = op == BinaryOp::Ne;
        let is_equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let left = match self.expr(a, scope, None) {
            Ok(left) => left,
            // The enum's word may stand on the left.
            Err(fault) => match (&a.kind, &b.kind) {
                (ExprKind::Name(_), ExprKind::Name(_) | ExprKind::Member(..)) => match self.expr(b, scope, None) {
                    Ok(Typed { ty: ty @ Type::Enum(_), .. }) => self.expr(a, scope, Some(&ty))?,
                    _ => return Err(fault),
                },
                _ => return Err(fault),
            },
        };
        // `!=` turns the pattern round, not the result: what is absent matches neither.
        let matches = |left: Typed, mut pattern: Pattern| {
            pattern.negated ^= negate;
            Ok(Typed::new(Kind::Matches(Box::new(left), pattern), Type::Bool, span))
        };
        if let (true, ExprKind::Pattern(p)) = (is_equality, &b.kind) {
            let pattern = self.pattern(p, &left, scope)?;
            return matches(left, pattern);
        }
        let right = match self.expr(b, scope, Some(&left.ty)) {
            Ok(right) => right,
            Err(fault) => match (&left.ty, bare_text(b)) {
                (Type::Str(_), Some(text)) if !is_consequence(&fault) => {
                    return Err(Diagnostic { help: Vec::new(), ..fault }
                        .help(format!("if it is a text, write it in quotes: \"{text}\"")));
                }
                _ => return Err(fault),
            },
        };
        if let (true, Type::Str(_) | Type::Enum(_), Kind::Str(s)) = (is_equality, &left.ty, &right.kind) {
            return matches(left, Pattern { negated: false, alts: vec![Alt::Glob(s.clone())] });
        }
        let comparable = match (&left.ty, &right.ty) {
            (Type::Absent, _) | (_, Type::Absent) => true,
            (Type::Enum(x), Type::Enum(y)) => x == y && is_equality,
            // In a description an enum may be held against the number of its words.
            (Type::Enum(_), Type::Int) => scope.inside,
            (Type::Bool, Type::Bool) | (Type::Str(_), Type::Str(_)) => is_equality,
            (x, y) if x.is_pointer() && y.is_pointer() => is_equality,
            (x, y) => x.is_quantity() && y.is_quantity() && x.unify(y).is_some(),
        };
        if !comparable {
            let mut d = Diagnostic::error("PI0301", format!("{} cannot be compared with {}", left.ty, right.ty))
                .at(span, format!("`{}` of two kinds", op.symbol()))
                .note(left.span, format!("{}", left.ty))
                .note(right.span, format!("{}", right.ty));
            if let (Type::Enum(of), _) | (_, Type::Enum(of)) = (&left.ty, &right.ty) {
                let word = self.catalogue.enums[of].words.keys().last().map_or("WORD", String::as_str);
                let field = if matches!(left.ty, Type::Enum(_)) { &left } else { &right };
                d = d.help(format!("compare it with its words, by `=` and `!=` only: ({field} = {word})"));
            } else if let (Type::Str(_), _) | (_, Type::Str(_)) = (&left.ty, &right.ty) {
                d = d.help("a text is compared with text in quotes, by `=` and `!=` only: (name = \"ffn_*\")");
            } else {
                d = with_unit_hint(d, &left.ty, &right.ty);
            }
            return Err(d);
        }
        let op = match op {
            BinaryOp::Eq => CmpOp::Eq,
            BinaryOp::Ne => CmpOp::Ne,
            BinaryOp::Lt => CmpOp::Lt,
            BinaryOp::Le => CmpOp::Le,
            BinaryOp::Gt => CmpOp::Gt,
            _ => CmpOp::Ge,
        };
        Ok(Typed::new(Kind::Cmp(op, Box::new(ratio::alike([left, right])?)), Type::Bool, span))
    }
}

pub(super) fn a_condition(e: Typed) -> Resolved {
    if e.ty == Type::Bool {
        return Ok(e);
    }
    Err(Diagnostic::error("PI0313", format!("a condition is true or false, this is {}", e.ty))
        .at(e.span, "not a condition")
        .help("compare it: (dur > 1ms), (op = MUL_MAT), has(layer)"))
}

pub(super) fn negative(e: Typed, span: Span) -> Resolved {
    let kind = match e.kind {
        Kind::Int(n) if e.ty.is_quantity() => Kind::Int(n.saturating_neg()),
        Kind::Float(x) => Kind::Float(-x),
        _ if e.ty.is_quantity() => return Ok(Typed::new(Kind::Neg(Box::new(e.clone())), e.ty, span)),
        _ => return Err(mismatch(&e, &Type::Int)),
    };
    Ok(Typed::new(kind, e.ty, span))
}
