//! The machine as one test has it: alone. Two engines at once on a small machine wait for each other in spinning
//! barriers, and what is measured is then the machine's scheduler.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::OrFail;
use crate::cache::Cache;
use crate::engine::{Engine, Kind, Options};
use crate::profinfer::{Output, Profinfer};
use crate::system::is_root;

/// The machine, for as long as the value lives.
#[derive(Debug)]
pub struct Lab {
    cache: Cache,
    folder: TempDir,
    _turn: File,
}

impl Lab {
    /// Waits for its turn among all tests of this machine.
    ///
    /// # Panics
    /// If not run as root, or if the engines have not been fetched.
    #[track_caller]
    pub fn new() -> Lab {
        assert!(is_root(), "this test attaches probes: run it as root, for example with `sudo -E cargo xtask test`");
        let cache = Cache::of_tests();
        assert!(
            cache.model().exists(),
            "{} is missing: run `cargo xtask fetch` (or set PROFINFER_ENGINES to the cache folder)",
            cache.model().display()
        );
        let path = std::env::temp_dir().join("profinfer-tests.lock");
        let turn = File::options().create(true).truncate(false).write(true).open(&path).or_fail(path.display());
        turn.lock().or_fail("the lock of the lab");
        Lab { cache, folder: TempDir::new().or_fail("a temporary folder"), _turn: turn }
    }

    /// What has been fetched.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A folder that is gone after the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an engine, loaded and idle.
    #[track_caller]
    pub fn engine(&self, kind: Kind) -> Engine {
        self.engine_with(kind, &Options::default())
    }

    /// Starts an engine with options of its own.
    #[track_caller]
    pub fn engine_with(&self, kind: Kind, options: &Options) -> Engine {
        Engine::start(&self.cache, kind, options)
    }

    /// Counts with `script` while `engine` generates `tokens` tokens once; both must succeed.
    #[track_caller]
    pub fn trace(&self, engine: &mut Engine, script: &str, tokens: u64) -> Output {
        self.trace_with(engine, script, tokens, &[])
    }

    /// Like [`Lab::trace`], with more arguments for profinfer.
    #[track_caller]
    pub fn trace_with(&self, engine: &mut Engine, script: &str, tokens: u64, more: &[&str]) -> Output {
        let running = Profinfer::attach_with(engine.pid(), script, more);
        engine.generate(tokens);
        let output = running.interrupt();
        output.succeeded();
        output
    }

    /// Writes a file into the test's folder.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).or_fail(path.display());
        path
    }
}

impl Default for Lab {
    fn default() -> Self {
        Lab::new()
    }
}
