//! Clauses on points: their patterns, conditions and tables. Each part is read for itself, so that all of its faults are
//! told; what could not be read is left out, and nothing that hangs on it is told.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use profinfer_lang::ast::{self, BinaryOp, ClauseHead, ExprKind, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::{Span, Spanned};

use crate::added;
use crate::aggs;
use crate::catalogue::Template;
use crate::columns::{Collected, Columns};
use crate::compile::{DEFAULT_LIMIT, last_word};
use crate::faults::{HelpNear, consequence, near, told_at, twice};
use crate::joined::{ColumnNames, Draft};
use crate::kernel;
use crate::lower::{Lowering, Want};
use crate::pattern::{Alt, Pattern};
use crate::plan::{self, KeyField, OutKey, Table, UserExpr};
use crate::probes::{self, Spot};
use crate::resolve::{AGGREGATES, Resolver, Scope};
use crate::texts::is_of_events;
use crate::typed::{Kind, PointId, Stage, Typed};
use crate::types::Type;
use crate::variants::variant;

/// Bytes of keys at most: the kernel's hashes take 512, a histogram's bucket 8 of them.
const MAX_KEY_BYTES: u32 = 504;
/// Rows a table may have at most.
const MAX_LIMIT: u64 = 10_000_000;

/// Gathers what clauses come to.
pub(crate) struct Clauses<'a> {
    pub(crate) sources: &'a SourceMap,
    pub(crate) resolver: &'a Resolver<'a>,
    pub(crate) lowering: Lowering<'a>,
    /// Whether gaps and caches are told apart by contexts of the engine.
    pub(crate) by_context: bool,
    pub(crate) tables: Vec<Table>,
    /// The first table of each name.
    by_name: HashMap<String, usize>,
    /// How many names of a kind (`ggml_op`, `ggml_op_2`, …) are taken for certain: there may be thousands.
    taken: HashMap<String, u64>,
    /// What is done at events: for all tables to be there it is read after them.
    pub(crate) at_events: Vec<(usize, ast::Body)>,
    /// Columns that are made of others, by table and place: what they are is told when all are there.
    pub(crate) drafts: Vec<((usize, usize), Draft)>,
    /// What columns of each table may name.
    column_names: ColumnNames,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// Names of tables that are not there, or not whole, for faults that have been told.
    pub(crate) broken: HashSet<String>,
    /// Names of tables that several groups have.
    joined: HashSet<String>,
    /// Where each table's name was given.
    named: IndexMap<String, Span>,
    /// The files behind `to`: the table that goes there, and where that is said.
    pub(crate) files: HashMap<String, (usize, Span)>,
}

/// The conditions of a clause, by where they are decided.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) open: Vec<plan::Expr>,
    pub(crate) close: Vec<plan::Expr>,
    pub(crate) user: Vec<Typed>,
}

/// Both conditions, as far as they are there.
pub(crate) fn both(a: Option<UserExpr>, b: Option<UserExpr>) -> Option<UserExpr> {
    match (a, b) {
        (Some(a), Some(b)) => Some(UserExpr::And(Box::new([a, b]))),
        (a, b) => a.or(b),
    }
}

impl<'a> Clauses<'a> {
    pub(crate) fn new(
        sources: &'a SourceMap,
        resolver: &'a Resolver<'a>,
        clauses: &[&ast::Clause],
        errors: Vec<Diagnostic>,
    ) -> Self {
        let mut seen = HashSet::new();
        let names = clauses.iter().flat_map(|c| &c.body.groups).filter_map(|g| match &g.kind {
            GroupKind::Columns { into: Some(into), .. } => Some(&into.node),
            _ => None,
        });
        let joined = names.filter(|n| !seen.insert(*n)).cloned().collect();
        Self {
            joined,
            sources,
            resolver,
            lowering: Lowering::new(resolver),
            by_context: true,
            tables: Vec::new(),
            by_name: HashMap::new(),
            taken: HashMap::new(),
            at_events: Vec::new(),
            drafts: Vec::new(),
            column_names: ColumnNames::of(clauses),
            errors,
            warnings: Vec::new(),
            broken: HashSet::new(),
            named: IndexMap::new(),
            files: HashMap::new(),
        }
    }

