//! Evaluates user-space expressions over decoded key fields.
//!
//! **Absent** behaves here as it does in the kernel: arithmetic with it is absent, and every comparison with it is false,
//! `!=` and negated patterns included. `not` is a plain reversal: where `x` is absent, `(x = 3)` and `(x != 3)` are both
//! false, so `not (x = 3)` is true. To ask only of values that are there, write `(x != 3)` or `(has(x) and not (x = 3))`.
//!
//! Whole numbers stay whole; where a sum or product leaves 64 bits it goes on as a number with a fraction, and a quotient
//! always is one. A division by zero is absent.

use std::cmp::Ordering;

use crate::pattern::glob;
use crate::plan::UserExpr;
use crate::types::{ArithOp, CmpOp};

/// A value in user space. Words of enums are text here.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Absent,
    /// A whole number in its base unit.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text or an enum's word.
    Text(String),
    /// A truth value.
    Bool(bool),
}

/// How many words an enum has in the target.
pub type EnumCounts<'a> = &'a dyn Fn(&str) -> Option<i64>;

/// The value of `e` over `fields`.
pub fn eval(e: &UserExpr, fields: &[Value], counts: EnumCounts<'_>) -> Value {
    let go = |e: &UserExpr| eval(e, fields, counts);
    match e {
        UserExpr::Field(i) => fields.get(*i).cloned().unwrap_or(Value::Absent),
        UserExpr::Int(n) => Value::Int(*n),
        UserExpr::Float(x) => Value::Float(*x),
        UserExpr::Str(s) => Value::Text(s.clone()),
        UserExpr::Bool(b) => Value::Bool(*b),
        UserExpr::Absent => Value::Absent,
        UserExpr::EnumCount(name) => counts(name).map_or(Value::Absent, Value::Int),
        UserExpr::First(all) => all.iter().map(go).find(|v| *v != Value::Absent).unwrap_or(Value::Absent),
        UserExpr::If(c) => go(if truth(&go(&c[0])) { &c[1] } else { &c[2] }),
        UserExpr::Arith(op, ab) => arith(*op, &go(&ab[0]), &go(&ab[1])),
        UserExpr::Cmp(op, ab) => Value::Bool(compare(*op, &go(&ab[0]), &go(&ab[1]))),
        UserExpr::And(ab) => Value::Bool(truth(&go(&ab[0])) && truth(&go(&ab[1]))),
        UserExpr::Or(ab) => Value::Bool(truth(&go(&ab[0])) || truth(&go(&ab[1]))),
        UserExpr::Not(a) => Value::Bool(!truth(&go(a))),
        UserExpr::Neg(a) => arith(ArithOp::Sub, &Value::Int(0), &go(a)),
        UserExpr::Has(a) => Value::Bool(go(a) != Value::Absent),
        UserExpr::Matches(a, p) => Value::Bool(match go(a) {
            Value::Int(n) => p.matches_number(n),
            Value::Text(s) => p.matches_text(&s),
            Value::Bool(b) => p.matches_number(i64::from(b)),
            Value::Float(_) | Value::Absent => false,
        }),
        UserExpr::NumberAfter(a, mark) => match go(a) {
            Value::Text(s) => number_after(&s, mark).map_or(Value::Absent, Value::Int),
            _ => Value::Absent,
        },
        UserExpr::Select(a, cases) => match go(a) {
            Value::Text(s) => cases.iter().find(|(g, _)| glob(g, &s)).map_or(Value::Absent, |(_, v)| go(v)),
            _ => cases.iter().find(|(g, _)| g == "*").map_or(Value::Absent, |(_, v)| go(v)),
        },
        UserExpr::Concat(all) => {
            let mut text = String::new();
            for v in all.iter().map(go) {
                match v {
                    Value::Absent => return Value::Absent,
                    Value::Int(n) => text.push_str(&n.to_string()),
                    Value::Float(x) => text.push_str(&x.to_string()),
                    Value::Text(s) => text.push_str(&s),
                    Value::Bool(b) => text.push_str(if b { "true" } else { "false" }),
                }
            }
            Value::Text(text)
        }
        UserExpr::Named(_, a) => go(a),
        UserExpr::Readable(a) => Value::Bool(match go(a) {
            Value::Text(s) => !s.is_empty() && s.chars().all(|c| !c.is_control() && c != char::REPLACEMENT_CHARACTER),
            _ => false,
        }),
    }
}

/// Whether a condition's value holds; absent does not.
pub fn truth(v: &Value) -> bool {
    matches!(v, Value::Bool(true)) || matches!(v, Value::Int(n) if *n != 0)
}

fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    }
}

fn arith(op: ArithOp, a: &Value, b: &Value) -> Value {
    if let (Value::Int(x), Value::Int(y)) = (a, b)
        && let Some(n) = op.whole(*x, *y)
    {
        return Value::Int(n);
    }
    let (Some(x), Some(y)) = (number(a), number(b)) else { return Value::Absent };
    let value = op.real(x, y);
    if value.is_finite() { Value::Float(value) } else { Value::Absent }
}

fn compare(op: CmpOp, a: &Value, b: &Value) -> bool {
    let ordering = match (a, b) {
        (Value::Text(x), Value::Text(y)) => Some(x.cmp(y)),
        (Value::Int(x), Value::Int(y)) => Some(x.cmp(y)),
        _ => match (number(a), number(b)) {
            (Some(x), Some(y)) => x.partial_cmp(&y),
            _ => None,
        },
    };
    ordering.is_some_and(|o: Ordering| op.holds(o))
}

/// The number after the last `mark` of a name that is followed by digits up to the end or up to ` (`.
///
/// `number_after("Qcur-12 (reshaped)", "-")` is 12.
pub fn number_after(name: &str, mark: &str) -> Option<i64> {
    let stem = name.split(" (").next().unwrap_or(name);
    let at = stem.rfind(mark)?;
    let digits = &stem[at + mark.len()..];
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_stands_at_the_end_or_before_a_parenthesis() {
        for (name, mark, expected) in [
            ("Qcur-12", "-", Some(12)),
            ("Qcur-12 (reshaped)", "-", Some(12)),
            ("blk-3-x", "-", None),
            ("cache_k_l7 (view) (permuted)", "_l", Some(7)),
            ("result_output", "-", None),
            ("node_24", "-", None),
            ("x-", "-", None),
            ("x-99999999999", "-", None),
            ("RPC0#ffn_out-15#0", "-", None),
        ] {
            assert_eq!(number_after(name, mark), expected, "{name}");
        }
    }

    #[test]
    fn absent_makes_comparisons_false_and_arithmetic_absent() {
        let counts = |_: &str| None;
        let absent = UserExpr::Field(0);
        for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt] {
            let e = UserExpr::Cmp(op, Box::new([absent.clone(), UserExpr::Int(1)]));
            assert_eq!(eval(&e, &[Value::Absent], &counts), Value::Bool(false));
        }
        let e = UserExpr::Arith(ArithOp::Add, Box::new([absent, UserExpr::Int(1)]));
        assert_eq!(eval(&e, &[Value::Absent], &counts), Value::Absent);
    }
}
