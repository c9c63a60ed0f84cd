//! The arguments, with the help that teaches them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::target::SiteChoice;

const EXAMPLES: &str = "\
Examples:
  profinfer -e 'on ggml_op(MUL_MAT) < hist(dur) >' --pid 4711
      how long matrix products take, until Ctrl-C
  profinfer ops.pi -P top=10 --pid 4711 --duration 10s
      a stock script with a parameter (its own help: profinfer ops.pi --help)
  profinfer tokens.pi -- python3 generate.py
      starts the command and sees it from its first token on
  profinfer tokens.pi --name 'llama-*' --wait
      every llama.cpp tool that runs or will be started
  profinfer tokens.pi --follow -- sh -c 'python3 serve.py & wait'
      also what the command starts in its turn
  profinfer -e 'on llama_ubatch < count(), avg(dur) by phase into t >
                every 1s < show t; clear t >' --pid 4711
      every second anew
  profinfer flame.pi --pid 4711 -d 10s -o run.flame.svg
      a flame graph for a browser (.folded: collapsed stacks, .pb.gz: for pprof)

Stock scripts: ops.pi graphs.pi tokens.pi parts.pi flame.pi threads.pi kv.pi roofline.pi
paging.pi offload.pi counters.pi profile.pi moe_routing.pi experts.pi
Exit codes: 0 fine, 1 script, 2 usage, 3 target, 4 kernel or rights, 5 losses under --strict,
6 output that cannot be written; with a command behind `--` its own.
Each of check, plan, build, list, doctor, explain, record and replay has a help of its own: profinfer check --help";

const CHECK_EXAMPLES: &str = "\
Examples:
  profinfer check ops.pi -P top=10
      a script with a parameter; `fine` and 0, or every error at once and 1
  profinfer check -e 'on ggml_op < count() by op >'
      a script from the command line
  profinfer check --json mine.pi
      for an editor: an object a line, with code, severity, place and help
No process, no rights and no kernel are needed. `profinfer explain PI0102` tells more of a code.";

const PLAN_EXAMPLES: &str = "\
Examples:
  profinfer plan ops.pi
      tables, what is filtered where, programs, and how much kernel memory they take
  profinfer plan ops.pi --pid 4711
      also the very instructions that would be probed there, and what each hit costs
  profinfer plan -v -e 'on ggml_op < count() >'
      also the programs, instruction by instruction
Nothing is loaded into the kernel, and the process is not touched.";

const BUILD_EXAMPLES: &str = "\
Examples:
  profinfer build ops.pi -o ops.bpf.o
      the programs that a run would load; llvm-objdump -d ops.bpf.o shows their code
  profinfer build ops.pi --pid 4711 -o ops.bpf.o
      for the engine of that process: its operator numbers and struct layouts
  bpftool gen skeleton ops.bpf.o
      its maps and programs for a loader of one's own
Where the programs are attached is not in the file: `profinfer plan ops.pi --pid 4711` shows it. They do nothing until the
first word of pi_counters is 1. Nothing is loaded into the kernel.";

const LIST_EXAMPLES: &str = "\
Examples:
  profinfer list
      all points (what can stand behind `on`) and enums
  profinfer list ggml_op
      a point: how its events come about, its fields and their types
  profinfer list 'llama_*' --pid 4711
      of all that match, what that process has
  profinfer list -v ggml_op
      also of each field when it is known and what is probed for it; with --pid at what cost
The fields are those for filters (where), keys (by) and columns (sum(…)) of a script.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  profinfer doctor
      rights and kernel: what is there, what uses it, what to do about what is missing
  profinfer doctor --pid 4711
      also the process: its engine, its layout, each point with its sites
  profinfer doctor --json
      for a program
Exit codes: 0 all is well, 3 the process cannot be measured, 4 the machine cannot.";

const RECORD_EXAMPLES: &str = "\
Examples:
  profinfer record ops.pi -o run.pirec --pid 4711 -d 10s
      the events that ops.pi counts, with all that it reads of them
  profinfer record -e 'on ggml_op < print(\"{op} {name} {layer} {phase}\") >' -o run.pirec -- python3 generate.py
      whatever a script names is recorded, so that other scripts can use it
  profinfer record --show ops.pi -o run.pirec --pid 4711
      its tables as well
