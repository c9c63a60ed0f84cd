//! Libraries made by the real compiler, each with calls of one kind.

use std::collections::HashSet;

use super::super::testing::Built;
use super::super::{Module, Process, Site};
use super::{ENDBR, NEAR, THROUGH};

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

/// The plain way: every byte of all code is looked at, once for each function.
fn plainly(module: &Module, name: &str) -> Vec<Site> {
    let words = module.loader_words(&[name]);
    let code = module.code_sections();
    let is_word = |word: u64| words.at(word).next().is_some();
    let each = |wanted: &[u8], found: &mut dyn FnMut(u64, i64)| {
        for (start, bytes) in &code {
            for (at, window) in bytes.windows(wanted.len() + 4).enumerate().filter(|(_, w)| w.starts_with(wanted)) {
                let distance = i32::from_le_bytes(*window[wanted.len()..].first_chunk().unwrap());
                found(start + at as u64, i64::from(distance));
            }
        }
    };
    let mut entries: HashSet<u64> = module.function(name).map(|function| function.vaddr).into_iter().collect();
    each(&[0xff, 0x25], &mut |at, distance| {
        if is_word((at + THROUGH).wrapping_add_signed(distance)) {
            entries.insert(at);
            entries.extend(module.read(at - 4, 4).filter(|b| *b == ENDBR).map(|_| at - 4));
            entries.extend(module.read(at - 5, 5).filter(|b| b[..4] == ENDBR && b[4] == 0xf2).map(|_| at - 5));
        }
    });
    let mut calls = Vec::new();
    each(&[0xe8], &mut |at, distance| {
        let next = at + NEAR;
        calls.extend(entries.contains(&next.wrapping_add_signed(distance)).then_some((at, next)));
    });
    each(&[0xff, 0x15], &mut |at, distance| {
        let next = at + THROUGH;
        calls.extend(is_word(next.wrapping_add_signed(distance)).then_some((at, next)));
    });
    calls.sort_unstable();
    module.sites_behind(calls).unwrap()
}

/// Programs and libraries as they are shipped: this test itself, in which functions call each other directly, and what it has
/// loaded, which call what they import in every way there is.
#[test]
fn one_pass_finds_what_looking_at_every_byte_finds() {
    let process = Process::open(std::process::id()).unwrap();
    let mut found = 0;
    for module in Module::all(&process).unwrap() {
        let mut names: Vec<String> =
            ["malloc", "free", "memcpy", "memmove", "abort", "__errno_location", "pthread_self", "no_such_function"]
                .map(str::to_owned)
                .to_vec();
        // Some of its own.
        names.extend(module.functions_where(|_| true).into_iter().step_by(997).take(3).map(|f| f.name));
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        module.look_for_calls(&wanted);
        for name in wanted {
            let Ok(sites) = module.sites_behind_calls(name) else { continue };
            found += sites.len();
            assert_eq!(sites, plainly(&module, name), "calls of {name} in {}", module.path().display());
        }
    }
    assert!(found > 100, "{found} calls are too few to tell");
}
