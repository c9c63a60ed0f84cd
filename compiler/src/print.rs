//! The Plan as stable text: for `profinfer plan`, and for tests that need no kernel.

use std::fmt::Write;

use crate::display::{Carried, Gathered, Kernel, User, definitions, duration};
use crate::plan::{
    Action, Capture, CaptureValue, ColumnExpr, Each, Expr, FIXED_ONE, Gate, KeyField, KeySource, Plan, PrintPart,
    Slice, Slot, SlotHow, SortBy, Table, UserExpr, View,
};
use crate::typed::PointId;
use crate::types::{Mem, Type};

/// Columns that [`plan`] breaks lines at.
const WIDTH: usize = 80;

/// Where the text behind the word of a line begins.
const INDENT: usize = 13;

/// Bytes of a histogram that lies in the row: one bucket per power of two, one for zero, one for all below.
const INLINE_HIST: u32 = 65 * 8;

/// `plan` as text: its points, outermost first, its tables, and what is done when. The same plan gives the same text.
pub fn plan(plan: &Plan) -> String {
    plan_within(plan, WIDTH)
}

/// As [`plan()`], with lines broken between words where they are wider than `width` columns.
pub fn plan_within(plan: &Plan, width: usize) -> String {
    let mut out = Out { text: String::new(), width };
    out.head(&format!("engine {}", plan.engine));
    for point in plan.outermost_first().into_iter().filter(|p| plan.points[*p].used) {
        out.text.push('\n');
        print_point(&mut out, plan, point);
    }
    for (i, table) in plan.tables.iter().enumerate() {
        out.text.push('\n');
        print_table(&mut out, plan, i, table);
    }
    if !(plan.begin.is_empty() && plan.timers.is_empty() && plan.end.is_empty()) {
        out.text.push('\n');
    }
    out.actions("begin", plan, &plan.begin);
    for timer in &plan.timers {
        let word = if timer.repeats { "every" } else { "after" };
        let period = i64::try_from(timer.period_ns).unwrap_or(i64::MAX);
        out.actions(&format!("{word} {}", duration(period)), plan, &timer.actions);
    }
    out.actions("end", plan, &plan.end);
    out.text
}

/// Lines of text under heads.
struct Out {
    text: String,
    /// Columns that lines are broken at.
    width: usize,
}

impl Out {
    fn head(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A line `  word    text`, broken between words where it is too long.
    fn line(&mut self, word: &str, text: &str) {
        let mut line = format!("  {word:<width$}", width = INDENT - 2);
        for (i, part) in text.split(' ').enumerate() {
            let is_first = i == 0;
            if !is_first && line.chars().count() + 1 + part.chars().count() > self.width {
                self.head(line.trim_end());
                line = " ".repeat(INDENT + 2);
            } else if !is_first {
                line.push(' ');
            }
            line.push_str(part);
        }
        self.head(line.trim_end());
    }

    /// One line each, the word on the first only.
    fn lines(&mut self, word: &str, texts: impl Iterator<Item = String>) {
        for (i, text) in texts.enumerate() {
            self.line(if i == 0 { word } else { "" }, &text);
        }
    }

    fn actions(&mut self, when: &str, plan: &Plan, actions: &[Action]) {
        if actions.is_empty() {
            return;
        }
        self.head(when);
        self.action_lines(plan, actions);
    }

    fn action_lines(&mut self, plan: &Plan, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Show(show) => {
                    let table = &plan.tables[show.table];
                    let view = match show.view {
                        View::Table => "table",
                        View::Hist => "hist",
                        View::Heatmap => "heatmap",
                        View::Flame => "flame",
                        View::Text => "text",
                        View::Json => "json",
                        View::Csv => "csv",
                    };
                    let mut text = format!("{} as {view}", table.name);
                    if let Some(rows) = show.top {
                        let _ = write!(text, " top {rows}");
                    }
                    if let Some((by, descending)) = show.sort {
                        let name = match by {
                            SortBy::Key(i) => table.keys[i].name.as_str(),
                            SortBy::Column(i) => {
                                let columns = plan.groups(show.table).flat_map(|g| &plan.tables[g].columns);
                                columns.map(|c| c.name.as_str()).nth(i).unwrap_or_default()
                            }
                        };
                        let _ = write!(text, " sort {name} {}", if descending { "desc" } else { "asc" });
                    }
                    if let Some(path) = &show.to {
                        let _ = write!(text, " to {path:?}");
                    }
                    self.line("show", &text);
                }
                Action::Clear(table) => self.line("clear", &plan.tables[*table].name),
                Action::Exit => self.line("exit", ""),
            }
        }
    }
}

