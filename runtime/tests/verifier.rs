//! Every program that a script can lead to passes the kernel's verifier.
//!
//! Assorted scripts are compiled against the built-in engine descriptions and loaded into the real kernel, maps and all.
//! What they are built for is a real file, made by the compiler of this machine, that exports every function which the
//! description names, so that every point and every start is there; then the same without one of the points, and without
//! all that is optional. Nothing is attached.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use profinfer::engine::{Description, descriptions};
use profinfer::kernel::{KernelError, Linux, Rights};
use profinfer::script::Script;
use profinfer::session::SessionError;
use profinfer::session::counters::Counters;
use profinfer::session::files::Files;
use profinfer::session::instance::Instance;
use profinfer::session::sites::Target;
use profinfer::target::Module;
use profinfer_compiler::catalogue::Exports;
use profinfer_compiler::plan::Plan;
use profinfer_compiler::resolve::Resolver;

#[path = "verifier/generate.rs"]
mod generate;

/// Scripts, one a paragraph; lines that begin with `#` say what they are for.
const SCRIPTS: &str = include_str!("verifier.txt");

/// What an engine's file lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    Optional,
    Point(usize),
}

/// An engine's file with everything that a description names, but for what it lacks. What it is recognised by is always
/// there.
fn engine(description: &Description, lacks: Lacks, folder: &Path) -> Module {
    let catalogue = &description.catalogue;
    let mut symbols: Vec<String> = Vec::new();
    for p in &catalogue.points {
        let there = |optional: bool| !(optional && lacks == Lacks::Optional);
        symbols.extend(p.starts.iter().filter(|s| there(s.optional)).flat_map(|s| s.symbols.clone()));
        symbols.extend(p.stops.iter().filter(|s| there(s.optional)).flat_map(|s| s.symbols.clone()));
    }
    for layout in catalogue.structs.values().flat_map(|s| &s.layouts) {
        layout.condition.iter().for_each(|c| collect(c, &mut symbols));
    }
    if let Lacks::Point(id) = lacks {
        let starts = &catalogue.points[id].starts;
        symbols.retain(|symbol| !starts.iter().any(|start| start.symbols.contains(symbol)));
    }
    catalogue.condition.iter().for_each(|c| collect(c, &mut symbols));
    symbols.sort();
    symbols.dedup();
    let mut source = String::new();
    for symbol in symbols {
        writeln!(source, "void *{symbol}(void *a, void *b) {{ return a == b ? a : b; }}").unwrap();
    }
    for e in catalogue.enums.values() {
        if let Some(table) = &e.table {
            let words: Vec<String> = e.words.keys().map(|w| format!("{w:?}")).collect();
            writeln!(source, "const char *const {table}[] = {{ {} }};", words.join(", ")).unwrap();
        }
    }
    let (input, library) = (folder.join("engine.c"), folder.join("engine.so"));
    std::fs::write(&input, source).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&input);
    let output = gcc.output().expect("this test needs gcc (apt-get install gcc)");
    assert!(output.status.success(), "gcc: {}", String::from_utf8_lossy(&output.stderr));
    Module::open_file(&library).unwrap()
}

fn collect(condition: &Exports, symbols: &mut Vec<String>) {
    match condition {
        Exports::Symbol(s) => symbols.push(s.clone()),
        Exports::And(a, b) | Exports::Or(a, b) => {
            collect(a, symbols);
            collect(b, symbols);
        }
        Exports::Not(_) => {}
    }
}

