//! Parameters: their types, their values from the script and from `-P`, and patterns made of them.

mod common;

use profinfer_compiler::print;

/// The codes of a script with settings, or the lines of its plan's tables that say what is asked.
fn outcome(text: &str, settings: &[(&str, &str)]) -> String {
    let outcome = common::compile_with(&common::ggml(), text, settings);
    match &outcome.result {
        Err(_) => outcome.codes().join(" "),
        Ok(compiled) => {
            let plan = print::plan_within(&compiled.plan, usize::MAX);
            let words = ["  at start", "  at end", "  user space"];
            let lines = plan.lines().skip_while(|l| !l.starts_with("table"));
            let found: Vec<&str> =
                lines.filter_map(|l| words.iter().find_map(|w| l.strip_prefix(w))).map(str::trim).collect();
            found.join(" and ")
        }
    }
}

#[test]
fn each_type_takes_what_fits() {
    for (ty, used, given, expected) in [
        ("duration", "dur > $p", "40ms", "dur > 40ms"),
        ("duration", "dur > $p", "1.5s", "dur > 1500ms"),
        ("duration", "dur > $p", "40", "PI0208"),
        ("duration", "dur > $p", "4KiB", "PI0208"),
        ("int", "n_tokens > $p", "5", "u.n_tokens > 5"),
        ("int", "pos > $p", "-5", "u.pos[+0] > -5"),
        ("int", "n_tokens > $p", "5ms", "PI0208"),
        ("int", "n_tokens > $p", "five", "PI0208"),
        ("int", "n_tokens > $p", "1.5", "PI0208"),
        ("int", "n_tokens > $p", "", "PI0208"),
        ("int", "n_tokens > $p", "99999999999999999999", "PI0208"),
        ("ratio", "dur > 10ms * $p", "1.5", "dur > 15ms"),
        ("ratio", "dur > 10ms * $p", "2", "dur > 20ms"),
        (
            "bool",
            "phase = decode and $p",
            "true",
            "if(kind = 1, encode, if(u.n_tokens = u.n_seqs_unq, decode, if((parts_sum(u.output[part]) = u.n_tokens) and (u.pos[+0] > 0), verify, if(lone_parts() > 0, mixed, prefill)))) = decode and 1",
        ),
        ("bool", "phase = decode and $p", "1", "PI0208"),
        (
            "string",
            "phase = $p",
            "dec*",
            "if(kind = 1, encode, if(u.n_tokens = u.n_seqs_unq, decode, if((parts_sum(u.output[part]) = u.n_tokens) and (u.pos[+0] > 0), verify, if(lone_parts() > 0, mixed, prefill)))) = dec*",
        ),
        ("string", "comm = $p", "a \"b\" | c", "comm = a \"b\" | c"),
        (
            "llama_phase",
            "phase = $p",
            "decode",
            "if(kind = 1, encode, if(u.n_tokens = u.n_seqs_unq, decode, if((parts_sum(u.output[part]) = u.n_tokens) and (u.pos[+0] > 0), verify, if(lone_parts() > 0, mixed, prefill)))) = decode",
        ),
        ("enum(llama_phase)", "phase = $p", "decoding", "PI0208"),
        ("llama_phase", "phase = $p", "3", "PI0208"),
        ("llama_phas", "phase = $p", "decode", "PI0208"),
        ("i32", "n_tokens = $p", "3", "PI0208"),
        ("str[8]", "comm = $p", "x", "PI0208"),
        ("ptr", "context = $p", "3", "PI0208"),
    ] {
        let script = format!("param p: {ty}\non llama_ubatch where ({used}) < count() >");
        assert_eq!(outcome(&script, &[("p", given)]), expected, "-P p={given} as {ty}");
    }
}

