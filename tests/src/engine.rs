//! Real engines, driven line by line through `tests/engines/generate.{py,mjs}`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::OrFail;
use crate::cache::Cache;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The Python wheel: one library, not stripped, no CET, a thread pool that stays.
    Xllamacpp,
    /// The npm package: stripped, CET, one of 14 CPU variants, a thread pool per graph.
    Node,
}

/// Makes a test per engine out of each function that takes a [`Kind`]. The names of the modules are what
/// `cargo xtask test --quick` leaves out.
#[macro_export]
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod engine_xllamacpp {
            $(#[test] fn $test() { super::$test($crate::engine::Kind::Xllamacpp); })+
        }
        mod engine_node {
            $(#[test] fn $test() { super::$test($crate::engine::Kind::Node); })+
        }
    };
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Every token passes every weight.
    Dense,
    /// Each layer has 8 experts, and every token passes 2 of them.
    Moe,
}

impl Model {
    /// Its file.
    pub fn file(self, cache: &Cache) -> PathBuf {
        match self {
            Model::Dense => cache.model(),
            Model::Moe => cache.moe(),
        }
    }
}

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it computes.
    pub model: Model,
    /// Threads that compute.
    pub threads: u32,
    /// The prompt; none for the driver's own.
    pub prompt: Option<String>,
    /// How many times over the prompt is said.
    pub repeat_prompt: u32,
    /// Largest micro-batch, in tokens.
    pub ubatch: u32,
    /// Tokens that a context holds.
    pub ctx: u32,
    /// Requests at the same time.
    pub parallel: u32,
    /// A second model drafts tokens.
    pub draft: Option<Model>,
    /// A key-value cache for each request, not one for all. Only [`Kind::Xllamacpp`] can.
    pub split_cache: bool,
    /// Under which path the program is run: a link that is made there, so that the process is called by it.
    pub called: Option<PathBuf>,
    /// How many layers are given to Vulkan. Only [`Kind::Node`] can, from the package that has it.
    pub vulkan_layers: u32,
    /// Folder to take the engine's files from instead of the cache's.
    pub package: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            model: Model::Dense,
            threads: 2,
            prompt: None,
            repeat_prompt: 1,
            ubatch: 512,
            ctx: 2048,
            parallel: 1,
            draft: None,
            split_cache: false,
            called: None,
            vulkan_layers: 0,
            package: None,
        }
    }
}

/// What one generation was, as the engine itself has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    /// Tokens generated.
    pub tokens: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Milliseconds until the first token.
    pub prompt_ms: f64,
    /// Milliseconds for all further tokens.
    pub eval_ms: f64,
    /// The text.
    pub text: String,
}

/// What one of several requests was, as the engine itself has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The number of its sequence.
    pub seq: u64,
    /// Tokens generated.
    pub tokens: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Milliseconds until the first token.
    pub prompt_ms: f64,
    /// Milliseconds for all further tokens.
    pub eval_ms: f64,
    /// Drafted tokens that were checked.
    pub drafted: u64,
    /// Of them those that were right.
    pub accepted: u64,
}

