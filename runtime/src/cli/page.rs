//! What `plan`, `list` and `doctor` print: headings and entries, wrapped, coloured on a terminal only.

use std::io::{IsTerminal, stdout};

use unicode_width::UnicodeWidthStr;

use super::args::Color;
use super::say;
use super::script::wants_color;

/// Columns of an output that is no terminal, and the most that is used of one.
const WIDTH: usize = 80;
/// Fewer columns are not wrapped to: nothing could be read.
const LEAST: usize = 40;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// A name.
    Name,
    /// As it should be.
    Good,
    /// Missing, and needed.
    Bad,
    /// Missing, and not needed.
    Weak,
    /// Beside the point.
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Name => "1",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Weak => "33",
            Self::Faint => "2",
        }
    }
}

/// A page that is printed in one piece.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    color: bool,
    width: usize,
}

impl Page {
    /// A page for stdout.
    pub(super) fn stdout(color: Color) -> Self {
        let terminal = stdout().is_terminal();
        let columns = terminal_size::terminal_size().filter(|_| terminal).map_or(WIDTH, |(w, _)| usize::from(w.0));
        Self { text: String::new(), color: wants_color(color, terminal), width: columns.clamp(LEAST, WIDTH) }
    }

    /// A heading, with an empty line before it.
    pub(super) fn heading(&mut self, text: &str) {
        self.blank();
        self.paint(Tone::Name, text);
        self.text.push('\n');
    }

    /// An empty line, but never two and none at the top.
    pub(super) fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Text from `indent` on, wrapped.
    pub(super) fn line(&mut self, indent: usize, tone: Tone, text: &str) {
        self.spaces(indent);
        self.words(indent, &[(tone, text)]);
    }

    /// Text from `indent` on, further lines a little to the right.
    pub(super) fn hang(&mut self, indent: usize, text: &[(Tone, &str)]) {
        self.spaces(indent);
        self.words_from(indent, indent + 2, text);
    }

    /// A label at `indent` and text from `column` on, wrapped there. A label that reaches it has the text below.
    pub(super) fn entry(&mut self, indent: usize, column: usize, label: (Tone, &str), text: &[(Tone, &str)]) {
        let label = (label.0, label.1.trim_end());
        self.spaces(indent);
        self.paint(label.0, label.1);
        let at = indent + label.1.width();
        if text.iter().all(|(_, t)| t.is_empty()) {
            self.text.push('\n');
            return;
        }
        if at >= column && !label.1.is_empty() {
            self.text.push('\n');
            self.spaces(column);
        } else {
            self.spaces(column - at);
        }
        self.words(column, text);
    }

    fn words(&mut self, column: usize, text: &[(Tone, &str)]) {
        self.words_from(column, column, text);
    }

    /// Words from column `at`, where the line stands, to the end of it; further lines begin at `column`.
    fn words_from(&mut self, mut at: usize, column: usize, text: &[(Tone, &str)]) {
        let mut first = true;
        for (tone, piece) in text {
            for word in piece.split(' ').filter(|w| !w.is_empty()) {
                let width = word.width();
                if !first && at + 1 + width > self.width {
                    self.text.push('\n');
                    self.spaces(column);
                    at = column;
                } else if !first {
                    self.text.push(' ');
                    at += 1;
                }
                self.paint(*tone, word);
                at += width;
                first = false;
            }
        }
        self.text.push('\n');
    }

    /// Text that is laid out already.
    pub(super) fn block(&mut self, text: &str) {
        for line in text.lines() {
            self.text.push_str(&clean(line));
            self.text.push('\n');
        }
    }

    /// Columns of a line.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Prints it.
    ///
    /// # Errors
    /// It cannot be written: the code to exit with.
    pub(super) fn print(self) -> Result<(), u8> {
        say::out(&self.text)
    }

    fn spaces(&mut self, n: usize) {
        self.text.extend(std::iter::repeat_n(' ', n));
    }

    /// Nothing gets onto a page but through here or [`Page::block`], so nothing on it steers a terminal.
    fn paint(&mut self, tone: Tone, text: &str) {
        let (text, code) = (clean(text), tone.code());
        if self.color && !code.is_empty() && !text.is_empty() {
            self.text.push_str(&format!("\x1b[{code}m{text}\x1b[0m"));
        } else {
            self.text.push_str(&text);
        }
    }
}

/// Text of the target (paths, names) made harmless for a terminal.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => clean.push(c),
            _ => clean.extend(c.escape_debug()),
        }
    }
    clean
}

/// `1 site`, `2 sites`.
pub(super) fn plural(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// Bytes as people read them.
pub(super) fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.0} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page { text: String::new(), color: false, width: 40 }
    }

    #[test]
    fn entries_are_wrapped_at_their_column() {
        let mut page = page();
        let text = "some words that do not fit into what is left of the line";
        page.entry(2, 12, (Tone::Name, "label"), &[(Tone::Plain, text)]);
        page.entry(2, 6, (Tone::Name, "a long label"), &[(Tone::Plain, "below it")]);
        assert_eq!(
            page.text,
            "  label     some words that do not fit\n            into what is left of the\n            line\n  a long label\n      below it\n"
        );
    }

    #[test]
    fn a_word_that_never_fits_has_a_line_of_its_own() {
        let mut page = page();
        let path = format!("/{}", "x".repeat(60));
        page.entry(0, 4, (Tone::Plain, "in"), &[(Tone::Plain, &format!("{path} and on"))]);
        assert_eq!(page.text, format!("in  {path}\n    and on\n"));
    }

    #[test]
    fn colours_only_where_wanted() {
        let mut page = Page { color: true, ..page() };
        page.line(0, Tone::Good, "yes");
        assert_eq!(page.text, "\x1b[32myes\x1b[0m\n");
    }

    #[test]
    fn nothing_of_the_target_steers_the_terminal() {
        let (hostile, harmless) = ("a b\x1b[2J/größe'\u{202e}", "a b\\u{1b}[2J/größe'\\u{202e}");
        assert_eq!(clean(hostile), harmless);
        assert_eq!(clean(harmless), harmless, "what is harmless stays as it is");
        let mut page = page();
        page.heading(hostile);
        page.line(0, Tone::Bad, hostile);
        page.entry(0, 30, (Tone::Name, hostile), &[(Tone::Plain, hostile)]);
        page.hang(0, &[(Tone::Faint, hostile)]);
        page.block(hostile);
        assert!(!page.text.contains(['\x1b', '\u{202e}']), "{}", page.text);
        assert_eq!(page.text.matches("\\u{1b}").count(), 6, "{}", page.text);
    }
}
