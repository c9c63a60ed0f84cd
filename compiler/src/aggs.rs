//! Bundles of columns (`agg`): a call of one is replaced by the columns that it stands for.

use std::borrow::Cow;
use std::collections::HashMap;

use profinfer_lang::ast::{AggDef, CallArg, Column, Expr, ExprKind, Ident};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::Span;

use crate::clauses::without_blanks;
use crate::faults::twice;
use crate::resolve::{Resolver, too_much};
use crate::walk::{size, walk};

/// Columns that one use of a bundle may come to.
const MAX_COLUMNS: usize = 1_000;

/// How deep bundles may stand in each other.
const MAX_DEPTH: usize = 64;

/// What stands for a parameter of a bundle.
struct Argument {
    value: Expr,
    /// As it is written.
    text: String,
}

/// Arguments by the names of the parameters.
type Arguments = HashMap<String, Argument>;

/// The columns that `column` stands for: itself, or those of a bundle.
///
/// # Errors
/// The bundle is called with other arguments, stands where one column does, or is made of itself.
pub(crate) fn expand<'c>(
    resolver: &Resolver<'_>,
    sources: &SourceMap,
    column: &'c Column,
) -> Result<Vec<Cow<'c, Column>>, Diagnostic> {
    if resolver.aggs.is_empty() {
        return Ok(vec![Cow::Borrowed(column)]);
    }
    let bundle = Bundle { resolver, sources, used: column.expr.span };
    let Some((agg, args)) = bundle.call(&column.expr) else {
        bundle.none_inside(&column.expr)?;
        return Ok(vec![Cow::Borrowed(column)]);
    };
    let prefix = column.name.as_ref().map_or_else(String::new, |n| format!("{}.", n.node));
    let mut columns = Vec::new();
    let arguments = bundle.arguments(agg, args, column.expr.span, &Arguments::new())?;
    bundle.columns(agg, &arguments, &prefix, &mut vec![&agg.name.node], &mut columns)?;
    Ok(columns.into_iter().map(Cow::Owned).collect())
}

/// A fault of one of the columns that `written` stands for: told where it is used, if it is in the definition of a bundle.
pub(crate) fn told_in(fault: Diagnostic, column: &Column, written: &Column) -> Diagnostic {
    let used = written.expr.span;
    let is_bundle = !std::ptr::eq(column, written);
    let is_told =
        fault.labels.iter().any(|l| l.span.file == used.file && (used.start..used.end).contains(&l.span.start));
    if is_bundle && !is_told { fault.note(used, "used here") } else { fault }
}

/// What is wrong with the parameters of a bundle.
pub(crate) fn faults(agg: &AggDef) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (i, param) in agg.params.iter().enumerate() {
        if let Some(first) = agg.params[..i].iter().find(|p| p.node == param.node) {
            faults.push(twice(&param.node, param.span).note(first.span, "the first one"));
        }
    }
    faults
}

/// A use of a bundle.
struct Bundle<'b, 'a> {
    resolver: &'b Resolver<'a>,
    sources: &'b SourceMap,
    /// Where it is used.
    used: Span,
}

