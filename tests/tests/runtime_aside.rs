//! Operators that are put aside and read in one go: against the same script where each is read at its own time.

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, number, text, whole};

/// Three tables of the same events, whose rows lie together, by names and words.
const SCRIPT: &str = "
    on ggml_op < n = count(), time = sum(dur), most = max(dur) by op, fused, name, a = src0.name, b = src1.name into all >
    on ggml_op < n = count(), time = sum(dur), least = min(dur) by layer, part into layers >
    on ggml_op < n = count(), time = sum(dur) into total >
    on llama_ubatch < n = count(), operators = sum(ops), time = sum(dur) into steps >
";

/// Asks for the operator while it is open, so that none is put aside.
const AT_ONCE: &str = "on page_fault where (has(ggml_op.op)) < count() into faults >";

fn the_same_is_counted_as_at_once(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let aside = lab.trace(&mut engine, SCRIPT, 5);
    let at_once = lab.trace(&mut engine, &format!("{SCRIPT}\n{AT_ONCE}"), 5);
    let rows = |report: &Output| {
        let table = report.table("all");
        let rows = table.rows.iter().map(|row| {
            let key = ["op", "fused", "name", "a", "b"].map(|k| row[k].to_string());
            (key, whole(row, "n"))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    assert!(rows(&aside).len() > 400, "a row for each tensor: {}", rows(&aside).len());
    assert_eq!(rows(&aside), rows(&at_once));
    // All three say the same of the same events, to the nanosecond, and so does what encloses them.
    let all = aside.table("all");
    let sum = |table: &str, column: &str| aside.table(table).rows.iter().map(|r| number(r, column)).sum::<f64>();
    let (total, steps) = (aside.table("total"), aside.table("steps"));
    let (total, steps) = (&total.rows[0], &steps.rows[0]);
    for table in ["all", "layers"] {
        assert_eq!(sum(table, "n"), number(total, "n"), "{table}");
        assert_eq!(sum(table, "time"), number(total, "time"), "{table}");
    }
    assert_eq!(number(steps, "operators"), number(total, "time"));
    assert!(number(steps, "operators") < number(steps, "time"));
    let most = all.rows.iter().map(|r| number(r, "most")).fold(0.0, f64::max);
    let least = aside.table("layers").rows.iter().map(|r| number(r, "least")).fold(f64::MAX, f64::min);
    assert!(least > 0.0 && least < most && most < number(total, "time"), "{least} {most}");
    assert!(all.rows.iter().all(|r| number(r, "most") * whole(r, "n") as f64 >= number(r, "time")));
    assert!(!all.rows.iter().any(|r| text(r, "name").is_empty()));
    assert_eq!(aside.end()["dropped"], serde_json::json!({}), "{}", aside.end());
}

/// Tables of the threads' steps, and what a thread that leaves the CPU asks of them.
const TEAM: &str = "
    on ggml_work < n = count(), busy = sum(busy), wait = sum(wait), time = sum(dur) by op, fused, name, ith, nth into all >
    on ggml_work < n = count(), busy = sum(busy), time = sum(dur), longest = max(dur) by ith into threads >
    on llama_ubatch < n = count(), ideal = sum(imbalance) into steps >
    on off_cpu where (has(ggml_work.ith)) < n = count() by ith = ggml_work.ith into away >
";

/// Asks for a step while it is open, so that none is put aside.
const TEAM_AT_ONCE: &str = "on page_fault where (has(ggml_work.op)) < count() into faults >";

fn the_same_is_counted_of_a_team_as_at_once(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let aside = lab.trace(&mut engine, TEAM, 5);
    let at_once = lab.trace(&mut engine, &format!("{TEAM}\n{TEAM_AT_ONCE}"), 5);
    let rows = |report: &Output| {
        let table = report.table("all");
        let rows = table.rows.iter().map(|row| {
            let key = ["op", "fused", "name", "ith", "nth"].map(|k| row[k].to_string());
            (key, whole(row, "n"))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    assert!(rows(&aside).len() > 800, "a row for each tensor and thread: {}", rows(&aside).len());
    assert_eq!(rows(&aside), rows(&at_once));
    let sum = |table: &str, column: &str| aside.table(table).rows.iter().map(|r| number(r, column)).sum::<f64>();
    for column in ["n", "time", "busy"] {
        assert_eq!(sum("all", column), sum("threads", column), "{column}");
    }
    assert!(sum("all", "busy") > 0.0 && sum("all", "busy") <= sum("all", "time"));
    // The same is gathered by what encloses them; its shares of each step are rounded down.
    let threads = aside.table("threads").rows.len() as f64;
    let steps = aside.table("steps");
    let (ideal, wait) = (number(&steps.rows[0], "ideal"), sum("all", "wait") / threads);
    assert!((ideal - wait).abs() <= number(&steps.rows[0], "n"), "{ideal} {wait}");
    for row in &aside.table("threads").rows {
        assert!(number(row, "longest") < number(row, "time"), "{row:?}");
    }
    for row in &aside.table("away").rows {
        assert!(whole(row, "ith") < threads as u64, "{row:?}");
    }
    assert_eq!(aside.end()["dropped"], serde_json::json!({}), "{}", aside.end());
    assert_eq!(aside.end()["hits"]["ggml_work"], at_once.end()["hits"]["ggml_work"], "{}", aside.end());
}
on_each_engine! { the_same_is_counted_as_at_once, the_same_is_counted_of_a_team_as_at_once }
