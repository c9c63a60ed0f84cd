//! llama.cpp driven through its C interface, with its own eval callback telling which experts were chosen, or what is computed
//! of what.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::OrFail;
use crate::cache::Cache;
use crate::engine::{Kind, Model};

/// Choices by layer and expert.
pub type Routed = BTreeMap<(u64, u64), u64>;

/// A tensor of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its address.
    pub id: u64,
    /// Its operator.
    pub op: String,
    /// Its name.
    pub name: String,
}

/// A tensor that a graph computes, views included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// The tensor.
    pub tensor: Tensor,
    /// What it is computed of.
    pub sources: Vec<Tensor>,
}

/// A process with the engine's library, held after loading; ended when dropped.
#[derive(Debug)]
pub struct Callback {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Callback {
    /// Starts one on the mixture of experts, with a prompt of so many tokens.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(cache: &Cache, kind: Kind, ubatch: u32, prompt: u64) -> Callback {
        Self::start_with(cache, kind, Model::Moe, ubatch, prompt)
    }

    /// Starts one on a model.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_with(cache: &Cache, kind: Kind, model: Model, ubatch: u32, prompt: u64) -> Callback {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/callback.py");
        let mut command = Command::new(cache.python());
        command.arg(driver).arg(model.file(cache));
        match kind {
            Kind::Xllamacpp => {
                command.arg(library(&cache.xllamacpp().join("xllamacpp"), "xllamacpp."));
            }
            Kind::Node => {
                let folder = cache.node_llama_cpp().join("node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
                let ggml = library(&folder, "libggml.");
                command.arg(library(&folder, "libllama."));
                command.arg("--backends").arg(&folder).arg("--ggml").arg(ggml.file_name().or_fail("a name"));
                command.env("LD_LIBRARY_PATH", &folder);
            }
        }
        command.args(["--ubatch", &ubatch.to_string(), "--prompt", &prompt.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().or_fail("the driver");
        let stdin = child.stdin.take().or_fail("its stdin");
        let stdout = BufReader::new(child.stdout.take().or_fail("its stdout"));
        let mut callback = Callback { child, stdin, stdout };
        let line = callback.line();
        assert_eq!(line.trim(), format!("ready {}", callback.pid()), "first line of {command:?}");
        callback
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Decodes the prompt and all but one of `tokens` more; what was chosen.
    ///
    /// # Panics
    /// If it dies.
    #[track_caller]
    pub fn go(&mut self, tokens: u64) -> Routed {
        let value = self.ask(&format!("go {tokens}"));
        let routed = value["routed"].as_object().or_fail("choices").iter().map(|(key, n)| {
            let (layer, expert) = key.split_once(' ').or_fail("a layer and an expert");
            ((layer.parse().or_fail("a layer"), expert.parse().or_fail("an expert")), n.as_u64().or_fail("a number"))
        });
        routed.collect()
    }

    /// Decodes the prompt and all but one of `tokens` more; the graph of the last one, in the order in which it is computed.
    ///
    /// # Panics
    /// If it dies.
    #[track_caller]
    pub fn graph(&mut self, tokens: u64) -> Vec<Computed> {
        let value = self.ask(&format!("graph {tokens}"));
        let known = |v: &Value| Tensor {
            id: v["id"].as_u64().or_fail("a number"),
            op: v["op"].as_str().or_fail("an operator").to_owned(),
            name: v["name"].as_str().or_fail("a name").to_owned(),
        };
        let graph = value["graph"].as_array().or_fail("a graph").iter().map(|v| Computed {
            tensor: known(v),
            sources: v["sources"].as_array().or_fail("sources").iter().map(known).collect(),
        });
        graph.collect()
    }

    #[track_caller]
    fn ask(&mut self, what: &str) -> Value {
        writeln!(self.stdin, "{what}").and_then(|()| self.stdin.flush()).or_fail("the driver is gone");
        let line = self.line();
        serde_json::from_str(&line).or_fail(format_args!("the answer {line:?}"))
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.stdout.read_line(&mut line).or_fail("reading from the driver");
        assert!(n > 0, "the driver ended without an answer; its own words are above");
        line
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shared library in a folder whose name begins so.
#[track_caller]
fn library(folder: &Path, begins: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).or_fail(format_args!("{}", folder.display()));
    let mut files = entries.filter_map(|e| Some(e.ok()?.path()));
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(begins) && name.ends_with(".so")
    };
    files.find(fits).or_fail(format_args!("no {begins}*.so in {}", folder.display()))
}
