//! What is wrong with a text before its grammar is asked: limits, and pieces that are no tokens.

use super::chunks::{Brackets, Chunk};
use super::{MAX_BYTES, MAX_FAULTS, MAX_NESTING, numbers};
use crate::diagnostic::Diagnostic;
use crate::scan::{Token, TokenKind};
use crate::span::{FileId, Span};

/// A text beyond [`MAX_BYTES`].
pub(super) fn too_large(file: FileId, len: usize) -> Diagnostic {
    Diagnostic::error("PI0001", format!("the file is too large: {len} bytes, the limit is {MAX_BYTES}"))
        .at(Span::new(file, 0, 0), "this file")
        .help("scripts are small; is this one really a script?")
}

/// The faults of a stretch of text; the grammar reads it only when there are none.
pub(super) fn check(file: FileId, text: &str, chunk: &Chunk<'_>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for token in chunk.tokens {
        if faults.len() > MAX_FAULTS {
            break;
        }
        let span = Span::new(file, token.start, token.end);
        let source = token.text(text);
        match token.kind {
            TokenKind::Bad => faults.push(bad_character(span, source)),
            TokenKind::OpenStr => faults.push(
                Diagnostic::error("PI0004", "a string is not closed on its line")
                    .at(span, "begins here")
                    .help("end it with `\"`; inside of a string a quote is `\\\"` and a line end is `\\n`"),
            ),
            TokenKind::OpenComment => faults.push(
                Diagnostic::error("PI0005", "a comment is not closed")
                    .at(Span::new(file, token.start, token.start + 2), "begins here")
                    .help("end it with `*/`"),
            ),
            TokenKind::Number => faults.extend(numbers::malformed(source, span)),
            _ => {}
        }
    }
    faults.extend(too_deep(file, text, chunk.tokens));
    faults
}

/// A character no token begins with.
fn bad_character(span: Span, source: &str) -> Diagnostic {
    let c = source.chars().next().unwrap_or(' ');
    let shown = if c.is_control() || c == '\u{FEFF}' { format!("U+{:04X}", c as u32) } else { format!("`{c}`") };
    let fault = Diagnostic::error("PI0002", format!("unexpected character {shown}")).at(span, "has no place here");
    match c {
        '\'' | '`' | '“' | '”' | '‘' | '’' | '«' | '»' => {
            fault.help("strings stand between straight double quotes: `\"text\"`")
        }
        '#' => fault.help("a comment begins with `//`"),
        '&' => fault.help("conditions are joined with `and`"),
        '^' | '~' => fault.help("the operators are `+ - * / %`, the comparisons `= != < <= > >=`"),
        '–' | '—' | '−' => fault.help("a minus is `-`"),
        _ if c.is_alphabetic() => fault.help("names hold the letters a to z, digits and `_`; other text is a string"),
        _ => fault,
    }
}

/// Brackets or signs that stand too deep in each other.
fn too_deep(file: FileId, text: &str, tokens: &[Token]) -> Option<Diagnostic> {
    let mut open = Brackets::default();
    let mut signs = 0;
    for token in tokens.iter().filter(|t| !t.is_comment()) {
        let source = token.text(text);
        match (token.kind, source) {
            (TokenKind::Mark, _) => {
                open.step(source);
            }
            (TokenKind::Word, "not") => {}
            _ => {
                signs = 0;
                continue;
            }
        }
        signs = if matches!(source, "-" | "not" | "!") { signs + 1 } else { 0 };
        if open.depth() > MAX_NESTING || signs > MAX_NESTING {
            return Some(nesting(Span::new(file, token.start, token.end)));
        }
    }
    None
}

/// The fault of a text, or of the tree made of it, that is too deep.
pub(super) fn nesting(span: Span) -> Diagnostic {
    Diagnostic::error("PI0003", format!("nested too deep: more than {MAX_NESTING} levels"))
        .at(span, "one level too many")
        .help("name a part of it with `let` or `fn`")
}
