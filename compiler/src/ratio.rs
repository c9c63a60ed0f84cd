//! Ratios that the kernel has: floats in the target's memory, kept as fixed-point numbers (see [`FIXED_ONE`]). What stands
//! beside one must be kept likewise.

use profinfer_lang::diagnostic::Diagnostic;

use crate::plan::FIXED_ONE;
use crate::resolve::Resolved;
use crate::typed::{Kind, Typed};
use crate::types::Type;

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
