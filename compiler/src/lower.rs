//! Typed expressions to the kernel's and to user space's, finding out on the way what has to be read and kept.

use profinfer_lang::diagnostic::Diagnostic;

use crate::catalogue::{self, Catalogue, Template};
use crate::faults::{mismatch, told_at};
use crate::plan::{
    self, Accum, Capture, CaptureValue, Check, Expr, Gate, Gathered, KeyField, KeySource, Parts, Point, Series,
    UserExpr,
};
use crate::ratio::is_fixed;
use crate::resolve::{Resolver, Scope};
use crate::typed::{CallValue, Common, Kind, Part, PartHow, PointId, Stage, Typed};
use crate::types::{CmpOp, Type};

/// What user space wants an expression for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A key that is shown.
    Key,
    /// Something that rows are told apart by and that is not shown.
    Hidden,
    /// Part of an event that is sent by itself: there are no rows.
    Event,
}

/// Builds the points of a plan while clauses ask for them.
pub(crate) struct Lowering<'a> {
    resolver: &'a Resolver<'a>,
    /// The points so far.
    pub points: Vec<Point>,
    /// The parts of needed points, of which nothing is put together.
    parts: Vec<Option<Parts>>,
    /// What is lowered is done for each part.
    in_parts: bool,
    /// The point at whose start a text is read.
    reading_at: Option<PointId>,
    /// Fields are kept by themselves, and all that is made of them is computed when the event ends.
    pub by_fields: bool,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(resolver: &'a Resolver<'a>) -> Self {
        let points = resolver
            .catalogue()
            .points
            .iter()
            .map(|p| Point {
                name: p.name.clone(),
                used: false,
                wanted: false,
                optional: true,
                template: p.template,
                starts: p.starts.clone(),
                stops: p.stops.clone(),
                state_by: Vec::new(),
                aside: false,
                only: None,
                only_return: None,
                mark: None,
                team: None,
                each: None,
                parts: None,
                within: p.within.clone(),
                gate: gate(resolver.catalogue(), p),
                step: p.fields.contains_key("step"),
                captures: Vec::new(),
                accums: Vec::new(),
                series: Vec::new(),
                counters: Vec::new(),
                checks: Vec::new(),
                silent: p.silent.clone(),
                of_script: p.of_script,
                called: p.called.clone(),
            })
            .collect();
        let parts = vec![None; resolver.catalogue().points.len()];
        Self { resolver, points, parts, in_parts: false, reading_at: None, by_fields: false }
    }

    /// Marks a point as needed, and with it what its events are counted in.
    pub(crate) fn need(&mut self, id: PointId) -> Result<(), Diagnostic> {
        if std::mem::replace(&mut self.points[id].used, true) {
            return Ok(());
        }
        self.whole(|this| this.describe(id))
    }

    /// Lowers something that the kernel computes as a whole, whatever it is made of.
    fn whole<T>(&mut self, lower: impl FnOnce(&mut Self) -> T) -> T {
        let by_fields = std::mem::replace(&mut self.by_fields, false);
        let lowered = lower(self);
        self.by_fields = by_fields;
        lowered
    }

    /// What the engine's description says of a point that is needed.
    fn describe(&mut self, id: PointId) -> Result<(), Diagnostic> {
        let info = &self.resolver.catalogue().points[id];
        let inside = Scope { point: Some(id), inside: true, locals: &[] };
        for key in &info.state_by {
            let key = self.resolver.expr(key, inside, None)?;
            let key = self.open(&key)?;
            self.points[id].state_by.push(key);
        }
        if let Some(only) = &info.only {
            let only = self.resolver.condition(only, inside)?;
            self.points[id].only = Some(self.open(&only)?);
        }
        if let Some(only) = &info.only_return {
            let only = self.resolver.condition(only, inside)?;
            self.points[id].only_return = Some(self.close(&only, id)?);
        }
        if let Some([number, size]) = &info.team {
            let of = self.resolver.expr(number, inside, None)?;
            let of = self.open(&of)?;
            if self.points[id].state_by.last() != Some(&of) {
                return Err(Diagnostic::error("PI0210", "a thread's number in its team is the last of `state by`")
                    .at(number.span, "not the last there")
                    .help("write: state by (p.threadpool, p.ith) … team (p.ith < p.nth)"));
            }
            let size = self.resolver.expr(size, inside, None)?;
            self.points[id].team = Some(self.open(&size)?);
        }
        for (condition, message) in &info.checks {
            let condition = self.resolver.condition(condition, inside)?;
            let mut leaves = Vec::new();
            let text = condition.to_string();
            let condition = self.check_expr(&condition, &mut leaves)?;
            self.points[id].checks.push(Check { leaves, condition, text, message: message.clone() });
        }
        if let Some(parts) = &info.parts {
            self.parts[id] = Some(self.read_parts(id, parts)?);
        }
        if !info.each.is_empty() {
            let mut numbers = Vec::new();
            for (name, of) in &info.each {
                let of = self.resolver.expr(of, inside, None)?;
                let value = CaptureValue::Number(self.open(&of)?);
                let text = format!("{}s", name.node);
                numbers.push(self.capture(id, Capture { text, value, ty: Type::Int }));
            }
            // Rows of a span are a matrix of one column.
            let one = Capture { text: "one".to_owned(), value: CaptureValue::Number(Expr::Const(1)), ty: Type::Int };
            let columns = numbers.get(1).copied().unwrap_or_else(|| self.capture(id, one));
            self.points[id].each = Some([numbers[0], columns]);
            if info.parts.is_some() {
                // A row without a part has no event.
                self.part(id, &Part { how: PartHow::Count, value: None }, "part_count()".to_owned())?;
            }
        }
        match self.points[id].gate {
            Gate::Run => Ok(()),
            Gate::Inside(outer) | Gate::Step(outer) => self.need(outer),
        }
    }

    /// A number that each part has.
    fn of_each_part(&mut self, e: &Typed) -> Result<Expr, Diagnostic> {
        self.in_parts = true;
        let lowered = self.open(e);
        self.in_parts = false;
        lowered
    }

    /// The parts of a point, of which nothing is put together yet.
    fn read_parts(&mut self, id: PointId, info: &catalogue::Parts) -> Result<Parts, Diagnostic> {
        let inside = Scope { point: Some(id), inside: true, locals: &[] };
        let number = self.resolver.expr(&info.number, inside, Some(&Type::Int))?;
        let row = self.resolver.of_each_part(|resolver| resolver.expr(&info.row, inside, Some(&Type::Int)))?;
        if let Some(wrong) = [&number, &row].into_iter().find(|e| e.ty != Type::Int) {
            return Err(mismatch(wrong, &Type::Int));
        }
        Ok(Parts { number: self.open(&number)?, row: self.of_each_part(&row)?, gathered: Vec::new() })
    }

    /// Something put together of a point's parts: its index.
    fn part(&mut self, id: PointId, part: &Part, text: String) -> Result<usize, Diagnostic> {
        self.need(id)?;
        let Some(mut parts) = self.points[id].parts.take().or_else(|| self.parts[id].clone()) else {
            return Err(Diagnostic::error("PI0210", format!("`{}` has no `parts`", self.points[id].name)));
        };
        let value = part.value.as_ref().map(|v| self.of_each_part(v)).transpose()?;
        let index = index_of(&mut parts.gathered, Gathered { text, how: part.how, value });
        self.points[id].parts = Some(parts);
        Ok(index)
    }

    /// A number known when an event begins, as written for its start.
    pub(crate) fn open(&mut self, e: &Typed) -> Result<Expr, Diagnostic> {
        let pair = |this: &mut Self, ab: &[Typed; 2]| -> Result<Box<[Expr; 2]>, Diagnostic> {
            Ok(Box::new([this.open(&ab[0])?, this.open(&ab[1])?]))
        };
        // A text is read at its event's start, and may hang on what an enclosing one has read at its own.
        if let (Some(at), Stage::Open(owner)) = (self.reading_at, e.stage())
            && owner != at
        {
            self.reading_at = None;
            let value = self.need_for(owner, e).and_then(|()| self.open(e)).map(CaptureValue::Number);
            self.reading_at = Some(at);
            let capture = Capture { text: e.to_string(), value: value?, ty: e.ty.clone() };
            return Ok(Expr::Capture(owner, self.capture(owner, capture)));
        }
        Ok(match &e.kind {
            Kind::Int(n) => Expr::Const(*n),
            Kind::Bool(b) => Expr::Const(i64::from(*b)),
            Kind::Absent => Expr::Absent,
            Kind::Word(of, word) => Expr::Word(of.clone(), word.clone()),
            Kind::Arg(_, name) => Expr::Arg(name.clone()),
            Kind::Call(_, value @ CallValue::Function) => Expr::Call(*value),
            Kind::Stack(_) => Expr::Stack,
            Kind::PartIndex(_) if self.in_parts => Expr::PartIndex,
            Kind::Part(owner, part) if !part.how.is_of_row() && !self.in_parts => {
                Expr::Part(*owner, self.part(*owner, part, e.to_string())?)
            }
            Kind::Load { base, place, index, mem: Some(mem) } => Expr::Load {
                base: Box::new(self.open(base)?),
                place: place.clone(),
                index: match index {
                    Some((i, scale)) => Some((Box::new(self.open(i)?), *scale)),
                    None => None,
                },
                mem: *mem,
            },
            Kind::First(all) => Expr::First(all.iter().map(|e| self.open(e)).collect::<Result<_, _>>()?),
            Kind::If(c) => Expr::If(Box::new([self.open(&c[0])?, self.open(&c[1])?, self.open(&c[2])?])),
            Kind::Arith(op, ab) => Expr::Arith(*op, pair(self, ab)?),
            Kind::Cmp(op, ab) => Expr::Cmp(*op, pair(self, ab)?),
            Kind::And(ab) => Expr::And(pair(self, ab)?),
            Kind::Or(ab) => Expr::Or(pair(self, ab)?),
            Kind::Not(a) => Expr::Not(Box::new(self.open(a)?)),
            Kind::Neg(a) => Expr::Neg(Box::new(self.open(a)?)),
            Kind::Has(a) if a.is_kernel_text() => Expr::Has(Box::new(match &a.kind {
                Kind::Load { base, .. } => self.open(base)?,
                _ => return Err(cannot(e)),
            })),
            // A null pointer leads to nothing.
            Kind::Has(a) if a.ty.is_pointer() => Expr::Cmp(CmpOp::Ne, Box::new([self.open(a)?, Expr::Const(0)])),
            Kind::Has(a) => Expr::Has(Box::new(self.open(a)?)),
            Kind::Matches(a, p) => Expr::Matches(Box::new(self.open(a)?), enum_of(&a.ty), p.clone()),
            Kind::Float32(a) => Expr::Float32(Box::new(self.open(a)?)),
            Kind::Steps(a, p, q) => Expr::Steps(Box::new(self.open(a)?), *p, *q),
            Kind::AddressOf(a) => self.open(a)?,
            _ => return Err(cannot(e)),
        })
    }

    /// Whether what a script makes of an enclosing event has a value where there is none: it cannot be kept in that one's
    /// record then. A field of that event is absent as a whole.
    fn is_script_on_enclosing(&self, e: &Typed, owner: PointId, point: PointId) -> bool {
        let turns = matches!(e.kind, Kind::Not(_) | Kind::If(_) | Kind::First(_));
        owner != point && e.name.is_none() && if self.points[point].of_script { turns } else { asks(e) }
    }

    /// As [`need`](Self::need), for an expression of the script: faults of the description are told at it.
    fn need_for(&mut self, id: PointId, e: &Typed) -> Result<(), Diagnostic> {
        let name = format!("`{}`", self.points[id].name);
        self.need(id).map_err(|d| told_at(d, e.span, &name))
    }

    /// A number known when an event of `point` ends.
    pub(crate) fn close(&mut self, e: &Typed, point: PointId) -> Result<Expr, Diagnostic> {
        match e.stage() {
            Stage::Const => return self.open(e),
            Stage::Open(owner) if self.is_script_on_enclosing(e, owner, point) => {}
            Stage::Open(owner) if self.by_fields && is_made(e) => {
                let value = self.close_node(e, point)?;
                if owner == point {
                    return Ok(value);
                }
                // As if it were kept in the record of the enclosing event: nothing where there is none.
                let there = Expr::Has(Box::new(Expr::Start(owner)));
                let value = Expr::If(Box::new([there, value, Expr::Absent]));
                let outside = e.ty == Type::Bool && self.points[point].of_script;
                return Ok(if outside { Expr::First(vec![value, Expr::Const(0)]) } else { value });
            }
            Stage::Open(owner) => {
                self.need_for(owner, e)?;
                self.keep_large(e, owner)?;
                let value = CaptureValue::Number(self.open(e)?);
                let i = self.capture(owner, Capture { text: e.to_string(), value, ty: e.ty.clone() });
                let held = Expr::Capture(owner, i);
                // Of what is not there nothing holds.
                let is_truth =
                    e.ty == Type::Bool && e.name.is_none() && !matches!(e.kind, Kind::Load { .. } | Kind::Arg(..));
                let outside = owner != point && self.points[point].of_script;
                return Ok(if is_truth && outside { Expr::First(vec![held, Expr::Const(0)]) } else { held });
            }
            Stage::User => return Err(cannot(e)),
            Stage::Close => {}
        }
        self.close_node(e, point)
    }

    /// As [`close`](Self::close), part by part.
    fn close_node(&mut self, e: &Typed, point: PointId) -> Result<Expr, Diagnostic> {
        let pair = |this: &mut Self, ab: &[Typed; 2]| -> Result<Box<[Expr; 2]>, Diagnostic> {
            Ok(Box::new([this.close(&ab[0], point)?, this.close(&ab[1], point)?]))
        };
        Ok(match &e.kind {
            Kind::Dur(of) if *of == point => Expr::Dur,
            Kind::UntilMark(of) if *of == point => {
                self.need_mark(point, e);
                Expr::UntilMark
            }
            Kind::Counter(of, counter) if *of == point => {
                // What the others of a team counted, thread 0 cannot read when it ends their last step.
                if self.resolver.catalogue().points[point].team.is_some() {
                    self.need_mark(point, e);
                }
                Expr::Counter(index_of(&mut self.points[point].counters, *counter))
            }
            Kind::Dur(of) | Kind::UntilMark(of) | Kind::Counter(of, _) => {
                let name = &self.points[*of].name;
                return Err(Diagnostic::error("PI0213", format!("`{name}.{e}` is not known while the event is open"))
                    .at(e.span, "known only at its end")
                    .help(format!("gather it on its own point: on {name} < sum({e}) >")));
            }
            Kind::Call(of, value) if *of == point => Expr::Call(*value),
            Kind::Start(of) => {
                self.need_for(*of, e)?;
                Expr::Start(*of)
            }
            Kind::Common(Common::Pid) => Expr::Pid,
            Kind::Common(Common::Tid) => Expr::Tid,
            Kind::Common(Common::Cpu) => Expr::Cpu,
            Kind::Accum(owner, a) => {
                if *owner != point {
                    return Err(Diagnostic::error("PI0213", "this is not known while the enclosing event is open")
                        .at(e.span, "known only at its end")
                        .help(format!("use it on its own point, `{}`", self.points[*owner].name)));
                }
                self.need_for(*owner, e)?;
                self.need_for(a.of, e)?;
                let value = a.value.as_ref().map(|v| self.whole(|this| this.close(v, a.of))).transpose()?;
                let accum = Accum { text: self.text_of(e), how: a.how, of: a.of, value };
                Expr::Accum(*owner, index_of(&mut self.points[*owner].accums, accum))
            }
            Kind::Element(owner, i) if *owner == point => Expr::Element(*i),
            Kind::Part(owner, part) if *owner == point => Expr::Part(point, self.part(point, part, e.to_string())?),
            Kind::Float32(a) => Expr::Float32(Box::new(self.close(a, point)?)),
            Kind::Steps(a, p, q) => Expr::Steps(Box::new(self.close(a, point)?), *p, *q),
            Kind::AddressOf(a) => self.close(a, point)?,
            Kind::Load { base, place, index, mem: Some(mem) } => Expr::Load {
                base: Box::new(self.close(base, point)?),
                place: place.clone(),
                index: match index {
                    Some((i, scale)) => Some((Box::new(self.close(i, point)?), *scale)),
                    None => None,
                },
                mem: *mem,
            },
            Kind::Series(owner, _) if self.resolver.catalogue().points[*owner].team.is_some() => {
                return Err(Diagnostic::error("PI0210", "nothing is carried from event to event of a team")
                    .at(e.span, "its threads have events at the same time"));
            }
            Kind::Series(owner, s) => {
                self.need_for(*owner, e)?;
                let all = |this: &mut Self, of: &[Typed]| {
                    of.iter().map(|e| this.close(e, *owner)).collect::<Result<Vec<_>, _>>()
                };
                let inputs = self.whole(|this| all(this, &s.inputs))?;
                let keys = self.whole(|this| all(this, &s.keys))?;
                let series = Series { text: self.text_of(e), how: s.how, inputs, keys };
                Expr::Series(*owner, index_of(&mut self.points[*owner].series, series))
            }
            Kind::First(all) => Expr::First(all.iter().map(|e| self.close(e, point)).collect::<Result<_, _>>()?),
            Kind::If(c) => {
                Expr::If(Box::new([self.close(&c[0], point)?, self.close(&c[1], point)?, self.close(&c[2], point)?]))
            }
            Kind::Arith(op, ab) => Expr::Arith(*op, pair(self, ab)?),
            Kind::Cmp(op, ab) => Expr::Cmp(*op, pair(self, ab)?),
            Kind::And(ab) => Expr::And(pair(self, ab)?),
            Kind::Or(ab) => Expr::Or(pair(self, ab)?),
            Kind::Not(a) => Expr::Not(Box::new(self.close(a, point)?)),
            Kind::Neg(a) => Expr::Neg(Box::new(self.close(a, point)?)),
            Kind::Has(a) if a.ty.is_pointer() => {
                Expr::Cmp(CmpOp::Ne, Box::new([self.close(a, point)?, Expr::Const(0)]))
            }
            Kind::Has(a) => Expr::Has(Box::new(self.close(a, point)?)),
            Kind::Matches(a, p) => Expr::Matches(Box::new(self.close(a, point)?), enum_of(&a.ty), p.clone()),
            _ => return Err(cannot(e)),
        })
    }

    /// The mark of a point is to be probed, for that field.
    fn need_mark(&mut self, point: PointId, e: &Typed) {
        let site = self.resolver.catalogue().points[point].mark.clone();
        let field = e.to_string();
        let known = self.points[point].mark.take();
        self.points[point].mark = known.or_else(|| Some(plan::Mark { site: site?, field }));
    }

    /// How a gathered or carried value is called: by its field's name, else by what it does.
    fn text_of(&self, e: &Typed) -> String {
        let name = |of: PointId| self.points[of].name.as_str();
        match (&e.name, &e.kind) {
            (None, Kind::Accum(_, a)) => {
                let how = a.how.word();
                a.value
                    .as_ref()
                    .map_or_else(|| format!("{how}({})", name(a.of)), |value| format!("{how}({}.{value})", name(a.of)))
            }
            _ => e.to_string(),
        }
    }

    /// Keeps large fields that `e` is made of by themselves, so that each is computed once, however often it stands there.
    pub(crate) fn keep_large(&mut self, e: &Typed, owner: PointId) -> Result<(), Diagnostic> {
        /// Parts of a field from which on it is large.
        const LARGE: usize = 100;
        if self.in_parts || self.by_fields || e.stage() != Stage::Open(owner) {
            return Ok(());
        }
        for child in e.children() {
            if child.name.is_some() && child.stage() == Stage::Open(owner) && child.is_larger_than(LARGE) {
                let value = CaptureValue::Number(self.open(child)?);
                self.capture(owner, Capture { text: child.to_string(), value, ty: child.ty.clone() });
            } else {
                self.keep_large(child, owner)?;
            }
        }
        Ok(())
    }

    fn capture(&mut self, owner: PointId, capture: Capture) -> usize {
        index_of(&mut self.points[owner].captures, capture)
    }

    /// Text that the kernel copies at the start of an event.
    fn text(&mut self, e: &Typed) -> Result<(CaptureValue, u32), Diagnostic> {
        fn loads<'t>(e: &'t Typed, into: &mut Vec<&'t Typed>) {
            match &e.kind {
                Kind::First(all) => all.iter().for_each(|e| loads(e, into)),
                _ => into.push(e),
            }
        }
        let len = match e.ty {
            Type::Str(len) if len > 0 => len,
            _ => return Err(cannot(e)),
        };
        if matches!(e.kind, Kind::Common(Common::Comm)) {
            return Ok((CaptureValue::Comm, 16));
        }
        if let Kind::Arg(_, name) = &e.kind {
            return Ok((CaptureValue::ArgText(name.clone(), len), len));
        }
        let mut all = Vec::new();
        loads(e, &mut all);
        let mut sources = Vec::new();
        for load in all {
            match &load.kind {
                Kind::Load { base, place, index: None, mem: None } => {
                    sources.push((self.open(base)?, place.clone()));
                }
                _ => return Err(cannot(load)),
            }
        }
        Ok((CaptureValue::Text(sources, len), len))
    }

    /// A user-space expression over key fields, which are added as they are needed.
    pub(crate) fn user(
        &mut self,
        e: &Typed,
        point: PointId,
        fields: &mut Vec<KeyField>,
        want: Want,
    ) -> Result<UserExpr, Diagnostic> {
        if e.is_kernel_text() {
            let owner = if e.is_of(point) { point } else { e.owner().unwrap_or(point) };
            self.need_for(owner, e)?;
            self.reading_at = Some(owner);
            let text = self.text(e);
            self.reading_at = None;
            let (value, len) = text?;
            let i = self.capture(owner, Capture { text: e.to_string(), value, ty: e.ty.clone() });
            let source = KeySource::Text(owner, i, len);
            let text = self.qualified(&e.to_string(), Some(owner), point);
            let field = KeyField { text, source, ty: e.ty.clone() };
            return Ok(UserExpr::Field(index_of(fields, field)));
        }
        match e.stage() {
            Stage::User => {}
            Stage::Const if user_constant(e).is_some() => return Ok(user_constant(e).unwrap_or(UserExpr::Absent)),
            stage => {
                if want == Want::Hidden && stage == Stage::Close && e.ty.is_quantity() && !is_word_like(e) {
                    return Err(Diagnostic::error("PI0316", "this condition would need a row for every event")
                        .at(e.span, "differs from event to event")
                        .help("join conditions with `and`: each part is then decided where it can be")
                        .help("multiply rather than divide: (dur > 2 * x), not (dur / x > 2)"));
                }
                if is_fixed(e) && want != Want::Event {
                    return Err(Diagnostic::error("PI0316", "a ratio as a key would need a row for every event")
                        .at(e.span, "hardly ever twice the same")
                        .help(format!("round it down: bucket({e}, 0.1)")));
                }
                let source = KeySource::Number(self.close(e, point)?);
                let owner = if e.name.is_some() { e.owner() } else { None };
                let field = KeyField { text: self.qualified(&e.to_string(), owner, point), source, ty: e.ty.clone() };
                return Ok(UserExpr::Field(index_of(fields, field)));
            }
        }
        let value = self.user_node(e, &mut |this, e| this.user(e, point, fields, want))?;
        Ok(match &e.name {
            Some(name) => UserExpr::Named(self.qualified(name, e.owner(), point), Box::new(value)),
            None => value,
        })
    }

    /// The thread whose event it is: of a team the one that began it, since another one may end it.
    pub(crate) fn own_thread(&mut self, point: PointId) -> Expr {
        if self.resolver.catalogue().points[point].team.is_none() {
            return Expr::Tid;
        }
        let tid = Capture { text: "tid".to_owned(), value: CaptureValue::Number(Expr::Tid), ty: Type::Int };
        Expr::Capture(point, self.capture(point, tid))
    }

    /// A field's name as seen at `point`.
    fn qualified(&self, name: &str, owner: Option<PointId>, point: PointId) -> String {
        match owner {
            Some(owner) if owner != point => format!("{}.{name}", self.points[owner].name),
            _ => name.to_owned(),
        }
    }

    fn check_expr(&mut self, e: &Typed, leaves: &mut Vec<Capture>) -> Result<UserExpr, Diagnostic> {
        if e.is_kernel_text() {
            let (value, _) = self.text(e)?;
            let leaf = Capture { text: e.to_string(), value, ty: e.ty.clone() };
            return Ok(UserExpr::Field(index_of(leaves, leaf)));
        }
        if let Some(constant) = user_constant(e) {
            return Ok(constant);
        }
        if matches!(e.kind, Kind::Load { .. } | Kind::Arg(..)) {
            let value = CaptureValue::Number(self.open(e)?);
            let ty = if matches!(e.ty, Type::Enum(_)) { Type::Int } else { e.ty.clone() };
            let leaf = Capture { text: e.to_string(), value, ty };
            return Ok(UserExpr::Field(index_of(leaves, leaf)));
        }
        self.user_node(e, &mut |this, e| this.check_expr(e, leaves))
    }

    fn user_node(
        &mut self,
        e: &Typed,
        go: &mut dyn FnMut(&mut Self, &Typed) -> Result<UserExpr, Diagnostic>,
    ) -> Result<UserExpr, Diagnostic> {
        let mut all = |this: &mut Self, es: &[Typed]| -> Result<Vec<UserExpr>, Diagnostic> {
            es.iter().map(|e| go(this, e)).collect()
        };
        if let Some(constant) = user_constant(e) {
            return Ok(constant);
        }
        let two = |mut v: Vec<UserExpr>| -> Box<[UserExpr; 2]> {
            let b = v.pop().unwrap_or(UserExpr::Absent);
            let a = v.pop().unwrap_or(UserExpr::Absent);
            Box::new([a, b])
        };
        Ok(match &e.kind {
            Kind::First(es) => UserExpr::First(all(self, es)?),
            Kind::Concat(es) => UserExpr::Concat(all(self, es)?),
            Kind::If(es) => {
                let mut v = all(self, es.as_slice())?.into_iter();
                let mut next = || v.next().unwrap_or(UserExpr::Absent);
                UserExpr::If(Box::new([next(), next(), next()]))
            }
            Kind::Arith(op, es) => UserExpr::Arith(*op, two(all(self, es.as_slice())?)),
            Kind::Cmp(op, es) => UserExpr::Cmp(*op, two(all(self, es.as_slice())?)),
            Kind::And(es) => UserExpr::And(two(all(self, es.as_slice())?)),
            Kind::Or(es) => UserExpr::Or(two(all(self, es.as_slice())?)),
            Kind::Not(a) => UserExpr::Not(Box::new(go(self, a)?)),
            Kind::Neg(a) => UserExpr::Neg(Box::new(go(self, a)?)),
            Kind::Has(a) => UserExpr::Has(Box::new(go(self, a)?)),
            Kind::Readable(a) => UserExpr::Readable(Box::new(go(self, a)?)),
            Kind::Matches(a, p) => UserExpr::Matches(Box::new(go(self, a)?), p.clone()),
            Kind::NumberAfter(a, mark) => UserExpr::NumberAfter(Box::new(go(self, a)?), mark.clone()),
            Kind::Select(a, cases) => {
                let of = go(self, a)?;
                let cases =
                    cases.iter().map(|(g, v)| Ok((g.clone(), go(self, v)?))).collect::<Result<Vec<_>, Diagnostic>>()?;
                UserExpr::Select(Box::new(of), cases)
            }
            _ => return Err(cannot(e)),
        })
    }
}

