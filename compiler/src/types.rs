//! Types of expressions and the algebra of units.

use std::fmt;

/// What an expression's value is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// A whole number without unit.
    Int,
    /// Nanoseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// A number with a fraction.
    Ratio,
    /// Events per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// A truth value.
    Bool,
    /// Text, at most so many bytes (0: made in user space, unbounded).
    Str(u32),
    /// A word of the enum of this name.
    Enum(String),
    /// A pointer to the struct of this name.
    Ptr(String),
    /// A pointer to numbers.
    NumPtr(Mem),
    /// A pointer to pointers.
    PtrPtr,
    /// A pointer to what is not described.
    Address,
    /// A call stack.
    Stack,
    /// An array inside a struct.
    Array(Box<Type>, Mem, u64),
    /// `absent`: fits every type.
    Absent,
}

/// How a number lies in the target's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mem {
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    /// Whether it is signed.
    pub signed: bool,
}

impl Mem {
    /// An unsigned word of 8 bytes: a pointer.
    pub const WORD: Mem = Mem { size: 8, signed: false };

    /// The number type of a type word (`i32`), if it is one.
    pub fn of_word(word: &str) -> Option<Mem> {
        let (signed, bits) = match word.split_at_checked(1)? {
            ("i", bits) => (true, bits),
            ("u", bits) => (false, bits),
            _ => return if word == "bool" { Some(Mem { size: 1, signed: false }) } else { None },
        };
        let size = match bits {
            "8" => 1,
            "16" => 2,
            "32" => 4,
            "64" => 8,
            _ => return None,
        };
        Some(Mem { size, signed })
    }
}

impl Type {
    /// Whether its values are numbers the kernel can hold and compare.
    pub fn is_kernel_number(&self) -> bool {
        matches!(
            self,
            Self::Int
                | Self::Duration
                | Self::Bytes
                | Self::Bool
                | Self::Enum(_)
                | Self::Ptr(_)
                | Self::NumPtr(_)
                | Self::PtrPtr
                | Self::Address
                | Self::Stack
                | Self::Absent
        )
    }

    /// Whether sums, means and comparisons of order make sense.
    pub fn is_quantity(&self) -> bool {
        matches!(self, Self::Int | Self::Duration | Self::Bytes | Self::Ratio | Self::PerSecond | Self::BytesPerSecond)
    }

    /// Whether it is a pointer of any kind.
    pub fn is_pointer(&self) -> bool {
        matches!(self, Self::Ptr(_) | Self::NumPtr(_) | Self::PtrPtr | Self::Address)
    }

    /// The type that both are, if values of them may stand for each other.
    pub fn unify(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (a, b) if a == b => Some(a.clone()),
            (Self::Absent, t) | (t, Self::Absent) => Some(t.clone()),
            (Self::Str(a), Self::Str(b)) => Some(Self::Str((*a).max(*b))),
            (Self::Int, Self::Ratio) | (Self::Ratio, Self::Int) => Some(Self::Ratio),
            (a, b) if a.is_pointer() && b.is_pointer() => Some(Self::Address),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int => f.write_str("a number"),
            Self::Duration => f.write_str("a duration"),
            Self::Bytes => f.write_str("a size in bytes"),
            Self::Ratio => f.write_str("a ratio"),
            Self::PerSecond => f.write_str("a rate"),
            Self::BytesPerSecond => f.write_str("a rate in bytes per second"),
            Self::Bool => f.write_str("a truth value"),
            Self::Str(_) => f.write_str("text"),
            Self::Enum(name) => write!(f, "a word of {name}"),
            Self::Ptr(name) => write!(f, "a pointer to {name}"),
            Self::NumPtr(_) => f.write_str("a pointer to numbers"),
            Self::PtrPtr => f.write_str("a pointer to pointers"),
            Self::Address => f.write_str("an address"),
            Self::Stack => f.write_str("a call stack"),
            Self::Array(of, _, n) => write!(f, "an array of {n} ({of} each)"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// The type of `a op b` for the four operations on quantities, if there is one.
pub fn arithmetic(op: ArithOp, a: &Type, b: &Type) -> Option<Type> {
    use ArithOp::{Add, Div, Mul, Rem, Sub};
    use Type::{Absent, Bytes, BytesPerSecond, Duration, Int, PerSecond, Ratio};
    Some(match (op, a, b) {
        (_, Absent, t) | (_, t, Absent) if t.is_quantity() || *t == Absent => t.clone(),
        (Add | Sub, a, b) if a.is_quantity() => a.unify(b)?,
        (Rem, Int | Duration | Bytes, _) if a == b || *b == Int => a.clone(),
        (Mul, Int, Ratio) | (Mul, Ratio, Int) => Ratio,
        (Mul, Int | Ratio, t) | (Mul, t, Int | Ratio) if t.is_quantity() => t.clone(),
        (Mul, PerSecond, Duration) | (Mul, Duration, PerSecond) => Ratio,
        (Mul, BytesPerSecond, Duration) | (Mul, Duration, BytesPerSecond) => Bytes,
        (Div, a, b) if a == b && a.is_quantity() => Ratio,
        (Div, Int, Ratio) | (Div, Ratio, Int) => Ratio,
        (Div, t, Int | Ratio) if t.is_quantity() => t.clone(),
        (Div, Bytes, Duration) => BytesPerSecond,
        (Div, Int | Ratio, Duration) => PerSecond,
        (Div, Bytes, BytesPerSecond) => Duration,
        (Div, Int | Ratio, PerSecond) => Duration,
        _ => return None,
    })
}

/// The operations of [`arithmetic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its own symbol")]
pub enum ArithOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl ArithOp {
    /// The operation as written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
        }
    }

    /// Of whole numbers; none past 64 bits, by zero, and for quotients, which are [`real`](Self::real).
    pub fn whole(self, x: i64, y: i64) -> Option<i64> {
        match self {
            Self::Add => x.checked_add(y),
            Self::Sub => x.checked_sub(y),
            Self::Mul => x.checked_mul(y),
            Self::Rem => x.checked_rem(y),
            Self::Div => None,
        }
    }

    /// Of numbers with a fraction; not finite where there is no such number.
    pub fn real(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Add => x + y,
            Self::Sub => x - y,
            Self::Mul => x * y,
            Self::Div => x / y,
            Self::Rem => x % y,
        }
    }
}

/// The comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its own symbol")]
pub enum CmpOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl CmpOp {
    /// The comparison as written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// Whether `ordering` (of left to right) satisfies it.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}
