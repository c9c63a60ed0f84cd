//! Scripts by chance: grammatical always, sensible by the types that fields turn out to have. One seed is one script.

use std::fmt::Write as _;

use profinfer::engine::Description;

#[path = "dice.rs"]
mod dice;
#[path = "expressions.rs"]
mod expressions;
#[path = "points.rs"]
mod points;

use dice::Dice;
use points::{Is, Point, points};

/// What every script begins with.
pub(crate) const DEFINITIONS: &str = r#"param most: duration = 3ms
param glob: string = "*k?_*"
let few = 3
fn twice(x) = x + x
fn slow(t) = if(t > $most, "slow", "fast")
fn clamp(n) = min(max(n, 0), few)
agg spread(x) = min(x), q = quantile(x, 0.25, 0.75), max(x)
agg cost(x) = calls = count(), total = sum(x), mean = sum(x) / count(), few = lhist(x, 0us..9us, width=1us), spread(x)
agg newest(x) = last(x), gap = avg(gap(x)), distinct(x)
enum kind { quick, slow }
struct graph { n_nodes: i32 @ 4 next: ptr(graph) @ 8 kind: enum(kind) @ 12 name: str[32] @ 16 }
point mine : span { start "ggml_graph_compute" (g: ptr(graph)) within llama_ubatch let kind = g.kind let n = g.n_nodes let nth_of = ordinal(g.n_nodes) }
point other : enter { start "ggml_barrier" (p: ptr) within ggml_graph, llama_ubatch let p = p }
"#;

/// What a script of this generator may have in it, to be counted: each has to come up.
pub(crate) const KINDS: [&str; 24] = [
    "print(\"",
    "lhist(",
    "stats(",
    "quantile(",
    "distinct(",
    "last(",
    "slope(",
    "span(",
    "enter(",
    "probe ",
    "cost(",
    "spread(",
    "newest(",
    "twice(",
    "gap(",
    "lru(",
    "pinned(",
    "bucket(",
    "has(",
    "exit",
    "clear ",
    "show ",
    "across",
    "match(",
];

/// Makes scripts on the points of a description.
pub(crate) struct Generator {
    points: Vec<Point>,
    words: Vec<String>,
}

impl Generator {
    /// Learns what each field can be used as, by asking the compiler.
    pub(crate) fn new(description: &Description) -> Self {
        let words = description.catalogue.enums.get("ggml_op");
        let words = words.into_iter().flat_map(|e| e.words.keys().cloned()).collect();
        Self { points: points(description), words }
    }

    /// Those points of the description that there is something to count of.
    pub(crate) fn points(&self) -> usize {
        self.points.iter().filter(|p| p.call.is_none() && !["mine", "other"].contains(&&*p.name)).count()
    }

    /// The script of a seed.
    pub(crate) fn script(&self, seed: u64) -> String {
        let mut dice = Dice::of_seed(seed);
        let mut text = DEFINITIONS.to_owned();
        let mut names = Vec::new();
        if dice.one_in(8) {
            self.joined(&mut dice, &mut text);
            names.push("both".to_owned());
        }
        for clause in 0..1 + dice.below(3) {
            let mut point = dice.of(&self.points).clone();
            if dice.one_in(5) {
                point = self.probe(&point, &mut dice, &format!("p{clause}"), &mut text);
            }
            self.head(&point, &mut dice, &mut text);
            let mut groups = Vec::new();
            for group in 0..1 + dice.below(2) {
                if dice.one_in(6) {
                    groups.push(self.print(&point, &mut dice));
                    continue;
                }
                let name = format!("t{clause}_{group}");
                groups.push(self.group(&point, &mut dice, &name));
                names.push(name);
            }
            if !names.is_empty() && dice.one_in(8) {
                let name = dice.of(&names);
                let each = ["exit", "show {}", "clear {}", "show {}; clear {}", "show {}; clear {}; exit"];
                groups.push(dice.of(&each).replace("{}", name));
            }
            writeln!(text, " < {} >", groups.join("; ")).unwrap();
        }
        if !names.is_empty() && dice.one_in(2) {
            let name = dice.of(&names);
            let what =
                ["show {}; clear {}", "show {} as csv to \"x.csv\"", "clear {}", "show {} as hist top 3", "exit"];
            let when =
                [format!("every {}ms", 1 + dice.below(900)), format!("after {}s", 1 + dice.below(9)), "end".into()];
            writeln!(text, "{} < {} >", dice.of(&when), dice.of(&what).replace("{}", name)).unwrap();
        }
        text
    }