/// When events of a point count: see [`Gate`].
fn gate(catalogue: &Catalogue, p: &crate::catalogue::Point) -> Gate {
    // Functions that a script names are counted wherever they are called, and the kernel's events wherever they come.
    if p.called.is_some() || p.template.is_kernel() {
        return Gate::Run;
    }
    let is_step = |id: &PointId| catalogue.points[*id].fields.contains_key("step");
    match (p.template, p.within.first(), p.within.iter().find(|id| is_step(id))) {
        (Template::Sequence, Some(&inner), _) => Gate::Inside(inner),
        (_, _, Some(&step)) => Gate::Step(step),
        _ => Gate::Run,
    }
}

/// The place of `item` in `all`, where it is added if it is new.
pub(crate) fn index_of<T: PartialEq>(all: &mut Vec<T>, item: T) -> usize {
    match all.iter().position(|x| *x == item) {
        Some(i) => i,
        None => {
            all.push(item);
            all.len() - 1
        }
    }
}

fn enum_of(ty: &Type) -> Option<String> {
    match ty {
        Type::Enum(name) => Some(name.clone()),
        _ => None,
    }
}

/// Whether it is no field, and no number as it lies in a register or in memory: it is made of such.
fn is_made(e: &Typed) -> bool {
    let node = match &e.kind {
        // Whether there is a text is known by its address alone.
        Kind::Has(a) => !a.is_kernel_text(),
        Kind::First(_) | Kind::If(_) | Kind::Arith(..) | Kind::Cmp(..) | Kind::And(_) | Kind::Or(_) => true,
        Kind::Not(_) | Kind::Neg(_) | Kind::Matches(..) | Kind::Steps(..) => true,
        _ => false,
    };
    node && e.name.is_none()
}

