//! Conditions, keys, columns and what they are made of, by chance.

use std::fmt::Write as _;

use crate::generate::{Dice, Generator, Is, Point};

impl Generator {
    /// Patterns behind a point; begins with a comma where something stands before them.
    pub(crate) fn patterns(&self, point: &Point, dice: &mut Dice) -> String {
        let mut patterns = Vec::new();
        if point.has_words && dice.one_in(2) {
            let not = if dice.one_in(3) { "!" } else { "" };
            patterns.push(format!("{not}{} | {}*", dice.of(&self.words), &dice.of(&self.words)[..2]));
        }
        for _ in 0..1 + dice.below(2) {
            let (field, is) = dice.of(&point.fields);
            let not = if dice.one_in(4) { "!" } else { "" };
            match is {
                Is::Number => {
                    let of = [
                        format!("{}..{}", dice.below(4), 4 + dice.below(1 << 40)),
                        format!("{} | {}..", dice.below(4), 9 + dice.below(1 << 20)),
                        format!("..{}", dice.below(1 << 50)),
                    ];
                    patterns.push(format!("{field} = {not}{}", dice.of(&of)));
                }
                Is::Duration => patterns.push(format!("{field} = {not}{}us..", dice.below(1000))),
                Is::Bytes => patterns.push(format!("{field} = {not}{}KiB..1GiB", dice.below(1000))),
                Is::Text | Is::Word => {
                    let of = ["\"*a1*\" | \"?o*\"", "\"ffn_*\"", "$glob", "\"MUL_MAT\" | \"Q?_*\"", "\"\""];
                    patterns.push(format!("{field} = {not}{}", dice.of(&of)));
                }
                Is::Truth | Is::Ratio => {}
            }
        }
        patterns.join(", ")
    }

    pub(crate) fn key(&self, point: &Point, dice: &mut Dice) -> String {
        let text = *dice.of(&[Is::Text, Is::Word]);
        match dice.below(11) {
            0 => format!("if({}, \"yes\", \"no\")", self.condition(point, dice, 1)),
            1 => format!("bucket({}, {}us)", self.value(point, dice, Is::Duration, 1), 1 + dice.below(500)),
            2 => format!("({})", self.condition(point, dice, 1)),
            3 => format!("concat({}, \"/\", {})", dice.of(&point.keys), dice.of(&point.keys)),
            4 => match self.field(point, dice, text) {
                Some(text) => format!("match({text}, \"*Q*\", \"q\", \"*_?_*\", \"k\", \"other\")"),
                None => dice.of(&point.keys).clone(),
            },
            5 => match self.field(point, dice, Is::Ratio) {
                Some(ratio) => format!("bucket({ratio}, {})", dice.of(&["0.1", "0.25", "1", "0.000001"])),
                None => format!("bucket({}, {})", self.value(point, dice, Is::Number, 1), 1 + dice.below(500)),
            },
            6 => format!("slow({})", self.value(point, dice, Is::Duration, 0)),
            7 => format!("has({})", dice.of(&point.fields).0),
            _ => dice.of(&point.keys).clone(),
        }
    }

    pub(crate) fn column(&self, point: &Point, dice: &mut Dice) -> String {
        let of = |dice: &mut Dice| match dice.below(5) {
            0 => self.value(point, dice, Is::Duration, 2),
            1 => self.value(point, dice, Is::Number, 2),
            2 => format!("({})", self.condition(point, dice, 1)),
            _ => dice.of(&point.summed).0.clone(),
        };
        // Streamed columns make a script a streamed one: most are not.
        let kinds = if dice.one_in(4) { 26 } else { 14 };
        match dice.below(kinds) {
            0 => "count()".to_owned(),
            1 => format!("sum({}) / count()", of(dice)),
            2 => format!("avg({})", of(dice)),
            3 => format!("min({})", of(dice)),
            4 => format!("max({})", of(dice)),
            5 => format!("hist({}, k={})", self.value(point, dice, Is::Duration, 1), dice.below(9)),
            6 => format!("quantile({}, 0.{})", self.value(point, dice, Is::Duration, 1), 1 + dice.below(98)),
            7 => format!("share({})", of(dice)),
            8 if point.fields.iter().any(|(field, _)| field == "dur") => {
                (*dice.of(&["rate()", "rate(dur)", "1 - share(dur)"])).to_owned()
            }
            9 | 10 => self.even_histogram(point, dice),
            11 => format!("quantile({}, 0.01, 0.5, 1)", of(dice)),
            12 | 13 => {
                format!("sum(if({}, {}, 0))", self.condition(point, dice, 1), self.value(point, dice, Is::Number, 1))
            }
            14 => format!("last({})", of(dice)),
            15 => format!("distinct({})", dice.of(&point.fields).0),
            16 => format!("max(gap({}))", self.value(point, dice, Is::Number, 1)),
            17 => format!("hist(gap({}))", of(dice)),
            18 => format!("last(gap({})) - min(gap({}))", of(dice), of(dice)),
            19 => {
                let number = self.value(point, dice, Is::Number, 1);
                format!("slope({}, {number})", self.value(point, dice, Is::Duration, 1))
            }
            20 => format!("slope(gap({}), {})", of(dice), of(dice)),
            kind if !point.looked_up.is_empty() && kind < 25 => {
                let what = if kind % 2 == 0 { "lru" } else { "pinned" };
                let cache = if dice.one_in(2) { format!(", {}", dice.of(&point.keys)) } else { String::new() };
                format!("{what}({}{cache})", dice.of(&point.looked_up))
            }
            _ => format!("sum({})", of(dice)),
        }
    }

