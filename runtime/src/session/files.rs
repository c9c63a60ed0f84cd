//! The files that a process runs code from, and which of them are the engine's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use crate::engine::Description;
use crate::target::{Arch, FileIdentity, Function, Module, Process, TargetError, executable_files};

/// How many files are kept open for processes to come.
const MANY_FILES: usize = 512;

/// The modules of processes that were looked at, opened once for all processes.
#[derive(Debug, Default)]
pub struct Modules {
    open: HashMap<FileIdentity, Option<Rc<Module>>>,
}

impl Modules {
    /// The modules mapped in a process now. A file that is no ELF file is left out.
    ///
    /// # Errors
    /// The mappings cannot be read, or a mapped file cannot be opened.
    pub fn of(&mut self, process: &Process) -> Result<Vec<Rc<Module>>, TargetError> {
        let mappings = process.mappings()?;
        let mut modules = Vec::new();
        for mapping in executable_files(&mappings) {
            let Some(identity) = mapping.identity() else { continue };
            let module = match self.open.get(&identity) {
                Some(known) => known.clone(),
                None => {
                    let module = match Module::open(process, mapping) {
                        Ok(module) => Some(Rc::new(module)),
                        Err(TargetError::NotElf { .. } | TargetError::Unsupported { .. }) => None,
                        Err(error) => return Err(error),
                    };
                    self.open.insert(identity, module.clone());
                    module
                }
            };
            modules.extend(module);
        }
        Ok(modules)
    }

    /// Those of the modules mapped in a process that are open already.
    pub fn known(&self, process: &Process) -> Option<Vec<Rc<Module>>> {
        let mappings = process.mappings().ok()?;
        let known =
            executable_files(&mappings).into_iter().filter_map(|mapping| self.open.get(&mapping.identity()?)?.clone());
        Some(known.collect())
    }

    /// A process has ended. Of many that come and go the files are not kept open for ever.
    pub fn ended(&mut self) {
        if self.open.len() > MANY_FILES {
            self.open.retain(|_, module| module.as_ref().is_some_and(|m| Rc::strong_count(m) > 1));
        }
    }
}

/// The files of a process in which an engine was recognised, those that belong to the engine first, without those of other
/// engines.
///
/// Only in those are names looked for that a file does not export, and tables: a process may have mapped programs of
/// a hundred megabytes that have nothing to do with the engine, and their full symbol tables are long.
#[derive(Debug, Clone)]
pub struct Files {
    modules: Vec<Rc<Module>>,
    /// How many of them belong to the engine.
    near: usize,
    /// The program that the process runs.
    program: Option<PathBuf>,
    /// The first of them was recognised as an engine.
    is_engine: bool,
}

