//! Clauses: heads, bodies, groups.

use profinfer_grammar::Rule;

use super::build::{Builder, Node, children};
use crate::ast::{Body, Clause, ClauseHead, Column, Expr, ExprKind, Group, GroupKind, Number, ShowOption, Unit};
use crate::diagnostic::Diagnostic;

impl Builder<'_> {
    /// Head and body.
    pub(super) fn clause(&mut self, node: Node<'_>) -> Option<Clause> {
        let span = self.span(&node);
        let mut parts = children(node);
        let head = self.clause_head(parts.next()?)?;
        let body = self.body(parts.next()?)?;
        Some(Clause { head, body, span })
    }

    fn clause_head(&mut self, node: Node<'_>) -> Option<ClauseHead> {
        Some(match node.as_rule() {
            Rule::on_head => {
                let mut parts = children(node);
                let ats = self.ats(parts.next()?)?;
                let filter = match parts.next() {
                    Some(n) => Some(self.expr(children(n).next()?)?),
                    None => None,
                };
                ClauseHead::On { ats, filter }
            }
            Rule::every_head => ClauseHead::Every(self.amount(children(node).next()?)?),
            Rule::after_head => ClauseHead::After(self.amount(children(node).next()?)?),
            Rule::kw_begin => ClauseHead::Begin,
            Rule::kw_end => ClauseHead::End,
            _ => return None,
        })
    }

    /// A number or a parameter.
    fn amount(&mut self, node: Node<'_>) -> Option<Expr> {
        self.primary(children(node).next()?)
    }

    /// `every 1`: a duration is a number with a unit of time.
    pub(super) fn check_clause(&mut self, clause: &Clause) {
        let (word, amount) = match &clause.head {
            ClauseHead::Every(e) => ("every", e),
            ClauseHead::After(e) => ("after", e),
            _ => return,
        };
        if matches!(amount.kind, ExprKind::Number(Number::Int(_, Unit::Duration)) | ExprKind::Param(_)) {
            return;
        }
        self.diagnostics.push(super::mistakes::missing_duration(word, amount.span));
    }

    fn body(&mut self, node: Node<'_>) -> Option<Body> {
        let span = self.span(&node);
        let groups = children(node).map(|n| self.group(n)).collect::<Option<_>>()?;
        Some(Body { groups, span })
    }

    fn group(&mut self, node: Node<'_>) -> Option<Group> {
        let span = self.span(&node);
        let inside = children(node).next()?;
        let kind = match inside.as_rule() {
            Rule::table => self.table(inside)?,
            Rule::show => self.show(inside)?,
            Rule::clear => GroupKind::Clear(self.ident(&children(inside).next()?)),
            Rule::exit => GroupKind::Exit,
            _ => return None,
        };
        Some(Group { kind, span })
    }

    fn table(&mut self, node: Node<'_>) -> Option<GroupKind> {
        let mut parts = children(node);
        let columns = self.columns(parts.next()?)?;
        let (mut by, mut into, mut limit) = (Vec::new(), None, None);
        for part in parts {
            match part.as_rule() {
                Rule::by_part => by = self.columns(part)?,
                Rule::into_part => {
                    let mut words = children(part);
                    into = Some(self.ident(&words.next()?));
                    limit = match words.next() {
                        Some(n) => Some(self.integer(n)?),
                        None => None,
                    };
                }
                _ => return None,
            }
        }
        Some(GroupKind::Columns { columns, by, into, limit })
    }

    /// The columns directly within a pair.
    pub(super) fn columns(&mut self, node: Node<'_>) -> Option<Vec<Column>> {
        children(node).map(|n| self.column(n)).collect()
    }

    fn column(&mut self, node: Node<'_>) -> Option<Column> {
        let mut parts = children(node);
        let first = parts.next()?;
        if first.as_rule() == Rule::column_name {
            let name = self.ident(&children(first).next()?);
            return Some(Column { name: Some(name), expr: self.expr(parts.next()?)? });
        }
        Some(Column { name: None, expr: self.expr(first)? })
    }

    fn show(&mut self, node: Node<'_>) -> Option<GroupKind> {
        let mut parts = children(node);
        let table = self.ident(&parts.next()?);
        let mut options: Vec<ShowOption> = Vec::new();
        for part in parts {
            let span = self.span(&part);
            let rule = part.as_rule();
            let mut inside = children(part);
            let option = match rule {
                Rule::show_as => ShowOption::As(self.ident(&inside.next()?)),
                Rule::show_top => ShowOption::Top(self.amount(inside.next()?)?),
                Rule::show_sort => {
                    let column = self.expr(inside.next()?)?;
                    ShowOption::Sort { column, descending: inside.next().map(|n| n.as_str() == "desc") }
                }
                Rule::show_to => ShowOption::To(self.string(&inside.next()?)),
                _ => return None,
            };
            if options.iter().any(|o| std::mem::discriminant(o) == std::mem::discriminant(&option)) {
                let word = match option {
                    ShowOption::As(_) => "as",
                    ShowOption::Top(_) => "top",
                    ShowOption::Sort { .. } => "sort",
                    ShowOption::To(_) => "to",
                };
                self.diagnostics.push(
                    Diagnostic::error("PI0113", format!("`{word}` is said twice"))
                        .at(span, "the second one")
                        .help("`show` the table once more for another view or another file"),
                );
            }
            options.push(option);
        }
        Some(GroupKind::Show { table, options })
    }
}
