//! How much kernel memory maps take, by the sizes of the kernel's own structures (64-bit, Linux 6): an estimate, held
//! against the kernel's word in a test.

use profinfer_ebpf::{MapKind, MapSpec};

/// `sizeof(struct bpf_array)` and `sizeof(struct bpf_htab)`, about.
const HEAD: u64 = 320;
/// `sizeof(struct bucket)`.
const BUCKET: u64 = 16;
/// `sizeof(struct htab_elem)`, before key and value.
const ELEMENT: u64 = 48;
/// Memory that user space can map comes in whole pages.
const PAGE: u64 = 4096;

/// Bytes of a map (of both, where a clear switches between two) when it is empty, and when it is full.
pub(super) fn of(spec: &MapSpec) -> (u64, u64) {
    let entries = u64::from(spec.max_entries);
    let value = u64::from(spec.value_size).next_multiple_of(8);
    let element = ELEMENT + u64::from(spec.key_size).next_multiple_of(8) + value;
    let buckets = HEAD + entries.next_power_of_two() * BUCKET;
    let (empty, full) = match spec.kind {
        MapKind::Shared => {
            let all = (entries * value).next_multiple_of(PAGE) + PAGE;
            (all, all)
        }
        MapKind::Array => (HEAD + entries * value, HEAD + entries * value),
        // A pointer for each CPU.
        MapKind::Perf => (HEAD, HEAD),
        MapKind::Hash => (buckets, buckets + entries * element),
        // Its pages, some for its head, and a table in which each of its pages stands twice.
        MapKind::Ring => (entries + 4 * PAGE + entries / PAGE * 16, entries + 4 * PAGE + entries / PAGE * 16),
        // Made whole at once.
        // Each stack has two words before its frames; the kernel has a table of as many places.
        MapKind::Stacks => (
            entries.next_power_of_two() * 8 + entries * (value + 24),
            entries.next_power_of_two() * 8 + entries * (value + 24),
        ),
        MapKind::LruHash => (buckets + entries * element, buckets + entries * element),
    };
    if spec.swapped { (2 * empty, 2 * full) } else { (empty, full) }
}

#[cfg(test)]
mod tests {
    use profinfer_ebpf::layout::MapId;

    use super::*;
    use crate::kernel::{self, Kernel, Linux, Update};

    /// The kernel's own word for the map, empty and with all its entries.
    fn measured(spec: &MapSpec) -> (u64, u64) {
        let (key, value, n) = (spec.key_size, spec.value_size, spec.max_entries);
        let made = match spec.kind {
            MapKind::Array | MapKind::Shared => {
                let mut array = kernel::MapSpec::array("pi_test", value, n);
                array.mmapable = spec.kind == MapKind::Shared;
                array
            }
            MapKind::Hash => kernel::MapSpec::hash("pi_test", key, value, n),
            MapKind::LruHash => kernel::MapSpec::lru_hash("pi_test", key, value, n),
            MapKind::Ring => kernel::MapSpec::ring_buffer("pi_test", n),
            MapKind::Stacks => kernel::MapSpec::stacks("pi_test", value, n),
            MapKind::Perf => kernel::MapSpec::perf_event_array("pi_test", n),
        };
        let map = Linux::new().create_map(&made).unwrap();
        let empty = map.kernel_bytes().unwrap();
        for i in 0..if spec.kind == MapKind::Ring { 0 } else { n } {
            let mut bytes = vec![0; key as usize];
            bytes[..4].copy_from_slice(&i.to_ne_bytes());
            map.update(&bytes, &vec![0; value as usize], Update::Any).unwrap();
        }
        (empty, map.kernel_bytes().unwrap())
    }

    #[test]
    fn the_estimate_is_near_what_the_kernel_says() {
        for (kind, key_size, value_size, max_entries) in [
            (MapKind::Hash, 8, 8, 10_000),
            (MapKind::Hash, 72, 544, 500),
            (MapKind::LruHash, 8, 80, 8192),
            (MapKind::Array, 4, 96, 16),
            (MapKind::Array, 4, 8, 1),
            (MapKind::Shared, 4, 4200, 1),
            (MapKind::Ring, 0, 0, 8 << 20),
        ] {
            let spec = MapSpec {
                id: MapId::Threads,
                name: String::new(),
                kind,
                key_size,
                value_size,
                max_entries,
                swapped: false,
                value: None,
            };
            let (estimated, measured) = (of(&spec), measured(&spec));
            for (estimated, measured) in [(estimated.0, measured.0), (estimated.1, measured.1)] {
                let off = estimated.abs_diff(measured);
                assert!(off <= measured / 10 + 256, "{spec:?}: {estimated} estimated, {measured} measured");
            }
        }
    }
}
