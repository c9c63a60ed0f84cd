//! Heatmaps: on terminals of several widths, with and without colour.

use insta::assert_snapshot;

use super::*;
use crate::view::Format;

/// `on moe_route < count(), avg(weight) by layer, expert into experts >`: layer 3 has no routing, expert 2 of layer 1 is
/// never used, its weight in layer 0 is 0.
fn experts(n: i64) -> Table {
    let mut rows = Vec::new();
    for layer in [4, 0, 1, 2] {
        for expert in (0..n).filter(|e| (layer, *e) != (1, 2)) {
            let count = if (layer, expert) == (0, 2) { 0 } else { (layer * 7 + expert * expert * 13) % 1_200 };
            rows.push(vec![int(layer), int(expert), int(count), real(0.5)]);
        }
    }
    let keys = vec![column("layer", Quantity::Number), column("expert", Quantity::Number)];
    let columns = vec![column("count()", Quantity::Number), column("avg(weight)", Quantity::Number)];
    Table { view: ViewKind::Heatmap, ..table("experts", keys, columns, rows) }
}

/// `on ggml_op < avg(dur) by op, layer >` with texts along both sides of the other table.
fn stalls(parts: &[&str]) -> Table {
    let mut rows = Vec::new();
    for (i, op) in ["MUL_MAT", "ROPE", "SOFT_MAX"].iter().enumerate() {
        for (j, part) in parts.iter().enumerate() {
            rows.push(vec![text(op), text(part), real((i * 10 + j) as f64 * 1_234.5)]);
        }
    }
    rows.push(vec![Value::Absent, text(parts[0]), Value::Absent]);
    let keys = vec![column("op", Quantity::Text), column("part", Quantity::Text)];
    Table { view: ViewKind::Heatmap, ..table("stalls", keys, vec![column("avg(dur)", Quantity::Duration)], rows) }
}

fn wide(table: Table, width: usize, color: bool) -> String {
    let options = Options { width, color, ..Options::default() };
    visible(&shown(Format::Table, options, &[Record::Table(table)]))
}

#[track_caller]
fn fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(crate::view::line::width(line) <= width, "{line:?} is wider than {width}");
    }
}

