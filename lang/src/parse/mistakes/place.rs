//! The place where the grammar could not go on, with the tokens around it.

use crate::parse::chunks::{Brackets, Chunk, ITEM_WORDS};
use crate::scan::{Token, TokenKind};
use crate::span::{FileId, Span};

/// A place in the tokens of one item, or of a few on one line.
pub(super) struct Place<'a> {
    /// The file.
    pub(super) file: FileId,
    /// The file's whole text.
    pub(super) text: &'a str,
    /// The tokens without comments.
    tokens: Vec<Token>,
    /// The token that does not fit; the number of tokens when the item ends too early.
    pub(super) at: usize,
    /// The brackets open there: the bracket and its token.
    pub(super) open: Vec<(u8, usize)>,
    /// The item's first word.
    pub(super) item: Option<usize>,
    /// The `<` of the item's body, once it began.
    pub(super) body: Option<usize>,
    /// Whether the item's body, or its braces, are closed.
    pub(super) closed: bool,
    /// One past the last byte of the chunk's text.
    end: usize,
}

impl<'a> Place<'a> {
    /// The place of byte `byte` in `chunk`.
    pub(super) fn new(file: FileId, text: &'a str, chunk: &Chunk<'_>, byte: usize) -> Self {
        let tokens: Vec<Token> = chunk.tokens.iter().copied().filter(|t| !t.is_comment()).collect();
        let at = tokens.partition_point(|t| t.end <= byte);
        let end = tokens.last().map_or(chunk.end, |t| t.end);
        let mut place = Self { file, text, tokens, at, open: Vec::new(), item: None, body: None, closed: false, end };
        place.look_back();
        place
    }

    /// Finds the item and the brackets that the place is in.
    fn look_back(&mut self) {
        let mut brackets = Brackets::default();
        for i in 0..self.at {
            let word = self.tok(i);
            if brackets.is_empty() && self.kind(i) == Some(TokenKind::Word) && ITEM_WORDS.contains(&word) {
                let first = i == 0 || self.closed || self.starts_line(i);
                let behind_docs = i > 0 && matches!(self.kind(i - 1), Some(TokenKind::Doc | TokenKind::FileDoc));
                if first || behind_docs {
                    (self.item, self.body, self.closed) = (Some(i), None, false);
                }
            }
            if self.kind(i) != Some(TokenKind::Mark) {
                continue;
            }
            let before = brackets.depth();
            brackets.step(word);
            if brackets.depth() > before {
                if before == 0 && word == "<" {
                    self.body = Some(i);
                }
                self.open.push((word.as_bytes()[0], i));
            } else if brackets.depth() < before {
                self.open.pop();
                self.closed |= before == 1 && matches!(word, ">" | "}");
            }
        }
    }

    /// The text of token `i`; empty beyond the ends.
    pub(super) fn tok(&self, i: usize) -> &'a str {
        self.tokens.get(i).map_or("", |t| t.text(self.text))
    }

    /// The kind of token `i`.
    pub(super) fn kind(&self, i: usize) -> Option<TokenKind> {
        self.tokens.get(i).map(|t| t.kind)
    }

    /// The text of the token that does not fit.
    pub(super) fn cur(&self) -> &'a str {
        self.tok(self.at)
    }

    /// The text of the token `n` before the one that does not fit.
    pub(super) fn before(&self, n: usize) -> &'a str {
        self.at.checked_sub(n).map_or("", |i| self.tok(i))
    }

    /// The kind of the token before the one that does not fit.
    pub(super) fn before_kind(&self) -> Option<TokenKind> {
        self.at.checked_sub(1).and_then(|i| self.kind(i))
    }

    /// Whether the item ends where more was expected.
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Whether the text ends there too.
    pub(super) fn at_end_of_text(&self) -> bool {
        self.at_end() && self.text.get(self.end..).is_none_or(|rest| rest.trim().is_empty())
    }

    /// The place of token `i`; the end of the item beyond its last token.
    pub(super) fn span(&self, i: usize) -> Span {
        match self.tokens.get(i) {
            Some(t) => Span::new(self.file, t.start, t.end),
            None => Span::new(self.file, self.end, self.end),
        }
    }

    /// The place of the token that does not fit.
    pub(super) fn here(&self) -> Span {
        self.span(self.at)
    }

    /// Whether no blank stands between token `i` and the one before.
    pub(super) fn touches(&self, i: usize) -> bool {
        match (i.checked_sub(1).and_then(|p| self.tokens.get(p)), self.tokens.get(i)) {
            (Some(a), Some(b)) => a.end == b.start,
            _ => false,
        }
    }

    /// Whether token `i` is the first on its line.
    pub(super) fn starts_line(&self, i: usize) -> bool {
        match (i.checked_sub(1).and_then(|p| self.tokens.get(p)), self.tokens.get(i)) {
            (Some(a), Some(b)) => self.text.get(a.end..b.start).is_some_and(|between| between.contains('\n')),
            _ => true,
        }
    }

    /// The item's first word.
    pub(super) fn item_word(&self) -> &'a str {
        self.item.map_or("", |i| self.tok(i))
    }

    /// Whether the item is a clause.
    pub(super) fn in_clause(&self) -> bool {
        matches!(self.item_word(), "on" | "every" | "after" | "begin" | "end")
    }

    /// The innermost bracket open here.
    pub(super) fn top(&self) -> Option<u8> {
        self.open.last().map(|b| b.0)
    }

    /// Whether comparisons are allowed here.
    pub(super) fn compares(&self) -> bool {
        matches!(self.top(), Some(b'(' | b'['))
    }

    /// Whether this is directly in the parentheses of a point: not in those of a condition or a call.
    pub(super) fn in_point_parens(&self) -> bool {
        let &[(b'(', paren)] = self.open.as_slice() else { return false };
        self.body.is_none() && matches!(self.item_word(), "on" | "probe") && self.tok(paren.wrapping_sub(1)) != "where"
    }

    /// The tokens of the group that the place is in, from its first one up to the place; those in deeper brackets left out.
    pub(super) fn group(&self) -> Vec<usize> {
        let Some(body) = self.body.filter(|_| !self.closed) else { return Vec::new() };
        let mut depth = Brackets::default();
        let mut group = Vec::new();
        for i in body + 1..self.at {
            let outside = depth.is_empty();
            match self.tok(i) {
                ";" if outside => group.clear(),
                word => {
                    if outside {
                        group.push(i);
                    }
                    depth.step(word);
                }
            }
        }
        group
    }

    /// Whether a value ends before the place.
    pub(super) fn value_before(&self) -> bool {
        match self.before_kind() {
            Some(TokenKind::Word) => {
                !super::words::is_reserved(self.before(1)) || matches!(self.before(1), "true" | "false")
            }
            Some(TokenKind::Number | TokenKind::Str | TokenKind::Param) => true,
            Some(TokenKind::Mark) => matches!(self.before(1), ")" | "]"),
            _ => false,
        }
    }

    /// Whether a value begins at the place.
    pub(super) fn value_here(&self) -> bool {
        match self.kind(self.at) {
            Some(TokenKind::Word) => !super::words::is_reserved(self.cur()),
            Some(TokenKind::Number | TokenKind::Str | TokenKind::Param) => true,
            _ => false,
        }
    }
}
