//! Colours of boxes: a scale for numbers, one colour each for words.

use indexmap::IndexMap;

use super::shape::Shape;
use super::{Graph, Shade};
use crate::record::{Column, Quantity};
use crate::view::heat::along;

/// From the smallest number to the largest: even steps of lightness, the more the darker.
pub(super) const RAMP: [[u8; 3]; 6] = [
    [0xff, 0xf4, 0xd6],
    [0xfe, 0xd9, 0x8e],
    [0xfb, 0xac, 0x50],
    [0xec, 0x76, 0x32],
    [0xc8, 0x42, 0x2a],
    [0x85, 0x17, 0x2b],
];

/// Of words, in the order in which they come.
const WORDS: [[u8; 3]; 10] = [
    [0x8d, 0xb9, 0xe8],
    [0xf7, 0xb2, 0x6a],
    [0x8f, 0xcf, 0x8a],
    [0xe8, 0x8f, 0x8c],
    [0xb9, 0xa3, 0xdf],
    [0xe3, 0xd0, 0x6d],
    [0x7f, 0xcf, 0xcb],
    [0xf0, 0xa9, 0xcf],
    [0xc5, 0xa5, 0x8a],
    [0xb4, 0xbb, 0xc4],
];

/// What has no colour.
pub(super) const NONE: [u8; 3] = [0xe6, 0xe8, 0xeb];

/// What colours stand for.
#[derive(Debug)]
pub(super) enum Colours {
    None,
    /// Numbers from one to another, on a logarithmic scale where they are above zero.
    Numbers {
        head: Column,
        lo: f64,
        hi: f64,
        log: bool,
    },
    /// Words with the number of boxes' nodes that have them.
    Words {
        head: Column,
        words: IndexMap<String, usize>,
    },
}

impl Colours {
    /// Those of some graphs and their shapes.
    pub(super) fn of(graphs: &[(&Graph, &Shape)]) -> Self {
        let heads = graphs.iter().flat_map(|(g, _)| &g.nodes).filter_map(|n| n.colour.as_ref());
        let Some((head, _)) = heads.clone().next() else { return Self::None };
        let mut words: IndexMap<String, usize> = IndexMap::new();
        for (_, shade) in heads {
            if let Shade::Word(word) = shade {
                *words.entry(word.clone()).or_default() += 1;
            }
        }
        if !words.is_empty() {
            return Self::Words { head: head.clone(), words };
        }
        let boxes = graphs.iter().flat_map(|(_, s)| &s.boxes).filter_map(|b| b.shade.as_ref());
        let numbers: Vec<f64> = boxes.filter_map(mean).collect();
        let lo = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let hi = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if numbers.is_empty() {
            return Self::None;
        }
        Self::Numbers { head: head.clone(), lo, hi, log: lo > 0.0 }
    }

    /// The colour of a box.
    pub(super) fn fill(&self, shade: Option<&Shade>) -> [u8; 3] {
        match (self, shade) {
            (Self::Words { words, .. }, Some(Shade::Word(word))) => {
                words.get_index_of(word).map_or(NONE, |i| WORDS[i.min(WORDS.len() - 1)])
            }
            (Self::Numbers { lo, hi, log, .. }, Some(shade)) => {
                mean(shade).map_or(NONE, |x| ramp(fraction(x, *lo, *hi, *log)))
            }
            _ => NONE,
        }
    }

    /// What the colours of numbers stand for, if they do.
    pub(super) fn quantity(&self) -> Option<Quantity> {
        if let Self::Numbers { head, .. } = self { Some(head.quantity) } else { None }
    }

    /// The colour of the word at that place.
    pub(super) fn word(at: usize) -> [u8; 3] {
        WORDS[at.min(WORDS.len() - 1)]
    }
}

/// Whether text on it is dark.
pub(super) fn is_light([r, g, b]: [u8; 3]) -> bool {
    0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b) > 140.0
}

pub(super) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn mean(shade: &Shade) -> Option<f64> {
    if let Shade::Number(spread) = shade { spread.mean() } else { None }
}

fn fraction(x: f64, lo: f64, hi: f64, log: bool) -> f64 {
    let at = |x: f64| if log { x.ln() } else { x };
    if hi > lo { (at(x) - at(lo)) / (at(hi) - at(lo)) } else { 0.0 }
}

fn ramp(fraction: f64) -> [u8; 3] {
    along(&RAMP, fraction)
}
