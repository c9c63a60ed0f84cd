//! Rows as paragraphs.

use insta::assert_snapshot;

use super::{column, drawn, int, table, text};
use crate::record::{Quantity, Table, Value, ViewKind};

#[test]
fn texts_are_wrapped_and_what_is_absent_is_left_out() {
    let keys = vec![column("phase", Quantity::Text)];
    let columns = vec![
        column("n", Quantity::Number),
        column("bound", Quantity::Text),
        column("more", Quantity::Text),
        column("time", Quantity::Duration),
    ];
    let long =
        "memory-bound: what it has to read comes at 20.1 GB/s, which is 81 % of what the memory of this machine gives";
    let rows = vec![
        vec![text("decode"), int(1234), text(long), Value::Absent, int(1_500_000)],
        vec![text("\u{1b}[31mx"), Value::Absent, text("a\u{1b}[2Jb"), text("c"), Value::Absent],
    ];
    let table = Table { view: ViewKind::Text, ..table("verdict", keys, columns, rows) };
    assert_snapshot!(drawn(table), @r"
    verdict  at 1.00 s
    decode
      n: 1,234
      memory-bound: what it has to read comes at 20.1 GB/s, which is 81 % of what
      the memory of this machine gives
      time: 1.50 ms
    \u{1b}[31mx
      a\u{1b}[2Jb
      c
    ");
}
