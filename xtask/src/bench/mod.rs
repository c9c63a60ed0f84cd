//! `cargo xtask bench`: what profinfer costs, beside bpftrace and beside empty programs.

mod blocks;
mod bootstrap;
mod csv;
mod data;
mod failure;
mod figure;
mod floor;
mod loss;
mod machine;
mod micro;
mod page;
mod plots;
mod scale;
mod schedule;
mod target;
mod tool;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use profinfer_tests::cache::Cache;
use profinfer_tests::engine::Model;
use profinfer_tests::system::is_root;

pub(crate) use failure::Failure;

use self::blocks::{Amount, Bench, Build, Tool, model_name};
use self::data::{Results, Slowdown};
use self::floor::Source;
use self::target::{Bursts, Probed};
use crate::error::Error;
use crate::fetch::{Item, fetch};
use crate::{build, tools};

const TASK: &str = "cargo xtask bench";

/// Options of the bench.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only measurements whose name has this in it; may be given several times. `--list` shows the names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Shows the names of all measurements, and measures nothing.
    #[arg(long)]
    list: bool,
    /// Few and short ones, to see that everything works: no numbers to be used. Written to `target/bench`.
    #[arg(long)]
    quick: bool,
    /// Writes the page again, of the numbers that are there, and measures nothing.
    #[arg(long)]
    render: bool,
    /// Folder of `performance.md` [default: docs, with --quick target/bench]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Blocks of a generation, for each tool.
    #[arg(long, default_value_t = 40)]
    blocks: usize,
    /// Tokens of a block.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Threads that the engines compute with.
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

const BY_OP: Source = Source::Text("on ggml_op < sum(dur) by op >");

/// The tools, by their names in results.
fn all_tools() -> Vec<(&'static str, Tool)> {
    let stock = |name| Tool::Profinfer(Source::Stock(name));
    vec![
        ("ops.pi", stock("ops.pi")),
        ("threads.pi", stock("threads.pi")),
        ("sum(dur) by op", Tool::Profinfer(BY_OP)),
        ("tokens.pi", stock("tokens.pi")),
        ("graphs.pi", stock("graphs.pi")),
        ("empty at ops.pi", Tool::Empty(Source::Stock("ops.pi"))),
        ("empty at threads.pi", Tool::Empty(Source::Stock("threads.pi"))),
        ("bpftrace operators", Tool::BpftraceOperators),
        ("bpftrace barriers", Tool::BpftraceBarriers),
    ]
}

/// On a mixture of experts only these: a token of it takes twice as long, and the rest follows from the dense model.
const ON_MOE: [&str; 4] = ["ops.pi", "threads.pi", "empty at ops.pi", "bpftrace operators"];

/// Names of the measurements beside those of tokens.
const OTHERS: [&str; 4] = ["micro", "rows", "sites", "stream"];

/// The measurements of tokens, in the order in which they are made.
fn slowdowns() -> Vec<(Build, Model, &'static str, Tool)> {
    let mut all = Vec::new();
    for (build, model) in [Build::Plain, Build::Cet].into_iter().flat_map(|b| [(b, Model::Dense), (b, Model::Moe)]) {
        for (name, tool) in all_tools() {
            if model == Model::Dense || ON_MOE.contains(&name) {
                all.push((build, model, name, tool));
            }
        }
    }
    all
}

fn slowdown_name(build: Build, model: Model, tool: &str) -> String {
    format!("slowdown/{}/{}/{tool}", build.name(), model_name(model))
}

