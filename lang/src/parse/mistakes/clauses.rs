//! Mistakes in clauses: conditions, bodies, groups and the order of their parts.

use super::place::Place;
use crate::diagnostic::Diagnostic;
use crate::parse::chunks::ITEM_WORDS;
use crate::span::Span;

/// `where dur > 1ms`
pub(super) fn where_without_parentheses(p: &Place<'_>) -> Option<Diagnostic> {
    if p.before(1) != "where" || p.cur() == "(" || !p.open.is_empty() {
        return None;
    }
    let word = p.span(p.at - 1);
    Some(
        Diagnostic::error("PI0102", "a `where` condition must be in parentheses")
            .at(Span { end: word.start + 1, ..word }, "expected `(` here")
            .help("`<` opens a body, so comparisons live only inside `( )`"),
    )
}

/// `where (a > 1) and (b > 1)`
pub(super) fn condition_goes_on(p: &Place<'_>) -> Option<Diagnostic> {
    let joins =
        matches!(p.cur(), "and" | "or" | "&&" | "||" | "=" | "!=" | "<=" | ">=" | "==" | "+" | "-" | "*" | "/" | "%");
    if !p.open.is_empty() || p.body.is_some() || p.before(1) != ")" || !joins {
        return None;
    }
    let item = p.item?;
    let word = (item..p.at).rev().find(|i| p.tok(*i) == "where")?;
    Some(
        Diagnostic::error("PI0121", "the condition goes on behind its parentheses")
            .at(p.here(), "outside of the condition")
            .note(p.span(word + 1).to(p.span(p.at - 1)), "this is all of it")
            .help("put all of it into one pair of parentheses: `where (a and b)`"),
    )
}

/// `?` in the wrong place.
pub(super) fn optional_misplaced(p: &Place<'_>) -> Option<Diagnostic> {
    let fault = |span, text| {
        Some(Diagnostic::error("PI0110", "`?` is misplaced").at(span, text).help(
            "it stands once, directly behind a point or a symbol and its parentheses: `on moe_route(layer = 3)? < … >`",
        ))
    };
    if p.cur() == "?" {
        return fault(p.here(), "not behind a point");
    }
    if p.before(1) == "?" && p.cur() == "(" {
        return fault(p.span(p.at - 1), "it goes behind the parentheses");
    }
    None
}

/// `< >`, `< ; count() >`, `< count();; exit >`
pub(super) fn empty_group(p: &Place<'_>) -> Option<Diagnostic> {
    let in_body = p.open.len() == 1 && p.top() == Some(b'<');
    let whole = p.open.is_empty() && p.cur() == "<>" && p.in_clause();
    let nothing = in_body && matches!((p.before(1), p.cur()), ("<", ">" | ";") | (";", ";"));
    if !whole && !nothing {
        return None;
    }
    let what = if p.cur() == ";" { "nothing stands between the separators" } else { "the body is empty" };
    Some(
        Diagnostic::error("PI0104", what)
            .at(p.here(), "expected a column, `show`, `clear` or `exit` before this")
            .help("to count the events write `< count() >`"),
    )
}

/// `every < … >`
pub(super) fn duration_missing(p: &Place<'_>) -> Option<Diagnostic> {
    let head = p.at.checked_sub(1).filter(|i| Some(*i) == p.item)?;
    let word = p.tok(head);
    matches!(word, "every" | "after").then(|| missing_duration(word, p.here()))
}

/// `every`, `after` without a duration.
pub(in crate::parse) fn missing_duration(word: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0112", format!("`{word}` needs a duration"))
        .at(span, "expected a number with a unit of time, or a parameter")
        .help(format!("write `{word} 1s` or `{word} $interval`; the units of time are `ns us ms s min h`"))
}

/// Braces as a body, `/condition/`, `@maps`.
pub(super) fn foreign_syntax(p: &Place<'_>) -> Option<Diagnostic> {
    let in_head = p.in_clause() && p.open.is_empty() && p.body.is_none();
    let fault = |message: &str, text: &str, help: &str| {
        Some(Diagnostic::error("PI0120", message.to_owned()).at(p.here(), text).help(help))
    };
    match p.cur() {
        "{" if in_head => fault("a body stands in angle brackets", "not a body", "write `< … >` for `{ … }`"),
        "/" if in_head => fault("a condition is no `/ … /`", "not a condition", "write `where ( … )` before the body"),
        "@" if p.in_clause() => fault(
            "tables are not written with `@`",
            "not a table",
            "columns go `into` a table by its name: `< count() by op into ops >`",
        ),
        _ => None,
    }
}

