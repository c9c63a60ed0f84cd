//! Points of the kernel: those that its description has (`page_fault`, `off_cpu`, `disk_read`), and those that a script
//! makes, `profile(99hz)` and `tracepoint("category:name")`. They are added to the engine's where a clause stands on them.

use profinfer_lang::ast::{self, AtArg, ExprKind, ItemKind, PatternKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::{Span, Spanned};

use crate::added::{function_of, innermost_first};
use crate::catalogue::{Arg, Catalogue, Enum, Field, Format, Point, Start, Template, TraceField, TraceKind};
use crate::types::{Mem, Type};

/// The words before what a script makes a point of.
pub(crate) const MADE: [&str; 2] = ["profile", "tracepoint"];

/// Bytes that are kept of a text that stands behind a tracepoint's record.
const BEHIND: u32 = 64;
/// Bytes of the longest text of a tracepoint's record that is kept.
const MAX_TEXT: u16 = 256;
/// The most samples a second.
pub const MAX_HZ: i64 = 10_000;

/// The names of the kernel's points.
pub(crate) fn names(catalogue: &Catalogue) -> impl Iterator<Item = &str> {
    let points = catalogue.kernel.iter().flat_map(|kernel| &kernel.points).map(|p| p.name.as_str());
    points.chain(MADE)
}

/// Whether a point is made by the script: `profile(…)`, `tracepoint(…)`.
pub(crate) fn is_made(at: &ast::At) -> bool {
    matches!(at.path.parts.as_slice(), [word] if MADE.contains(&word.node.as_str()))
}

/// Whether a point is the kernel's.
pub(crate) fn is_of_kernel(at: &ast::At, catalogue: &Catalogue) -> bool {
    is_made(at) || catalogue.kernel.as_ref().is_some_and(|kernel| kernel.point(&at.path.text()).is_some())
}

/// The name of the point: `page_fault`, `profile(99hz)`, `tracepoint("sched:sched_switch")`.
pub(crate) fn name_of(at: &ast::At) -> Option<String> {
    let word = at.path.text();
    match word.as_str() {
        "profile" => Some(format!("profile({}hz)", hertz(at)?)),
        "tracepoint" => Some(format!("tracepoint({:?})", function_of(at)?.0)),
        _ => Some(word),
    }
}

/// The fault of a point that is not told what it is made of.
pub(crate) fn nameless(at: &ast::At) -> Diagnostic {
    let word = at.path.text();
    match word.as_str() {
        "profile" => Diagnostic::error("PI0225", "`profile` needs the number of samples a second")
            .at(at.span, "how many?")
            .help(format!("write a whole number of 1 to {MAX_HZ} with its unit: profile(99hz)")),
        _ => Diagnostic::error("PI0225", format!("`{word}` needs the name of a tracepoint"))
            .at(at.span, "which one?")
            .help("write its category and its name: tracepoint(\"sched:sched_switch\")"),
    }
}

/// The samples a second.
fn hertz(at: &ast::At) -> Option<i64> {
    let AtArg::Pattern { field: None, pattern } = at.args.first()? else { return None };
    let [alt] = pattern.alts.as_slice() else { return None };
    let PatternKind::Value(value) = &alt.kind else { return None };
    match &value.kind {
        ExprKind::Number(ast::Number::Int(n @ 1..=MAX_HZ, ast::Unit::Hertz)) if !pattern.negated => Some(*n),
        _ => None,
    }
}

/// A description with the points of the kernel that have a name, as a script has them.
pub fn whole(catalogue: &Catalogue) -> Catalogue {
    let mut all = catalogue.clone();
    let within = innermost_first(catalogue);
    if let Some(kernel) = &catalogue.kernel {
        for (name, e) in &kernel.enums {
            all.enums.entry(name.clone()).or_insert_with(|| Enum { of_script: true, ..e.clone() });
        }
        let points = kernel.points.iter().filter(|p| catalogue.point(&p.name).is_none());
        all.points.extend(points.map(|p| Point { within: within.clone(), of_script: true, ..p.clone() }));
    }
    all
}

/// The tracepoints that a script names, each once.
pub fn tracepoints(program: &ast::Program) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let ats = program.items.iter().flat_map(|item| match &item.kind {
        ItemKind::Clause(ast::Clause { head: ast::ClauseHead::On { ats, .. }, .. }) => ats.as_slice(),
        ItemKind::Probe(probe) => probe.ats.as_slice(),
        _ => &[],
    });
    for at in ats.filter(|at| at.path.text() == "tracepoint") {
        if let Some((name, _)) = function_of(at)
            && !all.iter().any(|known| known == name)
        {
            all.push(name.to_owned());
        }
    }
    all
}

