//! Columns: aggregations to slots of the kernel's value, arithmetic between them to user space.

mod composed;

use std::collections::HashSet;

use profinfer_lang::ast::{self, BinaryOp, ExprKind, UnaryOp};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use crate::aggs::no_number;
use crate::events::not_alone;
use crate::faults::{HelpNear, consequence, mismatch, with_unit_hint};
use crate::joined::Draft;
use crate::lower::{Lowering, Want, cannot, index_of};
use crate::plan::{ColumnExpr, Expr, FIXED_ONE, KeyField, Linear, OutColumn, Slot, SlotHow, UserExpr};
use crate::resolve::{AGGREGATES, Resolver, SCALARS, Scope};
use crate::texts::EVENT_COLUMNS;
use crate::typed::{Kind, PointId, Stage, Typed};
use crate::types::{ArithOp, Type, arithmetic};

/// Buckets per power of two of a quantile's histogram, as a power of two.
pub const QUANTILE_K: u32 = 5;

/// Buckets of `lhist` at most.
const MAX_BUCKETS: i64 = 1_000;

/// Where a slot's number comes from: the kernel, or what user space makes of the key fields.
type Source = (Option<Expr>, Option<UserExpr>);

/// The columns of one table.
pub(crate) struct Collected {
    pub(crate) slots: Vec<Slot>,
    pub(crate) columns: Vec<OutColumn>,
    /// Where each column is written.
    pub(crate) spans: Vec<Span>,
    /// Key fields that slots need.
    pub(crate) key: Vec<KeyField>,
    /// Columns that are made of others, by their place.
    pub(crate) drafts: Vec<(usize, Draft)>,
}

/// Collects the columns of one table.
pub(crate) struct Columns<'c, 'a> {
    resolver: &'c Resolver<'a>,
    lowering: &'c mut Lowering<'a>,
    point: PointId,
    slots: Vec<Slot>,
    columns: Vec<OutColumn>,
    /// Every sum has a count of its own, so that groups of one table lie alike whatever may be absent in them.
    uniform: bool,
    /// Names of columns of the same table.
    names: HashSet<String>,
    /// Columns that are made of others.
    drafts: Vec<(usize, Draft)>,
    /// Where each column is written.
    spans: Vec<Span>,
    /// What user space makes numbers of.
    key: Vec<KeyField>,
    /// The operand at hand is the gap of what it says.
    gap: bool,
}

impl<'c, 'a> Columns<'c, 'a> {
    pub(crate) fn new(
        resolver: &'c Resolver<'a>,
        lowering: &'c mut Lowering<'a>,
        point: PointId,
        uniform: bool,
        names: HashSet<String>,
    ) -> Self {
        Self {
            resolver,
            lowering,
            point,
            slots: Vec::new(),
            columns: Vec::new(),
            uniform,
            names,
            drafts: Vec::new(),
            spans: Vec::new(),
            key: Vec::new(),
            gap: false,
        }
    }

    /// All that was collected.
    pub(crate) fn finish(self) -> Collected {
        let Self { slots, columns, spans, key, drafts, .. } = self;
        Collected { slots, columns, spans, key, drafts }
    }

    fn push(&mut self, column: OutColumn, c: &ast::Column) {
        self.columns.push(column);
        self.spans.push(c.name.as_ref().map_or(c.expr.span, |n| n.span));
    }

