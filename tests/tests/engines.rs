//! What the engines do, seen by the kernel's own uprobe events: the facts that the tests of profinfer stand on.

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::truth::Truth;

/// Steps of one micro-batch of the dense model, by operator: 30 layers, an embedding, a head.
const STEPS: [(&str, u64); 8] = [
    ("ADD", 60),
    ("FLASH_ATTN_EXT", 30),
    ("GET_ROWS", 3),
    ("GLU", 30),
    ("MUL_MAT", 211),
    ("RMS_NORM", 61),
    ("ROPE", 60),
    ("SET_ROWS", 60),
];

fn a_ubatch_is_515_steps(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    for tokens in [1, 9] {
        let truth = Truth::of(&mut engine, tokens);
        let prompt = truth.timings.prompt_tokens;
        let decodes = std::iter::repeat_n(1, tokens as usize - 1);
        assert_eq!(truth.ubatches, [prompt].into_iter().chain(decodes).collect::<Vec<_>>(), "tokens by micro-batch");
        assert_eq!(truth.graphs, tokens, "graphs");
        assert_eq!(truth.steps(), 515 * tokens, "steps");
        assert_eq!(truth.fused, 61 * tokens, "fused norms");
        assert_eq!(truth.by_op, STEPS.map(|(op, n)| (op.to_owned(), n * tokens)).into(), "steps by operator");
        assert_eq!(truth.by_name.len(), 515, "pairs of operator and name, so no two steps of a graph are alike");
    }
    assert!(engine.quit(), "exit status of the engine");
}

fn a_long_prompt_is_cut_into_ubatches(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { repeat_prompt: 12, ubatch: 64, ..Options::default() });
    let truth = Truth::of(&mut engine, 2);
    let prompt = truth.timings.prompt_tokens;
    let (last, cut) = truth.ubatches.split_last().or_fail("micro-batches");
    assert_eq!(*last, 1, "the only decode: {:?}", truth.ubatches);
    assert_eq!(cut.iter().sum::<u64>(), prompt, "tokens of the prompt: {cut:?}");
    assert!(cut.len() as u64 >= prompt.div_ceil(64) && cut.iter().all(|n| *n <= 64), "micro-batches: {cut:?}");
}

fn greedy_text_is_always_the_same(kind: Kind) {
    let lab = Lab::new();
    let (mut one, mut other) = (lab.engine(kind), lab.engine(kind));
    let text = one.generate(24).text;
    assert_eq!(text, one.generate(24).text, "same process");
    assert_eq!(text, other.generate(24).text, "other process");
    assert!(text.starts_with(" blue"), "it makes sense: {text:?}");
}

on_each_engine! {
    a_ubatch_is_515_steps,
    a_long_prompt_is_cut_into_ubatches,
    greedy_text_is_always_the_same,
}
