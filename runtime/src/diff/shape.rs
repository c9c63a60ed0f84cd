//! What differs whatever the clock says: builds, operators of a step, types, threads. It needs no statistics.

use std::collections::BTreeSet;

use super::ask::Recorded;
use super::effect::median;

/// Something that is another on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// As it was before; none if there was none.
    pub before: Option<String>,
    /// As it is after.
    pub after: Option<String>,
}

/// All that differs between the two sides, the builds first.
pub(super) fn differences(recordings: &[[Recorded; 2]], phases: &[String]) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut put = |what: String, [before, after]: [Option<String>; 2]| {
        if before != after {
            all.push(Difference { what, before, after });
        }
    };
    put("engine".to_owned(), sides(recordings, engines));
    put("build".to_owned(), sides(recordings, builds));
    put("kernel".to_owned(), sides(recordings, |r| [r.kernel.clone()].into()));
    put("profinfer".to_owned(), sides(recordings, |r| [r.version.clone()].into()));
    let is_there = |phase: &str, side: usize| {
        recordings.iter().any(|r| r[side].steps.iter().any(|s| s.phase == *phase && s.is_whole))
    };
    let mut shared = Vec::new();
    for phase in phases {
        match [0, 1].map(|side| is_there(phase, side)) {
            [true, true] => shared.push(phase),
            there => put(format!("{phase} steps"), there.map(|t| t.then(|| "some".to_owned()))),
        }
    }
    let of_phases: Vec<Vec<Difference>> = shared.iter().map(|phase| of_phase(recordings, phase)).collect();
    for (phase, of_phase) in shared.iter().zip(&of_phases) {
        for difference in of_phase {
            // What all have in common is said once.
            if !of_phases.iter().all(|others| others.contains(difference)) {
                let what = format!("{phase}: {}", difference.what);
                all.push(Difference { what, ..difference.clone() });
            } else if !all.contains(difference) {
                all.push(difference.clone());
            }
        }
    }
    all
}

/// Threads, and operators with their counts.
fn of_phase(recordings: &[[Recorded; 2]], phase: &str) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut put = |what: String, [before, after]: [Option<String>; 2]| {
        if before != after {
            all.push(Difference { what, before, after });
        }
    };
    let threads = [0, 1].map(|side| {
        let all: BTreeSet<String> = recordings.iter().flat_map(|r| threads(&r[side], phase)).collect();
        (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join(", "))
    });
    put("threads".to_owned(), threads);
    let keys: BTreeSet<&String> =
        recordings.iter().flatten().filter_map(|r| r.shapes.as_ref()).flat_map(|g| g.rows.keys()).collect();
    for key in keys {
        let name = recordings.iter().flatten().find_map(|r| Some(named(&r.shapes.as_ref()?.rows.get(key)?.keys)));
        let count = |side: usize| {
            let of = |r: &Recorded| usual_count(r, key, phase);
            let counts: BTreeSet<u64> = recordings.iter().filter_map(|r| of(&r[side])).collect();
            let text = counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            (!counts.is_empty()).then_some(text)
        };
        put(name.unwrap_or_default(), [count(0), count(1)]);
    }
    all
}

/// How many threads share operators in steps of a phase.
fn threads(recorded: &Recorded, phase: &str) -> BTreeSet<String> {
    let is_of = |step: &usize| recorded.steps.get(*step).is_some_and(|s| s.phase == phase);
    let rows = recorded.threads.iter().flat_map(|g| g.rows.values());
    rows.filter(|row| row.of.keys().any(is_of)).map(|row| named(&row.keys)).collect()
}

/// How often there is such an operator in most steps of a phase; none if there is none.
fn usual_count(recorded: &Recorded, key: &str, phase: &str) -> Option<u64> {
    let row = recorded.shapes.as_ref()?.rows.get(key)?;
    let steps = recorded.steps.iter().enumerate().filter(|(_, s)| s.phase == phase && s.is_whole);
    let counts: Vec<f64> = steps.map(|(i, _)| row.of.get(&i).map_or(0.0, |(_, n)| *n)).collect();
    let usual = median(&counts);
    (usual > 0.0).then_some(usual as u64)
}

fn named(keys: &[crate::record::Value]) -> String {
    let quantity = crate::record::Quantity::Text;
    keys.iter().map(|k| crate::view::shown(k, quantity)).collect::<Vec<_>>().join(" ")
}

fn sides(recordings: &[[Recorded; 2]], of: fn(&Recorded) -> BTreeSet<String>) -> [Option<String>; 2] {
    [0, 1].map(|side| {
        let all: BTreeSet<String> = recordings.iter().flat_map(|r| of(&r[side])).filter(|t| !t.is_empty()).collect();
        (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join(", "))
    })
}

/// The names of the files that were probed.
fn engines(recorded: &Recorded) -> BTreeSet<String> {
    let files = recorded.processes.iter().flat_map(|p| &p.files);
    files.map(|(path, ..)| path.rsplit('/').next().unwrap_or(path).to_owned()).collect()
}

/// Their build ids, as far as one tells them apart.
fn builds(recorded: &Recorded) -> BTreeSet<String> {
    const ENOUGH: usize = 12;
    let files = recorded.processes.iter().flat_map(|p| &p.files);
    files.map(|(_, id, _)| id.chars().take(ENOUGH).collect()).collect()
}
