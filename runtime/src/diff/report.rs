//! Records of what was found: a verdict in words, what differs in shape, and tables of rows with their intervals.

use super::judge::{Change, Finding, Verdict};
use super::{Diff, Phase};
use crate::record::{Column, Level, Message, Quantity, Record, Row, Table, Value, ViewKind};
use crate::view::shown;

/// Rows that a verdict names.
const NAMED: usize = 4;

/// Steps that anybody can be asked for.
const FEWEST: usize = 30;
/// How many times as many steps are worth asking for.
const MOST_TIMES: usize = 10;

/// What is shown.
#[derive(Debug)]
pub struct Report {
    /// In the order in which they are shown.
    pub records: Vec<Record>,
    /// Whether anything takes another time, or is there on one side only.
    pub has_changes: bool,
}

/// Makes records of what was found, `top` rows of each table.
pub fn report(diff: &Diff, top: usize) -> Report {
    let message =
        |text: &String| Record::Message(Message { level: Level::Warning, kind: "compared", text: text.clone() });
    let mut records: Vec<Record> = diff.warnings.iter().map(message).collect();
    records.push(Record::Table(verdicts(&diff.phases)));
    if !diff.shape.is_empty() {
        records.push(Record::Table(shape(diff)));
    }
    records.push(Record::Table(steps(&diff.phases)));
    for phase in &diff.phases {
        // Of too few steps there is nothing to be said of what they are made of.
        let tables = if phase.judged.is_enough { &phase.tables[..] } else { &[] };
        for (rows, findings) in tables.iter().zip(&phase.judged.rows) {
            let all = rows.rows.iter().cloned().zip(findings).collect();
            records.push(Record::Table(operators(&phase.name, &rows.keys, all, top)));
        }
    }
    let all = diff.phases.iter().flat_map(|p| p.judged.whole.iter().chain(p.judged.rows.iter().flatten()));
    let has_changes = all.map(|f| f.verdict).any(Verdict::is_change);
    Report { records, has_changes }
}

fn table(name: String, view: ViewKind, keys: Vec<Column>, columns: Vec<Column>, rows: Vec<Row>) -> Table {
    Table { name, at_ns: 0, view, keys, columns, rows, cut: 0, dropped: Default::default(), to: None }
}

fn column(name: &str, quantity: Quantity) -> Column {
    Column { name: name.to_owned(), quantity, error: None, whole: quantity == Quantity::Number }
}

fn verdicts(phases: &[Phase]) -> Table {
    let row = |phase: &Phase| {
        let compared = phase.compared();
        Row {
            keys: vec![Value::Text(phase.name.clone())],
            cells: vec![Value::Text(sentence(phase)), Value::Int(i64::try_from(compared).unwrap_or(i64::MAX))],
        }
    };
    let columns = vec![column("verdict", Quantity::Text), column("steps compared", Quantity::Number)];
    let keys = vec![column("phase", Quantity::Text)];
    table("verdict".to_owned(), ViewKind::Text, keys, columns, phases.iter().map(row).collect())
}

fn shape(diff: &Diff) -> Table {
    let text = |text: &Option<String>| text.clone().map_or(Value::Absent, Value::Text);
    let row = |d: &super::Difference| Row {
        keys: vec![Value::Text(d.what.clone())],
        cells: vec![text(&d.before), text(&d.after)],
    };
    let columns = vec![column("before", Quantity::Text), column("after", Quantity::Text)];
    let keys = vec![column("what differs", Quantity::Text)];
    table("shape".to_owned(), ViewKind::Table, keys, columns, diff.shape.iter().map(row).collect())
}

fn steps(phases: &[Phase]) -> Table {
    let of = |phase: &Phase, what: &str, finding: &Finding| Row {
        keys: vec![Value::Text(phase.name.clone()), Value::Text(what.to_owned())],
        cells: cells(finding),
    };
    let rows = phases.iter().flat_map(|p| {
        let [median, mean] = &p.judged.whole;
        [of(p, "median", median), of(p, "mean", mean)]
    });
    let keys = vec![column("phase", Quantity::Text), column("of", Quantity::Text)];
    table("steps".to_owned(), ViewKind::Table, keys, columns(), rows.collect())
}

/// Those that change a step most come first.
fn operators(phase: &str, keys: &[Column], mut rows: Vec<(Vec<Value>, &Finding)>, top: usize) -> Table {
    rows.sort_by(|(_, a), (_, b)| moved(b).total_cmp(&moved(a)));
    let cut = rows.len().saturating_sub(top);
    rows.truncate(top);
    let rows = rows.into_iter().map(|(keys, finding)| Row { keys, cells: cells(finding) }).collect();
    let name = keys.iter().map(|k| k.name.as_str()).collect::<Vec<_>>().join(", ");
    Table { cut: cut as u64, ..table(format!("{phase}: {name}"), ViewKind::Table, keys.to_vec(), columns(), rows) }
}

