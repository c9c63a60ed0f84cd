//! Code made by hand. Real libraries are looked through in `tests/tests/sites_aarch64.rs`.

use super::super::{CostClass, SiteError};
use super::insn::Insn;
use super::*;

const STP: u32 = 0xa9bf_7bfd; // stp x29, x30, [sp, #-16]!
const MOV_FP: u32 = 0x9100_03fd; // mov x29, sp
const ADRP_X0: u32 = 0x9000_0000; // adrp x0, .
const ADRP_X9: u32 = 0x9000_0009; // adrp x9, .
const MOV_X0_X1: u32 = 0xaa01_03e0; // mov x0, x1
const PACIASP: u32 = 0xd503_233f;
const BTI_C: u32 = 0xd503_245f;
const NOP: u32 = 0xd503_201f;
const RET: u32 = 0xd65f_03c0;
const BR_X1: u32 = 0xd61f_0020;
const LDAXR: u32 = 0x885f_fc20; // ldaxr w0, [x1]

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Offset, cost, and whether the stack pointer is intact, of the site in this code; no argument or some are used.
fn entry(words: &[u32], args_used: u8) -> (u64, CostClass, bool) {
    let site = entry_site(&bytes(words), 0x1000, args_used).unwrap();
    (site.at, site.cost, site.stack_intact)
}

#[test]
fn the_first_that_the_kernel_simulates_is_the_site() {
    assert_eq!(entry(&[PACIASP, STP, MOV_FP, ADRP_X9, RET], 0b1), (12, CostClass::Address, false));
    assert_eq!(entry(&[BTI_C, NOP, STP, RET], 0), (4, CostClass::Nop, true));
    assert_eq!(entry(&[STP, MOV_FP, 0x9400_0100], 0), (8, CostClass::Branch, false), "bl");
    assert_eq!(entry(&[0xb400_0040, RET, RET], 0b1), (0, CostClass::Branch, true), "cbz x0");
}

#[test]
fn not_behind_what_overwrites_an_argument() {
    // At the instruction itself it is still there.
    assert_eq!(entry(&[STP, ADRP_X0, ADRP_X9, RET], 0b1).0, 4);
    assert_eq!(entry(&[STP, MOV_X0_X1, ADRP_X9, RET], 0b1), (0, CostClass::Step, true));
    assert_eq!(entry(&[STP, MOV_X0_X1, ADRP_X9, RET], 0b10).0, 8);
    let ldp_x0_x1 = 0xa940_0400; // ldp x0, x1, [x0]
    assert_eq!(entry(&[ldp_x0_x1, ADRP_X9, RET], 0b10).0, 0);
    let ldr_post = 0xf840_8443; // ldr x3, [x2], #8
    assert_eq!(entry(&[ldr_post, ADRP_X9, RET], 0b100).0, 0);
    assert_eq!(entry(&[ldr_post, ADRP_X9, RET], 0b11).0, 4);
}

#[test]
fn not_behind_where_the_function_jumps_to() {
    let back = 0x54ff_ffe0; // b.eq .-4
    assert_eq!(entry(&[STP, MOV_FP, ADRP_X9, back], 0).0, 0, "to adrp");
    assert_eq!(entry(&[STP, MOV_FP, ADRP_X9, NOP, back], 0).0, 8, "behind it");
}

/// Where a jump through a register leads is not seen: only up to where the stack grows last.
#[test]
fn with_a_jump_through_a_register_only_up_to_the_frame() {
    assert_eq!(entry(&[STP, ADRP_X9, BR_X1], 0).0, 0);
    let sub_sp = 0xd100_83ff; // sub sp, sp, #32
    assert_eq!(entry(&[STP, ADRP_X9, sub_sp, BR_X1], 0).0, 4);
}

