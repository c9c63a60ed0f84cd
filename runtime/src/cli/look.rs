//! A process looked at without touching it: its files, the engine in them, and what that has of its description.

use std::path::Path;
use std::rc::Rc;

use profinfer_compiler::catalogue::Exports;
use profinfer_compiler::plan::{Plan, Point};
use profinfer_compiler::resolve::Resolver;
use profinfer_ebpf::TargetFacts;

use super::page::{Page, Tone, clean};
use super::{exit, fail};
use crate::engine::Description;
use crate::script::Script;
use crate::session::files::{Files, Modules};
use crate::session::sites::Target;
use crate::target::{Module, Process, TargetError};

/// A process with what it has mapped.
#[derive(Debug)]
pub(super) struct Looked {
    /// The process.
    pub(super) process: Process,
    /// Its files.
    pub(super) modules: Vec<Rc<Module>>,
}

impl Looked {
    /// Looks at a process.
    ///
    /// # Errors
    /// There is none, or it may not be looked at.
    pub(super) fn at(pid: u32) -> Result<Looked, TargetError> {
        let process = Process::open(pid)?;
        let modules = Modules::default().of(&process)?;
        Ok(Looked { process, modules })
    }

    /// What a plan finds in it, with the description that fits.
    pub(super) fn target<'d>(
        &self,
        plan: &Plan,
        engines: &'d [Description],
    ) -> Option<(Option<&'d Description>, Target)> {
        let engine = Files::recognise(engines, &self.modules).map(|(d, files)| (Some(d), files.of(&self.process)));
        let other = || Some((None, Files::without_engine(&self.modules, &self.process)?));
        let (description, files) = engine.or_else(|| other().filter(|_| !plan.needs_engine()))?;
        Some((description, Target::new(plan, files)))
    }

    /// Looks at a process as [`Looked::at`] does and finds the engine, if the plan needs one; else says what is wrong: the
    /// exit code.
    pub(super) fn with_engine<'d>(
        pid: u32,
        plan: &Plan,
        engines: &'d [Description],
    ) -> Result<(Looked, Option<&'d Description>, Target), u8> {
        let looked = Looked::at(pid).map_err(|e| fail(exit::TARGET, e))?;
        match looked.target(plan, engines) {
            Some((description, target)) => Ok((looked, description, target)),
            None => Err(fail(exit::TARGET, looked.no_engine(engines))),
        }
    }

    /// Why no engine is to be seen, in a sentence.
    pub(super) fn no_engine(&self, engines: &[Description]) -> String {
        if let Some(foreign) = Files::foreign_engine(engines, &self.modules) {
            let (pid, comm) = (self.process.pid(), clean(self.process.comm()));
            return format!("no engine is to be seen in process {pid} ({comm}): {foreign}");
        }
        let known: Vec<&str> = engines.iter().map(|d| d.catalogue.description.as_str()).collect();
        format!(
            "no engine is to be seen in process {} ({}): none of its {} files exports what is known of {}",
            self.process.pid(),
            clean(self.process.comm()),
            self.modules.len(),
            known.join(", ")
        )
    }

    /// Who it is, as an entry.
    pub(super) fn describe(&self, page: &mut Page, column: usize) {
        let process = &self.process;
        let exe = process.exe().map(|p| format!("runs {}", shown(p))).unwrap_or_default();
        let inside = match process.namespace_pid() {
            same if same == process.pid() => String::new(),
            own => format!(", {own} in its container"),
        };
        let who = format!("{} (pid {}{inside})", clean(process.comm()), process.pid());
        page.entry(2, column, (Tone::Faint, "process"), &[(Tone::Name, &who), (Tone::Plain, &exe)]);
    }
}

/// A path of the target.
pub(super) fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy())
}

/// The last part of a path of the target.
pub(super) fn base(path: &Path) -> String {
    path.file_name().map_or_else(|| shown(path), |name| clean(&name.to_string_lossy()))
}

/// What kind of file a module is: `x86_64, build id 1234, stripped, CET`.
pub(super) fn kind(module: &Module) -> String {
    let arch = module.arch().name();
    let build_id = module.build_id().map_or_else(|| "no build id".to_owned(), |id| format!("build id {id}"));
    let symbols = if module.is_stripped() { "stripped" } else { "with symbols" };
    let cet = if module.is_cet() { "CET" } else { "no CET" };
    format!("{arch}, {symbols}, {cet}, {build_id}")
}

/// Why a point is not to be had, or nothing if it is.
pub(super) fn why_missing(target: &Target, id: usize, point: &Point) -> Option<String> {
    let facts = &target.facts;
    if facts.has(id) {
        return None;
    }
    if let Some(Err(why)) = &target.calls[id] {
        return Some(why.to_string());
    }
    let there = &facts.starts[id];
    let missing: Vec<String> = point
        .starts
        .iter()
        .zip(there)
        .filter(|(start, there)| !**there && !start.optional)
        .map(|(start, _)| start.symbols.join(" or "))
        .collect();
    let missing = if missing.is_empty() { "any of its functions".to_owned() } else { missing.join(", and none ") };
    Some(format!("no file mapped there has {missing}"))
}

/// Starts and marks that a point could have and does not, by symbol; it works without them.
pub(super) fn optional_missing(facts: &TargetFacts, id: usize, point: &Point) -> Vec<String> {
    let starts = point.starts.iter().zip(&facts.starts[id]);
    let mark = point.mark.iter().filter(|_| !facts.has_mark(id)).map(|m| &m.site.symbols);
    let symbols = starts.filter(|(s, there)| s.optional && !**there).map(|(s, _)| &s.symbols);
    symbols.chain(mark).map(|s| s.join(" or ")).collect()
}

/// A plan that uses every point of a description, and of each every field that can be a key: what a look at all of them
/// at once has to find.
pub(super) fn survey(description: &Description) -> Result<Plan, u8> {
    let resolver = Resolver::new(&description.catalogue);
    let compiles = |text: &str| Script::parse("<survey>", text).compile(description, &[], false);
    let mut script = String::new();
    for (id, point) in description.catalogue.points.iter().enumerate() {
        let mut fields = resolver.names_at(id);
        fields.retain(|field| {
            let own = point.fields.contains_key(field);
            own && compiles(&format!("on {} < count() by {field} >", point.name)).is_ok()
        });
        let keys = if fields.is_empty() { String::new() } else { format!(" by {}", fields.join(", ")) };
        script.push_str(&format!("on {}? < count(){keys} >\n", point.name));
    }
    match compiles(&script) {
        Ok((plan, _)) => Ok(plan),
        Err(_) => Err(fail(exit::SCRIPT, format!("the description {} cannot be used", description.path.display()))),
    }
}

/// A condition on exports as the description writes it.
pub(super) fn condition(c: &Exports) -> String {
    match c {
        Exports::Symbol(s) => format!("exports {s}"),
        Exports::And(a, b) => format!("{} and {}", condition(a), condition(b)),
        Exports::Or(a, b) => format!("({} or {})", condition(a), condition(b)),
        Exports::Not(a) => format!("not {}", condition(a)),
    }
}
