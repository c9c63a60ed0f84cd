//! Bundles of columns come to the columns they stand for.

mod common;

use profinfer_compiler::print;

/// The columns of a script's tables, by name.
#[track_caller]
fn columns(script: &str) -> Vec<String> {
    let plan = common::compile(script).compiled().plan;
    plan.tables.iter().flat_map(|t| &t.columns).map(|c| c.name.clone()).collect()
}

#[track_caller]
fn same_plan(bundled: &str, written: &str) {
    let plan = |script: &str| print::plan(&common::compile(script).compiled().plan);
    assert_eq!(plan(bundled), plan(written));
}

/// The codes and the texts at the places of faults.
#[track_caller]
fn faults(script: &str) -> Vec<(&'static str, String)> {
    let outcome = common::compile(script);
    let errors = outcome.result.as_ref().expect_err("it has faults");
    errors.iter().map(|d| (d.code, outcome.sources.text(d.labels[0].span).to_owned())).collect()
}

#[test]
fn a_bundle_is_its_columns() {
    same_plan(
        "agg latency(x) = count(), avg(x), q = quantile(x, 0.5, 0.99)\non llama_ubatch < latency(dur) by phase >",
        "on llama_ubatch < count(), avg(dur), q = quantile(dur, 0.5, 0.99) by phase >",
    );
    same_plan(
        "agg traffic(x, y) = total = sum(x), per = sum(x) / sum(y), hist(y, k=2)\n\
         on ggml_op < n = count(), traffic(ne[0], dur) by op into ops >",
        "on ggml_op < n = count(), total = sum(ne[0]), per = sum(ne[0]) / sum(dur), hist(dur, k=2) by op into ops >",
    );
}

#[test]
fn columns_are_called_by_their_text_with_the_arguments_put_in() {
    let agg = "agg two(x, y) = count(), sum(x * 2), sum( y ), quantile(x, 0.50, 0.99), of = max(y)\n";
    assert_eq!(
        columns(&format!("{agg}on ggml_op < two(dur, ne[0] + ne[1]) >")),
        ["count()", "sum(dur*2)", "sum(ne[0]+ne[1])", "quantile(dur,0.50)", "quantile(dur,0.99)", "of"]
    );
    assert_eq!(columns(&format!("{agg}on ggml_op < two(dur + 1ms, nth) >"))[1], "sum((dur+1ms)*2)");
    assert_eq!(
        columns("agg same(x) = x\non ggml_op < same(sum(dur)), same(max(dur) - min(dur)) >"),
        ["sum(dur)", "max(dur)-min(dur)"]
    );
}

#[test]
fn a_name_stands_before_those_of_the_columns() {
    let script = "agg two(x) = count(), m = avg(x)\n\
                  on llama_ubatch < a = two(dur), b = two(n_tokens) by phase into t >\n\
                  end < show t sort a.m; show t sort a.count() >";
    assert_eq!(columns(script), ["a.count()", "a.m", "b.count()", "b.m"]);
}

#[test]
fn bundles_may_be_made_of_bundles() {
    let aggs = "agg two(x) = count(), m = avg(x)\nagg four(x, y) = two(x), other = two(y * 2)\n";
    let used = format!("{aggs}on llama_ubatch < four(n_tokens, dur), z = four(n_seqs, dur) >");
    assert_eq!(
        columns(&used),
        ["count()", "m", "other.count()", "other.m", "z.count()", "z.m", "z.other.count()", "z.other.m"]
    );
    assert_eq!(faults("agg a(x) = sum(x), b(x)\nagg b(x) = a(x)\non ggml_op < a(dur) >"), [("PI0211", "a(x)".into())]);
    assert_eq!(faults("agg a(x) = n = a(x)\non ggml_op < a(dur) >"), [("PI0211", "a(x)".into())]);
}

#[test]
fn bundles_in_bundles_have_a_limit() {
    let mut script = "agg a0(x) = sum(x), max(x)\n".to_owned();
    for i in 1..40 {
        script.push_str(&format!("agg a{i}(x) = u = a{0}(x), v = a{0}(x + x)\n", i - 1));
    }
    script.push_str("on ggml_op < a39(dur) >");
    assert_eq!(faults(&script), [("PI0211", "a39(dur)".into())]);
    let mut deep = "agg a0(x) = sum(x)\n".to_owned();
    (1..200).for_each(|i| deep.push_str(&format!("agg a{i}(x) = a{}(x)\n", i - 1)));
    assert_eq!(faults(&(deep + "on ggml_op < a199(dur) >")), [("PI0211", "a199(dur)".into())]);
}

