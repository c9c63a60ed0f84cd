//! Texts with expressions in braces: `"slow: {name} {dur}"`.

use pest::Parser;
use profinfer_grammar::{PiParser, Rule};

use super::build::Builder;
use super::chunks::Chunk;
use super::strings::{escape_of, unescape};
use super::{lexical, offset};
use crate::ast::Expr;
use crate::diagnostic::Diagnostic;
use crate::scan::{self, Token};
use crate::source::SourceMap;
use crate::span::{FileId, Span};

/// A piece of such a text.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplatePart {
    /// Text as it stands, escapes resolved.
    Text(String),
    /// The expression between `{` and `}`.
    Value(Expr),
}

/// What is wrong with such a text.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateFault {
    /// A `}` without its `{`.
    NotOpened(Span),
    /// A `{` without its `}`.
    NotClosed(Span),
    /// Nothing between `{` and `}`.
    Empty(Span),
    /// What stands between them is no expression; here it goes wrong.
    NoExpression(Span),
    /// What stands between them has a fault that any text could have.
    Text(Box<Diagnostic>),
}

/// Reads the string literal at `span`, quotes included. `{{` and `}}` are braces. Places in it are places in the file.
///
/// # Errors
/// The first fault.
pub fn parse_template(sources: &SourceMap, span: Span) -> Result<Vec<TemplatePart>, TemplateFault> {
    let quoted = sources.text(span);
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or("");
    let at = |start: usize, end: usize| {
        let base = span.start as usize + 1;
        Span::new(span.file, base + start, base + end)
    };
    let (mut parts, mut text) = (Vec::new(), String::new());
    // What is not part of an expression was told with the script if it is wrong.
    let flush = |text: &mut String, parts: &mut Vec<TemplatePart>| {
        if !text.is_empty() {
            parts.push(TemplatePart::Text(unescape(text, span, &mut Vec::new())));
            text.clear();
        }
    };
    let mut i = 0;
    while let Some(c) = inside[i..].chars().next() {
        let next = i + c.len_utf8();
        match c {
            '\\' => {
                let len = escape_of(&inside[i..]).map_or(1, |(_, len)| len);
                text.push_str(&inside[i..i + len]);
                i += len;
            }
            '{' | '}' if inside[next..].starts_with(c) => {
                text.push(c);
                i = next + 1;
            }
            '}' => return Err(TemplateFault::NotOpened(at(i, next))),
            '{' => {
                let end = next + end_of(&inside[next..]).ok_or(TemplateFault::NotClosed(at(i, next)))?;
                if inside[next..end].trim().is_empty() {
                    return Err(TemplateFault::Empty(at(i, end + 1)));
                }
                flush(&mut text, &mut parts);
                parts.push(TemplatePart::Value(expression(
                    &inside[next..end],
                    span.file,
                    at(next, end).start as usize,
                )?));
                i = end + 1;
            }
            c => {
                text.push(c);
                i = next;
            }
        }
    }
    flush(&mut text, &mut parts);
    Ok(parts)
}

/// Where the `}` is that ends an expression: not one within a string of it, whose quotes are `\"` here.
fn end_of(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut i = 0;
    while let Some(c) = text[i..].chars().next() {
        match c {
            '\\' => {
                quoted ^= text[i..].starts_with("\\\"");
                i += escape_of(&text[i..]).map_or(1, |(_, len)| len);
                continue;
            }
            '}' if !quoted => return Some(i),
            _ => {}
        }
        i += c.len_utf8();
    }
    None
}

/// The same text with plain quotes in place of `\"`, as long as it was: the blank that makes up for it stands outside of
/// the string.
fn plain_quotes(text: &str) -> String {
    let mut open = false;
    let mut parts = text.split("\\\"");
    let mut plain = parts.next().unwrap_or("").to_owned();
    for part in parts {
        plain.push_str(if open { "\" " } else { " \"" });
        plain.push_str(part);
        open = !open;
    }
    plain
}