/// A running engine, held after loading; ended when dropped.
#[derive(Debug)]
pub struct Engine {
    kind: Option<Kind>,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// Command that runs a driver on the dense model from the cache's files, or those of `package`, with further arguments.
pub fn command(cache: &Cache, kind: Kind, package: Option<&Path>, arguments: &[OsString]) -> Command {
    command_on(cache, kind, Model::Dense, package, arguments)
}

fn command_on(cache: &Cache, kind: Kind, model: Model, package: Option<&Path>, arguments: &[OsString]) -> Command {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    let (program, driver, fetched) = match kind {
        Kind::Xllamacpp => (cache.python(), "generate.py", cache.xllamacpp()),
        Kind::Node => (cache.node(), "generate.mjs", cache.node_llama_cpp()),
    };
    let mut command = Command::new(program);
    command.arg(drivers.join(driver)).arg(model.file(cache));
    command.arg("--package").arg(package.unwrap_or(&fetched)).args(arguments);
    command
}

/// The program itself, which what is found by its name may be a script for.
fn executable(kind: Kind, program: &std::ffi::OsStr) -> PathBuf {
    let ask = match kind {
        Kind::Xllamacpp => ["-c", "import sys; print(sys.executable)"],
        Kind::Node => ["-p", "process.execPath"],
    };
    let output = Command::new(program).args(ask).output().or_fail(format_args!("{program:?}"));
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    std::fs::canonicalize(&path).or_fail(path)
}

impl Engine {
    /// Starts an engine and waits until its model is loaded.
    ///
    /// # Panics
    /// If it cannot be started, with the command.
    #[track_caller]
    pub fn start(cache: &Cache, kind: Kind, options: &Options) -> Engine {
        let mut arguments: Vec<OsString> = vec!["--hold".into()];
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        option("--threads", options.threads.to_string().into());
        option("--ubatch", options.ubatch.to_string().into());
        option("--ctx", options.ctx.to_string().into());
        option("--repeat-prompt", options.repeat_prompt.to_string().into());
        option("--parallel", options.parallel.to_string().into());
        if let Some(draft) = options.draft {
            option("--draft", draft.file(cache).into());
        }
        if options.vulkan_layers > 0 {
            option("--vulkan-layers", options.vulkan_layers.to_string().into());
        }
        if options.split_cache {
            arguments.push("--split-cache".into());
        }
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        if let Some(prompt) = &options.prompt {
            option("--prompt", prompt.into());
        }
        let model = options.model.file(cache);
        assert!(model.exists(), "{} is missing: run `cargo xtask fetch`", model.display());
        let mut command = command_on(cache, kind, options.model, options.package.as_deref(), &arguments);
        if options.vulkan_layers > 0 {
            // Else a driver that computes on the CPU is not taken.
            command.env("GGML_VK_VISIBLE_DEVICES", "0");
        }
        if let Some(path) = &options.called {
            let program = executable(kind, command.get_program());
            if !path.exists() {
                std::os::unix::fs::symlink(&program, path).or_fail(path.display());
            }
            let mut other = Command::new(path);
            other.args(command.get_args());
            command = other;
        }
        Engine::start_command(Some(kind), &mut command)
    }

    /// Starts a driver, of one of the two kinds or another one, by its command and waits until the model is loaded.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_command(kind: Option<Kind>, command: &mut Command) -> Engine {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().or_fail(format_args!("{command:?}"));
        let stdin = child.stdin.take().or_fail("stdin of the engine");
        let stdout = BufReader::new(child.stdout.take().or_fail("stdout of the engine"));
        let mut engine = Engine { kind, child, stdin, stdout };
        let line = engine.line();
        assert_eq!(line.trim(), format!("ready {}", engine.pid()), "first line of {command:?}");
        engine
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which one it is.
    ///
    /// # Panics
    /// If it is of neither kind.
    #[track_caller]
    pub fn kind(&self) -> Kind {
        self.kind.or_fail("an engine of neither kind")
    }

    /// Generates exactly `tokens` tokens from the prompt, computing the whole prompt.
    ///
    /// # Panics
    /// If the engine dies or generates another number of tokens.
    #[track_caller]
    pub fn generate(&mut self, tokens: u64) -> Timings {
        self.begin(tokens);
        self.finish(tokens)
    }

    /// Begins to generate, without waiting.
    #[track_caller]
    pub fn begin(&mut self, tokens: u64) {
        writeln!(self.stdin, "go {tokens}").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
    }

    /// Waits for what [`Engine::begin`] began.
    #[track_caller]
    pub fn finish(&mut self, tokens: u64) -> Timings {
        let line = self.line();
        let value: Value = serde_json::from_str(&line).or_fail(format_args!("the engine's answer {line:?}"));
        let number = |name: &str| value[name].as_f64().or_fail(format_args!("no {name} in {line}"));
        let count = |name: &str| value[name].as_u64().or_fail(format_args!("no {name} in {line}"));
        let timings = Timings {
            tokens: count("tokens"),
            prompt_tokens: count("prompt_tokens"),
            prompt_ms: number("prompt_ms"),
            eval_ms: number("eval_ms"),
            text: value["text"].as_str().or_fail(format_args!("no text in {line}")).to_owned(),
        };
        assert_eq!(timings.tokens, tokens, "tokens generated by {:?}", self.kind);
        timings
    }

    /// Generates in two contexts at once, each with a thread pool of its own. Only [`Kind::Xllamacpp`] can.
    ///
    /// # Panics
    /// If the engine dies, does not know how to, or generates another number of tokens.
    #[track_caller]
    pub fn generate_in_two(&mut self, tokens: u64) -> Timings {
        writeln!(self.stdin, "both {tokens}").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        self.finish(tokens)
    }

