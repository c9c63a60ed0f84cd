//! Which tables' rows are kept together, and which are not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use profinfer_compiler::catalogue::Catalogue;
use profinfer_ebpf::layout::MapId;
use profinfer_ebpf::{Arch, Object, nominal};
use profinfer_lang::source::SourceMap;

const ENGINE: &str = include_str!("listings/engine.pi");

fn build(script: &str) -> Object {
    let mut sources = SourceMap::new();
    let engine = sources.add("engine.pi", ENGINE.to_owned());
    let catalogue = Catalogue::read(&profinfer_lang::parse(&sources, engine).program).unwrap();
    let file = sources.add("script.pi", script.to_owned());
    let parsed = profinfer_lang::parse(&sources, file);
    let compiled = profinfer_compiler::compile(&parsed.program, &sources, &catalogue, &[])
        .unwrap_or_else(|d| panic!("{}", profinfer_lang::render::human(&d, &sources, false)));
    Object::build(&compiled.plan, &nominal::facts(&compiled.plan, Arch::X86_64)).unwrap()
}

/// The table in whose map each table's rows lie.
fn kept_in(script: &str) -> Vec<usize> {
    build(script).layout.tables.iter().map(|t| t.kept_in).collect()
}

#[test]
fn texts_and_words_of_one_thing_are_kept_together() {
    let script =
        "on work < count() by label into a >  on work < sum(dur) by kind into b >  on work < max(dur) into c >";
    assert_eq!(kept_in(script), [0, 0, 0]);
    let object = build(script);
    let rows: Vec<_> = object.maps.iter().filter(|m| matches!(m.id, MapId::Table(_))).collect();
    // A label of 16 bytes and a word; a count, a sum and a maximum, each once, since `dur` is there in every event.
    assert_eq!(rows.iter().map(|m| (m.key_size, m.value_size)).collect::<Vec<_>>(), [(24, 24)]);
    assert_eq!(rows[0].max_entries, 10_000 + 10_000 + 1, "as many rows as they may have each");
}

#[test]
fn what_could_make_many_rows_of_few_is_not() {
    // A number may have any value in every row of the other.
    assert_eq!(kept_in("on work < count() by label into a >  on work < count() by size into b >"), [0, 1]);
    // Unless all have it.
    assert_eq!(kept_in("on work < count() by size, label into a >  on work < count() by size into b >"), [0, 0]);
}

#[test]
fn tables_that_need_their_own_rows_have_them() {
    let pair = |a: &str, b: &str| kept_in(&format!("{a}  {b}"));
    let first = "on work < count() by label into a >";
    assert_eq!(pair(first, "on work(READ) < count() by kind into b >"), [0, 1], "other events");
    assert_eq!(pair(first, "on run < count() by mode into b >"), [0, 1], "of another point");
    assert_eq!(pair(first, "on work < count() by kind into b limit 9 >"), [0, 1], "a limit of its own");
    assert_eq!(pair(first, "on work < hist(dur) by kind into b >"), [0, 1], "large rows");
    assert_eq!(pair(first, "on work < distinct(size) by kind into b >"), [0, 1], "its events are sent");
    assert_eq!(
        pair(first, "on work < count() by kind into b >  every 1s < show b; clear b >"),
        [0, 1],
        "it is cleared"
    );
}

#[test]
fn rows_lie_in_front_where_keys_are_long_and_events_are_put_aside() {
    let front = |script: &str| build(script).maps.iter().any(|m| matches!(m.id, MapId::Front(_)));
    let long = "by label, next_label, next_name, kind, size";
    assert!(front(&format!("on piece < count() {long} >")));
    assert!(!front("on piece < count() by label >"), "a short key is found as fast");
    assert!(!front(&format!("on piece < count() {long} into t >  every 1s < clear t >")), "it is cleared");
    assert!(!front(&format!("on piece < hist(dur) {long} >")), "large rows");
    assert!(!front("on work < count() by label, size, priority, a = item[0], b = item[1], c = item[2] >"), "at once");
}
