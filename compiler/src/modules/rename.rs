//! Names in a file to names in the whole program: `of` in the module `latency` is `latency.of`.

use std::collections::HashMap;

use indexmap::IndexMap;
use profinfer_lang::ast::{
    At, AtArg, Clause, ClauseHead, Expr, ExprKind, GroupKind, Ident, Item, ItemKind, PointDef, PointStmtKind,
    ShowOption, TypeRef,
};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::Links;
use crate::faults::HelpNear;
use crate::walk::{walk, walk_at};

/// What a name is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// `let`
    Value,
    /// `fn`, `agg`
    Call,
    /// `probe`, `point`
    Point,
    /// `struct`, `enum`
    Type,
}

impl Use {
    fn word(self) -> &'static str {
        match self {
            Self::Value => "a constant",
            Self::Call => "a function or a bundle of columns",
            Self::Point => "a probe",
            Self::Type => "a type",
        }
    }
}

/// The names that a file gives.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// What stands before them in the whole program.
    prefix: String,
    items: IndexMap<String, (Use, Span)>,
    params: Vec<String>,
}

impl Names {
    /// The names of a file's items.
    pub(super) fn of(items: &[Item], prefix: &str) -> Names {
        let mut names = Names { prefix: prefix.to_owned(), items: IndexMap::new(), params: Vec::new() };
        for item in items {
            let (name, used) = match &item.kind {
                ItemKind::Let(l) => (&l.name, Use::Value),
                ItemKind::Fn(f) => (&f.name, Use::Call),
                ItemKind::Agg(a) => (&a.name, Use::Call),
                ItemKind::Probe(p) => (&p.name, Use::Point),
                ItemKind::Point(p) => (&p.name, Use::Point),
                ItemKind::Struct(s) => (&s.name, Use::Type),
                ItemKind::Enum(e) => (&e.name, Use::Type),
                ItemKind::Param(p) => {
                    names.params.push(p.name.node.clone());
                    continue;
                }
                _ => continue,
            };
            names.items.entry(name.node.clone()).or_insert((used, name.span));
        }
        names
    }

    /// Where an item's name is given.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.items.get(name).map(|(_, span)| *span)
    }

    fn has(&self, name: &str, used: Use) -> bool {
        self.items.get(name).is_some_and(|(u, _)| *u == used)
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Renames what stands in one file.
pub(super) struct Rename<'r> {
    pub(super) names: &'r Names,
    /// The modules that it imports, by the names it gives them; none of those that could not be had.
    pub(super) modules: &'r HashMap<String, Option<Names>>,
    pub(super) links: &'r mut Links,
}

