//! Columns that stand for each event (`print`, `slice`, `gauge`) and their texts: in `print("slow: {name}")` the text becomes a call without a
//! name whose arguments are its parts, before anything else looks at a clause. So what stands in braces is an expression as any
//! other.
//!
//! A part has a name: none of its own for text, and for an expression how it is written.

use std::borrow::Cow;

use profinfer_lang::ast::{
    CallArg, ClauseHead, Column, Expr, ExprKind, GroupKind, Ident, ItemKind, PatternAlt, PatternKind, Program,
};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::parse::{TemplateFault, TemplatePart, parse_template};
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::Span;

use crate::clauses::without_blanks;

/// The columns that stand for a record of each event.
pub(crate) const EVENT_COLUMNS: [&str; 4] = ["print", "slice", "gauge", "node"];

/// The word of an expression that stands for a record of each event.
pub(crate) fn event_word(e: &Expr) -> Option<&'static str> {
    let ExprKind::Call { name, .. } = &e.kind else { return None };
    EVENT_COLUMNS.into_iter().find(|word| *word == name.node)
}

/// Whether a column stands for a record of each event.
pub(crate) fn is_of_events(column: &Column) -> bool {
    event_word(&column.expr).is_some()
}

/// A part of a text, once it is read.
pub(crate) enum Part<'e> {
    Text(&'e str),
    /// An expression and how it is written.
    Value(&'e str, &'e Expr),
}

/// The parts of a text that was read; none of one that was wrong, or of anything else.
pub(crate) fn parts(text: &Expr) -> Option<Vec<Part<'_>>> {
    let ExprKind::Call { name, args } = &text.kind else { return None };
    if !name.node.is_empty() {
        return None;
    }
    args.iter()
        .map(|arg| match (&arg.name, &arg.value.kind) {
            (Some(name), ExprKind::Str(text)) if name.node.is_empty() => Some(Part::Text(text)),
            (Some(name), _) => Some(Part::Value(&name.node, &arg.value)),
            (None, _) => None,
        })
        .collect()
}

/// Reads the texts of all clauses on points; faults are added to `errors`.
pub(crate) fn expand<'p>(program: &'p Program, sources: &SourceMap, errors: &mut Vec<Diagnostic>) -> Cow<'p, Program> {
    let mut program = Cow::Borrowed(program);
    for (i, j, k) in places(&program) {
        let ItemKind::Clause(clause) = &mut program.to_mut().items[i].kind else { continue };
        let GroupKind::Columns { columns, .. } = &mut clause.body.groups[j].kind else { continue };
        let word = event_word(&columns[k].expr).unwrap_or_default();
        let ExprKind::Call { args, .. } = &mut columns[k].expr.kind else { continue };
        for arg in args {
            match read(&arg.value, word, sources) {
                None => {}
                Some(Ok(parts)) => arg.value = parts,
                Some(Err(fault)) => errors.push(fault),
            }
        }
    }
    program
}

/// Where there is such a column: item, group, column.
fn places(program: &Program) -> Vec<(usize, usize, usize)> {
    let mut places = Vec::new();
    for (i, item) in program.items.iter().enumerate() {
        let ItemKind::Clause(clause) = &item.kind else { continue };
        if !matches!(clause.head, ClauseHead::On { .. }) {
            continue;
        }
        for (j, group) in clause.body.groups.iter().enumerate() {
            let GroupKind::Columns { columns, .. } = &group.kind else { continue };
            places.extend(columns.iter().enumerate().filter(|(_, c)| is_of_events(c)).map(|(k, _)| (i, j, k)));
        }
    }
    places
}

/// The parts of a text; none if it is none, or has been read.
fn read(value: &Expr, word: &str, sources: &SourceMap) -> Option<Result<Expr, Diagnostic>> {
    // Behind a name and `=` a text is read as what something is compared with.
    let span = match &value.kind {
        ExprKind::Str(_) => value.span,
        ExprKind::Pattern(pattern) => match &pattern.alts[..] {
            [PatternAlt { kind: PatternKind::Str(_), span }] if !pattern.negated => *span,
            _ => return None,
        },
        _ => return None,
    };
    let text = |text: String| {
        let value = Expr { kind: ExprKind::Str(text), span };
        CallArg { name: Some(Ident::new(String::new(), span)), value }
    };
    let part = |part: TemplatePart| match part {
        TemplatePart::Text(t) => text(t),
        TemplatePart::Value(value) => {
            let written = without_blanks(&sources.text(value.span).replace("\\\"", "\""));
            CallArg { name: Some(Ident::new(written, value.span)), value }
        }
    };
    let parts = parse_template(sources, span).map(|parts| {
        let args = match parts.is_empty() {
            true => vec![text(String::new())],
            false => parts.into_iter().map(part).collect(),
        };
        Expr { kind: ExprKind::Call { name: Ident::new(String::new(), span), args }, span }
    });
    Some(parts.map_err(|fault| told(fault, word)))
}

fn told(fault: TemplateFault, word: &str) -> Diagnostic {
    let wrong = |span: Span, label: &str, help: &str| {
        Diagnostic::error("PI0329", format!("the text of `{word}` cannot be read")).at(span, label).help(help)
    };
    match fault {
        TemplateFault::NotOpened(span) => wrong(span, "closes nothing", "for a brace itself write it twice: }}"),
        TemplateFault::NotClosed(span) => wrong(span, "is not closed", "for a brace itself write it twice: {{"),
        TemplateFault::Empty(span) => wrong(span, "nothing to print", "write what to print: {dur}; or {{}} for braces"),
        TemplateFault::NoExpression(span) => {
            wrong(span, "no expression from here on", "write what to print: {dur}, {layer + 1}; or {{ }} for braces")
        }
        TemplateFault::Text(fault) => *fault,
    }
}
