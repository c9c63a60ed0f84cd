//! Traces of a few records, in both formats.

use insta::assert_snapshot;
use prost::Message as _;

use super::perfetto::MOST_INTERNED;
use super::proto::{SLICE_BEGIN, SLICE_END, Trace, TracePacket};
use crate::record::{Begin, Detail, End, Gauge, Part, Piece, Process, Quantity, Record, Slice, Value};
use crate::view::{Format, Options, renderer};

fn written(format: Format, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut renderer = renderer(format, Options::default());
    for record in records {
        renderer.record(record, &mut out).unwrap();
    }
    out
}

fn begin() -> Record {
    Record::Begin(Begin { monotonic_ns: 1_000_000, unix_ns: 1_700_000_000_000_000_000 })
}

fn text(text: &str) -> Vec<Part> {
    vec![Part::Text(text.to_owned())]
}

fn slice(point: &str, label: &str, tid: i64, (begin_ns, end_ns): (i64, i64)) -> Slice {
    Slice {
        name: "slice".to_owned(),
        point: point.to_owned(),
        at_ns: end_ns.cast_unsigned(),
        begin_ns,
        end_ns,
        process: Process { pid: 7, name: "llama-server".to_owned() },
        tid,
        thread: Some("worker".to_owned()),
        track: Vec::new(),
        label: text(label),
        details: Vec::new(),
        parts: Vec::new(),
        own: None,
        within: None,
    }
}

/// Two operators in a graph, each of two parts, and a gauge.
fn records() -> Vec<Record> {
    let op = |tid, (begin_ns, end_ns), busy: i64| Slice {
        details: vec![
            Detail { name: "layer".to_owned(), quantity: Quantity::Number, value: Value::Int(3) },
            Detail { name: "src1".to_owned(), quantity: Quantity::Number, value: Value::Absent },
            Detail { name: "name".to_owned(), quantity: Quantity::Text, value: Value::Text("ffn_up-3".to_owned()) },
        ],
        parts: vec![
            Piece { label: "busy".to_owned(), begin_ns, end_ns: begin_ns + busy },
            Piece { label: "wait".to_owned(), begin_ns: begin_ns + busy, end_ns },
        ],
        within: Some(0xabc),
        ..slice("ggml_work", "MUL_MAT", tid, (begin_ns, end_ns))
    };
    let graph = Slice { own: Some(0xabc), track: text("graphs on CPU"), ..slice("ggml_graph", "CPU", 8, (900, 3_500)) };
    let gauge = Gauge {
        name: "gauge".to_owned(),
        point: "ggml_graph".to_owned(),
        at_ns: 3_500,
        process: graph.process.clone(),
        track: Vec::new(),
        label: text("moved"),
        quantity: Quantity::Bytes,
        value: Value::Int(4096),
    };
    vec![
        begin(),
        Record::Slice(op(9, (1_001, 2_000), 400)),
        Record::Slice(op(8, (1_000, 3_000), 2_000)),
        Record::Slice(graph),
        Record::Gauge(gauge),
        Record::End(End::default()),
    ]
}