    /// Adds a column; `quantile` with several shares and `stats` add several.
    pub(crate) fn add(&mut self, name: String, c: &ast::Column) -> Result<(), Diagnostic> {
        if let ExprKind::Call { name: f, args } = &c.expr.kind
            && f.node == "stats"
        {
            return self.stats(&name, args, c);
        }
        if let ExprKind::Call { name: f, args } = &c.expr.kind
            && f.node == "quantile"
            && args.len() > 2
        {
            let (of, slot) = self.quantile_slot(args, c.expr.span)?;
            for share in &args[1..] {
                let p = self.share_of_one(&share.value)?;
                let name = match &c.name {
                    Some(given) => format!("{}_p{}", given.node, (p * 1e8).round() / 1e6),
                    None => {
                        name.rsplitn(args.len(), ',').last().map_or_else(String::new, |head| format!("{head},{p})"))
                    }
                };
                self.push(OutColumn { name, ty: of.clone(), value: ColumnExpr::Quantile(slot, p) }, c);
            }
            return Ok(());
        }
        if self.is_composed(&c.expr) {
            let (value, draft) = self.composed(&c.expr)?;
            self.drafts.push((self.columns.len(), draft));
            self.push(OutColumn { name, ty: Type::Absent, value }, c);
            return Ok(());
        }
        let (value, ty) = self.column(&c.expr)?;
        if !has_slot(&value) {
            return Err(Diagnostic::error("PI0311", "a column needs an aggregation")
                .at(c.expr.span, "nothing is counted or added up here")
                .help("wrap it: sum(x), avg(x), max(x), hist(x); or make it a key behind `by`"));
        }
        self.push(OutColumn { name, ty, value }, c);
        Ok(())
    }

    /// Number, average, smallest and largest of a value.
    fn stats(&mut self, name: &str, args: &[ast::CallArg], c: &ast::Column) -> Result<(), Diagnostic> {
        let [ast::CallArg { name: None, value }] = args else {
            return Err(Diagnostic::error("PI0306", "`stats` takes other arguments")
                .at(c.expr.span, "here")
                .help("usage: stats(x): count, avg, min and max of x"));
        };
        let of = self.operand(value)?;
        let gap = self.gap;
        let slot = |this: &mut Self, how| {
            this.gap = gap;
            this.number_slot(how, &of)
        };
        let (sum, present) = slot(self, SlotHow::Sum)?;
        let (smallest, _) = slot(self, SlotHow::Min)?;
        let (largest, _) = slot(self, SlotHow::Max)?;
        let n = present.unwrap_or_else(|| self.slot(SlotHow::Count, None, false));
        let average = if of.ty == Type::Int { Type::Ratio } else { of.ty.clone() };
        for (part, ty, value) in [
            ("count", Type::Int, ColumnExpr::Slot(n, None)),
            ("avg", average, ColumnExpr::Avg(sum, n)),
            ("min", of.ty.clone(), ColumnExpr::Slot(smallest, present)),
            ("max", of.ty.clone(), ColumnExpr::Slot(largest, present)),
        ] {
            self.push(OutColumn { name: format!("{name}.{part}"), ty, value }, c);
        }
        Ok(())
    }

    /// Whether a name is that of a column of the same table. A constant of the script comes first, and a field never
    /// stands outside of an aggregation.
    fn is_column(&self, name: &str) -> bool {
        self.names.contains(name) && !self.resolver.constants.contains_key(name)
    }

