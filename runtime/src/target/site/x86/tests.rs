//! Each test is a function in assembler (or C) and the sites that are right for it.

use super::super::super::testing::Built;
use super::super::{CostClass, Site, SiteError};
use super::*;

/// The first argument is read.
const FIRST: u8 = 1;

fn entry(body: &str, args_used: u8) -> Result<Site, SiteError> {
    let module = Built::function(body).module();
    module.entry_site(&module.function("f").unwrap(), args_used)
}

/// Offset, text and cost of the entry site.
fn chosen(body: &str, args_used: u8) -> (u64, String, CostClass) {
    let site = entry(body, args_used).unwrap();
    (site.at, site.instruction, site.cost)
}

fn exits(body: &str) -> Vec<(u64, String)> {
    let module = Built::function(body).module();
    let sites = module.return_sites(&module.function("f").unwrap()).unwrap();
    sites.into_iter().map(|site| (site.at, site.instruction)).collect()
}

mod entries {
    use super::*;

    #[test]
    fn a_push_at_the_entry() {
        let site = entry("push %rbp; mov %rsp, %rbp; pop %rbp; ret", FIRST).unwrap();
        assert_eq!((site.at, site.instruction.as_str(), site.cost), (0, "push %rbp", CostClass::Push));
        assert!(site.stack_intact);
        assert_eq!(site.file_offset & 0xfff, site.vaddr & 0xfff);
    }

    #[test]
    fn the_push_behind_endbr64() {
        assert_eq!(chosen("endbr64; push %r12; pop %r12; ret", FIRST), (4, "push %r12".into(), CostClass::Push));
    }

    #[test]
    fn a_loop_to_the_push_rejects_it() {
        assert_eq!(chosen("endbr64; 1: push %rax; pop %rax; dec %edi; jne 1b; ret", 0).0, 0);
        // Behind the push it does no harm.
        assert_eq!(chosen("endbr64; push %rax; 1: nop; dec %edi; jne 1b; pop %rax; ret", 0).0, 4);
    }

    #[test]
    fn a_used_argument_that_is_overwritten_ends_the_walk() {
        let body = "mov $1, %edi; push %rbx; pop %rbx; ret";
        assert_eq!(chosen(body, FIRST), (0, "mov $1, %edi".into(), CostClass::Step));
        assert_eq!(chosen(body, 0b10), (5, "push %rbx".into(), CostClass::Push));
        // A part of the register counts too, and so does an exchange.
        assert_eq!(chosen("movb $1, %dil; push %rbx; pop %rbx; ret", FIRST).0, 0);
        assert_eq!(chosen("xchg %rsi, %r9; push %rbx; pop %rbx; ret", 0b10_0000).0, 0);
        // The instruction that overwrites it can itself be the site: the probe fires before it runs.
        assert_eq!(chosen("mov %rdi, %rax; call g; ret; g: ret", FIRST), (3, "call 0x1009".into(), CostClass::Branch));
    }

    #[test]
    fn a_jump_is_a_site_and_ends_the_walk() {
        assert_eq!(chosen("test %rdi, %rdi; je 1f; push %rax; pop %rax; 1: ret", FIRST).0, 3);
        assert_eq!(chosen("test %rdi, %rdi; jmp 1f; 1: ret", FIRST).2, CostClass::Branch);
        assert_eq!(chosen("xor %eax, %eax; ret; nop", FIRST), (0, "xor %eax, %eax".into(), CostClass::Step));
    }

    #[test]
    fn nops_but_not_the_five_byte_one() {
        assert_eq!(chosen("xor %eax, %eax; nop; ret", 0), (2, "nop".into(), CostClass::Nop));
        assert_eq!(chosen("xor %eax, %eax; .byte 0x0f,0x1f,0x40,0; ret", 0).2, CostClass::Nop);
        assert_eq!(chosen("xor %eax, %eax; .byte 0x0f,0x1f,0x44,0,0; ret", 0).0, 0);
        assert_eq!(chosen(".byte 0x0f,0x1f,0x44,0,0; push %rax; pop %rax; ret", 0).0, 5);
        assert_eq!(
            chosen(".byte 0x0f,0x1f,0x44,0,0; xor %eax, %eax; ret", 0),
            (5, "xor %eax, %eax".into(), CostClass::Step)
        );
        // One that is a nop to the processor but not among those the kernel knows.
        assert_eq!(chosen("xor %eax, %eax; .byte 0x0f,0x1f,0x40,8; ret", 0).0, 0);
    }

    #[test]
    fn what_the_kernel_refuses_is_passed_over() {
        assert_eq!(chosen("vpxor %xmm0, %xmm0, %xmm0; mov %rdi, %rax; ret", FIRST).0, 4);
        assert_eq!(chosen("lock incl (%rdi); push %rax; pop %rax; ret", FIRST).0, 3);
        let error = entry("lock incl (%rdi); 1: dec %edi; jne 1b; ret", 0).unwrap_err();
        assert!(matches!(error, SiteError::Refused { reason: "it has a lock prefix", .. }), "{error}");
        assert!(error.to_string().contains("lock incl (%rdi)"), "{error}");
        assert!(matches!(
            entry(".byte 0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0; 1: jmp 1b", 0),
            Err(SiteError::Refused { .. })
        ));
    }

