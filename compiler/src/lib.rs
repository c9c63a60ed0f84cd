//! AST to Plan: names, types, units, engine descriptions, lowering.
//!
//! Invariant: pure functions from data to data, no IO, no clock, no descriptor. The passes, in order:
//!
//! 1. [`catalogue`] reads an engine description: structs, enums, points (once per engine).
//! 2. `params` gives parameters their values, so that everything after can fold them.
//! 3. [`resolve`] turns names into loads from the target's memory and checks types and units, with `calls` for functions
//!    and `fold` for constants.
//! 4. `lower` splits expressions by when they can be known: at the start of an event, at its end, in user space.
//! 5. `columns` turns aggregations into slots of a row.
//! 6. `clauses` puts patterns, conditions, keys and columns together to tables, `actions` what is done with them when.
//! 7. [`compile()`] runs all of them on a script and gives the [`plan::Plan`], or all faults at once.
//!
//! [`print::plan`] shows a plan as text, with `display` for its expressions.

mod actions;
mod calls;
pub mod catalogue;
mod clauses;
mod columns;
pub mod compile;
pub mod described;
mod display;
pub mod eval;
mod faults;
mod fold;
mod lower;
pub mod params;
pub mod pattern;
pub mod plan;
pub mod print;
mod ratio;
pub mod resolve;
mod stack;
pub mod typed;
pub mod types;
mod variants;

pub use columns::QUANTILE_K;
pub use compile::{Compiled, compile};
