//! Time adds up: steps to graphs, graphs to micro-batches, micro-batches to what the engine's own clock says.

use std::time::{Duration, Instant};

use profinfer_tests::engine::{Kind, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, number, whole};

const TOKENS: u64 = 16;

/// What lies between the start of a graph and its first step is all that may be missing.
fn steps_add_up_to_their_graphs(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < t = sum(dur) by pid into steps >
        on ggml_graph < n = count(), t = sum(dur) by pid into graphs >
        on llama_ubatch < n = count(), t = sum(dur) by pid into ubatches >
        on llama_decode < t = sum(dur) by pid into calls >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let (steps, graphs) = (report.table("steps"), report.table("graphs"));
    let (ubatches, calls) = (report.table("ubatches"), report.table("calls"));
    assert_eq!(whole(graphs.only(), "pid"), u64::from(engine.pid()));
    assert_eq!((graphs.total("n"), ubatches.total("n")), (TOKENS, TOKENS));
    let share = steps.total("t") as f64 / graphs.total("t") as f64;
    assert!((0.95..=1.0).contains(&share), "steps are {:.2} % of their graphs", 100.0 * share);
    assert!(graphs.total("t") < ubatches.total("t"), "graphs {graphs:?} lie in micro-batches {ubatches:?}");
    assert!(ubatches.total("t") < calls.total("t"), "micro-batches {ubatches:?} lie in calls {calls:?}");
}

/// The fields that sum up what a graph or micro-batch encloses.
fn enclosed_time_is_the_time_of_what_is_enclosed(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < t = sum(dur) into steps >
        on ggml_graph < t = sum(dur), inner = sum(ops) into graphs >
        on llama_ubatch < inner = sum(graphs), steps = sum(ops) into ubatches >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let steps = report.table("steps").total("t");
    assert_eq!(report.table("graphs").total("inner"), steps, "steps of graphs");
    assert_eq!(report.table("ubatches").total("steps"), steps, "steps of micro-batches");
    assert_eq!(report.table("ubatches").total("inner"), report.table("graphs").total("t"), "graphs of micro-batches");
}

/// One prompt, then one micro-batch a token.
fn phases_are_those_of_the_engine(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on llama_ubatch < n = count(), tokens = sum(n_tokens), max(n_seqs) by phase >";
    let running = Profinfer::attach(engine.pid(), script);
    let timings = engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("llama_ubatch");
    assert_eq!(table.by("phase", "n"), [("decode".into(), TOKENS - 1), ("prefill".into(), 1)].into());
    assert_eq!(
        table.by("phase", "tokens"),
        [("decode".into(), TOKENS - 1), ("prefill".into(), timings.prompt_tokens)].into()
    );
    assert!(table.rows.iter().all(|r| whole(r, "max(n_seqs)") == 1), "{table:?}");
}

/// A long prompt is several micro-batches: their tokens are the prompt's, their positions follow one another.
fn a_long_prompt_is_all_its_ubatches(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { repeat_prompt: 12, ubatch: 64, ..Options::default() });
    let script = "
        on llama_ubatch(phase = prefill) < n = count(), tokens = sum(n_tokens), last = max(pos), ttft = max(ttft) into prompt >
        on llama_ubatch < dur = sum(dur) into all >
        on llama_ubatch where (has(ttft)) < n = count() into first >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    let timings = engine.generate(1);
    let report = running.interrupt();
    report.succeeded();
    let prompt = report.table("prompt");
    let prompt = prompt.only();
    assert_eq!(whole(prompt, "tokens"), timings.prompt_tokens);
    assert!(whole(prompt, "n") >= timings.prompt_tokens.div_ceil(64), "{prompt}");
    assert!(whole(prompt, "last") < timings.prompt_tokens, "{prompt}");
    // From the start of the first to the end of the last: no less than all of them.
    assert!(whole(prompt, "ttft") >= report.table("all").total("dur"), "{prompt} {:?}", report.table("all"));
    assert_eq!(report.table("first").total("n"), 1, "one micro-batch has the first output");
}

