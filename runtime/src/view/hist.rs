//! Histograms: a line per bucket with its bounds, its count and a bar.

use super::line::{Flow, Line, Style, width};
use super::table::{heading, is_histogram, row_keys};
use super::value;
use crate::record::{Bucket, Column, Quantity, Row, Table, Value};

/// Gaps of up to this many empty buckets are drawn.
const DRAWN_GAP: usize = 3;
/// One, where bounds are those of ratios.
const RATIO_ONE: f64 = 4_294_967_296.0;
/// Widest bar, in columns.
const WIDEST: usize = 52;

/// The histograms of all rows, without the table's title; an empty line between two of them.
///
/// `blocks` draws bars of block characters, else of `@`. With `others`, the title of each also says what the row's other
/// columns hold, for views that draw no table above.
pub(super) fn body(table: &Table, limit: usize, blocks: bool, others: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in &table.rows {
        for (at, column) in table.columns.iter().enumerate().filter(|(_, column)| is_histogram(column)) {
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.extend(title(table, row, column, others, limit));
            match row.cells.get(at) {
                Some(Value::Hist(buckets)) if !buckets.is_empty() => {
                    lines.extend(draw(buckets, column.quantity, limit, blocks));
                }
                _ => lines.push(Line::of(Style::Dim, "no values")),
            }
        }
    }
    lines
}

/// The column's name, the row's keys, and its other columns if asked for.
fn title(table: &Table, row: &Row, column: &Column, others: bool, limit: usize) -> Vec<Line> {
    let name = heading(column);
    let indent = width(&name) + 2;
    let mut flow = Flow::new(Line::of(Style::Head, name), if indent * 2 > limit { 2 } else { indent }, limit);
    let mut items = row_keys(table, row);
    if others {
        let plain = table.columns.iter().zip(&row.cells).filter(|(column, _)| !is_histogram(column));
        items.extend(plain.map(|(column, cell)| {
            let mut line = Line::of(Style::Dim, heading(column));
            line.gap(1);
            line.push(Style::Plain, value::cell(cell, column.quantity).to_string());
            line
        }));
    }
    for item in items {
        flow.item(", ", item);
    }
    flow.finish()
}

/// The buckets, and what they add up to.
fn draw(buckets: &[Bucket], quantity: Quantity, limit: usize, blocks: bool) -> Vec<Line> {
    let entries = with_gaps(buckets);
    let labels = Labels::new(&entries, quantity);
    let counts: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Bucket(bucket) if bucket.n > 0 => value::grouped(bucket.n.into()),
            _ => String::new(),
        })
        .collect();
    let count = counts.iter().map(|count| width(count)).max().unwrap_or(0);
    let most = buckets.iter().map(|bucket| bucket.n).max().unwrap_or(0).max(1);
    let room = if limit == 0 { WIDEST } else { limit.saturating_sub(labels.width + count + 6).clamp(8, WIDEST) };
    let mut lines = Vec::new();
    for (entry, count_text) in entries.iter().zip(&counts) {
        let mut line = Line::default();
        line.gap(2);
        match entry {
            Entry::Gap => line.push(Style::Dim, format!("{:>1$}", '⋮', labels.width / 2 + 1)),
            Entry::Bucket(bucket) => {
                line.push(Style::Plain, labels.of(bucket));
                line.pad_to(2 + labels.width + 2 + count - width(count_text));
                line.push(Style::Plain, count_text.as_str());
                line.pad_to(2 + labels.width + 2 + count + 1);
                let fraction = bucket.n as f64 / most as f64;
                if blocks {
                    line.push(Style::Key, value::bar(fraction, room));
                } else {
                    // At least one, so that a count is never drawn as none.
                    let signs = (fraction * (room - 2) as f64).round() as usize;
                    let signs = signs.max(usize::from(bucket.n > 0));
                    line.push(Style::Plain, format!("|{:<1$}|", "@".repeat(signs), room - 2));
                }
            }
        }
        lines.push(line);
    }
    lines.push(sums(buckets, quantity));
    lines
}

