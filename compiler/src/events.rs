//! What clauses on points do at each event instead of gathering: `print`, `slice`, `gauge`, `node`, and `show`, `clear`,
//! `exit`.

mod node;

use profinfer_lang::ast::{self, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::clauses::{Clauses, Conditions, both, without_blanks};
use crate::faults::consequence;
use crate::lower::Want;
use crate::plan::{Each, Expr, KeyField, OutKey, PrintPart, Table, UserExpr};
use crate::resolve::Scope;
use crate::texts::{Part, event_word, parts};
use crate::typed::{PointId, Typed};
use crate::types::CmpOp;

/// Bytes of an event that is printed at most.
const MAX_EVENT_BYTES: u32 = 4096;

/// What is known of an event that is sent: its key in the kernel, and what that shows.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) key: Vec<KeyField>,
    pub(crate) keys: Vec<OutKey>,
    /// Those of them without which nothing is sent.
    pub(crate) there: Vec<usize>,
}

impl Clauses<'_> {
    /// A group of columns that each stand for a record of every event: `print`, `slice`, `gauge`.
    pub(crate) fn of_each_event(
        &mut self,
        point: PointId,
        group: &ast::Group,
        (columns, by): (&[ast::Column], &[ast::Column]),
        conditions: &Conditions,
    ) {
        let GroupKind::Columns { into, limit, .. } = &group.kind else { return };
        let word = columns.iter().find_map(|c| event_word(&c.expr)).unwrap_or_default();
        let table_words = by.first().map(|k| k.expr.span).or(into.as_ref().map(|n| n.span));
        if let Some(span) = table_words.or(limit.as_ref().map(|l| l.span)) {
            let d = Diagnostic::error("PI0330", format!("`{word}` takes neither `by` nor `into` nor `limit`"));
            let help = match word {
                "print" => {
                    "each event is printed by itself; put it into the text: print(\"{op} {dur}\"), or split groups with `;`"
                }
                _ => "each event stands by itself; split groups with `;`: < slice(op); count() by op >",
            };
            self.errors.push(d.at(span, "belongs to tables").help(help));
            return;
        }
        if conditions.open.iter().chain(&conditions.close).any(is_never) {
            return;
        }
        for column in columns {
            let ast::ExprKind::Call { args, .. } = &column.expr.kind else {
                self.errors.push(not_alone(word, column.expr.span));
                continue;
            };
            let (faults, span) = (self.errors.len(), column.expr.span);
            let mut known = Known::default();
            let each = match event_word(&column.expr) {
                Some("print") => self.print(point, args, span, &mut known),
                Some("slice") => self.slice(point, args, span, &mut known),
                Some("gauge") => self.gauge(point, args, span, &mut known),
                Some("node") => self.node(point, args, span, &mut known),
                _ => {
                    self.errors.push(not_alone(word, span));
                    continue;
                }
            };
            let name = match &column.name {
                Some(name) => name.node.clone(),
                None => self.event_name(event_word(&column.expr).unwrap_or_default()),
            };
            if let Some(each) = each.filter(|_| self.errors.len() == faults) {
                self.event(point, (name, each, span), known, conditions);
            }
        }
    }

    /// `print("slow: {name} {dur}")`
    fn print(&mut self, point: PointId, args: &[ast::CallArg], span: Span, known: &mut Known) -> Option<Each> {
        match args {
            [ast::CallArg { name: None, value }] if parts(value).is_some() => {
                Some(Each::Print(self.text(point, value, known)))
            }
            // A text that cannot be read has been told.
            [ast::CallArg { name: None, value }] if matches!(value.kind, ast::ExprKind::Str(_)) => None,
            _ => {
                let d = Diagnostic::error("PI0306", "`print` takes a text as it is to be printed");
                self.errors.push(d.at(span, "here").help("usage: print(\"slow: {name} {dur}\")"));
                None
            }
        }
    }

    /// The parts of a text; of anything else its value alone.
    pub(crate) fn text(&mut self, point: PointId, text: &ast::Expr, known: &mut Known) -> Vec<PrintPart> {
        let Some(parts) = parts(text) else {
            let written = without_blanks(self.sources.text(text.span));
            return self.value(point, &written, text, known).map(PrintPart::Key).into_iter().collect();
        };
        let part = |part| match part {
            Part::Text(text) => Some(PrintPart::Text(text.to_owned())),
            Part::Value(name, value) => self.value(point, name, value, known).map(PrintPart::Key),
        };
        parts.into_iter().filter_map(part).collect()
    }

    /// The parts of a label, which may be any expression.
    pub(crate) fn label(&mut self, point: PointId, label: &ast::Expr, known: &mut Known) -> Option<Vec<PrintPart>> {
        let faults = self.errors.len();
        if matches!(label.kind, ast::ExprKind::Str(_) | ast::ExprKind::Pattern(_)) && self.is_text(label) {
            // A text that cannot be read has been told.
            self.errors.push(consequence(label.span));
            return None;
        }
        let parts = self.text(point, label, known);
        (self.errors.len() == faults).then_some(parts)
    }

    /// Whether it is a text as it stands in the script.
    fn is_text(&self, e: &ast::Expr) -> bool {
        self.sources.text(e.span).starts_with('"')
    }

    /// Has a value sent with the event: its place among [`Table::keys`].
    pub(crate) fn value(&mut self, point: PointId, name: &str, value: &ast::Expr, known: &mut Known) -> Option<usize> {
        let typed = self.resolver.expr(value, Scope::clause(point), None);
        let typed = self.keep(typed)?;
        self.known(point, name, &typed, known)
    }

    /// Has something sent with the event: its place among the keys.
    pub(crate) fn known(&mut self, point: PointId, name: &str, typed: &Typed, known: &mut Known) -> Option<usize> {
        let value = self.lowering.user(typed, point, &mut known.key, Want::Event);
        let value = self.keep(value)?;
        known.keys.push(OutKey { name: name.to_owned(), ty: typed.ty.clone(), value });
        Some(known.keys.len() - 1)
    }

    /// What the body of a clause on a point shows, clears or ends at each event, as one step behind all that it counts.
    pub(crate) fn acts(&mut self, point: PointId, body: &ast::Body, conditions: &Conditions) {
        let is_action = |g: &&ast::Group| !matches!(g.kind, GroupKind::Columns { .. });
        let groups: Vec<ast::Group> = body.groups.iter().filter(is_action).cloned().collect();
        let Some(first) = groups.first() else { return };
        let span = first.span;
        let name = self.event_name("actions");
        self.at_events.push((self.tables.len(), ast::Body { groups, span: body.span }));
        self.event(point, (name, Each::Act(Vec::new()), span), Known::default(), conditions);
    }

    /// Reads what is done at events, now that all tables are there.
    pub(crate) fn read_acts(&mut self) {
        for (table, body) in std::mem::take(&mut self.at_events) {
            let actions = self.actions(&body);
            self.tables[table].each = Some(Each::Act(actions));
        }
    }

    fn event_name(&self, base: &str) -> String {
        let others = self.tables.iter().filter(|t| t.each.is_some()).map(|t| t.name.as_str());
        let taken: std::collections::HashSet<&str> = others.collect();
        let numbered = (2u64..).map(|n| format!("{base}_{n}"));
        std::iter::once(base.to_owned()).chain(numbered).find(|n| !taken.contains(n.as_str())).unwrap_or_default()
    }

    fn event(
        &mut self,
        point: PointId,
        (name, each, span): (String, Each, Span),
        Known { mut key, keys, there }: Known,
        conditions: &Conditions,
    ) {
        let mut user = None;
        for condition in &conditions.user {
            let condition = self.lowering.user(condition, point, &mut key, Want::Event);
            user = both(user, self.keep(condition));
        }
        for i in there {
            user = both(user, Some(UserExpr::Has(Box::new(keys[i].value.clone()))));
        }
        let bytes: u32 = key.iter().map(KeyField::bytes).sum();
        if bytes > MAX_EVENT_BYTES {
            let d = Diagnostic::error("PI0324", format!("an event of {bytes} bytes, the most is {MAX_EVENT_BYTES}"));
            self.errors.push(d.at(span, "too much of it").help("a name takes 64 bytes: print fewer of them"));
        }
        let index = self.tables.len();
        self.tables.push(Table {
            name,
            shown_with: index,
            adds_to: index,
            point,
            open: conditions.open.clone(),
            close: conditions.close.clone(),
            user,
            key,
            keys,
            slots: Vec::new(),
            columns: Vec::new(),
            streamed: true,
            each: Some(each),
            context: None,
            limit: 0,
            cleared: false,
            span,
        });
    }
}

/// Whether a condition is decided by the word that is given for a parameter, and does not hold: then nothing is read and sent
/// only to be left out.
fn is_never(condition: &Expr) -> bool {
    match condition {
        Expr::Cmp(CmpOp::Eq, ab) => matches!(&**ab, [Expr::Word(of, a), Expr::Word(other, b)] if of == other && a != b),
        _ => false,
    }
}

/// A `print` (`slice`, `gauge`, `node`) that is a part of something, or something beside one.
pub(crate) fn not_alone(word: &str, span: Span) -> Diagnostic {
    let example = match word {
        "slice" => "groups are split with `;`: < count() by op; slice(op) >",
        "node" => "groups are split with `;`: < count() by op; node() >",
        "gauge" => "groups are split with `;`: < count() by op; gauge(\"threads\", nth) >",
        _ => "groups are split with `;`: < count() by op; print(\"{op}\") >",
    };
    Diagnostic::error("PI0330", format!("`{word}` stands in a clause on a point, with nothing else in its group"))
        .at(span, "here")
        .help(example)
}
