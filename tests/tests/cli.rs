//! The command line without a kernel: scripts are checked and explained, wrong usage is told from wrong scripts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::{Output, Profinfer, binary};
use tempfile::TempDir;

const RIGHT: &str = "\
//! Where the time goes.
/// Rows to show.
param top: int = 20
on ggml_op(MUL_MAT) < calls = count(), total = sum(dur) by name into ops >
end < show ops as table top $top sort total desc >
";

/// A script in a folder of its own.
fn script(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().or_fail("a temporary folder");
    let path = folder.path().join("script.pi");
    std::fs::write(&path, text).or_fail(path.display());
    (folder, path)
}

fn with_script(word: &str, text: &str) -> Output {
    let (_folder, path) = script(text);
    Profinfer::run([word.as_ref(), path.as_os_str()])
}

#[track_caller]
fn printed(output: &Output, words: &[&str]) {
    assert_eq!(output.code, Some(0), "exit code; it said:\n{}", output.stderr);
    for word in words {
        assert!(output.stdout.contains(word), "no {word:?} in:\n{}", output.stdout);
    }
}

#[test]
fn help_and_version_are_printed() {
    printed(&Profinfer::run(["--help"]), &["Usage", "--pid", "--format", "check", "plan", "explain"]);
    printed(&Profinfer::run(["--version"]), &[env!("CARGO_PKG_VERSION")]);
}

/// Each with examples that can be copied; `--help` is not one of a script here.
#[test]
fn every_command_has_a_help_that_teaches() {
    for (command, words) in [
        ("check", ["profinfer check ops.pi", "--json", "every error"].as_slice()),
        ("plan", &["profinfer plan ops.pi --pid", "--verbose", "Nothing is loaded"]),
        ("list", &["profinfer list ggml_op", "--pid", "fields"]),
        ("doctor", &["profinfer doctor --pid", "--json", "Exit"]),
        ("explain", &["profinfer explain PI0102", "CODE"]),
        ("record", &["profinfer record ops.pi -o run.pirec --pid", "--show", "partial"]),
        ("replay", &["profinfer replay --info run.pirec", "another script", "--strict"]),
    ] {
        for help in ["--help", "-h"] {
            let output = Profinfer::run([command, help]);
            printed(&output, words);
            printed(&output, &["Usage: profinfer", "Example", help]);
            assert_eq!(output.stderr, "", "{command} {help}");
        }
    }
}

/// Everything that prints, with its exit code where it can.
const PRINTS: [(&[&str], i32); 9] = [
    (&["--help"], 0),
    (&["--version"], 0),
    (&["check", "--help"], 0),
    (&["check", "-e", "on ggml_op < count() >"], 0),
    (&["check", "--json", "-e", "on ggml_opp < count() >"], 1),
    (&["plan", "-e", "on ggml_op < count() >"], 0),
    (&["list"], 0),
    (&["explain", "PI0102"], 0),
    (&["ops.pi", "--help"], 0),
];

fn into(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let output = command.spawn().and_then(|child| child.wait_with_output()).or_fail(format_args!("{command:?}"));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").or_fail("/dev/full").into()
}

#[test]
fn what_cannot_be_printed_is_told() {
    for (arguments, _) in PRINTS {
        let (code, said) = into(arguments, full(), Stdio::piped());
        assert_eq!(code, Some(6), "{arguments:?} said:\n{said}");
        assert!(said.contains("profinfer: cannot write to stdout: No space left"), "{arguments:?} said:\n{said}");
    }
}

#[test]
fn a_reader_who_has_read_enough_is_no_fault() {
    for (arguments, expected) in PRINTS {
        let (reader, writer) = std::io::pipe().or_fail("a pipe");
        drop(reader);
        let (code, said) = into(arguments, writer.into(), Stdio::piped());
        assert_eq!((code, said.as_str()), (Some(expected), ""), "{arguments:?}");
    }
}

/// With stderr full there is nobody left to tell; the exit code still does.
#[test]
fn errors_that_cannot_be_said_keep_their_exit_code() {
    let cases: [(&[&str], i32); 7] = [
        (&["check", "-e", "on ggml_opp < count() >"], 1),
        (&["check", "/nowhere/to/be/found.pi"], 1),
        (&["-e", "on ggml_op < count() >"], 2),
        (&["--no-such-option"], 2),
        (&["explain", "PI9999"], 2),
        (&["replay", "/nowhere/to/be/found.pirec"], 3),
        (&["list", "--pid", "4194999"], 3),
    ];
    for (arguments, expected) in cases {
        assert_eq!(into(arguments, Stdio::null(), full()).0, Some(expected), "{arguments:?}");
        assert_eq!(into(arguments, full(), full()).0, Some(expected), "{arguments:?}, both full");
    }
}

#[test]
fn a_right_script_passes_check() {
    let output = with_script("check", RIGHT);
    printed(&output, &["script.pi: fine"]);
    assert_eq!(output.stderr, "", "nothing is wrong");
}

/// What the kernel could not hold is told before any process is looked at.
#[test]
fn a_script_that_is_too_large_for_the_kernel_is_told() {
    let tables = |n: usize| {
        (0..n).map(|i| format!("on ggml_op < count(), min(dur) by op into t{i} limit 100 >\n")).collect::<String>()
    };
    let columns: Vec<String> = (1..=70).map(|i| format!("h{i} = hist(dur / {i})")).collect();
    let row = format!("on ggml_op < {} by op into wide >", columns.join(", "));
    assert_eq!(with_script("check", &tables(55)).code, Some(0));
    for word in ["check", "plan"] {
        with_script(word, &tables(63)).failed(1, &["script.pi", "ggml_op", "64"]);
        with_script(word, &row).failed(1, &["script.pi", "wide", "32767"]);
    }
}

