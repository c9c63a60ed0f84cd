//! Styled lines of a known width, and how they are cut, wrapped and painted.

use unicode_width::UnicodeWidthChar;

/// What a piece of text is, hence its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// Names of tables and columns.
    Head,
    /// Units, bars, remarks.
    Dim,
    /// Keys of a row.
    Key,
    /// What must not be overlooked.
    Warn,
    /// A background: a step of [`HEAT`], from the lowest number to the highest.
    Heat(u8),
}

/// Backgrounds of even steps of lightness, for dark and light terminals and for eyes that mix up red and green: colours
/// 53, 90, 60, 66, 72, 78, 185 and 227 of the 256.
pub(super) const HEAT: [&str; 8] = [
    "\x1b[48;5;53m",
    "\x1b[48;5;90m",
    "\x1b[48;5;60m",
    "\x1b[48;5;66m",
    "\x1b[48;5;72m",
    "\x1b[48;5;78m",
    "\x1b[48;5;185m",
    "\x1b[48;5;227m",
];

impl Style {
    fn start(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Key => "\x1b[36m",
            Self::Warn => "\x1b[33m",
            Self::Heat(step) => HEAT.get(usize::from(step)).copied().unwrap_or(""),
        }
    }
}

/// One line of text, already escaped, in pieces of one style each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
    /// Spaces owed before the next piece; never written at the end of a line.
    owed: usize,
}

impl Line {
    /// A line of one piece.
    pub(super) fn of(style: Style, text: impl Into<String>) -> Self {
        let mut line = Self::default();
        line.push(style, text);
        line
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, style: Style, text: impl Into<String>) {
        let text = text.into();
        if text.is_empty() {
            return;
        }
        if self.owed > 0 {
            self.pieces.push((Style::Plain, " ".repeat(self.owed)));
            self.owed = 0;
        }
        self.pieces.push((style, text));
    }

    /// Puts a piece in front.
    pub(super) fn insert(&mut self, style: Style, text: impl Into<String>) {
        self.pieces.insert(0, (style, text.into()));
    }

    /// Adds spaces, unless nothing follows.
    pub(super) fn gap(&mut self, spaces: usize) {
        self.owed += spaces;
    }

    /// Adds spaces up to a column, unless nothing follows.
    pub(super) fn pad_to(&mut self, column: usize) {
        self.gap(column.saturating_sub(self.width() + self.owed));
    }

    /// Adds another line's pieces.
    pub(super) fn extend(&mut self, other: Self) {
        for (style, text) in other.pieces {
            self.push(style, text);
        }
        self.gap(other.owed);
    }

    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// Breaks it into lines that fit, wherever the limit falls; 0 is no limit.
    pub(super) fn broken(self, limit: usize) -> Vec<Self> {
        if limit == 0 || self.width() <= limit {
            return vec![self];
        }
        let mut lines = Vec::new();
        let (mut line, mut used) = (Self::default(), 0);
        for (style, text) in self.pieces {
            let mut piece = String::new();
            for c in text.chars() {
                let wide = c.width().unwrap_or(0);
                if used + wide > limit && used > 0 {
                    line.push(style, std::mem::take(&mut piece));
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                piece.push(c);
                used += wide;
            }
            line.push(style, piece);
        }
        lines.push(line);
        lines
    }

    /// Appends it to `text`, without a line end.
    pub(super) fn paint(&self, color: bool, text: &mut String) {
        for (style, piece) in &self.pieces {
            let start = if color { style.start() } else { "" };
            text.push_str(start);
            text.push_str(piece);
            if !start.is_empty() {
                text.push_str("\x1b[0m");
            }
        }
    }
}

/// Lines as text, each with its line end.
pub(super) fn paint(lines: &[Line], color: bool) -> String {
    let mut text = String::new();
    for line in lines {
        line.paint(color, &mut text);
        text.push('\n');
    }
    text
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    // Per character, as terminals count; `is_hidden` keeps out what only makes sense in a sequence.
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts a text in the middle so that it takes at most `limit` columns.
pub(super) fn cut_middle(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let keep = limit.saturating_sub(1);
    let head = prefix(text.chars(), keep.div_ceil(2));
    let tail: Vec<char> = prefix(text.chars().rev(), keep / 2);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// The first characters that fit.
fn prefix(chars: impl Iterator<Item = char>, limit: usize) -> Vec<char> {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= limit
        })
        .collect()
}

/// Fills lines with items that are not broken, the first line behind a label.
pub(super) struct Flow {
    lines: Vec<Line>,
    limit: usize,
    indent: usize,
    fresh: bool,
}

impl Flow {
    /// Begins with a label that takes `indent` columns; later lines are indented as far. A limit of 0 is none.
    pub(super) fn new(label: Line, indent: usize, limit: usize) -> Self {
        let mut first = label;
        first.pad_to(indent);
        Self { lines: vec![first], limit, indent, fresh: true }
    }

