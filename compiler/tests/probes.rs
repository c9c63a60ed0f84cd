//! Probes come to the points they stand for, and a clause on several points to a table of each under one name.

mod common;

use profinfer_compiler::plan::Plan;
use profinfer_compiler::print;

#[track_caller]
fn plan(script: &str) -> Plan {
    common::compile(script).compiled().plan
}

#[track_caller]
fn same_plan(named: &str, written: &str) {
    assert_eq!(print::plan(&plan(named)), print::plan(&plan(written)));
}

/// The names of tables, and with which each is shown.
#[track_caller]
fn tables(script: &str) -> Vec<(String, usize)> {
    plan(script).tables.into_iter().map(|t| (t.name, t.shown_with)).collect()
}

/// The codes and the texts at the places of faults.
#[track_caller]
fn faults(script: &str) -> Vec<(&'static str, String)> {
    let outcome = common::compile(script);
    let errors = outcome.result.as_ref().expect_err("it has faults");
    errors.iter().map(|d| (d.code, outcome.sources.text(d.labels[0].span).to_owned())).collect()
}

#[test]
fn a_probe_is_its_point_with_its_patterns_and_condition() {
    same_plan(
        "param over: duration = 1ms\nprobe slow = llama_ubatch(phase = decode) where (dur > $over)\n\
         on slow(n_tokens = 1..) where (n_seqs > 0) < count(), sum(dur) by pos into t >",
        "param over: duration = 1ms\n\
         on llama_ubatch(phase = decode, n_tokens = 1..) where (dur > $over and n_seqs > 0) < count(), sum(dur) by pos into t >",
    );
    same_plan("probe all = ggml_op\non all(MUL_MAT) < count() into t >", "on ggml_op(MUL_MAT) < count() into t >");
    same_plan("probe maybe = llama_decode?\non maybe < count() into t >", "on llama_decode? < count() into t >");
    same_plan("probe maybe = llama_decode\non maybe? < count() into t >", "on llama_decode? < count() into t >");
}

#[test]
fn fields_of_a_probe_are_put_in_place() {
    same_plan(
        "probe steps = llama_ubatch where (per > 1ms) { let per = dur / n_tokens  let twice = 2 * per }\n\
         on steps(twice = 3ms..) where (twice < 1s) < all = sum(twice) by p = per into t >",
        "on llama_ubatch\n\
         where (2 * (dur / n_tokens) = 3ms.. and dur / n_tokens > 1ms and 2 * (dur / n_tokens) < 1s)\n\
         < all = sum(2 * (dur / n_tokens)) by p = dur / n_tokens into t >",
    );
}

#[test]
fn columns_and_keys_are_called_by_the_fields() {
    let plan =
        plan("probe steps = llama_ubatch { let per = dur / n_tokens }\non steps < sum(per), avg(self.per) by per >");
    let table = &plan.tables[0];
    let names: Vec<&str> =
        table.keys.iter().map(|k| k.name.as_str()).chain(table.columns.iter().map(|c| c.name.as_str())).collect();
    assert_eq!(names, ["per", "sum(per)", "avg(self.per)"]);
    assert_eq!(table.name, "steps");
}

#[test]
fn probes_may_stand_for_probes() {
    same_plan(
        "probe slow = fast where (twice > 1ms) { let thrice = twice + dur }\n\
         probe fast = ggml_op(MUL_MAT) where (dur > 1us) { let twice = 2 * dur }\n\
         on slow(layer = 3) < most = max(thrice) by big = (twice > 5ms) into t >",
        "on ggml_op(MUL_MAT, layer = 3) where (dur > 1us and 2 * dur > 1ms)\n\
         < most = max(2 * dur + dur) by big = (2 * dur > 5ms) into t >",
    );
}

