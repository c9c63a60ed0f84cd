//! Columns against each other: what is found in names, ratios, even buckets, and tables of several groups, held against the
//! same numbers got another way.

use std::collections::BTreeMap;

use profinfer_tests::engine::{Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{number, whole};
use serde_json::{Value, json};

/// One, as the kernel keeps ratios.
const ONE: f64 = 4_294_967_296.0;

/// Counts by the lower bound of their buckets.
fn buckets(cell: &Value) -> Vec<(Option<f64>, Option<f64>, u64)> {
    let all = cell.as_array().cloned().unwrap_or_default();
    all.iter().map(|b| (b["lo"].as_f64(), b["hi"].as_f64(), whole(b, "n"))).collect()
}

/// A number in a name is added up as if it had been counted by it.
fn numbers_in_names_add_up(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let columns =
        "n = count(), sum = sum(layer), avg = avg(layer), min = min(layer), max = max(layer), h = hist(layer),
                   even = lhist(layer, 4..28, width=8), q = quantile(layer, 0.5), third = sum((layer = 3)),
                   odd = sum(if(layer = 1..2, 2 * layer, 0))";
    let script = format!(
        "on ggml_op < {columns} by op into kernel >
         on ggml_op < {columns}, distinct(layer) by op into user >
         on ggml_op < n = count() by op, layer into by_layer >
         on ggml_op < last = last(layer), steps = count(), line = slope(layer, layer), gaps = hist(gap(layer)), sum(gap(layer)) by phase into all >"
    );
    let report = lab.trace(&mut engine, &script, 6);
    let mut layers: BTreeMap<String, Vec<(Option<u64>, u64)>> = BTreeMap::new();
    for row in report.table("by_layer").rows {
        layers.entry(row["op"].to_string()).or_default().push((row["layer"].as_u64(), whole(&row, "n")));
    }
    let (kernel, user) = (report.table("kernel"), report.table("user"));
    assert_eq!(kernel.rows.len(), layers.len());
    for row in &kernel.rows {
        let of = &layers[&row["op"].to_string()];
        let there: Vec<(u64, u64)> = of.iter().filter_map(|(l, n)| Some(((*l)?, *n))).collect();
        let n: u64 = there.iter().map(|(_, n)| n).sum();
        let sum: u64 = there.iter().map(|(l, n)| l * n).sum();
        assert_eq!(whole(row, "n"), of.iter().map(|(_, n)| n).sum::<u64>());
        let expected = |value: u64| if n > 0 { json!(value) } else { Value::Null };
        assert_eq!(row["sum"], expected(sum), "{row}");
        assert_eq!(row["min"], expected(there.iter().map(|(l, _)| *l).min().unwrap_or(0)), "{row}");
        assert_eq!(row["max"], expected(there.iter().map(|(l, _)| *l).max().unwrap_or(0)), "{row}");
        if n > 0 {
            assert!((number(row, "avg") - sum as f64 / n as f64).abs() < 1e-9, "{row}");
        }
        let within = |lo: u64, hi: u64| there.iter().filter(|(l, _)| (lo..hi).contains(l)).map(|(_, n)| n).sum::<u64>();
        let even: Vec<_> = [(0, 4), (4, 12), (12, 20), (20, 28), (28, 99)]
            .into_iter()
            .map(|(lo, hi)| ((lo > 0).then_some(lo as f64), (hi < 99).then_some(hi as f64), within(lo, hi)))
            .filter(|(_, _, n)| *n > 0)
            .collect();
        assert_eq!(buckets(&row["even"]), even, "{row}");
        assert_eq!(buckets(&row["h"]).iter().map(|(_, _, n)| n).sum::<u64>(), n);
        assert_eq!(whole(row, "third"), within(3, 4), "{row}");
        assert_eq!(whole(row, "odd"), 2 * within(1, 2) + 4 * within(2, 3), "{row}");
        let same = user.rows.iter().find(|r| r["op"] == row["op"]).cloned().unwrap_or_default();
        assert_eq!(whole(&same, "distinct(layer)"), there.len() as u64);
        for column in ["n", "sum", "avg", "min", "max", "h", "even", "q", "third", "odd"] {
            assert_eq!(same[column], row[column], "{column} of a streamed table");
        }
    }
    let all = report.table("all");
    let decode = all.row("phase", "decode");
    assert_eq!(whole(decode, "last"), 29, "the last norm's");
    assert!((number(decode, "line") - 1.0).abs() < 1e-9);
    // From the first layer to the last, whatever lies between.
    assert_eq!(whole(decode, "sum(gap(layer))"), 29, "{decode}");
    let with_layer: u64 =
        report.table("by_layer").rows.iter().filter(|r| !r["layer"].is_null()).map(|r| whole(r, "n")).sum();
    let gaps = |row: &Value| buckets(&row["gaps"]).iter().map(|(_, _, n)| n).sum::<u64>();
    assert_eq!(gaps(decode) + gaps(all.row("phase", "prefill")), with_layer - 2, "the first of each phase has none");
}

/// Buckets of one width hold what conditions on the same bounds count.
fn even_buckets_are_what_conditions_count(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), h = lhist(dur, 10us..50us, width=10us), below = sum((dur < 10us)), a = sum((dur >= 10us and dur < 20us)),
                     b = sum((dur >= 20us and dur < 30us)), c = sum((dur >= 30us and dur < 40us)),
                     d = sum((dur >= 40us and dur < 50us)), above = sum((dur >= 50us)) by op into kernel >
        on ggml_op < h = lhist(dur, 10us..50us, width=10us), distinct(nth) by op into user >
        on ggml_op < h = lhist(src0.ne[0] * 4B, 0B..4KiB, width=1KiB), n = count() by op into sizes >
        on ggml_op < h = lhist(0 - nth, -8..8, width=4) by op into negative >
    ";
    let report = lab.trace(&mut engine, script, 10);
    let (kernel, user) = (report.table("kernel"), report.table("user"));
    let mut all = 0;
    for row in &kernel.rows {
        let ends = [None, Some(10_000.0), Some(20_000.0), Some(30_000.0), Some(40_000.0), Some(50_000.0), None];
        let expected: Vec<_> = ["below", "a", "b", "c", "d", "above"]
            .into_iter()
            .enumerate()
            .map(|(i, column)| (ends[i], ends[i + 1], whole(row, column)))
            .filter(|(_, _, n)| *n > 0)
            .collect();
        assert_eq!(buckets(&row["h"]), expected, "{row}");
        assert_eq!(user.rows.iter().find(|r| r["op"] == row["op"]).map(|r| &r["h"]), Some(&row["h"]));
        all += expected.iter().map(|(_, _, n)| n).sum::<u64>();
    }
    assert_eq!(all, 515 * 10);
    // 576 or 1536 elements of a row, mostly.
    let sizes = report.table("sizes");
    assert_eq!(buckets(&sizes.row("op", "RMS_NORM")["h"]).len(), 1);
    let (lo, hi, _) = buckets(&sizes.row("op", "RMS_NORM")["h"])[0];
    assert_eq!((lo, hi), (Some(2048.0), Some(3072.0)), "576 times 4 bytes");
    for row in report.table("negative").rows {
        assert_eq!(buckets(&row["h"]).len(), 1, "{row}");
        let (lo, hi, _) = buckets(&row["h"])[0];
        assert_eq!((lo, hi), (Some(-4.0), Some(0.0)), "one to four threads: {row}");
    }
}

