//! Sites in 64-bit Arm code.
//!
//! Kernels do what branches, `adr`, `adrp` and (since Linux 6.13) `nop` do, and step the rest. A push is stepped as well, so
//! the cheap place is farther on than on x86-64.

mod insn;

use self::insn::{Class, Flow, Insn, insns};
use super::{CostClass, Site, SiteError};

/// How many instructions past the entry are looked at: farther on, "the entry" would no longer be true in time either.
const MAX_WALK: usize = 64;

/// How many instructions before an indirect jump may compute its target.
const MAX_LOOK_BACK: usize = 16;

/// One instruction that can be the site of an entry.
#[derive(Debug)]
struct Step {
    insn: Insn,
    class: Class,
    /// The stack pointer is as it was at the entry.
    stack_intact: bool,
}

pub(super) fn entry_site(code: &[u8], vaddr: u64, args_used: u8) -> Result<Site, SiteError> {
    let all = insns(code, vaddr);
    let first = *all.first().ok_or(SiteError::NoCode { vaddr })?;
    let walk = straight_line(&all, vaddr, args_used);
    let simulated = walk.iter().find(|step| matches!(step.class, Class::Simulated(_)));
    let stepped = || walk.iter().find(|step| step.class == Class::Stepped);
    let Some(step) = simulated.or_else(stepped) else {
        let reason = match first.class() {
            Class::Refused(reason) => reason,
            _ => "it cannot be reached",
        };
        return Err(SiteError::Refused { vaddr, instruction: first.text(), reason });
    };
    let at = step.insn.at - vaddr;
    let (cost, why) = match (step.class, at) {
        (Class::Simulated(cost), 0) => (cost, "the entry, which the kernel emulates".to_owned()),
        (Class::Simulated(cost), _) => {
            (cost, format!("the first instruction that the kernel emulates, {at} bytes past the entry"))
        }
        (_, 0) => {
            (CostClass::Step, "the entry: nothing that the kernel emulates can be reached with all intact".to_owned())
        }
        _ => (CostClass::Step, format!("the first instruction that the kernel accepts, {at} bytes past the entry")),
    };
    Ok(site(step.insn, vaddr, cost, step.stack_intact, why))
}

pub(super) fn return_sites(code: &[u8], vaddr: u64, cold: Option<(&[u8], u64)>) -> Result<Vec<Site>, SiteError> {
    if code.len() < 4 {
        return Err(SiteError::NoCode { vaddr });
    }
    let parts = [Some((code, vaddr)), cold];
    let inside =
        |target: u64| parts.iter().flatten().any(|(code, start)| (*start..start + code.len() as u64).contains(&target));
    let mut sites = Vec::new();
    for (code, start) in parts.into_iter().flatten() {
        let all = insns(code, start);
        for (number, insn) in all.iter().enumerate() {
            let refused = |reason| {
                let (vaddr, instruction) = (insn.at, insn.text());
                Err(SiteError::Refused { vaddr, instruction, reason })
            };
            let why = match insn.flow() {
                Flow::Return => "returns",
                Flow::Jump(target) if !inside(target) => "jumps to another function",
                Flow::JumpRegister(register) if !is_table_jump(&all, number, register) => {
                    "jumps to a function that it computed"
                }
                Flow::Branch(target) if !inside(target) => {
                    return refused("it leaves the function only if its condition holds, which is not looked at here");
                }
                _ => continue,
            };
            let cost = match insn.class() {
                Class::Simulated(cost) => cost,
                Class::Stepped => CostClass::Step,
                Class::Refused(reason) => return refused(reason),
            };
            let goes_on = insn.flow() != Flow::Return;
            sites.push(Site { goes_on, ..site(*insn, vaddr, cost, false, why.to_owned()) });
        }
    }
    sites.sort_by_key(|site| site.vaddr);
    Ok(sites)
}

/// Where the direct jumps go that leave this code.
pub(super) fn outward_jumps(code: &[u8], vaddr: u64) -> Vec<u64> {
    let inside = vaddr..vaddr + code.len() as u64;
    let target = |insn: Insn| match insn.flow() {
        Flow::Jump(target) | Flow::Branch(target) => Some(target),
        _ => None,
    };
    insns(code, vaddr).into_iter().filter_map(target).filter(|target| !inside.contains(target)).collect()
}

/// The instructions that are executed exactly once in every call, from the entry on, with all used arguments intact. Not
/// empty if there is any instruction.
fn straight_line(all: &[Insn], vaddr: u64, args_used: u8) -> Vec<Step> {
    let landing = first_landing(all, vaddr);
    let mut walk = Vec::new();
    let mut stack_intact = true;
    let mut last_growth = 0;
    for (number, insn) in all.iter().take(MAX_WALK).enumerate() {
        if number > 0 && insn.at >= landing {
            break;
        }
        walk.push(Step { insn: *insn, class: insn.class(), stack_intact });
        if insn.grows_stack() {
            last_growth = number;
        }
        // Where it is not known what is overwritten, all may be; and behind an exclusive load a probe would never let the
        // store succeed.
        let Some(writes) = insn.writes().filter(|_| !insn.begins_exclusive()) else { break };
        stack_intact &= !writes.sp;
        if writes.registers & u32::from(args_used) != 0 || insn.flow() != Flow::Next {
            break;
        }
    }
    if all.iter().any(|insn| matches!(insn.flow(), Flow::JumpRegister(_))) {
        walk.truncate(last_growth + 1);
    }
    walk
}

/// The lowest address past the entry that a branch of this code goes to.
fn first_landing(all: &[Insn], vaddr: u64) -> u64 {
    let target = |insn: &Insn| match insn.flow() {
        Flow::Jump(target) | Flow::Branch(target) | Flow::Call(target) => Some(target),
        _ => None,
    };
    all.iter().filter_map(target).filter(|target| *target > vaddr).min().unwrap_or(u64::MAX)
}

/// The jump with this number goes through a table of this function (`switch`, computed `goto`): compilers add an offset that
/// they load from a table to an address. A pointer that is loaded by index is a place in this function where its frame is still
/// there, and else another function, as any other pointer is.
fn is_table_jump(all: &[Insn], number: usize, register: u32) -> bool {
    let window = &all[number.saturating_sub(MAX_LOOK_BACK)..number];
    let start = window.iter().rposition(|insn| !matches!(insn.flow(), Flow::Next | Flow::Branch(_)));
    let before = &window[start.map_or(0, |start| start + 1)..];
    let writes = |insn: &&Insn| insn.writes().is_none_or(|w| w.registers >> register & 1 == 1);
    let Some(computes) = before.iter().rfind(writes) else { return false };
    let has_frame = || all.iter().any(|insn| insn.grows_stack());
    let given_up = || before.iter().any(|insn| insn.writes().is_some_and(|w| w.sp) && !insn.grows_stack());
    computes.adds_registers() || computes.loads_by_index() && has_frame() && !given_up()
}

fn site(insn: Insn, vaddr: u64, cost: CostClass, stack_intact: bool, why: String) -> Site {
    Site {
        vaddr: insn.at,
        at: insn.at.wrapping_sub(vaddr),
        file_offset: 0,
        instruction: insn.text(),
        cost,
        stack_intact,
        taken_if: None,
        goes_on: false,
        why,
    }
}

#[cfg(test)]
mod tests;
