//! Mistakes with words: keywords as names, unknown options, forgotten commas.

use super::near::nearest;
use super::place::Place;
use crate::diagnostic::Diagnostic;
use crate::scan::TokenKind;

/// The words that are no names.
const RESERVED: [&str; 22] = [
    "on", "every", "after", "begin", "end", "import", "param", "let", "fn", "agg", "probe", "where", "by", "into",
    "show", "clear", "exit", "and", "or", "not", "true", "false",
];

/// Whether `word` cannot be a name.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Whether a keyword stands where a value or a name is expected.
pub(super) fn is_word_used_as_name(p: &Place<'_>) -> bool {
    if p.kind(p.at) != Some(TokenKind::Word) || !is_reserved(p.cur()) || p.value_before() {
        return false;
    }
    // A word of the language in its own place means that something is missing before it.
    let own_place = match p.cur() {
        "by" | "into" | "where" => {
            !matches!(p.tok(p.at + 1), "," | ")" | "]" | "." | "+" | "-" | "*" | "/" | ";" | ">" | "=")
        }
        "and" | "or" | "not" => true,
        _ => false,
    };
    !own_place && !p.at_end()
}

/// `by end`, `param on: int`
pub(super) fn keyword_as_name(p: &Place<'_>) -> Option<Diagnostic> {
    if !is_word_used_as_name(p) {
        return None;
    }
    let word = p.cur();
    let fault =
        Diagnostic::error("PI0109", format!("`{word}` is a word of the language")).at(p.here(), "not a name here");
    let defines = matches!(
        p.before(1),
        "param" | "let" | "fn" | "agg" | "probe" | "into" | "show" | "clear" | "as" | "import" | "on"
    ) || matches!(p.before(1), "engine" | "struct" | "enum" | "point");
    Some(if defines || p.in_point_parens() {
        fault.help("choose another name")
    } else {
        fault.help(format!("a field of this name is written `self.{word}`"))
    })
}

/// `show ops tabel`
pub(super) fn unknown_show_option(p: &Place<'_>) -> Option<Diagnostic> {
    let group = p.group();
    let shows = group.first().is_some_and(|i| p.tok(*i) == "show");
    if !shows || group.len() < 2 || p.open.len() != 1 || p.at_end() || matches!(p.cur(), ">" | ";") {
        return None;
    }
    let fault =
        Diagnostic::error("PI0122", format!("`show` does not know `{}`", p.cur())).at(p.here(), "not an option");
    let views = ["table", "hist", "heatmap", "timeline", "graph", "flame", "json", "csv"];
    let fault = match nearest(p.cur(), &["as", "top", "sort", "to", "asc", "desc"]) {
        _ if views.contains(&p.cur()) => fault.help(format!("a view is written `as {}`", p.cur())),
        _ if p.cur() == "," => fault.help("options need nothing between them"),
        _ if p.kind(p.at) == Some(TokenKind::Str) => fault.help(format!("a file is written `to {}`", p.cur())),
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    };
    Some(fault.help("the options are `as VIEW`, `top N`, `sort COLUMN asc` or `desc`, `to \"FILE\"`"))
}

/// Two values side by side in a list.
pub(super) fn comma_missing(p: &Place<'_>) -> Option<Diagnostic> {
    if !p.value_before() || !p.value_here() {
        return None;
    }
    let in_enum = p.item_word() == "enum" && p.top() == Some(b'{');
    let between_points = matches!(p.item_word(), "on" | "probe") && p.open.is_empty() && p.body.is_none();
    if !(p.compares() || p.top() == Some(b'<') || in_enum || between_points) {
        return None;
    }
    let fault = Diagnostic::error("PI0129", format!("something is missing before `{}`", p.cur()))
        .at(p.here(), if between_points { "expected `,`, `where (` or `<`" } else { "expected `,` or an operator" });
    let words: &[&str] = if between_points { &["where"] } else { &["by", "into", "limit", "and", "or", "not"] };
    Some(match nearest(p.cur(), words) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if between_points && matches!(p.tok(p.at + 1), "=" | "==" | "!=" | "<=" | ">=" | ">") => {
            fault.help(format!("write `where ({} {} …)`", p.cur(), p.tok(p.at + 1)))
        }
        None if between_points => {
            fault.help("a condition begins with `where (`, a body with `<`; points are separated by commas")
        }
        None => fault.help("separate them with a comma"),
    })
}

#[cfg(test)]
mod tests {
    use super::RESERVED;
    use pest::Parser;
    use profinfer_grammar::{GRAMMAR, PiParser, Rule};

    #[test]
    fn reserved_are_the_words_the_grammar_reserves() {
        let rule = GRAMMAR.split("reserved = @{").nth(1).and_then(|rest| rest.split('}').next()).expect("the rule");
        let words: Vec<&str> = rule.split('"').skip(1).step_by(2).collect();
        assert_eq!(words, RESERVED);
        assert!(RESERVED.iter().all(|word| PiParser::parse(Rule::name, word).is_err()));
    }
}
