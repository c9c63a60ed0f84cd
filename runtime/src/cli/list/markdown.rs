//! The field reference, `docs/fields.md`.

use std::fmt::Write as _;

use profinfer_compiler::catalogue::{Catalogue, Template};

use super::fields::{FieldText, Fields, common, counters, join};
use super::{calls, kernel};
use crate::engine::Description;

/// The whole reference: every engine, every point, every enum.
pub(super) fn reference(engines: &[Description]) -> String {
    let mut text = String::from(
        "# Points and fields\n\n\
         <!-- Made by `profinfer list --markdown` from the engine descriptions. Do not edit: a test compares. -->\n\n\
         What a script can measure, and what it can ask of each event. `profinfer list NAME` prints the same, and with\n\
         `--pid N` what a process has of it.\n\n\
         ## Every point\n\n",
    );
    table(&mut text, &common(Template::Span));
    text.push_str("\nPoints that are counted at an entry only have no `dur`.\n");
    text.push_str(
        "\n## Counters\n\nWhat the thread of an event counts from its start to its end: fields of `ggml_op`, `ggml_work`, \
         `ggml_graph`, `llama_ubatch`,\n`llama_decode` and `span`. A machine may lack those of the processor; `profinfer doctor` says which \
         there are.\n\n",
    );
    table(&mut text, &counters());
    for kind in &calls::KINDS {
        let _ = writeln!(text, "\n## `{}`\n\n{}\n", kind.written, kind.doc);
        table(&mut text, &calls::own(kind));
    }
    if let Some(kernel) = engines.iter().find_map(|e| e.catalogue.kernel.as_ref()) {
        of_kernel(&mut text, kernel);
    }
    for engine in engines {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "\n## {}\n\n{}.", engine.catalogue.engine, engine.catalogue.description);
        (0..engine.catalogue.points.len()).for_each(|id| point(&mut text, &engine.catalogue, id));
        for (name, e) in &engine.catalogue.enums {
            let numbered = match e.table {
                Some(_) => "The engine numbers these words; `profinfer list --pid N` shows how.",
                None => "The numbers of these words are fixed.",
            };
            let words: Vec<String> = e.words.keys().map(|w| format!("`{w}`")).collect();
            let about = join(&e.docs);
            let about = [about.as_str(), numbered].map(str::trim).join(" ");
            let _ = writeln!(text, "\n### enum `{name}`\n\n{}\n\n{}", about.trim(), words.join(" "));
        }
    }
    text
}

/// The points of the kernel, with the enums that their fields have.
fn of_kernel(text: &mut String, catalogue: &Catalogue) {
    text.push_str(
        "\n## The kernel\n\nEvents that no function of the process is probed for. What the thread has open then encloses them.\n",
    );
    (0..catalogue.points.len()).for_each(|id| point(text, catalogue, id));
    for (_, written, doc) in kernel::KINDS {
        let _ = writeln!(text, "\n### `{written}`\n\n{doc}");
    }
    let used: Vec<String> = (0..catalogue.points.len())
        .flat_map(|id| Fields::of(catalogue, id).own)
        .filter_map(|f| f.ty.strip_prefix("enum(").map(|name| name.trim_end_matches(')').to_owned()))
        .collect();
    for (name, e) in catalogue.enums.iter().filter(|(name, _)| used.contains(name)) {
        let words: Vec<String> = e.words.keys().map(|w| format!("`{w}`")).collect();
        let _ = writeln!(text, "\n### enum `{name}`\n\n{}\n\n{}", join(&e.docs), words.join(" "));
    }
}

fn point(text: &mut String, catalogue: &Catalogue, id: usize) {
    let point = &catalogue.points[id];
    let _ = writeln!(text, "\n### `{}`\n\n{}\n", point.name, join(&point.docs));
    let fields = Fields::of(catalogue, id);
    let within: Vec<String> = fields.enclosing.iter().map(|(name, _)| format!("`{name}`")).collect();
    if !within.is_empty() {
        let _ = writeln!(text, "Inside {}, whose fields can be used here too.\n", within.join(", "));
    }
    for (words, reason) in &point.never {
        let words: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
        let _ = writeln!(text, "Never {}: {reason}.\n", words.join(", "));
    }
    if fields.own.is_empty() {
        text.push_str("It has no fields of its own.\n");
    } else {
        table(text, &fields.own);
    }
}

fn table(text: &mut String, fields: &[FieldText]) {
    text.push_str("| field | type | |\n| --- | --- | --- |\n");
    for f in fields {
        let members = match f.members.is_empty() {
            true => String::new(),
            false => format!(" Has {}.", f.members.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(" ")),
        };
        let _ = writeln!(text, "| `{}` | {} | {}{members} |", f.name, f.ty, f.doc.replace('|', "\\|"));
    }
}
