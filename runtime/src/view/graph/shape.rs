//! What is drawn of a graph: each group by itself, or those that are alike once.

use std::collections::{HashMap, HashSet};

use indexmap::{IndexMap, IndexSet};

use super::{Computed, Edge, From, Graph, Shade, Spread, is_rate};
use crate::record::{Quantity, Value};
use crate::view::value;

/// Groups after which a pattern of layers may begin anew.
const LONGEST_PERIOD: usize = 8;

/// A graph as it is drawn.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) boxes: Vec<Drawn>,
    pub(super) edges: Vec<Line>,
    pub(super) clusters: Vec<Cluster>,
}

/// A box.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) what: What,
    /// Lines of text.
    pub(super) lines: Vec<String>,
    /// The cluster it is in.
    pub(super) cluster: Option<usize>,
    /// How many nodes it stands for.
    pub(super) stands_for: usize,
    /// Time of each of them, in ns.
    pub(super) dur: Spread,
    /// What its colour stands for.
    pub(super) shade: Option<Shade>,
    /// How many of them are on the chain that takes longest.
    pub(super) longest: usize,
    /// What it is computed of, in words.
    pub(super) sources: Vec<String>,
}

impl Drawn {
    /// Whether most of what it stands for is on the chain that takes longest.
    pub(super) fn on_longest(&self) -> bool {
        2 * self.longest > self.stands_for
    }
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Node,
    View,
    Leaf,
    /// All nodes of groups.
    Groups,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// From one of the groups that are drawn once to the next of them.
    pub(super) again: bool,
    pub(super) on_longest: bool,
}

/// A frame around boxes.
#[derive(Debug)]
pub(super) struct Cluster {
    /// `layers 1–28`
    pub(super) title: String,
    /// How many groups it stands for.
    pub(super) times: usize,
    /// Mean, smallest and largest time of these groups, in ns.
    pub(super) dur: Spread,
}

/// A group of nodes.
struct Group {
    name: String,
    number: Option<i64>,
    nodes: Vec<usize>,
}

/// Groups that are drawn once: every `step`th one.
struct Run {
    groups: Vec<usize>,
}

/// What is drawn of a graph.
pub(super) fn shape(graph: &Graph) -> Shape {
    let groups = groups(graph);
    let runs = runs(graph, &groups);
    let mut making = Making::new(graph, &groups, &runs);
    making.clusters();
    making.nodes();
    making.edges();
    making.names();
    making.shape
}

/// The groups of a graph in the order in which they are computed. A node without one that stands between nodes of one group
/// belongs to it.
fn groups(graph: &Graph) -> Vec<Group> {
    let own = |n: &Computed| n.group.as_ref().map(|(head, v)| (value::key(v, head.quantity).to_string(), number(v)));
    let mut of: Vec<Option<(String, Option<i64>)>> = graph.nodes.iter().map(own).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        node.from.iter().filter_map(|e| e.of.node()).for_each(|from| readers[from].push(i));
    }
    for i in 0..of.len() {
        if of[i].is_some() {
            continue;
        }
        let sources: HashSet<_> = graph.nodes[i].from.iter().filter_map(|e| of[e.of.node()?].clone()).collect();
        let between = readers[i].iter().filter_map(|r| of[*r].clone()).find(|g| sources.contains(g));
        of[i] = between;
    }
    let mut groups: IndexMap<String, Group> = IndexMap::new();
    for (i, group) in of.into_iter().enumerate() {
        let Some((name, number)) = group else { continue };
        let made = || Group { name: name.clone(), number, nodes: Vec::new() };
        groups.entry(name.clone()).or_insert_with(made).nodes.push(i);
    }
    groups.into_values().collect()
}

fn number(value: &Value) -> Option<i64> {
    if let Value::Int(n) = value { Some(*n) } else { None }
}

/// A name without its numbers: the same for the tensor of each layer.
fn without_numbers(name: &str) -> String {
    pieces(name).map(|piece| if is_number(piece) { "#" } else { piece }).collect()
}

/// A name that stands for several, with `N` for the numbers in which they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Common {
    first: String,
    /// Which pieces differ.
    differs: Vec<bool>,
}

