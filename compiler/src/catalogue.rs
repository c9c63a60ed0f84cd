//! What an engine description (`scripts/engines/*.pi`) says, by name: structs, enums, functions, points and their fields.

mod node;

use std::sync::Arc;

use indexmap::IndexMap;
use profinfer_lang::ast;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

pub(crate) use self::node::applied;
pub use self::node::{Functions, NodeDef};
use crate::faults::twice;
use crate::typed::{CallValue, PointId};
use crate::types::{Mem, Type};

/// The longest text of a struct that is read, in bytes.
const MAX_TEXT: u64 = 256;

/// An engine description.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// `ggml`
    pub engine: String,
    /// What it is, for people.
    pub description: String,
    /// How it is recognised.
    pub condition: Option<Exports>,
    /// Structs of the engine.
    pub structs: IndexMap<String, Struct>,
    /// Enums of the engine.
    pub enums: IndexMap<String, Enum>,
    /// Functions usable in field definitions and scripts.
    pub fns: IndexMap<String, ast::FnDef>,
    /// Points in the order they are described.
    pub points: Vec<Point>,
    /// The points of the kernel, which a script has beside these.
    pub kernel: Option<Arc<Catalogue>>,
    /// What is known of the tracepoints that a script names, by `category:name`.
    pub tracepoints: IndexMap<String, Format>,
    /// It is the description of the kernel's points.
    of_kernel: bool,
}

/// What is known of a tracepoint of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Its own fields.
    Fields(Vec<TraceField>),
    /// The kernel has no such tracepoint; those that are near.
    Missing(Vec<String>),
    /// It could not be looked at, and why.
    Unreadable(String),
}

/// A field of a tracepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceField {
    /// Its name.
    pub name: String,
    /// Bytes from the start of the record.
    pub offset: u16,
    /// What is there.
    pub kind: TraceKind,
}

/// What a field of a tracepoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// A number of 1, 2, 4 or 8 bytes.
    Number(Mem),
    /// Text in the record itself, of so many bytes.
    Text(u16),
    /// Text behind the record, whose place and length are here.
    Behind,
}

/// A condition over the symbols that a file exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exports {
    /// `exports("symbol")`
    Symbol(String),
    /// Both hold.
    And(Box<Exports>, Box<Exports>),
    /// One holds.
    Or(Box<Exports>, Box<Exports>),
    /// It does not hold.
    Not(Box<Exports>),
}

impl Exports {
    /// Whether it holds for a file that exports what `has` says.
    pub fn holds(&self, has: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Symbol(s) => has(s),
            Self::And(a, b) => a.holds(has) && b.holds(has),
            Self::Or(a, b) => a.holds(has) || b.holds(has),
            Self::Not(a) => !a.holds(has),
        }
    }
}

/// A struct: one layout, or several of which the target's exports decide.
#[derive(Debug, Clone, Default)]
pub struct Struct {
    /// The layouts in the order they are described; the first that fits is taken.
    pub layouts: Vec<StructLayout>,
}

/// One layout of a struct.
#[derive(Debug, Clone)]
pub struct StructLayout {
    /// Which builds have it; all, where none is written.
    pub condition: Option<Exports>,
    /// Its fields.
    pub fields: IndexMap<String, Placed>,
}

impl Struct {
    /// The field as the first layout that has it describes it. Its type is the same in all; its offset may not be.
    pub fn field(&self, name: &str) -> Option<&Placed> {
        self.layouts.iter().find_map(|l| l.fields.get(name))
    }

    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layouts.iter().flat_map(|l| l.fields.keys()).map(String::as_str)
    }

    /// The layout of a target that exports what `has` says.
    pub fn layout(&self, has: &dyn Fn(&str) -> bool) -> Option<&StructLayout> {
        self.layouts.iter().find(|l| l.condition.as_ref().is_none_or(|c| c.holds(has)))
    }
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its type.
    pub ty: Type,
    /// How it lies in memory; none for text.
    pub mem: Option<Mem>,
    /// Bytes from the start of the struct.
    pub offset: u64,
}