#[test]
fn what_the_kernel_refuses() {
    let refused = |word: u32| matches!(entry_site(&bytes(&[word]), 0, 0), Err(SiteError::Refused { .. }));
    let all = [
        (LDAXR, "ldaxr"),
        (0x5800_0040, "ldr x0, literal"),
        (0xd503_207f, "wfi"),
        (0xd503_23bf, "autiasp"),
        (0xd400_0001, "svc"),
        (0xd65f_0bff, "retaa"),
        (0xd71f_0801, "braa"),
        (0xd51b_d040, "msr tpidr_el0, x0"),
        (0, "udf"),
    ];
    for (word, name) in all {
        assert!(refused(word), "{name}");
    }
    assert!(!refused(0xf940_0000), "ldr x0, [x0]");
    assert!(!refused(0x88df_fc20), "ldar w0, [x1]");
    assert_eq!(entry_site(&[1, 2], 7, 0), Err(SiteError::NoCode { vaddr: 7 }));
    // Behind it a probe would clear what the store asks for, again and again.
    assert_eq!(entry(&[STP, LDAXR, ADRP_X9, RET], 0).0, 0);
}

#[test]
fn returns_and_jumps_out() {
    let inside = 0x1400_0002; // b .+8
    let before = 0x17ff_ffff; // b .-4
    let code = bytes(&[inside, RET, before, 0xd65f_0200, 0x1400_0010, NOP]);
    let sites = return_sites(&code, 0x1000, None).unwrap();
    let found: Vec<_> = sites.iter().map(|site| (site.at, site.instruction.as_str(), site.goes_on)).collect();
    assert_eq!(found, [(4, "ret", false), (12, "ret x16", false), (16, "b 0x1050", true)]);
    assert!(sites.iter().all(|site| site.cost == CostClass::Branch));
}

#[test]
fn a_switch_is_no_exit_and_a_pointer_is_one() {
    let at = |words: &[u32]| {
        return_sites(&bytes(words), 0x1000, None).unwrap().iter().map(|s| (s.at, s.goes_on)).collect::<Vec<_>>()
    };
    let (ldrb, adr, add) = (0x3860_5841, 0x1000_0062, 0x8b21_8841); // ldrb w1, [x2, w0, uxtw]; adr x2; add x1, x2, w1, sxtb #2
    assert_eq!(at(&[ldrb, adr, add, BR_X1, RET]), [(16, false)]);
    let ldr = 0xf940_0401; // ldr x1, [x0, #8]
    assert_eq!(at(&[ldr, BR_X1]), [(4, true)]);
    let (indexed, ldp_post) = (0xf860_7841, 0xa8c1_7bfd); // ldr x1, [x2, x0, lsl #3]; ldp x29, x30, [sp], #16
    assert_eq!(at(&[STP, indexed, BR_X1, RET]), [(12, false)]);
    assert_eq!(at(&[STP, indexed, ldp_post, BR_X1]), [(12, true)]);
    assert_eq!(at(&[indexed, BR_X1]), [(4, true)]);
}

#[test]
fn an_exit_that_cannot_be_probed_is_an_error() {
    let result = return_sites(&bytes(&[STP, 0xd65f_0bff]), 0x1000, None);
    assert!(matches!(&result, Err(SiteError::Refused { instruction, .. }) if instruction == "retaa"), "{result:?}");
    let leaves = 0x5400_8000; // b.eq, far
    assert!(return_sites(&bytes(&[leaves, RET]), 0x1000, None).is_err());
    assert_eq!(outward_jumps(&bytes(&[leaves, RET]), 0x1000), [0x2000]);
}

#[test]
fn the_cold_part_is_inside() {
    let hot = bytes(&[0x1400_0400, RET]); // b .+0x1000
    let cold = bytes(&[0x17ff_fc01, RET]); // b .-0xffc
    let at: Vec<_> = return_sites(&hot, 0x1000, Some((&cold, 0x2000))).unwrap().iter().map(|s| s.vaddr).collect();
    assert_eq!(at, [0x1004, 0x2004]);
}

#[test]
fn texts() {
    let text = |word: u32| Insn { word, at: 0x1000 }.text();
    assert_eq!(text(STP), "stp x29, x30, [sp, #-0x10]!");
    assert_eq!(text(RET), "ret");
    assert_eq!(text(BTI_C), "bti c");
    assert_eq!(text(0x9400_0010), "bl 0x1040");
    assert_eq!(text(0x5400_0040), "b.eq 0x1008");
    assert_eq!(text(0xb400_0040), "cbz x0, 0x1008");
    assert_eq!(text(0xb000_0009), "adrp x9, 0x2000");
    assert_eq!(text(0x1000_0042), "adr x2, 0x1008");
}
