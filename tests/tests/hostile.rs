//! A process that would steer the terminal, the browser or the spreadsheet of who looks at it: by its name, its file's
//! name, its functions' names and the texts in its memory. Whatever profinfer makes of it is harmless, in every format.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::{Profinfer, binary};
use profinfer_tests::program::{Program, compile};
use profinfer_tests::system::signal;
use tempfile::TempDir;

/// The name of the program's file.
const FILE: &str = "e\u{1b}[2J\u{7}<img src=x onerror=alert(1)>\u{202e}\n\"'&,";
/// What a text in its memory says.
const TEXT: &str = "\u{1b}]0;x\u{7}\u{1b}[2J\n\r</td><script>alert('1')</script>\"\u{202e}\u{9b}1m";
/// What its thread is called.
const COMM: &str = "=1+\u{1b}[1A<b>\",\n\u{7f}";
/// A function.
const FUNC: &str = "evil\u{1b}[2J\u{7}<i onclick=x>";

/// Each round calls both functions once.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#define KEPT __attribute__((noipa))
volatile long sink;
KEPT int evil(const char *text) __asm__("\"evil\033[2J\007<i onclick=x>\"");
KEPT int evil(const char *text) { sink = text[0]; return 1; }
KEPT int evil_too(const char *text) { sink = text[1]; return 2; }
/* What an engine is told by. */
KEPT int ggml_cpu_extra_compute_forward(void *p, void *t) { sink = p == t; return 0; }
KEPT int ggml_graph_compute(void *g, void *p) { sink = g == p; return ggml_cpu_extra_compute_forward(g, p); }
KEPT int llama_decode(void *c) { return ggml_graph_compute(c, 0); }
const char *GGML_OP_NAME[] = { "NONE", "\033[2J\007", "<b>" };
static char text[64] = "\033]0;x\007\033[2J\n\r</td><script>alert('1')</script>\"\342\200\256\302\2331m";
int main(void) {
    char line[64];
    prctl(PR_SET_NAME, "=1+\033[1A<b>\",\n\177");
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        for (long i = 0, n = atol(line); i < n; i++) {
            evil(text);
            evil_too(text);
        }
        puts("done");
    }
    return 0;
}
"#;

/// Every way to show a table, every kind of file, and events by themselves.
const SCRIPT: &str = r#"
struct told { text: str[64] @ 0 }
on span("exe:evil*", t: ptr(told)) <
  n = count(), h = hist(dur), total = sum(dur) by t.text, comm, func into rows;
  n = count() by what = t.text, func into pairs;
  print("{t.text} of {comm} in {func}")
>
end <
  show rows; show rows as hist; show rows as json; show rows as csv; show pairs as heatmap;
  show rows to "rows.html"; show pairs as heatmap to "pairs.html";
  show rows to "rows.csv"; show rows to "rows.json"; show rows to "rows.txt"; show pairs as heatmap to "pairs.txt";
  show pairs as flame; show pairs as flame to "flame.txt"; show pairs as flame to "flame.html";
  show pairs to "flame.svg"; show pairs to "flame.folded"; show pairs to "flame.pb.gz"
>
"#;

struct Place {
    folder: TempDir,
    program: Program,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().or_fail("a temporary folder");
        let made = compile(folder.path(), "program", PROGRAM, false, &[]);
        let named = folder.path().join(FILE);
        fs::rename(made, &named).or_fail("a file of that name");
        fs::create_dir(folder.path().join("out")).or_fail("a folder for output");
        Place { program: Program::start(&named, &[]), folder }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("out").join(name)).or_fail(name)
    }
}

/// Nothing in it moves a cursor, turns the reading direction or is hidden; lines may end.
#[track_caller]
fn harmless(text: &str, what: &str) {
    let steers = |c: &char| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c);
    let found: BTreeSet<char> = text.chars().filter(steers).collect();
    assert!(found.is_empty(), "{what} has {found:?}:\n{text:?}");
}