/// An enum.
#[derive(Debug, Clone)]
pub struct Enum {
    /// Its `///` lines.
    pub docs: Vec<String>,
    /// The symbol of the table of names in the target; none if the numbers are fixed.
    pub table: Option<String>,
    /// Names and numbers as the description lists them.
    pub words: IndexMap<String, i64>,
    /// A script describes it, not the engine's description.
    pub of_script: bool,
}

/// How a point's events come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    /// One event per call, at the entry.
    Enter,
    /// One event per call, from entry to return.
    Span,
    /// One event from each start to the next on the same thread of the same pool, or to a stop.
    Sequence,
    /// One event for each element of a matrix, at the entry.
    Rows,
    /// As [`Span`](Self::Span), with an event of its own for calls from within a call: what scripts name by function.
    Call,
    /// One event per page fault that the kernel has served, from its beginning to its end.
    Fault,
    /// One event for each time that a thread is off the CPU, from there until it runs again.
    OffCpu,
    /// One event per read that a thread queues at a block device.
    Disk,
    /// One event per tick of a clock that a thread is met by.
    Sample,
    /// One event per hit of a tracepoint of the kernel by a thread.
    Tracepoint,
}

impl Template {
    /// Whether its events take time.
    pub fn lasts(self) -> bool {
        matches!(self, Self::Span | Self::Sequence | Self::Call | Self::Fault | Self::OffCpu)
    }

    /// Whether its events are the kernel's: no function of the target is probed for them.
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Fault | Self::OffCpu | Self::Disk | Self::Sample | Self::Tracepoint)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Span | Self::Call => "span",
            Self::Sequence => "sequence",
            Self::Rows => "rows",
            Self::Fault => "fault",
            Self::OffCpu => "off_cpu",
            Self::Disk => "disk",
            Self::Sample => "sample",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// A point.
#[derive(Debug, Clone)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Its `///` lines.
    pub docs: Vec<String>,
    /// How its events come about.
    pub template: Template,
    /// Where an event begins.
    pub starts: Vec<Start>,
    /// Where the open one ends without another beginning.
    pub stops: Vec<Stop>,
    /// What an open event is kept under.
    pub state_by: Vec<ast::Expr>,
    /// Arguments of its starts; what they lead to stays as it is until the stop.
    pub lasting: Vec<ast::Ident>,
    /// Hits that do not satisfy it are left at once.
    pub only: Option<ast::Expr>,
    /// What does not satisfy it when it ends is no event.
    pub only_return: Option<ast::Expr>,
    /// Where an open event goes over from work to waiting.
    pub mark: Option<Mark>,
    /// The number of a thread in its team, and how many there are, where each has an event of its own.
    pub team: Option<[ast::Expr; 2]>,
    /// The matrix whose elements are its events: names and numbers of rows and columns; of a span the rows only.
    pub each: Vec<(ast::Ident, ast::Expr)>,
    /// What an event is put together of.
    pub parts: Option<Parts>,
    /// The point that it stands in for where fields are asked for that only this one has.
    pub variant: Option<PointId>,
    /// Points that may enclose it, innermost first.
    pub within: Vec<PointId>,
    /// Fields that a pattern without a field name is held against.
    pub pattern: Vec<ast::Ident>,
    /// What its events compute and of what, where they are nodes of a graph.
    pub node: Option<NodeDef>,
    /// Layout checks with what they say when they fail.
    pub checks: Vec<(ast::Expr, String)>,
    /// Words that no event has, with the reason.
    pub never: Vec<(Vec<String>, String)>,
    /// Why it may attach and never fire.
    pub silent: Option<String>,
    /// Its fields.
    pub fields: IndexMap<String, Field>,
    /// A script describes it, not the engine's description.
    pub of_script: bool,
    /// The function that a script names, where it is made of `enter("lib:f")` or `span("lib:f")`.
    pub called: Option<Called>,
    /// Where it is described.
    pub span: Span,
}

