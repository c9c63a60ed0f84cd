//! Imports: what a script and its modules come to, and what is said of those that cannot be had.

mod common;

use common::{Files, Outcome};
use profinfer_compiler::modules::LoadError;
use profinfer_compiler::print;

#[track_caller]
fn with(files: &[(&str, &str)], script: &str) -> Outcome {
    common::compile_files(&common::ggml(), &Files::of(files.iter().copied()), script, &[])
}

/// The codes, files and texts at the places of faults.
#[track_caller]
fn faults(files: &[(&str, &str)], script: &str) -> Vec<(&'static str, String, String)> {
    told(with(files, script))
}

#[track_caller]
fn told(outcome: Outcome) -> Vec<(&'static str, String, String)> {
    let errors = outcome.result.as_ref().expect_err("it has faults");
    let told = errors.iter().map(|d| {
        let span = d.labels[0].span;
        (d.code, outcome.sources.file(span.file).name.clone(), outcome.sources.text(span).to_owned())
    });
    told.collect()
}

fn fault(code: &'static str, file: &str, at: &str) -> Vec<(&'static str, String, String)> {
    vec![(code, file.to_owned(), at.to_owned())]
}

const LIB: (&str, &str) = (
    "lib.pi",
    "//! A library.\n\
     param least: duration = 1ms\n\
     let twice = 2 * $least\n\
     fn per(x, n) = x / n\n\
     fn slot(x) = x - x % twice\n\
     agg two(x) = count(), mean = avg(per(x, 2))\n\
     probe slow = llama_ubatch where (dur > twice) { let each = per(dur, n_tokens) }\n",
);

#[test]
fn what_a_module_defines_is_had_by_its_name() {
    let imported = with(
        &[LIB],
        "import \"./lib.pi\"\n\
         on lib.slow(each = 1ms..) < lib.two(dur) by s = lib.slot(dur), long = (dur > lib.twice) into t >",
    );
    let written = common::compile(
        "on llama_ubatch where (dur / n_tokens = 1ms.. and dur > 2ms)\n\
         < count(), mean = avg(dur / 2) by s = dur - dur % 2ms, long = (dur > 2ms) into t >",
    );
    assert_eq!(print::plan(&imported.compiled().plan), print::plan(&written.compiled().plan));
}

#[test]
fn a_module_has_the_name_behind_as_or_the_last_of_its_path() {
    let files = [("deep/lib.pi", "let a = 3"), LIB];
    for import in ["import deep.lib", "import \"./deep/lib.pi\"", "import deep.lib as lib", "import deep.lib as other"]
    {
        let name = if import.ends_with("other") { "other" } else { "lib" };
        let outcome = with(&files, &format!("{import}\non ggml_op where (nth = {name}.a) < count() >"));
        let text = print::plan(&outcome.compiled().plan);
        assert!(text.contains("p.nth = 3"), "{import}: {text}");
    }
}

#[test]
fn a_file_is_imported_once() {
    let files = [
        ("base.pi", "agg n() = count()\nparam p: int = 1\nlet three = 3"),
        ("left.pi", "import \"./base.pi\"\nlet a = base.three"),
        ("right.pi", "import \"./base.pi\" as ground\nlet b = ground.three"),
    ];
    let script = "import \"./left.pi\"\nimport \"./right.pi\"\nimport \"./base.pi\"\nimport \"./base.pi\" as again\n\
                  on ggml_op where (nth = left.a or nth = right.b or nth = base.three) < base.n(), x = again.n() >";
    let outcome = with(&files, script);
    assert_eq!(outcome.sources.files().iter().filter(|f| f.name == "base.pi").count(), 1);
    outcome.compiled();
}

#[test]
fn parameters_of_a_module_are_set_by_their_full_name() {
    let script = "import \"./lib.pi\"\non ggml_op where (dur > lib.twice) < count() >";
    let run = |settings| common::compile_files(&common::ggml(), &Files::of([LIB]), script, settings);
    assert!(print::plan(&run(&[("lib.least", "5ms")]).compiled().plan).contains("dur > 10ms"));
    assert_eq!(run(&[("least", "5ms")]).codes(), ["PI0209"]);
    assert_eq!(run(&[("lib.least", "5")]).codes(), ["PI0208"]);
}

