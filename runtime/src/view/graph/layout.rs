//! Where boxes stand: in ranks, each below all that it is computed of; within a rank so that lines cross little and run
//! straight.

use super::shape::{Shape, What};

/// Between boxes of a rank.
const GAP: f64 = 22.0;
/// Between ranks.
const RANK_GAP: f64 = 24.0;
/// Around the boxes of a cluster, and for its title.
const PAD: f64 = 12.0;
const TITLE: f64 = 22.0;
/// Between lines that go back to the top of a cluster.
const LANE: f64 = 9.0;
/// How often the order of ranks, and places in them, are gone over.
const SWEEPS: usize = 24;

/// A rectangle: its left upper corner and its extents.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

/// Where everything stands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) boxes: Vec<Rect>,
    pub(super) clusters: Vec<Rect>,
    /// The points that each edge passes.
    pub(super) paths: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A box or a bend of a long edge.
struct Item {
    rank: usize,
    w: f64,
    h: f64,
    x: f64,
    cluster: Option<usize>,
    up: Vec<usize>,
    down: Vec<usize>,
    is_bend: bool,
}

/// Lays a shape out; `size` says how large a box is, `titles` how wide those of clusters are.
pub(super) fn layout(shape: &Shape, size: &dyn Fn(usize) -> (f64, f64), titles: &[f64]) -> Layout {
    let ranks = ranks(shape);
    let mut items: Vec<Item> = (0..shape.boxes.len())
        .map(|i| {
            let (w, h) = size(i);
            let cluster = shape.boxes[i].cluster;
            Item { rank: ranks[i], w, h, x: 0.0, cluster, up: Vec::new(), down: Vec::new(), is_bend: false }
        })
        .collect();
    let chains = chains(shape, &mut items);
    let mut rows = rows(&items);
    order(&items, &mut rows);
    place(&mut items, &rows);
    drawn(shape, (&items, &rows), &chains, titles)
}

/// The rank of each box: one more than the highest of what it is computed of. Clusters stand below each other.
fn ranks(shape: &Shape) -> Vec<usize> {
    let (boxes, clusters) = (shape.boxes.len(), shape.clusters.len());
    // Between two clusters there is something that is below all of one and above all of the next.
    let mut edges: Vec<(usize, usize)> = shape.edges.iter().filter(|e| !e.again).map(|e| (e.from, e.to)).collect();
    let cluster = |i: usize| shape.boxes.get(i).and_then(|b| b.cluster);
    let backwards = |c: usize| {
        edges.iter().any(|(a, b)| matches!((cluster(*a), cluster(*b)), (Some(x), Some(y)) if x >= c && y < c))
    };
    let apart: Vec<usize> = (1..clusters).filter(|c| !backwards(*c)).collect();
    for c in apart {
        // A leaf stands right above who reads it.
        for (i, b) in shape.boxes.iter().enumerate().filter(|(_, b)| b.what != What::Leaf) {
            match b.cluster {
                Some(own) if own + 1 == c => edges.push((i, boxes + c)),
                Some(own) if own == c => edges.push((boxes + c, i)),
                _ => {}
            }
        }
    }
    let count = boxes + clusters;
    let (mut after, mut before) = (vec![Vec::new(); count], vec![0usize; count]);
    for (from, to) in &edges {
        after[*from].push(*to);
        before[*to] += 1;
    }
    let no_source: Vec<bool> = before.iter().map(|n| *n == 0).collect();
    let mut ready: Vec<usize> = (0..count).filter(|i| no_source[*i]).collect();
    let mut rank = vec![0usize; count];
    let mut done = Vec::with_capacity(count);
    while let Some(at) = ready.pop() {
        done.push(at);
        for next in &after[at] {
            rank[*next] = rank[*next].max(rank[at] + 1);
            before[*next] -= 1;
            if before[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    // What is computed of nothing stands right above who reads it first.
    for at in done.iter().rev().copied().filter(|at| no_source[*at] && *at < boxes) {
        if let Some(first) = after[at].iter().filter(|n| **n < boxes).map(|n| rank[*n]).min()
            && (shape.boxes[at].what == What::Leaf || first > 0)
        {
            rank[at] = first.saturating_sub(1).max(rank[at]);
        }
    }
    rank.truncate(boxes);
    // Ranks without a box have no height.
    let mut used = rank.clone();
    used.sort_unstable();
    used.dedup();
    rank.iter().map(|r| used.binary_search(r).unwrap_or(0)).collect()
}

/// Puts bends into edges over several ranks; what each edge passes, nothing of those that go back.
fn chains(shape: &Shape, items: &mut Vec<Item>) -> Vec<Vec<usize>> {
    let mut chains = Vec::with_capacity(shape.edges.len());
    for edge in &shape.edges {
        if edge.again || items[edge.from].rank >= items[edge.to].rank {
            chains.push(Vec::new());
            continue;
        }
        let mut chain = vec![edge.from];
        for rank in items[edge.from].rank + 1..items[edge.to].rank {
            let (from, to) = (items[edge.from].cluster, items[edge.to].cluster);
            let cluster = if from == to { from } else { None };
            items.push(Item { rank, w: 6.0, h: 0.0, x: 0.0, cluster, up: Vec::new(), down: Vec::new(), is_bend: true });
            chain.push(items.len() - 1);
        }
        chain.push(edge.to);
        for pair in chain.windows(2) {
            items[pair[0]].down.push(pair[1]);
            items[pair[1]].up.push(pair[0]);
        }
        chains.push(chain);
    }
    chains
}

/// The items of each rank, in the order of their numbers.
fn rows(items: &[Item]) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); items.iter().map(|i| i.rank + 1).max().unwrap_or(0)];
    items.iter().enumerate().for_each(|(i, item)| rows[item.rank].push(i));
    rows
}