/// How many values there are, and between which bounds their mean lies.
fn sums(buckets: &[Bucket], quantity: Quantity) -> Line {
    let n: i128 = buckets.iter().map(|bucket| i128::from(bucket.n)).sum();
    let mut text = format!("total {}", value::grouped(n));
    let bounded = buckets.iter().all(|bucket| bucket.lo != i64::MIN && bucket.hi != i64::MAX);
    if bounded && n > 0 {
        let mean = |bound: fn(&Bucket) -> i64| {
            buckets.iter().map(|bucket| bound(bucket) as f64 * bucket.n as f64).sum::<f64>() / n as f64
        };
        let [low, high] = [mean(|bucket| bucket.lo), mean(|bucket| bucket.hi.saturating_sub(1))]
            .map(|mean| if quantity == Quantity::HistRatio { mean / RATIO_ONE } else { mean })
            .map(|mean| value::cell(&Value::Float(mean), plain(quantity)).to_string());
        text += &if low == high { format!(", mean {low}") } else { format!(", mean from {low} to {high}") };
    }
    let mut line = Line::default();
    line.gap(2);
    line.push(Style::Dim, text);
    line
}

/// What the values of a histogram are.
fn plain(quantity: Quantity) -> Quantity {
    match quantity {
        Quantity::HistDuration => Quantity::Duration,
        Quantity::HistBytes => Quantity::Bytes,
        _ => Quantity::Number,
    }
}

/// What a line stands for.
enum Entry {
    Bucket(Bucket),
    /// More empty buckets than are drawn, or an unknown number of them.
    Gap,
}

/// The buckets with what lies between them.
fn with_gaps(buckets: &[Bucket]) -> Vec<Entry> {
    let scheme = Scheme::of(buckets);
    let mut entries: Vec<Entry> = Vec::new();
    let mut end: Option<i64> = None;
    for bucket in buckets {
        if let Some(end) = end.filter(|end| *end < bucket.lo) {
            match scheme.empty(end, bucket.lo) {
                Some(between) => entries.extend(between.into_iter().map(Entry::Bucket)),
                None => entries.push(Entry::Gap),
            }
        }
        entries.push(Entry::Bucket(*bucket));
        end = Some(bucket.hi);
    }
    entries
}

/// How the range of values was cut into buckets, as far as the buckets that are there tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// Powers of two, each cut in 2ᵏ.
    Powers(u32),
    /// All of one width.
    Even(i64),
    /// Neither.
    Unknown,
}

impl Scheme {
    fn of(buckets: &[Bucket]) -> Self {
        let bounded = || buckets.iter().filter(|bucket| bucket.lo != i64::MIN && bucket.hi != i64::MAX);
        let fits = |scheme: Self| bounded().all(|bucket| scheme.end(bucket.lo) == Some(bucket.hi));
        // Small buckets are one wide whatever k is, so the finest cut that is seen is k.
        let k = bounded()
            .filter(|bucket| bucket.lo > 0 && bucket.hi > bucket.lo)
            .map(|bucket| bucket.lo.ilog2().saturating_sub((bucket.hi - bucket.lo).ilog2()))
            .max();
        let powers = Self::Powers(k.unwrap_or(0));
        let even = bounded().next().map(|bucket| Self::Even(bucket.hi.saturating_sub(bucket.lo)));
        [Some(powers), even].into_iter().flatten().find(|scheme| fits(*scheme)).unwrap_or(Self::Unknown)
    }

    /// Where the bucket that begins at `lo` ends.
    fn end(self, lo: i64) -> Option<i64> {
        match self {
            Self::Powers(_) if lo == 0 => Some(1),
            Self::Powers(k) if lo > 0 => lo.checked_add(1 << lo.ilog2().saturating_sub(k)),
            Self::Even(width) if width > 0 => lo.checked_add(width),
            _ => None,
        }
    }

    /// The empty buckets from `end` to `lo`, if they are few and meet it.
    fn empty(self, end: i64, lo: i64) -> Option<Vec<Bucket>> {
        let mut buckets = Vec::new();
        let mut at = end;
        while at < lo {
            let hi = self.end(at)?;
            if buckets.len() == DRAWN_GAP || hi > lo {
                return None;
            }
            buckets.push(Bucket { lo: at, hi, n: 0 });
            at = hi;
        }
        Some(buckets)
    }
}

