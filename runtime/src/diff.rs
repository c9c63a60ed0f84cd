//! What changed from one recording to another: what the engine does, and how long it takes to do it.
//!
//! - `ask` replays a recording with a script that is made for it: steps, and operators by step.
//! - `steps` finds which step is held against which.
//! - `effect` says how much longer one series is than another, and how sure that is; `student` is the distribution it needs.
//! - `judge` tells real differences from the machine's moods, and what all have in common from what one operator does.
//! - `shape` is what differs whatever the clock says.
//! - `report` makes records of it.

mod ask;
mod effect;
mod judge;
#[cfg(test)]
mod noisy;
mod report;
mod shape;
mod steps;
mod student;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::engine::DescriptionError;
use crate::record::{Column, Value};
use crate::recording::reader::ReadError;
use crate::replay::ReplayError;
use crate::replay::bind::Lacking;

use ask::{Recorded, text_of};
pub use effect::median;
pub use judge::{Change, Finding, Verdict};
use judge::{Judged, Series, judge};
pub use report::{Report, report};
pub use shape::Difference;
use steps::{Matched, Pairs, phases};

/// Why two recordings cannot be compared.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum DiffError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error("no engine description is built in")]
    NoEngine,
    #[error("a recording is read twice, which standard input cannot be: name files")]
    Pipe,
    #[error("{name}: {source}")]
    Replay { name: String, source: Box<ReplayError> },
    #[error("these are no keys of operators: {keys}\n{said}")]
    Keys { keys: String, said: String },
    #[error("the script that a recording is asked by does not compile:\n{said}")]
    Script { said: String },
    #[error("{name} cannot be compared by {by}: {lacking}; or record compare.pi, which has what is usual")]
    Lacking { name: String, by: String, lacking: Box<Lacking> },
    #[error(
        "{name} cannot be compared: it does not say which step its events are of ({lacking}). Record compare.pi: \
         profinfer record compare.pi -o FILE --pid N"
    )]
    NoSteps { name: String, lacking: Box<Lacking> },
    #[error("{name} has no whole step of the engine: generate some tokens while it is recorded")]
    Empty { name: String },
    #[error("{before} and {after} have no kind of step in common: one has {has}, the other {other}")]
    NothingInCommon { before: String, after: String, has: String, other: String },
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Keys of the language that operators are compared by, each list a table; none for the usual ones.
    pub by: Vec<String>,
    /// The smallest change that is one, as a share.
    pub least: f64,
}

/// What was found.
#[derive(Debug)]
pub struct Diff {
    /// What differs whatever the clock says.
    pub shape: Vec<Difference>,
    /// What was found of each phase that both have.
    pub phases: Vec<Phase>,
    /// What makes the numbers mean less than they seem to.
    pub warnings: Vec<String>,
}

/// What was found of the steps of a phase.
#[derive(Debug)]
pub struct Phase {
    /// Which phase.
    pub name: String,
    pairs: Pairs,
    judged: Judged,
    tables: Vec<Rows>,
}

impl Phase {
    /// How many steps were held against each other.
    fn compared(&self) -> usize {
        self.pairs.counts().iter().sum()
    }
}

