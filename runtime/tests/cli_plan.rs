//! `profinfer plan` without a process, run as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

const SCRIPT: &str = "on ggml_op(MUL_MAT) where (dur > 1us) < n = count(), sum(dur) by name into ops >
every 1s < show ops; clear ops >";

fn plan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_profinfer"));
    command.arg("plan").args(arguments).output().unwrap()
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = plan(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[test]
fn a_plan_says_what_is_kept_where_it_is_probed_and_what_it_takes() {
    let text = printed(&["-e", SCRIPT]);
    contains(&text, &["ops", "sites (in an engine that has them all", "close and open ggml_op", "instructions)"]);
    contains(&text, &["ggml_cpu_extra_compute_forward", "return of ggml_graph_compute", "check the layout at ggml_op"]);
    contains(&text, &["maps\n", "2 x table ops", "open ggml_op", "kernel memory: "]);
    assert!(!text.contains("r0 = "), "no programs unless asked for:\n{text}");
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    // Only what has a word that is too long anyway (a mangled name, a path) may be wider than a terminal.
    let wraps = |line: &&str| line.chars().count() > 80 && line.split_whitespace().all(|w| w.chars().count() < 60);
    assert_eq!(text.lines().find(wraps), None);
}

#[test]
fn what_a_script_does_not_use_is_not_probed() {
    let text = printed(&["-e", "on llama_ubatch < count() >"]);
    assert!(!text.contains("ggml_graph_compute") && !text.contains("ggml_op"), "{text}");
}

/// Each program's text has as many instructions as its head says (a wide one counts for two).
#[test]
fn verbose_shows_every_program_whole() {
    let text = printed(&["-v", "-e", SCRIPT]);
    let (head, listings) = text.split_once("\nprograms\n").unwrap();
    let mut programs = 0;
    for listing in listings.split("\n\n") {
        let (comments, code): (Vec<&str>, Vec<&str>) = listing.lines().partition(|l| l.starts_with(';'));
        let told: usize = comments[2].trim_start_matches("; ").split(' ').next().unwrap().parse().unwrap();
        let wide = |l: &&&str| l.contains("map[") || l.contains("&counters[") || l.contains("= ABSENT");
        assert_eq!(told, code.len() + code.iter().filter(wide).count(), "{listing}");
        assert!(code.last().is_some_and(|l| l.trim() == "exit"), "{listing}");
        programs += 1;
    }
    assert_eq!(programs, head.matches("instructions)").count());
}

#[test]
fn the_same_script_has_the_same_plan() {
    let first = printed(&["-v", "-e", SCRIPT]);
    assert!((0..3).all(|_| printed(&["-v", "-e", SCRIPT]) == first));
}

#[test]
fn a_parameter_counts() {
    let script = "param rows: int = 5 on ggml_op < count() by op into t limit 64 > end < show t as table top $rows >";
    printed(&["-e", script, "-P", "rows=7"]);
    let output = plan(&["-e", script, "-P", "rwos=7"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_wrong_is_told_by_the_exit_code() {
    for (arguments, code) in [
        (&["-e", "on nonsense < count() >"][..], 1),
        (&["/nowhere/to/be/found.pi"], 1),
        (&[], 2),
        (&["-e", SCRIPT, "--pid", "4194999"], 3),
    ] {
        let output = plan(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_process_without_an_engine_is_a_wrong_target() {
    let pid = std::process::id().to_string();
    let output = plan(&["-e", SCRIPT, "--pid", &pid]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&pid) && stderr.contains("engine"), "{stderr}");
}
