//! Text -> tree. The whole text is read by the grammar; when that fails, item by item, so that one broken item hides no
//! other, and each broken one is explained in the language's own words.

mod build;
mod chunks;
mod clauses;
mod expressions;
mod items;
mod lexical;
mod mistakes;
mod numbers;
mod patterns;
mod points;
mod strings;
mod template;

use pest::Parser;
use pest::error::InputLocation;
use profinfer_grammar::{PiParser, Rule};

use crate::ast::{Expr, Program};
use crate::diagnostic::{Diagnostic, Severity};
use crate::scan;
use crate::source::SourceMap;
use crate::span::{FileId, Span};
use build::Builder;
use chunks::Chunk;
pub use template::{TemplateFault, TemplatePart, parse_template};

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// How deep brackets may stand in each other.
pub const MAX_NESTING: usize = 64;

/// How many faults of one file are told.
pub const MAX_FAULTS: usize = 100;

/// What came of a text: a tree of what could be read, and what is to be said of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The items that could be read.
    pub program: Program,
    /// Findings in the order of their places, at most [`MAX_FAULTS`]; the tree is whole when none is an error.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether all of the text is in the tree.
    pub fn is_ok(&self) -> bool {
        !self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// Reads the file `file` of `sources`. Never panics for a file of the map, whatever its text.
pub fn parse(sources: &SourceMap, file: FileId) -> Parsed {
    let text = sources.file(file).text.as_str();
    let mut program = Program { doc: Vec::new(), edition: None, items: Vec::new() };
    if text.len() > MAX_BYTES {
        return Parsed { program, diagnostics: vec![lexical::too_large(file, text.len())] };
    }
    let tokens = scan::tokens(text);
    let mut builder = Builder::new(file, &tokens);
    let whole = Chunk { start: 0, end: text.len(), tokens: &tokens };
    let lexical = lexical::check(file, text, &whole);
    let failed_at = if lexical.is_empty() {
        match PiParser::parse(Rule::program, text) {
            Ok(pairs) => {
                builder.program(pairs, &mut program);
                None
            }
            Err(e) => Some(offset(&e)),
        }
    } else {
        Some(0)
    };
    if let Some(at) = failed_at {
        let found = chunk_by_chunk(&mut builder, &mut program, text, &tokens);
        if !found {
            builder.diagnostics.extend(lexical);
            if builder.diagnostics.is_empty() {
                builder.diagnostics.push(mistakes::explain(file, text, &whole, at));
            }
        }
    }
    let mut diagnostics = builder.diagnostics;
    diagnostics.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    first_faults(&mut diagnostics);
    Parsed { program, diagnostics }
}

/// Leaves the first [`MAX_FAULTS`], and says so.
pub fn first_faults(diagnostics: &mut Vec<Diagnostic>) {
    if diagnostics.len() > MAX_FAULTS {
        diagnostics.truncate(MAX_FAULTS);
        if let Some(last) = diagnostics.last_mut() {
            last.help.push(format!("more faults follow: these are the first {MAX_FAULTS}"));
        }
    }
}

/// Reads the items one after the other; whether a fault was found.
fn chunk_by_chunk(builder: &mut Builder<'_>, program: &mut Program, text: &str, tokens: &[scan::Token]) -> bool {
    let mut found = false;
    for (i, chunk) in chunks::split(text, tokens).iter().enumerate() {
        if builder.diagnostics.len() > MAX_FAULTS {
            break;
        }
        let lexical = lexical::check(builder.file, text, chunk);
        if !lexical.is_empty() {
            builder.diagnostics.extend(lexical);
            found = true;
            continue;
        }
        let rule = if i == 0 { Rule::program } else { Rule::items };
        match PiParser::parse(rule, &text[chunk.start..chunk.end]) {
            Ok(pairs) => {
                builder.base = chunk.start;
                builder.program(pairs, program);
            }
            Err(e) => {
                builder.diagnostics.push(mistakes::explain(builder.file, text, chunk, chunk.start + offset(&e)));
                found = true;
            }
        }
    }
    found
}

/// Reads a value given outside of a script, as `-P name=value` does: a number with its unit, a string, `true`, `false` or a
/// word. Spans are in [`FileId`] 0, from the start of `text`.
///
/// # Errors
/// The fault, in the words a script's fault is told in.
pub fn parse_value(text: &str) -> Result<Expr, Diagnostic> {
    let file = FileId(0);
    if text.len() > MAX_BYTES {
        return Err(lexical::too_large(file, text.len()));
    }
    let tokens = scan::tokens(text);
    let mut builder = Builder::new(file, &tokens);
    let whole = Chunk { start: 0, end: text.len(), tokens: &tokens };
    if let Some(first) = lexical::check(file, text, &whole).into_iter().next() {
        return Err(first);
    }
    let not_a_value = || mistakes::not_a_value(Span::new(file, 0, text.len()));
    let pairs = PiParser::parse(Rule::value, text).map_err(|_| not_a_value())?;
    let value = builder.value(pairs);
    match builder.diagnostics.into_iter().next() {
        Some(fault) => Err(fault),
        None => value.ok_or_else(not_a_value),
    }
}

/// Where the grammar could not go on.
fn offset(error: &pest::error::Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) => at,
        InputLocation::Span((at, _)) => at,
    }
}
