//! Cuts text into tokens, tolerantly: any text gives tokens that cover all of it but blanks. The parser proper is the
//! grammar's; tokens serve limits, the search for items behind a broken one, and the explanation of faults.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, digits, `_`; not beginning with a digit.
    Word,
    /// Whatever begins with a digit: `10`, `0x1f`, `1.5ms`, `4bit`.
    Number,
    /// `"…"`
    Str,
    /// `"…` up to the end of its line.
    OpenStr,
    /// `$name`
    Param,
    /// One of the marks of the language, or one that other languages have (`&&`, `==`).
    Mark,
    /// `/// …`
    Doc,
    /// `//! …`
    FileDoc,
    /// `#! …` at the start of the text.
    Shebang,
    /// `// …`, `/* … */`
    Comment,
    /// `/* …` up to the end of the text.
    OpenComment,
    /// A character that has no place outside of strings and comments.
    Bad,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
}

impl Token {
    /// The token's own text.
    pub(crate) fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or("")
    }

    /// Whether the grammar sees it at all.
    pub(crate) fn is_comment(self) -> bool {
        matches!(self.kind, TokenKind::Comment | TokenKind::OpenComment | TokenKind::Shebang)
    }
}

/// Marks of more than one character; longer ones first.
const LONG_MARKS: [&str; 12] = ["==", "!=", "<=", ">=", "&&", "||", "..", "->", "=>", "<>", "++", "**"];

/// Marks of one character.
const MARKS: &str = "()[]{}<>,;:=+-*/%.!?|@$";

/// The tokens of `text`, in order.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if matches!(c, ' ' | '\t' | '\r' | '\n') || (at == 0 && c == '\u{FEFF}') {
            at += c.len_utf8();
            continue;
        }
        let (kind, len) = token(&text[at..], at == 0);
        out.push(Token { kind, start: at, end: at + len });
        at += len;
    }
    out
}

/// The kind and the length of the token that `rest` begins with.
fn token(rest: &str, at_start: bool) -> (TokenKind, usize) {
    let line = || rest.find('\n').unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_ascii_alphabetic() || first == '_' {
        return (TokenKind::Word, word_len(rest));
    }
    if first.is_ascii_digit() {
        return (TokenKind::Number, number_len(rest));
    }
    if at_start && rest.starts_with("#!") {
        return (TokenKind::Shebang, line());
    }
    if rest.starts_with("//!") {
        return (TokenKind::FileDoc, line());
    }
    if rest.starts_with("///") && !rest.starts_with("////") {
        return (TokenKind::Doc, line());
    }
    if rest.starts_with("//") {
        return (TokenKind::Comment, line());
    }
    if let Some(inside) = rest.strip_prefix("/*") {
        return inside.find("*/").map_or((TokenKind::OpenComment, rest.len()), |n| (TokenKind::Comment, n + 4));
    }
    if first == '"' {
        return string(rest);
    }
    if first == '$' {
        let name = word_len(&rest[1..]);
        let named = name > 0 && !rest[1..].starts_with(|c: char| c.is_ascii_digit());
        return if named { (TokenKind::Param, 1 + name) } else { (TokenKind::Mark, 1) };
    }
    if let Some(mark) = LONG_MARKS.iter().find(|m| rest.starts_with(**m)) {
        return (TokenKind::Mark, mark.len());
    }
    if MARKS.contains(first) { (TokenKind::Mark, 1) } else { (TokenKind::Bad, first.len_utf8()) }
}

/// The length of the word that `text` begins with.
fn word_len(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// The length of whatever begins with a digit: digits, letters, one fraction, one exponent with its sign.
fn number_len(text: &str) -> usize {
    let mut len = word_len(text);
    let hex = text.starts_with("0x") || text.starts_with("0X");
    let rest = &text[len..];
    if !hex && rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
        len += 1 + word_len(&rest[1..]);
    }
    let mantissa = text[..len].strip_suffix(['e', 'E']);
    let sign = text[len..].starts_with(['+', '-']);
    if !hex
        && sign
        && mantissa.is_some_and(|m| m.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        && text[len + 1..].starts_with(|c: char| c.is_ascii_digit())
    {
        len += 1 + word_len(&text[len + 1..]);
    }
    len
}

/// A string up to its closing quote, or up to the end of the line.
fn string(text: &str) -> (TokenKind, usize) {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (TokenKind::Str, at + 1),
            '\n' => return (TokenKind::OpenStr, at),
            '\\' if text[at + 1..].starts_with('\n') => return (TokenKind::OpenStr, at + 1),
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    (TokenKind::OpenStr, text.len())
}
