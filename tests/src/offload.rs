//! A second backend on a machine without a GPU: llama.cpp that gives a part of the model to an RPC server, which is a process of
//! its own here.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::OrFail;
use crate::cache::Cache;
use crate::engine::{Engine, Model};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which part of the model the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Nothing: there is no server.
    CpuOnly,
    /// The last 14 of the 30 layers, and the head (`-ngl 15`).
    Half,
    /// All layers (`-ngl 99`).
    All,
    /// All layers but the matrices of the experts, which stay on the CPU (`-ngl 99 -ot 'ffn_.*_exps=CPU'`).
    AllButExperts,
}

/// An RPC server; ended when dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Server {
    #[track_caller]
    fn start(cache: &Cache) -> Server {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).or_fail("a free port");
        let program = cache.llama_cpp().join("ggml-rpc-server");
        assert!(program.exists(), "{} is missing: run `cargo xtask fetch`", program.display());
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-p", &free.port().to_string(), "-t", "1"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server { child: child.or_fail(program.display()), address: free.to_string() };
        let begin = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begin.elapsed() < PATIENCE, "{} does not listen", program.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An engine with the server that it gives work to.
#[derive(Debug)]
pub struct Offload {
    /// The engine, which computes with one thread.
    pub engine: Engine,
    server: Option<Server>,
    _folder: TempDir,
}

impl Offload {
    /// Starts both and waits until the model is loaded.
    ///
    /// # Panics
    /// If one of them cannot be started.
    #[track_caller]
    pub fn start(cache: &Cache, model: Model, split: Split) -> Offload {
        let folder = TempDir::new().or_fail("a temporary folder");
        let mut command = Command::new(driver(cache, folder.path()));
        command.arg(model.file(cache)).args(["--threads", "1"]);
        let server = (split != Split::CpuOnly).then(|| Server::start(cache));
        if let Some(server) = &server {
            command.args(["--rpc", &server.address]);
        }
        let layers: &[&str] = match split {
            Split::CpuOnly => &[],
            Split::Half => &["--ngl", "15"],
            Split::All => &["--ngl", "99"],
            Split::AllButExperts => &["--ngl", "99", "--on-cpu", "ffn_.*_exps"],
        };
        let engine = Engine::start_command(None, command.args(layers));
        Offload { engine, server, _folder: folder }
    }

    /// The server's process.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().or_fail("there is no server").child.id()
    }
}

/// Compiles the driver in a folder: the program that is run.
///
/// # Panics
/// If there is no compiler, or it refuses.
#[track_caller]
pub fn driver(cache: &Cache, folder: &Path) -> PathBuf {
    let (fetched, made) = (cache.llama_cpp(), folder.join("generate"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/generate.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Werror", "-o"]).arg(&made).arg(source);
    gcc.arg("-I").arg(fetched.join("include")).arg("-L").arg(&fetched);
    gcc.args(["-lllama", "-lggml", "-lggml-rpc", "-lggml-base"]).arg(format!("-Wl,-rpath,{}", fetched.display()));
    let output = gcc.output().or_fail("this test needs gcc (apt-get install gcc)");
    assert!(output.status.success(), "{gcc:?}: {}", String::from_utf8_lossy(&output.stderr));
    made
}
