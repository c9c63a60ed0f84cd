//! Functions inside a program. The kernel takes a callback (`bpf_loop`) only from a program that describes all its
//! functions; they are found in the instructions, so that nobody has to list them.

use std::{collections::BTreeSet, io, os::fd::OwnedFd};

use profinfer_ebpf::btf::{Linkage, Types};

use super::{limits::kernel_name, sys, words};

/// Type information of a program's functions.
#[derive(Debug)]
pub(super) struct Functions {
    /// The loaded BTF.
    pub(super) btf: OwnedFd,
    /// Per function, ascending: index of its first instruction, its type id.
    pub(super) records: Vec<[u32; 2]>,
}

impl Functions {
    /// Describes the functions of a program that takes the address of one; nothing for any other program.
    pub(super) fn describe(name: &str, insns: &[u64]) -> io::Result<Option<Self>> {
        let Some(starts) = starts(insns) else { return Ok(None) };
        let mut types = Types::new();
        let int = types.int();
        let records = starts
            .into_iter()
            .map(|start| {
                let main = start == 0;
                // Kernel names of objects may hold dots, those of functions may not.
                let name = if main { kernel_name(name).replace('.', "_") } else { format!("at_{start}") };
                let linkage = if main { Linkage::Global } else { Linkage::Static };
                [start, types.function(&name, int, linkage)]
            })
            .collect();
        Ok(Some(Self { btf: sys::btf_load(&types.encode())?, records }))
    }
}

/// Index of every function's first instruction; none if no function's address is taken.
fn starts(insns: &[u64]) -> Option<BTreeSet<u32>> {
    let mut starts = BTreeSet::from([0]);
    let mut callback = false;
    let mut at = 0;
    while let Some(&word) = insns.get(at) {
        let wide = words::is_wide(word);
        let address_taken = words::is_function_address(word);
        if address_taken || words::is_local_call(word) {
            callback |= address_taken;
            starts.extend(u32::try_from(at as i64 + i64::from(words::immediate(word)) + 1));
        }
        at += if wide { 2 } else { 1 };
    }
    callback.then_some(starts)
}
