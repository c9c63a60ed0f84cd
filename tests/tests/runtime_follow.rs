//! Runs whose processes come and go by themselves: when such a run ends, and what one process lacks that another has.

use std::path::{Path, PathBuf};

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Output, Profinfer};
use profinfer_tests::program::{Program, compile};

/// It calls `step` as often as its argument says; with `-`, once for each line that it reads.
const STEPS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
__attribute__((noipa)) int step(int i) { __asm__ volatile("" ::: "memory"); return i + 1; }
int main(int argc, char **argv) {
    char line[64];
    setvbuf(stdout, 0, _IONBF, 0);
    if (*argv[1] == '-') puts("ready");
    for (int i = 0; *argv[1] != '-' && i < atoi(argv[1]); i++) step(i);
    while (*argv[1] == '-' && fgets(line, sizeof line, stdin)) { step(1); puts("done"); }
    return 0;
}
"#;
/// It has no `step`.
const IDLE: &str = r#"
#include <stdio.h>
int main(void) {
    char line[64];
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) puts("done");
    return 0;
}
"#;
/// Something that looks like an engine's CPU code, and has no graphs.
const HALF: &str = r#"
#include <stdio.h>
void ggml_cpu_extra_compute_forward(void *p, void *t) { __asm__ volatile("" ::: "memory"); }
int main(void) { char c; setvbuf(stdout, 0, _IONBF, 0); puts("ready"); return fread(&c, 1, 1, stdin); }
"#;

/// A script on the program's own `step`, with as much else to do as `column` takes.
fn on_step(body: &str) -> String {
    format!("on enter(\"exe:step\") < {body} >")
}

/// `profinfer -e SCRIPT --follow -- sh -c COMMAND PROGRAMS`
#[track_caller]
fn follow(script: &str, command: &str, programs: &[&Path]) -> Output {
    let programs = programs.iter().map(|p| p.to_string_lossy().into_owned());
    let words = ["-e", script, "--format", "json", "--follow", "--", "sh", "-c", command, "sh"].map(str::to_owned);
    Profinfer::run(words.into_iter().chain(programs))
}

fn steps(lab: &Lab, name: &str) -> PathBuf {
    compile(lab.folder(), name, STEPS, false, &[])
}

/// The shell has no such function, its children have: the run ends with the last of them by itself, whatever it shows.
#[test]
fn it_ends_with_the_last_process() {
    let lab = Lab::new();
    let program = steps(&lab, "counts");
    for (body, table) in [
        ("n = count()", true),
        // Its events come one by one.
        ("n = count(), hist(gap(time))", true),
        ("print(\"a step\")", false),
    ] {
        let report = follow(&on_step(body), "\"$1\" 3; \"$1\" 4; true", &[&program]);
        report.succeeded();
        assert_eq!(report.end()["reason"], "target exited", "{body}: {}", report.stderr);
        match table {
            true => assert_eq!(report.tables("enter").pop().map(|t| t.total("n")), Some(7), "{body}"),
            false => assert_eq!(report.records.iter().filter(|r| r["type"] == "print").count(), 7, "{}", report.stdout),
        }
    }
}

/// One has the function, another one has not: it is told of, and nothing of the first is lost.
#[test]
fn what_one_process_lacks_is_counted_in_another() {
    let lab = Lab::new();
    let (program, other) = (steps(&lab, "counts"), compile(lab.folder(), "idles", IDLE, false, &[]));
    for command in ["\"$1\" 5; \"$2\" </dev/null", "\"$2\" </dev/null; \"$1\" 5"] {
        let report = follow(&on_step("n = count()"), command, &[&program, &other]);
        report.succeeded();
        assert_eq!(report.table("enter").total("n"), 5, "{command}");
        // Of those that have not got it, one is named: the shell may be one of them, where it goes on behind its last command.
        assert_eq!(report.stderr.matches("has no `enter(").count(), 1, "{command}:\n{}", report.stderr);
        assert!(report.stderr.contains("there is no function step in "), "{command}:\n{}", report.stderr);
        assert!(!report.stderr.contains("left out"), "{}", report.stderr);
    }
}

/// That none of them has it is a fault, told of behind the tables.
#[test]
fn what_no_process_has_is_a_fault() {
    let lab = Lab::new();
    let (program, other) = (steps(&lab, "counts"), compile(lab.folder(), "idles", IDLE, false, &[]));
    let script = format!("{} on enter(\"exe:steps\") < count() into none >", on_step("n = count()"));
    let report = follow(&script, "\"$1\" 5; \"$2\" </dev/null", &[&program, &other]);
    report.failed(3, &["no function", "steps"]);
    assert_eq!(report.table("enter").total("n"), 5);
    assert_eq!(
        report.end()["silent_reasons"]["enter(\"exe:steps\")"],
        "no process has the function",
        "{}",
        report.end()
    );
}