impl Files {
    /// The first of the engines in a process; see [`Files::recognise_all`].
    pub fn recognise<'d>(descriptions: &'d [Description], modules: &[Rc<Module>]) -> Option<(&'d Description, Self)> {
        Self::recognise_all(descriptions, modules).into_iter().next()
    }

    /// The files of a process in which no engine is looked for, its program first; none if it has none.
    pub fn without_engine(modules: &[Rc<Module>], process: &Process) -> Option<Self> {
        let mut files =
            Self { modules: modules.to_vec(), near: modules.len(), program: process.program(), is_engine: false };
        files.modules.sort_by_key(|m| files.program.as_deref().is_none_or(|p| p != m.path()));
        (!files.modules.is_empty()).then_some(files)
    }

    /// The same, where `exe` is the program that the process runs.
    #[must_use]
    pub fn of(self, process: &Process) -> Self {
        Self { program: process.program(), ..self }
    }

    /// Whether an engine was recognised in them.
    pub fn is_engine(&self) -> bool {
        self.is_engine
    }

    /// All files.
    pub fn all(&self) -> &[Rc<Module>] {
        &self.modules
    }

    /// Whether a file is the program that the process runs.
    pub fn is_program(&self, module: &Module) -> bool {
        self.program.as_deref().is_some_and(|program| program == module.path())
    }

    /// Finds the engines that one of the descriptions fits, and sorts the modules for each. A shared library is preferred to
    /// a program that has the engine linked into itself. Files in one folder, or that need each other, are one engine.
    pub fn recognise_all<'d>(descriptions: &'d [Description], modules: &[Rc<Module>]) -> Vec<(&'d Description, Self)> {
        let defined: [fn(&Module, &str) -> bool; 2] = [Module::exports, Module::defines];
        for (defined, description) in defined.iter().flat_map(|d| descriptions.iter().map(move |of| (d, of))) {
            let Some(condition) = description.catalogue.condition.as_ref() else { continue };
            let is_engine = |m: &&Rc<Module>| is_of_this_machine(m) && condition.holds(&|symbol| defined(m, symbol));
            let engines: Vec<&Rc<Module>> = modules.iter().filter(is_engine).collect();
            let mut found: Vec<Self> = Vec::new();
            for engine in &engines {
                if !found.iter().any(|files| files.near().iter().any(|m| m.identity() == engine.identity())) {
                    found.push(Self::around(engine, modules, &engines));
                }
            }
            if !found.is_empty() {
                Self::part(&mut found);
                return found.into_iter().map(|files| (description, files)).collect();
            }
        }
        Vec::new()
    }

    /// An engine among the modules that is for another machine, in words: an emulator may have mapped it, and what it runs
    /// is no code of this machine's.
    pub fn foreign_engine(descriptions: &[Description], modules: &[Rc<Module>]) -> Option<String> {
        let foreign = modules.iter().filter(|m| !is_of_this_machine(m)).find(|m| {
            let mut conditions = descriptions.iter().filter_map(|d| d.catalogue.condition.as_ref());
            conditions.any(|condition| condition.holds(&|symbol| m.defines(symbol)))
        })?;
        Some(format!(
            "{} is one for {} machines, and this machine is {}: it cannot run here but in an emulator, whose code is not the \
             engine's",
            foreign.file_name(),
            foreign.arch().name(),
            std::env::consts::ARCH
        ))
    }

    /// What belongs to one engine is none of another's, wherever it exports the same functions; what belongs to none goes
    /// with the first, so that no function is probed twice.
    fn part(found: &mut [Self]) {
        let near: Vec<Vec<FileIdentity>> =
            found.iter().map(|files| files.near().iter().map(|m| m.identity()).collect()).collect();
        let belongs_to = |m: &Rc<Module>| near.iter().filter(|n| n.contains(&m.identity())).count();
        for (i, files) in found.iter_mut().enumerate() {
            let far = files.modules.split_off(files.near);
            // What several of them need is no engine's, such as the C library.
            let shared = files.modules.extract_if(1.., |m| belongs_to(m) > 1).collect::<Vec<_>>();
            files.near = files.modules.len();
            if i == 0 {
                files.modules.extend(far.into_iter().filter(|m| belongs_to(m) == 0).chain(shared));
            }
        }
    }

    /// `engines` are all files that were recognised: a file in the folder of one of them is not needed by another, which may
    /// need one of the same name.
    fn around(engine: &Rc<Module>, modules: &[Rc<Module>], engines: &[&Rc<Module>]) -> Self {
        let folder = engine.path().parent();
        let engine_needs = engine.needed();
        let needs = |names: &[&str], module: &Module| names.contains(&&*module.file_name());
        let is_at_home = |m: &Module| {
            let of = m.path().parent();
            of != folder && engines.iter().any(|e| e.path().parent() == of)
        };
        let others = modules.iter().filter(|m| m.identity() != engine.identity());
        let (near, far): (Vec<_>, Vec<_>) = others.cloned().partition(|m| {
            m.path().parent() == folder || !is_at_home(m) && (needs(&engine_needs, m) || needs(&m.needed(), engine))
        });
        let near_count = near.len() + 1;
        let modules = [Rc::clone(engine)].into_iter().chain(near).chain(far).collect();
        Self { modules, near: near_count, program: None, is_engine: true }
    }

    /// The file that was recognised as the engine.
    pub fn engine(&self) -> &Rc<Module> {
        &self.modules[0]
    }

    /// The engine and what lies beside it, is needed by it, or needs it.
    pub fn near(&self) -> &[Rc<Module>] {
        &self.modules[..self.near]
    }

    /// What belongs to no engine and is looked through with this one.
    pub fn far(&self) -> &[Rc<Module>] {
        &self.modules[self.near..]
    }

    /// Takes over what went with another engine, which is not measured.
    pub fn take_in(&mut self, far: Vec<Rc<Module>>) {
        self.modules.extend(far);
    }

    /// Whether any file makes a symbol known to others, the engine's also by their full symbol tables.
    pub fn exports(&self, symbol: &str) -> bool {
        let (near, far) = self.modules.split_at(self.near);
        near.iter().any(|m| m.defines(symbol)) || far.iter().any(|m| m.exports(symbol))
    }

    /// The functions of this name: in each of the engine's files by either symbol table, in others if exported.
    pub fn functions(&self, symbol: &str) -> impl Iterator<Item = (&Rc<Module>, Function)> {
        let (near, far) = self.modules.split_at(self.near);
        let near = near.iter().filter_map(move |m| Some((m, m.function(symbol)?)));
        near.chain(far.iter().filter_map(move |m| Some((m, m.exported_function(symbol)?))))
    }
}

fn is_of_this_machine(module: &Module) -> bool {
    Arch::of_this_machine() == Some(module.arch())
}
