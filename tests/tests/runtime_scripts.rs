//! The stock scripts on real engines: what they print adds up, to the nanosecond where it is a sum.

use std::fs;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Timings};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, Table, number, stock, text, whole};
use profinfer_tests::tracefs::{Probe, Watch};

const TOKENS: u64 = 7;
/// Micro-batches of one token: the first token comes out of the prompt's.
const DECODES: u64 = TOKENS - 1;
/// `ggml_graph_compute(graph, plan)`: the graph's second number is how many nodes it has.
const GRAPH: Probe = Probe { symbol: "ggml_graph_compute", fetch: "nodes=+4(%di):s32", filter: None };
/// How many those are in the builds that are fetched, views included: xllamacpp, node-llama-cpp.
const NODES: [u64; 2] = [939, 936];
/// The row of the time that no operator accounts for.
const REST: &str = "(not in an operator)";
/// Files beside the scripts that are none.
const NO_SCRIPTS: [&str; 1] = ["kernel.pi"];
/// More rows than any table here has.
const ALL: [&str; 2] = ["-P", "top=100000"];

/// A script run on one generation.
#[track_caller]
fn run(engine: &mut Engine, script: &[&str], more: &[&str]) -> (Output, Timings) {
    let pid = engine.pid().to_string();
    let target = ["--pid", &pid, "--format", "json"];
    let running = Profinfer::start_attached(script.iter().chain(&target).chain(more));
    let timings = engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    (report, timings)
}

#[track_caller]
fn run_stock(engine: &mut Engine, name: &str, more: &[&str]) -> (Output, Timings) {
    run(engine, &[&*stock(name).to_string_lossy()], more)
}

/// Rows whose `key` is not [`REST`].
fn operators(table: &Table, key: &str) -> Table {
    Table { rows: table.rows.iter().filter(|row| row[key] != REST).cloned().collect() }
}

/// Each share is the row's part of the total, and all of them are one.
#[track_caller]
fn shares_are_of_the_total(table: &Table, share: &str) {
    let total = table.total("total") as f64;
    for row in &table.rows {
        assert!((number(row, share) - number(row, "total") / total).abs() <= 1e-6, "{row} of {total}");
    }
    let sum: f64 = table.rows.iter().map(|row| number(row, share)).sum();
    assert!((sum - 1.0).abs() <= 1e-6, "{share} adds up to {sum}");
}

#[track_caller]
fn every_part_is_known(table: &Table) {
    for row in &table.rows {
        assert!(!["other", "-"].contains(&&*text(row, "part")), "a step of no known part: {row}");
    }
}

/// The operators and what is none of them are the token, exactly.
fn ops_add_up_to_the_token(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (report, _) = run_stock(&mut engine, "ops.pi", &ALL);
    let (steps, ops) = (report.table("steps"), report.table("ops"));
    let step = steps.only();
    assert_eq!((text(step, "phase"), whole(step, "steps")), ("decode".to_owned(), DECODES));
    assert_eq!(ops.total("total"), whole(step, "time"), "{ops:?}");
    assert_eq!(whole(step, "operators") + whole(step, "rest"), whole(step, "time"), "{step}");
    shares_are_of_the_total(&ops, "token");

    let rest = ops.row("op", REST);
    assert_eq!((whole(rest, "calls"), whole(rest, "total")), (DECODES, whole(step, "rest")), "{rest}");
    assert_eq!(whole(ops.row("op", "MUL_MAT"), "calls"), 211 * DECODES);
    assert_eq!(whole(ops.row("op", "RMS_NORM+MUL"), "calls"), 61 * DECODES, "fused norms");
    assert_eq!(operators(&ops, "op").total("calls"), 515 * DECODES);
    for name in ["tensors", "layers"] {
        let table = report.table(name);
        assert_eq!((table.total("calls"), table.total("total")), (515 * DECODES, whole(step, "operators")), "{name}");
        shares_are_of_the_total(&table, "share(dur)");
    }
    assert_eq!(report.table("layers").rows.len(), 31, "layers and what is outside of them");
    every_part_is_known(&report.table("tensors"));
}

