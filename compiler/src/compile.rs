//! A script's AST to a [`Plan`]: what is declared, then the clauses.

use std::collections::{HashMap, HashSet};

use profinfer_lang::ast::{self, ClauseHead, ItemKind};
use profinfer_lang::diagnostic::{Diagnostic, Severity};
use profinfer_lang::parse::first_faults;
use profinfer_lang::source::SourceMap;

use crate::added::{self, CALLS};
use crate::aggs;
use crate::aside;
use crate::catalogue::Catalogue;
use crate::clauses::Clauses;
use crate::described;
use crate::faults::{is_consequence, twice};
use crate::joined;
use crate::kernel::{self, MADE};
use crate::modules::{Linked, Links};
use crate::params;
use crate::plan::{Action, Each, Plan, Table, Timer};
use crate::probes;
use crate::resolve::{AGGREGATES, Resolver, SCALARS, Scope};
use crate::stack::with_room;
use crate::texts::{self, EVENT_COLUMNS};

/// Rows a table may have where the script does not say.
pub const DEFAULT_LIMIT: u64 = 10_000;

/// What compiling gives: a plan, and warnings.
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    /// Where the script has memory read as it says itself: faults, unless the user allows it (`--unsafe`).
    pub reads: Vec<Diagnostic>,
    /// With [`Leaves::Both`] the same tables once more, as [`Leaves::Fields`] has them.
    pub by_fields: Vec<Table>,
}

/// What tables are made of, as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaves {
    /// Whatever can be decided early is: what a run needs.
    #[default]
    Early,
    /// Fields, each by itself, when the event ends: what a recording has, and what is computed of it.
    Fields,
    /// Tables as for a run, and beside them as for a recording.
    Both,
}

/// Compiles `program` against an engine description, with `-P name=value` settings. It imports nothing: see
/// [`compile_linked`].
///
/// # Errors
/// All errors of the script at once, in the order of their places.
pub fn compile(
    program: &ast::Program,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
) -> Result<Compiled, Vec<Diagnostic>> {
    with_room(|| needed(program, &Links::none(program), sources, catalogue, (settings, Leaves::Early)))
}

/// As [`compile`], for a script and what it imports: see [`link`](crate::modules::link).
///
/// # Errors
/// All errors of the script and of its imports at once, in the order of files and places.
pub fn compile_linked(
    linked: &Linked,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
) -> Result<Compiled, Vec<Diagnostic>> {
    compile_leaves(linked, sources, catalogue, settings, Leaves::Early)
}

/// As [`compile_linked`], with the tables made of such leaves.
///
/// # Errors
/// All errors of the script and of its imports at once, in the order of files and places.
pub fn compile_leaves(
    linked: &Linked,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
    leaves: Leaves,
) -> Result<Compiled, Vec<Diagnostic>> {
    with_room(|| needed(&linked.program, &linked.links, sources, catalogue, (settings, leaves)))
}

/// The plan; one that needs no engine where the script asks for its contexts alone, and that unspoken: `gap` and `lru` of
/// calls.
fn needed(
    program: &ast::Program,
    links: &Links,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: (&[(String, String)], Leaves),
) -> Result<Compiled, Vec<Diagnostic>> {
    let compiled = run(program, links, sources, catalogue, settings, true)?;
    let calls = compiled.plan.points.iter().any(|p| p.used && p.of_script);
    let apart = compiled.plan.tables.iter().any(|t| t.context.is_some());
    if calls && apart && compiled.plan.needs_engine() {
        let without = run(program, links, sources, catalogue, settings, false)?;
        if !without.plan.needs_engine() {
            return Ok(without);
        }
    }
    Ok(compiled)
}

