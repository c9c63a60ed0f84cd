//! Profiles as pprof reads them: <https://github.com/google/pprof/blob/main/proto/profile.proto>, packed with gzip.
//!
//! A frame is a function at a location of its own; addresses and mappings there are none.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use indexmap::IndexSet;
use prost::Message as _;

use super::stacks::Stacks;
use super::{Renderer, emit};
use crate::record::{Quantity, Record, Table};

/// `perftools.profiles.Profile`.
#[derive(prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
}

/// What a value is: numbers of texts.
#[derive(prost::Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

/// A stack, innermost frame first, and its value of each type.
#[derive(prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
}

/// A profile for each table.
pub(super) struct Pprof;

impl Renderer for Pprof {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => {
                let profile = profile(table)?.encode_to_vec();
                // No time and no name of a file: the same profile is the same bytes.
                let mut packed = GzBuilder::new().write(Vec::new(), Compression::default());
                packed.write_all(&profile)?;
                emit(out, &packed.finish()?)
            }
            _ => Ok(()),
        }
    }
}

/// Texts by their numbers. The first one is empty.
struct Texts(IndexSet<String>);

impl Texts {
    fn number(&mut self, text: &str) -> i64 {
        self.0.insert_full(text.to_owned()).0 as i64
    }
}

fn profile(table: &Table) -> io::Result<Profile> {
    let stacks = Stacks::of(table).map_err(io::Error::other)?;
    let mut texts = Texts(IndexSet::from([String::new()]));
    let unit = match stacks.column.quantity {
        Quantity::Duration => "nanoseconds",
        Quantity::Bytes => "bytes",
        _ => "count",
    };
    let sample_type = ValueType { r#type: texts.number(&stacks.column.name), unit: texts.number(unit) };
    let comment = texts.number(&format!("profinfer: {}", super::escape::escape(&table.name)));
    // A function's number, and its location's, is one more than its place here: 0 is none.
    let mut functions: IndexSet<i64> = IndexSet::new();
    let sample = |(frames, width): &(Vec<String>, u64)| {
        let ids = frames.iter().rev().map(|name| functions.insert_full(texts.number(name)).0 as u64 + 1);
        Sample { location_id: ids.collect(), value: vec![width.cast_signed()] }
    };
    let sample = stacks.all.iter().map(sample).collect();
    let ids = || (1..).zip(&functions);
    Ok(Profile {
        sample_type: vec![sample_type],
        sample,
        location: ids().map(|(id, _)| Location { id, line: vec![Line { function_id: id }] }).collect(),
        function: ids().map(|(id, name)| Function { id, name: *name, system_name: *name }).collect(),
        string_table: texts.0.into_iter().collect(),
        duration_nanos: i64::try_from(table.at_ns).unwrap_or(i64::MAX),
        comment: vec![comment],
    })
}
