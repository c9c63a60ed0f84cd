//! A value as text: three significant digits and a unit that fits it.

use super::escape::escape;
use crate::record::{Quantity, Value};

/// A value in print. Numbers of a column are aligned at the end of `number`, so the unit stands apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Figure {
    /// The number, or the whole text.
    pub(super) number: String,
    /// Its unit; empty if it has none.
    pub(super) unit: &'static str,
}

impl Figure {
    fn new(number: impl Into<String>, unit: &'static str) -> Self {
        Self { number: number.into(), unit }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.number)?;
        if !self.unit.is_empty() {
            write!(f, " {}", self.unit)?;
        }
        Ok(())
    }
}

/// Units in ascending order, each with what it is in the base unit.
type Scale = [(f64, &'static str)];

const TIME: &Scale = &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const SIZE: &Scale = &[
    (1.0, "B"),
    (1024.0, "KiB"),
    (1_048_576.0, "MiB"),
    (1_073_741_824.0, "GiB"),
    (1_099_511_627_776.0, "TiB"),
    (1_125_899_906_842_624.0, "PiB"),
];
const RATE: &Scale = &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s"), (1e12, "T/s")];
const SPEED: &Scale = &[(1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")];

/// From here on a duration is minutes and seconds.
const MINUTES: f64 = 120e9;

/// The scale of a quantity that has units.
fn scale_of(quantity: Quantity) -> Option<&'static Scale> {
    match quantity {
        Quantity::Duration | Quantity::HistDuration => Some(TIME),
        Quantity::Bytes | Quantity::HistBytes => Some(SIZE),
        Quantity::PerSecond => Some(RATE),
        Quantity::BytesPerSecond => Some(SPEED),
        _ => None,
    }
}

/// A cell's value. What is no number (absent, NaN, infinite) is `-`.
pub(super) fn cell(value: &Value, quantity: Quantity) -> Figure {
    match (value, quantity) {
        (Value::Text(text), _) => self::text(text),
        (Value::Bool(truth), _) => Figure::new(truth.to_string(), ""),
        (Value::Int(n), Quantity::Address) => Figure::new(address(*n), ""),
        (Value::Int(n), Quantity::Share) => share(*n as f64),
        (Value::Int(n), _) => match scale_of(quantity) {
            Some(scale) if n.unsigned_abs() < scale[1].0 as u64 => Figure::new(n.to_string(), scale[0].1),
            Some(_) => float(*n as f64, quantity, 3),
            None => Figure::new(grouped(i128::from(*n)), ""),
        },
        (Value::Float(x), _) if !x.is_finite() => Figure::new("-", ""),
        (Value::Float(x), Quantity::Share | Quantity::HitRates) => share(*x),
        (Value::Float(x), Quantity::Change) => change(*x),
        (Value::Float(x), _) => float(*x, quantity, 3),
        (Value::Curve(shares), _) => Figure::new(curve(shares), ""),
        (Value::Absent | Value::Hist(_), _) => Figure::new("-", ""),
    }
}

/// A key's value: as a cell's, but never rounded, since two keys must not look the same, and without grouping, since
/// most are identifiers.
pub(super) fn key(value: &Value, quantity: Quantity) -> Figure {
    match (value, quantity) {
        (Value::Int(n), Quantity::Duration) => {
            let (factor, unit) = TIME.iter().rev().find(|(f, _)| n.unsigned_abs() >= *f as u64).unwrap_or(&TIME[0]);
            Figure::new(decimal(*n, *factor as u64), unit)
        }
        (Value::Int(n), Quantity::Bytes) => {
            let whole = SIZE.iter().rev().find(|(f, _)| *n != 0 && n % (*f as i64) == 0).unwrap_or(&SIZE[0]);
            Figure::new((n / whole.0 as i64).to_string(), whole.1)
        }
        (Value::Int(n), Quantity::Number | Quantity::Text | Quantity::Stack) => Figure::new(n.to_string(), ""),
        (Value::Float(x), Quantity::Number) if x.is_finite() => Figure::new(x.to_string(), ""),
        _ => cell(value, quantity),
    }
}

/// A bound of a bucket of ratios, which is in units of 2⁻³². One that stands for a decimal fraction is that fraction.
pub(crate) fn ratio_bound(n: i64) -> f64 {
    /// What a bound is rounded to, and how far it may be away from that.
    const STEPS: f64 = 1e9;
    let x = n as f64 / 4_294_967_296.0;
    let near = (x * STEPS).round() / STEPS;
    if x.abs() >= 1e-4 && (x - near).abs() * STEPS <= 0.25 { near } else { x }
}

/// A bound of a bucket, in `digits` significant digits where it has a unit.
pub(super) fn bound(n: i64, quantity: Quantity, digits: usize) -> Figure {
    if quantity == Quantity::HistRatio {
        return float(ratio_bound(n), Quantity::Number, digits);
    }
    match scale_of(quantity) {
        Some(scale) if n.unsigned_abs() >= scale[1].0 as u64 => float(n as f64, quantity, digits),
        Some(scale) => Figure::new(n.to_string(), scale[0].1),
        None => Figure::new(n.to_string(), ""),
    }
}

/// A whole number with its thousands set apart by commas.
pub(super) fn grouped(n: i128) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in ns.
pub(super) fn duration(ns: u64) -> Figure {
    cell(&Value::Int(i64::try_from(ns).unwrap_or(i64::MAX)), Quantity::Duration)
}

/// A size in bytes.
pub(super) fn size(bytes: u64) -> Figure {
    cell(&Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX)), Quantity::Bytes)
}

/// An address in hexadecimal.
pub(super) fn address(n: i64) -> String {
    format!("0x{:x}", n.cast_unsigned())
}

/// A bar of block characters, `fraction` of `columns` long: eighths of a column, and never empty unless `fraction` is 0.
pub(super) fn bar(fraction: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if fraction.is_nan() || fraction <= 0.0 {
        return String::new();
    }
    let eighths = ((fraction.min(1.0) * columns as f64 * 8.0).round() as usize).max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Shares at 1, 2, 4, 8 … and at the end: `1: 12 %, 2: 31 %, 4: 58 %`.
fn curve(shares: &[f64]) -> String {
    let is_shown = |n: usize| n.is_power_of_two() || n == shares.len();
    let shown = shares.iter().enumerate().map(|(i, x)| (i + 1, x)).filter(|(n, _)| is_shown(*n));
    let texts: Vec<String> = shown.map(|(n, x)| format!("{n}: {}", share(*x))).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

fn text(text: &str) -> Figure {
    // An empty name would be a hole in the row.
    if text.is_empty() { Figure::new("\"\"", "") } else { Figure::new(escape(text).into_owned(), "") }
}

/// Percent with three digits, of which at most two behind the point.
fn share(x: f64) -> Figure {
    let percent = x * 100.0;
    let number = if percent == 0.0 {
        "0".to_owned()
    } else if percent.abs() < 0.005 {
        if percent < 0.0 { ">-0.01".to_owned() } else { "<0.01".to_owned() }
    } else if percent.abs() < 1.0 {
        format!("{percent:.2}")
    } else if percent.abs() < 1000.0 {
        significant(percent, 3)
    } else {
        grouped(percent.round() as i128)
    };
    Figure::new(number, "%")
}

/// As a share, with its sign.
fn change(x: f64) -> Figure {
    let Figure { number, unit } = share(x);
    Figure { number: if x > 0.0 { format!("+{number}") } else { number }, unit }
}

/// A number that is not whole, or too long to be printed whole.
fn float(x: f64, quantity: Quantity, digits: usize) -> Figure {
    if x != 0.0 && (x.abs() < 1e-6 || x.abs() >= 1e21) && scale_of(quantity).is_none() {
        return Figure::new(format!("{x:.2e}"), "");
    }
    match scale_of(quantity) {
        Some(TIME) if x.abs() >= MINUTES => clock(x),
        Some(scale) => scaled(x, scale, digits),
        None if x.abs() >= 999.5 => Figure::new(grouped(x.round() as i128), ""),
        None => Figure::new(significant(x, digits), ""),
    }
}

/// In the largest unit that leaves a digit before the point, after rounding.
fn scaled(x: f64, scale: &Scale, digits: usize) -> Figure {
    let mut at = scale.iter().rposition(|(factor, _)| x.abs() >= *factor).unwrap_or(0);
    let mut number = significant(x / scale[at].0, digits);
    if let Some((next, _)) = scale.get(at + 1) {
        // 999.7 µs rounds to 1000 µs, which is 1.00 ms.
        let rounded: f64 = number.parse().unwrap_or(0.0);
        if rounded.abs() >= next / scale[at].0 {
            at += 1;
            number = significant(x / next, digits);
        }
    }
    Figure::new(number, scale[at].1)
}

/// `digits` significant digits, all those before the point in any case; 0 is `0`.
fn significant(x: f64, digits: usize) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let decimals = |x: f64| (digits as i64 - 1 - x.abs().log10().floor() as i64).clamp(0, 12) as usize;
    let first = format!("{x:.*}", decimals(x));
    // 9.997 rounds to 10.00, one digit too many.
    let rounded: f64 = first.parse().unwrap_or(x);
    if rounded == 0.0 { first } else { format!("{x:.*}", decimals(rounded)) }
}

/// `n / factor` with all its digits; `factor` is a power of ten.
fn decimal(n: i64, factor: u64) -> String {
    let (whole, rest) = (n.unsigned_abs() / factor, n.unsigned_abs() % factor);
    let sign = if n < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = factor.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// Two minutes and more.
fn clock(ns: f64) -> Figure {
    let sign = if ns < 0.0 { "-" } else { "" };
    let seconds = (ns.abs() / 1e9).round() as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    if hours == 0 {
        Figure::new(format!("{sign}{minutes} min {:02}", seconds % 60), "s")
    } else if hours < 48 {
        Figure::new(format!("{sign}{hours} h {:02}", minutes % 60), "min")
    } else {
        Figure::new(format!("{sign}{} d {:02}", grouped(i128::from(days)), hours % 24), "h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(n: i64, quantity: Quantity) -> String {
        cell(&Value::Int(n), quantity).to_string()
    }

    fn real(x: f64, quantity: Quantity) -> String {
        cell(&Value::Float(x), quantity).to_string()
    }

    #[test]
    fn durations() {
        let shown = [0, 7, 812, 999, 1_000, 1_234, 99_950, 812_345, 999_499, 999_700, 1_234_567, 59_900_000_000]
            .map(|ns| int(ns, Quantity::Duration));
        let wanted = [
            "0 ns", "7 ns", "812 ns", "999 ns", "1.00 µs", "1.23 µs", "100 µs", "812 µs", "999 µs", "1.00 ms",
            "1.23 ms", "59.9 s",
        ];
        assert_eq!(shown, wanted);
        let long =
            [119_400_000_000, 125_000_000_000, 3_599_900_000_000, 3_725_000_000_000, 200_000_000_000_000, i64::MAX]
                .map(|ns| int(ns, Quantity::Duration));
        assert_eq!(long, ["119 s", "2 min 05 s", "1 h 00 min", "1 h 02 min", "2 d 07 h", "106,751 d 23 h"]);
        assert_eq!(int(-1_234_567, Quantity::Duration), "-1.23 ms");
        assert_eq!(int(i64::MIN, Quantity::Duration), "-106,751 d 23 h");
        assert_eq!(real(12.345, Quantity::Duration), "12.3 ns");
        assert_eq!(real(0.5, Quantity::Duration), "0.500 ns");
    }

    #[test]
    fn sizes_are_binary_and_rates_decimal() {
        let shown = [0, 1_023, 1_024, 4 << 20, 1_034_240, 1_048_570, 3 << 40].map(|n| int(n, Quantity::Bytes));
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "4.00 MiB", "1010 KiB", "1.00 MiB", "3.00 TiB"]);
        assert_eq!(real(12.34e9, Quantity::BytesPerSecond), "12.3 GB/s");
        assert_eq!(int(812, Quantity::BytesPerSecond), "812 B/s");
        assert_eq!(real(9_999.0, Quantity::PerSecond), "10.0 k/s");
        assert_eq!(real(3.2e16, Quantity::PerSecond), "32000 T/s");
    }

    #[test]
    fn shares() {
        let shown = [0.0, 0.979, 1.0, 0.0234, 0.0042, 0.00001, -0.5, 25.0].map(|x| real(x, Quantity::Share));
        assert_eq!(shown, ["0 %", "97.9 %", "100 %", "2.34 %", "0.42 %", "<0.01 %", "-50.0 %", "2,500 %"]);
    }

    #[test]
    fn numbers() {
        let shown = [0, 999, 1_234, -1_234_567, i64::MIN].map(|n| int(n, Quantity::Number));
        assert_eq!(shown, ["0", "999", "1,234", "-1,234,567", "-9,223,372,036,854,775,808"]);
        let shown = [0.0, 1.0, 0.123_456, 9.996, 999.6, 12_345.6, 0.001_234, 1.2e-7, 1e30, 0.5]
            .map(|x| real(x, Quantity::Number));
        assert_eq!(shown, ["0", "1.00", "0.123", "10.0", "1,000", "12,346", "0.00123", "1.20e-7", "1.00e30", "0.500"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(|x| real(x, Quantity::Share)), ["-", "-"]);
        assert_eq!(int(-1, Quantity::Address), "0xffffffffffffffff");
    }

    #[test]
    fn keys_are_exact() {
        let shown = |n, quantity| key(&Value::Int(n), quantity).to_string();
        assert_eq!(shown(1_234_567, Quantity::Duration), "1.234567 ms");
        assert_eq!(shown(5_000_000, Quantity::Duration), "5 ms");
        assert_eq!(shown(-1_500, Quantity::Duration), "-1.5 µs");
        assert_eq!(shown(4 << 20, Quantity::Bytes), "4 MiB");
        assert_eq!(shown(4_097, Quantity::Bytes), "4097 B");
        assert_eq!(shown(0, Quantity::Bytes), "0 B");
        assert_eq!(shown(i64::MIN, Quantity::Bytes), "-8192 PiB");
        assert_eq!(shown(123_456, Quantity::Number), "123456");
        assert_eq!(key(&Value::Text(String::new()), Quantity::Text).to_string(), "\"\"");
    }

    #[test]
    fn bars() {
        assert_eq!([0.0, 1e-9, 0.5, 1.0, 7.0, f64::NAN].map(|x| bar(x, 4)), ["", "▏", "██", "████", "████", ""]);
        assert_eq!(bar(0.33, 10), "███▎");
    }
}