fn run(
    program: &ast::Program,
    links: &Links,
    sources: &SourceMap,
    catalogue: &Catalogue,
    (settings, leaves): (&[(String, String)], Leaves),
    by_context: bool,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut unread = Vec::new();
    let program = &*texts::expand(program, sources, &mut unread);
    let added = added::added(program, catalogue);
    let described = catalogue.points.len();
    let catalogue = &*added.catalogue;
    let mut resolver = Resolver::new(catalogue);
    resolver.broken.extend(links.broken.iter().chain(&added.broken).cloned());
    let (mut errors, mut warnings): (Vec<_>, Vec<_>) =
        links.diagnostics.iter().cloned().partition(|d| d.severity == Severity::Error);
    errors.extend(added.errors);
    errors.extend(unread);
    errors.extend(links.modules.iter().filter_map(|name| hidden(name, catalogue)));
    params::declare(program, settings, &mut resolver, &mut errors);
    declare_items(program, &mut resolver, &mut errors);
    // Each fault of a point of the script is told at its definition, used or not.
    for (id, point) in catalogue.points.iter().enumerate().skip(described).filter(|(_, p)| p.called.is_none()) {
        errors.extend(described::faults_of(&resolver, id, point));
    }
    let clauses: Vec<&ast::Clause> = program
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Clause(c) => Some(c),
            _ => None,
        })
        .collect();
    let mut pass = Clauses::new(sources, &resolver, &clauses, errors);
    pass.by_context = by_context;
    pass.lowering.by_fields = leaves == Leaves::Fields;
    if !clauses.iter().any(|c| matches!(c.head, ClauseHead::On { .. })) && pass.errors.is_empty() {
        let end = program.items.last().map(|i| i.span);
        let d = Diagnostic::error("PI0214", "the script measures nothing");
        let d = match end {
            Some(span) => d.at(span, "no clause on a point up to here"),
            None => d,
        };
        pass.errors.push(d.help("write a clause: on ggml_op < count() by op >"));
    }
    for clause in &clauses {
        pass.on(clause);
    }
    joined::finish(&mut pass);
    pass.read_acts();
    pass.link_slices();
    let (mut begin, mut end, mut timers) = (Vec::new(), Vec::new(), Vec::new());
    for clause in &clauses {
        match &clause.head {
            ClauseHead::On { .. } => {}
            ClauseHead::Begin => begin.extend(pass.actions(&clause.body)),
            ClauseHead::End => end.extend(pass.actions(&clause.body)),
            ClauseHead::Every(d) | ClauseHead::After(d) => {
                let repeats = matches!(clause.head, ClauseHead::Every(_));
                let actions = pass.actions(&clause.body);
                let period = pass.period(d);
                timers.extend(pass.keep(period).map(|period_ns| Timer { period_ns, repeats, actions }));
            }
        }
    }
    let at_events = pass.tables.iter().filter_map(|t| match &t.each {
        Some(Each::Act(actions)) => Some(actions),
        _ => None,
    });
    let at_times = timers.iter().map(|t| &t.actions);
    let actions = [&begin, &end].into_iter().chain(at_times).chain(at_events).flatten();
    let cleared: HashSet<usize> = actions
        .filter_map(|action| match action {
            Action::Clear(table) => Some(*table),
            _ => None,
        })
        .collect();
    pass.tables.iter_mut().filter(|t| cleared.contains(&t.shown_with)).for_each(|t| t.cleared = true);
    let Clauses { mut lowering, tables, mut errors, warnings: found, .. } = pass;
    let mut by_fields = Vec::new();
    if leaves == Leaves::Both && errors.is_empty() {
        lowering.by_fields = true;
        let mut again = Clauses::new(sources, &resolver, &clauses, Vec::new());
        again.by_context = by_context;
        again.lowering = lowering;
        clauses.iter().for_each(|clause| again.on(clause));
        joined::finish(&mut again);
        again.read_acts();
        again.link_slices();
        lowering = again.lowering;
        by_fields = again.tables;
        errors = again.errors;
    }
    errors.retain(|d| !is_consequence(d));
    if !errors.is_empty() {
        errors.sort_by_key(|d| d.labels.first().map(|l| (l.span.file, l.span.start)));
        told_once(&mut errors);
        first_faults(&mut errors);
        return Err(errors);
    }
    warnings.extend(found);
    told_once(&mut warnings);
    let mut points = lowering.points;
    crate::followed::leave_out(&mut points);
    let mut plan = Plan {
        engine: catalogue.engine.clone(),
        points,
        tables,
        begin,
        end,
        timers,
        enums: catalogue.enums.clone(),
        structs: catalogue.structs.clone(),
        reads: !added.reads.is_empty(),
    };
    aside::decide(&mut plan, catalogue);
    Ok(Compiled { plan, warnings, reads: added.reads, by_fields })
}

/// Names that things of different kinds share: a module hands on one of each name. Two of a kind are told where they are
/// declared; parameters have names of their own, which begin with `$`.
fn names_of_two_kinds(program: &ast::Program) -> Vec<Diagnostic> {
    let mut names = HashMap::new();
    let mut errors = Vec::new();
    for item in &program.items {
        let (name, kind) = match &item.kind {
            ItemKind::Let(l) => (&l.name, "value"),
            ItemKind::Fn(f) => (&f.name, "call"),
            ItemKind::Agg(a) => (&a.name, "call"),
            ItemKind::Probe(p) => (&p.name, "point"),
            ItemKind::Point(p) => (&p.name, "point"),
            ItemKind::Struct(s) => (&s.name, "type"),
            ItemKind::Enum(e) => (&e.name, "type"),
            ItemKind::Import(_) | ItemKind::Param(_) | ItemKind::Clause(_) | ItemKind::Engine(_) => continue,
        };
        if *names.entry(&name.node).or_insert(kind) != kind {
            errors.push(twice(&name.node, name.span));
        }
    }
    errors
}