/// Whether a script asks in it if something is there: of an enclosing event that is not, it has an answer.
fn asks(e: &Typed) -> bool {
    e.name.is_none() && (matches!(e.kind, Kind::Has(_)) || e.children().into_iter().any(asks))
}

/// Numbers that name things rather than measure them: few distinct values.
fn is_word_like(e: &Typed) -> bool {
    matches!(e.kind, Kind::Common(_)) || matches!(e.ty, Type::Bool | Type::Enum(_))
}

fn user_constant(e: &Typed) -> Option<UserExpr> {
    Some(match &e.kind {
        Kind::Int(n) => UserExpr::Int(*n),
        Kind::Float(x) => UserExpr::Float(*x),
        Kind::Str(s) => UserExpr::Str(s.clone()),
        Kind::Bool(b) => UserExpr::Bool(*b),
        Kind::Absent => UserExpr::Absent,
        Kind::Word(_, word) => UserExpr::Str(word.clone()),
        Kind::EnumCount(name) => UserExpr::EnumCount(name.clone()),
        _ => return None,
    })
}

pub(crate) fn cannot(e: &Typed) -> Diagnostic {
    let d = Diagnostic::error("PI0317", "the kernel cannot compute this").at(e.span, format!("{}", e.ty));
    match &e.ty {
        Type::Array(_, _, n) => d.help(format!("write which element: [0] to [{}]", n.saturating_sub(1))),
        Type::Str(_) => d.help("texts can be keys and be held against patterns, not added up"),
        Type::Ratio | Type::PerSecond | Type::BytesPerSecond => {
            d.help("the kernel has whole numbers only: divide the columns, sum(a) / sum(b)")
        }
        t if t.is_quantity() => {
            d.help("the kernel has whole numbers only: use whole numbers, or compute with the columns")
        }
        _ => d.help("use it as a key or in a condition of its own"),
    }
}

impl plan::Plan {
    /// A capture's type, wherever it belongs.
    pub fn capture_type(&self, point: PointId, index: usize) -> &Type {
        &self.points[point].captures[index].ty
    }
}
