//! AST to Plan: names, types, units, engine descriptions, lowering.
//!
//! Invariant: pure functions from data to data, no IO, no clock, no descriptor. The passes, in order:
//!
//! 1. [`catalogue`] reads an engine description: structs, enums, points (once per engine).
//! 2. [`modules`] puts a script and what it imports together to one program.
//! 3. `params` gives parameters their values, so that everything after can fold them.
//! 4. `added` adds a script's own structs, enums, points and functions to the description, `unchecked` finds where a script
//!    reads memory at a place of its own reckoning.
//! 5. `probes` and `aggs` put points and columns in the places of their names, `texts` reads the texts of `print`.
//! 6. [`resolve`] turns names into loads from the target's memory and checks types and units, with `calls` for functions
//!    and `fold` for constants.
//! 7. `lower` splits expressions by when they can be known: at the start of an event, at its end, in user space.
//! 8. `columns` turns aggregations into slots of a row. What is made of other columns by name gets its unit from `joined`,
//!    when all are there.
//! 9. `clauses` puts patterns, conditions, keys and columns together to tables, `events` what is done at each event,
//!    `actions` what is done with tables when.
//! 10. [`compile()`] runs all of them on a script and gives the [`plan::Plan`], or all faults at once.
//!
//! [`print::plan`] shows a plan as text, with `display` for its expressions.

mod actions;
mod added;
mod aggs;
pub mod aside;
mod calls;
pub mod catalogue;
mod clauses;
mod columns;
pub mod compile;
pub mod counter;
pub mod described;
mod display;
pub mod eval;
mod events;
mod faults;
pub mod flame;
mod fold;
mod followed;
mod joined;
pub mod kernel;
mod lower;
pub mod modules;
pub mod params;
pub mod pattern;
pub mod plan;
pub mod print;
mod probes;
mod ratio;
pub mod recording;
pub mod resolve;
mod stack;
mod texts;
mod timeline;
pub mod typed;
pub mod types;
mod unchecked;
mod variants;
mod walk;

pub use columns::QUANTILE_K;
pub use compile::{Compiled, Leaves, compile, compile_leaves, compile_linked};
