//! Columns, keys and orders of rows of numbers that are known beforehand: a program without an engine calls one function
//! with a list of them, and what profinfer makes of them is worked out here once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Output, Profinfer, number, whole};
use profinfer_tests::program::{Program, compile};
use profinfer_tests::system::signal;
use serde_json::{Value, json};

/// Negative ones, zero, both sides of bounds, large ones.
const NUMBERS: [i64; 30] = [
    -1_000_000_007,
    -17,
    -9,
    -8,
    -7,
    -6,
    -5,
    -4,
    -3,
    -2,
    -1,
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    31,
    32,
    33,
    1000,
    1024,
    1_000_000_007,
];

/// A program that calls `told(x, n)` for each number in turn, each round anew; n counts on.
fn program(lab: &Lab) -> Program {
    let numbers = NUMBERS.iter().fold(String::new(), |mut text, n| {
        write!(text, "{n}, ").or_fail("a string");
        text
    });
    let source = format!(
        "#include <stdio.h>\n#include <stdlib.h>\nvolatile long sink;\nstatic long numbers[] = {{ {numbers} }};\n\
         __attribute__((noipa)) long told(long x, long n) {{ sink = x; return x + n; }}\n\
         int main(void) {{\n  char line[64];\n  long n = 0;\n  setvbuf(stdout, 0, _IONBF, 0);\n  puts(\"ready\");\n\
         \x20 while (fgets(line, sizeof line, stdin)) {{\n    for (long i = 0; i < atol(line) * {len}; i++) told(numbers[i % {len}], n++);\n\
         \x20   puts(\"done\");\n  }}\n}}\n",
        len = NUMBERS.len()
    );
    Program::start(&compile(lab.folder(), "known", &source, false, &[]), &[])
}

/// One round of the numbers, as a script sees it that counts at `told`.
fn observe(script: &str) -> Output {
    let lab = Lab::new();
    let mut program = program(&lab);
    let running = Profinfer::attach_with(program.pid(), script, &[]);
    program.go(1);
    let report = running.interrupt();
    report.succeeded();
    program.quit();
    report
}

const ON: &str = "on span(\"exe:told\", x: i64, n: i64)";

/// The bucket of a histogram with 2^k parts of each power of two: its bounds.
fn bucket(v: i64, k: u32) -> (Option<i64>, i64) {
    match v {
        ..0 => (None, 0),
        0 => (Some(0), 1),
        v => {
            let power = v.ilog2();
            let base = 1i64 << power;
            // Parts narrower than one are one.
            let width = (base >> k).max(1);
            let lo = base + (v - base) / width * width;
            (Some(lo), lo + width)
        }
    }
}

fn counted<T: Ord>(buckets: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    buckets.for_each(|b| *counts.entry(b).or_default() += 1);
    counts
}

fn histogram(cell: &Value) -> BTreeMap<(Option<i64>, Option<i64>), u64> {
    let buckets = cell.as_array().or_fail(cell);
    buckets.iter().map(|b| ((b["lo"].as_i64(), b["hi"].as_i64()), whole(b, "n"))).collect()
}

