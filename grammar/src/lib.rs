//! The profinfer grammar: `profinfer.pest` is the authority on the language's shape, [`PiParser`] the parser made of it.
//!
//! Invariant: no meaning here. What the text says is for `profinfer-lang`; why a text is wrong, too.

/// The pest grammar, every rule documented.
pub const GRAMMAR: &str = include_str!("../profinfer.pest");

pub use generated::{PiParser, Rule};

#[expect(missing_docs, reason = "the derive documents each rule but not the names it makes around them")]
mod generated {
    /// The parser of `.pi` files: `PiParser::parse(Rule::program, text)`.
    #[derive(pest_derive::Parser)]
    #[grammar = "../profinfer.pest"]
    pub struct PiParser;
}
