//! What is done at times: `show`, `clear`, `exit`, and when.

use profinfer_lang::ast::{self, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;

use crate::clauses::{Clauses, without_blanks};
use crate::faults::{HelpNear, consequence, mismatch, not_yet};
use crate::plan::{Action, Show, SortBy, View};
use crate::resolve::Scope;
use crate::typed::{Kind, Typed};
use crate::types::Type;

/// The shortest time of `every` and `after`, in ns.
const MIN_PERIOD: i64 = 1_000_000;

impl Clauses<'_> {
    /// The time of `every` or `after`, in ns.
    pub(crate) fn period(&self, e: &ast::Expr) -> Result<u64, Diagnostic> {
        let d = self.resolver.expr(e, Scope::constant(), None)?;
        match d.kind {
            Kind::Int(n) if d.ty == Type::Duration && n >= MIN_PERIOD => Ok(n as u64),
            Kind::Int(_) if d.ty == Type::Duration => {
                Err(Diagnostic::error("PI0320", "the time is too short").at(e.span, "at least 1ms"))
            }
            _ => Err(mismatch(&Typed { span: e.span, ..d }, &Type::Duration)),
        }
    }

    /// The actions of a body; faults are kept.
    pub(crate) fn actions(&mut self, body: &ast::Body) -> Vec<Action> {
        let mut actions = Vec::new();
        for group in &body.groups {
            let action = match &group.kind {
                GroupKind::Exit => Ok(Action::Exit),
                GroupKind::Clear(name) => self.find_table(name).map(Action::Clear),
                GroupKind::Show { table, options } => match self.find_table(table) {
                    Ok(i) => Ok(Action::Show(self.show(i, options))),
                    Err(d) => Err(d),
                },
                GroupKind::Columns { .. } => Err(Diagnostic::error("PI0312", "there is no event here to count")
                    .at(group.span, "columns belong to `on`")
                    .help("count in `on point < … into t >`, and `show t` here")),
            };
            actions.extend(self.keep(action));
        }
        actions
    }

    fn find_table(&self, name: &ast::Ident) -> Result<usize, Diagnostic> {
        if let Some(i) = self.table_called(&name.node) {
            return Ok(i);
        }
        if self.broken.contains(&name.node) {
            return Err(consequence(name.span));
        }
        let d =
            Diagnostic::error("PI0204", format!("no table is called `{}`", name.node)).at(name.span, "unknown table");
        let has = |n: &str| n == name.node;
        if let Some(t) = self.tables.iter().find(|t| t.columns.iter().any(|c| has(&c.name))) {
            return Err(d.help(format!("it is a column of `{}`, and a table is shown whole: show {0}", t.name)));
        }
        if let Some(t) = self.tables.iter().find(|t| t.keys.iter().any(|k| has(&k.name))) {
            return Err(d.help(format!("it is a key of `{}`, and a table is shown whole: show {0}", t.name)));
        }
        let names = self.tables.iter().map(|t| t.name.as_str());
        Err(d.help_near(&name.node, names, "name a table with `into`: < count() by op into ops >"))
    }

    fn show(&mut self, table: usize, options: &[ast::ShowOption]) -> Show {
        let mut show = Show { table, view: View::Table, top: None, sort: None, to: None };
        for option in options {
            match option {
                ast::ShowOption::As(word) => {
                    let view = view(word);
                    show.view = self.keep(view).unwrap_or_default();
                }
                ast::ShowOption::Top(e) => {
                    let top = self.top(e);
                    show.top = self.keep(top);
                }
                ast::ShowOption::Sort { column, descending } => {
                    let sort = self.sort(table, column, *descending);
                    show.sort = self.keep(sort);
                }
                ast::ShowOption::To(path) => {
                    self.errors.push(not_yet("`to`", path.span).help("use -o FILE, or redirect the output"));
                }
            }
        }
        show
    }

    fn top(&self, e: &ast::Expr) -> Result<u64, Diagnostic> {
        let n = self.resolver.expr(e, Scope::constant(), None)?;
        match n.kind {
            Kind::Int(rows) if n.ty == Type::Int && rows > 0 => Ok(rows as u64),
            _ => Err(Diagnostic::error("PI0301", "`top` takes a number above zero").at(e.span, "not a number of rows")),
        }
    }

    fn sort(&self, table: usize, e: &ast::Expr, descending: Option<bool>) -> Result<(SortBy, bool), Diagnostic> {
        let wanted = without_blanks(self.sources.text(e.span));
        let t = &self.tables[table];
        let columns = || {
            let with = self.tables.iter().enumerate().filter(|(i, t)| t.shown_with == table && t.adds_to == *i);
            with.flat_map(|(_, t)| &t.columns)
        };
        if let Some(i) = columns().position(|c| c.name == wanted) {
            return Ok((SortBy::Column(i), descending.unwrap_or(true)));
        }
        if let Some(i) = t.keys.iter().position(|k| k.name == wanted) {
            return Ok((SortBy::Key(i), descending.unwrap_or(false)));
        }
        if self.broken.contains(&t.name) {
            return Err(consequence(e.span));
        }
        let names: Vec<_> = columns().map(|c| c.name.as_str()).chain(t.keys.iter().map(|k| k.name.as_str())).collect();
        Err(Diagnostic::error("PI0322", format!("`{}` has no column `{wanted}`", t.name))
            .at(e.span, "unknown column")
            .help_near(&wanted, names.iter().copied(), &format!("columns: {}", names.join(" "))))
    }
}

fn view(word: &ast::Ident) -> Result<View, Diagnostic> {
    match word.node.as_str() {
        "table" => Ok(View::Table),
        "hist" => Ok(View::Hist),
        "json" => Ok(View::Json),
        "csv" => Ok(View::Csv),
        v @ ("heatmap" | "timeline" | "graph" | "flame") => Err(not_yet(&format!("the view `{v}`"), word.span)),
        v => Err(Diagnostic::error("PI0321", format!("no view is called `{v}`"))
            .at(word.span, "unknown view")
            .help_near(v, ["table", "hist", "json", "csv"].into_iter(), "views: table hist json csv")),
    }
}