fn print_point(out: &mut Out, plan: &Plan, id: PointId) {
    let p = &plan.points[id];
    let kernel = |expr: &Expr| Kernel { plan, point: id, expr }.to_string();
    let optional = if p.wanted && p.optional { ", carry on without it" } else { "" };
    let for_others = if p.wanted { "" } else { ", needed by the others" };
    out.head(&format!("point {}: {}{optional}{for_others}", p.name, p.template.word()));
    out.lines(
        "start",
        p.starts.iter().map(|s| {
            // Every call has `arg0` to `arg5`: what the script names is worth saying.
            let args = s.args.iter().filter(|a| p.called.is_none() || a.name != format!("arg{}", a.position));
            let args: Vec<String> = args.map(|a| format!("{}: {}", a.name, arg_word(&a.ty, a.mem))).collect();
            format!("{} ({}){}", s.symbols.join(" or "), args.join(", "), if s.optional { " ?" } else { "" })
        }),
    );
    out.lines(
        "stop",
        p.stops
            .iter()
            .map(|s| format!("{}{}{}", s.at.of(), s.symbols.join(" or "), if s.optional { " ?" } else { "" })),
    );
    if !p.counters.is_empty() {
        let counters: Vec<String> = p.counters.iter().map(ToString::to_string).collect();
        out.line("counters", &counters.join(", "));
    }
    if let Some(mark) = &p.mark {
        let optional = if mark.site.optional { " ?" } else { "" };
        out.line("mark", &format!("{}{optional}, for `{}`", mark.site.symbols.join(" or "), mark.field));
    }
    if !p.state_by.is_empty() {
        out.line("state by", &p.state_by.iter().map(kernel).collect::<Vec<_>>().join(", "));
    }
    if p.aside {
        out.line(
            "put aside",
            &format!("up to {} events, read at the stop or when there are as many", crate::aside::EVENTS),
        );
    }
    if let Some(only) = &p.only {
        out.line("only", &kernel(only));
    }
    if let Some(only) = &p.only_return {
        out.line("only if", &format!("{} at its end", kernel(only)));
    }
    if let Some(size) = &p.team {
        out.line("team", &format!("{} threads, each with an event of its own", kernel(size)));
    }
    let name = |p: PointId| &plan.points[p].name;
    let gate = match p.gate {
        Gate::Run => "from the moment everything is attached".to_owned(),
        Gate::Inside(outer) => format!("inside of a {} that counts", name(outer)),
        Gate::Step(step) => format!("inside of a {} that counts, or outside of any", name(step)),
    };
    out.line("counts", &if p.step { format!("{gate}, whole ones only") } else { gate });
    let mut at = 0;
    out.lines(
        "read",
        p.captures.iter().map(|c| {
            let line = format!("{at:>4} {:>3}B  {}", c.bytes(), capture(plan, id, c));
            at += c.bytes();
            line
        }),
    );
    out.lines("gather", p.accums.iter().map(|a| Gathered(plan, a).to_string()));
    out.lines("carry", p.series.iter().map(|s| Carried(plan, id, s).to_string()));
    out.lines("check", p.checks.iter().map(|c| format!("{}: {}", c.message, without_outer_parens(&c.text))));
}

/// What is read: by the name it has in expressions, and how, where that is more than a number.
fn capture(plan: &Plan, point: PointId, c: &Capture) -> String {
    let value = match &c.value {
        CaptureValue::Number(expr) => Kernel { plan, point, expr }.to_string(),
        CaptureValue::Text(sources, _) => {
            let kernel = |(base, place)| format!("{}{place}", Kernel { plan, point, expr: base });
            let all: Vec<String> = sources.iter().map(|(b, p)| kernel((b, p))).collect();
            all.join(", else ")
        }
        CaptureValue::Comm => "comm".to_owned(),
        CaptureValue::ArgText(name, _) => name.clone(),
    };
    defined(&c.text, &c.ty, &value)
}

/// `name: type = value`, without the value where that says no more than the name.
fn defined(name: &str, ty: &Type, value: &str) -> String {
    if without_outer_parens(name) == value {
        format!("{value}: {}", word(ty))
    } else {
        format!("{name}: {} = {value}", word(ty))
    }
}

/// What is printed of an event, as the script writes it.
fn text_of(parts: &[PrintPart], t: &Table) -> String {
    let part = |p: &PrintPart| match p {
        PrintPart::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        PrintPart::Key(i) => format!("{{{}}}", t.keys[*i].name),
    };
    format!("{:?}", parts.iter().map(part).collect::<String>())
}

