//! `kv.pi`: what positions cost.

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, number, stock, whole};

const TOKENS: u64 = 41;
const WIDTH: u64 = 8;

/// Every token of the generation lies in the row of its position, and attention is a part of it.
fn every_token_lies_at_its_position(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (pid, width) = (engine.pid().to_string(), format!("width={WIDTH}"));
    let script = stock("kv.pi").display().to_string();
    let running = Profinfer::start_attached([&*script, "-P", &width, "--pid", &pid, "--format", "json"]);
    let first = engine.generate(TOKENS).prompt_tokens;
    let report = running.interrupt();
    report.succeeded();
    let positions = report.table("positions");
    let (from, to) = (first, first + TOKENS - 1);
    let expected: Vec<(u64, u64)> = (from / WIDTH..=(to - 1) / WIDTH)
        .map(|row| (row * WIDTH, to.min((row + 1) * WIDTH) - from.max(row * WIDTH)))
        .collect();
    let steps: Vec<(u64, u64)> =
        positions.rows.iter().map(|row| (whole(row, "position"), whole(row, "steps"))).collect();
    assert_eq!(steps, expected, "{positions:?}");
    for row in &positions.rows {
        let [step, attention, share] = ["step", "attention", "share"].map(|column| number(row, column));
        assert!((share - attention / step).abs() < 1e-6 && share > 0.0 && share < 1.0, "{row}");
        assert!(number(row, "tpot") >= step * 0.99 || whole(row, "steps") < WIDTH, "{row}");
    }
    let growing = report.table("growing");
    // Flash attention: once a layer.
    assert_eq!(number(growing.row("op", "FLASH_ATTN_EXT"), "calls"), 30.0, "{growing:?}");
    assert_eq!(whole(report.table("token").only(), "steps"), TOKENS - 1);
}

on_each_engine! { every_token_lies_at_its_position }
