"""Reads a trace with Perfetto's own messages and puts it together as its viewer does; what it finds goes out as JSON.

    trace.py TRACE

Events of a track are taken in the order of their times, those of one time as they stand in the file: a slice that begins lies in
the one that is open, and an end ends the innermost. So a trace that nests otherwise than was meant comes out otherwise.
"""

import json
import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

trace = Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())

KINDS = ("event_categories", "event_names", "debug_annotation_names", "debug_annotation_string_values")
tracks, events, gauges, clocks = {}, [], [], {}
primary = None
# What was interned, and what packets of a sequence say when they do not say it themselves.
interned, defaults, is_known = {kind: {} for kind in KINDS}, None, False


def unknown_fields(message):
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            found += sum(map(unknown_fields, value if field.is_repeated else [value]))
    return found


def annotation(a):
    name = interned["debug_annotation_names"][a.name_iid]
    which = a.WhichOneof("value")
    value = getattr(a, which)
    if which == "string_value_iid":
        value = interned["debug_annotation_string_values"][value].decode()
    return name, value


for packet in trace.packet:
    assert packet.trusted_packet_sequence_id == 1, packet
    if packet.HasField("clock_snapshot"):
        clocks = {c.clock_id: c.timestamp for c in packet.clock_snapshot.clocks}
        primary = packet.clock_snapshot.primary_trace_clock
    if packet.sequence_flags & TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
        interned, defaults, is_known = {kind: {} for kind in KINDS}, None, True
    if packet.HasField("trace_packet_defaults"):
        defaults = packet.trace_packet_defaults
    for kind in KINDS:
        for entry in getattr(packet.interned_data, kind):
            assert entry.iid not in interned[kind], f"interned twice: {entry}"
            interned[kind][entry.iid] = entry.str if hasattr(entry, "str") else entry.name
    if packet.HasField("track_descriptor"):
        of = packet.track_descriptor
        assert of.uuid not in tracks, f"told twice: {of}"
        assert not of.parent_uuid or of.parent_uuid in tracks, f"without the track above it: {of}"
        tracks[of.uuid] = {
            "parent": of.parent_uuid,
            "name": of.name or of.thread.thread_name or of.process.process_name,
            "kind": "process" if of.HasField("process") else "thread" if of.HasField("thread")
            else "gauge" if of.HasField("counter") else "named",
            "pid": of.process.pid or of.thread.pid,
            "tid": of.thread.tid,
            "unit": of.counter.unit,
            "slices": [],
        }
    if not packet.HasField("track_event"):
        continue
    event = packet.track_event
    assert event.track_uuid in tracks, f"on no track: {event}"
    assert is_known and packet.sequence_flags & TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
    assert defaults.timestamp_clock_id == 3, "the monotonic clock"
    if event.type == TrackEvent.TYPE_COUNTER:
        which = event.WhichOneof("counter_value_field")
        gauges.append([event.track_uuid, packet.timestamp, getattr(event, which)])
        continue
    told = None
    if event.type == TrackEvent.TYPE_SLICE_BEGIN:
        told = {
            "name": interned["event_names"][event.name_iid],
            "category": [interned["event_categories"][i] for i in event.category_iids],
            "details": dict(annotation(a) for a in event.debug_annotations),
            "flows": list(event.flow_ids),
        }
    events.append((packet.timestamp, event.track_uuid, told))

slices, open_slices = [], {uuid: [] for uuid in tracks}
events.sort(key=lambda event: event[0])
for time, uuid, told in events:
    stack = open_slices[uuid]
    if told is not None:
        slices.append({**told, "track": uuid, "begin": time, "end": None, "in": stack[-1] if stack else None})
        stack.append(len(slices) - 1)
    else:
        assert stack, f"an end of nothing at {time}"
        slices[stack.pop()]["end"] = time
json.dump(
    {
        "tracks": {str(uuid): track for uuid, track in tracks.items()},
        "slices": [{**s, "track": str(s["track"]), "flows": [str(f) for f in s["flows"]]} for s in slices],
        "gauges": [[str(track), time, value] for track, time, value in gauges],
        "still_open": sum(map(len, open_slices.values())),
        "clocks": clocks,
        "primary": primary,
        "unknown": unknown_fields(trace),
    },
    sys.stdout,
)
