//! Compiling scripts against the ggml description, or one of the test's own.
#![allow(dead_code, reason = "each test file uses a part of it")]

use profinfer_compiler::Compiled;
use profinfer_compiler::catalogue::Catalogue;
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
    describe("ggml.pi", text).expect("the description is right")
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

/// Parses and compiles; parsing must succeed.
pub(crate) fn compile_with(catalogue: &Catalogue, text: &str, settings: &[(&str, &str)]) -> Outcome {
    let mut sources = SourceMap::new();
    let file = sources.add("test.pi", text);
    let parsed = parse(&sources, file);
    assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
    let settings: Vec<_> = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let result = profinfer_compiler::compile(&parsed.program, &sources, catalogue, &settings);
    Outcome { sources, result }
}

/// [`compile_with`] ggml and no settings.
pub(crate) fn compile(text: &str) -> Outcome {
    compile_with(&ggml(), text, &[])
}