impl<'b> Bundle<'b, '_> {
    fn call<'e>(&self, e: &'e Expr) -> Option<(&'b AggDef, &'e [CallArg])> {
        call(self.resolver, e)
    }

    /// A bundle inside of a calculation is no number.
    fn none_inside(&self, e: &Expr) -> Result<(), Diagnostic> {
        let mut found = None;
        walk(&mut e.clone(), &mut |e| {
            if let Some((agg, _)) = self.call(e) {
                found.get_or_insert((agg, e.span));
            }
            found.is_none()
        });
        let Some((agg, span)) = found else { return Ok(()) };
        Err(no_number(&agg.name.node, span).note(agg.name.span, "defined here"))
    }

    fn arguments(
        &self,
        agg: &AggDef,
        args: &[CallArg],
        span: Span,
        outer: &Arguments,
    ) -> Result<Arguments, Diagnostic> {
        if args.len() != agg.params.len() || args.iter().any(|a| a.name.is_some()) {
            let params: Vec<&str> = agg.params.iter().map(|p| p.node.as_str()).collect();
            return Err(Diagnostic::error("PI0306", format!("`{}` takes other arguments", agg.name.node))
                .at(span, "here")
                .note(agg.name.span, "defined here")
                .help(format!("usage: {}({})", agg.name.node, params.join(", "))));
        }
        let mut arguments = Arguments::new();
        for (param, arg) in agg.params.iter().zip(args) {
            let argument = Argument { value: self.put(&arg.value, outer)?, text: self.text(&arg.value, outer) };
            arguments.insert(param.node.clone(), argument);
        }
        Ok(arguments)
    }

    /// Adds the columns of `agg`.
    fn columns(
        &self,
        agg: &'b AggDef,
        arguments: &Arguments,
        prefix: &str,
        open: &mut Vec<&'b str>,
        into: &mut Vec<Column>,
    ) -> Result<(), Diagnostic> {
        for column in &agg.columns {
            if into.len() >= MAX_COLUMNS || open.len() > MAX_DEPTH {
                return Err(too_much(self.used));
            }
            if let Some((inner, args)) = self.call(&column.expr) {
                if open.contains(&inner.name.node.as_str()) {
                    return Err(circle(&inner.name.node, column.expr.span));
                }
                let prefix = match &column.name {
                    Some(name) => format!("{prefix}{}.", name.node),
                    None => prefix.to_owned(),
                };
                let inside = self.arguments(inner, args, column.expr.span, arguments)?;
                open.push(&inner.name.node);
                self.columns(inner, &inside, &prefix, open, into)?;
                open.pop();
                continue;
            }
            let value = self.put(&column.expr, arguments)?;
            self.none_inside(&value)?;
            let mut add = |name: String, expr| {
                let name = Ident::new(format!("{prefix}{name}"), self.used);
                into.push(Column { name: Some(name), expr });
            };
            match (&column.name, &column.expr.kind, value) {
                // Each of its columns has a text of its own.
                (None, ExprKind::Call { name, args }, Expr { kind: ExprKind::Call { args: values, .. }, span })
                    if name.node == "quantile" && args.len() > 2 =>
                {
                    let of = self.text(&args[0].value, arguments);
                    for (written, share) in args.iter().zip(&values).skip(1) {
                        let share_text = self.text(&written.value, arguments);
                        let args = vec![values[0].clone(), share.clone()];
                        let kind = ExprKind::Call { name: name.clone(), args };
                        add(format!("quantile({of},{share_text})"), Expr { kind, span });
                    }
                }
                (Some(name), _, value) => add(name.node.clone(), value),
                (None, _, value) => add(self.text(&column.expr, arguments), value),
            }
        }
        Ok(())
    }

    /// `e` with arguments in the places of their names.
    fn put(&self, e: &Expr, arguments: &Arguments) -> Result<Expr, Diagnostic> {
        let mut e = e.clone();
        let mut copied = size(&e);
        walk(&mut e, &mut |e| {
            let ExprKind::Name(name) = &e.kind else { return true };
            if let Some(argument) = arguments.get(name) {
                copied += size(&argument.value);
                *e = argument.value.clone();
            }
            false
        });
        self.resolver.spend(copied, self.used)?;
        Ok(e)
    }

    /// The text of `e` without blanks, arguments in the places of their names.
    fn text(&self, e: &Expr, arguments: &Arguments) -> String {
        let mut places = Vec::new();
        places_of(e, false, arguments, &mut places);
        places.sort_by_key(|(span, ..)| span.start);
        let (mut text, mut done) = (String::new(), e.span.start);
        for (span, name, operand) in places {
            text.push_str(self.sources.text(Span { start: done, end: span.start, ..span }));
            let argument = &arguments[name];
            let is_sum = matches!(argument.value.kind, ExprKind::Binary(..) | ExprKind::Unary(..));
            if operand && is_sum {
                text.push_str(&format!("({})", argument.text));
            } else {
                text.push_str(&argument.text);
            }
            done = span.end;
        }
        text.push_str(self.sources.text(Span { start: done, ..e.span }));
        without_blanks(&text)
    }
}

/// A bundle where one column is needed.
pub(crate) fn no_number(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0221", format!("`{name}` is a bundle of columns: it cannot be part of one"))
        .at(span, "not a number")
        .help(format!("write it as a column of its own: < {name}(…) >, < x = {name}(…) >"))
}

/// Where arguments stand in `e`, and whether each is an operand of an operator there.
fn places_of<'e>(e: &'e Expr, operand: bool, arguments: &Arguments, into: &mut Vec<(Span, &'e str, bool)>) {
    match &e.kind {
        ExprKind::Name(name) if arguments.contains_key(name) => into.push((e.span, name, operand)),
        ExprKind::Member(a, _) | ExprKind::Unary(_, a) => places_of(a, true, arguments, into),
        ExprKind::Paren(a) => places_of(a, false, arguments, into),
        ExprKind::Index(a, b) => {
            places_of(a, true, arguments, into);
            places_of(b, false, arguments, into);
        }
        ExprKind::Binary(_, a, b) | ExprKind::Range(a, b) => {
            places_of(a, true, arguments, into);
            places_of(b, true, arguments, into);
        }
        ExprKind::Call { args, .. } => args.iter().for_each(|a| places_of(&a.value, false, arguments, into)),
        _ => {}
    }
}

/// The bundle that `e` calls, and with what.
fn call<'r, 'e>(resolver: &'r Resolver<'_>, e: &'e Expr) -> Option<(&'r AggDef, &'e [CallArg])> {
    match &e.kind {
        ExprKind::Paren(inner) => call(resolver, inner),
        ExprKind::Call { name, args } => Some((resolver.aggs.get(&name.node)?, args)),
        _ => None,
    }
}

fn circle(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0211", format!("the definition of `{name}` needs itself"))
        .at(span, "goes round in a circle")
        .help("a bundle is made of columns, in the end")
}
