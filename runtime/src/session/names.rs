//! Processes by name: those that there are, and whether one that begins is meant.

use std::fs;

use profinfer_compiler::pattern::glob;

use crate::target::{Process, TargetError};

/// Processes observed at once.
pub const MAX_PROCESSES: usize = 256;

/// Names of processes, as globs.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// Processes that one of these fits; none where there is none.
    pub fn new(globs: Vec<String>) -> Names {
        Names(globs)
    }

    /// Whether nothing is looked for by name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a process is meant: by its short name, or by the base name of the program that it runs. This one never is.
    pub fn fit(&self, process: &Process) -> bool {
        let exe = process.exe().and_then(|exe| exe.file_name()).map(|name| name.to_string_lossy());
        let exe = exe.as_deref().map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
        let fits = |name: &str| self.0.iter().any(|g| glob(g, name));
        process.pid() != std::process::id() && (fits(process.comm()) || exe.is_some_and(fits))
    }

    /// All processes that are meant and may be looked at.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn find(&self) -> Result<Vec<Process>, TargetError> {
        let failed = |source| TargetError::Proc { path: "/proc".into(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(failed)? {
            let pid = entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            // One that ends meanwhile, or belongs to somebody else, cannot be observed.
            let process = pid.and_then(|pid| Process::open(pid).ok());
            found.extend(process.filter(|p| self.fit(p)));
        }
        found.sort_by_key(Process::pid);
        Ok(found)
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_never_meant_and_its_children_are() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let all = Names::new(vec!["*".to_owned()]).find().unwrap();
        let sleeps = Names::new(vec!["slee?".to_owned()]).find().unwrap();
        let none = Names::new(vec!["slee".to_owned()]).find().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let has = |found: &[Process], pid: u32| found.iter().any(|p| p.pid() == pid);
        assert!(has(&all, child.id()) && !has(&all, std::process::id()));
        assert!(has(&sleeps, child.id()));
        assert!(!has(&none, child.id()), "a glob fits whole names");
    }
}
