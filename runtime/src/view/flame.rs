//! A flame graph as text: a line for each of the widest frames, indented below the one that it lies in, with a bar.

use super::line::{Flow, Line, Style, cut_middle, width};
use super::stacks::{NoStacks, Stacks};
use super::table::heading;
use super::value::{self, Figure};
use crate::record::{Quantity, Table, Value};

/// Most lines of frames: more would be no picture.
const LINES: usize = 32;
/// Of what lies in one frame, the most that is drawn: layers are many, and alike.
const INNER: usize = 6;
/// A frame narrower than one part of so many is not drawn: its bar would say nothing.
const NARROWEST: u64 = 200;
/// Columns between label, numbers and bar.
const GAP: usize = 2;
/// Columns that a frame is further to the right than the one that it lies in.
const STEP: usize = 2;
/// Widest and narrowest bar.
const BAR: std::ops::RangeInclusive<usize> = 5..=24;
/// What a label is not cut below.
const LEAST: usize = 12;
/// Between frames of one line: each holds nothing but the next one.
const INTO: &str = " › ";

/// The picture without the table's title.
pub(super) fn body(table: &Table, limit: usize) -> Vec<Line> {
    let stacks = match Stacks::of(table) {
        Ok(stacks) => stacks,
        Err(no) => return no_picture(no),
    };
    let root = Node::of(&stacks);
    let picked = Picked::new(&root);
    let mut lines = if stacks.all.is_empty() {
        vec![Line::of(Style::Dim, "no events")]
    } else {
        drawn(table, &stacks, &picked.entries, limit)
    };
    lines.extend(remarks(table, &stacks, (picked.frames, root.count()), limit));
    lines
}

fn no_picture(no: NoStacks) -> Vec<Line> {
    vec![Line::of(Style::Warn, no.to_string())]
}

/// A frame with all that lies in it.
#[derive(Default)]
struct Node {
    /// Its name; of frames that hold nothing but the next one, all of them.
    names: Vec<String>,
    total: u64,
    /// What lies in none of its frames.
    own: u64,
    /// The widest first.
    inner: Vec<Node>,
}

impl Node {
    /// The whole; its name is empty if there is more than one outermost frame.
    fn of(stacks: &Stacks<'_>) -> Self {
        let mut root = Self::default();
        for (frames, width) in &stacks.all {
            let mut node = &mut root;
            node.total += width;
            for name in frames {
                // Stacks come in order, so a frame that is known was the last one.
                if node.inner.last().is_none_or(|last| last.names.first() != Some(name)) {
                    node.inner.push(Self { names: vec![name.clone()], ..Self::default() });
                }
                let last = node.inner.len() - 1;
                node = &mut node.inner[last];
                node.total += width;
            }
            node.own += width;
        }
        root.join();
        root
    }

    fn join(&mut self) {
        while self.own == 0 && self.inner.len() == 1 {
            let Some(only) = self.inner.pop() else { return };
            self.names.extend(only.names);
            self.own = only.own;
            self.inner = only.inner;
        }
        self.inner.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.names.cmp(&b.names)));
        self.inner.iter_mut().for_each(Self::join);
    }

    /// How many there are in it, itself included.
    fn count(&self) -> usize {
        1 + self.inner.iter().map(Self::count).sum::<usize>()
    }

    /// The widths of all in it that may be drawn, itself included.
    fn widths(&self, into: &mut Vec<u64>) {
        into.push(self.total);
        self.inner.iter().take(INNER).for_each(|node| node.widths(into));
    }
}

/// A line of the picture.
struct Entry {
    depth: usize,
    label: String,
    style: Style,
    total: u64,
}

/// Frames that are drawn, in order.
struct Picked {
    entries: Vec<Entry>,
    /// How many frames they are.
    frames: usize,
    /// What a frame is drawn from.
    least: u64,
    /// What is too narrow in any case.
    narrowest: u64,
    /// Of those that are just as wide, how many are.
    ties: usize,
}

impl Picked {
    /// The widest frames: whatever a frame lies in is at least as wide, so it comes before it.
    fn new(root: &Node) -> Self {
        let mut widths = Vec::new();
        root.widths(&mut widths);
        widths.sort_unstable_by(|a, b| b.cmp(a));
        widths.truncate(LINES);
        let narrowest = root.total / NARROWEST;
        let least = widths.last().copied().unwrap_or(0).max(narrowest);
        let ties = widths.iter().filter(|width| **width == least).count();
        let mut picked = Self { entries: Vec::new(), frames: 0, least, narrowest, ties };
        picked.put(root, 0);
        picked
    }

    fn frame(&mut self, node: &Node, depth: usize) {
        let label = if node.names.is_empty() { "all".to_owned() } else { node.names.join(INTO) };
        self.entries.push(Entry { depth, label, style: Style::Key, total: node.total });
        self.frames += 1;
    }

    /// Draws a frame if it is wide enough, and then what lies in it; says whether it is.
    fn put(&mut self, node: &Node, depth: usize) -> bool {
        if node.total < self.least || (node.total == self.least && self.ties == 0) {
            return false;
        }
        if node.total == self.least {
            self.ties -= 1;
        }
        self.frame(node, depth);
        let shown = node.inner.iter().take(INNER).take_while(|inner| self.put(inner, depth + 1)).count();
        let rest = &node.inner[shown..];
        let total = rest.iter().map(|node| node.total).sum();
        // What is outermost is told in full.
        if shown == 0 || depth > 0 && total < self.narrowest {
            return true;
        }
        match rest {
            [] => {}
            // It takes no more room than to say that there is one.
            [one] => self.frame(one, depth + 1),
            rest => {
                let label = format!("… {} more", value::grouped(rest.len() as i128));
                self.entries.push(Entry { depth: depth + 1, label, style: Style::Dim, total });
            }
        }
        true
    }
}

