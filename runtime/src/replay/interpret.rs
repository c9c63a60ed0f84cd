//! What the kernel computes of an event, computed of what was recorded of it: a second implementation of a plan's expressions,
//! which shares no code with the one that emits programs.

use std::collections::HashMap;

use profinfer_compiler::pattern::{Alt, Pattern};
use profinfer_compiler::plan::{Expr, FIXED_ONE, KeySource, Plan};
use profinfer_compiler::recording::{identity, leaves_of};
use profinfer_compiler::typed::PointId;
use profinfer_compiler::types::{ArithOp, CmpOp};
use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::ABSENT;

use crate::recording::events::Value;

/// A number that is computed of the fields of an event.
#[derive(Debug, Clone)]
pub enum Number {
    /// A constant, which may be absent.
    Const(i64),
    /// The number of a word.
    Word(String, String),
    /// A field, by its place in the event.
    Field(usize),
    /// The process.
    Pid,
    /// Minus.
    Neg(Box<Number>),
    /// Whether it does not hold.
    Not(Box<Number>),
    /// Whether it is there.
    Has(Box<Number>),
    /// Arithmetic.
    Arith(ArithOp, Box<[Number; 2]>),
    /// A comparison.
    Cmp(CmpOp, Box<[Number; 2]>),
    /// Both.
    And(Box<[Number; 2]>),
    /// One of them.
    Or(Box<[Number; 2]>),
    /// Condition, then, else.
    If(Box<[Number; 3]>),
    /// The first that is there.
    First(Vec<Number>),
    /// Whether it is one of these, of an enum's words where one is named.
    Matches(Box<Number>, Option<String>, Pattern),
    /// Whole steps in a fixed-point number.
    Steps(Box<Number>, i64, i64),
}

/// A field that the recording lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacks {
    /// What is read.
    pub identity: String,
}

/// Finds what the expressions of a plan read among the fields of a recorded point.
pub struct Fields<'p> {
    /// The plan.
    pub plan: &'p Plan,
    /// The point.
    pub point: PointId,
    /// The places of fields by what is read.
    pub places: HashMap<&'p str, usize>,
}

impl Fields<'_> {
    /// The place of something that is read.
    ///
    /// # Errors
    /// It was not recorded.
    pub fn place(&self, source: &KeySource) -> Result<usize, Lacks> {
        let identity = identity(self.plan, self.point, source);
        self.places.get(identity.as_str()).copied().ok_or(Lacks { identity })
    }

    /// A number computed of fields.
    ///
    /// # Errors
    /// What it reads was not recorded.
    pub fn number(&self, e: &Expr) -> Result<Number, Lacks> {
        let one = |e: &Expr| self.number(e).map(Box::new);
        let two = |ab: &[Expr; 2]| Ok(Box::new([self.number(&ab[0])?, self.number(&ab[1])?]));
        Ok(match e {
            Expr::Const(n) => Number::Const(*n),
            Expr::Absent => Number::Const(ABSENT),
            Expr::Word(of, word) => Number::Word(of.clone(), word.clone()),
            Expr::Pid => Number::Pid,
            Expr::Neg(a) => Number::Neg(one(a)?),
            Expr::Not(a) => Number::Not(one(a)?),
            Expr::Has(a) => Number::Has(one(a)?),
            Expr::Arith(op, ab) => Number::Arith(*op, two(ab)?),
            Expr::Cmp(op, ab) => Number::Cmp(*op, two(ab)?),
            Expr::And(ab) => Number::And(two(ab)?),
            Expr::Or(ab) => Number::Or(two(ab)?),
            Expr::If(c) => Number::If(Box::new([self.number(&c[0])?, self.number(&c[1])?, self.number(&c[2])?])),
            Expr::First(all) => Number::First(all.iter().map(|e| self.number(e)).collect::<Result<_, _>>()?),
            Expr::Matches(a, of, pattern) => Number::Matches(one(a)?, of.clone(), pattern.clone()),
            Expr::Steps(a, parts, whole) => Number::Steps(one(a)?, *parts, *whole),
            read => {
                debug_assert!({
                    let mut n = 0;
                    leaves_of(read, &mut |_| n += 1);
                    n == 1
                });
                Number::Field(self.place(&KeySource::Number(read.clone()))?)
            }
        })
    }
}

/// An event that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'e> {
    /// Its fields.
    pub values: &'e [Value],
    /// Its process.
    pub pid: u32,
    /// What its numbers stand for.
    pub facts: &'e TargetFacts,
}

