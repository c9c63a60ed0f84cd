//! Numbers and their units: exact decimal arithmetic, no rounding on the way to nanoseconds and bytes.

use super::build::{Builder, Node};
use crate::ast::{Number, Unit};
use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// The units: name, what is counted, how many of its base.
const UNITS: [(&str, Unit, i64); 16] = [
    ("ns", Unit::Duration, 1),
    ("us", Unit::Duration, 1_000),
    ("ms", Unit::Duration, 1_000_000),
    ("s", Unit::Duration, 1_000_000_000),
    ("min", Unit::Duration, 60_000_000_000),
    ("h", Unit::Duration, 3_600_000_000_000),
    ("B", Unit::Bytes, 1),
    ("KiB", Unit::Bytes, 1 << 10),
    ("MiB", Unit::Bytes, 1 << 20),
    ("GiB", Unit::Bytes, 1 << 30),
    ("TiB", Unit::Bytes, 1 << 40),
    ("KB", Unit::Bytes, 1_000),
    ("MB", Unit::Bytes, 1_000_000),
    ("GB", Unit::Bytes, 1_000_000_000),
    ("TB", Unit::Bytes, 1_000_000_000_000),
    ("hz", Unit::Hertz, 1),
];

/// The units in words, for help.
pub(super) const UNITS_HELP: &str = "the units are `ns us ms s min h`, `B KiB MiB GiB TiB KB MB GB TB` and `hz`";

/// Why a number has no value.
enum Fault {
    Range,
    Fraction(&'static str),
}

/// A number cut into its parts.
struct Parts<'a> {
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
    unit: &'a str,
}

impl Builder<'_> {
    /// A number; its fault is told and the tree goes on with zero.
    pub(super) fn number(&mut self, node: &Node<'_>) -> Number {
        let span = self.span(node);
        let text = node.as_str();
        evaluate(text).unwrap_or_else(|fault| {
            self.diagnostics.push(match fault {
                Fault::Range => out_of_range(span),
                Fault::Fraction(base) => not_whole(span, text, base),
            });
            Number::Int(0, Unit::None)
        })
    }
}

/// A whole number without a unit, decimal or hexadecimal.
pub(super) fn integer(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
    .filter(|n| i64::try_from(*n).is_ok())
}

/// The fault of a piece of text that begins with a digit and is no number.
pub(super) fn malformed(text: &str, span: Span) -> Option<Diagnostic> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let good = text.starts_with("0x") && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return (!good).then(|| {
            Diagnostic::error("PI0009", format!("`{text}` is not a number"))
                .at(span, "hexadecimal digits follow `0x`")
                .help("a hexadecimal number is written `0x1f`, without a unit")
        });
    }
    if text.contains('_') {
        let plain = text.replace('_', "");
        return Some(
            Diagnostic::error("PI0009", format!("`{text}` is not a number"))
                .at(span, "digits are written without `_`")
                .help(format!("write `{plain}`, or use a unit or an exponent: `1ms`, `4KiB`, `1e6`")),
        );
    }
    let parts = cut(text);
    if parts.unit.is_empty() || unit(parts.unit).is_some() {
        return None;
    }
    let fault = Diagnostic::error("PI0007", format!("unknown unit `{}`", parts.unit)).at(span, "of this number");
    let near = UNITS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(parts.unit)).map(|u| u.0);
    let near = near.or(match parts.unit {
        "m" | "mins" | "minutes" => Some("min"),
        "sec" | "secs" | "seconds" => Some("s"),
        "K" | "k" => Some("KiB"),
        "M" => Some("MiB"),
        "G" => Some("GiB"),
        _ => None,
    });
    let fault = match near {
        Some(near) => fault.help(format!("did you mean `{}{near}`?", text.trim_end_matches(parts.unit))),
        None => fault,
    };
    Some(fault.help(UNITS_HELP).help("a name that begins with a digit stands in quotes"))
}

