//! `profinfer plan`: what a script makes the kernel keep; with a process, where it would be probed and at what cost.
//!
//! Nothing is loaded and nothing is attached.

mod memory;

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::listing::{self, Names};
use profinfer_ebpf::{Arch, MapKind, MapSpec, Object, Program, nominal};

use super::args::PlanArgs;
use super::look::{Looked, kind, optional_missing, shown, why_missing};
use super::page::{Page, Tone, bytes, plural};
use super::sites::SiteText;
use super::{exit, script};
use crate::session::sites::Target;
use crate::target::SiteChoice;

/// Prints the plan of a script; the exit code.
pub(super) fn run(args: &PlanArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &PlanArgs) -> Result<u8, u8> {
    let source = script::read(&args.source)?;
    let engines = script::engines(args.source.engine.as_deref())?;
    let plan = script::compile(&args.source, &source, &engines[0])?;
    let mut looked = args.pid.map(|pid| Looked::with_engine(pid, &plan, &engines)).transpose()?;
    if let Some((_, _, target)) = &mut looked {
        target.choice = args.sites.choice();
    }
    let mut page = Page::stdout(args.source.color);
    page.block(&profinfer_compiler::print::plan_within(&plan, page.width()));
    let mut code = 0;
    let object = match &looked {
        Some((looked, description, target)) => {
            page.heading("target");
            looked.describe(&mut page, COLUMN);
            if let Some(description) = description {
                let engine = (Tone::Plain, description.catalogue.description.as_str());
                page.entry(2, COLUMN, (Tone::Faint, "engine"), &[engine]);
                page.entry(2, COLUMN, (Tone::Faint, "file"), &[(Tone::Plain, &shown(target.files.engine().path()))]);
                page.entry(2, COLUMN, (Tone::Faint, ""), &[(Tone::Faint, &kind(target.files.engine()))]);
            } else {
                let none = (Tone::Faint, "none, and the script needs none");
                page.entry(2, COLUMN, (Tone::Faint, "engine"), &[none]);
            }
            if !points(&mut page, &plan, target) {
                code = exit::TARGET;
            }
            let object = script::object(&plan, &target.facts)?;
            page.heading(match args.sites.choice() {
                SiteChoice::Cheapest => {
                    "sites (the cheapest; --sites entry takes the first instruction of each, to compare)"
                }
                SiteChoice::Entry => "sites (the first instruction of each; without --sites entry, the cheapest)",
            });
            for program in object.programs.iter().chain(&object.checks) {
                let site = SiteText::find(&program.site, target);
                what(&mut page, program, &object, &plan);
                site.write(&mut page, 4, !is_check(program, &object));
                if !site.is_fine() {
                    code = exit::TARGET;
                }
            }
            object
        }
        None => {
            let object = script::object(&plan, &nominal::facts(&plan, Arch::host()))?;
            page.heading("sites (in an engine that has them all; --pid N shows those of a process)");
            for program in object.programs.iter().chain(&object.checks) {
                what(&mut page, program, &object, &plan);
                let ret = program.site.at.of();
                let optional = if program.site.optional { "(if the engine has it)" } else { "" };
                let symbols = format!("{ret}{}", program.site.symbols.join(" or "));
                page.hang(4, &[(Tone::Plain, &symbols), (Tone::Faint, optional)]);
            }
            object
        }
    };
    if let Some(code) = &object.switches {
        page.heading("at every switch between tasks of the machine");
        let counters: Vec<String> = plan.counters().iter().map(ToString::to_string).collect();
        let does = format!("keep what threads count: {}", counters.join(", "));
        let length = plural(code.insns.len(), "instruction");
        page.hang(2, &[(Tone::Name, &does), (Tone::Faint, &format!("({length})"))]);
    }
    maps(&mut page, &object, &plan);
    if args.verbose {
        programs(&mut page, &object, &plan);
    }
    page.print()?;
    Ok(code)
}

/// Where the text of an entry begins.
const COLUMN: usize = 11;

