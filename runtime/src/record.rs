//! The one stream that everything profinfer shows goes through: tables, messages, the end. A renderer sees nothing else.

mod timeline;

use std::collections::BTreeMap;

pub use timeline::{Begin, Detail, Gauge, Piece, Process, Slice};

/// One record of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A table, as shown by `show` or at the end.
    Table(Table),
    /// An event by itself.
    Print(Print),
    /// Counting begins.
    Begin(Begin),
    /// An event in a timeline.
    Slice(Slice),
    /// A number in a timeline.
    Gauge(Gauge),
    /// A node of a graph.
    Node(Box<Node>),
    /// Something the user has to know: a silent point, a lost process, an engine found.
    Message(Message),
    /// The last record of a run.
    End(End),
}

/// A table with its rows in the order they are to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The name behind `into`, else its point's.
    pub name: String,
    /// Nanoseconds since counting began.
    pub at_ns: u64,
    /// How `show … as` wants it.
    pub view: ViewKind,
    /// The keys behind `by`.
    pub keys: Vec<Column>,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, sorted and cut.
    pub rows: Vec<Row>,
    /// Rows that `top` cut off.
    pub cut: u64,
    /// Counts that did not get into the table, by cause (`table_full`, `failed_read`, …); only causes that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Path below the output folder, from `to "…"`.
    pub to: Option<String>,
}

/// Head of a key or column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, else its text without spaces: `sum(dur)`.
    pub name: String,
    /// What its values are.
    pub quantity: Quantity,
    /// The error bound of its values, as printed: `±1.6 %`; none where they are exact.
    pub error: Option<&'static str>,
    /// Its numbers are whole ones, whatever is counted; else some may have a fraction.
    pub whole: bool,
}

/// What a value is, hence how it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// A whole number, or a number without unit.
    Number,
    /// Nanoseconds.
    Duration,
    /// Bytes; printed in binary multiples.
    Bytes,
    /// Per second, without unit; printed in decimal multiples.
    PerSecond,
    /// Bytes per second; printed in decimal multiples.
    BytesPerSecond,
    /// A share of one; printed in percent.
    Share,
    /// By how much of one something changed; printed in percent, with its sign.
    Change,
    /// An address; printed in hexadecimal.
    Address,
    /// Shares by the size of a cache; printed in percent.
    HitRates,
    /// Text or an enum's word.
    Text,
    /// A call stack: names of functions, outermost first, with `;` between them.
    Stack,
    /// `true` or `false`.
    Bool,
    /// A histogram over values of a quantity that is [`Quantity::Duration`] …
    HistDuration,
    /// … or [`Quantity::Bytes`] …
    HistBytes,
    /// … or a plain number …
    HistNumber,
    /// … or a ratio: the bounds of its buckets are in units of 2⁻³².
    HistRatio,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One per key column.
    pub keys: Vec<Value>,
    /// One per column.
    pub cells: Vec<Value>,
}

/// A value of a key or a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not there: printed `-`, JSON null.
    Absent,
    /// A whole number in the quantity's base unit (ns, bytes).
    Int(i64),
    /// A number that is not whole.
    Float(f64),
    /// Text of the target, not yet escaped.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A histogram, buckets in ascending order, empty ones left out.
    Hist(Vec<Bucket>),
    /// Shares of one at 1, 2, 3 …: hit rates by the size of a cache.
    Curve(Vec<f64>),
}

/// A bucket of a histogram: values `v` with `lo <= v < hi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Lowest value in it; `i64::MIN` where there is no lower bound.
    pub lo: i64,
    /// One above the highest value in it; `i64::MAX` where there is no upper bound.
    pub hi: i64,
    /// How many.
    pub n: u64,
}

/// How a table is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ViewKind {
    /// Rows and columns; columns of histograms are drawn below.
    #[default]
    Table,
    /// A histogram per row.
    Hist,
    /// A picture: rows by the first key, columns by the second, coloured by the first column.
    Heatmap,
    /// A flame graph: frames by the keys, outermost first, as wide as the first column.
    Flame,
    /// A paragraph per row.
    Text,
    /// JSON lines, whatever the format of the run.
    Json,
    /// CSV, whatever the format of the run.
    Csv,
}

/// An event, as `print` says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// The name given to it, else `print`, `print_2` …
    pub name: String,
    /// Its point.
    pub point: String,
    /// When it ended: nanoseconds since counting began.
    pub at_ns: u64,
    /// The text, part by part.
    pub parts: Vec<Part>,
}

/// A part of a printed text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text of the script.
    Text(String),
    /// Something of the event.
    Value {
        /// How the script writes it: `dur`, `src0.name`.
        name: String,
        /// What it is.
        quantity: Quantity,
        /// Its value.
        value: Value,
        /// As [`Column::whole`].
        whole: bool,
    },
}