impl Common {
    fn new(name: &str) -> Self {
        Self { first: name.to_owned(), differs: pieces(name).map(|_| false).collect() }
    }

    fn and(&mut self, other: &str) {
        let pairs = pieces(&self.first).zip(pieces(other));
        for ((a, b), differs) in pairs.zip(&mut self.differs) {
            *differs |= is_number(a) && is_number(b) && a != b;
        }
    }

    fn text(&self) -> String {
        pieces(&self.first).zip(&self.differs).map(|(piece, differs)| if *differs { "N" } else { piece }).collect()
    }
}

/// Numbers and what is between them.
fn pieces(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != first).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

fn is_number(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_ascii_digit())
}

/// A source as it is the same in groups that are alike: its place in the group, the views of it that are read, a leaf's name.
type AlikeSource = (Option<usize>, Vec<String>, String);
/// A node as it is the same in groups that are alike: its name, its sources.
type AlikeNode = (String, Vec<AlikeSource>);

/// What is the same in groups that are alike: names, and what is computed of what within them.
fn likeness(graph: &Graph, group: &Group) -> Vec<AlikeNode> {
    let place: HashMap<usize, usize> = group.nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let edge = |e: &Edge| match e.of {
        From::Node(n) => (place.get(&n).copied(), e.views.clone(), String::new()),
        From::Leaf(l) => (None, e.views.clone(), without_numbers(&graph.leaves[l].name)),
    };
    let node = |n: &usize| {
        let node = &graph.nodes[*n];
        (without_numbers(&node.name), node.from.iter().map(edge).collect())
    };
    group.nodes.iter().map(node).collect()
}

/// Which groups are drawn once: neighbours that are alike, or whose pattern begins anew.
fn runs(graph: &Graph, groups: &[Group]) -> Vec<Run> {
    let alike: Vec<_> = groups.iter().map(|g| likeness(graph, g)).collect();
    let mut kinds: IndexSet<&Vec<_>> = IndexSet::new();
    let kinds: Vec<usize> = alike.iter().map(|a| kinds.insert_full(a).0).collect();
    let alone: Vec<bool> = groups.iter().map(|g| is_alone(&graph.expand, g.number)).collect();
    let mut runs = Vec::new();
    let mut at = 0;
    while at < groups.len() {
        let free = alone[at..].iter().position(|alone| *alone).map_or(groups.len(), |n| at + n);
        let covered = |period: usize| {
            let block = |i: usize| &kinds[at + i * period..at + (i + 1) * period];
            (1..).take_while(|i| at + (i + 1) * period <= free && block(*i) == block(0)).count() + 1
        };
        let fits = |period: &usize| at + period <= free;
        let best = (1..=LONGEST_PERIOD).filter(fits).map(|p| (p, covered(p))).filter(|(_, times)| *times > 1);
        let best = best.max_by_key(|(p, times)| (p * times, std::cmp::Reverse(*p)));
        let (period, times) = best.unwrap_or((1, 1));
        for offset in 0..period {
            runs.push(Run { groups: (0..times).map(|i| at + offset + i * period).collect() });
        }
        at += period * times;
    }
    runs
}

/// Whether a script wants that group drawn by itself.
fn is_alone(expand: &str, number: Option<i64>) -> bool {
    if matches!(expand, "all" | "") {
        return expand == "all";
    }
    let Some(number) = number else { return false };
    expand.split(',').any(|part| match part.split_once("..") {
        Some((from, to)) => {
            from.trim().parse().is_ok_and(|f| number >= f) && to.trim().parse().is_ok_and(|t| number <= t)
        }
        None => part.trim().parse() == Ok(number),
    })
}

/// Leaves that are drawn: one for each cluster that reads it, or for the box of none.
type Leaves = HashMap<(Result<usize, usize>, String, String), usize>;

