//! Where a function's callers go on: the instructions behind the calls of it.
//!
//! A function that ends by going on in another one (a jump through a pointer) is not over at that jump. It is over where
//! its caller goes on, whichever function returned there. Calls are found by their bytes and then made sure of: the function
//! around one is decoded from its start, so that no probe is put into the middle of an instruction.
//!
//! The code is gone over once for all functions that are asked for together, and what was found is kept: it is the same in
//! every process that runs the file.

use std::collections::HashMap;

use memchr::memchr_iter;
use object::LittleEndian as LE;
use object::elf::{R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT, SHF_ALLOC, SHF_EXECINSTR, SHT_DYNSYM, SHT_PROGBITS};
use object::read::elf::SectionHeader;

use super::module::{Arch, Function, Module};
use super::site::{self, Site, SiteError};

/// Bytes of a direct call or jump with a 32-bit distance.
const NEAR: u64 = 5;
/// Bytes of a call or jump through a word that lies so far from it.
const THROUGH: u64 = 6;
/// `endbr64`
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// A section as long as this in bytes, or longer, is gone over once if that will do. The linker's stubs are in short ones.
const LONG: usize = 4 << 20;
/// Bytes of code that are gone over before their pages are given back.
const PIECE: usize = 1 << 20;
/// Bits of an address that tell most targets of a call from those that are looked for.
const HASH_BITS: u32 = 12;

/// The instructions behind the calls of each function that was asked for, or why one of them cannot be probed.
pub(super) type Callers = HashMap<String, Result<Vec<Site>, SiteError>>;

