//! Everything about the observed process that needs no eBPF: what is mapped, which files they are, which functions and
//! tables those files hold, at which instruction a function is best probed, and how to start a program held.
//!
//! Nothing here knows the name of an engine's function or the offset of a field: those come from engine descriptions.
//! This folder opens files and reads `/proc`; it loads nothing into the kernel and never writes to the target.

mod caller;
mod callers;
mod eh_frame;
pub mod error;
pub mod gguf;
pub mod launch;
pub mod maps;
pub mod module;
pub mod process;
pub mod site;
mod symbols;
pub mod table;
#[cfg(test)]
mod testing;

pub(crate) use caller::sudo_ids;
pub use error::TargetError;
pub use launch::{Held, LaunchOptions};
pub use maps::{FileIdentity, Mapping, executable_files};
pub use module::{Arch, Function, Module};
pub use process::Process;
pub use site::{CostClass, FlagTest, Site, SiteChoice, SiteError};
pub use table::name_table;
