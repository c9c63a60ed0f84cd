//! `profinfer list`: points with their fields, enums with their words; with a process, what that has of them.

mod calls;
mod fields;
mod kernel;
mod markdown;
mod probes;

use profinfer_compiler::catalogue::{Catalogue, Point, Start, Stop, Template};
use profinfer_compiler::kernel::whole;
use profinfer_compiler::pattern::glob;
use profinfer_compiler::plan::Plan;
use profinfer_compiler::resolve::near;

use super::args::{Color, ListArgs};
use super::look::{Looked, base, survey, why_missing};
use super::page::{Page, Tone, clean, plural};
use super::{exit, fail, script};
use crate::engine::Description;
use crate::session::sites::Target;
use fields::{Fields, join};
use probes::Probes;

/// Prints what there is; the exit code.
pub(super) fn run(args: &ListArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

/// A target with the plan by which it was looked at.
struct Seen {
    looked: Looked,
    plan: Plan,
    target: Target,
}

fn try_run(args: &ListArgs) -> Result<u8, u8> {
    let engines = script::engines(args.engine.as_deref())?;
    let mut page = Page::stdout(Color::Auto);
    if args.markdown {
        page.block(&markdown::reference(&engines));
        page.print()?;
        return Ok(0);
    }
    if let Some(name) = &args.name
        && let Some(kind) = calls::kind_of(name)
    {
        calls::write(&mut page, kind, name, args, &engines)?;
        page.print()?;
        return Ok(0);
    }
    if let Some(name) = &args.name
        && let Some(kind) = kernel::kind_of(name)
    {
        kernel::write(&mut page, kind, name, &engines[0])?;
        page.print()?;
        return Ok(0);
    }
    // What is asked for by name may be the kernel's.
    let engines: Vec<Description> = match &args.name {
        Some(_) => engines.into_iter().map(with_kernel).collect(),
        None => engines,
    };
    let (description, seen) = match args.pid {
        None => (&engines[0], None),
        Some(pid) => {
            let (looked, description, target) = Looked::with_engine(pid, &survey(&engines[0])?, &engines)?;
            let description = description.ok_or_else(|| fail(exit::TARGET, looked.no_engine(&engines)))?;
            (description, Some(Seen { plan: survey(description)?, looked, target }))
        }
    };
    match &args.name {
        None => overview(&mut page, description, seen.as_ref()),
        Some(name) => named(&mut page, description, name, seen.as_ref(), args.verbose)?,
    }
    page.print()?;
    Ok(0)
}

fn with_kernel(engine: Description) -> Description {
    Description { catalogue: whole(&engine.catalogue), ..engine }
}

/// All points and enums, a line each.
fn overview(page: &mut Page, description: &Description, seen: Option<&Seen>) {
    let catalogue = &description.catalogue;
    page.line(0, Tone::Name, &catalogue.description);
    if let Some(seen) = seen {
        let process = &seen.looked.process;
        let engine = base(seen.target.files.engine().path());
        page.line(0, Tone::Plain, &format!("in {} (pid {}): {engine}", clean(process.comm()), process.pid()));
    }
    page.heading("points");
    let names = catalogue.points.iter().map(|p| p.name.len());
    let width = names.max().unwrap_or(0) + 2;
    let column = 2 + width + "sequence  ".len();
    for (id, point) in catalogue.points.iter().enumerate() {
        let label = format!("{:<width$}{}", point.name, point.template.word());
        let docs = join(&point.docs);
        page.entry(2, column, (Tone::Name, &label), &[(Tone::Plain, first_sentence(&docs))]);
        if let Some(seen) = seen {
            availability(page, column, id, seen);
        }
    }
    page.heading("functions");
    let column = 2 + calls::KINDS.iter().map(|k| k.written.len()).max().unwrap_or(0) + 2;
    for kind in &calls::KINDS {
        page.entry(2, column, (Tone::Name, kind.written), &[(Tone::Plain, first_sentence(kind.doc))]);
    }
    page.heading("the kernel");
    let named = catalogue.kernel.iter().flat_map(|k| &k.points).map(|p| (p.name.as_str(), join(&p.docs)));
    let made = kernel::KINDS.into_iter().map(|(_, written, doc)| (written, doc.to_owned()));
    let of_kernel: Vec<(&str, String)> = named.chain(made).collect();
    let column = 2 + of_kernel.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    for (name, docs) in &of_kernel {
        page.entry(2, column, (Tone::Name, name), &[(Tone::Plain, first_sentence(docs))]);
    }
    page.heading("enums");
    let column = 2 + catalogue.enums.keys().map(String::len).max().unwrap_or(0) + 2;
    for (name, e) in &catalogue.enums {
        let words = plural(e.words.len(), "word");
        let numbers = match (&e.table, seen) {
            (None, _) => "numbered as described".to_owned(),
            (Some(_), None) => "numbered by the engine".to_owned(),
            (Some(_), Some(seen)) if seen.target.assumed.contains(name) => {
                "no table found there: numbered as described".to_owned()
            }
            (Some(_), Some(seen)) => {
                let n = seen.target.facts.enums.get(name).map_or(0, Vec::len);
                format!("numbered by the engine, which has {n}")
            }
        };
        let docs = join(&e.docs);
        page.entry(2, column, (Tone::Name, name), &[(Tone::Plain, first_sentence(&docs))]);
        page.line(column, Tone::Faint, &format!("{words}, {numbers}"));
    }
    page.blank();
    page.line(0, Tone::Faint, "profinfer list NAME shows the fields of a point, the words of an enum.");
}

fn availability(page: &mut Page, column: usize, id: usize, seen: &Seen) {
    match why_missing(&seen.target, id, &seen.plan.points[id]) {
        None => page.line(column, Tone::Good, "available"),
        Some(why) => page.line(column, Tone::Bad, &format!("not available: {why}")),
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// Points and enums of that name or glob.
fn named(page: &mut Page, description: &Description, name: &str, seen: Option<&Seen>, verbose: bool) -> Result<(), u8> {
    let catalogue = &description.catalogue;
    let points: Vec<usize> = (0..catalogue.points.len()).filter(|p| glob(name, &catalogue.points[*p].name)).collect();
    let enums: Vec<&String> = catalogue.enums.keys().filter(|e| glob(name, e)).collect();
    if points.is_empty() && enums.is_empty() {
        let names = catalogue.points.iter().map(|p| p.name.as_str()).chain(catalogue.enums.keys().map(String::as_str));
        let hint = near(name, names).map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
        return Err(fail(
            exit::USAGE,
            format!("no point and no enum is called {name}{hint}; profinfer list shows all"),
        ));
    }
    for id in points {
        let probes = verbose.then(|| Probes::of(description, id, seen.map(|s| &s.target)));
        point(page, catalogue, id, seen, probes.as_ref());
    }
    for name in enums {
        words(page, catalogue, name, seen);
    }
    Ok(())
}

/// Where the text of a point's own entries begins.
const COLUMN: usize = 13;

fn point(page: &mut Page, catalogue: &Catalogue, id: usize, seen: Option<&Seen>, probes: Option<&Probes<'_>>) {
    let point = &catalogue.points[id];
    page.heading(&format!("point {}", point.name));
    page.line(2, Tone::Plain, &join(&point.docs));
    if let Some(seen) = seen {
        availability(page, 2, id, seen);
    }
    page.blank();
    about(page, point);
    if let Some(probes) = probes {
        page.heading(&format!("probes of {}, whatever is asked of it", point.name));
        probes.write(page, 2);
    }
    let fields = Fields::of(catalogue, id);
    let groups = [("fields", &fields.own), ("common fields", &fields.common)];
    for (title, group) in groups {
        page.heading(&format!("{title} of {}", point.name));
        write_fields(page, group, None, probes);
    }
    if !fields.counters.is_empty() {
        page.heading(&format!("counters of {}", point.name));
        write_fields(page, &fields.counters, None, probes);
    }
    for (outer, group) in &fields.enclosing {
        let example = group.first().map_or("time", |f| f.name.as_str());
        page.heading(&format!("fields of {outer}, which may enclose it (write {outer}.{example})"));
        write_fields(page, group, Some(outer), probes);
    }
}

/// How its events come about.
fn about(page: &mut Page, point: &Point) {
    let kind = match point.template {
        Template::Enter => "enter: an event per call, at its entry",
        Template::Rows => "rows: an event per element of a matrix, at a call's entry",
        Template::Span => "span: an event per call, from entry to return",
        Template::Call => "span: an event per call, from entry to return, calls from within it too",
        Template::Fault => "fault: an event per page fault that the kernel has served",
        Template::OffCpu => "off_cpu: an event per time off the CPU, from there until the thread runs again",
        Template::Disk => "disk: an event per read that is queued at a block device",
        Template::Sample => "sample: an event per tick of a clock",
        Template::Tracepoint => "tracepoint: an event per hit of a tracepoint of the kernel",
        Template::Sequence => "sequence: an event from each start to the next, or to an end",
    };
    page.entry(2, COLUMN, (Tone::Faint, "template"), &[(Tone::Plain, kind)]);
    for (i, start) in point.starts.iter().enumerate() {
        page.entry(
            2,
            COLUMN,
            (Tone::Faint, if i == 0 { "starts at" } else { "" }),
            &[(Tone::Plain, &start_text(start))],
        );
    }
    for (i, stop) in point.stops.iter().enumerate() {
        page.entry(2, COLUMN, (Tone::Faint, if i == 0 { "ends at" } else { "" }), &[(Tone::Plain, &stop_text(stop))]);
    }
    if !point.pattern.is_empty() {
        let fields: Vec<&str> = point.pattern.iter().map(|f| f.node.as_str()).collect();
        let text = format!("on {}(X) holds X against {}", point.name, fields.join(" and "));
        page.entry(2, COLUMN, (Tone::Faint, "pattern"), &[(Tone::Plain, &text)]);
    }
    for (words, reason) in &point.never {
        page.entry(2, COLUMN, (Tone::Faint, "never"), &[(Tone::Plain, &format!("{}: {reason}", words.join(", ")))]);
    }
}

fn start_text(start: &Start) -> String {
    let optional = if start.optional { " (if the engine has it)" } else { "" };
    format!("{}{optional}", start.symbols.join(" or "))
}

fn stop_text(stop: &Stop) -> String {
    let ret = stop.at.of();
    let optional = if stop.optional { " (if the engine has it)" } else { "" };
    format!("{ret}{}{optional}", stop.symbols.join(" or "))
}

fn write_fields(page: &mut Page, fields: &[fields::FieldText], outer: Option<&str>, probes: Option<&Probes<'_>>) {
    let name = fields.iter().map(|f| f.name.len()).max().unwrap_or(0) + 2;
    let ty = fields.iter().map(|f| f.ty.len()).max().unwrap_or(0) + 2;
    for f in fields {
        let label = format!("{:<name$}{:<ty$}", f.name, f.ty);
        let members = if f.members.is_empty() { String::new() } else { format!("Has {}.", f.members.join(" ")) };
        page.entry(2, 2 + name + ty, (Tone::Plain, &label), &[(Tone::Plain, &f.doc), (Tone::Faint, &members)]);
        if let Some(probes) = probes {
            probes.field(page, 2 + name + ty, f, outer);
        }
    }
    if fields.is_empty() {
        page.line(2, Tone::Faint, "none");
    }
}

fn words(page: &mut Page, catalogue: &Catalogue, name: &str, seen: Option<&Seen>) {
    let e = &catalogue.enums[name];
    page.heading(&format!("enum {name}"));
    if !e.docs.is_empty() {
        page.line(2, Tone::Plain, &join(&e.docs));
        page.blank();
    }
    let target = seen.and_then(|s| s.target.facts.enums.get(name)).filter(|_| e.table.is_some());
    let assumed = seen.is_some_and(|s| s.target.assumed.iter().any(|a| a == name));
    match (&e.table, target) {
        (None, _) => numbers(page, e.words.iter().map(|(w, n)| (*n, w.as_str()))),
        (Some(_), None) => {
            page.line(2, Tone::Plain, &e.words.keys().map(String::as_str).collect::<Vec<_>>().join(" "));
            page.line(2, Tone::Faint, "The engine numbers them: --pid N shows the numbers of a process.");
        }
        (Some(_), Some(_)) if assumed => {
            page.line(2, Tone::Weak, "No table was found in the engine: these numbers are assumed.");
            numbers(page, e.words.iter().map(|(w, n)| (*n, w.as_str())));
        }
        (Some(_), Some(words)) => {
            numbers(page, words.iter().map(|(n, w)| (*n, w.as_str())));
            let has = |word: &str| words.iter().any(|(_, w)| w == word);
            let lacking: Vec<&str> = e.words.keys().map(String::as_str).filter(|w| !has(w)).collect();
            let new: Vec<&str> = words.iter().map(|(_, w)| w.as_str()).filter(|w| !e.words.contains_key(*w)).collect();
            if !lacking.is_empty() {
                page.entry(2, COLUMN, (Tone::Weak, "lacking"), &[(Tone::Plain, &lacking.join(" "))]);
            }
            if !new.is_empty() {
                let text = format!("{} (write them in quotes: \"{}\")", clean(&new.join(" ")), clean(new[0]));
                page.entry(2, COLUMN, (Tone::Good, "new"), &[(Tone::Plain, &text)]);
            }
        }
    }
}

/// Words with their numbers, in columns.
fn numbers<'w>(page: &mut Page, words: impl Iterator<Item = (i64, &'w str)>) {
    let mut cells: Vec<String> = words.map(|(n, w)| format!("{n:>3} {}", clean(w))).collect();
    let width = cells.iter().map(String::len).max().unwrap_or(0) + 2;
    let columns = (78 / width).max(1);
    let rows = cells.len().div_ceil(columns).max(1);
    cells.iter_mut().for_each(|c| *c = format!("{c:<width$}"));
    for row in 0..rows {
        let line: String = cells.iter().skip(row).step_by(rows).map(String::as_str).collect();
        page.block(&format!("  {}", line.trim_end()));
    }
}