impl Module {
    /// The instructions behind every call of the function called `name` from this file, which may be another file's, in
    /// address order. Calls through other pointers than the loader's own are not found. x86-64 only: elsewhere there are
    /// none.
    ///
    /// # Errors
    /// [`SiteError::Refused`] if an instruction behind a call cannot be probed.
    pub fn sites_behind_calls(&self, name: &str) -> Result<Vec<Site>, SiteError> {
        self.look_for_calls(&[name]);
        let known = self.callers();
        known.get(name).cloned().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Looks for calls of all these functions at once, for [`sites_behind_calls`](Self::sites_behind_calls) to tell: the code
    /// is gone over once, as it would be for one.
    pub fn look_for_calls(&self, names: &[&str]) {
        if self.arch() != Arch::X86_64 {
            return;
        }
        let mut known = self.callers();
        let mut unknown: Vec<&str> = names.iter().copied().filter(|name| !known.contains_key(*name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return;
        }
        let mut calls: Vec<Vec<(u64, u64)>> = vec![Vec::new(); unknown.len()];
        for (call, next, of) in self.calls_of(&unknown) {
            calls[of].push((call, next));
        }
        for (name, mut calls) in unknown.into_iter().zip(calls) {
            calls.sort_unstable();
            calls.dedup();
            known.insert(name.to_owned(), self.sites_behind(calls));
        }
    }

    /// The instructions behind these calls, each of them made sure of.
    fn sites_behind(&self, calls: Vec<(u64, u64)>) -> Result<Vec<Site>, SiteError> {
        let mut sites = Vec::new();
        for (call, next) in calls {
            let Some(around) = self.function_around(call) else { continue };
            let code = self.code(&around);
            let site = site::behind_call(code, around.vaddr, call, next);
            self.give_back(code);
            let Some(site) = site? else { continue };
            sites.push(Site { file_offset: self.file_offset(site.vaddr).unwrap_or(0), ..site });
        }
        Ok(sites)
    }

    /// What looks like a call of one of the functions: its address, that of what follows it, and which function it is.
    fn calls_of(&self, names: &[&str]) -> Vec<(u64, u64, usize)> {
        let words = self.loader_words(names);
        let code = self.code_sections();
        // The functions themselves, and the stubs that jump to them through the loader's words.
        let mut entries = Places::default();
        for (of, name) in names.iter().enumerate() {
            entries.extend(self.function(name).map(|function| (function.vaddr, of)));
        }
        let (long, short): (Vec<_>, Vec<_>) = code.iter().copied().partition(|(_, bytes)| bytes.len() >= LONG);
        if !words.is_empty() {
            self.each_piece(&short, |start, bytes, len| self.stubs(start, bytes, len, &words, &mut entries));
        }
        if words.is_empty() && entries.is_empty() {
            return Vec::new();
        }
        let mut calls = Vec::new();
        // Stubs that stand amid a long section are met on the way, maybe behind calls of them.
        let mut late = Places::default();
        self.each_piece(&long, |start, bytes, len| {
            near_calls(start, bytes, len, &entries, &mut calls);
            if !words.is_empty() {
                calls_through(start, bytes, len, &words, &mut calls);
                self.stubs(start, bytes, len, &words, &mut late);
            }
        });
        self.each_piece(&short, |start, bytes, len| {
            near_calls(start, bytes, len, &entries, &mut calls);
            calls_through(start, bytes, len, &words, &mut calls);
        });
        if !late.is_empty() {
            self.each_piece(&code, |start, bytes, len| near_calls(start, bytes, len, &late, &mut calls));
        }
        calls
    }

    /// Adds the jumps through one of the words: where they stand, and where what leads to them does.
    fn stubs(&self, start: u64, bytes: &[u8], len: usize, words: &Places, stubs: &mut Places) {
        for at in through(bytes, len, 0x25) {
            let Some(distance) = distance(bytes, at + 2) else { continue };
            let jump = start + at as u64;
            for of in words.at(jump.wrapping_add(THROUGH).wrapping_add_signed(distance)) {
                let marked = self.read(jump.wrapping_sub(4), 4).filter(|before| *before == ENDBR).map(|_| jump - 4);
                // With `bnd` before the jump.
                let bound = self.read(jump.wrapping_sub(5), 5).filter(|b| b[..4] == ENDBR && b[4] == 0xf2);
                let bound = bound.map(|_| jump - 5);
                stubs.extend([Some(jump), marked, bound].into_iter().flatten().map(|stub| (stub, of)));
            }
        }
    }

    /// Calls back with the code in pieces: the address, the bytes up to the section's end, and how many of them belong to the
    /// piece. Their pages do not stay in our memory.
    fn each_piece(&self, code: &[(u64, &[u8])], mut piece: impl FnMut(u64, &[u8], usize)) {
        for (start, bytes) in code {
            for from in (0..bytes.len()).step_by(PIECE) {
                let rest = &bytes[from..];
                let len = rest.len().min(PIECE);
                piece(start + from as u64, rest, len);
                self.give_back(&rest[..len]);
            }
        }
    }

    /// The words into which the loader puts the addresses of functions of these names.
    fn loader_words(&self, names: &[&str]) -> Places {
        let mut words = Places::default();
        let Some(table) = self.table(SHT_DYNSYM) else { return words };
        // Few symbols have a name of ours, and many words are filled: by number they are told apart fast.
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        for (symbol, number) in table.symbols().iter().zip(0_u32..) {
            let name = super::symbols::name(&table, symbol);
            if let Some(of) = name.and_then(|name| names.iter().position(|wanted| wanted.as_bytes() == name)) {
                numbers.insert(number, of);
            }
        }
        if numbers.is_empty() {
            return words;
        }
        for section in self.sections().iter().filter(|section| section.sh_flags(LE) & u64::from(SHF_ALLOC) != 0) {
            if let Ok(Some((entries, _))) = section.rela(LE, self.data()) {
                let fills = entries
                    .iter()
                    .filter(|entry| matches!(entry.r_type(LE, false), R_X86_64_JUMP_SLOT | R_X86_64_GLOB_DAT))
                    .filter_map(|entry| Some((entry.r_offset.get(LE), *numbers.get(&entry.r_sym(LE, false))?)));
                words.extend(fills);
            }
        }
        words
    }

    /// The sections with code: address and bytes.
    fn code_sections(&self) -> Vec<(u64, &[u8])> {
        let is_code = |section: &&object::elf::SectionHeader64<LE>| {
            section.sh_type(LE) == SHT_PROGBITS && section.sh_flags(LE) & u64::from(SHF_EXECINSTR) != 0
        };
        let code = self.sections().iter().filter(is_code);
        code.map(|section| (section.sh_addr(LE), section.data(LE, self.data()).unwrap_or_default())).collect()
    }

    /// The function in which an instruction lies, as the unwind tables have it.
    fn function_around(&self, vaddr: u64) -> Option<Function> {
        let range = self.eh_frame()?.at_or_before(vaddr)?;
        let size = range.size.filter(|size| vaddr - range.start < *size)?;
        let name = format!("+{:#x}", range.start);
        Some(Function { name, vaddr: range.start, size, file_offset: self.file_offset(range.start)? })
    }
}

/// Addresses, each with the number of a function. Most addresses that are asked for are none of them, which one bit tells.
#[derive(Debug)]
struct Places {
    sorted: Vec<(u64, usize)>,
    bits: Vec<u64>,
}

impl Default for Places {
    fn default() -> Self {
        Self { sorted: Vec::new(), bits: vec![0; 1 << (HASH_BITS - 6)] }
    }
}

impl Places {
    fn extend(&mut self, places: impl IntoIterator<Item = (u64, usize)>) {
        for place in places {
            let at = self.sorted.partition_point(|known| *known < place);
            if self.sorted.get(at) != Some(&place) {
                self.sorted.insert(at, place);
                let (word, bit) = Self::bit(place.0);
                self.bits[word] |= bit;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The functions that this address is one of.
    fn at(&self, address: u64) -> impl Iterator<Item = usize> {
        let (word, bit) = Self::bit(address);
        let known = if self.bits[word] & bit == 0 { &[][..] } else { &self.sorted[..] };
        let from = known.partition_point(|(known, _)| *known < address);
        known[from..].iter().take_while(move |(known, _)| *known == address).map(|(_, of)| *of)
    }

    fn bit(address: u64) -> (usize, u64) {
        let low = address & ((1 << HASH_BITS) - 1);
        ((low >> 6) as usize, 1 << (low & 63))
    }
}

/// Adds the direct calls of one of the entries.
fn near_calls(start: u64, bytes: &[u8], len: usize, entries: &Places, calls: &mut Vec<(u64, u64, usize)>) {
    if entries.is_empty() {
        return;
    }
    for at in memchr_iter(0xe8, &bytes[..len]) {
        let Some(distance) = distance(bytes, at + 1) else { continue };
        let call = start + at as u64;
        let next = call + NEAR;
        calls.extend(entries.at(next.wrapping_add_signed(distance)).map(|of| (call, next, of)));
    }
}

/// Adds the calls through one of the words.
fn calls_through(start: u64, bytes: &[u8], len: usize, words: &Places, calls: &mut Vec<(u64, u64, usize)>) {
    for at in through(bytes, len, 0x15) {
        let Some(distance) = distance(bytes, at + 2) else { continue };
        let call = start + at as u64;
        let next = call + THROUGH;
        calls.extend(words.at(next.wrapping_add_signed(distance)).map(|of| (call, next, of)));
    }
}

/// Where, among the first `len` bytes, `ff` stands before this byte.
fn through(bytes: &[u8], len: usize, second: u8) -> impl Iterator<Item = usize> {
    // The second byte is much rarer in code than the first one.
    let window = &bytes[..bytes.len().min(len + 1)];
    memchr_iter(second, window).filter_map(|at| at.checked_sub(1)).filter(|at| window[*at] == 0xff)
}

/// The 32-bit distance that stands there.
fn distance(bytes: &[u8], at: usize) -> Option<i64> {
    let distance = bytes.get(at..)?.first_chunk::<4>()?;
    Some(i64::from(i32::from_le_bytes(*distance)))
}

#[cfg(test)]
mod tests;
