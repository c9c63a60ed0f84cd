//! Each thread's part of a step: counted as often as thread 0's, and all of its time is either work or waiting.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, Table, number, stock, text, whole};
use profinfer_tests::tracefs::{Probe, Watch};

const TOKENS: u64 = 4;
/// Steps of a token.
const STEPS: u64 = 515;

/// Work and waiting of each thread, and what they are parts of.
const PARTS: &str = "
    on ggml_work < n = count(), t = sum(dur), busy = sum(busy), wait = sum(wait), marked = sum(if(has(busy), 1, 0))
      by ith into threads >
    // What the threads compute together: without the planning of the graph before.
    point computing : span { start \"ggml_graph_compute\" (g: ptr) within llama_ubatch }
    on computing < n = count(), t = sum(dur) into graphs >
    on llama_ubatch < imbalance = sum(imbalance) into ubatches >
";

fn threads_of(lab: &Lab, kind: Kind, threads: u32) -> Engine {
    lab.engine_with(kind, &Options { threads, ..Options::default() })
}

/// The rows of threads 0 to n - 1, in order, and no others.
#[track_caller]
fn rows_of(table: &Table, threads: u64) -> Vec<serde_json::Value> {
    assert_eq!(table.rows.len() as u64, threads, "{table:?}");
    (0..threads).map(|ith| table.row_of("ith", ith).clone()).collect()
}

/// With 1, 2 and 4 threads: the same steps on each, in the same micro-batches; their times are whole.
fn work_and_waiting_are_all_of_a_thread(kind: Kind) {
    let lab = Lab::new();
    for threads in [1, 2, 4] {
        let mut engine = threads_of(&lab, kind, threads);
        let report = lab.trace(&mut engine, PARTS, TOKENS);
        let rows = rows_of(&report.table("threads"), u64::from(threads));
        let graphs = report.table("graphs");
        assert_eq!(graphs.total("n"), TOKENS);
        for row in &rows {
            assert_eq!(whole(row, "n"), STEPS * TOKENS, "{row}");
            assert_eq!(whole(row, "marked"), STEPS * TOKENS, "every step has a barrier: {row}");
            assert_eq!(whole(row, "busy") + whole(row, "wait"), whole(row, "t"), "{row}");
            assert!(whole(row, "busy") > 0 && whole(row, "wait") > 0, "{row}");
            let share = whole(row, "t") as f64 / graphs.total("t") as f64;
            // Where threads are made for every graph, all but thread 0 begin when the system has started them.
            let least = if kind == Kind::Node && row["ith"] != 0 { 0.5 } else { 0.97 };
            assert!((least..=1.0).contains(&share), "{:.2} % of the graphs, {threads} threads: {row}", 100.0 * share);
        }
        // What a micro-batch sums up is what its threads had, but for what its division cuts off.
        let waits: u64 = rows.iter().map(|r| whole(r, "wait")).sum();
        let given_back = report.table("ubatches").total("imbalance") * u64::from(threads);
        assert!((waits - u64::from(threads) * TOKENS..=waits).contains(&given_back), "{given_back} of {waits}");
        assert_eq!(report.hits("ggml_work"), u64::from(threads) * STEPS * TOKENS);
        assert_eq!(report.end()["silent"], serde_json::json!([]));
        assert_eq!(report.end()["open"], 0);
    }
}

/// Workers know the micro-batch that thread 0 is in, and their steps the layer and operator.
fn workers_see_what_encloses_thread_0(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_work < n = count() by ith, phase, step into phases >
        on ggml_work < n = count() by ith, op, layer into steps >
        on ggml_op < n = count() by op, layer into first >
        on ggml_work(MUL_MAT, llama_ubatch.phase = decode) < n = count() by ith into products >
        on ggml_work where (ith != 0 and n_tokens > 1) < n = count() by ith into prompt >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let phases = report.table("phases");
    assert_eq!(phases.rows.len() as u64, 2 * TOKENS, "{phases:?}");
    for row in &phases.rows {
        let phase = if whole(row, "step") == 1 { "prefill" } else { "decode" };
        assert_eq!((text(row, "phase").as_str(), whole(row, "n")), (phase, STEPS), "{row}");
    }
    let by = |rows: &[&serde_json::Value]| -> BTreeMap<(String, String), u64> {
        rows.iter().map(|r| ((text(r, "op"), text(r, "layer")), whole(r, "n"))).collect()
    };
    let first = report.table("first");
    let expected = by(&first.rows.iter().collect::<Vec<_>>());
    let steps = report.table("steps");
    for ith in 0..2 {
        let own: Vec<_> = steps.rows.iter().filter(|r| r["ith"] == ith).collect();
        assert_eq!(by(&own), expected, "thread {ith}");
    }
    let products = report.table("products").by("ith", "n");
    assert_eq!(products["0"], products["1"]);
    assert!(products["0"] > 0);
    assert_eq!(report.table("prompt").only()["n"], STEPS);
}

/// A worker's step is its own thread's, whoever ends it.
fn threads_are_those_of_the_system(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let report = lab.trace(&mut engine, "on ggml_work < n = count() by ith, tid into t >", TOKENS);
    let table = report.table("t");
    let tids =
        |ith: u64| -> Vec<u64> { table.rows.iter().filter(|r| r["ith"] == ith).map(|r| whole(r, "tid")).collect() };
    let (first, worker) = (tids(0), tids(1));
    assert!(worker.iter().all(|t| !first.contains(t)), "{table:?}");
    match kind {
        Kind::Xllamacpp => assert_eq!((first.len(), worker.len()), (1, 1), "{table:?}"),
        // New for every graph.
        Kind::Node => assert_eq!(worker.len() as u64, TOKENS, "{table:?}"),
    }
    assert_eq!(table.total("n"), 2 * STEPS * TOKENS);
    if kind == Kind::Node {
        assert!(table.rows.iter().filter(|r| r["ith"] == 1).all(|r| whole(r, "n") == STEPS), "{table:?}");
    }
}

/// The same from the kernel's own events, in the same generation. The last step of a graph has no event at its end.
fn times_are_those_of_the_kernel(kind: Kind) {
    const START: &str = "ith=+0(%di):s32 name=+256(%si):string";
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let watch = Watch::new(
        engine.pid(),
        &[
            Probe { symbol: "ggml_cpu_extra_compute_forward", fetch: START, filter: None },
            Probe {
                symbol: "ggml_compute_forward_rms_norm_mul_fused",
                fetch: "ith=+0(%di):s32 name=+256(%dx):string",
                filter: None,
            },
            Probe { symbol: "ggml_barrier", fetch: "", filter: None },
        ],
    );
    let script =
        "on ggml_work(name = !\"result_output\") < n = count(), busy = sum(busy), wait = sum(wait) by ith into t >";
    let report = lab.trace(&mut engine, script, TOKENS);
    let hits = watch.hits();
    #[derive(Default, Debug)]
    struct Parts {
        n: u64,
        busy: u64,
        wait: u64,
    }
    let mut found: BTreeMap<u64, Parts> = BTreeMap::new();
    // Of each thread: number, name and time of what it began last, and when it came to a barrier last.
    let mut open: HashMap<u32, (u64, bool, u64, u64)> = HashMap::new();
    for hit in &hits {
        if hit.probe == 2 {
            open.entry(hit.tid).and_modify(|o| o.3 = hit.at_us);
            continue;
        }
        let ith: u64 = hit.fields["ith"].parse().or_fail("a thread's number");
        let last = hit.fields["name"] == "result_output";
        if let Some((ith, false, start, barrier)) = open.insert(hit.tid, (ith, last, hit.at_us, 0)) {
            let parts = found.entry(ith).or_default();
            parts.n += 1;
            parts.busy += barrier - start;
            parts.wait += hit.at_us - barrier;
        }
    }
    let table = report.table("t");
    for row in rows_of(&table, 2) {
        let parts = &found[&whole(&row, "ith")];
        assert_eq!((whole(&row, "n"), parts.n), ((STEPS - 1) * TOKENS, (STEPS - 1) * TOKENS), "{row}");
        let all = 1e3 * (parts.busy + parts.wait) as f64;
        let off = (number(&row, "busy") + number(&row, "wait") - all).abs() / all;
        assert!(off < 0.03, "the time differs by {:.1} %: {row} {parts:?}", 100.0 * off);
        // The kernel's event is at the barrier's very first instruction, which it has to single-step (10 µs with all of the
        // tracing); profinfer's probe is some instructions on.
        let late = (number(&row, "busy") - 1e3 * parts.busy as f64) / parts.n as f64;
        assert!((-2e3..25e3).contains(&late), "the mark comes {late:.0} ns after the barrier's entry: {row} {parts:?}");
    }
}

/// A graph that is cut by attaching counts on no thread.
fn attached_in_the_middle_all_threads_begin_together(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    for _ in 0..3 {
        engine.begin(40);
        let running = Profinfer::attach(engine.pid(), PARTS);
        engine.finish(40);
        let report = running.interrupt();
        report.succeeded();
        let Some(table) = report.tables("threads").pop().filter(|t| !t.rows.is_empty()) else { continue };
        let counts: Vec<u64> = rows_of(&table, 2).iter().map(|r| whole(r, "n")).collect();
        assert_eq!(counts[0], counts[1]);
        assert!(counts[0].is_multiple_of(STEPS) && counts[0] < 40 * STEPS, "{counts:?}");
        assert_eq!(counts[0] / STEPS, report.table("graphs").total("n"));
        return;
    }
    panic!("never attached before the generation was over");
}

/// A build whose barrier is inlined, as clang does: described by a mark that no build has.
fn without_a_barrier_all_but_work_and_waiting_goes_on(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let description = described(&lab, "ggml_barrier_that_is_inlined");
    let engine_option = ["--engine", description.as_str()];
    let pid = engine.pid().to_string();
    let refused = Profinfer::run(["-e", "on ggml_work < sum(busy) >", "--pid", &pid].iter().chain(&engine_option));
    refused.failed(3, &["ggml_work.busy", "ggml_barrier_that_is_inlined", "inlined", "leave it out", "`?`"]);

    let script = "on ggml_work < n = count(), t = sum(dur) by ith into t >";
    let plain = lab.trace_with(&mut engine, script, TOKENS, &engine_option);
    assert!(rows_of(&plain.table("t"), 2).iter().all(|r| whole(r, "n") == STEPS * TOKENS));
    assert_eq!(plain.end()["silent"], serde_json::json!([]), "nothing is missed that nobody asked for");

    let script = "on ggml_work? < n = count(), busy = sum(busy), wait = sum(wait) by ith into t >
                  on llama_ubatch < n = count(), sum(imbalance) into u >";
    let absent = lab.trace_with(&mut engine, script, TOKENS, &engine_option);
    assert!(absent.stderr.contains("ggml_work.busy, and what is made of it, is absent"), "{}", absent.stderr);
    all_absent(&absent);
}

/// A build that has the barrier as a function too, and never calls it.
fn a_barrier_that_is_never_reached_is_told(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let description = described(&lab, "ggml_print_objects");
    let script = "on ggml_work < n = count(), busy = sum(busy), wait = sum(wait) by ith into t >
                  on llama_ubatch < n = count(), sum(imbalance) into u >";
    let report = lab.trace_with(&mut engine, script, TOKENS, &["--engine", &description]);
    all_absent(&report);
}

/// The description with another function in place of the barrier.
fn described(lab: &Lab, mark: &str) -> String {
    let shipped = fs::read_to_string(stock("engines/ggml.pi")).or_fail("ggml.pi");
    let other = shipped.replace("mark \"ggml_barrier\"", &format!("mark \"{mark}\""));
    assert_ne!(other, shipped, "the description has a mark");
    lab.write("marked.pi", &other).to_string_lossy().into_owned()
}

#[track_caller]
fn all_absent(report: &profinfer_tests::profinfer::Output) {
    for row in rows_of(&report.table("t"), 2) {
        assert_eq!(whole(&row, "n"), STEPS * TOKENS);
        assert!(row["busy"].is_null() && row["wait"].is_null(), "absent, not 0: {row}");
    }
    let ubatches = report.table("u");
    assert!(ubatches.only()["sum(imbalance)"].is_null(), "{ubatches:?}");
    assert_eq!(report.end()["silent"], serde_json::json!(["ggml_work.busy"]));
    let reason = report.end()["silent_reasons"]["ggml_work.busy"].as_str().unwrap_or_default();
    assert!(reason.contains("inlined"), "{reason}");
}

/// Two pools at the same time in one process.
#[test]
fn engine_xllamacpp_two_contexts_of_one_process_are_told_apart() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    // The second context is made here.
    engine.generate_in_two(1);
    let script = "
        on ggml_work < n = count(), t = sum(dur), busy = sum(busy), wait = sum(wait) by context, ith into t >
        on ggml_graph < t = sum(dur) by context into g >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    engine.generate_in_two(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let (table, graphs) = (report.table("t"), report.table("g"));
    assert_eq!((table.rows.len(), graphs.rows.len()), (4, 2), "{table:?}");
    for row in &table.rows {
        assert_eq!(whole(row, "n"), STEPS * TOKENS, "{row}");
        assert_eq!(whole(row, "busy") + whole(row, "wait"), whole(row, "t"), "{row}");
        let context = graphs.rows.iter().find(|g| g["context"] == row["context"]).or_fail("its context");
        assert!(whole(row, "t") <= whole(context, "t"), "{row} {context}");
    }
}

/// Two processes that are looked at together.
fn two_processes_are_told_apart(kind: Kind) {
    let lab = Lab::new();
    let (mut one, mut two) = (lab.engine(kind), threads_of(&lab, kind, 1));
    let other = two.pid().to_string();
    let running =
        Profinfer::attach_with(one.pid(), "on ggml_work < n = count() by pid, ith into t >", &["--pid", &other]);
    one.generate(TOKENS);
    two.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let mut found: Vec<(u64, u64, u64)> = Vec::new();
    for row in &report.table("t").rows {
        found.push((whole(row, "pid"), whole(row, "ith"), whole(row, "n")));
    }
    found.sort_unstable();
    let n = STEPS * TOKENS;
    let (a, b) = (u64::from(one.pid()), u64::from(two.pid()));
    let mut expected = vec![(a, 0, n), (a, 1, n), (b, 0, n)];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// What each table of the script says is the same time, sorted otherwise.
fn the_script_on_threads_adds_up(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = stock("threads.pi");
    let pid = engine.pid().to_string();
    let arguments = [&*script.to_string_lossy(), "-P", "top=1000", "-P", "phase=*", "--pid", &pid, "--format", "json"]
        .map(str::to_owned);
    let running = Profinfer::start_attached(arguments);
    engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let threads = report.table("threads");
    assert_eq!(threads.total("n"), 2 * STEPS * TOKENS);
    for name in ["ops", "layers"] {
        let table = report.table(name);
        for column in ["n", "busy", "wait"] {
            assert_eq!(table.total(column), threads.total(column), "{column} of {name}");
        }
        for row in &table.rows {
            assert!((number(row, "gain") - number(row, "wait") / 2.0).abs() <= 1.0, "{row}");
        }
    }
    let steps = report.table("steps");
    assert_eq!(steps.total("steps"), TOKENS);
    for row in &steps.rows {
        let balanced = number(row, "time") - number(row, "gain");
        assert!((number(row, "balanced") - balanced).abs() <= 1.0 && balanced > 0.0, "{row}");
    }
}

/// Nothing is probed at the barrier for scripts that do not ask for what it tells.
#[test]
fn the_barrier_is_probed_only_where_it_is_asked_for() {
    for (script, probed) in [
        ("on ggml_work < count(), sum(dur) by ith, op, layer, tid >", false),
        ("on ggml_work < count() > on llama_ubatch < sum(rest) >", false),
        ("on ggml_work < sum(busy) >", true),
        ("on ggml_work where (wait > 1us) < count() >", true),
        ("on ggml_work < count() by wait >", true),
        ("on llama_ubatch < sum(imbalance) >", true),
    ] {
        let output = Profinfer::run(["plan", "-e", script]);
        assert_eq!(output.code, Some(0), "{script}: {}", output.stderr);
        assert_eq!(output.stdout.contains("ggml_barrier"), probed, "{script}\n{}", output.stdout);
    }
}

on_each_engine! {
    work_and_waiting_are_all_of_a_thread,
    workers_see_what_encloses_thread_0,
    threads_are_those_of_the_system,
    times_are_those_of_the_kernel,
    attached_in_the_middle_all_threads_begin_together,
    without_a_barrier_all_but_work_and_waiting_goes_on,
    a_barrier_that_is_never_reached_is_told,
    two_processes_are_told_apart,
    the_script_on_threads_adds_up,
}