    /// Generates so many tokens for as many requests, each begun when the one before has its first token; the first has the
    /// prompt, the second one twice as long, and so on.
    ///
    /// # Panics
    /// If the engine dies or generates another number of tokens.
    #[track_caller]
    pub fn generate_many(&mut self, tokens: &[u64]) -> Vec<Request> {
        let numbers: Vec<String> = tokens.iter().map(u64::to_string).collect();
        writeln!(self.stdin, "many {}", numbers.join(" "))
            .and_then(|()| self.stdin.flush())
            .or_fail("the engine is gone");
        let line = self.line();
        let value: Value = serde_json::from_str(&line).or_fail(format_args!("the engine's answer {line:?}"));
        let requests = value["requests"].as_array().or_fail(format_args!("no requests in {line}"));
        let request = |value: &Value| {
            let number = |name: &str| value[name].as_f64().or_fail(format_args!("no {name} in {line}"));
            let count = |name: &str| value[name].as_u64().or_fail(format_args!("no {name} in {line}"));
            Request {
                seq: count("slot"),
                tokens: count("tokens"),
                prompt_tokens: count("prompt_tokens"),
                prompt_ms: number("prompt_ms"),
                eval_ms: number("eval_ms"),
                drafted: count("drafted"),
                accepted: count("accepted"),
            }
        };
        let requests: Vec<Request> = requests.iter().map(request).collect();
        let generated: Vec<u64> = requests.iter().map(|r| r.tokens).collect();
        assert_eq!(generated, tokens, "tokens generated by {:?}", self.kind);
        requests
    }

    /// Begins to generate and gives up after some milliseconds, as a client that hangs up. Only [`Kind::Xllamacpp`] can.
    ///
    /// # Panics
    /// If the engine dies or does not know how to.
    #[track_caller]
    pub fn cancel(&mut self, milliseconds: u64) {
        writeln!(self.stdin, "cancel {milliseconds}").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        let line = self.line();
        assert_eq!(line.trim(), r#"{"cancelled": true}"#, "the engine's answer");
    }

    /// Evaluates the prompt once, with every second of its tokens output; answers how many were output, and of how many.
    /// Only [`Kind::Node`] can.
    ///
    /// # Panics
    /// If the engine dies or does not know how to.
    #[track_caller]
    pub fn outputs(&mut self) -> (u64, u64) {
        writeln!(self.stdin, "outputs").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        let line = self.line();
        let value: Value = serde_json::from_str(&line).or_fail(format_args!("the engine's answer {line:?}"));
        let count = |name: &str| value[name].as_u64().or_fail(format_args!("no {name} in {line}"));
        (count("outputs"), count("prompt_tokens"))
    }

    /// Begins a generation that stays open: computes the prompt and yields the first token. Of the drivers `generate.c` and
    /// `generate.mjs` can.
    ///
    /// # Panics
    /// If the engine dies or does not know how to.
    #[track_caller]
    pub fn open(&mut self) {
        writeln!(self.stdin, "open").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        let line = self.line();
        assert!(line.starts_with(r#"{"pos":"#), "the engine's answer {line:?}");
    }

    /// Generates further tokens of the generation that is open; answers how long each took by the engine's clock, in
    /// microseconds.
    ///
    /// # Panics
    /// If the engine dies, none is open, or another number of tokens comes.
    #[track_caller]
    pub fn block(&mut self, tokens: usize) -> Vec<u64> {
        writeln!(self.stdin, "block {tokens}").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        let line = self.line();
        let value: Value = serde_json::from_str(&line).or_fail(format_args!("the engine's answer {line:?}"));
        let times = value["token_us"].as_array().or_fail(format_args!("no token_us in {line}"));
        let times: Vec<u64> = times.iter().filter_map(Value::as_u64).collect();
        assert_eq!(times.len(), tokens, "tokens of a block: {line}");
        times
    }

    /// Sends a signal to the engine.
    ///
    /// # Panics
    /// If it is gone.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        crate::system::signal(self.pid(), signal);
    }

    /// Waits for its end and answers whether it ended of its own accord with status 0.
    #[track_caller]
    pub fn wait(&mut self) -> bool {
        self.child.wait().or_fail("waiting for the engine").success()
    }

    /// Tells it to end and waits for it; true if it ended with status 0.
    #[track_caller]
    pub fn quit(&mut self) -> bool {
        writeln!(self.stdin, "quit").and_then(|()| self.stdin.flush()).or_fail("the engine is gone");
        self.wait()
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.stdout.read_line(&mut line).or_fail("reading from the engine");
        assert!(n > 0, "{:?} (pid {}) ended without an answer; its own words are above", self.kind, self.pid());
        line
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
