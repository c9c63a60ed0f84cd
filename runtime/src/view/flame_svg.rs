//! A flame graph as a picture that a browser lets zoom and search.
//!
//! The drawing is `inferno`'s. Names come to it escaped, and it writes them as text of XML.

use std::io;

use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};

use super::html::markup;
use super::line::paint;
use super::stacks::Stacks;
use super::table::{heading, notes};
use super::{Renderer, emit, value};
use crate::record::{Quantity, Record, Table, Value};

/// A scale is used from here on: what it rounds is then less than a hundredth of a hundredth of a percent of the whole.
const ROUNDS: u64 = 100_000;
/// What is behind the frames.
const BACKGROUND: Color = Color { r: 0xfa, g: 0xfa, b: 0xf7 };
/// The whole, and what stands in parentheses, which is no word of the engine: the rest of something.
const REST: Color = Color { r: 0xc4, g: 0xc4, b: 0xc4 };

/// A picture for each table.
pub(super) struct FlameSvg;

impl Renderer for FlameSvg {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => emit(out, &picture(table)?),
            Record::Print(_) | Record::Message(_) | Record::End(_) => Ok(()),
        }
    }
}

fn picture(table: &Table) -> io::Result<Vec<u8>> {
    let stacks = Stacks::of(table).map_err(io::Error::other)?;
    if stacks.all.is_empty() {
        return Ok(nothing(table).into_bytes());
    }
    let line = |(frames, width): &(Vec<String>, u64)| format!("{} {width}", frames.join(";"));
    // Lines sorted as texts would tear frames apart. Only for charts of time `inferno` leaves them as they are, from the last on.
    let lines: Vec<String> = stacks.all.iter().rev().map(line).collect();
    let mut palette = PaletteMap::default();
    // What all lies in.
    palette.insert("", REST);
    for name in stacks.all.iter().flat_map(|(frames, _)| frames) {
        palette.insert(name, color(name));
    }
    let (factor, unit) = unit(&stacks);
    let mut options = Options::default();
    options.title = clean(&super::escape::escape(&table.name));
    options.subtitle = Some(clean(&subtitle(table, &stacks)));
    options.count_name = unit.to_owned();
    options.factor = factor;
    options.name_type = "Frame:".to_owned();
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.bgcolors = Some(BackgroundColor::Flat(BACKGROUND));
    options.flame_chart = true;
    options.palette_map = Some(&mut palette);
    let mut picture = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    picture.push(b'\n');
    Ok(picture)
}

/// What the widths are, how much they are in all, and what is not in them.
fn subtitle(table: &Table, stacks: &Stacks<'_>) -> String {
    let total = Value::Int(stacks.total.cast_signed());
    let keys: Vec<String> = table.keys.iter().map(heading).collect();
    let mut parts = vec![format!(
        "{} {} by {}, at {}",
        heading(stacks.column),
        value::cell(&total, stacks.column.quantity),
        keys.join(", "),
        value::duration(table.at_ns)
    )];
    parts.extend(stacks.remark());
    parts.extend(notes(table, 0).iter().map(|line| paint(std::slice::from_ref(line), false).trim_end().to_owned()));
    parts.join("; ")
}

/// The characters that XML cannot hold.
fn clean(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// What a number of the widths is multiplied with to be read, and what it is then.
fn unit(stacks: &Stacks<'_>) -> (f64, &'static str) {
    let scales: &[(u64, &'static str)] = match stacks.column.quantity {
        Quantity::Duration => &[(1_000_000, "ms"), (1_000, "µs"), (1, "ns")],
        Quantity::Bytes => &[(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")],
        _ => &[],
    };
    let fits = |(scale, _): &&(u64, _)| *scale == 1 || stacks.total / *scale >= ROUNDS;
    scales.iter().find(fits).map_or((1.0, "events"), |(scale, unit)| (1.0 / *scale as f64, *unit))
}

/// The same name has the same colour in every picture; names that differ in their numbers alone are shades of one.
fn color(name: &str) -> Color {
    if name.starts_with('(') {
        return REST;
    }
    let word: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
    let number: u32 = name
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |n, digit| u32::from(digit - b'0').wrapping_add(n.wrapping_mul(10)));
    // FNV-1a. Of its bits these are those that set words of models and operators well apart.
    let hash = word
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hue = ((hash >> 38) % 360) as f64;
    let shade = if word.len() < name.len() { f64::from(number % 2) * 0.06 } else { (hash / 360 % 5) as f64 * 0.02 };
    hsl(hue, 0.55, 0.68 + shade)
}

/// A colour by hue in degrees, saturation and lightness.
fn hsl(hue: f64, saturation: f64, lightness: f64) -> Color {
    let a = saturation * lightness.min(1.0 - lightness);
    let part = |n: f64| {
        let k = (n + hue / 30.0) % 12.0;
        let x = lightness - a * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (x * 255.0).round() as u8
    };
    Color { r: part(0.0), g: part(8.0), b: part(4.0) }
}

/// A picture of a table without rows.
fn nothing(table: &Table) -> String {
    let name = markup(&clean(&super::escape::escape(&table.name)));
    format!(
        "<?xml version=\"1.0\" standalone=\"no\"?>\n\
         <svg version=\"1.1\" width=\"1200\" height=\"60\" viewBox=\"0 0 1200 60\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <rect x=\"0\" y=\"0\" width=\"100%\" height=\"60\" fill=\"#fafaf7\"/>\n\
         <text x=\"50%\" y=\"35\" text-anchor=\"middle\" font-family=\"monospace\" font-size=\"14\">{name}: no events</text>\n\
         </svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_a_wheel() {
        let of = |hue| {
            let c = hsl(hue, 1.0, 0.5);
            [c.r, c.g, c.b]
        };
        assert_eq!([0.0, 120.0, 240.0, 60.0].map(of), [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]);
    }

    #[test]
    fn layers_are_shades_of_one_colour() {
        assert_eq!(color("layer=0"), color("layer=2"));
        assert_ne!(color("layer=0"), color("layer=1"));
        assert_ne!(color("attention"), color("ffn"));
    }
}
