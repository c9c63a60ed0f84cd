//! Where items begin, found without the grammar: a keyword of items at the start of a line.

use crate::scan::{Token, TokenKind};

/// A stretch of the text: one item with its docs, or several that share a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    /// Its tokens; their places are those in the whole text.
    pub(crate) tokens: &'a [Token],
}

/// The words items begin with.
pub(crate) const ITEM_WORDS: [&str; 15] = [
    "on", "every", "after", "begin", "end", "param", "import", "let", "fn", "agg", "probe", "engine", "struct", "enum",
    "point",
];

/// Cuts the text in front of each item that begins a line. The first stretch holds the head of the file too.
pub(crate) fn split<'a>(text: &str, tokens: &'a [Token]) -> Vec<Chunk<'a>> {
    let mut cuts = vec![];
    let mut open = Brackets::default();
    let mut docs = None;
    let mut seen_item = false;
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Doc if starts_line(text, token.start) => {
                docs.get_or_insert(i);
                continue;
            }
            TokenKind::Comment => continue,
            _ if begins_item(text, tokens, i, &open) || stands_alone(text, tokens, i, &open) => {
                if seen_item {
                    cuts.push(docs.unwrap_or(i));
                }
                seen_item = true;
                open = Brackets::default();
                open.step(token.text(text));
            }
            _ => {
                seen_item = true;
                open.step(token.text(text));
            }
        }
        docs = None;
    }
    let mut chunks = Vec::with_capacity(cuts.len() + 1);
    let mut from = 0;
    for to in cuts.into_iter().chain([tokens.len()]) {
        if to > from {
            let start = if from == 0 { 0 } else { tokens[from].start };
            let end = tokens.get(to).map_or(text.len(), |t| t.start);
            chunks.push(Chunk { start, end, tokens: &tokens[from..to] });
        }
        from = to;
    }
    chunks
}

/// Whether the word at `i` begins an item: at the start of a line outside of all brackets, or, when a bracket was left open,
/// at the very margin. A `let` within brackets belongs to a probe or a point.
fn begins_item(text: &str, tokens: &[Token], i: usize, open: &Brackets) -> bool {
    let token = tokens[i];
    let word = token.text(text);
    if !starts_line(text, token.start) || !ITEM_WORDS.contains(&word) {
        return false;
    }
    let next = tokens.get(i + 1).map_or("", |t| t.text(text));
    let usable = matches!(word, "engine" | "struct" | "enum" | "point");
    let used_as_name =
        matches!(next, "," | ";" | ":" | "=" | "." | "+" | "-" | "*" | ")" | ">" | "[" | "]" | "}" | "@");
    if open.is_empty() {
        return !(usable && used_as_name);
    }
    let margin = token.start == 0 || text.as_bytes()[token.start - 1] == b'\n';
    margin && word != "let" && !used_as_name
}

/// Whether the token at `i` stands where an item must begin: on a line behind a closed body or closed braces. Misspelt items
/// have a stretch of their own by this.
fn stands_alone(text: &str, tokens: &[Token], i: usize, open: &Brackets) -> bool {
    let before = tokens[..i].iter().rev().find(|t| !t.is_comment() && t.kind != TokenKind::Doc);
    let ended = before.is_some_and(|t| matches!(t.text(text), ">" | "}"));
    let word = tokens[i].text(text);
    open.is_empty()
        && ended
        && starts_line(text, tokens[i].start)
        && !matches!(word, "by" | "into" | "where" | "and" | "or" | ">" | ")" | "]" | "}" | ";" | ",")
}

/// Whether only blanks stand before `at` on its line.
fn starts_line(text: &str, at: usize) -> bool {
    text[..at].chars().rev().find(|c| !matches!(c, ' ' | '\t' | '\r' | '\u{FEFF}')).is_none_or(|c| c == '\n')
}

/// The brackets open at a place. An angle bracket opens a body outside of `( )` and `[ ]`, and compares within.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brackets {
    open: Vec<u8>,
}

impl Brackets {
    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The innermost one.
    pub(crate) fn top(&self) -> Option<u8> {
        self.open.last().copied()
    }

    /// Whether an angle bracket compares here.
    pub(crate) fn compares(&self) -> bool {
        matches!(self.top(), Some(b'(' | b'['))
    }

    /// Goes over one token; false for a bracket that closes nothing or the wrong one.
    pub(crate) fn step(&mut self, token: &str) -> bool {
        let closes = match token {
            "(" | "[" | "{" => {
                self.open.push(token.as_bytes()[0]);
                return true;
            }
            "<" if !self.compares() => {
                self.open.push(b'<');
                return true;
            }
            ">" if self.compares() => return true,
            ">" => b'<',
            ")" => b'(',
            "]" => b'[',
            "}" => b'{',
            _ => return true,
        };
        if self.top() == Some(closes) {
            self.open.pop();
            return true;
        }
        false
    }
}
