//! Tables of names in a file: arrays of pointers to C strings, such as the names of an engine's operators.
//!
//! They are read from the file and not from the process, since one that was just started has not been relocated yet.

use std::collections::HashSet;

use object::LittleEndian as LE;
use object::elf::{
    self, ET_EXEC, R_AARCH64_ABS64, R_AARCH64_GLOB_DAT, R_AARCH64_RELATIVE, R_X86_64_64, R_X86_64_GLOB_DAT,
    R_X86_64_RELATIVE, SHF_ALLOC, SHF_EXECINSTR, SHT_DYNSYM, SHT_NOBITS, SHT_PROGBITS,
};
use object::read::elf::{FileHeader, Rela, SectionHeader, Sym};

use super::{Arch, Module};

/// The longest name that is believed, in bytes.
const MAX_NAME: usize = 256;

/// The longest table that is believed.
const MAX_NAMES: u64 = 4096;

/// Reads the table of names that the file calls `symbol`.
///
/// In a stripped file it is found by its contents: names equal to `anchors`, one after the other, and after them
/// everything that looks like a name of the kind (`A`–`Z`, `0`–`9`, `_`) and has not come before. `None` if the file has
/// no such table. Two tables of such names without a gap between them and without a name in common would be taken for
/// one; no known build has that.
#[must_use]
pub fn name_table(module: &Module, symbol: &str, anchors: &[&str]) -> Option<Vec<String>> {
    let pointers = Pointers::read(module);
    by_symbol(module, &pointers, symbol).or_else(|| by_contents(module, &pointers, anchors))
}

fn by_symbol(module: &Module, pointers: &Pointers, symbol: &str) -> Option<Vec<String>> {
    let (vaddr, size) = module.variable(symbol)?;
    let count = size / 8;
    if !(1..=MAX_NAMES).contains(&count) {
        return None;
    }
    (0..count).map(|number| owned(string(module, pointers.at(vaddr + number * 8)?)?)).collect()
}

fn by_contents(module: &Module, pointers: &Pointers, anchors: &[&str]) -> Option<Vec<String>> {
    let first = anchors.first()?;
    let is = |target: u64, name: &str| string(module, target) == Some(name.as_bytes());
    let starts_here = |start: usize| {
        let table = pointers.adjacent(start);
        anchors.len() <= table.len() && anchors.iter().zip(table).all(|(name, (_, target))| is(*target, name))
    };
    let start = (0..pointers.0.len()).find(|start| is(pointers.0[*start].1, first) && starts_here(*start))?;
    let targets = pointers.adjacent(start).iter().map(|(_, target)| *target);
    // A name that comes again belongs to the next table.
    let mut seen = HashSet::new();
    let names = targets.map_while(|target| string(module, target));
    names.take_while(|name| is_identifier(name) && seen.insert(*name)).map(owned).collect()
}

/// Every place in the file's data that holds an address of data once the file is relocated, with that address; sorted.
struct Pointers(Vec<(u64, u64)>);

impl Pointers {
    fn read(module: &Module) -> Self {
        let data = Data::of(module);
        let mut found: Vec<(u64, u64)> = Vec::new();
        relocated(module, |place, target| {
            if data.holds(target) {
                found.push((place, target));
            }
        });
        if module.header().is_some_and(|header| header.e_type(LE) == ET_EXEC) {
            found.extend(data.absolute(module));
        }
        if !found.is_sorted() {
            found.sort_unstable();
        }
        found.dedup_by_key(|(place, _)| *place);
        Self(found)
    }

    fn at(&self, place: u64) -> Option<u64> {
        let number = self.0.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(self.0[number].1)
    }

    /// The pointers from this one on that lie one behind the other.
    fn adjacent(&self, start: usize) -> &[(u64, u64)] {
        let rest = &self.0[start..];
        let gap = rest.windows(2).position(|pair| pair[0].0 + 8 != pair[1].0);
        &rest[..gap.map_or(rest.len(), |before| before + 1)]
    }
}

/// Calls back with each place that the loader fills and the address, in terms of the file, that it puts there.
fn relocated(module: &Module, mut found: impl FnMut(u64, u64)) {
    let (relative, symbolic) = match module.arch() {
        Arch::X86_64 => (R_X86_64_RELATIVE, [R_X86_64_64, R_X86_64_GLOB_DAT]),
        Arch::Aarch64 => (R_AARCH64_RELATIVE, [R_AARCH64_ABS64, R_AARCH64_GLOB_DAT]),
    };
    let symbols = module.table(SHT_DYNSYM);
    let symbols = symbols.as_ref().map(|table| table.symbols()).unwrap_or_default();
    for section in module.sections().iter().filter(|section| section.sh_flags(LE) & u64::from(SHF_ALLOC) != 0) {
        if let Ok(Some((entries, _))) = section.rela(LE, module.data()) {
            for entry in entries {
                let addend = entry.r_addend(LE);
                let kind = entry.r_type(LE, false);
                if kind == relative {
                    found(entry.r_offset(LE), addend.cast_unsigned());
                } else if symbolic.contains(&kind) {
                    let symbol = symbols.get(entry.r_sym(LE, false) as usize).filter(|symbol| !symbol.is_undefined(LE));
                    if let Some(symbol) = symbol {
                        found(entry.r_offset(LE), symbol.st_value(LE).wrapping_add_signed(addend));
                    }
                }
            }
        }
        if let Ok(Some(places)) = section.relr(LE, module.data()) {
            for place in places {
                if let Some(target) = module.read(place, 8).and_then(word) {
                    found(place, target);
                }
            }
        }
    }
}

/// The sections with data, as ranges of addresses.
struct Data<'module>(Vec<&'module elf::SectionHeader64<LE>>);

impl<'module> Data<'module> {
    fn of(module: &'module Module) -> Self {
        let is_data = |section: &&elf::SectionHeader64<LE>| {
            let flags = section.sh_flags(LE);
            flags & u64::from(SHF_ALLOC) != 0
                && flags & u64::from(SHF_EXECINSTR) == 0
                && matches!(section.sh_type(LE), SHT_PROGBITS | SHT_NOBITS)
        };
        Self(module.sections().iter().filter(is_data).collect())
    }

    fn holds(&self, vaddr: u64) -> bool {
        self.0.iter().any(|section| vaddr.wrapping_sub(section.sh_addr(LE)) < section.sh_size(LE))
    }

    /// In a program for a fixed address pointers need no relocation, so every word that could be one counts.
    fn absolute(&self, module: &Module) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        for section in self.0.iter().filter(|section| section.sh_type(LE) == SHT_PROGBITS) {
            let start = section.sh_addr(LE).next_multiple_of(8);
            let skipped = usize::try_from(start - section.sh_addr(LE)).unwrap_or(usize::MAX);
            let bytes = section.data(LE, module.data()).unwrap_or_default().get(skipped..).unwrap_or_default();
            let words = bytes.chunks_exact(8).filter_map(word).zip((start..).step_by(8));
            found.extend(words.filter(|(target, _)| self.holds(*target)).map(|(target, place)| (place, target)));
        }
        found
    }
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The C string at the address, without its NUL.
fn string(module: &Module, vaddr: u64) -> Option<&[u8]> {
    let start = usize::try_from(module.file_offset(vaddr)?).ok()?;
    let rest = module.data().get(start..)?;
    let rest = &rest[..rest.len().min(MAX_NAME)];
    rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end])
}

fn is_identifier(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

fn owned(name: &[u8]) -> Option<String> {
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests;
