//! What a run says of its own cost, against the kernel's own uprobe events and the process's own time.

use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, number, whole};
use profinfer_tests::tracefs::{Probe, Watch};

/// So few that the first window takes in all of them.
const TOKENS: u64 = 3;

/// Every thread's hits of the operators' two entries, and the entries of what encloses them, of which each has an end.
fn hits_are_those_of_the_kernel(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let probe = |symbol| Probe { symbol, fetch: "", filter: None };
    let watch = Watch::new(
        engine.pid(),
        &[
            probe("ggml_cpu_extra_compute_forward"),
            probe("ggml_compute_forward_rms_norm_mul_fused"),
            probe("ggml_graph_compute"),
            probe("_ZN13llama_context14process_ubatch"),
        ],
    );
    engine.generate(TOKENS);
    let hits = watch.hits();
    drop(watch);
    let of = |probes: &[usize]| hits.iter().filter(|hit| probes.contains(&hit.probe)).count() as u64;
    let ends = of(&[2, 3]);
    let report = lab.trace(&mut engine, "on ggml_op < n = count() by op >", TOKENS);
    assert_eq!(report.table("ggml_op").total("n"), 515 * TOKENS);
    let cost = &report.end()["cost"];
    assert_eq!(whole(cost, "steps"), TOKENS, "{cost}");
    let (all, known) = (whole(cost, "hits"), hits.len() as u64 + ends);
    // Where a thread pool is made for each graph, its end is one more.
    let pools = if matches!(kind, Kind::Xllamacpp) { 0 } else { TOKENS };
    assert!((known..=known + pools).contains(&all), "{known} by the kernel, {ends} of them ends: {cost}");
    assert_eq!(whole(cost, "cpu_ns"), whole(cost, "run_cpu_ns"), "all of it was measured: {cost}");
}

on_each_engine! { hits_are_those_of_the_kernel }

/// Time on CPUs is that of `/proc/PID/stat`, which counts in hundredths of a second; shares are of it, and later windows see what
/// the first one saw.
#[test]
fn engine_xllamacpp_shares_are_of_the_time_on_cpus() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let pid = engine.pid();
    let running = Profinfer::attach(pid, "on ggml_op < n = count() by op >");
    let before = ticks(pid);
    engine.generate(150);
    let used = Duration::from_millis(10 * (ticks(pid) - before));
    let report = running.interrupt();
    report.succeeded();
    let cost = &report.end()["cost"];
    let run = Duration::from_nanos(whole(cost, "run_cpu_ns"));
    let apart = run.abs_diff(used);
    assert!(apart < used / 10 + Duration::from_millis(40), "{run:?} of {used:?}: {cost}");
    let cpu = number(cost, "cpu_ns");
    assert!(cpu < number(cost, "run_cpu_ns"), "some of it was not measured: {cost}");
    let (trap, program) = (number(cost, "trap_ns"), number(cost, "program_ns"));
    assert!((number(cost, "share") - (trap + program) / cpu).abs() < 1e-6, "{cost}");
    assert!((number(cost, "floor") - trap / cpu).abs() < 1e-6, "{cost}");
    // Two threads come past each of 515 steps, and a step has four ends and beginnings of its own; at a window's edges are parts
    // of steps.
    let a_step = number(cost, "hits") / number(cost, "steps");
    assert!((950.0..1250.0).contains(&a_step), "{a_step} {cost}");
    // A trap is dearer than a call and cheaper than a page fault.
    let a_hit = trap / number(cost, "hits");
    assert!((100.0..20_000.0).contains(&a_hit), "{a_hit} {cost}");
}

/// Time on CPUs of a process, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).or_fail("stat");
    let (_, fields) = stat.rsplit_once(") ").or_fail("its fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().or_fail("a number of ticks")).sum()
}

/// A script on points of the kernel has no traps; one that nothing computes under has no cost.
#[test]
fn no_engine_has_a_cost_too() {
    let lab = Lab::new();
    let program = "import os, time\nfor i in range(200000): os.getppid()\ntime.sleep(0.2)";
    let script = "on enter(\"libc:getppid\") < n = count() >";
    let output = Profinfer::run(["-e", script, "--format", "json", "--", "python3", "-c", program]);
    output.succeeded();
    let n = output.table("enter").total("n");
    drop(lab);
    let cost = &output.end()["cost"];
    let (hits, share) = (whole(cost, "hits"), number(cost, "share"));
    // The process spends its time in this function and its traps: all hits are in a window as long as the run.
    assert!(hits > 0 && hits <= n, "{n} calls: {cost}");
    assert!((0.05..1.5).contains(&share), "{n} calls: {cost}");
    assert_eq!(cost["steps"], serde_json::Value::Null);
    let idle = Profinfer::run(["-e", script, "-d", "100ms", "--format", "json", "--", "sleep", "0.3"]);
    assert!(idle.end()["cost"].is_object() || idle.end()["no_cost"].is_string(), "{}", idle.end());
}
