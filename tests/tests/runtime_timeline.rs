//! Timelines: read with Perfetto's own messages and put together as its viewer does, they say what the tables of the same run say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use profinfer_tests::engine::{Engine, Kind};
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Output, Profinfer, binary, stock, text, whole};
use profinfer_tests::system::signal;
use profinfer_tests::{OrFail, on_each_engine};
use serde_json::Value;

const TOKENS: u64 = 3;

/// Slices and a gauge, and tables of the same events.
const SCRIPT: &str = r#"
    on llama_ubatch < slice("{phase} {n_tokens}", step, track = "micro-batches"); gauge("tokens", n_tokens, track = "micro-batches");
                      n = count(), t = sum(dur) by phase into ubatches >
    on ggml_graph < slice("{backend} graph", nodes = n_nodes, track = "graphs on {backend}"); n = count(), t = sum(dur) into graphs >
    on ggml_work < slice(op, layer, ith, name, split(busy, wait));
                   n = count(), t = sum(dur), busy = sum(busy), wait = sum(wait) by op, ith, tid into work >
"#;

/// A slice as Perfetto has it.
#[derive(Debug)]
struct Slice {
    name: String,
    category: String,
    track: String,
    begin: u64,
    end: u64,
    flows: Vec<String>,
    details: Value,
    /// The slices inside of it, without those inside of these.
    inner: Vec<usize>,
    is_outermost: bool,
}

impl Slice {
    fn dur(&self) -> u64 {
        self.end - self.begin
    }
}

/// A trace as Perfetto has it.
struct Trace {
    whole: Value,
    slices: Vec<Slice>,
}

impl Trace {
    #[track_caller]
    fn read(lab: &Lab, file: &Path) -> Trace {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/trace.py");
        let path = std::env::join_paths([lab.cache().perfetto(), lab.cache().protobuf()]).or_fail("a path");
        let python = Command::new(lab.cache().python()).arg(script).arg(file).env("PYTHONPATH", path).output();
        let python = python.or_fail("python3");
        assert!(python.status.success(), "cargo xtask fetch? {}", String::from_utf8_lossy(&python.stderr));
        let whole: Value = serde_json::from_slice(&python.stdout).or_fail("what trace.py says");
        let all = whole["slices"].as_array().or_fail("slices");
        let mut slices: Vec<Slice> = all
            .iter()
            .map(|s| Slice {
                name: text(s, "name"),
                category: s["category"][0].as_str().or_fail("a category").to_owned(),
                track: text(s, "track"),
                begin: s["begin"].as_u64().or_fail("its beginning"),
                end: s["end"].as_u64().or_fail("its end"),
                flows: s["flows"]
                    .as_array()
                    .or_fail("flows")
                    .iter()
                    .map(|f| f.as_str().or_fail("one").to_owned())
                    .collect(),
                details: s["details"].clone(),
                inner: Vec::new(),
                is_outermost: s["in"].is_null(),
            })
            .collect();
        for (i, s) in all.iter().enumerate() {
            if let Some(outer) = s["in"].as_u64() {
                slices[outer as usize].inner.push(i);
            }
        }
        Trace { whole, slices }
    }

    fn track(&self, slice: &Slice) -> &Value {
        &self.whole["tracks"][&slice.track]
    }

    fn of<'t>(&'t self, category: &'t str) -> impl Iterator<Item = &'t Slice> {
        self.slices.iter().filter(move |s| s.category == category && s.name != "busy" && s.name != "wait")
    }

    /// When counting began, by the monotonic clock.
    fn began(&self) -> u64 {
        self.whole["clocks"]["3"].as_u64().or_fail("the monotonic clock")
    }
}

/// Records a run of a script, and has it write a trace at the same time: recording and trace.
#[track_caller]
fn record(lab: &Lab, engine: &mut Engine, script: &[&str], format: &str) -> (PathBuf, PathBuf) {
    let (recording, trace) = (lab.folder().join("run.pirec"), lab.folder().join(format!("live.{format}")));
    let _none_before = fs::remove_file(&recording);
    let mut command = Command::new(binary());
    command.arg("record").args(script).args(["--show", "-f", format, "--pid", &engine.pid().to_string(), "-o"]);
    command.arg(&recording).stdout(File::create(&trace).or_fail("a file")).stderr(Stdio::piped());
    let mut running = command.spawn().or_fail("profinfer");
    let mut said = BufReader::new(running.stderr.take().or_fail("its stderr")).lines().map_while(Result::ok);
    said.by_ref().find(|line| line.contains("attached")).or_fail("it attaches");
    let reader = std::thread::spawn(move || said.collect::<Vec<_>>().join("\n"));
    engine.generate(TOKENS);
    signal(running.id(), libc::SIGINT);
    let status = running.wait().or_fail("its end");
    let said = reader.join().ok().or_fail("what it said");
    assert!(status.success(), "{said}");
    assert!(said.contains("lost     nothing"), "{said}");
    assert!(said.contains("slices of a timeline"), "{said}");
    (recording, trace)
}

