//! Arithmetic on constants.

use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::faults::with_unit_hint;
use crate::resolve::Resolved;
use crate::typed::{Kind, Typed};
use crate::types::{ArithOp, Type, arithmetic};

/// `a op b`, folded where both are known.
pub(crate) fn combine(op: ArithOp, a: Typed, b: Typed, span: Span) -> Resolved {
    let Some(ty) = arithmetic(op, &a.ty, &b.ty) else {
        let d = Diagnostic::error("PI0302", format!("`{}` of {} and {}", op.symbol(), a.ty, b.ty))
            .at(span, "units do not go together")
            .note(a.span, a.ty.to_string())
            .note(b.span, b.ty.to_string());
        return Err(with_unit_hint(d, &a.ty, &b.ty));
    };
    if let (Kind::Int(x), Kind::Int(y)) = (&a.kind, &b.kind) {
        let folded = match op {
            ArithOp::Div if ty != Type::Ratio => x.checked_div(*y),
            _ => op.whole(*x, *y),
        };
        // The smallest number stands for "absent" in the kernel.
        if let Some(n) = folded.filter(|n| *n != i64::MIN) {
            return Ok(Typed::new(Kind::Int(n), ty, span));
        }
        if *y == 0 && matches!(op, ArithOp::Div | ArithOp::Rem) {
            return Err(Diagnostic::error("PI0315", "division by zero").at(span, "here"));
        }
        if op != ArithOp::Div {
            return Err(Diagnostic::error("PI0315", "the number is too large").at(span, "past 64 bits"));
        }
    }
    if let (Some(x), Some(y)) = (constant(&a), constant(&b)) {
        return fold(op, x, y, ty, span);
    }
    Ok(Typed::new(Kind::Arith(op, Box::new([a, b])), ty, span))
}

/// The value of a constant number.
fn constant(e: &Typed) -> Option<f64> {
    match e.kind {
        Kind::Int(n) => Some(n as f64),
        Kind::Float(x) => Some(x),
        _ => None,
    }
}

/// Constants of which one has a fraction, or whose quotient has one. Durations and sizes are whole: `1ms * 1.5` is 1500us.
fn fold(op: ArithOp, x: f64, y: f64, ty: Type, span: Span) -> Resolved {
    let value = op.real(x, y);
    if y == 0.0 && matches!(op, ArithOp::Div | ArithOp::Rem) {
        return Err(Diagnostic::error("PI0315", "division by zero").at(span, "here"));
    }
    let whole = matches!(ty, Type::Int | Type::Duration | Type::Bytes);
    if !value.is_finite() || (whole && value.abs() >= i64::MAX as f64) {
        return Err(Diagnostic::error("PI0315", "the number is too large").at(span, "past 64 bits"));
    }
    Ok(Typed::new(if whole { Kind::Int(value.round() as i64) } else { Kind::Float(value) }, ty, span))
}