#[test]
fn a_wrong_script_is_shown_where_it_is_wrong() {
    let output = with_script("check", "on ggml_op where dur > 1ms < hist(dur) >\n");
    output.failed(1, &["PI0102", "script.pi:1:12", "expected `(` here"]);
}

#[test]
fn all_errors_of_a_script_are_told_at_once() {
    let output = with_script("check", "on ggml_opp < count() >\non ggml_op < count() by naem >\n");
    output.failed(1, &["ggml_opp", "script.pi:1:", "naem", "script.pi:2:"]);
}

#[test]
fn a_near_name_is_proposed() {
    with_script("check", "on ggml_op < count() by naem >\n").failed(1, &["naem", "`name`"]);
}

#[test]
fn a_script_that_is_not_there_is_named() {
    let output = Profinfer::run(["check", "/nowhere/to/be/found.pi"]);
    assert!(matches!(output.code, Some(1 | 2)), "exit code {:?}", output.code);
    assert!(output.stderr.contains("/nowhere/to/be/found.pi"), "it said:\n{}", output.stderr);
}

#[test]
fn wrong_usage_is_not_a_wrong_script() {
    Profinfer::run(["--no-such-option"]).failed(2, &["--no-such-option"]);
    Profinfer::run(["-e", "on ggml_op < count() >"]).failed(2, &["--pid"]);
    Profinfer::run(["-e", "on ggml_op < count() >", "--pid", "1", "--format", "poetry"]).failed(2, &["poetry"]);
}

#[test]
fn a_timeline_needs_something_to_show() {
    for format in ["perfetto", "trace"] {
        Profinfer::run(["-e", "on ggml_op < count() >", "--pid", "1", "-f", format])
            .failed(2, &[format, "shows slices and gauges", "timeline.pi"]);
    }
    let (folder, path) = script("on ggml_op < print(\"{op}\") >");
    let to = folder.path().join("x.pftrace");
    Profinfer::run([path.as_os_str(), "--pid".as_ref(), "1".as_ref(), "-o".as_ref(), to.as_os_str()])
        .failed(2, &["perfetto"]);
    assert!(!to.exists());
}

#[test]
fn a_plan_needs_no_process() {
    let output = with_script("plan", RIGHT);
    printed(&output, &["ggml_op", "ops", "name"]);
    assert_eq!(output.stdout, with_script("plan", RIGHT).stdout, "it is always the same");
}

#[test]
fn a_code_is_explained() {
    printed(&Profinfer::run(["explain", "PI0102"]), &["PI0102", "where"]);
    let output = Profinfer::run(["explain", "PI9999"]);
    assert!(output.code.is_some_and(|code| code != 0), "exit code {:?}", output.code);
    assert!(output.stderr.contains("PI9999"), "it said:\n{}", output.stderr);
}

#[test]
fn a_scripts_help_lists_its_parameters() {
    let (_folder, path) = script(RIGHT);
    let output = Profinfer::run([path.as_os_str(), "--help".as_ref()]);
    printed(&output, &["Where the time goes.", "top", "Rows to show.", "20"]);
}

#[test]
fn a_parameter_is_checked() {
    let (_folder, path) = script(RIGHT);
    let with =
        |set: &str| Profinfer::run([path.as_os_str(), "--pid".as_ref(), "1".as_ref(), "-P".as_ref(), set.as_ref()]);
    let unknown = with("tpo=5");
    assert!(matches!(unknown.code, Some(1 | 2)), "exit code {:?}", unknown.code);
    assert!(unknown.stderr.contains("tpo") && unknown.stderr.contains("top"), "it said:\n{}", unknown.stderr);
    let wrong = with("top=many");
    assert!(matches!(wrong.code, Some(1 | 2)), "exit code {:?}", wrong.code);
    assert!(wrong.stderr.contains("many"), "it said:\n{}", wrong.stderr);
}

/// A shell takes an unquoted `<` for itself; what is left has no body.
#[test]
fn a_text_that_a_shell_has_eaten_from_gets_a_hint() {
    Profinfer::run(["-e", "on ggml_op", "--pid", "1"]).failed(1, &["quote"]);
}

#[test]
fn garbage_is_an_error_and_never_a_crash() {
    for text in ["<", "on", "on ggml_op <", "\u{1}\u{2}", "((((((((", "on ggml_op < count() by >", "🦀", "\"", "/*"] {
        let output = Profinfer::run(["-e", text, "--pid", "1"]);
        output.failed(1, &["error"]);
    }
    let deep = format!("on ggml_op where ({}dur > 1ms{}) < count() >", "(".repeat(5000), ")".repeat(5000));
    Profinfer::run(["-e", &deep, "--pid", "1"]).failed(1, &["error"]);
}

/// What the README shows can be run as it stands.
#[test]
fn the_scripts_of_the_readme_and_the_demo_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).or_fail("README.md");
    let shown: Vec<&str> = readme.split("-e '").skip(1).filter_map(|rest| Some(rest.split_once('\'')?.0)).collect();
    assert!(shown.len() >= 4, "scripts of the README: {shown:#?}");
    for script in shown {
        let output = with_script("check", script);
        assert_eq!(output.code, Some(0), "{script}\n{}", output.stderr);
    }
    let demo = root.join("xtask/demo.pi");
    let output = Profinfer::run(["check".as_ref(), demo.as_os_str()]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}
