//! A picture that needs nothing else: boxes and lines, with what there is to know of each behind the pointer.
//!
//! Whatever comes from the target is text and never markup: see [`markup`]. The picture has no script and loads nothing.

use std::fmt::Write as _;

use super::colour::{Colours, NONE, RAMP, hex, is_light};
use super::layout::{Layout, Rect, layout};
use super::shape::{Drawn, Line, Shape, What, shape};
use super::{All, Graph, Shade, Spread, value};
use crate::record::{Quantity, Value};
use crate::view::escape::escape;
use crate::view::html::markup;

/// Around everything.
const MARGIN: f64 = 24.0;
/// Between graphs.
const BETWEEN: f64 = 48.0;
/// Above graphs: title and facts.
const HEAD: f64 = 52.0;
/// A line of a box.
const LINE: f64 = 14.0;
/// Mean width of a character, in a box and in a title.
const CHAR: f64 = 6.5;
/// Characters of a box's line at most.
const LONGEST: usize = 26;

const STYLE: &str = "\
:root{--paper:#ffffff;--ink:#1f2328;--faint:#6a737d;--line:#8c959f;--frame:#f4f6f8;--edge:#d0d7de;--hot:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#14171c;--ink:#e6e9ee;--faint:#98a1ac;--line:#717b87;--frame:#1d2229;--edge:#343c46;--hot:#ff8a65}}
.paper{fill:#fff;fill:var(--paper)}
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:11px;fill:#1f2328;fill:var(--ink)}
.title{font-size:17px;font-weight:600}
.faint{fill:#6a737d;fill:var(--faint)}
.name{font-size:12px;font-weight:600}
.halo{paint-order:stroke;stroke:#f4f6f8;stroke:var(--frame);stroke-width:4px}
.frame{fill:#f4f6f8;fill:var(--frame);stroke:#d0d7de;stroke:var(--edge)}
.line{fill:none;stroke:#8c959f;stroke:var(--line);stroke-width:1.2}
.hot{stroke:#b3261e;stroke:var(--hot);stroke-width:2}
.again{stroke-dasharray:4 3}
.head{fill:#8c959f;fill:var(--line)}
.hothead{fill:#b3261e;fill:var(--hot)}
.box{stroke:#00000030;stroke-width:1}
.hotbox{stroke:#b3261e;stroke:var(--hot);stroke-width:2}
.b{text-anchor:middle}.b.dark{fill:#1b1f24}.b.light{fill:#fff}.b.op{font-weight:600}
.ghost{fill:none;stroke:#8c959f;stroke:var(--line);stroke-dasharray:3 2}";

/// All graphs side by side.
pub(super) fn picture(all: &All) -> String {
    let shapes: Vec<Shape> = all.graphs.iter().map(shape).collect();
    let pairs: Vec<(&Graph, &Shape)> = all.graphs.iter().zip(&shapes).collect();
    let colours = Colours::of(&pairs);
    let drawings: Vec<Drawing<'_>> = pairs.iter().map(|(graph, shape)| Drawing::new(graph, shape, &colours)).collect();
    let mut legend = legend(&colours, pairs.iter().any(|(g, _)| g.time() > 0.0));
    for (i, note) in all.notes.iter().enumerate() {
        let y = legend.height + 14.0 + 16.0 * i as f64;
        let _ = writeln!(legend.text, "<text class=\"faint\" y=\"{y:.0}\">{}</text>", safe(note));
    }
    legend.height += 16.0 * all.notes.len() as f64;
    if drawings.is_empty() {
        let _ =
            writeln!(legend.text, "<text class=\"title\" y=\"{:.0}\">no graph was seen</text>", legend.height + 16.0);
        legend.height += 24.0;
    }
    let wide: f64 = drawings.iter().map(|d| d.width() + BETWEEN).sum::<f64>() - BETWEEN;
    let width = wide.max(legend.width) + 2.0 * MARGIN;
    let tall = drawings.iter().map(|d| d.layout.height + HEAD).fold(0.0, f64::max);
    let top = MARGIN + legend.height + if drawings.is_empty() { 0.0 } else { 20.0 };
    let height = top + tall + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <title>What is computed of what</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <g transform=\"translate({MARGIN},{MARGIN})\">\n{}</g>\n",
        legend.text
    );
    let mut x = MARGIN;
    for drawing in &drawings {
        let _ = writeln!(out, "<g transform=\"translate({x:.1},{top:.1})\">");
        drawing.write(&mut out);
        out.push_str("</g>\n");
        x += drawing.width() + BETWEEN;
    }
    out.push_str("</svg>\n");
    out
}

/// Text of the target as the picture may hold it.
fn safe(text: &str) -> String {
    markup(&escape(text))
}

/// What stands above all graphs.
struct Legend {
    text: String,
    width: f64,
    height: f64,
}

fn legend(colours: &Colours, has_times: bool) -> Legend {
    let mut text = String::new();
    let mut width = 0.0;
    let mut swatch = |x: f64, colour: &str, class: &str, word: &str| {
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"1\" width=\"16\" height=\"12\" rx=\"3\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"11\">{}</text>",
            x + 22.0,
            safe(word)
        );
        x + 22.0 + CHAR * word.chars().count() as f64 + 18.0
    };
    match colours {
        Colours::None => {}
        Colours::Words { head, words } => {
            let mut x = CHAR * head.name.chars().count() as f64 + 14.0;
            for (i, (word, n)) in words.iter().enumerate() {
                let said = if word.is_empty() { format!("- ({n})") } else { format!("{word} ({n})") };
                x = swatch(x, &hex(Colours::word(i)), "box", &said);
            }
            width = x;
            let _ = writeln!(text, "<text class=\"name\" y=\"11\">{}</text>", safe(&head.name));
        }
        Colours::Numbers { head, lo, hi, log } => {
            let name = CHAR * head.name.chars().count() as f64 + 14.0;
            let [lo, hi] = [*lo, *hi].map(|x| figure(x, head.quantity));
            let from = name + CHAR * lo.chars().count() as f64 + 8.0;
            text.push_str("<defs><linearGradient id=\"ramp\">");
            for (i, colour) in RAMP.iter().enumerate() {
                let at = 100.0 * i as f64 / (RAMP.len() - 1) as f64;
                let _ = write!(text, "<stop offset=\"{at:.0}%\" stop-color=\"{}\"/>", hex(*colour));
            }
            text.push_str("</linearGradient></defs>\n");
            let scale = if *log { " (logarithmic)" } else { "" };
            let _ = writeln!(
                text,
                "<text class=\"name\" y=\"11\">{}</text><text x=\"{name:.1}\" y=\"11\">{}</text>\
                 <rect x=\"{from:.1}\" y=\"1\" width=\"180\" height=\"12\" rx=\"3\" fill=\"url(#ramp)\" class=\"box\"/>\
                 <text x=\"{:.1}\" y=\"11\">{}{scale}</text>",
                safe(&head.name),
                safe(&lo),
                from + 188.0,
                safe(&hi)
            );
            width = from + 188.0 + CHAR * (hi.chars().count() + scale.len()) as f64;
        }
    }
    let mut height = if width > 0.0 { 16.0 } else { 0.0 };
    if has_times {
        height += 20.0;
        let y = height - 6.0;
        let _ = writeln!(
            text,
            "<path class=\"line hot\" d=\"M0 {y}h26\"/><text class=\"faint\" x=\"32\" y=\"{t}\">the chain that takes longest</text>\
             <path class=\"line again\" d=\"M220 {y}h26\"/><text class=\"faint\" x=\"252\" y=\"{t}\">to the next of layers that are alike</text>",
            t = y + 4.0
        );
        width = width.max(252.0 + CHAR * 36.0);
    }
    Legend { text, width, height }
}

/// One graph.
struct Drawing<'a> {
    graph: &'a Graph,
    shape: &'a Shape,
    colours: &'a Colours,
    layout: Layout,
}

impl<'a> Drawing<'a> {
    fn new(graph: &'a Graph, shape: &'a Shape, colours: &'a Colours) -> Self {
        let size = |i: usize| {
            let drawn = &shape.boxes[i];
            let lines = said(drawn, colours);
            let widths = lines.iter().enumerate().map(|(i, line)| wide(line, i == 0));
            let pad = if drawn.what == What::Groups { 56.0 } else { 16.0 };
            (widths.fold(0.0, f64::max) + pad, LINE * lines.len() as f64 + 10.0)
        };
        let titles: Vec<f64> = (0..shape.clusters.len()).map(|c| wide(&title(shape, c), true) * 1.2).collect();
        Self { graph, shape, colours, layout: layout(shape, &size, &titles) }
    }

    fn width(&self) -> f64 {
        let text = [self.graph.title().chars().count() as f64 * 9.2, self.graph.facts().chars().count() as f64 * 5.9];
        text.into_iter().fold(self.layout.width, f64::max)
    }

    /// Clusters that have a frame, with their numbers.
    fn frames(&self) -> impl Iterator<Item = (usize, &Rect)> {
        self.layout.clusters.iter().enumerate().filter(|(_, frame)| frame.w > 0.0)
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "<text class=\"title\" y=\"15\">{}</text><text class=\"faint\" y=\"34\">{}</text>\n<g transform=\"translate(0,{HEAD})\">",
            safe(&self.graph.title()),
            safe(&self.graph.facts())
        );
        for (_, Rect { x, y, w, h }) in self.frames() {
            let _ = writeln!(
                out,
                "<rect class=\"frame\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"8\"/>"
            );
        }
        // What takes longest is drawn over the rest.
        let mut lines: Vec<(&Line, &Vec<(f64, f64)>)> = self.shape.edges.iter().zip(&self.layout.paths).collect();
        lines.sort_by_key(|(line, _)| line.on_longest);
        for (line, path) in lines {
            edge(out, line, path);
        }
        for (c, Rect { x, y, .. }) in self.frames() {
            let text = safe(&title(self.shape, c));
            let _ =
                writeln!(out, "<text class=\"name halo\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x + 12.0, y + 18.0);
        }
        for (drawn, rect) in self.shape.boxes.iter().zip(&self.layout.boxes) {
            self.node(out, drawn, rect);
        }
        out.push_str("</g>\n");
    }

    fn node(&self, out: &mut String, drawn: &Drawn, rect: &Rect) {
        let Rect { x, y, w, h } = rect;
        let fill = self.colours.fill(drawn.shade.as_ref());
        let (shape, ink) = match drawn.what {
            What::Node | What::Groups => {
                let class = if drawn.on_longest() { "box hotbox" } else { "box" };
                let ink = if is_light(fill) { "dark" } else { "light" };
                (format!("class=\"{class}\" rx=\"5\" fill=\"{}\"", hex(fill)), ink)
            }
            What::View => (format!("class=\"box\" rx=\"9\" fill=\"{}\"", hex(NONE)), "dark"),
            What::Leaf => ("class=\"ghost\" rx=\"5\"".to_owned(), ""),
        };
        let _ = write!(
            out,
            "<g><title>{}</title><rect {shape} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"/>",
            safe_lines(&tip(drawn, self.colours))
        );
        for (i, text) in said(drawn, self.colours).iter().enumerate() {
            let class = if i == 0 && drawn.what != What::View { " op" } else { "" };
            let at = y + 5.0 + LINE * (i as f64 + 0.78);
            let _ = write!(
                out,
                "<text class=\"b {ink}{class}\" x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
                x + w / 2.0,
                safe(text)
            );
        }
        out.push_str("</g>\n");
    }
}

/// What stands above a cluster.
fn title(shape: &Shape, cluster: usize) -> String {
    let cluster = &shape.clusters[cluster];
    let mut title = cluster.title.clone();
    if cluster.times > 1 {
        title += &format!(" · ×{}", cluster.times);
    }
    if let Some(mean) = cluster.dur.mean().filter(|mean| *mean > 0.0) {
        title += &format!(" · {}", value::duration(mean as u64));
        if cluster.times > 1 {
            title += &format!(" each ({})", range(&cluster.dur, Quantity::Duration));
        }
    }
    title
}

fn edge(out: &mut String, line: &Line, path: &[(f64, f64)]) {
    let Some(((x, y), (end_x, end_y))) = path.first().zip(path.last()) else { return };
    let hot = if line.on_longest { " hot" } else { "" };
    let again = if line.again { " again" } else { "" };
    let _ = write!(out, "<path class=\"line{hot}{again}\" d=\"M{x:.1} {y:.1}");
    let last = path.len() - 1;
    for (i, pair) in path.windows(2).enumerate() {
        let [(ax, ay), (bx, by)] = [pair[0], pair[1]];
        // The head of the arrow is below the last line.
        let by = if i + 1 == last { by - 6.0 } else { by };
        if (ax - bx).abs() < 0.05 {
            let _ = write!(out, "V{by:.1}");
        } else if line.again {
            // Down, over to the side, up: corners.
            if i == 0 {
                let _ = write!(out, "Q{ax:.1} {by:.1} {bx:.1} {by:.1}");
            } else {
                let _ = write!(out, "Q{bx:.1} {ay:.1} {bx:.1} {by:.1}");
            }
        } else {
            let middle = (ay + by) / 2.0;
            let _ = write!(out, "C{ax:.1} {middle:.1} {bx:.1} {middle:.1} {bx:.1} {by:.1}");
        }
    }
    let head = if line.on_longest { "hothead" } else { "head" };
    let _ = writeln!(out, "\"/><path class=\"{head}\" d=\"M{end_x:.1} {end_y:.1}l-3.6 -7h7.2z\"/>");
}

/// The lines of a box: its text, then its number.
fn said(drawn: &Drawn, colours: &Colours) -> Vec<String> {
    let mut lines: Vec<String> = drawn.lines.iter().map(|l| short(l)).collect();
    let shade = drawn.shade.as_ref().zip(colours.quantity());
    let mut numbers = Vec::new();
    if let (Some(mean), What::Node | What::Groups) = (drawn.dur.mean(), drawn.what) {
        numbers.push(value::duration(mean as u64).to_string());
    }
    if let Some((Shade::Number(spread), quantity)) = shade
        && let Some(mean) = spread.mean()
        && Some(mean) != drawn.dur.mean()
    {
        numbers.push(figure(mean, quantity));
    }
    if !numbers.is_empty() {
        lines.push(numbers.join(" · "));
    }
    lines
}

/// About how wide a line is: capitals are, the more so where they are bold.
fn wide(line: &str, bold: bool) -> f64 {
    let of = |c: char| match c {
        'M' | 'W' | 'm' | 'w' => 9.5,
        'A'..='Z' | '+' | '_' => 7.3,
        'i' | 'l' | '.' | ' ' | '(' | ')' => 3.8,
        _ => 6.3,
    };
    line.chars().map(of).sum::<f64>() * if bold { 1.07 } else { 1.0 }
}

/// All there is to know of a box.
fn tip(drawn: &Drawn, colours: &Colours) -> String {
    let mut lines = drawn.lines.clone();
    if drawn.stands_for > 1 {
        lines.push(format!("stands for {} nodes", drawn.stands_for));
    }
    if let Some(mean) = drawn.dur.mean() {
        lines.push(format!("time {} ({})", value::duration(mean as u64), range(&drawn.dur, Quantity::Duration)));
    }
    match (&drawn.shade, colours) {
        (Some(Shade::Word(word)), Colours::Words { head, .. }) => lines.push(format!("{}: {word}", head.name)),
        (Some(Shade::Number(spread)), Colours::Numbers { head, .. }) if head.name != "dur" => {
            let mean = spread.mean().map_or("-".to_owned(), |m| figure(m, head.quantity));
            lines.push(format!("{}: {mean} ({})", head.name, range(spread, head.quantity)));
        }
        _ => {}
    }
    if !drawn.sources.is_empty() {
        lines.push(format!("of {}", drawn.sources.join(", ")));
    }
    lines.join("\n")
}

fn range(spread: &Spread, quantity: Quantity) -> String {
    format!("{} – {}", figure(spread.min, quantity), figure(spread.max, quantity))
}

fn figure(x: f64, quantity: Quantity) -> String {
    let is_whole = matches!(quantity, Quantity::Duration | Quantity::Bytes);
    let value = if is_whole { Value::Int(x.round() as i64) } else { Value::Float(x) };
    value::cell(&value, quantity).to_string()
}

/// A text cut in the middle where it is too long.
fn short(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST / 2).collect();
    let tail: String = text.chars().skip(count - LONGEST / 2 + 1).collect();
    format!("{head}…{tail}")
}

/// As [`safe`], of several lines.
fn safe_lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}
