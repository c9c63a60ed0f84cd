//! The plots, as SVG without a background: letters take the colour of the page's, light or dark.

use std::path::Path;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::bootstrap::Estimate;
use super::data::{Results, Scaled};
use super::failure::{Failure, at};
use super::figure::Figure;

/// Colours that can be told apart, also by those who do not see red, on light and on dark.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0x1f, 0x83, 0xd6), RGBColor(0xe0, 0x7b, 0x00), RGBColor(0x2a, 0x9d, 0x5c), RGBColor(0xb5, 0x54, 0xc4)];
/// Axes and grids.
const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);
/// What the letters are on light and on dark pages.
const STYLE: &str = "<style>text{fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>";
const FONT: (&str, i32) = ("sans-serif", 14);
const WIDTH: u32 = 860;

/// Names and texts of the plots that there are numbers for.
pub(super) fn plots(results: &Results) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut all = Vec::new();
    if !results.slowdown.is_empty() {
        all.push(("slowdown.svg", slowdown(results)?));
    }
    if !results.micro.is_empty() {
        all.push(("hits.svg", hits(results)?));
    }
    if !results.rows.is_empty() {
        all.push(("rows.svg", rows(&results.rows)?));
    }
    if !results.stream.is_empty() {
        all.push(("stream.svg", stream(results)?));
    }
    Ok(all)
}

/// Writes a plot or another file beside the page.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(at(&path))
}

fn failed<E: std::fmt::Display>(name: &'static str) -> impl Fn(E) -> Failure {
    move |why| Failure::Plot { name, why: why.to_string() }
}

fn styled(svg: String) -> String {
    // Behind the opening tag.
    match svg.find("<svg").and_then(|start| svg[start..].find('>').map(|end| start + end + 1)) {
        Some(end) => format!("{}\n{STYLE}{}", &svg[..end], &svg[end..]),
        None => svg,
    }
}

/// A range of numbers beside named lines.
type Lines<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An interval with its median on one of many lines, each of which has a name.
struct Mark {
    line: usize,
    /// Where in the line, from 0 to 1.
    height: f64,
    value: Estimate,
    colour: usize,
}

/// Draws marks on named lines; the first is on top. `verticals` are drawn through lines: from, to (as heights) and where.
fn lines(
    name: &'static str,
    axis: &str,
    names: &[String],
    legend: &[&str],
    marks: &[Mark],
    verticals: &[(usize, f64)],
) -> Result<String, Failure> {
    let mut svg = String::new();
    let n = names.len() as f64;
    let low = marks.iter().map(|m| m.value.low).fold(0.0, f64::min);
    let high = marks.iter().map(|m| m.value.high).chain(verticals.iter().map(|v| v.1)).fold(0.0, f64::max);
    {
        let height = 70 + 44 * names.len() as u32 + 20;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut chart: Lines<'_, '_> = ChartBuilder::on(&root)
            .margin(10)
            .margin_top(30)
            .margin_right(30)
            .x_label_area_size(45)
            .y_label_area_size(270)
            .build_cartesian_2d(low * 1.05..high * 1.05, 0.0..n)
            .map_err(failed(name))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_desc(axis)
            .x_label_formatter(&|x| number(*x))
            .label_style(FONT)
            .axis_desc_style(FONT)
            .axis_style(GREY)
            .bold_line_style(GREY.mix(0.35))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(failed(name))?;
        let at = |line: usize, height: f64| n - line as f64 - 1.0 + height;
        for (line, text) in names.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(low * 1.05, at(line, 0.5)));
            root.draw_text(text, &text_at_the_right(&FONT.into_font()), (x - 10, y)).map_err(failed(name))?;
        }
        for &(line, value) in verticals {
            let path = PathElement::new([(value, at(line, 0.05)), (value, at(line, 0.95))], GREY.stroke_width(3));
            chart.draw_series([path]).map_err(failed(name))?;
        }
        for m in marks {
            let y = at(m.line, m.height);
            let colour = COLOURS[m.colour % COLOURS.len()];
            let bar = PathElement::new([(m.value.low, y), (m.value.high, y)], colour.stroke_width(2));
            chart.draw_series([bar]).map_err(failed(name))?;
            chart.draw_series([Circle::new((m.value.median, y), 4, colour.filled())]).map_err(failed(name))?;
        }
        keys(&root, legend).map_err(failed(name))?;
        root.present().map_err(failed(name))?;
    }
    Ok(styled(svg))
}

/// A number beside an axis, without a fraction that says nothing.
fn number(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value}") }
}

fn text_at_the_right<'a>(font: &FontDesc<'a>) -> TextStyle<'a> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    font.color(&BLACK).pos(Pos::new(HPos::Right, VPos::Center))
}

/// What the colours mean, in a line on top.
fn keys<DB: DrawingBackend>(
    root: &DrawingArea<DB, plotters::coord::Shift>,
    legend: &[&str],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let mut x = 290;
    for (n, text) in legend.iter().enumerate() {
        root.draw(&Circle::new((x, 14), 5, COLOURS[n % COLOURS.len()].filled()))?;
        root.draw(&Text::new((*text).to_owned(), (x + 10, 7), FONT.into_font().color(&BLACK)))?;
        x += 40 + 8 * text.chars().count() as i32;
    }
    Ok(())
}