    fn column(&mut self, e: &ast::Expr) -> Result<(ColumnExpr, Type), Diagnostic> {
        match &e.kind {
            ExprKind::Paren(inner) => self.column(inner),
            ExprKind::Unary(UnaryOp::Neg, inner) => {
                let (value, ty) = self.column(inner)?;
                if value.is_picture() {
                    return Err(not_a_number(e.span));
                }
                Ok((ColumnExpr::Neg(Box::new(value)), ty))
            }
            ExprKind::Binary(op, a, b) => {
                let op = operation(*op, e.span)?;
                let ((va, ta), (vb, tb)) = (self.column(a)?, self.column(b)?);
                if va.is_picture() || vb.is_picture() {
                    return Err(not_a_number(e.span));
                }
                let ty = units(op, (&ta, a.span), (&tb, b.span), e.span)?;
                Ok((ColumnExpr::Arith(op, Box::new([va, vb])), ty))
            }
            ExprKind::Call { name, args } if AGGREGATES.contains(&name.node.as_str()) => {
                self.aggregate(&name.node, args, e.span)
            }
            ExprKind::Call { name, .. } if EVENT_COLUMNS.contains(&name.node.as_str()) => {
                Err(not_alone(&name.node, e.span))
            }
            ExprKind::Call { name, .. } if self.resolver.broken.contains(&name.node) => Err(consequence(e.span)),
            ExprKind::Call { name, .. } if !self.is_scalar(&name.node) => {
                let names = AGGREGATES.iter().copied().chain(self.resolver.aggs.keys().map(String::as_str));
                Err(Diagnostic::error("PI0206", format!("no column function is called `{}`", name.node))
                    .at(name.span, "unknown")
                    .help_near(&name.node, names, &format!("columns: {}", AGGREGATES.join(" "))))
            }
            _ => {
                let value = self.resolver.expr(e, Scope::clause(self.point), None)?;
                match (&value.kind, &value.ty) {
                    (Kind::Int(n), ty) => Ok((ColumnExpr::Const(*n as f64), ty.clone())),
                    (Kind::Float(x), ty) => Ok((ColumnExpr::Const(*x), ty.clone())),
                    (_, ty) => Err(Diagnostic::error("PI0311", "a column needs an aggregation")
                        .at(e.span, format!("{ty} of each single event"))
                        .help("wrap it: sum(x), avg(x), max(x), hist(x); or make it a key behind `by`")),
                }
            }
        }
    }

    fn is_scalar(&self, name: &str) -> bool {
        SCALARS.contains(&name)
            || name.contains('.')
            || self.resolver.fns.contains_key(name)
            || self.resolver.catalogue().fns.contains_key(name)
    }

