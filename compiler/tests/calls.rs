//! Functions that a script names, and what else it adds to the engine's description.

mod common;

use common::{Files, Outcome, compile, compile_files, ggml};
use profinfer_compiler::catalogue::{Template, Wanted};
use profinfer_compiler::plan::{Gate, Plan, Point};
use profinfer_compiler::types::Mem;

#[track_caller]
fn plan(text: &str) -> Plan {
    compile(text).compiled().plan
}

/// The points that are probed for what the script names.
fn calls(plan: &Plan) -> Vec<&Point> {
    plan.points.iter().filter(|p| p.used && p.called.is_some()).collect()
}

/// The codes of faults with the texts at their places.
#[track_caller]
fn faults(text: &str) -> Vec<(&'static str, String)> {
    let outcome = compile(text);
    let errors = outcome.result.as_ref().expect_err(text);
    errors.iter().map(|d| (d.code, outcome.sources.text(d.labels[0].span).to_owned())).collect()
}

fn reads(outcome: Outcome) -> Vec<String> {
    let sources = outcome.sources.clone();
    outcome.compiled().reads.iter().map(|d| sources.text(d.labels[0].span).to_owned()).collect()
}

#[test]
fn a_function_becomes_a_point() {
    let plan = plan(
        "on enter(\"libfoo.so:step\") < count() >\non span(\"exe:run*\", n: i32, p: ptr, ret: u8) < sum(dur) by n >",
    );
    let calls = calls(&plan);
    assert_eq!(calls.len(), 2);
    let [enter, span] = [calls[0], calls[1]];
    assert_eq!((enter.template, span.template), (Template::Enter, Template::Call));
    let called = enter.called.as_ref().expect("a function");
    assert_eq!((called.library.as_str(), &called.function), ("libfoo.so", &Wanted::Named("step".to_owned())));
    assert!(called.returned.is_none(), "what it returns is not seen at the entry");
    let called = span.called.as_ref().expect("a function");
    assert_eq!(called.returned.as_ref().map(|(mem, _)| *mem), Some(Mem { size: 1, signed: false }));
    assert!(calls.iter().all(|p| p.gate == Gate::Run), "they count wherever they are called");
    assert!(!plan.needs_engine(), "no engine is needed for them");
    assert_eq!(plan.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["enter", "span"]);
}

#[test]
fn the_same_function_is_one_point() {
    let text = "on span(\"exe:f\", n: i32) < count() >\non span(\"exe:f\", n: i32) < sum(dur) >\non span(\"exe:f\") < count() >";
    assert_eq!(calls(&plan(text)).len(), 2);
    let text = "probe slow = span(\"exe:f\", n: i32) where (dur > 1ms) { let twice = 2 * n }\n\
                on slow(n = 1..4) < sum(twice) >\non slow < count() by func >";
    let plan = plan(text);
    assert_eq!(calls(&plan).len(), 1);
    assert_eq!(plan.tables[0].name, "slow");
}

#[test]
fn an_address_is_hexadecimal() {
    let plan = plan("on enter(\"libfoo.so:+0x1aF0\") < count() >");
    assert_eq!(calls(&plan)[0].called.as_ref().map(|c| c.function.clone()), Some(Wanted::At(0x1af0)));
}

#[test]
fn an_engine_is_needed_for_what_encloses_the_call() {
    assert!(plan("on enter(\"exe:f\") < count() by phase >").needs_engine());
    assert!(plan("on enter(\"exe:f\") < count() by ggml_op.op >").needs_engine());
    assert!(plan("on enter(\"exe:f\") < count() >\non ggml_op < count() >").needs_engine());
    assert!(!plan("on enter(\"exe:f\") < count() >\non ggml_op? < count() >").needs_engine());
    assert!(plan("on ggml_op? < count() >").needs_engine(), "without it nothing is left");
    let plan = plan("on span(\"exe:f\") < count() by op, n_nodes, phase, ith, name >");
    let owner = |name: &str| plan.points.iter().position(|p| p.name == name && p.used);
    for point in ["ggml_op", "ggml_graph", "llama_ubatch", "ggml_work"] {
        assert!(owner(point).is_some(), "{point} has a field that is asked for");
    }
}

/// Whether there is something of an enclosing event has an answer also where there is no such event.
#[test]
fn what_an_enclosing_event_has_can_be_asked_without_one() {
    for (e, expected) in [
        ("has(llama_ubatch.phase)", "Number(Has(Capture("),
        ("(not has(llama_ubatch.phase))", "Number(Not(Has(Capture("),
        ("has(ggml_sched.sched)", "Number(Cmp(Ne, [Capture("),
    ] {
        let plan = plan(&format!("on backend_wait < count() by k = {e} >"));
        let key = format!("{:?}", plan.tables[0].key[0].source);
        assert!(key.starts_with(expected), "{e}: {key}");
    }
}

