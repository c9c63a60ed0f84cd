//! The `profinfer` library: target, loading, draining, rendering, command line. The only crate with IO.

pub mod ceilings;
pub mod cli;
pub mod diff;
pub mod engine;
pub mod folder;
mod formats;
pub mod kernel;
pub mod library;
pub mod record;
pub mod recording;
pub mod replay;
pub mod script;
pub mod session;
mod sheet;
pub mod target;
pub mod view;