    /// The value, or none and its fault kept.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|d| self.errors.push(d)).ok()
    }

    /// A clause, if it stands on points: each of them gathers, under one name, into a table of its own.
    pub(crate) fn on(&mut self, clause: &ast::Clause) {
        let ClauseHead::On { ats, .. } = &clause.head else { return };
        let spots = probes::spots(self.resolver, clause);
        let Some(spots) = self.keep(spots) else {
            ats.iter().for_each(|at| self.without(clause, at));
            return;
        };
        let names = self.names_of_several(clause, &spots);
        for spot in &spots {
            self.spot(spot, &names);
        }
    }

    /// The names of groups without one, where they have to be known before there is a table.
    fn names_of_several(&mut self, clause: &ast::Clause, spots: &[Spot<'_>]) -> Vec<Option<String>> {
        let several = spots.len() > 1;
        let Some(base) = spots.iter().find_map(|s| s.base.clone()).filter(|_| several) else { return Vec::new() };
        let mut name = |group: &ast::Group| match &group.kind {
            GroupKind::Columns { into: None, .. } => {
                let name = self.unnamed(&base);
                self.joined.insert(name.clone());
                Some(name)
            }
            _ => None,
        };
        clause.body.groups.iter().map(&mut name).collect()
    }

    /// A clause on one of its points. `names` are those of groups that say none.
    fn spot(&mut self, spot: &Spot<'_>, names: &[Option<String>]) {
        let (clause, at, filter) = (&*spot.clause, &*spot.at, spot.filter.as_deref());
        let Some(point) = self.keep(point(self.resolver, at)) else {
            self.without(clause, at);
            return;
        };
        let Some(point) = self.keep(variant(self.resolver.catalogue(), point, at, filter, clause)) else {
            self.without(clause, at);
            return;
        };
        let needed = self.lowering.need(point).map_err(|d| told_at(d, at.span, &format!("`{}`", at.path.text())));
        self.keep(needed);
        self.lowering.points[point].wanted = true;
        self.lowering.points[point].optional &= at.optional;
        let conditions = self.conditions(point, at, filter);
        for (i, group) in clause.body.groups.iter().enumerate() {
            match &group.kind {
                GroupKind::Columns { columns, by, .. } if columns.iter().any(is_of_events) => {
                    self.of_each_event(point, group, (columns, by), &conditions);
                }
                GroupKind::Columns { columns, by, into, limit } => {
                    let given = names.get(i).cloned().flatten().map(|name| Spanned::new(name, at.path.span));
                    let into = into.as_ref().or(given.as_ref());
                    let uniform = into.is_some_and(|n| self.joined.contains(&n.node));
                    let names = self.column_names.for_group(columns, into.map(|n| n.node.as_str()));
                    let mut out = Columns::new(self.resolver, &mut self.lowering, point, uniform, names);
                    let mut faults = Vec::new();
                    for written in columns {
                        match aggs::expand(self.resolver, self.sources, written) {
                            Ok(columns) => faults.extend(columns.iter().filter_map(|c| {
                                let fault = out.add(column_text(self.sources, c), c).err()?;
                                Some(aggs::told_in(fault, c, written))
                            })),
                            Err(d) => faults.push(d),
                        }
                    }
                    let whole = faults.is_empty();
                    let out = out.finish();
                    self.errors.extend(faults);
                    let (table, rest) = self.table(point, group, by, out, &conditions, limit.as_ref());
                    let table = (table, rest && whole);
                    self.add(table, into, spot.base.as_deref());
                }
                GroupKind::Exit | GroupKind::Show { .. } | GroupKind::Clear(_) => {}
            }
        }
        self.acts(point, &clause.body, &conditions);
    }

    /// The tables of a clause whose point is not known: whoever names them is not told once more.
    fn without(&mut self, clause: &ast::Clause, at: &ast::At) {
        for group in &clause.body.groups {
            if let GroupKind::Columns { into, .. } = &group.kind {
                match into {
                    Some(into) => {
                        self.named.insert(into.node.clone(), into.span);
                        self.broken.insert(into.node.clone());
                    }
                    None => {
                        let written = at.path.text();
                        let names = self.resolver.catalogue().points.iter().map(|p| p.name.as_str());
                        self.broken.extend(near(&written, names).map(str::to_owned));
                        self.broken.extend(at.path.parts.last().map(|p| p.node.clone()));
                        self.broken.insert(written);
                    }
                }
            }
        }
    }

    fn conditions(&mut self, point: PointId, at: &ast::At, filter: Option<&ast::Expr>) -> Conditions {
        let mut all = Vec::new();
        let is_call = added::is_call(at);
        let is_made = kernel::is_made(at);
        for (i, arg) in at.args.iter().enumerate() {
            match arg {
                _ if (is_call || is_made) && i == 0 => {}
                ast::AtArg::Typed { .. } if is_call => {}
                ast::AtArg::Typed { name, .. } => self.errors.push(
                    Diagnostic::error("PI0223", format!("`{}` is not a function", at.path.text()))
                        .at(name.span, "an argument of what?")
                        .help("arguments are given types where a function is named: span(\"libfoo.so:step\", n: i32)"),
                ),
                ast::AtArg::Pattern { field, pattern } => {
                    let condition = self.pattern(point, field.as_ref(), pattern, at);
                    all.extend(self.keep(condition));
                }
            }
        }
        let mut parts = Vec::new();
        filter.into_iter().for_each(|f| parts_of(f, &mut parts));
        for part in parts {
            let condition = self.resolver.condition(part, Scope::clause(point));
            all.extend(self.keep(condition));
        }
        let mut conditions = Conditions::default();
        let mut split = Vec::new();
        all.into_iter().for_each(|c| split_and(c, &mut split));
        for condition in split {
            match condition.stage() {
                Stage::Open(p) if p == point && !self.lowering.by_fields => {
                    let kept = self.lowering.keep_large(&condition, point);
                    self.keep(kept);
                    let lowered = self.lowering.open(&condition);
                    conditions.open.extend(self.keep(lowered));
                }
                Stage::User => conditions.user.push(condition),
                _ => {
                    let lowered = self.lowering.close(&condition, point);
                    conditions.close.extend(self.keep(lowered));
                }
            }
        }
        conditions
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
        let names = &self.resolver.catalogue().points[point].pattern;
        let fields = match field {
            Some(field) => vec![self.resolver.expr(field, scope, None)?],
            None if names.is_empty() => {
                return Err(Diagnostic::error("PI0308", format!("`{}` takes no bare pattern", at.path.text()))
                    .at(pattern.span, "of which field?")
                    .help("name the field: n_tokens = 1"));
            }
            None => names
                .iter()
                .map(|n| self.resolver.field(point, &n.node, pattern.span))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let resolved = self.resolver.pattern(pattern, &fields[0], scope)?;
        let is_first = |f: &ast::Expr| matches!((&f.kind, names.first()), (ExprKind::Name(n), Some(m)) if *n == m.node);
        if field.is_none_or(is_first) {
            self.warn_never(point, &resolved, pattern);
        }
        let condition = |kind| Typed::new(kind, Type::Bool, pattern.span);
        let negated = resolved.negated;
        let positive = Pattern { negated: false, ..resolved.clone() };
        // Any of the fields may match; with `!` none may, and the first has to be there.
        let mut test: Option<Typed> = None;
        for field in fields {
            test = Some(match (test, negated) {
                (None, _) => condition(Kind::Matches(Box::new(field), resolved.clone())),
                (Some(t), false) => {
                    let one = condition(Kind::Matches(Box::new(field), positive.clone()));
                    condition(Kind::Or(Box::new([t, one])))
                }
                (Some(t), true) => {
                    let one = condition(Kind::Matches(Box::new(field), positive.clone()));
                    let none = condition(Kind::Not(Box::new(one)));
                    condition(Kind::And(Box::new([t, none])))
                }
            });
        }
        Ok(test.unwrap_or_else(|| condition(Kind::Bool(true))))
    }

    /// Warns of words that the point has no event for.
    fn warn_never(&mut self, point: PointId, resolved: &Pattern, written: &ast::Pattern) {
        let info = &self.resolver.catalogue().points[point];
        if resolved.negated {
            return;
        }
        for (alt, at) in resolved.alts.iter().zip(&written.alts) {
            let Alt::Glob(glob) = alt else { continue };
            if let Some((_, reason)) = info.never.iter().find(|(words, _)| words.contains(glob)) {
                self.warnings.push(
                    Diagnostic::warning("PI0318", format!("`{}` never has an event for {glob}", info.name))
                        .at(at.span, "matches nothing")
                        .help(reason.clone()),
                );
            }
        }
    }

    /// What a group with these columns gathers, without a name yet; whether all of it could be read.
    fn table(
        &mut self,
        point: PointId,
        group: &ast::Group,
        by: &[ast::Column],
        Collected { slots, columns, spans, mut key, drafts }: Collected,
        conditions: &Conditions,
        limit: Option<&Spanned<u64>>,
    ) -> (Table, bool) {
        let faults = self.errors.len();
        self.drafts.extend(drafts.into_iter().map(|(i, draft)| ((self.tables.len(), i), draft)));
        let keys = self.keys(point, by, &mut key);
        let mut user = None;
        for condition in &conditions.user {
            let condition = self.lowering.user(condition, point, &mut key, Want::Hidden);
            user = both(user, self.keep(condition));
        }
        for (i, (c, span)) in columns.iter().zip(spans).enumerate() {
            if columns[..i].iter().any(|d| d.name == c.name) || keys.iter().any(|k| k.name == c.name) {
                self.errors.push(duplicate(&c.name, span));
            }
        }
        let limit = match limit {
            Some(l) if !(1..=MAX_LIMIT).contains(&l.node) => {
                self.errors
                    .push(Diagnostic::error("PI0319", "a table has 1 to 10,000,000 rows").at(l.span, "not a limit"));
                DEFAULT_LIMIT
            }
            l => l.map_or(DEFAULT_LIMIT, |l| l.node),
        };
        let bytes: u32 = key.iter().map(KeyField::bytes).sum();
        if bytes > MAX_KEY_BYTES {
            let d =
                Diagnostic::error("PI0324", format!("the keys take {bytes} bytes, the kernel takes {MAX_KEY_BYTES}"))
                    .at(group.span, "too many keys")
                    .help("a name takes 64 bytes, and so does each name that `layer` or `part` is made from");
            self.errors.push(d);
        }
        let streamed = slots.iter().any(|s| s.how.is_streamed() || s.gap);
        let apart = self.by_context && slots.iter().any(|s| s.how.is_per_context() || s.gap);
        let context = if apart { self.context(point, group.span) } else { None };
        let table = Table {
            streamed,
            each: None,
            context,
            name: String::new(),
            shown_with: self.tables.len(),
            adds_to: self.tables.len(),
            point,
            open: conditions.open.clone(),
            close: conditions.close.clone(),
            user,
            key,
            keys,
            slots,
            columns,
            limit,
            cleared: false,
            span: group.span,
        };
        (table, self.errors.len() == faults)
    }

    /// What tells the contexts of a process apart, where the point knows it.
    fn context(&mut self, point: PointId, span: Span) -> Option<plan::Expr> {
        let name = ast::Expr { kind: ExprKind::Name("context".to_owned()), span };
        let context = self.resolver.expr(&name, Scope::clause(point), None).ok()?;
        let context = self.lowering.close(&context, point);
        self.keep(context)
    }

    fn keys(&mut self, point: PointId, by: &[ast::Column], key: &mut Vec<KeyField>) -> Vec<OutKey> {
        let mut keys: Vec<OutKey> = Vec::new();
        for k in by {
            let name = column_text(self.sources, k);
            if keys.iter().any(|k| k.name == name) {
                self.errors.push(duplicate(&name, k.name.as_ref().map_or(k.expr.span, |n| n.span)));
                continue;
            }
            let typed = match aggregate_among_keys(k) {
                Some(d) => Err(d),
                None => self.resolver.expr(&k.expr, Scope::clause(point), None),
            };
            let Some(typed) = self.keep(typed) else { continue };
            let value = self.lowering.user(&typed, point, key, Want::Key);
            if let Some(value) = self.keep(value) {
                keys.push(OutKey { name, ty: typed.ty, value });
            }
        }
        keys
    }

    /// Adds a table under the name written behind `into`, else under one made of `base`, else of its point's name.
    fn add(&mut self, (mut table, whole): (Table, bool), into: Option<&ast::Ident>, base: Option<&str>) {
        match into {
            Some(into) => {
                table.name = into.node.clone();
                let first = self.table_called(&into.node);
                match (self.named.get(&into.node), first) {
                    (Some(_), Some(first)) if self.join(first, &mut table) => {}
                    // What is wrong with one of them may be all that tells them apart.
                    (Some(_), _) if !whole || self.broken.contains(&into.node) => {}
                    (Some(at), _) => {
                        let d = Diagnostic::error("PI0326", format!("the groups of `{}` do not go together", into.node))
                            .at(into.span, "has other keys, or a column of that name that means something else")
                            .note(*at, "the first group")
                            .help("groups of one table have the same keys, and either the same columns (rows are added up) or columns of other names (they stand side by side)");
                        self.errors.push(d);
                        self.broken.insert(into.node.clone());
                    }
                    (None, Some(_)) => {
                        self.errors.push(twice(&into.node, into.span).help("a table without a name has its point's"));
                    }
                    (None, None) => {
                        self.named.insert(into.node.clone(), into.span);
                    }
                }
            }
            None => {
                let points = &self.resolver.catalogue().points;
                let point = points[table.point].variant.unwrap_or(table.point);
                let point = &points[point];
                let is_made =
                    point.called.is_some() || matches!(point.template, Template::Sample | Template::Tracepoint);
                let name = if point.template == Template::Sample {
                    "profile"
                } else if is_made {
                    point.template.word()
                } else {
                    last_word(&point.name)
                };
                table.name = self.unnamed(base.unwrap_or(name));
            }
        }
        if !whole {
            self.broken.insert(table.name.clone());
        }
        self.by_name.entry(table.name.clone()).or_insert(self.tables.len());
        self.tables.push(table);
    }

    /// Has a table stand with the first of its name: its rows add to one with the same columns, or its columns stand beside
    /// the others. False if neither can be.
    fn join(&self, first: usize, table: &mut Table) -> bool {
        let with: Vec<usize> = (0..self.tables.len()).filter(|t| self.tables[*t].shown_with == first).collect();
        let same = with.iter().find(|t| same_shape(&self.tables[**t], table));
        let is_new = |name: &str| !with.iter().any(|t| self.tables[*t].columns.iter().any(|c| c.name == name));
        if same.is_none() && !(same_keys(&self.tables[first], table) && table.columns.iter().all(|c| is_new(&c.name))) {
            return false;
        }
        table.shown_with = first;
        if let Some(same) = same {
            table.adds_to = *same;
        }
        true
    }

    /// The first table of that name.
    pub(crate) fn table_called(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The name of the next table without one: `base`, the point's name, then `ggml_op_2`, `ggml_op_3`, …
    fn unnamed(&mut self, base: &str) -> String {
        let taken = self.taken.entry(base.to_owned()).or_default();
        loop {
            *taken += 1;
            let name = if *taken == 1 { base.to_owned() } else { format!("{base}_{taken}") };
            if !self.by_name.contains_key(&name) {
                return name;
            }
        }
    }
}

/// The point that `at` names.
pub(crate) fn point(resolver: &Resolver<'_>, at: &ast::At) -> Result<PointId, Diagnostic> {
    let name = at.path.text();
    let catalogue = resolver.catalogue();
    if added::is_call(at) {
        let full = added::name_of(at).unwrap_or_default();
        return match catalogue.point(&full) {
            Some(point) => Ok(point),
            None if resolver.broken.contains(&full) || resolver.broken.contains(&name) => {
                Err(consequence(at.path.span))
            }
            None => Err(Diagnostic::error("PI0223", "the types of arguments are said where the function is named")
                .at(at.span, "not here")
                .help("write them in the probe: probe p = span(\"libfoo.so:step\", n: i32)")),
        };
    }
    if kernel::is_made(at) {
        let full = kernel::name_of(at).unwrap_or_default();
        return catalogue.point(&full).ok_or_else(|| consequence(at.path.span));
    }
    if let Some(point) = catalogue.point(&name) {
        return Ok(point);
    }
    let module = at.path.parts.first().map_or("", |p| p.node.as_str());
    if resolver.broken.contains(&name) || resolver.broken.contains(module) {
        return Err(consequence(at.path.span));
    }
    let of_kernel = kernel::names(catalogue);
    let names = catalogue.points.iter().map(|p| p.name.as_str()).chain(resolver.probes.keys().map(String::as_str));
    let listed: Vec<_> = names.clone().collect();
    Err(Diagnostic::error("PI0201", format!("no point is called `{name}`"))
        .at(at.path.span, "unknown point")
        .help_near(&name, names.chain(of_kernel), &format!("points: {}", listed.join(" "))))
}

/// Whether the rows of two groups can stand in one table and be added up.
fn same_shape(a: &Table, b: &Table) -> bool {
    let slots = |t: &Table| t.slots.iter().map(|s| s.how).collect::<Vec<_>>();
    same_keys(a, b) && a.streamed == b.streamed && a.columns == b.columns && slots(a) == slots(b)
}

fn same_keys(a: &Table, b: &Table) -> bool {
    let alike = |a: &OutKey, b: &OutKey| {
        // What is always absent in one of them may be anything in the other.
        a.name == b.name && (a.ty == b.ty || a.ty == Type::Absent || b.ty == Type::Absent)
    };
    a.keys.len() == b.keys.len() && a.keys.iter().zip(&b.keys).all(|(a, b)| alike(a, b))
}

fn aggregate_among_keys(k: &ast::Column) -> Option<Diagnostic> {
    let ExprKind::Call { name, args } = &k.expr.kind else { return None };
    let is_value = matches!(name.node.as_str(), "min" | "max") && args.len() == 2;
    (AGGREGATES.contains(&name.node.as_str()) && !is_value).then(|| {
        Diagnostic::error("PI0303", format!("`{}` is a column, not a key", name.node))
            .at(k.expr.span, "an aggregation behind `by`")
            .help("put columns before `by`: < count(), sum(dur) by op >")
    })
}

fn duplicate(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("PI0310", format!("two columns are called `{name}`"))
        .at(span, "a second time")
        .help("name one of them: calls = count()")
}

/// A column's name, else its text without blanks.
fn column_text(sources: &SourceMap, c: &ast::Column) -> String {
    match &c.name {
        Some(name) => name.node.clone(),
        None => without_blanks(sources.text(c.expr.span)),
    }
}

pub(crate) fn without_blanks(s: &str) -> String {
    s.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The parts of `a and b and c` as written.
fn parts_of<'e>(e: &'e ast::Expr, into: &mut Vec<&'e ast::Expr>) {
    match &e.kind {
        ExprKind::Binary(BinaryOp::And, a, b) => {
            parts_of(a, into);
            parts_of(b, into);
        }
        ExprKind::Paren(inner) => parts_of(inner, into),
        _ => into.push(e),
    }
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
