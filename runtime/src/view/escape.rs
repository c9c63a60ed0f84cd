//! Text of the target made harmless: nothing in it can move the cursor, turn the reading direction or hide.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Writes control characters, invisible ones and those that turn the reading direction as `\u{…}`.
///
/// A backslash that would read as the start of such an escape becomes `\u{5c}`, so that two texts never look the same.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) && !text.contains("\\u{") {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if is_hidden(c) || text[at..].starts_with("\\u{") {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// The same for a text of several lines, whose ends are kept.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => format!("{}\n", escape(line)),
            None => escape(line).into_owned(),
        })
        .collect()
}

/// Control characters, and those that Unicode calls ignorable or that steer the layout of a line: they have no shape of
/// their own, and terminals disagree about their width.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays() {
        for text in ["blk.0.attn_q.weight", "größe · 世界 ✓", "C:\\models\\q4", ""] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn whatever_steers_a_terminal_is_written_out() {
        assert_eq!(escape("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("a\r\nb\tc\0\x7f"), "a\\u{d}\\u{a}b\\u{9}c\\u{0}\\u{7f}");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m", "C1 controls are escapes too");
        assert_eq!(escape("x\u{202e}gnp.exe"), "x\\u{202e}gnp.exe");
        assert_eq!(escape("\u{2066}\u{2069}\u{200f}\u{61c}"), "\\u{2066}\\u{2069}\\u{200f}\\u{61c}");
        assert_eq!(escape("a\u{200b}b\u{feff}\u{e0041}"), "a\\u{200b}b\\u{feff}\\u{e0041}");
    }

    #[test]
    fn an_escape_in_the_text_itself_is_told_apart() {
        assert_eq!(escape("\\u{1b}"), "\\u{5c}u{1b}");
        assert_ne!(escape("\\u{1b}"), escape("\x1b"));
    }
}
