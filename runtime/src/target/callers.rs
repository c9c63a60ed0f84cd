//! Where a function's callers go on: the instructions behind the calls of it.
//!
//! A function that ends by going on in another one (a jump through a pointer) is not over at that jump. It is over where
//! its caller goes on, whichever function returned there. Calls are found by their bytes and then made sure of: the function
//! around one is decoded from its start, so that no probe is put into the middle of an instruction.

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

impl Module {
    /// The instructions behind every call of the function called `name` from this file, which may be another file's, in
    /// address order. Calls through other pointers than the loader's own are not found. x86-64 only: elsewhere there are
    /// none.
    ///
    /// # Errors
    /// [`SiteError::Refused`] if an instruction behind a call cannot be probed.
    pub fn sites_behind_calls(&self, name: &str) -> Result<Vec<Site>, SiteError> {
        if self.arch() != Arch::X86_64 {
            return Ok(Vec::new());
        }
        let words = self.loader_words(name);
        let code = self.code_sections();
        // The function itself, and the stubs that jump to it through the loader's words.
        let mut entries: Vec<u64> = self.function(name).map(|function| function.vaddr).into_iter().collect();
        each(&code, &[0xff, 0x25], |at, distance| {
            if words.contains(&at.wrapping_add(THROUGH).wrapping_add_signed(distance)) {
                entries.push(at);
                entries.extend(self.read(at.wrapping_sub(4), 4).filter(|before| *before == ENDBR).map(|_| at - 4));
                // With `bnd` before the jump.
                let bound = self.read(at.wrapping_sub(5), 5).filter(|b| b[..4] == ENDBR && b[4] == 0xf2);
                entries.extend(bound.map(|_| at - 5));
            }
        });
        let mut behind = Vec::new();
        if !entries.is_empty() {
            each(&code, &[0xe8], |at, distance| {
                if entries.contains(&at.wrapping_add(NEAR).wrapping_add_signed(distance)) {
                    behind.push((at, at + NEAR));
                }
            });
        }
        if !words.is_empty() {
            each(&code, &[0xff, 0x15], |at, distance| {
                if words.contains(&at.wrapping_add(THROUGH).wrapping_add_signed(distance)) {
                    behind.push((at, at + THROUGH));
                }
            });
        }
        behind.sort_unstable();
        let mut sites = Vec::new();
        for (call, next) in behind {
            let Some(around) = self.function_around(call) else { continue };
            let Some(site) = site::behind_call(self.code(&around), around.vaddr, call, next)? else { continue };
            sites.push(Site { file_offset: self.file_offset(site.vaddr).unwrap_or(0), ..site });
        }
        Ok(sites)
    }

    /// The words into which the loader puts the address of a function of this name.
    fn loader_words(&self, name: &str) -> Vec<u64> {
        let Some(table) = self.table(SHT_DYNSYM) else { return Vec::new() };
        let is_named = |number: u32| {
            table
                .symbols()
                .get(number as usize)
                .is_some_and(|s| super::symbols::name(&table, s) == Some(name.as_bytes()))
        };
        let mut words = Vec::new();
        for section in self.sections().iter().filter(|section| section.sh_flags(LE) & u64::from(SHF_ALLOC) != 0) {
            if let Ok(Some((entries, _))) = section.rela(LE, self.data()) {
                let fills = entries.iter().filter(|entry| {
                    matches!(entry.r_type(LE, false), R_X86_64_JUMP_SLOT | R_X86_64_GLOB_DAT)
                        && is_named(entry.r_sym(LE, false))
                });
                words.extend(fills.map(|entry| entry.r_offset.get(LE)));
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

/// Calls back with each place where the bytes stand, and the 32-bit distance behind them.
fn each(code: &[(u64, &[u8])], wanted: &[u8], mut found: impl FnMut(u64, i64)) {
    for (start, bytes) in code {
        let Some(&first) = wanted.first() else { return };
        let mut at = 0;
        while let Some(next) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == first)) {
            at += next;
            let distance = bytes.get(at + wanted.len()..).and_then(|rest| rest.first_chunk::<4>());
            if let Some(distance) = distance.filter(|_| bytes[at..].starts_with(wanted)) {
                found(start + at as u64, i64::from(i32::from_le_bytes(*distance)));
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
