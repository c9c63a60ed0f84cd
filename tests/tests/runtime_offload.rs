//! A part of the model on another backend: an RPC server on this machine. What profinfer says of splits, copies and waiting is
//! held against the kernel's own uprobe events and the known structure of the graphs.

use std::collections::BTreeMap;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Model};
use profinfer_tests::lab::Lab;
use profinfer_tests::offload::{Offload, Split};
use profinfer_tests::profinfer::{Profinfer, Table, number, stock, text, whole};
use profinfer_tests::tracefs::{Probe, Watch};

const TOKENS: u64 = 5;
/// Micro-batches of one token: the first token comes out of the prompt's.
const DECODES: u64 = TOKENS - 1;
/// Numbers that a hidden state has: the width of the model.
const WIDTH: u64 = 576;
/// Tokens that it knows.
const VOCABULARY: u64 = 49152;
/// `ggml_backend_graph_compute_async(backend, graph)`: the graph's second number is how many nodes it has.
const SPLIT: Probe =
    Probe { symbol: "ggml_backend_graph_compute_async", fetch: "backend=%di:x64 nodes=+4(%si):s32", filter: None };
/// `ggml_backend_tensor_copy(from, to)`
const COPY: Probe = Probe {
    symbol: "ggml_backend_tensor_copy",
    fetch: "name=+256(%di):string type=+0(%di):s32 ne0=+16(%di):s64 ne1=+24(%di):s64 ne2=+32(%di):s64 ne3=+40(%di):s64 \
            nb1=+56(%di):s64 nb2=+64(%di):s64 nb3=+72(%di):s64",
    filter: None,
};

/// Rows as (text of a key, count).
fn counts(table: &Table, key: &str) -> BTreeMap<String, u64> {
    table.rows.iter().map(|row| (text(row, key), whole(row, "n"))).collect()
}

fn pairs<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
    pairs.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}

/// Two numbers by name.
type Pairs = BTreeMap<String, (u64, u64)>;

/// What the kernel sees of one generation: for each backend (as an address) its splits and their nodes, and the copies with
/// the bytes of what is copied, by the name of the copy.
fn seen(engine: &mut Engine) -> (Pairs, Pairs) {
    let watch = Watch::new(engine.pid(), &[SPLIT, COPY]);
    engine.generate(TOKENS);
    let (mut splits, mut copies) = (BTreeMap::<_, (u64, u64)>::new(), BTreeMap::<_, (u64, u64)>::new());
    for hit in watch.hits() {
        let number = |name: &str| hit.fields[name].parse::<u64>().or_fail(format_args!("{name} of {hit:?}"));
        if hit.probe == 0 {
            let split = splits.entry(hit.fields["backend"].clone()).or_default();
            (split.0, split.1) = (split.0 + 1, split.1 + number("nodes"));
        } else {
            // F32 (0) and I32 (26) have 4 bytes, F16 (1) has 2, I64 (27) has 8; nothing else is copied here.
            let size = match number("type") {
                1 => 2,
                0 | 26 => 4,
                27 => 8,
                other => panic!("a tensor of type {other} is copied: {hit:?}"),
            };
            // What is copied goes from the first element to the last: a part of a wider matrix takes what lies between along.
            let rows = [("ne1", "nb1"), ("ne2", "nb2"), ("ne3", "nb3")];
            let bytes = size * number("ne0") + rows.map(|(ne, nb)| (number(ne) - 1) * number(nb)).iter().sum::<u64>();
            let copy = copies.entry(hit.fields["name"].clone()).or_default();
            (copy.0, copy.1) = (copy.0 + 1, copy.1 + bytes);
        }
    }
    (splits, copies)
}

