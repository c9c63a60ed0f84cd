//! Columns that are composed: of other columns by name, and of aggregations by functions, conditions and texts.

use profinfer_lang::ast::{self, BinaryOp, ExprKind, UnaryOp};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Columns, not_a_number, operation};
use crate::faults::HelpNear;
use crate::joined::{Draft, DraftKind};
use crate::plan::{Ceiling, ColumnExpr};
use crate::resolve::{AGGREGATES, Scope};
use crate::typed::Kind;
use crate::types::{CmpOp, Type};
use crate::walk::{size, walk};

/// Functions of columns, as they are used.
const FUNCTIONS: &[(&str, &str)] = &[
    ("if", "if(condition, a, b)"),
    ("first", "first(a, b, …)"),
    ("has", "has(a)"),
    ("concat", "concat(a, \"text\", …)"),
    ("min", "min(a, b)"),
    ("max", "max(a, b)"),
    ("ceiling", "ceiling(\"memory\", threads)"),
];

/// Whether `e` is composed: names another column outside of aggregations, or does more than arithmetic with aggregations.
fn is_composed(e: &ast::Expr, is_column: &dyn Fn(&str) -> bool) -> bool {
    match &e.kind {
        ExprKind::Name(name) => is_column(name),
        ExprKind::Paren(a) | ExprKind::Unary(_, a) => is_composed(a, is_column),
        ExprKind::Binary(_, a, b) => is_composed(a, is_column) || is_composed(b, is_column),
        ExprKind::Call { name, .. } if name.node == "ceiling" => true,
        ExprKind::Call { name, args } if !is_aggregation(&name.node, args.len()) => {
            args.iter().any(|a| is_composed(&a.value, is_column) || aggregates(&a.value))
        }
        _ => false,
    }
}

/// Whether there is an aggregation in it.
fn aggregates(e: &ast::Expr) -> bool {
    match &e.kind {
        ExprKind::Paren(a) | ExprKind::Unary(_, a) => aggregates(a),
        ExprKind::Binary(_, a, b) => aggregates(a) || aggregates(b),
        ExprKind::Call { name, args } => {
            is_aggregation(&name.node, args.len()) || args.iter().any(|a| aggregates(&a.value))
        }
        _ => false,
    }
}

fn is_aggregation(name: &str, args: usize) -> bool {
    AGGREGATES.contains(&name) && !(matches!(name, "min" | "max") && args == 2)
}

impl Columns<'_, '_> {
    /// A composed column, and of what its type is made.
    pub(super) fn composed(&mut self, e: &ast::Expr) -> Result<(ColumnExpr, Draft), Diagnostic> {
        let span = e.span;
        let drafted = |value, kind| Ok((value, Draft { kind, span }));
        match &e.kind {
            ExprKind::Str(text) => drafted(ColumnExpr::Text(text.clone()), DraftKind::Known(Type::Str(0))),
            ExprKind::Name(name) if name == "absent" => drafted(ColumnExpr::Absent, DraftKind::Known(Type::Absent)),
            ExprKind::Param(_) => {
                let value = self.resolver.expr(e, Scope::clause(self.point), None)?;
                match value.kind {
                    Kind::Str(text) => drafted(ColumnExpr::Text(text), DraftKind::Known(Type::Str(0))),
                    _ => self.plain(e),
                }
            }
            _ if !self.is_composed(e) && !is_condition(e) => self.plain(e),
            ExprKind::Name(name) => Ok((ColumnExpr::Column(name.clone()), Draft::named(name, span))),
            ExprKind::Paren(inner) => self.composed(inner),
            ExprKind::Unary(op, inner) => {
                let (value, draft) = self.composed(inner)?;
                match op {
                    UnaryOp::Neg => drafted(ColumnExpr::Neg(Box::new(value)), DraftKind::Neg(Box::new(draft))),
                    UnaryOp::Not => drafted(ColumnExpr::Not(Box::new(value)), DraftKind::Truths(vec![draft])),
                }
            }
            ExprKind::Binary(op, a, b) => {
                let ((va, da), (vb, db)) = (self.composed(a)?, self.composed(b)?);
                let (values, drafts) = (Box::new([va, vb]), [da, db]);
                match (op, comparison(*op)) {
                    (_, Some(op)) => drafted(ColumnExpr::Cmp(op, values), DraftKind::Compared(Box::new(drafts))),
                    (BinaryOp::And, _) => drafted(ColumnExpr::And(values), DraftKind::Truths(drafts.into())),
                    (BinaryOp::Or, _) => drafted(ColumnExpr::Or(values), DraftKind::Truths(drafts.into())),
                    (BinaryOp::Eq | BinaryOp::Ne, _) => {
                        Err(Diagnostic::error("PI0311", "columns are compared by order")
                            .at(span, "not by `=`")
                            .help("write < <= > >="))
                    }
                    _ => {
                        let op = operation(*op, span)?;
                        drafted(ColumnExpr::Arith(op, values), DraftKind::Arith(op, Box::new(drafts)))
                    }
                }
            }
            ExprKind::Call { name, args } => self.function(&name.node, args, e),
            _ => Err(Diagnostic::error("PI0311", "a column is a number or a text").at(span, "here")),
        }
    }

    pub(super) fn is_composed(&self, e: &ast::Expr) -> bool {
        is_composed(e, &|name| self.is_column(name))
    }

    /// What is made of the table's own slots and constants.
    fn plain(&mut self, e: &ast::Expr) -> Result<(ColumnExpr, Draft), Diagnostic> {
        let (value, ty) = self.column(e)?;
        if value.is_picture() {
            return Err(not_a_number(e.span));
        }
        Ok((value, Draft { kind: DraftKind::Known(ty), span: e.span }))
    }

