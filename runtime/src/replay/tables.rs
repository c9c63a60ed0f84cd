//! Rows as the kernel would keep them, kept here: counts, sums, extremes and histograms of events, one by one.

use std::collections::HashMap;

use indexmap::IndexMap;
use profinfer_compiler::plan::{SlotHow, Table};
use profinfer_ebpf::TargetFacts;
use profinfer_ebpf::layout::{ABSENT, TableLayout, bucket_of, linear_bucket_of};
use profinfer_ebpf::object::{kernel_buckets, kernel_rows};

use crate::session::rows::{Rows, gather_of};

/// The rows of a table of one engine build.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Values by key, both as they lie in the kernel.
    rows: IndexMap<Vec<u8>, Vec<u8>>,
    /// Buckets of histograms that have a map of their own: slot, key with bucket, count.
    buckets: HashMap<usize, IndexMap<Vec<u8>, u64>>,
    /// Events that found no row.
    pub full: u64,
    /// Values that found no bucket.
    pub buckets_full: u64,
}

impl Kept {
    /// Counts an event with this key. `values` are the numbers of the slots, in their order; none for a slot that has none.
    pub fn count(&mut self, key: &[u8], values: &[Option<i64>], table: &Table, layout: &TableLayout) {
        if !self.rows.contains_key(key) {
            if self.rows.len() as u64 >= kernel_rows(table) {
                self.full += 1;
                return;
            }
            self.rows.insert(key.to_vec(), fresh(table, layout));
        }
        for (i, (slot, value)) in table.slots.iter().zip(values).enumerate() {
            // Fine histograms have a map of their own.
            if let (SlotHow::Hist(k), None, Some(value)) = (slot.how, layout.slots[i], value)
                && !(slot.nullable && *value == ABSENT)
            {
                self.bucket(i, key, bucket_of(*value, k), table);
            }
        }
        let Some(row) = self.rows.get_mut(key) else { return };
        for ((slot, at), value) in table.slots.iter().zip(&layout.slots).zip(values) {
            let value = match value {
                None => 0,
                Some(ABSENT) if slot.nullable => continue,
                Some(value) => *value,
            };
            let Some(at) = at.map(|at| at as usize) else { continue };
            let counts = slot.of.is_none();
            match slot.how {
                SlotHow::Hist(k) if !counts => change(row, at + 8 * bucket_of(value, k) as usize, |n| n + 1),
                SlotHow::Linear(l) if !counts => change(row, at + 8 * linear_bucket_of(value, l) as usize, |n| n + 1),
                SlotHow::Min if !counts => change(row, at, |n| n.min(value)),
                SlotHow::Max if !counts => change(row, at, |n| n.max(value)),
                SlotHow::Sum | SlotHow::Count if !counts => change(row, at, |n| n.wrapping_add(value)),
                _ => change(row, at, |n| n.wrapping_add(1)),
            }
        }
    }

    fn bucket(&mut self, slot: usize, key: &[u8], bucket: u64, table: &Table) {
        let buckets = self.buckets.entry(slot).or_default();
        let mut place = key.to_vec();
        place.extend(bucket.to_ne_bytes());
        if buckets.len() as u64 >= kernel_buckets(table) && !buckets.contains_key(&place) {
            self.buckets_full += 1;
            return;
        }
        *buckets.entry(place).or_default() += 1;
    }

    /// Adds the rows, as they are shown, to `rows`; how many of these found no place within the limit.
    pub fn gather(&self, rows: &mut Rows, table: &Table, layout: &TableLayout, facts: &TargetFacts) -> u64 {
        let gathered: Result<u64, std::convert::Infallible> = gather_of(rows, table, layout, facts, |hist, each| {
            match hist {
                None => self.rows.iter().for_each(|(key, value)| each(key, value)),
                Some(slot) => {
                    let buckets = self.buckets.get(&slot).into_iter().flatten();
                    buckets.for_each(|(key, n)| each(key, &n.to_ne_bytes()));
                }
            }
            Ok(true)
        });
        match gathered {
            Ok(lost) => lost,
        }
    }
}

/// A row to which nothing was added.
fn fresh(table: &Table, layout: &TableLayout) -> Vec<u8> {
    let mut row = vec![0; layout.value_size as usize];
    for (slot, at) in table.slots.iter().zip(&layout.slots).filter(|(slot, _)| slot.derived.is_none()) {
        let first = match slot.how {
            SlotHow::Min => i64::MAX,
            SlotHow::Max => i64::MIN,
            _ => continue,
        };
        if let Some(at) = at {
            change(&mut row, *at as usize, |_| first);
        }
    }
    row
}

fn change(row: &mut [u8], at: usize, to: impl Fn(i64) -> i64) {
    if let Some(word) = row.get_mut(at..at + 8).and_then(|b| b.first_chunk_mut::<8>()) {
        *word = to(i64::from_ne_bytes(*word)).to_ne_bytes();
    }
}
