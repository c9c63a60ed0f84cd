//! Expressions: flat lists of operands and operators become trees, by precedence.

use std::iter::Peekable;

use profinfer_grammar::Rule;

use super::build::{Builder, Node, children};
use super::lexical;
use crate::ast::{BinaryOp, CallArg, Expr, ExprKind, Ident, UnaryOp};
use crate::span::Span;

/// How deep a tree may be; passes that walk it are recursive.
const MAX_DEPTH: u32 = 200;

/// How strongly `not` binds: weaker than a comparison, stronger than `and`.
const NOT: u8 = 3;

/// How strongly a sign binds.
const NEG: u8 = 7;

/// An expression and how deep it is.
struct Deep {
    expr: Expr,
    depth: u32,
}

impl Builder<'_> {
    /// An `arith`, a `cond` or an operand.
    pub(super) fn expr(&mut self, node: Node<'_>) -> Option<Expr> {
        Some(self.deep(node)?.expr)
    }

    /// An operand: a number, a string, a truth value, a place, a signed number.
    pub(super) fn primary(&mut self, node: Node<'_>) -> Option<Expr> {
        Some(self.operand(node)?.expr)
    }

    fn deep(&mut self, node: Node<'_>) -> Option<Deep> {
        match node.as_rule() {
            Rule::arith | Rule::cond => {
                let mut parts = children(node).peekable();
                self.climb(&mut parts, 0)
            }
            _ => self.operand(node),
        }
    }

    /// Reads operands and operators that bind at least as strongly as `least`.
    fn climb<'i>(&mut self, parts: &mut Peekable<impl Iterator<Item = Node<'i>>>, least: u8) -> Option<Deep> {
        let first = parts.next()?;
        let mut left = match first.as_rule() {
            Rule::minus => self.unary(UnaryOp::Neg, NEG, self.span(&first), parts)?,
            Rule::not_op => self.unary(UnaryOp::Not, NOT, self.span(&first), parts)?,
            _ => self.operand(first)?,
        };
        while let Some((op, strength)) = parts.peek().and_then(|n| binary(n.as_str())) {
            if strength < least {
                break;
            }
            parts.next();
            let right = self.climb(parts, strength + 1)?;
            let span = left.expr.span.to(right.expr.span);
            let depth = left.depth.max(right.depth) + 1;
            if depth > MAX_DEPTH {
                self.too_deep(right.expr.span);
                continue;
            }
            let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(right.expr));
            left = Deep { expr: Expr { kind, span }, depth };
        }
        Some(left)
    }

    fn unary<'i>(
        &mut self,
        op: UnaryOp,
        strength: u8,
        sign: Span,
        parts: &mut Peekable<impl Iterator<Item = Node<'i>>>,
    ) -> Option<Deep> {
        let inside = self.climb(parts, strength)?;
        let span = sign.to(inside.expr.span);
        Some(Deep { depth: inside.depth + 1, expr: Expr { kind: ExprKind::Unary(op, Box::new(inside.expr)), span } })
    }

    fn operand(&mut self, node: Node<'_>) -> Option<Deep> {
        let span = self.span(&node);
        let flat = |kind| Some(Deep { expr: Expr { kind, span }, depth: 1 });
        match node.as_rule() {
            Rule::number => {
                let number = self.number(&node);
                flat(ExprKind::Number(number))
            }
            Rule::string => {
                let text = self.string(&node).node;
                flat(ExprKind::Str(text))
            }
            Rule::boolean => flat(ExprKind::Bool(node.as_str() == "true")),
            Rule::param => flat(ExprKind::Param(node.as_str().trim_start_matches('$').to_owned())),
            Rule::name | Rule::word => flat(ExprKind::Name(node.as_str().to_owned())),
            Rule::cond_pattern => {
                let pattern = self.pattern(node)?;
                Some(Deep { expr: Expr { span: pattern.span, kind: ExprKind::Pattern(Box::new(pattern)) }, depth: 1 })
            }
            Rule::signed => {
                let mut parts = children(node).peekable();
                self.climb(&mut parts, 0)
            }
            Rule::paren => {
                let inside = self.deep(children(node).next()?)?;
                let kind = ExprKind::Paren(Box::new(inside.expr));
                Some(Deep { depth: inside.depth + 1, expr: Expr { kind, span } })
            }
            Rule::call => self.call(node),
            Rule::place => self.place(node),
            _ => None,
        }
    }

    /// An operand and its `.member`s and `[index]`es.
    fn place(&mut self, node: Node<'_>) -> Option<Deep> {
        let mut parts = children(node);
        let mut base = self.operand(parts.next()?)?;
        for part in parts {
            let span = base.expr.span.to(self.span(&part));
            let rule = part.as_rule();
            let inside = children(part).next()?;
            let (kind, depth) = if rule == Rule::member {
                let name = self.ident(&inside);
                (ExprKind::Member(Box::new(base.expr), name), base.depth + 1)
            } else {
                let index = self.deep(inside)?;
                let depth = base.depth.max(index.depth) + 1;
                (ExprKind::Index(Box::new(base.expr), Box::new(index.expr)), depth)
            };
            base = Deep { expr: Expr { kind, span }, depth };
            if base.depth > MAX_DEPTH {
                self.too_deep(base.expr.span);
                break;
            }
        }
        Some(base)
    }

    /// The arguments of what is written as a call: those behind the first may have names.
    pub(super) fn arguments<'n>(&mut self, nodes: impl Iterator<Item = Node<'n>>) -> Option<Vec<CallArg>> {
        nodes.enumerate().map(|(i, node)| Some(self.arg(node, i > 0)?.0)).collect()
    }

    fn call(&mut self, node: Node<'_>) -> Option<Deep> {
        let span = self.span(&node);
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let mut args = Vec::new();
        let mut depth = 0;
        for part in parts {
            let may_name = !args.is_empty() && name.node != "if";
            let (arg, arg_depth) = self.arg(part, may_name)?;
            depth = depth.max(arg_depth);
            args.push(arg);
        }
        Some(Deep { expr: Expr { kind: ExprKind::Call { name, args }, span }, depth: depth + 1 })
    }

    /// One argument. `k=2` names it where `may_name`, else it compares.
    fn arg(&mut self, node: Node<'_>, may_name: bool) -> Option<(CallArg, u32)> {
        let mut parts = children(node);
        let from = parts.next()?;
        let (name, from) = if may_name { self.named(from)? } else { (None, self.deep(from)?) };
        let Some(to) = parts.next() else {
            return Some((CallArg { name, value: from.expr }, from.depth));
        };
        let to = self.deep(to)?;
        let span = from.expr.span.to(to.expr.span);
        let kind = ExprKind::Range(Box::new(from.expr), Box::new(to.expr));
        Some((CallArg { name, value: Expr { kind, span } }, from.depth.max(to.depth) + 1))
    }

    /// Takes `word =` off the front of a condition.
    fn named(&mut self, cond: Node<'_>) -> Option<(Option<Ident>, Deep)> {
        let mut ahead = children(cond.clone());
        let word = ahead.next().filter(|n| n.as_rule() == Rule::place).and_then(|place| {
            let mut inside = children(place);
            inside.next().filter(|n| n.as_rule() == Rule::name && inside.next().is_none())
        });
        let equals = ahead.next().is_some_and(|n| n.as_rule() == Rule::eq_op && n.as_str() == "=");
        let Some(word) = word.filter(|_| equals) else {
            return Some((None, self.deep(cond)?));
        };
        let name = self.ident(&word);
        let mut rest = children(cond).skip(2).peekable();
        Some((Some(name), self.climb(&mut rest, 0)?))
    }

    /// Told once; what is too deep is left out of the tree.
    fn too_deep(&mut self, span: Span) {
        if !self.diagnostics.iter().any(|d| d.code == "PI0003") {
            self.diagnostics.push(lexical::nesting(span));
        }
    }
}

/// The operator of this text, and how strongly it binds.
fn binary(text: &str) -> Option<(BinaryOp, u8)> {
    Some(match text {
        "or" => (BinaryOp::Or, 1),
        "and" => (BinaryOp::And, 2),
        "=" => (BinaryOp::Eq, 4),
        "!=" => (BinaryOp::Ne, 4),
        "<" => (BinaryOp::Lt, 4),
        "<=" => (BinaryOp::Le, 4),
        ">" => (BinaryOp::Gt, 4),
        ">=" => (BinaryOp::Ge, 4),
        "+" => (BinaryOp::Add, 5),
        "-" => (BinaryOp::Sub, 5),
        "*" => (BinaryOp::Mul, 6),
        "/" => (BinaryOp::Div, 6),
        "%" => (BinaryOp::Rem, 6),
        _ => return None,
    })
}
