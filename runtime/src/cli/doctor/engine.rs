//! A process: which engine, which files, which layouts, and every point with its sites.

use std::rc::Rc;

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::{Object, listing};

use super::{COLUMN, version};
use crate::cli::look::{Looked, condition, kind, optional_missing, shown, survey, why_missing};
use crate::cli::page::{Page, Tone, plural};
use crate::cli::script;
use crate::cli::sites::SiteText;
use crate::engine::Description;
use crate::session::files::Files;
use crate::session::sites::Target;
use crate::target::Module;

/// Writes what is found, and adds what is wrong.
///
/// # Errors
/// A fault of a built-in description; its exit code.
pub(super) fn examine(page: &mut Page, wrong: &mut Vec<String>, pid: u32, engines: &[Description]) -> Result<(), u8> {
    page.heading("target");
    let looked = match Looked::at(pid) {
        Ok(looked) => looked,
        Err(error) => {
            page.entry(2, COLUMN, (Tone::Plain, "process"), &[(Tone::Bad, "cannot be looked at")]);
            wrong.push(format!("{error}."));
            return Ok(());
        }
    };
    looked.describe(page, COLUMN);
    functions(page, &looked);
    let mut all = Files::recognise_all(engines, &looked.modules).into_iter();
    let Some((description, mapped)) = all.next() else {
        page.entry(2, COLUMN, (Tone::Plain, "engine"), &[(Tone::Bad, "none recognised")]);
        wrong.push(format!("{}.", looked.no_engine(engines)));
        wrong.push(
            "A script that has enter(\"lib:func\") and span(\"lib:func\") points only needs no engine.".to_owned(),
        );
        wrong.push(
            "If the engine is loaded later, `profinfer --wait --pid N` waits for it. An engine that is linked \
             statically and stripped has no names to be found by; a build with symbols has."
                .to_owned(),
        );
        return Ok(());
    };
    let plan = survey(description)?;
    let target = Target::new(&plan, mapped);
    engine(page, description, &target);
    for (_, files) in all {
        let path = shown(files.engine().path());
        let pieces = [(Tone::Plain, path.as_str()), (Tone::Faint, "(one more engine: a run attaches to it too)")];
        page.entry(2, COLUMN, (Tone::Faint, "also"), &pieces);
    }
    layouts(page, &target, &plan);
    tables(page, &plan, &target);
    let object = script::object(&plan, &target.facts)?;
    files(page, &target, &object);
    points(page, wrong, &plan, &target, &object);
    Ok(())
}

/// What `enter` and `span` of a script can name.
fn functions(page: &mut Page, looked: &Looked) {
    let counts = looked.modules.iter().map(|m| m.functions_where(|_| true).len());
    let (files, named) = counts.fold((0, 0), |(files, all), n| (files + usize::from(n > 0), all + n));
    let text = format!("enter and span can name {} of {}", plural(named, "function"), plural(files, "file"));
    page.entry(2, COLUMN, (Tone::Plain, "functions"), &[(Tone::Plain, &text)]);
}

fn engine(page: &mut Page, description: &Description, target: &Target) {
    let catalogue = &description.catalogue;
    let by = catalogue.condition.as_ref().map(|c| format!("({})", condition(c))).unwrap_or_default();
    let pieces = [(Tone::Good, catalogue.description.as_str()), (Tone::Faint, by.as_str())];
    page.entry(2, COLUMN, (Tone::Plain, "engine"), &pieces);
    // The function that every engine names after itself; if it does more than give back a text, nothing is said.
    let symbol = format!("{}_version", catalogue.engine);
    if let Some(version) = target.files.functions(&symbol).find_map(|(m, f)| version::read(m, &f)) {
        let by = format!("(what its {symbol} gives back)");
        page.entry(2, COLUMN, (Tone::Plain, "version"), &[(Tone::Plain, &version), (Tone::Faint, &by)]);
    }
    page.entry(2, COLUMN, (Tone::Plain, "file"), &[(Tone::Plain, &shown(target.files.engine().path()))]);
    page.entry(2, COLUMN, (Tone::Plain, ""), &[(Tone::Faint, &kind(target.files.engine()))]);
}

