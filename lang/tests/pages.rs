//! Every code has a page, every page's example triggers its code, and the cure does not.

use std::collections::BTreeSet;
use std::path::Path;

use profinfer_lang::codes::{ALL, Code, find};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;
use profinfer_lang::{parse, parse_value};

/// A fenced block: what stands behind the fence, and the text.
struct Block<'a> {
    info: &'a str,
    text: String,
}

/// The `pi` blocks of a page.
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

/// What is found in a block. ` value` blocks are values, ` times=N` blocks are meant N times over.
fn found(block: &Block<'_>) -> Vec<Diagnostic> {
    if block.info == "value" {
        return parse_value(block.text.trim()).err().into_iter().collect();
    }
    let times = block.info.strip_prefix("times=").map_or(1, |n| n.parse().expect("a number behind times="));
    let mut sources = SourceMap::new();
    let file = sources.add("example.pi", block.text.repeat(times));
    parse(&sources, file).diagnostics
}

/// The codes of this crate: text and syntax.
fn own() -> impl Iterator<Item = &'static Code> {
    ALL.iter().filter(|c| c.code.starts_with("PI00") || c.code.starts_with("PI01"))
}

#[test]
fn examples_trigger_their_code_and_cures_do_not() {
    for code in own() {
        let blocks = blocks(code.page);
        assert!(blocks.len() >= 2, "{}: a page has an example and a cure", code.code);
        let codes: BTreeSet<&str> = found(&blocks[0]).iter().map(|d| d.code).collect();
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), [code.code], "the example of {}", code.code);
        for cure in &blocks[1..] {
            assert_eq!(found(cure), [], "the cure of {}:\n{}", code.code, cure.text);
        }
    }
}

#[test]
fn pages_are_headed_by_code_and_title() {
    for code in ALL {
        let heading = format!("# {}: {}", code.code, code.title);
        assert_eq!(code.page.lines().next(), Some(heading.as_str()));
    }
}

#[test]
fn codes_are_in_order_and_found_by_name() {
    assert!(ALL.windows(2).all(|w| w[0].code < w[1].code), "sorted, none twice");
    assert_eq!(find("pi0102").map(|c| c.title), Some("a `where` condition must be in parentheses"));
    assert_eq!(find("PI9999"), None);
}

#[test]
fn codes_used_are_the_codes_listed() {
    let mut used = BTreeSet::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut used);
    let listed: BTreeSet<String> = own().map(|c| c.code.to_owned()).collect();
    assert_eq!(used, listed);
}

#[test]
fn no_page_is_unlisted() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/errors")).expect("lang/errors");
    for entry in folder {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        assert!(name.strip_suffix(".md").is_some_and(|c| find(c).is_some()), "{name} is not in codes.rs");
    }
}

/// The codes in string literals of the sources below `folder`.
fn collect(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, used);
        } else if path.file_name().is_none_or(|n| n != "codes.rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            for (at, _) in text.match_indices("\"PI0") {
                used.extend(
                    text.get(at + 1..at + 7)
                        .filter(|c| text[at + 7..].starts_with('"') && c.len() == 6)
                        .map(str::to_owned),
                );
            }
        }
    }
}