#[test]
fn names_in_a_module_are_its_own() {
    // The module's `f` and `c` are not those of the script, nor the other way round.
    let files = [("m.pi", "let c = 1\nfn f(x) = x + c\nfn g(c) = f(c)\nagg a(f) = sum(f)")];
    let script = "import \"./m.pi\"\nlet c = 100\nfn f(x) = x * c\n\
                  on ggml_op < p = sum(m.g(nth)), q = sum(f(nth)), m.a(nth + c) >";
    let plan = with(&files, script).compiled().plan;
    let text = print::plan(&plan);
    for sum in ["sum of (nth + 1),", "sum of (nth * 100),", "sum of (nth + 100),"] {
        assert!(text.contains(sum), "{sum}: {text}");
    }
    assert_eq!(plan.tables[0].columns[2].name, "sum(nth+c)");
}

#[test]
fn what_a_module_imports_is_not_handed_on() {
    let files = [("outer.pi", "import \"./inner.pi\"\nlet a = inner.b"), ("inner.pi", "let b = 3\nfn f(x) = x")];
    with(&files, "import \"./outer.pi\"\non ggml_op where (nth = outer.a) < count() >").compiled();
    let script = "import \"./outer.pi\"\non ggml_op < sum(outer.inner.f(dur)) >";
    assert_eq!(faults(&files, script), fault("PI0216", "test.pi", "outer.inner.f"));
}

#[test]
fn names_that_are_not_there_are_told() {
    for (clause, place) in [
        ("on lib.slw < count() >", "lib.slw"),
        ("on lib.per < count() >", "lib.per"),
        ("on ggml_op < lib.too(dur) >", "lib.too"),
        ("on ggml_op < sum(lib.twice(dur)) >", "lib.twice"),
        ("on ggml_op where (dur > lib.once) < count() >", "lib.once"),
        ("on ggml_op where (dur > lib.slow) < count() >", "lib.slow"),
    ] {
        assert_eq!(
            faults(&[LIB], &format!("import \"./lib.pi\"\n{clause}")),
            fault("PI0216", "test.pi", place),
            "{clause}"
        );
    }
    let outcome = with(&[LIB], "import \"./lib.pi\"\non ggml_op < lib.too(dur) >");
    assert!(outcome.text().contains("did you mean `two`?"), "{}", outcome.text());
}

#[test]
fn a_module_hides_nothing() {
    let clause = "\non ggml_op < count() >";
    for (script, place) in [
        ("import \"./lib.pi\"\nfn lib(x) = x", "\"./lib.pi\""),
        ("import \"./lib.pi\" as layer", "layer"),
        ("import \"./lib.pi\" as ggml_op", "ggml_op"),
        ("import \"./lib.pi\"\nimport \"./deep/lib.pi\"", "\"./deep/lib.pi\""),
    ] {
        let files = [LIB, ("deep/lib.pi", "let a = 3")];
        assert_eq!(faults(&files, &format!("{script}{clause}")), fault("PI0205", "test.pi", place), "{script}");
    }
}

