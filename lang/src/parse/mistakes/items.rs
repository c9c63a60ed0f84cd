//! Mistakes around items: unknown ones, docs of nothing, the parts of definitions.

use super::near::nearest;
use super::place::Place;
use crate::diagnostic::Diagnostic;
use crate::parse::chunks::ITEM_WORDS;
use crate::scan::TokenKind;

/// The words of a point's statements.
const STATEMENTS: [&str; 17] = [
    "start", "mark", "stop", "state", "lasting", "only", "each", "parts", "team", "variant", "within", "pattern",
    "let", "check", "never", "silent", "node",
];

/// `///` with no item behind it, `//!` that is not at the top.
pub(super) fn doc_of_nothing(p: &Place<'_>) -> Option<Diagnostic> {
    let told = |i: usize, text: &str, help: &str| {
        Some(Diagnostic::error("PI0119", "a doc comment that documents nothing").at(p.span(i), text).help(help))
    };
    match p.kind(p.at) {
        Some(TokenKind::FileDoc) => {
            return told(p.at, "`//!` stands only at the top of a file", "a plain comment begins with `//`");
        }
        Some(TokenKind::Doc) => {
            return told(p.at, "no item, statement or field begins behind it", "a plain comment begins with `//`");
        }
        _ => {}
    }
    let dangling = p.before_kind() == Some(TokenKind::Doc) && (p.at_end() || p.cur() == "}");
    if !dangling {
        return None;
    }
    told(p.at - 1, "nothing follows it", "put it above an item, or begin it with `//`")
}

/// `profinfer 1` anywhere but before the first item.
pub(super) fn edition_misplaced(p: &Place<'_>) -> Option<Diagnostic> {
    let fault = |text| {
        Some(
            Diagnostic::error("PI0124", "the edition is not where it can be")
                .at(p.here(), text)
                .help("write `profinfer 1` once, before the first item, or leave it out"),
        )
    };
    if p.cur() == "profinfer" && p.open.is_empty() && item_ended(p) {
        return fault("it stands before the first item");
    }
    if p.before(1) == "profinfer" && p.item.is_none() {
        return fault("expected a number");
    }
    None
}

/// Whether an item may begin here.
fn item_ended(p: &Place<'_>) -> bool {
    if !p.open.is_empty() {
        return false;
    }
    let head_open = p.in_clause() && !p.closed;
    p.item.is_none() || (p.closed && p.starts_line(p.at)) || (!head_open && p.starts_line(p.at) && p.value_before())
}

/// A word, or something else, in the place of an item.
pub(super) fn unknown_item(p: &Place<'_>) -> Option<Diagnostic> {
    if p.at_end() || !item_ended(p) || ITEM_WORDS.contains(&p.cur()) {
        return None;
    }
    let word = p.cur();
    let is_word = p.kind(p.at) == Some(TokenKind::Word);
    if !is_word && p.item.is_some() && !p.closed {
        return None;
    }
    let shown = if is_word || word.len() < 24 { format!("`{word}`") } else { "this".to_owned() };
    let fault = Diagnostic::error("PI0101", format!("unknown item {shown}")).at(p.here(), "no item begins like this");
    let near = match word {
        "use" | "include" | "require" => Some("import"),
        "const" | "var" | "set" => Some("let"),
        "def" | "func" | "function" | "macro" => Some("fn"),
        "when" | "trace" | "uprobe" | "kprobe" => Some("on"),
        "interval" => Some("every"),
        _ if is_word => nearest(word, &ITEM_WORDS),
        _ => None,
    };
    let next = p.tok(p.at + 1);
    let fault = match near {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if is_word && matches!(next, "<" | "(" | "where") => {
            fault.help(format!("a clause begins with `on`: `on {word} …`"))
        }
        None => fault,
    };
    Some(
        fault
            .help("items begin with `on every after begin end param import let fn agg probe engine struct enum point`"),
    )
}

/// `field: type` without `@ offset` in a struct.
pub(super) fn field_without_offset(p: &Place<'_>) -> Option<Diagnostic> {
    if p.item_word() != "struct" || p.top() != Some(b'{') || p.cur() == "@" || p.before(1) == "@" {
        return None;
    }
    let (_, brace) = *p.open.last()?;
    let mut colon = None;
    for i in brace + 1..p.at {
        match p.tok(i) {
            ":" => colon = Some(i),
            "@" => colon = None,
            _ => {}
        }
    }
    let colon = colon.filter(|c| *c + 1 < p.at)?;
    Some(
        Diagnostic::error("PI0125", format!("the field `{}` has no offset", p.tok(colon - 1)))
            .at(p.here(), "expected `@` and the bytes from the start of the struct")
            .help(format!("write `{}: {} @ 16`", p.tok(colon - 1), p.tok(colon + 1))),
    )
}

/// `param top = 20`
pub(super) fn parameter_without_type(p: &Place<'_>) -> Option<Diagnostic> {
    let item = p.item?;
    if p.item_word() != "param" || p.at != item + 2 || p.cur() == ":" {
        return None;
    }
    Some(
        Diagnostic::error("PI0127", format!("the parameter `{}` has no type", p.before(1)))
            .at(p.here(), "expected `:` and a type")
            .help(format!(
                "write `param {}: int = …`; the types are `int duration bytes string bool ratio` and enums",
                p.before(1)
            )),
    )
}

/// A word in a point's braces that is no statement.
pub(super) fn unknown_statement(p: &Place<'_>) -> Option<Diagnostic> {
    if p.item_word() != "point" || p.open.len() != 1 || p.top() != Some(b'{') || p.at_end() {
        return None;
    }
    let first = matches!(p.before(1), "{" | ")" | "?" | "]")
        || matches!(p.before_kind(), Some(TokenKind::Str | TokenKind::Doc))
        || (p.starts_line(p.at) && p.value_before());
    if !first || STATEMENTS.contains(&p.cur()) || p.cur() == "}" {
        return None;
    }
    let fault = Diagnostic::error("PI0123", format!("unknown statement `{}` in a point", p.cur()))
        .at(p.here(), "no statement begins like this");
    let fault = match (p.cur(), nearest(p.cur(), &STATEMENTS)) {
        (";" | ",", _) => fault.help("statements need nothing between them"),
        (_, Some(near)) => fault.help(format!("did you mean `{near}`?")),
        _ => fault,
    };
    let words = STATEMENTS.join(" ");
    Some(fault.help(format!("statements begin with `{words}`")))
}
