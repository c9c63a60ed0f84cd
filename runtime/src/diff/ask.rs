//! What is asked of a recording: a script is put together of what was recorded, and replayed. All that a difference is made of
//! comes out of the tables of that script, so there is no second reader of events.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use profinfer_compiler::Leaves;
use profinfer_lang::diagnostic::Severity;

use super::DiffError;
use crate::engine::{self, Description};
use crate::record::{Column, Record, Table, Value};
use crate::recording::about::Process;
use crate::recording::head::Head;
use crate::recording::reader::{Recording, Told};
use crate::replay::Replay;
use crate::replay::bind::{Lacking, bind};
use crate::script::Script;
use crate::session::run::Sink;

/// Keys that operators are compared by where none are named; each is taken if it was recorded.
const USUAL: [&[&str]; 3] = [&["op = first(fused, concat(op))", "op"], &["part"], &["layer"]];
/// What tells whether two engines do the same: each is taken if it was recorded.
const SHAPE: [&[&str]; 3] = [&["op = first(fused, concat(op))", "op"], &["part"], &["type = src0.type", "type"]];
/// How many threads share an operator.
const NTH: &[&str] = &["threads = nth"];
/// Rows that a table may have: a step and a key make one.
const LIMIT: u32 = 10_000_000;
/// The table of steps, that of shapes, that of threads.
const STEPS: &str = "steps_of_diff";
const SHAPES: &str = "shapes_of_diff";
const THREADS: &str = "threads_of_diff";

/// A recording, as far as it matters for a difference.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// The file's name.
    pub(super) name: String,
    /// The profinfer that made it.
    pub(super) version: String,
    /// The kernel's release.
    pub(super) kernel: String,
    /// Processes with the files that were probed.
    pub(super) processes: Vec<Process>,
    /// Why it is read no further than it was.
    pub(super) damage: Option<String>,
    /// What was lost, by cause.
    pub(super) lost: BTreeMap<String, u64>,
    /// Steps that were left out, since they may lack what was lost.
    pub(super) left_out: usize,
    /// Steps in the order of their beginning.
    pub(super) steps: Vec<Step>,
    /// What operators are compared by.
    pub(super) groups: Vec<Group>,
    /// What tells whether two engines do the same.
    pub(super) shapes: Option<Group>,
    /// How many threads share operators.
    pub(super) threads: Option<Group>,
}

/// A micro-batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Step {
    /// What kind it is.
    pub(super) phase: String,
    /// How long it took, in ns.
    pub(super) dur: f64,
    /// Its tokens; none if that was not recorded.
    pub(super) tokens: Option<i64>,
    /// The position of its first token; none if that was not recorded.
    pub(super) pos: Option<i64>,
    /// As far as is known, nothing of it was lost.
    pub(super) is_whole: bool,
}

/// Operators of steps, put together by keys.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The keys.
    pub(super) keys: Vec<Column>,
    /// Rows by the text of their keys.
    pub(super) rows: BTreeMap<String, Cells>,
}

/// A row of a group.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Its keys.
    pub(super) keys: Vec<Value>,
    /// Time in ns, and how many operators, by step.
    pub(super) of: HashMap<usize, (f64, f64)>,
}

/// Reads recordings. `by` are keys of the language, each a table; none for the usual ones. Also what of the usual was not asked, since
/// one of them lacks it.
pub(super) fn read(paths: &[&Path], by: &[String]) -> Result<(Vec<Recorded>, Vec<String>), DiffError> {
    let mut all = Vec::new();
    for path in paths {
        if *path == Path::new("-") {
            return Err(DiffError::Pipe);
        }
        let recording = Recording::open(path)?;
        let engine = description(&recording.head)?;
        all.push(Opened { name: path.display().to_string(), head: recording.head.clone(), engine, recording });
    }
    let asked = Asked::of(&all, by)?;
    let script = Script::parse("<diff>", &asked.text);
    let mut read = Vec::new();
    for (opened, path) in all.into_iter().zip(paths) {
        read.push(opened.read(path, &script, &asked)?);
    }
    Ok((read, asked.lacks))
}

