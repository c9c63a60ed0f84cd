//! The source map: names and texts of the files of one compilation.

use crate::span::{FileId, Span};

/// One file of a source map.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The name shown in diagnostics: a path, `<-e>`, `engines/ggml.pi`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files of one compilation, by [`FileId`].
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// A map without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(self.files.len() as u32);
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        id
    }

    /// The file of `id`; panics on an id of another map.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files in the order they were added.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The text at `span`.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.range()).unwrap_or("")
    }
}