/// The prompt is one micro-batch of 515 steps.
fn ops_of_the_prompt_are_one_ubatch(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (report, _) = run_stock(&mut engine, "ops.pi", &["-P", "phase=prefill", ALL[0], ALL[1]]);
    let (steps, ops) = (report.table("steps"), report.table("ops"));
    assert_eq!((text(steps.only(), "phase"), whole(steps.only(), "steps")), ("prefill".to_owned(), 1));
    assert_eq!(operators(&ops, "op").total("calls"), 515);
    assert_eq!(ops.total("total"), whole(steps.only(), "time"), "{ops:?}");
    assert_eq!(report.table("layers").total("calls"), 515);
    every_part_is_known(&report.table("tensors"));
}

/// `-P phase=*` is both, and only `top` rows are shown.
fn ops_of_all_phases_are_all(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (report, _) = run_stock(&mut engine, "ops.pi", &["-P", "phase=*", "-P", "top=3"]);
    let (steps, ops) = (report.table("steps"), report.table("ops"));
    assert_eq!(steps.by("phase", "steps"), [("decode".into(), DECODES), ("prefill".into(), 1)].into());
    assert_eq!(operators(&ops, "op").total("calls"), 515 * TOKENS);
    assert_eq!(ops.total("total"), steps.total("time"));
    assert_eq!(report.table("layers").rows.len(), 3);
    assert_eq!(report.table("tensors").rows.len(), 3);
}

fn tokens_are_those_of_the_engine(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (report, timings) = run_stock(&mut engine, "tokens.pi", &[]);
    let steps = report.table("steps");
    assert_eq!(steps.by("phase", "steps"), [("decode".into(), DECODES), ("prefill".into(), 1)].into());
    let tokens = [("decode".into(), DECODES), ("prefill".into(), timings.prompt_tokens)];
    assert_eq!(steps.by("phase", "tokens"), tokens.into());
    for row in &steps.rows {
        let speed = 1e9 * number(row, "tokens") / number(row, "compute");
        assert!((number(row, "speed") / speed - 1.0).abs() < 1e-6, "{row}");
    }

    let first = report.table("first_token");
    let first = first.only();
    assert_eq!(whole(first, "prompts"), 1, "{first}");
    assert_eq!(whole(first, "max"), whole(steps.row("phase", "prefill"), "compute"), "the prompt is one micro-batch");

    let output = report.table("output_tokens");
    let output = output.only();
    assert_eq!(whole(output, "tokens"), DECODES, "{output}");
    let compute = number(steps.row("phase", "decode"), "compute");
    assert!(number(output, "mean") * DECODES as f64 + 1.0 > compute, "an interval holds its micro-batch: {output}");

    let intervals = report.table("intervals");
    let buckets = intervals.only()["hist(interval,k=2)"].as_array().or_fail(format_args!("{intervals:?}"));
    assert_eq!(buckets.iter().map(|bucket| whole(bucket, "n")).sum::<u64>(), DECODES, "{buckets:?}");
}

/// Graphs, and nodes of each, as the kernel's own uprobe events have them: builds make graphs of different sizes.
fn graphs_are_those_of_the_engine(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let watch = Watch::new(engine.pid(), &[GRAPH]);
    engine.generate(TOKENS);
    let sizes = watch.hits().into_iter().map(|hit| hit.fields["nodes"].parse::<u64>().or_fail("nodes"));
    let sizes: Vec<u64> = sizes.collect();
    drop(watch);
    assert_eq!(sizes, [NODES[usize::from(kind == Kind::Node)]; TOKENS as usize], "nodes of the graphs");

    let (report, _) = run_stock(&mut engine, "graphs.pi", &[]);
    let graphs = report.table("graphs");
    assert_eq!(graphs.by("phase", "graphs"), [("decode".into(), DECODES), ("prefill".into(), 1)].into());
    assert_eq!(graphs.total("graphs"), TOKENS);
    for row in &graphs.rows {
        assert_eq!(whole(row, "nodes"), sizes[0], "{row}");
    }
    let gaps = report.table("gaps");
    let buckets = gaps.only()["hist(idle,k=1)"].as_array().or_fail(format_args!("{gaps:?}"));
    assert_eq!(buckets.iter().map(|bucket| whole(bucket, "n")).sum::<u64>(), DECODES, "between {TOKENS} graphs");
    let decode = graphs.row("phase", "decode");
    assert!((number(decode, "idle") / DECODES as f64 - number(decode, "gap")).abs() <= 1.0, "{decode}");
}