/// A recording that was opened.
struct Opened {
    name: String,
    head: Head,
    engine: Description,
    recording: Recording,
}

impl Opened {
    /// What it answers: its end and its processes by themselves, all else by a replay.
    fn read(mut self, path: &Path, script: &Script, asked: &Asked) -> Result<Recorded, DiffError> {
        let failed = |source| DiffError::Replay { name: path.display().to_string(), source: Box::new(source) };
        let (mut processes, mut lost) = (Vec::new(), BTreeMap::new());
        let told = &mut |told| -> io::Result<()> {
            match told {
                Told::Process(process) => processes.push(process),
                Told::End(end) => lost = end.end.dropped,
                _ => {}
            }
            Ok(())
        };
        self.recording.read(told).map_err(|e| failed(e.into()))?;
        let damage = self.recording.damage.as_ref().map(ToString::to_string);
        let compiled = compiled(script, &self.engine).map_err(|said| DiffError::Script { said })?;
        let replay = Replay::new(&compiled.plan, &self.head, false).map_err(failed)?;
        let mut tables = Tables::default();
        replay.go(&mut Recording::open(path)?, &mut tables).map_err(failed)?;
        let (version, kernel) = (self.head.version, self.head.kernel);
        let mut read = Recorded { name: self.name, version, kernel, processes, damage, lost, ..Recorded::default() };
        read.fill(&tables, asked);
        Ok(read)
    }
}

/// The engine description that it was recorded with.
fn description(head: &Head) -> Result<Description, DiffError> {
    match &head.engine {
        Some(text) => Ok(engine::from_text(&text.name, &text.text)?),
        None => engine::descriptions()?.into_iter().next().ok_or(DiffError::NoEngine),
    }
}

fn compiled(script: &Script, engine: &Description) -> Result<profinfer_compiler::Compiled, String> {
    script.compile_leaves(engine, (&[], true), Leaves::Fields).map_err(|errors| {
        let errors: Vec<_> = errors.into_iter().filter(|d| d.severity == Severity::Error).collect();
        profinfer_lang::render::human(&errors, &script.sources, false)
    })
}

/// A script that is put together for recordings.
struct Asked {
    text: String,
    /// The tables that operators are compared by.
    groups: Vec<String>,
    /// Whether there is a table of shapes.
    has_shapes: bool,
    lacks: Vec<String>,
}

impl Asked {
    fn of(all: &[Opened], by: &[String]) -> Result<Self, DiffError> {
        let ask = Ask { all };
        let mut asked = Self { text: String::new(), groups: Vec::new(), has_shapes: false, lacks: Vec::new() };
        // Steps by themselves, else by what operators know of them.
        let operators = ask.lacking("ggml_op", "llama_ubatch.time")?;
        let point = match ask.lacking("llama_ubatch", "time")? {
            None => "llama_ubatch",
            Some(_) if operators.is_none() => "ggml_op",
            Some((name, lacking)) => return Err(DiffError::NoSteps { name, lacking }),
        };
        asked.ask_steps(&ask, point)?;
        if let Some((name, lacking)) = operators {
            return match by.first() {
                Some(by) => Err(DiffError::Lacking { name, by: by.clone(), lacking }),
                None => {
                    asked.lacks.push("ggml_op".to_owned());
                    Ok(asked)
                }
            };
        }
        for keys in by {
            ask.compiles(keys)?;
            if let Some((name, lacking)) = ask.lacking("ggml_op", keys)? {
                return Err(DiffError::Lacking { name, by: keys.clone(), lacking });
            }
            asked.ask_operators(keys);
        }
        if by.is_empty() {
            for all in USUAL {
                if let Some(keys) = asked.first_of(&ask, all)? {
                    asked.ask_operators(&keys);
                }
            }
        }
        let mut shape = Vec::new();
        for all in SHAPE {
            shape.extend(asked.first_of(&ask, all)?);
        }
        if !shape.is_empty() {
            asked.has_shapes = true;
            asked.put_operators(&shape.join(", "), SHAPES);
        }
        if let Some(threads) = asked.first_of(&ask, NTH)? {
            asked.put_operators(&threads, THREADS);
        }
        asked.lacks.sort();
        asked.lacks.dedup();
        Ok(asked)
    }

