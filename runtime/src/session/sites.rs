//! What a plan finds in a process: its engine, its numbering of words, and the instructions to probe.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use profinfer_compiler::catalogue::{Start, Template};
use profinfer_compiler::plan::{Plan, Point};
use profinfer_ebpf::target::TRACE_FIELDS;
use profinfer_ebpf::{Arch, SiteSpec, TargetFacts};
use profinfer_lang::ast::Edge;

use super::SessionError;
use super::calls::{self, Calls, NoCall};
use super::files::Files;
use crate::kernel::Tracefs;
use crate::target::{self, FileIdentity, Module, Site, SiteChoice, name_table};

/// A function found for a site, with the instructions to probe.
#[derive(Debug, Clone)]
pub struct Found {
    /// The symbol that was taken.
    pub symbol: String,
    /// The file it is in.
    pub module: Rc<Module>,
    /// The instructions.
    pub sites: Vec<Site>,
    /// Its number among those that the script names.
    pub number: Option<u16>,
}

/// What a plan finds in a process.
#[derive(Debug)]
pub struct Target {
    /// What the emitted code has to know.
    pub facts: TargetFacts,
    /// The files of the process, the engine's first.
    pub files: Files,
    /// Enums whose table was not found in the target: the description's numbers are used.
    pub assumed: Vec<String>,
    /// Of points for which the script names a function: those there are.
    pub calls: Vec<Option<Result<Calls, NoCall>>>,
    /// Which instruction is probed where a function is entered.
    pub choice: SiteChoice,
    /// The same by what the script names.
    named: HashMap<(Vec<String>, Template), Calls>,
}

impl Target {
    /// Looks at a process by its files.
    pub fn new(plan: &Plan, files: Files) -> Target {
        let mut enums = HashMap::new();
        let mut assumed = Vec::new();
        for (name, e) in &plan.enums {
            let listed = || e.words.iter().map(|(w, n)| (*n, w.clone())).collect::<Vec<_>>();
            let words = match &e.table {
                None => listed(),
                Some(symbol) => {
                    let anchors: Vec<&str> = e.words.keys().take(3).map(String::as_str).collect();
                    // The table stands in whichever library holds the engine's base.
                    match files.near().iter().find_map(|m| name_table(m, symbol, &anchors)) {
                        Some(table) => table.into_iter().enumerate().map(|(n, w)| (n as i64, w)).collect(),
                        None => {
                            if e.of_script || plan.needs_engine() {
                                assumed.push(name.clone());
                            }
                            listed()
                        }
                    }
                }
            };
            enums.insert(name.clone(), words);
        }
        let exported = |symbol: &str| files.exports(symbol);
        let structs = plan
            .structs
            .iter()
            .filter_map(|(name, s)| {
                let fields = &s.layout(&exported)?.fields;
                Some((name.clone(), fields.iter().map(|(f, placed)| (f.clone(), placed.offset)).collect()))
            })
            .collect();
        let has = |symbols: &[String]| symbols.iter().any(|s| files.functions(s).next().is_some());
        let calls: Vec<Option<Result<Calls, NoCall>>> =
            plan.points.iter().map(|p| Some(calls::find(p.called.as_ref()?, p.template, &files))).collect();
        for (point, calls) in plan.points.iter().zip(&calls) {
            if let Some(Ok(calls)) = calls {
                let words = calls.found.iter().enumerate().map(|(n, call)| (n as i64, call.word.clone()));
                enums.insert(point.name.clone(), words.collect());
            }
        }
        // What lies behind calls is looked for once for all points: it takes going over all code.
        let followed = plan.points.iter().filter(|p| p.used).flat_map(|p| &p.stops).filter(|s| s.at == Edge::Behind);
        let called: Vec<&str> = followed.filter_map(|stop| first_there(&files, &stop.symbols)).collect();
        files.near().iter().for_each(|module| module.look_for_calls(&called));
        // A start of which no end could be seen is as good as none.
        let is_lost = |p: &Point, start: &Start| {
            p.used
                && p.stops.iter().any(|stop| stop.at == Edge::Behind && stop.symbols == start.symbols)
                && !find_behind_calls(&files, &start.symbols).is_ok_and(|found| !found.is_empty())
                || p.used && p.only_return.is_some() && goes_on(&files, p, start)
        };
        let starts: Vec<Vec<bool>> = plan
            .points
            .iter()
            .zip(&calls)
            .map(|(p, calls)| match calls {
                _ if p.template.is_kernel() => vec![true; p.starts.len()],
                Some(calls) => vec![calls.is_ok()],
                None => p.starts.iter().map(|s| has(&s.symbols) && !is_lost(p, s)).collect(),
            })
            .collect();
        let available = plan
            .points
            .iter()
            .zip(&starts)
            .map(|(p, there)| {
                let all_starts = p.starts.iter().zip(there).all(|(s, there)| *there || s.optional);
                let all_stops = p.stops.iter().all(|s| s.optional || has(&s.symbols));
                there.contains(&true) && all_starts && all_stops
            })
            .collect();
        let marks = plan.points.iter().map(|p| p.mark.as_ref().is_some_and(|m| has(&m.site.symbols))).collect();
        let arch = match files.engine().arch() {
            target::Arch::X86_64 => Arch::X86_64,
            target::Arch::Aarch64 => Arch::Aarch64,
        };
        let facts = TargetFacts {
            arch,
            pid_namespace: own_pid_namespace(),
            enums,
            structs,
            available,
            starts,
            marks,
            lacks_counters: Vec::new(),
            loops: kernel_is((6, 9)),
            by_process: kernel_is((6, 10)),
            trace_fields: trace_fields(plan),
            stacks: HashMap::new(),
        };
        let named = plan.points.iter().zip(&calls).filter_map(|(p, calls)| match calls {
            Some(Ok(calls)) => Some(((p.starts.first()?.symbols.clone(), p.template), calls.clone())),
            _ => None,
        });
        let named = named.collect();
        Target { facts, files, assumed, calls, choice: SiteChoice::default(), named }
    }