#[test]
fn a_default_is_read_like_a_setting() {
    let script = |default: &str| format!("param p: {default}\non llama_ubatch where (dur > $p) < count() >");
    assert_eq!(outcome(&script("duration = 40ms"), &[]), "dur > 40ms");
    assert_eq!(outcome(&script("duration = 40ms"), &[("p", "1s")]), "dur > 1s");
    assert_eq!(outcome(&script("duration = 40ms"), &[("p", "1s"), ("p", "2s")]), "dur > 2s");
    assert_eq!(outcome(&script("duration = 2 * 20ms"), &[]), "dur > 40ms");
    assert_eq!(outcome(&script("duration = 40"), &[]), "PI0208");
    assert_eq!(outcome(&script("duration = 40"), &[("p", "1s")]), "dur > 1s");
    assert_eq!(outcome(&script("duration"), &[]), "PI0208");
    assert_eq!(outcome(&script("duration = 40ms"), &[("q", "1s")]), "PI0209");
    assert_eq!(outcome(&script("duration = $q"), &[]), "PI0203");
}

#[test]
fn an_unknown_setting_names_the_nearest() {
    let text = "param budget: duration = 1ms\non llama_ubatch where (dur > $budget) < count() >";
    let help = |name: &str| {
        let outcome = common::compile_with(&common::ggml(), text, &[(name, "1ms")]);
        outcome.result.expect_err("no such parameter")[0].help.join(" ")
    };
    assert_eq!(help("buget"), "did you mean `budget`?");
    assert_eq!(help("x"), "it has: budget");
}

#[test]
fn parameters_stand_in_patterns() {
    let declared = "param n: int = 4\nparam d: duration = 1ms\nparam s: string = \"MUL_*\"\nparam w: ggml_op = ADD\n";
    for (at, expected) in [
        ("ggml_op($w)", "(t.op = ADD) or (last.op = ADD)"),
        ("ggml_op($s | $w)", "(t.op = MUL_*|ADD) or (last.op = MUL_*|ADD)"),
        ("ggml_op(nth = $n)", "p.nth = 4"),
        ("ggml_op(nth = ..$n)", "p.nth = ..4"),
        ("ggml_op(nth = $n..)", "p.nth = 4.."),
        ("ggml_op(nth = 1..$n | 9)", "p.nth = 1..4|9"),
        ("ggml_op(nth = !$n..8)", "p.nth = !4..8"),
        ("ggml_op(dur = $d..5ms)", "dur = 1ms..5ms"),
        ("ggml_op(name = $s)", "name = MUL_*"),
        ("ggml_op(name = !$s)", "name = !MUL_*"),
        ("ggml_op(layer = $n)", "layer = 4"),
        ("ggml_op(nth = 5..$n)", "PI0309"),
        ("ggml_op(nth = $d)", "PI0308"),
        ("ggml_op(nth = $s)", "PI0308"),
        ("ggml_op($n)", "PI0308"),
        ("ggml_op($d..)", "PI0308"),
        ("ggml_op(dur = $n..)", "PI0308"),
        ("ggml_op(type = $w)", "PI0308"),
    ] {
        let script = format!("{declared}on {at} < count() >");
        assert_eq!(outcome(&script, &[]), expected, "{at}");
    }
}

#[test]
fn declared_parameters_are_listed_for_help() {
    let text = "/// Rows\n/// to show.\nparam top: int = 2 * 10\nparam op: enum(ggml_op)\non ggml_op($op) < count() >";
    let mut sources = profinfer_lang::source::SourceMap::new();
    let file = sources.add("test.pi", text);
    let program = profinfer_lang::parse(&sources, file).program;
    let declared = profinfer_compiler::params::declared(&program, &|e| sources.text(e.span).to_owned());
    let listed: Vec<_> =
        declared.iter().map(|d| (d.name.as_str(), d.ty.as_str(), d.default.as_deref(), d.help.as_str())).collect();
    assert_eq!(listed, [("top", "int", Some("2 * 10"), "Rows to show."), ("op", "enum(ggml_op)", None, "")]);
}
