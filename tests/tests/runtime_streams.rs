//! Tables whose events come one by one: they hold what the kernel's own rows hold, to the event, and what only they can.

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, number, whole};

const TOKENS: u64 = 12;

/// The same columns, once kept by the kernel and once by user space; `distinct` makes the difference.
fn streamed_rows_are_those_of_the_kernel(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let columns = "n = count(), t = sum(dur), lo = min(dur), hi = max(dur), h = hist(dur), p = quantile(dur, 0.9),
                   long = sum(if(dur > 20us, dur, 0ns))";
    let script = format!(
        "on ggml_op where (layer > 2) < {columns} by op, layer into kernel >
         on ggml_op where (layer > 2) < {columns}, distinct(nth) by op, layer into user >"
    );
    let report = lab.trace(&mut engine, &script, TOKENS);
    let (kernel, user) = (report.table("kernel"), report.table("user"));
    assert!(kernel.total("n") > 0);
    let columns = |rows: &[serde_json::Value]| -> Vec<String> {
        let row = |r: &serde_json::Value| {
            ["op", "layer", "n", "t", "lo", "hi", "h", "p", "long"].map(|c| r[c].to_string()).join(" ")
        };
        let mut rows: Vec<String> = rows.iter().map(row).collect();
        rows.sort();
        rows
    };
    assert_eq!(columns(&user.rows), columns(&kernel.rows));
    assert!(user.rows.iter().all(|r| whole(r, "distinct(nth)") == 1), "{user:?}");
}

/// `show; clear` puts every event that was sent into exactly one interval, too.
fn intervals_of_a_stream_add_up(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), t = sum(dur), distinct(nth) by op into cleared >
        on ggml_op < n = count(), t = sum(dur) by op into whole >
        every 50ms < show cleared; clear cleared >
        end < show cleared; show whole >
    ";
    let report = lab.trace(&mut engine, script, 40);
    let (whole, parts) = (report.table("whole"), report.tables("cleared"));
    assert!(parts.iter().filter(|t| !t.rows.is_empty()).count() > 2, "several intervals held events: {parts:?}");
    assert_eq!(whole.total("n"), 515 * 40);
    for column in ["n", "t"] {
        let sum: u64 = parts.iter().map(|t| t.total(column)).sum();
        assert_eq!(sum, whole.total(column), "{column} of all intervals");
    }
}

/// Micro-batches are numbered one by one, so that each is one more than the one before.
fn a_gap_is_the_difference_to_the_event_before(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on llama_ubatch < n = count(), lo = min(gap(step)), hi = max(gap(step)), sum = sum(gap(step)), h = hist(gap(step)),
                          step = last(step), at = last(pos), line = slope(pos, step), steps = distinct(step) by pid >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    let timings = engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("llama_ubatch");
    let row = table.only();
    let n = whole(row, "n");
    assert!(n >= TOKENS, "{row}");
    assert_eq!((whole(row, "lo"), whole(row, "hi"), whole(row, "sum")), (1, 1, n - 1), "{row}");
    assert_eq!(row["h"], serde_json::json!([{"lo": 1, "hi": 2, "n": n - 1}]), "the first has none before it");
    assert_eq!((whole(row, "step"), whole(row, "steps")), (n, n), "{row}");
    // The last token generated is not computed any more.
    assert_eq!(whole(row, "at"), timings.prompt_tokens + TOKENS - 2, "{row}");
    assert!(number(row, "line") > 0.9, "{row}");
}

/// A limit holds for rows that user space keeps; what is beyond is counted.
fn a_full_stream_counts_what_it_could_not_take(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on ggml_op < n = count(), last(dur) by op, name into t limit 100 >";
    let running = Profinfer::attach_with(engine.pid(), script, &["--strict"]);
    engine.generate(4);
    let report = running.interrupt();
    assert_eq!(report.code, Some(5), "exit code of a strict run with losses; it said:\n{}", report.stderr);
    let table = report.table("t");
    assert_eq!(table.rows.len(), 100);
    let lost = report.end()["dropped"]["rows_over_limit"].as_u64().unwrap_or_default();
    assert_eq!(table.total("n") + lost, 515 * 4, "counted and lost: {}", report.end());
}

/// Groups with columns of other names stand side by side; where one has no row its columns are absent.
fn groups_stand_side_by_side(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count() by op into ops >
        on ggml_op(MUL_MAT | ROPE) < t = sum(dur), last = last(dur) by op into ops >
        on ggml_op(MUL_MAT) where (layer = 3) < third = count() by op into ops >
        end < show ops sort third desc >
    ";
    let table = lab.trace(&mut engine, script, TOKENS).table("ops");
    assert_eq!(table.total("n"), 515 * TOKENS);
    let row = |op: &str| table.row("op", op);
    assert_eq!(whole(row("MUL_MAT"), "third"), 7 * TOKENS);
    assert!(whole(row("ROPE"), "t") > whole(row("ROPE"), "last"));
    assert!(row("ROPE")["third"].is_null() && row("ADD")["t"].is_null() && row("ADD")["last"].is_null(), "{table:?}");
    assert_eq!(table.rows[0]["op"], "MUL_MAT", "sorted by a column of the third group");
}

on_each_engine! {
    streamed_rows_are_those_of_the_kernel,
    intervals_of_a_stream_add_up,
    a_gap_is_the_difference_to_the_event_before,
    a_full_stream_counts_what_it_could_not_take,
    groups_stand_side_by_side,
}
