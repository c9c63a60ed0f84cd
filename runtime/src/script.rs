//! A script from the command line to its Plan.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use profinfer_compiler::modules::{Linked, LoadError, Loaded, Loader, link};
use profinfer_compiler::plan::Plan;
use profinfer_compiler::{Compiled, Leaves};
use profinfer_lang::ast::ImportPath;
use profinfer_lang::diagnostic::{Diagnostic, Severity};
use profinfer_lang::source::SourceMap;
use profinfer_scripts::Text;

use crate::engine::Description;
use crate::formats::with_formats;
use crate::library::{Library, built_in_key, key_of};
use crate::recording::head::{self, Import};

/// A script with its text.
#[derive(Debug)]
pub struct Script {
    /// Its text and those of what it imports, for diagnostics.
    pub sources: SourceMap,
    /// Its tree, with what it imports.
    pub linked: Linked,
    /// What the parser said; errors mean that the tree is not whole.
    pub diagnostics: Vec<Diagnostic>,
    /// What was imported, by whom and how it was named.
    pub imports: Vec<Import>,
}

/// A script that cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum ScriptError {
    #[error("cannot read the script {path}: {source}{}", hint(path))]
    Read { path: String, source: std::io::Error },
    #[error("the script {path} is not text: its byte {at} is no UTF-8")]
    NotText { path: String, at: usize },
}

/// A word like `ops` was probably meant to be a stock script.
fn hint(path: &str) -> String {
    let stem = path.trim_end_matches(".pi").rsplit('/').next().unwrap_or(path);
    let stock = profinfer_scripts::SCRIPTS.iter().map(|t| t.path.trim_end_matches(".pi"));
    match profinfer_compiler::resolve::near(stem, stock) {
        Some(name) => format!(" (there is a stock script {name}.pi)"),
        None => String::new(),
    }
}

impl Script {
    /// Parses a text under the name that diagnostics give it. It imports from the working folder.
    pub fn parse(name: &str, text: &str) -> Script {
        Script::parse_as(name, text, "")
    }

    /// Parses the text that the library knows by `key`, and what it imports.
    fn parse_as(name: &str, text: &str, key: &str) -> Script {
        let mut sources = SourceMap::new();
        let file = sources.add(name, text);
        let parsed = profinfer_lang::parse(&sources, file);
        let library = Keeping { library: Library::of_user(), kept: RefCell::default() };
        let linked = link(parsed.program, key, &mut sources, &library);
        Script { sources, linked, diagnostics: parsed.diagnostics, imports: library.kept.into_inner() }
    }

    /// The script of a recording, with what it imported then.
    pub fn recorded(text: &head::Text, imports: &[Import]) -> Script {
        let mut sources = SourceMap::new();
        let file = sources.add(&text.name, &text.text);
        let parsed = profinfer_lang::parse(&sources, file);
        // Whatever key it had: it was the first to import.
        let key = imports.last().map_or("", |_| RECORDED_KEY);
        let linked = link(parsed.program, key, &mut sources, &Kept { imports });
        Script { sources, linked, diagnostics: parsed.diagnostics, imports: imports.to_vec() }
    }