impl Rename<'_> {
    /// An item: its name and all within it.
    pub(super) fn item(&mut self, item: &mut Item) {
        match &mut item.kind {
            ItemKind::Param(p) => {
                p.default.iter_mut().for_each(|e| self.expr(e, &[]));
                self.type_ref(&mut p.ty);
                self.own(&mut p.name);
            }
            ItemKind::Let(l) => {
                self.expr(&mut l.value, &[]);
                self.own(&mut l.name);
            }
            ItemKind::Fn(f) => {
                self.expr(&mut f.body, &f.params);
                self.own(&mut f.name);
            }
            ItemKind::Agg(a) => {
                a.columns.iter_mut().for_each(|c| self.expr(&mut c.expr, &a.params));
                self.own(&mut a.name);
            }
            ItemKind::Probe(p) => {
                let locals: Vec<Ident> = p.lets.iter().map(|l| l.name.clone()).collect();
                p.ats.iter_mut().for_each(|at| self.at(at, &[]));
                p.filter.iter_mut().for_each(|e| self.expr(e, &locals));
                p.lets.iter_mut().for_each(|l| self.expr(&mut l.value, &locals));
                p.lets.iter_mut().filter_map(|l| l.ty.as_mut()).for_each(|ty| self.type_ref(ty));
                self.own(&mut p.name);
            }
            ItemKind::Clause(c) => self.clause(c),
            ItemKind::Struct(s) => {
                s.fields.iter_mut().for_each(|f| self.type_ref(&mut f.ty));
                self.own(&mut s.name);
            }
            ItemKind::Enum(e) => self.own(&mut e.name),
            ItemKind::Point(p) => self.point(p),
            ItemKind::Import(_) | ItemKind::Engine(_) => {}
        }
    }

    /// A point: within it, names are those of its arguments and fields first.
    fn point(&mut self, p: &mut PointDef) {
        let mut locals = Vec::new();
        for stmt in &p.stmts {
            match &stmt.kind {
                PointStmtKind::Start { args, .. } => locals.extend(args.iter().map(|(name, _)| name.clone())),
                PointStmtKind::Let(l) => locals.push(l.name.clone()),
                PointStmtKind::Each { row, columns, .. } => {
                    locals.push(row.clone());
                    locals.extend(columns.iter().map(|(column, _)| column.clone()));
                }
                PointStmtKind::Parts { part, .. } => locals.push(part.clone()),
                _ => {}
            }
        }
        for stmt in &mut p.stmts {
            match &mut stmt.kind {
                PointStmtKind::Start { args, .. } => args.iter_mut().for_each(|(_, ty)| self.type_ref(ty)),
                PointStmtKind::StateBy(keys) => keys.iter_mut().for_each(|e| self.expr(e, &locals)),
                PointStmtKind::Only(e) | PointStmtKind::OnlyReturn(e) | PointStmtKind::Check { condition: e, .. } => {
                    self.expr(e, &locals)
                }
                PointStmtKind::Each { rows, columns, .. } => {
                    self.expr(rows, &locals);
                    columns.iter_mut().for_each(|(_, number)| self.expr(number, &locals));
                }
                PointStmtKind::Parts { number: a, row: b, .. } | PointStmtKind::Team { number: a, size: b } => {
                    self.expr(a, &locals);
                    self.expr(b, &locals);
                }
                PointStmtKind::Let(l) => {
                    self.expr(&mut l.value, &locals);
                    l.ty.iter_mut().for_each(|ty| self.type_ref(ty));
                }
                PointStmtKind::Node(args) => {
                    for arg in args {
                        match &mut arg.value.kind {
                            ExprKind::Name(f) if arg.name.is_some() && self.names.has(f, Use::Call) => {
                                *f = self.names.full(f);
                            }
                            _ => self.expr(&mut arg.value, &locals),
                        }
                    }
                }
                PointStmtKind::Within(names) => names.iter_mut().for_each(|name| self.named_point(name)),
                PointStmtKind::Variant(name) => self.named_point(name),
                PointStmtKind::Mark { .. }
                | PointStmtKind::Stop { .. }
                | PointStmtKind::Lasting(_)
                | PointStmtKind::Pattern(_)
                | PointStmtKind::Never { .. }
                | PointStmtKind::Silent(_) => {}
            }
        }
        self.own(&mut p.name);
    }

    fn named_point(&self, name: &mut Ident) {
        if self.names.has(&name.node, Use::Point) {
            self.own(name);
        }
    }

    /// A type: the struct or enum that it is of.
    fn type_ref(&mut self, ty: &mut TypeRef) {
        let Some(of) = &mut ty.of else { return };
        let full = match of.node.split_once('.') {
            None if self.names.has(&of.node, Use::Type) => Some(self.names.full(&of.node)),
            Some((module, name)) if self.modules.contains_key(module) => {
                self.of_module(module, name, Use::Type, of.span)
            }
            _ => None,
        };
        if let Some(full) = full {
            of.node = full;
        }
    }

    fn own(&self, name: &mut Ident) {
        name.node = self.names.full(&name.node);
    }

    fn clause(&mut self, c: &mut Clause) {
        match &mut c.head {
            ClauseHead::On { ats, filter } => {
                ats.iter_mut().for_each(|at| self.at(at, &[]));
                filter.iter_mut().for_each(|e| self.expr(e, &[]));
            }
            ClauseHead::Every(e) | ClauseHead::After(e) => self.expr(e, &[]),
            ClauseHead::Begin | ClauseHead::End => {}
        }
        for group in &mut c.body.groups {
            match &mut group.kind {
                GroupKind::Columns { columns, by, .. } => {
                    columns.iter_mut().chain(by).for_each(|c| self.expr(&mut c.expr, &[]));
                }
                GroupKind::Show { options, .. } => {
                    // What `sort` names is a column, by its text.
                    for option in options {
                        if let ShowOption::Top(e) = option {
                            self.expr(e, &[]);
                        }
                    }
                }
                GroupKind::Clear(_) | GroupKind::Exit => {}
            }
        }
    }

    fn at(&mut self, at: &mut At, locals: &[Ident]) {
        let written: Vec<&str> = at.path.parts.iter().map(|p| p.node.as_str()).collect();
        let full = match written.as_slice() {
            [name] if self.names.has(name, Use::Point) => Some(self.names.full(name)),
            [module, rest @ ..] if !rest.is_empty() && self.modules.contains_key(*module) => {
                self.of_module(module, &rest.join("."), Use::Point, at.path.span)
            }
            _ => None,
        };
        if let Some(full) = full {
            at.path.parts = full.split('.').map(|part| Ident::new(part.to_owned(), at.path.span)).collect();
        }
        for arg in &mut at.args {
            if let AtArg::Typed { ty, .. } = arg {
                self.type_ref(ty);
            }
        }
        let mut rename = |e: &mut Expr| self.node(e, locals);
        walk_at(at, &mut rename);
    }

    fn expr(&mut self, e: &mut Expr, locals: &[Ident]) {
        walk(e, &mut |e| self.node(e, locals));
    }

    /// One expression; whether to go on inside of it.
    fn node(&mut self, e: &mut Expr, locals: &[Ident]) -> bool {
        let is_local = |name: &str| locals.iter().any(|l| l.node == name);
        match &mut e.kind {
            ExprKind::Name(name) if !is_local(name) && self.names.has(name, Use::Value) => {
                *name = self.names.full(name);
            }
            ExprKind::Param(name) if self.names.params.contains(name) => *name = self.names.full(name),
            ExprKind::Member(base, member) => {
                if let ExprKind::Name(module) = &base.kind
                    && !is_local(module)
                    && self.modules.contains_key(module)
                    && let Some(full) = self.of_module(module, &member.node, Use::Value, e.span)
                {
                    e.kind = ExprKind::Name(full);
                    return false;
                }
            }
            ExprKind::Call { name, .. } => {
                let full = match name.node.split_once('.') {
                    None if self.names.has(&name.node, Use::Call) => Some(self.names.full(&name.node)),
                    Some((module, member)) if self.modules.contains_key(module) => {
                        self.of_module(module, member, Use::Call, name.span)
                    }
                    _ => None,
                };
                if let Some(full) = full {
                    name.node = full;
                }
            }
            _ => {}
        }
        true
    }

    /// The name in the whole program of `member` of the module called `module` here. One that is not there is told, and what
    /// hangs on it is not.
    fn of_module(&mut self, module: &str, member: &str, used: Use, span: Span) -> Option<String> {
        let known = self.modules.get(module)?;
        let Some(names) = known else {
            let name = format!("{module}.{member}");
            self.links.broken.insert(name.clone());
            return Some(name);
        };
        let full = names.full(member);
        match names.items.get(member) {
            Some((is, _)) if *is == used => {}
            Some((is, at)) => {
                let d = Diagnostic::error("PI0216", format!("`{module}.{member}` is {}", is.word()))
                    .at(span, format!("not {}", used.word()))
                    .note(*at, "defined here");
                self.links.diagnostics.push(d.help(match is {
                    Use::Call => format!("call it: {module}.{member}(…)"),
                    Use::Value => format!("write it as a value: {module}.{member}"),
                    Use::Point => format!("write it behind `on`: on {module}.{member} < count() >"),
                    Use::Type => {
                        format!("write it as the type of something: ptr({module}.{member}), enum({module}.{member})")
                    }
                }));
                self.links.broken.insert(full.clone());
            }
            None => {
                let all: Vec<&str> = names.items.keys().map(String::as_str).collect();
                let d = Diagnostic::error("PI0216", format!("the module `{module}` has no `{member}`"))
                    .at(span, "not there")
                    .help_near(member, all.iter().copied(), &format!("it has: {}", all.join(" ")));
                self.links.diagnostics.push(d);
                self.links.broken.insert(full.clone());
            }
        }
        Some(full)
    }
}
