//! `profinfer … -- command`: the child is held until everything is attached, so its first token is seen.

use std::collections::BTreeMap;
use std::ffi::OsString;

use profinfer_tests::engine::{Kind, command};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, whole};

const SCRIPT: &str = "
    on llama_ubatch < n = count() by n_tokens into ubatches >
    on llama_ubatch(phase = prefill) < ttft = max(ttft) by n_tokens into prompts >
    on ggml_op < n = count() into steps >
";

fn launch(before: &[&str], words: impl IntoIterator<Item = OsString>) -> Output {
    let all = before.iter().map(OsString::from).chain(["--".into()]).chain(words);
    Profinfer::run(all)
}

fn words(lab: &Lab, kind: Kind, tokens: u64) -> Vec<OsString> {
    let engine = command(lab.cache(), kind, None, &["-n".into(), tokens.to_string().into()]);
    [engine.get_program()].into_iter().chain(engine.get_args()).map(OsString::from).collect()
}

/// Nothing is missed: not the first prompt, not the last token. While it loads, llama.cpp's server, which is inside
/// xllamacpp, tries out a micro-batch of two tokens.
fn the_first_prompt_is_seen(kind: Kind) {
    let lab = Lab::new();
    let report = launch(&["-e", SCRIPT, "--format", "json"], words(&lab, kind, 5));
    report.succeeded();
    let mut expected = BTreeMap::from([("1".to_owned(), 4), ("11".to_owned(), 1)]);
    if kind == Kind::Xllamacpp {
        expected.insert("2".to_owned(), 1);
    }
    assert_eq!(report.table("ubatches").by("n_tokens", "n"), expected, "micro-batches by number of tokens");
    assert_eq!(report.table("steps").total("n"), expected.values().sum::<u64>() * 515);
    let prompt = report.table("prompts");
    assert!(whole(prompt.row_of("n_tokens", 11), "ttft") > 0, "{prompt:?}");
}

/// With a machine format on stdout the child's words go to stderr.
fn the_childs_words_do_not_mix_with_records(kind: Kind) {
    let lab = Lab::new();
    let report = launch(&["-e", SCRIPT, "--format", "json"], words(&lab, kind, 3));
    report.succeeded();
    assert!(report.stderr.contains("The three primary colors"), "the text is on stderr:\n{}", report.stderr);
    let path = lab.folder().join("report.json");
    let file = path.to_string_lossy();
    let report = launch(&["-e", SCRIPT, "--format", "json", "-o", &file], words(&lab, kind, 3));
    assert_eq!(report.code, Some(0), "exit code; it said:\n{}", report.stderr);
    assert!(report.stdout.contains("The three primary colors"), "the text is on stdout:\n{}", report.stdout);
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written.lines().last().is_some_and(|l| l.contains(r#""type":"end""#)), "the file:\n{written}");
}

#[test]
fn the_childs_exit_status_is_passed_on() {
    let report = launch(&["-e", SCRIPT], ["sh", "-c", "exit 7"].map(OsString::from));
    assert_eq!(report.code, Some(7), "it said:\n{}", report.stderr);
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let report = launch(&["-e", SCRIPT], ["no-such-program-here"].map(OsString::from));
    assert!(report.stderr.contains("no-such-program-here"), "it said:\n{}", report.stderr);
    assert!(report.code.is_some_and(|code| code != 0), "exit code {:?}", report.code);
}

on_each_engine! {
    the_first_prompt_is_seen,
    the_childs_words_do_not_mix_with_records,
}
