//! Probes: names for points with patterns, a condition and fields of their own. They are put in place before anything else
//! looks at a clause, which then stands on points of the engine only.

use std::borrow::Cow;

use indexmap::IndexMap;
use profinfer_lang::ast::{At, BinaryOp, Clause, ClauseHead, Expr, ExprKind, GroupKind, ProbeDef};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::clauses::point;
use crate::faults::{consequence, mismatch, twice};
use crate::resolve::{Resolver, Scope, too_much};
use crate::typed::PointId;
use crate::walk::{size, walk, walk_at};

/// Points that one clause may stand on, once its probes are put in place.
const MAX_POINTS: usize = 64;

/// How deep probes may stand for each other.
const MAX_DEPTH: usize = 64;

/// One point of a clause, with all that probes add to it.
pub(crate) struct Spot<'c> {
    /// The point with its patterns.
    pub(crate) at: Cow<'c, At>,
    /// The condition: that of the clause and those of probes.
    pub(crate) filter: Option<Cow<'c, Expr>>,
    /// The clause, fields of probes put in their places.
    pub(crate) clause: Cow<'c, Clause>,
    /// What a table without a name is called by; none for the point's own name.
    pub(crate) base: Option<String>,
}

/// A point behind a probe.
struct Behind {
    at: At,
    filters: Vec<Expr>,
    lets: IndexMap<String, Expr>,
}

/// The points that a clause stands on.
///
/// # Errors
/// Too much comes of its probes.
pub(crate) fn spots<'c>(resolver: &Resolver<'_>, clause: &'c Clause) -> Result<Vec<Spot<'c>>, Diagnostic> {
    let ClauseHead::On { ats, filter } = &clause.head else { return Ok(Vec::new()) };
    let mut spots = Vec::new();
    let several = ats.len() > 1;
    for at in ats {
        if !resolver.probes.contains_key(&at.path.text()) {
            let base = several.then(|| base_name(&ats[0]));
            let filter = filter.as_ref().map(Cow::Borrowed);
            spots.push(Spot { at: Cow::Borrowed(at), filter, clause: Cow::Borrowed(clause), base });
            continue;
        }
        for behind in behind(resolver, at, &mut Vec::new())? {
            let mut all = behind.filters;
            if let Some(written) = filter {
                let mut written = written.clone();
                put(resolver, &mut written, &behind.lets)?;
                all.push(written);
            }
            let mut clause = Cow::Borrowed(clause);
            if !behind.lets.is_empty() {
                for group in &mut clause.to_mut().body.groups {
                    if let GroupKind::Columns { columns, by, .. } = &mut group.kind {
                        for column in columns.iter_mut().chain(by) {
                            put(resolver, &mut column.expr, &behind.lets)?;
                        }
                    }
                }
            }
            let filter = all.into_iter().reduce(and).map(Cow::Owned);
            spots.push(Spot { at: Cow::Owned(behind.at), filter, clause, base: Some(base_name(&ats[0])) });
        }
        if spots.len() > MAX_POINTS {
            return Err(too_much(at.span));
        }
    }
    Ok(spots)
}

/// Whether all that a probe is made of is there and fits; each fault once, at its definition.
pub(crate) fn faults(resolver: &Resolver<'_>, probe: &ProbeDef) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for at in &probe.ats {
        if !resolver.probes.contains_key(&at.path.text()) {
            faults.extend(point(resolver, at).err());
        }
    }
    for (i, l) in probe.lets.iter().enumerate() {
        if let Some(first) = probe.lets[..i].iter().find(|f| f.name.node == l.name.node) {
            faults.push(twice(&l.name.node, l.name.span).note(first.name.span, "the first one"));
        }
    }
    if !faults.is_empty() {
        return faults;
    }
    let behind = match all_behind(resolver, probe, &mut Vec::new()) {
        Ok(behind) => behind,
        Err(d) => return vec![d],
    };
    for behind in behind {
        let Ok(point) = point(resolver, &behind.at) else { continue };
        faults.extend(shadowed(resolver, probe, point));
        for l in &probe.lets {
            let Some(value) = behind.lets.get(&l.name.node) else { continue };
            let value = match resolver.expr(value, Scope::clause(point), None) {
                Ok(value) => value,
                Err(d) => {
                    faults.push(d);
                    continue;
                }
            };
            match l.ty.as_ref().map(|ty| resolver.catalogue().type_of(ty)) {
                Some(Ok(ty)) if value.ty.unify(&ty).is_none() => faults.push(mismatch(&value, &ty)),
                Some(Err(d)) => faults.push(d),
                _ => {}
            }
        }
        // Those of other probes are told where they are defined.
        if let (Some(_), Some(own)) = (&probe.filter, behind.filters.last()) {
            faults.extend(resolver.condition(own, Scope::clause(point)).err());
        }
    }
    faults
}

