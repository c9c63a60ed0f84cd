//! `--max-overhead`: whole steps are left out, what is seen of the others is exact, and the run stays within the budget by its own
//! measure. The graph's structure is the witness: 515 operators a micro-batch, and 3 look-ups of rows.

use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, number, text, whole};
use profinfer_tests::system::{signal, wait_until};

const STEPS: u64 = 515;
/// So little that steps are seen for the first quarter of a second, and for a long time no more.
const TIGHT: &str = "0.02%";
const BY_OP: &str = "on ggml_op < n = count() by op into ops >";

/// Steps that were seen, all of them, and pauses.
fn kept(report: &Output) -> [u64; 3] {
    let budget = &report.end()["budget"];
    let [seen, steps, pauses] = ["seen", "steps", "pauses"].map(|field| whole(budget, field));
    assert!(seen <= steps, "{budget}");
    [seen, steps, pauses]
}

/// Every step that was seen is there whole, and nothing of any other.
fn assert_whole(report: &Output, seen: u64) {
    let by_op = report.table("ops").by("op", "n");
    assert_eq!(by_op.values().sum::<u64>(), seen * STEPS, "{by_op:?}: {}", report.end());
    assert_eq!(by_op.get("GET_ROWS").copied().unwrap_or_default() % seen.max(1), 0, "{by_op:?} in {seen} steps");
    assert_eq!(by_op.get("GLU"), Some(&(seen * 30)), "one for each layer: {by_op:?}");
    assert_eq!(report.hits("llama_ubatch"), seen);
}

/// Steps are seen, left out, and seen again; where one goes on at the position of one that was left out, nothing is known of the
/// time since.
fn the_budget_is_kept_and_counts_are_exact(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let without = lab.trace(&mut engine, BY_OP, 16);
    let share = number(&without.end()["cost"], "share");
    let max = share * 0.6;
    let script = format!(
        "{BY_OP} on llama_ubatch(phase = decode) < n = count(), known = sum(has(interval)), last = max(step) into steps >"
    );
    // The last time in which steps are seen may be cut by the end, and is then not paid back: it is to be one of several.
    let tokens = 300;
    let report = lab.trace_with(&mut engine, &script, tokens, &["--max-overhead", &format!("{:.5}%", max * 100.0)]);
    let [seen, steps, pauses] = kept(&report);
    assert_eq!(steps, tokens);
    assert!(seen < steps && pauses > 0, "{}", report.end());
    assert_whole(&report, seen);
    let cost = &report.end()["cost"];
    assert!(number(cost, "share") <= max * 1.05, "at most {max}, without {share}: {}", report.end());
    assert!(number(cost, "floor") < number(cost, "share"), "{cost}");
    let decoded = report.table("steps");
    let [n, known, last] = ["n", "known", "last"].map(|column| whole(decoded.only(), column));
    // The prompt was seen, as the first of all.
    assert_eq!((n, last), (seen - 1, seen), "seen steps are numbered one after the other: {}", report.end());
    // The first step of each further time in which some were seen has no interval.
    assert!([pauses, pauses - 1].contains(&(n - known)), "{n} - {known}, {}", report.end());
}

/// What is within the budget is as it is without one.
fn nothing_is_left_out_within_the_budget(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let report = lab.trace_with(&mut engine, BY_OP, 30, &["--max-overhead", "90%"]);
    assert_eq!(kept(&report), [30, 30, 0]);
    assert_whole(&report, 30);
}

on_each_engine! { the_budget_is_kept_and_counts_are_exact, nothing_is_left_out_within_the_budget }

/// A generation of which only the first part is seen, and a run that stands where nothing is attached.
#[track_caller]
fn away(engine: &mut Engine, script: &str, more: &[&str]) -> Profinfer {
    let more: Vec<&str> = ["--max-overhead", TIGHT].iter().chain(more).copied().collect();
    let running = Profinfer::attach_with(engine.pid(), script, &more);
    engine.generate(60);
    running
}

/// Ctrl-C comes while nothing is attached; tables were shown and cleared meanwhile, and each event printed.
#[test]
fn engine_xllamacpp_intervals_and_prints_are_of_the_steps_seen() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let script = "on ggml_op < n = count() by op into ops > on llama_ubatch < print(\"{step}\") >
                  every 100ms < show ops; clear ops > end < show ops >";
    let report = away(&mut engine, script, &[]).interrupt();
    report.succeeded();
    let [seen, steps, pauses] = kept(&report);
    assert!(steps == 60 && seen > 0 && seen < steps && pauses == 1, "{}", report.end());
    let all: u64 = report.tables("ops").iter().map(|table| table.total("n")).sum();
    assert_eq!(all, seen * STEPS, "{}", report.end());
    let prints = report.records.iter().filter(|r| r["type"] == "print");
    let numbers: Vec<u64> = prints.map(|p| text(p, "text").parse().or_fail("a number")).collect();
    assert_eq!(numbers, (1..=seen).collect::<Vec<_>>());
    assert_eq!(report.end()["open"], 0);
}

