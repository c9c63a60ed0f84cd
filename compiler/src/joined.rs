//! Columns that are made of other columns of their table, by name: `mean = total / n`. The others may stand in other groups,
//! and in clauses further down, so what such a column is can be told only when all of them are there.

use std::collections::{HashMap, HashSet};

use profinfer_lang::ast;
use profinfer_lang::ast::{Clause, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::clauses::Clauses;
use crate::columns::{not_a_number, units};
use crate::faults::{HelpNear, consequence, with_unit_hint};
use crate::plan::Ceiling;
use crate::types::{ArithOp, Type};

/// The names of columns that a column of a group may be made of, by table.
#[derive(Debug, Default)]
pub(crate) struct ColumnNames(HashMap<String, HashSet<String>>);

impl ColumnNames {
    /// Those that the groups of each table give.
    pub(crate) fn of(clauses: &[&Clause]) -> Self {
        let mut names = Self::default();
        for group in clauses.iter().flat_map(|c| &c.body.groups) {
            if let GroupKind::Columns { columns, into: Some(into), .. } = &group.kind {
                names.0.entry(into.node.clone()).or_default().extend(named(columns));
            }
        }
        names
    }

    /// Those of a group's table, its own included.
    pub(crate) fn for_group(&self, columns: &[ast::Column], into: Option<&str>) -> HashSet<String> {
        let shared = into.and_then(|into| self.0.get(into)).into_iter().flatten().cloned();
        shared.chain(named(columns)).collect()
    }
}

fn named(columns: &[ast::Column]) -> impl Iterator<Item = String> + '_ {
    columns.iter().filter_map(|c| c.name.as_ref()).map(|n| n.node.clone())
}

/// What a column is made of, as far as its unit goes.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: DraftKind,
    pub(crate) span: Span,
}

/// See [`Draft`].
#[derive(Debug)]
pub(crate) enum DraftKind {
    /// Something of its own group.
    Known(Type),
    /// Another column.
    Named(String),
    /// Arithmetic.
    Arith(ArithOp, Box<[Draft; 2]>),
    /// Minus.
    Neg(Box<Draft>),
    /// Numbers of one unit, one less than the other.
    Compared(Box<[Draft; 2]>),
    /// Truth values, joined.
    Truths(Vec<Draft>),
    /// Anything, there or not.
    Presence(Box<Draft>),
    /// A truth value, and two of one type.
    Chosen(Vec<Draft>),
    /// Some of one type.
    Alike(Vec<Draft>),
    /// Anything that has a text.
    Concat(Vec<Draft>),
    /// A number of threads.
    Ceiling(Ceiling, Box<Draft>),
}

/// A column by table and place in it.
type Place = (usize, usize);

/// Gives all columns that are made of others their units; faults are kept.
pub(crate) fn finish(clauses: &mut Clauses<'_>) {
    let mut drafts: HashMap<Place, Draft> = std::mem::take(&mut clauses.drafts).into_iter().collect();
    let mut places: Vec<Place> = drafts.keys().copied().collect();
    places.sort_unstable();
    for place in places {
        if let Err(fault) = one(clauses, &mut drafts, place, &mut Vec::new()) {
            clauses.broken.insert(clauses.tables[place.0].name.clone());
            clauses.errors.push(fault);
        }
    }
}

/// Finds the unit of one column, those that it is made of first.
fn one(
    clauses: &mut Clauses<'_>,
    drafts: &mut HashMap<Place, Draft>,
    place: Place,
    open: &mut Vec<Place>,
) -> Result<(), Diagnostic> {
    let Some(draft) = drafts.remove(&place) else { return Ok(()) };
    open.push(place);
    let mut texts = Vec::new();
    let ty = unit(clauses, drafts, place.0, &draft, open, &mut texts);
    open.pop();
    let column = &mut clauses.tables[place.0].columns[place.1];
    column.ty = ty?;
    column.value.type_texts(&mut texts.into_iter());
    if column.ty == Type::Bool {
        return Err(Diagnostic::error("PI0311", "a column is a number or a text, not a condition")
            .at(draft.span, "true or false")
            .help("say what it comes to: if(condition, \"yes\", \"no\"), or sum the condition of each event"));
    }
    Ok(())
}