/// A node of a graph, as `node` says it: an event that computed a value of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name given to it, else `node`, `node_2` …
    pub name: String,
    /// Its point.
    pub point: String,
    /// When it ended: nanoseconds since counting began.
    pub at_ns: u64,
    /// The process.
    pub pid: i64,
    /// The same for all nodes of one graph of a process, and another number for the next.
    pub step: i64,
    /// What kinds of graph are told apart by.
    pub graph: Option<(Column, Value)>,
    /// What it computes.
    pub result: Tensor,
    /// What it computes that of.
    pub sources: Vec<Source>,
    /// How long it took, in ns.
    pub dur_ns: Option<u64>,
    /// What stands in its box, part by part.
    pub label: Vec<Part>,
    /// What it is drawn together with.
    pub group: Option<(Column, Value)>,
    /// What its colour stands for.
    pub colour: Option<(Column, Value)>,
    /// Whether values that no node computes are to be drawn.
    pub leaves: bool,
    /// Which groups are to be drawn each by itself: `0, 5..7`, `all`, `none`; empty where alike ones are drawn once.
    pub expand: String,
}

/// A value of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its number: an address, the same throughout a step.
    pub id: i64,
    /// The number of the value whose memory it is in, which is its own for most.
    pub root: i64,
    /// Its name; that of a source is its root's.
    pub name: String,
}

/// A value that a node computes something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The value.
    pub tensor: Tensor,
    /// What it is where no node computes it: `weights`, `cache`, `input`.
    pub kind: String,
    /// What it is a view of, step by step: the word for the view, and the number of what is behind it.
    pub views: Vec<(String, i64)>,
}

/// What a clause did at its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtEvents {
    /// As [`Print::name`]; `actions`, `actions_2` … where nothing is printed.
    pub name: String,
    /// The point.
    pub point: String,
    /// What that was.
    pub what: What,
    /// Events at which it was done.
    pub done: u64,
    /// Events that user space never learned of.
    pub lost: u64,
}

/// What a clause does at its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// They are printed.
    Printed,
    /// They are slices of a timeline.
    Slices,
    /// They give a gauge its values.
    Gauges,
    /// They are nodes of a graph.
    Nodes,
    /// Something is shown, cleared or ended.
    Done,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// One word for tools: `attached`, `assumed`, `waiting`, `checked`, `gone`, `written`, `missing`, `recorded`, `compared`.
    pub kind: &'static str,
    /// One line, lower case, no full stop.
    pub text: String,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// A number may not mean what it seems to.
    Warning,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct End {
    /// Nanoseconds from the start of counting to its end.
    pub duration_ns: u64,
    /// Why it ended: `interrupt`, `terminated`, `target exited`, `duration`, `exit`.
    pub reason: String,
    /// Events per point.
    pub hits: BTreeMap<String, u64>,
    /// What was lost, by cause; only causes that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Steps that were cut by the end.
    pub open: u64,
    /// Points that attached and never fired, with the reason known for it.
    pub silent: Vec<Silent>,
    /// What is to be known of the counters of each point that has some.
    pub counted: BTreeMap<String, Counted>,
    /// Counters that had to share their place in the processor, with the part of the time in which they ran.
    pub shared: BTreeMap<String, f64>,
    /// What was done at events, clause by clause.
    pub at_events: Vec<AtEvents>,
    /// Kernel memory of the maps, in bytes.
    pub kernel_bytes: u64,
    /// What the run cost the processes it observed, where that is known.
    pub cost: Option<Cost>,
    /// Why it is not known.
    pub no_cost: Option<String>,
    /// How the budget was kept, where the run had one.
    pub kept: Option<Kept>,
    /// What the layout check found: `checked`, `unchecked` if no event came or only the script says what is read, `none` if there
    /// is nothing to check.
    pub layout: String,
}

/// How a budget was kept: steps were left out.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Kept {
    /// The share of the processes' time on CPUs that the run might cost.
    pub max: f64,
    /// All steps since counting began.
    pub steps: u64,
    /// Those that were seen; tables are of them alone.
    pub seen: u64,
    /// How often probes were taken away.
    pub pauses: u64,
}

/// What a run cost the processes it observed, in the times in which it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Cost {
    /// Traps and programs, as a share of `cpu_ns`.
    pub share: f64,
    /// What as many hits would cost with programs that do nothing, as a share of `cpu_ns`.
    pub floor: f64,
    /// Hits of probes.
    pub hits: u64,
    /// Steps that ended; none if the script sees no steps.
    pub steps: Option<u64>,
    /// Nanoseconds in traps.
    pub trap_ns: u64,
    /// Nanoseconds in programs.
    pub program_ns: u64,
    /// Nanoseconds that the processes' threads were on a CPU.
    pub cpu_ns: u64,
    /// The same of the whole run.
    pub run_cpu_ns: u64,
}

/// Events of a point whose counters are not as simple as others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counted {
    /// Events that ended on another CPU than they began on; what they counted on both is added up.
    pub moved: u64,
    /// Events without counters: they began on another thread, or a switch was not seen.
    pub uncounted: u64,
    /// Counts that are absent, since the counter never ran during the event.
    pub never_ran: u64,
    /// Counts made up for the time in which the counter did not run.
    pub scaled: u64,
}

/// A point that attached and never fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The point.
    pub point: String,
    /// The reason known for it.
    pub reason: String,
}