/// A shape in the making.
struct Making<'g> {
    graph: &'g Graph,
    groups: &'g [Group],
    runs: &'g [Run],
    shape: Shape,
    /// The box of each node.
    boxes: Vec<usize>,
    /// The group of each node.
    group_of: HashMap<usize, usize>,
    /// The cluster of each group, and its place among those that it stands for.
    cluster_of: Vec<(usize, usize)>,
    on_longest: HashSet<usize>,
    /// Texts of boxes: how many lines, then these and the names of sources.
    names: HashMap<usize, (usize, Vec<Common>)>,
    /// Neighbours in the chain that takes longest.
    pairs: HashSet<(usize, usize)>,
}

impl<'g> Making<'g> {
    fn new(graph: &'g Graph, groups: &'g [Group], runs: &'g [Run]) -> Self {
        let in_groups = groups.iter().enumerate();
        let group_of = in_groups.flat_map(|(g, group)| group.nodes.iter().map(move |n| (*n, g))).collect();
        let mut cluster_of = vec![(0, 0); groups.len()];
        for (cluster, run) in runs.iter().enumerate() {
            run.groups.iter().enumerate().for_each(|(at, g)| cluster_of[*g] = (cluster, at));
        }
        let (chain, _) = graph.longest();
        let pairs = chain.windows(2).map(|w| (w[0], w[1])).collect();
        let on_longest = if graph.time() > 0.0 { chain.into_iter().collect() } else { HashSet::new() };
        Self {
            graph,
            groups,
            runs,
            shape: Shape::default(),
            boxes: Vec::new(),
            group_of,
            cluster_of,
            on_longest,
            names: HashMap::new(),
            pairs,
        }
    }

    fn is_boxed(&self) -> bool {
        self.graph.expand == "none"
    }

    fn clusters(&mut self) {
        for run in self.runs {
            let mut dur = Spread::default();
            for group in &run.groups {
                let nodes = self.groups[*group].nodes.iter();
                let time: f64 = nodes.filter_map(|n| self.graph.nodes[*n].dur.mean()).sum();
                dur.add(time, 1.0);
            }
            self.shape.clusters.push(Cluster { title: self.title(run), times: run.groups.len(), dur });
        }
    }

    /// `layers 1–28`, `layers 0, 4 … 20`
    fn title(&self, run: &Run) -> String {
        let groups: Vec<&Group> = run.groups.iter().map(|g| &self.groups[*g]).collect();
        let first = groups.first().and_then(|g| g.nodes.first()).and_then(|n| self.graph.nodes[*n].group.as_ref());
        let head = first.map_or("group", |(head, _)| head.name.as_str());
        let is_row = run.groups.windows(2).all(|w| w[1] == w[0] + 1);
        match groups.as_slice() {
            [] => head.to_owned(),
            [one] => format!("{head} {}", one.name),
            [first, .., last] if is_row => format!("{head}s {}–{}", first.name, last.name),
            [first, second] => format!("{head}s {}, {}", first.name, second.name),
            [first, second, .., last] => format!("{head}s {}, {} … {}", first.name, second.name, last.name),
        }
    }

