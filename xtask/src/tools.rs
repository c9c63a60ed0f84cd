//! Programs of the machine that are needed: found, else installed where that is possible, else asked for.

use std::process::Command;

use profinfer_tests::system::is_root;

use crate::command::{answer, run};
use crate::error::Error;

/// The oldest node that node-llama-cpp runs on.
const NODE: u32 = 20;

/// Makes sure of a Python with pip.
pub(crate) fn python() -> Result<(), Error> {
    let pip = || answer("python3", &["-m", "pip", "--version"]).is_some();
    if !pip() {
        install("python3 with pip", &["python3", "python3-pip"])?;
    }
    const RECENT: &str = "import sys; sys.exit(sys.version_info < (3, 10))";
    if answer("python3", &["-c", RECENT]).is_none() || !pip() {
        let cure = "the engines need python3 of at least 3.10, with pip, first in PATH".to_owned();
        return Err(Error::Missing { program: "a recent python3", cure });
    }
    Ok(())
}

/// Makes sure of GNU OpenMP, which the Python engine is linked with and its wheel does not bring.
pub(crate) fn openmp() -> Result<(), Error> {
    let found = answer("python3", &["-c", "import ctypes; ctypes.CDLL('libgomp.so.1')"]);
    if found.is_some() { Ok(()) } else { install("libgomp.so.1", &["libgomp1"]) }
}

/// Makes sure of a C compiler and of binutils, which the tests make small programs with.
pub(crate) fn compiler() -> Result<(), Error> {
    if answer("gcc", &["--version"]).is_none() || answer("strip", &["--version"]).is_none() {
        install("gcc", &["gcc", "libc6-dev", "binutils"])?;
    }
    Ok(())
}

/// Makes sure of cmake and a C++ compiler, which one engine is built with.
pub(crate) fn cmake() -> Result<(), Error> {
    if answer("cmake", &["--version"]).is_none() || answer("g++", &["--version"]).is_none() {
        install("cmake", &["cmake", "g++", "make"])?;
    }
    Ok(())
}

/// Makes sure of a Vulkan driver that computes on the CPU: Mesa's lavapipe.
pub(crate) fn vulkan() -> Result<(), Error> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let is_lavapipe = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("lvp_icd");
    let found = folders.iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten().flatten().any(|f| is_lavapipe(&f));
    if found { Ok(()) } else { install("a Vulkan driver", &["mesa-vulkan-drivers", "libvulkan1"]) }
}

/// Makes sure of bpftool, which loads the object files that `profinfer build` writes.
pub(crate) fn bpftool() -> Result<(), Error> {
    // It is not in the path of everybody.
    let found = ["bpftool", "/usr/sbin/bpftool"].iter().any(|bpftool| answer(bpftool, &["version"]).is_some());
    if found { Ok(()) } else { install("bpftool", &["bpftool"]) }
}

/// Makes sure of bpftrace, which the bench measures beside profinfer.
pub(crate) fn bpftrace() -> Result<(), Error> {
    if answer("bpftrace", &["--version"]).is_some() { Ok(()) } else { install("bpftrace", &["bpftrace"]) }
}

/// Whether the machine has a node that is recent enough, and npm.
pub(crate) fn has_node() -> bool {
    let version = answer("node", &["--version"]);
    let major = version.and_then(|v| v.trim_start_matches('v').split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE) && answer("npm", &["--version"]).is_some()
}

fn install(program: &'static str, packages: &[&str]) -> Result<(), Error> {
    let list = packages.join(" ");
    if answer("apt-get", &["--version"]).is_none() {
        let cure = format!("install it with this system's package manager (Debian calls it: {list})");
        return Err(Error::Missing { program, cure });
    }
    if !is_root() {
        return Err(Error::Missing { program, cure: format!("run `sudo apt-get install {list}`") });
    }
    eprintln!("xtask: installing {list}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        run(apt.env("DEBIAN_FRONTEND", "noninteractive").args(["--quiet", "--yes"]).args(arguments))
    };
    let wanted = [&["install", "--no-install-recommends"], packages].concat();
    // The lists of a fresh machine are empty, those of an old one out of date.
    apt(&wanted).or_else(|_| apt(&["update"]).and_then(|()| apt(&wanted)))
}