    /// Why a field of a point that needs a mark is not to be had, or nothing if it is, or none is needed.
    pub fn lacks_mark(&self, id: usize, point: &Point) -> Option<String> {
        let mark = point.mark.as_ref().filter(|_| point.used && self.facts.has(id) && !self.facts.has_mark(id))?;
        let missing = format!("no file mapped there has {}", mark.site.symbols.join(" or "));
        Some(mark.site.reason.as_ref().map_or(missing.clone(), |reason| format!("{missing}; {reason}")))
    }

    /// The files that this target is made of, as far as a plan sees: two processes with equal ones share programs.
    pub fn identity(&self, plan: &Plan) -> Vec<FileIdentity> {
        let mut files = vec![self.files.engine().identity()];
        let calls = self.calls.iter().flatten().flatten().flat_map(|calls| &calls.found);
        files.extend(calls.map(|call| call.module.identity()));
        for p in plan.points.iter().filter(|p| p.used && p.called.is_none()) {
            let symbols = p.starts.iter().flat_map(|s| &s.symbols).chain(p.stops.iter().flat_map(|s| &s.symbols));
            for symbol in symbols.chain(p.mark.iter().flat_map(|m| &m.site.symbols)) {
                files.extend(self.files.functions(symbol).map(|(module, _)| module.identity()));
            }
        }
        files.sort_unstable();
        files.dedup();
        files
    }