/// The fault of a number beyond 64 bits.
pub(super) fn out_of_range(span: Span) -> Diagnostic {
    Diagnostic::error("PI0008", "the number is out of range")
        .at(span, "does not fit")
        .help("numbers go up to 9223372036854775807, in nanoseconds, bytes or hertz where they have a unit")
}

fn not_whole(span: Span, text: &str, base: &str) -> Diagnostic {
    Diagnostic::error("PI0009", format!("`{text}` is not a whole number of {base}"))
        .at(span, format!("a part of one of the {base}"))
        .help(format!("what has a unit is counted in whole {base}"))
}

/// Cuts decimal text into its parts; `text` begins with a digit.
fn cut(text: &str) -> Parts<'_> {
    let (whole, mut rest) = digits(text);
    let mut fraction = None;
    if let Some(behind) = rest.strip_prefix('.') {
        let (found, after) = digits(behind);
        if !found.is_empty() {
            (fraction, rest) = (Some(found), after);
        }
    }
    let mut exponent = None;
    if let Some(behind) = rest.strip_prefix(['e', 'E']) {
        let unsigned = behind.strip_prefix(['+', '-']).unwrap_or(behind);
        let (found, after) = digits(unsigned);
        if !found.is_empty() {
            (exponent, rest) = (behind.get(..behind.len() - after.len()), after);
        }
    }
    Parts { whole, fraction, exponent, unit: rest }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn unit(name: &str) -> Option<(Unit, i64)> {
    UNITS.iter().find(|u| u.0 == name).map(|u| (u.1, u.2))
}

/// The value of a number the grammar has read.
fn evaluate(text: &str) -> Result<Number, Fault> {
    if text.starts_with("0x") {
        let value = integer(text).and_then(|n| i64::try_from(n).ok());
        return value.map(|n| Number::Int(n, Unit::None)).ok_or(Fault::Range);
    }
    let parts = cut(text);
    let (counts, factor) =
        if parts.unit.is_empty() { (Unit::None, 1) } else { unit(parts.unit).ok_or(Fault::Range)? };
    let ratio = || {
        let value = text.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or(Fault::Range)?;
        Ok(Number::Ratio(value))
    };
    if counts == Unit::None && parts.fraction.is_some() && parts.exponent.is_none() {
        return ratio();
    }
    match scaled(&parts, factor)? {
        Some(value) => Ok(Number::Int(value, counts)),
        None => match counts {
            Unit::None => ratio(),
            Unit::Duration => Err(Fault::Fraction("nanoseconds")),
            Unit::Bytes => Err(Fault::Fraction("bytes")),
            Unit::Hertz => Err(Fault::Fraction("hertz")),
        },
    }
}

/// `parts` times `factor`, if that is whole.
fn scaled(parts: &Parts<'_>, factor: i64) -> Result<Option<i64>, Fault> {
    let fraction = parts.fraction.unwrap_or("").trim_end_matches('0');
    let mantissa = format!("{}{fraction}", parts.whole);
    let mantissa = mantissa.trim_start_matches('0');
    if mantissa.is_empty() {
        return Ok(Some(0));
    }
    let exponent = match parts.exponent {
        Some(e) => e.parse::<i64>().map_err(|_| Fault::Range)?,
        None => 0,
    };
    let power = exponent.saturating_sub(i64::try_from(fraction.len()).map_err(|_| Fault::Range)?);
    // Factors are at most 3.6e12 and divide by ten at most 12 times: a longer mantissa is out of range or not whole.
    if mantissa.len() > 25 {
        return if power >= 0 || mantissa.len() as i64 + power > 25 { Err(Fault::Range) } else { Ok(None) };
    }
    let value = mantissa.parse::<i128>().map_err(|_| Fault::Range)? * i128::from(factor);
    let value = match u32::try_from(power.unsigned_abs()).ok().and_then(|p| 10_i128.checked_pow(p)) {
        Some(by) if power >= 0 => value.checked_mul(by).ok_or(Fault::Range)?,
        Some(by) if value % by == 0 => value / by,
        None if power >= 0 => return Err(Fault::Range),
        _ => return Ok(None),
    };
    i64::try_from(value).map(Some).map_err(|_| Fault::Range)
}
