//! Floats that the kernel reads, which has none itself: each is kept with 32 bits behind the point, or is absent.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::{Profinfer, Table, whole};
use profinfer_tests::system::is_root;

/// A process that hands a matrix of floats to a function for each line of input.
const PROGRAM: &str = r#"
#include <stdio.h>
struct grid { int rows, columns; unsigned long row_bytes; const unsigned *values; };
static const unsigned values[] = { VALUES };
__attribute__((noinline)) void toy_grid(struct grid *g) { __asm__ volatile("" : : "r"(g) : "memory"); }
int main(void) {
    struct grid g = { 1, sizeof values / sizeof *values, sizeof values, values };
    do { puts("ready"); fflush(stdout); if (getchar() == EOF) return 0; toy_grid(&g); } while (1);
}
"#;
const DESCRIPTION: &str = r#"
profinfer 1
engine toy "a matrix of floats" where (exports("toy_grid"))
struct grid {
  rows: i32 @ 0
  columns: i32 @ 4
  row_bytes: u64 @ 8
  values: ptr @ 16
}
/// Every cell of a grid.
point cell : rows {
  start "toy_grid" (g: ptr(grid))
  each (row < g.rows, column < g.columns)

  let place = column
  let value: ratio = f32_at(g.values, row * g.row_bytes + column * 4)
}
"#;
const SCRIPT: &str = "
    on cell < n = count(), sum = sum(value), lo = min(value), hi = max(value), alt = max(first(value, -7)) by place into cells >
    on cell where (value < 0) < n = count() by place into negative >
    on cell where (value >= 0.5) < n = count() by place into half >
    on cell where (value = 1) < n = count() by place into one >
    on cell where (0.1 > value) < n = count() by place into small >
    on cell where (has(value)) < n = count() by place into there >
";

/// What is not a number below 2^31 is absent; the rest is cut off behind 32 bits, towards zero.
fn kept(x: f32) -> Option<f64> {
    let one = 4_294_967_296.0_f64;
    (x.abs() < 2_147_483_648.0).then(|| (f64::from(x) * one).trunc() / one)
}

/// The same but for the last bits, which are lost on the way through text. Floats next to each other are further apart.
fn same(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= expected.abs() * 1e-14,
        (found, expected) => found == expected,
    }
}

fn floats() -> Vec<f32> {
    let mut all =
        vec![0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 7.75, 1e-7, 1e-9, 1e-10, 1e-20, 123.456, 1e6, 16_777_215.0, 1e9];
    // The least that is kept, what is just less, and the largest number below 2^31.
    all.extend([2.0_f32.powi(-32), 2.0_f32.powi(-33), 2.0_f32.powi(-32) * 1.5, 2_147_483_520.0]);
    all.extend([2_147_483_648.0, 3e9, 1e30, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x7f_ffff)]);
    all.extend([0.5 - f32::EPSILON / 4.0, 0.5 + f32::EPSILON, 1.0 - f32::EPSILON, 1.0 + f32::EPSILON]);
    all.extend([f32::INFINITY, f32::NAN, f32::from_bits(0x7f80_0001)]);
    // Every power of two, and one with a full fraction, over the whole range of exponents.
    all.extend(
        (0..255).flat_map(|exponent| [f32::from_bits(exponent << 23), f32::from_bits(exponent << 23 | 0x2a_aaab)]),
    );
    all.extend(all.clone().into_iter().map(|x| -x));
    all
}

fn start(floats: &[f32], folder: &std::path::Path) -> Child {
    let bits = floats.iter().fold(String::new(), |mut all, x| {
        let _ = write!(all, "{:#x}, ", x.to_bits());
        all
    });
    let (source, program) = (folder.join("toy.c"), folder.join("toy"));
    fs::write(&source, PROGRAM.replace("VALUES", &bits)).or_fail("toy.c");
    let output = Command::new("gcc").args(["-O1", "-rdynamic", "-o"]).arg(&program).arg(&source).output();
    let output = output.or_fail("this test needs gcc (apt-get install gcc)");
    assert!(output.status.success(), "gcc: {}", String::from_utf8_lossy(&output.stderr));
    Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().or_fail("the program")
}

fn places(table: &Table) -> Vec<usize> {
    let mut places: Vec<usize> = table.rows.iter().map(|r| whole(r, "place") as usize).collect();
    places.sort();
    places
}

#[test]
fn floats_are_kept_to_the_last_bit_or_absent() {
    assert!(is_root(), "this test attaches probes: run it as root, for example with `sudo -E cargo xtask test`");
    let folder = tempfile::tempdir().or_fail("a temporary folder");
    let description = folder.path().join("toy.pi");
    fs::write(&description, DESCRIPTION).or_fail("toy.pi");
    let floats = floats();
    let mut toy = start(&floats, folder.path());
    let mut lines = BufReader::new(toy.stdout.take().or_fail("stdout")).lines();
    let mut ready = || lines.next().and_then(Result::ok).filter(|l| l == "ready").or_fail("the program is gone");
    ready();
    let running = Profinfer::attach_with(toy.id(), SCRIPT, &["--engine", &description.to_string_lossy()]);
    toy.stdin.as_mut().or_fail("stdin").write_all(b"\n").or_fail("the program is gone");
    ready();
    let report = running.interrupt();
    drop(toy.stdin.take());
    assert!(toy.wait().or_fail("the program").success());
    report.succeeded();

    assert_eq!(report.hits("cell"), floats.len() as u64);
    let cells = report.table("cells");
    assert_eq!(places(&cells), (0..floats.len()).collect::<Vec<_>>());
    for row in &cells.rows {
        let x = floats[whole(row, "place") as usize];
        for column in ["sum", "lo", "hi"] {
            assert!(same(row[column].as_f64(), kept(x)), "{column} of {x:e}, bits {:#x}: {row}", x.to_bits());
        }
        assert!(same(row["alt"].as_f64(), kept(x).or(Some(-7.0))) && whole(row, "n") == 1, "{x:e}: {row}");
    }
    // What is cut off cannot be told from what is less; a condition never holds of what is absent.
    let expected = |keep: &dyn Fn(f64) -> bool| -> Vec<usize> {
        floats.iter().enumerate().filter(|(_, x)| kept(**x).is_some_and(keep)).map(|(i, _)| i).collect()
    };
    let tenth = (0.1 * 4_294_967_296.0_f64).trunc() / 4_294_967_296.0;
    assert_eq!(places(&report.table("negative")), expected(&|x| x < 0.0));
    assert_eq!(places(&report.table("half")), expected(&|x| x >= 0.5));
    assert_eq!(places(&report.table("one")), expected(&|x| x == 1.0));
    assert_eq!(places(&report.table("small")), expected(&|x| x < tenth));
    assert_eq!(places(&report.table("there")), expected(&|_| true));
}
