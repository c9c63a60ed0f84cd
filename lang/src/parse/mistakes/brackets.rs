//! Brackets that are not closed, or close nothing.

use super::place::Place;
use crate::diagnostic::Diagnostic;

/// A `(`, `[` or `{` still open where the item, or the group around it, ends.
pub(super) fn not_closed(p: &Place<'_>) -> Option<Diagnostic> {
    let &(bracket, opened) = p.open.last().filter(|b| b.0 != b'<')?;
    let over = match bracket {
        b'{' => p.at_end(),
        _ => {
            p.at_end()
                || (matches!(p.cur(), "by" | "into" | ";" | "{" | "}" | "where") && p.value_before())
                || (p.cur() == ">" && p.at == opened + 1)
        }
    };
    if !over {
        return None;
    }
    let (open, close) = (p.tok(opened), closing(bracket));
    Some(
        Diagnostic::error("PI0115", format!("`{open}` is not closed"))
            .at(p.span(opened), "opened here")
            .note(p.here(), format!("expected `{close}` at the latest here"))
            .help(format!("close it with `{close}`")),
    )
}

/// A body that is still open where the item ends.
pub(super) fn body_not_closed(p: &Place<'_>) -> Option<Diagnostic> {
    let &(_, opened) = p.open.last().filter(|b| b.0 == b'<' && p.at_end())?;
    Some(
        Diagnostic::error("PI0105", "the body is not closed")
            .at(p.span(opened), "opened here")
            .note(p.here(), "expected `>` at the latest here")
            .help("close it with `>`; on a command line put the text in single quotes: a shell takes an unquoted `>` for itself"),
    )
}

/// A bracket that closes nothing, or another kind than was opened.
pub(super) fn closes_nothing(p: &Place<'_>) -> Option<Diagnostic> {
    let opens = match p.cur() {
        ")" => b'(',
        "]" => b'[',
        "}" => b'{',
        ">" => b'<',
        _ => return None,
    };
    let cur = p.cur();
    match p.open.last() {
        Some((bracket, _)) if *bracket == opens => None,
        // A value is missing before it; comparisons have been looked for already.
        Some((_, opened)) if p.value_before() || p.before(1) == p.tok(*opened) => Some(
            Diagnostic::error("PI0116", format!("`{cur}` does not close `{}`", p.tok(*opened)))
                .at(p.here(), format!("expected `{}`", closing(p.tok(*opened).as_bytes()[0])))
                .note(p.span(*opened), "opened here")
                .help("close brackets in the reverse of the order they were opened in"),
        ),
        Some(_) => None,
        None => Some(
            Diagnostic::error("PI0116", format!("`{cur}` closes nothing"))
                .at(p.here(), "no bracket is open here")
                .help("leave it out, or open it before"),
        ),
    }
}

fn closing(open: u8) -> &'static str {
    match open {
        b'(' => ")",
        b'[' => "]",
        b'{' => "}",
        _ => ">",
    }
}
