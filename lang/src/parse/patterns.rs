//! Points with their patterns, in clauses and probes; patterns in conditions.

use profinfer_grammar::Rule;

use super::build::{Builder, Node, children};
use crate::ast::{At, AtArg, Expr, ExprKind, Ident, Number, Pattern, PatternAlt, PatternKind, TypeRef, Unit};

impl Builder<'_> {
    /// The points of a clause or a probe.
    pub(super) fn ats(&mut self, node: Node<'_>) -> Option<Vec<At>> {
        children(node).map(|n| self.at(n)).collect()
    }

    fn at(&mut self, node: Node<'_>) -> Option<At> {
        let span = self.span(&node);
        let mut parts = children(node);
        let mut at = At { path: self.path(parts.next()?), args: Vec::new(), optional: false, span };
        for part in parts {
            match part.as_rule() {
                Rule::at_arg => at.args.push(self.at_arg(children(part).next()?)?),
                Rule::optional_mark => at.optional = true,
                _ => return None,
            }
        }
        Some(at)
    }

    fn at_arg(&mut self, node: Node<'_>) -> Option<AtArg> {
        if node.as_rule() == Rule::typed_arg {
            let (name, ty) = self.typed_arg(node)?;
            return Some(AtArg::Typed { name, ty });
        }
        let mut parts = children(node);
        let first = parts.next()?;
        if first.as_rule() != Rule::at_field {
            return Some(AtArg::Pattern { field: None, pattern: self.pattern(first)? });
        }
        let field = self.field(children(first).next()?)?;
        Some(AtArg::Pattern { field: Some(field), pattern: self.pattern(parts.next()?)? })
    }

    /// `name: type`
    pub(super) fn typed_arg(&mut self, node: Node<'_>) -> Option<(Ident, TypeRef)> {
        let mut parts = children(node);
        Some((self.ident(&parts.next()?), self.type_ref(parts.next()?)?))
    }

    /// `src0.type`, `ne[0]`
    fn field(&mut self, node: Node<'_>) -> Option<Expr> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let mut field = Expr { kind: ExprKind::Name(name.node), span: name.span };
        for part in parts {
            let span = field.span.to(self.span(&part));
            let rule = part.as_rule();
            let inside = children(part).next()?;
            let kind = if rule == Rule::member {
                ExprKind::Member(Box::new(field), self.ident(&inside))
            } else {
                let number = self.integer(inside)?;
                let index = ExprKind::Number(Number::Int(number.node as i64, Unit::None));
                ExprKind::Index(Box::new(field), Box::new(Expr { kind: index, span: number.span }))
            };
            field = Expr { kind, span };
        }
        Some(field)
    }

    /// `pattern`, `cond_pattern`
    pub(super) fn pattern(&mut self, node: Node<'_>) -> Option<Pattern> {
        let span = self.span(&node);
        let mut pattern = Pattern { negated: false, alts: Vec::new(), span };
        for part in children(node) {
            if part.as_rule() == Rule::negation {
                pattern.negated = true;
            } else if !matches!(part.as_rule(), Rule::logic_op | Rule::eq_op | Rule::cmp_op | Rule::has_star) {
                pattern.alts.push(self.alternative(part)?);
            }
        }
        (!pattern.alts.is_empty()).then_some(pattern)
    }

    fn alternative(&mut self, node: Node<'_>) -> Option<PatternAlt> {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::string => PatternKind::Str(self.string(&node).node),
            Rule::glob => PatternKind::Glob(node.as_str().to_owned()),
            Rule::range => {
                let (mut from, mut to) = (None, None);
                for bound in children(node) {
                    let rule = bound.as_rule();
                    let value = self.primary(children(bound).next()?)?;
                    *(if rule == Rule::range_from { &mut from } else { &mut to }) = Some(value);
                }
                PatternKind::Range { from, to }
            }
            Rule::signed | Rule::param => PatternKind::Value(self.primary(node)?),
            _ => return None,
        };
        Some(PatternAlt { kind, span })
    }
}
