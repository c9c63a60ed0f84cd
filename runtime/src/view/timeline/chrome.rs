//! Chrome's format: a JSON object whose events stand a line each. Times are microseconds since counting began.

use std::collections::HashMap;
use std::io;

use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::tracks::{Head, Kind};
use super::{Format, label};
use crate::record::{Begin, Gauge, Slice, Value};
use crate::view::json::{Cell, Details, to_json};
use crate::view::print;

/// The thread numbers of tracks that are none: above all that the kernel gives.
const FIRST_NAMED: i64 = 1 << 30;
/// Slices that wait for the one that they belong to.
const MOST_WAITING: usize = 262_144;
/// What the arrows between slices are called.
const FLOW: &str = "within";

/// The writer.
#[derive(Default)]
pub(in crate::view) struct Chrome {
    /// Process, thread and name by the number of a track.
    tracks: HashMap<usize, Place>,
    /// Where slices are that belong to another one, by that one.
    waiting: IndexMap<u64, Vec<Spot>>,
    number_waiting: usize,
    is_begun: bool,
    has_events: bool,
}

/// Where a track is.
#[derive(Debug, Clone, Default)]
struct Place {
    pid: u32,
    tid: i64,
    /// What gauges under it, or it as a gauge, are called.
    name: String,
}

/// The beginning of a slice.
#[derive(Debug, Clone, Copy)]
struct Spot {
    pid: u32,
    tid: i64,
    ns: i64,
}

impl Chrome {
    /// What stands before all events.
    fn head(&mut self, begin: &Begin, out: &mut Vec<u8>) -> io::Result<()> {
        #[derive(serde::Serialize)]
        struct Other {
            clock: &'static str,
            began_ns: u64,
            began_unix_ns: u64,
        }
        let other = Other { clock: "CLOCK_MONOTONIC", began_ns: begin.monotonic_ns, began_unix_ns: begin.unix_ns };
        out.extend(b"{\"displayTimeUnit\":\"ns\",\"otherData\":");
        out.extend(to_json(&other)?);
        out.extend(b",\"traceEvents\":[");
        self.is_begun = true;
        Ok(())
    }

    fn put(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.is_begun {
            self.head(&Begin::default(), out)?;
        }
        out.extend(if self.has_events { b",\n".as_slice() } else { b"\n" });
        self.has_events = true;
        out.extend(to_json(event)?);
        Ok(())
    }

    /// Arrows from a slice to those that belong to it, in the order of their beginnings.
    fn flow(&mut self, own: u64, at: Spot, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(mut inner) = self.waiting.shift_remove(&own) else { return Ok(()) };
        self.number_waiting -= inner.len();
        inner.sort_by_key(|spot| spot.ns);
        let last = inner.len();
        for (i, spot) in std::iter::once(at).chain(inner).enumerate() {
            let what = match i {
                0 => "s",
                _ if i == last => "f",
                _ => "t",
            };
            self.put(&Event { flow: Some(own), ..Event::of(what, spot.pid, spot.tid, spot.ns, FLOW) }, out)?;
        }
        Ok(())
    }

    /// A slice waits for the one that it belongs to. That of the oldest never comes if there are too many.
    fn wait(&mut self, within: u64, spot: Spot) {
        while self.number_waiting >= MOST_WAITING {
            let Some((_, gone)) = self.waiting.shift_remove_index(0) else { break };
            self.number_waiting -= gone.len();
        }
        self.waiting.entry(within).or_default().push(spot);
        self.number_waiting += 1;
    }
}

impl Format for Chrome {
    fn begin(&mut self, begin: &Begin, out: &mut Vec<u8>) -> io::Result<()> {
        self.head(begin, out)
    }

