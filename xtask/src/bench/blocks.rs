//! What a tool costs a token: one generation, in blocks, the tool attached and taken off between them.

use std::path::{Path, PathBuf};

use profinfer::diff::median;
use profinfer::kernel::Stats;
use profinfer_tests::cache::Cache;
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::offload;

use super::data::{Attachment, Four, Slowdown};
use super::failure::Failure;
use super::floor::{Floor, Place, Sight, Source};
use super::loss;
use super::schedule::{Arm, abba};
use super::tool::Running;

/// Tokens for counting hits.
const COUNTED: usize = 16;
/// Tokens before that: the layout check has passed, and is taken off.
const SETTLING: usize = 8;

/// Which build of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// llama.cpp built from its sources: functions begin with `push`.
    Plain,
    /// The prebuilt one for node: functions begin with `endbr64`.
    Cet,
}

impl Build {
    /// Its name in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Build::Plain => "plain",
            Build::Cet => "cet",
        }
    }
}

/// The name of a model in results.
pub(super) fn model_name(model: Model) -> &'static str {
    match model {
        Model::Dense => "dense",
        Model::Moe => "moe",
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    /// Blocks of a measurement.
    pub(super) blocks: usize,
    /// Tokens of a block.
    pub(super) tokens: usize,
    /// Tokens at the beginning of a block that do not count.
    pub(super) dropped: usize,
    /// Threads that compute.
    pub(super) threads: u32,
}

/// What is attached.
#[derive(Debug, Clone)]
pub(super) enum Tool {
    /// A script.
    Profinfer(Source),
    /// Empty programs where profinfer has its own for a script.
    Empty(Source),
    /// The time of each operator by its function, as bpftrace can have it: from entry to return.
    BpftraceOperators,
    /// The time that each thread is at barriers.
    BpftraceBarriers,
}

/// Starts an engine that keeps a generation open.
pub(super) fn start(cache: &Cache, build: Build, model: Model, amount: Amount, folder: &Path) -> Engine {
    // The prompt, the blocks, and what counting takes.
    let ctx = ((amount.blocks.next_multiple_of(4) * amount.tokens + 512) as u32).next_multiple_of(1024);
    match build {
        Build::Plain => {
            let mut command = std::process::Command::new(offload::driver(cache, folder));
            command.arg(model.file(cache));
            command.args(["--threads", &amount.threads.to_string(), "--ctx", &ctx.to_string()]);
            Engine::start_command(None, &mut command)
        }
        Build::Cet => {
            let options = Options { model, threads: amount.threads, ctx, ..Options::default() };
            Engine::start(cache, Kind::Node, &options)
        }
    }
}

/// What is lost is told to programs in JSON.
fn with_json(source: Source) -> Vec<String> {
    [source.arguments(), vec!["--format".to_owned(), "json".to_owned()]].concat()
}

/// Something attached.
enum Attached {
    Running(Running),
    Floor(Floor),
}

/// An engine with what is needed to attach to it.
pub(super) struct Bench<'b> {
    /// profinfer.
    pub(super) binary: &'b Path,
    /// For what tools print.
    pub(super) folder: &'b Path,
    /// The engine.
    pub(super) engine: Engine,
    sight: Sight,
    /// Functions of operators that this model computes by, with the file that has them, in bpftrace's reach.
    operators: Option<Vec<(PathBuf, Place)>>,
}

