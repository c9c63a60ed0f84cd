//! Where a script reads memory at a place of its own reckoning: `i32_at` and `f32_at`, which the engine's descriptions are
//! written with, and functions of those that come to them. What they lead to no layout says, so they need trust.

use std::collections::HashSet;

use profinfer_lang::ast::{self, Clause, ClauseHead, Expr, ExprKind, GroupKind, ItemKind, PointStmtKind};
use profinfer_lang::span::Span;

use crate::catalogue::Catalogue;
use crate::walk::{walk, walk_at};

/// What reads so many bytes behind a pointer.
const RAW: [&str; 2] = ["i32_at", "f32_at"];

/// The calls in a script that lead to such reads, without those of its own functions, whose bodies are looked at
/// themselves. No function of a script is called as one of the description.
pub(crate) fn reads(program: &ast::Program, catalogue: &Catalogue) -> Vec<Span> {
    let mut raw: HashSet<&str> = RAW.into();
    // Functions may use each other in any order.
    loop {
        let more: Vec<&str> = catalogue
            .fns
            .iter()
            .filter(|(name, f)| !raw.contains(name.as_str()) && calls(&f.body, &raw))
            .map(|(name, _)| name.as_str())
            .collect();
        if more.is_empty() {
            break;
        }
        raw.extend(more);
    }
    let mut found = Vec::new();
    for item in &program.items {
        each(&item.kind, &mut |e| {
            if let ExprKind::Call { name, .. } = &e.kind
                && raw.contains(name.node.as_str())
            {
                found.push(e.span);
            }
        });
    }
    found
}

/// Whether one of some functions is called in an expression, or an element is read whose place is no constant.
fn calls(e: &Expr, raw: &HashSet<&str>) -> bool {
    let mut found = false;
    walk(&mut e.clone(), &mut |e| {
        found |= match &e.kind {
            ExprKind::Call { name, .. } => raw.contains(name.node.as_str()),
            ExprKind::Index(_, at) => !matches!(at.kind, ExprKind::Number(_)),
            _ => false,
        };
        true
    });
    found
}

/// All expressions of an item, inner ones included.
fn each(item: &ItemKind, f: &mut dyn FnMut(&Expr)) {
    let mut f = |e: &mut Expr| {
        f(e);
        true
    };
    let mut all: Vec<Expr> = Vec::new();
    let mut ats: Vec<ast::At> = Vec::new();
    match item {
        ItemKind::Param(p) => all.extend(p.default.clone()),
        ItemKind::Let(l) => all.push(l.value.clone()),
        ItemKind::Fn(of) => all.push(of.body.clone()),
        ItemKind::Agg(a) => all.extend(a.columns.iter().map(|c| c.expr.clone())),
        ItemKind::Probe(p) => {
            ats.extend(p.ats.iter().cloned());
            all.extend(p.filter.iter().chain(p.lets.iter().map(|l| &l.value)).cloned());
        }
        ItemKind::Clause(Clause { head, body, .. }) => {
            if let ClauseHead::On { ats: on, filter } = head {
                ats.extend(on.iter().cloned());
                all.extend(filter.clone());
            }
            for group in &body.groups {
                if let GroupKind::Columns { columns, by, .. } = &group.kind {
                    all.extend(columns.iter().chain(by).map(|c| c.expr.clone()));
                }
            }
        }
        ItemKind::Point(p) => p.stmts.iter().for_each(|s| all.extend(of_statement(&s.kind))),
        ItemKind::Import(_) | ItemKind::Engine(_) | ItemKind::Struct(_) | ItemKind::Enum(_) => {}
    }
    all.iter_mut().for_each(|e| walk(e, &mut f));
    ats.iter_mut().for_each(|at| walk_at(at, &mut f));
}

/// The expressions of a line of a point.
fn of_statement(kind: &PointStmtKind) -> Vec<Expr> {
    match kind {
        PointStmtKind::StateBy(keys) => keys.clone(),
        PointStmtKind::Only(e) | PointStmtKind::OnlyReturn(e) | PointStmtKind::Check { condition: e, .. } => {
            vec![e.clone()]
        }
        PointStmtKind::Each { rows, columns, .. } => {
            std::iter::once(rows).chain(columns.iter().map(|(_, number)| number)).cloned().collect()
        }
        PointStmtKind::Parts { number: a, row: b, .. } | PointStmtKind::Team { number: a, size: b } => {
            vec![a.clone(), b.clone()]
        }
        PointStmtKind::Let(l) => vec![l.value.clone()],
        PointStmtKind::Node(args) => args.iter().map(|arg| arg.value.clone()).collect(),
        PointStmtKind::Start { .. }
        | PointStmtKind::Mark { .. }
        | PointStmtKind::Stop { .. }
        | PointStmtKind::Variant(_)
        | PointStmtKind::Within(_)
        | PointStmtKind::Lasting(_)
        | PointStmtKind::Pattern(_)
        | PointStmtKind::Never { .. }
        | PointStmtKind::Silent(_) => Vec::new(),
    }
}
