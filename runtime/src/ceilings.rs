//! What this machine can do at most: bytes from memory and arithmetic a second, by the number of threads. Measured by `profinfer
//! doctor --ceilings`, kept in the user's cache, and asked by scripts with `ceiling("memory", threads)`.

mod measure;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use profinfer_compiler::plan::Ceiling;
use serde::{Deserialize, Serialize};

use crate::folder::{Folder, FolderError};
pub use measure::{measure, steps};

/// Bytes of the file that are read at most.
const MAX_FILE: u64 = 64 * 1024;
/// Its name.
const FILE: &str = "ceilings.json";

/// What was measured with so many threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Threads, each on a processor of its own.
    pub threads: u32,
    /// Bytes, or operations, a second: the best of several tries.
    pub best: f64,
    /// The same, the middle one of the tries.
    pub median: f64,
}

/// What a machine can do at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Which machine: its processor's name and the number of processors.
    pub machine: String,
    /// Bytes read from memory.
    pub memory: Vec<Measured>,
    /// Products and sums of 32-bit floating-point numbers.
    pub f32: Vec<Measured>,
    /// Products and sums of 8-bit whole numbers.
    pub int8: Vec<Measured>,
    /// The instructions that were used: `avx2`.
    pub instructions: String,
}

/// Why they cannot be kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum CeilingsError {
    #[error("there is no folder to keep them in: set XDG_CACHE_HOME or HOME")]
    NoFolder,
    #[error("cannot make {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl Ceilings {
    /// Those that were measured on this machine; empty if none were.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let read = |path: &Path| {
            let mut text = String::new();
            fs::File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
            serde_json::from_str::<Self>(&text).ok()
        };
        let kept = folder().and_then(|folder| read(&folder.join(FILE)));
        kept.filter(|kept| kept.machine == machine()).unwrap_or_default()
    }

    /// Keeps them for this user; the file.
    ///
    /// # Errors
    /// [`CeilingsError`]
    pub fn keep(&self) -> Result<PathBuf, CeilingsError> {
        let folder = folder().ok_or(CeilingsError::NoFolder)?;
        fs::create_dir_all(&folder).map_err(|source| CeilingsError::Make { path: folder.clone(), source })?;
        // Numbers and text alone: this cannot fail.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        Folder::open(&folder)?.replace(FILE, text.as_bytes())?;
        Ok(folder.join(FILE))
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// What can be done with so many threads, a second; of numbers of threads between those measured by the straight line
    /// between them, beyond the largest that of the largest. None if it was not measured.
    #[must_use]
    pub fn at(&self, what: Ceiling, threads: f64) -> Option<f64> {
        let all = match what {
            Ceiling::Memory => &self.memory,
            Ceiling::F32 => &self.f32,
            Ceiling::Int8 => &self.int8,
        };
        let above = all.iter().position(|m| f64::from(m.threads) >= threads);
        match above {
            None => all.last().map(|m| m.best),
            Some(0) => all.first().map(|m| m.best),
            Some(i) => {
                let (a, b) = (all[i - 1], all[i]);
                let part = (threads - f64::from(a.threads)) / f64::from(b.threads - a.threads);
                Some(a.best + part * (b.best - a.best))
            }
        }
    }
}

/// The user's cache.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("profinfer"))
}

/// What tells this machine from others.
#[must_use]
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| info.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(": ")).map(|(_, v)| v);
    let name = field("model name").or_else(|| field("CPU part")).unwrap_or("unknown processor");
    format!("{name}, {} processors", info.lines().filter(|l| l.starts_with("processor")).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_numbers_of_threads_lies_a_straight_line() {
        let measured = |threads, best| Measured { threads, best, median: best };
        let ceilings =
            Ceilings { memory: vec![measured(1, 10.0), measured(2, 16.0), measured(6, 20.0)], ..Ceilings::default() };
        let at = |threads| ceilings.at(Ceiling::Memory, threads);
        assert_eq!([0.0, 1.0, 1.5, 2.0, 4.0, 6.0, 64.0].map(at), [10.0, 10.0, 13.0, 16.0, 18.0, 20.0, 20.0].map(Some));
        assert_eq!(ceilings.at(Ceiling::F32, 1.0), None);
    }
}
