//! Bytes and arithmetic of operators: against what the engine itself says of its types, against the model's file, and against
//! shapes that are counted by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Profinfer, text, whole};
use profinfer_tests::program::{Program, compile};
use profinfer_tests::system::engine_library;

/// A program that shows tensors to a function, as its first argument's file lists them: number of the operator, sources, and
/// for each tensor type, extents and the first two strides.
const SHOWS: &str = r#"
#include <stdio.h>
#include <string.h>
#include <stdint.h>
struct tensor { int32_t type; char a[12]; int64_t ne[4]; uint64_t nb[4]; int32_t op; char b[68]; struct tensor *src[10]; char c[104]; };
_Static_assert(sizeof(struct tensor) == 336, "as the description says");
__attribute__((noipa)) void show(struct tensor *t) { __asm__ volatile("" ::: "memory"); }
static void scan(FILE *f, struct tensor *t) {
    memset(t, 0, sizeof *t);
    fscanf(f, "%d %ld %ld %ld %ld %lu %lu", &t->type, &t->ne[0], &t->ne[1], &t->ne[2], &t->ne[3], &t->nb[0], &t->nb[1]);
}
int main(int argc, char **argv) {
    char line[64];
    struct tensor t, src[10];
    int op, n;
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        FILE *f = fopen(argv[1], "r");
        while (fscanf(f, "%d %d", &op, &n) == 2) {
            scan(f, &t);
            t.op = op;
            for (int i = 0; i < n; i++) { scan(f, &src[i]); t.src[i] = &src[i]; }
            show(&t);
        }
        fclose(f);
        puts("done");
    }
    return 0;
}
"#;

/// A matrix: type, extents, and how many bytes a block of how many elements has.
#[derive(Clone, Copy)]
struct Shape([u64; 4], u64, u64, u64);

/// Numbers in it.
const F32: fn([u64; 4]) -> Shape = |ne| Shape(ne, 0, 1, 4);
const Q4_0: fn([u64; 4]) -> Shape = |ne| Shape(ne, 2, 32, 18);
const I64: fn([u64; 4]) -> Shape = |ne| Shape(ne, 27, 1, 8);
const I32: fn([u64; 4]) -> Shape = |ne| Shape(ne, 26, 1, 4);
const F16: fn([u64; 4]) -> Shape = |ne| Shape(ne, 1, 1, 2);

impl Shape {
    fn row(self) -> u64 {
        self.0[0] / self.2 * self.3
    }

    fn line(self) -> String {
        let Shape(ne, ty, ..) = self;
        // Rows are apart: what lies between them is not moved.
        format!("{ty} {} {} {} {} {} {}", ne[0], ne[1], ne[2], ne[3], self.3, self.row() + 64)
    }
}

/// What `profinfer` reads of tensors that a program shows: the value of each `column` by place in the list.
fn shown(lab: &Lab, tensors: &[(u64, Vec<Shape>)], columns: &str) -> Vec<serde_json::Value> {
    let lines: Vec<String> = tensors
        .iter()
        .map(|(op, all)| {
            let shapes: Vec<String> = all.iter().map(|s| s.line()).collect();
            format!("{op} {} {}", all.len() - 1, shapes.join("  "))
        })
        .collect();
    let list = lab.write("tensors", &lines.join("\n"));
    let mut program = Program::start(&compile(lab.folder(), "shows", SHOWS, false, &[]), &[&list.to_string_lossy()]);
    let script = format!("on enter(\"exe:show\", t: ptr(ggml_tensor)) < print(\"{columns}\") >");
    let running = Profinfer::attach_with(program.pid(), &script, &["--unsafe"]);
    program.go(1);
    let report = running.interrupt();
    report.succeeded();
    let printed: Vec<serde_json::Value> = report.records.iter().filter(|r| r["type"] == "print").cloned().collect();
    assert_eq!(printed.len(), tensors.len(), "{}", report.stdout);
    printed
}

/// Lines of `tests/engines/weights.py`, of those that begin with `what`.
fn told(lab: &Lab, library: &str, what: &str) -> Vec<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/weights.py");
    let output = Command::new(lab.cache().python()).arg(script).arg(library).arg(lab.cache().model()).output();
    let output = output.or_fail("weights.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|words: &Vec<String>| words[0] == what).map(|words| words[1..].to_vec()).collect()
}

fn number(word: &str) -> u64 {
    word.parse().or_fail(word)
}

/// The library of an engine that has its types; its process is only needed to find it.
fn types_library(lab: &Lab, kind: Kind) -> String {
    let engine = lab.engine(kind);
    let library = engine_library(engine.pid());
    match kind {
        Kind::Xllamacpp => library,
        Kind::Node => Path::new(&library).with_file_name("libggml-base.so").display().to_string(),
    }
}

