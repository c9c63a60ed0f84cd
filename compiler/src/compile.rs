//! A script's AST to a [`Plan`]: the clauses, their tables, and what is shown when.

use indexmap::IndexMap;
use profinfer_lang::ast::{self, ClauseHead, ExprKind, GroupKind, ItemKind};
use profinfer_lang::diagnostic::{Diagnostic, Severity};
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::Span;

use crate::catalogue::Catalogue;
use crate::columns::Columns;
use crate::lower::Lowering;
use crate::params;
use crate::plan::{Action, OutKey, Plan, Show, SortBy, Table, Timer, View};
use crate::resolve::{HelpNear, Resolver, Scope, not_yet};
use crate::typed::{Kind, PointId, Stage, Typed};
use crate::types::Type;

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
/// All errors of the script come at once.
pub fn compile(
    program: &ast::Program,
    sources: &SourceMap,
    catalogue: &Catalogue,
    settings: &[(String, String)],
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut resolver = Resolver::new(catalogue);
    let mut errors = Vec::new();
    params::declare(program, settings, &mut resolver, &mut errors);
    declare_items(program, &mut resolver, &mut errors);
    let lowering = Lowering::new(&resolver);
    let mut pass = Clauses {
        sources,
        resolver: &resolver,
        lowering,
        tables: Vec::new(),
        errors,
        warnings: Vec::new(),
        named: IndexMap::new(),
    };
    let clauses: Vec<&ast::Clause> = program
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Clause(c) => Some(c),
            _ => None,
        })
        .collect();
    if clauses.is_empty() && pass.errors.is_empty() {
        let end = program.items.last().map(|i| i.span);
        let d = Diagnostic::error("PI0214", "the script measures nothing");
        let d = match end {
            Some(span) => d.at(span, "no clause here or after"),
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
                match pass.period(d) {
                    Ok(period_ns) => timers.push(Timer { period_ns, repeats, actions }),
                    Err(d) => pass.errors.push(d),
                }
            }
        }
    }
    for timer in &timers {
        for action in &timer.actions {
            if let Action::Clear(t) = action {
                pass.tables[*t].cleared = true;
            }
        }
    }
    let Clauses { lowering, tables, errors, warnings, .. } = pass;
    if errors.iter().any(|d| d.severity == Severity::Error) {
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
        match &item.kind {
            ItemKind::Let(l) => match resolver.expr(&l.value, Scope::constant(), None) {
                Ok(value) => {
                    if resolver.constants.insert(l.name.node.clone(), value).is_some() {
                        errors.push(twice(&l.name));
                    }
                }
                Err(d) => errors.push(d),
            },
            ItemKind::Fn(f) => {
                if resolver.fns.insert(f.name.node.clone(), f.clone()).is_some() {
                    errors.push(twice(&f.name));
                }
            }
            ItemKind::Import(_) => errors.push(not_yet("`import`", item.span)),
            ItemKind::Agg(_) => errors.push(not_yet("`agg`", item.span)),
            ItemKind::Probe(_) => errors.push(not_yet("`probe`", item.span)),
            ItemKind::Engine(_) | ItemKind::Struct(_) | ItemKind::Enum(_) | ItemKind::Point(_) => {
                errors.push(not_yet("describing an engine inside a script", item.span));
            }
            ItemKind::Param(_) | ItemKind::Clause(_) => {}
        }
    }
}

fn twice(name: &ast::Ident) -> Diagnostic {
    Diagnostic::error("PI0205", format!("`{}` is there twice", name.node)).at(name.span, "a second time")
}

struct Clauses<'a> {
    sources: &'a SourceMap,
    resolver: &'a Resolver<'a>,
    lowering: Lowering<'a>,
    tables: Vec<Table>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Where each table's name was given.
    named: IndexMap<String, Span>,
}

