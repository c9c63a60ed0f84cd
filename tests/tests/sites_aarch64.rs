//! Sites in real libraries for 64-bit Arm, held against a disassembler that shares nothing with profinfer (`capstone`).
//!
//! Nothing is traced here: no such machine is at hand. What is tested is that no probe would go where it does harm.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use profinfer::target::{Arch, CostClass, Function, Module, Site};
use profinfer_tests::OrFail;
use profinfer_tests::cache::Cache;
use serde_json::Value;

/// How the disassembler has an instruction.
struct Insn {
    at: u64,
    mnemonic: String,
    writes: Vec<u64>,
    target: Option<u64>,
}

impl Insn {
    fn is_cheap(&self) -> bool {
        let name = self.mnemonic.as_str();
        name.starts_with("b.")
            || ["b", "bl", "cbz", "cbnz", "tbz", "tbnz", "br", "blr", "ret", "adr", "adrp", "nop"].contains(&name)
    }

    fn goes_straight_on(&self) -> bool {
        let name = self.mnemonic.as_str();
        let leaves = ["b", "bl", "cbz", "cbnz", "tbz", "tbnz", "br", "blr", "ret", "udf", "brk"];
        !name.starts_with("b.") && !leaves.contains(&name) && !name.contains("aa") && name != ".byte"
    }
}

