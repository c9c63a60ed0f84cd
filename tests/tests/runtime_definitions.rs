//! Bundles, probes and imported modules count, on a real engine, what the same script written out counts.

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use serde_json::Value;

const TOKENS: u64 = 8;

/// The rows of two tables, which were filled by the same events in one run, are the same.
fn definitions_count_as_what_they_stand_for(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        import std.latency
        import std.parts
        agg range(x) = min(x), max(x)
        probe steps = llama_ubatch(phase = decode) where (each > 0ns) { let each = dur / n_tokens }

        on steps < latency.cost(dur), range(each), s = stats(n_tokens) into named >
        on llama_ubatch where (phase = decode and dur / n_tokens > 0ns) <
            calls = count(), total = sum(dur), mean = avg(dur), share = share(dur), low = min(dur / n_tokens),
            high = max(dur / n_tokens), n = count(), a = avg(n_tokens), l = min(n_tokens), h = max(n_tokens)
            into written >
        on parts.products < n = count() by matrix into matrices >
        on ggml_op(MUL_MAT | MUL_MAT_ID) < n = count() by name = src0.name into weights >
        on ggml_op < n = count() by at = bucket(dur, 10us) into buckets >
        on ggml_op < n = count() by at = dur - dur % 10us into divided >
        on ggml_op < most = sum(max(dur, 100us)), least = sum(min(dur, 100us)), t = sum(dur), n = count() into bounds >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let values = |table: &str| -> Vec<Value> {
        let rows = report.table(table).rows;
        assert_eq!(rows.len(), 1, "{table}: {rows:?}");
        let columns = [
            ["calls", "total", "mean", "share", "min(each)", "max(each)", "s.count", "s.avg", "s.min", "s.max"],
            ["calls", "total", "mean", "share", "low", "high", "n", "a", "l", "h"],
        ];
        columns[usize::from(table == "written")].iter().map(|c| rows[0][*c].clone()).collect()
    };
    assert_eq!(values("named"), values("written"));
    assert!(values("named").iter().all(|v| !v.is_null()), "{:?}", values("named"));

    // Seven matrices in each of 30 layers, and the head; each once a micro-batch.
    let matrices = report.table("matrices").by("matrix", "n");
    let ubatches = report.table("weights").by("name", "n")["blk.0.attn_q.weight"];
    for matrix in ["q", "k", "v", "attention output", "gate", "up", "down"] {
        assert_eq!(matrices.get(matrix), Some(&(30 * ubatches)), "{matrix}: {matrices:?}");
    }
    assert_eq!(matrices.values().sum::<u64>(), report.table("weights").total("n"));

    assert_eq!(report.table("buckets").by("at", "n"), report.table("divided").by("at", "n"));
    let bounds = report.table("bounds");
    let whole = bounds.total("t") + 100_000 * bounds.total("n");
    assert_eq!(
        bounds.total("most") + bounds.total("least"),
        whole,
        "of two numbers one is the smaller, one the larger"
    );
}

/// Both points of a clause count into one table: as many events as two clauses count.
fn several_points_count_into_one_table(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        probe work = ggml_op(MUL_MAT), llama_ubatch
        on work < n = count(), t = sum(dur) by phase >
        on ggml_op(MUL_MAT) < n = count(), t = sum(dur) by phase into products >
        on llama_ubatch < n = count(), t = sum(dur) by phase into steps >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    assert_eq!(report.tables("work").len(), 1, "one table of that name");
    for column in ["n", "t"] {
        let mut sum = report.table("products").by("phase", column);
        for (phase, n) in report.table("steps").by("phase", column) {
            *sum.entry(phase).or_default() += n;
        }
        assert_eq!(report.table("work").by("phase", column), sum, "{column}");
    }
}

on_each_engine! {
    definitions_count_as_what_they_stand_for,
    several_points_count_into_one_table,
}
