//! What is done at times: `show`, `clear`, `exit`, and when.

use profinfer_lang::ast::{self, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::{Span, Spanned};

use crate::clauses::{Clauses, without_blanks};
use crate::faults::{HelpNear, consequence, mismatch, not_yet};
use crate::flame;
use crate::plan::{Action, OutColumn, Show, SortBy, View};
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
        let names = self.tables.iter().filter(|t| t.each.is_none()).map(|t| t.name.as_str());
        Err(d.help_near(&name.node, names, "name a table with `into`: < count() by op into ops >"))
    }

    fn show(&mut self, table: usize, options: &[ast::ShowOption]) -> Show {
        let mut show = Show { table, view: View::Table, top: None, sort: None, to: None };
        let (mut said, mut file) = (None, None);
        for option in options {
            match option {
                ast::ShowOption::As(word) => {
                    let view = view(word).and_then(|view| self.suits(view, table, word.span));
                    said = Some(self.keep(view));
                    show.view = said.flatten().unwrap_or_default();
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
                    let to = self.file(table, path);
                    show.to = self.keep(to);
                    file = Some(path);
                }
            }
        }
        if let Some(path) = file.filter(|path| holds_a_flame(&path.node)) {
            let view = match said {
                None => self.suits(View::Flame, table, path.span),
                // A fault of the view has been told.
                Some(None) | Some(Some(View::Flame)) => Ok(View::Flame),
                Some(Some(_)) => Err(Diagnostic::error("PI0327", format!("{:?} holds a flame graph", path.node))
                    .at(path.span, "the end of the name says so")
                    .help("leave the view away, or write `as flame`; .html .csv .json and .txt hold other views")),
            };
            show.view = self.keep(view).unwrap_or_default();
        }
        show
    }

    /// The view, if it can show the table.
    fn suits(&self, view: View, table: usize, at: Span) -> Result<View, Diagnostic> {
        if !matches!(view, View::Heatmap | View::Flame) {
            return Ok(view);
        }
        let t = &self.tables[table];
        if self.broken.contains(&t.name) {
            return Err(consequence(at));
        }
        let fault = |title: String, label: &str| Diagnostic::error("PI0328", title).at(at, label);
        if view == View::Flame {
            let told =
                |no: flame::NoFlame| fault(no.to_string(), no.label()).note(t.span, "counted here").help(no.help());
            return flame::suits(t).map(|()| view).map_err(told);
        }
        if t.keys.len() < 2 {
            let have = if t.keys.is_empty() { "no key" } else { "one key" };
            return Err(fault(format!("`{}` has {have}, and a heatmap takes two", t.name), "needs rows and columns")
                .note(t.span, "counted here")
                .help("the first key makes the rows, the second the columns: < count() by layer, op into t >"));
        }
        if let Some(c) = t.columns.iter().find(|c| !c.is_hidden()).filter(|c| !is_number(c)) {
            return Err(fault(format!("`{}` is no number, and a heatmap's colour is one", c.name), "has no colour")
                .note(t.span, "counted here")
                .help("the first column is the colour: put a number there, such as count() or avg(dur)"));
        }
        Ok(view)
    }

    /// The file behind `to`: below the output folder, of a format that its name tells, and of one table only.
    fn file(&mut self, table: usize, path: &Spanned<String>) -> Result<String, Diagnostic> {
        if let Some((why, help)) = wrong_with(&path.node) {
            return Err(Diagnostic::error("PI0327", format!("{:?} is no file for `to`", path.node))
                .at(path.span, why)
                .help(help));
        }
        let first = *self.files.entry(path.node.clone()).or_insert((table, path.span));
        if first.0 != table {
            return Err(Diagnostic::error("PI0327", format!("two tables go to {:?}", path.node))
                .at(path.span, format!("would replace `{}`", self.tables[first.0].name))
                .note(first.1, "the first one")
                .help("a file holds one table: give each its own"));
        }
        Ok(path.node.clone())
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
        "heatmap" => Ok(View::Heatmap),
        "flame" => Ok(View::Flame),
        "text" => Ok(View::Text),
        v @ ("timeline" | "graph") => Err(not_yet(&format!("the view `{v}`"), word.span)),
        v => Err(Diagnostic::error("PI0321", format!("no view is called `{v}`"))
            .at(word.span, "unknown view")
            .help_near(
                v,
                ["table", "hist", "heatmap", "flame", "text", "json", "csv"].into_iter(),
                "views: table hist heatmap flame text json csv",
            )),
    }
}

/// Whether a column's cells are numbers.
fn is_number(column: &OutColumn) -> bool {
    !column.value.is_picture() && !matches!(column.ty, Type::Str(_) | Type::Enum(_) | Type::Bool)
}

/// The formats of `to`, by the ends of file names.
const FORMATS: [&str; 4] = [".html", ".csv", ".json", ".txt"];
/// Those of flame graphs.
const FLAMES: [&str; 3] = [".svg", ".folded", ".pb.gz"];
/// What is said of them.
const KNOWN: &str =
    "the end of the name is the format: .html .csv .json .txt, and of a flame graph .svg .folded .pb.gz";
/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// Why a path is none for `to`, and what to do about it.
fn wrong_with(path: &str) -> Option<(&'static str, &'static str)> {
    const INSIDE: &str = "name a file below the output folder, which is where profinfer runs, or --output-dir DIR";
    if path.starts_with('/') {
        return Some(("leaves the output folder", INSIDE));
    }
    if path.chars().any(char::is_control) {
        return Some(("has control characters", "use letters, digits and punctuation"));
    }
    for part in path.split('/') {
        match part {
            ".." => return Some(("leaves the output folder", INSIDE)),
            "" | "." => {
                return Some(("has an empty part", "write folder and file with one `/` between: \"run/ops.csv\""));
            }
            part if part.len() > LONGEST_NAME => return Some(("has a part of more than 255 bytes", "shorten it")),
            _ => {}
        }
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if !FORMATS.iter().chain(&FLAMES).any(|end| name.len() > end.len() && name.ends_with(end)) {
        return Some(("is of no known format", KNOWN));
    }
    None
}

/// Whether the end of a file's name says that it is a flame graph.
fn holds_a_flame(path: &str) -> bool {
    FLAMES.iter().any(|end| path.ends_with(end))
}
