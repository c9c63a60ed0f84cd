//! What a plan finds in a process: its engine, its numbering of words, and the instructions to probe.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use profinfer_compiler::plan::{Plan, Point};
use profinfer_ebpf::{Arch, SiteSpec, TargetFacts};

use super::SessionError;
use super::files::Files;
use crate::target::{self, FileIdentity, Module, Site, name_table};

/// A function found for a site, with the instructions to probe.
#[derive(Debug, Clone)]
pub struct Found {
    /// The symbol that was taken.
    pub symbol: String,
    /// The file it is in.
    pub module: Rc<Module>,
    /// The instructions.
    pub sites: Vec<Site>,
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
                            assumed.push(name.clone());
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
        let starts: Vec<Vec<bool>> =
            plan.points.iter().map(|p| p.starts.iter().map(|s| has(&s.symbols)).collect()).collect();
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
            loops: kernel_has_loops(),
        };
        Target { facts, files, assumed }
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
        for p in plan.points.iter().filter(|p| p.used) {
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
        for symbol in &spec.symbols {
            let mut found = Vec::new();
            for (module, function) in self.files.functions(symbol) {
                let sites = if spec.at_return {
                    module.return_sites(&function)
                } else {
                    entry(module, &function, spec).map(|site| vec![site])
                };
                let sites = sites.map_err(|e| SessionError::NoSite {
                    symbol: symbol.clone(),
                    path: module.path().display().to_string(),
                    why: e.to_string(),
                })?;
                found.push(Found { symbol: symbol.clone(), module: module.clone(), sites });
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The file a symbol was looked for in, for messages.
    pub fn engine_path(&self) -> PathBuf {
        self.files.engine().path().to_owned()
    }
}

/// The instruction to probe at a function's entry. A span compares stack pointers, so its site must come before the first
/// change of it, even where a later instruction would be cheaper.
fn entry(module: &Module, function: &target::Function, spec: &SiteSpec) -> Result<Site, target::SiteError> {
    let site = module.entry_site(function, spec.args_used)?;
    if site.stack_intact || !spec.needs_entry_sp {
        return Ok(site);
    }
    let before = target::Function { size: site.at, ..function.clone() };
    module.entry_site(&before, spec.args_used)
}

/// Whether the kernel bounds loops of programs: since Linux 6.9.
fn kernel_has_loops() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(9))
}

/// The PID namespace of this process, where it is not the machine's first one.
pub(super) fn own_pid_namespace() -> Option<(u64, u64)> {
    /// `PROC_PID_INIT_INO` of the kernel.
    const FIRST: u64 = 0xeffffffc;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?;
    (namespace.ino() != FIRST).then(|| (namespace.dev(), namespace.ino()))
}
