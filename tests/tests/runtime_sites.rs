//! Where functions are probed: at the cheapest instruction, or at the first one where that is asked for; what is counted is the
//! same.

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::Profinfer;

const SCRIPT: &str = "on ggml_op < n = count(), t = sum(dur) by op > on llama_ubatch < n = count() >";

fn the_first_instruction_counts_the_same(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let pid = engine.pid().to_string();
    let (mut counted, mut stepped) = (Vec::new(), Vec::new());
    for sites in ["cheapest", "entry"] {
        let plan = Profinfer::run(["plan", "-e", SCRIPT, "--pid", &pid, "--sites", sites]);
        assert_eq!(plan.code, Some(0), "{}", plan.stderr);
        // Lines are broken between words.
        let text = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let asked = text.contains("as was asked for");
        assert_eq!(asked, sites == "entry", "{}", plan.stdout);
        stepped.push(text.matches("about 4 µs").count());
        let report = lab.trace_with(&mut engine, SCRIPT, 2, &["--sites", sites]);
        assert_eq!(report.table("llama_ubatch").total("n"), 2);
        counted.push(report.table("ggml_op").by("op", "n"));
    }
    assert_eq!(counted[0], counted[1]);
    // Where functions begin with `endbr64`, that is single-stepped.
    assert!(kind != Kind::Node || stepped[1] > stepped[0], "{stepped:?}");
    assert_eq!(counted[0].values().sum::<u64>(), 2 * 515);
}

on_each_engine! { the_first_instruction_counts_the_same }