/// The script with one more clause: the time that its parts have to be.
fn parts_add_up_to_the_token(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = fs::read_to_string(stock("parts.pi")).or_fail("parts.pi");
    let script = script + "\non llama_ubatch(phase = $phase) < time = sum(dur), operators = sum(ops) into times >";
    for (phase, ubatches) in [("decode", DECODES), ("prefill", 1)] {
        let of_phase = format!("phase={phase}");
        let (report, _) = run(&mut engine, &["-e", &script], &["-P", &of_phase, ALL[0], ALL[1]]);
        let (parts, layers, times) = (report.table("parts"), report.table("layers"), report.table("times"));
        assert_eq!(parts.total("total"), whole(times.only(), "time"), "{parts:?}");
        assert_eq!(layers.total("total"), whole(times.only(), "operators"), "{layers:?}");
        shares_are_of_the_total(&parts, "token");
        shares_are_of_the_total(&layers, "share(dur)");
        assert_eq!(operators(&parts, "part").total("calls"), 515 * ubatches);
        assert_eq!(layers.total("calls"), 515 * ubatches);
        assert_eq!(whole(parts.row("part", "head"), "calls"), ubatches);
        every_part_is_known(&parts);
        every_part_is_known(&layers);
        for layer in 0..30 {
            for part in ["attention", "ffn", "norm"] {
                let found = layers.rows.iter().any(|row| row["layer"] == layer && row["part"] == part);
                assert!(found, "no {part} of layer {layer} in {phase}: {layers:?}");
            }
        }
    }
}

#[test]
fn help_of_each_script_lists_its_parameters() {
    let folder = stock("");
    let files = fs::read_dir(&folder).or_fail(folder.display()).map(|entry| entry.or_fail("an entry").file_name());
    let mut names: Vec<String> = files.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.ends_with(".pi") && !NO_SCRIPTS.contains(&&**name));
    assert!(names.len() >= 8, "{names:?}");
    for name in &names {
        let path = stock(name);
        let script = fs::read_to_string(&path).or_fail(name);
        let help = Profinfer::run([path.as_os_str(), "--help".as_ref()]);
        assert_eq!(help.code, Some(0), "{name}: {}", help.stderr);
        assert_eq!(help.stdout, Profinfer::run([name, "--help"]).stdout, "{name} is built in as it is in the folder");
        let about = script.lines().next().and_then(|line| line.strip_prefix("//! ")).or_fail(name);
        assert!(help.stdout.starts_with(about), "{name}:\n{}", help.stdout);
        let parameters: Vec<_> = script.lines().filter_map(|line| line.strip_prefix("param ")).collect();
        for parameter in &parameters {
            let (declared, default) = parameter.split_once(" = ").or_fail(parameter);
            let shown = help.stdout.lines().find(|line| line.trim_start().starts_with(declared));
            let shown = shown.or_fail(format_args!("{name} --help lacks {declared}:\n{}", help.stdout));
            assert!(shown.ends_with(&format!("(default {default})")), "{shown}");
        }
        assert_eq!(help.stdout.contains("has no parameters"), parameters.is_empty(), "{name}:\n{}", help.stdout);
    }
}

on_each_engine! {
    ops_add_up_to_the_token,
    ops_of_the_prompt_are_one_ubatch,
    ops_of_all_phases_are_all,
    tokens_are_those_of_the_engine,
    graphs_are_those_of_the_engine,
    parts_add_up_to_the_token,
}