#[test]
fn chrome_s_format() {
    let out = String::from_utf8(written(Format::Chrome, &records())).unwrap();
    let _is_json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_snapshot!(out, @r#"
    {"displayTimeUnit":"ns","otherData":{"clock":"CLOCK_MONOTONIC","began_ns":1000000,"began_unix_ns":1700000000000000000},"traceEvents":[
    {"ph":"M","name":"process_name","pid":7,"tid":7,"args":{"name":"llama-server"}},
    {"ph":"M","name":"thread_name","pid":7,"tid":9,"args":{"name":"worker"}},
    {"ph":"X","name":"MUL_MAT","cat":"ggml_work","pid":7,"tid":9,"ts":1.001,"dur":0.999,"args":{"layer":3,"src1":null,"name":"ffn_up-3"}},
    {"ph":"X","name":"busy","cat":"ggml_work","pid":7,"tid":9,"ts":1.001,"dur":0.4},
    {"ph":"X","name":"wait","cat":"ggml_work","pid":7,"tid":9,"ts":1.401,"dur":0.599},
    {"ph":"M","name":"thread_name","pid":7,"tid":8,"args":{"name":"worker"}},
    {"ph":"X","name":"MUL_MAT","cat":"ggml_work","pid":7,"tid":8,"ts":1.0,"dur":2.0,"args":{"layer":3,"src1":null,"name":"ffn_up-3"}},
    {"ph":"X","name":"busy","cat":"ggml_work","pid":7,"tid":8,"ts":1.0,"dur":2.0},
    {"ph":"M","name":"thread_name","pid":7,"tid":1073741827,"args":{"name":"graphs on CPU"}},
    {"ph":"X","name":"CPU","cat":"ggml_graph","pid":7,"tid":1073741827,"ts":0.9,"dur":2.6},
    {"ph":"s","name":"within","cat":"within","pid":7,"tid":1073741827,"ts":0.9,"id":"0xabc","bp":"e"},
    {"ph":"t","name":"within","cat":"within","pid":7,"tid":8,"ts":1.0,"id":"0xabc","bp":"e"},
    {"ph":"f","name":"within","cat":"within","pid":7,"tid":9,"ts":1.001,"id":"0xabc","bp":"e"},
    {"ph":"C","name":"moved","pid":7,"tid":7,"ts":3.5,"args":{"value":4096}}
    ]}
    "#);
}

fn packets(bytes: &[u8]) -> Vec<TracePacket> {
    let packets = Trace::decode(bytes).unwrap().packet;
    assert!(packets.iter().all(|p| p.trusted_packet_sequence_id == Some(1)));
    packets
}

/// A line for each packet.
fn lines(packets: &[TracePacket]) -> String {
    let mut uuids: Vec<u64> = Vec::new();
    let mut out = String::new();
    for p in packets {
        let mut line = String::new();
        if let Some(of) = &p.clock_snapshot {
            line += &format!("clocks {:?} primary {:?}", of.clocks, of.primary_trace_clock.unwrap());
        }
        let mut number = |uuid: Option<u64>| {
            let uuid = uuid.unwrap();
            uuids.iter().position(|known| *known == uuid).unwrap_or_else(|| {
                uuids.push(uuid);
                uuids.len() - 1
            })
        };
        if let Some(of) = &p.track_descriptor {
            line += &format!("track {}", number(of.uuid));
            line += &of.parent_uuid.map_or(String::new(), |above| format!(" under {}", number(Some(above))));
            line += &format!(" {:?} {:?} {:?} {:?}", of.name, of.process, of.thread, of.counter);
        }
        if let Some(of) = &p.trace_packet_defaults {
            line += &format!("flags {:?}: {of:?}", p.sequence_flags.unwrap());
        }
        if let Some(of) = &p.track_event {
            let what = match of.r#type {
                Some(SLICE_BEGIN) => "begin",
                Some(SLICE_END) => "end",
                _ => "value",
            };
            line += &format!("{} {what} on {}", p.timestamp.unwrap(), number(of.track_uuid));
            if let (Some(name), Some(category)) = (of.name_iid, of.category_iids.first()) {
                line += &format!(" name {name} of {category}, flows {:x?}", of.flow_ids);
            }
            for a in &of.debug_annotations {
                line += &format!(", {} is {:?}{:?}", a.name_iid.unwrap(), a.int_value, a.string_value_iid);
            }
            line += &of.counter_value.map_or(String::new(), |n| format!(" {n}"));
        }
        if let Some(of) = &p.interned_data {
            let lists =
                [&of.event_categories, &of.event_names, &of.debug_annotation_names, &of.debug_annotation_string_values];
            for name in lists.into_iter().flatten() {
                line += &format!("; {} {:?}", name.iid.unwrap(), name.name.as_deref().unwrap());
            }
        }
        out += &line.replace("Some(", "(");
        out.push('\n');
    }
    out
}

