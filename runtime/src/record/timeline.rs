//! Records of a timeline.

use super::{Part, Quantity, Value};

/// When counting began: what all other times are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// In ns of the monotonic clock.
    pub monotonic_ns: u64,
    /// In ns since 1970.
    pub unix_ns: u64,
}

/// A process, as a timeline shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// An event as `slice` says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The name given to it, else `slice`, `slice_2` …
    pub name: String,
    /// Its point.
    pub point: String,
    /// When the event ended: nanoseconds since counting began.
    pub at_ns: u64,
    /// Where it begins: nanoseconds since counting began, below zero if before.
    pub begin_ns: i64,
    /// Where it ends.
    pub end_ns: i64,
    /// The process.
    pub process: Process,
    /// The thread.
    pub tid: i64,
    /// The thread's name, where it is known.
    pub thread: Option<String>,
    /// The track of the process that it lies on, part by part; empty for that of its thread.
    pub track: Vec<Part>,
    /// What stands on it, part by part.
    pub label: Vec<Part>,
    /// What else is to be known of it.
    pub details: Vec<Detail>,
    /// What it is made of, one after the other.
    pub parts: Vec<Piece>,
    /// What others that belong to it are known by, where there may be some.
    pub own: Option<u64>,
    /// That of the slice that it belongs to.
    pub within: Option<u64>,
}

/// A part of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What stands on it.
    pub label: String,
    /// Where it begins, as of the slice.
    pub begin_ns: i64,
    /// Where it ends.
    pub end_ns: i64,
}

/// Something that is to be known of a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// Its name, else how the script writes it.
    pub name: String,
    /// What it is.
    pub quantity: Quantity,
    /// Its value.
    pub value: Value,
}

/// A number of an event, as `gauge` says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// The name given to it, else `gauge`, `gauge_2` …
    pub name: String,
    /// The point.
    pub point: String,
    /// When the event ended: nanoseconds since counting began.
    pub at_ns: u64,
    /// The process.
    pub process: Process,
    /// The track of the process that it stands under, part by part; empty for the process itself.
    pub track: Vec<Part>,
    /// What the gauge is called, part by part.
    pub label: Vec<Part>,
    /// What its value is.
    pub quantity: Quantity,
    /// Its value.
    pub value: Value,
}
