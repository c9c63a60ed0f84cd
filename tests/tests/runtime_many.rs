//! Several engines under one profinfer: of different builds, ending one by one, and tables in the middle of a run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use profinfer_tests::engine::{Engine, Kind};
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Profinfer, Table};
use profinfer_tests::system::{engine_library, patched_bytes, wait_until};
use serde_json::Value;

const SCRIPT: &str = "
    on ggml_op < n = count() by pid into steps; n = count() by op into ops >
    on llama_ubatch < n = count() by pid into ubatches >
";

/// Two of one build and one of another.
fn engines(lab: &Lab) -> [Engine; 3] {
    [Kind::Xllamacpp, Kind::Xllamacpp, Kind::Node].map(|kind| lab.engine(kind))
}

/// `--pid a,b --pid c`, counting.
#[track_caller]
fn attach(engines: &[Engine; 3], more: &[&str]) -> Profinfer {
    let [a, b, c] = engines.each_ref().map(Engine::pid);
    let (two, one) = (format!("{a},{b}"), c.to_string());
    let arguments = ["-e", SCRIPT, "--pid", &two, "--pid", &one, "--format", "json"];
    Profinfer::start_attached(arguments.iter().chain(more))
}

/// Counts by process, where each computed `tokens` micro-batches of `each` events.
fn by_pid(engines: &[Engine; 3], tokens: [u64; 3], each: u64) -> std::collections::BTreeMap<String, u64> {
    let rows = engines.iter().zip(tokens).filter(|(_, n)| *n > 0);
    rows.map(|(engine, n)| (engine.pid().to_string(), n * each)).collect()
}

/// The tables called `name` among the whole lines of a file.
fn tables(path: &Path, name: &str) -> Vec<Table> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let records = text.split_inclusive('\n').filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = records.filter(|r| r["type"] == "table" && r["name"] == name);
    named.map(|r| Table { rows: r["rows"].as_array().cloned().unwrap_or_default() }).collect()
}

/// These run both engines; the module's name is what `--quick` leaves out.
mod engine_xllamacpp {
    use super::*;

    /// Each build numbers its operators by itself: rows merge by their words.
    #[test]
    fn three_processes_are_counted_apart_and_together() {
        let lab = Lab::new();
        let mut engines = engines(&lab);
        let tokens = [2, 3, 4];
        let running = attach(&engines, &[]);
        for (engine, n) in engines.iter_mut().zip(tokens) {
            engine.generate(n);
        }
        let report = running.interrupt();
        report.succeeded();
        assert_eq!(report.table("steps").by("pid", "n"), by_pid(&engines, tokens, 515));
        assert_eq!(report.table("ubatches").by("pid", "n"), by_pid(&engines, tokens, 1));
        let ops = report.table("ops");
        assert_eq!(ops.by("op", "n")["MUL_MAT"], 211 * 9, "{ops:?}");
        assert_eq!((ops.total("n"), ops.rows.len()), (515 * 9, 8), "no operator is there twice: {ops:?}");
        assert_eq!(report.end()["layout"], "checked");
    }

    /// One is killed, the others go on; when all have ended, the report comes by itself.
    #[test]
    fn a_run_goes_on_until_its_last_target_ends() {
        let lab = Lab::new();
        let mut engines = engines(&lab);
        let running = attach(&engines, &[]);
        engines[0].generate(2);
        engines[0].signal(libc::SIGKILL);
        assert!(!engines[0].wait(), "the first was killed");
        engines[1].generate(3);
        assert!(engines[1].quit(), "the second ended");
        engines[2].generate(4);
        assert!(patched_bytes(engines[2].pid(), &engine_library(engines[2].pid())) > 0, "the third is still probed");
        assert!(engines[2].quit(), "the third ended");
        let report = running.finish();
        report.succeeded();
        assert_eq!(report.table("steps").by("pid", "n"), by_pid(&engines, [2, 3, 4], 515));
        assert!(report.end()["reason"].as_str().unwrap_or_default().contains("exit"), "{}", report.end());
    }

    /// One is killed, and an interrupt ends the run on what is left, which computes on unharmed.
    #[test]
    fn an_interrupt_leaves_those_that_live() {
        let lab = Lab::new();
        let mut engines = engines(&lab);
        let running = attach(&engines, &[]);
        engines[2].generate(2);
        engines[2].signal(libc::SIGKILL);
        assert!(!engines[2].wait(), "the third was killed");
        let text = engines[1].generate(3).text;
        let report = running.interrupt();
        report.succeeded();
        assert_eq!(report.end()["reason"], "interrupt");
        assert_eq!(report.table("steps").by("pid", "n"), by_pid(&engines, [0, 3, 2], 515));
        for engine in &mut engines[..2] {
            assert_eq!(patched_bytes(engine.pid(), &engine_library(engine.pid())), 0, "breakpoints left");
            assert_eq!(engine.generate(3).text, text);
        }
    }

    /// SIGUSR1 shows the tables so far and clears nothing.
    #[test]
    fn a_signal_shows_the_tables_so_far() {
        let lab = Lab::new();
        let mut engines = engines(&lab);
        let path = lab.folder().join("report.json");
        let running = attach(&engines, &["-o", &path.to_string_lossy()]);
        engines[0].generate(2);
        engines[2].generate(2);
        profinfer_tests::system::signal(running.pid(), libc::SIGUSR1);
        wait_until("the tables in the middle", Duration::from_secs(20), || {
            ["steps", "ops", "ubatches"].iter().all(|name| tables(&path, name).len() == 1)
        });
        engines[0].generate(3);
        engines[1].generate(1);
        let report = running.interrupt();
        assert_eq!(report.code, Some(0), "it said:\n{}", report.stderr);
        let by = |name| tables(&path, name).iter().map(|table| table.by("pid", "n")).collect::<Vec<_>>();
        assert_eq!(by("steps"), [by_pid(&engines, [2, 0, 2], 515), by_pid(&engines, [5, 1, 2], 515)]);
        assert_eq!(by("ubatches"), [by_pid(&engines, [2, 0, 2], 1), by_pid(&engines, [5, 1, 2], 1)]);
        let last = fs::read_to_string(&path).unwrap_or_default();
        let last = last.lines().last().unwrap_or_default();
        assert!(last.contains(r#""type":"end""#) && last.contains(r#""reason":"interrupt""#), "{last}");
    }
}
