//! `profinfer build`: a script's maps and programs as an ELF object file, to be read by other tools. Nothing is loaded.

use std::io::{self, Write};
use std::path::Path;

use profinfer_ebpf::{Arch, elf, nominal};

use super::args::BuildArgs;
use super::look::Looked;
use super::{exit, fail, say, script};
use crate::folder::Folder;
use crate::kernel::LICENSE;

/// Writes the object file of a script; the exit code.
pub(super) fn run(args: &BuildArgs) -> u8 {
    match try_run(args) {
        Ok(()) => 0,
        Err(code) => code,
    }
}

fn try_run(args: &BuildArgs) -> Result<(), u8> {
    let source = script::read(&args.source)?;
    let engines = script::engines(args.source.engine.as_deref())?;
    let plan = script::compile(&args.source, &source, &engines[0])?;
    let facts = match args.pid {
        Some(pid) => Looked::with_engine(pid, &plan, &engines)?.2.facts,
        None => nominal::facts(&plan, Arch::host()),
    };
    let object = script::object(&plan, &facts)?;
    let bytes = elf::write(&object, LICENSE).map_err(|e| fail(exit::SCRIPT, e))?;
    if args.output == Path::new("-") {
        let mut out = io::stdout().lock();
        return say::printed(out.write_all(&bytes).and_then(|()| out.flush()));
    }
    let Some(name) = args.output.file_name().and_then(|n| n.to_str()) else {
        return Err(fail(exit::OUTPUT, format!("cannot write {}: it is no name of a file", args.output.display())));
    };
    let parent = args.output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Folder::open(parent).and_then(|folder| folder.replace(name, &bytes)).map_err(|e| fail(exit::OUTPUT, e))
}