profinfer replay run.pirec makes tables of it. docs/recording.md describes the file.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  profinfer replay run.pirec
      the tables of the script that was recorded
  profinfer replay run.pirec -e 'on ggml_op where (dur > 1ms) < count(), max(dur) by name >'
      another script over the same events: it can use what was recorded of them
  profinfer replay --info run.pirec
      points, fields, how many events, which process, what was lost
No process, no rights and no kernel are needed.";

const EXPLAIN_EXAMPLES: &str = "\
Example:
  profinfer explain PI0102
      what the error means, a script that has it, and the script put right";

/// Shows where every token's time goes in a running, unmodified llama.cpp (or any ggml engine).
#[derive(Debug, Parser)]
#[command(
    name = "profinfer",
    version,
    about = "Shows where every token's time goes in a running, unmodified llama.cpp (or any ggml engine)",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Args {
    /// What to do other than run a script.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The script to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What there is beside running a script.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Checks a script and prints what is wrong with it; measures nothing.
    Check(CheckArgs),
    /// Shows what a script makes the kernel keep, and with --pid where it would be probed.
    Plan(PlanArgs),
    /// Writes a script's maps and programs as an ELF object file, for llvm-objdump and bpftool.
    Build(BuildArgs),
    /// Lists points and their fields, or the words of an enum; with --pid what a process has of them.
    List(ListArgs),
    /// Says whether this machine, and with --pid a process, can be measured, and what is missing.
    Doctor(DoctorArgs),
    /// Explains a diagnostic: profinfer explain PI0102
    Explain(ExplainArgs),
    /// Writes the events that a script reads to a file, to make tables of them later.
    Record(Box<RecordArgs>),
    /// Makes the tables of a recording: those of its own script, or of another one.
    Replay(ReplayArgs),
}

/// Where a script comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct ScriptArgs {
    /// Script file, or the name of a stock script.
    #[arg(value_name = "SCRIPT")]
    pub script: Option<PathBuf>,
    /// The script itself: -e 'on ggml_op < count() by op >'
    #[arg(short = 'e', long = "execute", value_name = "TEXT", conflicts_with = "script")]
    pub execute: Option<String>,
    /// Sets a parameter of the script; can be given again.
    #[arg(short = 'P', long = "param", value_name = "NAME=VALUE", value_parser = setting)]
    pub params: Vec<(String, String)>,
    /// Engine description to use instead of those that are built in (docs/engines.md).
    #[arg(long, value_name = "FILE")]
    pub engine: Option<PathBuf>,
    /// Lets the script say how memory of the process is laid out, and follow pointers there: `struct`, `ptr(…)`. Such a
    /// script can read all of its memory; nothing checks its numbers.
    #[arg(long = "unsafe")]
    pub allow_reads: bool,
    /// Colours: by default where the output is a terminal.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Running a script.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The script.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// Process to observe; several with commas or by repeating it.
    #[arg(short = 'p', long = "pid", value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Processes to observe by name, as in `ps -e`, or that of the program's file; may contain `*`. Those that begin later
    /// are joined while it runs.
    #[arg(short = 'n', long = "name", value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<String>,
    /// Observes the processes too that the observed ones begin.
    #[arg(long)]
    pub follow: bool,
    /// Format of the output; by default what the end of the name behind -o says, else a table.
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Writes the output to a file, or to stdout with `-`.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Folder for the files that a script writes: show t to "t.html".
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
    /// Ends after this time: 500ms, 10s, 2min.
    #[arg(short = 'd', long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Waits for an engine, or a function that the script names, to be loaded into the process, where there is none yet; with
    /// --name, for a process of that name.
    #[arg(long)]
    pub wait: bool,
    /// Where functions are probed: at the cheapest instruction, or at their first one, to compare (`plan` shows both).
    #[arg(long, value_name = "WHERE", default_value = "cheapest")]
    pub sites: Sites,
    /// Never costs the observed processes more than this share of their time on CPUs: 2%, 0.5%. Beyond it whole steps
    /// are left out, and the end says how many were seen.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_overhead: Option<f64>,
    /// Exits with 5 if anything was lost (full table, failed read …).
    #[arg(long)]
    pub strict: bool,
    /// Says nothing on stderr but errors.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Prints help; with a script, what it is for and its parameters.
    #[arg(short = 'h', long)]
    pub help: bool,
    /// Command to start and observe; held until everything is attached.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
