//! `profinfer doctor`, with all rights and with none. Needs root, to have rights that it can do without.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A user without any right.
const NOBODY: u32 = 65_534;

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_profinfer")).arg("doctor").args(arguments).output().unwrap()
}

/// Runs it as a user who may do nothing. Others need not be able to reach the folder it was built in.
fn as_nobody(arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("profinfer");
    std::fs::copy(env!("CARGO_BIN_EXE_profinfer"), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.arg("doctor").args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/");
    command.output().expect("this test runs profinfer as another user: run it as root")
}

#[track_caller]
fn told(output: &Output, code: i32, words: &[&str]) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(code), ""), "it printed:\n{text}");
    // Words may stand on two lines.
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "no {word:?} in:\n{text}");
    }
    // Only what has a word that is too long anyway (a mangled name, a path) may be wider than a terminal.
    let wraps = |line: &&str| line.chars().count() > 80 && line.split_whitespace().all(|w| w.chars().count() < 60);
    assert_eq!(text.lines().find(wraps), None);
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    text
}

#[test]
fn a_machine_that_can_measure() {
    let text =
        told(&doctor(&[]), 0, &["CAP_BPF held", "uprobe_multi yes,", "ringbuf yes,", "This machine can measure."]);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(text.contains(release.trim()), "{text}");
    assert!(text.contains("\n  JIT  "), "{text}");
}

/// Kernels can do more than is made use of: who reads the list must not look for what nothing needs.
#[test]
fn every_feature_is_said_to_be_used_by_something_or_by_nothing() {
    let text = told(&doctor(&[]), 0, &["yes, used by every script: attach to many sites", "used by nothing yet:"]);
    let output = doctor(&["--json"]);
    let json = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), json.lines().count()), (Some(0), 1), "{json}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["type"], &report["pid"]), (&"doctor".into(), &serde_json::Value::Null));
    assert_eq!(report["wrong"], serde_json::json!({ "machine": [], "target": [] }));
    assert_eq!(report["rights"][0]["name"], "CAP_BPF");
    let features = report["features"].as_array().unwrap();
    assert!(features.len() >= 11, "{json}");
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for feature in features {
        let [name, used_by] = ["name", "used_by"].map(|field| feature[field].as_str().unwrap());
        assert!(flat.contains(&format!("{name} yes, used by {used_by}: ")), "{name}, {used_by} in:\n{text}");
        // What nothing works without is used.
        assert!(feature["needed"] == false || used_by != "nothing yet", "{feature}");
    }
}

/// Software ones are there on every kernel; of the others a machine says why not.
#[test]
fn counters_are_told_with_the_reason_where_there_is_none() {
    let text = told(&doctor(&[]), 0, &["counters", "there are", "task_clock", "page_faults", "ctx_switches"]);
    let report: serde_json::Value = serde_json::from_slice(&doctor(&["--json"]).stdout).unwrap();
    let counters = report["counters"].as_array().unwrap();
    assert_eq!(counters.len(), 11, "{report}");
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for counter in counters {
        let [name, found] = ["name", "found"].map(|field| counter[field].as_str().unwrap());
        assert_eq!(counter["available"] == true, found == "counts", "{counter}");
        assert!(flat.contains(name) && (found == "counts" || flat.contains(&format!("{name} no, {found}"))), "{flat}");
    }
    let software = ["task_clock", "page_faults", "major_faults", "ctx_switches", "migrations"];
    let there = |name: &&str| counters.iter().any(|c| c["name"] == **name && c["available"] == true);
    assert!(software.iter().all(there), "{report}");
}

#[test]
fn for_a_program_the_process_is_told_too() {
    let output = doctor(&["--json", "--pid", "4194999"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["pid"]), (Some(3), &4_194_999.into()));
    assert!(report["wrong"]["target"][0].as_str().unwrap().contains("there is no process 4194999"), "{report}");
}

#[test]
fn without_rights_it_says_which_are_missing_and_what_to_do() {
    let output = as_nobody(&[]);
    let text = told(
        &output,
        4,
        &[
            "user user 65534",
            "CAP_BPF missing",
            "CAP_PERFMON missing",
            "features not tried",
            "Run profinfer as root, or give it what user 65534 lacks: CAP_BPF",
            "sudo setcap cap_bpf,cap_perfmon",
        ],
    );
    assert!(!text.contains("can measure"), "{text}");
}

#[test]
fn without_rights_the_process_of_another_user_is_told_apart_from_none() {
    let pid = std::process::id().to_string();
    told(&as_nobody(&["--pid", &pid]), 4, &["cannot be looked at", "may not be read", "CAP_SYS_PTRACE"]);
    told(&as_nobody(&["--pid", "4194999"]), 4, &["there is no process 4194999"]);
}

#[test]
fn a_process_without_an_engine() {
    let pid = std::process::id().to_string();
    let words = ["none recognised", "exports what is known of", "--wait"];
    told(&doctor(&["--pid", &pid]), 3, &words);
}

#[test]
fn a_process_that_is_not_there() {
    told(&doctor(&["--pid", "4194999"]), 3, &["target", "there is no process 4194999"]);
}