fn drawn(table: &Table, stacks: &Stacks<'_>, entries: &[Entry], limit: usize) -> Vec<Line> {
    let figure = |width: u64| value::cell(&Value::Int(width.cast_signed()), stacks.column.quantity);
    let share = |width: u64| value::cell(&Value::Float(width as f64 / stacks.total as f64), Quantity::Share);
    let numbers = Numbers::new(heading(stacks.column), entries.iter().map(|e| figure(e.total)).collect());
    let shares = Numbers::new("share".to_owned(), entries.iter().map(|e| share(e.total)).collect());
    let keys: Vec<String> = table.keys.iter().map(heading).collect();
    let head = keys.join(INTO);
    let mut label = entries.iter().map(|e| e.depth * STEP + width(&e.label)).max().unwrap_or(0).max(width(&head));
    let mut bar = *BAR.end();
    if limit > 0 {
        let room = limit.saturating_sub(numbers.width + shares.width + 2 * GAP);
        // The bar gives way first, and the label what is missing then.
        bar = room.saturating_sub(label + 1).clamp(*BAR.start(), *BAR.end());
        label = label.min(room.saturating_sub(bar + 1).max(LEAST));
    }
    let mut lines = vec![{
        let mut line = Line::of(Style::Head, cut_middle(&head, label));
        numbers.head(&mut line, label + GAP);
        shares.head(&mut line, label + GAP + numbers.width + GAP);
        line
    }];
    for (at, entry) in entries.iter().enumerate() {
        // However deep it lies, there is room for its name.
        let indent = (entry.depth * STEP).min(label.saturating_sub(LEAST));
        let mut line = Line::default();
        line.gap(indent);
        line.push(entry.style, cut_middle(&entry.label, label - indent));
        numbers.put(&mut line, label + GAP, at);
        shares.put(&mut line, label + GAP + numbers.width + GAP, at);
        line.pad_to(label + GAP + numbers.width + GAP + shares.width + 1);
        line.push(Style::Dim, value::bar(entry.total as f64 / stacks.total as f64, bar));
        lines.push(line);
    }
    lines
}

/// A column of numbers, their units apart.
struct Numbers {
    head: String,
    cells: Vec<Figure>,
    unit: usize,
    width: usize,
}

impl Numbers {
    fn new(head: String, cells: Vec<Figure>) -> Self {
        let unit = cells.iter().map(|c| width(c.unit)).max().map_or(0, |wide| if wide > 0 { wide + 1 } else { 0 });
        let number = cells.iter().map(|c| width(&c.number)).max().unwrap_or(0);
        let head = cut_middle(&head, (number + unit).max(LEAST));
        let width = (number + unit).max(width(&head));
        Self { head, cells, unit, width }
    }

    fn head(&self, line: &mut Line, at: usize) {
        line.pad_to(at + self.width - width(&self.head));
        line.push(Style::Head, self.head.as_str());
    }

    fn put(&self, line: &mut Line, at: usize, row: usize) {
        let Some(cell) = self.cells.get(row) else { return };
        line.pad_to((at + self.width).saturating_sub(self.unit + width(&cell.number)));
        line.push(Style::Plain, cell.number.as_str());
        line.gap(1);
        line.push(Style::Dim, cell.unit);
        line.pad_to(at + self.width);
    }
}

/// What the picture does not show.
fn remarks(table: &Table, stacks: &Stacks<'_>, (drawn, frames): (usize, usize), limit: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut say = |style: Style, text: &str| {
        let mut flow = Flow::new(Line::default(), 0, limit);
        flow.words(style, text);
        lines.extend(flow.finish());
    };
    if drawn < frames {
        let [drawn, frames] = [drawn, frames].map(|n| value::grouped(n as i128));
        say(Style::Dim, &format!("{drawn} of {frames} frames; a file has them all: to \"NAME.svg\""));
    }
    if let Some(remark) = stacks.remark() {
        say(Style::Warn, &remark);
    }
    let others: Vec<String> = table.columns.iter().skip(1).map(heading).collect();
    if !others.is_empty() {
        say(Style::Dim, &format!("not shown: {}", others.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Column;

    #[test]
    fn frames_that_hold_one_alone_are_one_line() {
        let column = Column { name: "n".to_owned(), quantity: Quantity::Number, error: None, whole: true };
        let stack = |text: &str| text.split(';').map(str::to_owned).collect::<Vec<_>>();
        let all = vec![(stack("main;a;b"), 3), (stack("main;a;b;c;d"), 2), (stack("main;a;e"), 5)];
        let stacks = Stacks { column: &column, all, total: 10, left_out: 0 };
        let root = Node::of(&stacks);
        let told: Vec<(String, u64, u64)> = root.inner.iter().map(|n| (n.names.join(" "), n.total, n.own)).collect();
        assert_eq!((root.names.join(" ").as_str(), root.total, root.own), ("main a", 10, 0));
        assert_eq!(told, [("b".to_owned(), 5, 3), ("e".to_owned(), 5, 5)]);
        assert_eq!(root.inner[0].inner[0].names, ["c", "d"]);
        assert_eq!(root.count(), 4);
    }
}