/// Every type that the engine has: a row's bytes are what `ggml_row_size` says.
fn rows_of_every_type_have_the_bytes_that_the_engine_says(kind: Kind) {
    let lab = Lab::new();
    let types = told(&lab, &types_library(&lab, kind), "type");
    assert!(types.len() >= 30, "{types:?}");
    let shapes: Vec<Shape> =
        types.iter().map(|t| Shape([512, 3, 2, 1], number(&t[0]), number(&t[2]), number(&t[3]))).collect();
    let tensors: Vec<(u64, Vec<Shape>)> = shapes.iter().map(|s| (2, vec![*s])).collect();
    let printed = shown(&lab, &tensors, "{t.type} {row_bytes(t)} {tensor_bytes(t)}");
    for ((ty, shape), record) in types.iter().zip(shapes).zip(printed) {
        let words: Vec<String> = record["text"].as_str().unwrap_or_default().split(' ').map(str::to_owned).collect();
        assert_eq!(words[0].to_lowercase(), ty[1].to_lowercase(), "{record}");
        assert_eq!(record["values"]["row_bytes(t)"], shape.row(), "{ty:?}: {record}");
        assert_eq!(record["values"]["tensor_bytes(t)"], shape.row() * 6, "{ty:?}: {record}");
    }
}

/// Shapes of all kinds of operators; what they come to is counted by hand.
#[test]
fn shapes_come_to_what_is_counted_by_hand() {
    // Numbers of the description's own list, which a process without an engine has.
    const ADD: u64 = 2;
    let list = "NONE, DUP, ADD, ADD_ID, ADD1, ACC, SUB, MUL, DIV, SQR, SQRT, LOG, SIN, COS, SUM, SUM_ROWS, CUMSUM, MEAN, ARGMAX, \
                COUNT_EQUAL, REPEAT, REPEAT_BACK, CONCAT, SILU_BACK, NORM, RMS_NORM, RMS_NORM_BACK, GROUP_NORM, L2_NORM, MUL_MAT, \
                MUL_MAT_ID, OUT_PROD, SCALE, SET, CPY, CONT, RESHAPE, VIEW, PERMUTE, TRANSPOSE, GET_ROWS, GET_ROWS_BACK, SET_ROWS";
    let op = |name: &str| list.split(", ").position(|w| w == name).or_fail(name) as u64;
    let cases: Vec<(u64, Vec<Shape>, u64, u64)> = vec![
        // [64] + [64], one vector for three.
        (ADD, vec![F32([64, 3, 1, 1]), F32([64, 3, 1, 1]), F32([64, 1, 1, 1])], 192, 4 * (192 + 192 + 64)),
        // 96 outputs of 64 inputs for 5 tokens.
        (
            op("MUL_MAT"),
            vec![F32([96, 5, 1, 1]), Q4_0([64, 96, 1, 1]), F32([64, 5, 1, 1])],
            2 * 96 * 5 * 64,
            96 * 36 + 4 * 64 * 5 + 4 * 96 * 5,
        ),
        // 2 of 8 experts for one token; 24 choices among 8.
        (
            op("MUL_MAT_ID"),
            vec![F32([96, 2, 1, 1]), Q4_0([64, 96, 8, 1]), F32([64, 1, 1, 1]), I32([2, 1, 1, 1])],
            2 * 96 * 2 * 64,
            2 * 96 * 36 + 4 * 64 + 4 * 2 + 4 * 96 * 2,
        ),
        (
            op("MUL_MAT_ID"),
            vec![F32([96, 2, 12, 1]), Q4_0([64, 96, 8, 1]), F32([64, 1, 12, 1]), I32([2, 12, 1, 1])],
            2 * 96 * 24 * 64,
            8 * 96 * 36 + 4 * 64 * 12 + 4 * 24 + 4 * 96 * 24,
        ),
        // 5 of 1,000 rows.
        (
            op("GET_ROWS"),
            vec![F32([64, 5, 1, 1]), Q4_0([64, 1000, 1, 1]), I32([5, 1, 1, 1])],
            0,
            5 * 36 + 4 * 5 + 4 * 64 * 5,
        ),
        // 5 rows into a cache of 1,000, which is the third source as well.
        (
            op("SET_ROWS"),
            vec![F16([64, 1000, 1, 1]), F32([64, 5, 1, 1]), I64([5, 1, 1, 1]), F16([64, 1000, 1, 1])],
            0,
            4 * 64 * 5 + 8 * 5 + 2 * 64 * 5,
        ),
        (op("CPY"), vec![F16([64, 5, 1, 1]), F32([64, 5, 1, 1]), F16([64, 5, 1, 1])], 0, 4 * 320 + 2 * 320),
        (op("RMS_NORM"), vec![F32([64, 5, 1, 1]), F32([64, 5, 1, 1])], 3 * 320, 2 * 4 * 320),
    ];
    let lab = Lab::new();
    let tensors: Vec<(u64, Vec<Shape>)> = cases.iter().map(|(op, all, ..)| (*op, all.clone())).collect();
    let printed = shown(&lab, &tensors, "{t.op} {flops_of(t)} {traffic_of(t)}");
    for ((op, _, flops, bytes), record) in cases.iter().zip(printed) {
        let read = ["flops_of(t)", "traffic_of(t)"].map(|column| record["values"][column].as_u64());
        assert_eq!(read, [Some(*flops), Some(*bytes)], "{op}: {record}");
    }
}

