//! The engine descriptions that are built in, read once.

use profinfer_compiler::catalogue::Catalogue;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;

/// An engine description with its sources, for diagnostics about it.
#[derive(Debug)]
pub struct Description {
    /// `engines/ggml.pi`
    pub path: &'static str,
    /// What it says.
    pub catalogue: Catalogue,
}

/// A built-in description that cannot be read: a fault of profinfer itself.
#[derive(Debug, thiserror::Error)]
#[error("the built-in engine description {path} cannot be read:\n{rendered}")]
pub struct DescriptionError {
    path: &'static str,
    rendered: String,
}

/// Reads all built-in descriptions, newest first.
///
/// # Errors
/// [`DescriptionError`] if one of them has errors.
pub fn descriptions() -> Result<Vec<Description>, DescriptionError> {
    profinfer_scripts::ENGINES.iter().map(|t| read(t.path, t.text)).collect()
}

fn read(path: &'static str, text: &str) -> Result<Description, DescriptionError> {
    let mut sources = SourceMap::new();
    let file = sources.add(path, text);
    let parsed = profinfer_lang::parse(&sources, file);
    let fail = |diagnostics: &[Diagnostic]| DescriptionError {
        path,
        rendered: profinfer_lang::render::human(diagnostics, &sources, false),
    };
    if !parsed.diagnostics.is_empty() {
        return Err(fail(&parsed.diagnostics));
    }
    let catalogue = Catalogue::read(&parsed.program).map_err(|d| fail(&d))?;
    Ok(Description { path, catalogue })
}