    fn even_histogram(&self, point: &Point, dice: &mut Dice) -> String {
        let (width, buckets) = (1 + dice.below(1 << 20), 1 + dice.below(1000));
        match dice.below(3) {
            0 => format!(
                "lhist({}, {}us..{}us, width={width}us)",
                self.value(point, dice, Is::Duration, 1),
                width * 3,
                width * (3 + buckets)
            ),
            1 => match self.field(point, dice, Is::Ratio) {
                Some(ratio) => format!("lhist({ratio}, 0..1, width={})", dice.of(&["0.1", "0.125", "1"])),
                None => format!("lhist({}, 0..7, width=7)", self.value(point, dice, Is::Number, 1)),
            },
            _ => format!("lhist({}, -{width}..0, width={width})", self.value(point, dice, Is::Number, 1)),
        }
    }

    pub(crate) fn condition(&self, point: &Point, dice: &mut Dice, depth: u32) -> String {
        if depth > 0 && dice.one_in(2) {
            let (a, b) = (self.condition(point, dice, depth - 1), self.condition(point, dice, depth - 1));
            return match dice.below(4) {
                0 => format!("not ({a})"),
                1 => format!("({a}) and ({b})"),
                2 => format!("if({a}, {b}, false)"),
                _ => format!("({a}) or ({b})"),
            };
        }
        let compare = *dice.of(&["<", "<=", ">", ">=", "=", "!="]);
        let (field, is_a) = dice.of(&point.fields);
        match is_a {
            _ if dice.one_in(6) => format!("has({field})"),
            Is::Text | Is::Word => {
                let is = *dice.of(&["=", "!="]);
                let glob = *dice.of(&["\"a*\"", "\"ffn_*\"", "\"M*\"", "\"?\"", "\"*_*\"", "$glob", "\"Qcur-1\""]);
                let kinds = if *is_a == Is::Text { 5 } else { 2 };
                match dice.below(kinds) {
                    0 => format!("match({field}, {glob})"),
                    2 => format!("number_after({field}, \"-\") {compare} {}", dice.below(30)),
                    3 => format!("readable({field})"),
                    _ => format!("{field} {is} {glob}"),
                }
            }
            Is::Truth => field.clone(),
            Is::Ratio => match dice.below(3) {
                0 => format!("bucket({field}, 0.1) {compare} 0.5"),
                1 => format!("first({field}, 1) {compare} 0.125"),
                _ => format!("{field} {compare} 0.{}", dice.below(99)),
            },
            // A quotient of two of a kind is for user space.
            Is::Duration if dice.one_in(20) => format!("{field} / 1us {compare} 2.5"),
            Is::Number if dice.one_in(4) => format!("{field} = 0..{} | 77", dice.below(70)),
            Is::Number if dice.one_in(4) => format!("{field} {compare} absent"),
            is => {
                let (a, b) = (self.value(point, dice, *is, 1), self.value(point, dice, *is, 1));
                format!("{a} {compare} {b}")
            }
        }
    }

    fn field(&self, point: &Point, dice: &mut Dice, is: Is) -> Option<String> {
        let known: Vec<&String> = point.fields.iter().filter(|(_, i)| *i == is).map(|(f, _)| f).collect();
        (!known.is_empty()).then(|| (*dice.of(&known)).clone())
    }

    pub(crate) fn value(&self, point: &Point, dice: &mut Dice, is: Is, depth: u32) -> String {
        if depth > 0 && dice.one_in(2) {
            let (a, b) = (self.value(point, dice, is, depth - 1), self.value(point, dice, is, depth - 1));
            let n = 1 + dice.below(1 << 20);
            return match dice.below(10) {
                0 => format!("({a} + {b})"),
                1 => format!("({a} - {b})"),
                2 => format!("({a} / {n})"),
                3 => format!("({a} % {b})"),
                4 => format!("min({a}, {b})"),
                5 => format!("max({a}, {b})"),
                6 => format!("first({a}, {b})"),
                7 => format!("twice({a})"),
                8 if is == Is::Number => format!("clamp({a})"),
                _ => format!("if({}, {a}, {b})", self.condition(point, dice, depth - 1)),
            };
        }
        if !dice.one_in(4)
            && let Some(field) = self.field(point, dice, is)
        {
            return field;
        }
        let constants: &[&str] = match is {
            Is::Duration => &["$most", "7us", "1h", "0ns", "2 * $most"],
            Is::Bytes => &["1KiB", "3MB", "0B"],
            _ => &["few", "0", "1", "9223372036854775807", "-5", "65537", "0x7f"],
        };
        (*dice.of(constants)).to_owned()
    }

    /// The text of a `print`, with expressions in it.
    pub(crate) fn text(&self, point: &Point, dice: &mut Dice) -> String {
        let mut text = String::from("{{it}} \\u{2192}");
        for _ in 0..dice.below(5) {
            let what = match dice.below(5) {
                0 => dice.of(&point.fields).0.clone(),
                1 => self.value(point, dice, Is::Duration, 2),
                2 => format!("{} / 1us", self.value(point, dice, Is::Duration, 1)),
                _ => self.key(point, dice),
            };
            write!(text, " is {{{}}}", what.replace('"', "\\\"")).unwrap();
        }
        text
    }
}