    fn track(&mut self, track: usize, head: &Head<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let pid = head.process.pid;
        let named = FIRST_NAMED + track as i64;
        let above = head.parent.and_then(|parent| self.tracks.get(&parent)).cloned().unwrap_or_default();
        let (tid, name, told) = match head.kind {
            Kind::Process => (i64::from(pid), String::new(), Some(("process_name", head.process.name.clone()))),
            Kind::Thread(tid, name) => (tid, String::new(), name.map(|name| ("thread_name", name.to_owned()))),
            Kind::Named(name) => (named, name.to_owned(), Some(("thread_name", name.to_owned()))),
            Kind::Gauge(name, _) if above.name.is_empty() => (above.tid, name.to_owned(), None),
            Kind::Gauge(name, _) => (above.tid, format!("{} {name}", above.name), None),
        };
        self.tracks.insert(track, Place { pid, tid, name });
        match told {
            Some((what, name)) => self.put(&Event { told: Some(&name), ..Event::of("M", pid, tid, 0, what) }, out),
            None => Ok(()),
        }
    }

    fn slices(&mut self, track: usize, slices: &[&Slice], out: &mut Vec<u8>) -> io::Result<()> {
        let Place { pid, tid, .. } = self.tracks.get(&track).cloned().unwrap_or_default();
        for slice in slices {
            let (label, details) = (label(slice), print::details(slice));
            let event = Event {
                category: Some(&slice.point),
                dur: Some(slice.end_ns - slice.begin_ns),
                details: Some(&details),
                ..Event::of("X", pid, tid, slice.begin_ns, &label)
            };
            self.put(&event, out)?;
            let spot = Spot { pid, tid, ns: slice.begin_ns };
            if let Some(own) = slice.own {
                self.flow(own, spot, out)?;
            }
            if let Some(within) = slice.within {
                self.wait(within, spot);
            }
        }
        Ok(())
    }

    fn value(&mut self, track: usize, gauge: &Gauge, out: &mut Vec<u8>) -> io::Result<()> {
        let Place { pid, tid, name } = self.tracks.get(&track).cloned().unwrap_or_default();
        let value = Cell { value: &gauge.value, quantity: gauge.quantity };
        if matches!(gauge.value, Value::Int(_) | Value::Float(_)) {
            let event = Event { value: Some(value), ..Event::of("C", pid, tid, gauge.at_ns.cast_signed(), &name) };
            self.put(&event, out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.is_begun {
            self.head(&Begin::default(), out)?;
        }
        out.extend(b"\n]}\n");
        Ok(())
    }
}

/// An event of the trace.
struct Event<'a> {
    what: &'static str,
    name: &'a str,
    category: Option<&'a str>,
    pid: u32,
    tid: i64,
    ns: i64,
    dur: Option<i64>,
    /// The number of an arrow.
    flow: Option<u64>,
    /// What a process or a thread is called.
    told: Option<&'a str>,
    details: Option<&'a [(String, &'a Value, crate::record::Quantity)]>,
    value: Option<Cell<'a>>,
}

impl<'a> Event<'a> {
    fn of(what: &'static str, pid: u32, tid: i64, ns: i64, name: &'a str) -> Self {
        Event {
            what,
            name,
            category: None,
            pid,
            tid,
            ns,
            dur: None,
            flow: None,
            told: None,
            details: None,
            value: None,
        }
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Told<'a> {
            name: &'a str,
        }
        #[derive(serde::Serialize)]
        struct Gauged<'a> {
            value: &'a Cell<'a>,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ph", self.what)?;
        map.serialize_entry("name", self.name)?;
        if let Some(category) = self.category.or(self.flow.map(|_| FLOW)) {
            map.serialize_entry("cat", category)?;
        }
        map.serialize_entry("pid", &self.pid)?;
        map.serialize_entry("tid", &self.tid)?;
        if self.told.is_none() {
            map.serialize_entry("ts", &(self.ns as f64 / 1000.0))?;
        }
        if let Some(dur) = self.dur {
            map.serialize_entry("dur", &(dur as f64 / 1000.0))?;
        }
        if let Some(id) = self.flow {
            map.serialize_entry("id", &format!("{id:#x}"))?;
            // An arrow ends at the slice that it points into, not at the next one.
            map.serialize_entry("bp", "e")?;
        }
        if let Some(name) = self.told {
            map.serialize_entry("args", &Told { name })?;
        }
        if let Some(value) = &self.value {
            map.serialize_entry("args", &Gauged { value })?;
        }
        if let Some(details) = self.details.filter(|details| !details.is_empty()) {
            map.serialize_entry("args", &Details(details))?;
        }
        map.end()
    }
}