impl Point {
    /// A point of which nothing is known yet.
    pub(crate) fn empty(name: &ast::Ident, template: Template) -> Self {
        Self {
            name: name.node.clone(),
            docs: Vec::new(),
            template,
            starts: Vec::new(),
            stops: Vec::new(),
            state_by: Vec::new(),
            lasting: Vec::new(),
            only: None,
            only_return: None,
            mark: None,
            team: None,
            each: Vec::new(),
            parts: None,
            variant: None,
            within: Vec::new(),
            pattern: Vec::new(),
            node: None,
            checks: Vec::new(),
            never: Vec::new(),
            silent: None,
            fields: IndexMap::new(),
            of_script: false,
            called: None,
            span: name.span,
        }
    }
}

impl Point {
    /// What is known of a call by this name, where the point is a function that a script names.
    pub fn call_value(&self, name: &str) -> Option<(CallValue, Type)> {
        let called = self.called.as_ref()?;
        match (name, &called.returned) {
            ("func", _) => Some((CallValue::Function, Type::Enum(self.name.clone()))),
            ("ret", Some((mem, ty))) => Some((CallValue::Returned(*mem), ty.clone())),
            ("self", Some(_)) => Some((CallValue::Own, Type::Duration)),
            _ => None,
        }
    }
}

/// A function as `enter` and `span` of a script name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Called {
    /// The file: its name without folders as a glob, or `exe`.
    pub library: String,
    /// The function in it.
    pub function: Wanted,
    /// What it returns, and how that lies in its register; none for `enter`.
    pub returned: Option<(Mem, Type)>,
}

/// Which function of a file is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Those whose symbol matches this glob.
    Named(String),
    /// The one that begins at this address, as the file's symbol table counts.
    At(u64),
}

/// The parts that an event is put together of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The name of a part's number.
    pub name: ast::Ident,
    /// How many there are.
    pub number: ast::Expr,
    /// The row that a part belongs to.
    pub row: ast::Expr,
}

/// A function at whose entry an event begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Symbols; the first that the target has is taken.
    pub symbols: Vec<String>,
    /// Arguments by position.
    pub args: Vec<Arg>,
    /// The point works without it.
    pub optional: bool,
}

/// An argument of a probed function, passed in an integer register.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// How much of the register it is.
    pub mem: Mem,
    /// Which register: its position among the function's arguments.
    pub position: usize,
}

/// Starts at most of a point that is followed to behind the calls of one.
const MAX_FOLLOWED: usize = 8;

/// A function at which an open event ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// Symbols; the first that the target has is taken.
    pub symbols: Vec<String>,
    /// Where in it.
    pub at: ast::Edge,
    /// The point works without it.
    pub optional: bool,
}

/// A function at whose entry an open event goes over from work to waiting; the last time before the end counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Symbols; the first that the target has is taken.
    pub symbols: Vec<String>,
    /// The point works without it.
    pub optional: bool,
    /// Why the target may lack it, or never get there.
    pub reason: Option<String>,
}

/// A field of a point.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its `///` lines.
    pub docs: Vec<String>,
    /// Its type, where written.
    pub ty: Option<Type>,
    /// What it is.
    pub value: ast::Expr,
}

impl Catalogue {
    /// The point of that name.
    pub fn point(&self, name: &str) -> Option<PointId> {
        self.points.iter().position(|p| p.name == name)
    }

    /// Reads an engine description. Items of other kinds (clauses, imports) are errors.
    pub fn read(program: &ast::Program) -> Result<Catalogue, Vec<Diagnostic>> {
        Catalogue::default().filled(program)
    }

    /// Reads the description of the kernel's points, which may use the templates for them.
    pub fn read_kernel(program: &ast::Program) -> Result<Catalogue, Vec<Diagnostic>> {
        Catalogue { of_kernel: true, ..Catalogue::default() }.filled(program)
    }