#[command(after_help = RECORD_EXAMPLES)]
pub struct RecordArgs {
    /// The script.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// File to write, or `-` for stdout. Until it is whole it is called FILE.partial.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: PathBuf,
    /// Has the kernel fill the script's tables at the same time, and shows them.
    #[arg(long)]
    pub show: bool,
    /// Format of what --show shows.
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Folder for the files that a script writes, with --show.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
    /// Process to observe; several with commas or by repeating it.
    #[arg(short = 'p', long = "pid", value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Processes to observe by name; may contain `*`.
    #[arg(short = 'n', long = "name", value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<String>,
    /// Observes the processes too that the observed ones begin.
    #[arg(long)]
    pub follow: bool,
    /// Ends after this time: 500ms, 10s, 2min.
    #[arg(short = 'd', long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Waits for an engine to be loaded into the process, or for a process of the name.
    #[arg(long)]
    pub wait: bool,
    /// Where functions are probed: at the cheapest instruction, or at their first one.
    #[arg(long, value_name = "WHERE", default_value = "cheapest")]
    pub sites: Sites,
    /// Exits with 5 if anything was lost.
    #[arg(long)]
    pub strict: bool,
    /// Says nothing on stderr but errors.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
    /// Command to start and observe; held until everything is attached.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// The recording, or `-` for stdin.
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// Another script; by default the one that was recorded, with its parameters.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// Says what is in the recording, and makes no tables.
    #[arg(long)]
    pub info: bool,
    /// Format of the output; by default what the end of the name behind -o says, else a table.
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Writes the output to a file, or to stdout with `-`.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Folder for the files that a script writes: show t to "t.html".
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
    /// Exits with 5 if the recording is not whole, or anything was lost.
    #[arg(long)]
    pub strict: bool,
    /// Says nothing on stderr but errors.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// The script.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// Prints diagnostics as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub struct PlanArgs {
    /// The script.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// Process in which to look for the sites.
    #[arg(short = 'p', long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Which instructions to show: the cheapest, or the first of each function.
    #[arg(long, value_name = "WHERE", default_value = "cheapest")]
    pub sites: Sites,
    /// Prints the kernel programs too.
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = BUILD_EXAMPLES)]
pub struct BuildArgs {
    /// The script.
    #[command(flatten)]
    pub source: ScriptArgs,
    /// File to write, or `-` for stdout.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: PathBuf,
    /// Process whose engine it is for; else one that has all functions, with the numbers of the description.
    #[arg(short = 'p', long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    /// Engine description to use instead of those that are built in.
    #[arg(long, value_name = "FILE")]
    pub engine: Option<PathBuf>,
    /// Point or enum, may contain `*`.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Process to look at.
    #[arg(short = 'p', long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Prints of each field too when it is known and what is probed for it.
    #[arg(short = 'v', long, requires = "name")]
    pub verbose: bool,
    /// Prints the whole reference, as in docs/fields.md.
    #[arg(long, hide = true, conflicts_with_all = ["name", "pid"])]
    pub markdown: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct DoctorArgs {
    /// Engine description to use instead of those that are built in.
    #[arg(long, value_name = "FILE")]
    pub engine: Option<PathBuf>,
    /// Process to look at.
    #[arg(short = 'p', long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Measures how fast this machine's memory is read and how fast it computes, which takes some seconds, and keeps it:
    /// scripts such as roofline.pi hold operators against it. Best while nothing else runs.
    #[arg(long)]
    pub ceilings: bool,
    /// Prints what was found as JSON (docs/json.md).
    #[arg(long)]
    pub json: bool,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// The code, as printed in `error[PI0102]`.
    pub code: String,
    /// Prints this help.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Where functions are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sites {
    /// At the cheapest instruction that every call comes past.
    Cheapest,
    /// At the first instruction, whatever it costs.
    Entry,
}

impl Sites {
    /// The choice.
    pub(super) fn choice(self) -> SiteChoice {
        match self {
            Self::Cheapest => SiteChoice::Cheapest,
            Self::Entry => SiteChoice::Entry,
        }
    }
}

/// Formats of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object a line (docs/json.md).
    Json,
    /// Comma-separated values.
    Csv,
    /// A flame graph as a picture (SVG) of one table: the one that is shown `as flame`, or the only one.
    Flame,
    /// The same as collapsed stacks, a line `outer;inner 1234` each.
    Folded,
    /// The same as a profile for pprof.
    Pprof,
}