/// Orders ranks by the middle of what their items are connected to, up and down in turn; the best order is kept.
fn order(items: &[Item], rows: &mut Vec<Vec<usize>>) {
    let mut at = vec![0usize; items.len()];
    let number = |rows: &[Vec<usize>], at: &mut Vec<usize>| {
        rows.iter().for_each(|row| row.iter().enumerate().for_each(|(i, item)| at[*item] = i));
    };
    number(rows, &mut at);
    let mut best = (crossings(items, rows, &at), rows.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let all: Vec<usize> =
            if down { (1..rows.len()).collect() } else { (0..rows.len().saturating_sub(1)).rev().collect() };
        for r in all {
            let middle = |item: usize| {
                let others = if down { &items[item].up } else { &items[item].down };
                match others.len() {
                    0 => at[item] as f64,
                    n => others.iter().map(|o| at[*o] as f64).sum::<f64>() / n as f64,
                }
            };
            let mut row: Vec<(f64, usize)> = rows[r].iter().map(|item| (middle(*item), *item)).collect();
            row.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[r] = row.into_iter().map(|(_, item)| item).collect();
            rows[r].iter().enumerate().for_each(|(i, item)| at[*item] = i);
        }
        let now = crossings(items, rows, &at);
        if now < best.0 {
            best = (now, rows.clone());
        }
        if best.0 == 0 {
            break;
        }
    }
    *rows = best.1;
}

/// How many pairs of lines cross.
fn crossings(items: &[Item], rows: &[Vec<usize>], at: &[usize]) -> usize {
    let mut all = 0;
    for row in rows {
        let mut ends: Vec<usize> = Vec::new();
        for item in row {
            let mut below: Vec<usize> = items[*item].down.iter().map(|d| at[*d]).collect();
            below.sort_unstable();
            for end in below {
                all += ends.len() - ends.partition_point(|e| *e <= end);
                let place = ends.partition_point(|e| *e <= end);
                ends.insert(place, end);
            }
        }
    }
    all
}