#[test]
fn columns_of_known_numbers() {
    let report = observe(&format!(
        "{ON} < n = count(), s = sum(x), a = avg(x), lo = min(x), hi = max(x), h = hist(x), fine = hist(x, k=2),
            even = lhist(x, -10..10, width=5), q = quantile(x, 0.05, 0.5, 0.9, 1), truths = sum((x > 3)),
            wraps = sum(x * 3074457345618258603), least = sum(x * 4611686018427387904), thirds = sum(x * 1ns / 3), rests = sum(x % 3), parts = sum(100ns / x),
            there = avg(if(x > 8, x, absent)), mean = sum(x) / count(), none = count() / sum((x = 12)) into t >
         {ON} < last = last(x), kinds = distinct(x), line = slope(x, n), gaps = sum(gap(x)), most = max(gap(x)) into u >"
    ));
    let row = report.table("t").only().clone();
    let of = |f: &dyn Fn(i64) -> i64| NUMBERS.iter().fold(0i64, |sum, x| sum.wrapping_add(f(*x)));
    let count = NUMBERS.len() as i64;
    let sum = of(&|x| x);
    assert_eq!((row["n"].as_i64(), row["s"].as_i64()), (Some(count), Some(sum)));
    assert!((number(&row, "a") - sum as f64 / count as f64).abs() < 1e-9, "{row}");
    assert_eq!((row["lo"].as_i64(), row["hi"].as_i64()), (Some(-1_000_000_007), Some(1_000_000_007)));
    for (column, k) in [("h", 0), ("fine", 2)] {
        let expected = counted(NUMBERS.iter().map(|v| bucket(*v, k)).map(|(lo, hi)| (lo, Some(hi))));
        assert_eq!(histogram(&row[column]), expected, "{column}");
    }
    let even = |v: i64| match v {
        ..-10 => (None, Some(-10)),
        10.. => (Some(10), None),
        v => (Some(v.div_euclid(5) * 5), Some(v.div_euclid(5) * 5 + 5)),
    };
    assert_eq!(histogram(&row["even"]), counted(NUMBERS.iter().map(|v| even(*v))));
    // The value of rank ⌈p · n⌉, to 1/62; of those below zero only that they are.
    let mut sorted = NUMBERS;
    sorted.sort_unstable();
    for (column, p) in [("q_p5", 0.05), ("q_p50", 0.5), ("q_p90", 0.9), ("q_p100", 1.0)] {
        let exact = sorted[((p * count as f64).ceil() as usize).max(1) - 1] as f64;
        let told = number(&row, column);
        assert!(
            if exact < 0.0 { told < 0.0 } else { (told - exact).abs() <= exact / 62.0 + 0.5 },
            "{column}: {told}, {exact}"
        );
    }
    assert_eq!(row["truths"], NUMBERS.iter().filter(|x| **x > 3).count());
    // In the kernel: 64 bits that wrap around, whole division towards zero, absent by zero.
    assert_eq!(row["wraps"].as_i64(), Some(of(&|x| x.wrapping_mul(3_074_457_345_618_258_603))));
    let but_the_least = |x: i64| Some(x.wrapping_mul(1 << 62)).filter(|y| *y != i64::MIN).unwrap_or(0);
    assert_eq!(row["least"].as_i64(), Some(of(&but_the_least)), "the least number stands for absent");
    assert_eq!(row["thirds"].as_i64(), Some(of(&|x| x / 3)), "towards zero");
    assert_eq!(row["rests"].as_i64(), Some(of(&|x| x % 3)), "with the sign of what is divided");
    assert_eq!(row["parts"].as_i64(), Some(of(&|x| if x == 0 { 0 } else { 100 / x })), "by zero is left out");
    let large: Vec<i64> = NUMBERS.into_iter().filter(|x| *x > 8).collect();
    let mean = large.iter().sum::<i64>() as f64 / large.len() as f64;
    assert!((number(&row, "there") - mean).abs() < 1e-6, "over those that are there: {row}");
    assert!((number(&row, "mean") - sum as f64 / count as f64).abs() < 1e-9);
    assert_eq!(row["none"], Value::Null, "by zero is absent");

    let row = report.table("u").only().clone();
    assert_eq!(row["last"].as_i64(), Some(NUMBERS[NUMBERS.len() - 1]));
    assert_eq!(row["kinds"], BTreeSet::from(NUMBERS).len());
    let gaps: Vec<i64> = NUMBERS.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(row["gaps"].as_i64(), Some(gaps.iter().sum()));
    assert_eq!(row["most"].as_i64(), gaps.into_iter().max());
    let (mean_n, mean_x) = ((count - 1) as f64 / 2.0, sum as f64 / count as f64);
    let products: f64 = NUMBERS.iter().enumerate().map(|(n, x)| (n as f64 - mean_n) * (*x as f64 - mean_x)).sum();
    let squares: f64 = (0..count).map(|n| (n as f64 - mean_n).powi(2)).sum();
    let slope = products / squares;
    assert!((number(&row, "line") - slope).abs() < slope.abs() * 1e-9, "{row}, {slope}");
}