/// A run of its own length ends while nothing is attached, and nothing waits for anything.
#[test]
fn engine_xllamacpp_a_duration_ends_while_steps_are_left_out() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let running = away(&mut engine, BY_OP, &["-d", "40s"]);
    let pid = running.pid();
    signal(pid, libc::SIGTERM);
    let report = running.finish();
    report.succeeded();
    let [seen, steps, _] = kept(&report);
    assert_eq!(steps, 60);
    assert_whole(&report, seen);
    assert_eq!(report.end()["reason"], "terminated");
}

/// The engine ends while nothing is attached: so does the run, and it says what it has.
#[test]
fn engine_xllamacpp_it_may_end_while_steps_are_left_out() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let running = away(&mut engine, BY_OP, &[]);
    engine.quit();
    let report = running.finish();
    report.succeeded();
    let [seen, steps, _] = kept(&report);
    assert!(steps == 60 && seen < steps, "{}", report.end());
    assert_whole(&report, seen);
    assert_eq!((&report.end()["reason"], &report.end()["open"]), (&"target exited".into(), &0.into()));
}

/// A kill while nothing is attached, and one while all is: the engine goes on.
#[test]
fn engine_xllamacpp_a_kill_leaves_the_engine_alone() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    away(&mut engine, BY_OP, &[]).kill();
    engine.generate(3);
    let running = Profinfer::attach_with(engine.pid(), BY_OP, &["--max-overhead", "90%"]);
    engine.begin(20);
    std::thread::sleep(Duration::from_millis(100));
    running.kill();
    engine.finish(20);
}

/// A command is seen from its first step on; what it computes later is left out.
#[test]
fn engine_xllamacpp_a_command_is_seen_from_its_first_step_on() {
    let lab = Lab::new();
    let engine = command(lab.cache(), Kind::Xllamacpp, None, &["-n".into(), "60".into()]);
    let words = [engine.get_program()].into_iter().chain(engine.get_args()).map(|w| w.to_string_lossy().into_owned());
    let script = format!("{BY_OP} on llama_ubatch < n = count() by phase into phases >");
    let before = ["-e", &script, "--format", "json", "--max-overhead", TIGHT, "--follow", "--"].map(str::to_owned);
    let report = Profinfer::run(before.into_iter().chain(words));
    report.succeeded();
    let [seen, steps, pauses] = kept(&report);
    // While it loads, the server tries out a micro-batch of two tokens.
    assert!(steps == 61 && seen < steps && pauses >= 1, "{}", report.end());
    assert_eq!(report.table("ops").total("n"), seen * STEPS, "{}", report.end());
    assert_eq!(report.table("phases").total("n"), seen);
}

/// Two processes share one budget; one of them ends in between.
#[test]
fn engine_xllamacpp_two_processes_share_a_budget() {
    let lab = Lab::new();
    let (mut one, mut other) = (lab.engine(Kind::Xllamacpp), lab.engine(Kind::Xllamacpp));
    let pids = format!("{},{}", one.pid(), other.pid());
    let script = "on ggml_op < n = count() by pid into ops > on llama_ubatch < n = count() by pid into steps >";
    let mut running = Profinfer::start(["-e", script, "--pid", &pids, "--format", "json", "--max-overhead", TIGHT]);
    running.wait_attached();
    wait_until("both are attached to", Duration::from_secs(20), || running.said().matches("attached to").count() == 2);
    one.generate(40);
    one.quit();
    other.generate(20);
    let report = running.interrupt();
    report.succeeded();
    let [seen, steps, _] = kept(&report);
    assert!(steps == 60 && seen < steps, "{}", report.end());
    let (ops, ubatches) = (report.table("ops").by("pid", "n"), report.table("steps").by("pid", "n"));
    assert_eq!(ubatches.values().sum::<u64>(), seen);
    for (pid, n) in ubatches {
        assert_eq!(ops[&pid], n * STEPS, "{ops:?}");
    }
}

/// What cannot be kept within a budget is said before anything is attached.
#[test]
fn what_is_no_share_and_what_needs_every_step_is_refused() {
    let of = |max: &str, script: &str| Profinfer::run(["-e", script, "--pid", "4194999", "--max-overhead", max]);
    for wrong in ["0%", "abc", "200%", "100%", "2", "%", "nan%", "inf%"] {
        of(wrong, BY_OP).failed(2, &["--max-overhead", "above 0 % and below 100 %"]);
    }
    let refused = [
        ("on page_fault < count() >", ["page_fault", "not parts of steps"]),
        ("on ggml_op, llama_decode < count() into t >", ["llama_decode", "not parts of steps"]),
        ("on enter(\"libc:malloc\") < count() by op >", ["malloc", "not parts of steps"]),
        ("on llama_ubatch < rate(n_tokens) into speed >", ["rate(", "`speed`"]),
        ("on ggml_op < hist(gap(ne[0])) by op into gaps >", ["gap(", "`gaps`"]),
        ("on moe_route < lru(expert) by layer into caches >", ["lru(", "`caches`"]),
    ];
    for (script, words) in refused {
        of("2%", script).failed(2, &words);
    }
    // Else it is the process that there is not.
    of("2%", BY_OP).failed(3, &["4194999"]);
    of("0.5%", "on llama_seq < count(), sum(gained) by phase >").failed(3, &["4194999"]);
}