    /// The instructions for a site, in every file that has the function; empty if none has.
    ///
    /// # Errors
    /// [`SessionError::NoSite`] if the function is there and cannot be probed.
    pub fn find(&self, spec: &SiteSpec) -> Result<Vec<Found>, SessionError> {
        if spec.kernel {
            return Ok(Vec::new());
        }
        if let Some(template) = spec.called {
            return self.find_calls(spec, template);
        }
        if spec.at == Edge::Behind {
            return find_behind_calls(&self.files, &spec.symbols);
        }
        for symbol in &spec.symbols {
            let mut found = Vec::new();
            for (module, function) in self.files.functions(symbol) {
                let sites = if spec.at == Edge::Return {
                    module.return_sites(&function)
                } else {
                    self.entry(module, &function, spec).map(|site| vec![site])
                };
                let sites = sites.map_err(no_site(symbol, module))?;
                found.push(Found { symbol: symbol.clone(), module: module.clone(), sites, number: None });
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn entry(&self, module: &Module, function: &target::Function, spec: &SiteSpec) -> Result<Site, target::SiteError> {
        match self.choice {
            SiteChoice::Cheapest => entry_of(module, function, spec.args_used, spec.needs_entry_sp),
            SiteChoice::Entry => module.first_site(function),
        }
    }

    /// [`find`](Self::find) for functions that the script names.
    fn find_calls(&self, spec: &SiteSpec, template: Template) -> Result<Vec<Found>, SessionError> {
        let Some(calls) = self.named.get(&(spec.symbols.clone(), template)) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (number, call) in calls.found.iter().enumerate() {
            let (module, function) = (&call.module, &call.function);
            let sites = match spec.at {
                Edge::Return => module.return_sites(function),
                Edge::Entry | Edge::Behind => self.entry(module, function, spec).map(|site| vec![site]),
            };
            let sites = sites.map_err(no_site(&function.name, module))?;
            let number = u16::try_from(number).ok();
            found.push(Found { symbol: call.word.clone(), module: Rc::clone(module), sites, number });
        }
        Ok(found)
    }

    /// The file a symbol was looked for in, for messages.
    pub fn engine_path(&self) -> PathBuf {
        self.files.engine().path().to_owned()
    }
}

/// Whether what a start's function returns is not known where it ends, since it goes on in another one.
fn goes_on(files: &Files, point: &Point, start: &Start) -> bool {
    let is_followed = point.stops.iter().any(|stop| stop.at == Edge::Behind && stop.symbols == start.symbols);
    let mut functions = start.symbols.iter().flat_map(|symbol| files.functions(symbol));
    !is_followed
        && functions.any(|(module, function)| {
            module.return_sites(&function).is_ok_and(|sites| sites.iter().any(|site| site.goes_on))
        })
}

/// The first of these functions that any of the files has.
fn first_there<'s>(files: &Files, symbols: &'s [String]) -> Option<&'s str> {
    symbols.iter().map(String::as_str).find(|symbol| files.functions(symbol).next().is_some())
}

/// The instructions behind the calls of the first of these functions that any of the engine's files has.
fn find_behind_calls(files: &Files, symbols: &[String]) -> Result<Vec<Found>, SessionError> {
    let Some(symbol) = first_there(files, symbols) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for module in files.near() {
        let sites = module.sites_behind_calls(symbol).map_err(no_site(symbol, module))?;
        if !sites.is_empty() {
            found.push(Found { symbol: symbol.to_owned(), module: Rc::clone(module), sites, number: None });
        }
    }
    Ok(found)
}

/// The instruction to probe at a function's entry. A span compares stack pointers, so its site must come before the first
/// change of it, even where a later instruction would be cheaper.
pub(super) fn entry_of(
    module: &Module,
    function: &target::Function,
    args_used: u8,
    needs_entry_sp: bool,
) -> Result<Site, target::SiteError> {
    let site = module.entry_site(function, args_used)?;
    if site.stack_intact || !needs_entry_sp {
        return Ok(site);
    }
    let before = target::Function { size: site.at, ..function.clone() };
    module.entry_site(&before, args_used)
}

/// As many arguments as can be read, as [`SiteSpec::args_used`] has them.
pub(super) fn args_of_all() -> u8 {
    0b11_1111
}

/// Where the kernel's own tracepoints have their fields, if a plan reads any. Where they cannot be looked at, they are said to
/// be where they were on the kernel that all was tried on: attaching will tell.
fn trace_fields(plan: &Plan) -> HashMap<String, u16> {
    let mut fields = HashMap::new();
    if plan.points.iter().any(|p| p.used && p.template.is_kernel()) {
        let tracefs = Tracefs::open();
        for (category, name, field, nominal) in TRACE_FIELDS {
            let found = tracefs.as_ref().ok().and_then(|t| t.tracepoint_field(category, name, field).ok());
            fields.insert(format!("{category}:{name}.{field}"), found.unwrap_or(nominal));
        }
    }
    fields
}

fn no_site(symbol: &str, module: &Module) -> impl Fn(target::SiteError) -> SessionError {
    move |e| SessionError::NoSite {
        symbol: symbol.to_owned(),
        path: module.path().display().to_string(),
        why: e.to_string(),
    }
}

/// Whether the kernel is Linux of that version or later.
fn kernel_is((major, minor): (u32, u32)) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// The PID namespace of this process, where it is not the machine's first one.
pub(super) fn own_pid_namespace() -> Option<(u64, u64)> {
    /// `PROC_PID_INIT_INO` of the kernel.
    const FIRST: u64 = 0xeffffffc;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?;
    (namespace.ino() != FIRST).then(|| (namespace.dev(), namespace.ino()))
}