/// Each weight is printed, and all that columns make of weights is made of those once more.
fn ratios_are_counted_as_they_are_printed(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { model: Model::Moe, ..Options::default() });
    let script = "
        on moe_route < print(\"{weight}\") >
        on moe_route < n = count(), h = hist(weight), fine = hist(weight, k=3), even = lhist(weight, 0.2..0.8, width=0.1),
                       q = quantile(weight, 0.25), sum = sum(weight) into kernel >
        on moe_route < h = hist(weight), even = lhist(weight, 0.2..0.8, width=0.1), last = last(weight), line = slope(weight, weight),
                       lo = min(gap(weight)), hi = max(gap(weight)), gaps = hist(gap(weight)) into user >
        on moe_route < n = count() by w = bucket(weight, 0.1) into tenths >
        on moe_route < n = count() by w = bucket(weight, 0.25) into quarters >
        on moe_route < n = count() by w = bucket(if(weight > 0.5, weight, -0.13), 0.1) into signed >
    ";
    let report = lab.trace(&mut engine, script, 6);
    let weights: Vec<f64> =
        report.records.iter().filter(|r| r["type"] == "print").map(|r| number(&r["values"], "weight")).collect();
    let (kernel, user) = (report.table("kernel"), report.table("user"));
    let (kernel, user) = (kernel.only(), user.only());
    assert_eq!(whole(kernel, "n"), weights.len() as u64);
    assert!(weights.len() > 500 && weights.iter().any(|w| *w > 0.9) && weights.iter().any(|w| *w < 0.1));
    let sum: f64 = weights.iter().sum();
    assert!((number(kernel, "sum") - sum).abs() < 1e-6, "{} and {sum}", kernel["sum"]);
    let within = |lo: Option<f64>, hi: Option<f64>| {
        weights.iter().filter(|w| lo.is_none_or(|lo| **w >= lo) && hi.is_none_or(|hi| **w < hi)).count() as u64
    };
    for (row, column) in [(kernel, "h"), (kernel, "fine"), (user, "h")] {
        let all = buckets(&row[column]);
        assert!(all.len() > 3);
        for (lo, hi, n) in &all {
            assert_eq!(*n, within(*lo, *hi), "{column}: {lo:?} to {hi:?}");
        }
        assert_eq!(all.iter().map(|(_, _, n)| n).sum::<u64>(), weights.len() as u64);
    }
    let even = buckets(&kernel["even"]);
    let bounds: Vec<_> = even.iter().map(|(lo, hi, _)| (*lo, *hi)).collect();
    let tenths: Vec<f64> = (2..=8).map(|n| f64::from(n) / 10.0).collect();
    let mut expected = vec![(None, Some(0.2))];
    expected.extend(tenths.windows(2).map(|p| (Some(p[0]), Some(p[1]))));
    expected.push((Some(0.8), None));
    assert_eq!(bounds, expected, "bounds are the decimal fractions that were written");
    // A bound that is no multiple of 2^-32 may have a weight less than that beside it.
    for (lo, hi, n) in &even {
        assert!(n.abs_diff(within(*lo, *hi)) <= 1, "{lo:?} to {hi:?}: {n}");
    }
    assert_eq!(user["even"], kernel["even"]);
    for (table, width) in [("tenths", 0.1), ("quarters", 0.25)] {
        let rows = report.table(table).rows;
        let keys: Vec<f64> = rows.iter().map(|r| number(r, "w")).collect();
        assert!(keys.is_sorted(), "a number as a key is what rows are sorted by: {keys:?}");
        assert_eq!(rows.iter().map(|r| whole(r, "n")).sum::<u64>(), weights.len() as u64);
        for row in &rows {
            let steps = (number(row, "w") / width).round();
            // The printed weight in units of 2^-32, against the multiple without rounding it.
            let of = |w: &f64| ((w * ONE) * 100.0 / (width * 100.0).round() / ONE + 1e-12).floor();
            let n = weights.iter().filter(|w| of(w) == steps).count() as u64;
            assert_eq!(whole(row, "n"), n, "{table} {row}");
        }
    }
    let below = report.table("signed").rows.iter().find(|r| r["w"] == -0.2).map(|r| whole(r, "n"));
    assert_eq!(below, Some(weights.iter().filter(|w| **w <= 0.5).count() as u64), "-0.13 is above -0.2");
    let mut sorted = weights.clone();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted[sorted.len().div_ceil(4) - 1];
    assert!((number(kernel, "q") - quarter).abs() <= quarter / 62.0, "{} and {quarter}", kernel["q"]);
    assert_eq!(number(user, "last"), *weights.last().expect("weights"));
    assert!((number(user, "line") - 1.0).abs() < 1e-9);
    let gaps: Vec<f64> = weights.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(number(user, "lo"), gaps.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(number(user, "hi"), gaps.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    assert_eq!(buckets(&user["gaps"]).iter().map(|(_, _, n)| n).sum::<u64>(), gaps.len() as u64);
}

/// Groups of one table hold what they hold in tables of their own; columns made of others are made of these.
fn joined_tables_are_the_separate_ones(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < ops = count(), busy = sum(dur) by layer, phase into joined; ops = count(), busy = sum(dur) by layer, phase into ops >
        on ggml_op(MUL_MAT) where (part = \"ffn\") < ffn = sum(dur), part = ffn / busy, each = busy / ops by layer, phase into joined;
                                                  ffn = sum(dur) by layer, phase into ffn >
        on llama_ubatch < ubatches = count(), distinct(step), per = ops / ubatches by layer = absent, phase into joined >
        on llama_ubatch < ubatches = count() by phase into ubatches >
    ";
    let report = lab.trace(&mut engine, script, 6);
    let joined = report.table("joined");
    let key = |r: &Value| (r["layer"].to_string(), r["phase"].to_string());
    let by_key =
        |name: &str| -> BTreeMap<_, Value> { report.table(name).rows.into_iter().map(|r| (key(&r), r)).collect() };
    let (ops, ffn) = (by_key("ops"), by_key("ffn"));
    assert_eq!(joined.rows.len(), ops.len(), "every layer, and what is outside of them, in two phases");
    assert!(ffn.len() < ops.len());
    // Rounded: what is read back from JSON may differ in the last digit.
    let real = |v: &Value| v.as_f64().map(|x| (x * 1e6).round() / 1e6);
    for row in &joined.rows {
        let (op, ffn) = (&ops[&key(row)], ffn.get(&key(row)));
        assert_eq!((&row["ops"], &row["busy"]), (&op["ops"], &op["busy"]));
        assert_eq!(row["ffn"], ffn.map_or(Value::Null, |f| f["ffn"].clone()), "absent where the group has no row");
        let share = real(&row["ffn"]).zip(real(&row["busy"])).map(|(a, b)| a / b);
        let rounded = |x: Option<f64>| x.map(|x| (x * 1e6).round() / 1e6);
        assert_eq!(real(&row["part"]), rounded(share), "{row}");
        // Of two columns of another group: there, whether this group has a row or not.
        assert_eq!(real(&row["each"]), rounded(real(&row["busy"]).zip(real(&row["ops"])).map(|(a, b)| a / b)), "{row}");
        match row["layer"].is_null() {
            true => {
                let phase = row["phase"].as_str().unwrap_or_default();
                let n = whole(report.table("ubatches").row("phase", phase), "ubatches");
                assert_eq!((whole(row, "ubatches"), whole(row, "distinct(step)")), (n, n), "{row}");
                assert_eq!(real(&row["per"]), rounded(Some(whole(row, "ops") as f64 / n as f64)), "{row}");
            }
            false => assert!(row["ubatches"].is_null() && row["per"].is_null(), "{row}"),
        }
    }
}

/// `if`, `has`, and the smaller and larger of two: as keys, in conditions, in columns, in what is printed; in the kernel and in
/// user space.
fn functions_of_values_hold_everywhere(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op < n = count(), d = sum(dur), short = sum(min(dur, 20us)), long = sum(max(dur, 20us)),
                     there = sum(if(has(layer), 1, 0)), also = sum(has(layer)), most = sum(min(layer, 5)), least = sum(max(5, layer)),
                     slow = sum(if(dur > 20us, 1, 0)) into all >
        on ggml_op < n = count() by layer into layers >
        on ggml_op < n = count() by m = min(layer, 5), h = has(layer), s = if(dur > 20us, \"slow\", \"fast\"), w = max(min(nth, 2), 2) into keys >
        on ggml_op where (max(dur, 1us) > 20us) < n = count() into slow >
        on ggml_op where (max(layer, 5) = 5) < n = count() into shallow >
        on ggml_op where (has(layer) and if(layer > 3, layer < 5, false)) < n = count(), four = print(\"{if(has(layer), layer, 0)} {min(layer, 9)} {max(layer, 9)}\") >
    ";
    let script = script.replace("n = count(), four", "n = count(); four");
    let report = lab.trace(&mut engine, &script, 4);
    let all = report.table("all");
    let all = all.only();
    let n = 515 * 4;
    assert_eq!(whole(all, "n"), n);
    assert_eq!(whole(all, "short") + whole(all, "long"), whole(all, "d") + n * 20_000);
    let layers: Vec<(u64, u64)> =
        report.table("layers").rows.iter().filter_map(|r| Some((r["layer"].as_u64()?, whole(r, "n")))).collect();
    let sum = |f: &dyn Fn(u64) -> u64| layers.iter().map(|(l, n)| f(*l) * n).sum::<u64>();
    assert_eq!((whole(all, "there"), whole(all, "also")), (sum(&|_| 1), sum(&|_| 1)));
    assert_eq!((whole(all, "most"), whole(all, "least")), (sum(&|l| l.min(5)), sum(&|l| l.max(5))));
    let keys = report.table("keys");
    let of = |f: &dyn Fn(&Value) -> bool| keys.rows.iter().filter(|r| f(r)).map(|r| whole(r, "n")).sum::<u64>();
    assert_eq!(of(&|r| r["s"] == "slow"), whole(all, "slow"));
    assert_eq!(report.table("slow").total("n"), whole(all, "slow"));
    assert_eq!(of(&|r| r["h"] == true), sum(&|_| 1));
    assert_eq!(of(&|r| r["m"].is_null()), n - sum(&|_| 1));
    assert_eq!(of(&|r| r["m"] == 5), sum(&|l| u64::from(l >= 5)));
    assert_eq!(of(&|r| r["w"] == 2), n);
    assert_eq!(report.table("shallow").total("n"), sum(&|l| u64::from(l <= 5)));
    let fours: Vec<_> = report.records.iter().filter(|r| r["type"] == "print").collect();
    assert_eq!(fours.len() as u64, sum(&|l| u64::from(l == 4)));
    assert!(fours.iter().all(|f| f["text"] == "4 4 9"), "{fours:?}");
}

on_each_engine! {
    functions_of_values_hold_everywhere,
    numbers_in_names_add_up,
    even_buckets_are_what_conditions_count,
    ratios_are_counted_as_they_are_printed,
    joined_tables_are_the_separate_ones,
}