/// Top-level `let`, `fn`, `agg` and `probe`.
fn declare_items(program: &ast::Program, resolver: &mut Resolver<'_>, errors: &mut Vec<Diagnostic>) {
    errors.extend(names_of_two_kinds(program));
    for item in &program.items {
        match &item.kind {
            ItemKind::Let(l) => match resolver.expr(&l.value, Scope::constant(), None) {
                Ok(value) => {
                    if resolver.constants.insert(l.name.node.clone(), value).is_some() {
                        errors.push(twice(&l.name.node, l.name.span));
                    }
                }
                Err(d) => {
                    resolver.broken.insert(l.name.node.clone());
                    errors.push(d);
                }
            },
            ItemKind::Fn(f) => match called_already(&f.name, resolver) {
                Some(d) => errors.push(d),
                None => {
                    resolver.fns.insert(f.name.node.clone(), f.clone());
                }
            },
            ItemKind::Agg(a) => {
                let faults = called_already(&a.name, resolver).map_or_else(|| aggs::faults(a), |d| vec![d]);
                if faults.is_empty() {
                    resolver.aggs.insert(a.name.node.clone(), a.clone());
                } else {
                    resolver.broken.insert(a.name.node.clone());
                    errors.extend(faults);
                }
            }
            ItemKind::Probe(p) => match stands_already(&p.name, resolver) {
                Some(d) => errors.push(d),
                None => {
                    resolver.probes.insert(p.name.node.clone(), p.clone());
                }
            },
            // What they add to the description is there already.
            ItemKind::Engine(_) | ItemKind::Struct(_) | ItemKind::Enum(_) | ItemKind::Point(_) => {}
            ItemKind::Import(_) | ItemKind::Param(_) | ItemKind::Clause(_) => {}
        }
    }
    // They may name each other in any order.
    let faulty: Vec<_> = resolver.probes.values().map(|p| (p.name.node.clone(), probes::faults(resolver, p))).collect();
    for (name, faults) in faulty.into_iter().filter(|(_, faults)| !faults.is_empty()) {
        resolver.broken.insert(name);
        errors.extend(faults);
    }
}

/// The fault of a function or bundle whose name something has that is called as it would be.
fn called_already(name: &ast::Ident, resolver: &Resolver<'_>) -> Option<Diagnostic> {
    let word = name.node.as_str();
    let first = resolver.fns.get(word).map(|f| &f.name).or_else(|| resolver.aggs.get(word).map(|a| &a.name));
    if let Some(first) = first {
        return Some(twice(word, name.span).note(first.span, "the first one"));
    }
    // In its module it is called by its last word.
    let word = last_word(word);
    let of_language = word == "gap" || [AGGREGATES, SCALARS, &EVENT_COLUMNS].iter().any(|w| w.contains(&word));
    let whose = match of_language {
        true => "the language",
        false if resolver.catalogue().fns.contains_key(word) => "the engine description",
        false => return None,
    };
    Some(
        Diagnostic::error("PI0205", format!("{whose} has a function called `{word}` already"))
            .at(name.span, "a second one")
            .help("give it another name"),
    )
}

/// The fault of a probe whose name a point or a probe has.
fn stands_already(name: &ast::Ident, resolver: &Resolver<'_>) -> Option<Diagnostic> {
    let word = name.node.as_str();
    if let Some(first) = resolver.probes.get(word) {
        return Some(twice(word, name.span).note(first.name.span, "the first one"));
    }
    let word = last_word(word);
    let is_point = [&CALLS[..], &MADE[..]].iter().any(|w| w.contains(&word))
        || kernel::names(resolver.catalogue()).any(|name| name == word)
        || resolver.catalogue().point(word).is_some();
    is_point.then(|| {
        Diagnostic::error("PI0205", format!("there is a point called `{word}` already"))
            .at(name.span, "a second one")
            .help("give it another name")
    })
}

/// A name without that of its module.
pub(crate) fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The fault of a module whose name a point or a field has: `layer.x` could be either.
fn hidden(name: &ast::Ident, catalogue: &Catalogue) -> Option<Diagnostic> {
    let word = &name.node;
    let what = if catalogue.point(word).is_some() {
        "a point"
    } else if catalogue.points.iter().any(|p| p.fields.contains_key(word)) {
        "a field"
    } else {
        return None;
    };
    Some(
        Diagnostic::error("PI0205", format!("there is {what} called `{word}` already"))
            .at(name.span, "the name of a module")
            .help(format!("give the module another name: import … as my_{word}")),
    )
}

/// Takes out what is told a second time: one clause may stand on several points, and a definition may be used twice.
fn told_once(all: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    all.retain(|d| {
        let place = d.labels.iter().find(|l| l.primary).map(|l| l.span);
        seen.insert((d.code, d.message.clone(), place))
    });
}
