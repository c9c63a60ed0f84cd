//! Messages, and the end of a run: what was counted, and what may be missing from it.

use super::escape::escape;
use super::line::{Flow, Line, Style};
use super::value;
use crate::record::{Cost, Counted, End, Kept, Level, Message, What};

/// Columns of the labels.
const LABEL: usize = 9;

/// A message on one line.
pub(super) fn message(message: &Message) -> Line {
    let (style, label) = match message.level {
        Level::Info => (Style::Dim, "note:"),
        Level::Warning => (Style::Warn, "warning:"),
    };
    let mut line = Line::of(style, label);
    line.gap(1);
    line.push(Style::Plain, escape(&message.text));
    line
}

/// The end of a run, a few lines.
pub(super) fn lines(end: &End, limit: usize) -> Vec<Line> {
    let section = |label: &str| Flow::new(Line::of(Style::Dim, label), LABEL, limit);
    let mut lines = Vec::new();

    let mut ended = section("ended");
    ended.words(Style::Plain, &format!("after {}: {}", value::duration(end.duration_ns), escape(&end.reason)));
    lines.extend(ended.finish());

    let mut events = section("events");
    if end.hits.is_empty() {
        events.words(Style::Plain, "none");
    }
    for (point, n) in &end.hits {
        let mut item = Line::of(Style::Key, escape(point));
        item.gap(1);
        item.push(Style::Plain, value::grouped((*n).into()));
        events.item(", ", item);
    }
    lines.extend(events.finish());

    for (at, of) in end.at_events.iter().enumerate() {
        let mut flow = section(if at == 0 { "at each" } else { "" });
        let what = match of.what {
            What::Printed => "printed",
            What::Slices => "slices of a timeline",
            What::Gauges => "values of a gauge",
            What::Nodes => "nodes of graphs",
            What::Done => "done",
        };
        let mut item = Line::of(Style::Key, escape(&of.point));
        item.gap(1);
        item.push(Style::Plain, format!("{} {what} ({})", value::grouped(of.done.into()), escape(&of.name)));
        flow.item("", item);
        if of.lost > 0 {
            let text = format!("{} lost, more than could be told", value::grouped(of.lost.into()));
            flow.item(", ", Line::of(Style::Warn, text));
        }
        lines.extend(flow.finish());
    }

    let mut lost = section("lost");
    if end.dropped.is_empty() {
        lost.words(Style::Plain, "nothing");
    }
    for (cause, n) in &end.dropped {
        lost.item(", ", Line::of(Style::Warn, format!("{} {}", escape(cause), value::grouped((*n).into()))));
    }
    lines.extend(lost.finish());

    let mut open = section("open");
    let steps = match end.open {
        0 => "no step was cut by the end".to_owned(),
        1 => "1 step cut by the end".to_owned(),
        n => format!("{} steps cut by the end", value::grouped(n.into())),
    };
    open.words(Style::Plain, &steps);
    lines.extend(open.finish());

    for (at, silent) in end.silent.iter().enumerate() {
        let mut flow = section(if at == 0 { "silent" } else { "" });
        flow.item("", Line::of(Style::Warn, format!("{}:", escape(&silent.point))));
        flow.words(Style::Plain, &escape(&silent.reason));
        lines.extend(flow.finish());
    }

    for (at, (point, of)) in end.counted.iter().enumerate() {
        let mut flow = section(if at == 0 { "counters" } else { "" });
        flow.item("", Line::of(Style::Key, escape(point)));
        let grouped = |n: u64| value::grouped(n.into());
        let mut say = |style, n: u64, what: &str| {
            if n > 0 {
                flow.item(", ", Line::of(style, format!("{} {what}", grouped(n))));
            }
        };
        say(Style::Plain, of.moved, "over several CPUs");
        say(Style::Warn, of.uncounted, "without counters");
        say(Style::Warn, of.never_ran, "counts absent: the counter never ran");
        say(Style::Warn, of.scaled, "counts scaled");
        if *of == Counted::default() {
            flow.item(", ", Line::of(Style::Plain, "each on one CPU"));
        }
        lines.extend(flow.finish());
    }
    for (counter, ran) in &end.shared {
        let mut flow = section("");
        flow.item("", Line::of(Style::Warn, escape(counter)));
        flow.words(Style::Warn, &format!("ran {:.0} % of the time: the processor has too few counters", ran * 100.0));
        lines.extend(flow.finish());
    }

    if end.cost.is_some() || end.no_cost.is_some() {
        let mut flow = section("cost");
        match (&end.cost, &end.no_cost) {
            (Some(of), _) => flow.words(Style::Plain, &cost(of)),
            (None, Some(why)) => flow.words(Style::Plain, &format!("not measured: {}", escape(why))),
            (None, None) => {}
        }
        lines.extend(flow.finish());
    }

    if let Some(of) = &end.kept {
        let mut flow = section("seen");
        flow.words(Style::Plain, &kept(of));
        lines.extend(flow.finish());
    }

    let mut layout = section("layout");
    let known = if end.layout != "unchecked" { Style::Plain } else { Style::Warn };
    layout.words(known, &escape(&end.layout));
    lines.extend(layout.finish());

    let mut kernel = section("kernel");
    kernel.words(Style::Plain, &format!("{} of memory for maps", value::size(end.kernel_bytes)));
    lines.extend(kernel.finish());
    lines
}

/// Where a timeline is to be seen, if the script makes one: it has no place among tables.
pub(super) fn timeline(end: &End, limit: usize) -> Vec<Line> {
    if !end.at_events.iter().any(|of| matches!(of.what, What::Slices | What::Gauges)) {
        return Vec::new();
    }
    let mut flow = Flow::new(Line::of(Style::Dim, "timeline"), LABEL, limit);
    flow.words(Style::Plain, "not shown here: -o run.pftrace writes it for ui.perfetto.dev");
    flow.finish()
}

/// `118 of 400 steps (30 %): the others were left out to stay within 2 %, and are in no table`
fn kept(of: &Kept) -> String {
    let (seen, steps) = (value::grouped(of.seen.into()), value::grouped(of.steps.into()));
    let max = format!("{} %", (of.max * 1e6).round() / 1e4);
    if of.pauses == 0 {
        return format!("{seen} of {steps} steps: none was left out to stay within {max}");
    }
    let share = 100.0 * of.seen as f64 / of.steps.max(1) as f64;
    format!(
        "{seen} of {steps} steps ({share:.0} %): the others were left out to stay within {max}, and are in no table"
    )
}

/// `1.8 % of the engine's CPU time (515 hits a step; 310 ns each: trap 240, program 70; floor 1.5 %)`
fn cost(of: &Cost) -> String {
    let percent = |share: f64| match share * 100.0 {
        p if p >= 10.0 => format!("{p:.0} %"),
        p if p >= 1.0 => format!("{p:.1} %"),
        p => format!("{p:.2} %"),
    };
    let hits = match of.steps {
        Some(steps) if steps > 0 => format!("{} hits a step", value::grouped((of.hits / steps).into())),
        _ => format!("{} hits", value::grouped(of.hits.into())),
    };
    let each = |ns: u64| ns.checked_div(of.hits).unwrap_or(0);
    let (trap, program) = (each(of.trap_ns), each(of.program_ns));
    let each = if of.hits > 0 {
        let [all, trap, program] = [trap + program, trap, program].map(|ns| value::grouped(ns.into()));
        format!("; {all} ns each: trap {trap}, program {program}")
    } else {
        String::new()
    };
    format!("{} of the engine's CPU time ({hits}{each}; floor {})", percent(of.share), percent(of.floor))
}