#[test]
fn perfetto_s_format() {
    assert_snapshot!(lines(&packets(&written(Format::Perfetto, &records()))), @r#"
    clocks [Clock { clock_id: (3), timestamp: (1000000) }, Clock { clock_id: (1), timestamp: (1700000000000000000) }] primary 3
    track 0 None (ProcessDescriptor { pid: (7), process_name: ("llama-server") }) None None
    track 1 under 0 None None (ThreadDescriptor { pid: (7), tid: (9), thread_name: ("worker") }) None
    flags 1: TracePacketDefaults { timestamp_clock_id: (3) }
    1001001 begin on 1 name 2 of 1, flows [abc], 3 is (3)None, 5 is None(4); 1 "ggml_work"; 2 "MUL_MAT"; 3 "layer"; 5 "name"; 4 "ffn_up-3"
    1001001 begin on 1 name 6 of 1, flows []; 6 "busy"
    1001401 end on 1
    1001401 begin on 1 name 7 of 1, flows []; 7 "wait"
    1002000 end on 1
    1002000 end on 1
    track 2 under 0 None None (ThreadDescriptor { pid: (7), tid: (8), thread_name: ("worker") }) None
    1001000 begin on 2 name 2 of 1, flows [abc], 3 is (3)None, 5 is None(4)
    1001000 begin on 2 name 6 of 1, flows []
    1003000 end on 2
    1003000 end on 2
    track 3 under 0 ("graphs on CPU") None None None
    1000900 begin on 3 name 9 of 8, flows [abc]; 8 "ggml_graph"; 9 "CPU"
    1003500 end on 3
    track 4 under 0 ("moved") None None (CounterDescriptor { unit: (3), unit_name: None })
    1003500 value on 4 4096
    "#);
}

/// Names of all tracks, and for each slice its label, track and time, as Perfetto puts them together.
fn nested(records: &[Record]) -> Vec<(String, String, u64, u64)> {
    let packets = packets(&written(Format::Perfetto, records));
    let (mut tracks, mut names) = (std::collections::HashMap::new(), std::collections::HashMap::new());
    let mut events = Vec::new();
    for p in packets {
        if p.sequence_flags == Some(1) {
            names.clear();
        }
        for name in p.interned_data.iter().flat_map(|of| &of.event_names) {
            names.insert(name.iid, name.name.clone().unwrap());
        }
        if let Some(of) = p.track_descriptor {
            let thread = of.thread.as_ref().map(|t| t.tid.unwrap().to_string());
            tracks.insert(of.uuid, of.name.or(thread).unwrap_or_default());
        }
        if let Some(of) = p.track_event {
            let label = of.name_iid.map(|_| names[&of.name_iid].clone());
            events.push((p.timestamp.unwrap(), tracks[&of.track_uuid].clone(), label));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    let (mut open, mut all) = (std::collections::HashMap::<String, Vec<usize>>::new(), Vec::new());
    for (at, track, label) in events {
        let open = open.entry(track.clone()).or_default();
        match label {
            Some(label) => {
                open.push(all.len());
                all.push((label, track, at - 1_000_000, 0));
            }
            None => all[open.pop().unwrap()].3 = at - 1_000_000,
        }
    }
    assert!(open.values().all(Vec::is_empty));
    all
}

#[test]
fn what_overlaps_lies_on_a_further_track() {
    let on = |label: &str, times| Slice { track: text("steps"), ..slice("llama_ubatch", label, 8, times) };
    let other = |label: &str, tid, times| slice("off_cpu", label, tid, times);
    let slices = [
        on("a", (100, 200)),
        on("b", (150, 250)),
        on("c", (190, 260)),
        on("d", (260, 300)),
        on("around", (90, 310)),
        other("x", 9, (100, 320)),
        other("y", 9, (310, 330)),
        other("longer", 9, (310, 340)),
    ];
    let mut all: Vec<Record> = vec![begin()];
    all.extend(slices.into_iter().map(Record::Slice));
    all.push(Record::End(End::default()));
    let mut found = nested(&all);
    found.sort();
    let of = |label: &str, track: &str, begin, end| (label.to_owned(), track.to_owned(), begin, end);
    assert_eq!(
        found,
        [
            of("a", "steps", 100, 200),
            of("around", "steps", 90, 310),
            of("b", "steps (2)", 150, 250),
            of("c", "steps (3)", 190, 260),
            of("d", "steps", 260, 300),
            of("longer", "(3)", 310, 340),
            of("x", "9", 100, 320),
            of("y", "(2)", 310, 330),
        ]
    );
}

#[test]
fn texts_and_tracks_do_not_fill_the_memory() {
    let mut records = vec![begin()];
    let number = MOST_INTERNED as i64 + 100;
    for i in 0..number {
        let track = text(&format!("track {i}"));
        records.push(Record::Slice(Slice { track, ..slice("ggml_op", &format!("op {i}"), 8, (10 * i, 10 * i + 5)) }));
    }
    records.push(Record::End(End::default()));
    let packets = packets(&written(Format::Perfetto, &records));
    let tracks = packets.iter().filter(|p| p.track_descriptor.is_some()).count();
    assert_eq!(tracks, 1 + 10_000 + 1, "the process, as many as there may be, and one for the others");
    assert_eq!(packets.iter().filter(|p| p.sequence_flags == Some(1)).count(), 2, "all names once more");
    let of = |what| packets.iter().filter(|p| p.track_event.as_ref().is_some_and(|e| e.r#type == Some(what))).count();
    assert_eq!((of(SLICE_BEGIN) as i64, of(SLICE_END) as i64), (number, number));
}

#[test]
fn texts_of_the_target_are_harmless() {
    let evil = Slice { track: text("\x1b[2J"), ..slice("ggml_op", "a\"\n\u{202e}b", 8, (1, 2)) };
    let records = [begin(), Record::Slice(evil), Record::End(End::default())];
    let out = String::from_utf8(written(Format::Chrome, &records)).unwrap();
    assert!(out.contains(r#""name":"a\"\n\u202eb""#) && !out.contains('\x1b'), "{out}");
    assert_eq!(nested(&records)[0].0, "a\"\n\u{202e}b");
}

#[test]
fn formats_of_lines_have_them_too() {
    let out = |format| String::from_utf8(written(format, &records()[..5])).unwrap();
    let json = out(Format::Json);
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 4, "{json}");
    assert_eq!(
        lines[0],
        r#"{"type":"slice","v":1,"name":"slice","point":"ggml_work","at_ns":2000,"begin_ns":1001,"dur_ns":999,"pid":7,"tid":9,"track":null,"label":"MUL_MAT","details":{"layer":3,"src1":null,"name":"ffn_up-3"},"parts":[{"label":"busy","begin_ns":1001,"dur_ns":400},{"label":"wait","begin_ns":1401,"dur_ns":599}]}"#
    );
    assert_eq!(
        lines[3],
        r#"{"type":"gauge","v":1,"name":"gauge","point":"ggml_graph","at_ns":3500,"pid":7,"track":null,"label":"moved","value":4096}"#
    );
    assert_eq!(
        out(Format::Csv),
        "table,at_ns,begin_ns,dur_ns,pid,tid,track,label,layer,src1,name\n\
         slice,2000,1001,999,7,9,,MUL_MAT,3,,ffn_up-3\n\
         slice,3000,1000,2000,7,8,,MUL_MAT,3,,ffn_up-3\n\n\
         table,at_ns,begin_ns,dur_ns,pid,tid,track,label\n\
         slice,3500,900,2600,7,8,graphs on CPU,CPU\n\n\
         table,at_ns,pid,track,label,value\n\
         gauge,3500,7,,moved,4096\n"
    );
    assert_eq!(out(Format::Table), "", "for people they are counted at the end");
}
