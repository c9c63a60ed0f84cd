//! `profinfer list`, run as a user runs it, and the field reference that it makes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use profinfer::engine::descriptions;
use profinfer::script::Script;

fn list(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_profinfer"));
    command.arg("list").args(arguments).output().unwrap()
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = list(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Lines that a terminal of 80 columns would break although they could have been wrapped: there is no word in them that
/// is too long for it anyway (a mangled name, a path).
fn too_wide(text: &str) -> Vec<&str> {
    let wraps = |line: &&str| line.chars().count() > 80 && line.split_whitespace().all(|w| w.chars().count() < 60);
    text.lines().filter(wraps).collect()
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fields.md")
}

/// `UPDATE_GOLDEN=1 cargo test -p profinfer --test cli_list` writes it anew.
#[test]
fn the_field_reference_is_up_to_date() {
    let made = printed(&["--markdown"]);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(reference(), &made).unwrap();
    }
    let committed = std::fs::read_to_string(reference()).unwrap_or_default();
    assert!(committed == made, "docs/fields.md differs from `profinfer list --markdown`: write it anew");
}

/// Every field that the reference shows can be written in a script, with everything that it says can stand behind it.
#[test]
fn what_the_reference_shows_can_be_written() {
    let engine = &descriptions().unwrap()[0];
    let text = printed(&["--markdown"]);
    let (mut point, mut tried) = ("", 0);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            point = heading.trim_matches('`');
        }
        let Some(row) = line.strip_prefix("| `").filter(|_| !point.is_empty()) else { continue };
        let (field, rest) = row.split_once('`').unwrap();
        let members = rest.split('`').filter(|m| m.starts_with('.') && !m.contains(' ')).map(|m| format!("{field}{m}"));
        let is_array = rest.starts_with(" | int[");
        let all = std::iter::once(if is_array { format!("{field}[0]") } else { field.to_owned() }).chain(members);
        for name in all.map(|n| n.replace("[0..3]", "[3]").replace("[0..9]", "[9]").replace("[0..15]", "[15]")) {
            let script = Script::parse("x", &format!("on {point} where (has({name})) < count() >"));
            if let Err(errors) = script.compile(engine, &[], false) {
                panic!("{}", profinfer_lang::render::human(&errors, &script.sources, false));
            }
            tried += 1;
        }
    }
    assert!(tried > 40, "only {tried} fields");
}

#[test]
fn without_a_name_every_point_and_enum_is_there() {
    let text = printed(&[]);
    let catalogue = &descriptions().unwrap()[0].catalogue;
    for name in catalogue.points.iter().map(|p| &p.name).chain(catalogue.enums.keys()) {
        assert!(text.lines().any(|l| l.starts_with(&format!("  {name} "))), "no {name} in:\n{text}");
    }
    assert!(text.contains("ggml_op           sequence  One dispatched step of a graph"), "{text}");
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    assert_eq!(too_wide(&text), Vec::<&str>::new());
}

#[test]
fn a_point_is_shown_with_all_fields_that_can_be_used_there() {
    let text = printed(&["llama_ubatch"]);
    for words in [
        "point llama_ubatch",
        "span: an event per call",
        "n_tokens        int                Tokens in the micro-batch.",
        "phase           enum(llama_phase)",
        "dur   duration  How long it took.",
        "fields of llama_decode, which may enclose it (write llama_decode.context)",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    assert_eq!(too_wide(&text), Vec::<&str>::new());
}

#[test]
fn an_enum_is_shown_with_its_words() {
    let text = printed(&["llama_phase"]);
    assert_eq!(
        text.trim(),
        "enum llama_phase\n  What a micro-batch does for its sequences.\n\n    0 prefill    1 decode     2 mixed      3 encode     4 verify"
    );
    let text = printed(&["ggml_type"]);
    assert!(text.contains("  0 F32") && text.contains(" 39 MXFP4"), "{text}");
    assert!(text.contains("part of the GGUF file format, the numbers do not move."), "{text}");
    let text = printed(&[]);
    assert!(text.contains("\n  llama_phase        What a micro-batch does for its sequences\n"), "{text}");
}

#[test]
fn a_glob_shows_all_that_match() {
    let text = printed(&["llama_*"]);
    for heading in ["point llama_ubatch\n", "point llama_decode\n", "enum llama_phase\n"] {
        assert!(text.contains(heading), "no {heading:?} in:\n{text}");
    }
    assert!(!text.contains("point ggml_op\n"), "{text}");
}

#[test]
fn verbose_tells_of_each_field_where_it_comes_from_and_what_it_needs() {
    let text = printed(&["-v", "ggml_op"]);
    for words in [
        "probes of ggml_op, whatever is asked of it\n",
        "  close ggml_op, close ggml_graph\n    return of ggml_graph_compute\n",
        "The operator; of a fused step the first one.\n                              read in the kernel at the start\n  fused_op",
        "put together in user space from name, src0.name",
        "  dur   duration  How long it took.\n                  in ns; known in the kernel at the end\n",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    // Wherever its lines are broken.
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = "in ns; not known here before ggml_graph ends: ask for it there";
    assert!(flat.contains(words), "no {words:?} in:\n{text}");
    // The enclosing call and the scheduler's step are probed for their fields, and for the backend its own function; the rest
    // is there anyway.
    let needs: Vec<_> =
        text.split("needs further probes:").skip(1).map(|n| n.split_whitespace().nth(1).unwrap()).collect();
    for point in ["llama_decode", "ggml_sched", "ggml_graph"] {
        assert!(needs.contains(&point), "{needs:?}");
    }
    assert!(needs.iter().all(|n| ["llama_decode", "ggml_sched", "ggml_graph"].contains(n)), "{text}");
    assert_eq!(too_wide(&text), Vec::<&str>::new());

    let text = printed(&["-v", "moe_route*"]);
    assert!(text.contains("point moe_route\n") && text.contains("point moe_route_weight\n"), "{text}");
    let weight = text.split("weight        ratio").nth(1).unwrap();
    assert!(weight.contains("of one; read in the kernel at the event\n"), "{text}");
    assert!(!text.contains("at the end\n\ncommon"), "an element has no end:\n{text}");
    assert_eq!(list(&["-v"]).status.code(), Some(2), "of what?");
}

#[test]
fn what_is_not_there_is_told_with_a_near_name() {
    let output = list(&["ggml_opp"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("ggml_opp") && stderr.contains("did you mean ggml_op?"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_process_that_is_not_there_is_a_wrong_target() {
    let output = list(&["--pid", "4194999"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("4194999"));
}