/// Runs the bench.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let names = slowdowns().into_iter().map(|(build, model, tool, _)| slowdown_name(build, model, tool));
    let names: Vec<String> = names.chain(OTHERS.iter().map(|o| (*o).to_owned())).collect();
    if arguments.list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = arguments.only.iter().find(|only| !names.iter().any(|name| name.contains(only.as_str()))) {
        return Err(Failure::Only { name: unknown.clone(), known: names.join(", ") }.into());
    }
    let out = match (&arguments.out, arguments.quick) {
        (Some(out), _) => out.clone(),
        (None, true) => build::workspace().join("target/bench"),
        (None, false) => build::workspace().join("docs"),
    };
    let mut results = earlier(&out)?;
    let failures = if arguments.render { Vec::new() } else { measure(arguments, &mut results, &out)? };
    write(&results, &out)?;
    println!("{}", out.join("performance.md").display());
    for name in &failures {
        eprintln!("xtask: {name} could not be measured; what it said is above");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The raw numbers that are there already.
fn earlier(out: &Path) -> Result<Results, Failure> {
    let path = out.join("performance/results.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|source| Failure::Raw { path, source }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
        Err(source) => Err(Failure::File { path, source }),
    }
}

/// Writes the page, the plots and the raw numbers.
fn write(results: &Results, out: &Path) -> Result<(), Failure> {
    let (page, folder) = (out.join("performance.md"), out.join("performance"));
    std::fs::create_dir_all(&folder).map_err(failure::at(&folder))?;
    let raw = serde_json::to_string_pretty(results);
    let raw = raw.map_err(|source| Failure::Raw { path: folder.join("results.json"), source })?;
    plots::write(&folder, "results.json", &format!("{raw}\n"))?;
    for (name, text) in csv::files(results).into_iter().chain(plots::plots(results)?) {
        plots::write(&folder, name, &text)?;
    }
    let old = std::fs::read_to_string(&page).unwrap_or_default();
    plots::write(out, "performance.md", &page::page(results, &old))
}

/// Makes the measurements that are asked for; each replaces what there was of it. Answers which could not be made.
fn measure(arguments: &Arguments, results: &mut Results, out: &Path) -> Result<Vec<String>, Error> {
    if !is_root() {
        return Err(Error::Root(TASK));
    }
    tools::compiler()?;
    tools::bpftrace()?;
    let cache = fetch(&[Item::Model, Item::Moe, Item::LlamaCpp, Item::NodeLlamaCpp])?;
    let binary = build::released()?;
    let folder = tempfile::tempdir().map_err(crate::error::at("a temporary folder"))?;
    let run =
        Run { arguments, binary: &binary, folder: folder.path(), begin: Instant::now(), failures: RefCell::default() };
    let machine = machine::look(arguments.threads);
    run.slowdown(&cache, results, out)?;
    run.others(results, out)?;
    let seconds = run.begin.elapsed().as_secs_f64();
    if arguments.only.is_empty() || results.machine.date.is_empty() {
        results.machine = data::Machine { seconds, ..machine };
    } else {
        let what = arguments.only.join(", ");
        let again = format!("{what} ({}, profinfer {}, load {:.2})", machine.date, machine.profinfer, machine.load);
        results.machine.again.push(again);
    }
    Ok(run.failures.into_inner())
}

/// What all measurements need.
struct Run<'r> {
    arguments: &'r Arguments,
    binary: &'r Path,
    folder: &'r Path,
    begin: Instant,
    failures: RefCell<Vec<String>>,
}

