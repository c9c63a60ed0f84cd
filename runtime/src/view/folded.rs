//! Collapsed stacks, as tools for flame graphs read them: a line `outer;inner;innermost 1234` for each stack.

use std::fmt::Write as _;
use std::io;

use super::stacks::Stacks;
use super::{Renderer, emit};
use crate::record::{Record, Table};

/// The lines of each table; nothing else has a place among them.
pub(super) struct Folded;

impl Renderer for Folded {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => emit(out, lines(table)?.as_bytes()),
            _ => Ok(()),
        }
    }
}

fn lines(table: &Table) -> io::Result<String> {
    let stacks = Stacks::of(table).map_err(io::Error::other)?;
    let mut text = String::new();
    for (frames, width) in &stacks.all {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} {width}", frames.join(";"));
    }
    Ok(text)
}
