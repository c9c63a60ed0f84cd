//! What was expected, for faults that are no particular mistake.

use super::place::Place;
use crate::diagnostic::Diagnostic;
use crate::scan::TokenKind;

/// `expected …, found …`
pub(super) fn told(p: &Place<'_>) -> Diagnostic {
    let expected = expected(p);
    let found = if p.at_end_of_text() {
        "the end of the text".to_owned()
    } else if p.at_end() {
        "the end of the item".to_owned()
    } else if p.cur().len() > 40 {
        "this".to_owned()
    } else {
        format!("`{}`", p.cur())
    };
    let fault = Diagnostic::error("PI0117", format!("expected {expected}, found {found}"))
        .at(p.here(), format!("expected {expected}"));
    match help(p) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// What may stand at the place, judged by what stands before it.
fn expected(p: &Place<'_>) -> &'static str {
    let item_before = p.item.is_some() && p.at.checked_sub(1) == p.item;
    match p.before(1) {
        "on" if item_before => return "a point",
        "import" if item_before => return "a module such as `std.x`, or a file in quotes",
        "param" | "let" | "fn" | "agg" | "probe" | "engine" | "struct" | "enum" | "point" if item_before => {
            return "a name";
        }
        "let" | "within" | "lasting" | "pattern" | "into" | "show" | "clear" => return "a name",
        "start" | "mark" | "return" | "silent" | "table" if p.item_word() == "point" || p.item_word() == "enum" => {
            return "a string";
        }
        "stop" if p.item_word() == "point" => return "`return` or a string",
        "state" if p.item_word() == "point" => return "`by`",
        "," if p.open.is_empty() && p.body.is_none() && matches!(p.item_word(), "on" | "probe") => return "a point",
        "=" | "|" | "!" | "," | "(" if p.in_point_parens() => return "a pattern",
        "=" if p.item_word() == "agg" && p.open.is_empty() && p.cur() != "=" => return "a column",
        "=" | "+" | "-" | "*" | "/" | "%" | "!=" | "<=" | ">=" | "and" | "or" | "not" => return "a value",
        "<" | ">" if p.compares() => return "a value",
        ".." => return "the end of a range",
        "<" | ";" => return "a column, `show`, `clear` or `exit`",
        "by" => return "a key",
        "," | "{" if p.item_word() == "enum" => return "a name",
        "," if p.top() == Some(b'<') && p.group().iter().any(|i| p.tok(*i) == "by") => return "a key",
        "," if p.top() == Some(b'<') || p.item_word() == "agg" && p.open.is_empty() => return "a column",
        "," | "(" => return "a value",
        "[" => return "a number",
        ":" if p.item_word() == "point" && p.open.is_empty() => return "a template such as `span` or `sequence`",
        ":" => return "a type",
        "@" => return "the bytes from the start of the struct",
        "." => return "the name of a field",
        "$" => return "the name of a parameter",
        _ => {}
    }
    behind_a_value(p)
}

/// What may stand behind something complete.
fn behind_a_value(p: &Place<'_>) -> &'static str {
    match p.top() {
        Some(b'(') => "`,` or `)`",
        Some(b'[') => "`]`",
        Some(b'<') if p.before(1) == "exit" => "`;` or `>`",
        Some(b'<') => "`,`, `by`, `into`, `;` or `>`",
        Some(b'{') => match p.item_word() {
            "enum" => "`,` or `}`",
            "struct" => "a field, or `}`",
            "probe" => "`let` or `}`",
            _ => "a statement, or `}`",
        },
        _ if p.closed => "an item",
        _ => match p.item_word() {
            "on" => "`,`, `where (` or `<`",
            "every" | "after" | "begin" | "end" => "`<`",
            "fn" | "agg" if p.before_kind() == Some(TokenKind::Word) && !has(p, "=") => "`(` and the parameters",
            "fn" | "agg" | "let" | "probe" if !has(p, "=") => "`=`",
            "engine" if p.before_kind() == Some(TokenKind::Str) => "`where (`",
            "engine" => "a description in quotes",
            "struct" | "enum" => "`{`",
            "point" if !has(p, ":") => "`:` and a template",
            "point" => "`{`",
            _ => "an operator or the next item",
        },
    }
}

fn has(p: &Place<'_>, word: &str) -> bool {
    (p.item.unwrap_or(0)..p.at).any(|i| p.tok(i) == word)
}

/// What to write instead, where that can be said in general.
fn help(p: &Place<'_>) -> Option<&'static str> {
    match p.before(1) {
        "," if matches!(p.cur(), ">" | ")" | "]" | ";" | "by" | "into") || p.at_end() => {
            Some("nothing follows the last comma: leave it out")
        }
        "$" => Some("a parameter is read as `$name`, without a blank"),
        _ if p.cur() == ";" && p.open.is_empty() => {
            Some("items need nothing between them; `;` separates the groups of a body")
        }
        _ => None,
    }
}
