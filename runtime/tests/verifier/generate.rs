//! Scripts by chance: grammatical always, sensible by the types that fields turn out to have. One seed is one script.

use std::fmt::Write as _;

use profinfer::engine::Description;
use profinfer::script::Script;
use profinfer_compiler::counter::Counter;
use profinfer_compiler::resolve::Resolver;

/// What a field can be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Number,
    Duration,
    Truth,
    /// Text, or a word of an enum.
    Text,
    Ratio,
}

/// A point with its fields.
struct Point {
    name: String,
    fields: Vec<(String, Is)>,
    /// Those that can be a key.
    keys: Vec<String>,
    /// Those of which there can be a sum.
    summed: Vec<(String, Is)>,
}

/// Makes scripts on the points of a description.
pub(crate) struct Generator {
    points: Vec<Point>,
    words: Vec<String>,
}

impl Generator {
    /// Learns what each field can be used as, by asking the compiler.
    pub(crate) fn new(description: &Description) -> Self {
        let catalogue = &description.catalogue;
        let resolver = Resolver::new(catalogue);
        let compiles = |text: &str| Script::parse("<trial>", text).compile(description, &[], true).is_ok();
        let points = catalogue.points.iter().enumerate().map(|(id, point)| {
            let on = &point.name;
            let is = |field: &str| {
                let uses = [
                    (Is::Duration, format!("{field} > 1ms")),
                    (Is::Number, format!("{field} + 1 > 1")),
                    (Is::Ratio, format!("{field} > 0.5")),
                    (Is::Text, format!("{field} = \"a*\"")),
                    (Is::Truth, field.to_owned()),
                ];
                let fits = uses.into_iter().find(|(_, cond)| compiles(&format!("on {on} where ({cond}) < count() >")));
                fits.map(|(is, _)| is)
            };
            let enclosing = ["llama_ubatch.phase", "ggml_graph.n_nodes", "llama_ubatch.n_tokens", "ggml_op.op"];
            let counters = Counter::NAMED.map(Counter::word);
            let names =
                resolver.names_at(id).into_iter().chain(enclosing.iter().chain(&counters).map(|n| (*n).to_owned()));
            let fields: Vec<(String, Is)> = names.filter_map(|field| Some((field.clone(), is(&field)?))).collect();
            let key = |field: &str| compiles(&format!("on {on} < count() by k = {field} >"));
            let sum = |field: &str| compiles(&format!("on {on} < sum({field}) >"));
            Point {
                name: on.clone(),
                keys: fields.iter().map(|(f, _)| f.clone()).filter(|f| key(f)).collect(),
                summed: fields.iter().filter(|(f, _)| sum(f)).cloned().collect(),
                fields,
            }
        });
        let points = points.filter(|p| !p.summed.is_empty() && !p.keys.is_empty()).collect();
        let words = catalogue.enums.get("ggml_op").into_iter().flat_map(|e| e.words.keys().cloned()).collect();
        Self { points, words }
    }

    /// How many points it knows.
    pub(crate) fn points(&self) -> usize {
        self.points.len()
    }

    /// The script of a seed.
    pub(crate) fn script(&self, seed: u64) -> String {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut text = String::from("param most: duration = 3ms\nlet few = 3\nfn twice(x) = x + x\n");
        let clauses = 1 + dice.below(3);
        for clause in 0..clauses {
            let point = dice.of(&self.points);
            write!(text, "on {}", point.name).unwrap();
            if dice.one_in(3) {
                self.patterns(point, &mut dice, &mut text);
            }
            if dice.one_in(2) {
                write!(text, " where ({})", self.condition(point, &mut dice, 3)).unwrap();
            }
            let groups: Vec<String> = (0..1 + dice.below(2))
                .map(|group| self.group(point, &mut dice, &format!("t{clause}_{group}")))
                .collect();
            writeln!(text, " < {} >", groups.join("; ")).unwrap();
        }
        if dice.one_in(3) {
            let what = *dice.of(&["show t0_0; clear t0_0", "show t0_0", "clear t0_0"]);
            writeln!(text, "every {}ms < {what} >", 1 + dice.below(900)).unwrap();
        }
        text
    }

    fn patterns(&self, point: &Point, dice: &mut Dice, text: &mut String) {
        let mut patterns = Vec::new();
        if point.name.starts_with("ggml_op") {
            let not = if dice.one_in(3) { "!" } else { "" };
            patterns.push(format!("{not}{} | {}*", dice.of(&self.words), &dice.of(&self.words)[..2]));
        }
        if let Some((field, is)) = point.fields.get(dice.below(point.fields.len() as u64) as usize) {
            match is {
                Is::Number => patterns.push(format!("{field} = {}..{}", dice.below(4), 4 + dice.below(1 << 40))),
                Is::Duration => patterns.push(format!("{field} = {}us..", dice.below(1000))),
                Is::Text => patterns.push(format!("{field} = \"*a{}*\" | \"?o*\"", dice.below(9))),
                Is::Truth | Is::Ratio => {}
            }
        }
        if !patterns.is_empty() {
            write!(text, "({})", patterns.join(", ")).unwrap();
        }
    }

