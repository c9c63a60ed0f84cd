//! Parquet files, read by DuckDB: what it computes of events is what profinfer computes of them, and tables are what JSON says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, binary, whole};
use profinfer_tests::system::{signal, wait_until};
use serde_json::{Value, json};

const TOKENS: u64 = 4;
/// Steps a micro-batch.
const STEPS: u64 = 515;
/// Has of everything something: words, texts, sizes, absent values, stacks, points without an event.
const RECORDED: &str = "on ggml_op < print(\"{op} {name} {layer} {phase} {bytes} {src2.name} {src0.type}\") >
    on llama_ubatch < print(\"{phase} {n_tokens}\") >
    on span(\"libc:malloc\", size: u64) where (size > 100) < count(), sum(size) by ggml_op.op >
    on profile(199hz) < count() by stack(user) >
    on moe_route < avg(weight) by layer >";

/// Rows of a query, as DuckDB writes them as JSON.
#[track_caller]
fn ask(lab: &Lab, sql: &str) -> Vec<Value> {
    let program = lab.cache().duckdb();
    let mut duckdb = Command::new(&program);
    duckdb.args(["-json", "-c", sql]).current_dir(lab.folder()).env("HOME", lab.folder()).stdin(Stdio::null());
    let output = duckdb.output().or_fail(format_args!("{} is missing: run `cargo xtask fetch`", program.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{sql}\n{err}{out}");
    if out.trim().is_empty() || out.trim() == "[{]" {
        return Vec::new();
    }
    serde_json::from_str(&out).or_fail(format_args!("JSON of {sql}:\n{out}"))
}

/// The rows as a map from the first columns to the last ones.
#[track_caller]
fn map(rows: &[Value], keys: &[&str], values: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let text = |row: &Value| keys.iter().map(|k| format!("{}|", row[*k])).collect::<String>();
    let all: BTreeMap<String, Vec<Value>> =
        rows.iter().map(|row| (text(row), values.iter().map(|v| row[*v].clone()).collect())).collect();
    assert_eq!(all.len(), rows.len(), "no two rows have the same keys: {rows:?}");
    all
}

/// Records a generation.
#[track_caller]
fn record(lab: &Lab, engine: &mut Engine) -> PathBuf {
    let file = lab.folder().join("run.pirec");
    let (pid, to) = (engine.pid().to_string(), file.display().to_string());
    let running = Profinfer::start_attached(["record", "-e", RECORDED, "-o", &to, "--pid", &pid]);
    engine.generate(TOKENS);
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    file
}

/// A replay with these arguments.
#[track_caller]
fn replay(file: &Path, more: &[&str]) -> Output {
    let file = file.display().to_string();
    let output = Profinfer::run(["replay", &file].iter().chain(more));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output
}

/// What a script makes of a recording.
#[track_caller]
fn table(file: &Path, script: &str) -> Vec<Value> {
    let output = replay(file, &["-e", script, "-f", "json"]);
    let tables: Vec<&Value> = output.records.iter().filter(|r| r["type"] == "table").collect();
    assert_eq!(tables.len(), 1, "{script}");
    tables[0]["rows"].as_array().or_fail("rows").clone()
}

fn events_are_those_of_the_recording(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let file = record(&lab, &mut engine);
    let events = format!("{}/", lab.folder().join("events").display());
    let done = replay(&file, &["--events", "-o", &events]);
    assert!(done.stderr.contains(&format!("{} events of ggml_op are in ", TOKENS * STEPS)), "{}", done.stderr);
    let mut names: Vec<String> = fs::read_dir(&events)
        .or_fail("the folder")
        .map(|e| e.or_fail("a file").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = ["ggml_op", "llama_ubatch", "moe_route_weight", "profile_199hz", "span_libc_malloc_size_u64"];
    assert_eq!(names, expected.map(|name| format!("{name}.parquet")), "of each point a file, and nothing else");

    // Counts, sums and extremes, group by group.
    let sql = "select op, \"llama_ubatch.phase\" as phase, \"src0.type\" as t, count(*) as n, sum(dur)::bigint as dur,
               max(dur) as longest, sum(bytes)::bigint as bytes from 'events/ggml_op.parquet' group by all";
    let script = "on ggml_op < n = count(), dur = sum(dur), longest = max(dur), bytes = sum(bytes) by op, phase, t = src0.type >";
    let (keys, values) = (["op", "phase", "t"], ["n", "dur", "longest", "bytes"]);
    let (found, made) = (map(&ask(&lab, sql), &keys, &values), map(&table(&file, script), &keys, &values));
    assert_eq!(found, made);
    let all: u64 = made.values().map(|v| v[0].as_u64().or_fail("a count")).sum();
    assert_eq!(all, TOKENS * STEPS);

    // Texts and absent ones.
    let sql = "select name, \"src2.name\" as other, count(*) as n from 'events/ggml_op.parquet' group by all";
    let script = "on ggml_op < n = count() by name, other = src2.name >";
    let made = map(&table(&file, script), &["name", "other"], &["n"]);
    assert_eq!(map(&ask(&lab, sql), &["name", "other"], &["n"]), made);
    assert!(made.keys().any(|key| key.ends_with("|null|")), "most have no third source: {made:?}");

    // Other points: functions, micro-batches, stacks.
    let sql = "select \"ggml_op.op\" as op, count(*) as n, sum(size)::bigint as s, sum(dur)::bigint as d
               from 'events/span_libc_malloc_size_u64.parquet' where size > 100 group by all";
    let script = "on span(\"libc:malloc\", size: u64) where (size > 100) < n = count(), s = sum(size), d = sum(dur) by op = ggml_op.op >";
    let (keys, values) = (["op"], ["n", "s", "d"]);
    assert_eq!(map(&ask(&lab, sql), &keys, &values), map(&table(&file, script), &keys, &values));
    let sql = "select array_to_string(\"stack(user)\", ';') as stack, count(*) as n from 'events/profile_199hz.parquet' group by all";
    let script = "on profile(199hz) < n = count() by stack = stack(user) >";
    let stacks = map(&ask(&lab, sql), &["stack"], &["n"]);
    assert_eq!(stacks, map(&table(&file, script), &["stack"], &["n"]));
    assert!(stacks.keys().any(|stack| stack.contains(';')), "{stacks:?}");
    assert_eq!(ask(&lab, "select count(*) as n from 'events/moe_route_weight.parquet'"), [json!({"n": 0})]);

    // Types, units, and what else is known.
    let described = ask(&lab, "describe select * from 'events/ggml_op.parquet'");
    let types = map(&described, &["column_name"], &["column_type"]);
    for (column, ty) in [
        ("at_ns", "BIGINT"),
        ("ended", "TIMESTAMP_NS"),
        ("pid", "BIGINT"),
        ("tid", "BIGINT"),
        ("dur", "BIGINT"),
        ("op", "VARCHAR"),
        ("name", "VARCHAR"),
        ("bytes", "BIGINT"),
    ] {
        assert_eq!(types[&format!("\"{column}\"|")], [ty], "{column}");
    }
    let described = ask(&lab, "describe select * from 'events/profile_199hz.parquet'");
    assert_eq!(map(&described, &["column_name"], &["column_type"])["\"stack(user)\"|"], ["VARCHAR[]"]);
    let described = ask(&lab, "describe select * from 'events/moe_route_weight.parquet'");
    assert!(described.iter().any(|row| row["column_type"] == "DOUBLE"), "{described:?}");
    let about = "select decode(value) as about from parquet_kv_metadata('events/ggml_op.parquet') where decode(key) = 'profinfer'";
    let about: Value = serde_json::from_str(ask(&lab, about)[0]["about"].as_str().or_fail("a text")).or_fail("JSON");
    let dur = about["columns"].as_array().or_fail("columns").iter().find(|c| c["name"] == "dur");
    assert_eq!(dur.or_fail("dur")["unit"], "ns");
    assert_eq!(about["processes"][0]["pid"], engine.pid());
    assert_eq!((&about["script"]["text"], &about["events"]), (&json!(RECORDED), &json!(TOKENS * STEPS)));
    assert_eq!((&about["whole"], &about["lost"], &about["dropped"]), (&json!(true), &json!(0), &json!({})));

    // Times of the calendar are as far apart as those of the clock, and are those of this very minute.
    let sql = "select count(*) as n, count(distinct epoch_ns(ended) - at_ns) as begun,
               bool_and(ended between now()::timestamp - interval 1 hour and now()::timestamp) as just_now
               from 'events/ggml_op.parquet' where at_ns > 0 and dur >= 0 and tid > 0 and pid > 0";
    assert_eq!(ask(&lab, sql), [json!({"n": TOKENS * STEPS, "begun": 1, "just_now": true})]);
}

fn tables_are_those_of_json(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let file = record(&lab, &mut engine);
    let to = |name: &str| lab.folder().join(name).display().to_string();
    let script = "on ggml_op < n = count(), sum(dur), avg(dur), share(dur), gbps = sum(bytes) / sum(dur), rate(bytes),
                  quantile(dur, 0.5), max(dur), h = hist(dur), twice = 2 * count() by op, layer, big = (bytes > 100KB) >";
    replay(&file, &["-e", script, "-o", &to("t.parquet")]);
    let rows = table(&file, script);
    let sql = "select * exclude (h, at_ns), to_json(h) as h from 't.parquet'";
    let mut found = ask(&lab, sql);
    for row in &mut found {
        // Older and newer ones write JSON inside of JSON as such, or as text.
        if let Some(Ok(h)) = row["h"].as_str().map(serde_json::from_str) {
            row["h"] = h;
        }
    }
    assert_eq!(found.len(), rows.len());
    assert!(found.len() > 30, "{}", found.len());
    for (found, row) in found.iter().zip(&rows) {
        let row = row.as_object().or_fail("an object");
        assert_eq!(found.as_object().or_fail("an object").len(), row.len());
        for (name, value) in row {
            let same = match (found[name].as_f64(), value.as_f64()) {
                (Some(a), Some(b)) => a == b,
                _ => found[name] == *value,
            };
            assert!(same, "{name} of {row:?}: {}", found[name]);
        }
    }
    let described = ask(&lab, "describe select * from 't.parquet'");
    let types = map(&described, &["column_name"], &["column_type"]);
    for (column, ty) in [
        ("at_ns", "BIGINT"),
        ("op", "VARCHAR"),
        ("layer", "BIGINT"),
        ("big", "BOOLEAN"),
        ("n", "BIGINT"),
        ("sum(dur)", "BIGINT"),
        ("max(dur)", "BIGINT"),
        ("avg(dur)", "DOUBLE"),
        ("share(dur)", "DOUBLE"),
        ("gbps", "DOUBLE"),
        ("twice", "DOUBLE"),
        ("h", "STRUCT(lo BIGINT, hi BIGINT, n UBIGINT)[]"),
    ] {
        assert_eq!(types[&format!("\"{column}\"|")], [ty], "{column}");
    }
    // Buckets hold what is counted.
    let sql = "select (select sum(n)::bigint from 't.parquet') as n, sum(b.n)::bigint as h from (select unnest(h) as b from 't.parquet')";
    assert_eq!(ask(&lab, sql), [json!({"n": TOKENS * STEPS, "h": TOKENS * STEPS})]);

    // Shown again and again: rows of each time, which add up.
    let each = "on ggml_op < n = count(), t = sum(dur) by op into t > every 20ms < show t; clear t > end < show t >";
    replay(&file, &["-e", each, "-o", &to("each.parquet")]);
    let sql = "select sum(n)::bigint as n, count(distinct at_ns) > 2 as times from 'each.parquet'";
    assert_eq!(ask(&lab, sql), [json!({"n": TOKENS * STEPS, "times": true})]);

    // Fields that are found in others, event by event.
    let print = "on ggml_op < print(\"{op} {layer} {dur}\") >";
    replay(&file, &["-e", print, "-f", "parquet", "-o", &to("printed")]);
    let sql = "select layer, count(*) as n, sum(dur)::bigint as dur from 'printed' group by all";
    let sql = sql.replace("'printed'", "read_parquet('printed')");
    let script = "on ggml_op < n = count(), dur = sum(dur) by layer >";
    let (keys, values) = (["layer"], ["n", "dur"]);
    assert_eq!(map(&ask(&lab, &sql), &keys, &values), map(&table(&file, script), &keys, &values));
    assert_eq!(ask(&lab, "select count(text) as n from read_parquet('printed') where text like 'MUL_MAT%'").len(), 1);
}

fn a_run_writes_them_too(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let pid = engine.pid().to_string();
    let folder = lab.folder().display().to_string();
    let script =
        "on ggml_op < n = count(), sum(dur) by op into ops > on llama_ubatch < n = count() by phase into batches >
                  on moe_route < count() > on llama_ubatch < late = print(\"{phase} {n_tokens}\") >
                  every 20ms < show ops to \"now.parquet\" > end < show ops; show ops to \"now.parquet\" >";
    let to = lab.folder().join("run").display().to_string() + "/";
    let arguments = ["-e", script, "--pid", &pid, "-f", "parquet", "-o", &to, "--output-dir", &folder];
    let running = Profinfer::start_attached(arguments);
    engine.generate(TOKENS);
    let done = running.interrupt();
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{}", done.stderr);
    assert!(done.stderr.contains("lost     nothing"), "the end is told: {}", done.stderr);
    for (file, n) in [("run/ops", TOKENS * STEPS), ("run/batches", TOKENS), ("now", TOKENS * STEPS)] {
        let sql = format!("select sum(n)::bigint as n from '{file}.parquet'");
        assert_eq!(ask(&lab, &sql), [json!({"n": n})], "{file}");
    }
    let sql = "select count(*) as n, sum(n_tokens) > 4 as prompt from 'run/late.parquet'";
    assert_eq!(ask(&lab, sql), [json!({"n": TOKENS, "prompt": true})]);
    assert_eq!(ask(&lab, "select count(*) as n from 'run/moe_route.parquet'"), [json!({"n": 0})]);
    let about =
        "select decode(value) as about from parquet_kv_metadata('run/ops.parquet') where decode(key) = 'profinfer'";
    let about: Value = serde_json::from_str(ask(&lab, about)[0]["about"].as_str().or_fail("a text")).or_fail("JSON");
    assert_eq!(about["end"]["hits"]["ggml_op"], TOKENS * STEPS);
    assert!(about["messages"].to_string().contains(&format!("(pid {pid})")), "{about}");

    // Killed it leaves nothing under a file's name.
    let one = lab.folder().join("one.parquet");
    let to = one.display().to_string();
    let running = Profinfer::start_attached(["-e", "on ggml_op < n = count() by op >", "--pid", &pid, "-o", &to]);
    engine.generate(TOKENS);
    assert_eq!(running.kill().code, None);
    assert!(!one.exists());
    // The next one takes the place of what it left.
    let script = "on ggml_op < n = count() by op >";
    let running = Profinfer::start_attached(["-e", script, "--pid", &pid, "-o", &to]);
    engine.generate(TOKENS);
    assert_eq!(running.interrupt().code, Some(0));
    assert_eq!(ask(&lab, "select sum(n)::bigint as n from 'one.parquet'"), [json!({"n": TOKENS * STEPS})]);
    let left = fs::read_dir(lab.folder()).or_fail("the folder").flatten();
    let left: Vec<_> =
        left.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
}

on_each_engine! {
    events_are_those_of_the_recording,
    tables_are_those_of_json,
    a_run_writes_them_too,
}

/// Texts of a process are what they are, whoever has given them; a program without an engine is recorded as any other.
#[test]
fn names_that_mean_harm_are_texts() {
    let lab = Lab::new();
    let name = "\u{1b}[2J'\";--\n\u{e9}";
    let program = "import ctypes, sys\nlibc = ctypes.CDLL(None)\nlibc.prctl(15, sys.argv[1].encode(), 0, 0, 0)\n\
                   for _ in range(7): libc.getppid()\n";
    let script = "on enter(\"libc:getppid\") < n = count() by comm >";
    let file = lab.folder().join("evil.pirec");
    let command = ["--", "python3", "-c", program, name];
    let recording = Profinfer::run(["record", "-e", script, "-o", &file.display().to_string()].iter().chain(&command));
    assert_eq!(recording.code, Some(0), "{}", recording.stderr);
    let to = |name: &str| lab.folder().join(name).display().to_string();
    replay(&file, &["--events", "-o", &to("events.parquet")]);
    replay(&file, &["-o", &to("table.parquet")]);
    // Where `python3` is a script that looks for the program, its shell asks too.
    let n = ask(&lab, "select comm, count(*) as n from 'events.parquet' where comm <> 'bash' group by all");
    assert_eq!(n, [json!({"comm": name, "n": 7})]);
    assert_eq!(ask(&lab, "select comm, n from 'table.parquet' where comm <> 'bash'"), [json!({"comm": name, "n": 7})]);
    let rows = table(&file, script);
    assert_eq!(whole(rows.iter().find(|row| row["comm"] == name).or_fail("its row"), "n"), 7);
}

/// Each mistake is told with what to do about it, and leaves nothing behind.
#[test]
fn what_cannot_be_written_is_told() {
    let lab = Lab::new();
    let script = "on enter(\"libc:getppid\") < n = count() by comm into a > on enter(\"libc:getpid\") < n = count() by comm into b >";
    let file = lab.folder().join("two.pirec").display().to_string();
    let program = "import os\nfor _ in range(5): os.getppid()\n";
    let recording = Profinfer::run(["record", "-e", script, "-o", &file, "--", "python3", "-c", program]);
    assert_eq!(recording.code, Some(0), "{}", recording.stderr);
    let to = |name: &str| lab.folder().join(name).display().to_string();
    let fails = |code: i32, more: &[&str], words: &[&str]| {
        Profinfer::run(["replay", &file].iter().chain(more)).failed(code, words);
    };
    let several = ["2 tables (a, b)", "a Parquet file holds one", "-o DIR/"];
    fails(2, &["-o", &to("x.parquet")], &several);
    fails(2, &["-f", "parquet"], &several);
    fails(2, &["--events", "-o", &to("x.parquet")], &["the recording has events of 2", "-o DIR/"]);
    fails(2, &["--events", "-f", "csv", "-o", &to("x/")], &["--events writes Parquet", "-f csv"]);
    fails(2, &["--events", "--info"], &["cannot be used with"]);
    fails(2, &["--events", "-o", "/no/such/folder/"], &["cannot write /no/such/folder/: No such file"]);
    fails(
        2,
        &["-f", "parquet", "-o", "/no/such/folder/x.parquet", "-e", "on enter(\"libc:getpid\") < count() >"],
        &["No such file"],
    );
    let one = "on enter(\"libc:getppid\") < n = count() into t > end < show t to \"t.parquet\" >";
    fails(2, &["-e", one, "-o", &to("x.parquet")], &["there is no table to write"]);
    let print = "on enter(\"libc:getppid\") < print(\"{comm} {tid}\") >";
    fails(6, &["-e", print, "-f", "parquet", "-o", "/dev/full"], &["cannot write /dev/full: No space left"]);
    let names = fs::read_dir(lab.folder()).or_fail("the folder").flatten().map(|e| e.file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["two.pirec"], "nothing is left");

    // Into a pipe it goes whole; whoever closes it has read enough.
    let piped = |end: &str| {
        let line =
            format!("{} replay {file} -e '{print}' -q -f parquet {end}; exit ${{PIPESTATUS[0]}}", binary().display());
        Command::new("bash").args(["-c", &line]).status().or_fail("bash").code()
    };
    assert_eq!(piped(&format!("| cat > {}", to("piped.parquet"))), Some(0));
    assert_eq!(ask(&lab, "select count(*) as n from 'piped.parquet'").len(), 1);
    assert_eq!(piped("| true"), Some(0));

    // Of what is damaged all before the damage is there, and it is told.
    let bytes = fs::read(&file).or_fail("the recording");
    let cut = to("cut.pirec");
    fs::write(&cut, &bytes[..bytes.len() - 10]).or_fail("a part of it");
    let part = Profinfer::run(["replay", &cut, "--events", "-o", &to("part/")]);
    assert_eq!(part.code, Some(0), "{}", part.stderr);
    assert!(part.stderr.contains("what is written are the"), "{}", part.stderr);
    let strict = Profinfer::run(["replay", &cut, "--events", "-o", &to("part/"), "--strict"]);
    strict.failed(5, &["not whole"]);
    let sql = "select count(*) as n from 'part/enter_libc_getppid.parquet' where comm <> 'bash'";
    assert_eq!(ask(&lab, sql), [json!({"n": 5})]);
}

/// Interrupted while it writes, a replay leaves nothing under the file's name.
#[test]
fn a_replay_that_is_ended_leaves_no_file() {
    let lab = Lab::new();
    let to = lab.folder().join("x.parquet");
    let partial = lab.folder().join("x.parquet.partial");
    // It waits for the rest of its recording.
    let fifo = lab.folder().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().or_fail("mkfifo").success());
    let file = lab.folder().join("run.pirec").display().to_string();
    let program = "import os\nfor _ in range(5): os.getppid()\n";
    let script = "on enter(\"libc:getppid\") < n = count() by tid >";
    let recording = Profinfer::run(["record", "-e", script, "-o", &file, "--", "python3", "-c", program]);
    assert_eq!(recording.code, Some(0), "{}", recording.stderr);
    let bytes = fs::read(&file).or_fail("the recording");
    let running =
        Profinfer::start(["replay", &fifo.display().to_string(), "--events", "-o", &to.display().to_string()]);
    let mut writer = fs::File::options().write(true).open(&fifo).or_fail("the pipe");
    std::io::Write::write_all(&mut writer, &bytes[..bytes.len() - 20]).or_fail("the pipe");
    wait_until("it writes", std::time::Duration::from_secs(30), || partial.exists());
    signal(running.pid(), libc::SIGINT);
    assert_eq!(running.finish().code, None, "by the signal");
    assert!(!to.exists(), "only {} may be there", partial.display());
}