/// A client hangs up in the middle of a prompt, which takes several calls of 512 tokens; the next prompt's clock does not begin with the first one's. Attached in
/// the middle of a prompt there is no first token to time.
#[test]
fn a_cancelled_prompt_is_left_behind() {
    let lab = Lab::new();
    let mut engine = lab.engine_with(Kind::Xllamacpp, &Options { repeat_prompt: 60, ubatch: 16, ..Options::default() });
    let script = "
        on llama_ubatch where (has(ttft)) < n = count(), ttft = max(ttft) into first >
        on llama_ubatch(phase = prefill) < n = count() into prompt >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    engine.cancel(200);
    std::thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    let timings = engine.generate(1);
    let took = begin.elapsed();
    let report = running.interrupt();
    report.succeeded();
    let ubatches = timings.prompt_tokens.div_ceil(16);
    assert!(report.table("prompt").total("n") > ubatches, "nothing was computed of the prompt that was cancelled");
    let first = report.table("first");
    let first = first.only();
    assert_eq!(whole(first, "n"), 1, "{first}");
    assert!(u128::from(whole(first, "ttft")) <= took.as_nanos(), "{first}, though it all took {took:?}");

    engine.begin(1);
    std::thread::sleep(Duration::from_millis(100));
    let running =
        Profinfer::attach(engine.pid(), "on llama_ubatch < n = count(), timed = sum(if(has(ttft), 1, 0)) into all >");
    engine.finish(1);
    let report = running.interrupt();
    report.succeeded();
    let all = report.table("all");
    assert!((1..ubatches).contains(&all.total("n")), "attached in the middle: {all:?}");
    assert_eq!(all.total("timed"), 0, "{all:?}");
}

/// Time to first token and the intervals after it are the whole generation.
fn tokens_take_the_time_that_the_engine_says(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    engine.generate(2); // the model's pages come into memory
    let script = "
        on llama_ubatch < first = sum(ttft), rest = sum(interval) into times >
        on llama_ubatch where (has(interval)) < n = count() into intervals >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    let timings = engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("intervals").total("n"), TOKENS - 1);
    let table = report.table("times");
    let seen = 1e-6 * (table.total("first") + table.total("rest")) as f64;
    let said = timings.prompt_ms + timings.eval_ms;
    let ratio = seen / said;
    assert!((0.85..=1.15).contains(&ratio), "{seen:.2} ms seen, {said:.2} ms said by the engine: {timings:?}");
}

/// A histogram holds every event, in buckets that do not overlap; quantiles and extremes agree with it.
fn distributions_hold_every_event(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), h = hist(dur), fine = hist(dur, k=3), lo = min(dur), hi = max(dur),
            p50 = quantile(dur, 0.5), p99 = quantile(dur, 0.99), mean = avg(dur), t = sum(dur) by op >
    ";
    let table = lab.trace(&mut engine, script, TOKENS).table("ggml_op");
    assert_eq!(table.total("n"), 515 * TOKENS);
    for row in &table.rows {
        let (lo, hi) = (number(row, "lo"), number(row, "hi"));
        for name in ["h", "fine"] {
            let buckets = row[name].as_array().cloned().unwrap_or_default();
            assert_eq!(buckets.iter().map(|b| whole(b, "n")).sum::<u64>(), whole(row, "n"), "{name} of {row}");
            assert!(buckets.windows(2).all(|pair| number(&pair[0], "hi") <= number(&pair[1], "lo")), "{name} of {row}");
            let (first, last) = (&buckets[0], &buckets[buckets.len() - 1]);
            assert!(number(first, "lo") <= lo && lo < number(first, "hi"), "least value in {name} of {row}");
            assert!(number(last, "lo") <= hi && hi < number(last, "hi"), "greatest value in {name} of {row}");
        }
        let (p50, p99) = (number(row, "p50"), number(row, "p99"));
        assert!(p50 <= p99, "{row}");
        // Within the bound that a quantile states, 1.6 %.
        assert!(lo * 0.984 <= p50 && p99 <= hi * 1.016, "{row}");
        let mean = number(row, "t") / number(row, "n");
        assert!((number(row, "mean") - mean).abs() <= 1.0, "{row}");
    }
}

/// Shares are of the table's total.
fn shares_add_up_to_one(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let table = lab.trace(&mut engine, "on ggml_op < t = sum(dur), s = share(dur) by op >", TOKENS).table("ggml_op");
    let total = table.total("t") as f64;
    for row in &table.rows {
        assert!((number(row, "s") - number(row, "t") / total).abs() < 1e-6, "{row} of {total}");
    }
    let sum: f64 = table.rows.iter().map(|r| number(r, "s")).sum();
    assert!((sum - 1.0).abs() < 1e-6, "shares add up to {sum}");
}

on_each_engine! {
    steps_add_up_to_their_graphs,
    enclosed_time_is_the_time_of_what_is_enclosed,
    phases_are_those_of_the_engine,
    a_long_prompt_is_all_its_ubatches,
    tokens_take_the_time_that_the_engine_says,
    distributions_hold_every_event,
    shares_add_up_to_one,
}
