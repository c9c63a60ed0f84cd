//! Every code of this crate has a page, every page's example triggers its code and no other, and the cure compiles.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::Files;
use profinfer_compiler::modules::{Distrust, LoadError};
use profinfer_lang::codes::{ALL, Code};

/// A fenced block: what stands behind the fence, and the text.
struct Block<'a> {
    info: &'a str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```pi") else { continue };
        let text = lines.by_ref().take_while(|l| *l != "```").map(|l| format!("{l}\n")).collect();
        blocks.push(Block { info: info.trim(), text });
    }
    blocks
}

/// Takes the files out of blocks: ` file=lib.pi` is one that the others import, which may be ` untrusted` or ` binary`.
fn files(blocks: &mut Vec<Block<'_>>) -> Files {
    let mut files = Files::default();
    blocks.retain(|block| {
        let Some(file) = block.info.strip_prefix("file=") else { return true };
        match file.split_once(' ') {
            None => files.add(file, &block.text),
            Some((name, "untrusted")) => {
                files.fails(name, LoadError::Untrusted { path: name.to_owned(), why: Distrust::WorldWritable });
            }
            Some((name, "binary")) => files.fails(name, LoadError::NotText { path: name.to_owned(), at: 0 }),
            Some(other) => panic!("a file that is {other:?}"),
        }
        false
    });
    files
}

/// The codes found in a block. An ` engine` block is a description, ` set=a=1` gives a parameter its value.
fn found(block: &Block<'_>, files: &Files) -> Vec<&'static str> {
    if block.info == "engine" {
        return common::describe("example.pi", &block.text)
            .map_or_else(|(d, _)| d.iter().map(|d| d.code).collect(), |_| Vec::new());
    }
    let settings: Vec<_> = block.info.strip_prefix("set=").and_then(|s| s.split_once('=')).into_iter().collect();
    let outcome = common::compile_files(&common::ggml(), files, &block.text, &settings);
    match &outcome.result {
        Ok(compiled) => compiled.warnings.iter().chain(&compiled.reads).map(|d| d.code).collect(),
        Err(_) => outcome.codes(),
    }
}

/// The codes of this crate: names, types, what is not compiled yet.
fn own() -> impl Iterator<Item = &'static Code> {
    ALL.iter().filter(|c| ["PI02", "PI03", "PI04"].iter().any(|p| c.code.starts_with(p)))
}

#[test]
fn examples_trigger_their_code_and_cures_do_not() {
    let mut wrong = String::new();
    for code in own() {
        let mut blocks = blocks(code.page);
        let files = files(&mut blocks);
        assert!(blocks.len() >= 2, "{}: a page has an example and a cure", code.code);
        let codes: BTreeSet<&str> = found(&blocks[0], &files).into_iter().collect();
        if codes.iter().ne([&code.code]) {
            wrong.push_str(&format!("the example of {} gives {codes:?}\n", code.code));
        }
        for cure in &blocks[1..] {
            let codes = found(cure, &files);
            if !codes.is_empty() {
                wrong.push_str(&format!("the cure of {} gives {codes:?}\n", code.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn codes_used_are_the_codes_listed() {
    let mut used = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
    let listed: BTreeSet<String> = own().map(|c| c.code.to_owned()).collect();
    assert_eq!(used, listed);
}

/// The codes in string literals of the sources below `folder`.
fn collect(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, used);
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source file");
        for (at, _) in text.match_indices("\"PI0") {
            used.extend(text.get(at + 1..at + 7).filter(|_| text[at + 7..].starts_with('"')).map(str::to_owned));
        }
    }
}
