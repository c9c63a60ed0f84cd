//! Compiling scripts against the ggml description, or one of the test's own.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::sync::Arc;

use profinfer_compiler::Compiled;
use profinfer_compiler::catalogue::Catalogue;
use profinfer_compiler::modules::{LoadError, Loaded, Loader, link};
use profinfer_lang::ast::ImportPath;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::parse;
use profinfer_lang::render;
use profinfer_lang::source::SourceMap;

/// An engine description with its faults as text.
pub(crate) fn describe(name: &str, text: &str) -> Result<Catalogue, (Vec<Diagnostic>, String)> {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let parsed = parse(&sources, file);
    assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
    Catalogue::read(&parsed.program).map_err(|d| {
        let text = render::human(&d, &sources, false);
        (d, text)
    })
}

/// The description of ggml.
pub(crate) fn ggml() -> Catalogue {
    let text = profinfer_scripts::ENGINES.iter().find(|e| e.path == "engines/ggml.pi").expect("ggml is described").text;
    let mut catalogue = describe("ggml.pi", text).expect("the description is right");
    catalogue.kernel = Some(kernel());
    catalogue
}

/// The description of the kernel's points.
pub(crate) fn kernel() -> Arc<Catalogue> {
    let mut sources = SourceMap::new();
    let file = sources.add("kernel.pi", profinfer_scripts::KERNEL.text);
    let parsed = parse(&sources, file);
    assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
    Arc::new(Catalogue::read_kernel(&parsed.program).expect("the description of the kernel is right"))
}

/// What came of a script.
pub(crate) struct Outcome {
    /// Its name and text.
    pub(crate) sources: SourceMap,
    /// The plan and warnings, or the faults.
    pub(crate) result: Result<Compiled, Vec<Diagnostic>>,
}

impl Outcome {
    /// The codes of the faults in the order of their places.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        self.result.as_ref().map_or_else(|d| d.iter().map(|d| d.code).collect(), |_| Vec::new())
    }

    /// The faults as people see them.
    pub(crate) fn text(&self) -> String {
        self.result.as_ref().map_or_else(|d| render::human(d, &self.sources, false), |_| String::new())
    }

    /// The plan; fails the test with the faults if there is none.
    pub(crate) fn compiled(self) -> Compiled {
        match self.result {
            Ok(compiled) => compiled,
            Err(d) => panic!("{}", render::human(&d, &self.sources, false)),
        }
    }
}

/// Files that scripts of tests import: `./name.pi`, and the built-in modules.
#[derive(Debug, Default)]
pub(crate) struct Files(HashMap<String, Result<String, LoadError>>);

impl Files {
    /// Those of names and texts.
    pub(crate) fn of<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Files {
        Files(files.into_iter().map(|(name, text)| (name.to_owned(), Ok(text.to_owned()))).collect())
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), Ok(text.to_owned()));
    }

    /// Adds a file that cannot be had.
    pub(crate) fn fails(&mut self, name: &str, error: LoadError) {
        self.0.insert(name.to_owned(), Err(error));
    }
}

impl Loader for Files {
    fn load(&self, wanted: &ImportPath, _from: &str) -> Result<Loaded, LoadError> {
        let name = match wanted {
            ImportPath::File(file) => file.node.trim_start_matches("./").to_owned(),
            ImportPath::Module(path) => format!("{}.pi", path.text().replace('.', "/")),
        };
        let std = profinfer_scripts::STD.iter().find(|t| t.path == name);
        let text = match (self.0.get(&name), std) {
            (Some(file), _) => file.clone()?,
            (None, Some(std)) => std.text.to_owned(),
            (None, None) => return Err(LoadError::NotFound { tried: vec![name], near: None }),
        };
        Ok(Loaded { key: name.clone(), name, text })
    }
}

/// Parses and compiles; parsing must succeed.
pub(crate) fn compile_with(catalogue: &Catalogue, text: &str, settings: &[(&str, &str)]) -> Outcome {
    compile_files(catalogue, &Files::default(), text, settings)
}

/// As [`compile_with`], with files to be imported. The script is known as `test.pi`.
pub(crate) fn compile_files(catalogue: &Catalogue, files: &Files, text: &str, settings: &[(&str, &str)]) -> Outcome {
    let mut sources = SourceMap::new();
    let file = sources.add("test.pi", text);
    let parsed = parse(&sources, file);
    assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
    let linked = link(parsed.program, "test.pi", &mut sources, files);
    let settings: Vec<_> = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let result = profinfer_compiler::compile_linked(&linked, &sources, catalogue, &settings);
    Outcome { sources, result }
}

/// [`compile_with`] ggml and no settings.
pub(crate) fn compile(text: &str) -> Outcome {
    compile_with(&ggml(), text, &[])
}
