//! What a point and each of its fields cost: when a value is known, what is probed for it, and in a process at which
//! instruction.
//!
//! Nothing is guessed: for each field a script that asks for it alone is compiled, and its sites are held against those of
//! a script that only counts.

use profinfer_compiler::catalogue::Catalogue;
use profinfer_compiler::plan::Plan;
use profinfer_compiler::resolve::Resolver;
use profinfer_compiler::typed::{Kind, PointId, Stage, Typed};
use profinfer_compiler::types::Type;
use profinfer_ebpf::{Arch, Object, SiteSpec, listing, nominal};

use super::super::page::{Page, Tone};
use super::super::sites::SiteText;
use super::fields::FieldText;
use crate::engine::Description;
use crate::script::Script;
use crate::session::sites::Target;

/// Where what a field needs is indented to, at the most.
const NEEDS: usize = 6;

/// What is probed for a point.
pub(super) struct Probes<'d> {
    description: &'d Description,
    target: Option<&'d Target>,
    point: PointId,
    /// For counting its events, whatever else is asked.
    base: Vec<Probe>,
}

/// A probe: where, and what for.
struct Probe {
    site: SiteSpec,
    does: String,
}

impl Probe {
    /// Whether both are one place. What is read there, and so the best instruction for it, may differ.
    fn is_at(&self, other: &Probe) -> bool {
        self.site.symbols == other.site.symbols && self.site.at == other.site.at
    }
}

impl<'d> Probes<'d> {
    /// Those of a point, in a process if one is given.
    pub(super) fn of(description: &'d Description, point: PointId, target: Option<&'d Target>) -> Self {
        let mut probes = Probes { description, target, point, base: Vec::new() };
        probes.base = probes.compiled("< count() >").map(|(_, found)| found).unwrap_or_default();
        probes
    }

    /// Writes what is probed whatever is asked.
    pub(super) fn write(&self, page: &mut Page, indent: usize) {
        self.base.iter().for_each(|probe| self.probe(page, indent, probe));
    }

    /// Writes when a field is known, in which unit, and what is probed beside the rest for it. `outer` is the enclosing
    /// point whose field it is.
    pub(super) fn field(&self, page: &mut Page, column: usize, field: &FieldText, outer: Option<&str>) {
        let catalogue = &self.description.catalogue;
        let owner = outer.map_or(Some(self.point), |name| catalogue.point(name));
        let bare = &field.name;
        let written = outer.map_or_else(|| bare.clone(), |outer| format!("{outer}.{bare}"));
        let written = if field.ty.ends_with(']') { format!("{written}[0]") } else { written };
        let as_key = self.compiled(&format!("< count() by {written} >"));
        let found = as_key.or_else(|| self.compiled(&format!("where (has({written})) < count() >")));
        let value = owner.and_then(|id| value(catalogue, id, bare));
        let lasts = owner.is_some_and(|id| catalogue.points[id].template.lasts());
        let mut about: Vec<String> = unit(field).into_iter().map(str::to_owned).collect();
        about.push(match (&value, outer, &found) {
            (_, Some(outer), None) => format!("not known here before {outer} ends: ask for it there"),
            (Some(value), ..) => origin(value, found.as_ref().map(|(plan, _)| plan), lasts),
            (None, ..) if lasts && ["time", "comm"].contains(&bare.as_str()) => AT_START.to_owned(),
            (None, ..) => at_end(lasts).to_owned(),
        });
        page.line(column, Tone::Faint, &about.join("; "));
        let Some((_, probes)) = found else { return };
        let more: Vec<&Probe> = probes.iter().filter(|p| !self.base.iter().any(|b| b.is_at(p))).collect();
        if more.is_empty() {
            return;
        }
        // Names of functions are long: they get the room that the fields' names have.
        let indent = column.min(NEEDS);
        page.line(indent, Tone::Faint, "needs further probes:");
        more.into_iter().for_each(|probe| self.probe(page, indent + 2, probe));
    }

    fn probe(&self, page: &mut Page, indent: usize, probe: &Probe) {
        page.line(indent, Tone::Name, &probe.does);
        match self.target {
            Some(target) => SiteText::find(&probe.site, target).write(page, indent + 2, true),
            None => {
                let ret = probe.site.at.of();
                let optional = if probe.site.optional { "(if the engine has it)" } else { "" };
                let symbols = format!("{ret}{}", probe.site.symbols.join(" or "));
                page.hang(indent + 2, &[(Tone::Plain, &symbols), (Tone::Faint, optional)]);
            }
        }
    }

    /// A clause on the point with its sites in an engine that has them all; none if it does not compile.
    fn compiled(&self, rest: &str) -> Option<(Plan, Vec<Probe>)> {
        let point = &self.description.catalogue.points[self.point].name;
        let script = Script::parse("<list>", &format!("on {point} {rest}"));
        let (plan, _) = script.compile(self.description, &[], false).ok()?;
        let arch = self.target.map_or_else(Arch::host, |t| t.facts.arch);
        let object = Object::build(&plan, &nominal::facts(&plan, arch)).ok()?;
        let probe = |p: &profinfer_ebpf::Program| Probe { site: p.site.clone(), does: listing::actions(p, &plan) };
        let probes = object.programs.iter().map(probe).collect();
        Some((plan, probes))
    }
}

/// The value of a point's own field; none if it is one that every point has.
fn value(catalogue: &Catalogue, point: PointId, name: &str) -> Option<Typed> {
    let field = catalogue.points[point].fields.get(name)?;
    Resolver::new(catalogue).field(point, name, field.value.span).ok()
}

/// The unit of a field's values.
fn unit(field: &FieldText) -> Option<&'static str> {
    match field.ty.as_str() {
        "duration" => Some("in ns"),
        "bytes" => Some("in bytes"),
        "ratio" => Some("of one"),
        "rate" => Some("per second"),
        "bytes/s" => Some("in bytes per second"),
        _ => None,
    }
}

const AT_START: &str = "read in the kernel at the start";

/// When a value is known of an event with an end, or without one.
fn at_end(lasts: bool) -> &'static str {
    if lasts { "known in the kernel at the end" } else { "read in the kernel at the event" }
}

/// Where a value comes from. `plan` has it as its only key, where it can be one.
fn origin(value: &Typed, plan: Option<&Plan>, lasts: bool) -> String {
    let is_copied = value.is_kernel_text() || matches!(value.ty, Type::Ptr(_) | Type::Array(..));
    match value.stage() {
        Stage::Const => "known before any event".to_owned(),
        Stage::Open(_) if lasts => AT_START.to_owned(),
        Stage::User if is_copied && lasts => AT_START.to_owned(),
        Stage::User if is_copied => at_end(lasts).to_owned(),
        Stage::Close if matches!(value.kind, Kind::Accum(..)) => "gathered in the kernel until the end".to_owned(),
        Stage::Open(_) | Stage::Close => at_end(lasts).to_owned(),
        Stage::User => {
            let keys = plan.and_then(|p| p.tables.first()).map(|t| &t.key[..]).unwrap_or_default();
            let from: Vec<&str> = keys.iter().map(|k| k.text.as_str()).collect();
            let from = if from.is_empty() { String::new() } else { format!(" from {}", from.join(", ")) };
            format!("put together in user space{from}")
        }
    }
}
