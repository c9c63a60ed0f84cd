//! Ratios that the kernel has: floats in the target's memory, kept as fixed-point numbers (see [`FIXED_ONE`]). What stands
//! beside one must be kept likewise.

use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::plan::FIXED_ONE;
use crate::resolve::Resolved;
use crate::typed::{Kind, Typed};
use crate::types::{ArithOp, Type};

/// Whether it is a fixed-point number.
pub(crate) fn is_fixed(e: &Typed) -> bool {
    match &e.kind {
        Kind::Float32(_) => true,
        Kind::First(all) => all.iter().any(is_fixed),
        Kind::If(all) => all[1..].iter().any(is_fixed),
        _ => false,
    }
}

/// The same values, all of them fixed-point numbers if one of them is.
///
/// # Errors
/// One of the others is neither a constant nor such a number, or too large to be one.
pub(crate) fn alike<const N: usize>(values: [Typed; N]) -> Result<[Typed; N], Diagnostic> {
    let mut all = Vec::from(values);
    alike_all(&mut all)?;
    // As many as there were.
    all.try_into().map_err(|_| Diagnostic::error("PI0317", "the kernel cannot compute this"))
}

/// [`alike`] of any number of values.
///
/// # Errors
/// As those of [`alike`].
pub(crate) fn alike_all(values: &mut [Typed]) -> Result<(), Diagnostic> {
    if values.iter().any(is_fixed) {
        for value in values {
            *value = fixed(value.clone())?;
        }
    }
    Ok(())
}

fn fixed(e: Typed) -> Resolved {
    if is_fixed(&e) || matches!(e.kind, Kind::Absent) {
        return Ok(e);
    }
    let of = |kind| Ok(Typed { kind, ty: Type::Ratio, ..e.clone() });
    match &e.kind {
        Kind::Int(n) => of(Kind::Int(scaled(*n as f64, &e)?)),
        Kind::Float(x) => of(Kind::Int(scaled(*x, &e)?)),
        Kind::First(all) => of(Kind::First(all.iter().cloned().map(fixed).collect::<Result<_, _>>()?)),
        Kind::If(all) => {
            let [condition, a, b] = (**all).clone();
            of(Kind::If(Box::new([condition, fixed(a)?, fixed(b)?])))
        }
        _ => Err(Diagnostic::error("PI0317", "the kernel cannot compute this")
            .at(e.span, format!("{}, beside a ratio of the target", e.ty))
            .help("beside a ratio of the target there can be constants and other such ratios: (weight > 0.5)")),
    }
}

fn scaled(value: f64, e: &Typed) -> Result<i64, Diagnostic> {
    let scaled = value * FIXED_ONE as f64;
    if scaled.abs() >= i64::MAX as f64 {
        return Err(Diagnostic::error("PI0315", "the number is too large")
            .at(e.span, "beside a ratio of the target only below 2147483648"));
    }
    Ok(scaled as i64)
}

/// Digits behind the point that the width of a bucket may have.
const DIGITS: i64 = 1_000_000;

/// A ratio of the target down to a multiple of a constant: the kernel has the number of the multiple, user space makes the
/// ratio of it. None if the width is not a constant above zero with at most six digits behind the point.
pub(crate) fn bucket(of: Typed, width: &Typed, span: Span) -> Option<Resolved> {
    let width = match (&width.kind, &width.ty) {
        (Kind::Int(n), Type::Int) => *n as f64,
        (Kind::Float(x), Type::Ratio) => *x,
        _ => return None,
    };
    let steps = (width * DIGITS as f64).round();
    if !(1.0..1e15).contains(&steps) || (steps - width * DIGITS as f64).abs() > 1e-6 * steps {
        return None;
    }
    // width = p / q
    let divisor = greatest_common(steps as i64, DIGITS);
    let (p, q) = (steps as i64 / divisor, DIGITS / divisor);
    p.checked_mul(FIXED_ONE * 2)?;
    let int = |kind| Typed::new(kind, Type::Int, span);
    let arith = |op, a, n| Kind::Arith(op, Box::new([a, int(Kind::Int(n))]));
    let steps = int(Kind::Steps(Box::new(of), p, q));
    let parts = if p == 1 { steps } else { int(arith(ArithOp::Mul, steps, p)) };
    Some(Ok(Typed::new(arith(ArithOp::Div, parts, q), Type::Ratio, span)))
}

fn greatest_common(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common(b, a % b) }
}
