//! Patterns against fields of every type, and where each condition is decided, on a description made for it.

mod common;

use profinfer_compiler::catalogue::Catalogue;
use profinfer_compiler::plan::Expr;
use profinfer_compiler::print;

const ENGINE: &str = r#"
engine e "made for tests" where (exports("f"))
enum color { red, green, blue }
struct thing { ready: bool @ 0  color: enum(color) @ 4  took: u64 @ 8  size: u64 @ 16  name: str[32] @ 24  n: i32[2] @ 56  next: ptr(thing) @ 64 }
fn third(x) = x / 3
point outer : span {
  start "g" (n: i32)
  let kind: enum(color) = if(n > 2, red, blue)
  let sum: duration = sum_of(work.took)
}
point work : span {
  start "f" (t: ptr(thing))
  within outer
  pattern color
  let color = t.color
  let ready = t.ready
  let took: duration = t.took * 1us
  let size: bytes = t.size * 1B
  let name = t.name
  let n = t.n
  let next = t.next
  let gap: duration = since_end(t.n[0])
}
"#;

fn engine() -> Catalogue {
    common::describe("e.pi", ENGINE).unwrap_or_else(|(_, text)| panic!("{text}"))
}

/// Where a clause's conditions are decided and as what, or the codes of its faults.
fn decided(clause: &str) -> String {
    let outcome = common::compile_with(&engine(), &format!("on {clause} < count() >"), &[]);
    let plan = match &outcome.result {
        Ok(compiled) => print::plan_within(&compiled.plan, usize::MAX),
        Err(_) => return outcome.codes().join(" "),
    };
    // A line without a word goes on with the one before it; one that is set in further is the rest of a long line.
    let mut found: Vec<String> = Vec::new();
    let mut word = "";
    for line in plan.lines().skip_while(|l| !l.starts_with("table")).skip(1) {
        let (head, text) = line.split_at(13);
        word = if head.trim().is_empty() { word } else { head.trim() };
        if ["at start", "at end", "user space"].contains(&word) && !text.starts_with(' ') {
            found.push(format!("{word}: {text}"));
        }
    }
    found.join("; ")
}

#[test]
fn patterns_fit_their_fields() {
    for (clause, expected) in [
        ("work(red)", "at start: t.color = red"),
        ("work(!red | green)", "at start: t.color = !red|green"),
        ("work(r* | \"purple\")", "at start: t.color = r*|purple"),
        ("work(x*)", "PI0207"),
        ("work(3)", "PI0308"),
        ("work(color = 0..1)", "PI0308"),
        ("work(ready = true)", "at start: t.ready = 1"),
        ("work(ready = !true)", "at start: t.ready = !1"),
        ("work(ready = yes)", "PI0308"),
        ("work(ready = 1)", "PI0308"),
        ("work(took = 1ms..5ms)", "at start: (t.took * 1000) = 1000000..5000000"),
        ("work(took = 1ms)", "at start: (t.took * 1000) = 1000000"),
        ("work(took = 1..5)", "PI0308"),
        ("work(took = 5ms..1ms)", "PI0309"),
        ("work(dur = ..5ms | 1s..)", "at end: dur = ..5ms|1s.."),
        ("work(size = 4KiB..)", "at start: (t.size * 1) = 4096.."),
        ("work(size = 4096)", "PI0308"),
        ("work(name = abc* | \"a.b\")", "user space: name = abc*|a.b"),
        ("work(name = 3)", "PI0308"),
        ("work(name = !\"x\")", "user space: name = !x"),
        ("work(n[0] = -5..-1)", "at start: t.n = -5..-1"),
        ("work(n[1] = ..-3 | 7)", "at start: t.n[+4] = ..-3|7"),
        ("work(n[2] = 1)", "PI0314"),
        ("work(n = 1)", "PI0308"),
        ("work(next.color = blue)", "at start: t.next.color = blue"),
        ("work(next.next.n[1] = 0)", "at start: t.next.next.n[+4] = 0"),
        ("work(next = 3)", "PI0308"),
        ("work(gap = 1ms..)", "at end: gap = 1ms.."),
        ("work(outer.kind = blue)", "at end: (kind = blue) of outer"),
        ("work(kind = blue)", "at end: (kind = blue) of outer"),
        ("work(kind = teal)", "PI0207"),
        ("work(nope = 1)", "PI0202"),
        ("work(outer.sum = 1ms..)", "PI0213"),
        ("outer(work.color = red)", "PI0212"),
    ] {
        assert_eq!(decided(clause), expected, "{clause}");
    }
}

