//! Sites in 64-bit Arm code: the entry itself, and every return and jump out.

use super::{CostClass, Site, SiteError};

pub(super) fn entry_site(code: &[u8], vaddr: u64) -> Result<Site, SiteError> {
    let word = *words(code).first().ok_or(SiteError::NoCode { vaddr })?;
    let instruction = describe(word, vaddr);
    if is_refused(word) {
        let reason = "exclusive loads and stores cannot be stepped";
        return Err(SiteError::Refused { vaddr, instruction, reason });
    }
    let why = "the entry".to_owned();
    Ok(site(vaddr, 0, word, why))
}

pub(super) fn return_sites(code: &[u8], vaddr: u64, cold: Option<(&[u8], u64)>) -> Result<Vec<Site>, SiteError> {
    if words(code).is_empty() {
        return Err(SiteError::NoCode { vaddr });
    }
    let parts = [Some((code, vaddr)), cold];
    let inside =
        |target: u64| parts.iter().flatten().any(|(code, start)| (*start..start + code.len() as u64).contains(&target));
    let mut sites = Vec::new();
    for (code, start) in parts.into_iter().flatten() {
        for (word, at) in words(code).into_iter().zip((start..).step_by(4)) {
            let why = if is_return(word) {
                "returns"
            } else if jump_target(word, at).is_some_and(|target| !inside(target)) {
                "jumps to another function"
            } else {
                continue;
            };
            let goes_on = !is_return(word);
            sites.push(Site { goes_on, ..site(at, at.wrapping_sub(vaddr), word, why.to_owned()) });
        }
    }
    sites.sort_by_key(|site| site.vaddr);
    Ok(sites)
}

/// Where the plain jumps go that leave this code.
pub(super) fn outward_jumps(code: &[u8], vaddr: u64) -> Vec<u64> {
    let inside = vaddr..vaddr + code.len() as u64;
    let targets = words(code).into_iter().zip((vaddr..).step_by(4)).filter_map(|(word, at)| jump_target(word, at));
    targets.filter(|target| !inside.contains(target)).collect()
}

fn site(vaddr: u64, at: u64, word: u32, why: String) -> Site {
    let instruction = describe(word, vaddr);
    Site {
        vaddr,
        at,
        file_offset: 0,
        instruction,
        cost: cost(word),
        stack_intact: at == 0,
        taken_if: None,
        goes_on: false,
        why,
    }
}

fn words(code: &[u8]) -> Vec<u32> {
    code.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

/// `ret`, `ret xN`, `retaa`, `retab`.
fn is_return(word: u32) -> bool {
    word & 0xffff_fc1f == 0xd65f_0000 || matches!(word, 0xd65f_0bff | 0xd65f_0fff)
}

/// Where a plain `b` goes.
fn jump_target(word: u32, at: u64) -> Option<u64> {
    let distance = ((word << 6).cast_signed() >> 6) * 4;
    (word >> 26 == 0b00_0101).then(|| at.wrapping_add_signed(i64::from(distance)))
}

/// Loads and stores exclusive (`ldxr`, `stxr` and their like).
fn is_refused(word: u32) -> bool {
    word & 0x3f00_0000 == 0x0800_0000 && word & 0x0080_0000 == 0
}

/// The kernel simulates a nop and everything that reads or writes the program counter, and steps the rest.
fn cost(word: u32) -> CostClass {
    let branch = is_return(word)
        || matches!(word >> 26, 0b00_0101 | 0b10_0101)                // b, bl
        || word & 0x7c00_0000 == 0x3400_0000                          // cbz, cbnz, tbz, tbnz
        || word & 0xff00_0010 == 0x5400_0000                          // b.cond
        || matches!(word & 0xffff_fc1f, 0xd61f_0000 | 0xd63f_0000); // br, blr
    match word {
        0xd503_201f => CostClass::Nop,
        _ if branch => CostClass::Branch,
        _ => CostClass::Step,
    }
}

fn describe(word: u32, at: u64) -> String {
    match (word, jump_target(word, at)) {
        (0xd503_201f, _) => "nop".to_owned(),
        (0xd503_245f, _) => "bti c".to_owned(),
        (0xd503_233f, _) => "paciasp".to_owned(),
        (0xd65f_03c0, _) => "ret".to_owned(),
        (_, Some(target)) => format!("b {target:#x}"),
        _ if is_return(word) => format!("ret (.inst {word:#010x})"),
        _ => format!(".inst {word:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STP: u32 = 0xa9bf_7bfd; // stp x29, x30, [sp, #-16]!
    const RET: u32 = 0xd65f_03c0;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_entry_is_the_site() {
        let site = entry_site(&bytes(&[0xd503_233f, STP, RET]), 0x1000).unwrap();
        assert_eq!((site.vaddr, site.at, site.instruction.as_str()), (0x1000, 0, "paciasp"));
        assert_eq!(site.cost, CostClass::Step);
        assert_eq!(entry_site(&bytes(&[0xd503_201f]), 0).unwrap().cost, CostClass::Nop);
    }

    #[test]
    fn an_exclusive_load_is_refused() {
        let ldaxr_w0_x1 = 0x885f_fc20;
        assert!(matches!(entry_site(&bytes(&[ldaxr_w0_x1]), 0), Err(SiteError::Refused { .. })));
        assert!(entry_site(&bytes(&[0xf940_0000]), 0).is_ok(), "ldr x0, [x0]");
        assert_eq!(entry_site(&[1, 2], 7), Err(SiteError::NoCode { vaddr: 7 }));
    }

    #[test]
    fn returns_and_jumps_out() {
        let inside = 0x1400_0002; // b .+8
        let before = 0x17ff_ffff; // b .-4
        let code = bytes(&[inside, RET, before, 0xd65f_0200, 0x1400_0010, 0xd503_201f]);
        let sites = return_sites(&code, 0x1000, None).unwrap();
        let found: Vec<_> = sites.iter().map(|site| (site.at, site.instruction.as_str())).collect();
        assert_eq!(found, [(4, "ret"), (12, "ret (.inst 0xd65f0200)"), (16, "b 0x1050")]);
        assert!(sites.iter().all(|site| site.cost == CostClass::Branch));
    }

    #[test]
    fn the_cold_part_is_inside() {
        let hot = bytes(&[0x1400_0400, RET]); // b .+0x1000
        let cold = bytes(&[0x17ff_fc01, RET]); // b .-0xffc
        let at: Vec<_> = return_sites(&hot, 0x1000, Some((&cold, 0x2000))).unwrap().iter().map(|s| s.vaddr).collect();
        assert_eq!(at, [0x1004, 0x2004]);
    }
}
