//! The functions that `enter` and `span` of a script name, as far as a process has them.

use std::rc::Rc;

use profinfer_compiler::catalogue::{Called, Template, Wanted};
use profinfer_compiler::pattern::glob;
use profinfer_compiler::resolve::near;

use super::files::Files;
use super::sites::{args_of_all, entry_of};
use crate::target::{Function, Module};

/// Functions that one point may stand for.
pub const MAX_FUNCTIONS: usize = 1000;
const _: () = assert!(MAX_FUNCTIONS <= profinfer_ebpf::target::cookie::MAX_FUNCTIONS);

/// How many names are listed where none fits.
const LISTED: usize = 8;

/// The functions that a point stands for in a process.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// Those that can be probed, with the word that tells each apart.
    pub found: Vec<Call>,
    /// Those of a glob that cannot, and why.
    pub refused: Vec<(String, String)>,
}

/// A function that a point stands for.
#[derive(Debug, Clone)]
pub struct Call {
    /// The file it is in.
    pub module: Rc<Module>,
    /// The function.
    pub function: Function,
    /// Its name; with the file's before it where several have one of that name.
    pub word: String,
}

/// Why a process has none of the functions that are meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum NoCall {
    #[error("no file mapped there is called {library}{}", instead(near))]
    Library { library: String, near: Vec<String> },
    #[error("there is no function {function} in {files}{}", instead(near))]
    Function { function: String, files: String, near: Vec<String> },
    #[error(
        "{function} in {files} is chosen among several when the program starts, so it has no code of its own{}",
        instead(near)
    )]
    Chosen { function: String, files: String, near: Vec<String> },
    #[error("no function begins at {address:#x} in {files}, as far as its symbols and unwind tables tell")]
    Address { address: u64, files: String },
    #[error("it stands for {found} functions there, and a point may stand for {MAX_FUNCTIONS}: make it narrower")]
    TooMany { found: usize },
    #[error("`{function}` in {file} cannot be probed: {why}")]
    Refused { function: String, file: String, why: String },
}

impl NoCall {
    /// Whether it is simply not there: what can be gone on without.
    pub fn is_missing(&self) -> bool {
        !matches!(self, Self::TooMany { .. } | Self::Refused { .. })
    }
}

/// `; there is a, b`
fn instead(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; there is {}", near.join(", ")) }
}

/// The functions of a process that are meant.
///
/// # Errors
/// [`NoCall`]: there is none, there are too many, or one that is named outright cannot be probed.
pub fn find(called: &Called, template: Template, files: &Files) -> Result<Calls, NoCall> {
    let modules: Vec<&Rc<Module>> = files.all().iter().filter(|m| is_called(m, &called.library, files)).collect();
    if modules.is_empty() {
        return Err(no_library(&called.library, files));
    }
    let names = listed(modules.iter().map(|m| m.file_name()).collect()).join(", ");
    let mut all: Vec<(Rc<Module>, Function)> = Vec::new();
    for module in &modules {
        let found = match &called.function {
            Wanted::Named(name) if is_glob(name) => module.functions_where(|symbol| glob(name, symbol)),
            // An older version of it may be a function: nobody calls that.
            Wanted::Named(name) if module.is_chosen_at_start(name) => Vec::new(),
            Wanted::Named(name) => module.functions_where(|symbol| symbol == name),
            Wanted::At(address) => module.function_at(*address).into_iter().collect(),
        };
        all.extend(found.into_iter().map(|function| (Rc::clone(module), function)));
    }
    if all.is_empty() {
        return Err(no_function(&called.function, &modules, names));
    }
    let mut calls = Calls::default();
    let several = all.len() > 1;
    for (module, function) in &all {
        let elsewhere = |(m, f): &(Rc<Module>, Function)| f.name == function.name && m.identity() != module.identity();
        let word = match all.iter().any(elsewhere) {
            false => function.name.clone(),
            true => format!("{}:{}", module.file_name(), function.name),
        };
        match probeable(module, function, template) {
            Ok(()) => calls.found.push(Call { module: Rc::clone(module), function: function.clone(), word }),
            Err(why) if several => calls.refused.push((word, why)),
            Err(why) => {
                return Err(NoCall::Refused { function: function.name.clone(), file: module.file_name(), why });
            }
        }
    }
    match (calls.found.len(), calls.refused.first()) {
        (0, Some((function, why))) => {
            Err(NoCall::Refused { function: function.clone(), file: names, why: why.clone() })
        }
        (found, _) if found > MAX_FUNCTIONS => Err(NoCall::TooMany { found }),
        _ => Ok(calls),
    }
}

/// Whether a file is called so: its name as a whole, without what follows `.so`, or without that as well.
fn is_called(module: &Module, library: &str, files: &Files) -> bool {
    if library == "exe" {
        return files.is_program(module);
    }
    let name = module.file_name();
    let stem = name.find(".so").map(|at| &name[..at]);
    let shared = stem.map(|stem| format!("{stem}.so"));
    glob(library, &name) || stem.is_some_and(|s| glob(library, s)) || shared.is_some_and(|s| glob(library, &s))
}

fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether probes can be set in a function, whatever is read there.
fn probeable(module: &Module, function: &Function, template: Template) -> Result<(), String> {
    let to_the_end = template == Template::Call;
    entry_of(module, function, args_of_all(), to_the_end).map_err(|e| e.to_string())?;
    if to_the_end {
        module.return_sites(function).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn no_library(library: &str, files: &Files) -> NoCall {
    let mut names: Vec<String> = files.all().iter().map(|m| m.file_name()).collect();
    names.sort();
    names.dedup();
    let stem = library.split(".so").next().unwrap_or(library).replace(['*', '?'], "");
    let likely = names.iter().filter(|n| stem.len() >= 3 && n.contains(&stem)).cloned().collect::<Vec<_>>();
    let near = match (likely.is_empty(), near(library, names.iter().map(String::as_str))) {
        (false, _) => likely,
        (true, Some(near)) => vec![near.to_owned()],
        (true, None) => names,
    };
    NoCall::Library { library: library.to_owned(), near: listed(near) }
}

fn no_function(wanted: &Wanted, modules: &[&Rc<Module>], files: String) -> NoCall {
    let name = match wanted {
        Wanted::At(address) => return NoCall::Address { address: *address, files },
        Wanted::Named(name) => name,
    };
    let part = name.replace(['*', '?'], "");
    let mut likely = Vec::new();
    let mut all = Vec::new();
    for module in modules {
        for function in module.functions_where(|_| true) {
            if part.len() >= 3 && function.name.contains(&part) {
                likely.push(function.name);
            } else {
                all.push(function.name);
            }
        }
    }
    likely.sort_by_key(String::len);
    if likely.is_empty() {
        likely.extend(near(name, all.iter().map(String::as_str)).map(str::to_owned));
    }
    let near = listed(likely);
    match modules.iter().any(|m| m.is_chosen_at_start(name)) {
        true => NoCall::Chosen { function: name.clone(), files, near },
        false => NoCall::Function { function: name.clone(), files, near },
    }
}

/// The first few, and that there are more.
fn listed(mut names: Vec<String>) -> Vec<String> {
    if names.len() > LISTED {
        let more = names.len() - LISTED;
        names.truncate(LISTED);
        names.push(format!("and {more} more"));
    }
    names
}