/// Fields that have the name of one that is there.
fn shadowed(resolver: &Resolver<'_>, probe: &ProbeDef, point: PointId) -> Vec<Diagnostic> {
    let name = &resolver.catalogue().points[point].name;
    let taken = |l: &&profinfer_lang::ast::Let| {
        let own = resolver.field_or_common(point, &l.name.node, l.name.span);
        !matches!(own, Ok(None)) || ["absent", "self"].contains(&l.name.node.as_str())
    };
    let told = |l: &profinfer_lang::ast::Let| {
        Diagnostic::error("PI0205", format!("`{name}` has `{}` already", l.name.node))
            .at(l.name.span, "a second one")
            .help("give it another name")
    };
    probe.lets.iter().filter(taken).map(told).collect()
}

/// The points behind a probe that `at` names.
fn behind(resolver: &Resolver<'_>, at: &At, open: &mut Vec<String>) -> Result<Vec<Behind>, Diagnostic> {
    let name = at.path.text();
    let Some(probe) = resolver.probes.get(&name) else {
        let at = at.clone();
        return Ok(vec![Behind { at, filters: Vec::new(), lets: IndexMap::new() }]);
    };
    if resolver.broken.contains(&name) {
        return Err(consequence(at.path.span));
    }
    if open.len() >= MAX_DEPTH {
        return Err(too_much(at.path.span));
    }
    if open.contains(&name) {
        return Err(Diagnostic::error("PI0211", format!("the definition of `{name}` needs itself"))
            .at(at.path.span, "goes round in a circle")
            .help("a probe stands for points of the engine, in the end"));
    }
    let mut all = all_behind(resolver, probe, open)?;
    for behind in &mut all {
        let mut written = at.clone();
        put_at(resolver, &mut written, &behind.lets)?;
        behind.at.args.append(&mut written.args);
        behind.at.optional |= at.optional;
        behind.at.path.span = at.path.span;
        behind.at.span = at.span;
    }
    Ok(all)
}

/// The points behind a probe, with what it adds to each.
fn all_behind(resolver: &Resolver<'_>, probe: &ProbeDef, open: &mut Vec<String>) -> Result<Vec<Behind>, Diagnostic> {
    open.push(probe.name.node.clone());
    let mut all = Vec::new();
    for at in &probe.ats {
        for mut behind in behind(resolver, at, open)? {
            for l in &probe.lets {
                let mut value = l.value.clone();
                put(resolver, &mut value, &behind.lets)?;
                behind.lets.insert(l.name.node.clone(), value);
            }
            if let Some(filter) = &probe.filter {
                let mut filter = filter.clone();
                put(resolver, &mut filter, &behind.lets)?;
                behind.filters.push(filter);
            }
            all.push(behind);
        }
        if all.len() > MAX_POINTS {
            break;
        }
    }
    open.pop();
    Ok(all)
}

/// Puts fields of a probe in the places of their names. Each keeps the place where it is named: columns are called by their
/// text.
fn put(resolver: &Resolver<'_>, e: &mut Expr, lets: &IndexMap<String, Expr>) -> Result<(), Diagnostic> {
    let mut fault = None;
    walk(e, &mut |e| put_one(resolver, e, lets, &mut fault));
    fault.map_or(Ok(()), Err)
}

/// [`put`] for what stands in the parentheses of a point.
fn put_at(resolver: &Resolver<'_>, at: &mut At, lets: &IndexMap<String, Expr>) -> Result<(), Diagnostic> {
    let mut fault = None;
    walk_at(at, &mut |e| put_one(resolver, e, lets, &mut fault));
    fault.map_or(Ok(()), Err)
}

fn put_one(
    resolver: &Resolver<'_>,
    e: &mut Expr,
    lets: &IndexMap<String, Expr>,
    fault: &mut Option<Diagnostic>,
) -> bool {
    let name = match &e.kind {
        ExprKind::Name(name) => name,
        ExprKind::Member(base, member) if matches!(&base.kind, ExprKind::Name(n) if n == "self") => &member.node,
        _ => return fault.is_none(),
    };
    let Some(value) = lets.get(name) else { return true };
    match resolver.spend(size(value), e.span) {
        Ok(()) => e.kind = ExprKind::Paren(Box::new(value.clone())),
        Err(d) => *fault = Some(d),
    }
    false
}

fn and(a: Expr, b: Expr) -> Expr {
    let span: Span = b.span;
    Expr { kind: ExprKind::Binary(BinaryOp::And, Box::new(a), Box::new(b)), span }
}

/// The last word of a point's or probe's name: what its tables are called by.
fn base_name(at: &At) -> String {
    at.path.parts.last().map_or_else(String::new, |p| p.node.clone())
}