    #[test]
    fn past_the_push_the_stack_has_moved() {
        let site = entry("sub $8, %rsp; nop; add $8, %rsp; ret", 0).unwrap();
        assert_eq!((site.at, site.stack_intact), (4, false));
    }

    #[test]
    fn a_switch_may_lead_anywhere_but_never_before_a_push() {
        let switch = "lea t(%rip), %rax; movslq (%rax,%rdi,4), %rdx; add %rax, %rdx; jmp *%rdx; t: .long 0";
        assert_eq!(chosen(&format!("mov %rdi, %rax; nop; {switch}"), FIRST).0, 0);
        assert_eq!(chosen(&format!("mov %rdi, %rax; push %rbx; {switch}"), FIRST).0, 3);
        assert_eq!(chosen(&format!("mov %rdi, %rax; nop; sub $8, %rsp; {switch}"), FIRST).0, 3);
        // A jump through the table of imports leaves the function for good.
        assert_eq!(chosen("mov %rdi, %rax; nop; jmp *g@GOTPCREL(%rip)", FIRST).0, 3);
    }

    #[test]
    fn bytes_that_are_no_instructions() {
        assert!(matches!(entry(".byte 0x06", 0), Err(SiteError::Undecodable { at: 0, .. })));
        // What comes after them could lead anywhere, so only the entry is safe.
        assert_eq!(chosen("xor %eax, %eax; nop; ret; .byte 0x06", 0).0, 0);
        assert_eq!(entry_site(&[], 7, 0), Err(SiteError::NoCode { vaddr: 7 }));
    }

    #[test]
    fn compiled_c_starts_behind_its_endbr64() {
        let source = "long g(long); long f(long a) { long s = 0; for (long i = 0; i < a; i++) s += g(i); return s; }";
        let cet = Built::new("c", source, &["-O2", "-shared", "-fPIC", "-fcf-protection=full"]).module();
        let site = cet.entry_site(&cet.function("f").unwrap(), FIRST).unwrap();
        assert!(site.at >= 4 && site.cost < CostClass::Step, "{site:?}");
        let plain = Built::new("c", source, &["-O2", "-shared", "-fPIC", "-fcf-protection=none"]).module();
        let site = plain.entry_site(&plain.function("f").unwrap(), FIRST).unwrap();
        assert!(site.cost < CostClass::Step, "{site:?}");
    }
}

mod returns {
    use super::*;

    #[test]
    fn every_return() {
        assert_eq!(
            exits("test %edi, %edi; je 1f; ret; 1: rep ret; ret $8"),
            [(4, "ret".into()), (5, "rep ret".into()), (7, "ret $8".into())]
        );
    }

