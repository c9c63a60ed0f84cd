//! Small files for tests, made by the real compiler.

use std::path::PathBuf;
use std::process::Command;

use super::Module;

/// A file that `gcc` made, and the folder that keeps it.
pub(super) struct Built {
    _folder: tempfile::TempDir,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Built {
    /// Compiles C (`language` "c") or assembler with C preprocessing ("assembler-with-cpp").
    pub(super) fn new(language: &str, source: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (input, path) = (folder.path().join("source"), folder.path().join("built"));
        std::fs::write(&input, source).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(flags).args(["-x", language]).arg(&input).arg("-o").arg(&path);
        let output = gcc.output().expect("these tests need gcc (apt-get install gcc)");
        assert!(output.status.success(), "gcc: {}\n{source}", String::from_utf8_lossy(&output.stderr));
        Self { _folder: folder, path }
    }

    /// Assembles one function named `f` into a library.
    pub(super) fn function(body: &str) -> Self {
        let source = format!(".text\n.globl f\n.type f, @function\nf:\n{body}\n.size f, .-f\n");
        Self::new("assembler-with-cpp", &source, &["-shared", "-nostdlib"])
    }

    /// A copy without its full symbol table.
    pub(super) fn stripped(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stripped");
        let status = Command::new("strip").arg(&self.path).arg("-o").arg(&path).status();
        assert!(status.expect("these tests need strip (apt-get install binutils)").success());
        Self { _folder: folder, path }
    }

    pub(super) fn module(&self) -> Module {
        Module::open_file(&self.path).unwrap()
    }
}
