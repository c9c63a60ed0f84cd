//! Flame graphs of real engines and programs: whatever the file, its widths are those of the table, to the nanosecond, and together
//! the whole token. What is in a file is read by a program that has nothing of profinfer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, Table, stock, whole};
use profinfer_tests::program::{Program, compile};

const TOKENS: u64 = 5;
/// The frame of the time that no operator accounts for.
const REST: &str = "(not in an operator)";
/// No engine, no events.
const NOTHING: [&str; 2] = ["--", "true"];
/// A picture leaves frames out that are narrower than this part of the whole.
const NARROW: u64 = 10_000;

/// Most of its time it is in `innermost`, which `outer` calls, and some of it in `outer` itself.
const BUSY: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define KEPT __attribute__((noipa))
volatile long sink;
static long cpu(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
KEPT void innermost(long until) { while (cpu() < until) for (int i = 0; i < 20000; i++) sink++; sink--; }
KEPT void outer(long until) { innermost(until); sink++; }
int main(void) {
    char line[64];
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) { outer(cpu() + atol(line) * 1000000); puts("done"); }
    return 0;
}
"#;

/// Frames, outermost first, and how wide they are.
type Stacks = BTreeMap<Vec<String>, u64>;

/// What a file says, as the reader of `engines/stacks.py` has it.
#[track_caller]
fn read(file: &Path) -> Stacks {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/stacks.py");
    let output = Command::new("python3").arg(reader).arg(file).output().or_fail("python3");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let all: Vec<(Vec<String>, u64)> = serde_json::from_slice(&output.stdout).or_fail(file.display());
    let count = all.len();
    let stacks: Stacks = all.into_iter().collect();
    assert_eq!(stacks.len(), count, "a stack is there twice in {}", file.display());
    stacks
}

/// The stacks of a table: keys that are absent make no frame, numbers have their name in front.
fn of_table(table: &Table, keys: &[&str], width: &str) -> Stacks {
    let mut stacks = Stacks::new();
    for row in &table.rows {
        let frames = keys.iter().flat_map(|key| match &row[*key] {
            serde_json::Value::Null => vec![],
            serde_json::Value::String(text) => text.split(';').map(str::to_owned).collect(),
            number => vec![format!("{key}={number}")],
        });
        // A row of nothing has no width.
        if whole(row, width) > 0 {
            *stacks.entry(frames.collect()).or_default() += whole(row, width);
        }
    }
    stacks
}

/// A picture has every frame that is wide enough, each as wide as all that lies on it.
#[track_caller]
fn is_drawn(picture: &Stacks, stacks: &Stacks) {
    let mut frames = Stacks::new();
    for (stack, width) in stacks {
        for depth in 0..=stack.len() {
            *frames.entry(stack[..depth].to_vec()).or_default() += width;
        }
    }
    let total = frames[&vec![]];
    for (frame, width) in picture {
        assert_eq!(frames.get(frame), Some(width), "{frame:?}");
    }
    for (frame, width) in &frames {
        assert!(picture.contains_key(frame) || *width <= total / NARROW, "{frame:?} of {width} is missing");
    }
}

/// It has ended as it should; what stdout has is no stream of records.
#[track_caller]
fn fine(report: &Output) {
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    assert!(
        report.stderr.contains("lost     nothing") || report.stdout.contains("lost     nothing"),
        "{}",
        report.stderr
    );
}

fn files(folder: &Path) -> [PathBuf; 3] {
    ["f.folded", "f.pb.gz", "f.svg"].map(|file| folder.join(file))
}

/// The stock script with every kind of file, and beside it what the micro-batches themselves say.
fn the_frames_are_the_whole_token(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = fs::read_to_string(stock("flame.pi")).or_fail("flame.pi");
    let script = script
        + "\non llama_ubatch(phase = $phase) < time = sum(dur), operators = sum(ops), n = count() into steps >
           end < show steps; show flame to \"f.folded\"; show flame to \"f.pb.gz\"; show flame to \"f.svg\" >";
    let out = lab.folder().display().to_string();
    let report = lab.trace_with(&mut engine, &script, TOKENS, &["--output-dir", &out]);
    let steps = report.table("steps");
    let step = steps.only();
    assert_eq!(whole(step, "n"), TOKENS - 1, "{step}");

    let [folded, profile, picture] = files(lab.folder());
    let stacks = read(&folded);
    assert_eq!(stacks.values().sum::<u64>(), whole(step, "time"), "the frames are the token: {stacks:#?}");
    let (rest, operators): (Stacks, Stacks) =
        stacks.clone().into_iter().partition(|(s, _)| s.iter().any(|f| f == REST));
    assert_eq!(operators.values().sum::<u64>(), whole(step, "operators"));
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(stacks.keys().all(|s| s[0] == "decode"), "{stacks:#?}");
    for layer in 0..30 {
        let wanted = ["decode", "ffn", &format!("layer={layer}"), "MUL_MAT"].map(str::to_owned).to_vec();
        assert!(stacks.contains_key(&wanted), "{wanted:?} of {stacks:#?}");
    }
    let head = ["decode", "head", "MUL_MAT"].map(str::to_owned).to_vec();
    assert!(stacks.contains_key(&head), "what is in no layer has no frame for it: {stacks:#?}");

    assert_eq!(of_table(&report.table("flame"), &["phase", "part", "layer", "op"], "time"), stacks);
    assert_eq!(read(&profile), stacks, "the profile");
    is_drawn(&read(&picture), &stacks);
}

