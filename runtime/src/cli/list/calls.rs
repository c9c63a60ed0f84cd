//! Points that a script makes of functions: what can be asked of them, and with a process which functions are meant.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::Plan;

use super::fields::{FieldText, common, counters};
use super::{COLUMN, write_fields};
use crate::cli::args::{Color, ListArgs};
use crate::cli::look::{Looked, base};
use crate::cli::page::{Page, Tone, clean, plural};
use crate::cli::{exit, fail, script};
use crate::engine::Description;
use crate::script::Script;

/// Functions that are listed by name; more are counted.
const LISTED: usize = 20;

/// A kind of such points.
pub(super) struct Kind {
    /// Its word.
    pub(super) word: &'static str,
    /// How it is written.
    pub(super) written: &'static str,
    /// What it is, in a sentence.
    pub(super) doc: &'static str,
    template: Template,
}

/// All of them.
pub(super) const KINDS: [Kind; 2] = [
    Kind {
        word: "enter",
        written: "enter(\"lib:func\")",
        doc: "An event per call of a function of any mapped file, at its entry.",
        template: Template::Enter,
    },
    Kind {
        word: "span",
        written: "span(\"lib:func\")",
        doc: "An event per call of a function of any mapped file, from its entry to its return.",
        template: Template::Call,
    },
];

/// The kind that a name is: `span`, `span("libc:malloc")`.
pub(super) fn kind_of(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| name.strip_prefix(kind.word).is_some_and(|rest| rest.is_empty() || rest.starts_with('(')))
}

/// What such points have beside the common fields.
pub(super) fn own(kind: &Kind) -> Vec<FieldText> {
    let field = FieldText::new;
    let mut fields = vec![
        field("func", "enum", "The function's symbol; with its file's name before it where several files have one."),
        field("arg0 … arg5", "int", "What its first six integer arguments are in, all 64 bits of each."),
    ];
    if kind.template == Template::Call {
        fields.push(field(
            "ret",
            "int",
            "What it returned, all 64 bits (ret: i32 among the arguments says how large it is); absent where it ended by going on in another function.",
        ));
        fields.push(field(
            "self",
            "duration",
            "dur less that of the point's calls from within it; absent where one of those never returned.",
        ));
    }
    fields
}

/// Writes what there is to say of `name`; the exit code.
pub(super) fn write(
    page: &mut Page,
    kind: &Kind,
    name: &str,
    args: &ListArgs,
    engines: &[Description],
) -> Result<(), u8> {
    page.heading(&format!("point {}", if name == kind.word { kind.written } else { name }));
    page.line(2, Tone::Plain, kind.doc);
    page.line(
        2,
        Tone::Plain,
        "Arguments can be given names and types: span(\"libfoo.so:step\", n: i32, p: ptr, ret: i32).",
    );
    if name != kind.word {
        let plan = plan_of(name, &engines[0])?;
        match args.pid {
            Some(pid) => functions(page, &plan, pid, engines)?,
            None => page.line(2, Tone::Faint, "--pid N shows which functions of a process are meant."),
        }
    }
    for (title, fields) in [("fields", own(kind)), ("common fields", common(kind.template))] {
        page.heading(&format!("{title} of {}", kind.word));
        write_fields(page, &fields, None, None);
    }
    if kind.template == Template::Call {
        page.heading(&format!("counters of {}", kind.word));
        write_fields(page, &counters(), None, None);
    }
    page.blank();
    page.line(
        0,
        Tone::Faint,
        "Fields of ggml_op, ggml_work, ggml_graph, llama_ubatch and llama_decode are those of the events that the thread is in.",
    );
    Ok(())
}

fn plan_of(name: &str, engine: &Description) -> Result<Plan, u8> {
    let script = Script::parse("<list>", &format!("on {name}? < count() >"));
    match script.compile(engine, &[], true) {
        Ok((plan, _)) => Ok(plan),
        Err(errors) => {
            script::print(&errors, &script.sources, Color::Auto);
            Err(exit::USAGE)
        }
    }
}

fn functions(page: &mut Page, plan: &Plan, pid: u32, engines: &[Description]) -> Result<(), u8> {
    let looked = Looked::at(pid).map_err(|e| fail(exit::TARGET, e))?;
    let who = format!("{} (pid {pid})", clean(looked.process.comm()));
    let Some((_, target)) = looked.target(plan, engines) else {
        return Err(fail(exit::TARGET, format!("{who} has no files that can be looked at")));
    };
    for calls in target.calls.iter().flatten() {
        match calls {
            Err(why) => page.entry(2, COLUMN, (Tone::Faint, "missing"), &[(Tone::Bad, &format!("in {who} {why}"))]),
            Ok(calls) => {
                let found = format!("{} in {who}", plural(calls.found.len(), "function"));
                page.entry(2, COLUMN, (Tone::Faint, "stands for"), &[(Tone::Good, &found)]);
                for call in calls.found.iter().take(LISTED) {
                    let place = format!("at {:#x} in {}", call.function.vaddr, base(call.module.path()));
                    page.hang(COLUMN, &[(Tone::Name, &clean(&call.function.name)), (Tone::Faint, &place)]);
                }
                if calls.found.len() > LISTED {
                    page.line(COLUMN, Tone::Faint, &format!("and {} more", calls.found.len() - LISTED));
                }
                for (function, why) in calls.refused.iter().take(LISTED) {
                    page.entry(2, COLUMN, (Tone::Faint, "without"), &[(Tone::Weak, &format!("{function}: {why}"))]);
                }
            }
        }
    }
    Ok(())
}