impl Clauses<'_> {
    fn on(&mut self, clause: &ast::Clause, ats: &[ast::At], filter: Option<&ast::Expr>) {
        let [at] = ats else {
            let span = ats.get(1).map_or(clause.span, |a| a.span);
            self.errors.push(not_yet("more than one point in a clause", span));
            return;
        };
        if let Err(d) = self.on_point(clause, at, filter) {
            self.errors.push(d);
        }
    }

    fn on_point(&mut self, clause: &ast::Clause, at: &ast::At, filter: Option<&ast::Expr>) -> Result<(), Diagnostic> {
        let point = self.point(at)?;
        self.lowering.need(point)?;
        self.lowering.points[point].wanted = true;
        self.lowering.points[point].optional &= at.optional;
        let mut conditions = Vec::new();
        for arg in &at.args {
            match arg {
                ast::AtArg::Typed { name, .. } => return Err(not_yet("a typed argument", name.span)),
                ast::AtArg::Pattern { field, pattern } => {
                    conditions.push(self.pattern(point, field.as_ref(), pattern, at)?);
                }
            }
        }
        if let Some(filter) = filter {
            split_and(self.resolver.condition(filter, Scope::clause(point))?, &mut conditions);
        }
        let (mut open, mut close, mut user) = (Vec::new(), Vec::new(), Vec::new());
        for condition in conditions {
            match condition.stage() {
                Stage::Open(p) if p == point => open.push(self.lowering.open(&condition)?),
                Stage::User => user.push(condition),
                _ => close.push(self.lowering.close(&condition, point)?),
            }
        }
        for group in &clause.body.groups {
            let result = match &group.kind {
                GroupKind::Columns { columns, by, into, limit } => {
                    let filters = (&open, &close, &user);
                    self.table(point, group, columns, by, into.as_ref(), limit.as_ref(), filters)
                }
                GroupKind::Exit => Err(not_yet("`exit` in a clause on a point", group.span)),
                _ => Err(not_yet("`show` and `clear` in a clause on a point", group.span)),
            };
            if let Err(d) = result {
                self.errors.push(d);
            }
        }
        Ok(())
    }

    fn point(&self, at: &ast::At) -> Result<PointId, Diagnostic> {
        const LATER: &[&str] = &[
            "enter",
            "span",
            "tracepoint",
            "profile",
            "ggml_work",
            "moe_route",
            "tensor_copy",
            "page_fault",
            "disk_read",
            "off_cpu",
        ];
        let name = at.path.text();
        let catalogue = self.resolver.catalogue();
        if let Some(point) = catalogue.point(&name) {
            return Ok(point);
        }
        if LATER.contains(&name.as_str()) {
            return Err(not_yet(&format!("the point `{name}`"), at.path.span));
        }
        let names = catalogue.points.iter().map(|p| p.name.as_str());
        let listed: Vec<_> = names.clone().collect();
        Err(Diagnostic::error("PI0201", format!("no point is called `{name}`"))
            .at(at.path.span, "unknown point")
            .help_near(&name, names, &format!("points: {}", listed.join(" "))))
    }

    /// A pattern argument as a condition.
    fn pattern(
        &mut self,
        point: PointId,
        field: Option<&ast::Expr>,
        pattern: &ast::Pattern,
        at: &ast::At,
    ) -> Result<Typed, Diagnostic> {
        let scope = Scope::clause(point);
        let catalogue = self.resolver.catalogue();
        let fields = match field {
            Some(field) => vec![self.resolver.expr(field, scope, None)?],
            None => {
                let names = &catalogue.points[point].pattern;
                if names.is_empty() {
                    return Err(Diagnostic::error("PI0308", format!("`{}` takes no bare pattern", at.path.text()))
                        .at(pattern.span, "of which field?")
                        .help("name the field: n_tokens = 1"));
                }
                names
                    .iter()
                    .map(|n| self.resolver.field(point, &n.node, pattern.span))
                    .collect::<Result<Vec<_>, _>>()?
            }
        };
        let resolved = self.resolver.pattern(pattern, &fields[0], scope)?;
        if field.is_none() {
            self.warn_never(point, &resolved, pattern.span);
        }
        let positive = crate::pattern::Pattern { negated: false, alts: resolved.alts };
        let mut test: Option<Typed> = None;
        for f in fields {
            let one = Typed::new(Kind::Matches(Box::new(f), positive.clone()), Type::Bool, pattern.span);
            test = Some(match test {
                None => one,
                Some(t) => Typed::new(Kind::Or(Box::new([t, one])), Type::Bool, pattern.span),
            });
        }
        let test = test.unwrap_or_else(|| Typed::new(Kind::Bool(true), Type::Bool, pattern.span));
        Ok(if resolved.negated { Typed::new(Kind::Not(Box::new(test)), Type::Bool, pattern.span) } else { test })
    }

    fn warn_never(&mut self, point: PointId, pattern: &crate::pattern::Pattern, span: Span) {
        let info = &self.resolver.catalogue().points[point];
        for (words, reason) in &info.never {
            let hit = pattern.alts.iter().find_map(|a| match a {
                crate::pattern::Alt::Glob(g) if !g.contains('*') => words.iter().find(|w| *w == g),
                _ => None,
            });
            if let (Some(word), false) = (hit, pattern.negated) {
                self.warnings.push(
                    Diagnostic::warning("PI0318", format!("`{}` never has an event for {word}", info.name))
                        .at(span, "matches nothing")
                        .help(reason.clone()),
                );
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one group, used here only")]
    fn table(
        &mut self,
        point: PointId,
        group: &ast::Group,
        columns: &[ast::Column],
        by: &[ast::Column],
        into: Option<&ast::Ident>,
        limit: Option<&profinfer_lang::span::Spanned<u64>>,
        (open, close, user): (&Vec<crate::plan::Expr>, &Vec<crate::plan::Expr>, &Vec<Typed>),
    ) -> Result<(), Diagnostic> {
        let mut key = Vec::new();
        let mut keys: Vec<OutKey> = Vec::new();
        for k in by {
            if let ExprKind::Call { name, .. } = &k.expr.kind
                && crate::resolve::AGGREGATES.contains(&name.node.as_str())
            {
                return Err(Diagnostic::error("PI0303", format!("`{}` is a column, not a key", name.node))
                    .at(k.expr.span, "an aggregation behind `by`")
                    .help("put columns before `by`: < count(), sum(dur) by op >"));
            }
            let typed = self.resolver.expr(&k.expr, Scope::clause(point), None)?;
            let name = self.column_name(k);
            if keys.iter().any(|k| k.name == name) {
                return Err(duplicate(&name, k));
            }
            let value = self.lowering.user(&typed, point, &mut key, false)?;
            keys.push(OutKey { name, ty: typed.ty, value });
        }
        let mut filter = None;
        for condition in user {
            let condition = self.lowering.user(condition, point, &mut key, true)?;
            filter = Some(match filter {
                None => condition,
                Some(f) => crate::plan::UserExpr::And(Box::new([f, condition])),
            });
        }
        let mut out = Columns::new(self.resolver, &mut self.lowering, point);
        for c in columns {
            let name = column_text(self.sources, c);
            out.add(name, c)?;
        }
        let (slots, columns_out) = out.finish();
        for (i, c) in columns_out.iter().enumerate() {
            let clash = columns_out[..i].iter().any(|d| d.name == c.name) || keys.iter().any(|k| k.name == c.name);
            if clash {
                return Err(duplicate(&c.name, columns.get(i).unwrap_or(&columns[0])));
            }
        }
        let name = self.table_name(point, into)?;
        let limit = limit.map_or(DEFAULT_LIMIT, |l| l.node);
        if !(1..=10_000_000).contains(&limit) {
            return Err(Diagnostic::error("PI0319", "a table has 1 to 10,000,000 rows").at(group.span, "limit"));
        }
        self.tables.push(Table {
            name,
            point,
            open: open.clone(),
            close: close.clone(),
            user: filter,
            key,
            keys,
            slots,
            columns: columns_out,
            limit,
            cleared: false,
            span: group.span,
        });
        Ok(())
    }

    fn table_name(&mut self, point: PointId, into: Option<&ast::Ident>) -> Result<String, Diagnostic> {
        if let Some(into) = into {
            if let Some(first) = self.named.insert(into.node.clone(), into.span) {
                return Err(not_yet("two groups into one table", into.span).note(first, "the first one"));
            }
            if self.tables.iter().any(|t| t.name == into.node) {
                return Err(twice(into));
            }
            return Ok(into.node.clone());
        }
        let base = &self.resolver.catalogue().points[point].name;
        let taken = |n: &str| self.tables.iter().any(|t| t.name == n);
        let mut name = base.clone();
        let mut n = 2;
        while taken(&name) {
            name = format!("{base}_{n}");
            n += 1;
        }
        Ok(name)
    }

    fn column_name(&self, c: &ast::Column) -> String {
        column_text(self.sources, c)
    }

    fn period(&self, e: &ast::Expr) -> Result<u64, Diagnostic> {
        let d = self.resolver.expr(e, Scope::constant(), None)?;
        match d.kind {
            Kind::Int(n) if d.ty == Type::Duration && n >= 1_000_000 => Ok(n as u64),
            Kind::Int(_) if d.ty == Type::Duration => {
                Err(Diagnostic::error("PI0320", "the time is too short").at(e.span, "at least 1ms"))
            }
            _ => Err(Diagnostic::error("PI0301", format!("this is {}, where a duration is expected", d.ty))
                .at(e.span, "not a duration")
                .help("write the unit: 100ms, 1s, 5min")),
        }
    }

    fn actions(&mut self, body: &ast::Body) -> Vec<Action> {
        let mut actions = Vec::new();
        for group in &body.groups {
            match self.action(group) {
                Ok(action) => actions.push(action),
                Err(d) => self.errors.push(d),
            }
        }
        actions
    }

    fn action(&self, group: &ast::Group) -> Result<Action, Diagnostic> {
        match &group.kind {
            GroupKind::Exit => Ok(Action::Exit),
            GroupKind::Clear(name) => Ok(Action::Clear(self.find_table(name)?)),
            GroupKind::Show { table, options } => self.show(table, options).map(Action::Show),
            GroupKind::Columns { .. } => Err(Diagnostic::error("PI0312", "there is no event here to count")
                .at(group.span, "columns belong to `on`")
                .help("count in `on point < … into t >`, and `show t` here")),
        }
    }

    fn find_table(&self, name: &ast::Ident) -> Result<usize, Diagnostic> {
        self.tables.iter().position(|t| t.name == name.node).ok_or_else(|| {
            let names = self.tables.iter().map(|t| t.name.as_str());
            Diagnostic::error("PI0204", format!("no table is called `{}`", name.node))
                .at(name.span, "unknown table")
                .help_near(&name.node, names, "name a table with `into`: < count() by op into ops >")
        })
    }

    fn show(&self, name: &ast::Ident, options: &[ast::ShowOption]) -> Result<Show, Diagnostic> {
        let table = self.find_table(name)?;
        let mut show = Show { table, view: View::Table, top: None, sort: None, to: None };
        for option in options {
            match option {
                ast::ShowOption::As(view) => {
                    show.view = match view.node.as_str() {
                        "table" => View::Table,
                        "hist" => View::Hist,
                        "json" => View::Json,
                        "csv" => View::Csv,
                        v @ ("heatmap" | "timeline" | "graph" | "flame") => {
                            return Err(not_yet(&format!("the view `{v}`"), view.span));
                        }
                        v => {
                            return Err(Diagnostic::error("PI0321", format!("no view is called `{v}`"))
                                .at(view.span, "unknown view")
                                .help_near(
                                    v,
                                    ["table", "hist", "json", "csv"].into_iter(),
                                    "views: table hist json csv",
                                ));
                        }
                    }
                }
                ast::ShowOption::Top(e) => {
                    let n = self.resolver.expr(e, Scope::constant(), None)?;
                    match n.kind {
                        Kind::Int(n) if n > 0 => show.top = Some(n as u64),
                        _ => {
                            return Err(Diagnostic::error("PI0301", "`top` takes a number above zero")
                                .at(e.span, "not a number of rows"));
                        }
                    }
                }
                ast::ShowOption::Sort { column, descending } => {
                    show.sort = Some(self.sort(table, column, *descending)?);
                }
                ast::ShowOption::To(path) => {
                    return Err(not_yet("`to`", path.span).help("use -o FILE, or redirect the output"));
                }
            }
        }
        Ok(show)
    }

    fn sort(&self, table: usize, e: &ast::Expr, descending: Option<bool>) -> Result<(SortBy, bool), Diagnostic> {
        let wanted = without_blanks(self.sources.text(e.span));
        let t = &self.tables[table];
        if let Some(i) = t.columns.iter().position(|c| c.name == wanted) {
            return Ok((SortBy::Column(i), descending.unwrap_or(true)));
        }
        if let Some(i) = t.keys.iter().position(|k| k.name == wanted) {
            return Ok((SortBy::Key(i), descending.unwrap_or(false)));
        }
        let names: Vec<_> =
            t.columns.iter().map(|c| c.name.as_str()).chain(t.keys.iter().map(|k| k.name.as_str())).collect();
        Err(Diagnostic::error("PI0322", format!("`{}` has no column `{wanted}`", t.name))
            .at(e.span, "unknown column")
            .help_near(&wanted, names.iter().copied(), &format!("columns: {}", names.join(" "))))
    }
}

fn duplicate(name: &str, c: &ast::Column) -> Diagnostic {
    Diagnostic::error("PI0310", format!("two columns are called `{name}`"))
        .at(c.expr.span, "a second time")
        .help("name one of them: calls = count()")
}

/// A column's name, else its text without blanks.
fn column_text(sources: &SourceMap, c: &ast::Column) -> String {
    match &c.name {
        Some(name) => name.node.clone(),
        None => without_blanks(sources.text(c.expr.span)),
    }
}

fn without_blanks(s: &str) -> String {
    s.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Splits `a and b` into its parts.
fn split_and(e: Typed, into: &mut Vec<Typed>) {
    match e.kind {
        Kind::And(ab) => {
            let [a, b] = *ab;
            split_and(a, into);
            split_and(b, into);
        }
        _ => into.push(e),
    }
}
