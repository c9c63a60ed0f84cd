//! Diagnostics as text: for people through codespan-reporting, for tools as JSON lines.

use codespan_reporting::diagnostic as shown;
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;
use codespan_reporting::term::termcolor::Buffer;
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::SourceMap;
use crate::span::Span;

/// The longest stretch of source that is shown, in bytes.
const MAX_SHOWN: usize = 4096;

/// Diagnostics for people, an empty line between them; with terminal colours where `color`.
pub fn human(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    let mut files = SimpleFiles::new();
    for file in sources.files() {
        files.add(printable(&file.name), printable_source(&file.text));
    }
    let config = term::Config { chars: term::Chars::box_drawing(), ..term::Config::default() };
    let lines: Vec<Lines<'_>> = sources.files().iter().map(|f| Lines::of(&f.text)).collect();
    let mut blocks = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        if diagnostic.labels.iter().any(|l| on_long_line(l.span, &lines)) {
            blocks.push(plain(diagnostic, sources, &lines));
            continue;
        }
        let mut buffer = if color { Buffer::ansi() } else { Buffer::no_color() };
        // Writing to memory does not fail; a place outside of its file does, and leaves the message.
        if term::emit(&mut buffer, &config, &files, &as_shown(diagnostic, sources)).is_err() {
            buffer = Buffer::no_color();
        }
        let text = String::from_utf8_lossy(buffer.as_slice()).into_owned();
        let text = if text.is_empty() { plain(diagnostic, sources, &lines) } else { compact(&text) };
        blocks.push(text);
    }
    blocks.join("\n")
}

/// Diagnostics for tools: one JSON object a line.
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let mut out = String::new();
    let lines: Vec<Lines<'_>> = sources.files().iter().map(|f| Lines::of(&f.text)).collect();
    for diagnostic in diagnostics {
        let record = Record::new(diagnostic, sources, &lines);
        // Strings and numbers alone: this cannot fail.
        if let Ok(line) = serde_json::to_string(&record) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// Line and column of a byte of a text, both from 1; columns count characters. A byte beyond the text is at its end.
pub fn line_column(text: &str, byte: usize) -> (usize, usize) {
    Lines::of(text).place(byte)
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    /// The bytes of the lines that a place is on.
    fn length_around(&self, span: Span) -> usize {
        let first = self.starts.partition_point(|start| *start <= span.start as usize).saturating_sub(1);
        let next = self.starts.partition_point(|start| *start <= span.end as usize);
        let end = self.starts.get(next).copied().unwrap_or(self.text.len());
        end.saturating_sub(self.starts.get(first).copied().unwrap_or(0))
    }

    fn place(&self, byte: usize) -> LineColumn {
        let line = self.starts.partition_point(|start| *start <= byte.min(self.text.len()));
        let start = line.checked_sub(1).and_then(|i| self.starts.get(i)).copied().unwrap_or(0);
        let column = self.text[start..].char_indices().take_while(|(at, _)| start + at < byte).count() + 1;
        (line, column)
    }
}

fn as_shown(diagnostic: &Diagnostic, sources: &SourceMap) -> shown::Diagnostic<usize> {
    let severity = match diagnostic.severity {
        Severity::Error => shown::Severity::Error,
        Severity::Warning => shown::Severity::Warning,
    };
    let labels = diagnostic.labels.iter().filter(|l| (l.span.file.0 as usize) < sources.files().len()).map(|label| {
        let style = if label.primary { shown::LabelStyle::Primary } else { shown::LabelStyle::Secondary };
        shown::Label::new(style, label.span.file.0 as usize, label.span.range()).with_message(printable(&label.text))
    });
    shown::Diagnostic::new(severity)
        .with_code(diagnostic.code)
        .with_message(printable(&diagnostic.message))
        .with_labels(labels.collect())
        .with_notes(diagnostic.help.iter().map(|h| format!("help: {}", printable(h))).collect())
}

/// Message, place and help without the source.
fn plain(diagnostic: &Diagnostic, sources: &SourceMap, lines: &[Lines<'_>]) -> String {
    let severity = severity(diagnostic.severity);
    let mut text = format!("{severity}[{}]: {}\n", diagnostic.code, printable(&diagnostic.message));
    for label in &diagnostic.labels {
        if let Some((file, (line, column), _)) = place(label.span, sources, lines) {
            text.push_str(&format!("  ┌─ {}:{line}:{column}: {}\n", printable(file), printable(&label.text)));
        }
    }
    for help in &diagnostic.help {
        text.push_str(&format!("  = help: {}\n", printable(help)));
    }
    text
}

/// Whether a place is on a line, or over lines, that no terminal could show.
fn on_long_line(span: Span, lines: &[Lines<'_>]) -> bool {
    lines.get(span.file.0 as usize).is_some_and(|l| l.length_around(span) > MAX_SHOWN)
}

/// Text without control characters: a script must not move the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { '\u{FFFD}' } else { c }).collect()
}

/// The same for source text, each character replaced by one of its length, so that places stay where they are.
fn printable_source(text: &str) -> String {
    let replaced = |c: char| match c.len_utf8() {
        1 if c == '\r' => ' ',
        1 => '?',
        2 => '\u{BF}',
        _ => '\u{FFFD}',
    };
    text.chars().map(|c| if is_unprintable(c) && c != '\t' { replaced(c) } else { c }).collect()
}

/// Control characters, and those that change the direction of the text behind them.
fn is_unprintable(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Leaves out the lines that hold nothing but the margin's rule.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !matches!(without_colors(line).trim(), "│" | "")) {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn without_colors(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        rest = rest[at..].find('m').map_or("", |end| &rest[at + end + 1..]);
    }
    out + rest
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// One line of [`json`]. Fields are only ever added; `v` changes when one goes or changes its meaning.
#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    v: u32,
    code: &'a str,
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    labels: Vec<RecordLabel<'a>>,
    help: &'a [String],
}

#[derive(Serialize)]
struct RecordLabel<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    text: &'a str,
    primary: bool,
}

impl<'a> Record<'a> {
    fn new(diagnostic: &'a Diagnostic, sources: &'a SourceMap, lines: &[Lines<'_>]) -> Self {
        let main = diagnostic.labels.iter().find(|l| l.primary).or(diagnostic.labels.first());
        let start = main.and_then(|l| place(l.span, sources, lines));
        let labels = diagnostic.labels.iter().filter_map(|label| {
            let (file, (line, column), (end_line, end_column)) = place(label.span, sources, lines)?;
            let (text, primary) = (label.text.as_str(), label.primary);
            Some(RecordLabel { file, line, column, end_line, end_column, text, primary })
        });
        Self {
            r#type: "diagnostic",
            v: 1,
            code: diagnostic.code,
            severity: severity(diagnostic.severity),
            message: &diagnostic.message,
            file: start.map(|s| s.0),
            line: start.map(|s| s.1.0),
            column: start.map(|s| s.1.1),
            labels: labels.collect(),
            help: &diagnostic.help,
        }
    }
}

/// Line and column, both from 1.
type LineColumn = (usize, usize);

/// The file, the start and the end of a place.
fn place<'a>(span: Span, sources: &'a SourceMap, lines: &[Lines<'_>]) -> Option<(&'a str, LineColumn, LineColumn)> {
    let index = span.file.0 as usize;
    let lines = lines.get(index)?;
    Some((&sources.files().get(index)?.name, lines.place(span.start as usize), lines.place(span.end as usize)))
}