#[track_caller]
fn replay(recording: &Path, more: &[&str]) -> Output {
    let recording = recording.display().to_string();
    let output = Profinfer::run(["replay", &recording].iter().chain(more));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output
}

/// A replay of a recording as a trace, by the end of the file's name.
#[track_caller]
fn trace_of(lab: &Lab, recording: &Path, name: &str) -> PathBuf {
    let file = lab.folder().join(name);
    replay(recording, &["-o", file.to_str().or_fail("its name")]);
    file
}

/// Whether all slices that are not inside of others lie one behind the other, on each track.
#[track_caller]
fn nothing_overlaps(trace: &Trace) {
    let mut by_track: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for slice in trace.slices.iter().filter(|s| s.is_outermost) {
        by_track.entry(&slice.track).or_default().push((slice.begin, slice.end));
    }
    for (track, mut slices) in by_track {
        slices.sort_unstable();
        for pair in slices.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{track}: {pair:?}");
        }
    }
    for slice in &trace.slices {
        for inner in slice.inner.iter().map(|i| &trace.slices[*i]) {
            assert!(slice.begin <= inner.begin && inner.end <= slice.end, "{inner:?} inside of {slice:?}");
        }
    }
    assert_eq!(whole(&trace.whole, "still_open"), 0);
}

/// Slices by some name of theirs: how many, and how long in all.
fn sums<'s>(slices: impl Iterator<Item = &'s Slice>, key: impl Fn(&Slice) -> String) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for slice in slices {
        let sum = sums.entry(key(slice)).or_default();
        *sum = (sum.0 + 1, sum.1 + slice.dur());
    }
    sums
}

/// The same of a table.
fn sums_of_table(output: &Output, table: &str, key: impl Fn(&Value) -> String) -> BTreeMap<String, (u64, u64)> {
    let rows = output.table(table).rows;
    rows.iter().map(|row| (key(row), (whole(row, "n"), whole(row, "t")))).collect()
}

