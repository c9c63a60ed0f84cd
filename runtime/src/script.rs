//! A script from the command line to its Plan.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use profinfer_compiler::plan::Plan;
use profinfer_lang::ast::Program;
use profinfer_lang::diagnostic::{Diagnostic, Severity};
use profinfer_lang::source::SourceMap;

use crate::engine::Description;

/// A script with its text.
#[derive(Debug)]
pub struct Script {
    /// Its text, for diagnostics.
    pub sources: SourceMap,
    /// Its tree.
    pub program: Program,
    /// What the parser said; errors mean that the tree is not whole.
    pub diagnostics: Vec<Diagnostic>,
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
    /// Parses a text under the name that diagnostics give it.
    pub fn parse(name: &str, text: &str) -> Script {
        let mut sources = SourceMap::new();
        let file = sources.add(name, text);
        let parsed = profinfer_lang::parse(&sources, file);
        Script { sources, program: parsed.program, diagnostics: parsed.diagnostics }
    }

    /// Reads a file; a stock script is found by its name where there is no such file.
    ///
    /// # Errors
    /// [`ScriptError`]: the file cannot be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Script, ScriptError> {
        let shown = path.display().to_string();
        match read_bounded(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Script::parse(&shown, &text)),
                Err(e) => Err(ScriptError::NotText { path: shown, at: e.utf8_error().valid_up_to() }),
            },
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => match stock(path) {
                Some(text) => Ok(Script::parse(&shown, text)),
                None => Err(ScriptError::Read { path: shown, source }),
            },
            Err(source) => Err(ScriptError::Read { path: shown, source }),
        }
    }

    /// Whether the parser found errors.
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Compiles it against an engine description.
    ///
    /// # Errors
    /// All its errors, those of the parser first.
    pub fn compile(
        &self,
        engine: &Description,
        settings: &[(String, String)],
    ) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
        if self.is_broken() {
            return Err(self.diagnostics.clone());
        }
        let compiled = profinfer_compiler::compile(&self.program, &self.sources, &engine.catalogue, settings)?;
        let mut warnings = self.diagnostics.clone();
        warnings.extend(compiled.warnings);
        Ok((compiled.plan, warnings))
    }
}

/// The file's bytes, one more than a script may have at the most: the parser then says that it is too large.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(profinfer_lang::parse::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn stock(path: &Path) -> Option<&'static str> {
    let path = path.to_str()?;
    let name = path.strip_prefix("scripts/").unwrap_or(path);
    profinfer_scripts::SCRIPTS.iter().find(|t| t.path == name || t.path.trim_end_matches(".pi") == name).map(|t| t.text)
}