/// By how much a step is longer or shorter for a row, in ns.
fn moved(finding: &Finding) -> f64 {
    (finding.after.unwrap_or(0.0) - finding.before.unwrap_or(0.0)).abs()
}

fn columns() -> Vec<Column> {
    vec![
        column("before", Quantity::Duration),
        column("after", Quantity::Duration),
        column("change", Quantity::Change),
        column("low", Quantity::Change),
        column("high", Quantity::Change),
        column("verdict", Quantity::Text),
    ]
}

fn cells(finding: &Finding) -> Vec<Value> {
    let time = |t: Option<f64>| t.map_or(Value::Absent, |t| Value::Int(t.round() as i64));
    let share = |x: Option<f64>| x.map_or(Value::Absent, Value::Float);
    vec![
        time(finding.before),
        time(finding.after),
        share(finding.change.map(|c| c.estimate)),
        share(finding.change.and_then(|c| c.low)),
        share(finding.change.and_then(|c| c.high)),
        Value::Text(finding.verdict.words().to_owned()),
    ]
}

/// A change in words: `slower by 12.1 % (9.0 to 15.2 %)`.
fn by(change: Change) -> String {
    let is_slower = change.estimate > 0.0;
    let sign = if is_slower { 1.0 } else { -1.0 };
    let percent = |x: f64| shown(&Value::Float(x * sign), Quantity::Share);
    let word = if is_slower { "slower" } else { "faster" };
    match (change.low, change.high) {
        (Some(low), Some(high)) => {
            let (from, to) = if is_slower { (low, high) } else { (high, low) };
            let bare = |x: f64| percent(x).trim_end_matches(" %").to_owned();
            format!("{word} by {} ({} to {})", percent(change.estimate), bare(from), percent(to))
        }
        _ => format!("{word} by {}", percent(change.estimate)),
    }
}

/// What is to be thought of a phase, in words.
fn sentence(phase: &Phase) -> String {
    let judged = &phase.judged;
    let [median, mean] = &judged.whole;
    let steps = phase.compared();
    let mut text = match (median.verdict, median.change, judged.common) {
        (Verdict::Slower | Verdict::Faster, _, Some(common)) => format!(
            "everything is {}: that is the machine, or something that all operators share, as threads or clock",
            by(common)
        ),
        (Verdict::Slower | Verdict::Faster, Some(change), None) => by(change),
        (Verdict::Same, Some(change), _) => match (change.low, change.high) {
            (Some(low), Some(high)) => {
                let signed = |x: f64| shown(&Value::Float(x), Quantity::Change);
                format!("no difference ({} to {})", signed(low), signed(high))
            }
            _ => "no difference".to_owned(),
        },
        (_, Some(change), _) if change.low.is_some() => format!("cannot tell: {}", by(change)),
        _ => "cannot tell".to_owned(),
    };
    match judged.needed {
        _ if median.verdict != Verdict::Unclear => {}
        Some(needed) if needed <= steps.max(FEWEST) * MOST_TIMES => {
            text += &format!("; too few steps ({steps}): some {needed} would be needed");
        }
        _ => {
            text += "; the machine is too unsteady for more steps alone to help: record both in turns, \
                     several times, and name all pairs";
        }
    }
    if let (true, Some(change), Some(usual)) = (mean.verdict.is_change(), mean.change, median.change)
        && (mean.verdict != median.verdict || change.low > usual.high || change.high < usual.low)
    {
        text += &format!("; the mean is {}: some steps differ more than most", by(change));
    }
    text += ".";
    if let (Some(table), Some(findings)) = (phase.tables.first(), judged.rows.first()) {
        let mut changed: Vec<_> = table.rows.iter().zip(findings).filter(|(_, f)| f.verdict.is_change()).collect();
        changed.sort_by(|(_, a), (_, b)| moved(b).total_cmp(&moved(a)));
        let named = changed.iter().take(NAMED).map(|(keys, finding)| {
            let keys = keys.iter().zip(&table.keys).map(|(k, of)| shown(k, of.quantity)).collect::<Vec<_>>().join(" ");
            match finding.change {
                Some(change) if !matches!(finding.verdict, Verdict::OnlyBefore | Verdict::OnlyAfter) => {
                    format!("{keys} {}", by(change))
                }
                _ => format!("{keys} {}", finding.verdict.words()),
            }
        });
        let named: Vec<String> = named.collect();
        let more = changed.len().saturating_sub(NAMED);
        if !named.is_empty() {
            text += &format!(" By itself: {}", named.join(", "));
            text += &if more > 0 { format!(", and {more} more.") } else { ".".to_owned() };
        }
    }
    text
}
