use super::super::testing::Built;
use super::*;

/// Two tables with something between them, and a table that begins like the right one.
const SOURCE: &str = r#"
    int x;
    static const char *const FALSE_START[] = { "NONE", "DUP", "other" };
    static const char *const OP_NAME[] = { "NONE", "DUP", "ADD", "MUL_MAT", "GLU", "CONV_2D" };
    static const char *const OP_SYMBOL[] = { "none", "x", "x+y" };
    const char *op_name(int i) { return OP_NAME[i]; }
    const char *op_symbol(int i) { return OP_SYMBOL[i]; }
    const char *false_start(int i) { return FALSE_START[i]; }
    int main(void) { return 0; }
"#;
const NAMES: [&str; 6] = ["NONE", "DUP", "ADD", "MUL_MAT", "GLU", "CONV_2D"];
const ANCHORS: [&str; 3] = ["NONE", "DUP", "ADD"];

fn check(flags: &[&str]) {
    let built = Built::new("c", SOURCE, flags);
    let full = built.module();
    assert_eq!(by_symbol(&full, &Pointers::read(&full), "OP_NAME").unwrap(), NAMES, "{flags:?} by its symbol");
    assert_eq!(name_table(&full, "OP_NAME", &ANCHORS).unwrap(), NAMES);
    let stripped = built.stripped().module();
    assert_eq!(stripped.variable("OP_NAME"), None);
    assert_eq!(name_table(&stripped, "OP_NAME", &ANCHORS).unwrap(), NAMES, "{flags:?} by its contents");
    assert_eq!(name_table(&stripped, "OP_NAME", &["NONE", "DUP", "SUB"]), None);
    assert_eq!(name_table(&stripped, "OP_NAME", &[]), None);
    // Whatever it holds, a table with a symbol is taken as it is.
    assert_eq!(name_table(&full, "OP_SYMBOL", &[]).unwrap(), ["none", "x", "x+y"]);
    assert_eq!(name_table(&full, "x", &[]), None, "not a table");
}

#[test]
fn a_library_with_relative_relocations() {
    check(&["-O1", "-shared", "-fPIC"]);
}

#[test]
fn packed_relative_relocations() {
    check(&["-O1", "-shared", "-fPIC", "-Wl,-z,pack-relative-relocs"]);
}

#[test]
fn programs_position_independent_and_not() {
    check(&["-O1", "-pie", "-fPIE"]);
    check(&["-O1", "-no-pie", "-fno-pie"]);
    check(&["-O1", "-static"]);
    check(&["-O1", "-static-pie", "-fPIE"]);
}

#[test]
fn relocations_against_symbols_of_the_file() {
    let source = r#"
        .section .rodata; .globl n, d, a; n: .string "NONE"; d: .string "DUP"; a: .string "ADD"
        .section .data.rel.ro, "aw"; .balign 8; .type OP_NAME, @object
        OP_NAME: .quad n; .quad d; .quad a; .size OP_NAME, 24"#;
    let built = Built::new("assembler-with-cpp", &source.replace("; ", "\n"), &["-shared", "-nostdlib"]);
    for module in [built.module(), built.stripped().module()] {
        assert_eq!(name_table(&module, "OP_NAME", &ANCHORS).unwrap(), ANCHORS);
    }
}