/// `by` without keys, `into` without a table and the like.
pub(super) fn word_without_object(p: &Place<'_>) -> Option<Diagnostic> {
    let in_body = p.top() == Some(b'<') && p.open.len() == 1;
    let ends = p.at_end() || matches!(p.cur(), ">" | ";" | "," | "into" | "by" | "limit" | "<");
    let group = p.group();
    let shows = group.first().is_some_and(|i| p.tok(*i) == "show");
    let (what, example) = match p.before(1) {
        "by" => ("a key", "by layer, op"),
        "into" => ("the name of a table", "into ops"),
        "limit" => ("a whole number", "limit 1000"),
        "clear" => ("the name of a table", "clear ops"),
        "show" => ("the name of a table", "show ops"),
        "as" if shows => ("a view", "as heatmap"),
        "top" if shows => ("a number or a parameter", "top 10"),
        "sort" if shows => ("a column", "sort total desc"),
        "to" if shows => ("a string", "to \"ops.html\""),
        _ => return None,
    };
    let wrong = !p.value_here() || matches!(p.before(1), "limit" | "top" | "to");
    if !in_body || p.cur() == "$" || !(ends || wrong) || super::words::is_word_used_as_name(p) {
        return None;
    }
    let word = p.before(1);
    Some(
        Diagnostic::error("PI0111", format!("`{word}` needs {what} behind it"))
            .at(p.here(), format!("expected {what}"))
            .help(format!("write `{example}`")),
    )
}

/// A second `by`, `into` or `where`.
pub(super) fn said_twice(p: &Place<'_>) -> Option<Diagnostic> {
    let first = match p.cur() {
        "by" | "into" | "limit" => p.group().into_iter().find(|i| p.tok(*i) == p.cur())?,
        "where" if p.open.is_empty() && p.body.is_none() => (p.item?..p.at).find(|i| p.tok(*i) == "where")?,
        _ => return None,
    };
    let help = match p.cur() {
        "by" => "keys are joined with commas: `by layer, op`",
        "into" => "for a second table write the columns once more, behind a `;`",
        "where" => "conditions are joined with `and` inside of one pair of parentheses",
        _ => "keep one of them",
    };
    Some(
        Diagnostic::error("PI0113", format!("`{}` is said twice", p.cur()))
            .at(p.here(), "the second one")
            .note(p.span(first), "the first one")
            .help(help),
    )
}

/// `into` before `by`, `where` behind the body, the words of `show` behind columns.
pub(super) fn wrong_order(p: &Place<'_>) -> Option<Diagnostic> {
    let group = p.group();
    let has = |word: &str| group.iter().any(|i| p.tok(*i) == word);
    let in_body = p.open.len() == 1 && p.top() == Some(b'<') && !group.is_empty();
    let shows = group.first().is_some_and(|i| matches!(p.tok(*i), "show" | "clear" | "exit"));
    let behind_body = p.in_clause() && p.closed && p.open.is_empty();
    let help = match p.cur() {
        "by" if in_body && has("into") => "`by` stands before `into`: `count() by op into ops`",
        "limit" if in_body && !shows && !has("into") => "`limit` stands behind the table: `into ops limit 1000`",
        "where" if in_body || behind_body => {
            "`where ( … )` stands before the body: `on ggml_op where (dur > 1ms) < … >`"
        }
        "by" | "into" | "limit" if behind_body => "it stands inside of the body: `< count() by op into ops >`",
        "by" | "into" if in_body && shows => "`show` and `clear` take a table; its keys stand where its columns do",
        "as" | "top" | "sort" | "to" | "asc" | "desc" if in_body && !shows && p.value_before() => {
            "this belongs to `show`: `< count() by op into ops >`, then `end < show ops as table top 10 >`"
        }
        _ => return None,
    };
    Some(
        Diagnostic::error("PI0114", format!("`{}` is in the wrong place", p.cur())).at(p.here(), "not here").help(help),
    )
}

/// A clause that ends, or turns into the next item, before its body.
pub(super) fn body_missing(p: &Place<'_>) -> Option<Diagnostic> {
    let item = p.item?;
    let head = p.open.is_empty() && p.body.is_none() && p.in_clause();
    let bare_on = p.at == item + 1 && p.item_word() == "on";
    let over = p.at_end() || matches!(p.cur(), ";" | ">") || (p.starts_line(p.at) && ITEM_WORDS.contains(&p.cur()));
    if !head || !over || bare_on || p.before(1) == "," || p.before(1) == "." {
        return None;
    }
    let fault = Diagnostic::error("PI0103", format!("the `{}` clause has no body", p.item_word()))
        .at(p.here(), "expected `<`")
        .help("say what to do between `<` and `>`: `< count() >`");
    Some(if p.at_end_of_text() { fault.help(SHELL_HINT) } else { fault })
}

/// What becomes of `<` in a shell: the text of `-e on ggml_op < hist(dur) >` ends before its body.
const SHELL_HINT: &str = "on a command line put the text in single quotes: a shell takes an unquoted `<` for itself";