    fn nodes(&mut self) {
        // Whoever is computed first of what a box stands for makes it.
        let mut by_place: HashMap<(usize, usize), usize> = HashMap::new();
        let places = self.groups.iter().flat_map(|g| g.nodes.iter().enumerate().map(|(at, n)| (*n, at)));
        let place: HashMap<usize, usize> = places.collect();
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let cluster = self.group_of.get(&i).map(|g| self.cluster_of[*g].0);
            let at = if self.is_boxed() { 0 } else { place.get(&i).copied().unwrap_or(0) };
            let known = cluster.and_then(|c| by_place.get(&(c, at)).copied());
            let index = known.unwrap_or_else(|| {
                let new = self.new_box(i, cluster);
                self.shape.boxes.push(new);
                self.shape.boxes.len() - 1
            });
            if let Some(cluster) = cluster {
                by_place.insert((cluster, at), index);
            }
            self.boxes.push(index);
            let on_longest = self.on_longest.contains(&i);
            let is_boxed = self.is_boxed() && cluster.is_some();
            let sources: Vec<&str> = node.from.iter().map(|e| self.name(e.of)).collect();
            let drawn = &mut self.shape.boxes[index];
            drawn.stands_for += 1;
            drawn.longest += usize::from(on_longest);
            if is_boxed {
                continue;
            }
            drawn.dur.join(&node.dur);
            let said = self.names.entry(index).or_insert_with(|| {
                let all = node.label.lines().chain(sources.iter().copied());
                (node.label.lines().count(), all.map(Common::new).collect())
            });
            said.1.iter_mut().zip(node.label.lines().chain(sources)).for_each(|(name, other)| name.and(other));
            match (&mut drawn.shade, &node.colour) {
                (Some(Shade::Number(all)), Some((_, Shade::Number(one)))) => all.join(one),
                (none @ None, Some((_, shade))) => *none = Some(shade.clone()),
                _ => {}
            }
        }
    }

    /// What boxes say that stand for several nodes or leaves.
    fn names(&mut self) {
        for (index, (lines, names)) in &self.names {
            let drawn = &mut self.shape.boxes[*index];
            let texts: Vec<String> = names.iter().map(Common::text).collect();
            drawn.sources = texts[*lines..].to_vec();
            match drawn.what {
                What::Leaf => drawn.lines[0].clone_from(&texts[0]),
                _ => drawn.lines = texts[..*lines].to_vec(),
            }
        }
    }

    fn new_box(&self, node: usize, cluster: Option<usize>) -> Drawn {
        let node = &self.graph.nodes[node];
        let drawn = Drawn {
            what: What::Node,
            lines: node.label.lines().map(str::to_owned).collect(),
            cluster,
            stands_for: 0,
            dur: Spread::default(),
            shade: None,
            longest: 0,
            sources: node.from.iter().map(|e| self.name(e.of).to_owned()).collect(),
        };
        match cluster.filter(|_| self.is_boxed()) {
            None => drawn,
            Some(c) => {
                let cluster = &self.shape.clusters[c];
                let times = (cluster.times > 1).then(|| format!("×{}", cluster.times));
                let lines = std::iter::once(cluster.title.clone()).chain(times).collect();
                let shade = self.shade_of(c);
                Drawn {
                    what: What::Groups,
                    lines,
                    cluster: None,
                    dur: cluster.dur,
                    shade,
                    sources: Vec::new(),
                    ..drawn
                }
            }
        }
    }

    /// What the colour of a box of whole groups stands for: their time, or a rate over all of them.
    fn shade_of(&self, cluster: usize) -> Option<Shade> {
        let groups = self.runs[cluster].groups.iter();
        let nodes = groups.flat_map(|g| &self.groups[*g].nodes).map(|n| &self.graph.nodes[*n]);
        let mut all = Spread::default();
        for (head, shade) in nodes.filter_map(|n| n.colour.as_ref()) {
            match shade {
                Shade::Number(_) if head.quantity == Quantity::Duration => {
                    return Some(Shade::Number(self.shape.clusters[cluster].dur));
                }
                Shade::Number(one) if is_rate(head) => all.join(one),
                _ => return None,
            }
        }
        Some(Shade::Number(all))
    }

    fn name(&self, of: From) -> &'g str {
        match of {
            From::Node(n) => &self.graph.nodes[n].name,
            From::Leaf(l) => &self.graph.leaves[l].name,
        }
    }

    fn edges(&mut self) {
        // How many edges each line stands for, and how many of them are on the chain that takes longest.
        let mut lines: IndexMap<(usize, usize, bool), [usize; 2]> = IndexMap::new();
        let mut views: HashMap<(usize, Vec<String>), usize> = HashMap::new();
        let mut leaves = Leaves::new();
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let to = self.boxes[i];
            let cluster = self.group_of.get(&i).map(|g| self.cluster_of[*g].0);
            for edge in &node.from {
                let (from, again) = match edge.of {
                    From::Node(n) => (self.boxes[n], self.is_again(n, i)),
                    From::Leaf(_) if !self.graph.with_leaves || (self.is_boxed() && cluster.is_some()) => continue,
                    From::Leaf(l) => (self.leaf(l, (cluster, to), &mut leaves), false),
                };
                let is_boxed = self.shape.boxes[to].what == What::Groups;
                if from == to {
                    continue;
                }
                let mut at = from;
                // The view that the node reads stands first.
                let chain: Vec<&String> =
                    if again || is_boxed { Vec::new() } else { edge.views.iter().rev().collect() };
                for n in 0..chain.len() {
                    let so_far: Vec<String> = chain[..=n].iter().map(|w| (*w).clone()).collect();
                    let key = (from, so_far);
                    let next = match views.get(&key) {
                        Some(view) => {
                            let name = self.name(edge.of);
                            if let Some((_, names)) = self.names.get_mut(view) {
                                names[1].and(name);
                            }
                            *view
                        }
                        None => self.view(chain[n], edge.of, self.shape.boxes[to].cluster),
                    };
                    views.insert(key, next);
                    lines.entry((at, next, false)).or_default();
                    at = next;
                }
                let on_longest = edge.of.node().is_some_and(|n| self.pairs.contains(&(n, i)));
                let [all, longest] = lines.entry((at, to, again)).or_default();
                *all += 1;
                *longest += usize::from(on_longest && !self.on_longest.is_empty());
            }
        }
        let line = |((from, to, again), [all, longest]): ((usize, usize, bool), [usize; 2])| Line {
            from,
            to,
            again,
            on_longest: 2 * longest > all,
        };
        self.shape.edges = lines.into_iter().map(line).collect();
    }

    /// Whether an edge leads from one of the groups that are drawn once to a later one, or against the order of the boxes.
    fn is_again(&self, from: usize, to: usize) -> bool {
        let order = |node: usize| self.boxes[node];
        let run = |node: usize| self.group_of.get(&node).map(|g| self.cluster_of[*g]);
        match (run(from), run(to)) {
            (Some((a, m)), Some((b, n))) if a == b => m != n,
            _ => order(from) >= order(to),
        }
    }

    fn view(&mut self, word: &str, of: From, cluster: Option<usize>) -> usize {
        let source = self.name(of).to_owned();
        self.names.insert(self.shape.boxes.len(), (1, vec![Common::new(word), Common::new(&source)]));
        self.shape.boxes.push(Drawn {
            what: What::View,
            lines: vec![word.to_owned()],
            cluster,
            stands_for: 1,
            dur: Spread::default(),
            shade: None,
            longest: 0,
            sources: vec![source],
        });
        self.shape.boxes.len() - 1
    }

    fn leaf(&mut self, leaf: usize, (cluster, reader): (Option<usize>, usize), leaves: &mut Leaves) -> usize {
        let leaf = &self.graph.leaves[leaf];
        let is_merged = cluster.is_some_and(|c| self.shape.clusters[c].times > 1);
        let name = if is_merged { without_numbers(&leaf.name) } else { leaf.name.clone() };
        let key = (cluster.ok_or(reader), name, leaf.kind.clone());
        if let Some(known) = leaves.get(&key) {
            if let Some((_, names)) = self.names.get_mut(known) {
                names.iter_mut().for_each(|name| name.and(&leaf.name));
            }
            return *known;
        }
        let index = self.shape.boxes.len();
        self.shape.boxes.push(Drawn {
            what: What::Leaf,
            lines: vec![leaf.name.clone(), leaf.kind.clone()],
            cluster,
            stands_for: 1,
            dur: Spread::default(),
            shade: None,
            longest: 0,
            sources: Vec::new(),
        });
        self.names.insert(index, (1, vec![Common::new(&leaf.name)]));
        leaves.insert(key, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_differ_are_n() {
        let common = |names: &[&str]| {
            let mut all = Common::new(names[0]);
            names.iter().for_each(|name| all.and(name));
            all.text()
        };
        assert_eq!(common(&["Qcur-3"]), "Qcur-3");
        assert_eq!(common(&["Qcur-3", "Qcur-27"]), "Qcur-N");
        assert_eq!(
            common(&["cache_k_l3 (view 4)", "cache_k_l4 (view 4)", "cache_k_l5 (view 4)"]),
            "cache_k_lN (view 4)"
        );
        assert_eq!(common(&["ü7", "ü8"]), "üN");
        assert_eq!(without_numbers("blk.12.attn_q.weight"), "blk.#.attn_q.weight");
    }
}