    #[test]
    fn tail_calls_but_no_jumps_inside() {
        let found = exits("f1: dec %edi; jne f1; jmp f2; f2: jmp g@PLT");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.starts_with("jmp 0x"), "{found:?}");
        assert_eq!(exits("jmp *g@GOTPCREL(%rip)").len(), 1);
        assert_eq!(exits("jmp *%rsi"), [(0, "jmp *%rsi".into())]);
        assert_eq!(exits("mov (%rdi), %rax; jmp *0x20(%rax)"), [(3, "jmpq *0x20(%rax)".into())]);
        assert_eq!(exits("1: jmp 1b"), []);
    }

    #[test]
    fn a_conditional_tail_call_says_when() {
        let module = Built::function("cmp %rsi, %rdi; jle g; ret; .size f, .-f; g: ret").module();
        // The last `.size` counts, so `g` is outside only by its own symbol: cut the code by hand.
        let f = module.function("f").unwrap();
        let sites = return_sites(&module.code(&f)[..6], f.vaddr, None).unwrap();
        let [jump, ret] = sites.as_slice() else { panic!("{sites:?}") };
        let test = jump.taken_if.unwrap();
        assert_eq!((jump.at, ret.at, ret.taken_if), (3, 5, None));
        assert!(test.holds(0x40) && test.holds(0x80) && test.holds(0x800));
        assert!(!test.holds(0x880) && !test.holds(0x1));
    }

    #[test]
    fn all_conditions() {
        // Every condition against its opposite, for every setting of the five flags.
        let bits = [0, 2, 6, 7, 11];
        for number in 0..8_u8 {
            let code = [0x70 + 2 * number, 0x10, 0x71 + 2 * number, 0x10];
            let sites = return_sites(&code, 0x1000, None).unwrap();
            let [plain, opposite] = [sites[0].taken_if.unwrap(), sites[1].taken_if.unwrap()];
            let mut taken = 0;
            for setting in 0..32_u64 {
                let flags = bits.iter().zip(0..).map(|(bit, n)| (setting >> n & 1) << bit).sum();
                assert_ne!(plain.holds(flags), opposite.holds(flags), "{}", sites[0].instruction);
                taken += u32::from(plain.holds(flags));
            }
            // One of two flags is set, or two differ, or one of three: the rest asks one flag.
            assert_eq!(taken, [16, 16, 16, 24, 16, 16, 16, 24][usize::from(number)], "{}", sites[0].instruction);
        }
    }

    #[test]
    fn a_switch_is_no_exit() {
        let table = "; t: .long 0";
        assert_eq!(
            exits(&format!("lea t(%rip), %rdx; movslq (%rdx,%rax,4), %rax; add %rdx, %rax; jmp *%rax{table}")),
            []
        );
        assert_eq!(
            exits(&format!("lea t(%rip), %rdx; movslq (%rdx,%rax,4), %rax; add %rax, %rdx; jmp *%rdx{table}")),
            []
        );
        assert_eq!(exits("notrack jmp *%rax"), []);
        assert_eq!(exits("jmp *0x1000(,%rax,8)"), []);
        // `goto *table[i]` in a function with a frame, and `return table[i](…)` behind the end of the frame.
        assert_eq!(exits("push %rbx; jmp *(%rdx,%rax,8)"), []);
        assert_eq!(exits("push %rbx; pop %rbx; jmp *(%rdx,%rax,8)").len(), 1);
    }

    #[test]
    fn switches_and_tail_calls_as_compiled() {
        let source = "
            int g(int), h(int); extern int (*hook)(int);
            int f(int a) { switch (a) {
                case 0: return g(1); case 1: return h(2); case 2: return g(3) + 1; case 3: return h(a) * 2;
                case 4: return g(9) - h(1); case 5: return hook(a); case 6: return 17; default: return h(3); } }";
        for (cet, pic) in [("none", "-fPIC"), ("full", "-fPIC")] {
            let cet = format!("-fcf-protection={cet}");
            let module = Built::new("c", source, &["-O2", "-shared", pic, &cet]).module();
            let f = module.function("f").unwrap();
            let sites = module.return_sites(&f).unwrap();
            let texts: Vec<_> = sites.iter().map(|site| site.instruction.as_str()).collect();
            let returns = texts.iter().filter(|text| **text == "ret").count();
            let direct = texts.iter().filter(|text| text.starts_with("jmp 0x")).count();
            let indirect = texts.iter().filter(|text| text.starts_with("jmp *") || text.starts_with("jmpq *")).count();
            let code = disassembly(&module);
            assert!(returns >= 1 && direct >= 2, "{texts:#?}\n{code}");
            assert_eq!(indirect, 1, "the hook, and not the switch: {texts:#?}\n{code}");
        }
    }

    #[test]
    fn jumps_to_the_cold_part_and_its_own_exits() {
        let source = "
            __attribute__((cold, noreturn)) void die(int); __attribute__((cold)) int rare(int); void g(int);
            int f(int a, int b) { if (a < 0) { rare(b); g(b); if (b) die(a); return b; } g(a); return a + b; }";
        let built = Built::new("c", source, &["-O2", "-shared", "-fPIC"]);
        let module = built.module();
        let f = module.function("f").unwrap();
        let cold = module.cold_part(&f).expect("gcc moves the call of a cold function away");
        let sites = module.return_sites(&f).unwrap();
        let inside = |site: &&Site| (cold.vaddr..cold.vaddr + cold.size).contains(&site.vaddr);
        let text = disassembly(&module);
        assert!(sites.iter().all(|site| site.instruction == "ret"), "{sites:#?}\n{text}");
        assert!(sites.iter().any(|site| !inside(&site)), "{sites:#?}\n{text}");
        let cold_returns = Sweep::new(module.code(&cold), cold.vaddr).instructions;
        let cold_returns = cold_returns.iter().filter(|instruction| instruction.mnemonic() == Mnemonic::Ret).count();
        assert_eq!(sites.iter().filter(inside).count(), cold_returns, "{text}");
        // A stripped file does not name it, but its unwind table starts with a frame already there.
        let stripped = built.stripped().module();
        let unnamed = stripped.cold_part(&f).unwrap();
        assert_eq!((unnamed.vaddr, unnamed.size, unnamed.file_offset), (cold.vaddr, cold.size, cold.file_offset));
        assert_eq!(stripped.return_sites(&f).unwrap(), sites);
        // Without knowing the cold part, the jump to it looks like a tail call.
        let blind = return_sites(module.code(&f), f.vaddr, None).unwrap();
        assert!(blind.iter().any(|site| site.taken_if.is_some()), "{blind:#?}\n{text}");
    }

    #[test]
    fn bytes_that_are_no_instructions() {
        let module = Built::function("ret; .byte 0x06; ret").module();
        let error = module.return_sites(&module.function("f").unwrap()).unwrap_err();
        assert!(matches!(error, SiteError::Undecodable { at: 1, .. }), "{error}");
    }

    fn disassembly(module: &super::super::super::super::Module) -> String {
        let f = module.function("f").unwrap();
        let sweep = Sweep::new(module.code(&f), f.vaddr).instructions;
        sweep.iter().map(|instruction| format!("{:x}: {}\n", instruction.ip(), text(instruction))).collect()
    }
}