fn print_slice(out: &mut Out, plan: &Plan, t: &Table, slice: &Slice) {
    let key = |i: &usize| t.keys[*i].name.clone();
    out.line("label", &text_of(&slice.label, t));
    let track = if slice.track.is_empty() { "the thread's".to_owned() } else { text_of(&slice.track, t) };
    out.line("track", &track);
    if !slice.parts.is_empty() {
        out.line("split", &slice.parts.iter().map(key).collect::<Vec<_>>().join(", "));
    }
    out.lines("details", slice.details.iter().map(key));
    out.lines("flow", slice.within.iter().map(|(outer, _)| format!("from that of {}", plan.points[*outer].name)));
}

fn print_table(out: &mut Out, plan: &Plan, index: usize, t: &Table) {
    let kernel = |expr: &Expr| Kernel { plan, point: t.point, expr }.to_string();
    let user = |expr: &UserExpr| User { fields: &t.key, expr }.to_string();
    let what = match &t.each {
        None => "table",
        Some(Each::Print(_)) => "print",
        Some(Each::Slice(_)) => "slice",
        Some(Each::Gauge(_)) => "gauge",
        Some(Each::Node(_)) => "node",
        Some(Each::Act(_)) => "at each",
        Some(Each::Record) => "record",
    };
    out.head(&format!("{what} {}: {}", t.name, plan.points[t.point].name));
    if t.adds_to == index && t.shown_with != index {
        out.line("beside", &format!("the columns of the first `{}`", plan.tables[t.shown_with].name));
    } else if t.shown_with != index {
        out.line("adds to", &format!("the rows of the first `{}`", plan.tables[t.shown_with].name));
    }
    out.lines("at start", t.open.iter().map(kernel));
    out.lines("at end", t.close.iter().map(kernel));
    if let Some(condition) = &t.user {
        out.line("user space", &user(condition));
    }
    let mut at = 0;
    out.lines(
        "key",
        t.key.iter().map(|k| {
            let line = format!("{at:>4} {:>3}B  {}", k.bytes(), key_field(plan, t.point, k));
            at += k.bytes();
            line
        }),
    );
    let mut at = 0;
    out.lines(
        "value",
        t.slots.iter().enumerate().map(|(i, s)| {
            let place = match slot_bytes(s).filter(|_| !t.streamed) {
                _ if t.streamed => "user space".to_owned(),
                Some(bytes) => {
                    at += bytes;
                    format!("{:>4} {bytes:>3}B", at - bytes)
                }
                None => "in a map ".to_owned(),
            };
            format!("{place}  v{i} = {}", slot(s, &kernel, &user))
        }),
    );
    out.lines(
        "keys",
        t.keys.iter().map(|k| {
            let own = match &k.value {
                UserExpr::Named(name, _) => *name == k.name,
                _ => false,
            };
            if own { format!("{}: {}", k.name, word(&k.ty)) } else { defined(&k.name, &k.ty, &user(&k.value)) }
        }),
    );
    let mut found = Vec::new();
    let derived = t.slots.iter().flat_map(|s| s.derived.iter().chain(&s.against_derived));
    t.user.iter().chain(t.keys.iter().map(|k| &k.value)).chain(derived).for_each(|e| definitions(e, &mut found));
    out.lines("where", found.into_iter().map(|(name, e)| format!("{name} = {}", user(e))));
    out.lines(
        "columns",
        t.columns.iter().map(|c| {
            let finished = if matches!(c.value, ColumnExpr::Slot(..)) { "" } else { "  (in user space)" };
            format!("{}: {} = {}{finished}", c.name, word(&c.ty), c.value)
        }),
    );
    match &t.each {
        None => {}
        Some(Each::Print(parts)) => out.line("text", &text_of(parts, t)),
        Some(Each::Slice(slice)) => print_slice(out, plan, t, slice),
        Some(Each::Gauge(gauge)) => {
            out.line("label", &text_of(&gauge.label, t));
            out.line("value", &t.keys[gauge.value].name);
            if !gauge.track.is_empty() {
                out.line("track", &text_of(&gauge.track, t));
            }
        }
        Some(Each::Node(node)) => {
            out.line("label", &text_of(&node.label, t));
            let own = |what: &str, key: Option<usize>| key.map(|i| format!("{what}: {}", t.keys[i].name));
            let said = [own("group", node.group), own("colour", node.colour), own("graph", node.graph)];
            out.lines("drawn by", said.into_iter().flatten());
        }
        Some(Each::Act(actions)) => out.action_lines(plan, actions),
        Some(Each::Record) => {}
    }
    if t.each.is_some() {
        return out.line("sent", "every event, one by one");
    }
    let cleared = if t.cleared && !t.streamed { ", in two maps to be swapped" } else { "" };
    if t.streamed {
        out.line("sent", "every event, one by one; rows are kept in user space");
    }
    out.line("limit", &format!("{} rows{cleared}", t.limit));
}