fn a_trace_says_what_the_tables_say(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (recording, live) = record(&lab, &mut engine, &["-e", SCRIPT], "perfetto");
    let again = trace_of(&lab, &recording, "again.pftrace");
    assert!(fs::read(&live).or_fail("live") == fs::read(&again).or_fail("replayed"), "they differ");

    let tables = replay(&recording, &["-f", "json"]);
    let trace = Trace::read(&lab, &live);
    assert_eq!(whole(&trace.whole, "unknown"), 0, "fields that Perfetto does not know");
    assert_eq!(whole(&trace.whole, "primary"), 3, "times are those of the monotonic clock");
    nothing_overlaps(&trace);

    // What is on which track.
    let pid = u64::from(engine.pid());
    for slice in &trace.slices {
        let track = trace.track(slice);
        let (kind, name) = match slice.category.as_str() {
            "ggml_work" => ("thread", None),
            "ggml_graph" => ("named", Some("graphs on CPU")),
            _ => ("named", Some("micro-batches")),
        };
        assert_eq!(text(track, "kind"), kind, "{slice:?}");
        assert!(name.is_none_or(|name| text(track, "name") == name), "{track}");
        let above = if kind == "named" { &trace.whole["tracks"][track["parent"].to_string()] } else { track };
        assert_eq!(whole(above, "pid"), pid, "{slice:?}");
    }

    // Counts and times, to the nanosecond.
    let by_phase = sums(trace.of("llama_ubatch"), |s| s.name.split(' ').next().unwrap_or_default().to_owned());
    assert_eq!(by_phase, sums_of_table(&tables, "ubatches", |row| text(row, "phase")));
    assert_eq!(by_phase.values().map(|(n, _)| n).sum::<u64>(), TOKENS);
    let graphs = sums(trace.of("ggml_graph"), |_| String::new());
    assert_eq!(graphs, sums_of_table(&tables, "graphs", |_| String::new()));
    let by_op =
        sums(trace.of("ggml_work"), |s| format!("{} {} {}", s.name, s.details["ith"], whole(trace.track(s), "tid")));
    let of_row = |row: &Value| format!("{} {} {}", text(row, "op"), whole(row, "ith"), whole(row, "tid"));
    assert_eq!(by_op, sums_of_table(&tables, "work", of_row));
    assert!(by_op.values().map(|(n, _)| n).sum::<u64>() >= 515 * TOKENS);

    // Busy and waiting, told apart.
    let mut apart = [0, 0];
    for slice in trace.of("ggml_work") {
        let inner: Vec<&Slice> = slice.inner.iter().map(|i| &trace.slices[*i]).collect();
        let [busy, wait] = inner[..] else { panic!("{slice:?} has {inner:?} inside") };
        assert_eq!((busy.name.as_str(), wait.name.as_str()), ("busy", "wait"));
        assert_eq!((busy.begin, busy.end, wait.end), (slice.begin, wait.begin, slice.end), "{slice:?}");
        assert_eq!((busy.dur(), wait.dur()), (whole(&slice.details, "busy"), whole(&slice.details, "wait")));
        apart = [apart[0] + busy.dur(), apart[1] + wait.dur()];
    }
    let work = tables.table("work");
    assert_eq!(apart, [work.total("busy"), work.total("wait")]);

    // The gauge has its value where a micro-batch ends.
    let gauges = trace.whole["gauges"].as_array().or_fail("gauges");
    let told: BTreeSet<(u64, u64)> =
        gauges.iter().map(|g| (g[1].as_u64().or_fail("a time"), g[2].as_u64().or_fail("a value"))).collect();
    let tokens = |s: &Slice| s.name.rsplit(' ').next().and_then(|n| n.parse().ok()).or_fail("its tokens");
    assert_eq!(told, trace.of("llama_ubatch").map(|s| (s.end, tokens(s))).collect());

    // As JSON lines the same.
    let lines: Vec<&Value> =
        tables.records.iter().filter(|r| r["type"] == "slice" && r["point"] == "ggml_work").collect();
    let told: BTreeSet<(u64, u64, String)> =
        lines.iter().map(|r| (trace.began() + whole(r, "begin_ns"), whole(r, "dur_ns"), text(r, "label"))).collect();
    assert_eq!(told, trace.of("ggml_work").map(|s| (s.begin, s.dur(), s.name.clone())).collect());
}

