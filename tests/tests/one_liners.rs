//! `docs/one-liners.md`: every line runs on a real engine and prints a table of the form that the page shows.
//!
//! With `UPDATE_GOLDEN=1` the answers on the page are replaced by what the lines print, one run after the other.

use std::fs;
use std::path::PathBuf;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::Profinfer;

/// Tokens generated under each line, as the page says.
const TOKENS: u64 = 48;

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/one-liners.md")
}

/// A line of the page.
#[derive(Debug)]
struct OneLiner {
    /// The heading that it stands under.
    section: String,
    /// The script.
    script: String,
    /// What the page shows as its answer.
    answer: String,
}

/// The page with its blocks taken out: text, or a one-liner.
#[track_caller]
fn read(page: &str) -> Vec<OneLiner> {
    let (mut section, mut found) = (String::new(), Vec::<OneLiner>::new());
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line) {
            (None, "```") => block = Some(String::new()),
            (Some(text), "```") => {
                let quoted = |t: &str| Some(t.strip_prefix("profinfer -e '")?.strip_suffix("' --pid N\n")?.to_owned());
                match (quoted(text), found.last_mut()) {
                    (Some(script), _) => {
                        found.push(OneLiner { section: section.clone(), script, answer: String::new() })
                    }
                    (None, Some(last)) => last.answer.clone_from(text),
                    (None, None) => panic!("neither a line nor an answer: {text}"),
                }
                block = None;
            }
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, line) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    section = heading.to_owned();
                }
            }
        }
    }
    found
}

/// The names in an answer: titles and heads of columns, without numbers, bars and what depends on them.
fn form(answer: &str) -> Vec<String> {
    let names = |line: &str| {
        let words = line.split_whitespace().filter(|w| w.starts_with(|c: char| c.is_ascii_alphabetic()));
        words.collect::<Vec<_>>().join(" ")
    };
    // A title ends with the time of the table, and its head follows.
    let lines: Vec<&str> = answer.lines().collect();
    let is_title = |line: &str| line.contains("  at ") && line.ends_with('s');
    let titles: Vec<usize> = (0..lines.len()).filter(|i| is_title(lines[*i])).collect();
    if titles.is_empty() {
        // Events, a line each.
        return lines.first().map(|line| vec![names(line)]).unwrap_or_default();
    }
    let head = |i: usize| lines.get(i + 1).map_or_else(String::new, |line| names(line));
    let table = |i: usize| [names(lines[i].split("  at ").next().unwrap_or_default()), head(i)];
    titles.into_iter().flat_map(table).collect()
}

/// What a run printed on stdout, without the report of its end.
fn answer(stdout: &str) -> String {
    let end = stdout.find("\nended ").map_or(stdout.len(), |at| at + 1);
    format!("{}\n", stdout[..end].trim())
}

fn engine(lab: &Lab, section: &str) -> Engine {
    let model = if section == "Experts" { Model::Moe } else { Model::Dense };
    lab.engine_with(Kind::Xllamacpp, &Options { model, ..Options::default() })
}

fn attach(engine: &Engine, script: &str) -> Profinfer {
    Profinfer::start_attached(["-e", script, "--pid", &engine.pid().to_string()])
}

#[test]
fn every_line_prints_what_the_page_shows() {
    let text = fs::read_to_string(page()).or_fail("the page");
    let lines = read(&text);
    assert!(lines.len() >= 30, "{} lines", lines.len());
    let lab = Lab::new();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return update(&lab, &text, &lines);
    }
    for experts in [false, true] {
        let lines: Vec<&OneLiner> = lines.iter().filter(|l| (l.section == "Experts") == experts).collect();
        let mut engine = engine(&lab, &lines[0].section);
        // All at once: they do not disturb each other.
        let running: Vec<Profinfer> = lines.iter().map(|line| attach(&engine, &line.script)).collect();
        engine.generate(TOKENS);
        for (line, running) in lines.iter().zip(running) {
            let report = running.interrupt();
            assert_eq!(report.code, Some(0), "{}\n{}", line.script, report.stderr);
            let found = answer(&report.stdout);
            let (found, shown) = (form(&found), form(&line.answer));
            assert!(!shown.is_empty(), "the page has no answer to {}", line.script);
            // With a timer there may be several, some of them empty.
            let same = found.chunks(2).any(|table| table == &shown[..shown.len().min(2)]);
            assert!(same, "{}\nprints:\n{}\nand not {shown:?}", line.script, report.stdout);
        }
    }
}

/// Writes the answers into the page.
#[track_caller]
fn update(lab: &Lab, text: &str, lines: &[OneLiner]) {
    let mut text = text.to_owned();
    for line in lines {
        let mut engine = engine(lab, &line.section);
        let running = attach(&engine, &line.script);
        engine.generate(TOKENS);
        let report = running.interrupt();
        assert_eq!(report.code, Some(0), "{}\n{}", line.script, report.stderr);
        let command = format!("profinfer -e '{}' --pid N\n```\n", line.script);
        let at = text.find(&command).or_fail("the command") + command.len();
        let old = if line.answer.is_empty() { String::new() } else { format!("\n```\n{}```\n", line.answer) };
        assert!(text[at..].starts_with(&old), "the answer follows its line");
        text.replace_range(at..at + old.len(), &format!("\n```\n{}```\n", answer(&report.stdout)));
    }
    fs::write(page(), text).or_fail("the page");
}
