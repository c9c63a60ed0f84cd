//! What is too large for the kernel is refused when it is built, by name, and what is just small enough is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use profinfer_compiler::catalogue::Catalogue;
use profinfer_ebpf::asm::BuildError;
use profinfer_ebpf::{Arch, Object, nominal};
use profinfer_lang::source::SourceMap;

const ENGINE: &str = include_str!("listings/engine.pi");

fn build(script: &str) -> Result<Object, BuildError> {
    let mut sources = SourceMap::new();
    let engine = sources.add("engine.pi", ENGINE.to_owned());
    let catalogue = Catalogue::read(&profinfer_lang::parse(&sources, engine).program).unwrap();
    let file = sources.add("script.pi", script.to_owned());
    let parsed = profinfer_lang::parse(&sources, file);
    let compiled = profinfer_compiler::compile(&parsed.program, &sources, &catalogue, &[])
        .unwrap_or_else(|d| panic!("{}", profinfer_lang::render::human(&d, &sources, false)));
    Object::build(&compiled.plan, &nominal::facts(&compiled.plan, Arch::X86_64))
}

/// So many tables on one point, each with these columns, and each with a map of its own: their limits are low.
fn tables(number: usize, columns: &str) -> String {
    (0..number).fold(String::new(), |mut all, i| {
        let _ = writeln!(all, "on work < {columns} into t{i} limit 100 >");
        all
    })
}

/// So many columns in one table.
fn columns(number: usize, column: &str) -> String {
    let all: Vec<String> =
        (0..number).map(|i| format!("c{i} = {}", column.replace('#', &(i + 2).to_string()))).collect();
    format!("on work < {} into t >", all.join(", "))
}

#[test]
fn a_program_names_at_most_64_maps() {
    let object = build(&tables(50, "count()")).unwrap();
    let most = object.programs.iter().map(|p| p.code.maps()).max().unwrap();
    assert!((51..=64).contains(&most), "50 tables take {most} maps of a program");
    let error = build(&tables(64, "count()")).unwrap_err();
    assert!(
        matches!(&error, BuildError::TooManyMaps { point, maps, limit: 64 } if point == "work" && *maps > 64),
        "{error}"
    );
    let error = build(&tables(40, "quantile(dur, 0.5)")).unwrap_err();
    assert!(matches!(error, BuildError::TooManyMaps { .. }), "a histogram of its own is a map more: {error}");
}

#[test]
fn a_row_is_within_reach_of_an_instruction() {
    build(&columns(60, "hist(dur / #)")).unwrap();
    let error = build(&columns(70, "hist(dur / #)")).unwrap_err();
    assert!(matches!(&error, BuildError::Row { table, bytes } if table == "t" && *bytes > 32_767), "{error}");
}

#[test]
fn more_tables_than_a_record_has_bits_for_are_refused() {
    let error = build(&tables(65, "count()")).unwrap_err();
    assert_eq!(error, BuildError::TooManyTables(65));
}
