//! Scripts by chance, recorded while the kernel fills their tables: both are the same, to the byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::Profinfer;

#[path = "../../runtime/tests/verifier/generate.rs"]
#[expect(dead_code, reason = "the generator has more than is needed here")]
mod generate;

/// Scripts that are run.
const RUNS: usize = 24;

/// What makes tables hang on when user space looks, or on the order of the kernel's rows.
const HANGS_ON_TIME: [&str; 6] = ["every ", "after ", "exit", "show ", "clear ", " limit "];

/// What goes by the order of events, which of several threads is another one in each of two streams.
const GOES_BY_ORDER: [&str; 6] = ["lru(", "pinned(", "gap(", "last(", "slope(", "newest("];

/// Points whose events come from several threads at once.
const SEVERAL_THREADS: [&str; 8] =
    ["ggml_work", "enter(", "span(", "on other", "= other", "off_cpu", "page_fault", "tracepoint("];

#[test]
fn chance_gives_the_same_tables_again() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let descriptions = profinfer::engine::descriptions().unwrap();
    let generator = generate::Generator::new(&descriptions[0]);
    let (mut runs, mut rows, mut printed) = (0, 0, 0);
    let first: u64 = std::env::var("PROFINFER_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    for seed in first.. {
        if runs == RUNS {
            break;
        }
        let text = generator.script(seed);
        let own = text.strip_prefix(generate::DEFINITIONS).unwrap_or(&text);
        if HANGS_ON_TIME.iter().any(|word| own.contains(word)) || own.contains("profile(") {
            continue;
        }
        let any = |words: &[&str]| words.iter().any(|word| own.contains(word));
        if any(&GOES_BY_ORDER) && any(&SEVERAL_THREADS) {
            continue;
        }
        let script = lab.write("chance.pi", &text);
        let (pid, file) = (engine.pid().to_string(), lab.folder().join(format!("{seed}.pirec")));
        let file = file.to_str().unwrap();
        let run = ["record", "--show", "--unsafe", "-f", "json", script.to_str().unwrap(), "-o", file, "--pid", &pid];
        // Of some points this engine has nothing, of others too much: that is not what is looked at here.
        if Profinfer::run(["check", "--unsafe", script.to_str().unwrap()]).code != Some(0) {
            continue;
        }
        let mut running = Profinfer::start(run);
        if !running.attaches() {
            let failed = running.finish();
            assert!([Some(1), Some(3), Some(4)].contains(&failed.code), "seed {seed}: {}", failed.stderr);
            continue;
        }
        engine.generate(3);
        let live = running.interrupt();
        assert_eq!(live.code, Some(0), "seed {seed}: {}\n{own}", live.stderr);
        let again = Profinfer::run(["replay", "-f", "json", file]);
        assert_eq!(again.code, Some(0), "seed {seed}: {}\n{own}", again.stderr);
        let shown = |all: &str| -> Vec<String> {
            let is_shown =
                |line: &&str| line.starts_with("{\"type\":\"table\"") || line.starts_with("{\"type\":\"print\"");
            all.lines().filter(is_shown).map(str::to_owned).collect()
        };
        let (live, again) = (shown(&live.stdout), shown(&again.stdout));
        assert_eq!(live.len(), again.len(), "seed {seed}\n{own}");
        for (live, again) in live.iter().zip(&again) {
            assert_eq!(live, again, "seed {seed}\n{own}");
            rows += usize::from(live.contains("\"rows\":[{"));
            printed += usize::from(live.starts_with("{\"type\":\"print\""));
        }
        fs::remove_file(file).unwrap();
        runs += 1;
    }
    // What chance asks for is often nowhere to be found.
    assert!(rows >= 5 && printed >= 100, "only {rows} tables with rows, {printed} printed");
}
