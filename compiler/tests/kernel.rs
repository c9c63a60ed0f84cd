//! Points of the kernel as scripts name them: their fields, what may enclose them, and what is wrong with them.

mod common;

use common::{compile, compile_with, ggml};
use profinfer_compiler::catalogue::{Format, Template, TraceField, TraceKind};
use profinfer_compiler::plan::{CaptureValue, Expr, Gate, Plan, Point};
use profinfer_compiler::types::Mem;

fn kernel_points(plan: &Plan) -> Vec<&Point> {
    plan.points.iter().filter(|p| p.used && p.template.is_kernel()).collect()
}

#[test]
fn they_need_no_engine_and_count_at_once() {
    for (script, template) in [
        ("on page_fault < count() by major, file, tensor, bucket(offset, 1MiB) >", Template::Fault),
        ("on off_cpu < count(), sum(dur), sum(queue) by reason >", Template::OffCpu),
        ("on disk_read < sum(bytes) by device, bucket(sector, 1000) >", Template::Disk),
        ("on profile(99hz) < count() by stack(user), comm >", Template::Sample),
    ] {
        let plan = compile(script).compiled().plan;
        let points = kernel_points(&plan);
        assert_eq!(
            points.iter().map(|p| (p.template, p.gate)).collect::<Vec<_>>(),
            [(template, Gate::Run)],
            "{script}"
        );
        assert!(!plan.needs_engine(), "{script}");
    }
}

#[test]
fn what_the_thread_has_open_encloses_them() {
    let plan =
        compile("on off_cpu(reason = preempted) < count() by op, ith, phase, llama_decode.context >").compiled().plan;
    assert!(plan.needs_engine());
    let within: Vec<&str> = kernel_points(&plan)[0].within.iter().map(|p| plan.points[*p].name.as_str()).collect();
    let expected = [
        "ggml_op",
        "tensor_copy",
        "backend_wait",
        "ggml_graph",
        "ggml_sched",
        "llama_ubatch",
        "llama_decode",
        "ggml_work",
    ];
    assert_eq!(within, expected);
    let used: Vec<&str> = plan.points.iter().filter(|p| p.used).map(|p| p.name.as_str()).collect();
    assert_eq!(used, ["ggml_op", "ggml_work", "ggml_graph", "llama_ubatch", "llama_decode", "off_cpu"]);
}

#[test]
fn files_and_tensors_are_told_apart_in_user_space() {
    let plan = compile("on page_fault(file = \"*.gguf\", tensor = !\"blk.*\") < count() by major >").compiled().plan;
    assert!(plan.tables[0].user.is_some() && plan.tables[0].open.is_empty());
    assert_eq!(plan.tables[0].key.len(), 3, "two are hidden: {:?}", plan.tables[0].key);
}

#[test]
fn samples_and_tracepoints_of_one_kind_are_one_point() {
    let script = "on profile(99hz) < count() into a >\non profile(99hz) < count() by comm into b >\non profile(49hz) < count() >";
    let plan = compile(script).compiled().plan;
    let points = kernel_points(&plan);
    assert_eq!(points.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["profile(99hz)", "profile(49hz)"]);
    assert_eq!(plan.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b", "profile"]);
}

#[test]
fn a_stack_is_kept_where_the_event_begins() {
    let plan = compile("on span(\"libc:malloc\") < count() by stack(user) >").compiled().plan;
    let point = plan.points.iter().position(|p| p.used).expect("a point");
    assert!(plan.has_stacks(point));
    assert_eq!(plan.points[point].captures[0].value, CaptureValue::Number(Expr::Stack));
    assert_eq!(compile("on off_cpu < count() by stack(kernel) >").codes(), ["PI0306"]);
    assert_eq!(compile("on off_cpu < sum(stack(user)) >").codes(), ["PI0317"]);
}

#[test]
fn tracepoints_have_the_fields_of_their_format() {
    let mut catalogue = ggml();
    let number = |name: &str, offset| TraceField {
        name: name.to_owned(),
        offset,
        kind: TraceKind::Number(Mem { size: 4, signed: true }),
    };
    let text = |name: &str, offset, kind| TraceField { name: name.to_owned(), offset, kind };
    let fields = vec![
        number("next_pid", 56),
        text("next_comm", 40, TraceKind::Text(16)),
        text("filename", 8, TraceKind::Behind),
        number("pid", 12),
    ];
    catalogue.tracepoints.insert("sched:a".to_owned(), Format::Fields(fields));
    catalogue.tracepoints.insert("sched:b".to_owned(), Format::Missing(vec!["sched:a".to_owned()]));
    catalogue.tracepoints.insert("sched:c".to_owned(), Format::Unreadable("denied".to_owned()));
    let codes = |script: &str| compile_with(&catalogue, script, &[]).codes();
    let good = "on tracepoint(\"sched:a\", next_pid = 1..) < count(), max(next_pid) by next_comm, filename, pid, op >";
    assert_eq!(codes(good), [] as [&str; 0]);
    assert_eq!(codes("on tracepoint(\"sched:a\") < count() by next_pd >"), ["PI0202"]);
    assert_eq!(codes("on tracepoint(\"sched:a\") < sum(next_comm) >"), ["PI0307"]);
    assert_eq!(codes("on tracepoint(\"sched:b\") < count() >"), ["PI0225"]);
    assert_eq!(codes("on tracepoint(\"sched:c\") < count() >"), ["PI0226"]);
    let text = compile_with(&catalogue, "on tracepoint(\"sched:b\") < count() >", &[]).text();
    assert!(text.contains("did you mean \"sched:a\"?"), "{text}");
}

#[test]
fn their_names_are_taken() {
    assert_eq!(compile("probe off_cpu = ggml_op\non off_cpu < count() >").codes(), ["PI0205"]);
    assert_eq!(compile("probe profile = ggml_op\non ggml_op < count() >").codes(), ["PI0205"]);
    let point = "point page_fault : enter { start \"f\" (a: ptr) }\non ggml_op < count() >";
    assert_eq!(compile(point).codes(), ["PI0205"]);
    assert_eq!(compile("point x : fault { start \"f\" (a: ptr) }\non x < count() >").codes(), ["PI0210"]);
}
