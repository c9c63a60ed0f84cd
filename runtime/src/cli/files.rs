//! The files behind `to`: tables that go into the output folder and not into the output of the run.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use profinfer_compiler::plan::{Action, Plan};

use super::{exit, fail};
use crate::folder::{Folder, FolderError};
use crate::record::{Level, Message, Record, Table};
use crate::session::run::Sink;
use crate::view::{self, Format, Options};

/// Takes tables with a file of their own out of the stream, and passes the rest on.
pub(super) struct Files<S> {
    rest: S,
    /// None if no table has a file.
    folder: Option<Folder>,
    /// Those that were said to be written.
    said: HashSet<String>,
}

impl<S: Sink> Files<S> {
    /// Opens the output folder if a script needs it; the exit code if it cannot be used.
    pub(super) fn new(rest: S, plan: &Plan, folder: &Path) -> Result<Self, u8> {
        let needed = plan.actions().any(|a| matches!(a, Action::Show(s) if s.to.is_some()));
        let folder = needed.then(|| Folder::open(folder)).transpose().map_err(|e| fail(exit::USAGE, e))?;
        Ok(Self { rest, folder, said: HashSet::new() })
    }
}

impl<S: Sink> Sink for Files<S> {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let (Record::Table(table), Some(folder)) = (record, &self.folder) else { return self.rest.record(record) };
        let Some(file) = &table.to else { return self.rest.record(record) };
        folder.replace(file, &rendered(table, file)?).map_err(io::Error::other)?;
        if self.said.insert(file.clone()) {
            let text = format!("{} is in {file}", table.name);
            self.rest.record(&Record::Message(Message { level: Level::Info, kind: "written", text }))?;
        }
        Ok(())
    }

    fn resized(&mut self) {
        self.rest.resized();
    }

    fn ending(&mut self) {
        self.rest.ending();
    }
}

/// The table in the format that the file's name tells.
fn rendered(table: &Table, file: &str) -> io::Result<Vec<u8>> {
    if file.ends_with(".parquet") {
        return view::parquet(table);
    }
    let ends = [
        (".html", Format::Html),
        (".csv", Format::Csv),
        (".json", Format::Json),
        (".svg", Format::Flame),
        (".folded", Format::Folded),
        (".pb.gz", Format::Pprof),
    ];
    // The compiler lets no other end through than these and `.txt`.
    let format = ends.iter().find(|(end, _)| file.ends_with(end)).map_or(Format::Table, |(_, format)| *format);
    let options = Options { color: false, width: 0, height: 0, live: false };
    let mut bytes = Vec::new();
    view::renderer(format, options).record(&Record::Table(table.clone()), &mut bytes)?;
    Ok(bytes)
}

/// What went wrong with a file behind `to`, if it is that.
pub(super) fn fault(error: &io::Error) -> Option<&FolderError> {
    error.get_ref()?.downcast_ref()
}