/// The same for processes of a name, one of which has it.
#[test]
fn of_processes_of_a_name_one_may_lack_a_function() {
    let lab = Lab::new();
    let name = format!("pf{}n", std::process::id() % 100_000);
    let program = steps(&lab, &format!("{name}1"));
    let other = compile(lab.folder(), &format!("{name}2"), IDLE, false, &[]);
    let (mut has, lacks) = (Program::start(&program, &["-"]), Program::start(&other, &[]));
    let script = on_step("n = count(), last(time)");
    let running = Profinfer::start_attached(["-e", &script, "--name", &format!("{name}*"), "--format", "json"]);
    (0..3).for_each(|_| has.go(1));
    lacks.quit();
    has.go(1);
    has.quit();
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.table("enter").total("n"), 4);
    assert_eq!(report.end()["reason"], "target exited");
    assert!(report.stderr.contains("has no `enter("), "{}", report.stderr);
}

/// Where there is no engine its contexts are not asked for.
#[test]
fn gaps_and_caches_of_functions_need_no_engine() {
    let lab = Lab::new();
    let mut program = Program::start(&steps(&lab, "counts"), &["-"]);
    let script = "on enter(\"exe:step\", i: i32) < n = count(), hist(gap(time)), l = lru(i), p = pinned(i) >";
    let running = Profinfer::attach_with(program.pid(), script, &["--unsafe"]);
    (0..4).for_each(|_| program.go(1));
    let report = running.interrupt();
    report.succeeded();
    let row = report.table("enter").only().clone();
    assert_eq!((&row["n"], &row["l"], &row["p"]), (&4.into(), &serde_json::json!([0.75]), &serde_json::json!([1.0])));
}

/// Those of one name that look like engines and are not are told of once.
#[test]
fn engine_xllamacpp_processes_that_are_left_out_are_told_of_once() {
    let lab = Lab::new();
    let name = format!("pf{}h", std::process::id() % 100_000);
    let halves: Vec<Program> = ["1", "2", "3"]
        .map(|n| Program::start(&compile(lab.folder(), &format!("{name}{n}"), HALF, false, &[]), &[]))
        .into();
    let options = profinfer_tests::engine::Options {
        called: Some(lab.folder().join(format!("{name}0"))),
        ..profinfer_tests::engine::Options::default()
    };
    let mut engine = lab.engine_with(Kind::Xllamacpp, &options);
    let glob = format!("{name}*");
    let running =
        Profinfer::start_attached(["-e", "on llama_ubatch < n = count() >", "--name", &glob, "--format", "json"]);
    engine.generate(2);
    let report = running.interrupt();
    report.succeeded();
    assert_eq!(report.table("llama_ubatch").total("n"), 2);
    assert_eq!(report.stderr.matches(": it is left out").count(), 1, "{}", report.stderr);
    assert!(report.stderr.contains("2 more processes were left out"), "{}", report.stderr);
    drop(halves);
}

/// The name of a process may hold what moves a terminal's cursor.
#[test]
fn names_of_processes_do_no_harm() {
    let lab = Lab::new();
    let program = steps(&lab, "p\u{1b}[31mq");
    let mut running = Program::start(&program, &["-"]);
    let pid = running.pid().to_string();
    for format in ["json", "csv", "table"] {
        let observed = Profinfer::start_attached(["-e", &on_step("n = count()"), "--pid", &pid, "--format", format]);
        running.go(1);
        let report = observed.interrupt();
        assert_eq!(report.code, Some(0), "{}", report.stderr);
        assert!(report.stderr.contains("p\\u{1b}[31mq") && !report.stderr.contains('\u{1b}'), "{:?}", report.stderr);
    }
    // No such function, and no engine.
    for script in ["on enter(\"exe:other\") < count() >", "on ggml_op < count() >"] {
        let report = Profinfer::run(["-e", script, "--pid", &pid]);
        report.failed(3, &["p\\u{1b}[31mq"]);
        assert!(!report.stderr.contains('\u{1b}'), "{:?}", report.stderr);
    }
    // What a script says of itself.
    let script = lab.write("s.pi", "//! red: \u{1b}[31m\n/// blue: \u{1b}[34m\nparam x: int = 1\n");
    let report = Profinfer::run([script.as_os_str(), "--help".as_ref()]);
    assert!(report.stdout.contains("red: \\u{1b}[31m") && report.stdout.contains("blue: \\u{1b}"), "{}", report.stdout);
    assert!(!report.stdout.contains('\u{1b}'));
}