#[test]
fn a_few_columns_have_two_characters_each() {
    assert_snapshot!(drawn(experts(8)), @r#"
    experts  at 1.00 s
           expert
    layer  0 1 2 3 4 5 6 7
        0  ········░░▒▒▓▓██
        1  ····  ··░░▒▒▓▓██
        2  ········░░▒▒▓▓██
        3
        4  ······░░░░▒▒▓▓██
    count()  0 ··░░▒▒▓▓██ 665, blank: nothing
    not shown: avg(weight)
    "#);
}

#[test]
fn sixty_four_columns_fit_into_eighty() {
    let text = drawn(experts(64));
    fits(&text, 80);
    assert_snapshot!(text, @r#"
    experts  at 1.00 s
           expert
    layer  0    5    10   15   20   25   30   35   40   45   50   55   60
        0  ·····░░▒▓█·░▒█·▒▓·▒█░▓░▓░▓░█▒·▓▒·▓▒░·█▓▒░░··█████···░▒▒▓█·▒▓·░▓█
        1  ·· ··░░▒▓█·░▒█·▒▓·▒█░▓░▓░▓░█▒·▓▒·█▒░·█▓▒░░··█████···░▒▒▓█░▒▓·░▓·
        2  ·····░▒▒▓█·░▒█·▒▓·▒█░▓░▓░▓░█▒·▓▒·█▒░·█▓▒░░··█████···░▒▓▓█░▒▓·░▓·
        3
        4  ·····░▒▒▓█·░▒█·▒▓·▒█░█░▓░▓░█▒·▓▒·█▒░·█▓▒░░··█████··░░▒▓▓█░▒▓·░▓·
    count()  0 ··░░▒▒▓▓██ 1,197, blank: nothing
    not shown: avg(weight)
    "#);
}

#[test]
fn more_columns_than_fit_are_merged_and_that_is_said() {
    let text = drawn(experts(256));
    fits(&text, 80);
    assert_snapshot!(text, @r#"
    experts  at 1.00 s
           expert
    layer  0    20   40   60   80   100  120  140  160  180  200  220  240
        0  ·▒███▓█▓▓█░██▓██▓▓█████▓██▓▓█████▓░▒█▓████▓█▒████▓▓█▓███▒·░█▓█▓█
        1  ·▒███▓█▓██░██▓█▓▓▓███▒█▓██▓▓█████▓░▒█▓████▓█▒████▓▓█▓███▒·░█▓█▓█
        2  ·▒███▓█▓██░██▓█▓▓▓███▒█▓██▓▓███▓█▓░▒█▓████▓▓▒████▓▓█▓███▒·░█▓█▓█
        3
        4  ·▒█████▓██░██▓█▓▓▓███▒█▓██▓▓███▓█▓░▒█▓█████▓▒████▓▓█▓███▒·░█▓█▓█
    count()  0 ··░░▒▒▓▓██ 1,197, blank: nothing
    a cell is the largest of 4 columns
    not shown: avg(weight)
    "#);
    fits(&wide(experts(256), 32, false), 32);
}

#[test]
fn colours_are_backgrounds_and_absent_has_none() {
    assert_snapshot!(wide(experts(4), 80, true), @r#"
    ␛[1mexperts␛[0m  ␛[2mat 1.00 s␛[0m
           ␛[1mexpert␛[0m
    ␛[1mlayer␛[0m  ␛[36m0 1 2 3␛[0m
        ␛[36m0␛[0m  ␛[48;5;53m  ␛[0m␛[48;5;53m  ␛[0m␛[48;5;53m  ␛[0m␛[48;5;185m  ␛[0m
        ␛[36m1␛[0m  ␛[48;5;53m  ␛[0m␛[48;5;90m  ␛[0m  ␛[48;5;185m  ␛[0m
        ␛[36m2␛[0m  ␛[48;5;53m  ␛[0m␛[48;5;90m  ␛[0m␛[48;5;66m  ␛[0m␛[48;5;227m  ␛[0m
        ␛[36m3␛[0m
        ␛[36m4␛[0m  ␛[48;5;90m  ␛[0m␛[48;5;60m  ␛[0m␛[48;5;72m  ␛[0m␛[48;5;227m  ␛[0m
    ␛[1mcount()␛[0m  0 ␛[48;5;53m  ␛[0m␛[48;5;90m  ␛[0m␛[48;5;60m  ␛[0m␛[48;5;66m  ␛[0m␛[48;5;72m  ␛[0m␛[48;5;78m  ␛[0m␛[48;5;185m  ␛[0m␛[48;5;227m  ␛[0m 145, ␛[2mblank: nothing␛[0m
    ␛[2mnot␛[0m ␛[2mshown:␛[0m ␛[2mavg(weight)␛[0m
    "#);
}

#[test]
fn short_names_stand_above_their_columns() {
    assert_snapshot!(drawn(stalls(&["attention", "ffn", "norm"])), @r#"
    stalls  at 1.00 s
              part
    op        attention ffn       norm
    MUL_MAT   ······························
    ROPE      ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
    SOFT_MAX  ██████████████████████████████
    -
    avg(dur)  0 ns ··░░▒▒▓▓██ 27.2 µs, blank: nothing
    "#);
}

#[test]
fn long_names_are_written_downwards() {
    let names = ["attention", "feed_forward", "normalisation", "größe", "世界", "output_projection_of_all", "g", "h"];
    assert_snapshot!(drawn(stalls(&names)), @r#"
    stalls  at 1.00 s
              part
                f n     o
                e o     u
                e r     t
              a d m     p
              t _ a     u
              t f l     t
              e o …     …
              n r a g   f
              t w t r   _
              i a i ö   a
              o r o ß 世l
    op        n d n e 界l g h
    MUL_MAT   ············░░░░
    ROPE      ░░▒▒▒▒▒▒▒▒▒▒▒▒▓▓
    SOFT_MAX  ▓▓▓▓████████████
    -
    avg(dur)  0 ns ··░░▒▒▓▓██ 33.3 µs, blank: nothing
    "#);
}

#[test]
fn names_that_do_not_fit_are_cut_off_and_that_is_said() {
    let names: Vec<String> = (0..50).map(|n| format!("part-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = wide(stalls(&names), 40, false);
    fits(&text, 40);
    assert_snapshot!(text, @r#"
    stalls  at 1.00 s
              part
                        pppppppppppppppppppp
              ppppppppppaaaaaaaaaaaaaaaaaaaa
              aaaaaaaaaarrrrrrrrrrrrrrrrrrrr
              rrrrrrrrrrtttttttttttttttttttt
              tttttttttt--------------------
              ----------11111111112222222222
    op        012345678901234567890123456789
    MUL_MAT   ··············░░░░░░░░░░░░░░▒▒
    ROPE      ····░░░░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒
    SOFT_MAX  ░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▓▓▓▓▓▓▓▓
    -
    avg(dur)  0 ns ··░░▒▒▓▓██ 85.2 µs,
    blank: nothing
    … 20 more columns to the right; a file
    has them all: to "NAME.html"
    "#);
}

#[test]
fn a_further_key_has_a_picture_for_each_of_its_values() {
    let mut rows = Vec::new();
    for (phase, layer, expert, n) in
        [("prefill", 0, 0, 10), ("decode", 0, 1, 90), ("prefill", 1, 1, 50), ("decode", 1, 5, 10)]
    {
        rows.push(vec![int(layer), int(expert), text(phase), int(n)]);
    }
    let keys = [("layer", Quantity::Number), ("expert", Quantity::Number), ("phase", Quantity::Text)];
    let keys = keys.map(|(name, quantity)| column(name, quantity)).to_vec();
    let table = Table {
        view: ViewKind::Heatmap,
        cut: 7,
        dropped: BTreeMap::from([("table_full".to_owned(), 3)]),
        ..table("t", keys, vec![column("n", Quantity::Number)], rows)
    };
    assert_snapshot!(drawn(table), @r#"
    t  at 1.00 s
    phase prefill
           expert
    layer  0 1 2 3 4 5
        0  ··
        1    ▒▒

    phase decode
           expert
    layer  0 1 2 3 4 5
        0    ██
        1            ··
    n  10 ··░░▒▒▓▓██ 90, blank: nothing
    … 7 more rows
    dropped: table_full 3
    "#);
}

#[test]
fn a_long_gap_is_one_line_and_one_column() {
    let rows = vec![vec![int(0), int(7), int(1)], vec![int(5_000), int(90_000), int(2)], vec![int(2), int(9), int(3)]];
    let keys = vec![column("a", Quantity::Number), column("b", Quantity::Number)];
    let table = Table { view: ViewKind::Heatmap, ..table("t", keys, vec![column("n", Quantity::Number)], rows) };
    assert_snapshot!(drawn(table), @r#"
    t  at 1.00 s
          b
       a  7       90000
       0  ··    ⋯
       1        ⋯
       2      ██⋯
           ⋮
    5000        ⋯ ▒▒
    n  1 ··░░▒▒▓▓██ 3, blank: nothing
    "#);
}

#[test]
fn one_number_alone_and_none_at_all() {
    let keys = || vec![column("a", Quantity::Number), column("b", Quantity::Text)];
    let one = |cell| vec![vec![int(0), text("x"), cell]];
    let heat =
        |rows| Table { view: ViewKind::Heatmap, ..table("t", keys(), vec![column("avg(x)", Quantity::Bytes)], rows) };
    assert_snapshot!(drawn(heat(one(int(4_096)))), @r#"
    t  at 1.00 s
       b
    a  x
    0  ██
    avg(x)  4.00 KiB ██, blank: nothing
    "#);
    assert_snapshot!(drawn(heat(one(Value::Absent))), @r#"
    t  at 1.00 s
    a  b  avg(x)
    0  x       -
    "#);
    assert_snapshot!(drawn(heat(vec![])), @r#"
    t  at 1.00 s
    no events
    "#);
}

#[test]
fn for_programs_a_heatmap_is_the_table() {
    for format in [Format::Json, Format::Csv] {
        let plain = Table { view: ViewKind::Table, ..experts(4) };
        let of = |table| shown(format, Options::default(), &[Record::Table(table)]);
        assert_eq!(of(experts(4)), of(plain));
    }
}

#[test]
fn names_cannot_steer_the_terminal() {
    let evil = ["\x1b[2J\x1b]0;x\x07", "a\r\nb", "\u{202e}abc", "x"];
    let text = shown(Format::Table, Options::default(), &[Record::Table(stalls(&evil))]);
    assert!(!text.contains(['\x1b', '\r', '\x07', '\u{202e}']), "{text:?}");
    fits(&text, 80);
}

#[test]
fn any_width_is_kept() {
    for width in [32, 40, 60, 80, 200] {
        for table in [experts(3), experts(64), experts(500), stalls(&["a", "b"]), stalls(&["attention"; 1])] {
            fits(&wide(table, width, false), width);
        }
    }
}