/// The point that `at` stands on, without what may enclose it.
pub(crate) fn point(catalogue: &mut Catalogue, at: &ast::At, name: &str) -> Result<Point, Diagnostic> {
    match at.path.text().as_str() {
        "profile" => Ok(profile(at, name)),
        "tracepoint" => tracepoint(catalogue, at, name),
        word => {
            let Some(kernel) = catalogue.kernel.clone() else { return Err(nameless(at)) };
            for (of, e) in &kernel.enums {
                catalogue.enums.entry(of.clone()).or_insert_with(|| Enum { of_script: true, ..e.clone() });
            }
            let known = kernel.points.iter().find(|p| p.name == word);
            known.map(|p| Point { of_script: true, ..p.clone() }).ok_or_else(|| nameless(at))
        }
    }
}

fn profile(at: &ast::At, name: &str) -> Point {
    let mut point = Point::empty(&Spanned::new(name.to_owned(), at.span), Template::Sample);
    let hz = hertz(at).unwrap_or(1);
    point.starts = vec![Start { symbols: vec![format!("clock:{hz}")], args: Vec::new(), optional: false }];
    point.silent = Some("the process did not run".to_owned());
    point.of_script = true;
    point
}

fn tracepoint(catalogue: &Catalogue, at: &ast::At, name: &str) -> Result<Point, Diagnostic> {
    let (text, span) = function_of(at).unwrap_or(("", at.span));
    let well = text.split_once(':').is_some_and(|(category, name)| !category.is_empty() && !name.is_empty());
    if !well {
        return Err(Diagnostic::error("PI0225", format!("{text:?} names no tracepoint"))
            .at(span, "no category and name")
            .help("write both: tracepoint(\"sched:sched_switch\")"));
    }
    let fields = match catalogue.tracepoints.get(text) {
        Some(Format::Fields(fields)) => fields,
        Some(Format::Missing(near)) => {
            let help = match near.first() {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "`profinfer list tracepoint` shows them".to_owned(),
            };
            return Err(Diagnostic::error("PI0225", format!("the kernel has no tracepoint {text}"))
                .at(span, "not there")
                .help(help));
        }
        Some(Format::Unreadable(why)) => return Err(unreadable(text, span, why)),
        None => return Err(unreadable(text, span, "nobody looked")),
    };
    let mut point = Point::empty(&Spanned::new(name.to_owned(), span), Template::Tracepoint);
    let mut args = Vec::new();
    for TraceField { name, offset, kind } in fields {
        // What every event has keeps its meaning.
        if ["time", "pid", "tid", "cpu", "comm"].contains(&name.as_str()) {
            continue;
        }
        let (ty, mem) = match kind {
            TraceKind::Number(mem) => (Type::Int, *mem),
            TraceKind::Text(len) => (Type::Str(u32::from((*len).min(MAX_TEXT))), Mem { size: 0, signed: false }),
            TraceKind::Behind => (Type::Str(BEHIND), Mem { size: 0, signed: true }),
        };
        args.push(Arg { name: name.clone(), ty, mem, position: usize::from(*offset) });
    }
    point.fields = args
        .iter()
        .map(|a| {
            let value = ast::Expr { kind: ExprKind::Name(a.name.clone()), span };
            (a.name.clone(), Field { docs: Vec::new(), ty: None, value })
        })
        .collect();
    point.starts = vec![Start { symbols: vec![text.to_owned()], args, optional: false }];
    point.silent = Some("no thread of the process came there".to_owned());
    point.of_script = true;
    Ok(point)
}

fn unreadable(text: &str, span: Span, why: &str) -> Diagnostic {
    Diagnostic::error("PI0226", format!("the fields of the tracepoint {text} cannot be looked up"))
        .at(span, why.to_owned())
        .help("they are in tracefs, which takes root (CAP_SYS_ADMIN) to read")
}
