//! `point` definitions: the statements in their braces.

use profinfer_grammar::Rule;

use super::build::{Builder, Node, children, documented};
use crate::ast::{Edge, PointDef, PointStmt, PointStmtKind};
use crate::span::Spanned;

impl Builder<'_> {
    /// `point NAME : TEMPLATE { … }`
    pub(super) fn point_def(&mut self, node: Node<'_>) -> Option<PointDef> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let template = self.ident(&parts.next()?);
        let stmts = parts.map(|n| self.point_stmt(n)).collect::<Option<_>>()?;
        Some(PointDef { name, template, stmts })
    }

    fn point_stmt(&mut self, node: Node<'_>) -> Option<PointStmt> {
        let (docs, part) = documented(node)?;
        let span = self.span(&part);
        Some(PointStmt { docs, kind: self.stmt_kind(part)?, span })
    }

    fn stmt_kind(&mut self, node: Node<'_>) -> Option<PointStmtKind> {
        Some(match node.as_rule() {
            Rule::start => self.start(node)?,
            Rule::mark => self.mark(node)?,
            Rule::stop => {
                let (at, symbols, optional) = self.site(node)?;
                PointStmtKind::Stop { at, symbols, optional }
            }
            Rule::state_by => PointStmtKind::StateBy(children(node).map(|n| self.expr(n)).collect::<Option<_>>()?),
            Rule::lasting => PointStmtKind::Lasting(self.names(node)),
            Rule::only => {
                let mut parts = children(node);
                match parts.next()? {
                    word if word.as_rule() == Rule::kw_return => PointStmtKind::OnlyReturn(self.expr(parts.next()?)?),
                    condition => PointStmtKind::Only(self.expr(condition)?),
                }
            }
            Rule::each => {
                let mut parts = children(node);
                PointStmtKind::Each {
                    row: self.ident(&parts.next()?),
                    rows: self.expr(parts.next()?)?,
                    columns: match parts.next() {
                        Some(column) => Some((self.ident(&column), self.expr(parts.next()?)?)),
                        None => None,
                    },
                }
            }
            Rule::parts => {
                let mut parts = children(node);
                PointStmtKind::Parts {
                    part: self.ident(&parts.next()?),
                    number: self.expr(parts.next()?)?,
                    row: self.expr(parts.next()?)?,
                }
            }
            Rule::team => {
                let mut parts = children(node);
                PointStmtKind::Team { number: self.expr(parts.next()?)?, size: self.expr(parts.next()?)? }
            }
            Rule::variant_of => PointStmtKind::Variant(self.ident(&children(node).next()?)),
            Rule::within => PointStmtKind::Within(self.names(node)),
            Rule::matched => PointStmtKind::Pattern(self.names(node)),
            Rule::let_def => PointStmtKind::Let(self.let_def(node)?),
            Rule::check => {
                let mut parts = children(node);
                let condition = self.expr(parts.next()?)?;
                PointStmtKind::Check { condition, message: self.string(&parts.next()?) }
            }
            Rule::never => {
                let mut parts = children(node);
                let field = self.ident(&parts.next()?);
                let pattern = self.pattern(parts.next()?)?;
                PointStmtKind::Never { field, pattern, reason: self.string(&parts.next()?) }
            }
            Rule::silent => PointStmtKind::Silent(self.string(&children(node).next()?)),
            Rule::node_of => PointStmtKind::Node(self.arguments(children(node))?),
            _ => return None,
        })
    }

    fn start(&mut self, node: Node<'_>) -> Option<PointStmtKind> {
        let mut parts = children(node);
        let symbols = self.symbols(parts.next()?);
        let (mut args, mut optional) = (Vec::new(), false);
        for part in parts {
            match part.as_rule() {
                Rule::typed_arg => args.push(self.typed_arg(part)?),
                Rule::optional_mark => optional = true,
                _ => return None,
            }
        }
        Some(PointStmtKind::Start { symbols, args, optional })
    }

    fn mark(&mut self, node: Node<'_>) -> Option<PointStmtKind> {
        let (mut symbols, mut optional, mut reason) = (Vec::new(), false, None);
        for part in children(node) {
            match part.as_rule() {
                Rule::symbols => symbols = self.symbols(part),
                Rule::optional_mark => optional = true,
                Rule::string => reason = Some(self.string(&part)),
                _ => return None,
            }
        }
        Some(PointStmtKind::Mark { symbols, optional, reason })
    }

    /// Where in the function, the symbols, whether `?` is said.
    fn site(&mut self, node: Node<'_>) -> Option<(Edge, Vec<Spanned<String>>, bool)> {
        let (mut at, mut symbols, mut optional) = (Edge::Entry, Vec::new(), false);
        for part in children(node) {
            match part.as_rule() {
                Rule::kw_return => at = Edge::Return,
                Rule::kw_behind => at = Edge::Behind,
                Rule::symbols => symbols = self.symbols(part),
                Rule::optional_mark => optional = true,
                _ => return None,
            }
        }
        Some((at, symbols, optional))
    }

    fn symbols(&mut self, node: Node<'_>) -> Vec<Spanned<String>> {
        children(node).map(|n| self.string(&n)).collect()
    }
}
