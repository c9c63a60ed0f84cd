//! What clauses on points do at each event instead of gathering: `print`, and `show`, `clear`, `exit`.

use profinfer_lang::ast::{self, GroupKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::clauses::{Clauses, Conditions, both};
use crate::lower::Want;
use crate::plan::{Each, KeyField, OutKey, PrintPart, Table};
use crate::prints::{Part, is_print, parts};
use crate::resolve::Scope;
use crate::typed::PointId;

/// Bytes of an event that is printed at most.
const MAX_EVENT_BYTES: u32 = 4096;

impl Clauses<'_> {
    /// A group of `print`s: each is a record of each event.
    pub(crate) fn prints(
        &mut self,
        point: PointId,
        group: &ast::Group,
        (columns, by): (&[ast::Column], &[ast::Column]),
        conditions: &Conditions,
    ) {
        let GroupKind::Columns { into, limit, .. } = &group.kind else { return };
        let table_words = by.first().map(|k| k.expr.span).or(into.as_ref().map(|n| n.span));
        if let Some(span) = table_words.or(limit.as_ref().map(|l| l.span)) {
            let d = Diagnostic::error("PI0330", "`print` takes neither `by` nor `into` nor `limit`");
            self.errors.push(d.at(span, "belongs to tables").help(
                "each event is printed by itself; put it into the text: print(\"{op} {dur}\"), or split groups with `;`",
            ));
            return;
        }
        for column in columns {
            if !is_print(column) {
                self.errors.push(not_alone(column.expr.span));
                continue;
            }
            let Some(parts) = parts(column) else {
                // A text that cannot be read has been told.
                if !is_text(column) {
                    let d = Diagnostic::error("PI0306", "`print` takes a text as it is to be printed");
                    self.errors.push(d.at(column.expr.span, "here").help("usage: print(\"slow: {name} {dur}\")"));
                }
                continue;
            };
            let faults = self.errors.len();
            let (mut key, mut keys, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for part in parts {
                match part {
                    Part::Text(text) => texts.push(PrintPart::Text(text.to_owned())),
                    Part::Value(name, value) => {
                        let typed = self.resolver.expr(value, Scope::clause(point), None);
                        let Some(typed) = self.keep(typed) else { continue };
                        let value = self.lowering.user(&typed, point, &mut key, Want::Event);
                        let Some(value) = self.keep(value) else { continue };
                        texts.push(PrintPart::Key(keys.len()));
                        keys.push(OutKey { name: name.to_owned(), ty: typed.ty, value });
                    }
                }
            }
            let name = match &column.name {
                Some(name) => name.node.clone(),
                None => self.event_name("print"),
            };
            if self.errors.len() == faults {
                self.event(point, (name, Each::Print(texts), column.expr.span), (key, keys), conditions);
            }
        }
    }

    /// What the body of a clause on a point shows, clears or ends at each event, as one step behind all that it counts.
    pub(crate) fn acts(&mut self, point: PointId, body: &ast::Body, conditions: &Conditions) {
        let is_action = |g: &&ast::Group| !matches!(g.kind, GroupKind::Columns { .. });
        let groups: Vec<ast::Group> = body.groups.iter().filter(is_action).cloned().collect();
        let Some(first) = groups.first() else { return };
        let span = first.span;
        let name = self.event_name("actions");
        self.at_events.push((self.tables.len(), ast::Body { groups, span: body.span }));
        self.event(point, (name, Each::Act(Vec::new()), span), (Vec::new(), Vec::new()), conditions);
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
        (mut key, keys): (Vec<KeyField>, Vec<OutKey>),
        conditions: &Conditions,
    ) {
        let mut user = None;
        for condition in &conditions.user {
            let condition = self.lowering.user(condition, point, &mut key, Want::Event);
            user = both(user, self.keep(condition));
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

fn is_text(column: &ast::Column) -> bool {
    let ast::ExprKind::Call { args, .. } = &column.expr.kind else { return false };
    matches!(args.as_slice(), [only] if only.name.is_none() && matches!(only.value.kind, ast::ExprKind::Str(_)))
}

/// A `print` that is a part of something, or something beside one.
pub(crate) fn not_alone(span: Span) -> Diagnostic {
    Diagnostic::error("PI0330", "`print` stands in a clause on a point, with nothing else in its group")
        .at(span, "here")
        .help("groups are split with `;`: < count() by op; print(\"{op}\") >")
}