    fn aggregate(&mut self, name: &str, args: &[ast::CallArg], span: Span) -> Result<(ColumnExpr, Type), Diagnostic> {
        let usage = |text: &str| {
            Diagnostic::error("PI0306", format!("`{name}` takes other arguments"))
                .at(span, "here")
                .help(format!("usage: {text}"))
        };
        let one = |this: &mut Self| match args {
            [only] if only.name.is_none() => this.operand(&only.value),
            _ => Err(usage(&format!("{name}(x)"))),
        };
        match name {
            "count" => match args {
                [] => Ok((ColumnExpr::Slot(self.slot(SlotHow::Count, None, false), None), Type::Int)),
                _ => Err(usage("count()").help("to count some events, put the condition into where ( … )")),
            },
            "min" | "max" if args.len() == 2 => {
                Err(Diagnostic::error("PI0311", format!("`{name}` of two values is a value, not a column"))
                    .at(span, "nothing is counted or added up here")
                    .help(format!("wrap it: sum({name}(a, b)), hist({name}(a, b))")))
            }
            "stats" => Err(no_number(name, span)),
            "sum" | "min" | "max" => {
                let of = one(self)?;
                let how = match name {
                    "sum" => SlotHow::Sum,
                    "min" => SlotHow::Min,
                    _ => SlotHow::Max,
                };
                let (slot, present) = self.number_slot(how, &of)?;
                Ok((ColumnExpr::Slot(slot, present), of.ty))
            }
            "avg" => {
                let of = one(self)?;
                let (sum, present) = self.number_slot(SlotHow::Sum, &of)?;
                let n = present.unwrap_or_else(|| self.slot(SlotHow::Count, None, false));
                let ty = if of.ty == Type::Int { Type::Ratio } else { of.ty };
                Ok((ColumnExpr::Avg(sum, n), ty))
            }
            "share" => {
                let of = one(self)?;
                let (sum, present) = self.number_slot(SlotHow::Sum, &of)?;
                Ok((ColumnExpr::Share(sum, present), Type::Ratio))
            }
            "rate" => {
                let of = match args {
                    [] => {
                        let count = self.slot(SlotHow::Count, None, false);
                        return Ok((ColumnExpr::Rate(count, None), Type::PerSecond));
                    }
                    _ => one(self)?,
                };
                let (sum, present) = self.number_slot(SlotHow::Sum, &of)?;
                let ty = match of.ty {
                    Type::Bytes => Type::BytesPerSecond,
                    Type::Duration => Type::Ratio,
                    _ => Type::PerSecond,
                };
                Ok((ColumnExpr::Rate(sum, present), ty))
            }
            "hist" => {
                let (of, k) = match args {
                    [of] if of.name.is_none() => (of, 0),
                    [of, k] if of.name.is_none() && k.name.as_ref().is_some_and(|n| n.node == "k") => {
                        match self.resolver.expr(&k.value, Scope::constant(), None)?.kind {
                            Kind::Int(k @ 0..=8) => (of, k as u32),
                            _ => {
                                return Err(Diagnostic::error("PI0323", "k is 0 to 8")
                                    .at(k.value.span, "2^k buckets per power of two"));
                            }
                        }
                    }
                    _ => return Err(usage("hist(x), hist(x, k=2)")),
                };
                let of = self.operand(&of.value)?;
                let slot = self.hist_slot(&of, SlotHow::Hist(k))?;
                Ok((ColumnExpr::Hist(slot), of.ty))
            }
            "lhist" => {
                let [of, range, width] = args else { return Err(usage(LHIST)) };
                let is_width = width.name.as_ref().is_some_and(|n| n.node == "width");
                let (true, ExprKind::Range(from, to)) = (of.name.is_none() && is_width, &range.value.kind) else {
                    return Err(usage(LHIST));
                };
                let of = self.operand(&of.value)?;
                let linear = self.linear(&of.ty, [from, to, &width.value], span)?;
                let slot = self.hist_slot(&of, SlotHow::Linear(linear))?;
                Ok((ColumnExpr::Hist(slot), of.ty))
            }
            "quantile" => match args {
                [_, share] => {
                    let p = self.share_of_one(&share.value)?;
                    let (ty, slot) = self.quantile_slot(args, span)?;
                    Ok((ColumnExpr::Quantile(slot, p), ty))
                }
                _ => Err(usage("quantile(x, 0.5)")),
            },
            "last" => {
                let of = one(self)?;
                let (slot, _) = self.number_slot(SlotHow::Last, &of)?;
                Ok((ColumnExpr::Slot(slot, None), of.ty))
            }
            "distinct" => {
                let [of] = args else { return Err(usage("distinct(x)")) };
                let slot = self.values_slot(SlotHow::Distinct, of, None)?;
                Ok((ColumnExpr::Distinct(slot), Type::Int))
            }
            "lru" | "pinned" => {
                let how = if name == "lru" { SlotHow::Lru } else { SlotHow::Pinned };
                let (of, cache) = match args {
                    [of] if of.name.is_none() => (of, None),
                    [of, cache] if of.name.is_none() && cache.name.is_none() => (of, Some(cache)),
                    _ => return Err(usage(&format!("{0}(x), or {0}(x, cache) with a cache for each value", name))),
                };
                Ok((ColumnExpr::HitRates(self.values_slot(how, of, cache)?), Type::Ratio))
            }
            "slope" => {
                let [of, against] = args else { return Err(usage("slope(y, x)")) };
                let of = self.operand(&of.value)?;
                let gap = std::mem::take(&mut self.gap);
                let x = self.operand(&against.value)?;
                if std::mem::take(&mut self.gap) {
                    return Err(Diagnostic::error("PI0306", "`gap` is no axis to measure along")
                        .at(against.value.span, "the second argument of `slope`")
                        .help("usage: slope(gap(y), x): the gap is what rises"));
                }
                let Some(ty) = arithmetic(ArithOp::Div, &of.ty, &x.ty) else {
                    return Err(Diagnostic::error("PI0302", format!("a slope of {} over {}", of.ty, x.ty))
                        .at(span, "units do not go together"));
                };
                let ((y, derived), (against, against_derived)) = (self.source(&of)?, self.source(&x)?);
                let slot = Slot {
                    how: SlotHow::Slope,
                    of: y,
                    nullable: true,
                    fixed: of.ty == Type::Ratio,
                    against,
                    against_fixed: x.ty == Type::Ratio,
                    derived,
                    against_derived,
                    gap,
                };
                Ok((ColumnExpr::Slope(index_of(&mut self.slots, slot)), ty))
            }
            other => {
                Err(Diagnostic::error("PI0206", format!("no column function is called `{other}`")).at(span, "unknown"))
            }
        }
    }