fn key_field(plan: &Plan, point: PointId, k: &KeyField) -> String {
    match &k.source {
        KeySource::Number(expr) => defined(&k.text, &k.ty, &Kernel { plan, point, expr }.to_string()),
        KeySource::Text(of, _, _) if *of != point => format!("{}: text of {}", k.text, plan.points[*of].name),
        KeySource::Text(..) => format!("{}: text", k.text),
    }
}

fn slot(s: &Slot, kernel: &dyn Fn(&Expr) -> String, user: &dyn Fn(&UserExpr) -> String) -> String {
    let value = |of: &Option<Expr>, derived: &Option<UserExpr>| match derived {
        Some(derived) => user(derived),
        None => of.as_ref().map_or_else(String::new, kernel),
    };
    let mut of = value(&s.of, &s.derived);
    if s.gap {
        of = format!("the gap of {of}");
    }
    let skipped = if s.nullable { ", skipped where absent" } else { "" };
    let for_each = || match value(&s.against, &s.against_derived) {
        cache if cache.is_empty() => cache,
        cache => format!(", for each {cache}"),
    };
    match s.how {
        SlotHow::Count => "number of events".to_owned(),
        SlotHow::Present => format!("number of events with {of}"),
        SlotHow::Sum => format!("sum of {of}{skipped}"),
        SlotHow::Min => format!("smallest {of}{skipped}"),
        SlotHow::Max => format!("largest {of}{skipped}"),
        SlotHow::Last => format!("last {of}{skipped}"),
        SlotHow::Distinct => format!("the different {of}"),
        SlotHow::Lru => format!("depths of {of} in a stack of least recent use{}", for_each()),
        SlotHow::Pinned => format!("frequencies of {of}{}", for_each()),
        SlotHow::Slope => format!("line through {of} over {}", value(&s.against, &s.against_derived)),
        SlotHow::Hist(0) => format!("histogram of {of}, 1 bucket per power of two{skipped}"),
        SlotHow::Hist(k) => format!("histogram of {of}, {} buckets per power of two{skipped}", 1u32 << k),
        SlotHow::Linear(l) => {
            let bound = |n: i64| if s.fixed { (n as f64 / FIXED_ONE as f64).to_string() } else { n.to_string() };
            format!("histogram of {of}, {} even buckets from {} to {}{skipped}", l.buckets, bound(l.lo), bound(l.hi))
        }
    }
}

/// Bytes of a part of the value; none if it has a map of its own.
fn slot_bytes(s: &Slot) -> Option<u32> {
    match s.how {
        // The kernel only counts.
        _ if s.derived.is_some() => Some(8),
        SlotHow::Linear(linear) => Some(8 * linear.all()),
        SlotHow::Hist(0) => Some(INLINE_HIST),
        SlotHow::Hist(_) => None,
        _ => Some(8),
    }
}

fn without_outer_parens(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    let closes_early = inner.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    if closes_early { text } else { inner }
}

/// An argument's type as the engine description writes it.
fn arg_word(ty: &Type, mem: Mem) -> String {
    match ty {
        Type::Int => format!("{}{}", if mem.signed { 'i' } else { 'u' }, u32::from(mem.size) * 8),
        ty => word(ty),
    }
}

/// A type in one word.
fn word(ty: &Type) -> String {
    match ty {
        Type::Int => "int".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Ratio => "ratio".to_owned(),
        Type::PerSecond => "1/s".to_owned(),
        Type::BytesPerSecond => "bytes/s".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Str(_) => "text".to_owned(),
        Type::Enum(name) => name.clone(),
        Type::Ptr(name) => format!("ptr({name})"),
        Type::NumPtr(mem) => format!("ptr({})", arg_word(&Type::Int, *mem)),
        Type::PtrPtr => "ptr(ptr)".to_owned(),
        Type::Address => "ptr".to_owned(),
        Type::Stack => "stack".to_owned(),
        Type::Array(of, _, n) => format!("{}[{n}]", word(of)),
        Type::Absent => "absent".to_owned(),
    }
}