    fn group(&self, point: &Point, dice: &mut Dice, table: &str) -> String {
        let columns: Vec<String> =
            (0..1 + dice.below(4)).map(|n| format!("c{n} = {}", self.column(point, dice))).collect();
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

    fn key(&self, point: &Point, dice: &mut Dice) -> String {
        match dice.below(6) {
            0 => format!("if({}, \"yes\", \"no\")", self.condition(point, dice, 1)),
            1 => format!("bucket({}, {}us)", self.value(point, dice, Is::Duration, 1), 1 + dice.below(500)),
            2 => format!("({})", self.condition(point, dice, 1)),
            3 => format!("concat({}, \"/\", {})", dice.of(&point.keys), dice.of(&point.keys)),
            _ => dice.of(&point.keys).clone(),
        }
    }

    fn column(&self, point: &Point, dice: &mut Dice) -> String {
        let of = |dice: &mut Dice| match dice.below(4) {
            0 => self.value(point, dice, Is::Duration, 2),
            1 => self.value(point, dice, Is::Number, 2),
            _ => dice.of(&point.summed).0.clone(),
        };
        match dice.below(14) {
            0 => "count()".to_owned(),
            1 => format!("sum({}) / count()", of(dice)),
            2 => format!("avg({})", of(dice)),
            3 => format!("min({})", of(dice)),
            4 => format!("max({})", of(dice)),
            5 => format!("hist({}, k={})", self.value(point, dice, Is::Duration, 1), dice.below(9)),
            6 => format!("quantile({}, 0.{})", self.value(point, dice, Is::Duration, 1), 1 + dice.below(98)),
            7 => format!("share({})", of(dice)),
            8 => "rate()".to_owned(),
            9 if dice.one_in(2) => format!("last({})", of(dice)),
            10 if dice.one_in(2) => format!("distinct({})", self.value(point, dice, Is::Number, 0)),
            11 if dice.one_in(2) => format!("max(gap({}))", self.value(point, dice, Is::Number, 0)),
            12 if dice.one_in(2) => {
                let number = self.value(point, dice, Is::Number, 1);
                format!("slope({}, {number})", self.value(point, dice, Is::Duration, 1))
            }
            _ => format!("sum({})", of(dice)),
        }
    }

    fn condition(&self, point: &Point, dice: &mut Dice, depth: u32) -> String {
        if depth > 0 && dice.one_in(2) {
            let (a, b) = (self.condition(point, dice, depth - 1), self.condition(point, dice, depth - 1));
            return match dice.below(3) {
                0 => format!("not ({a})"),
                1 => format!("({a}) and ({b})"),
                _ => format!("({a}) or ({b})"),
            };
        }
        let compare = *dice.of(&["<", "<=", ">", ">=", "=", "!="]);
        let (field, is) = dice.of(&point.fields);
        match is {
            Is::Text => format!("{field} = \"{}*\"", dice.of(&["a", "ffn_", "M", "?", "*_"])),
            Is::Truth => field.clone(),
            Is::Ratio => format!("{field} > 0.{}", dice.below(99)),
            _ if dice.one_in(5) => format!("has({field})"),
            is => {
                let (a, b) = (self.value(point, dice, *is, 1), self.value(point, dice, *is, 1));
                format!("{a} {compare} {b}")
            }
        }
    }

    fn value(&self, point: &Point, dice: &mut Dice, is: Is, depth: u32) -> String {
        if depth > 0 && dice.one_in(2) {
            let (a, b) = (self.value(point, dice, is, depth - 1), self.value(point, dice, is, depth - 1));
            let n = 1 + dice.below(1 << 20);
            return match dice.below(9) {
                0 => format!("({a} + {b})"),
                1 => format!("({a} - {b})"),
                2 => format!("({a} / {n})"),
                3 => format!("({a} % {b})"),
                4 => format!("min({a}, {b})"),
                5 => format!("max({a}, {b})"),
                6 => format!("first({a}, {b})"),
                7 => format!("twice({a})"),
                _ => format!("if({}, {a}, {b})", self.condition(point, dice, depth - 1)),
            };
        }
        let known: Vec<&String> = point.fields.iter().filter(|(_, i)| *i == is).map(|(f, _)| f).collect();
        if !known.is_empty() && !dice.one_in(4) {
            return (*dice.of(&known)).clone();
        }
        match is {
            Is::Duration => (*dice.of(&["$most", "7us", "1h", "0ns"])).to_owned(),
            _ => (*dice.of(&["few", "0", "1", "9223372036854775807", "-5", "65537"])).to_owned(),
        }
    }
}

/// Numbers by chance, the same ones for a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<'t, T>(&mut self, among: &'t [T]) -> &'t T {
        &among[self.below(among.len() as u64) as usize]
    }
}
