//! Slices and gauges as a trace. What is written when is decided here, once for all formats:
//!
//! | file | what it holds |
//! | --- | --- |
//! | `tracks` | the tracks there are, and which of them a slice lies on |
//! | `lanes` | whether a slice nests with those that a track has already |
//! | `perfetto`, `proto` | Perfetto's own format, and its messages as far as they are used |
//! | `chrome` | Chrome's format, in JSON |
//!
//! Slices come in the order in which their events ended, so inner ones come before outer ones, and nothing has to be kept until
//! its turn. Those of one moment are put in order before they are written: of slices that begin together the longer one first.

pub(super) mod chrome;
mod lanes;
pub(super) mod perfetto;
mod proto;
#[cfg(test)]
mod tests;
mod tracks;

use std::io;

use self::tracks::{Head, Tracks};
use super::{Renderer, print};
use crate::record::{Begin, Gauge, Part, Piece, Record, Slice};

/// Slices of one moment that are put in order; what is beyond is written before.
const MOST_HELD: usize = 65_536;

/// A format of traces.
pub(super) trait Format {
    /// The trace begins.
    fn begin(&mut self, begin: &Begin, out: &mut Vec<u8>) -> io::Result<()>;

    /// A track that is named from here on.
    fn track(&mut self, track: usize, head: &Head<'_>, out: &mut Vec<u8>) -> io::Result<()>;

    /// Slices of one track that nest, outer ones first.
    fn slices(&mut self, track: usize, slices: &[&Slice], out: &mut Vec<u8>) -> io::Result<()>;

    /// A value of a gauge, which is a track.
    fn value(&mut self, track: usize, gauge: &Gauge, out: &mut Vec<u8>) -> io::Result<()>;

    /// The trace ends.
    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

/// Writes a trace as its records come.
pub(super) struct Timeline<F> {
    format: F,
    tracks: Tracks,
    /// Slices whose events ended at one moment.
    held: Vec<Slice>,
}

impl<F: Format> Timeline<F> {
    pub(super) fn new(format: F) -> Self {
        Self { format, tracks: Tracks::default(), held: Vec::new() }
    }

    /// Writes the slices of one moment, track by track.
    fn write_held(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let Self { format, tracks, .. } = self;
        let placed = tracks.place(&held, &mut |track, head| format.track(track, head, out))?;
        for (track, mut slices) in placed {
            // Those that begin and end together stay in the order of the script.
            slices.sort_by_key(|s| (s.begin_ns, std::cmp::Reverse(s.end_ns)));
            self.format.slices(track, &slices, out)?;
        }
        Ok(())
    }
}

impl<F: Format> Renderer for Timeline<F> {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        match record {
            Record::Begin(begin) => self.format.begin(begin, &mut bytes)?,
            Record::Slice(slice) => {
                let is_of_moment = self.held.first().is_none_or(|s| s.at_ns == slice.at_ns);
                if !is_of_moment || self.held.len() >= MOST_HELD {
                    self.write_held(&mut bytes)?;
                }
                self.held.push(slice.clone());
                // What took no time would lie behind the slice as well as in it.
                let parts = slice.parts.iter().filter(|piece| piece.begin_ns < piece.end_ns);
                self.held.extend(parts.map(|piece| part(slice, piece)));
            }
            Record::Gauge(gauge) => {
                self.write_held(&mut bytes)?;
                let format = &mut self.format;
                let track = self.tracks.of_gauge(gauge, &mut |track, head| format.track(track, head, &mut bytes))?;
                self.format.value(track, gauge, &mut bytes)?;
            }
            Record::End(_) => {
                self.write_held(&mut bytes)?;
                self.format.end(&mut bytes)?;
            }
            Record::Table(_) | Record::Print(_) | Record::Node(_) | Record::Message(_) => {}
        }
        if bytes.is_empty() { Ok(()) } else { out.write_all(&bytes) }
    }
}

/// A part of a slice as a slice of its own, which lies inside of it.
fn part(slice: &Slice, piece: &Piece) -> Slice {
    Slice {
        begin_ns: piece.begin_ns,
        end_ns: piece.end_ns,
        label: vec![Part::Text(piece.label.clone())],
        details: Vec::new(),
        parts: Vec::new(),
        own: None,
        within: None,
        ..slice.clone()
    }
}

/// What stands on a slice.
fn label(slice: &Slice) -> String {
    print::text(&slice.label)
}