/// The expression that begins at byte `base` of the file.
fn expression(written: &str, file: FileId, base: usize) -> Result<Expr, TemplateFault> {
    let text = plain_quotes(written);
    let relative = scan::tokens(&text);
    let whole = Chunk { start: 0, end: text.len(), tokens: &relative };
    if let Some(mut fault) = lexical::check(file, &text, &whole).into_iter().next() {
        for label in &mut fault.labels {
            label.span = Span::new(file, base + label.span.start as usize, base + label.span.end as usize);
        }
        return Err(TemplateFault::Text(Box::new(fault)));
    }
    let pairs = PiParser::parse(Rule::expression, &text).map_err(|e| {
        let at = offset(&e).min(text.len());
        let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
        // At the end it is the closing brace that comes too early.
        TemplateFault::NoExpression(Span::new(file, base + at, base + end.max(at + 1)))
    })?;
    let tokens: Vec<Token> =
        relative.iter().map(|t| Token { start: base + t.start, end: base + t.end, ..*t }).collect();
    let mut builder = Builder::new(file, &tokens);
    builder.base = base;
    let value = builder.expression(pairs);
    if let Some(fault) = builder.diagnostics.into_iter().next() {
        return Err(TemplateFault::Text(Box::new(fault)));
    }
    value.ok_or(TemplateFault::NoExpression(Span::new(file, base, base + text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(literal: &str) -> Result<(SourceMap, Vec<TemplatePart>), TemplateFault> {
        let mut sources = SourceMap::new();
        let text = format!("on p < print({literal}) >");
        let file = sources.add("t.pi", text);
        let start = "on p < print(".len();
        let parts = parse_template(&sources, Span::new(file, start, start + literal.len()))?;
        Ok((sources, parts))
    }

    /// Texts as they are, expressions as the place they stand at.
    fn shown(literal: &str) -> String {
        match parts(literal) {
            Ok((sources, parts)) => {
                let part = |p: &TemplatePart| match p {
                    TemplatePart::Text(t) => format!("{t:?}"),
                    TemplatePart::Value(e) => format!("<{}>", sources.text(e.span)),
                };
                parts.iter().map(part).collect::<Vec<_>>().join(" ")
            }
            Err(e) => {
                let (what, span) = match e {
                    TemplateFault::NotOpened(span) => ("not opened", span),
                    TemplateFault::NotClosed(span) => ("not closed", span),
                    TemplateFault::Empty(span) => ("empty", span),
                    TemplateFault::NoExpression(span) => ("no expression", span),
                    TemplateFault::Text(d) => (d.code, d.labels[0].span),
                };
                format!("{what} at {}..{}", span.start - 13, span.end - 13)
            }
        }
    }

    #[test]
    fn expressions_keep_their_places() {
        assert_eq!(shown(r#""slow: {name} {dur}""#), r#""slow: " <name> " " <dur>"#);
        assert_eq!(shown(r#""{ne[0] * 2}{x}""#), "<ne[0] * 2> <x>");
        assert_eq!(shown(r#""plain""#), r#""plain""#);
        assert_eq!(shown(r#""""#), "");
        assert_eq!(shown(r#""a\t{{{b}}}\u{2192}""#), r#""a\t{" <b> "}→""#);
        assert_eq!(shown(r#""{match(name, \"q}*\", 1, 2)}µ{b}""#), r#"<match(name, \"q}*\", 1, 2)> "µ" <b>"#);
    }

    #[test]
    fn a_string_in_an_expression_is_what_it_says() {
        let (_, parts) = parts(r#""{match(name, \"Q*\", \"a b\")}""#).expect("it can be read");
        let TemplatePart::Value(e) = &parts[0] else { panic!("{parts:?}") };
        let crate::ast::ExprKind::Call { args, .. } = &e.kind else { panic!("{e:?}") };
        let texts: Vec<_> = args[1..].iter().map(|a| a.value.kind.clone()).collect();
        assert_eq!(texts, ["Q*", "a b"].map(|s| crate::ast::ExprKind::Str(s.to_owned())));
    }

    #[test]
    fn faults_are_told_at_their_places() {
        assert_eq!(shown(r#""a}b""#), "not opened at 2..3");
        assert_eq!(shown(r#""a{b""#), "not closed at 2..3");
        assert_eq!(shown(r#""{ }""#), "empty at 1..4");
        assert_eq!(shown(r#""{a b}""#), "no expression at 4..5");
        assert_eq!(shown(r#""{a +}""#), "no expression at 5..6");
        assert_eq!(shown(r#""{3kg}""#), "PI0007 at 2..5");
        assert_eq!(shown(&format!("\"{{{}}}\"", "(".repeat(1000))), "PI0003 at 66..67");
    }
}
