//! The floor: empty programs at exactly the instructions that profinfer probes for a script, in as many links. What they cost
//! is what the kernel's traps cost; no tool that probes there can be cheaper.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use profinfer::engine::{Description, descriptions};
use profinfer::kernel::{AttachType, Kernel, LICENSE, Link, Linux, Program, ProgramSpec, ProgramType};
use profinfer::script::Script;
use profinfer::session::files::{Files, Modules};
use profinfer::session::sites::Target;
use profinfer::target::{CostClass, Module, Process};
use profinfer_ebpf::Object;
use profinfer_ebpf::insn::Insn;

use super::failure::Failure;

/// `r0 = 0; exit`.
const EMPTY: [Insn; 2] = [Insn { code: 0xb7, regs: 0, off: 0, imm: 0 }, Insn { code: 0x95, regs: 0, off: 0, imm: 0 }];

/// One program's place: instructions of one file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What is there, for people: `ggml_barrier`, `return ggml_graph_compute`.
    pub(super) name: String,
    module: Rc<Module>,
    offsets: Vec<u64>,
    /// What a hit there costs most.
    pub(super) cost: CostClass,
}

/// A text to compile, as profinfer takes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A stock script.
    Stock(&'static str),
    /// What stands behind `-e`.
    Text(&'static str),
}

impl Source {
    fn read(self) -> Result<Script, Failure> {
        Ok(match self {
            Source::Stock(name) => Script::read(Path::new(name))?,
            Source::Text(text) => Script::parse("-e", text),
        })
    }

    /// As arguments of profinfer.
    pub(super) fn arguments(self) -> Vec<String> {
        match self {
            Source::Stock(name) => vec![name.to_owned()],
            Source::Text(text) => vec!["-e".to_owned(), text.to_owned()],
        }
    }
}

/// The engine in a process as profinfer sees it.
#[derive(Debug)]
pub(super) struct Sight {
    descriptions: Vec<Description>,
    process: Process,
    modules: Vec<Rc<Module>>,
}

impl Sight {
    /// Looks at a process.
    pub(super) fn of(pid: u32) -> Result<Sight, Failure> {
        let process = Process::open(pid)?;
        let modules = Modules::default().of(&process)?;
        Ok(Sight { descriptions: descriptions()?, process, modules })
    }

    fn files(&self) -> Result<(&Description, Files), Failure> {
        if let Some((description, files)) = Files::recognise(&self.descriptions, &self.modules) {
            return Ok((description, files.of(&self.process)));
        }
        // Scripts on functions need no engine.
        let files = Files::without_engine(&self.modules, &self.process);
        self.descriptions.first().zip(files).ok_or(Failure::NoEngine { pid: self.process.pid() })
    }

    /// Where profinfer's programs for a script lie. Points of the kernel have no place in the process.
    pub(super) fn places(&self, source: Source) -> Result<Vec<Place>, Failure> {
        let (description, files) = self.files()?;
        let compiled = source.read()?.compile(description, &[], false);
        let (plan, _) = compiled.map_err(|_| Failure::Script { name: source.arguments().join(" ") })?;
        let target = Target::new(&plan, files);
        let object = Object::build(&plan, &target.facts)?;
        let mut places: Vec<Place> = Vec::new();
        for program in object.programs.iter().filter(|p| !p.site.kernel) {
            let mut of_program: Vec<Place> = Vec::new();
            for found in target.find(&program.site)?.iter().filter(|f| !f.sites.is_empty()) {
                let offsets = found.sites.iter().map(|s| s.file_offset);
                let cost = found.sites.iter().map(|s| s.cost).max_by_key(|c| c.ns().0).unwrap_or(CostClass::Step);
                match of_program.iter_mut().find(|p| p.module.identity() == found.module.identity()) {
                    Some(place) => place.offsets.extend(offsets),
                    None => of_program.push(Place {
                        name: format!("{}{}", program.site.at.of(), found.symbol),
                        module: Rc::clone(&found.module),
                        offsets: offsets.collect(),
                        cost,
                    }),
                }
            }
            places.extend(of_program);
        }
        Ok(places)
    }

    /// The file that has a function of this name, and the function's first instruction as a place.
    pub(super) fn functions(&self, wanted: impl Fn(&str) -> bool + Copy) -> Result<Vec<(PathBuf, Place)>, Failure> {
        let (_, files) = self.files()?;
        let mut found = Vec::new();
        for module in files.near() {
            for function in module.functions_where(wanted) {
                let Ok(site) = module.first_site(&function) else { continue };
                let place = Place {
                    name: function.name.clone(),
                    module: Rc::clone(module),
                    offsets: vec![site.file_offset],
                    cost: site.cost,
                };
                found.push((module.path().to_owned(), place));
            }
        }
        Ok(found)
    }
}

/// Attached empty programs.
#[derive(Debug)]
pub(super) struct Floor {
    parts: Vec<(String, CostClass, Program)>,
    links: Vec<Link>,
}

impl Floor {
    /// Attaches an empty program at each of these places, to one process.
    pub(super) fn attach(places: &[Place], pid: u32) -> Result<Floor, Failure> {
        let kernel = Linux::new();
        let words = EMPTY.map(Insn::word);
        let mut floor = Floor { parts: Vec::new(), links: Vec::new() };
        for place in places {
            let program = kernel.load(&ProgramSpec {
                name: "empty",
                prog_type: ProgramType::Kprobe,
                expected_attach_type: AttachType::UprobeMulti,
                insns: &words,
                license: LICENSE,
            })?;
            let path = place.module.attach_path();
            floor.links.push(kernel.uprobe_multi(&program, &path, &place.offsets, &[], Some(pid), false)?);
            floor.parts.push((place.name.clone(), place.cost, program));
        }
        Ok(floor)
    }

    /// How often each ran while the kernel counted that.
    pub(super) fn hits(&self) -> Result<Vec<(String, CostClass, u64)>, Failure> {
        self.parts.iter().map(|(name, cost, program)| Ok((name.clone(), *cost, program.info()?.run_cnt))).collect()
    }

    /// Takes them off; the kernel waits for each, and those waits overlap.
    pub(super) fn detach(self) {
        let threads: Vec<_> = self.links.into_iter().map(|link| std::thread::spawn(move || drop(link))).collect();
        for thread in threads {
            // Closing a descriptor does not panic.
            let _ = thread.join();
        }
    }
}
