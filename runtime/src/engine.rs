//! Engine descriptions: those that are built in, and one from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use profinfer_compiler::catalogue::Catalogue;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;

/// An engine description.
#[derive(Debug)]
pub struct Description {
    /// Its file: `engines/ggml.pi`.
    pub path: PathBuf,
    /// What it says.
    pub catalogue: Catalogue,
}

/// A description that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum DescriptionError {
    #[error("the engine description {path} has errors:\n{rendered}")]
    Broken { path: String, rendered: String },
    #[error(
        "the engine description {path} describes no engine: it needs `engine NAME \"text\" where (exports(\"symbol\"))`"
    )]
    NoEngine { path: String },
    #[error("cannot read the engine description {path}: {source}")]
    Read { path: String, source: std::io::Error },
}

/// Reads all built-in descriptions, newest first.
///
/// # Errors
/// [`DescriptionError`] if one of them has errors.
pub fn descriptions() -> Result<Vec<Description>, DescriptionError> {
    profinfer_scripts::ENGINES.iter().map(|t| read(Path::new(t.path), t.text)).collect()
}

/// Reads a description from a file.
///
/// # Errors
/// [`DescriptionError`] if it cannot be read or has errors.
pub fn from_file(path: &Path) -> Result<Description, DescriptionError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DescriptionError::Read { path: path.display().to_string(), source })?;
    read(path, &text)
}

/// Reads a description whose text is at hand.
///
/// # Errors
/// [`DescriptionError`] if it has errors.
pub fn from_text(name: &str, text: &str) -> Result<Description, DescriptionError> {
    read(Path::new(name), text)
}

/// The description of the kernel's points.
///
/// # Errors
/// [`DescriptionError`] if it has errors.
pub fn kernel() -> Result<Arc<Catalogue>, DescriptionError> {
    let text = profinfer_scripts::KERNEL;
    let mut sources = SourceMap::new();
    let file = sources.add(text.path.to_owned(), text.text);
    let parsed = profinfer_lang::parse(&sources, file);
    let fail = |diagnostics: &[Diagnostic]| DescriptionError::Broken {
        path: text.path.to_owned(),
        rendered: profinfer_lang::render::human(diagnostics, &sources, false),
    };
    if !parsed.diagnostics.is_empty() {
        return Err(fail(&parsed.diagnostics));
    }
    let catalogue = Catalogue::read_kernel(&parsed.program).map_err(|d| fail(&d))?;
    let faults = profinfer_compiler::described::faults(&catalogue);
    if !faults.is_empty() {
        return Err(fail(&faults));
    }
    Ok(Arc::new(catalogue))
}

fn read(path: &Path, text: &str) -> Result<Description, DescriptionError> {
    let name = path.display().to_string();
    let mut sources = SourceMap::new();
    let file = sources.add(name.clone(), text);
    let parsed = profinfer_lang::parse(&sources, file);
    let fail = |diagnostics: &[Diagnostic]| DescriptionError::Broken {
        path: name.clone(),
        rendered: profinfer_lang::render::human(diagnostics, &sources, false),
    };
    if !parsed.diagnostics.is_empty() {
        return Err(fail(&parsed.diagnostics));
    }
    let catalogue = Catalogue::read(&parsed.program).map_err(|d| fail(&d))?;
    let faults = profinfer_compiler::described::faults(&catalogue);
    if !faults.is_empty() {
        return Err(fail(&faults));
    }
    if catalogue.condition.is_none() || catalogue.points.is_empty() {
        return Err(DescriptionError::NoEngine { path: name });
    }
    let mut catalogue = catalogue;
    catalogue.kernel = Some(kernel()?);
    Ok(Description { path: path.to_owned(), catalogue })
}