    fn filled(self, program: &ast::Program) -> Result<Catalogue, Vec<Diagnostic>> {
        let mut c = self;
        let mut errors = Vec::new();
        for item in &program.items {
            match &item.kind {
                ast::ItemKind::Struct(s) => {
                    c.structs.entry(s.name.node.clone()).or_default();
                }
                ast::ItemKind::Enum(e) => {
                    let known = c.enums.insert(e.name.node.clone(), read_enum(e, &item.docs));
                    errors.extend(known.map(|_| twice(&e.name.node, e.name.span)));
                }
                ast::ItemKind::Point(p) => {
                    if c.point(&p.name.node).is_some() {
                        errors.push(twice(&p.name.node, p.name.span));
                    }
                    c.points.push(Point { docs: item.docs.clone(), ..Point::empty(&p.name, Template::Enter) });
                }
                _ => {}
            }
        }
        let mut n = 0;
        for item in &program.items {
            match &item.kind {
                ast::ItemKind::Engine(e) => {
                    c.engine = e.name.node.clone();
                    c.description = e.description.node.clone();
                    match read_condition(&e.condition) {
                        Ok(condition) => c.condition = Some(condition),
                        Err(d) => errors.push(d),
                    }
                }
                ast::ItemKind::Struct(s) => c.read_struct(s, &mut errors),
                ast::ItemKind::Fn(f) => {
                    let known = c.fns.insert(f.name.node.clone(), f.clone());
                    errors.extend(known.map(|_| twice(&f.name.node, f.name.span)));
                }
                ast::ItemKind::Point(p) => {
                    match c.read_point(p) {
                        Ok(point) => c.points[n] = Point { docs: item.docs.clone(), ..point },
                        Err(d) => errors.push(d),
                    }
                    n += 1;
                }
                ast::ItemKind::Enum(_) => {}
                _ => errors.push(
                    Diagnostic::error("PI0210", "an engine description holds only `engine struct enum fn point`")
                        .at(item.span, "this is for scripts"),
                ),
            }
        }
        if errors.is_empty() { Ok(c) } else { Err(errors) }
    }

    /// Adds a layout to a struct whose name is known.
    pub(crate) fn read_struct(&mut self, s: &ast::StructDef, errors: &mut Vec<Diagnostic>) {
        let fields: IndexMap<String, Placed> = s
            .fields
            .iter()
            .filter_map(|f| match self.type_of(&f.ty) {
                Ok(ty) => {
                    let mem = mem_of(&f.ty);
                    Some((f.name.node.clone(), Placed { ty, mem, offset: f.offset.node }))
                }
                Err(d) => {
                    errors.push(d);
                    None
                }
            })
            .collect();
        match self.layout_of(s, fields) {
            Ok(layout) => self.structs[&s.name.node].layouts.push(layout),
            Err(d) => errors.push(d),
        }
    }

    /// The type that a written one means.
    pub fn type_of(&self, t: &ast::TypeRef) -> Result<Type, Diagnostic> {
        let word = t.name.node.as_str();
        let base = match (word, &t.of) {
            ("str", None) => {
                return match t.len {
                    Some(n @ 1..=MAX_TEXT) => Ok(Type::Str(n as u32)),
                    _ => Err(Diagnostic::error("PI0210", "text in a struct has a length of 1 to 256 bytes")
                        .at(t.span, "how long is it?")
                        .help("write it in brackets: str[64]")),
                };
            }
            ("ptr", None) => Type::Address,
            ("ptr", Some(of)) if of.node == "ptr" => Type::PtrPtr,
            ("ptr", Some(of)) => match Mem::of_word(&of.node) {
                Some(mem) => Type::NumPtr(mem),
                None if self.structs.contains_key(&of.node) => Type::Ptr(of.node.clone()),
                None => {
                    return Err(Diagnostic::error("PI0210", format!("no struct is called `{}`", of.node))
                        .at(of.span, "not described here"));
                }
            },
            ("enum", Some(of)) if self.enums.contains_key(&of.node) => Type::Enum(of.node.clone()),
            ("int", None) => Type::Int,
            ("duration", None) => Type::Duration,
            ("bytes", None) => Type::Bytes,
            ("string", None) => Type::Str(0),
            ("bool", None) => Type::Bool,
            ("ratio", None) => Type::Ratio,
            (word, None) if Mem::of_word(word).is_some() => Type::Int,
            _ => {
                return Err(Diagnostic::error("PI0210", format!("`{word}` is not a type"))
                    .at(t.span, "not a type")
                    .help("types are i8…i64, u8…u64, bool, ptr, ptr(x), enum(x), str[n], int, duration, bytes, string, ratio"));
            }
        };
        Ok(match t.len {
            Some(n) => Type::Array(Box::new(base), mem_of(t).unwrap_or(Mem::WORD), n),
            None => base,
        })
    }

