//! A script's AST to a [`Plan`]: what is declared, then the clauses.

use std::collections::HashSet;

use profinfer_lang::ast::{self, ClauseHead, ItemKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;

use crate::catalogue::Catalogue;
use crate::clauses::Clauses;
use crate::faults::{is_consequence, not_yet, twice};
use crate::params;
use crate::plan::{Action, Plan, Timer};
use crate::resolve::{AGGREGATES, LATER, Resolver, SCALARS, Scope};
use crate::stack::with_room;

/// Rows a table may have where the script does not say.
pub const DEFAULT_LIMIT: u64 = 10_000;

/// What compiling gives: a plan, and warnings.
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles `program` against an engine description, with `-P name=value` settings.
///
/// # Errors
/// All errors of the script at once, in the order of their places.
pub fn compile(
    program: &ast::Program,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
) -> Result<Compiled, Vec<Diagnostic>> {
    with_room(|| run(program, sources, catalogue, settings))
}

fn run(
    program: &ast::Program,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut resolver = Resolver::new(catalogue);
    let mut errors = Vec::new();
    params::declare(program, settings, &mut resolver, &mut errors);
    declare_items(program, &mut resolver, &mut errors);
    let clauses: Vec<&ast::Clause> = program
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Clause(c) => Some(c),
            _ => None,
        })
        .collect();
    let mut pass = Clauses::new(sources, &resolver, &clauses, errors);
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
        if let ClauseHead::On { ats, filter } = &clause.head {
            pass.on(clause, ats, filter.as_ref());
        }
    }
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
    let actions = begin.iter().chain(&end).chain(timers.iter().flat_map(|t| &t.actions));
    let cleared: HashSet<usize> = actions
        .filter_map(|action| match action {
            Action::Clear(table) => Some(*table),
            _ => None,
        })
        .collect();
    pass.tables.iter_mut().filter(|t| cleared.contains(&t.shown_with)).for_each(|t| t.cleared = true);
    let Clauses { lowering, tables, mut errors, warnings, .. } = pass;
    errors.retain(|d| !is_consequence(d));
    if !errors.is_empty() {
        errors.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
        return Err(errors);
    }
    let plan = Plan {
        engine: catalogue.engine.clone(),
        points: lowering.points,
        tables,
        begin,
        end,
        timers,
        enums: catalogue.enums.clone(),
        structs: catalogue.structs.clone(),
    };
    Ok(Compiled { plan, warnings })
}

/// Top-level `let` and `fn`; refuses what is not compiled yet.
fn declare_items(program: &ast::Program, resolver: &mut Resolver<'_>, errors: &mut Vec<Diagnostic>) {
    for item in &program.items {
        let mut refuse = |what: &str, name: Option<&str>| {
            errors.push(not_yet(what, item.span));
            resolver.broken.extend(name.map(str::to_owned));
        };
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
            ItemKind::Fn(f) => {
                let name = f.name.node.as_str();
                let of_language = [AGGREGATES, SCALARS, LATER].iter().any(|w| w.contains(&name));
                if of_language || resolver.catalogue().fns.contains_key(name) {
                    let whose = if of_language { "the language" } else { "the engine description" };
                    errors.push(
                        Diagnostic::error("PI0205", format!("{whose} has a function called `{name}` already"))
                            .at(f.name.span, "a second one")
                            .help("give it another name"),
                    );
                } else if let Some(first) = resolver.fns.get(name) {
                    errors.push(twice(name, f.name.span).note(first.name.span, "the first one"));
                } else {
                    resolver.fns.insert(f.name.node.clone(), f.clone());
                }
            }
            ItemKind::Import(i) => refuse("`import`", Some(module_name(i))),
            ItemKind::Agg(a) => refuse("`agg`", Some(&a.name.node)),
            ItemKind::Probe(p) => refuse("`probe`", Some(&p.name.node)),
            ItemKind::Engine(_) => refuse("describing an engine inside a script", None),
            ItemKind::Struct(_) | ItemKind::Enum(_) => refuse("describing types inside a script", None),
            ItemKind::Point(p) => refuse("describing a point inside a script", Some(&p.name.node)),
            ItemKind::Param(_) | ItemKind::Clause(_) => {}
        }
    }
}

/// The name under which an import's items are to be had.
fn module_name(import: &ast::Import) -> &str {
    match (&import.alias, &import.from) {
        (Some(alias), _) => &alias.node,
        (None, ast::ImportPath::Module(path)) => path.parts.last().map_or("", |p| p.node.as_str()),
        (None, ast::ImportPath::File(file)) => {
            let name = file.node.rsplit('/').next().unwrap_or_default();
            name.strip_suffix(".pi").unwrap_or(name)
        }
    }
}
