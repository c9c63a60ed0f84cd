//! Scripts beside the programs they lead to: `listings/x.pi` and `listings/x.txt`.
//!
//! They are compiled against `listings/engine.pi`, a small description with every template, so that they change only
//! when the language or the programs do. `UPDATE_GOLDEN=1 cargo test -p profinfer-ebpf --test listings` writes the
//! expected files anew; read their difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use profinfer_compiler::catalogue::Catalogue;
use profinfer_compiler::plan::Plan;
use profinfer_ebpf::asm::Code;
use profinfer_ebpf::insn::helper;
use profinfer_ebpf::{Arch, Object, listing, nominal};
use profinfer_lang::source::SourceMap;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listings")
}

fn scripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut scripts: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    scripts.retain(|p| p.extension().is_some_and(|e| e == "pi") && !p.ends_with("engine.pi"));
    scripts.sort();
    assert!(scripts.len() >= 8, "{scripts:?}");
    scripts
}

fn engine() -> Catalogue {
    let (mut sources, path) = (SourceMap::new(), folder().join("engine.pi"));
    let file = sources.add("engine.pi", std::fs::read_to_string(path).unwrap());
    let parsed = profinfer_lang::parse(&sources, file);
    let shown = |d: &[_]| profinfer_lang::render::human(d, &sources, false);
    assert!(parsed.is_ok(), "{}", shown(&parsed.diagnostics));
    Catalogue::read(&parsed.program).unwrap_or_else(|d| panic!("{}", shown(&d)))
}

fn plan(path: &Path, catalogue: &Catalogue) -> Plan {
    let mut sources = SourceMap::new();
    let file = sources.add("script.pi", std::fs::read_to_string(path).unwrap());
    let parsed = profinfer_lang::parse(&sources, file);
    let shown = |d: &[_]| format!("{}:\n{}", path.display(), profinfer_lang::render::human(d, &sources, false));
    assert!(parsed.is_ok(), "{}", shown(&parsed.diagnostics));
    profinfer_compiler::compile(&parsed.program, &sources, catalogue, &[])
        .unwrap_or_else(|d| panic!("{}", shown(&d)))
        .plan
}

/// The programs of a script that its line `//! shows: FUNCTION, return of FUNCTION, check of FUNCTION` names, so that
/// no golden file is about more than one thing.
fn listings(path: &Path, plan: &Plan) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let shows = text.lines().find_map(|l| l.strip_prefix("//! shows: ")).expect("a line `//! shows: …`");
    let mut shows: Vec<&str> = shows.split(", ").collect();
    let object = Object::build(plan, &nominal::facts(plan, Arch::X86_64)).unwrap();
    let mut texts = Vec::new();
    for (programs, prefix) in [(&object.programs, ""), (&object.checks, "check of ")] {
        for p in programs {
            let ret = p.site.at.of();
            let name = format!("{prefix}{ret}{}", p.site.symbols[0]);
            if let Some(at) = shows.iter().position(|s| *s == name) {
                shows.remove(at);
                texts.push(listing::program(p, &object, plan));
            }
        }
    }
    assert_eq!(shows, Vec::<&str>::new(), "no such programs in {}", path.display());
    texts.join("\n")
}

#[test]
fn scripts_have_their_programs() {
    let catalogue = engine();
    let mut differing = String::new();
    for path in scripts() {
        let text = listings(&path, &plan(&path, &catalogue));
        let unknown = |line: &&str| !line.starts_with(';') && (line.contains('?') || line.contains("helper "));
        assert_eq!(text.lines().find(unknown), None, "an instruction without a text in {}", path.display());
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, text).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != text {
            differing.push_str(&format!("--- {} expected\n{expected}+++ found\n{text}\n", golden.display()));
        }
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn the_same_script_always_has_the_same_listing() {
    let catalogue = engine();
    for path in scripts() {
        let plan = plan(&path, &catalogue);
        let first = listings(&path, &plan);
        assert!((0..5).all(|_| listings(&path, &plan) == first), "{}", path.display());
    }
}

fn calls(code: &Code, number: i32) -> bool {
    code.insns.iter().any(|i| i.code == 0x85 && i.src() == 0 && i.imm == number)
}

/// What nobody asks for costs nothing.
#[test]
fn a_program_reads_no_text_that_no_table_wants() {
    let catalogue = engine();
    for (name, wanted) in [("span.pi", false), ("text_key.pi", true)] {
        let plan = plan(&folder().join(name), &catalogue);
        let object = Object::build(&plan, &nominal::facts(&plan, Arch::X86_64)).unwrap();
        let reads = object.programs.iter().any(|p| calls(&p.code, helper::PROBE_READ_USER_STR));
        assert_eq!(reads, wanted, "{name}");
    }
}
