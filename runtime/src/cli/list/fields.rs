//! The fields of a point as texts: its own, those that every point has, and those of the points that enclose it.

use profinfer_compiler::catalogue::{Catalogue, Template};
use profinfer_compiler::counter::Counter;
use profinfer_compiler::resolve::Resolver;
use profinfer_compiler::typed::PointId;
use profinfer_compiler::types::Type;

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldText {
    /// How it is written.
    pub(super) name: String,
    /// Its type in the language's words.
    pub(super) ty: String,
    /// What it is.
    pub(super) doc: String,
    /// What can be written behind it: `.name`, `.ne[0..3]`.
    pub(super) members: Vec<String>,
}

impl FieldText {
    /// A field behind which nothing can be written.
    pub(super) fn new(name: &str, ty: &str, doc: &str) -> Self {
        Self { name: name.to_owned(), ty: ty.to_owned(), doc: doc.to_owned(), members: Vec::new() }
    }
}

/// All fields that can be written at a point.
#[derive(Debug)]
pub(super) struct Fields {
    /// Of the point itself.
    pub(super) own: Vec<FieldText>,
    /// Of every point.
    pub(super) common: Vec<FieldText>,
    /// Of every point whose events take time on a thread.
    pub(super) counters: Vec<FieldText>,
    /// Of the points that enclose it, innermost first.
    pub(super) enclosing: Vec<(String, Vec<FieldText>)>,
}

impl Fields {
    /// The fields at a point.
    pub(super) fn of(catalogue: &Catalogue, id: PointId) -> Fields {
        let point = &catalogue.points[id];
        let outer = |id: &PointId| (catalogue.points[*id].name.clone(), own(catalogue, *id));
        Fields {
            own: own(catalogue, id),
            common: common(point.template),
            counters: if Counter::is_of(point) { counters() } else { Vec::new() },
            enclosing: point.within.iter().map(outer).collect(),
        }
    }
}

/// `///` lines as one text.
pub(super) fn join(docs: &[String]) -> String {
    docs.iter().map(|l| l.trim()).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The fields that points have without saying so.
pub(super) fn common(template: Template) -> Vec<FieldText> {
    let field = FieldText::new;
    let mut fields = vec![
        field("time", "duration", "When it began: nanoseconds of the monotonic clock."),
        field("pid", "int", "The process."),
        field("tid", "int", "The thread that ended it."),
        field("cpu", "int", "The CPU on which it ended."),
        field("comm", "string", "The name of the thread that began it."),
    ];
    if template.lasts() {
        fields.insert(0, field("dur", "duration", "How long it took."));
    }
    fields
}

/// What the thread counts during each event of a point.
pub(super) fn counters() -> Vec<FieldText> {
    let raw = FieldText::new("pmu(N)", "int", "The event of that number of this processor: `pmu(0xc0)`.");
    let of = |c: Counter| FieldText::new(c.word(), &word(&c.ty()), c.about());
    Counter::NAMED.into_iter().map(of).chain([raw]).collect()
}

fn own(catalogue: &Catalogue, id: PointId) -> Vec<FieldText> {
    let resolver = Resolver::new(catalogue);
    let point = &catalogue.points[id];
    let text = |(name, field): (&String, &profinfer_compiler::catalogue::Field)| {
        let ty = match resolver.field(id, name, field.value.span) {
            Ok(value) => Some(value.ty),
            Err(_) => field.ty.clone(),
        };
        FieldText {
            name: name.clone(),
            ty: ty.as_ref().map_or_else(|| "?".to_owned(), word),
            doc: join(&field.docs),
            members: members(catalogue, ty.as_ref()),
        }
    };
    point.fields.iter().map(text).collect()
}

/// What can be written behind a field.
fn members(catalogue: &Catalogue, ty: Option<&Type>) -> Vec<String> {
    let Some(Type::Ptr(of)) = ty else { return Vec::new() };
    let Some(described) = catalogue.structs.get(of) else { return Vec::new() };
    let mut members: Vec<String> = Vec::new();
    for name in described.names() {
        let index = match described.field(name).map(|f| &f.ty) {
            Some(Type::Array(_, _, n)) => format!("[0..{}]", n - 1),
            _ => String::new(),
        };
        let member = format!(".{name}{index}");
        if !members.contains(&member) {
            members.push(member);
        }
    }
    members
}

/// A type as the language writes it.
pub(super) fn word(ty: &Type) -> String {
    match ty {
        Type::Int => "int".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Ratio => "ratio".to_owned(),
        Type::PerSecond => "rate".to_owned(),
        Type::BytesPerSecond => "bytes/s".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Str(_) => "string".to_owned(),
        Type::Enum(name) => format!("enum({name})"),
        Type::Ptr(name) => format!("ptr({name})"),
        Type::NumPtr(_) | Type::PtrPtr | Type::Address => "address".to_owned(),
        Type::Stack => "stack".to_owned(),
        Type::Array(of, _, n) => format!("{}[{n}]", word(of)),
        Type::Absent => "absent".to_owned(),
    }
}