    /// A slot for values that are told apart, not added up: numbers or words; kept for each value of `cache` by itself.
    fn values_slot(
        &mut self,
        how: SlotHow,
        of: &ast::CallArg,
        cache: Option<&ast::CallArg>,
    ) -> Result<usize, Diagnostic> {
        let (of, derived) = self.told_apart(of)?;
        let (against, against_derived) = cache.map(|cache| self.told_apart(cache)).transpose()?.unwrap_or_default();
        let slot = Slot { how, of, nullable: true, derived, against, against_derived, ..Slot::count() };
        Ok(index_of(&mut self.slots, slot))
    }

    fn told_apart(&mut self, arg: &ast::CallArg) -> Result<Source, Diagnostic> {
        let of = self.resolver.expr(&arg.value, Scope::clause(self.point), None)?;
        if !of.ty.is_kernel_number() || (of.stage() == Stage::User && !reads_text(&of)) {
            return Err(cannot(&of));
        }
        self.source(&of)
    }

    fn quantile_slot(&mut self, args: &[ast::CallArg], span: Span) -> Result<(Type, usize), Diagnostic> {
        let Some(of) = args.first().filter(|_| args.iter().all(|a| a.name.is_none())) else {
            return Err(Diagnostic::error("PI0306", "`quantile` takes other arguments")
                .at(span, "here")
                .help("usage: quantile(x, 0.5, 0.99)"));
        };
        let of = self.operand(&of.value)?;
        let slot = self.hist_slot(&of, SlotHow::Hist(QUANTILE_K))?;
        Ok((of.ty, slot))
    }

    fn share_of_one(&self, e: &ast::Expr) -> Result<f64, Diagnostic> {
        let p = match self.resolver.expr(e, Scope::constant(), None)?.kind {
            Kind::Float(x) => x,
            Kind::Int(n) => n as f64,
            _ => f64::NAN,
        };
        if (0.0..=1.0).contains(&p) {
            Ok(p)
        } else {
            Err(Diagnostic::error("PI0323", "a quantile is a number from 0 to 1").at(e.span, "not between 0 and 1"))
        }
    }

    /// A quantity the kernel can add up, or the `gap` of one.
    fn operand(&mut self, e: &ast::Expr) -> Result<Typed, Diagnostic> {
        self.gap = false;
        if let ExprKind::Call { name, args } = &e.kind
            && name.node == "gap"
        {
            let [of] = args.as_slice() else {
                return Err(Diagnostic::error("PI0306", "`gap` takes other arguments")
                    .at(e.span, "here")
                    .help("usage: gap(x): its difference to the event before with the same key"));
            };
            let of = self.operand(&of.value)?;
            self.gap = true;
            return Ok(of);
        }
        let of = self.resolver.expr(e, Scope::clause(self.point), None)?;
        if of.ty.is_quantity() && of.stage() != Stage::User {
            return Ok(of);
        }
        if of.ty == Type::Bool && (of.stage() != Stage::User || reads_text(&of)) {
            return Ok(Typed { ty: Type::Int, ..of });
        }
        if of.ty.is_quantity() && reads_text(&of) {
            return Ok(of);
        }
        if matches!(of.ty, Type::Str(_) | Type::Enum(_)) {
            return Err(Diagnostic::error("PI0307", format!("{} cannot be added up", of.ty))
                .at(e.span, "not a quantity")
                .help("make it a key: < count() by op >"));
        }
        Err(cannot(&of))
    }