/// A token passes every weight once: the products read what the model's file holds, and do two operations for each element.
fn a_token_reads_the_weights_of_the_file(kind: Kind) {
    let lab = Lab::new();
    let library = types_library(&lab, kind);
    let mut engine = lab.engine(kind);
    let script = "
        on ggml_op(MUL_MAT, phase = decode) < n = count(), bytes = sum(bytes), flops = sum(flops) by src0.name into products >
        on ggml_op(FLASH_ATTN_EXT, phase = decode) < n = count(), flops = max(flops), bytes = min(bytes) into attention >
        on ggml_op(RMS_NORM, phase = decode) < count(), bytes = max(bytes), flops = max(flops) into norms >
    ";
    let tokens = 3;
    let report = lab.trace(&mut engine, script, tokens + 1);
    report.succeeded();
    let products = report.table("products");
    let seen: BTreeMap<String, [u64; 3]> = products
        .rows
        .iter()
        .map(|row| (text(row, "src0.name"), ["n", "bytes", "flops"].map(|column| whole(row, column))))
        .collect();
    let weights = told(&lab, &library, "weight");
    assert_eq!((weights.len(), seen.len()), (211, 211), "every matrix, the embeddings as the head: {seen:?}");
    for w in weights {
        let (elements, size, row, rows) = (number(&w[1]), number(&w[2]), number(&w[3]), number(&w[4]));
        let [n, bytes, flops] = seen[&w[0]];
        assert_eq!(n, tokens, "{w:?}");
        assert_eq!(bytes, n * (size + 4 * row + 4 * rows), "{w:?}: a vector in, a vector out");
        assert_eq!(flops, n * 2 * elements, "{w:?}");
    }
    // 9 heads of 64 over 256 cells, which 3 heads of keys and values hold in 16 bits.
    let attention = report.table("attention").only().clone();
    assert_eq!(whole(&attention, "n"), 30 * tokens);
    assert_eq!(whole(&attention, "flops"), 2 * 9 * 256 * (64 + 64));
    assert!(whole(&attention, "bytes") >= 2 * 2 * 3 * 64 * 256 + 2 * 4 * 9 * 64, "{attention}");
    let norms = report.table("norms").only().clone();
    assert_eq!((whole(&norms, "bytes"), whole(&norms, "flops")), (3 * 4 * 576, 4 * 576), "fused with the weights");
}

/// Of eight experts a token reads two.
fn a_token_reads_the_experts_that_it_uses(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine_with(kind, &Options { model: Model::Moe, ..Options::default() });
    let script = "on ggml_op(MUL_MAT_ID, phase = decode) < n = count(), min(bytes), max(bytes), max(flops) by ne[0] >";
    let report = lab.trace(&mut engine, script, 3);
    report.succeeded();
    let table = report.table("ggml_op");
    // Down: 1536 to 576 for each of two; gate and up: 576 to 1536, where both experts read one vector.
    let (down, up) = (table.row_of("ne[0]", 576), table.row_of("ne[0]", 1536));
    let ids = 2 * 4;
    let expected = [2 * 552_960 + ids + 2 * 4 * 1536 + 2 * 4 * 576, 2 * 552_960 + ids + 4 * 576 + 2 * 4 * 1536];
    for (row, bytes) in [down, up].into_iter().zip(expected) {
        assert_eq!([whole(row, "min(bytes)"), whole(row, "max(bytes)")], [bytes; 2], "{row}");
        assert_eq!(whole(row, "max(flops)"), 2 * 2 * 884_736, "{row}");
    }
}

on_each_engine! {
    rows_of_every_type_have_the_bytes_that_the_engine_says,
    a_token_reads_the_weights_of_the_file,
    a_token_reads_the_experts_that_it_uses,
}