struct Disassembler {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Disassembler {
    fn new() -> Self {
        let cache = Cache::of_tests();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/disassemble.py");
        let mut python = Command::new(cache.python());
        python.arg(script).env("PYTHONPATH", cache.capstone()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = python.spawn().or_fail("python3 with capstone: cargo xtask fetch");
        let output = BufReader::new(process.stdout.take().or_fail("as capstone and the library have it"));
        Self { process, output }
    }

    fn insns(&mut self, module: &Module, function: &Function) -> Vec<Insn> {
        let hex: String = module.code(function).iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(
            self.process.stdin.as_mut().or_fail("as capstone and the library have it"),
            "{} {hex}",
            function.vaddr
        )
        .or_fail("as capstone and the library have it");
        let mut line = String::new();
        self.output.read_line(&mut line).or_fail("as capstone and the library have it");
        let all: Vec<Value> = serde_json::from_str(&line).or_fail("capstone answers: cargo xtask fetch");
        all.iter()
            .map(|i| Insn {
                at: i[0].as_u64().or_fail("as capstone and the library have it"),
                mnemonic: i[1].as_str().or_fail("as capstone and the library have it").to_owned(),
                writes: i[3]
                    .as_array()
                    .or_fail("as capstone and the library have it")
                    .iter()
                    .filter_map(Value::as_u64)
                    .collect(),
                target: i[4].as_u64(),
            })
            .collect()
    }
}

impl Drop for Disassembler {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}

/// All functions that the descriptions of engines name.
fn named_functions() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/engines");
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(folder).or_fail("as capstone and the library have it") {
        let text = std::fs::read_to_string(file.or_fail("as capstone and the library have it").path())
            .or_fail("as capstone and the library have it");
        let sites = text.lines().map(str::trim).filter(|line| {
            ["start ", "stop ", "mark ", "or "].iter().any(|word| line.starts_with(word)) && line.contains('"')
        });
        for line in sites {
            let quoted = line.split('"').skip(1).step_by(2);
            names.extend(quoted.filter(|name| !name.contains([' ', ':'])).map(str::to_owned));
        }
    }
    assert!(names.len() > 15, "{names:?}");
    names
}

fn libraries(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}: cargo xtask fetch", folder.display()));
    let mut files: Vec<PathBuf> = files
        .map(|file| file.or_fail("as capstone and the library have it").path())
        .filter(|path| path.is_file())
        .collect();
    files.retain(|path| [".so", ".node"].iter().any(|end| path.to_string_lossy().ends_with(end)));
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// The hard rules for a probe at the start of a function, and that no cheaper place before it was passed over.
fn check_entry(insns: &[Insn], function: &Function, site: &Site, used: u8) -> bool {
    let what = format!("{} with arguments {used:#b}: {site:?}", function.name);
    let number = insns.iter().position(|i| i.at == site.vaddr).unwrap_or_else(|| panic!("no instruction: {what}"));
    let before = &insns[..number];
    let is_used = |register: &u64| *register < 8 && used >> register & 1 == 1;
    for insn in before {
        assert!(!insn.writes.iter().any(is_used), "an argument is overwritten at {:#x}: {what}", insn.at);
        assert!(insn.goes_straight_on(), "not always run, from {:#x} on: {what}", insn.at);
    }
    for target in insns.iter().filter_map(|i| i.target) {
        assert!(!(function.vaddr < target && target <= site.vaddr), "{target:#x} is jumped to: {what}");
    }
    let moved = before.iter().any(|i| i.writes.contains(&31));
    assert_eq!(site.stack_intact, !moved, "{what}");
    let cheap = insns[number].is_cheap();
    let address = insns[number].mnemonic.starts_with("adr");
    let expected = match (cheap, address, insns[number].mnemonic == "nop") {
        (false, ..) => CostClass::Step,
        (_, true, _) => CostClass::Address,
        (.., true) => CostClass::Nop,
        _ => CostClass::Branch,
    };
    assert_eq!(site.cost, expected, "{what}");
    assert!(!before.iter().any(Insn::is_cheap) || !cheap, "a cheap one was passed over: {what}");
    cheap
}

/// Every return is a site, every jump out is one, and nothing else is.
fn check_returns(insns: &[Insn], module: &Module, function: &Function, sites: &[Site]) {
    let inside = |target: u64| (function.vaddr..function.vaddr + function.size).contains(&target);
    let cold = module.cold_part(function);
    let in_cold = |target: u64| cold.as_ref().is_some_and(|c| (c.vaddr..c.vaddr + c.size).contains(&target));
    let is_exit = |i: &&Insn| {
        i.mnemonic == "ret" || i.mnemonic == "b" && i.target.is_some_and(|target| !inside(target) && !in_cold(target))
    };
    let expected: BTreeSet<u64> = insns.iter().filter(is_exit).map(|i| i.at).collect();
    let found: BTreeSet<u64> = sites.iter().map(|site| site.vaddr).filter(|at| inside(*at)).collect();
    assert!(expected.is_subset(&found), "{}: {expected:x?} {found:x?}", function.name);
    for at in found.difference(&expected) {
        let insn = insns.iter().find(|i| i.at == *at).or_fail("as capstone and the library have it");
        assert_eq!(insn.mnemonic, "br", "{} at {at:#x}", function.name);
    }
}

/// Functions that were looked at, and sites at a cheap place.
fn check(folder: &Path, at_least: usize) {
    let mut disassembler = Disassembler::new();
    let (mut functions, mut sites, mut cheap, mut exits) = (0, 0, 0, 0);
    let names = named_functions();
    for path in libraries(folder) {
        let module = Module::open_file(&path).or_fail("as capstone and the library have it");
        assert_eq!(module.arch(), Arch::Aarch64);
        // Those that descriptions name, and others, so that all kinds of code are seen.
        let mut wanted: Vec<Function> = names.iter().filter_map(|name| module.function(name)).collect();
        functions += wanted.len();
        wanted.extend(module.functions_where(|_| true).into_iter().step_by(41).filter(|f| f.size < 20_000).take(300));
        for function in wanted {
            let insns = disassembler.insns(&module, &function);
            for used in [0, 0b1, 0b11, 0b111, 0b11_1111] {
                match module.entry_site(&function, used) {
                    Ok(site) => {
                        sites += 1;
                        cheap += usize::from(check_entry(&insns, &function, &site, used));
                    }
                    Err(why) => assert!(!names.contains(&function.name), "{}: {why}", function.name),
                }
            }
            match module.return_sites(&function) {
                Ok(found) => {
                    exits += found.len();
                    check_returns(&insns, &module, &function, &found);
                }
                Err(why) => assert!(!names.contains(&function.name), "{}: {why}", function.name),
            }
        }
    }
    println!("{functions} named functions; {cheap} of {sites} entries at a cheap place; {exits} exits");
    assert!(functions >= at_least, "{functions} functions of the descriptions are too few");
    assert!(cheap * 3 > sites, "{cheap} of {sites} are few");
}

mod engine_xllamacpp {
    #[test]
    fn sites_do_no_harm() {
        super::check(&super::Cache::of_tests().xllamacpp_arm64().join("xllamacpp"), 15);
    }
}

mod engine_node {
    #[test]
    fn sites_do_no_harm() {
        let folder = "node_modules/@node-llama-cpp/linux-arm64/bins/linux-arm64";
        super::check(&super::Cache::of_tests().node_llama_cpp_arm64().join(folder), 15);
    }
}
