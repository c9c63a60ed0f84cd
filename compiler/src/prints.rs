//! The texts of `print`: `print("slow: {name}")` becomes a call with the text's parts as arguments, before anything else looks
//! at a clause. So what stands in braces is an expression as any other.
//!
//! A part has a name: none of its own for text, and for an expression how it is written.

use std::borrow::Cow;

use profinfer_lang::ast::{CallArg, ClauseHead, Column, Expr, ExprKind, GroupKind, Ident, ItemKind, Program};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::parse::{TemplateFault, TemplatePart, parse_template};
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::Span;

use crate::clauses::without_blanks;

/// Whether a column stands for a record of each event.
pub(crate) fn is_print(column: &Column) -> bool {
    matches!(&column.expr.kind, ExprKind::Call { name, .. } if name.node == "print")
}

/// A part of a text, once it is read.
pub(crate) enum Part<'e> {
    Text(&'e str),
    /// An expression and how it is written.
    Value(&'e str, &'e Expr),
}

/// The parts of a `print` whose text was read; none of one whose text was wrong, or that has none.
pub(crate) fn parts(column: &Column) -> Option<Vec<Part<'_>>> {
    let ExprKind::Call { args, .. } = &column.expr.kind else { return None };
    if args.is_empty() {
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
        let ExprKind::Call { args, .. } = &mut columns[k].expr.kind else { continue };
        match read(args, sources) {
            None => {}
            Some(Ok(parts)) => *args = parts,
            Some(Err(fault)) => errors.push(fault),
        }
    }
    program
}

/// Where there is a `print`: item, group, column.
fn places(program: &Program) -> Vec<(usize, usize, usize)> {
    let mut places = Vec::new();
    for (i, item) in program.items.iter().enumerate() {
        let ItemKind::Clause(clause) = &item.kind else { continue };
        if !matches!(clause.head, ClauseHead::On { .. }) {
            continue;
        }
        for (j, group) in clause.body.groups.iter().enumerate() {
            let GroupKind::Columns { columns, .. } = &group.kind else { continue };
            places.extend(columns.iter().enumerate().filter(|(_, c)| is_print(c)).map(|(k, _)| (i, j, k)));
        }
    }
    places
}

/// The parts of a text; none if there is no text, or it has been read.
fn read(args: &[CallArg], sources: &SourceMap) -> Option<Result<Vec<CallArg>, Diagnostic>> {
    let [CallArg { name: None, value }] = args else { return None };
    let ExprKind::Str(_) = value.kind else { return None };
    let text = |text: String| {
        let value = Expr { kind: ExprKind::Str(text), span: value.span };
        CallArg { name: Some(Ident::new(String::new(), value.span)), value }
    };
    let part = |part: TemplatePart| match part {
        TemplatePart::Text(t) => text(t),
        TemplatePart::Value(value) => {
            let written = without_blanks(&sources.text(value.span).replace("\\\"", "\""));
            CallArg { name: Some(Ident::new(written, value.span)), value }
        }
    };
    let parts = parse_template(sources, value.span).map(|parts| match parts.is_empty() {
        true => vec![text(String::new())],
        false => parts.into_iter().map(part).collect(),
    });
    Some(parts.map_err(told))
}

fn told(fault: TemplateFault) -> Diagnostic {
    let wrong = |span: Span, label: &str, help: &str| {
        Diagnostic::error("PI0329", "the text of `print` cannot be read").at(span, label).help(help)
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