/// Loads maps and programs of a script; how many programs there were.
fn load(
    name: &str,
    text: &str,
    description: &Description,
    engine: &Rc<Module>,
    kernel: &Linux,
) -> Result<usize, String> {
    let script = Script::parse(name, text);
    let (plan, _warnings) = script
        .compile(description, &[], true)
        .map_err(|errors| profinfer_lang::render::human(&errors, &script.sources, false))?;
    let files = Files::recognise(std::slice::from_ref(description), std::slice::from_ref(engine));
    let (_, files) = files.ok_or("the engine is not recognised")?;
    let target = Target::new(&plan, files);
    let programs = programs(&plan, &target)?;
    let identity = target.identity(&plan);
    let counters = Counters::open(&plan, kernel).map_err(|e| e.to_string())?;
    match Instance::new(&plan, &target, identity, &counters, kernel) {
        Ok(_) => Ok(programs),
        Err(SessionError::Kernel(KernelError::Verifier { name, log, .. })) => {
            let lines: Vec<&str> = log.lines().collect();
            Err(format!("program {name} is refused:\n{}", lines[lines.len().saturating_sub(30)..].join("\n")))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn programs(plan: &Plan, target: &Target) -> Result<usize, String> {
    let object = profinfer_ebpf::Object::build(plan, &target.facts).map_err(|e| e.to_string())?;
    Ok(object.programs.len() + object.checks.len())
}

/// An engine's file and the kernel to load into.
struct Bench {
    descriptions: Vec<Description>,
    engine: Rc<Module>,
    kernel: Linux,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(lacks: Lacks) -> Self {
        let rights = Rights::of_this_process();
        assert!(rights.can_bpf(), "this test loads programs into the kernel: {}", rights.advice());
        let descriptions = descriptions().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let engine = Rc::new(engine(&descriptions[0], lacks, folder.path()));
        Self { descriptions, engine, kernel: Linux::new(), _folder: folder }
    }

    fn load(&self, name: &str, text: &str) -> Result<usize, String> {
        load(name, text, &self.descriptions[0], &self.engine, &self.kernel)
    }
}

/// Loads all assorted scripts; programs loaded.
#[track_caller]
fn load_assorted(bench: &Bench) -> usize {
    let scripts: Vec<String> = SCRIPTS
        .split("\n\n")
        .map(|paragraph| paragraph.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n"))
        .filter(|text| !text.trim().is_empty())
        .collect();
    assert!(scripts.len() >= 60, "only {} scripts", scripts.len());
    let mut refused = String::new();
    let mut programs = 0;
    for text in &scripts {
        match bench.load("<verifier.txt>", text) {
            Ok(n) => programs += n,
            Err(why) => writeln!(refused, "== {text}\n{why}\n").unwrap(),
        }
    }
    assert!(refused.is_empty(), "\n{refused}");
    programs
}

#[test]
fn every_program_of_assorted_scripts_passes_the_verifier() {
    let all = load_assorted(&Bench::new(Lacks::Nothing));
    let without = load_assorted(&Bench::new(Lacks::Optional));
    assert!(0 < without && without < all, "{all} programs, {without} without what is optional");
}

/// What an enclosing record would give is absent then.
#[test]
fn every_program_passes_the_verifier_where_the_engine_lacks_a_point() {
    let points = descriptions().unwrap()[0].catalogue.points.len();
    for point in 0..points {
        assert!(load_assorted(&Bench::new(Lacks::Point(point))) > 0);
    }
}

#[test]
fn every_program_of_the_stock_scripts_passes_the_verifier() {
    let bench = Bench::new(Lacks::Nothing);
    for stock in profinfer_scripts::SCRIPTS {
        if let Err(why) = bench.load(stock.path, stock.text) {
            panic!("{}: {why}", stock.path);
        }
    }
}

/// Each field of each point, alone: as a key, as a number summed, in a filter.
#[test]
fn every_field_of_every_point_passes_the_verifier() {
    let bench = Bench::new(Lacks::Nothing);
    let catalogue = &bench.descriptions[0].catalogue;
    let resolver = Resolver::new(catalogue);
    let mut refused = String::new();
    let mut fields = 0;
    for (id, point) in catalogue.points.iter().enumerate() {
        for field in resolver.names_at(id) {
            let uses = [
                format!("on {} < count() by {field} >", point.name),
                format!("on {} < sum({field}), min({field}), max({field}), hist({field}) >", point.name),
                format!("on {} where (has({field})) < count() >", point.name),
            ];
            // Not every type can be a key or be summed up; that the compiler says so is tested elsewhere.
            let compiles = |text: &&String| Script::parse("x", text).compile(&bench.descriptions[0], &[], true).is_ok();
            let uses: Vec<&String> = uses.iter().filter(compiles).collect();
            fields += usize::from(!uses.is_empty());
            for text in uses {
                if let Err(why) = bench.load(&field, text) {
                    writeln!(refused, "== {text}\n{why}\n").unwrap();
                }
            }
        }
    }
    assert!(refused.is_empty(), "\n{refused}");
    assert!(fields > 40, "only {fields} fields can be used at all");
}

/// As many tables on one point and as long rows as the builder allows.
#[test]
fn the_largest_scripts_that_are_built_pass_the_verifier() {
    let bench = Bench::new(Lacks::Nothing);
    let tables =
        (0..56).fold(String::new(), |all, i| all + &format!("on ggml_op < count(), min(dur) by op into t{i} >\n"));
    let fine =
        (0..25).fold(String::new(), |all, i| all + &format!("on ggml_op < quantile(dur, 0.5) by op into t{i} >\n"));
    let columns: Vec<String> = (1..=60).map(|i| format!("h{i} = hist(dur / {i})")).collect();
    let row = format!("on ggml_op < {} by op >", columns.join(", "));
    for (name, text) in [("56 tables", tables), ("25 fine histograms", fine), ("60 histograms", row)] {
        if let Err(why) = bench.load(name, &text) {
            panic!("{name}: {why}");
        }
    }
}

/// What chance puts together of all points, calls, fields and functions: what the compiler takes, the kernel takes.
///
/// `PROFINFER_CHANCE=4000` tries that many scripts instead of 200, `PROFINFER_CHANCE_FROM` says from which seed.
#[test]
fn every_program_of_scripts_by_chance_passes_the_verifier() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let (wanted, from) = (number("PROFINFER_CHANCE").unwrap_or(200), number("PROFINFER_CHANCE_FROM").unwrap_or(0));
    let bench = Bench::new(Lacks::Nothing);
    let description = &bench.descriptions[0];
    let generator = generate::Generator::new(description);
    assert_eq!(generator.points(), description.catalogue.points.len(), "each point has something to count");
    let mut refused = String::new();
    let mut why_not: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut seen = vec![0; generate::KINDS.len()];
    let (mut taken, mut programs, mut seed) = (0, 0, from);
    while taken < wanted {
        seed += 1;
        assert!(seed - from < 5 * wanted, "only {taken} of {} scripts make sense: {why_not:?}", seed - from);
        let text = generator.script(seed);
        let script = Script::parse("<chance>", &text);
        if let Err(errors) = script.compile(description, &[], true) {
            // It may ask for what cannot be had, but it is a script.
            assert!(errors.iter().all(|e| !e.code.starts_with("PI01")), "seed {seed}: {text}\n{errors:?}");
            errors.iter().take(1).for_each(|e| *why_not.entry(format!("{} {}", e.code, e.message)).or_default() += 1);
            continue;
        }
        taken += 1;
        let own = text.strip_prefix(generate::DEFINITIONS).unwrap();
        seen.iter_mut().zip(generate::KINDS).for_each(|(n, kind)| *n += usize::from(own.contains(kind)));
        match bench.load("<chance>", &text) {
            Ok(n) => programs += n,
            Err(why) => writeln!(refused, "== seed {seed}\n{own}\n{why}\n").unwrap(),
        }
    }
    println!("{taken} of {} scripts make sense, {programs} programs", seed - from);
    generate::KINDS.iter().zip(&seen).for_each(|(kind, n)| println!("{kind} in {n}"));
    let mut why_not: Vec<_> = why_not.into_iter().collect();
    why_not.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    why_not.iter().take(40).for_each(|(why, n)| println!("{n} times {why}"));
    assert!(refused.is_empty(), "\n{refused}");
    assert!(programs as u64 > wanted, "{programs} programs");
    assert!(!seen.contains(&0), "what never came up: {:?}", generate::KINDS.iter().zip(&seen).collect::<Vec<_>>());
}
