//! A generation that stays open: a block computes so many tokens and no more, and the times of tokens are those that passed.

use std::time::Instant;

use profinfer_tests::engine::{Engine, Kind, Model};
use profinfer_tests::lab::Lab;
use profinfer_tests::offload::{Offload, Split};
use profinfer_tests::tracefs::{Probe, Watch};

const GRAPH: Probe = Probe { symbol: "ggml_graph_compute", fetch: "", filter: None };

fn a_block_is_its_tokens(engine: &mut Engine) {
    engine.open();
    for tokens in [5, 2] {
        let watch = Watch::new(engine.pid(), &[GRAPH]);
        let begin = Instant::now();
        let times = engine.block(tokens);
        let wall = begin.elapsed().as_micros() as u64;
        let hits = watch.hits();
        assert_eq!(hits.len(), tokens, "graphs of a block");
        // The block begins before its first graph, and ends behind its last.
        let between = hits[tokens - 1].at_us - hits[0].at_us;
        let sum: u64 = times.iter().sum();
        let rounding = tokens as u64 * 2;
        assert!(between <= sum + rounding && sum <= wall + rounding, "{between} <= {sum} <= {wall} µs");
    }
    // An idle engine computes nothing: a tool that is attached meanwhile meets whole tokens only.
    let watch = Watch::new(engine.pid(), &[GRAPH]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(watch.hits().len(), 0, "graphs between two blocks");
    drop(watch);
    // What is open does not change what is generated anew.
    assert!(engine.generate(4).text.starts_with(" blue"), "it makes sense");
}

#[test]
fn engine_llama_cpp_a_block_is_its_tokens() {
    let lab = Lab::new();
    let mut offload = Offload::start(lab.cache(), Model::Dense, Split::CpuOnly);
    a_block_is_its_tokens(&mut offload.engine);
}

mod engine_node {
    use super::*;

    #[test]
    fn a_block_is_its_tokens() {
        let lab = Lab::new();
        super::a_block_is_its_tokens(&mut lab.engine(Kind::Node));
    }
}
