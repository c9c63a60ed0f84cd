//! `slice` and `gauge`: events as they stand in a timeline.

use profinfer_lang::ast::{self, CallArg};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::clauses::{Clauses, without_blanks};
use crate::events::Known;
use crate::faults::mismatch;
use crate::lower::Want;
use crate::plan::{Each, Expr, Gauge, KeyField, KeySource, OutKey, Slice, UserExpr};
use crate::resolve::Scope;
use crate::typed::{Kind, PointId, Typed};
use crate::types::Type;

/// What is said of arguments that are not those of `slice`.
const SLICE: &str =
    "usage: slice(op), slice(\"{op} {name}\", layer, track = \"operators\"), slice(op, split(busy, wait))";
/// The same of `gauge`.
const GAUGE: &str = "usage: gauge(\"tokens\", n_tokens), gauge(\"{phase}\", n_tokens, track = \"micro-batches\")";

impl Clauses<'_> {
    /// `slice(label, more, name = more, track = …, split(busy, wait))`
    pub(crate) fn slice(&mut self, point: PointId, args: &[CallArg], span: Span, known: &mut Known) -> Option<Each> {
        let dur = self.resolver.field_or_common(point, "dur", span);
        let dur = match self.keep(dur)? {
            Some(dur) if dur.ty == Type::Duration => dur,
            _ => {
                let name = &self.resolver.catalogue().points[point].name;
                let title = format!("`{name}` has no `dur`, and a slice is as long as its event");
                let help = "a moment is told by print(\"…\"), a number of it by gauge(\"…\", x)";
                self.errors.push(Diagnostic::error("PI0340", title).at(span, "begins and ends nowhere").help(help));
                return None;
            }
        };
        let Some((label, rest)) = args.split_first().filter(|(label, _)| label.name.is_none()) else {
            return self.wrong(span, "`slice` takes a label, and more behind it", SLICE);
        };
        let label = self.label(point, &label.value, known)?;
        let dur = self.known(point, "dur", &dur, known)?;
        let (mut slice, mut seen) = (Slice { label, dur, ..Slice::default() }, Vec::new());
        for CallArg { name, value } in rest {
            let name = match (name, split(value)) {
                (Some(name), _) => name.node.clone(),
                (None, Some(_)) => "split".to_owned(),
                (None, None) => without_blanks(self.sources.text(value.span)),
            };
            if seen.contains(&name) {
                let help = "give one of them another name: name = …";
                return self.wrong(value.span, &format!("`{name}` is said twice"), help);
            }
            match (name.as_str(), split(value)) {
                ("track", _) => slice.track = self.label(point, value, known)?,
                (_, Some(parts)) => {
                    for part in parts {
                        slice.parts.push(self.part_of_slice(point, part, known)?);
                    }
                    slice.details.extend(&slice.parts);
                }
                _ => slice.details.push(self.value(point, &name, value, known)?),
            }
            seen.push(name);
        }
        let thread = self.lowering.own_thread(point);
        slice.tid = known.add("tid", Type::Int, thread);
        if slice.track.is_empty() {
            let comm = self.resolver.field_or_common(point, "comm", span);
            if let Some(comm) = self.keep(comm)? {
                slice.comm = Some(self.known(point, "comm", &comm, known)?);
            }
        }
        Some(Each::Slice(slice))
    }

    /// `gauge(label, value, track = …)`
    pub(crate) fn gauge(&mut self, point: PointId, args: &[CallArg], span: Span, known: &mut Known) -> Option<Each> {
        let ([CallArg { name: None, value: label }, CallArg { name: None, value }], rest) =
            args.split_at(args.len().min(2))
        else {
            return self.wrong(span, "`gauge` takes a label and a number", GAUGE);
        };
        let label = self.label(point, label, known)?;
        let typed = self.resolver.expr(value, Scope::clause(point), None);
        let typed = self.keep(typed)?;
        if !typed.ty.is_quantity() {
            let d = Diagnostic::error("PI0301", format!("this is {}, and a gauge shows a number", typed.ty));
            self.errors.push(d.at(value.span, typed.ty.to_string()).help(GAUGE));
            return None;
        }
        let value = self.known(point, &without_blanks(self.sources.text(value.span)), &typed, known)?;
        known.there.push(value);
        let mut track = Vec::new();
        for arg in rest {
            match &arg.name {
                Some(name) if name.node == "track" && track.is_empty() => {
                    track = self.label(point, &arg.value, known)?
                }
                _ => return self.wrong(arg.value.span, "`gauge` takes a label, a number and a track", GAUGE),
            }
        }
        Some(Each::Gauge(Gauge { label, value, track }))
    }

    /// Says of each slice which one it lies in, now that all are there: of the points around it the innermost one that has
    /// slices.
    pub(crate) fn link_slices(&mut self) {
        let is_slice = |each: &Option<Each>| matches!(each, Some(Each::Slice(_)));
        let shown: Vec<PointId> = self.tables.iter().filter(|t| is_slice(&t.each)).map(|t| t.point).collect();
        for at in 0..self.tables.len() {
            let point = self.tables[at].point;
            if !is_slice(&self.tables[at].each) || self.lowering.points[point].comes_anywhere() {
                continue;
            }
            let Some(outer) = self.lowering.points[point].within.iter().copied().find(|p| shown.contains(p)) else {
                continue;
            };
            let start = Typed::new(Kind::Start(outer), Type::Duration, self.tables[at].span).named("time");
            let mut key = std::mem::take(&mut self.tables[at].key);
            let value = self.lowering.user(&start, point, &mut key, Want::Event);
            self.tables[at].key = key;
            let Some(value) = self.keep(value) else { continue };
            let name = format!("{}.time", self.lowering.points[outer].name);
            self.tables[at].keys.push(OutKey { name, ty: Type::Duration, value });
            let begins = self.tables[at].keys.len() - 1;
            if let Some(Each::Slice(slice)) = &mut self.tables[at].each {
                slice.within = Some((outer, begins));
            }
            let of_outer = self.tables.iter_mut().filter(|t| t.point == outer && is_slice(&t.each));
            if let Some(Each::Slice(slice)) = of_outer.map(|t| &mut t.each).next().and_then(Option::as_mut) {
                slice.encloses = true;
            }
        }
    }

    /// A time that a slice is partly made of.
    fn part_of_slice(&mut self, point: PointId, part: &CallArg, known: &mut Known) -> Option<usize> {
        let typed = self.resolver.expr(&part.value, Scope::clause(point), None);
        let typed = self.keep(typed)?;
        if typed.ty != Type::Duration {
            self.errors.push(mismatch(&typed, &Type::Duration));
            return None;
        }
        let written = || without_blanks(self.sources.text(part.value.span));
        let name = part.name.as_ref().map_or_else(written, |name| name.node.clone());
        self.known(point, &name, &typed, known)
    }

    fn wrong<T>(&mut self, span: Span, what: &str, usage: &str) -> Option<T> {
        self.errors.push(Diagnostic::error("PI0306", what).at(span, "here").help(usage));
        None
    }
}

impl Known {
    /// Has a number of the kernel sent with the event: its place among the keys.
    fn add(&mut self, name: &str, ty: Type, number: Expr) -> usize {
        let field = KeyField { text: name.to_owned(), source: KeySource::Number(number), ty: ty.clone() };
        let value = UserExpr::Field(crate::lower::index_of(&mut self.key, field));
        self.keys.push(OutKey { name: name.to_owned(), ty, value });
        self.keys.len() - 1
    }
}

/// What stands in `split(…)`.
fn split(e: &ast::Expr) -> Option<&[CallArg]> {
    match &e.kind {
        ast::ExprKind::Call { name, args } if name.node == "split" => Some(args),
        _ => None,
    }
}
