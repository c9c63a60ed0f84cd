//! What lies in the memory of processes: which file, from which offset on, and of a model's file which tensor. Programs search
//! among these ranges; here they are kept up to date.
//!
//! A process is looked at when it is attached to and every [`EVERY`] after that. What it maps in between has no file until
//! then.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::range;

use crate::kernel::{KernelError, Map, Update};
use crate::target::module::open_mapped;
use crate::target::{FileIdentity, Mapping, Process, gguf};

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// Ranges of one process: half of all there is room for, since new ones stand beside the old ones for a moment.
const MAX_OF_PROCESS: usize = range::MAX as usize / 2;
/// Enums whose words are the files and tensors that were found.
const FILES: &str = "mapped_file";
const TENSORS: &str = "mapped_tensor";

/// Ranges of processes.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Names by their numbers, from 1 on.
    files: Names,
    tensors: Names,
    /// Tensors of the files that are models, by offset.
    models: HashMap<FileIdentity, Vec<(u64, u32)>>,
    /// What each process has, and where in the map.
    processes: HashMap<u32, Held>,
    looked: Option<Instant>,
    /// There was no room for some.
    pub(super) crowded: bool,
}

#[derive(Debug, Default)]
struct Held {
    mappings: Vec<Mapping>,
    entries: Vec<Entry>,
    first: u32,
}

/// Names with numbers, each once.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, name: String, of: &str, facts: &mut TargetFacts) -> u32 {
        let next = self.numbers.len() as u32 + 1;
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            facts.enums.entry(of.to_owned()).or_default().push((number.into(), name));
        }
        number
    }
}

/// Memory from an address to the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: u64,
    delta: u64,
    file: u32,
    tensor: u32,
}

impl Entry {
    fn bytes(self) -> [u8; range::SIZE as usize] {
        let mut bytes = [0; range::SIZE as usize];
        bytes[range::START as usize..][..8].copy_from_slice(&self.start.to_ne_bytes());
        bytes[range::DELTA as usize..][..8].copy_from_slice(&self.delta.to_ne_bytes());
        bytes[range::FILE as usize..][..4].copy_from_slice(&self.file.to_ne_bytes());
        bytes[range::TENSOR as usize..][..4].copy_from_slice(&self.tensor.to_ne_bytes());
        bytes
    }
}

impl Ranges {
    /// Whether it is time to look again.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.looked.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            self.looked = Some(Instant::now());
        }
        due
    }

    /// Looks at the memory of a process.
    ///
    /// # Errors
    /// The kernel refuses an entry.
    pub(super) fn look(
        &mut self,
        process: &Process,
        targets: &Map,
        ranges: &Map,
        facts: &mut TargetFacts,
    ) -> Result<(), KernelError> {
        // One that has just ended has nothing any more.
        let Ok(mappings) = process.mappings() else { return Ok(()) };
        let pid = process.pid();
        if self.processes.get(&pid).is_some_and(|held| held.mappings == mappings) {
            return Ok(());
        }
        let mut entries = self.entries(process, &mappings, facts);
        if entries.len() > MAX_OF_PROCESS {
            self.crowded = true;
            entries.truncate(MAX_OF_PROCESS);
        }
        if self.processes.get(&pid).is_some_and(|held| held.entries == entries) {
            self.processes.entry(pid).or_default().mappings = mappings;
            return Ok(());
        }
        let key = u64::from(pid).to_ne_bytes();
        let Some(first) = self.room(entries.len() as u32) else {
            self.crowded = true;
            targets.update(&key, &0u64.to_ne_bytes(), Update::Any)?;
            self.processes.insert(pid, Held { mappings, ..Held::default() });
            return Ok(());
        };
        for (i, entry) in entries.iter().enumerate() {
            ranges.update(&(first + i as u32).to_ne_bytes(), &entry.bytes(), Update::Any)?;
        }
        let place = range::of_process(first, entries.len() as u32);
        targets.update(&key, &place.to_ne_bytes(), Update::Any)?;
        self.processes.insert(pid, Held { mappings, entries, first });
        Ok(())
    }

    /// Forgets a process.
    pub(super) fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Where so many entries lie beside all that are used.
    fn room(&self, number: u32) -> Option<u32> {
        let mut used: Vec<(u32, u32)> =
            self.processes.values().map(|held| (held.first, held.first + held.entries.len() as u32)).collect();
        used.sort_unstable();
        let mut at = 0;
        for (first, end) in used {
            if first >= at + number {
                break;
            }
            at = at.max(end);
        }
        (at + number <= range::MAX).then_some(at)
    }

    fn entries(&mut self, process: &Process, mappings: &[Mapping], facts: &mut TargetFacts) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        let mut add = |entry: Entry| {
            let same = |last: &Entry| (last.delta, last.file, last.tensor) == (entry.delta, entry.file, entry.tensor);
            if !all.last().is_some_and(same) {
                all.push(entry);
            }
        };
        for mapping in mappings {
            let Some(identity) = mapping.identity() else {
                add(Entry { start: mapping.start, delta: 0, file: range::NONE, tensor: range::NONE });
                continue;
            };
            let name = mapping.path.file_name().unwrap_or_default();
            let file = self.files.number(String::from_utf8_lossy(name.as_bytes()).into_owned(), FILES, facts);
            let delta = mapping.offset.wrapping_sub(mapping.start);
            let mut entry = Entry { start: mapping.start, delta, file, tensor: range::NONE };
            if !name.as_bytes().ends_with(b".gguf") {
                add(entry);
                continue;
            }
            let tensors = &mut self.tensors;
            let model = self.models.entry(identity).or_insert_with(|| tensors_of(process, mapping, tensors, facts));
            let end = mapping.offset + (mapping.end - mapping.start);
            let inside = model.partition_point(|(offset, _)| *offset <= mapping.offset);
            entry.tensor = inside.checked_sub(1).map_or(range::NONE, |before| model[before].1);
            add(entry);
            for (offset, tensor) in model[inside..].iter().take_while(|(offset, _)| *offset < end) {
                add(Entry { start: mapping.start + (offset - mapping.offset), tensor: *tensor, ..entry });
            }
        }
        all
    }
}

/// The tensors of a model's file that is mapped, with their numbers; none if it is not what it is called.
fn tensors_of(process: &Process, mapping: &Mapping, names: &mut Names, facts: &mut TargetFacts) -> Vec<(u64, u32)> {
    let opened: Option<File> = open_mapped(process, mapping).ok();
    let tensors = opened.and_then(|file| gguf::tensors(&file).ok()).unwrap_or_default();
    tensors.into_iter().map(|t| (t.offset, names.number(t.name, TENSORS, facts))).collect()
}