    /// Asks for steps, out of the events of a point.
    fn ask_steps(&mut self, ask: &Ask<'_>, point: &str) -> Result<(), DiffError> {
        let of = if point == "llama_ubatch" { "" } else { "llama_ubatch." };
        let mut keys = format!("process = pid, at = {of}time");
        let mut has = |field: &str| -> Result<bool, DiffError> {
            let has = ask.lacking(point, &format!("{of}{field}"))?.is_none();
            if !has {
                self.lacks.push(format!("llama_ubatch.{field}"));
            }
            Ok(has)
        };
        keys += &if has("phase")? { format!(", phase = {of}phase") } else { ", phase = \"all steps\"".to_owned() };
        for field in ["pos", "n_tokens"] {
            if has(field)? {
                keys += &format!(", {field} = {of}{field}");
            }
        }
        self.text += &format!(
            "on {point} where (has({of}time)) < t = sum(dur), n = count() by {keys} into {STEPS} limit {LIMIT} >\n"
        );
        Ok(())
    }

    /// Asks for operators by these keys.
    fn ask_operators(&mut self, keys: &str) {
        let table = format!("operators_of_diff_{}", self.groups.len());
        self.put_operators(keys, &table);
        self.groups.push(table);
    }

    fn put_operators(&mut self, keys: &str, table: &str) {
        self.text += &format!(
            "on ggml_op where (has(llama_ubatch.time)) < t = sum(dur), n = count()
               by process = pid, at = llama_ubatch.time, {keys} into {table} limit {LIMIT} >\n"
        );
    }

    /// The first of these keys that all recordings have.
    fn first_of(&mut self, ask: &Ask<'_>, all: &[&str]) -> Result<Option<String>, DiffError> {
        for keys in all {
            if ask.lacking("ggml_op", keys)?.is_none() {
                return Ok(Some((*keys).to_owned()));
            }
        }
        self.lacks.extend(all.last().map(|keys| format!("ggml_op.{}", keys.rsplit("= ").next().unwrap_or(keys))));
        Ok(None)
    }
}

struct Ask<'r> {
    all: &'r [Opened],
}

impl Ask<'_> {
    /// The first recording that lacks something of such a key of a point, and what it lacks.
    fn lacking(&self, point: &str, key: &str) -> Result<Option<(String, Box<Lacking>)>, DiffError> {
        let script = Script::parse("<diff>", &format!("on {point} < n = count() by {key} >"));
        let compile = |engine| compiled(&script, engine).map_err(|said| DiffError::Script { said });
        let Some(first) = self.all.first() else { return Ok(None) };
        let mut plan = compile(&first.engine)?;
        for opened in self.all {
            if opened.head.engine != first.head.engine {
                plan = compile(&opened.engine)?;
            }
            if let Err(lacking) = bind(&plan.plan, &opened.head) {
                return Ok(Some((opened.name.clone(), Box::new(lacking))));
            }
        }
        Ok(None)
    }

    /// Whether keys that somebody wrote are keys of operators.
    fn compiles(&self, keys: &str) -> Result<(), DiffError> {
        let script = Script::parse("<--by>", &format!("on ggml_op < n = count() by {keys} >"));
        for opened in self.all {
            compiled(&script, &opened.engine)
                .map_err(|said| DiffError::Keys { keys: keys.to_owned(), said: said.trim_end().to_owned() })?;
        }
        Ok(())
    }
}

/// Keeps tables.
#[derive(Default)]
struct Tables(Vec<Table>);

