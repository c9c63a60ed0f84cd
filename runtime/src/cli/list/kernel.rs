//! Points of the kernel that a script makes: samples, and tracepoints with the fields that tracefs lists.

use profinfer_compiler::catalogue::{Arg, Start, Template};
use profinfer_compiler::pattern::glob;
use profinfer_compiler::types::Type;

use super::fields::{FieldText, common};
use super::write_fields;
use crate::cli::args::Color;
use crate::cli::page::{Page, Tone, plural};
use crate::cli::{exit, fail, script};
use crate::engine::Description;
use crate::kernel::Tracefs;
use crate::script::Script;

/// How they are written, and what they are.
pub(super) const KINDS: [(&str, &str, &str); 2] = [
    (
        "profile",
        "profile(99hz)",
        "A thread of the process that is met running by a clock that ticks so often a second on every CPU.",
    ),
    (
        "tracepoint",
        "tracepoint(\"category:name\")",
        "A hit of a tracepoint of the kernel by a thread of the process, with the fields that tracefs lists of it.",
    ),
];

/// Which of them a name is.
pub(super) fn kind_of(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    KINDS
        .into_iter()
        .find(|(word, ..)| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('(')))
}

/// Writes what there is to say of `name`; the exit code.
pub(super) fn write(
    page: &mut Page,
    (word, written, doc): (&str, &str, &str),
    name: &str,
    engine: &Description,
) -> Result<(), u8> {
    page.heading(&format!("point {}", if name == word { written } else { name }));
    page.line(2, Tone::Plain, doc);
    if word == "tracepoint" && (name == word || name.contains('*')) {
        let pattern = name.split('"').nth(1).unwrap_or("*");
        return names(page, pattern);
    }
    if name != word {
        let starts = starts_of(name, engine)?;
        let args = starts.iter().flat_map(|s| &s.args);
        let fields: Vec<FieldText> = args.map(field).collect();
        page.heading(&format!("fields of {word}"));
        write_fields(page, &fields, None, None);
    }
    page.heading(&format!("common fields of {word}"));
    write_fields(page, &common(Template::Tracepoint), None, None);
    Ok(())
}

fn field(arg: &Arg) -> FieldText {
    match arg.ty {
        Type::Str(_) => FieldText::new(&arg.name, "string", "Text."),
        _ => {
            let sign = if arg.mem.signed { "with a sign" } else { "without a sign" };
            FieldText::new(&arg.name, "int", &format!("{}, {sign}.", plural(usize::from(arg.mem.size), "byte")))
        }
    }
}

fn starts_of(name: &str, engine: &Description) -> Result<Vec<Start>, u8> {
    let script = Script::parse("<list>", &format!("on {name} < count() >"));
    match script.compile(engine, &[], true) {
        Ok((plan, _)) => match plan.points.iter().find(|p| p.used && p.template.is_kernel()) {
            Some(point) => Ok(point.starts.clone()),
            None => Err(fail(exit::USAGE, format!("{name} is no point of the kernel"))),
        },
        Err(errors) => {
            script::print(&errors, &script.sources, Color::Auto);
            Err(exit::USAGE)
        }
    }
}

/// The tracepoints that match.
fn names(page: &mut Page, pattern: &str) -> Result<(), u8> {
    let all = Tracefs::open().and_then(|tracefs| tracefs.names()).map_err(|e| fail(exit::KERNEL, e))?;
    let found: Vec<&String> = all.iter().filter(|name| glob(pattern, name)).collect();
    page.heading(&plural(found.len(), "tracepoint"));
    found.iter().for_each(|name| page.line(2, Tone::Plain, name));
    Ok(())
}