/// What holds of an enclosing event holds of none where there is none, and that is a value.
#[test]
fn where_nothing_encloses_a_call_conditions_are_false() {
    let key = |text: &str| {
        let plan = plan(text);
        format!("{:?}", plan.tables[0].key[0].source)
    };
    for e in ["has(phase)", "(phase = decode)", "(n_tokens > 1 and phase = decode)"] {
        let key = key(&format!("on enter(\"exe:f\") < count() by k = {e} >"));
        assert!(key.starts_with("Number(First([Capture(") && key.ends_with("Const(0)]))"), "{e}: {key}");
    }
    let not = key("on enter(\"exe:f\") < count() by k = (not has(phase)) >");
    assert!(not.starts_with("Number(Not(First([Capture("), "{not}");
    let first = key("on enter(\"exe:f\") < count() by k = first(n_tokens, 0) >");
    assert!(first.starts_with("Number(First([Capture("), "{first}");
    let phase = key("on enter(\"exe:f\") < count() by k = phase >");
    assert!(phase.starts_with("Number(Capture("), "a field of the event is absent as a whole: {phase}");
}

#[test]
fn functions_have_fields_of_their_own() {
    for fine in [
        "on enter(\"exe:f\", n: i32) < count() by arg0, n >",
        "on enter(\"exe:f\") < count() by arg0, arg5, func, time, pid, tid, comm, cpu >",
        "on span(\"exe:f\", a: u8) < sum(self), sum(dur), sum(ret) by a, arg1 >",
        "on span(\"exe:f*\", ret: bool) where (ret and func = \"f_*\") < count() >",
        "on span(\"exe:f*\", func = f_one | f_t*) < count() >",
        "on span(\"exe:f*\") where (func = f_one) < count() >",
        "on span(\"exe:f\", e: enum(ggml_type)) < count() by e >",
        "on span(\"exe:f\", ret: enum(ggml_type)) where (ret = F32) < count() >",
        "on span(\"exe:f\")? < quantile(self, 0.5), last(ret), hist(ret) >",
    ] {
        assert!(compile(fine).compiled().reads.is_empty(), "{fine}");
    }
    for (wrong, code, place) in [
        ("on enter(\"exe:f\") < sum(dur) >", "PI0202", "dur"),
        ("on enter(\"exe:f\") < sum(ret) >", "PI0202", "ret"),
        ("on enter(\"exe:f\") < sum(self) >", "PI0202", "self"),
        ("on enter(\"exe:f\") < count() by arg6 >", "PI0202", "arg6"),
        ("on ggml_op < count() by func >", "PI0202", "func"),
        ("on span(\"exe:f\", p: ptr) < count() by p.x >", "PI0301", "p"),
    ] {
        let found = faults(wrong);
        assert_eq!(found, [(code, place.to_owned())], "{wrong}");
    }
}

#[test]
fn what_names_no_function_is_told() {
    let on = |what: &str| format!("on {what} < count() >");
    for (at, place) in [
        ("enter", "enter"),
        ("span()", "span()"),
        ("enter(main)", "enter(main)"),
        ("enter(!\"exe:f\")", "enter(!\"exe:f\")"),
        ("enter(\"exe\")", "\"exe\""),
        ("enter(\":f\")", "\":f\""),
        ("enter(\"exe:\")", "\"exe:\""),
        ("enter(\"/usr/lib/libc.so.6:read\")", "\"/usr/lib/libc.so.6:read\""),
        ("enter(\"exe:+12\")", "\"exe:+12\""),
        ("enter(\"exe:+0xyz\")", "\"exe:+0xyz\""),
        ("enter(\"exe:f\", s: str[4])", "str[4]"),
        ("enter(\"exe:f\", a: i32[4])", "i32[4]"),
        ("enter(\"exe:f\", d: duration)", "duration"),
        ("enter(\"exe:f\", ret: i32)", "ret"),
        ("span(\"exe:f\", ret: ptr(ggml_tensor))", "ptr(ggml_tensor)"),
        ("enter(\"exe:f\", a: i8, b: i8, c: i8, d: i8, e: i8, f: i8, g: i8)", "g"),
        ("ggml_op(p: i64)", "p"),
    ] {
        assert_eq!(faults(&on(at)), [("PI0223", place.to_owned())], "{at}");
    }
    assert_eq!(faults(&on("enter(\"exe:f\", a: i8, a: i8)")), [("PI0205", "a".to_owned())]);
    assert_eq!(faults(&on("enter(\"exe:f\", dur: i8)")), [("PI0205", "dur".to_owned())]);
    assert_eq!(faults(&on("enter(\"exe:f\", a: ptr(nobody))")), [("PI0210", "nobody".to_owned())]);
    let probe = "probe p = span(\"exe:f\")\non p(n: i32) < count() >";
    assert_eq!(faults(probe), [("PI0223", "p(n: i32)".to_owned())]);
}