/// Which of several layouts was chosen; structs with one layout only are not worth a line.
fn layouts(page: &mut Page, target: &Target, plan: &Plan) {
    let exported = |symbol: &str| target.files.exports(symbol);
    for (name, s) in plan.structs.iter().filter(|(_, s)| s.layouts.len() > 1) {
        let fits =
            |l: &profinfer_compiler::catalogue::StructLayout| l.condition.as_ref().is_none_or(|c| c.holds(&exported));
        let text = match s.layouts.iter().position(fits) {
            Some(at) => {
                let why = s.layouts[at].condition.as_ref().map_or_else(|| "no other fits".to_owned(), condition);
                format!("{name}: the {} of {} ({why})", ordinal(at), s.layouts.len())
            }
            None => format!("{name}: none of {} fits; what is read from it is absent", s.layouts.len()),
        };
        page.entry(2, COLUMN, (Tone::Plain, "layout"), &[(Tone::Plain, &text)]);
    }
}

fn ordinal(at: usize) -> String {
    match at {
        0 => "first".to_owned(),
        1 => "second".to_owned(),
        2 => "third".to_owned(),
        n => format!("{}th", n + 1),
    }
}

fn tables(page: &mut Page, plan: &Plan, target: &Target) {
    for (name, e) in plan.enums.iter().filter(|(_, e)| e.table.is_some()) {
        let (tone, text) = if target.assumed.contains(name) {
            (Tone::Weak, format!("{name}: no table of names found; the description's numbers are assumed"))
        } else {
            let n = target.facts.enums.get(name).map_or(0, Vec::len);
            let known = e.words.len();
            (Tone::Plain, format!("{name}: {n} words read out of the engine ({known} described)"))
        };
        page.entry(2, COLUMN, (Tone::Plain, "table"), &[(tone, &text)]);
    }
}

/// The other files that hold something to probe.
fn files(page: &mut Page, target: &Target, object: &Object) {
    let mut files: Vec<Rc<Module>> = vec![Rc::clone(target.files.engine())];
    for program in &object.programs {
        for found in SiteText::find(&program.site, target).found() {
            if !files.iter().any(|m| m.identity() == found.module.identity()) {
                files.push(Rc::clone(&found.module));
            }
        }
    }
    for module in files.iter().skip(1) {
        page.entry(2, COLUMN, (Tone::Plain, "and file"), &[(Tone::Plain, &shown(module.path()))]);
        page.entry(2, COLUMN, (Tone::Plain, ""), &[(Tone::Faint, &kind(module))]);
    }
}

fn points(page: &mut Page, wrong: &mut Vec<String>, plan: &Plan, target: &Target, object: &Object) {
    for (id, p) in plan.points.iter().enumerate() {
        page.heading(&p.name);
        if let Some(why) = why_missing(target, id, p) {
            page.line(2, Tone::Bad, &format!("not available: {why}"));
            wrong.push(format!(
                "{} is not available in this engine. Scripts go on without it where they mark it: on {}? < … >",
                p.name, p.name
            ));
            continue;
        }
        for program in object.programs.iter().filter(|program| program.actions.iter().any(|a| a.point() == id)) {
            let actions: Vec<_> = program.actions.iter().copied().filter(|a| a.point() == id).collect();
            page.line(2, Tone::Plain, &listing::actions_of(&actions, plan));
            let site = SiteText::find(&program.site, target);
            site.write(page, 4, true);
            if !site.is_fine() {
                wrong.push(format!("A function of {} cannot be probed: see above.", p.name));
            }
        }
        for symbol in optional_missing(&target.facts, id, p) {
            page.line(2, Tone::Faint, &format!("does without {symbol}"));
        }
        if let Some(why) = &p.silent {
            page.line(2, Tone::Faint, &format!("If it never fires: {why}."));
        }
    }
}