#[test]
fn conditions_are_decided_at_the_earliest_place() {
    for (condition, expected) in [
        (
            "color = red and dur > 1ms and name = \"a*\"",
            "at start: t.color = red; at end: dur > 1ms; user space: name = a*",
        ),
        ("(color = red and dur > 1ms)", "at start: t.color = red; at end: dur > 1ms"),
        ("color = red or dur > 1ms", "at end: (color = red) or (dur > 1ms)"),
        ("color = red or name = \"a*\"", "user space: (color = red) or (name = a*)"),
        ("not (color = red and ready)", "at start: not ((t.color = red) and t.ready)"),
        ("has(gap) and gap > 1ms", "at end: has(gap); at end: gap > 1ms"),
        ("cpu = 3 and pid > 1", "at end: cpu = 3; at end: pid > 1"),
        ("comm = \"llama*\"", "user space: comm = llama*"),
        ("third(took) > 1ms", "at start: ((t.took * 1000) / 3) > 1000000"),
        ("dur / 3 > 1ms", "at end: (dur / 3) > 1ms"),
        ("dur / 3ms > 1", "PI0316"),
        ("took > 1ms * 1.5", "at start: (t.took * 1000) > 1500000"),
        ("dur > took", "at end: dur > took"),
        ("n[0] > n[1]", "at start: t.n > t.n[+4]"),
        ("red = color", "at start: red = t.color"),
        ("true", "at end: 1"),
        ("next.name = \"x\" or next.color = red", "user space: (next.name = x) or (next.color = red)"),
        ("if(color = red, took, dur) > 1ms", "at end: if((color = red), took, dur) > 1ms"),
        ("kind = red and outer.kind != blue", "at end: (kind = red) of outer; at end: (kind != blue) of outer"),
    ] {
        assert_eq!(decided(&format!("work where ({condition})")), expected, "{condition}");
    }
}

#[test]
fn one_value_is_read_once_whatever_it_is_called() {
    let script = "on work where (dur > took) < sum(took), max(third(took)), hist(size), count() by color, c = color, next.name >";
    let plan = common::compile_with(&engine(), script, &[]).compiled().plan;
    let point = plan.points.iter().find(|p| p.name == "work").expect("it is used");
    let texts: Vec<_> = point.captures.iter().map(|c| c.text.as_str()).collect();
    assert_eq!(texts, ["took", "(took / 3)", "size", "color", "next.name"]);
    assert_eq!(plan.tables[0].key.len(), 2, "both keys come from one part of the kernel's key");
    assert_eq!(plan.tables[0].keys.len(), 3);
}

#[test]
fn what_cannot_be_absent_has_no_second_count() {
    let script = "on work < sum(dur), avg(dur), avg(gap), sum(cpu), sum(dur % 3us), sum(dur % took) >";
    let plan = common::compile_with(&engine(), script, &[]).compiled().plan;
    let nullable: Vec<_> = plan.tables[0].slots.iter().map(|s| (s.how, s.nullable)).collect();
    use profinfer_compiler::plan::SlotHow::{Count, Present, Sum};
    let expected = [
        (Sum, false),
        (Count, false),
        (Sum, true),
        (Present, true),
        (Sum, false),
        (Sum, false),
        (Sum, true),
        (Present, true),
    ];
    assert_eq!(nullable, expected);
    assert!(matches!(plan.tables[0].slots[0].of, Some(Expr::Dur)));
}

#[test]
fn wrong_descriptions_are_refused() {
    let head = "engine e \"e\" where (exports(\"f\"))\n";
    for (text, expected) in [
        ("point p : span { }", "PI0210"),
        ("point p : probe { start \"f\" }", "PI0210"),
        ("point p : span { start \"f\" within q }", "PI0201"),
        ("point p : span { start \"f\" let a = 1 let a = 2 }", "PI0205"),
        ("point p : span { start \"f\" mark \"g\" }", "PI0210"),
        ("point p : span { start \"f\" team (1 < 2) }", "PI0210"),
        ("point q : span { start \"g\" }\npoint p : sequence { start \"f\" team (1 < 2) within q }", "PI0210"),
        ("point p : sequence { start \"f\" (n: i32) state by (n) team (n < 2) }", "PI0210"),
        ("struct s { a: nothing @ 0 }", "PI0210"),
        ("struct s { a: ptr(t) @ 0 }", "PI0210"),
        ("struct s { a: enum(t) @ 0 }", "PI0210"),
        ("struct s { a: str @ 0 }", "PI0210"),
        ("struct s { a: str[0] @ 0 }", "PI0210"),
        ("struct s { a: str[4294967300] @ 0 }", "PI0210"),
        ("struct s { a: i32 @ 0 }\nstruct s { a: i64 @ 0 }", "PI0210"),
        ("on p < count() >", "PI0210"),
        ("enum a { x }\nenum a { y }", "PI0205"),
        ("fn f(x) = x\nfn f(x) = x", "PI0205"),
        ("point p : span { start \"f\" }\npoint p : span { start \"g\" }", "PI0205"),
    ] {
        let (found, shown) = common::describe("e.pi", &format!("{head}{text}")).err().unwrap_or_default();
        assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), [expected], "{text}\n{shown}");
    }
    let condition = "engine e \"e\" where (size > 3)";
    let (found, _) = common::describe("e.pi", condition).expect_err("no condition on symbols");
    assert_eq!(found[0].code, "PI0210");
}