    /// A layout of a struct, which has to agree with those before it on the types of fields.
    fn layout_of(&self, s: &ast::StructDef, fields: IndexMap<String, Placed>) -> Result<StructLayout, Diagnostic> {
        let condition = s.condition.as_ref().map(read_condition).transpose()?;
        for field in &s.fields {
            let (name, known) = (&field.name, self.structs[&s.name.node].field(&field.name.node));
            if let (Some(known), Some(new)) = (known, fields.get(&name.node))
                && (&known.ty, known.mem) != (&new.ty, new.mem)
            {
                return Err(Diagnostic::error("PI0210", format!("`{}` has another type in another layout", name.node))
                    .at(field.ty.span, "not as above"));
            }
        }
        Ok(StructLayout { condition, fields })
    }

    pub(crate) fn read_point(&self, p: &ast::PointDef) -> Result<Point, Diagnostic> {
        let template = match p.template.node.as_str() {
            "enter" => Template::Enter,
            "span" => Template::Span,
            "sequence" => Template::Sequence,
            "rows" => Template::Rows,
            "fault" if self.of_kernel => Template::Fault,
            "off_cpu" if self.of_kernel => Template::OffCpu,
            "disk" if self.of_kernel => Template::Disk,
            other => {
                return Err(Diagnostic::error("PI0210", format!("no template is called `{other}`"))
                    .at(p.template.span, "unknown")
                    .help("templates are enter, span, sequence and rows"));
            }
        };
        let mut point = Point::empty(&p.name, template);
        let texts = |all: &[ast::Ident]| all.iter().map(|s| s.node.clone()).collect::<Vec<_>>();
        for stmt in &p.stmts {
            match &stmt.kind {
                ast::PointStmtKind::Start { symbols, args, optional } => {
                    let args = args
                        .iter()
                        .enumerate()
                        .map(|(position, (name, ty))| {
                            let mem = mem_of(ty).unwrap_or(Mem::WORD);
                            Ok(Arg { name: name.node.clone(), ty: self.type_of(ty)?, mem, position })
                        })
                        .collect::<Result<Vec<_>, Diagnostic>>()?;
                    point.starts.push(Start { symbols: texts(symbols), args, optional: *optional });
                }
                ast::PointStmtKind::Stop { at, symbols, optional } => {
                    if *at == ast::Edge::Behind && template != Template::Span {
                        return Err(Diagnostic::error("PI0210", "`stop behind` is for the template `span`")
                            .at(stmt.span, format!("in a point of the template `{}`", template.word())));
                    }
                    point.stops.push(Stop { symbols: texts(symbols), at: *at, optional: *optional });
                }
                ast::PointStmtKind::Mark { symbols, optional, reason } => {
                    of_sequences("mark", template, stmt.span)?;
                    let reason = reason.as_ref().map(|r| r.node.clone());
                    point.mark = Some(Mark { symbols: texts(symbols), optional: *optional, reason });
                }
                ast::PointStmtKind::Team { number, size } => {
                    of_sequences("team", template, stmt.span)?;
                    point.team = Some([number.clone(), size.clone()]);
                }
                ast::PointStmtKind::Lasting(names) => {
                    of_sequences("lasting", template, stmt.span)?;
                    point.lasting.clone_from(names);
                }
                ast::PointStmtKind::StateBy(exprs) => point.state_by = exprs.clone(),
                ast::PointStmtKind::Only(cond) => point.only = Some(cond.clone()),
                ast::PointStmtKind::OnlyReturn(cond) => {
                    if template != Template::Span {
                        return Err(Diagnostic::error("PI0210", "`only return` is for the template `span`")
                            .at(stmt.span, format!("in a point of the template `{}`", template.word())));
                    }
                    point.only_return = Some(cond.clone());
                }
                ast::PointStmtKind::Each { row, rows, columns } => {
                    point.each = [(row.clone(), rows.clone())].into_iter().chain(columns.clone()).collect();
                }
                ast::PointStmtKind::Parts { part, number, row } => {
                    if template != Template::Span {
                        return Err(Diagnostic::error("PI0210", "`parts` is for the template `span`")
                            .at(stmt.span, format!("in a point of the template `{}`", template.word())));
                    }
                    point.parts = Some(Parts { name: part.clone(), number: number.clone(), row: row.clone() });
                }
                ast::PointStmtKind::Variant(of) => {
                    let id = self.point(&of.node).ok_or_else(|| {
                        Diagnostic::error("PI0201", format!("no point is called `{}`", of.node))
                            .at(of.span, "not described here")
                    })?;
                    point.variant = Some(id);
                }
                ast::PointStmtKind::Within(names) => {
                    for name in names {
                        let id = self.point(&name.node).ok_or_else(|| {
                            Diagnostic::error("PI0201", format!("no point is called `{}`", name.node))
                                .at(name.span, "not described here")
                        })?;
                        point.within.push(id);
                    }
                }
                ast::PointStmtKind::Pattern(names) => point.pattern = names.clone(),
                ast::PointStmtKind::Let(l) => {
                    let ty = l.ty.as_ref().map(|t| self.type_of(t)).transpose()?;
                    let field = Field { docs: stmt.docs.clone(), ty, value: l.value.clone() };
                    if point.fields.insert(l.name.node.clone(), field).is_some() {
                        return Err(twice(&l.name.node, l.name.span));
                    }
                }
                ast::PointStmtKind::Check { condition, message } => {
                    point.checks.push((condition.clone(), message.node.clone()));
                }
                ast::PointStmtKind::Never { pattern, reason, .. } => {
                    let words = pattern.alts.iter().filter_map(|a| match &a.kind {
                        ast::PatternKind::Glob(g) => Some(g.clone()),
                        _ => None,
                    });
                    point.never.push((words.collect(), reason.node.clone()));
                }
                ast::PointStmtKind::Silent(reason) => point.silent = Some(reason.node.clone()),
                ast::PointStmtKind::Node(args) => point.node = Some(node::read(args, stmt.span)?),
            }
        }
        let followed =
            |stop: &&Stop| stop.at == ast::Edge::Behind && !point.starts.iter().any(|s| s.symbols == stop.symbols);
        if let Some(stop) = point.stops.iter().find(followed) {
            return Err(Diagnostic::error(
                "PI0210",
                format!("`{}` does not begin at {}", point.name, stop.symbols.join(" or ")),
            )
            .at(p.name.span, "an event ends behind the calls of a function at which it begins")
            .help("write the same functions behind `start` and `stop behind`"));
        }
        if point.starts.len() > MAX_FOLLOWED && point.stops.iter().any(|stop| stop.at == ast::Edge::Behind) {
            return Err(Diagnostic::error("PI0210", format!("`{}` has more than {MAX_FOLLOWED} starts", point.name))
                .at(p.name.span, "too many for a point with `stop behind`"));
        }
        let fits = match template {
            Template::Rows => point.each.len() == 2,
            Template::Span => point.each.len() < 2,
            _ => point.each.is_empty(),
        };
        if !fits {
            return Err(Diagnostic::error("PI0210", format!("`each` does not fit the template of `{}`", point.name))
                .at(p.name.span, format!("is of the template `{}`", template.word()))
                .help("an event for each element: point x : rows { start … each (row < N, column < M) … }")
                .help("an event for each row at the end: point x : span { start … each (row < N) … }"));
        }
        if point.team.is_some() && (point.within.is_empty() || point.state_by.is_empty()) {
            return Err(Diagnostic::error(
                "PI0210",
                format!("`{}` has a team and lacks `state by` or `within`", point.name),
            )
            .at(p.name.span, "whose threads, and what do they compute together?")
            .help("write: state by (p.threadpool, p.ith), and within what thread 0 has open"));
        }
        let is_argument = |name: &str| point.starts.iter().flat_map(|s| &s.args).any(|a| a.name == name);
        if let Some(name) = point.lasting.iter().find(|name| !is_argument(&name.node)) {
            return Err(Diagnostic::error(
                "PI0210",
                format!("no start of `{}` has an argument `{}`", point.name, name.node),
            )
            .at(name.span, "what they lead to lasts, of arguments"));
        }
        if point.starts.is_empty() {
            return Err(Diagnostic::error("PI0210", format!("point `{}` has no `start`", point.name))
                .at(p.name.span, "where does its event begin?"));
        }
        Ok(point)
    }
}