impl Format {
    /// The one that is asked for: by name, else by the end of the file's name.
    pub(super) fn wanted(named: Option<Self>, file: Option<&Path>) -> Self {
        named.or_else(|| Self::of_file(file?)).unwrap_or(Self::Table)
    }

    /// The format that a file's name tells; none if it ends in nothing known.
    fn of_file(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_string_lossy().to_lowercase();
        let ends = [
            (".json", Self::Json),
            (".jsonl", Self::Json),
            (".csv", Self::Csv),
            (".flame.svg", Self::Flame),
            (".folded", Self::Folded),
            (".pb.gz", Self::Pprof),
        ];
        ends.iter().find(|(end, _)| name.ends_with(end)).map(|(_, format)| *format)
    }

    /// What the command line calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Flame => "flame",
            Self::Folded => "folded",
            Self::Pprof => "pprof",
        }
    }

    /// Whether a terminal can show it.
    pub(super) fn is_for_reading(self) -> bool {
        match self {
            Self::Table | Self::Json | Self::Csv | Self::Folded => true,
            Self::Flame | Self::Pprof => false,
        }
    }

    /// Whether it is one table's flame graph, whatever it is written as.
    pub(super) fn is_flame(self) -> bool {
        match self {
            Self::Flame | Self::Folded | Self::Pprof => true,
            Self::Table | Self::Json | Self::Csv => false,
        }
    }

    /// Whether any beginning of it is of use, as of lines.
    pub(super) fn grows(self) -> bool {
        match self {
            Self::Table | Self::Json | Self::Csv => true,
            Self::Flame | Self::Folded | Self::Pprof => false,
        }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where the output is a terminal.
    Auto,
    /// Also into pipes and files.
    Always,
    /// Nowhere.
    Never,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example -P top=10".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let wrong = || "write a share of the engine's time above 0 % and below 100 %: 2%, 0.5%".to_owned();
    let number: f64 = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok()).ok_or_else(wrong)?;
    if number > 0.0 && number < 100.0 { Ok(number / 100.0) } else { Err(wrong()) }
}

fn duration(text: &str) -> Result<Duration, String> {
    use profinfer_lang::ast::{ExprKind, Number, Unit};
    let wrong = || "write a time with its unit: 500ms, 10s, 2min".to_owned();
    match profinfer_lang::parse_value(text).map_err(|_| wrong())?.kind {
        ExprKind::Number(Number::Int(ns, Unit::Duration)) if ns > 0 => Ok(Duration::from_nanos(ns as u64)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_tells_the_format() {
        let of = |file: &str| Format::wanted(None, Some(Path::new(file)));
        let told = ["run.folded", "run.PB.gz", "a/run.flame.svg", "run.csv", "run.jsonl", "run.txt"].map(of);
        let wanted = [Format::Folded, Format::Pprof, Format::Flame, Format::Csv, Format::Json, Format::Table];
        assert_eq!(told, wanted);
        assert_eq!(
            Format::wanted(Some(Format::Json), Some(Path::new("run.folded"))),
            Format::Json,
            "one that is named counts"
        );
    }
}