    fn slot(&mut self, how: SlotHow, of: Option<Expr>, nullable: bool) -> usize {
        index_of(&mut self.slots, Slot { how, of, nullable, ..Slot::count() })
    }

    /// Where a number comes from. What is made of a name is computed in user space, from key fields.
    fn source(&mut self, of: &Typed) -> Result<Source, Diagnostic> {
        if !reads_text(of) || of.stage() != Stage::User {
            return Ok((Some(self.lowering.close(of, self.point)?), None));
        }
        let derived = self.lowering.user(of, self.point, &mut self.key, Want::Hidden).map_err(|d| match d.code {
            "PI0316" => {
                Diagnostic::error("PI0317", "a name and a number of each single event cannot be added up together")
                    .at(of.span, "the name is looked at in user space, once for each row")
                    .help("put what is made of the name into where ( … ), or behind `by`: < sum(dur) by layer >")
            }
            _ => d,
        })?;
        Ok((None, Some(derived)))
    }

    /// The range of `lhist` and its width, in the unit of the values.
    fn linear(&mut self, ty: &Type, [from, to, width]: [&ast::Expr; 3], span: Span) -> Result<Linear, Diagnostic> {
        let number = |e: &ast::Expr| {
            let value = self.resolver.expr(e, Scope::constant(), None)?;
            match value.kind {
                Kind::Int(n) if value.ty == *ty => Ok((n as f64, n)),
                Kind::Int(n) if *ty == Type::Ratio && value.ty == Type::Int => Ok((n as f64, n)),
                Kind::Float(x) if value.ty == *ty => Ok((x, 0)),
                _ => Err(mismatch(&Typed { span: e.span, ..value }, ty)),
            }
        };
        let ((from_real, lo), (to_real, hi), (width_real, step)) = (number(from)?, number(to)?, number(width)?);
        let fault = |text: String, label: &str| Diagnostic::error("PI0323", text).at(span, label);
        if !(from_real < to_real && width_real > 0.0) {
            return Err(fault(
                "the range of `lhist` holds nothing".to_owned(),
                "from the smaller to the larger, in steps above 0",
            )
            .help(format!("usage: {LHIST}")));
        }
        let steps = (to_real - from_real) / width_real;
        if steps.round() > MAX_BUCKETS as f64 {
            return Err(fault(format!("{} buckets are too many", steps.round()), "at most 1,000 of them")
                .help("take a larger width, or hist(x, k=2), whose buckets grow with the values"));
        }
        let whole = match ty {
            Type::Ratio => (steps - steps.round()).abs() < 1e-6,
            _ => hi.checked_sub(lo).is_some_and(|range| range % step == 0),
        };
        let buckets = steps.round() as u32;
        if !whole || buckets == 0 {
            return Err(fault(
                "the range of `lhist` is no multiple of its width".to_owned(),
                "the last bucket would be a smaller one",
            )
            .help("end it at the start of a bucket: 0ms..10ms, width=2ms"));
        }
        if *ty != Type::Ratio {
            return Ok(Linear { lo, hi, buckets });
        }
        let one = FIXED_ONE as f64;
        // What the kernel multiplies stays below 2^63.
        if (to_real - from_real) * f64::from(buckets) >= one / 2.0 || from_real.abs().max(to_real.abs()) >= one / 2.0 {
            return Err(fault("the range of `lhist` is too large".to_owned(), "ratios are below 2147483648"));
        }
        Ok(Linear { lo: (from_real * one).round() as i64, hi: (to_real * one).round() as i64, buckets })
    }