    /// `on POINT(…) where (…)`.
    fn head(&self, point: &Point, dice: &mut Dice, text: &mut String) {
        write!(text, "on {}", self.at(point, dice)).unwrap();
        if dice.one_in(2) {
            write!(text, " where ({})", self.condition(point, dice, 3)).unwrap();
        }
    }

    fn at(&self, point: &Point, dice: &mut Dice) -> String {
        let patterns = if dice.one_in(3) { self.patterns(point, dice) } else { String::new() };
        match &point.call {
            Some(call) if patterns.is_empty() => format!("{call})"),
            Some(call) => format!("{call}, {patterns})"),
            None if patterns.is_empty() => point.name.clone(),
            None => format!("{}({patterns})", point.name),
        }
    }

    /// Defines a probe on a point, with fields of its own.
    fn probe(&self, point: &Point, dice: &mut Dice, name: &str, text: &mut String) -> Point {
        write!(text, "probe {name} = {}", self.at(point, dice)).unwrap();
        if dice.one_in(2) {
            write!(text, " where ({})", self.condition(point, dice, 2)).unwrap();
        }
        let mut probe = point.clone();
        let fields = [("own_time", Is::Duration), ("own_number", Is::Number)];
        let lets = fields.map(|(field, is)| format!("let {field} = {}", self.value(point, dice, is, 2)));
        writeln!(text, " {{ {} let own_word = {} }}", lets.join(" "), self.key(point, dice)).unwrap();
        probe.fields.extend(fields.map(|(field, is)| (field.to_owned(), is)));
        probe.summed.extend(fields.map(|(field, is)| (field.to_owned(), is)));
        probe.keys.extend(["own_number", "own_word"].map(str::to_owned));
        probe.name = name.to_owned();
        // The probe has its patterns without a field from the point.
        probe.call = None;
        probe
    }

    /// Clauses of one table, side by side, with columns made across.
    fn joined(&self, dice: &mut Dice, text: &mut String) {
        let (first, second) = (dice.of(&self.points), dice.of(&self.points));
        let common: Vec<&String> = first.keys.iter().filter(|key| second.keys.contains(key)).collect();
        let Some(key) = (!common.is_empty()).then(|| *dice.of(&common)) else { return };
        let keys = if dice.one_in(2) { format!("k = {key}") } else { format!("k = {key}, l = {}", dice.of(&common)) };
        for (n, (point, other)) in [(first, "b"), (second, "a")].into_iter().enumerate() {
            let of = ["a", "b"][n];
            self.head(point, dice, text);
            let more = self.column(point, dice);
            let sum = dice.of(&point.summed).0.clone();
            let number = format!("{of}_n = count(), {of}_s = sum({sum}), {of}_more = {more}");
            writeln!(
                text,
                " < {number}, across_{of} = {of}_n / {other}_n - 1, {of}_x = {of}_s / {other}_n by {keys} into both >"
            )
            .unwrap();
        }
    }

    fn print(&self, point: &Point, dice: &mut Dice) -> String {
        let name = if dice.one_in(3) { "told = " } else { "" };
        format!("{name}print(\"{}\")", self.text(point, dice))
    }

    fn group(&self, point: &Point, dice: &mut Dice, table: &str) -> String {
        let mut columns: Vec<String> =
            (0..1 + dice.below(4)).map(|n| format!("c{n} = {}", self.column(point, dice))).collect();
        if dice.one_in(4) {
            let bundle = dice.of(&["stats", "spread", "cost", "newest", "stats"]);
            let name = if dice.one_in(2) { "s = " } else { "" };
            columns.push(format!("{name}{bundle}({})", self.value(point, dice, Is::Duration, 1)));
        }
        let keys: Vec<String> = (0..dice.below(4)).map(|n| format!("k{n} = {}", self.key(point, dice))).collect();
        let mut text = columns.join(", ");
        if !keys.is_empty() {
            write!(text, " by {}", keys.join(", ")).unwrap();
        }
        write!(text, " into {table}").unwrap();
        if dice.one_in(3) {
            write!(text, " limit {}", 1 + dice.below(5000)).unwrap();
        }
        text
    }
}
