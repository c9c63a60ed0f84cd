//! A model that does not fit into the memory it may use: every token reads a part of it from the disk.

use profinfer_tests::engine::{Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::limit::MemoryLimit;
use profinfer_tests::profinfer::{Profinfer, stock, text, whole};
use profinfer_tests::system::{page_out, read_bytes};

/// Bytes that the process may use: the model has 447 MB.
const LIMIT: u64 = 400 << 20;
const TOKENS: u64 = 3;

/// `paging.pi` names the tensors and reads what the kernel counts, in the tokens of the answer as well; `roofline.pi` says
/// what it is.
#[test]
fn engine_xllamacpp_a_model_larger_than_its_memory_is_paged_by_every_token() {
    let lab = Lab::new();
    let limit = MemoryLimit::new(LIMIT);
    let mut engine = lab.engine_with(Kind::Xllamacpp, &Options { model: Model::Moe, threads: 1, ..Options::default() });
    limit.take(engine.pid());
    // What was read before the limit is not under it.
    page_out(engine.pid(), ".gguf");
    let pid = engine.pid().to_string();
    let script = stock("paging.pi").display().to_string();
    let running = Profinfer::start_attached([&*script, "-P", "top=1000", "--pid", &pid, "--format", "json"]);
    let before = read_bytes(engine.pid());
    engine.generate(TOKENS);
    let read = read_bytes(engine.pid()) - before;
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("steps");
    let steps = table.only();
    assert_eq!((whole(steps, "steps"), whole(steps, "read")), (TOKENS, read), "{steps}");
    assert!(read > 100 << 20, "{read} bytes were read");
    let tensors = report.table("tensors");
    assert!(tensors.rows.iter().any(|row| text(row, "tensor").contains("exps")), "{tensors:?}");
    let by_step = report.table("by_step");
    for step in 1..=TOKENS {
        assert!(whole(by_step.row_of("step", step), "faults") > 0, "{by_step:?}");
    }

    let script = stock("roofline.pi").display().to_string();
    let running = Profinfer::start_attached([&*script, "-P", "minor=1", "--pid", &pid, "--format", "json"]);
    engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let verdict = report.table("verdict");
    let paging = verdict.row("phase", "decode")["paging"].as_str().unwrap_or_default().to_owned();
    assert!(paging.starts_with("Paging: "), "{}", report.stdout);
    drop(engine);
    drop(limit);
}