/// Finds places in ranks: as near as order and widths allow to the middle of what an item is connected to.
fn place(items: &mut [Item], rows: &[Vec<usize>]) {
    for row in rows {
        let mut x = 0.0;
        for item in row {
            x += items[*item].w / 2.0;
            items[*item].x = x;
            x += items[*item].w / 2.0 + GAP;
        }
        let middle = (x - GAP) / 2.0;
        row.iter().for_each(|item| items[*item].x -= middle);
    }
    for sweep in 0..3 * SWEEPS {
        let turn: Vec<usize> = if sweep % 2 == 0 { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for r in turn {
            let wanted: Vec<(f64, f64)> = rows[r].iter().map(|item| wanted(items, *item, sweep)).collect();
            let widths: Vec<f64> = rows[r].iter().map(|item| items[*item].w).collect();
            for (item, x) in rows[r].iter().zip(fitted(&wanted, &widths)) {
                items[*item].x = x;
            }
        }
    }
}

/// Where an item wants to be, and how much.
fn wanted(items: &[Item], item: usize, sweep: usize) -> (f64, f64) {
    let this = &items[item];
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut add = |others: &[usize], factor: f64| {
        for other in others {
            // Long lines are to be straight.
            let w = factor
                * match (this.is_bend, items[*other].is_bend) {
                    (true, true) => 10.0,
                    (true, false) | (false, true) => 2.0,
                    (false, false) => 1.0,
                };
            sum += w * items[*other].x;
            weight += w;
        }
    };
    let last = sweep + 4 >= 3 * SWEEPS;
    add(&this.up, if sweep.is_multiple_of(2) || last { 1.0 } else { 0.5 });
    add(&this.down, if !sweep.is_multiple_of(2) || last { 1.0 } else { 0.5 });
    if weight > 0.0 { (sum / weight, if this.is_bend { 4.0 } else { 1.0 }) } else { (this.x, 0.2) }
}

/// The places nearest to the wanted ones, by weighted squares, that keep order and distances: neighbours that would be too near
/// are moved together.
fn fitted(wanted: &[(f64, f64)], widths: &[f64]) -> Vec<f64> {
    let mut offset = Vec::with_capacity(wanted.len());
    for i in 0..wanted.len() {
        let before: f64 = if i == 0 { 0.0 } else { offset[i - 1] + (widths[i - 1] + widths[i]) / 2.0 + GAP };
        offset.push(before);
    }
    // Blocks: sum of wanted places times weights, weights, items.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((x, weight), offset) in wanted.iter().zip(&offset) {
        blocks.push(((x - offset) * weight, *weight, 1));
        while let [.., a, b] = blocks.as_slice()
            && a.0 / a.1 > b.0 / b.1
        {
            let joined = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
            blocks.truncate(blocks.len() - 2);
            blocks.push(joined);
        }
    }
    let places = blocks.iter().flat_map(|(sum, weight, n)| std::iter::repeat_n(sum / weight, *n));
    places.zip(offset).map(|(x, offset)| x + offset).collect()
}

/// Heights of ranks, frames, paths.
fn drawn(shape: &Shape, (items, rows): (&[Item], &[Vec<usize>]), chains: &[Vec<usize>], titles: &[f64]) -> Layout {
    let boxes = shape.boxes.len();
    let of_cluster = |c: usize| (0..boxes).filter(move |i| shape.boxes[*i].cluster == Some(c));
    let spans: Vec<Option<(usize, usize)>> = (0..shape.clusters.len())
        .map(|c| {
            let ranks = || of_cluster(c).map(|i| items[i].rank);
            Some((ranks().min()?, ranks().max()?))
        })
        .collect();
    let heights: Vec<f64> = rows.iter().map(|row| row.iter().map(|i| items[*i].h).fold(0.0, f64::max)).collect();
    let mut tops = Vec::with_capacity(rows.len());
    let mut y = 0.0;
    for (rank, height) in heights.iter().enumerate() {
        if rank > 0 {
            y += RANK_GAP;
        }
        if spans.iter().flatten().any(|(first, _)| *first == rank) {
            y += PAD + TITLE;
        }
        tops.push(y);
        y += height;
        if spans.iter().flatten().any(|(_, last)| *last == rank) {
            y += PAD;
        }
    }
    let centre = |i: usize| tops[items[i].rank] + heights[items[i].rank] / 2.0;
    let mut layout = Layout { height: y, ..Layout::default() };
    for (i, item) in items.iter().enumerate().take(boxes) {
        layout.boxes.push(Rect { x: item.x - item.w / 2.0, y: centre(i) - item.h / 2.0, w: item.w, h: item.h });
    }
    let back = |c: usize| {
        let is_in = move |i: usize| shape.boxes[i].cluster == Some(c);
        shape.edges.iter().filter(move |e| e.again && (is_in(e.from) || is_in(e.to)))
    };
    for (c, span) in spans.iter().enumerate() {
        let Some((first, last)) = span else {
            layout.clusters.push(Rect::default());
            continue;
        };
        let bends = (boxes..items.len()).filter(|i| items[*i].cluster == Some(c));
        let inside: Vec<&Item> = of_cluster(c).chain(bends).map(|i| &items[i]).collect();
        let left = inside.iter().map(|i| i.x - i.w / 2.0).fold(f64::INFINITY, f64::min) - PAD;
        let right = inside.iter().map(|i| i.x + i.w / 2.0).fold(f64::NEG_INFINITY, f64::max) + PAD;
        let lanes = back(c).count() as f64 * LANE;
        let top = tops[*first] - PAD - TITLE;
        // A frame is as wide as its title, to both sides of its boxes.
        let wide = (right - left + lanes).max(titles.get(c).copied().unwrap_or(0.0) + 2.0 * PAD);
        let left = left - (wide - (right - left + lanes)) / 2.0;
        layout.clusters.push(Rect { x: left, y: top, w: wide, h: tops[*last] + heights[*last] + PAD - top });
    }
    let mut lanes = vec![0usize; shape.clusters.len()];
    for (edge, chain) in shape.edges.iter().zip(chains) {
        let path = if chain.is_empty() {
            let side = shape.boxes[edge.to].cluster.or(shape.boxes[edge.from].cluster).map(|c| {
                lanes[c] += 1;
                let frame = layout.clusters[c];
                frame.x + frame.w - LANE * (lanes[c] as f64 - 0.5) - 3.0
            });
            let (from, to) = (layout.boxes[edge.from], layout.boxes[edge.to]);
            let side = side.unwrap_or(from.x.max(to.x) + from.w.max(to.w) + LANE);
            vec![
                (from.x + from.w / 2.0, from.y + from.h),
                (side, from.y + from.h + RANK_GAP / 2.0),
                (side, to.y - RANK_GAP / 2.0),
                (to.x + to.w / 2.0, to.y),
            ]
        } else {
            let bend = |i: usize| {
                let (top, height) = (tops[items[i].rank], heights[items[i].rank]);
                [(items[i].x, top), (items[i].x, top + height)]
            };
            let (first, last) = (layout.boxes[edge.from], layout.boxes[edge.to]);
            let mut path = vec![(items[edge.from].x, first.y + first.h)];
            path.extend(chain[1..chain.len() - 1].iter().flat_map(|i| bend(*i)));
            path.push((items[edge.to].x, last.y));
            path
        };
        layout.paths.push(path);
    }
    shifted(layout)
}

