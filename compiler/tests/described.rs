//! An engine description with a fault in it: the fault is told, and nothing that follows from it.

mod common;

use profinfer_compiler::described;
use profinfer_lang::diagnostic::Diagnostic;

/// The description of ggml in which the first `from` is `to`, and what is wrong with it.
#[track_caller]
fn altered(from: &str, to: &str) -> (String, Vec<Diagnostic>) {
    let text = profinfer_scripts::ENGINES[0].text;
    assert!(text.contains(from), "ggml.pi has {from:?}");
    let text = text.replacen(from, to, 1);
    let catalogue = common::describe("altered.pi", &text).expect("each item for itself can be read");
    (text, described::faults(&catalogue))
}

/// The codes of the faults, and the texts at their places.
fn told<'t>(text: &'t str, faults: &[Diagnostic]) -> Vec<(&'static str, &'t str)> {
    faults.iter().map(|d| (d.code, &text[d.labels[0].span.range()])).collect()
}

#[test]
fn the_description_of_ggml_has_none() {
    assert_eq!(described::faults(&common::ggml()), []);
}

#[test]
fn fields_that_use_a_wrong_one_are_not_told() {
    for (from, to, expected) in [
        // `fused` and `part` use it, and are before and behind it in no order that matters.
        ("let op = t.op\n", "let op = t.opp\n", ("PI0202", "opp")),
        ("let src0 = t.src[0]\n", "let src0 = t.src[99]\n", ("PI0314", "99")),
        // `ttft` of this point, and `phase` of `llama_decode`.
        ("if(n_tokens = n_seqs, decode,", "if(n_tokens, decode,", ("PI0313", "n_tokens")),
        ("let n_seqs = u.n_seqs_unq\n", "let n_seqs: duration = u.n_seqs_unq\n", ("PI0301", "u.n_seqs_unq")),
        ("let interval: duration = since_pos(", "let interval: duration = since_poss(", ("PI0206", "since_poss")),
    ] {
        let (text, faults) = altered(from, to);
        assert_eq!(told(&text, &faults), [expected], "{to}");
    }
}

#[test]
fn what_a_struct_lacks_is_told_once() {
    let (text, faults) = altered("  op: enum(ggml_op) @ 80", "  opp: enum(ggml_op) @ 80");
    assert_eq!(told(&text, &faults), [("PI0202", "op")]);
    assert!(faults[0].help.iter().any(|h| h.contains("`opp`")), "{:?}", faults[0].help);
}

#[test]
fn faults_of_their_own_are_all_told() {
    let (text, faults) = altered(
        "  let type = t.type\n",
        "  let type = t.typ\n  let twice = dur + nth\n  let more = twice\n  let size = t.sizes\n",
    );
    assert_eq!(told(&text, &faults), [("PI0202", "typ"), ("PI0302", "dur + nth"), ("PI0202", "sizes")]);
}

/// Of a team and its mark.
#[test]
fn what_a_team_cannot_have_is_told() {
    for (from, to, expected) in [
        ("  team (p.ith < p.nth)\n", "  team (p.nth < p.nth)\n", ("PI0210", "p.nth")),
        ("  mark \"ggml_barrier\"?", "  silent \"\"//", ("PI0306", "until_mark()")),
        ("  let busy: duration = until_mark()\n", "  let busy: duration = until_mark(1)\n", ("PI0206", "until_mark")),
    ] {
        let (text, faults) = altered(from, to);
        assert_eq!(told(&text, &faults), [expected], "{to}");
    }
}

/// Of the parts of an event, and of an event for each row of them.
#[test]
fn what_parts_cannot_have_is_told() {
    for (from, to, expected) in [
        ("  let n_tokens: int = part_count()\n", "  let n_tokens: int = part_count(1)\n", ("PI0306", "part_count(1)")),
        ("part_first(u.pos[i])", "part_first(dur)", ("PI0306", "part_first(dur)")),
        ("part_first(u.pos[i])", "part_first(part_last(u.pos[i]))", ("PI0306", "part_last(u.pos[i])")),
        ("  let seq = u.seq_id_unq[s]\n", "  let seq = u.seq_id_unq[s]\n  let one = u.pos[i]\n", ("PI0202", "i")),
        // Without rows, there are no parts of a row.
        ("lone_parts() > 0", "part_count() > 0", ("PI0306", "part_count()")),
        ("  let n_nodes = g.n_nodes\n", "  let n_nodes = parts_sum(g.n_nodes)\n", ("PI0306", "parts_sum(g.n_nodes)")),
        ("parts (i < u.n_tokens) by (row_of_token(u, i))", "parts (i < u.n_tokens) by (dur)", ("PI0301", "dur")),
    ] {
        let (text, faults) = altered(from, to);
        assert_eq!(told(&text, &faults), [expected], "{to}");
    }
}

#[test]
fn parts_and_rows_stand_where_they_can() {
    for (from, to) in [
        ("  each (s < u.n_seqs_unq)\n", "  each (s < u.n_seqs_unq, r < 2)\n"),
        ("  each (row < t.src[2].ne[1], column < t.src[2].ne[0])\n", "  each (row < t.src[2].ne[1])\n"),
        ("  team (p.ith < p.nth)\n", "  parts (k < p.nth) by (0)\n"),
    ] {
        let text = profinfer_scripts::ENGINES[0].text.replacen(from, to, 1);
        let (faults, _) = common::describe("altered.pi", &text).expect_err(to);
        assert_eq!(faults[0].code, "PI0210", "{to}");
    }
}

/// Where an event ends, and which ends make it one.
#[test]
fn ends_stand_where_they_can() {
    for (from, to) in [
        // In a sequence.
        ("  stop \"ggml_threadpool_free\"?\n", "  stop behind \"ggml_threadpool_free\"?\n"),
        // Of what it does not begin at.
        ("  stop behind \"ggml_backend_synchronize\"\n", "  stop behind \"ggml_synchronize\"\n"),
        ("  only (p.ith = 0)\n", "  only return (p.ith = 0)\n"),
    ] {
        let text = profinfer_scripts::ENGINES[0].text;
        assert!(text.contains(from), "ggml.pi has {from:?}");
        let (faults, _) = common::describe("altered.pi", &text.replacen(from, to, 1)).expect_err(to);
        assert_eq!(faults[0].code, "PI0210", "{to}");
    }
    let starts = "  start \"a\" (b: ptr(ggml_backend))?\n".repeat(8);
    let many = format!("point backend_wait : span {{\n{starts}");
    let text = profinfer_scripts::ENGINES[0].text.replacen("point backend_wait : span {\n", &many, 1);
    let (faults, _) = common::describe("altered.pi", &text).expect_err("nine starts");
    assert_eq!((faults.len(), faults[0].code), (1, "PI0210"));
    let returned = "(not has(target) or returned(bool))\n";
    for (to, expected) in
        [("(returned())\n", ("PI0206", "returned")), ("(returned(ggml_type))\n", ("PI0306", "returned(ggml_type)"))]
    {
        let (text, faults) = altered(returned, to);
        assert_eq!(told(&text, &faults), [expected], "{to}");
    }
}

#[test]
fn a_circle_is_told_once() {
    let (text, faults) = altered("  let nth = p.nth\n", "  let nth = a\n  let a = b\n  let b = c + 1\n  let c = a\n");
    assert_eq!(told(&text, &faults), [("PI0211", "a")]);
    let line = profinfer_lang::render::line_column(&text, faults[0].labels[0].span.start as usize).0;
    assert_eq!(text.lines().nth(line - 1), Some("  let c = a"), "where the circle closes");
}
