//! A part of the model on Vulkan, by Mesa's driver that computes on the CPU: a prebuilt engine whose libraries are stripped, and a
//! backend that copies by a function of its own.

use std::collections::BTreeMap;

use profinfer_tests::engine::{Kind, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{text, whole};
use profinfer_tests::tracefs::{Probe, Watch};

const TOKENS: u64 = 3;
/// Numbers that a hidden state has.
const WIDTH: u64 = 576;

#[test]
fn engine_node_vulkan_splits_and_copies_are_seen_whoever_makes_them() {
    let lab = Lab::new();
    let package = lab.cache().node_llama_cpp_vulkan();
    assert!(package.exists(), "{} is missing: run `cargo xtask fetch`", package.display());
    let options = Options { threads: 1, vulkan_layers: 15, package: Some(package), ..Options::default() };
    let mut engine = lab.engine_with(Kind::Node, &options);
    // The first time all shaders are compiled.
    engine.generate(1);
    let copy = Probe { symbol: "ggml_backend_tensor_copy", fetch: "name=+256(%di):string", filter: None };
    let by_scheduler = {
        let split = Probe { symbol: "ggml_backend_graph_compute_async", fetch: "nodes=+4(%si):s32", filter: None };
        let watch = Watch::new(engine.pid(), &[copy, split]);
        engine.generate(TOKENS);
        let hits = watch.hits();
        let splits = hits.iter().filter(|hit| hit.probe == 1).count() as u64;
        assert_eq!(splits, 2 * TOKENS, "the kernel's own count of splits");
        hits.iter().filter(|hit| hit.probe == 0).count() as u64
    };
    let script = "
        on ggml_graph < n = count() by backend, is_async, n_splits into splits >
        on tensor_copy where (has(ggml_sched.n_splits)) < n = count(), bytes = sum(bytes) by name, src_backend, dst_backend into copies >
        on tensor_copy(phase = decode) < n = count() by name into decoding >
        on backend_wait < n = count() by backend into waits >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let splits = report.table("splits");
    let splits: BTreeMap<_, _> = splits
        .rows
        .iter()
        .map(|row| (text(row, "backend"), (text(row, "is_async"), whole(row, "n_splits"), whole(row, "n"))))
        .collect();
    let expected = [("CPU", "false"), ("Vulkan0", "true")];
    assert_eq!(splits, expected.map(|(name, is)| (name.to_owned(), (is.to_owned(), 2, TOKENS))).into());
    let copies = report.table("copies");
    assert_eq!(copies.rows.len(), 7, "{copies:?}");
    for row in &copies.rows {
        let way = (text(row, "src_backend"), text(row, "dst_backend"), whole(row, "n"));
        assert_eq!(way, ("CPU".into(), "Vulkan0".into(), TOKENS), "{row}");
    }
    // Those that the kernel sees the scheduler make, and two a token that the backend makes itself: each once.
    assert_eq!(copies.total("n"), 7 * TOKENS);
    assert_eq!(by_scheduler, 5 * TOKENS, "copies by the scheduler");
    let prompt = whole(copies.row("name", "inp_pos"), "bytes") / 4 - (TOKENS - 1);
    for name in ["ffn_out-15", "ffn_inp-15"] {
        assert_eq!(whole(copies.row("name", name), "bytes"), 4 * WIDTH * (TOKENS - 1 + prompt), "{name}");
    }
    assert_eq!(report.table("decoding").total("n"), 7 * (TOKENS - 1));
    assert_eq!(report.table("waits").only()["backend"], "Vulkan0");
}