/// The rows of a table, in the order of what was judged.
#[derive(Debug)]
struct Rows {
    keys: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

/// Compares recordings: of each pair the second with the first.
///
/// # Errors
/// [`DiffError`]
pub fn diff(files: &[[PathBuf; 2]], options: &Options) -> Result<Diff, DiffError> {
    let paths: Vec<&Path> = files.iter().flatten().map(PathBuf::as_path).collect();
    let (read, lacks) = ask::read(&paths, &options.by)?;
    let mut recordings = Vec::new();
    let mut read = read.into_iter();
    while let (Some(before), Some(after)) = (read.next(), read.next()) {
        recordings.push([before, after]);
    }
    compare(&recordings, &lacks, options)
}

fn compare(recordings: &[[Recorded; 2]], lacks: &[String], options: &Options) -> Result<Diff, DiffError> {
    for r in recordings.iter().flatten() {
        if r.steps.is_empty() {
            return Err(DiffError::Empty { name: r.name.clone() });
        }
    }
    let all = phases(recordings.iter().flatten());
    let mut warnings = warnings(recordings, lacks);
    let mut found = Vec::new();
    for name in &all {
        let pairs = Pairs::of(name, recordings);
        if pairs.steps.contains(&0) {
            continue;
        }
        let tables = tables(recordings);
        let series: Vec<Vec<Series>> = tables
            .iter()
            .enumerate()
            .map(|(group, table)| table.rows.iter().map(|k| pairs.row(recordings, group, &text_of(k))).collect())
            .collect();
        // What the phase does not have is no row of it.
        let is_there = |s: &Series| s.a.iter().chain(&s.b).any(|v| *v > 0.0);
        let mut kept = (Vec::new(), Vec::new());
        for (mut table, series) in tables.into_iter().zip(series) {
            let mut there = series.iter().map(is_there);
            table.rows.retain(|_| there.next().unwrap_or(false));
            kept.0.push(table);
            kept.1.push(series.into_iter().filter(is_there).collect::<Vec<_>>());
        }
        let judged = judge(&pairs.whole(recordings), &kept.1, &pairs.counts(), options.least);
        warnings.extend(mismatch(name, &pairs));
        found.push(Phase { name: name.clone(), pairs, judged, tables: kept.0 });
    }
    if found.is_empty() {
        let side = |side: usize| phases(recordings.iter().map(|r| &r[side])).join(", ");
        let name = |side: usize| recordings.first().map_or_else(String::new, |r| r[side].name.clone());
        return Err(DiffError::NothingInCommon { before: name(0), after: name(1), has: side(0), other: side(1) });
    }
    Ok(Diff { shape: shape::differences(recordings, &all), phases: found, warnings })
}

/// The rows that any of the recordings has, table by table.
fn tables(recordings: &[[Recorded; 2]]) -> Vec<Rows> {
    let groups = recordings.iter().flatten().map(|r| r.groups.len()).min().unwrap_or(0);
    let mut all = Vec::new();
    for i in 0..groups {
        let mut seen = BTreeSet::new();
        let mut rows = Vec::new();
        for (key, cells) in recordings.iter().flatten().flat_map(|r| &r.groups[i].rows) {
            if seen.insert(key.clone()) {
                rows.push(cells.keys.clone());
            }
        }
        let first = recordings.iter().flatten().find_map(|r| r.groups.get(i));
        all.extend(first.map(|g| Rows { keys: g.keys.clone(), rows }));
    }
    all
}

/// What is to be known of the recordings themselves.
fn warnings(recordings: &[[Recorded; 2]], lacks: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for r in recordings.iter().flatten() {
        if let Some(damage) = &r.damage {
            all.push(format!("{}: {damage}; what is before is compared", r.name));
        }
        if !r.lost.is_empty() {
            let lost = r.lost.iter().map(|(cause, n)| format!("{cause} {n}")).collect::<Vec<_>>().join(", ");
            let rest = match r.shapes {
                Some(_) => format!("{} of {} steps are left out, which may lack some of it", r.left_out, r.steps.len()),
                None => "times may be too short".to_owned(),
            };
            all.push(format!("{}: something was lost when it was recorded ({lost}): {rest}", r.name));
        }
    }
    if !lacks.is_empty() {
        let lacks = lacks.join(", ");
        all.push(format!("not recorded, so not compared: {lacks}; compare.pi has it"));
    }
    all
}

/// What is to be known of how steps were put together.
fn mismatch(phase: &str, pairs: &Pairs) -> Option<String> {
    let span = |spans: [Option<(i64, i64)>; 2]| {
        let text = |s: Option<(i64, i64)>| match s {
            Some((from, to)) if from == to => from.to_string(),
            Some((from, to)) => format!("{from} to {to}"),
            None => "unknown".to_owned(),
        };
        format!("{} against {}", text(spans[0]), text(spans[1]))
    };
    match pairs.matched {
        Matched::Position => None,
        Matched::Tokens if pairs.positions.contains(&None) => None,
        Matched::Tokens => Some(format!(
            "{phase}: steps are at other positions ({}): a longer context is slower whatever else changed",
            span(pairs.positions)
        )),
        Matched::Order => Some(format!(
            "{phase}: steps have other numbers of tokens ({}), so times are those of a token: more at once are faster each",
            span(pairs.tokens)
        )),
    }
}
