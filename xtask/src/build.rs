//! The `profinfer` binary, built once for whoever needs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::error::Error;

/// Folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// cargo, for the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Builds `profinfer` and answers where it is.
///
/// # Errors
/// If it does not build.
pub(crate) fn profinfer() -> Result<PathBuf, Error> {
    run(cargo().args(["build", "--package", "profinfer", "--bin", "profinfer"]))?;
    // xtask itself lies beside it: TARGET/debug/xtask.
    let own = std::env::current_exe().map_err(crate::error::at("xtask"))?;
    Ok(own.with_file_name("profinfer"))
}

/// Builds `profinfer` as it is released and answers where it is.
///
/// # Errors
/// If it does not build.
pub(crate) fn released() -> Result<PathBuf, Error> {
    run(cargo().args(["build", "--release", "--package", "profinfer", "--bin", "profinfer"]))?;
    // TARGET/debug/xtask, and TARGET/release/profinfer.
    let own = std::env::current_exe().map_err(crate::error::at("xtask"))?;
    let target = own.ancestors().nth(2).unwrap_or(Path::new("."));
    Ok(target.join("release/profinfer"))
}
