//! What the pages show is right: every script passes `check` or fails with the code it is there for, and every command
//! line is one that profinfer takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::{Profinfer, stock};
use tempfile::TempDir;

/// A process that does not exist: where a command line is right, this is what is wrong with it.
const NOBODY: &str = "4194999";
/// A command that does not exist.
const NO_COMMAND: &str = "no-such-program-here";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README and the pages of `docs/`, but not those of diagnostics, which have a test of their own.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/howto"] {
        let entries = fs::read_dir(root().join(folder)).or_fail(folder).flatten().map(|entry| entry.path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    pages.sort();
    pages
}

/// A fenced block of a page.
struct Block {
    /// What stands behind the opening fence.
    fence: String,
    /// The line that it begins on, from 1.
    line: usize,
    text: String,
}

#[track_caller]
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (i, line) in page.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(fence), None) => open = Some(Block { fence: fence.into(), line: i + 2, text: String::new() }),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).or_fail(path.display())
}

/// The codes of the diagnostics that `check --json` reports as errors.
fn codes(script: &Path, trusted: bool) -> (Option<i32>, BTreeSet<String>, String) {
    let trust = trusted.then_some("--unsafe".as_ref());
    let report = Profinfer::run(["check".as_ref(), "--json".as_ref(), script.as_os_str()].into_iter().chain(trust));
    let errors = report.records.iter().filter(|r| r["severity"] == "error");
    let codes = errors.filter_map(|r| Some(r["code"].as_str()?.to_owned())).collect();
    (report.code, codes, report.stdout + &report.stderr)
}

/// A fence ```` ```pi ```` is a script that is right, ```` ```pi error=PI0303 ```` one that has that fault and no other,
/// ```` ```pi unsafe ```` one that is right where it is trusted, and only there.
#[test]
fn every_script_of_the_pages_is_as_its_fence_says() {
    let folder = TempDir::new().or_fail("a temporary folder");
    let script = folder.path().join("block.pi");
    let (mut right, mut wrong) = (0, 0);
    for page in pages() {
        for block in blocks(&read(&page)) {
            let place = format!("{}:{}", page.display(), block.line);
            let expected = match block.fence.split_once(' ') {
                None if block.fence == "pi" => BTreeSet::new(),
                Some(("pi", "unsafe")) => BTreeSet::from(["PI0224".to_owned()]),
                Some(("pi", rest)) => {
                    let code = rest.strip_prefix("error=").or_fail(format_args!("{place}: a fence ```{}", block.fence));
                    BTreeSet::from([code.to_owned()])
                }
                _ => continue,
            };
            fs::write(&script, &block.text).or_fail(script.display());
            if block.fence == "pi unsafe" {
                let (code, found, said) = codes(&script, true);
                assert_eq!((code, found), (Some(0), BTreeSet::new()), "trusted, {place}:\n{}\n{said}", block.text);
            }
            let (code, found, said) = codes(&script, false);
            assert_eq!(found, expected, "{place}:\n{}\n{said}", block.text);
            assert_eq!(code, Some(i32::from(!expected.is_empty())), "exit code, {place}:\n{}\n{said}", block.text);
            *if expected.is_empty() { &mut right } else { &mut wrong } += 1;
        }
    }
    assert!(right >= 25 && wrong >= 20, "{right} scripts that are right, {wrong} that are not");
}

/// The reference has scripts and nothing else in its blocks, so that each of them is tried above; each of its parts has one
/// that is right, and what it says is refused with which code has one that is.
#[test]
fn every_part_of_the_reference_has_examples() {
    let page = read(&root().join("docs/language.md"));
    let mut without = Vec::new();
    for part in page.split("\n## ").skip(1).flat_map(|part| part.split("\n### ")) {
        let name = part.lines().next().or_fail("a heading");
        let blocks = blocks(part);
        for block in &blocks {
            assert!(block.fence == "pi" || block.fence.starts_with("pi "), "{name}: a fence ```{}", block.fence);
        }
        // Limits are numbers, and what is not there yet is refused.
        if !blocks.iter().any(|b| b.fence.starts_with("pi") && !b.fence.contains("error")) {
            without.push(name);
        }
    }
    assert_eq!(without, ["Limits"]);
    let shown: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("```pi")?.trim().strip_prefix("error=")).collect();
    let told = page.split("PI0").skip(1).filter_map(|rest| rest.get(..3)).map(|digits| format!("PI0{digits}"));
    let told: BTreeSet<String> = told.filter(|code| !shown.contains(code.as_str())).collect();
    // The edition, which has a line of its own; a file that anybody may write; a kernel that shows no tracepoints.
    assert_eq!(told, BTreeSet::from(["PI0124", "PI0219", "PI0226"].map(str::to_owned)), "codes without an example");
}

