//! The tracks of a trace: each is told before something lies on it.

use std::collections::HashMap;
use std::io;

use indexmap::IndexMap;

use super::lanes::Lane;
use crate::record::{Gauge, Process, Quantity, Slice};
use crate::view::print;

/// Tracks that scripts may name; what comes on others lies on one together.
const MOST: usize = 10_000;
/// What that one is called.
const OTHERS: &str = "other tracks";

/// What a track is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Process(u32),
    Thread(u32, i64),
    Named(u32, String),
    Gauge(u32, String, String),
    /// A further one of a track, for what does not nest there, by its number from 2.
    Further(usize, u32),
}

/// What is told of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::view) struct Head<'a> {
    /// The process.
    pub(super) process: &'a Process,
    /// The track above it; none of a process.
    pub(super) parent: Option<usize>,
    /// What kind of track it is.
    pub(super) kind: Kind<'a>,
}

/// The kinds of tracks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::view) enum Kind<'a> {
    /// All of a process.
    Process,
    /// A thread, with its name where that is known.
    Thread(i64, Option<&'a str>),
    /// One that the script names.
    Named(&'a str),
    /// A gauge.
    Gauge(&'a str, Quantity),
}

/// Tells a track.
pub(super) type Tell<'t> = dyn FnMut(usize, &Head<'_>) -> io::Result<()> + 't;

/// All tracks so far, by number.
#[derive(Default)]
pub(super) struct Tracks {
    known: IndexMap<Key, Lane>,
    named: usize,
    turn: u64,
}

impl Tracks {
    /// Puts the slices of one moment on tracks on which they nest.
    pub(super) fn place<'s>(
        &mut self,
        slices: &'s [Slice],
        tell: &mut Tell<'_>,
    ) -> io::Result<IndexMap<usize, Vec<&'s Slice>>> {
        self.turn += 1;
        // Those of one thread for one track stay together: they are parts of each other.
        let mut together: IndexMap<(usize, i64), Vec<&Slice>> = IndexMap::new();
        for slice in slices {
            together.entry((self.of_slice(slice, tell)?, slice.tid)).or_default().push(slice);
        }
        let mut placed: IndexMap<usize, Vec<&Slice>> = IndexMap::new();
        let mut next: HashMap<usize, u32> = HashMap::new();
        for ((track, _), slices) in together {
            let mut inner_first: Vec<(i64, i64)> = slices.iter().map(|s| (s.begin_ns, s.end_ns)).collect();
            inner_first.sort_by_key(|(begin, end)| (std::cmp::Reverse(*begin), *end));
            let mut at = track;
            let number = next.entry(track).or_insert(1);
            *number = 1;
            while !self.known[at].take(&inner_first, self.turn) {
                *number += 1;
                at = self.further(track, *number, slices[0], tell)?;
            }
            placed.entry(at).or_default().extend(slices);
        }
        Ok(placed)
    }

    /// The track of a gauge.
    pub(super) fn of_gauge(&mut self, gauge: &Gauge, tell: &mut Tell<'_>) -> io::Result<usize> {
        let label = print::text(&gauge.label);
        let process = &gauge.process;
        let mut parent = self.process(process, tell)?;
        let under = print::text(&gauge.track);
        if !gauge.track.is_empty() {
            parent = self.named(process, parent, &under, tell)?;
        }
        let key = Key::Gauge(process.pid, under, label.clone());
        let label = if self.has_room(&key) { label } else { OTHERS.to_owned() };
        let key = if let Key::Gauge(pid, under, _) = key { Key::Gauge(pid, under, label.clone()) } else { key };
        self.named += usize::from(!self.known.contains_key(&key));
        let kind = Kind::Gauge(&label, gauge.quantity);
        self.track(key, Head { process, parent: Some(parent), kind }, tell)
    }

    fn of_slice(&mut self, slice: &Slice, tell: &mut Tell<'_>) -> io::Result<usize> {
        let process = &slice.process;
        let parent = self.process(process, tell)?;
        if slice.track.is_empty() {
            let kind = Kind::Thread(slice.tid, slice.thread.as_deref());
            let head = Head { process, parent: Some(parent), kind };
            return self.track(Key::Thread(process.pid, slice.tid), head, tell);
        }
        self.named(process, parent, &print::text(&slice.track), tell)
    }

    fn process(&mut self, process: &Process, tell: &mut Tell<'_>) -> io::Result<usize> {
        self.track(Key::Process(process.pid), Head { process, parent: None, kind: Kind::Process }, tell)
    }

    fn named(&mut self, process: &Process, parent: usize, name: &str, tell: &mut Tell<'_>) -> io::Result<usize> {
        let key = Key::Named(process.pid, name.to_owned());
        let name = if self.has_room(&key) { name } else { OTHERS };
        let key = Key::Named(process.pid, name.to_owned());
        self.named += usize::from(!self.known.contains_key(&key));
        self.track(key, Head { process, parent: Some(parent), kind: Kind::Named(name) }, tell)
    }

    fn has_room(&self, key: &Key) -> bool {
        self.named < MOST || self.known.contains_key(key)
    }

    /// A further track for what does not nest on `track`.
    fn further(&mut self, track: usize, number: u32, slice: &Slice, tell: &mut Tell<'_>) -> io::Result<usize> {
        let process = &slice.process;
        let named = match self.known.get_index(track) {
            Some((Key::Named(_, name), _)) => Some(format!("{name} ({number})")),
            _ => None,
        };
        let (parent, name) = match named {
            Some(name) => (self.process(process, tell)?, name),
            None => (track, format!("({number})")),
        };
        let head = Head { process, parent: Some(parent), kind: Kind::Named(&name) };
        self.track(Key::Further(track, number), head, tell)
    }

    /// The number of a track, which is told if it is new.
    fn track(&mut self, key: Key, head: Head<'_>, tell: &mut Tell<'_>) -> io::Result<usize> {
        if let Some(at) = self.known.get_index_of(&key) {
            return Ok(at);
        }
        let (at, _) = self.known.insert_full(key, Lane::default());
        tell(at, &head)?;
        Ok(at)
    }
}