/// Moved so that it begins at 0.
fn shifted(mut layout: Layout) -> Layout {
    let rects = || layout.boxes.iter().chain(layout.clusters.iter().filter(|c| c.w > 0.0));
    let points = || layout.paths.iter().flatten();
    let left = rects().map(|r| r.x).chain(points().map(|p| p.0)).fold(f64::INFINITY, f64::min);
    let right = rects().map(|r| r.x + r.w).chain(points().map(|p| p.0)).fold(f64::NEG_INFINITY, f64::max);
    if left > right {
        return layout;
    }
    layout.width = right - left;
    layout.boxes.iter_mut().chain(&mut layout.clusters).for_each(|r| r.x -= left);
    layout.paths.iter_mut().flatten().for_each(|p| p.0 -= left);
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_distances_and_come_as_near_as_they_can() {
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(&fitted(&[(0.0, 1.0), (100.0, 1.0)], &[20.0, 20.0]), &[0.0, 100.0]), "there is room");
        let both = 20.0 + GAP;
        assert!(near(&fitted(&[(50.0, 1.0), (50.0, 1.0)], &[20.0, 20.0]), &[50.0 - both / 2.0, 50.0 + both / 2.0]));
        assert!(
            near(&fitted(&[(50.0, 3.0), (50.0, 1.0)], &[20.0, 20.0]), &[50.0 - both / 4.0, 50.0 + both * 0.75]),
            "weights"
        );
        assert!(fitted(&[], &[]).is_empty());
    }

    #[test]
    fn lines_that_cross_are_counted() {
        let item = |rank, down: &[usize]| Item {
            rank,
            w: 1.0,
            h: 1.0,
            x: 0.0,
            cluster: None,
            up: Vec::new(),
            down: down.to_vec(),
            is_bend: false,
        };
        // 0 and 1 above 2 and 3, each connected to both: one crossing.
        let items = [item(0, &[2, 3]), item(0, &[2, 3]), item(1, &[]), item(1, &[])];
        assert_eq!(crossings(&items, &[vec![0, 1], vec![2, 3]], &[0, 1, 0, 1]), 1);
        let items = [item(0, &[3]), item(0, &[2]), item(1, &[]), item(1, &[])];
        assert_eq!(crossings(&items, &[vec![0, 1], vec![2, 3]], &[0, 1, 0, 1]), 1);
        assert_eq!(crossings(&items, &[vec![0, 1], vec![3, 2]], &[0, 1, 1, 0]), 0);
    }
}
