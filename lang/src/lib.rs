//! Text to AST: source map, parser, diagnostics of the profinfer language.
//!
//! Invariant: no IO and no knowledge of eBPF. A file's text comes in, a tree and diagnostics go out.

pub mod ast;
pub mod codes;
pub mod diagnostic;
pub mod parse;
pub mod print;
pub mod render;
mod scan;
pub mod source;
pub mod span;

pub use parse::{Parsed, parse, parse_template, parse_value};