impl<'b> Bench<'b> {
    /// Looks at an engine.
    pub(super) fn new(engine: Engine, binary: &'b Path, folder: &'b Path) -> Result<Bench<'b>, Failure> {
        let mut engine = engine;
        // Libraries are mapped, and code is in memory.
        engine.open();
        engine.block(SETTLING);
        let sight = Sight::of(engine.pid())?;
        Ok(Bench { binary, folder, engine, sight, operators: None })
    }

    fn attach(&mut self, tool: &Tool) -> Result<Attached, Failure> {
        let (pid, shown) = (self.engine.pid(), self.folder.join("shown"));
        Ok(match tool {
            Tool::Profinfer(source) => {
                Attached::Running(Running::profinfer(self.binary, &with_json(*source), pid, &shown)?)
            }
            Tool::Empty(source) => Attached::Floor(Floor::attach(&self.sight.places(*source)?, pid)?),
            Tool::BpftraceOperators | Tool::BpftraceBarriers => {
                let program = self.bpftrace_program(tool)?;
                Attached::Running(Running::bpftrace(&program, pid, &shown)?)
            }
        })
    }

    fn bpftrace_program(&mut self, tool: &Tool) -> Result<String, Failure> {
        let functions = match tool {
            Tool::BpftraceBarriers => self.sight.functions(|name| name == "ggml_barrier")?,
            _ => self.operators()?,
        };
        let mut programs = Vec::new();
        // Paths may have what bpftrace takes for its own.
        let link = |n: usize| self.folder.join(format!("engine{n}"));
        let mut files: Vec<&PathBuf> = Vec::new();
        let mut probes: Vec<(usize, &str)> = Vec::new();
        for (path, place) in &functions {
            let n = files.iter().position(|f| *f == path).unwrap_or_else(|| {
                files.push(path);
                files.len() - 1
            });
            probes.push((n, &place.name));
        }
        for (n, path) in files.iter().enumerate() {
            // It may be there from before, for another engine.
            let _ = std::fs::remove_file(link(n));
            std::os::unix::fs::symlink(path, link(n)).map_err(super::failure::at(link(n)))?;
        }
        let list = |kind: &str| {
            let all: Vec<String> = probes.iter().map(|(n, f)| format!("{kind}:{}:{f}", link(*n).display())).collect();
            all.join(",\n")
        };
        let key = if matches!(tool, Tool::BpftraceBarriers) { "tid" } else { "probe" };
        programs.push(format!("{} {{ @start[tid] = nsecs; }}", list("uprobe")));
        programs.push(format!(
            "{} /@start[tid]/ {{ @ns[{key}] = hist(nsecs - @start[tid]); delete(@start[tid]); }}",
            list("uretprobe")
        ));
        Ok(programs.join("\n"))
    }

    /// The functions of operators that are called at all, as somebody finds out who then writes a script for them. Each of
    /// bpftrace's probes takes the kernel 100 ms to take off.
    fn operators(&mut self) -> Result<Vec<(PathBuf, Place)>, Failure> {
        if let Some(known) = &self.operators {
            return Ok(known.clone());
        }
        let all = self.sight.functions(|name| name.starts_with("ggml_compute_forward_"))?;
        let places: Vec<Place> = all.iter().map(|(_, place)| place.clone()).collect();
        let _counting = Stats::enable()?;
        let floor = Floor::attach(&places, self.engine.pid())?;
        self.engine.block(2);
        let hits = floor.hits()?;
        floor.detach();
        let called = all.into_iter().zip(hits).filter(|(_, (_, _, hits))| *hits > 0).map(|(function, _)| function);
        let called: Vec<_> = called.collect();
        self.operators = Some(called.clone());
        Ok(called)
    }

    fn detach(&mut self, attached: Attached) -> Result<(Option<Attachment>, u64), Failure> {
        match attached {
            Attached::Running(running) => {
                let (took, said) = running.end()?;
                let attachment =
                    Attachment { attach_ms: took.attach_ms, exit_ms: took.exit_ms, peak_kib: took.peak_kib };
                Ok((Some(attachment), loss::of_run(&self.folder.join("shown"), &said)))
            }
            Attached::Floor(floor) => {
                floor.detach();
                Ok((None, 0))
            }
        }
    }

    /// Measures a tool.
    pub(super) fn measure(&mut self, tool: &Tool, amount: Amount) -> Result<Slowdown, Failure> {
        self.engine.open();
        self.engine.block(amount.dropped.max(1));
        let mut result = Slowdown {
            engine: String::new(),
            model: String::new(),
            tool: String::new(),
            tokens: amount.tokens,
            dropped: amount.dropped,
            fours: Vec::new(),
            hits: 0.0,
            by_cost: Vec::new(),
            program_ns: 0.0,
            attached: Vec::new(),
            lost: 0,
        };
        for four in abba(amount.blocks) {
            let mut attached: Option<Attached> = None;
            let (mut without, mut with) = (Vec::new(), Vec::new());
            for arm in four {
                match (arm, attached.take()) {
                    (Arm::With, None) => attached = Some(self.attach(tool)?),
                    (Arm::Without, Some(on)) => self.take_off(on, &mut result)?,
                    (_, same) => attached = same,
                }
                let block = self.block(amount);
                if arm == Arm::With { with.push(block) } else { without.push(block) }
            }
            if let Some(on) = attached {
                self.take_off(on, &mut result)?;
            }
            let pick = |of: &[(f64, f64)], mean: bool| {
                [0, 1].map(|i: usize| {
                    of.get(i).map_or(f64::NAN, |(median, average)| if mean { *average } else { *median })
                })
            };
            result.fours.push(Four {
                without: pick(&without, false),
                with: pick(&with, false),
                mean_without: pick(&without, true),
                mean_with: pick(&with, true),
            });
        }
        self.count(tool, &mut result)?;
        Ok(result)
    }

    fn take_off(&mut self, on: Attached, result: &mut Slowdown) -> Result<(), Failure> {
        let (attachment, lost) = self.detach(on)?;
        result.attached.extend(attachment);
        result.lost += lost;
        Ok(())
    }

    /// Generates a block: the median and the mean of the tokens that count, in µs.
    fn block(&mut self, amount: Amount) -> (f64, f64) {
        let times = self.engine.block(amount.tokens);
        let kept: Vec<f64> = times.iter().skip(amount.dropped).map(|&us| us as f64).collect();
        (median(&kept), kept.iter().sum::<f64>() / kept.len().max(1) as f64)
    }

    /// Counts hits and the programs' own time a token.
    fn count(&mut self, tool: &Tool, result: &mut Slowdown) -> Result<(), Failure> {
        let _counting = Stats::enable()?;
        let attached = self.attach(tool)?;
        self.engine.block(SETTLING);
        let ran = |attached: &Attached| match attached {
            Attached::Running(running) => Ok(running.ran()),
            Attached::Floor(floor) => floor.hits().map(|all| (all.iter().map(|(_, _, n)| n).sum(), 0)),
        };
        // What is attached for a moment is gone by then.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let before = ran(&attached)?;
        self.engine.block(COUNTED);
        let after = ran(&attached)?;
        self.detach(attached)?;
        result.hits = after.0.saturating_sub(before.0) as f64 / COUNTED as f64;
        result.program_ns = after.1.saturating_sub(before.1) as f64 / COUNTED as f64;
        let (Tool::Profinfer(source) | Tool::Empty(source)) = tool else { return Ok(()) };
        let floor = Floor::attach(&self.sight.places(*source)?, self.engine.pid())?;
        self.engine.block(COUNTED);
        let hits = floor.hits()?;
        floor.detach();
        for (_, cost, hits) in hits {
            let (cost, hits) = (cost.to_string(), hits as f64 / COUNTED as f64);
            match result.by_cost.iter_mut().find(|(c, _)| *c == cost) {
                Some((_, sum)) => *sum += hits,
                None => result.by_cost.push((cost, hits)),
            }
        }
        Ok(())
    }
}
