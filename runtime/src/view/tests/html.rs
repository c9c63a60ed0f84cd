//! Pages: the same records as HTML.

use insta::assert_snapshot;

use super::*;
use crate::view::Format;

/// The page below its style, which is the same on all.
fn page(table: Table) -> String {
    let page = shown(Format::Html, Options::default(), &[Record::Table(table)]);
    let (head, body) = page.split_once("</style>\n").unwrap();
    assert!(head.starts_with("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"), "{head}");
    assert!(head.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""), "{head}");
    body.to_owned()
}

#[test]
fn a_table() {
    let mut table = ops();
    table.cut = 23;
    assert_snapshot!(page(table), @r#"
    <h1>ops <span class="faint">at 1.00 s</span></h1>
    <table class="rows">
    <thead><tr><th>op</th><th>backend</th><th class="n">calls</th><th class="n">total</th><th class="n">share(dur)</th><th class="n">gbps</th></tr></thead>
    <tbody>
    <tr><td>MUL_MAT</td><td>CPU</td><td class="n">12,345</td><td class="n">979 ms</td><td class="n">97.9 %</td><td class="n">12.3 GB/s</td></tr>
    <tr><td>SOFT_MAX</td><td>CPU</td><td class="n">960</td><td class="n">12.0 ms</td><td class="n">1.20 %</td><td class="n">812 MB/s</td></tr>
    <tr><td>GET_ROWS</td><td>CPU</td><td class="n">32</td><td class="n">8.57 µs</td><td class="n">&lt;0.01 %</td><td class="n">-</td></tr>
    </tbody>
    </table>
    <p class="faint">… 23 more rows</p>
    </html>
    "#);
}

#[test]
fn a_table_with_histograms() {
    assert_snapshot!(page(layers()), @r#"
    <h1>ggml_op <span class="faint">at 1.00 s</span></h1>
    <table class="rows">
    <thead><tr><th class="n">layer</th><th class="n">count()</th></tr></thead>
    <tbody>
    <tr><td class="n">0</td><td class="n">1,323</td></tr>
    <tr><td class="n">-</td><td class="n">2</td></tr>
    </tbody>
    </table>
    <pre>p layer 0
      [1.05 ms, 2.10 ms)  1,234 ████████████████████████████████████████████████████
      [2.10 ms, 4.19 ms)     80 ███▍
      [4.19 ms, 8.39 ms)
      [8.39 ms, 16.8 ms)
      [16.8 ms, 33.6 ms)      9 ▍
      total 1,323, mean from 1.22 ms to 2.44 ms

    p layer -
      [ 512 ns, 1.02 µs)  1 ████████████████████████████████████████████████████
               ⋮
      [33.6 ms, 67.1 ms)  1 ████████████████████████████████████████████████████
      total 2, mean from 16.8 ms to 33.6 ms</pre>
    </html>
    "#);
}

#[test]
fn a_heatmap() {
    let keys = vec![column("layer", Quantity::Number), column("expert", Quantity::Number)];
    let columns = vec![column("n", Quantity::Number), column("avg(w)", Quantity::Number)];
    let rows = vec![
        vec![int(0), int(0), int(1), real(0.25)],
        vec![int(0), int(2), int(9), real(0.5)],
        vec![int(500), int(1), Value::Absent, Value::Absent],
    ];
    assert_snapshot!(page(Table { view: ViewKind::Heatmap, ..table("experts", keys, columns, rows) }), @r#"
    <h1>experts <span class="faint">at 1.00 s</span></h1>
    <p>n: 1<span class="ramp" style="background:linear-gradient(to right,#440154,#482878,#3e4989,#31688e,#26828e,#1f9e89,#35b779,#6ece58,#b5de2b,#fde725)"></span>9 <span class="faint">(blank: nothing)</span></p>
    <table class="heat">
    <thead><tr><th>layer \ expert</th><th class="c">0</th><th class="c">1</th><th class="c">2</th></tr></thead>
    <tbody>
    <tr><th>0</th><td style="background:#440154" title="layer 0, expert 0: n 1, avg(w) 0.250"></td><td></td><td style="background:#fde725" title="layer 0, expert 2: n 9, avg(w) 0.500"></td></tr>
    <tr><th>⋯</th><td class="g">⋯</td><td class="g">⋯</td><td class="g">⋯</td></tr>
    <tr><th>500</th><td></td><td title="layer 500, expert 1: n -, avg(w) -"></td><td></td></tr>
    </tbody>
    </table>
    </html>
    "#);
}

#[test]
fn nothing_of_the_target_is_markup() {
    const EVIL: &str = "</title><script>alert(1)</script><img src=x onerror='x'>\" onmouseover=\"x&amp;\x1b[2J\u{202e}";
    for view in [ViewKind::Table, ViewKind::Heatmap] {
        let keys = ["a", "b", "c"].map(|k| column(&format!("{k}{EVIL}"), Quantity::Text)).to_vec();
        let columns = vec![column(EVIL, Quantity::Number), column(EVIL, Quantity::Text)];
        let rows = vec![vec![text(EVIL), text(EVIL), text(EVIL), int(1), text(EVIL)]];
        let mut evil = Table { view, ..table(EVIL, keys, columns, rows) };
        evil.dropped.insert(EVIL.to_owned(), 1);
        let page = shown(Format::Html, Options::default(), &[Record::Table(evil)]);
        for word in ["<script", "<img", "\x1b", "\u{202e}", "onerror='", "onmouseover=\""] {
            assert!(!page.contains(word), "{view:?} has {word:?}:\n{page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot; onmouseover=&quot;x&amp;amp;"), "{page}");
        // What is left of tags and attributes is what the renderer writes.
        assert_eq!(page.matches("<title>").count(), 1);
        assert_eq!(page.matches("</title>").count(), 1);
    }
}

#[test]
fn messages_and_the_end_are_no_pages() {
    let records = [message(Level::Info, "attached", "x"), Record::End(silent_end())];
    assert_eq!(shown(Format::Html, Options::default(), &records), "");
}