#[test]
fn several_points_make_a_table_of_each_under_one_name() {
    assert_eq!(
        tables("on ggml_op, ggml_graph < count(), sum(dur) by phase >"),
        [("ggml_op".to_owned(), 0), ("ggml_op".to_owned(), 0)]
    );
    assert_eq!(
        tables("probe all = ggml_graph, llama_ubatch\non all < count() by pid; sum(dur) >\non all < count() >"),
        [("all", 0), ("all_2", 1), ("all", 0), ("all_2", 1), ("all_3", 4), ("all_3", 4)]
            .map(|(n, i)| (n.to_owned(), i))
    );
    let plan =
        plan("on ggml_op(MUL_MAT), ggml_graph where (dur > 1ms) < count(), avg(dur) by phase into t >\nend < show t >");
    let points: Vec<&str> = plan.tables.iter().map(|t| plan.points[t.point].name.as_str()).collect();
    assert_eq!(points, ["ggml_op", "ggml_graph"]);
    assert!(
        plan.tables.iter().all(|t| t.adds_to == 0 && t.columns == plan.tables[0].columns),
        "{}",
        print::plan(&plan)
    );
}

#[test]
fn what_one_of_several_points_lacks_is_told_of_it() {
    let outcome = common::compile("on ggml_op, ggml_graph < count() by op >");
    assert_eq!(outcome.codes(), ["PI0202"]);
    assert!(outcome.text().contains("`ggml_graph` has no field `op`"), "{}", outcome.text());
    // What is wrong whatever the point is told once.
    assert_eq!(faults("on ggml_op, ggml_graph < nope(dur) >"), [("PI0206", "nope".into())]);
    assert_eq!(faults("on ggml_op, ggml_graphs < count() >"), [("PI0201", "ggml_graphs".into())]);
}

#[test]
fn faults_of_a_probe_are_told_once_where_it_is_defined() {
    for (script, code, place) in [
        ("probe p = ggml_opp", "PI0201", "ggml_opp"),
        ("probe p = ggml_op where (nope > 3)", "PI0202", "nope"),
        ("probe p = ggml_op where (dur)", "PI0313", "dur"),
        ("probe p = ggml_op { let x = dur + 3 }", "PI0302", "dur + 3"),
        ("probe p = ggml_op { let x: bytes = dur }", "PI0301", "dur"),
        ("probe p = ggml_op { let x = dur let x = 2 * dur }", "PI0205", "x"),
        ("probe p = ggml_op { let op = dur }", "PI0205", "op"),
        ("probe p = ggml_op { let dur = 3 }", "PI0205", "dur"),
        ("probe p = ggml_op, ggml_graph { let x = op }", "PI0202", "op"),
        ("probe p = q\nprobe q = p", "PI0211", "p"),
        ("probe ggml_op = ggml_graph", "PI0205", "ggml_op"),
        ("probe enter = ggml_graph", "PI0205", "enter"),
        ("probe p = ggml_op(layer = \"x\")\non p < count() >", "PI0308", "\"x\""),
    ] {
        let all = faults(&format!("{script}\non p < count() >\non p < sum(dur) by x >"));
        assert!(all.iter().any(|(c, at)| *c == code && at == place), "{script}: {all:?}");
        let told: Vec<_> = all.iter().filter(|(c, _)| *c == code).collect();
        assert!(told.len() == 1 || script.contains("= q"), "{script}: {all:?}");
    }
    assert_eq!(faults("probe p = ggml_op\nprobe p = ggml_graph\non p < count() >"), [("PI0205", "p".into())]);
}

#[test]
fn a_probe_nobody_uses_costs_nothing() {
    same_plan("probe p = llama_decode { let x = dur }\non ggml_op < count() >", "on ggml_op < count() >");
}

#[test]
fn fields_in_fields_have_a_limit() {
    let mut script = "probe p = ggml_op {\n  let x0 = dur\n".to_owned();
    (1..60).for_each(|i| script.push_str(&format!("  let x{i} = x{0} + x{0}\n", i - 1)));
    let all = faults(&format!("{script}}}\non p < sum(x59) >"));
    assert!(!all.is_empty() && all.iter().all(|(code, _)| *code == "PI0211"), "{all:?}");
    let mut script = "probe p0 = ggml_op, ggml_graph\n".to_owned();
    (1..60).for_each(|i| script.push_str(&format!("probe p{i} = p{0}, p{0}\n", i - 1)));
    let all = faults(&format!("{script}on p59 < count() >"));
    assert!(!all.is_empty() && all.iter().all(|(code, _)| *code == "PI0211"), "{all:?}");
}