#[test]
fn caches_of_known_numbers() {
    // Two rounds: in the second all of a cache that is large enough are hits.
    let report = observe(
        &format!("{ON} < all = lru(b), held = pinned(b), n = distinct(b) into t >")
            .replace("(b)", "(if(x < 0, -1, x))"),
    );
    let seen: Vec<i64> = NUMBERS.iter().map(|x| (*x).max(-1)).collect();
    let row = report.table("t").only().clone();
    let kinds = BTreeSet::from_iter(seen.iter().copied()).len();
    assert_eq!(row["n"], kinds);
    let rates: Vec<f64> = row["all"].as_array().or_fail("rates").iter().filter_map(Value::as_f64).collect();
    assert_eq!(rates.len(), kinds, "as many entries as there are values");
    for (i, rate) in rates.iter().enumerate() {
        let mut cache: Vec<i64> = Vec::new();
        let mut hits = 0;
        for x in &seen {
            match cache.iter().position(|held| held == x) {
                Some(at) => {
                    hits += 1;
                    cache.remove(at);
                }
                None if cache.len() == i + 1 => drop(cache.pop()),
                None => {}
            }
            cache.insert(0, *x);
        }
        assert!((rate - f64::from(hits) / seen.len() as f64).abs() < 1e-9, "{} entries: {rate}", i + 1);
    }
    let held: Vec<f64> = row["held"].as_array().or_fail("rates").iter().filter_map(Value::as_f64).collect();
    let mut often: Vec<u64> = counted(seen.iter()).into_values().collect();
    often.sort_unstable_by(|a, b| b.cmp(a));
    for (i, rate) in held.iter().enumerate() {
        let hits: u64 = often[..=i].iter().sum();
        assert!((rate - hits as f64 / seen.len() as f64).abs() < 1e-9, "{} entries: {rate}", i + 1);
    }
}

#[test]
fn keys_of_known_numbers() {
    let report = observe(&format!(
        "{ON} < c = count() by b = bucket(x, 4), neg = (x < 0), size = if(x > 9, \"large\", \"small\"), first(if(x = 0, absent, x), 99) into t >
         {ON} < c = count() by least = min(x, 5), most = max(x, 5) into u >
         {ON} where (x = 3..6 | 1000.. and not (x = 4)) < c = count() by x into v >
         {ON} where (x != 3..1000) < c = count() into w >"
    ));
    let rows = |table: &str| report.table(table).rows;
    let expected = counted(NUMBERS.iter().map(|x| {
        let first = if *x == 0 { 99 } else { *x };
        (x.div_euclid(4) * 4, *x < 0, if *x > 9 { "large" } else { "small" }.to_owned(), first)
    }));
    let found: BTreeMap<_, u64> = rows("t")
        .iter()
        .map(|r| {
            let size = r["size"].as_str().or_fail(r).to_owned();
            let first = r.as_object().or_fail(r).iter().find(|(k, _)| k.starts_with("first(")).or_fail(r).1.as_i64();
            ((r["b"].as_i64().or_fail(r), r["neg"] == json!(true), size, first.or_fail(r)), whole(r, "c"))
        })
        .collect();
    assert_eq!(found, expected, "`bucket` goes down, also below zero");
    let expected = counted(NUMBERS.iter().map(|x| (*x.min(&5), *x.max(&5))));
    let pair = |r: &Value| (r["least"].as_i64().or_fail(r), r["most"].as_i64().or_fail(r));
    assert_eq!(rows("u").iter().map(|r| (pair(r), whole(r, "c"))).collect::<BTreeMap<_, _>>(), expected);
    let passed = NUMBERS.iter().filter(|x| ((3..=6).contains(*x) || **x >= 1000) && **x != 4).copied();
    let found = rows("v").iter().map(|r| (r["x"].as_i64().or_fail(r), whole(r, "c"))).collect::<BTreeMap<_, _>>();
    assert_eq!(found, counted(passed), "both ends of a range are within");
    let outside = NUMBERS.iter().filter(|x| !(3..=1000).contains(*x)).count() as u64;
    assert_eq!(report.table("w").total("c"), outside);
}