impl Run<'_> {
    fn is_wanted(&self, name: &str) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.iter().any(|only| name.contains(only.as_str()))
    }

    /// A measurement that cannot be made is told at once and at the end; the others go on.
    fn failed(&self, name: &str, failure: &Failure) {
        self.tell(&format!("{name} FAILED: {failure}"));
        self.failures.borrow_mut().push(name.to_owned());
    }

    fn tell(&self, text: &str) {
        eprintln!("{:>5.0} s  {text}", self.begin.elapsed().as_secs_f64());
    }

    fn amount(&self) -> Amount {
        let threads = self.arguments.threads;
        match self.arguments.quick {
            true => Amount { blocks: 8, tokens: 16, dropped: 4, threads },
            false => Amount { blocks: self.arguments.blocks, tokens: self.arguments.tokens, dropped: 8, threads },
        }
    }

    /// The same for a tool on a model: blocks take about as long on each, and what costs ten times as much needs fewer of them.
    fn amount_of(&self, model: Model, tool: &Tool) -> Amount {
        let whole = self.amount();
        let is_bpftrace = matches!(tool, Tool::BpftraceOperators | Tool::BpftraceBarriers);
        Amount {
            blocks: if is_bpftrace { whole.blocks / 2 } else { whole.blocks },
            tokens: if model == Model::Moe { (whole.tokens / 2).max(whole.dropped + 4) } else { whole.tokens },
            ..whole
        }
    }

    fn slowdown(&self, cache: &Cache, results: &mut Results, out: &Path) -> Result<(), Error> {
        let amount = self.amount();
        let mut bench: Option<((Build, Model), Bench<'_>)> = None;
        for (build, model, name, tool) in slowdowns() {
            if !self.is_wanted(&slowdown_name(build, model, name)) {
                continue;
            }
            if bench.as_ref().is_none_or(|(of, _)| *of != (build, model)) {
                // One engine at a time.
                drop(bench.take());
                let engine = blocks::start(cache, build, model, amount, self.folder);
                bench = Some(((build, model), Bench::new(engine, self.binary, self.folder)?));
            }
            let Some((_, bench)) = &mut bench else { continue };
            let measured = match bench.measure(&tool, self.amount_of(model, &tool)) {
                Ok(measured) => measured,
                // The rest is worth having.
                Err(failure) => {
                    self.failed(&slowdown_name(build, model, name), &failure);
                    continue;
                }
            };
            let slowdown = Slowdown {
                engine: build.name().to_owned(),
                model: model_name(model).to_owned(),
                tool: name.to_owned(),
                ..measured
            };
            let e = slowdown.relative();
            self.tell(&format!(
                "{}: {:+.2} % ({:+.2} to {:+.2}) of {:.2} ms, {:.0} hits a token",
                slowdown_name(build, model, name),
                e.median * 100.0,
                e.low * 100.0,
                e.high * 100.0,
                slowdown.base_us() / 1e3,
                slowdown.hits,
            ));
            let is_old =
                |s: &Slowdown| (&s.engine, &s.model, &s.tool) == (&slowdown.engine, &slowdown.model, &slowdown.tool);
            match results.slowdown.iter_mut().find(|s| is_old(s)) {
                Some(old) => *old = slowdown,
                None => results.slowdown.push(slowdown),
            }
            // What is measured is kept, whatever comes.
            write(results, out)?;
        }
        Ok(())
    }

    fn others(&self, results: &mut Results, out: &Path) -> Result<(), Error> {
        if !OTHERS.iter().any(|name| self.is_wanted(name)) {
            return Ok(());
        }
        let bursts = match self.arguments.quick {
            true => Bursts { bursts: 7, calls: 3000 },
            false => Bursts { bursts: 41, calls: 3000 },
        };
        let mut probed = Probed::start(self.folder)?;
        let told = |s: &data::Scaled| self.tell(&format!("{} with {}: {:.0} ns a hit", s.tool, s.size, s.ns.median));
        if self.is_wanted("micro") {
            let made = micro::measure(&mut probed, self.binary, self.folder, bursts, |m| {
                self.tell(&format!("{}, {} at {}: {:.0} ns", m.tool, m.what, m.site, m.ns.median));
            });
            self.keep("micro", made, &mut results.micro);
        }
        if self.is_wanted("rows") {
            let made = scale::rows(&mut probed, self.binary, self.folder, bursts, told);
            self.keep("rows", made, &mut results.rows);
        }
        if self.is_wanted("sites") {
            let made = scale::sites(&mut probed, self.binary, self.folder, bursts, told);
            self.keep("sites", made, &mut results.sites);
        }
        write(results, out)?;
        if self.is_wanted("stream") {
            let ms = if self.arguments.quick { 100 } else { 2000 };
            let made = scale::stream(&mut probed, self.binary, self.folder, ms, |s| {
                self.tell(&format!("{} at {:.0} a second: {} of {}", s.tool, s.rate, s.printed, s.happened));
            });
            self.keep("stream", made, &mut results.stream);
        }
        Ok(())
    }

    /// Puts what was measured in the place of what there was.
    fn keep<T>(&self, name: &str, made: Result<Vec<T>, Failure>, kept: &mut Vec<T>) {
        match made {
            Ok(made) => *kept = made,
            Err(failure) => self.failed(name, &failure),
        }
    }
}
