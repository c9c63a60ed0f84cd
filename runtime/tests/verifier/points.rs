//! What there is to ask of each point, learned from the compiler.

use profinfer::engine::Description;
use profinfer::script::Script;
use profinfer_compiler::counter::Counter;
use profinfer_compiler::resolve::Resolver;

use crate::generate::DEFINITIONS;

/// What a field can be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Number,
    Duration,
    Bytes,
    Truth,
    Text,
    /// A word of an enum.
    Word,
    Ratio,
}

/// A point with its fields.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// As it stands behind `on`, without its patterns.
    pub(crate) name: String,
    /// What stands before its patterns in the parentheses: what a call is of, and its arguments.
    pub(crate) call: Option<String>,
    /// Its first patterns can be words of `ggml_op` without a field.
    pub(crate) has_words: bool,
    /// All of its fields that can be used in some way.
    pub(crate) fields: Vec<(String, Is)>,
    /// Those that can be a key.
    pub(crate) keys: Vec<String>,
    /// Those of which there can be a sum.
    pub(crate) summed: Vec<(String, Is)>,
    /// Those that caches can look up.
    pub(crate) looked_up: Vec<String>,
}

/// Fields of what encloses an event, and what hangs on pointers.
const BESIDE: [&str; 16] = [
    "llama_ubatch.phase",
    "llama_ubatch.n_tokens",
    "llama_ubatch.step",
    "ggml_graph.n_nodes",
    "ggml_op.op",
    "ggml_op.layer",
    "ggml_work.op",
    "ggml_work.name",
    "ne[0]",
    "ne[3]",
    "src0.name",
    "src0.type",
    "src0.ne[0]",
    "src1.ne[1]",
    "src0.src[0].op",
    "src0.src[0].src[0].name",
];

/// Fields of calls, and what hangs on their arguments (see [`DEFINITIONS`]).
const OF_CALLS: [&str; 21] = [
    "func",
    "arg0",
    "arg1",
    "arg5",
    "dur",
    "ret",
    "self",
    "n",
    "g.n_nodes",
    "g.kind",
    "g.name",
    "g.next.n_nodes",
    "time",
    "pid",
    "tid",
    "cpu",
    "comm",
    "ith",
    "phase",
    "op",
    "layer",
];

/// Calls of functions, with arguments.
const CALLS: [&str; 5] = [
    "span(\"engine:ggml_graph_compute\", g: ptr(graph), n: u8, ret: i32",
    "span(\"engine:ggml_*\"",
    "span(\"engine:llama_*\", n: i64",
    "enter(\"engine:ggml_barrier\", n: i16",
    "enter(\"engine:ggml_graph_compute\", g: ptr(graph)",
];

/// Points of the description, those of [`DEFINITIONS`], and calls.
pub(crate) fn points(description: &Description) -> Vec<Point> {
    let catalogue = &description.catalogue;
    let resolver = Resolver::new(catalogue);
    let described = catalogue.points.iter().enumerate().map(|(id, point)| {
        let beside = BESIDE.into_iter().chain(Counter::NAMED.map(Counter::word)).map(str::to_owned);
        let names = resolver.names_at(id).into_iter().chain(beside);
        learn(description, point.name.clone(), None, names.collect())
    });
    let own = ["mine", "other"].into_iter().map(|name| {
        let names = ["kind", "n", "nth_of", "p", "dur", "time", "pid", "tid", "cpu", "comm", "phase", "step", "op"];
        learn(description, name.into(), None, names.map(str::to_owned).to_vec())
    });
    let calls = CALLS.iter().map(|call| {
        let names = OF_CALLS.iter().chain(&BESIDE);
        learn(description, String::new(), Some((*call).to_owned()), names.map(|n| (*n).to_owned()).collect())
    });
    described.chain(own).chain(calls).filter(|p| !p.summed.is_empty() && !p.keys.is_empty()).collect()
}

fn learn(description: &Description, name: String, call: Option<String>, names: Vec<String>) -> Point {
    let on = call.as_ref().map_or_else(|| name.clone(), |call| format!("{call})"));
    let compiles = |rest: &str| {
        let text = format!("{DEFINITIONS}on {on} {rest}\n");
        Script::parse("<trial>", &text).compile(description, &[], true).is_ok()
    };
    let is = |field: &str| {
        let uses = [
            (Is::Duration, format!("{field} > 1ms")),
            (Is::Bytes, format!("{field} > 1KiB")),
            (Is::Number, format!("{field} + 1 > 1")),
            (Is::Ratio, format!("{field} > 0.5")),
            (Is::Text, format!("readable({field})")),
            (Is::Word, format!("{field} = \"a*\"")),
            (Is::Truth, field.to_owned()),
        ];
        let fits = uses.into_iter().find(|(_, cond)| compiles(&format!("where ({cond}) < count() >")));
        fits.map(|(is, _)| is)
    };
    let fields: Vec<(String, Is)> = names.into_iter().filter_map(|f| Some((f.clone(), is(&f)?))).collect();
    let those = |of: &dyn Fn(&str) -> String| -> Vec<String> {
        fields.iter().map(|(f, _)| f.clone()).filter(|f| compiles(&of(f))).collect()
    };
    let summed = those(&|f| format!("< sum({f}) >"));
    Point {
        has_words: compiles("(MUL_MAT) < count() >"),
        keys: those(&|f| format!("< count() by k = {f} >")),
        looked_up: those(&|f| format!("< lru({f}) >")),
        summed: fields.iter().filter(|(f, _)| summed.contains(f)).cloned().collect(),
        name,
        call,
        fields,
    }
}
