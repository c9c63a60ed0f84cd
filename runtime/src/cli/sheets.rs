//! Parquet output: a file holds one table, so there is one for each table and each `print`.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use profinfer_compiler::plan::{Action, Each, Plan, Show, View};

use super::args::{Color, Format};
use super::destination::{Destination, DestinationError};
use super::output::Said;
use crate::ceilings::Ceilings;
use crate::record::{Print, Record};
use crate::session::numbers;
use crate::session::rows::Rows;
use crate::session::run::{Sink, table_record};
use crate::sheet::file_names;
use crate::view::{Parquet, Renderer};

/// A run's tables and prints, each in a file of its own.
pub(super) struct Sheets {
    all: Vec<Sheet>,
    said: Said,
}

struct Sheet {
    /// Whether it is of a `print`, and its name.
    of: (bool, String),
    view: Parquet,
    out: Destination,
}

impl Sheets {
    /// Opens the files of all that a plan shows.
    ///
    /// # Errors
    /// There is more than one table and only one file, or a file cannot be made.
    pub(super) fn new(plan: &Plan, to: Option<&Path>, color: Color, quiet: bool) -> Result<Self, DestinationError> {
        let heads = shown_by(plan);
        let names: Vec<&str> = heads.iter().map(|head| named(head).map_or("", |(_, name)| name)).collect();
        let files = files(&names, to, "the script shows")?;
        let sheet = |(head, file): (&Record, &Option<PathBuf>)| {
            let out = Destination::open(Format::Parquet, file.as_deref())?;
            let failed = |source| DestinationError::Make { path: file.clone().unwrap_or_default(), source };
            let of = named(head).map(|(is_print, name)| (is_print, name.to_owned())).unwrap_or_default();
            Ok(Sheet { of, view: Parquet::like(head).map_err(failed)?, out })
        };
        let all = heads.iter().zip(&files).map(sheet).collect::<Result<_, DestinationError>>()?;
        Ok(Self { all, said: Said::new(color, quiet) })
    }
}

impl Sink for Sheets {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.said.record(record)?;
        let of = named(record);
        let meant =
            self.all.iter_mut().filter(|sheet| of.is_none_or(|(p, name)| sheet.of.0 == p && sheet.of.1 == name));
        for sheet in meant {
            sheet.view.record(record, &mut sheet.out)?;
            if matches!(record, Record::End(_)) {
                sheet.out.finish()?;
            }
        }
        Ok(())
    }
}

/// Whose rows a record has: whether it is a print, and its name.
fn named(record: &Record) -> Option<(bool, &str)> {
    match record {
        Record::Table(table) => Some((false, &table.name)),
        Record::Print(print) => Some((true, &print.name)),
        Record::Message(_) | Record::End(_) => None,
    }
}

/// What a plan shows in the output of the run, each once: tables without rows, events of which nothing is there.
fn shown_by(plan: &Plan) -> Vec<Record> {
    let is_in_output = |t: usize| {
        !plan.shows(t) || plan.actions().any(|a| matches!(a, Action::Show(s) if s.table == t && s.to.is_none()))
    };
    let tables = plan.shown_tables().filter(|t| is_in_output(*t)).map(|table| {
        let show = Show { table, view: View::Table, top: None, sort: None, to: None };
        let none: Vec<Rows> = plan.groups(table).map(|_| Rows::new()).collect();
        Record::Table(table_record(plan, &show, &none, (0, 0), &Ceilings::default(), Default::default()))
    });
    let prints = plan.tables.iter().filter_map(|table| match &table.each {
        Some(Each::Print(parts)) => Some(Record::Print(Print {
            name: table.name.clone(),
            point: plan.points[table.point].name.clone(),
            at_ns: 0,
            parts: numbers::parts(parts, &table.keys, &[]),
        })),
        _ => None,
    });
    let mut seen = HashSet::new();
    let all = tables.chain(prints);
    all.filter(|head| named(head).is_some_and(|(is_print, name)| seen.insert((is_print, name.to_owned())))).collect()
}

/// Where each of these goes: into one file if there is one only, or into a folder, which is made if its name ends in `/`.
pub(super) fn files(names: &[&str], to: Option<&Path>, has: &str) -> Result<Vec<Option<PathBuf>>, DestinationError> {
    let folder = to.filter(|to| to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/"));
    if let Some(folder) = folder {
        if !folder.is_dir() {
            std::fs::create_dir(folder).map_err(|source| DestinationError::Make { path: folder.to_owned(), source })?;
        }
        return Ok(file_names(names).iter().map(|name| Some(folder.join(format!("{name}.parquet")))).collect());
    }
    match names {
        [] => Err(DestinationError::Nothing),
        [_] => Ok(vec![to.map(Path::to_owned)]),
        several => Err(DestinationError::Several { has: has.to_owned(), n: several.len(), names: several.join(", ") }),
    }
}