/// What is recorded makes the same graph as often as it is replayed, in every format of the output.
fn a_replay_makes_the_same_graph(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let recording = lab.folder().join("run.pirec").display().to_string();
    let pid = engine.pid().to_string();
    let running = Profinfer::start_attached(["record", "flame.pi", "-P", "phase=*", "-o", &recording, "--pid", &pid]);
    engine.generate(TOKENS);
    fine(&running.interrupt());
    let replay = |more: &[&str]| {
        let report = Profinfer::run(["replay", &recording].iter().chain(more));
        fine(&report);
        report
    };
    let script = "on llama_ubatch < time = sum(dur) by phase into steps >";
    let steps = Profinfer::run(["replay", &recording, "-e", script, "-f", "json"]).table("steps");
    let [folded, profile, _] = files(lab.folder());
    let picture = lab.folder().join("f.flame.svg");
    for file in [&folded, &profile, &picture] {
        replay(&["-o", &file.display().to_string()]);
        let first = fs::read(file).or_fail(file.display());
        replay(&["-o", &file.display().to_string()]);
        assert!(first == fs::read(file).or_fail(file.display()), "{} differs", file.display());
    }
    let stacks = read(&folded);
    for phase in ["prefill", "decode"] {
        let width: u64 = stacks.iter().filter(|(s, _)| s[0] == phase).map(|(_, n)| n).sum();
        assert_eq!(width, whole(steps.row("phase", phase), "time"), "{phase}");
    }
    assert_eq!(read(&profile), stacks);
    is_drawn(&read(&picture), &stacks);
    assert_eq!(replay(&["-f", "folded"]).stdout, fs::read_to_string(&folded).or_fail("the lines"), "on stdout");
    let text = replay(&["--color", "never"]).stdout;
    assert!(text.contains("phase › part › layer › op") && text.contains("frames; a file has them all"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// The functions of a program that are known to be there lie on each other, innermost on top.
#[test]
fn calls_lie_on_their_callers() {
    let lab = Lab::new();
    let file = compile(lab.folder(), "busy", BUSY, false, &["-fno-omit-frame-pointer"]);
    let mut program = Program::start(&file, &[]);
    let script = fs::read_to_string(stock("profile.pi")).or_fail("profile.pi");
    let script = script
        + "\nend < show samples to \"f.folded\"; show samples to \"f.pb.gz\"; show samples to \"f.svg\" >
           on profile(997hz) < n = count() into all > end < show all >";
    let out = lab.folder().display().to_string();
    let running = Profinfer::attach_with(program.pid(), &script, &["--output-dir", &out]);
    program.go(1_000);
    let report = running.interrupt();
    report.succeeded();
    let [folded, profile, picture] = files(lab.folder());
    let stacks = read(&folded);
    let all = stacks.values().sum::<u64>();
    assert_eq!(all, report.table("all").total("n"), "every sample is in it: {stacks:#?}");
    assert_eq!(of_table(&report.table("samples"), &["thread", "stack(user)"], "samples"), stacks);
    assert_eq!(read(&profile), stacks);
    is_drawn(&read(&picture), &stacks);
    let top = ["main", "outer", "innermost"];
    let on_top = |stack: &[String]| stack[0] == "busy" && stack.windows(3).any(|calls| calls == top);
    let within: u64 = stacks.iter().filter(|(s, _)| on_top(s)).map(|(_, n)| n).sum();
    assert!(all > 500 && within * 10 >= all * 9, "{within} of {all}: {stacks:#?}");
    program.quit();
}

#[test]
fn an_output_that_can_hold_one_table_says_which() {
    let lab = Lab::new();
    let two = "on ggml_op < sum(dur) by op into times; count() by layer into counts >";
    let run = |script: &str, more: &[&str]| {
        let file = lab.folder().join("x.folded").display().to_string();
        let report = Profinfer::run(["-e", script, "-o", &file].iter().chain(more).chain(&NOTHING));
        (report, fs::read_to_string(file).ok())
    };
    let (report, file) = run(two, &[]);
    report.failed(2, &["the format folded takes one table", "times, counts", "`show times as flame`"]);
    assert_eq!(file, None, "nothing is written");
    run("on ggml_op < avg(dur) by op >", &[])
        .0
        .failed(2, &["`avg(dur)` does not add up", "the first column is the width"]);
    run("on ggml_op < count() >", &[]).0.failed(2, &["has no key", "outermost first"]);
    run("on ggml_op < print(\"{op}\") >", &[]).0.failed(2, &["this script has none for the output"]);
    run("on ggml_op < count() by op into t > every 1h < show t as flame >", &[]).0.failed(6, &["t was never shown"]);

    let (report, file) = run(&format!("{two} end < show counts; show times as flame >"), &[]);
    fine(&report);
    assert_eq!(file.as_deref(), Some(""), "no events, no lines");
    assert!(report.stderr.contains("the output is of times alone, and not of counts"), "{}", report.stderr);
    assert!(report.stderr.contains("ended    after"), "the end is told: {}", report.stderr);
    let left: Vec<_> = fs::read_dir(lab.folder()).or_fail("the folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["x.folded"], "and nothing else is left");
}

on_each_engine! {
    the_frames_are_the_whole_token,
    a_replay_makes_the_same_graph,
}
