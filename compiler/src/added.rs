//! What a script adds to the engine's description: structs, enums and points of its own, and the functions that it names
//! in `enter("lib:f")` and `span("lib:f")`, each of which becomes a point.

use std::borrow::Cow;

use profinfer_lang::ast::{self, AtArg, ClauseHead, ExprKind, ItemKind, PatternKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::{Span, Spanned};

use crate::catalogue::{Arg, Called, Catalogue, Enum, Field, Point, Start, Template, Wanted, mem_of, read_enum};
use crate::faults::twice;
use crate::kernel;
use crate::typed::PointId;
use crate::types::{Mem, Type};
use crate::unchecked;

/// The words before a function's name.
pub(crate) const CALLS: [&str; 2] = ["enter", "span"];

/// Arguments that can be had: those in registers on every processor.
const REGISTERS: usize = 6;

/// A description with what a script adds to it.
pub(crate) struct Added<'c> {
    /// Both together.
    pub(crate) catalogue: Cow<'c, Catalogue>,
    /// What is wrong with the additions.
    pub(crate) errors: Vec<Diagnostic>,
    /// Names whose declaration has a fault that has been told.
    pub(crate) broken: Vec<String>,
    /// Where the script says how memory of the target is laid out, or has a pointer followed.
    pub(crate) reads: Vec<Diagnostic>,
}

/// Adds what a script describes by itself to the engine's description.
pub(crate) fn added<'c>(program: &ast::Program, base: &'c Catalogue) -> Added<'c> {
    let adds = |item: &ast::Item| match &item.kind {
        ItemKind::Engine(_) | ItemKind::Struct(_) | ItemKind::Enum(_) | ItemKind::Point(_) => true,
        kind => ats(kind).iter().any(|at| is_call(at) || kernel::is_of_kernel(at, base)),
    };
    let mut added = Added { catalogue: Cow::Borrowed(base), errors: Vec::new(), broken: Vec::new(), reads: Vec::new() };
    if program.items.iter().any(adds) {
        added.names(program, base);
        added.bodies(program);
        let calls = program.items.iter().flat_map(|item| ats(&item.kind)).filter(|at| is_call(at));
        calls.for_each(|at| added.call(at));
        let of_kernel =
            program.items.iter().flat_map(|item| ats(&item.kind)).filter(|at| kernel::is_of_kernel(at, base));
        of_kernel.for_each(|at| added.of_kernel(at));
    }
    let unchecked = unchecked::reads(program, base);
    added
        .reads
        .extend(unchecked.into_iter().map(|span| reads(span, "reads at a place that only the script vouches for")));
    added
}

/// The points that an item names.
fn ats(kind: &ItemKind) -> &[ast::At] {
    match kind {
        ItemKind::Clause(ast::Clause { head: ClauseHead::On { ats, .. }, .. }) => ats,
        ItemKind::Probe(probe) => &probe.ats,
        _ => &[],
    }
}

/// Whether a point is named by a function: `enter(…)`, `span(…)`.
pub(crate) fn is_call(at: &ast::At) -> bool {
    matches!(at.path.parts.as_slice(), [word] if CALLS.contains(&word.node.as_str()))
}

/// The text that names the function, with its place.
pub(crate) fn function_of(at: &ast::At) -> Option<(&str, Span)> {
    match at.args.first()? {
        AtArg::Pattern { field: None, pattern } if !pattern.negated => match pattern.alts.as_slice() {
            [ast::PatternAlt { kind: PatternKind::Str(text), span }] => Some((text, *span)),
            _ => None,
        },
        _ => None,
    }
}

/// The name of the point that a function becomes: `span("libfoo.so:step", req: ptr(request))`.
pub(crate) fn name_of(at: &ast::At) -> Option<String> {
    let (function, _) = function_of(at)?;
    let mut name = format!("{}({function:?}", at.path.text());
    for arg in &at.args {
        if let AtArg::Typed { name: arg, ty } = arg {
            let of = ty.of.as_ref().map(|of| format!("({})", of.node)).unwrap_or_default();
            name.push_str(&format!(", {}: {}{of}", arg.node, ty.name.node));
        }
    }
    Some(name + ")")
}

