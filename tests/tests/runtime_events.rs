//! What is done at events: each is printed once, in order, in time; a run ends and tables are shown where the script says.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Output, Profinfer, binary, number, text, whole};
use profinfer_tests::system::{signal, state, wait_until};
use profinfer_tests::{OrFail, on_each_engine};
use serde_json::Value;

/// Steps of a micro-batch.
const STEPS: u64 = 515;

fn prints<'o>(report: &'o Output, name: &str) -> Vec<&'o Value> {
    report.records.iter().filter(|r| r["type"] == "print" && r["name"] == name).collect()
}

/// What the end says of a clause: how many were told, and how many lost.
#[track_caller]
fn done(report: &Output, name: &str) -> (u64, u64) {
    let all = report.end()["at_events"].as_array().or_fail("at_events").clone();
    let one = all.iter().find(|c| c["name"] == name).or_fail(name);
    (whole(one, "done"), whole(one, "lost"))
}

/// Now, by the clock that the kernel gives events.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that the call may write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Every event is a record with what the tables have of it.
fn each_event_is_printed_once(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on llama_ubatch < print(\"{{{step}}} {phase} {dur} {interval}\"); n = count(), t = sum(dur) by phase into steps >
        on ggml_op where (name = \"result_output\") < head = print(\"{op} {name} {layer} {dur / 1us}\") >
        on ggml_op where (layer = 3) < print(\"{layer}\"); n = count() into third >
    ";
    let report = lab.trace(&mut engine, script, 8);
    let steps = prints(&report, "print");
    assert_eq!(steps.len(), 8);
    assert_eq!(done(&report, "print"), (8, 0));
    for (i, step) in steps.iter().enumerate() {
        let values = &step["values"];
        assert_eq!(step["point"], "llama_ubatch");
        assert_eq!(whole(values, "step"), i as u64 + 1);
        assert_eq!(values["phase"], if i == 0 { "prefill" } else { "decode" });
        assert_eq!(values["interval"].is_null(), i == 0, "{step}");
        let begins = format!("{{{}}} {} ", i + 1, text(values, "phase"));
        assert!(text(step, "text").starts_with(&begins), "{step}");
        assert_eq!(text(step, "text").ends_with(" -"), i == 0, "an absent value is a dash: {step}");
    }
    let table = report.table("steps");
    for phase in ["prefill", "decode"] {
        let durs = steps.iter().filter(|s| s["values"]["phase"] == phase).map(|s| whole(&s["values"], "dur"));
        assert_eq!(durs.sum::<u64>(), whole(table.row("phase", phase), "t"), "{phase}");
    }
    let heads = prints(&report, "head");
    assert_eq!(heads.len(), 8);
    for head in heads {
        assert!(text(head, "text").starts_with("MUL_MAT result_output - "), "{head}");
        assert!(number(&head["values"], "dur/1us") > 0.0, "{head}");
    }
    assert_eq!(prints(&report, "print_2").len() as u64, report.table("third").total("n"));
    let times: Vec<u64> = report.records.iter().filter(|r| r["type"] == "print").map(|r| whole(r, "at_ns")).collect();
    assert!(times.is_sorted(), "in the order of their times");
}

/// An event is there a moment after it has ended, not with the end of the run.
fn an_event_is_printed_at_once(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    // A timer that is always due must not hold anything up.
    let script = "on llama_ubatch < print(\"{time} {dur}\"); count() into t > every 1ms < clear t >";
    let mut command = Command::new(binary());
    command.args(["-e", script, "--format", "json", "--pid", &engine.pid().to_string()]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().or_fail("profinfer");
    let mut said = BufReader::new(running.stderr.take().or_fail("its stderr")).lines().map_while(Result::ok);
    said.by_ref().find(|l| l.contains("attached")).or_fail("it attaches");
    let stdout = running.stdout.take().or_fail("its stdout");
    let reader = std::thread::spawn(move || {
        let mut late = Vec::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let now = monotonic();
            let record: Value = serde_json::from_str(&line).or_fail("a JSON line");
            if record["type"] == "print" {
                let values = &record["values"];
                late.push(now.saturating_sub(whole(values, "time") + whole(values, "dur")));
            }
        }
        late
    });
    engine.generate(20);
    signal(running.id(), libc::SIGINT);
    assert!(running.wait().or_fail("its end").success());
    let mut late = reader.join().ok().or_fail("the reader");
    late.sort_unstable();
    assert_eq!(late.len(), 20);
    assert!(late[10] < 100_000_000, "half of them within 100 ms: {late:?}");
}

/// While nobody reads, the ring fills; what is printed and what is lost are all that happened, clause by clause.
fn what_does_not_fit_is_counted(kind: Kind) {
    const TOKENS: u64 = 100;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < big = print(\"{name} {src0.name} {src1.name} {src2.name} {src0.src[0].name} {src1.src[0].name} {dur}\") >
        on ggml_op < small = print(\"{dur}\"); n = count() into all >
    ";
    let running = Profinfer::attach(engine.pid(), script);
    signal(running.pid(), libc::SIGSTOP);
    wait_until("profinfer stops", Duration::from_secs(5), || state(running.pid()) == Some('T'));
    engine.generate(TOKENS);
    signal(running.pid(), libc::SIGCONT);
    let report = running.interrupt();
    let hits = report.hits("ggml_op");
    assert_eq!(hits, STEPS * TOKENS);
    assert_eq!(report.table("all").total("n"), hits, "tables lose nothing by it");
    let mut lost_of_all = 0;
    for name in ["big", "small"] {
        let (told, lost) = done(&report, name);
        assert_eq!(prints(&report, name).len() as u64, told, "{name}");
        assert_eq!(told + lost, hits, "{name}");
        assert!(lost > 0 && told > 0, "{name}: {told} told, {lost} lost");
        lost_of_all += lost;
    }
    assert_eq!(whole(&report.end()["dropped"], "ring_full"), lost_of_all);
}

/// No step begins after the one that ends the run, and that one is counted whole.
fn a_run_ends_at_an_event(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    for (script, ubatches) in [
        ("on llama_ubatch where (step = 5) < print(\"last\"); exit >", 5),
        // In the middle of a step: it goes on to its end.
        ("on ggml_op(GET_ROWS) where (llama_ubatch.step = 3) < print(\"last\"); exit >", 3),
    ] {
        let script =
            format!("{script} on llama_ubatch < n = count() into ubatches > on ggml_op < n = count() into ops >");
        let running = Profinfer::attach(engine.pid(), &script);
        engine.generate(20);
        let report = running.finish();
        report.succeeded();
        assert_eq!(report.end()["reason"], "exit", "{script}");
        assert!(!prints(&report, "print").is_empty());
        assert_eq!(report.table("ubatches").total("n"), ubatches, "{script}");
        assert_eq!(report.table("ops").total("n"), STEPS * ubatches, "{script}");
    }
}

/// Where user space decides which event it is, the run ends when it learns of it.
fn a_run_ends_at_an_event_that_user_space_finds(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script =
        "on ggml_op where (layer = 7 and llama_ubatch.step = 2) < exit > on llama_ubatch < n = count() into ubatches >";
    let running = Profinfer::attach(engine.pid(), script);
    engine.generate(200);
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.end()["reason"], "exit");
    let n = report.table("ubatches").total("n");
    assert!((2..200).contains(&n), "{n} micro-batches");
}

/// `show; clear` at events: each event is in exactly one of the tables, which hold at least what came before.
fn tables_are_shown_at_events(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count() by op into ops >
        on ggml_op < n = count(), distinct(nth) by op into streamed >
        on ggml_op < n = count() into kept >
        on llama_ubatch < show ops; clear ops; show streamed; clear streamed >
        on llama_ubatch(step = 3) < show kept >
        end < show ops; show streamed; show kept >
    ";
    const TOKENS: u64 = 10;
    let report = lab.trace(&mut engine, script, TOKENS);
    for name in ["ops", "streamed"] {
        let tables = report.tables(name);
        assert_eq!(tables.len() as u64, TOKENS + 1, "one for each micro-batch, and the end's");
        let totals: Vec<u64> = tables.iter().map(|t| t.total("n")).collect();
        assert_eq!(totals.iter().sum::<u64>(), TOKENS * STEPS, "{name}: {totals:?}");
        for (i, _) in totals.iter().enumerate().take(TOKENS as usize) {
            let so_far: u64 = totals[..=i].iter().sum();
            assert!(so_far >= (i as u64 + 1) * STEPS, "{name}: all up to the event is shown: {totals:?}");
        }
    }
    let kept: Vec<u64> = report.tables("kept").iter().map(|t| t.total("n")).collect();
    assert!((3 * STEPS..=TOKENS * STEPS).contains(&kept[0]), "{kept:?}");
    assert_eq!(kept[1], TOKENS * STEPS);
}

on_each_engine! {
    each_event_is_printed_once,
    an_event_is_printed_at_once,
    what_does_not_fit_is_counted,
    a_run_ends_at_an_event,
    a_run_ends_at_an_event_that_user_space_finds,
    tables_are_shown_at_events,
}
