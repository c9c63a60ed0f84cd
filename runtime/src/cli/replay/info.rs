//! What is in a recording.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::cli::{exit, fail, say};
use crate::recording::about::{Begin, Ended, Process};
use crate::recording::reader::{Recording, Told};
use crate::view::escape::escape_lines;

/// Prints it; the exit code.
pub(super) fn run(recording: &mut Recording, path: &Path) -> Result<u8, u8> {
    let mut found = Found { events: vec![0; recording.head.streams.len()], ..Found::default() };
    let read: Result<(), io::Error> = recording.read(&mut |told| {
        found.told(told);
        Ok(())
    });
    read.map_err(|e| fail(exit::TARGET, format!("cannot read {}: {e}", path.display())))?;
    say::out(&escape_lines(&text(recording, &found, path)))?;
    Ok(0)
}

#[derive(Default)]
struct Found {
    begin: Begin,
    last: u64,
    events: Vec<u64>,
    pids: BTreeSet<u32>,
    processes: Vec<Process>,
    ended: Option<Ended>,
}

impl Found {
    fn told(&mut self, told: Told) {
        match told {
            Told::Begin(begin) => self.begin = begin,
            Told::Source(_) => {}
            Told::Process(process) => self.processes.push(process),
            Told::Event(event) => {
                self.last = self.last.max(event.time);
                self.events[event.stream] += 1;
                self.pids.insert(event.pid);
            }
            Told::End(ended) => self.ended = Some(*ended),
        }
    }
}

/// Lines of a name and what it is.
struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, what: &str) {
        let _never_fails = writeln!(self.0, "{name:<12} {what}");
    }
}

fn text(recording: &Recording, found: &Found, path: &Path) -> String {
    let head = &recording.head;
    let mut out = Lines(String::new());
    out.put("recording", &path.display().to_string());
    let begun = found.begin.unix_ns / 1_000_000_000;
    let seconds = match &found.ended {
        Some(ended) => ended.wall_ns,
        None => found.last.saturating_sub(found.begin.monotonic_ns),
    } as f64
        / 1e9;
    out.put("begun", &format!("{} UTC, over {seconds:.3} s", date(begun)));
    match (&found.ended, &recording.damage) {
        (Some(ended), None) => out.put("ended", &ended.end.reason),
        (_, Some(damage)) => out.put("not whole", &damage.to_string()),
        (None, None) => {}
    }
    out.put("made by", &format!("profinfer {} on Linux {}", head.version, head.kernel));
    out.put("script", &head.script.name);
    for import in &head.imports {
        out.put("  imports", &import.text.name);
    }
    for (name, value) in &head.params {
        out.put("  param", &format!("{name} = {value}"));
    }
    for p in &found.processes {
        let engine = if p.engine.is_empty() { String::new() } else { format!(", engine {}", p.engine) };
        out.put("process", &format!("{}{engine}", p.who));
        for (file, build_id, sites) in &p.files {
            let id = if build_id.is_empty() { "none".to_owned() } else { build_id.clone() };
            out.put("  file", &format!("{file}, build id {id}, {sites} sites"));
        }
    }
    for (i, stream) in head.streams.iter().enumerate() {
        let lost = found.ended.as_ref().and_then(|e| e.streams.get(i)).map_or(0, |(_, lost)| *lost);
        let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
        out.put("point", &format!("{}: {} events{lost}", stream.point, found.events[i]));
        for field in &stream.fields {
            out.put("  field", &format!("{}: {}", field.text, field.ty));
        }
    }
    if let Some(ended) = &found.ended {
        for (cause, n) in &ended.end.dropped {
            out.put("lost", &format!("{cause}: {n}"));
        }
        for silent in &ended.end.silent {
            out.put("silent", &format!("{}: {}", silent.point, silent.reason));
        }
    }
    out.0
}

/// A date of the calendar, of seconds since 1970.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the day that may be missing is the last one.
    let shifted = days as i64 + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @N` prints them.
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_709_164_800, "2024-02-29 00:00:00"),
            (4_102_444_799, "2099-12-31 23:59:59"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