impl Added<'_> {
    /// The names of structs, enums and points, which may stand before their items.
    fn names(&mut self, program: &ast::Program, base: &Catalogue) {
        let catalogue = self.catalogue.to_mut();
        for item in &program.items {
            let (name, taken, word) = match &item.kind {
                ItemKind::Struct(s) => (&s.name, base.structs.contains_key(&s.name.node), "struct"),
                ItemKind::Enum(e) => (&e.name, base.enums.contains_key(&e.name.node), "enum"),
                ItemKind::Point(p) => (&p.name, base.point(&p.name.node).is_some(), "point"),
                ItemKind::Engine(e) => {
                    self.errors.push(
                        Diagnostic::error("PI0222", "an engine is described in a file of its own")
                            .at(e.name.span, "not in a script")
                            .help("put `engine`, its structs, enums and points into a file, and run the script with --engine FILE"),
                    );
                    continue;
                }
                _ => continue,
            };
            let of_kernel = || kernel::names(base).any(|taken| taken == name.node);
            if taken || CALLS.contains(&name.node.as_str()) || of_kernel() {
                self.broken.push(name.node.clone());
                self.errors.push(
                    Diagnostic::error(
                        "PI0205",
                        format!("there is {} {word} called `{}` already", article(word), name.node),
                    )
                    .at(name.span, "a second one")
                    .help("what the engine's description has cannot be replaced: give it another name"),
                );
                continue;
            }
            match &item.kind {
                ItemKind::Struct(s) => {
                    catalogue.structs.entry(s.name.node.clone()).or_default();
                    self.reads.push(reads(s.name.span, "a layout that only the script vouches for"));
                }
                ItemKind::Enum(e) => {
                    let known = catalogue
                        .enums
                        .insert(e.name.node.clone(), Enum { of_script: true, ..read_enum(e, &item.docs) });
                    self.errors.extend(known.map(|_| twice(&e.name.node, e.name.span)));
                }
                ItemKind::Point(p) => {
                    if catalogue.point(&p.name.node).is_some() {
                        self.errors.push(twice(&p.name.node, p.name.span));
                    }
                    catalogue.points.push(Point::empty(&p.name, Template::Enter));
                }
                _ => {}
            }
        }
    }

    /// What structs and points are made of.
    fn bodies(&mut self, program: &ast::Program) {
        let catalogue = self.catalogue.to_mut();
        for item in &program.items {
            match &item.kind {
                ItemKind::Struct(s) if !self.broken.contains(&s.name.node) => {
                    catalogue.read_struct(s, &mut self.errors);
                }
                ItemKind::Point(p) if !self.broken.contains(&p.name.node) => {
                    let steps = p.stmts.iter().find_map(|s| match &s.kind {
                        ast::PointStmtKind::Let(l) if l.name.node == "step" => Some(l.name.span),
                        _ => None,
                    });
                    let point = match steps {
                        Some(span) => Err(Diagnostic::error("PI0205", "`step` is the engine's to define")
                            .at(span, "a second one")
                            .help("what counts as a step is said by the engine's description: give it another name")),
                        None => catalogue.read_point(p),
                    };
                    match (point, catalogue.point(&p.name.node)) {
                        (Ok(point), Some(id)) => {
                            let follows = point.starts.iter().flat_map(|s| &s.args).any(|a| is_followed(&a.ty));
                            if follows {
                                self.reads
                                    .push(reads(p.name.span, "follows pointers that only the script vouches for"));
                            }
                            catalogue.points[id] = Point { docs: item.docs.clone(), of_script: true, ..point };
                        }
                        (Err(d), _) => {
                            self.broken.push(p.name.node.clone());
                            self.errors.push(d);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds the point that a function becomes.
    fn call(&mut self, at: &ast::At) {
        let Some(name) = name_of(at) else {
            let word = at.path.text();
            self.broken.push(word.clone());
            self.errors.push(
                Diagnostic::error("PI0223", format!("`{word}` needs the name of a function"))
                    .at(at.span, "which one?")
                    .help(format!("write the file and the function in it: {word}(\"libfoo.so:step\")")),
            );
            return;
        };
        if self.catalogue.point(&name).is_some() || self.broken.contains(&name) {
            return;
        }
        match self.point_of(at, &name) {
            Ok(point) => {
                let catalogue = self.catalogue.to_mut();
                // The functions that are found in the target are its words.
                let functions =
                    Enum { docs: Vec::new(), table: None, words: indexmap::IndexMap::new(), of_script: true };
                catalogue.enums.insert(name, functions);
                catalogue.points.push(point);
            }
            Err(d) => {
                self.broken.push(name);
                self.errors.push(d);
            }
        }
    }

    /// Adds the point of the kernel that a clause stands on.
    fn of_kernel(&mut self, at: &ast::At) {
        let point = kernel::name_of(at).ok_or_else(|| kernel::nameless(at));
        let name = match point {
            Ok(name) => name,
            Err(d) => return self.errors.push(d),
        };
        if self.catalogue.point(&name).is_some() || self.broken.contains(&name) {
            return;
        }
        let within = innermost_first(&self.catalogue);
        let catalogue = self.catalogue.to_mut();
        match kernel::point(catalogue, at, &name) {
            Ok(point) => catalogue.points.push(Point { within, ..point }),
            Err(d) => {
                self.broken.push(name);
                self.errors.push(d);
            }
        }
    }

    fn point_of(&mut self, at: &ast::At, name: &str) -> Result<Point, Diagnostic> {
        let is_span = at.path.text() == "span";
        let (text, span) = function_of(at).unwrap_or(("", at.span));
        let (library, function) = written(text, span)?;
        let mut returned = is_span.then_some((Mem { size: 8, signed: true }, Type::Int));
        let mut args = Vec::new();
        for arg in &at.args {
            let AtArg::Typed { name: arg, ty } = arg else { continue };
            let mem = self.checked(arg, ty)?;
            let of = self.catalogue.type_of(ty)?;
            if arg.node == "ret" {
                returned = match &returned {
                    Some(_) if !is_followed(&of) => Some((mem, of)),
                    Some(_) => {
                        return Err(Diagnostic::error("PI0223", "what a function returns is not followed")
                            .at(ty.span, "a pointer to something")
                            .help("write ret: ptr, which is its address"));
                    }
                    None => {
                        return Err(Diagnostic::error("PI0223", "`enter` sees the call, not what it returns")
                            .at(arg.span, "not known at the entry")
                            .help("use span(…)"));
                    }
                };
                continue;
            }
            let position = args.len();
            if position >= REGISTERS {
                return Err(Diagnostic::error("PI0223", "only the first six arguments can be had")
                    .at(arg.span, "the seventh")
                    .help("those behind them are on the stack"));
            }
            if args.iter().any(|a: &Arg| a.name == arg.node) {
                return Err(twice(&arg.node, arg.span));
            }
            if is_followed(&of) {
                self.reads.push(reads(ty.span, "a pointer that only the script vouches for"));
            }
            args.push(Arg { name: arg.node.clone(), ty: of, mem, position });
        }
        let typed = args.len();
        for position in 0..REGISTERS {
            let name = format!("arg{position}");
            if !args[..typed].iter().any(|a| a.name == name) {
                args.push(Arg { name, ty: Type::Int, mem: Mem { size: 8, signed: true }, position });
            }
        }
        let template = if is_span { Template::Call } else { Template::Enter };
        let mut point = Point::empty(&Spanned::new(name.to_owned(), at.span), template);
        point.fields = args
            .iter()
            .map(|a| {
                let value = ast::Expr { kind: ExprKind::Name(a.name.clone()), span: at.span };
                (a.name.clone(), Field { docs: Vec::new(), ty: None, value })
            })
            .collect();
        point.starts = vec![Start { symbols: vec![text.to_owned()], args, optional: false }];
        point.within = innermost_first(&self.catalogue);
        point.silent = Some("the function was never called".to_owned());
        point.of_script = true;
        point.called = Some(Called { library, function, returned });
        Ok(point)
    }

    /// How an argument lies in its register.
    fn checked(&self, arg: &ast::Ident, ty: &ast::TypeRef) -> Result<Mem, Diagnostic> {
        let reserved = ["dur", "time", "pid", "tid", "cpu", "comm", "func", "self", "absent"];
        if reserved.contains(&arg.node.as_str()) {
            return Err(Diagnostic::error("PI0205", format!("every call has `{}` already", arg.node))
                .at(arg.span, "a second one")
                .help("give the argument another name"));
        }
        let is_word = Mem::of_word(&ty.name.node).is_some() || matches!(ty.name.node.as_str(), "ptr" | "enum");
        if !is_word || ty.len.is_some() {
            return Err(Diagnostic::error("PI0223", "an argument is what fits into a register")
                .at(ty.span, "does not")
                .help("types of arguments are i8…i64, u8…u64, bool, ptr, ptr(struct), enum(x)"));
        }
        Ok(mem_of(ty).unwrap_or(Mem::WORD))
    }
}

/// Whether a value of that type leads to memory.
fn is_followed(ty: &Type) -> bool {
    matches!(ty, Type::Ptr(_) | Type::NumPtr(_) | Type::PtrPtr)
}

/// The points of the engine that a call may lie in, innermost first: operators, graphs, micro-batches, calls, and for
/// threads that only work for one, their part of it. A span with an event for each row has none while it is open.
pub(crate) fn innermost_first(catalogue: &Catalogue) -> Vec<PointId> {
    let lasts = |p: &Point| matches!(p.template, Template::Span | Template::Sequence) && p.each.is_empty();
    let encloses = |p: &&Point| lasts(p) && p.variant.is_none();
    let mut all: Vec<(PointId, &Point)> = catalogue.points.iter().enumerate().filter(|(_, p)| encloses(p)).collect();
    all.sort_by_key(|(_, p)| (p.team.is_some(), std::cmp::Reverse(p.within.len())));
    all.into_iter().map(|(id, _)| id).collect()
}

/// The file and the function of `libfoo.so:step`.
fn written(text: &str, span: Span) -> Result<(String, Wanted), Diagnostic> {
    let bad = |what: &str| {
        Diagnostic::error("PI0223", format!("{text:?} names no function"))
            .at(span, what.to_owned())
            .help("write the file's name and the function's symbol: \"libfoo.so:step\", \"exe:main\", \"libc.so.6:read*\", \"libfoo.so:+0x1234\"")
    };
    let (library, function) = text.split_once(':').ok_or_else(|| bad("no `:` in it"))?;
    if library.is_empty() {
        return Err(bad("no file before the `:`"));
    }
    if library.contains('/') {
        return Err(bad("a folder before the `:`: files are told by their names alone"));
    }
    let function = match function.strip_prefix('+') {
        _ if function.is_empty() => return Err(bad("no function behind the `:`")),
        Some(address) => {
            let digits =
                address.strip_prefix("0x").ok_or_else(|| bad("an address is written in hexadecimal, +0x1234"))?;
            Wanted::At(u64::from_str_radix(digits, 16).map_err(|_| bad("not an address"))?)
        }
        None => Wanted::Named(function.to_owned()),
    };
    Ok((library.to_owned(), function))
}

fn article(word: &str) -> &'static str {
    if word.starts_with('e') { "an" } else { "a" }
}

/// The fault of reading memory as a script says, where that is not allowed.
fn reads(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error("PI0224", "reading memory as the script says needs --unsafe")
        .at(span, what.to_owned())
        .help("such a script can read all memory of the process, and if its layout is wrong, so are its numbers, without a check")
        .help("if you trust it, add --unsafe")
}
