//! The one table of an output that can hold no other: a flame graph, collapsed stacks, a profile.

use profinfer_compiler::flame::{self, NoFlame};
use profinfer_compiler::plan::{Action, Plan, Show, View};

use super::args::Format;
use super::say;

/// Why there is no such table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChosenError {
    #[error("the format {format} takes a table, and this script has none for the output")]
    None { format: &'static str },
    #[error("the format {format} takes one table, and this script has {tables}: say which by `show {first} as flame`")]
    Several { format: &'static str, tables: String, first: String },
    #[error("nothing for the format {format}: {why}; {}", why.help())]
    Unsuited { format: &'static str, why: NoFlame },
}

/// The name of the table that goes into the output; none where the format takes all.
///
/// It is the one that the script shows `as flame`, else the only one that it has for the output.
pub(super) fn chosen(format: Format, plan: &Plan, quiet: bool) -> Result<Option<String>, ChosenError> {
    if !format.is_flame() {
        return Ok(None);
    }
    let format = format.name();
    let shows: Vec<&Show> =
        plan.actions().filter_map(|a| if let Action::Show(s) = a { Some(s) } else { None }).collect();
    let out = || shows.iter().filter(|s| s.to.is_none());
    let flames: Vec<usize> = once(out().filter(|s| s.view == View::Flame).map(|s| s.table));
    let unshown = plan.shown_tables().filter(|t| !plan.shows(*t));
    let all: Vec<usize> = once(out().map(|s| s.table).chain(unshown));
    let table = match (&flames[..], &all[..]) {
        ([table], _) | ([], [table]) => *table,
        ([], []) => return Err(ChosenError::None { format }),
        (several, _) => {
            let several = if several.is_empty() { &all } else { &flames };
            let names: Vec<&str> = several.iter().map(|t| plan.tables[*t].name.as_str()).collect();
            return Err(ChosenError::Several { format, tables: names.join(", "), first: names[0].to_owned() });
        }
    };
    flame::suits(&plan.tables[table]).map_err(|why| ChosenError::Unsuited { format, why })?;
    let name = &plan.tables[table].name;
    let others: Vec<&str> = all.iter().filter(|t| **t != table).map(|t| plan.tables[*t].name.as_str()).collect();
    if !others.is_empty() && !quiet {
        say::err(&format!("profinfer: the output is of {name} alone, and not of {}\n", others.join(", ")));
    }
    Ok(Some(name.clone()))
}

/// Each of them once, in their order.
fn once(tables: impl Iterator<Item = usize>) -> Vec<usize> {
    let all: indexmap::IndexSet<usize> = tables.collect();
    all.into_iter().collect()
}
