//! Perfetto's own format: packets of protocol buffers, all of one sequence. Times are those of the monotonic clock.

use std::collections::HashMap;
use std::io;

use prost::Message;

use super::proto::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, COUNTER, Clock, ClockSnapshot, CounterDescriptor, DebugAnnotation,
    INCREMENTAL_STATE_CLEARED, InternedData, NEEDS_INCREMENTAL_STATE, Name, ProcessDescriptor, SLICE_BEGIN, SLICE_END,
    ThreadDescriptor, Trace, TracePacket, TracePacketDefaults, TrackDescriptor, TrackEvent, UNIT_COUNT,
    UNIT_SIZE_BYTES, UNIT_TIME_NS,
};
use super::tracks::{Head, Kind};
use super::{Format, label};
use crate::record::{Begin, Gauge, Quantity, Slice, Value};
use crate::view::print;

/// The number of our only sequence.
const SEQUENCE: u32 = 1;
/// Texts that are interned; then all begin anew.
pub(super) const MOST_INTERNED: usize = 65_536;

/// The writer.
#[derive(Default)]
pub(in crate::view) struct Perfetto {
    begin: Begin,
    /// Texts by kind, with their numbers.
    interned: HashMap<(Kinds, String), u64>,
    /// Those that the packet at hand is the first to use.
    fresh: InternedData,
    /// The packets so far can be read without those that follow, and these without them.
    is_begun: bool,
}

/// Kinds of interned texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kinds {
    Category,
    Event,
    Annotation,
    Text,
}

impl Perfetto {
    /// The number of a text.
    fn intern(&mut self, kind: Kinds, text: &str) -> Option<u64> {
        let next = self.interned.len() as u64 + 1;
        let number = *self.interned.entry((kind, text.to_owned())).or_insert(next);
        if number == next {
            let list = match kind {
                Kinds::Category => &mut self.fresh.event_categories,
                Kinds::Event => &mut self.fresh.event_names,
                Kinds::Annotation => &mut self.fresh.debug_annotation_names,
                Kinds::Text => &mut self.fresh.debug_annotation_string_values,
            };
            list.push(Name { iid: Some(number), name: Some(text.to_owned()) });
        }
        Some(number)
    }

