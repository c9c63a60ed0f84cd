//! Counters: where they are fields, what they are, and what is probed for them.

mod common;

use profinfer_compiler::counter::Counter;
use profinfer_compiler::types::Type;

#[test]
fn they_are_fields_of_what_takes_time_on_one_thread() {
    for point in ["ggml_op", "ggml_work", "ggml_graph", "llama_ubatch", "llama_decode", "span(\"libc:malloc\")"] {
        for counter in Counter::NAMED {
            let plan = common::compile(&format!("on {point} < x = sum({counter}) >")).compiled().plan;
            assert_eq!(plan.counters(), [counter], "{point}");
            let ty = if counter == Counter::TaskClock { Type::Duration } else { Type::Int };
            assert_eq!(plan.tables[0].columns[0].ty, ty, "{counter}");
        }
    }
    for point in ["moe_route", "llama_seq", "enter(\"libc:malloc\")"] {
        let outcome = common::compile(&format!("on {point} < sum(cycles) >"));
        assert_eq!(outcome.codes().len(), 1, "{point}: {}", outcome.text());
    }
}

#[test]
fn a_team_needs_its_mark_for_them_and_others_do_not() {
    for (script, mark) in [
        ("on ggml_work < sum(task_clock) >", Some("task_clock")),
        ("on ggml_work < sum(wait), sum(cycles) >", Some("busy")),
        ("on ggml_work < count() >", None),
        ("on ggml_op < sum(cycles) >", None),
    ] {
        let plan = common::compile(script).compiled().plan;
        let marked: Vec<_> = plan.points.iter().filter_map(|p| p.mark.as_ref()).map(|m| m.field.as_str()).collect();
        assert_eq!(marked.first().copied(), mark, "{script}: {marked:?}");
    }
}

#[test]
fn each_is_counted_once_whoever_asks() {
    let plan = common::compile(
        "on ggml_op where (page_faults > 2 and pmu(0xc0) > 1) < sum(page_faults), max(pmu(192)) by op >
         on llama_ubatch < sum(page_faults), cpu = sum(task_clock) / sum(dur) >",
    );
    let plan = plan.compiled().plan;
    assert_eq!(plan.counters(), [Counter::Pmu(0xc0), Counter::TaskClock, Counter::PageFaults]);
    assert_eq!(plan.tables[1].columns[1].ty, Type::Ratio);
    assert_eq!(common::compile("on ggml_op < count() by op >").compiled().plan.counters(), []);
}

#[test]
fn an_argument_of_that_name_comes_first() {
    let plan = common::compile("on span(\"exe:f\", cycles: u64) < sum(cycles), sum(migrations) >").compiled().plan;
    assert_eq!(plan.counters(), [Counter::Migrations]);
}

#[test]
fn what_is_wrong_is_told_with_a_cure() {
    for (script, code, word) in [
        ("on ggml_op < sum(pmu(op)) >", "PI0306", "pmu(0xc0)"),
        ("on ggml_op < sum(pmu(-1)) >", "PI0306", "pmu(0xc0)"),
        ("on ggml_op < sum(pmu(1, 2)) >", "PI0306", "pmu(0xc0)"),
        ("on enter(\"exe:f\") < sum(pmu(1)) >", "PI0306", "takes time"),
        ("on ggml_op < count() by llama_ubatch.cycles >", "PI0213", "on llama_ubatch"),
        ("on ggml_op < sum(cycle) >", "PI0202", "cycles"),
        ("on ggml_op where (task_clock > 5) < count() >", "PI0301", "unit"),
    ] {
        let outcome = common::compile(script);
        assert_eq!(outcome.codes(), [code], "{script}: {}", outcome.text());
        assert!(word == "unit" || outcome.text().contains(word), "no {word:?} in {}", outcome.text());
    }
}