    /// A slot for `of`, and where it may be absent a count of the events in which it is not.
    fn number_slot(&mut self, how: SlotHow, of: &Typed) -> Result<(usize, Option<usize>), Diagnostic> {
        let nullable = may_be_absent(of);
        let (expr, derived) = self.source(of)?;
        let fixed = of.ty == Type::Ratio;
        let gap = std::mem::take(&mut self.gap);
        let slot = Slot { how, of: expr, nullable: nullable || gap, fixed, derived, gap, ..Slot::count() };
        let present = Slot { how: SlotHow::Present, fixed: false, ..slot.clone() };
        let slot = index_of(&mut self.slots, slot);
        let present = (nullable || gap || self.uniform).then(|| index_of(&mut self.slots, present));
        Ok((slot, present))
    }

    fn hist_slot(&mut self, of: &Typed, how: SlotHow) -> Result<usize, Diagnostic> {
        let (expr, derived) = self.source(of)?;
        let gap = std::mem::take(&mut self.gap);
        let nullable = may_be_absent(of) || gap;
        let fixed = of.ty == Type::Ratio;
        let slot = Slot { how, of: expr, nullable, fixed, derived, gap, ..Slot::count() };
        Ok(index_of(&mut self.slots, slot))
    }
}

/// How `lhist` is used.
const LHIST: &str = "lhist(x, 0ms..10ms, width=1ms)";

/// Whether a number is found in a text.
fn reads_text(e: &Typed) -> bool {
    e.is_kernel_text() || e.children().into_iter().any(reads_text)
}

/// The arithmetic of an operator between columns.
fn operation(op: BinaryOp, span: Span) -> Result<ArithOp, Diagnostic> {
    Ok(match op {
        BinaryOp::Add => ArithOp::Add,
        BinaryOp::Sub => ArithOp::Sub,
        BinaryOp::Mul => ArithOp::Mul,
        BinaryOp::Div => ArithOp::Div,
        BinaryOp::Rem => ArithOp::Rem,
        _ => {
            return Err(Diagnostic::error("PI0311", "a column is a number, not a condition")
                .at(span, "a comparison")
                .help("put the condition into where ( … )"));
        }
    })
}

/// The type of `a op b` of two columns, each with its place.
pub(crate) fn units(op: ArithOp, a: (&Type, Span), b: (&Type, Span), span: Span) -> Result<Type, Diagnostic> {
    arithmetic(op, a.0, b.0).ok_or_else(|| {
        let d = Diagnostic::error("PI0302", format!("`{}` of {} and {}", op.symbol(), a.0, b.0))
            .at(span, "units do not go together")
            .note(a.1, a.0.to_string())
            .note(b.1, b.0.to_string());
        with_unit_hint(d, a.0, b.0)
    })
}

pub(crate) fn not_a_number(span: Span) -> Diagnostic {
    Diagnostic::error("PI0311", "a histogram or a curve is no number to compute with")
        .at(span, "here")
        .help("use sum(x), avg(x) or quantile(x, 0.5)")
}

/// Whether a number may be absent: it hangs on a pointer, an enclosing event or the event before.
pub(crate) fn may_be_absent(e: &Typed) -> bool {
    match &e.kind {
        Kind::Int(_) | Kind::Dur(_) | Kind::Common(_) | Kind::Bool(_) | Kind::Cmp(..) | Kind::Matches(..) => false,
        Kind::And(_) | Kind::Or(_) | Kind::Not(_) | Kind::Has(_) => false,
        // A division by zero is absent.
        Kind::Arith(ArithOp::Div | ArithOp::Rem, ab) if !matches!(ab[1].kind, Kind::Int(n) if n != 0) => true,
        Kind::Arith(_, ab) => ab.iter().any(may_be_absent),
        _ => true,
    }
}

fn has_slot(e: &ColumnExpr) -> bool {
    let is_slot = |e: &ColumnExpr| e.children().is_empty() && !matches!(e, ColumnExpr::Const(_));
    e.any(&is_slot)
}