/// The dense model, half of it on the server: two splits and seven copies a token, each with the kernel's own count of nodes and
/// bytes.
#[test]
fn engine_llama_cpp_splits_and_copies_are_those_of_the_kernel() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::Half);
    let (splits, copies) = seen(&mut offload.engine);
    assert_eq!(splits.len(), 2, "backends: {splits:?}");
    assert_eq!(copies.values().map(|(n, _)| n).sum::<u64>(), 7 * TOKENS, "{copies:?}");
    let script = "
        on ggml_graph < n = count(), nodes = sum(n_nodes), most = max(n_splits) by backend, is_async into splits >
        on tensor_copy where (has(ggml_sched.n_splits)) < n = count(), bytes = sum(bytes) by name into copies >
        on tensor_copy(phase = decode) < n = count(), bytes = sum(bytes) by src_backend, dst_backend, direction into ways >
        on ggml_sched < n = count(), n_splits = sum(n_splits) into steps >
        on llama_ubatch < graphs = sum(graphs), time = sum(dur) into ubatches >
    ";
    let report = lab.trace(&mut offload.engine, script, TOKENS);
    let table = report.table("splits");
    assert_eq!(counts(&table, "backend"), pairs([("CPU", TOKENS), ("RPC0", TOKENS)]));
    assert_eq!(
        (text(table.row("backend", "CPU"), "is_async"), text(table.row("backend", "RPC0"), "is_async")),
        ("false".into(), "true".into())
    );
    let mut nodes: Vec<(u64, u64)> = table.rows.iter().map(|row| (whole(row, "n"), whole(row, "nodes"))).collect();
    nodes.sort_unstable();
    let mut of_kernel: Vec<(u64, u64)> = splits.into_values().collect();
    of_kernel.sort_unstable();
    assert_eq!(nodes, of_kernel, "splits and their nodes");
    assert!(table.rows.iter().all(|row| whole(row, "most") == 2), "{table:?}");
    let table = report.table("copies");
    let counted: BTreeMap<_, _> =
        table.rows.iter().map(|row| (text(row, "name"), (whole(row, "n"), whole(row, "bytes")))).collect();
    assert_eq!(counted, copies, "copies and their bytes");
    // The hidden state and the residual, of one token each, as floats.
    for name in ["ffn_out-15", "ffn_inp-15"] {
        let copied = whole(table.row("name", name), "bytes");
        assert_eq!(copied, 4 * WIDTH * (DECODES + offload_prompt(&counted)), "{name}");
    }
    let way = report.table("ways");
    let way = way.only();
    assert_eq!(
        (text(way, "src_backend"), text(way, "dst_backend"), text(way, "direction")),
        ("CPU".into(), "RPC0".into(), "to_device".into())
    );
    assert_eq!(whole(way, "n"), 7 * DECODES);
    let steps = report.table("steps");
    assert_eq!((whole(steps.only(), "n"), whole(steps.only(), "n_splits")), (TOKENS, 2 * TOKENS));
    let ubatches = report.table("ubatches");
    assert!(whole(ubatches.only(), "graphs") < whole(ubatches.only(), "time"), "{ubatches:?}");
    assert_eq!(report.hits("ggml_graph"), 2 * TOKENS);
}

/// Tokens of the prompt, by the positions that were copied for them: four bytes each.
fn offload_prompt(copies: &BTreeMap<String, (u64, u64)>) -> u64 {
    copies["inp_pos"].1 / 4 - DECODES
}

/// The mixture with its experts on the CPU: 62 splits and 99 copies a token, and on the CPU nothing but what belongs to them.
#[test]
fn engine_llama_cpp_experts_on_the_cpu_cost_a_split_and_copies_in_each_layer() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Moe, Split::AllButExperts);
    let (splits, copies) = seen(&mut offload.engine);
    assert_eq!(splits.values().map(|(n, _)| n).sum::<u64>(), 62 * TOKENS, "{splits:?}");
    let script = "
        on ggml_graph < n = count() by backend into splits >
        on tensor_copy where (has(ggml_sched.n_splits)) < n = count(), bytes = sum(bytes) by direction into copies >
        on ggml_op(phase = decode) < n = count() by op, reason into ops >
        on ggml_op < n = count() by backend into where_ops >
        on backend_wait < n = count() by backend into waits >
    ";
    let report = lab.trace(&mut offload.engine, script, TOKENS);
    assert_eq!(counts(&report.table("splits"), "backend"), pairs([("CPU", 31 * TOKENS), ("RPC0", 31 * TOKENS)]));
    let table = report.table("copies");
    assert_eq!(table.total("n"), 99 * TOKENS, "{table:?}");
    assert_eq!(table.total("n"), copies.values().map(|(n, _)| n).sum::<u64>());
    assert_eq!(table.total("bytes"), copies.values().map(|(_, bytes)| bytes).sum::<u64>());
    assert_eq!(counts(&table, "direction"), pairs([("to_device", 39 * TOKENS), ("to_host", 60 * TOKENS)]));
    // Gate, up and down of 30 layers, what joins the first two, and the embedding.
    let ops: BTreeMap<_, _> =
        report.table("ops").rows.iter().map(|r| ((text(r, "op"), text(r, "reason")), whole(r, "n"))).collect();
    let expected = [("MUL_MAT_ID", "weights", 90), ("GLU", "other", 30), ("GET_ROWS", "weights", 1)];
    let expected = expected.map(|(op, reason, n)| ((op.to_owned(), reason.to_owned()), n * DECODES));
    assert_eq!(ops, expected.into_iter().collect());
    assert_eq!(report.table("where_ops").only()["backend"], "CPU");
    assert_eq!(report.table("waits").only()["backend"], "RPC0");
}

