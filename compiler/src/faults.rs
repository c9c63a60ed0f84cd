//! What the passes have in common when they say what is wrong.

use profinfer_lang::ast::{self, BinaryOp, ExprKind};
use profinfer_lang::diagnostic::{Diagnostic, Label};
use profinfer_lang::span::Span;

use crate::typed::Typed;
use crate::types::Type;

/// Words that a diagnostic with this code never reaches anybody with: see [`consequence`].
const CONSEQUENCE: &str = "";

/// What stands for an expression that is wrong only because something it names is, which has been told already. Passes
/// hand it on like any fault; `compile` leaves it out at the end.
pub(crate) fn consequence(span: Span) -> Diagnostic {
    Diagnostic::error(CONSEQUENCE, "follows from another fault").at(span, "")
}

/// Whether it is a [`consequence`].
pub(crate) fn is_consequence(d: &Diagnostic) -> bool {
    d.code == CONSEQUENCE
}

/// A name given a second time.
pub(crate) fn twice(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0205", format!("`{name}` is there twice"))
        .at(span, "a second time")
        .help("give it another name")
}

/// A value of another type than is needed.
pub(crate) fn mismatch(have: &Typed, want: &Type) -> Diagnostic {
    let d = Diagnostic::error("PI0301", format!("this is {}, where {want} is expected", have.ty))
        .at(have.span, have.ty.to_string());
    with_unit_hint(d, &have.ty, want)
}

/// Says how units are written where a bare number meets a quantity that has one.
pub(crate) fn with_unit_hint(d: Diagnostic, a: &Type, b: &Type) -> Diagnostic {
    match (a, b) {
        (Type::Int | Type::Ratio, Type::Duration) | (Type::Duration, Type::Int | Type::Ratio) => {
            d.help("write the unit: 10us, 1ms, 2s")
        }
        (Type::Int | Type::Ratio, Type::Bytes) | (Type::Bytes, Type::Int | Type::Ratio) => {
            d.help("write the unit: 512B, 4KiB, 1MB")
        }
        (Type::Int | Type::Ratio, Type::PerSecond) | (Type::PerSecond, Type::Int | Type::Ratio) => {
            d.help("write the unit: 50hz")
        }
        _ => d,
    }
}

/// A fault found inside a definition, told at the place that uses it: the definition may stand in another file.
pub(crate) fn told_at(mut d: Diagnostic, span: Span, what: &str) -> Diagnostic {
    d.labels.clear();
    d.at(span, format!("in the definition of {what}"))
}

/// A fault found inside a definition of the script, told at the place that uses it, with the places in the definition.
pub(crate) fn told_within(mut d: Diagnostic, span: Span, what: &str) -> Diagnostic {
    let inside = std::mem::take(&mut d.labels);
    let mut d = d.at(span, format!("in the definition of {what}"));
    d.labels.extend(inside.into_iter().filter(|l| l.span != span).map(|l| Label { primary: false, ..l }));
    d
}

/// The text of an expression that may have been meant as a name: `Qcur-12`, `blk.0.attn_q`.
pub(crate) fn bare_text(e: &ast::Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Number(ast::Number::Int(n, ast::Unit::None)) => Some(n.to_string()),
        ExprKind::Binary(BinaryOp::Sub, a, b) => Some(format!("{}-{}", bare_text(a)?, bare_text(b)?)),
        ExprKind::Member(a, b) => Some(format!("{}.{}", bare_text(a)?, b.node)),
        _ => None,
    }
}

/// "Did you mean" for diagnostics.
pub(crate) trait HelpNear {
    /// Adds `did you mean X?` if a name is near, else `otherwise`.
    #[must_use]
    fn help_near<'n>(self, name: &str, names: impl Iterator<Item = &'n str>, otherwise: &str) -> Self;
}

impl HelpNear for Diagnostic {
    fn help_near<'n>(self, name: &str, names: impl Iterator<Item = &'n str>, otherwise: &str) -> Self {
        match near(name, names) {
            Some(n) => self.help(format!("did you mean `{n}`?")),
            None => self.help(otherwise),
        }
    }
}

/// The name most like `name`, if one is near enough to be meant.
pub fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    names
        .map(|n| (strsim::damerau_levenshtein(&n.to_lowercase(), &lower), n))
        .filter(|(d, n)| *d <= n.len().max(lower.len()) / 3 && *d <= 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}
