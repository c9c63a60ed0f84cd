use std::fs;

use super::super::testing::Built;
use super::super::{Held, LaunchOptions, executable_files};
use super::*;

const LIBRARY: &str = "
    int exported(void) { return 1; }
    static __attribute__((noinline)) int hidden(int a) { return a + 2; }
    int second(int a) { return hidden(a) + exported(); }
    int data = 7;
    extern int elsewhere(void);
    int third(void) { return elsewhere(); }
    static int chosen(void) { return 3; }
    static void *choose(void) { return chosen; }
    int indirect(void) __attribute__((ifunc(\"choose\")));
";

fn library(flags: &[&str]) -> Built {
    Built::new("c", LIBRARY, &[&["-O1", "-shared", "-fPIC"], flags].concat())
}

#[test]
fn names_and_functions() {
    let built = library(&["-Wl,--build-id=0x00ff12"]);
    let module = built.module();
    assert_eq!((module.arch(), module.build_id()), (Arch::X86_64, Some("00ff12")));
    for (name, expected) in [("exported", true), ("data", true), ("hidden", false), ("elsewhere", false), ("", false)] {
        assert_eq!(module.exports(name), expected, "{name}");
    }
    for (name, expected) in
        [("exported", true), ("hidden", true), ("data", false), ("elsewhere", false), ("indirect", false)]
    {
        assert_eq!(module.function(name).is_some(), expected, "{name}");
    }
    let exported = module.function("exported").unwrap();
    assert!(module.code(&exported).ends_with(&[0xc3]), "{exported:?}");
    assert_eq!(module.read(exported.vaddr, exported.size), Some(module.code(&exported)));
    assert_eq!(module.read(u64::MAX, 2), None);
    let offset = usize::try_from(exported.file_offset).unwrap();
    assert_eq!(&fs::read(&built.path).unwrap()[offset..][..module.code(&exported).len()], module.code(&exported));
}

#[test]
fn a_stripped_file_keeps_what_it_exports() {
    let built = library(&["-fcf-protection=full"]);
    let stripped = built.stripped().module();
    assert!(stripped.is_stripped() && !built.module().is_stripped());
    assert_eq!(stripped.function("second"), built.module().function("second"));
    assert_eq!(stripped.function("hidden"), None);
    assert!(stripped.exports("data"));
    assert_eq!(stripped.build_id(), built.module().build_id());
}

#[test]
fn cet_is_told_by_the_note() {
    let source = "int f(void) { return 1; }";
    let is_cet = |flag| Built::new("c", source, &["-shared", "-nostdlib", flag]).module().is_cet();
    assert!(is_cet("-fcf-protection=full"));
    assert!(!is_cet("-fcf-protection=none"));
}

#[test]
fn programs_export_by_their_full_table() {
    let source = "int visible(void) { return 1; } static int own(void) { return 2; } int main(void) { return own(); }";
    for flags in [&["-static"][..], &["-static-pie"], &["-no-pie"], &["-pie"]] {
        let module = Built::new("c", source, flags).module();
        assert!(module.defines("visible") && !module.defines("own"), "{flags:?}");
        assert!(!module.exports("visible"), "{flags:?}");
    }
    assert!(!Built::new("c", source, &["-shared", "-fPIC", "-fvisibility=hidden"]).module().defines("visible"));
}

#[test]
fn exports_are_found_whichever_hash_table_the_file_has() {
    for style in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv", "-Wl,--hash-style=both"] {
        let module = library(&[style]).stripped().module();
        assert!(module.exports("second") && module.exports("data"), "{style}");
        assert!(!module.exports("hidden") && !module.exports("no_such_name") && !module.exports(""), "{style}");
        assert!(module.exported_function("second").is_some_and(|f| f.size > 0), "{style}");
    }
}

#[test]
fn what_a_file_needs_is_told() {
    let module = Built::new("c", "int main(void) { return 0; }", &["-Wl,--no-as-needed", "-lm"]).module();
    let needed = module.needed();
    assert!(needed.contains(&"libm.so.6") && needed.contains(&"libc.so.6"), "{needed:?}");
    assert!(library(&["-nostdlib"]).module().needed().is_empty());
}

#[test]
fn a_size_that_is_not_told_is_found() {
    // By the unwind table, exactly; without it up to the next symbol, or to the end of the section.
    let source = "
        .text; .globl a, b, c
        .type a, @function; a: .cfi_startproc; nop; nop; ret; .cfi_endproc; .balign 16
        .type b, @function; b: nop; ret; .balign 16
        .type c, @function; c: ret; nop; nop; nop; nop";
    let built =
        Built::new("assembler-with-cpp", &source.replace("; ", "\n"), &["-shared", "-nostdlib", "-Wl,--eh-frame-hdr"]);
    for module in [built.module(), built.stripped().module()] {
        let sizes = ["a", "b", "c"].map(|name| module.function(name).unwrap().size);
        assert_eq!(sizes, [3, 16, 5]);
    }
}

#[test]
fn unwind_tables_agree_with_symbols() {
    let module = library(&[]).module();
    let frames = module.eh_frame().unwrap();
    for name in ["exported", "hidden", "second", "third"] {
        let function = module.function(name).unwrap();
        for inside in [function.vaddr, function.vaddr + function.size - 1] {
            let range = frames.at_or_before(inside).unwrap();
            assert_eq!((range.start, range.size), (function.vaddr, Some(function.size)), "{name}");
        }
        assert!(frames.next_start(function.vaddr).is_none_or(|next| next >= function.vaddr + function.size));
    }
    assert_eq!(frames.at_or_before(0), None);
}

#[test]
fn what_is_no_elf_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Module::open_file(&path).unwrap_err()
    };
    assert!(matches!(error(b"#!/bin/sh\n"), TargetError::NotElf { .. }));
    assert!(matches!(error(b""), TargetError::NotElf { .. }));
    assert!(matches!(error(b"\x7fELF\x01\x01\x01"), TargetError::Unsupported { found, .. } if found == "32 bits"));
    assert!(matches!(error(b"\x7fELF\x02\x01\x01"), TargetError::Malformed { .. }));
    fs::remove_file(&path).unwrap();
    assert!(matches!(Module::open_file(&path), Err(TargetError::OpenFile { .. })));
    assert!(matches!(Module::open_file(folder.path()), Err(TargetError::OpenFile { .. })));
}