    fn function(
        &mut self,
        name: &str,
        args: &[ast::CallArg],
        e: &ast::Expr,
    ) -> Result<(ColumnExpr, Draft), Diagnostic> {
        if let Some(body) = self.put_in_place(name, args, e.span)? {
            return self.composed(&body);
        }
        let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let known = FUNCTIONS.iter().map(|(name, _)| *name);
            return Err(Diagnostic::error("PI0206", format!("no function of columns is called `{name}`"))
                .at(e.span, "unknown")
                .help_near(name, known.clone(), &format!("of columns: {}", known.collect::<Vec<_>>().join(" "))));
        };
        let wrong = || {
            Diagnostic::error("PI0306", format!("`{name}` takes other arguments"))
                .at(e.span, "here")
                .help(format!("usage: {usage}"))
        };
        if args.iter().any(|a| a.name.is_some()) {
            return Err(wrong());
        }
        if name == "ceiling" {
            let [what, threads] = args else { return Err(wrong()) };
            return self.ceiling(&what.value, &threads.value, e.span);
        }
        let fits = match name {
            "if" => args.len() == 3,
            "has" => args.len() == 1,
            "min" | "max" => args.len() == 2,
            _ => !args.is_empty(),
        };
        if !fits {
            return Err(wrong());
        }
        let (mut values, mut drafts) = (Vec::new(), Vec::new());
        for arg in args {
            let (value, draft) = self.composed(&arg.value)?;
            values.push(value);
            drafts.push(draft);
        }
        let (value, kind) = match (name, <[ColumnExpr; 3]>::try_from(values)) {
            ("if", Ok(three)) => (ColumnExpr::If(Box::new(three)), DraftKind::Chosen(drafts)),
            (_, three) => {
                let mut values = three.map_or_else(|values| values, Vec::from);
                match (name, drafts.len()) {
                    ("concat", _) => {
                        let texts = values.into_iter().map(|v| (v, Type::Absent)).collect();
                        (ColumnExpr::Concat(texts), DraftKind::Concat(drafts))
                    }
                    ("has", 1) => {
                        (ColumnExpr::Has(Box::new(values.remove(0))), DraftKind::Presence(Box::new(drafts.remove(0))))
                    }
                    ("min", _) => (ColumnExpr::Least(values), DraftKind::Alike(drafts)),
                    ("max", _) => (ColumnExpr::Greatest(values), DraftKind::Alike(drafts)),
                    _ => (ColumnExpr::First(values), DraftKind::Alike(drafts)),
                }
            }
        };
        Ok((value, Draft { kind, span: e.span }))
    }

    /// A function of the script with its arguments in the places of its parameters, if it is one.
    fn put_in_place(&self, name: &str, args: &[ast::CallArg], span: Span) -> Result<Option<ast::Expr>, Diagnostic> {
        let Some(function) = self.resolver.fns.get(name) else { return Ok(None) };
        if args.len() != function.params.len() || args.iter().any(|a| a.name.is_some()) {
            let params: Vec<&str> = function.params.iter().map(|p| p.node.as_str()).collect();
            return Err(Diagnostic::error("PI0306", format!("`{name}` takes other arguments"))
                .at(span, "here")
                .note(function.name.span, "defined here")
                .help(format!("usage: {name}({})", params.join(", "))));
        }
        let mut body = function.body.clone();
        let mut copied = size(&body);
        walk(&mut body, &mut |e| {
            let ExprKind::Name(name) = &e.kind else { return true };
            if let Some(at) = function.params.iter().position(|p| p.node == *name) {
                copied += size(&args[at].value);
                *e = args[at].value.clone();
            }
            false
        });
        self.resolver.spend(copied, span)?;
        Ok(Some(body))
    }

    /// What the machine can do at most with so many threads.
    fn ceiling(
        &mut self,
        what: &ast::Expr,
        threads: &ast::Expr,
        span: Span,
    ) -> Result<(ColumnExpr, Draft), Diagnostic> {
        let word = match &what.kind {
            ExprKind::Str(word) => word.as_str(),
            _ => "",
        };
        let Some(ceiling) = Ceiling::ALL.into_iter().find(|c| c.word() == word) else {
            let words = Ceiling::ALL.map(|c| format!("{:?}", c.word()));
            return Err(Diagnostic::error("PI0306", "no ceiling is called so")
                .at(what.span, "unknown")
                .help(format!("ceilings: {}", words.join(", "))));
        };
        let (value, draft) = self.composed(threads)?;
        Ok((
            ColumnExpr::Ceiling(ceiling, Box::new(value)),
            Draft { kind: DraftKind::Ceiling(ceiling, Box::new(draft)), span },
        ))
    }
}

/// Whether it is a truth value for sure.
fn is_condition(e: &ast::Expr) -> bool {
    match &e.kind {
        ExprKind::Paren(inner) => is_condition(inner),
        ExprKind::Unary(op, _) => *op == UnaryOp::Not,
        ExprKind::Binary(op, ..) => {
            comparison(*op).is_some() || matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Eq | BinaryOp::Ne)
        }
        ExprKind::Call { name, .. } => matches!(name.node.as_str(), "if" | "concat" | "has"),
        _ => false,
    }
}

fn comparison(op: BinaryOp) -> Option<CmpOp> {
    Some(match op {
        BinaryOp::Lt => CmpOp::Lt,
        BinaryOp::Le => CmpOp::Le,
        BinaryOp::Gt => CmpOp::Gt,
        BinaryOp::Ge => CmpOp::Ge,
        _ => return None,
    })
}