impl Seen<'_> {
    /// The value of a number, [`ABSENT`] if there is none.
    pub fn number(self, e: &Number) -> i64 {
        match e {
            Number::Const(n) => *n,
            Number::Word(of, word) => self.facts.number(of, word).unwrap_or(ABSENT),
            Number::Field(i) => match self.values.get(*i) {
                Some(Value::Number(n)) => *n,
                _ => ABSENT,
            },
            Number::Pid => i64::from(self.pid),
            Number::Neg(a) => there(self.number(a)).map_or(ABSENT, i64::wrapping_neg),
            Number::Not(a) => i64::from(!self.holds(a)),
            Number::Has(a) => i64::from(self.number(a) != ABSENT),
            Number::Arith(op, ab) => self.arithmetic(*op, ab).unwrap_or(ABSENT),
            Number::Cmp(op, ab) => i64::from(self.compare(*op, ab).unwrap_or(false)),
            Number::And(ab) => i64::from(self.holds(&ab[0]) && self.holds(&ab[1])),
            Number::Or(ab) => i64::from(self.holds(&ab[0]) || self.holds(&ab[1])),
            Number::If(c) => self.number(&c[if self.holds(&c[0]) { 1 } else { 2 }]),
            Number::First(all) => all.iter().find_map(|e| there(self.number(e))).unwrap_or(ABSENT),
            Number::Matches(a, of, pattern) => i64::from(self.matches(a, of.as_deref(), pattern)),
            Number::Steps(a, parts, whole) => {
                there(self.number(a)).and_then(|n| steps(n, *parts, *whole)).unwrap_or(ABSENT)
            }
        }
    }

    /// Whether a condition holds: what is absent does not.
    pub fn holds(self, e: &Number) -> bool {
        !matches!(self.number(e), 0 | ABSENT)
    }

    fn pair(self, ab: &[Number; 2]) -> Option<(i64, i64)> {
        Some((there(self.number(&ab[0]))?, there(self.number(&ab[1]))?))
    }

    fn arithmetic(self, op: ArithOp, ab: &[Number; 2]) -> Option<i64> {
        let (a, b) = self.pair(ab)?;
        match op {
            ArithOp::Add => Some(a.wrapping_add(b)),
            ArithOp::Sub => Some(a.wrapping_sub(b)),
            ArithOp::Mul => Some(a.wrapping_mul(b)),
            ArithOp::Div => (b != 0).then(|| a.wrapping_div(b)),
            ArithOp::Rem => (b != 0).then(|| a.wrapping_rem(b)),
        }
    }

    fn compare(self, op: CmpOp, ab: &[Number; 2]) -> Option<bool> {
        let (a, b) = self.pair(ab)?;
        Some(match op {
            CmpOp::Eq => a == b,
            CmpOp::Ne => a != b,
            CmpOp::Lt => a < b,
            CmpOp::Le => a <= b,
            CmpOp::Gt => a > b,
            CmpOp::Ge => a >= b,
        })
    }

    fn matches(self, a: &Number, of: Option<&str>, pattern: &Pattern) -> bool {
        let Some(n) = there(self.number(a)) else { return false };
        let hit = match of {
            // A number that is no word of the target matches no alternative.
            Some(of) => self.facts.word(of, n).is_some_and(|word| {
                let positive = Pattern { negated: false, alts: pattern.alts.clone() };
                positive.matches_text(word)
            }),
            None => pattern.alts.iter().any(|alt| matches!(alt, Alt::Range(lo, hi) if (*lo..=*hi).contains(&n))),
        };
        hit != pattern.negated
    }
}

fn there(n: i64) -> Option<i64> {
    (n != ABSENT).then_some(n)
}

/// How many whole steps of `parts / whole` a fixed-point number has, rounded down; none where that leaves 64 bits.
fn steps(n: i64, parts: i64, whole: i64) -> Option<i64> {
    let step = parts.saturating_mul(FIXED_ONE);
    let most = (i64::MAX - step) / whole;
    (-most..=most).contains(&n).then(|| (n * whole).div_euclid(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_rounded_down() {
        // Steps of a tenth.
        let tenth = |x: f64| steps((x * FIXED_ONE as f64) as i64, 1, 10);
        assert_eq!([0.0, 0.05, 0.1, 0.95, -0.05, -0.1].map(tenth), [0, 0, 0, 9, -1, -1].map(Some));
        assert_eq!(steps(i64::MAX, 1, 10), None);
        assert_eq!(steps(-i64::MAX, 1, 10), None);
    }
}
