//! Points of the kernel on real engines: joined with the operator that the thread is in.

use std::fs;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, number, stock, text, whole};
use profinfer_tests::system::{page_out, read_bytes};

const TOKENS: u64 = 4;

fn faults_of(pid: u32) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).or_fail("stat");
    let words: Vec<u64> =
        text.rsplit(')').next().or_fail("a name").split(' ').map(|w| w.parse().unwrap_or(0)).collect();
    [words[8], words[10]]
}

fn model(lab: &Lab, kind: Kind, model: Model) -> Engine {
    lab.engine_with(kind, &Options { model, ..Options::default() })
}

/// A fault in a layer's weights comes while an operator of that layer runs, and all together are those that the kernel counts.
fn faults_are_in_the_tensors_of_their_operators(kind: Kind) {
    let lab = Lab::new();
    let mut engine = model(&lab, kind, Model::Moe);
    let script = "on page_fault < n = count() by major into all >\n\
                  on page_fault(file = \"*.gguf\") where (has(layer)) < n = count(), sum(dur) by layer, tensor into layers >\n\
                  on page_fault(file = \"*.gguf\") < n = count() by op = ggml_work.op, tensor into ops >";
    let running = Profinfer::attach(engine.pid(), script);
    page_out(engine.pid(), ".gguf");
    let before = faults_of(engine.pid());
    engine.generate(TOKENS);
    let after = faults_of(engine.pid());
    let report = running.interrupt();
    report.succeeded();
    let all = report.table("all").total("n");
    let counted = after[0] - before[0] + after[1] - before[1];
    // The process may touch a page before or after the numbers are read.
    assert!(all >= counted && all - counted < 300, "{all} faults, the kernel counts {counted}");
    let layers = report.table("layers");
    let mut of_layers = 0;
    for row in &layers.rows {
        let tensor = text(row, "tensor");
        let Some((block, _)) = tensor.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else { continue };
        assert_eq!(block, whole(row, "layer").to_string(), "{tensor}: {row}");
        of_layers += whole(row, "n");
    }
    assert!(of_layers > 500, "{layers:?}");
    let ops = report.table("ops");
    for row in ops.rows.iter().filter(|row| text(row, "tensor").contains("exps")) {
        assert_eq!(text(row, "op"), "MUL_MAT_ID", "experts are read by their products: {row}");
    }
    assert!(ops.rows.iter().any(|row| text(row, "tensor").contains("exps")), "{ops:?}");
}

/// What the script says of reads is what the kernel counts for the process.
fn the_script_on_paging_adds_up(kind: Kind) {
    let lab = Lab::new();
    let mut engine = model(&lab, kind, Model::Moe);
    let pid = engine.pid().to_string();
    let script = stock("paging.pi").to_string_lossy().into_owned();
    let running = Profinfer::start_attached([&*script, "-P", "top=1000", "--pid", &pid, "--format", "json"]);
    page_out(engine.pid(), ".gguf");
    let before = read_bytes(engine.pid());
    engine.generate(TOKENS);
    let bytes = read_bytes(engine.pid()) - before;
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("steps");
    let steps = table.only();
    assert_eq!(whole(steps, "steps"), TOKENS);
    let seen = steps["read"].as_u64().unwrap_or(0);
    assert_eq!(seen, bytes, "{steps}");
    assert!((number(steps, "read_per_step") - seen as f64 / TOKENS as f64).abs() < 1.0, "{steps}");
    for name in ["tensors", "by_step"] {
        let table = report.table(name);
        for column in ["faults", "major", "served"] {
            assert_eq!(table.total(column), whole(steps, column), "{column} of {name}");
        }
    }
}

/// With more threads than cores, threads stand in the queue while they have a part of an operator.
fn more_threads_than_cores_are_seen(kind: Kind) {
    let lab = Lab::new();
    let cores = std::thread::available_parallelism().or_fail("cores").get() as u32;
    let mut engine = lab.engine_with(kind, &Options { threads: 2 * cores, ..Options::default() });
    let script = "on off_cpu where (has(ggml_work.ith)) < n = count(), off = sum(dur), queue = sum(queue) by ith = ggml_work.ith into off >\n\
                  on ggml_work < n = count() by ith into work >";
    let running = Profinfer::attach(engine.pid(), script);
    // Where the threads spin, a token takes many times as long as it would.
    engine.generate(2);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("work").rows.len(), 2 * cores as usize);
    let off = report.table("off");
    assert_eq!(off.rows.len(), 2 * cores as usize, "each of them had to wait for a core: {off:?}");
    for row in &off.rows {
        assert!(whole(row, "queue") > 0 && whole(row, "queue") <= whole(row, "off"), "{row}");
    }
}

on_each_engine! {
    faults_are_in_the_tensors_of_their_operators,
    the_script_on_paging_adds_up,
    more_threads_than_cores_are_seen,
}