fn unit(
    clauses: &mut Clauses<'_>,
    drafts: &mut HashMap<Place, Draft>,
    table: usize,
    draft: &Draft,
    open: &mut Vec<Place>,
    texts: &mut Vec<Vec<Type>>,
) -> Result<Type, Diagnostic> {
    let mut of = |draft: &Draft| unit(clauses, drafts, table, draft, open, texts);
    match &draft.kind {
        DraftKind::Known(ty) => Ok(ty.clone()),
        DraftKind::Neg(a) => a.number(of(a)?),
        DraftKind::Arith(op, ab) => {
            let (a, b) = (ab[0].number(of(&ab[0])?)?, ab[1].number(of(&ab[1])?)?);
            units(*op, (&a, ab[0].span), (&b, ab[1].span), draft.span)
        }
        DraftKind::Compared(ab) => {
            let (a, b) = (ab[0].number(of(&ab[0])?)?, ab[1].number(of(&ab[1])?)?);
            alike([(&a, ab[0].span), (&b, ab[1].span)])?;
            Ok(Type::Bool)
        }
        DraftKind::Truths(all) => {
            for truth in all {
                truth.truth(&of(truth)?)?;
            }
            Ok(Type::Bool)
        }
        DraftKind::Presence(a) => of(a).map(|_| Type::Bool),
        DraftKind::Chosen(all) => {
            all[0].truth(&of(&all[0])?)?;
            let (a, b) = (of(&all[1])?, of(&all[2])?);
            alike([(&a, all[1].span), (&b, all[2].span)])
        }
        DraftKind::Alike(all) => {
            let mut ty = of(&all[0])?;
            for next in &all[1..] {
                let other = of(next)?;
                ty = alike([(&ty, all[0].span), (&other, next.span)])?;
            }
            Ok(ty)
        }
        DraftKind::Concat(all) => {
            let types = all.iter().map(&mut of).collect::<Result<Vec<Type>, _>>()?;
            texts.push(types);
            Ok(Type::Str(0))
        }
        DraftKind::Ceiling(what, threads) => {
            let ty = of(threads)?;
            match ty {
                Type::Int | Type::Ratio => Ok(what.ty()),
                _ => Err(Diagnostic::error("PI0301", format!("this is {ty}, where a number of threads is expected"))
                    .at(threads.span, ty.to_string())),
            }
        }
        DraftKind::Named(name) => {
            let first = clauses.tables[table].shown_with;
            let groups = clauses.tables.iter().enumerate().filter(|(i, t)| t.shown_with == first && t.adds_to == *i);
            let all: Vec<(Place, &str)> = groups
                .flat_map(|(g, t)| t.columns.iter().enumerate().map(move |(i, c)| ((g, i), c.name.as_str())))
                .collect();
            let Some(place) = all.iter().find(|(_, n)| n == name).map(|(place, _)| *place) else {
                if clauses.broken.contains(&clauses.tables[table].name) {
                    return Err(consequence(draft.span));
                }
                let names = all.iter().map(|(_, n)| *n);
                return Err(Diagnostic::error("PI0322", format!("the table has no column `{name}`"))
                    .at(draft.span, "unknown column")
                    .help_near(name, names, "columns that are made of others name them: total / n"));
            };
            if open.contains(&place) {
                return Err(Diagnostic::error("PI0211", format!("the column `{name}` needs itself"))
                    .at(draft.span, "goes round in a circle")
                    .help("a column is made of aggregations, in the end"));
            }
            one(clauses, drafts, place, open)?;
            let column = &clauses.tables[place.0].columns[place.1];
            if column.value.is_picture() {
                return Err(not_a_number(draft.span));
            }
            Ok(column.ty.clone())
        }
    }
}

/// The type of what may stand for each other.
fn alike([(a, at_a), (b, at_b)]: [(&Type, Span); 2]) -> Result<Type, Diagnostic> {
    a.unify(b).ok_or_else(|| {
        let fault = Diagnostic::error("PI0301", format!("{a} and {b} do not stand for each other"))
            .at(at_b, b.to_string())
            .note(at_a, a.to_string());
        with_unit_hint(fault, a, b)
    })
}

impl Draft {
    fn number(&self, ty: Type) -> Result<Type, Diagnostic> {
        if ty.is_quantity() || ty == Type::Absent {
            return Ok(ty);
        }
        Err(Diagnostic::error("PI0301", format!("this is {ty}, where a number is expected"))
            .at(self.span, ty.to_string()))
    }

    fn truth(&self, ty: &Type) -> Result<(), Diagnostic> {
        if *ty == Type::Bool {
            return Ok(());
        }
        Err(Diagnostic::error("PI0301", format!("this is {ty}, where a condition is expected"))
            .at(self.span, ty.to_string())
            .help("compare it: (a > b)"))
    }

    /// A name of a column.
    pub(crate) fn named(name: &str, span: Span) -> Self {
        Self { kind: DraftKind::Named(name.to_owned()), span }
    }
}