#[test]
fn pointers_that_are_followed_need_trust() {
    let all = "struct request { kind: i32 @ 8 next: ptr(request) @ 16 }\n\
               on span(\"exe:f\", r: ptr(request), n: ptr(i32), q: ptr) < count() by r.next.kind, n[1], q >";
    assert_eq!(reads(compile(all)), ["request", "ptr(request)", "ptr(i32)"]);
    let point = "point mine : enter { start \"f\" (p: ptr(i32)) let first = p[0] }\non mine < count() by first >";
    assert_eq!(reads(compile(point)), ["mine"]);
    let engine = "on enter(\"exe:f\", t: ptr(ggml_tensor)) < count() by t.name >";
    assert_eq!(reads(compile(engine)), ["ptr(ggml_tensor)"], "that it is one is what the script says");
    let none =
        "enum kind { a, b }\npoint mine : span { start \"f\" (k: enum(kind)) let k = k }\non mine < count() by k >";
    assert_eq!(reads(compile(none)), Vec::<String>::new());
}

#[test]
fn what_the_engine_has_cannot_be_replaced() {
    let clause = "\non ggml_op < count() >";
    for (item, place) in [
        ("struct ggml_tensor { a: i32 @ 0 }", "ggml_tensor"),
        ("enum ggml_op { A }", "ggml_op"),
        ("point ggml_op : enter { start \"f\" }", "ggml_op"),
        ("point span : enter { start \"f\" }", "span"),
        ("enum mine { A }\nenum mine { B }", "mine"),
        ("point mine : enter { start \"f\" }\npoint mine : enter { start \"f\" }", "mine"),
        ("point mine : span { start \"f\" (n: i32) let step = n }", "step"),
        ("point mine : enter { start \"f\" }\nprobe mine = ggml_op", "mine"),
        ("probe enter = ggml_op", "enter"),
    ] {
        assert_eq!(faults(&format!("{item}{clause}")), [("PI0205", place.to_owned())], "{item}");
    }
    let engine = "engine mine \"mine\" where (exports(\"f\"))";
    assert_eq!(faults(&format!("{engine}{clause}")), [("PI0222", "mine".to_owned())]);
    for (item, code, place) in [
        ("struct s { a: i31 @ 0 }", "PI0210", "i31"),
        ("point p : splash { start \"f\" }", "PI0210", "splash"),
        ("point p : enter { start \"f\" (n: i32) let a = m }", "PI0202", "m"),
        ("point p : enter { start \"f\" within nowhere }", "PI0201", "nowhere"),
    ] {
        assert_eq!(faults(&format!("{item}{clause}")), [(code, place.to_owned())], "{item}");
    }
}

#[test]
fn points_of_a_script_stand_beside_those_of_the_engine() {
    let text = "
        /// What it is.
        enum kind { quick, slow }
        fn twice(x) = 2 * x
        point mine : span {
          start \"f\" (k: enum(kind), n: i32)
          within ggml_graph, llama_ubatch
          let kind = k
          let n = twice(n)
        }
        on mine(kind = slow) < count(), sum(n) by phase, n_nodes >
        on llama_ubatch < count() >";
    let plan = plan(text);
    let mine = plan.points.iter().find(|p| p.name == "mine").expect("it is there");
    assert!(mine.used && mine.template == Template::Span);
    assert!(plan.enums["kind"].of_script);
}

#[test]
fn modules_have_types_and_points() {
    let lib = "struct request { kind: enum(kind) @ 8 }\nenum kind { quick, slow }\nfn half(x) = 2 * x\n\
               point step : span { start \"f\" (r: ptr(request), n: i32) let kind = r.kind let n = half(n) }\n\
               probe calls = span(\"exe:f\", r: ptr(request))";
    let files = Files::of([("lib.pi", lib)]);
    let script = "import \"./lib.pi\"\n\
                  on lib.step(kind = slow) < count(), sum(n) by kind >\n\
                  on lib.calls < count() by r.kind >\n\
                  param k: enum(lib.kind) = quick\n\
                  on enter(\"exe:g\", r: ptr(lib.request)) where (r.kind = $k) < count() >";
    let plan = compile_files(&ggml(), &files, script, &[]).compiled().plan;
    assert_eq!(plan.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["step", "calls", "enter"]);
    let wrong = "import \"./lib.pi\"\non enter(\"exe:g\", r: ptr(lib.reqest)) < count() by r.kind >";
    let outcome = compile_files(&ggml(), &files, wrong, &[]);
    assert!(outcome.codes().contains(&"PI0216"), "{}", outcome.text());
}

/// Contexts are told apart where the script asks something of the engine; they alone ask for none.
#[test]
fn gaps_and_caches_of_calls_need_no_engine() {
    let plan = |script: &str| compile(script).compiled().plan;
    let context = |script: &str| {
        let plan = plan(script);
        (plan.needs_engine(), plan.tables[0].context.is_some())
    };
    for column in ["sum(gap(n))", "lru(n)", "pinned(n)"] {
        let alone = format!("on enter(\"exe:f\", n: i32) < {column} by tid >");
        assert_eq!(context(&alone), (false, false), "{alone}");
        assert_eq!(context(&format!("{alone}\non ggml_op < count() >")), (true, true), "{alone}");
        assert_eq!(context(&alone.replace("tid", "op")), (true, true), "{alone}");
    }
}
