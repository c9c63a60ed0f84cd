//! Call stacks: numbers of the kernel's map to functions of a process.
//!
//! The kernel follows frame pointers. Where code was built without them a stack ends early, or goes on at a wrong caller; how
//! many end before the beginning of their thread is counted.

use std::collections::HashMap;
use std::rc::Rc;

use profinfer_ebpf::TargetFacts;

use super::files::Modules;
use crate::kernel::{KernelError, Map};
use crate::target::{FileIdentity, Function, Mapping, Module, Process};

/// Functions in which threads begin.
const BEGINNINGS: [&str; 8] =
    ["_start", "__libc_start_main", "__libc_start_call_main", "start_thread", "clone", "__clone", "clone3", "__clone3"];

/// Call stacks that were seen.
#[derive(Default)]
pub(super) struct Stacks {
    /// Return addresses by number, innermost first.
    frames: HashMap<u32, Vec<u64>>,
    processes: HashMap<u32, Memory>,
    modules: Modules,
    functions: HashMap<FileIdentity, Rc<Vec<Function>>>,
    whole: usize,
    cut: usize,
}

/// The code of a process.
#[derive(Default)]
struct Memory {
    mappings: Vec<Mapping>,
    modules: Vec<Rc<Module>>,
}

impl Stacks {
    /// Looks at the code of a process, as long as it is there.
    pub(super) fn look(&mut self, process: &Process) {
        let Ok(mappings) = process.mappings() else { return };
        let code: Vec<Mapping> = mappings.into_iter().filter(|m| m.perms.execute).collect();
        let known = self.processes.entry(process.pid()).or_default();
        if code.is_empty() || known.mappings == code {
            return;
        }
        if let Ok(modules) = self.modules.of(process) {
            *known = Memory { mappings: code, modules };
        }
    }

    /// How many stacks were looked up, and how many of them end before the beginning of their thread.
    pub(super) fn seen(&self) -> (usize, usize) {
        (self.whole + self.cut, self.cut)
    }

    /// Looks up what has come since.
    ///
    /// # Errors
    /// The map cannot be read.
    pub(super) fn look_up(&mut self, map: &Map, facts: &mut TargetFacts) -> Result<(), KernelError> {
        for key in map.keys()? {
            let Some(number) = key.first_chunk().map(|b| u32::from_ne_bytes(*b)) else { continue };
            if self.frames.contains_key(&number) {
                continue;
            }
            if let Some(bytes) = map.lookup(&key)? {
                let words = bytes.chunks_exact(8).filter_map(|b| b.first_chunk()).map(|b| u64::from_ne_bytes(*b));
                self.frames.insert(number, words.take_while(|address| *address != 0).collect());
            }
        }
        let pids: Vec<u32> = self.processes.keys().copied().collect();
        for pid in pids {
            let numbers: Vec<u32> = self.frames.keys().copied().collect();
            for number in numbers {
                let key = (u64::from(pid) << 32 | u64::from(number)).cast_signed();
                if facts.stacks.contains_key(&key) {
                    continue;
                }
                if let Some(text) = self.text(pid, number) {
                    facts.stacks.insert(key, text);
                }
            }
        }
        Ok(())
    }

    /// The functions of a stack, outermost first; none if its code is not this process's.
    fn text(&mut self, pid: u32, number: u32) -> Option<String> {
        let frames = self.frames.get(&number)?.clone();
        let mut names: Vec<String> = Vec::new();
        let mut lost = false;
        for (depth, address) in frames.iter().enumerate() {
            // A caller's address is that behind its call.
            let at = address.saturating_sub(u64::from(depth > 0));
            match self.name(pid, at) {
                Some(name) => names.push(name),
                None if depth == 0 => return None,
                // No code: what was taken for a frame pointer was something else.
                None => {
                    lost = true;
                    break;
                }
            }
        }
        // In a stripped libc what calls `main`, or a thread's function, has no name.
        let begins =
            |name: &String| BEGINNINGS.contains(&name.as_str()) || names.len() > 1 && name.starts_with("libc.so");
        if !lost && (names.last().is_some_and(begins) || names.iter().any(|name| name == "main")) {
            self.whole += 1;
        } else {
            self.cut += 1;
        }
        names.reverse();
        Some(names.join(";"))
    }

    /// The function at an address, or where in which file that is.
    fn name(&mut self, pid: u32, address: u64) -> Option<String> {
        let memory = self.processes.get(&pid)?;
        let mapping = memory.mappings.iter().find(|m| (m.start..m.end).contains(&address))?;
        let Some(identity) = mapping.identity() else { return Some(mapping.path.display().to_string()) };
        let module = memory.modules.iter().find(|m| m.identity() == identity);
        let Some((module, bias)) = module.and_then(|m| Some((m, m.bias(mapping)?))) else {
            return Some(format!("{address:#x}"));
        };
        let at = address.wrapping_sub(bias);
        let functions = self.functions.entry(identity).or_insert_with(|| {
            let mut all = module.functions_where(|_| true);
            all.sort_by_key(|f| f.vaddr);
            Rc::new(all)
        });
        let before = functions[..functions.partition_point(|f| f.vaddr <= at)].last();
        match before.filter(|f| at < f.vaddr + f.size.max(1)) {
            Some(function) => Some(function.name.clone()),
            None => Some(format!("{}+{at:#x}", module.file_name())),
        }
    }
}