/// What of the plan the target lacks; whether what is left is enough to run.
fn points(page: &mut Page, plan: &Plan, target: &Target) -> bool {
    let mut enough = true;
    let used = plan.points.iter().enumerate().filter(|(_, p)| p.used);
    for (id, p) in used {
        if let Some(why) = why_missing(target, id, p) {
            let needed = p.wanted && !p.optional;
            enough &= !needed;
            let (tone, without) = match (needed, p.wanted) {
                (true, _) => (Tone::Bad, "; mark it with `?` in the script to go on without"),
                (false, true) => (Tone::Weak, "; the script goes on without"),
                (false, false) => (Tone::Weak, "; what is read from it is absent"),
            };
            page.entry(
                2,
                COLUMN,
                (Tone::Faint, "missing"),
                &[(tone, &p.name), (Tone::Plain, &format!("{why}{without}"))],
            );
        }
        if let (Some(why), Some(mark)) = (target.lacks_mark(id, p), &p.mark) {
            let needed = p.wanted && !p.optional;
            enough &= !needed;
            let tone = if needed { Tone::Bad } else { Tone::Weak };
            let field = format!("{}.{}", p.name, mark.field);
            page.entry(2, COLUMN, (Tone::Faint, "missing"), &[(tone, &field), (Tone::Plain, &why)]);
        }
        for symbol in optional_missing(&target.facts, id, p) {
            let text = format!("{} does without {symbol}", p.name);
            page.entry(2, COLUMN, (Tone::Faint, "optional"), &[(Tone::Plain, &text)]);
        }
    }
    for name in &target.assumed {
        let text = format!("no table of {name} was found there: the description's numbers are used");
        page.entry(2, COLUMN, (Tone::Faint, "assumed"), &[(Tone::Weak, &text)]);
    }
    enough
}

/// What a program is for and how long it is.
fn what(page: &mut Page, program: &Program, object: &Object, plan: &Plan) {
    let does = if is_check(program, object) {
        format!("check the layout at {}, once", plan.points[program.actions[0].point()].name)
    } else {
        listing::actions(program, plan)
    };
    let length = plural(program.code.insns.len(), "instruction");
    page.hang(2, &[(Tone::Name, &does), (Tone::Faint, &format!("({length})"))]);
}

/// Whether a program is one of the layout check, which is detached after a few events.
fn is_check(program: &Program, object: &Object) -> bool {
    object.checks.iter().any(|c| std::ptr::eq(c, program))
}

fn maps(page: &mut Page, object: &Object, plan: &Plan) {
    page.heading("maps");
    let names = Names { plan, layout: &object.layout };
    let mut total = (0, 0);
    page.block("                             kind     key  value entries      empty       full");
    for spec in &object.maps {
        let (empty, full) = memory::of(spec);
        total = (total.0 + empty, total.1 + full);
        let twice = if spec.swapped { "2 x " } else { "" };
        let name = format!("{twice}{}", names.map(spec.id));
        let row = format!(
            "{name:<26} {:<5} {:>6} {:>6} {:>7} {:>10} {:>10}",
            word(spec),
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            bytes(empty),
            bytes(full)
        );
        page.block(&format!("  {row}"));
    }
    let total = format!("kernel memory: {} at the start, {} if all were full", bytes(total.0), bytes(total.1));
    page.line(2, Tone::Plain, &total);
}

fn word(spec: &MapSpec) -> &'static str {
    match spec.kind {
        MapKind::Shared => "mmap",
        MapKind::Array => "array",
        MapKind::Hash => "hash",
        MapKind::LruHash => "lru",
        MapKind::Ring => "ring",
        MapKind::Stacks => "stack",
        MapKind::Perf => "perf",
    }
}

fn programs(page: &mut Page, object: &Object, plan: &Plan) {
    page.heading("programs");
    let listings = object.programs.iter().chain(&object.checks).map(|p| listing::program(p, object, plan));
    page.block(&listings.collect::<Vec<_>>().join("\n"));
}