impl Sink for Tables {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        if let Record::Table(table) = record {
            self.0.push(table.clone());
        }
        Ok(())
    }
}

impl Tables {
    fn named(&self, name: &str) -> Option<&Table> {
        self.0.iter().find(|t| t.name == name)
    }
}

impl Recorded {
    fn fill(&mut self, tables: &Tables, asked: &Asked) {
        let Some(table) = tables.named(STEPS) else { return };
        let at = |name: &str| table.keys.iter().position(|k| k.name == name);
        let (pos, tokens) = (at("pos"), at("n_tokens"));
        let mut places = HashMap::new();
        let mut rows: Vec<_> = table.rows.iter().filter_map(|row| Some((instant(&row.keys)?, row))).collect();
        rows.sort_by_key(|((process, at), _)| (*at, *process));
        for (i, (instant, row)) in rows.into_iter().enumerate() {
            let number = |at: Option<usize>| at.and_then(|i| whole(row.keys.get(i)?));
            let phase = match row.keys.get(2) {
                Some(Value::Text(word)) => word.clone(),
                _ => "no phase".to_owned(),
            };
            places.insert(instant, i);
            let dur = row.cells.first().and_then(real).unwrap_or(0.0);
            self.steps.push(Step { phase, dur, pos: number(pos), tokens: number(tokens), is_whole: true });
        }
        let group = |name: &str| tables.named(name).map(|table| Group::of(table, &places));
        self.groups = asked.groups.iter().filter_map(|name| group(name)).collect();
        self.shapes = asked.has_shapes.then(|| group(SHAPES)).flatten();
        self.threads = group(THREADS);
        if !self.lost.is_empty() {
            self.leave_out();
        }
    }

    /// Where something was lost, steps with fewer operators than others of their phase may lack some.
    fn leave_out(&mut self) {
        let Some(shapes) = &self.shapes else { return };
        let count = |i: usize| shapes.rows.values().filter_map(|row| row.of.get(&i)).map(|(_, n)| *n).sum::<f64>();
        let counts: Vec<f64> = (0..self.steps.len()).map(count).collect();
        let mut most: HashMap<String, f64> = HashMap::new();
        for (step, n) in self.steps.iter().zip(&counts) {
            let most = most.entry(step.phase.clone()).or_default();
            *most = most.max(*n);
        }
        for (step, n) in self.steps.iter_mut().zip(&counts) {
            step.is_whole = most.get(&step.phase).is_none_or(|most| n >= most);
        }
        self.left_out = self.steps.iter().filter(|s| !s.is_whole).count();
    }
}

/// Keys that say which step a row is of.
const OF_STEP: usize = 2;

impl Group {
    fn of(table: &Table, places: &HashMap<(i64, i64), usize>) -> Self {
        let keys = table.keys.get(OF_STEP..).unwrap_or_default().to_vec();
        let mut rows: BTreeMap<String, Cells> = BTreeMap::new();
        for row in &table.rows {
            let Some(step) = instant(&row.keys).and_then(|i| places.get(&i)) else { continue };
            let keys = row.keys.get(OF_STEP..).unwrap_or_default();
            let cells = rows.entry(text_of(keys)).or_default();
            if cells.keys.is_empty() {
                cells.keys = keys.to_vec();
            }
            let cell = |i: usize| row.cells.get(i).and_then(real).unwrap_or(0.0);
            cells.of.insert(*step, (cell(0), cell(1)));
        }
        Self { keys, rows }
    }
}

/// Keys as a text that tells them from others.
pub(super) fn text_of(keys: &[Value]) -> String {
    format!("{keys:?}")
}

/// The process and the beginning of a step.
fn instant(keys: &[Value]) -> Option<(i64, i64)> {
    Some((whole(keys.first()?)?, whole(keys.get(1)?)?))
}

fn whole(value: &Value) -> Option<i64> {
    if let Value::Int(n) = value { Some(*n) } else { None }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}
