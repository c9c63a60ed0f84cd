//! The columns of a table as they are shown: what user space makes of the slots of its rows.

use crate::types::{ArithOp, CmpOp, Type};

/// A column as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct OutColumn {
    /// Its name, else its text without spaces.
    pub name: String,
    /// Its type; of a histogram that of its values.
    pub ty: Type,
    /// Its value.
    pub value: ColumnExpr,
}

impl OutColumn {
    /// Whether it only serves others: its name begins with `_`.
    pub fn is_hidden(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// What a machine can do at most, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ceiling {
    /// Bytes read from memory, a second.
    Memory,
    /// Products and sums of 32-bit floating-point numbers, a second.
    F32,
    /// Products and sums of 8-bit whole numbers, a second.
    Int8,
}

impl Ceiling {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::F32, Self::Int8];

    /// How scripts call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// What it is.
    pub fn ty(self) -> Type {
        match self {
            Self::Memory => Type::BytesPerSecond,
            Self::F32 | Self::Int8 => Type::PerSecond,
        }
    }
}

/// The value of a column over a row's slots.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnExpr {
    /// A slot's number; absent if the `Present` slot named with it is 0.
    Slot(usize, Option<usize>),
    /// Sum over count.
    Avg(usize, usize),
    /// The histogram of a slot.
    Hist(usize),
    /// How many different values a slot has.
    Distinct(usize),
    /// Hit rates of caches of 1, 2, 3 … entries.
    HitRates(usize),
    /// The slope of the line through a slot's points.
    Slope(usize),
    /// A quantile of a slot's histogram.
    Quantile(usize, f64),
    /// The slot's part of the table's total; absent as [`Slot`](Self::Slot) is.
    Share(usize, Option<usize>),
    /// The slot per second of wall time; absent as [`Slot`](Self::Slot) is.
    Rate(usize, Option<usize>),
    /// The column of that name in the same table, in whichever group of it.
    Column(String),
    /// A constant.
    Const(f64),
    /// A text.
    Text(String),
    /// Nothing.
    Absent,
    /// Arithmetic.
    Arith(ArithOp, Box<[ColumnExpr; 2]>),
    /// Minus.
    Neg(Box<ColumnExpr>),
    /// Whether one number is less, or more, than the other; false where one is absent.
    Cmp(CmpOp, Box<[ColumnExpr; 2]>),
    /// Both.
    And(Box<[ColumnExpr; 2]>),
    /// At least one.
    Or(Box<[ColumnExpr; 2]>),
    /// Not.
    Not(Box<ColumnExpr>),
    /// Whether it is not absent.
    Has(Box<ColumnExpr>),
    /// The second where the first holds, else the third.
    If(Box<[ColumnExpr; 3]>),
    /// The first that is not absent.
    First(Vec<ColumnExpr>),
    /// The smallest; absent if one is.
    Least(Vec<ColumnExpr>),
    /// The largest; absent if one is.
    Greatest(Vec<ColumnExpr>),
    /// Texts and values, each as its type is shown, one after the other; absent if one is.
    Concat(Vec<(ColumnExpr, Type)>),
    /// What the machine can do at most with so many threads; absent where that was not measured.
    Ceiling(Ceiling, Box<ColumnExpr>),
}

impl ColumnExpr {
    /// Whether it is made of other columns.
    pub fn names_columns(&self) -> bool {
        matches!(self, Self::Column(_)) || self.children().into_iter().any(Self::names_columns)
    }

    /// A histogram or a curve: many numbers.
    pub fn is_picture(&self) -> bool {
        matches!(self, Self::Hist(_) | Self::HitRates(_))
    }

    /// Whether it, or something that it is made of, fits.
    pub fn any(&self, fits: &dyn Fn(&Self) -> bool) -> bool {
        fits(self) || self.children().into_iter().any(|child| child.any(fits))
    }

    /// What it is made of, in order.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Arith(_, ab) | Self::Cmp(_, ab) | Self::And(ab) | Self::Or(ab) => ab.iter().collect(),
            Self::Neg(a) | Self::Not(a) | Self::Has(a) | Self::Ceiling(_, a) => vec![a],
            Self::If(all) => all.iter().collect(),
            Self::First(all) | Self::Least(all) | Self::Greatest(all) => all.iter().collect(),
            Self::Concat(all) => all.iter().map(|(e, _)| e).collect(),
            _ => Vec::new(),
        }
    }

    /// Gives the parts of texts their types, which come in the order in which those texts end.
    pub(crate) fn type_texts(&mut self, types: &mut impl Iterator<Item = Vec<Type>>) {
        match self {
            Self::Arith(_, ab) | Self::Cmp(_, ab) | Self::And(ab) | Self::Or(ab) => {
                ab.iter_mut().for_each(|e| e.type_texts(types));
            }
            Self::Neg(a) | Self::Not(a) | Self::Has(a) | Self::Ceiling(_, a) => a.type_texts(types),
            Self::If(all) => all.iter_mut().for_each(|e| e.type_texts(types)),
            Self::First(all) | Self::Least(all) | Self::Greatest(all) => {
                all.iter_mut().for_each(|e| e.type_texts(types))
            }
            Self::Concat(all) => {
                all.iter_mut().for_each(|(e, _)| e.type_texts(types));
                for ((_, ty), found) in all.iter_mut().zip(types.next().unwrap_or_default()) {
                    *ty = found;
                }
            }
            _ => {}
        }
    }
}