/// The bounds as text, all with as many digits as tell each bucket's apart.
struct Labels {
    quantity: Quantity,
    digits: usize,
    low: usize,
    high: usize,
    width: usize,
}

impl Labels {
    fn new(entries: &[Entry], quantity: Quantity) -> Self {
        let buckets: Vec<&Bucket> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Bucket(bucket) => Some(bucket),
                Entry::Gap => None,
            })
            .collect();
        let apart = |digits: &usize| {
            let text = |n| value::bound(n, quantity, *digits);
            buckets.iter().all(|bucket| text(bucket.lo) != text(bucket.hi))
        };
        let digits = (3..=15).find(apart).unwrap_or(15);
        let mut labels = Self { quantity, digits, low: 0, high: 0, width: 0 };
        for bucket in &buckets {
            if name(bucket, &labels).is_some() {
                continue;
            }
            labels.low = labels.low.max(width(&labels.bound(bucket.lo)));
            labels.high = labels.high.max(width(&labels.bound(bucket.hi)));
        }
        labels.width = buckets.iter().map(|bucket| width(&labels.of(bucket))).max().unwrap_or(0);
        labels
    }

    fn bound(&self, n: i64) -> String {
        value::bound(n, self.quantity, self.digits).to_string()
    }

    fn of(&self, bucket: &Bucket) -> String {
        name(bucket, self).unwrap_or_else(|| {
            let [lo, hi] = [bucket.lo, bucket.hi].map(|n| self.bound(n));
            // `{:>1$}` counts characters, and `µ` is one.
            format!("[{lo:>0$}, {hi:>1$})", self.low, self.high)
        })
    }
}

/// The name of a bucket that is not an interval of two bounds.
fn name(bucket: &Bucket, labels: &Labels) -> Option<String> {
    match (bucket.lo, bucket.hi) {
        (i64::MIN, 0) => Some("negative".to_owned()),
        (i64::MIN, hi) => Some(format!("below {}", labels.bound(hi))),
        (lo, i64::MAX) => Some(format!("{} and more", labels.bound(lo))),
        (0, 1) => Some("zero".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(bounds: &[(i64, i64)]) -> Vec<Bucket> {
        bounds.iter().map(|&(lo, hi)| Bucket { lo, hi, n: 1 }).collect()
    }

    #[test]
    fn the_cut_is_read_off_the_buckets() {
        let scheme = |bounds: &[(i64, i64)]| Scheme::of(&buckets(bounds));
        assert_eq!(scheme(&[(0, 1), (1024, 2048)]), Scheme::Powers(0));
        assert_eq!(scheme(&[(3, 4), (1024, 1056)]), Scheme::Powers(5));
        assert_eq!(scheme(&[(i64::MIN, 0), (4, 6), (1 << 62, i64::MAX)]), Scheme::Powers(1));
        assert_eq!(scheme(&[(0, 10), (30, 40)]), Scheme::Even(10));
        assert_eq!(scheme(&[(4, 8), (8, 12)]), Scheme::Even(4));
        assert_eq!(scheme(&[(0, 10), (30, 50)]), Scheme::Unknown);
        assert_eq!(scheme(&[(-20, -10), (0, 10)]), Scheme::Even(10));
    }

    #[test]
    fn few_empty_buckets_are_drawn_and_many_are_not() {
        let gaps = |bounds: &[(i64, i64)]| -> String {
            let mark = |entry: &Entry| match entry {
                Entry::Bucket(bucket) if bucket.n > 0 => '#',
                Entry::Bucket(_) => '.',
                Entry::Gap => ':',
            };
            with_gaps(&buckets(bounds)).iter().map(mark).collect()
        };
        assert_eq!(gaps(&[(1, 2), (16, 32)]), "#...#");
        assert_eq!(gaps(&[(1, 2), (32, 64)]), "#:#");
        assert_eq!(gaps(&[(i64::MIN, 0), (1, 2)]), "#.#", "zero is empty");
        assert_eq!(gaps(&[(0, 10), (30, 50)]), "#:#", "nobody knows how many");
        assert_eq!(gaps(&[(i64::MIN, 5), (10, 15), (20, i64::MAX)]), "#.#.#");
        assert_eq!(gaps(&[(1, 2), (1 << 62, i64::MAX)]), "#:#");
    }
}