#[test]
fn rows_stand_in_the_order_that_is_asked_for() {
    let half = "half = avg(if(x < 0, absent, x))";
    let report = observe(&format!(
        "{ON} < c = count(), {half} by k = bucket(x, 8), what = if(x < 5, \"low\", \"high\") into t >
         {ON} < c = count(), share(n) by what = if(x < 5, \"low\", \"high\") into u >
         end < show t; show t sort half; show t sort half asc; show t sort c; show t sort k desc; show t top 2;
               show u; show u sort what; show u top 1 >"
    ));
    let column = |table: &str, i: usize, column: &str| -> Vec<Value> {
        let found = report.tables(table);
        found[i].rows.iter().map(|r| r[column].clone()).collect()
    };
    let numbers = |cells: Vec<Value>| cells.iter().map(Value::as_f64).collect::<Vec<_>>();
    let ordered = |cells: &[Option<f64>], descending: bool| {
        let there: Vec<f64> = cells.iter().flatten().copied().collect();
        assert!(cells.iter().skip_while(|c| c.is_some()).all(Option::is_none), "absent comes last: {cells:?}");
        assert!(there.windows(2).all(|w| if descending { w[0] >= w[1] } else { w[0] <= w[1] }), "{cells:?}");
    };
    ordered(&numbers(column("t", 0, "k")), false);
    let halves = numbers(column("t", 1, "half"));
    assert!(halves.contains(&None) && halves.iter().flatten().count() > 2, "{halves:?}");
    ordered(&halves, true);
    ordered(&numbers(column("t", 2, "half")), false);
    ordered(&numbers(column("t", 3, "c")), true);
    ordered(&numbers(column("t", 4, "k")), true);
    ordered(&numbers(column("u", 0, "c")), true);
    assert_eq!(column("u", 1, "what"), ["high", "low"], "a key goes up");
    // Those that `top` leaves out are told, and are part of the total.
    let all = column("t", 0, "k");
    assert_eq!(column("t", 5, "k"), all[..2]);
    let cut = |name: &str| report.records.iter().rfind(|r| r["name"] == name).or_fail(name)["cut"].clone();
    assert_eq!((cut("t"), cut("u")), (json!(all.len() - 2), json!(1)));
    let shares = numbers(column("u", 0, "share(n)"));
    assert_eq!(numbers(column("u", 2, "share(n)")), shares[..1], "{shares:?}");
    let sum: f64 = shares.iter().flatten().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
}

/// A rate is that of the time since the table was last cleared.
#[test]
fn rates_are_of_the_time_since_the_last_clear() {
    let lab = Lab::new();
    let mut program = program(&lab);
    let script = format!(
        "{ON} < c = count(), r = rate(), s = rate(n) into t; c = count(), r = rate() into whole >\nevery 300ms < show t; clear t >\nend < show t; show whole >"
    );
    let running = Profinfer::attach_with(program.pid(), &script, &[]);
    for _ in 0..12 {
        program.go(1);
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = running.interrupt();
    report.succeeded();
    program.quit();
    let tables: Vec<&Value> = report.records.iter().filter(|r| r["name"] == "t").collect();
    assert!(tables.len() >= 4, "{tables:?}");
    let mut before = 0;
    for table in tables {
        let at = whole(table, "at_ns");
        for row in table["rows"].as_array().or_fail(table) {
            let expected = number(row, "c") / ((at - before) as f64 / 1e9);
            let told = number(row, "r");
            assert!((told - expected).abs() < expected * 0.2, "{told}, {expected} since {before}: {table}");
        }
        before = at;
    }
    let whole_run = report.records.iter().find(|r| r["name"] == "whole").or_fail("it");
    let row = &whole_run["rows"][0];
    let expected = number(row, "c") / (whole(whole_run, "at_ns") as f64 / 1e9);
    assert!((number(row, "r") - expected).abs() < expected * 0.05, "{row}, {expected}");
}

/// `begin` shows before anything is counted, `after` comes once, and a timer that was late does not catch up.
#[test]
fn timers_come_when_they_are_to() {
    let lab = Lab::new();
    let mut program = program(&lab);
    let script = format!(
        "{ON} < c = count() into t; c = count() into first; c = count() into once >
         begin < show first >\nevery 200ms < show t >\nafter 300ms < show once >\nend < show t; show first >"
    );
    let running = Profinfer::attach_with(program.pid(), &script, &[]);
    program.go(1);
    std::thread::sleep(Duration::from_millis(500));
    // Ten times its period.
    signal(running.pid(), libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(2000));
    signal(running.pid(), libc::SIGCONT);
    std::thread::sleep(Duration::from_millis(500));
    let report = running.interrupt();
    report.succeeded();
    program.quit();
    let times = |name: &str| -> Vec<u64> {
        report.records.iter().filter(|r| r["name"] == name).map(|r| whole(r, "at_ns") / 1_000_000).collect()
    };
    assert_eq!(report.tables("first").iter().map(|t| t.total("c")).collect::<Vec<_>>(), [0, NUMBERS.len() as u64]);
    let once = times("once");
    assert!(once.len() == 1 && (300..800).contains(&once[0]), "{once:?}");
    let shown = times("t");
    // Two or three before it was stopped, one at once, two or three behind it, and that of the end.
    assert!((4..=9).contains(&shown.len()), "{shown:?}");
    let periods: Vec<u64> = shown[..shown.len() - 1].windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(periods.iter().filter(|p| **p > 1000).count(), 1, "it was stopped once: {periods:?}");
    assert!(periods.iter().filter(|p| **p < 100).count() <= 1, "none is made up for: {periods:?}");
}

/// `show` and `clear` in one body are one step in either order, `clear` alone throws away; what is shown by a clause is
/// printed only there, all else at the end.
#[test]
fn tables_are_shown_and_cleared_as_said() {
    let lab = Lab::new();
    let mut program = program(&lab);
    let script = format!(
        "{ON} < c = count() into both; c = count() into turned; c = count() into away; c = count() into early; c = count() into left >
         after 400ms < show both; clear both; clear turned; show turned; clear away; show early >
         after 2500ms < exit >
         end < show both; show turned; show away >"
    );
    let running = Profinfer::attach_with(program.pid(), &script, &[]);
    program.go(1);
    // Clears wait for the kernel, one after the other.
    std::thread::sleep(Duration::from_millis(1500));
    program.go(2);
    let report = running.finish();
    report.succeeded();
    assert_eq!(report.end()["reason"], "exit", "and `end` ran");
    program.quit();
    let totals =
        |name: &str| report.tables(name).iter().map(|t| t.total("c") / NUMBERS.len() as u64).collect::<Vec<_>>();
    assert_eq!(totals("both"), [1, 2]);
    assert_eq!(totals("turned"), [1, 2], "in either order");
    assert_eq!(totals("away"), [2]);
    assert_eq!(totals("early"), [1], "what came after the last `show` is not shown");
    assert_eq!(totals("left"), [3], "nobody shows it");
}

/// A fine histogram has room for 4,096 buckets at least; what does not fit is counted.
#[test]
fn buckets_without_room_are_counted() {
    const CALLS: u64 = 40 * 256;
    let lab = Lab::new();
    let source = "#include <stdio.h>\nvolatile long sink;\n\
        __attribute__((noipa)) void told(long x) { sink = x; }\n\
        int main(void) {\n  char line[64];\n  setvbuf(stdout, 0, _IONBF, 0);\n  puts(\"ready\");\n\
          while (fgets(line, sizeof line, stdin)) {\n    for (long p = 8; p < 48; p++)\n\
            for (long i = 0; i < 256; i++) told((1L << p) + (i << (p - 8)));\n    puts(\"done\");\n  }\n}\n";
    let mut program = Program::start(&compile(lab.folder(), "buckets", source, false, &[]), &[]);
    let script = "on enter(\"exe:told\", x: i64) < n = count(), h = hist(x, k=8) into t limit 1 >";
    let running = Profinfer::attach_with(program.pid(), script, &[]);
    program.go(1);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    program.quit();
    let row = report.table("t").only().clone();
    let buckets = row["h"].as_array().or_fail(&row);
    let counted: u64 = buckets.iter().map(|b| whole(b, "n")).sum();
    let lost = report.end()["dropped"]["histogram_full"].as_u64().or_fail(report.end());
    assert_eq!((whole(&row, "n"), counted + lost), (CALLS, CALLS));
    assert!(buckets.len() >= 4096 && lost > 0, "{} buckets, {lost} lost", buckets.len());
    assert!(buckets.iter().all(|b| b["n"] == 1), "each number has a bucket of its own");
}