/// A function whose address both the loader and the file know.
#[unsafe(no_mangle)]
extern "C" fn profinfer_marker_of_the_module_tests() -> u32 {
    std::hint::black_box(4711)
}

#[test]
fn the_bias_leads_from_the_file_to_memory() {
    assert_eq!(profinfer_marker_of_the_module_tests(), 4711);
    let process = Process::open(std::process::id()).unwrap();
    let mappings = process.mappings().unwrap();
    let own = executable_files(&mappings).into_iter().find(|m| Some(m.path.as_path()) == process.exe()).unwrap();
    let module = Module::open(&process, own).unwrap();
    let marker = module.function("profinfer_marker_of_the_module_tests").unwrap();
    let address = profinfer_marker_of_the_module_tests as *const () as u64;
    // Other tests of this program have the whole file mapped, beside what the loader did.
    let by_loader = |m: &&Mapping| m.end - m.start < module.data().len() as u64;
    for mapping in mappings.iter().filter(|m| m.identity() == own.identity()).filter(by_loader) {
        assert_eq!(module.bias(mapping).unwrap().wrapping_add(marker.vaddr), address, "{mapping:?}");
    }
    assert!(fs::read(module.attach_path()).unwrap() == *module.data(), "the path leads to the same file");
}

/// A program held before its first instruction, when itself and the loader are mapped.
fn held(program: &Path) -> (Held, Process) {
    let held = Held::spawn(&[program.into()], LaunchOptions::default()).unwrap();
    let process = Process::open(held.pid()).unwrap();
    (held, process)
}

#[test]
fn the_file_that_is_mapped_is_opened_even_if_replaced_or_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a program @ 1");
    fs::copy("/bin/sleep", &path).unwrap();
    let (_held, process) = held(&path);
    let own = |process: &Process| {
        let mappings = process.mappings().unwrap();
        executable_files(&mappings).into_iter().find(|mapping| mapping.path == path).unwrap().clone()
    };
    let bytes = fs::read("/bin/sleep").unwrap();

    let mapping = own(&process);
    let module = Module::open(&process, &mapping).unwrap();
    assert_eq!((module.path(), Some(module.identity())), (path.as_path(), mapping.identity()));

    fs::remove_file(&path).unwrap();
    fs::write(&path, "another").unwrap();
    let mapping = own(&process);
    assert!(mapping.deleted);
    let replaced = Module::open(&process, &mapping).unwrap();
    assert!(replaced.data() == bytes && replaced.identity() == module.identity());

    fs::remove_file(&path).unwrap();
    let deleted = Module::open(&process, &own(&process)).unwrap();
    assert!(deleted.data() == bytes && fs::read(deleted.attach_path()).unwrap() == bytes);
}

#[test]
fn all_modules_of_a_process() {
    let (_held, process) = held(Path::new("/bin/sleep"));
    let modules = Module::all(&process).unwrap();
    let names: Vec<_> = modules.iter().filter_map(|module| module.path().file_name()?.to_str()).collect();
    assert!(matches!(names.as_slice(), ["sleep", loader] if loader.starts_with("ld-")), "{names:?}");
    assert_eq!(Some(modules[0].path()), process.exe());
}