#[test]
fn faults_in_a_module_are_told_there() {
    let clause = "import \"./m.pi\"\non ggml_op < count() >";
    for (module, code, place) in [
        ("let a = 3ms + 1", "PI0302", "3ms + 1"),
        ("let a = 3\nlet a = 4", "PI0205", "a"),
        ("fn f(x) = (x", "PI0115", "("),
        ("on ggml_op < count() >", "PI0217", "on ggml_op < count() >"),
        ("every 1s < exit >", "PI0217", "every 1s < exit >"),
        ("probe p = ggml_opp", "PI0201", "ggml_opp"),
        ("agg sum(x) = count()\nfn count(x) = x", "PI0205", "count"),
        ("import \"./none.pi\"", "PI0215", "\"./none.pi\""),
        ("struct s { a: i31 @ 0 }", "PI0210", "i31"),
        ("engine e \"e\" where (exports(\"f\"))", "PI0222", "e"),
    ] {
        let all = faults(&[("m.pi", module)], clause);
        let own: Vec<_> = all.into_iter().filter(|(c, _, at)| *c == code && at == place).collect();
        assert_eq!(own, fault(code, "m.pi", place), "{module}");
    }
    // A function's fault shows where it is used as well as where it is.
    let outcome = with(&[("m.pi", "fn f(x) = x + 1")], "import \"./m.pi\"\non ggml_op < sum(m.f(dur)) >");
    let text = outcome.text();
    assert!(text.contains("test.pi:2:18") && text.contains("m.pi:1:11") && text.contains("`m.f`"), "{text}");
    let outcome = with(&[("m.pi", "agg a(x) = x + count()")], "import \"./m.pi\"\non ggml_op < m.a(sum(dur)) >");
    let text = outcome.text();
    assert!(text.contains("m.pi:1:12") && text.contains("test.pi:2:18"), "{text}");
}

#[test]
fn circles_are_told_with_their_way() {
    let files = [
        ("a.pi", "import \"./b.pi\"\nlet x = 1"),
        ("b.pi", "import \"./c.pi\"\nlet x = 1"),
        ("c.pi", "import \"./a.pi\"\nlet x = 1"),
    ];
    let outcome = with(&files, "import \"./a.pi\"\non ggml_op < count() >");
    assert!(outcome.text().contains("`a.pi` imports itself, by way of b.pi, c.pi"), "{}", outcome.text());
    assert_eq!(told(outcome), fault("PI0218", "c.pi", "\"./a.pi\""));
    let script = "import \"./test.pi\" as me\non ggml_op < count() >";
    assert_eq!(faults(&[("test.pi", script)], script), fault("PI0218", "test.pi", "\"./test.pi\""));
}

#[test]
fn a_module_that_cannot_be_had_is_told_once() {
    let mut files = Files::default();
    files.fails("lib.pi", LoadError::TooLarge { path: "lib.pi".to_owned(), most: 1 });
    let script = "import \"./lib.pi\"\nimport \"./lib.pi\" as again\n\
                  on lib.p(MUL_MAT) where (dur > lib.c) < lib.a(dur), sum(again.f(dur)) by lib.k into t >\n\
                  end < show t sort lib.a(dur) >";
    let outcome = common::compile_files(&common::ggml(), &files, script, &[]);
    let codes = outcome.codes();
    assert_eq!(codes, ["PI0220", "PI0220"], "{}", outcome.text());
}

#[test]
fn there_is_a_limit_to_files() {
    let names: Vec<String> = (0..150).map(|i| format!("m{i}.pi")).collect();
    let texts: Vec<String> = (0..150).map(|i| format!("import \"./m{}.pi\" as n\nlet x = 1", i + 1)).collect();
    let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let all = faults(&files, "import \"./m0.pi\"\non ggml_op < count() >");
    assert_eq!(all.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), ["PI0220"]);
}

#[test]
fn built_in_modules_work() {
    let script = "import std.latency\nimport std.parts\n\
                  on llama_ubatch < latency.latency(dur), i = latency.latency(interval) by phase >\n\
                  on ggml_op < latency.cost(dur), latency.spread(dur) by op into ops >\n\
                  on parts.products(routed = false) < count() by matrix, part, other = parts.matrix_of(src1.name) >\n\
                  end < show ops sort share >";
    common::compile(script).compiled();
    for module in profinfer_scripts::STD {
        let name = module.path.trim_end_matches(".pi").replace('/', ".");
        let text = format!("import {name} as m\non ggml_op < count() >");
        common::compile(&text).compiled();
        let mut sources = profinfer_lang::source::SourceMap::new();
        let file = sources.add(module.path, module.text);
        let documented = profinfer_lang::parse(&sources, file);
        assert!(!documented.program.doc.is_empty(), "{} says what it is for", module.path);
        for item in &documented.program.items {
            assert!(!item.docs.is_empty(), "{}: everything is documented", module.path);
        }
    }
}
