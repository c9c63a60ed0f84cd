//! The raw numbers as CSV, a file for each kind.

use std::fmt::Write;

use super::data::Results;

/// Names and texts of the files.
pub(super) fn files(results: &Results) -> Vec<(&'static str, String)> {
    vec![
        ("blocks.csv", blocks(results)),
        ("attach.csv", attachments(results)),
        ("hits.csv", hits(results)),
        ("rows.csv", scaled(&results.rows)),
        ("sites.csv", scaled(&results.sites)),
        ("stream.csv", stream(results)),
    ]
}

/// Adds a line; writing to a string does not fail.
fn line(text: &mut String, values: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{values}");
}

fn blocks(results: &Results) -> String {
    let mut text =
        "engine,model,tool,four,pair,without_median_us,with_median_us,without_mean_us,with_mean_us\n".to_owned();
    for s in &results.slowdown {
        for (four, f) in s.fours.iter().enumerate() {
            for pair in 0..2 {
                line(
                    &mut text,
                    format_args!(
                        "{},{},{},{four},{pair},{:.1},{:.1},{:.1},{:.1}",
                        s.engine,
                        s.model,
                        s.tool,
                        f.without[pair],
                        f.with[pair],
                        f.mean_without[pair],
                        f.mean_with[pair]
                    ),
                );
            }
        }
    }
    text
}

fn attachments(results: &Results) -> String {
    let mut text = "engine,model,tool,attach_ms,exit_ms,peak_kib\n".to_owned();
    for s in &results.slowdown {
        for a in &s.attached {
            line(
                &mut text,
                format_args!("{},{},{},{:.2},{:.2},{}", s.engine, s.model, s.tool, a.attach_ms, a.exit_ms, a.peak_kib),
            );
        }
    }
    text
}

fn hits(results: &Results) -> String {
    let mut text = "site,tool,what,median_ns,low_ns,high_ns,program_ns\n".to_owned();
    for m in &results.micro {
        let program = m.program_ns.map(|ns| format!("{ns:.1}")).unwrap_or_default();
        line(
            &mut text,
            format_args!(
                "\"{}\",{},\"{}\",{:.1},{:.1},{:.1},{program}",
                m.site, m.tool, m.what, m.ns.median, m.ns.low, m.ns.high
            ),
        );
    }
    text
}

fn scaled(all: &[super::data::Scaled]) -> String {
    let mut text = "tool,size,median_ns,low_ns,high_ns,attach_ms,exit_ms\n".to_owned();
    for s in all {
        line(
            &mut text,
            format_args!(
                "{},{},{:.1},{:.1},{:.1},{:.2},{:.2}",
                s.tool, s.size, s.ns.median, s.ns.low, s.ns.high, s.attach_ms, s.exit_ms
            ),
        );
    }
    text
}

fn stream(results: &Results) -> String {
    let mut text = "tool,rate_per_s,happened,printed,told_lost\n".to_owned();
    for s in &results.stream {
        line(&mut text, format_args!("{},{:.0},{},{},{}", s.tool, s.rate, s.happened, s.printed, s.told_lost));
    }
    text
}