/// The command lines of a page: lines of blocks, of stock scripts' comments, and inline code.
fn command_lines(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (i, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block || line.starts_with("//!     ") {
            let line = line.trim_start_matches("//!").trim_start();
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            // `profinfer 1` is the edition of a script, `profinfer: …` a message.
            if line.starts_with("profinfer ") && line != "profinfer 1" && line.is_ascii() {
                found.push((i + 1, line.to_owned()));
            }
        } else {
            let code = line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("profinfer "));
            found.extend(code.filter(|code| *code != "profinfer 1").map(|code| (i + 1, code.to_owned())));
        }
    }
    found
}

/// The words of a command line as a shell makes them, up to the first `|`, `>` or comment; `$(…)` is [`NOBODY`].
#[track_caller]
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ' ' => words.extend(word.take()),
            '|' | '>' | '&' | ';' => break,
            '#' if word.is_none() => break,
            '\'' | '"' => {
                let (text, after) = rest.split_once(c).or_fail(format_args!("an open quote in {line:?}"));
                word.get_or_insert_default().push_str(text);
                rest = after;
            }
            '$' if rest.starts_with('(') => {
                let (_, after) = rest.split_once(')').or_fail(format_args!("an open $( in {line:?}"));
                word.get_or_insert_default().push_str(NOBODY);
                rest = after;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Whether profinfer brings a script of this name.
fn is_stock(name: &str) -> bool {
    stock(name).is_file()
}

/// Names of the words that are scripts of the reader's own.
fn own_scripts(words: &[String]) -> impl Iterator<Item = &String> {
    let ours = words.iter().skip(1).take_while(|word| *word != "--");
    ours.filter(|word| word.ends_with(".pi") && !word.contains('=') && !is_stock(word))
}

/// With a process or a command that does not exist, the only fault left is that.
fn beyond_reach(words: &[String]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().skip(1).cloned().collect();
    if let Some(end) = words.iter().position(|word| word == "--") {
        words.truncate(end + 1);
        words.push(NO_COMMAND.into());
    }
    for i in 1..words.len() {
        if ["--pid", "-p"].contains(&&*words[i - 1]) {
            words[i] = NOBODY.into();
        }
        if words[i - 1] == "--name" {
            words[i] = NO_COMMAND.into();
        }
    }
    if words.iter().any(|word| word == "--name") {
        // It would wait for one.
        words.retain(|word| word != "--wait");
    }
    for word in words.iter_mut().filter(|word| *word == "NAME") {
        *word = "ggml_op".into();
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // A subcommand that is only named.
        ["check" | "plan"] => words.push("ops.pi".into()),
        [script, ..]
            if script.ends_with(".pi")
                && !words.iter().any(|w| ["--pid", "--name", "--", "--help"].contains(&&**w)) =>
        {
            words.extend(["--pid".into(), NOBODY.into()]);
        }
        _ => {}
    }
    words
}

/// A script of the reader's own is the last one that the page shows before, or `script.pi` any.
#[test]
fn every_command_line_of_the_pages_is_taken() {
    let mut sources = pages();
    let scripts: Vec<PathBuf> =
        fs::read_dir(stock("")).or_fail("scripts").flatten().map(|entry| entry.path()).collect();
    sources.extend(scripts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "pi")));
    let mut taken = 0;
    for source in sources {
        let page = read(&source);
        let scripts: Vec<Block> =
            blocks(&page).into_iter().filter(|b| ["pi", "description"].contains(&&*b.fence)).collect();
        for (at, line) in command_lines(&page) {
            let place = format!("{}:{at}: {line}", source.display());
            let folder = TempDir::new().or_fail("a temporary folder");
            let words = words(&line);
            for name in own_scripts(&words) {
                let before = scripts.iter().rfind(|block| block.line < at);
                let shown = before.or_fail(format_args!("{place}: the page shows no script {name}"));
                fs::write(folder.path().join(name), &shown.text).or_fail(name);
            }
            let mut arguments = beyond_reach(&words);
            for argument in &mut arguments {
                if folder.path().join(&*argument).is_file() || *argument == "report.json" {
                    *argument = folder.path().join(&*argument).to_string_lossy().into_owned();
                }
            }
            let report = Profinfer::run(&arguments);
            let replays = arguments.first().is_some_and(|a| ["replay", "diff"].contains(&&**a));
            let fine = if replays {
                // What is recorded is recorded by whoever reads the page.
                report.code == Some(3) && report.stderr.contains("cannot read the recording ")
            } else if arguments.iter().any(|a| a == NOBODY) {
                report.code == Some(3) && (report.stderr.contains(NOBODY) || report.stdout.contains(NOBODY))
            } else if arguments.iter().any(|a| a == "--name") {
                report.code == Some(3) && report.stderr.contains(NO_COMMAND)
            } else if arguments.iter().any(|a| a == NO_COMMAND) {
                report.code == Some(127) && report.stderr.contains(NO_COMMAND)
            } else {
                report.code == Some(0)
            };
            assert!(fine, "{place}\nrun as {arguments:?}: {:?}\n{}\n{}", report.code, report.stdout, report.stderr);
            taken += 1;
        }
    }
    assert!(taken >= 25, "{taken} command lines");
}
