//! The escapes of strings.

use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// `inside` without its escapes. `span` is the string's with its quotes; unknown escapes are told and kept as written.
pub(super) fn unescape(inside: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let (c, len) = match escape_of(escape) {
            Some(found) => found,
            None => {
                let len = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                let start = span.start as usize + 1 + (inside.len() - rest.len()) + at;
                diagnostics.push(unknown(Span::new(span.file, start, start + len), &escape[..len]));
                ('\\', 1)
            }
        };
        out.push(c);
        rest = &escape[len..];
    }
    out.push_str(rest);
    out
}

/// The character an escape stands for, and the escape's length.
pub(super) fn escape_of(text: &str) -> Option<(char, usize)> {
    match text.as_bytes().get(1)? {
        b'n' => Some(('\n', 2)),
        b't' => Some(('\t', 2)),
        b'\\' => Some(('\\', 2)),
        b'"' => Some(('"', 2)),
        b'x' => {
            let digits = text.get(2..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            // A byte beyond ASCII is no character.
            let byte = u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)?;
            Some((char::from(byte), 4))
        }
        b'u' => {
            let (digits, _) = text.get(2..)?.strip_prefix('{')?.split_once('}')?;
            let plain = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let c = u32::from_str_radix(digits, 16).ok().filter(|_| plain).and_then(char::from_u32)?;
            Some((c, digits.len() + 4))
        }
        _ => None,
    }
}

fn unknown(span: Span, escape: &str) -> Diagnostic {
    Diagnostic::error("PI0006", format!("unknown escape `{escape}` in a string"))
        .at(span, "not an escape")
        .help("the escapes are `\\\"`, `\\\\`, `\\n`, `\\t`, `\\x00` to `\\x7f` and `\\u{2192}`; a backslash is `\\\\`")
}
