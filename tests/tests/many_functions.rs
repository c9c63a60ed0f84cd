//! A glob that names as many functions as one point may have, and one that names more.

use std::fmt::Write as _;

use profinfer_tests::OrFail;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Profinfer, whole};
use profinfer_tests::program::{Program, compile};

/// A program with that many functions, each of which is called once a round.
fn program(lab: &Lab, functions: usize) -> Program {
    let (mut made, mut called) = (String::new(), String::new());
    for n in 0..functions {
        writeln!(made, "__attribute__((noipa)) void many{n}(long x) {{ sink = x + {n}; }}").or_fail("a string");
        writeln!(called, "many{n}({n});").or_fail("a string");
    }
    let source = format!(
        "#include <stdio.h>\nvolatile long sink;\n{made}\nint main(void) {{ char line[64]; setvbuf(stdout, 0, _IONBF, 0);\n\
         puts(\"ready\"); while (fgets(line, sizeof line, stdin)) {{ {called} puts(\"done\"); }} }}\n"
    );
    Program::start(&compile(lab.folder(), "many", &source, false, &[]), &[])
}

const SCRIPT: &str = "on enter(\"exe:many*\", x: i64) < n = count(), s = sum(x) by func into t >";

#[test]
fn a_thousand_functions_are_counted_each() {
    let lab = Lab::new();
    let mut program = program(&lab, 1000);
    let running = Profinfer::attach_with(program.pid(), SCRIPT, &[]);
    program.go(1);
    let report = running.interrupt();
    report.succeeded();
    program.quit();
    let table = report.table("t");
    assert_eq!(table.rows.len(), 1000);
    for n in 0..1000u64 {
        let row = table.row("func", &format!("many{n}"));
        assert_eq!((whole(row, "n"), whole(row, "s")), (1, n), "{row}");
    }
}

#[test]
fn more_than_a_thousand_are_refused() {
    let lab = Lab::new();
    let program = program(&lab, 1001);
    let pid = program.pid().to_string();
    Profinfer::run(["-e", SCRIPT, "--pid", &pid]).failed(3, &["many*", "1001", "1000"]);
    program.quit();
}
