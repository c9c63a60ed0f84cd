//! Scripts beside their plans: `plan/x.pi` and `plan/x.plan`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p profinfer-compiler --test plan` writes the expected files anew; read their difference.

mod common;

use std::path::{Path, PathBuf};

use profinfer_compiler::print;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan")
}

fn scripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scripts");
    let mut scripts: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == "pi")).collect();
    scripts.sort();
    scripts
}

/// Compares with, or writes, `golden`; a difference is added to `differing`.
fn compare(golden: &Path, text: &str, differing: &mut String) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, text).expect("a golden file that can be written");
        return;
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    if expected != text {
        differing.push_str(&format!("--- {} expected\n{expected}+++ found\n{text}\n", golden.display()));
    }
}

#[test]
fn scripts_have_their_plans() {
    let mut differing = String::new();
    assert!(scripts().len() >= 12);
    for script in scripts() {
        let text = std::fs::read_to_string(&script).expect("a script");
        let plan = common::compile(&text).compiled().plan;
        compare(&script.with_extension("plan"), &print::plan(&plan), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn stock_scripts_have_their_plans() {
    let mut differing = String::new();
    for script in profinfer_scripts::SCRIPTS.iter().filter(|s| s.text.contains('<')) {
        let plan = common::compile(script.text).compiled().plan;
        let name = format!("stock_{}", script.path.replace('/', "_").replace(".pi", ".plan"));
        compare(&folder().join(name), &print::plan(&plan), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn plans_fit_a_terminal_and_do_not_change_from_run_to_run() {
    for script in scripts() {
        let text = std::fs::read_to_string(&script).expect("a script");
        let print = || print::plan(&common::compile(&text).compiled().plan);
        let first = print();
        assert_eq!(first, print(), "{}", script.display());
        let longest_symbol = 120;
        for line in first.lines() {
            let is_symbol = line.split(' ').any(|w| w.len() > 60);
            assert!(is_symbol || line.chars().count() <= longest_symbol, "{}: {line}", script.display());
        }
    }
}