    /// A number that no other trace's track has.
    fn uuid(&self, track: usize) -> u64 {
        // SplitMix64.
        let mut x = self.begin.monotonic_ns.wrapping_add((track as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).max(1)
    }

    fn time(&self, ns: i64) -> Option<u64> {
        Some(self.begin.monotonic_ns.saturating_add_signed(ns))
    }

    /// A packet without an event.
    fn put(packet: TracePacket, out: &mut Vec<u8>) -> io::Result<()> {
        let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
        Trace { packet: vec![packet] }.encode(out).map_err(io::Error::other)
    }

    fn event(&mut self, ns: i64, event: TrackEvent, out: &mut Vec<u8>) -> io::Result<()> {
        let fresh = std::mem::take(&mut self.fresh);
        let packet = TracePacket {
            timestamp: self.time(ns),
            track_event: Some(event),
            interned_data: (fresh != InternedData::default()).then_some(fresh),
            sequence_flags: Some(NEEDS_INCREMENTAL_STATE),
            ..TracePacket::default()
        };
        Self::put(packet, out)
    }

    /// Before an event: all begins anew if there is nothing before it, or too much.
    fn prepare(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_begun && self.interned.len() < MOST_INTERNED {
            return Ok(());
        }
        self.is_begun = true;
        self.interned.clear();
        let defaults = TracePacketDefaults { timestamp_clock_id: Some(CLOCK_MONOTONIC) };
        let packet = TracePacket {
            sequence_flags: Some(INCREMENTAL_STATE_CLEARED),
            trace_packet_defaults: Some(defaults),
            ..TracePacket::default()
        };
        Self::put(packet, out)
    }

    fn annotation(&mut self, name: &str, quantity: Quantity, value: &Value) -> Option<DebugAnnotation> {
        let mut of = DebugAnnotation::default();
        match value {
            Value::Absent | Value::Hist(_) | Value::Curve(_) => return None,
            Value::Int(n) if quantity == Quantity::Address => of.pointer_value = Some(n.cast_unsigned()),
            Value::Int(n) => of.int_value = Some(*n),
            Value::Float(x) => of.double_value = Some(*x),
            Value::Bool(truth) => of.bool_value = Some(*truth),
            Value::Text(text) => of.string_value_iid = self.intern(Kinds::Text, text),
        }
        of.name_iid = self.intern(Kinds::Annotation, name);
        Some(of)
    }

    fn end_slice(&mut self, track: usize, ns: i64, out: &mut Vec<u8>) -> io::Result<()> {
        let event = TrackEvent { r#type: Some(SLICE_END), track_uuid: Some(self.uuid(track)), ..TrackEvent::default() };
        self.event(ns, event, out)
    }
}

impl Format for Perfetto {
    fn begin(&mut self, begin: &Begin, out: &mut Vec<u8>) -> io::Result<()> {
        self.begin = *begin;
        let clock = |clock_id, timestamp| Clock { clock_id: Some(clock_id), timestamp: Some(timestamp) };
        let clocks = vec![clock(CLOCK_MONOTONIC, begin.monotonic_ns), clock(CLOCK_REALTIME, begin.unix_ns)];
        let snapshot = ClockSnapshot { clocks, primary_trace_clock: Some(CLOCK_MONOTONIC as i32) };
        Self::put(TracePacket { clock_snapshot: Some(snapshot), ..TracePacket::default() }, out)
    }

    fn track(&mut self, track: usize, head: &Head<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let pid = Some(head.process.pid.cast_signed());
        let mut of = TrackDescriptor {
            uuid: Some(self.uuid(track)),
            parent_uuid: head.parent.map(|parent| self.uuid(parent)),
            ..TrackDescriptor::default()
        };
        match head.kind {
            Kind::Process => {
                of.process = Some(ProcessDescriptor { pid, process_name: Some(head.process.name.clone()) });
            }
            Kind::Thread(tid, name) => {
                let tid = i32::try_from(tid).ok();
                of.thread = Some(ThreadDescriptor { pid, tid, thread_name: name.map(str::to_owned) });
            }
            Kind::Named(name) => of.name = Some(name.to_owned()),
            Kind::Gauge(name, quantity) => {
                of.name = Some(name.to_owned());
                of.counter = Some(counter(quantity));
            }
        }
        Self::put(TracePacket { track_descriptor: Some(of), ..TracePacket::default() }, out)
    }

    fn slices(&mut self, track: usize, slices: &[&Slice], out: &mut Vec<u8>) -> io::Result<()> {
        let mut open: Vec<i64> = Vec::new();
        for slice in slices {
            while let Some(end) = open.pop_if(|end| *end <= slice.begin_ns) {
                self.end_slice(track, end, out)?;
            }
            self.prepare(out)?;
            let details = print::details(slice);
            let event = TrackEvent {
                r#type: Some(SLICE_BEGIN),
                track_uuid: Some(self.uuid(track)),
                category_iids: self.intern(Kinds::Category, &slice.point).into_iter().collect(),
                name_iid: self.intern(Kinds::Event, &label(slice)),
                debug_annotations: details.iter().filter_map(|(n, value, q)| self.annotation(n, *q, value)).collect(),
                flow_ids: slice.within.into_iter().chain(slice.own).collect(),
                ..TrackEvent::default()
            };
            self.event(slice.begin_ns, event, out)?;
            open.push(slice.end_ns);
        }
        while let Some(end) = open.pop() {
            self.end_slice(track, end, out)?;
        }
        Ok(())
    }

    fn value(&mut self, track: usize, gauge: &Gauge, out: &mut Vec<u8>) -> io::Result<()> {
        self.prepare(out)?;
        let mut event =
            TrackEvent { r#type: Some(COUNTER), track_uuid: Some(self.uuid(track)), ..TrackEvent::default() };
        match gauge.value {
            Value::Int(n) => event.counter_value = Some(n),
            Value::Float(x) => event.double_counter_value = Some(x),
            // The compiler lets numbers through, and events that have one.
            _ => return Ok(()),
        }
        self.event(gauge.at_ns.cast_signed(), event, out)
    }

    fn end(&mut self, _: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
}

fn counter(quantity: Quantity) -> CounterDescriptor {
    let (unit, name) = match quantity {
        Quantity::Duration => (Some(UNIT_TIME_NS), None),
        Quantity::Bytes => (Some(UNIT_SIZE_BYTES), None),
        Quantity::BytesPerSecond => (None, Some("B/s")),
        Quantity::PerSecond => (None, Some("/s")),
        _ => (Some(UNIT_COUNT), None),
    };
    CounterDescriptor { unit, unit_name: name.map(str::to_owned) }
}