/// All of the model on the server: the logits come back from it, one row for each token that is output.
#[test]
fn engine_llama_cpp_logits_that_come_from_a_device_are_copies() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::All);
    let script = "on tensor_copy where (direction = to_host) < n = count(), bytes = sum(bytes) by name, src_backend >";
    let report = lab.trace(&mut offload.engine, script, TOKENS);
    let table = report.table("tensor_copy");
    let row = table.only();
    assert_eq!((text(row, "name"), text(row, "src_backend")), ("result_output".into(), "RPC0".into()));
    assert_eq!((whole(row, "n"), whole(row, "bytes")), (TOKENS, 4 * VOCABULARY * TOKENS));
}

/// Without a second backend there is one split a step, no copy, and nobody to wait for.
#[test]
fn engine_llama_cpp_the_cpu_alone_has_one_split_and_no_copies() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::CpuOnly);
    let script = "
        on ggml_graph < n = count() by backend, n_splits into splits >
        on tensor_copy < n = count() into copies >
        on backend_wait < n = count() into waits >
    ";
    let report = lab.trace(&mut offload.engine, script, TOKENS);
    let table = report.table("splits");
    let row = table.only();
    assert_eq!((text(row, "backend"), whole(row, "n_splits"), whole(row, "n")), ("CPU".into(), 1, TOKENS));
    assert_eq!(report.table("copies").rows.len(), 0);
    assert_eq!(report.table("waits").rows.len(), 0);
}

/// Engine and server in one report: the server computes the very nodes that were submitted to it.
#[test]
fn engine_llama_cpp_both_sides_are_told_apart() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::Half);
    let (engine, server) = (offload.engine.pid(), offload.server_pid());
    let script = "
        on ggml_graph < n = count(), nodes = sum(n_nodes), t = sum(dur) by pid, backend into graphs >
        on ggml_op < n = count(), t = sum(dur) by pid into ops >
    ";
    let running = Profinfer::attach_with(engine, script, &["--pid", &server.to_string()]);
    offload.engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let graphs: BTreeMap<_, _> = report
        .table("graphs")
        .rows
        .iter()
        .map(|r| ((whole(r, "pid"), text(r, "backend")), (whole(r, "n"), whole(r, "nodes"))))
        .collect();
    let submitted = graphs[&(u64::from(engine), "RPC0".to_owned())];
    assert_eq!(submitted.0, TOKENS);
    assert_eq!(graphs[&(u64::from(server), "CPU".to_owned())], submitted, "{graphs:?}");
    assert_eq!(graphs.len(), 3, "{graphs:?}");
    let ops = report.table("ops");
    let time = |pid: u32| whole(ops.row_of("pid", u64::from(pid)), "t");
    assert!(time(server) > 0 && time(engine) > 0, "{ops:?}");
}

/// `offload.pi`: all time is accounted for once, to the nanosecond, and the server's side is told apart.
#[test]
fn engine_llama_cpp_the_stock_script_adds_up() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::Half);
    let (engine, server) = (offload.engine.pid(), offload.server_pid());
    let (script, pid, other) = (stock("offload.pi"), engine.to_string(), server.to_string());
    let arguments = [&*script.to_string_lossy(), "--pid", &pid, "--pid", &other, "--format", "json"].map(str::to_owned);
    let running = Profinfer::start_attached(arguments);
    offload.engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let steps = report.table("steps");
    let step = steps.only();
    assert_eq!((whole(step, "pid"), whole(step, "steps")), (u64::from(engine), DECODES));
    assert_eq!((number(step, "splits"), number(step, "copies")), (2.0, 7.0));
    let time = report.table("time");
    let inside: u64 = time
        .rows
        .iter()
        .filter(|row| !text(row, "what").ends_with("between steps"))
        .map(|row| whole(row, "total"))
        .sum();
    assert_eq!(inside, whole(step, "time"), "{time:?}");
    let told: Vec<String> = time.rows.iter().map(|row| text(row, "what")).collect();
    for what in [
        "computing on CPU",
        "copies CPU to RPC0",
        "submitting to RPC0 (its work: not visible)",
        "waiting for RPC0",
        "waiting for RPC0 between steps",
        "(the rest of the step)",
    ] {
        assert!(told.iter().any(|t| t == what), "no {what:?} in {told:?}");
    }
    let backends = report.table("backends");
    let served = report.table("served");
    let served = served.only();
    assert_eq!(whole(served, "pid"), u64::from(server));
    // The prompt's graph has as many nodes as each of the others.
    assert_eq!(whole(served, "nodes") * DECODES, whole(backends.row("backend", "RPC0"), "nodes") * TOKENS);
    assert!(report.table("on_cpu").rows.iter().all(|row| whole(row, "pid") == u64::from(engine)));
}