    /// Reads a file; a stock script is found by its name where there is no such file.
    ///
    /// # Errors
    /// [`ScriptError`]: the file cannot be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Script, ScriptError> {
        let shown = path.display().to_string();
        match read_bounded(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    let key = key_of(path).map_err(|source| ScriptError::Read { path: shown.clone(), source })?;
                    Ok(Script::parse_as(&shown, &text, &key))
                }
                Err(e) => Err(ScriptError::NotText { path: shown, at: e.utf8_error().valid_up_to() }),
            },
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => match stock(path) {
                Some(stock) => Ok(Script::parse_as(&shown, stock.text, &built_in_key(stock))),
                None => Err(ScriptError::Read { path: shown, source }),
            },
            Err(source) => Err(ScriptError::Read { path: shown, source }),
        }
    }

    /// Whether the parser found errors, in the script or in what it imports.
    pub fn is_broken(&self) -> bool {
        self.has_faults() || self.linked.links.is_broken()
    }

    fn has_faults(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// What was found before compiling, in the script and in what it imports.
    pub fn found(&self) -> Vec<Diagnostic> {
        self.diagnostics.iter().chain(&self.linked.links.diagnostics).cloned().collect()
    }

    /// Compiles it against an engine description. Only if it is `trusted` may it say how memory is laid out.
    ///
    /// # Errors
    /// All its errors, those of the parser first.
    pub fn compile(
        &self,
        engine: &Description,
        settings: &[(String, String)],
        trusted: bool,
    ) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut compiled = self.compile_leaves(engine, (settings, trusted), Leaves::Early)?;
        let warnings = std::mem::take(&mut compiled.warnings);
        Ok((compiled.plan, warnings))
    }

    /// As [`compile`](Self::compile), with tables made of such leaves.
    ///
    /// # Errors
    /// All its errors, those of the parser first.
    pub fn compile_leaves(
        &self,
        engine: &Description,
        (settings, trusted): (&[(String, String)], bool),
        leaves: Leaves,
    ) -> Result<Compiled, Vec<Diagnostic>> {
        if self.has_faults() {
            return Err(self.found());
        }
        let catalogue = with_formats(&engine.catalogue, &self.linked.program);
        let mut compiled =
            profinfer_compiler::compile_leaves(&self.linked, &self.sources, &catalogue, settings, leaves)?;
        if !trusted && !compiled.reads.is_empty() {
            return Err(compiled.reads);
        }
        let mut warnings = self.diagnostics.clone();
        warnings.append(&mut compiled.warnings);
        compiled.warnings = warnings;
        Ok(compiled)
    }
}

/// The key that a recorded script itself is known by.
const RECORDED_KEY: &str = "recorded:";

/// Keeps what it hands on.
struct Keeping {
    library: Library,
    kept: RefCell<Vec<Import>>,
}

impl Loader for Keeping {
    fn load(&self, wanted: &ImportPath, from: &str) -> Result<Loaded, LoadError> {
        let loaded = self.library.load(wanted, from)?;
        self.kept.borrow_mut().push(Import {
            from: from.to_owned(),
            wanted: wanted_text(wanted),
            key: loaded.key.clone(),
            text: head::Text { name: loaded.name.clone(), text: loaded.text.clone() },
        });
        Ok(loaded)
    }
}

/// Hands on what was kept.
struct Kept<'k> {
    imports: &'k [Import],
}

impl Loader for Kept<'_> {
    fn load(&self, wanted: &ImportPath, from: &str) -> Result<Loaded, LoadError> {
        let text = wanted_text(wanted);
        // A file that no other one has imported is the script itself.
        let is_script = |key: &str| !self.imports.iter().any(|i| i.key == key);
        let is_from = |i: &&Import| i.from == from || from == RECORDED_KEY && is_script(&i.from);
        match self.imports.iter().filter(|i| i.wanted == text).find(is_from) {
            Some(i) => Ok(Loaded { key: i.key.clone(), name: i.text.name.clone(), text: i.text.text.clone() }),
            None => Err(LoadError::NotFound { tried: vec!["the recording".to_owned()], near: None }),
        }
    }
}

/// How an import names a file.
fn wanted_text(wanted: &ImportPath) -> String {
    match wanted {
        ImportPath::Module(path) => path.text(),
        ImportPath::File(file) => file.node.clone(),
    }
}

/// The file's bytes, one more than a script may have at the most: the parser then says that it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(profinfer_lang::parse::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn stock(path: &Path) -> Option<&'static Text> {
    let path = path.to_str()?;
    let name = path.strip_prefix("scripts/").unwrap_or(path);
    profinfer_scripts::SCRIPTS.iter().find(|t| t.path == name || t.path.trim_end_matches(".pi") == name)
}