    /// Adds an item, behind `separator` (of which a trailing space is not written at a line's end).
    pub(super) fn item(&mut self, separator: &str, item: Line) {
        let room = if self.limit == 0 { usize::MAX } else { self.limit };
        let Some(line) = self.lines.last_mut() else { return };
        if !self.fresh {
            let mark = separator.trim_end();
            line.push(Style::Plain, mark);
            if line.width() + width(separator) - width(mark) + item.width() + 1 > room {
                let mut next = Line::default();
                next.gap(self.indent);
                next.extend(item);
                self.lines.push(next);
                return;
            }
            line.gap(width(separator) - width(mark));
        }
        line.extend(item);
        self.fresh = false;
    }

    /// Adds a text word by word.
    pub(super) fn words(&mut self, style: Style, text: &str) {
        for word in text.split(' ') {
            self.item(" ", Line::of(style, word));
        }
    }

    /// The lines.
    pub(super) fn finish(self) -> Vec<Line> {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_goes_and_both_ends_stay() {
        assert_eq!(cut_middle("blk.12.ffn_gate_exps.weight", 12), "blk.12…eight");
        assert_eq!(cut_middle("short", 5), "short");
        assert_eq!(cut_middle("toolong", 1), "…");
        assert_eq!(cut_middle("世界世界世界", 7), "世…界", "a wide character that does not fit is left out");
        assert!(width(&cut_middle("世界世界世界", 8)) <= 8);
    }

    #[test]
    fn a_line_breaks_where_the_terminal_would() {
        let broken = |text: &str, limit| -> Vec<String> {
            Line::of(Style::Key, text)
                .broken(limit)
                .iter()
                .map(|line| {
                    let mut text = String::new();
                    line.paint(false, &mut text);
                    text
                })
                .collect()
        };
        assert_eq!(broken("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(broken("abcd", 4), ["abcd"]);
        assert_eq!(broken("abc世", 4), ["abc", "世"]);
        assert_eq!(broken("世", 1), ["世"], "ends even if nothing fits");
        assert_eq!(broken("abcdef", 0), ["abcdef"]);
    }

    #[test]
    fn padding_at_the_end_is_not_written() {
        let mut line = Line::of(Style::Head, "a");
        line.pad_to(4);
        line.push(Style::Dim, "b");
        line.gap(9);
        assert_eq!(paint(&[line.clone()], false), "a   b\n");
        assert_eq!(paint(&[line], true), "\x1b[1ma\x1b[0m   \x1b[2mb\x1b[0m\n");
    }

    #[test]
    fn items_flow_into_lines_of_one_indent() {
        let mut flow = Flow::new(Line::of(Style::Dim, "ops"), 5, 17);
        for item in ["aaa 1", "bbb 22", "c 3"] {
            flow.item(", ", Line::of(Style::Plain, item));
        }
        assert_eq!(paint(&flow.finish(), false), "ops  aaa 1,\n     bbb 22, c 3\n");
    }
}
