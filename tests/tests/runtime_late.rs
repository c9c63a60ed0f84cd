//! An engine that is loaded into a process only while profinfer watches it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{self, Kind};
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::Profinfer;
use profinfer_tests::system::wait_until;

/// Reads a line before it becomes the driver.
const LATE: &str = "import sys, runpy; sys.stdin.readline(); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')";

#[test]
fn an_engine_that_is_loaded_later_is_waited_for() {
    let lab = Lab::new();
    let driver = engine::command(lab.cache(), Kind::Xllamacpp, None, &["--hold".into()]);
    let arguments: Vec<OsString> = driver.get_args().map(Into::into).collect();
    let mut process = Command::new(driver.get_program())
        .args(["-c", LATE])
        .args(arguments)
        .envs(driver.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .or_fail("python");
    let mut stdin = process.stdin.take().or_fail("its stdin");
    let mut stdout = BufReader::new(process.stdout.take().or_fail("its stdout"));
    let pid = process.id().to_string();
    let script = "on ggml_op < n = count() > on llama_ubatch < n = count() by pid >";

    let refused = Profinfer::run(["-e", script, "--pid", &pid]);
    refused.failed(3, &["engine", "--wait"]);

    let mut running = Profinfer::start(["-e", script, "--pid", &pid, "--wait", "--format", "json"]);
    wait_until("profinfer to wait", Duration::from_secs(30), || running.said().contains("waiting for an engine"));
    writeln!(stdin, "load").or_fail("the process is gone");
    running.wait_attached();
    let mut line = String::new();
    stdout.read_line(&mut line).or_fail("its answer");
    assert_eq!(line.trim(), format!("ready {pid}"));
    let mut line = String::new();
    writeln!(stdin, "go 4").or_fail("the process is gone");
    stdout.read_line(&mut line).or_fail("its answer");
    let report = running.interrupt();
    writeln!(stdin, "quit").or_fail("the process is gone");
    process.wait().or_fail("the process");
    report.succeeded();
    // Loading computes a micro-batch of its own, which may or may not be seen.
    let ubatches = report.table("llama_ubatch").total("n");
    assert!((4..=5).contains(&ubatches), "{ubatches} micro-batches of 4 tokens");
    assert_eq!(report.table("ggml_op").total("n"), 515 * ubatches);
    assert_eq!(report.end()["layout"], "checked");
}