fn slowdown(results: &Results) -> Result<String, Failure> {
    const COMBINATIONS: [(&str, &str); 4] = [("plain", "dense"), ("cet", "dense"), ("plain", "moe"), ("cet", "moe")];
    let mut names: Vec<String> = Vec::new();
    for s in &results.slowdown {
        if !names.contains(&s.tool) {
            names.push(s.tool.clone());
        }
    }
    let mut marks = Vec::new();
    for s in &results.slowdown {
        let (Some(line), Some(colour)) = (
            names.iter().position(|n| *n == s.tool),
            COMBINATIONS.iter().position(|(engine, model)| s.engine == *engine && s.model == *model),
        ) else {
            continue;
        };
        let e = match Figure::of(s, results) {
            Figure::Measured(e) | Figure::Unresolved(e) => e,
            Figure::Computed(value) => Estimate { median: value, low: value, high: value },
        };
        let value = Estimate { median: e.median * 100.0, low: e.low * 100.0, high: e.high * 100.0 };
        marks.push(Mark { line, height: 0.8 - 0.2 * colour as f64, value, colour });
    }
    let aims = [("ops.pi", 3.0), ("threads.pi", 6.0)];
    let verticals: Vec<(usize, f64)> =
        aims.iter().filter_map(|(tool, aim)| Some((names.iter().position(|n| n == tool)?, *aim))).collect();
    let legend = ["plain, dense", "CET, dense", "plain, MoE", "CET, MoE"];
    lines("slowdown.svg", "% longer a token (95 % intervals; grey: the aim)", &names, &legend, &marks, &verticals)
}

fn hits(results: &Results) -> Result<String, Failure> {
    const TOOLS: [&str; 3] = ["profinfer", "bpftrace", "empty"];
    let mut names: Vec<String> = Vec::new();
    let mut marks = Vec::new();
    for m in results.micro.iter().filter(|m| m.site != "clock") {
        // An empty program stands in the lines of all that is done at its instruction.
        let own = format!("{} at {}", m.what, m.site);
        if m.tool != "empty" && !names.contains(&own) {
            names.push(own);
        }
    }
    for m in &results.micro {
        let Some(colour) = TOOLS.iter().position(|tool| *tool == m.tool) else { continue };
        for (line, name) in names.iter().enumerate() {
            let is_own = *name == format!("{} at {}", m.what, m.site);
            let is_floor = m.tool == "empty"
                && name.ends_with(&format!(" at {}", m.site))
                && name.starts_with("span") == m.what.starts_with("span");
            if is_own || is_floor {
                marks.push(Mark { line, height: 0.7 - 0.2 * colour as f64, value: m.ns, colour });
            }
        }
    }
    lines("hits.svg", "ns a call", &names, &TOOLS, &marks, &[])
}

/// Lines of each tool over a logarithmic axis.
fn curves(
    name: &'static str,
    (x_axis, y_axis): (&str, &str),
    curves: &[(&str, Vec<(f64, f64)>)],
    is_log: bool,
) -> Result<String, Failure> {
    let mut svg = String::new();
    let all = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let (x_low, x_high) = (all().map(|p| p.0).fold(f64::INFINITY, f64::min), all().map(|p| p.0).fold(1.0, f64::max));
    let y_high = all().map(|p| p.1).fold(1.0, f64::max);
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, 380)).into_drawing_area();
        let mut builder = ChartBuilder::on(&root);
        builder.margin(10).margin_top(30).margin_right(30).x_label_area_size(45).y_label_area_size(80);
        if is_log {
            let mut chart = builder
                .build_cartesian_2d((x_low..x_high * 1.1).log_scale(), 0.0..y_high * 1.1)
                .map_err(failed(name))?;
            draw(&mut chart, (x_axis, y_axis), curves).map_err(failed(name))?;
        } else {
            let mut chart = builder.build_cartesian_2d(0.0..x_high * 1.05, 0.0..y_high * 1.1).map_err(failed(name))?;
            draw(&mut chart, (x_axis, y_axis), curves).map_err(failed(name))?;
        }
        keys(&root, &curves.iter().map(|(tool, _)| *tool).collect::<Vec<_>>()).map_err(failed(name))?;
        root.present().map_err(failed(name))?;
    }
    Ok(styled(svg))
}

fn draw<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    (x_axis, y_axis): (&str, &str),
    curves: &[(&str, Vec<(f64, f64)>)],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(x_axis)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .y_desc(y_axis)
        .label_style(FONT)
        .axis_desc_style(FONT)
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.35))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (n, (_, points)) in curves.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
    }
    Ok(())
}

fn rows(all: &[Scaled]) -> Result<String, Failure> {
    let of = |tool: &str| all.iter().filter(|s| s.tool == tool).map(|s| (s.size as f64, s.ns.median)).collect();
    curves("rows.svg", ("rows", "ns a hit"), &[("profinfer", of("profinfer")), ("bpftrace", of("bpftrace"))], true)
}

fn stream(results: &Results) -> Result<String, Failure> {
    let of = |tool: &str| {
        let these = results.stream.iter().filter(|s| s.tool == tool && s.happened > 0);
        let mut points: Vec<(f64, f64)> =
            these.map(|s| (s.rate / 1e3, s.printed as f64 / s.happened as f64 * 100.0)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let axes = ("thousand events a second", "% printed");
    curves("stream.svg", axes, &[("profinfer", of("profinfer")), ("bpftrace", of("bpftrace"))], false)
}