/// The names of elements and of attributes of a page; all that is between tags is text.
#[track_caller]
fn markup(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = page;
    while let Some((text, tag)) = rest.split_once('<') {
        assert!(!text.contains('>') || names.contains("style"), "a tag ends where none began: {text:?}");
        // An attribute's value may hold `>`.
        let mut quoted = false;
        let end = tag.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let (inside, after) = tag.split_at(end.or_fail(format_args!("an open tag: {tag:.80}")));
        let mut bare = true;
        for part in inside.split('"') {
            if bare {
                let words = part.split([' ', '=']).filter(|w| !w.is_empty());
                names.extend(words.map(|w| w.trim_start_matches('/').to_owned()));
            } else {
                assert!(!part.contains(['<', '\n']), "an attribute of {inside}");
            }
            bare = !bare;
        }
        rest = &after[1..];
    }
    names
}

/// The records of comma-separated values, as RFC 4180 has them.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
            ('"', _) => quoted = !quoted,
            (',', false) => line.push(std::mem::take(&mut cell)),
            ('\n', false) => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            (c, _) => cell.push(c),
        }
    }
    lines
}

#[test]
fn nothing_of_the_process_steers_who_looks_at_it() {
    let mut place = Place::new();
    let pid = place.program.pid().to_string();
    let out = place.folder.path().join("out").display().to_string();
    for format in ["table", "json", "csv"] {
        let arguments =
            ["-e", SCRIPT, "--unsafe", "--pid", &pid, "--format", format, "--output-dir", &out, "--color", "never"];
        let running = Profinfer::start_attached(arguments);
        place.program.go(3);
        let report = running.interrupt();
        assert_eq!(report.code, Some(0), "{format}: {}", report.stderr);
        harmless(&report.stdout, format);
        for part in ["onclick", "alert('1')", "=1+"] {
            assert!(report.stdout.contains(part), "{format} shows {part}:\n{}", report.stdout);
        }
        if format == "json" {
            // What a program reads is what the target has.
            let row = report.table("rows").rows.into_iter().find(|row| row["func"] == FUNC).or_fail("the function");
            assert_eq!((&row["t.text"], &row["comm"], &row["n"]), (&TEXT.into(), &COMM.into(), &3.into()));
            let event = report.records.iter().find(|r| r["type"] == "event" || r["type"] == "print");
            let event = event.or_fail(format_args!("an event:\n{}", report.stdout));
            assert!(event.to_string().contains("<script>"), "{event}");
        }
    }
    for page in ["rows.html", "pairs.html", "flame.html"] {
        let text = place.read(page);
        harmless(&text, page);
        let known = [
            "!doctype",
            "html",
            "lang",
            "meta",
            "charset",
            "http-equiv",
            "content",
            "name",
            "title",
            "style",
            "h1",
            "h2",
            "span",
            "class",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "pre",
            "div",
            "colspan",
            "rowspan",
        ];
        let found = markup(&text);
        let strange: Vec<&String> = found.iter().filter(|n| !known.contains(&n.as_str())).collect();
        assert!(strange.is_empty(), "{page} has {strange:?}:\n{text}");
        assert!(text.contains("&lt;script&gt;alert"), "{page} shows it as text:\n{text}");
        assert!(text.contains("default-src 'none'"), "and would run nothing");
    }
    for file in ["rows.txt", "pairs.txt", "rows.json", "rows.csv", "flame.txt", "flame.svg", "flame.folded"] {
        harmless(&place.read(file), file);
    }
    for file in ["flame.svg", "flame.folded", "flame.pb.gz"] {
        // What reads them finds two frames, and in the picture no element but those of a picture.
        let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/stacks.py");
        let path = place.folder.path().join("out").join(file);
        let read = Command::new("python3").arg(reader).arg(path).output().or_fail("python3");
        assert!(read.status.success(), "{file}: {}", String::from_utf8_lossy(&read.stderr));
        let stacks: Vec<(Vec<String>, u64)> = serde_json::from_slice(&read.stdout).or_fail(file);
        let evil = stacks.iter().find(|(frames, _)| frames.iter().any(|f| f.contains("onclick"))).or_fail(file);
        assert!(evil.0.len() == 2 && evil.1 == 3, "{file} has {evil:?}");
        assert!(evil.0[0].contains("<script>alert('1')</script>"), "{file} shows it as text: {evil:?}");
        evil.0.iter().for_each(|frame| harmless(frame, file));
    }
    let rows = cells(&place.read("rows.csv"));
    assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == rows[0].len()), "no cell breaks out: {rows:#?}");
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']) || cell.parse::<f64>().is_ok(), "a formula: {cell:?}");
    }
}

