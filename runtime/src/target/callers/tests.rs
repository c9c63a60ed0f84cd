//! Libraries made by the real compiler, each with calls of one kind.

use super::super::testing::Built;

/// Calls `f` so often that a loop around it and what follows are seen, from a function and from one of another.
const CALLS: &str = "
    extern int f(int);
    int once(int n) { return f(n) + 1; }
    int twice(int n) { int s = 0; for (int i = 0; i < n; i++) s += f(i) * f(s + 3); return s; }
    int never(int n) { return n * 5; }
";
/// As that, with `f` in the same file.
const WITH_F: &str = "
    __attribute__((noinline)) int f(int n) { __asm__ volatile (\"\"); return n * 3; }
";

/// Functions and instructions behind calls of `f`.
fn behind(source: &str, flags: &[&str], stripped: bool) -> Vec<String> {
    let flags = [&["-shared", "-fPIC", "-O2"], flags].concat();
    let mut built = Built::new("c", source, &flags);
    if stripped {
        built = built.stripped();
    }
    let module = built.module();
    let sites = module.sites_behind_calls("f").unwrap();
    assert!(sites.iter().all(|site| site.file_offset & 0xfff == site.vaddr & 0xfff), "{sites:?}");
    let functions = ["once", "twice", "never"].map(|name| module.exported_function(name).unwrap());
    let around = |vaddr: u64| functions.iter().find(|f| (f.vaddr..f.vaddr + f.size).contains(&vaddr));
    sites.iter().map(|site| around(site.vaddr).unwrap_or_else(|| panic!("{site:?} is in none")).name.clone()).collect()
}

const EACH: [&str; 3] = ["once", "twice", "twice"];

#[test]
fn calls_through_the_stubs_of_the_linker() {
    assert_eq!(behind(CALLS, &[], false), EACH);
    assert_eq!(behind(CALLS, &["-fcf-protection=full", "-Wl,-z,ibtplt"], false), EACH);
    assert_eq!(behind(CALLS, &["-Wl,-z,now"], true), EACH);
}

#[test]
fn calls_through_the_words_of_the_loader() {
    assert_eq!(behind(CALLS, &["-fno-plt"], false), EACH);
}

#[test]
fn calls_within_the_file() {
    let source = format!("{WITH_F}{CALLS}");
    assert_eq!(behind(&source, &[], false), EACH);
    assert_eq!(behind(&source, &["-fno-semantic-interposition"], true), EACH);
}

#[test]
fn who_does_not_call_it_has_none() {
    assert_eq!(behind(&CALLS.replace("f(", "g("), &[], false), Vec::<String>::new());
}

/// Bytes that look like a call of it, inside of an instruction: no probe may go there.
#[test]
fn bytes_inside_of_an_instruction_are_no_call() {
    let source = "
        .text
        .globl f
        .type f, @function
        f: ret
        .size f, .-f
        .globl looks
        .type looks, @function
        looks:
        .cfi_startproc
        .byte 0x48, 0xb8, 0xe8                /* movabs $…, %rax, with a call in the number */
        .long f - (. + 4)
        .byte 0x90, 0x90, 0x90
        ret
        .cfi_endproc
        .size looks, .-looks
        .globl calls
        .type calls, @function
        calls:
        .cfi_startproc
        .byte 0xe8
        .long f - (. + 4)
        vmovaps %ymm0, %ymm1                  /* which the kernel refuses */
        ret
        .cfi_endproc
        .size calls, .-calls
        ";
    let built = Built::new("assembler-with-cpp", source, &["-shared", "-nostdlib"]);
    let module = built.module();
    let sites = module.sites_behind_calls("f").unwrap();
    let calls = module.function("calls").unwrap();
    assert_eq!(sites.iter().map(|site| site.vaddr).collect::<Vec<_>>(), [calls.vaddr + 9], "{sites:?}");
    assert_eq!(sites[0].instruction, "ret");
}