/// How a value of a written type lies in memory; none for text.
pub(crate) fn mem_of(t: &ast::TypeRef) -> Option<Mem> {
    match t.name.node.as_str() {
        "str" => None,
        "enum" => Some(Mem { size: 4, signed: true }),
        "ptr" => Some(Mem::WORD),
        word => Some(Mem::of_word(word).unwrap_or(Mem::WORD)),
    }
}

/// The fault of a statement that only sequences have.
fn of_sequences(what: &str, template: Template, span: Span) -> Result<(), Diagnostic> {
    match template {
        Template::Sequence => Ok(()),
        _ => Err(Diagnostic::error("PI0210", format!("`{what}` is for the template `sequence`"))
            .at(span, format!("in a point of the template `{}`", template.word()))),
    }
}

pub(crate) fn read_enum(e: &ast::EnumDef, docs: &[String]) -> Enum {
    let mut next = 0;
    let mut words = IndexMap::new();
    for v in &e.variants {
        let n = v.value.unwrap_or(next);
        words.insert(v.name.node.clone(), n);
        next = n.saturating_add(1);
    }
    Enum { docs: docs.to_vec(), table: e.table.as_ref().map(|t| t.node.clone()), words, of_script: false }
}

fn read_condition(e: &ast::Expr) -> Result<Exports, Diagnostic> {
    use ast::{BinaryOp, ExprKind, UnaryOp};
    match &e.kind {
        ExprKind::Paren(inner) => read_condition(inner),
        ExprKind::Call { name, args } if name.node == "exports" && args.len() == 1 => match &args[0].value.kind {
            ExprKind::Str(s) => Ok(Exports::Symbol(s.clone())),
            ExprKind::Pattern(p) => match p.alts.as_slice() {
                [ast::PatternAlt { kind: ast::PatternKind::Str(s), .. }] => Ok(Exports::Symbol(s.clone())),
                _ => Err(bad_condition(e)),
            },
            _ => Err(bad_condition(e)),
        },
        ExprKind::Binary(BinaryOp::And, a, b) => {
            Ok(Exports::And(Box::new(read_condition(a)?), Box::new(read_condition(b)?)))
        }
        ExprKind::Binary(BinaryOp::Or, a, b) => {
            Ok(Exports::Or(Box::new(read_condition(a)?), Box::new(read_condition(b)?)))
        }
        ExprKind::Unary(UnaryOp::Not, a) => Ok(Exports::Not(Box::new(read_condition(a)?))),
        _ => Err(bad_condition(e)),
    }
}

fn bad_condition(e: &ast::Expr) -> Diagnostic {
    Diagnostic::error("PI0210", "an engine is recognised by the symbols it exports")
        .at(e.span, "not a condition on symbols")
        .help("write exports(\"symbol\"), joined by and, or, not")
}