#[test]
fn list_plan_and_doctor_are_not_steered_either() {
    let place = Place::new();
    let pid = place.program.pid().to_string();
    for arguments in [
        &["list", "span(\"exe:evil*\")"][..],
        &["list", "span(\"exe:nothing\")"],
        &["list", "span(\"*:evil\")"],
        &["list"],
        &["plan", "--unsafe", "-e", SCRIPT],
        &["plan", "-v", "--unsafe", "-e", SCRIPT],
        &["plan", "-e", "on span(\"exe:evi\") < count() >"],
        &["plan", "-e", "on ggml_op < count() by op >"],
        &["list", "ggml_op"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        let report = Profinfer::run(arguments.iter().copied().chain(["--pid", &pid]));
        assert!(!report.stdout.is_empty() || !report.stderr.is_empty(), "{arguments:?} says something");
        harmless(&report.stdout, &format!("{arguments:?}"));
        if arguments == ["doctor"] {
            assert!(report.stdout.contains("onerror"), "the file is told of:\n{}", report.stdout);
        }
    }
}

/// A terminal of a process.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut its) = (0, 0);
    let size = libc::winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: both numbers and the size are there for the call; no name and no settings are asked for.
    let made = unsafe { libc::openpty(&mut ours, &mut its, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(made, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: the call has given us both descriptors, and nobody else has them.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) }
}

/// What is written on a terminal without the sequences that profinfer itself may write there: colours, and what redraws
/// lines. None of them clears a screen or sets a title.
#[track_caller]
fn without_our_own(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        left.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).or_fail("the end of a sequence");
        let (numbers, last) = (&after[..end], &after[end..=end]);
        let ours = matches!((numbers, last), (_, "m" | "A") | ("" | "0", "J") | ("2", "K") | ("?2026", "h" | "l"));
        assert!(ours && numbers.chars().all(|c| c.is_ascii_digit() || ";?".contains(c)), "ESC [ {numbers}{last}");
        rest = &after[end + 1..];
    }
    left.push_str(rest);
    left.replace("\r\n", "\n").replace('\r', "")
}

#[test]
fn what_is_redrawn_on_a_terminal_is_not_steered() {
    let mut place = Place::new();
    let script = format!("{SCRIPT}\nevery 50ms < show rows; show pairs as heatmap; show pairs as flame >");
    let (ours, its) = terminal();
    let mut command = Command::new(binary());
    command.args(["-e", &script, "--unsafe", "--output-dir"]).arg(place.folder.path().join("out"));
    command.args(["--pid", &place.program.pid().to_string()]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(its.try_clone().or_fail("the terminal")).stderr(Stdio::null());
    let mut child = command.spawn().or_fail("profinfer");
    drop((command, its));
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut terminal = fs::File::from(ours);
        let mut buffer = [0; 4096];
        // A terminal that nobody writes to any more gives an error.
        while let Ok(n @ 1..) = terminal.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    // Until it draws more than once.
    for _ in 0..100 {
        place.program.go(1);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    signal(child.id(), libc::SIGINT);
    assert!(child.wait().or_fail("profinfer").success());
    let seen = reader.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
    assert!(seen.contains("\u{1b}["), "it is redrawn: {seen:?}");
    let text = without_our_own(&seen);
    harmless(&text, "the terminal");
    assert!(text.matches("onclick").count() > 3, "it shows the function again and again:\n{text}");
}

/// A description is a file of the user's: what it says is shown, and steers nothing.
#[test]
fn a_hostile_script_does_not_steer_check_and_plan() {
    let place = Place::new();
    let script = place.folder.path().join("b\u{1b}[2Jad.pi");
    fs::write(&script, "on ggml_op < count() by \u{1b}[2J >\n/// \u{1b}]0;x\u{7}\nlet a = \"\u{1b}[2J\n")
        .or_fail("a script");
    for arguments in [&["check"][..], &["check", "--json"], &["plan"]] {
        let report = Profinfer::run(arguments.iter().map(AsRef::as_ref).chain([Path::as_os_str(&script)]));
        assert_eq!(report.code, Some(1), "{}", report.stderr);
        harmless(&report.stdout, &format!("{arguments:?}"));
        harmless(&report.stderr, &format!("{arguments:?}"));
    }
}
