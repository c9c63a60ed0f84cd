//! `docs/howto/your-engine.md`: the engine of the guide is built, described and measured as the page says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::{Output, Profinfer, text, whole};

const STEPS: u64 = 100;

/// The engine and its description as they stand on the page, in a folder of their own.
struct Guide {
    folder: tempfile::TempDir,
}

impl Guide {
    #[track_caller]
    fn new() -> Guide {
        let guide = Guide { folder: tempfile::tempdir().or_fail("a folder") };
        fs::write(guide.path("tiny.c"), block("c")).or_fail("tiny.c");
        fs::write(guide.path("tiny.pi"), block("description")).or_fail("tiny.pi");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-o"]).arg(guide.path("tiny")).arg(guide.path("tiny.c"));
        let output = cc.output().or_fail("cc (apt-get install gcc)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        guide
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, description: &Path, script: &str) -> Output {
        let [engine, tiny] = [description, &self.path("tiny")].map(|p| p.to_string_lossy().into_owned());
        let steps = STEPS.to_string();
        Profinfer::run(["--engine", &engine, "-e", script, "--format", "json", "--", &tiny, &steps])
    }
}

/// The page's block with this fence.
#[track_caller]
fn block(fence: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/howto/your-engine.md");
    let page = fs::read_to_string(page).or_fail("the page");
    let (_, after) = page.split_once(&format!("```{fence}\n")).or_fail(format_args!("a block {fence}"));
    after.split_once("```").or_fail("its end").0.to_owned()
}

#[test]
fn the_engine_of_the_guide_is_measured_as_its_source_says() {
    let guide = Guide::new();
    let script = "
        on tiny_op < n = count(), rows = sum(rows), t = sum(dur) by op into ops >
        on tiny_op(MATMUL) < n = count() by layer, name, phase into products >
        on tiny_step < n = count(), tokens = sum(n_tokens), last = max(pos), ops = sum(ops), t = sum(dur), rest = sum(rest)
          by phase into steps >
        on tiny_step < n = count(), last = max(step) into all >
    ";
    let report = guide.run(&guide.path("tiny.pi"), script);
    report.succeeded();
    let ops = report.table("ops");
    let expected = [("ADD", 2, 200), ("MATMUL", 5, 25_000), ("NORM", 2, 200)];
    assert_eq!(ops.rows.len(), expected.len());
    for (op, calls, rows) in expected {
        let row = ops.row("op", op);
        assert_eq!((whole(row, "n"), whole(row, "rows")), (calls * STEPS, rows * STEPS), "{row}");
    }
    let steps = report.table("steps");
    let (decode, prefill) = (steps.row("phase", "decode"), steps.row("phase", "prefill"));
    assert_eq!((whole(prefill, "n"), whole(prefill, "tokens"), whole(prefill, "last")), (1, 8, 0));
    assert_eq!((whole(decode, "n"), whole(decode, "tokens")), (STEPS - 1, STEPS - 1));
    assert_eq!(whole(decode, "last"), 7 + STEPS - 1);
    assert_eq!(steps.total("ops"), ops.total("t"), "operators of steps are all operators");
    assert_eq!(steps.total("ops") + steps.total("rest"), steps.total("t"));
    let all = report.table("all");
    assert_eq!((whole(all.only(), "n"), whole(all.only(), "last")), (STEPS, STEPS));
    let products = report.table("products");
    assert_eq!(products.rows.len(), 10, "five, each in two phases: {products:?}");
    let head = products.rows.iter().filter(|r| text(r, "name") == "head");
    assert!(head.clone().count() == 2 && head.clone().all(|r| r["layer"].is_null()), "{products:?}");
    assert!(report.end()["silent"].as_array().is_some_and(Vec::is_empty), "{}", report.end());
}

#[test]
fn a_layout_that_moved_is_noticed() {
    let guide = Guide::new();
    let text = block("description");
    let moved = text.replace("name: str[24] @ 16", "name: str[24] @ 12");
    assert_ne!(moved, text);
    fs::write(guide.path("moved.pi"), moved).or_fail("moved.pi");
    let report = guide.run(&guide.path("moved.pi"), "on tiny_op < count() by op, name >");
    report.failed(3, &["is laid out differently from what tiny describes"]);
    assert!(report.tables("tiny_op").is_empty(), "{}", report.stdout);
}

#[test]
fn the_points_of_the_guide_are_listed() {
    let guide = Guide::new();
    let engine = guide.path("tiny.pi").to_string_lossy().into_owned();
    let list = Profinfer::run(["list", "--engine", &engine]);
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    for word in ["tiny_op", "tiny_step", "One batch of tokens"] {
        assert!(list.stdout.contains(word), "no {word} in {}", list.stdout);
    }
}
