//! Mistakes in expressions and patterns: operators of other languages, comparisons out of place, names to be quoted.

use super::place::Place;
use crate::diagnostic::Diagnostic;
use crate::scan::TokenKind;
use crate::span::Span;

/// `&&`, `||`, `==` and others.
pub(super) fn foreign_operator(p: &Place<'_>) -> Option<Diagnostic> {
    let write = match p.cur() {
        "&&" => "and",
        "||" => "or",
        "==" => "=",
        "<>" if p.compares() => "!=",
        "=>" => ">=",
        "**" | "++" => {
            return Some(told(p, "no operator").help("the operators are `+ - * / %`"));
        }
        "->" => ".",
        "!" if !p.in_point_parens() && !p.value_before() => "not",
        "|" if !p.in_point_parens() && p.value_before() && p.compares() => "or",
        _ => return None,
    };
    Some(told(p, &format!("written `{write}`")).help(format!("write `{write}` for `{}`", p.cur())))
}

fn told(p: &Place<'_>, text: &str) -> Diagnostic {
    Diagnostic::error("PI0107", format!("`{}` is not an operator of this language", p.cur()))
        .at(p.here(), text.to_owned())
}

/// `on ggml_op(layer > 3)`, `on ggml_op(layer != 3)`
pub(super) fn compares_in_a_point(p: &Place<'_>) -> Option<Diagnostic> {
    let compares = matches!(p.cur(), "!=" | "<" | ">" | "<=" | ">=" | "and" | "or");
    if !p.in_point_parens() || !compares {
        return None;
    }
    let fault =
        Diagnostic::error("PI0118", "the parentheses of a point hold patterns, no conditions").at(p.here(), "compares");
    Some(match p.cur() {
        "!=" => fault.help(format!("write `{} = !{}`", p.before(1), p.tok(p.at + 1))),
        "and" => fault.help("patterns are joined with commas, and all must match"),
        "or" => fault.help("write alternatives as `MUL_* | ADD`"),
        _ => fault.help("write `layer = 4..` for a range, or `where (layer > 3)` behind the parentheses"),
    })
}

/// `name = blk.0.attn_q`, `name = Qcur-0`, `import ./lib.pi`
pub(super) fn needs_quotes(p: &Place<'_>) -> Option<Diagnostic> {
    let odd = |i: usize| matches!(p.tok(i), "." | "-" | "/" | ":") && (p.touches(i) || p.touches(i + 1));
    let importing = p.item_word() == "import" && (p.before(1) == "import" || odd(p.at));
    let behind_dot = p.at > 1 && p.before(1) == "." && p.kind(p.at) == Some(TokenKind::Number) && p.touches(p.at);
    let in_pattern = p.in_point_parens() && (odd(p.at) && p.touches(p.at) || behind_dot || star_continued(p));
    let in_condition = behind_dot && p.compares();
    let fits = if importing { odd(p.at) || p.at_end() } else { in_pattern || in_condition };
    if !fits || p.at_end() {
        return None;
    }
    let span = run_around(p);
    let text = p.text.get(span.range()).unwrap_or("");
    Some(
        Diagnostic::error("PI0108", format!("`{text}` must be in quotes"))
            .at(span, "holds more than letters, digits, `_` and `*`")
            .help(format!("write `\"{text}\"`")),
    )
}

/// A star that goes on with something a glob cannot hold.
fn star_continued(p: &Place<'_>) -> bool {
    p.before(1).ends_with('*') && p.touches(p.at) && matches!(p.kind(p.at), Some(TokenKind::Number))
}

/// All that touches the place and could be part of a file's or a tensor's name.
fn run_around(p: &Place<'_>) -> Span {
    let part = |i: usize| {
        matches!(p.kind(i), Some(TokenKind::Word | TokenKind::Number))
            || matches!(p.tok(i), "." | ".." | "-" | "*" | "**" | "/" | ":")
    };
    let (mut first, mut last) = (p.at, p.at);
    while first > 0 && p.touches(first) && part(first - 1) {
        first -= 1;
    }
    while p.touches(last + 1) && part(last + 1) {
        last += 1;
    }
    p.span(first).to(p.span(last))
}

/// `10 ms`
pub(super) fn detached_unit(p: &Place<'_>) -> Option<Diagnostic> {
    let unit = matches!(
        p.cur(),
        "ns" | "us" | "ms" | "s" | "min" | "h" | "B" | "KiB" | "MiB" | "GiB" | "TiB" | "KB" | "MB" | "GB" | "TB" | "hz"
    );
    if !unit || p.before_kind() != Some(TokenKind::Number) {
        return None;
    }
    Some(
        Diagnostic::error("PI0128", "a unit is attached to its number")
            .at(p.span(p.at - 1).to(p.here()), "in two pieces")
            .help(format!("write `{}{}`", p.before(1), p.cur())),
    )
}

/// A comparison, `and`, `or`, `not` outside of `( )` and `[ ]`.
pub(super) fn compares_outside_parentheses(p: &Place<'_>) -> Option<Diagnostic> {
    if p.compares() {
        return None;
    }
    let in_body = p.top() == Some(b'<');
    let in_value = p.open.iter().all(|b| b.0 == b'{')
        && matches!(p.item_word(), "let" | "fn" | "agg" | "param" | "point" | "probe");
    let word = matches!(p.cur(), "and" | "or") && p.value_before() || p.cur() == "not" && !p.value_before();
    let sign = matches!(p.cur(), "=" | "!=" | "<=" | ">=" | "<" | ">") && p.value_before();
    let angle = p.cur() == ">" && in_body;
    // `< count() by layer > 3 >`: the first `>` ended the body.
    let after_body = p.in_clause() && p.closed && p.before(1) == ">" && !p.starts_line(p.at) && goes_on(p);
    let at = if after_body { p.at - 1 } else { p.at };
    let names_it = p.item_word() == "param" && p.cur() == "=";
    if !(after_body || (in_body || in_value) && (word || sign) && !angle) || names_it {
        return None;
    }
    let fault = Diagnostic::error("PI0106", "conditions stand only inside `( )` or `[ ]`").at(p.span(at), "outside");
    Some(match p.tok(at) {
        "<" | ">" => fault.help("`<` and `>` delimit a body: write `(a > b)` to compare"),
        "=" => fault.help("a column has one name: `name = value`; write `(a = b)` to compare"),
        "not" => fault.help("write `(not a)`"),
        sign => fault.help(format!("write `(a {sign} b)`")),
    })
}

/// Whether a value follows, and a `>` later on the line.
fn goes_on(p: &Place<'_>) -> bool {
    (p.value_here() || p.cur() == "(") && (p.at..p.at + 200).any(|i| p.tok(i) == ">")
}
