//! Scripts beside what they must come to: `ok/x.pi` and its tree, `err/x.pi` and its diagnostics.
//!
//! `UPDATE_GOLDEN=1 cargo test -p profinfer-lang --test golden` writes the expected files anew; read their difference.

use std::path::{Path, PathBuf};

use profinfer_lang::source::SourceMap;
use profinfer_lang::{Parsed, parse, print, render};

/// The scripts of `tests/<folder>`, sorted.
fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder of scripts");
    let mut scripts: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == "pi")).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

fn read(path: &Path) -> (SourceMap, Parsed) {
    let name = path.file_name().expect("a file").to_str().expect("a plain name").to_owned();
    let mut sources = SourceMap::new();
    let file = sources.add(name, std::fs::read_to_string(path).expect("a script"));
    let parsed = parse(&sources, file);
    (sources, parsed)
}

/// Compares with, or writes, the file beside `script`; a difference is added to `differing`.
fn compare(script: &Path, extension: &str, text: &str, differing: &mut String) {
    let golden = script.with_extension(extension);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, text).expect("a golden file that can be written");
        return;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if expected != text {
        differing.push_str(&format!("--- {} expected\n{expected}+++ found\n{text}\n", golden.display()));
    }
}

#[test]
fn good_scripts_have_their_trees() {
    let mut differing = String::new();
    for script in scripts("ok") {
        let (sources, parsed) = read(&script);
        assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
        compare(&script, "tree", &print::tree(&parsed.program), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn bad_scripts_are_explained() {
    let mut differing = String::new();
    for script in scripts("err") {
        let (sources, parsed) = read(&script);
        assert!(!parsed.is_ok(), "{} is wrong and passes", script.display());
        compare(&script, "txt", &render::human(&parsed.diagnostics, &sources, false), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn each_broken_line_of_a_list_has_its_own_diagnostic() {
    for name in ["clauses", "comparisons"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/err/{name}.pi"));
        let (sources, parsed) = read(&script);
        let text = &sources.files()[0].text;
        let mut lines: Vec<usize> =
            parsed.diagnostics.iter().map(|d| render::line_column(text, d.labels[0].span.start as usize).0).collect();
        lines.dedup();
        assert_eq!(lines, (1..=text.lines().count()).collect::<Vec<_>>(), "{name}.pi");
    }
}

#[test]
fn shipped_scripts_parse() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")];
    let mut read_scripts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of scripts") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pi") {
                let (sources, parsed) = read(&path);
                assert!(parsed.diagnostics.is_empty(), "{}", render::human(&parsed.diagnostics, &sources, false));
                read_scripts.push(path);
            }
        }
    }
    assert!(read_scripts.iter().any(|p| p.ends_with("engines/ggml.pi")), "{read_scripts:?}");
}