#[test]
fn parameters_hide_fields_and_nothing_else_is_taken_for_them() {
    same_plan("agg total(op) = sum(op)\non ggml_op < total(dur) by op >", "on ggml_op < sum(dur) by op >");
    // A field of the clause's point is one in a bundle as well.
    same_plan("agg per(x) = sum(x) / sum(dur)\non ggml_op < per(ne[0]) >", "on ggml_op < sum(ne[0]) / sum(dur) >");
}

#[test]
fn misused_bundles_are_told() {
    let agg = "agg two(x, y) = sum(x), sum(y)\n";
    for (clause, code, place) in [
        ("on ggml_op < two(dur) >", "PI0306", "two(dur)"),
        ("on ggml_op < two(dur, y=dur) >", "PI0306", "two(dur, y=dur)"),
        ("on ggml_op < two(dur, dur) / 2 >", "PI0221", "two(dur, dur)"),
        ("on ggml_op < sum(two(dur, dur)) >", "PI0221", "two(dur, dur)"),
        ("on ggml_op < count() by two(dur, dur) >", "PI0304", "two(dur, dur)"),
        ("on ggml_op where (two(dur, dur) > 1ms) < count() >", "PI0304", "two(dur, dur)"),
        ("on ggml_op < twoo(dur, dur) >", "PI0206", "twoo"),
        // What is wrong with an argument is told at it.
        ("on ggml_op < two(dur, op) >", "PI0307", "op"),
        ("on ggml_op < two(dur, nope) >", "PI0202", "nope"),
        ("on ggml_op < sum(dur), two(dur, ne[0]) >", "PI0310", "two(dur, ne[0])"),
    ] {
        assert_eq!(faults(&format!("{agg}{clause}")), [(code, place.to_owned())], "{clause}");
    }
    let outcome = common::compile("agg bad(x) = sum(x) + count()\non ggml_op < bad(dur) >");
    let errors = outcome.result.as_ref().expect_err("units");
    let labels: Vec<&str> = errors[0].labels.iter().map(|l| outcome.sources.text(l.span)).collect();
    assert_eq!((errors[0].code, labels), ("PI0302", vec!["sum(x) + count()", "sum(x)", "count()", "bad(dur)"]));
}

#[test]
fn names_are_given_once() {
    for (script, place) in [
        ("agg sum(x) = count()", "sum"),
        ("agg first(x) = count()", "first"),
        ("agg gap(x) = count()", "gap"),
        ("agg print(x) = count()", "print"),
        ("agg layer_of(x) = count()", "layer_of"),
        ("fn f(x) = x\nagg f(x) = sum(x)", "f"),
        ("agg f(x) = sum(x)\nfn f(x) = x", "f"),
        ("agg f(x) = sum(x)\nagg f(x) = max(x)", "f"),
        ("agg f(x, y, x) = sum(x), sum(y)", "x"),
    ] {
        let all = faults(&format!("{script}\non ggml_op < count() >"));
        assert_eq!(all, [("PI0205", place.to_owned())], "{script}");
    }
}

#[test]
fn stats_are_four_columns() {
    let names = columns("on llama_ubatch < stats(dur), t = stats(n_tokens), gaps = stats(interval) by phase >");
    let expected =
        ["stats(dur)", "t", "gaps"].map(|n| ["count", "avg", "min", "max"].map(|part| format!("{n}.{part}")));
    assert_eq!(names, expected.concat());
    // `interval` may be absent: its events are those that have it.
    let plan = common::compile("on llama_ubatch < s = stats(interval), d = stats(dur) >").compiled().plan;
    let text = print::plan(&plan);
    assert!(text.contains("number of events with") && text.contains("number of events\n"), "{text}");
    same_plan("agg all(x) = d = stats(x)\non llama_ubatch < all(dur) >", "on llama_ubatch < d = stats(dur) >");
    assert_eq!(columns("agg s(x) = stats(x)\non ggml_op < a = s(dur) >")[1], "a.stats(dur).avg");
    assert_eq!(faults("on ggml_op < stats(dur) / 2 >"), [("PI0221", "stats(dur)".into())]);
    assert_eq!(faults("on ggml_op < stats(dur, 3) >"), [("PI0306", "stats(dur, 3)".into())]);
    assert_eq!(faults("on ggml_op < stats(op) >"), [("PI0307", "op".into())]);
    columns("on llama_ubatch < stats(dur) into t >\nend < show t sort stats(dur).max >");
}
