//! Parquet files, written row group by row group; `docs/parquet.md` is their contract.
//!
//! `cells` is what stands in a column. A sheet does no IO: its bytes go where the caller says, as they come to be.

mod cells;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

pub(crate) use self::cells::{Cell, Cells, Kind};

/// The key of what is known of a whole file, as JSON.
pub(crate) const ABOUT: &str = "profinfer";
/// The version of the contract, as in `docs/parquet.md`.
pub(crate) const VERSION: u32 = 1;
/// Rows that are gathered before they are encoded.
const BATCH: usize = 8192;
/// Encoded bytes of a row group at most: with what is gathered, all that is kept of a file in memory.
const GROUP_BYTES: usize = 16 << 20;

/// The head of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// Its name.
    pub(crate) name: String,
    /// What its cells are.
    pub(crate) kind: Kind,
    /// Their unit, if they have one.
    pub(crate) unit: Option<&'static str>,
    /// It is never absent.
    pub(crate) required: bool,
}

impl Head {
    /// A column whose cells may be absent.
    pub(crate) fn new(name: &str, kind: Kind, unit: Option<&'static str>) -> Self {
        Self { name: name.to_owned(), kind, unit, required: false }
    }

    /// A column without absent cells.
    pub(crate) fn required(name: &str, kind: Kind, unit: Option<&'static str>) -> Self {
        Self { required: true, ..Self::new(name, kind, unit) }
    }

    fn field(&self) -> Field {
        let unit = self.unit.map(|unit| ("unit".to_owned(), unit.to_owned()));
        Field::new(&self.name, self.kind.data_type(), !self.required)
            .with_metadata(unit.into_iter().collect::<HashMap<_, _>>())
    }
}

/// A file that is being written.
pub(crate) struct Sheet {
    schema: SchemaRef,
    /// What was gathered, column by column.
    cells: Vec<Cells>,
    rows: usize,
    writer: ArrowWriter<Vec<u8>>,
}

impl Sheet {
    /// With these columns.
    ///
    /// # Errors
    /// The columns are none that a file can have.
    pub(crate) fn new(heads: &[Head]) -> io::Result<Self> {
        let schema = Arc::new(Schema::new(heads.iter().map(Head::field).collect::<Vec<_>>()));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("profinfer ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_bytes(Some(GROUP_BYTES));
        for head in heads {
            let path = || ColumnPath::new(vec![head.name.clone()]);
            // Numbers that are too many for a dictionary lie as differences to the one before.
            if head.kind.is_whole() {
                properties = properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
            // Times: no two are the same.
            if head.required && head.kind.is_whole() && head.unit == Some("ns") {
                properties = properties.set_column_dictionary_enabled(path(), false);
            }
        }
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties.build())).map_err(fault)?;
        Ok(Self { schema, cells: heads.iter().map(|h| Cells::new(h.kind)).collect(), rows: 0, writer })
    }

    /// Adds a row: a cell for each column.
    ///
    /// # Errors
    /// A cell is none of its column, or `out` fails.
    pub(crate) fn row<'c>(&mut self, row: impl IntoIterator<Item = Cell<'c>>, out: &mut dyn Write) -> io::Result<()> {
        let mut row = row.into_iter();
        for (i, cells) in self.cells.iter_mut().enumerate() {
            let cell = row.next().unwrap_or(Cell::Absent);
            cells.put(cell).map_err(|misfit| {
                let name = self.schema.field(i).name();
                io::Error::new(io::ErrorKind::InvalidData, format!("column {name:?}: {misfit}"))
            })?;
        }
        self.rows += 1;
        if self.rows == BATCH { self.encode(out) } else { Ok(()) }
    }

    /// Encodes what was gathered.
    fn encode(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.rows = 0;
        let columns = self.cells.iter_mut().map(Cells::take).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(fault)?;
        self.drain(out)
    }

    /// Passes on what is complete.
    fn drain(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.writer.sync()?;
        let bytes = self.writer.inner_mut();
        out.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }

    /// The rest, with what is known of the file.
    ///
    /// # Errors
    /// `out` fails.
    pub(crate) fn finish(mut self, about: &serde_json::Value, out: &mut dyn Write) -> io::Result<()> {
        if self.rows > 0 {
            self.encode(out)?;
        }
        self.writer.append_key_value_metadata(KeyValue::new(ABOUT.to_owned(), about.to_string()));
        let rest = self.writer.into_inner().map_err(fault)?;
        out.write_all(&rest)?;
        out.flush()
    }
}

fn fault(e: ParquetError) -> io::Error {
    match e {
        ParquetError::External(e) => match e.downcast::<io::Error>() {
            Ok(e) => *e,
            Err(e) => io::Error::other(e),
        },
        e => io::Error::other(e),
    }
}

/// Names of which none stands there twice: one that does gets `_2`, `_3` … behind it.
pub(crate) fn unique<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let one = |name: &str| {
        let mut numbered = std::iter::once(name.to_owned()).chain((2u32..).map(|n| format!("{name}_{n}")));
        let name = numbered.find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    names.into_iter().map(one).collect()
}

/// Names of files for these names, of which none is there twice: letters, digits, `.` and `-`, all else as `_`.
pub(crate) fn file_names(names: &[&str]) -> Vec<String> {
    let plain: Vec<String> = names.iter().map(|name| file_name(name)).collect();
    // File systems may not tell capitals from small letters.
    let mut taken = HashSet::new();
    let one = |name: &String| {
        let mut numbered = std::iter::once(name.clone()).chain((2u32..).map(|n| format!("{name}_{n}")));
        numbered.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
    };
    plain.iter().map(one).collect()
}

fn file_name(name: &str) -> String {
    /// Bytes at most, so that there is room for numbers and ends.
    const LONGEST: usize = 200;
    let mut plain = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => plain.push(c),
            _ if plain.ends_with('_') => {}
            _ => plain.push('_'),
        }
    }
    plain.truncate(LONGEST);
    let plain = plain.trim_end_matches('_').trim_start_matches('.');
    if plain.is_empty() { "_".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests;