fn arrows_lead_from_a_micro_batch_to_its_operators(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (recording, live) = record(&lab, &mut engine, &["-e", SCRIPT], "trace");
    let again = trace_of(&lab, &recording, "again.trace.json");
    assert!(fs::read(&live).or_fail("live") == fs::read(&again).or_fail("replayed"), "they differ");
    let trace = Trace::read(&lab, &trace_of(&lab, &recording, "run.pftrace"));

    // It is nothing for a terminal.
    let spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut python = Command::new(lab.cache().python());
    python.args(["-c", spawn]).arg(binary()).args(["replay", "-f", "perfetto"]).arg(&recording).stdin(Stdio::null());
    let output = python.output().or_fail("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(2) && said.contains("stdout is a terminal"), "{said}");

    let mut flows: BTreeMap<&str, Vec<&Slice>> = BTreeMap::new();
    for slice in &trace.slices {
        let number = match slice.category.as_str() {
            "ggml_graph" => 2,
            "ggml_work" if ["busy", "wait"].contains(&slice.name.as_str()) => 0,
            _ => 1,
        };
        assert_eq!(slice.flows.len(), number, "{slice:?}");
        slice.flows.iter().for_each(|flow| flows.entry(flow).or_default().push(slice));
    }
    let mut ends = [0, 0];
    for slices in flows.values_mut() {
        slices.sort_by_key(|s| s.begin);
        let (outer, inner) = slices.split_first().or_fail("a flow has slices");
        assert!(!inner.is_empty(), "it leads nowhere: {outer:?}");
        for slice in inner {
            assert!(outer.begin <= slice.begin && slice.end <= outer.end, "{slice:?} within {outer:?}");
            match (outer.category.as_str(), slice.category.as_str()) {
                ("llama_ubatch", "ggml_graph") => ends[0] += 1,
                ("ggml_graph", "ggml_work") => ends[1] += 1,
                other => panic!("a flow from {} to {}", other.0, other.1),
            }
        }
    }
    assert_eq!(ends, [trace.of("ggml_graph").count(), trace.of("ggml_work").count()]);

    // Chrome's format says the same.
    let chrome: Value = serde_json::from_slice(&fs::read(&again).or_fail("the trace")).or_fail("it is JSON");
    let events = chrome["traceEvents"].as_array().or_fail("events");
    let began = whole(&chrome["otherData"], "began_ns");
    assert_eq!(began, trace.began());
    let ns = |event: &Value, field: &str| (event[field].as_f64().or_fail(field) * 1000.0).round() as u64;
    let of = |what: &'static str| events.iter().filter(move |e| e["ph"] == what);
    let mut slices: Vec<(u64, u64, String, String)> =
        of("X").map(|e| (began + ns(e, "ts"), ns(e, "dur"), text(e, "name"), text(e, "cat"))).collect();
    let mut wanted: Vec<_> =
        trace.slices.iter().map(|s| (s.begin, s.dur(), s.name.clone(), s.category.clone())).collect();
    slices.sort();
    wanted.sort();
    assert!(slices == wanted, "{} and {} slices", slices.len(), wanted.len());
    let mut by_track: BTreeMap<u64, Vec<(u64, std::cmp::Reverse<u64>)>> = BTreeMap::new();
    for event in of("X") {
        let (begin, dur) = (ns(event, "ts"), ns(event, "dur"));
        by_track.entry(whole(event, "tid")).or_default().push((begin, std::cmp::Reverse(begin + dur)));
    }
    for slices in by_track.values_mut() {
        slices.sort();
        let mut open: Vec<u64> = Vec::new();
        for (begin, std::cmp::Reverse(end)) in slices {
            while open.pop_if(|last| *last <= *begin).is_some() {}
            assert!(open.last().is_none_or(|last| *end <= *last), "{begin} to {end} over {open:?}");
            open.push(*end);
        }
    }
    for (flow, slices) in &flows {
        let id = format!("{:#x}", flow.parse::<u64>().or_fail("a number"));
        let arrow: Vec<&Value> = events.iter().filter(|e| e["id"] == id.as_str()).collect();
        let kinds: String = arrow.iter().filter_map(|e| e["ph"].as_str()).collect();
        assert_eq!(kinds, format!("s{}f", "t".repeat(slices.len() - 2)), "{id}");
        let begins: Vec<u64> = arrow.iter().map(|e| began + ns(e, "ts")).collect();
        assert_eq!(begins, slices.iter().map(|s| s.begin).collect::<Vec<_>>(), "{id}");
    }
    assert_eq!(of("C").count() as u64, TOKENS);
}

fn the_stock_script_shows_a_run(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let file = lab.folder().join("run.pftrace");
    let script = stock("timeline.pi").display().to_string();
    let to = file.display().to_string();
    let pid = engine.pid().to_string();
    let running =
        Profinfer::start_attached([&script, "-P", "phase=decode", "--pid", &pid, "-o", &to].map(String::from));
    assert!(!file.exists(), "a trace gets its name when it is whole");
    engine.generate(TOKENS);
    let report = running.interrupt();
    assert_eq!((report.code, report.stdout.as_str()), (Some(0), ""), "{}", report.stderr);
    let trace = Trace::read(&lab, &file);
    nothing_overlaps(&trace);
    assert_eq!(trace.of("llama_ubatch").count() as u64, TOKENS - 1, "the first one is the prompt");
    assert!(trace.of("ggml_work").count() as u64 >= 515 * (TOKENS - 1));
    let further = |track: &Value| text(track, "name").ends_with(')');
    let tracks = trace.whole["tracks"].as_object().or_fail("tracks");
    assert!(!tracks.values().any(further), "all nest where they belong: {tracks:?}");
    // For people it says where the timeline is.
    let running = Profinfer::start_attached(["-e", "on ggml_op < slice(op) >", "--pid", &pid]);
    engine.generate(1);
    let report = running.interrupt();
    assert!(report.stdout.contains("515 slices of a timeline (slice)"), "{}", report.stdout);
    assert!(report.stdout.contains("-o run.pftrace"), "{}", report.stdout);
}

on_each_engine! {
    a_trace_says_what_the_tables_say,
    arrows_lead_from_a_micro_batch_to_its_operators,
    the_stock_script_shows_a_run,
}
