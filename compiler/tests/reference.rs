//! What docs/language.md says of scripts without a process, sentence by sentence: what is taken, what is refused and with
//! which code, and that what its tables list is what there is.

mod common;

use std::collections::BTreeSet;

use profinfer_compiler::print;

/// Scripts with the codes of their faults, and of warnings in parentheses; none where they are fine.
#[track_caller]
fn all(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (script, expected) in cases {
        let found = told(script);
        if found != *expected {
            wrong.push_str(&format!("{script}\n  gives {found:?}, not {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn told(script: &str) -> String {
    let mut sources = profinfer_lang::source::SourceMap::new();
    let file = sources.add("test.pi", script);
    let parsed = profinfer_lang::parse(&sources, file);
    if !parsed.diagnostics.is_empty() {
        return parsed.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>().join(" ");
    }
    let outcome = common::compile(script);
    match &outcome.result {
        Err(_) => outcome.codes().join(" "),
        Ok(c) => {
            let reads = c.reads.iter().map(|d| d.code.to_owned());
            reads.chain(c.warnings.iter().map(|d| format!("({})", d.code))).collect::<Vec<_>>().join(" ")
        }
    }
}

#[track_caller]
fn plan(script: &str) -> String {
    print::plan(&common::compile(script).compiled().plan)
}

/// The part of the page under a heading, up to the next one of its rank.
fn section(heading: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/language.md");
    let page = std::fs::read_to_string(path).expect("docs/language.md");
    let begin = page.find(&format!("\n{heading}\n")).expect("the heading is there");
    let rest = &page[begin + heading.len() + 2..];
    let rank = heading.split(' ').next().expect("a heading has a rank");
    rest.split(&format!("\n{rank} ")).next().expect("a part").to_owned()
}

/// The words in backticks of the first column of a table.
fn first_column(section: &str) -> Vec<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next()).filter(|cell| cell.starts_with('`'));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn blanks_and_line_ends_mean_nothing() {
    let close =
        "on ggml_op(MUL_MAT)where(dur>1ms)<n=count(),sum(dur)by op,layer into t limit 5>every 1s<show t top 3;clear t>";
    let wide = "\n\n on\tggml_op\r\n( MUL_MAT ) where ( dur > 1ms )\n<\n n = count ( ) , sum ( dur )\n by op , layer\n into t limit 5\n>\n\
                every 1s\n< show t\ntop 3 ; clear t ; >\n";
    // A column is called by its text without blanks.
    assert_eq!(plan(close), plan(wide));
    all(&[("onggml_op < count() >", "PI0101"), ("on ggml_op < count() byop >", "PI0129")]);
}

#[test]
fn words_numbers_and_strings() {
    all(&[
        ("on ggml_op where (dur > 1 ms) < count() >", "PI0128"),
        ("on ggml_op where (dur > 0.3ns) < count() >", "PI0009"),
        ("on ggml_op where (dur > 1.5ms or dur > 1e3ns or ne[0] > 1e6) < count() >", ""),
        ("let page = 1.5KiB\nlet odd = 0.3B\non ggml_op < count() >", "PI0009"),
        ("profinfer 1\non ggml_op < count() >", ""),
        ("profinfer 2\non ggml_op < count() >", "PI0124"),
        ("on ggml_op(name = \"\\\"\\\\\\n\\t\\x41\\u{2192}\") < count() >", ""),
        ("on ggml_op(name = \"\\q\") < count() >", "PI0006"),
        ("on ggml_op(name = \"\\r\") < count() >", "PI0006"),
        ("on ggml_op where (dur > 0x10us) < count() >", "PI0009"),
    ]);
    // Every unit that the page lists is one.
    let text = section("## Text");
    let units = text.split("- **Numbers**").nth(1).and_then(|t| t.split("(thousands), `hz`").next()).expect("units");
    let listed: Vec<&str> =
        units.split('`').skip(9).step_by(2).flat_map(str::split_whitespace).filter(|u| *u != "`").collect();
    assert_eq!(listed.join(" "), "ns us ms s min h B KiB MiB GiB TiB KB MB GB TB");
    for unit in listed {
        let compared = if unit.ends_with('B') { "(1KiB < 3UNIT)" } else { "(dur > 3UNIT)" };
        all(&[(&format!("on ggml_op where {} < count() >", compared.replace("UNIT", unit)), "")]);
    }
}

/// Each word that the page reserves is no name, and can be a field behind a dot.
#[test]
fn reserved_words_are_no_names() {
    let text = section("## Text");
    let words = text.split("These are no names: `").nth(1).and_then(|t| t.split('`').next()).expect("the words");
    let words: BTreeSet<&str> = words.split_whitespace().collect();
    assert!(words.len() >= 20, "{words:?}");
    for word in &words {
        assert_ne!(told(&format!("let {word} = 1\non ggml_op < count() >")), "", "{word}");
        assert_eq!(
            told(&format!("on ggml_op < count() by self.{word} >")),
            "PI0202",
            "self.{word} is a field by its shape"
        );
    }
    // Words of other places are names.
    for word in ["engine", "struct", "enum", "point", "top", "sort", "as", "to", "limit", "profinfer", "absents"] {
        all(&[(&format!("let {word} = 1\non ggml_op where (nth = {word}) < count() >"), "")]);
    }
}

#[test]
fn names_are_given_once() {
    let kinds = [
        "let x = 1",
        "fn x(a) = a",
        "agg x(a) = count()",
        "probe x = ggml_op",
        "enum x { a, b }",
        "point x : enter { start \"f\" (a: i32) let a = a }",
    ];
    for first in kinds {
        for second in kinds {
            let script = format!("{first}\n{second}\non ggml_op < count() >");
            assert!(told(&script).split(' ').all(|code| code == "PI0205"), "{script}\n{}", told(&script));
        }
    }
    // Parameters are read as `$x`, and what the engine has can be hidden.
    all(&[
        ("param x: int = 1\nlet x = 2\non ggml_op where (nth = $x or nth = x) < count() >", ""),
        ("param x: int = 1\nparam x: int = 2\non ggml_op < count() >", "PI0205"),
    ]);
}

#[test]
fn functions_work_on_single_events() {
    all(&[
        ("fn f(a) = a + $p * k\nparam p: int = 1\nlet k = 3\non ggml_op < max(f(nth)) by f(ne[0]) >", ""),
        ("fn f(a) = a + nth\non ggml_op < max(f(ne[0])) >", ""),
        ("fn f(x) = x + 1ms\non ggml_op < f(dur) >", "PI0311"),
        ("fn f(x) = 2 * x\non ggml_op < n = f(sum(dur)) >", ""),
        ("fn f(x) = sum(x)\non ggml_op < f(dur) >", "PI0304"),
    ]);
}

#[test]
fn patterns() {
    all(&[
        ("on ggml_op(\"NEW_OP\") < count() >", ""),
        ("on ggml_op(NEW_OP) < count() >", "PI0207"),
        ("on ggml_op(NEW_*) < count() >", "PI0207"),
        ("on ggml_op(VIEW) < count() >", "(PI0318)"),
        (
            "on ggml_op(MUL_MAT | RESHAPE | PERMUTE | TRANSPOSE | NONE) < count() >",
            "(PI0318) (PI0318) (PI0318) (PI0318)",
        ),
        ("on ggml_op(name = \"Q?ur*\") < count() >", ""),
        ("on ggml_op(name = Q?ur) < count() >", "PI0110"),
        ("on ggml_op(name = attn-1) < count() >", "PI0108"),
        ("on ggml_op(dur = 40) < count() >", "PI0308"),
        ("on ggml_op(dur = 40ms, nth = -1) < count() >", ""),
        ("on ggml_graph(ADD) < count() >", "PI0308"),
        ("on llama_decode(decode) < count() >", "PI0308"),
        ("on ggml_work(MUL_MAT) < count() >", ""),
    ]);
    // All of them must match, in whichever order they stand.
    let both = plan("on ggml_op(MUL_MAT, nth = 4) < count() >");
    let condition = |text: &str| {
        let lines = text.lines().skip_while(|l| !l.starts_with("table"));
        lines.filter(|l| l.contains("nth = 4") || l.contains("MUL_MAT")).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(condition(&both).len(), 2, "{both}");
    assert_eq!(plan("on ggml_op(op = \"MUL_*\") < count() >"), plan("on ggml_op where (op = \"MUL_*\") < count() >"));
}

#[test]
fn several_points_of_one_clause() {
    let tables = |script: &str| {
        let plan = common::compile(script).compiled().plan;
        plan.tables.iter().map(|t| t.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tables("on llama_ubatch, llama_decode < count() by pid >"), ["llama_ubatch", "llama_ubatch"]);
    assert_eq!(
        tables("on ggml_op(MUL_MAT), ggml_op(layer = 3) < count() into t >"),
        ["t", "t"],
        "one matched by both counts twice"
    );
    all(&[
        ("on llama_ubatch, ggml_graph < count() by phase >", ""),
        ("on llama_ubatch, ggml_graph < count() by n_seqs, idle >", "PI0202"),
    ]);
}

#[test]
fn arguments_of_functions() {
    let types = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool", "ptr", "enum(ggml_op)"];
    for ty in types {
        all(&[(&format!("on span(\"exe:f\", a: {ty}, ret: {ty}) < count() by a, ret, arg0, arg5 >"), "")]);
    }
    all(&[
        ("on span(\"exe:f\", a: f32) < count() by a >", "PI0223"),
        ("on span(\"exe:f\", a: str[8]) < count() by a >", "PI0223"),
        ("on span(\"exe:f\", a: i8, b: i8, c: i8, d: i8, e: i8, f: i8, g: i8) < count() >", "PI0223"),
        ("on span(\"exe:f\") < count() by arg6 >", "PI0202"),
        ("on enter(\"exe:f\") < count() by dur >", "PI0202"),
        ("on enter(\"exe:f\") < count() by ret >", "PI0202"),
        ("on enter(\"exe:f\") < count() by self >", "PI0202"),
        ("on enter(\"exe:f\", ret: i32) < count() >", "PI0223"),
        ("on enter(\"exe:f\") < count() by func, comm, op, phase, llama_ubatch.step, ggml_work.op, ith >", ""),
        ("point p : enter { start \"f\" (a: i32) let step = a }\non p < count() >", "PI0205"),
        (
            "let k = 3\nfn d(x) = x * k\npoint p : enter { start \"f\" (a: i32) let a = d(a) }\non p < count() by a >",
            "",
        ),
    ]);
}

#[test]
fn conditions() {
    all(&[
        ("on ggml_op where (op < MUL_MAT) < count() >", "PI0301"),
        ("on ggml_op where (name < \"a\") < count() >", "PI0301"),
        ("on ggml_op where (nth < dur) < count() >", "PI0301"),
        ("on llama_ubatch where (n_tokens = 1..3 and phase != decode | verify) < count() >", ""),
        ("on ggml_op where (dur < 1ms < 2ms) < count() >", "PI0305"),
        // Where there are no rows, none are too many.
        ("on ggml_op where (layer * 1us < dur) < count() by op >", "PI0316"),
        ("on ggml_op where (layer * 1us < dur) < print(\"{op}\"); exit >", ""),
        ("on ggml_op < count() by op into t >\non ggml_op where (layer * 1us < dur) < show t; clear t >", ""),
        ("on ggml_op where (layer * 1us < dur) < print(\"{op}\"); count() by op >", "PI0316"),
    ]);
}

#[test]
fn keys() {
    all(&[
        ("on ggml_op < count() by time, pid, tid, cpu, comm, llama_ubatch.phase, phase >", ""),
        ("on ggml_op < count() by llama_decode.dur >", "PI0213"),
        ("on ggml_op < count() by op, op >", "PI0310"),
        ("on ggml_op < n = count(), n = sum(dur) >", "PI0310"),
        ("on ggml_op < n = count() by n = op >", "PI0310"),
        ("on ggml_op < count() by ne >", "PI0317"),
        ("on ggml_op < count() by ne[4] >", "PI0314"),
    ]);
}

#[test]
fn bounds_of_columns() {
    all(&[
        ("on ggml_op < hist(dur, k=8), h = hist(dur, k=0) >", ""),
        ("on ggml_op < hist(dur, k=9) >", "PI0323"),
        ("on ggml_op < lhist(dur, 0ns..1000ns, width=1ns) >", ""),
        ("on ggml_op < lhist(dur, 0ns..1001ns, width=1ns) >", "PI0323"),
        ("on ggml_op < lhist(dur, 0ms..10ms, width=3ms) >", "PI0323"),
        ("on ggml_op < lhist(dur, 0..10, width=1) >", "PI0301"),
        ("on ggml_op < quantile(dur, 0, 1) >", ""),
        ("on ggml_op < quantile(dur, 1.1) >", "PI0323"),
        ("on ggml_op < distinct(op), lru(op), pinned(op), lru(nth, layer), pinned(nth, op) >", ""),
        ("on ggml_op < sum((op = MUL_MAT)), avg((dur > 1ms)) >", ""),
        ("on ggml_op < hist(dur) / 2 >", "PI0311"),
        ("on ggml_op < sum(dur) + 1 >", "PI0302"),
        ("on ggml_op < slope(dur, gap(nth)) >", "PI0306"),
        ("on ggml_op < distinct(gap(nth)) >", "PI0306"),
        ("on ggml_op < count() by gap(nth) >", "PI0306"),
        ("let n = 5\non ggml_op < n = count(), m = n / count() by op >", ""),
        ("on ggml_op < count() by b = stats(dur) >", "PI0303"),
    ]);
    for of in ["sum", "avg", "min", "max", "hist", "last"] {
        all(&[(&format!("on ggml_op < {of}(gap(dur)) by op >"), "")]);
    }
    all(&[(
        "on ggml_op < lhist(gap(dur), 0us..9us, width=1us), quantile(gap(dur), 0.5), slope(gap(dur), nth) by op >",
        "",
    )]);
}

/// A table and a text of what a column's name is: without blanks, several quantiles with their shares.
#[test]
fn columns_are_called_by_their_text() {
    let names = |script: &str| {
        let plan = common::compile(script).compiled().plan;
        plan.tables[0].columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        names("on ggml_op < sum( dur ), q = quantile(dur, 0.5, 0.99), quantile(dur, 0.25), n = count() by op >"),
        ["sum(dur)", "q_p50", "q_p99", "quantile(dur,0.25)", "n"]
    );
}

#[test]
fn tables() {
    let named = |script: &str| {
        let plan = common::compile(script).compiled().plan;
        plan.tables.iter().map(|t| (t.name.clone(), t.limit)).collect::<Vec<_>>()
    };
    assert_eq!(
        named("on ggml_op < count(); sum(dur) >\non ggml_op < count() by op into t limit 7 >"),
        [("ggml_op".into(), 10_000), ("ggml_op_2".into(), 10_000), ("t".into(), 7)]
    );
    all(&[
        ("on ggml_op < count() by op into t limit 10000000 >", ""),
        ("on ggml_op < count() by op into t limit 10000001 >", "PI0319"),
        ("on ggml_op < count() by op into t limit 0 >", "PI0319"),
        ("on ggml_op < count() by k = layer into t; count() by k = op into t >", "PI0326"),
        ("on ggml_op < count() by k = layer into t; count() by k = absent into t >", ""),
        ("on ggml_op < a = count() by op into t; b = sum(dur), c = b / a by op into t >", ""),
        (
            "on ggml_op < count() by op into t >\nend < show t sort count() asc top 3 as csv; show t sort op desc as json >",
            "",
        ),
        ("on ggml_op < count() by op into t >\nend < show t sort nope >", "PI0322"),
        ("on ggml_op < count() by op into t >\nend < show t top 0 >", "PI0301"),
        ("on ggml_op < count() by op into t >\nend < show t as circle >", "PI0321"),
    ]);
}

#[test]
fn events_by_themselves() {
    let names = |script: &str| {
        let plan = common::compile(script).compiled().plan;
        plan.tables.iter().map(|t| t.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(
            "on ggml_op < print(\"a\"); print(\"b\"); late = print(\"{layer} {{}} {match(name, \\\"Q*\\\", 1, 2)}\") >"
        ),
        ["print", "print_2", "late"]
    );
    all(&[
        ("on ggml_op < count(), print(\"x\") >", "PI0330"),
        ("on ggml_op < print(\"x\") into t >", "PI0330"),
        ("on ggml_op < print(\"}\") >", "PI0329"),
        ("on ggml_op < print(\"{ne}\") >", "PI0317"),
    ]);
    // An event is too large with a hundred names of 64 bytes.
    let texts: Vec<String> =
        (0..9).flat_map(|a| (0..9).map(move |b| format!("{{src0.src[{a}].src[{b}].name}}"))).collect();
    let long = |n: usize| format!("on ggml_op < print(\"{}\") >", texts[..n].join(" "));
    all(&[(&long(60), ""), (&long(65), "PI0324")]);
}

#[test]
fn begin_end_and_timers() {
    all(&[
        ("on ggml_op < count() >\nevery 1ms < exit >", ""),
        ("on ggml_op < count() >\nevery 999us < exit >", "PI0320"),
        ("on ggml_op < count() >\nafter 0s < exit >", "PI0320"),
        ("param p: duration = 1s\non ggml_op < count() >\nafter $p < exit >\nevery $p < exit >", ""),
        ("param p: int = 1\non ggml_op < count() >\nevery $p < exit >", "PI0301"),
        ("on ggml_op < count() >\nbegin < sum(dur) >", "PI0312"),
        ("on ggml_op < count() >\nend < count() >", "PI0312"),
        ("on ggml_op < count() >\nafter 1s < count() >", "PI0312"),
    ]);
}

#[test]
fn operators_bind_as_listed() {
    for (written, meant) in [
        ("-nth * 2 + 1 = 3", "(((-nth) * 2) + 1) = 3"),
        ("nth + 2 * ne[0] % 3 > 4 - 1", "(nth + ((2 * ne[0]) % 3)) > (4 - 1)"),
        ("not (nth = 1) and nth = 2 or nth = 3", "((not (nth = 1)) and (nth = 2)) or (nth = 3)"),
        ("nth = 1 or nth = 2 and not (nth = 3)", "(nth = 1) or ((nth = 2) and (not (nth = 3)))"),
    ] {
        let of = |condition: &str| plan(&format!("on ggml_op where ({condition}) < count() >"));
        assert_eq!(of(written), of(meant), "{written}");
    }
}

/// Functions of the page's table are those that there are, but for those that only descriptions are written with; the same
/// for columns and for what is not there yet.
#[test]
fn tables_of_the_page_are_complete() {
    let outcome = common::compile("on ggml_op < count() by nothing_of_that_name(dur) >");
    let help = outcome.result.as_ref().expect_err("no such function")[0].help.join(" ");
    let there = help.split("functions: ").nth(1).and_then(|h| h.split(';').next()).expect("it lists them");
    let of_descriptions = ["starts", "i32_at", "f32_at", "address"];
    let mut there: BTreeSet<&str> = there.split(' ').filter(|f| !of_descriptions.contains(f)).collect();
    there.extend(["min", "max"]);
    let page = section("## Expressions");
    let listed = first_column(&page);
    let listed: BTreeSet<&str> = listed.iter().filter_map(|f| f.split('(').next()).collect();
    assert_eq!(listed, there);
    let page = section("## Columns");
    let columns = first_column(page.split("### Bundles").next().expect("before it"));
    for column in columns {
        let used = column.replace("c)", "op)").replace("k=2", "k=1").replace("a..b, width=w", "0..9, width=3");
        let used = used
            .replace(", p, q, …", ", 0.1, 0.2")
            .replace(", p)", ", 0.5)")
            .replace("(x", "(nth")
            .replace("(y, x", "(dur, nth");
        assert_eq!(told(&format!("on ggml_op < {used} by layer >")), "", "{column} as {used}");
    }
    let page = section("## Not there yet");
    let words = first_column(&page);
    assert!(!words.is_empty());
    for word in words.iter().flat_map(|w| w.split_whitespace()).filter(|w| *w != "as") {
        let uses = [
            format!("on {word} < count() >"),
            format!("on {word}(\"a:b\") < count() >"),
            format!("on ggml_op < {word}(op) >"),
            format!("on ggml_op < count() by op into t >\nend < show t as {} >", word.trim_end_matches(',')),
        ];
        assert!(uses.iter().any(|script| told(script) == "PI0401"), "{word} is there, or is not known at all");
    }
}

#[test]
fn functions_of_the_page() {
    all(&[
        ("on ggml_op < count() by a = min(dur, 1ms), b = max(nth, ne[0]), c = bucket(dur, 1ms), d = has(src2) >", ""),
        ("on ggml_op < count() by min(dur, 3) >", "PI0301"),
        ("on ggml_op < count() by bucket(dur, 0ms) >", "PI0306"),
        ("on ggml_op < count() by bucket(dur, -1ms) >", "PI0306"),
        ("on ggml_op < count() by bucket(dur, dur) >", "PI0306"),
        ("on ggml_op < count() by bucket(dur, 3) >", "PI0301"),
        ("on moe_route < count() by bucket(weight, 0.123456) >", ""),
        ("on moe_route < count() by bucket(weight, 0.1234567) >", "PI0306"),
        ("on moe_route < count() by bucket(weight, 0) >", "PI0306"),
        ("on ggml_op < count() by k = match(op, \"A*\", 1, \"B*\", \"x\") >", "PI0301"),
        ("on ggml_op < count() by k = if(dur > 1ms, 1, 2ms) >", "PI0301"),
        ("on ggml_op < count() by k = src0.src[0].src[1].name >", ""),
        // A ratio can be a key or in a condition, or be made of columns.
        ("on ggml_op < count() by dur / 1ms >", ""),
        ("on ggml_op < mean = sum(dur) / 1ms >", ""),
        ("on llama_ubatch where (n_tokens / n_seqs > 1.5) < count() by phase >", ""),
        ("on ggml_op < sum(dur / 1ms) >", "PI0317"),
    ]);
}

#[test]
fn ratios_of_the_kernel() {
    all(&[
        ("on moe_route < sum(weight + weight) >", "PI0317"),
        (
            "on moe_route < slope(weight, rank), hist(gap(weight)), quantile(weight, 0.5), lhist(weight, 0..1, width=0.1) by layer >",
            "",
        ),
        ("on moe_route where (first(weight, 0) > 0.5) < count() >", ""),
        ("on moe_route where (weight > layer) < count() >", "PI0317"),
        ("on moe_route < count() by weight >", "PI0316"),
    ]);
}

#[test]
fn parameters_and_imports() {
    all(&[
        ("param x: int\non ggml_op where (nth = $x) < count() >", "PI0208"),
        ("param x\non ggml_op < count() >", "PI0127"),
        ("import std.latency as op\non llama_ubatch < op.latency(dur) >", "PI0205"),
        ("import std.latency as ggml_op\non llama_ubatch < ggml_op.latency(dur) >", "PI0205"),
        ("import std.latency as l\nlet l = 3\non llama_ubatch < l.latency(dur) >", "PI0205"),
        ("import std.latency\nimport std.latency as l\non llama_ubatch < l.latency(dur), latency.cost(interval) >", ""),
    ]);
    for ty in [
        "int = 1",
        "duration = 1s",
        "bytes = 1KiB",
        "string = \"a\"",
        "bool = true",
        "ratio = 0.5",
        "enum(ggml_op) = ADD",
    ] {
        all(&[(&format!("param x: {ty}\non ggml_op < count() >"), "")]);
    }
}

#[test]
fn limits() {
    let many = |n: usize, of: &dyn Fn(usize) -> String, by: &str| (0..n).map(of).collect::<Vec<_>>().join(by);
    let columns = |n| format!("agg b(x) = {}\non ggml_op < b(dur) >", many(n, &|i| format!("c{i} = sum(x)"), ", "));
    let points = |n| format!("probe p = {}\non p < count() >", many(n, &|i| format!("ggml_op(layer = {i})"), ", "));
    let probes = |n: usize| {
        format!(
            "probe p0 = ggml_op\n{}\non p{} < count() >",
            many(n - 1, &|i| format!("probe p{} = p{i}", i + 1), "\n"),
            n - 1
        )
    };
    let aggs = |n: usize| {
        format!(
            "agg a0(x) = sum(x)\n{}\non ggml_op < a{}(dur) >",
            many(n - 1, &|i| format!("agg a{}(x) = a{i}(x)", i + 1), "\n"),
            n - 1
        )
    };
    for (what, fine, too_much) in [
        ("columns", columns(1000), columns(1001)),
        ("points", points(64), points(65)),
        ("probes in each other", probes(64), probes(65)),
        ("bundles in each other", aggs(64), aggs(65)),
    ] {
        assert_eq!((told(&fine), told(&too_much)), (String::new(), "PI0211".to_owned()), "{what}");
    }
    // The first 100 faults, and that there are more.
    let outcome = common::compile(&many(101, &|i| format!("on ggml_op < count() by nope{i} >"), "\n"));
    let faults = outcome.result.as_ref().expect_err("it has faults");
    assert_eq!(faults.len(), 100);
    assert!(faults[99].help.iter().any(|h| h.contains("the first 100")), "{:?}", faults[99]);
}
