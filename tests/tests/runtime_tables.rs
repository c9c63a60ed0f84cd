//! Tables that are shown and cleared while the engine runs, and two profinfers at once: no event is lost or seen twice.

use std::time::Duration;

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::Profinfer;

/// `show; clear` puts every event into exactly one interval.
fn intervals_add_up_to_the_whole(kind: Kind) {
    const TOKENS: u64 = 40;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), t = sum(dur) by op into cleared >
        on ggml_op < n = count(), t = sum(dur) by op into whole >
        every 50ms < show cleared; clear cleared >
        end < show cleared; show whole >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let whole = report.table("whole");
    let parts = report.tables("cleared");
    assert!(parts.iter().filter(|t| !t.rows.is_empty()).count() > 2, "several intervals held events: {parts:?}");
    assert_eq!(whole.total("n"), 515 * TOKENS);
    for column in ["n", "t"] {
        let sum: u64 = parts.iter().map(|t| t.total(column)).sum();
        assert_eq!(sum, whole.total(column), "{column} of all intervals");
    }
}

/// Two at once count the same, and neither disturbs the other by ending.
fn two_at_once_count_the_same(kind: Kind) {
    const TOKENS: u64 = 8;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let one = Profinfer::attach(engine.pid(), "on ggml_op < n = count() by op >");
    let two = Profinfer::attach(engine.pid(), "on ggml_op < n = count() by op >");
    engine.generate(TOKENS);
    let one = one.interrupt();
    engine.generate(TOKENS);
    let two = two.interrupt();
    one.succeeded();
    two.succeeded();
    let (one, two) = (one.table("ggml_op").by("op", "n"), two.table("ggml_op").by("op", "n"));
    assert_eq!(one.values().sum::<u64>(), 515 * TOKENS);
    assert_eq!(two, one.into_iter().map(|(op, n)| (op, 2 * n)).collect());
}

/// A table that is full says how much it could not take, and `--strict` makes that the exit status.
fn a_full_table_counts_what_it_could_not_take(kind: Kind) {
    const TOKENS: u64 = 4;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on ggml_op < n = count() by op, name into t limit 100 >";
    let running = Profinfer::attach_with(engine.pid(), script, &["--strict"]);
    engine.generate(TOKENS);
    let report = running.interrupt();
    assert_eq!(report.code, Some(5), "exit code of a strict run with losses; it said:\n{}", report.stderr);
    let table = report.table("t");
    assert_eq!(table.rows.len(), 100);
    let lost: u64 = report.end()["dropped"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(table.total("n") + lost, 515 * TOKENS, "counted and lost: {}", report.end());
}

/// A run of fixed length ends by itself; `exit` ends it from within.
fn a_run_ends_by_itself(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let running = Profinfer::attach_with(engine.pid(), "on ggml_op < n = count() >", &["--duration", "3s"]);
    engine.generate(2);
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.table("ggml_op").total("n"), 2 * 515);
    let lasted = Duration::from_nanos(report.end()["duration_ns"].as_u64().unwrap_or_default());
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&lasted), "it lasted {lasted:?}");

    let running = Profinfer::attach(engine.pid(), "on ggml_op < n = count() > after 500ms < exit >");
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.hits("ggml_op"), 0);
    assert_eq!(report.end()["layout"], "unchecked", "nothing came, so nothing was checked");
}

/// What no event of a row had is absent, not 0: a prompt's micro-batches have no interval.
fn of_what_is_never_there_every_column_is_absent(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on llama_ubatch <
        n = count(), t = sum(interval), s = share(interval), r = rate(interval), d = 2 * rate(interval) by phase
        into t >";
    let report = lab.trace(&mut engine, script, 4);
    let rows = report.table("t").rows;
    let row = |phase: &str| rows.iter().find(|r| r["phase"] == phase).unwrap_or_else(|| panic!("no {phase}: {rows:?}"));
    for column in ["t", "s", "r", "d"] {
        assert!(row("prefill")[column].is_null(), "{column} of a prompt: {rows:?}");
        assert!(row("decode")[column].as_f64().is_some_and(|x| x > 0.0), "{column} of tokens: {rows:?}");
    }
    assert_eq!(row("decode")["s"].as_f64(), Some(1.0));
}

on_each_engine! {
    of_what_is_never_there_every_column_is_absent,
    intervals_add_up_to_the_whole,
    two_at_once_count_the_same,
    a_full_table_counts_what_it_could_not_take,
    a_run_ends_by_itself,
}
