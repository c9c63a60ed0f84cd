//! Instructions as 64-bit words: enough to look into a program, and to write the small ones that try a feature.

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC_CALL: u8 = 2;
const PSEUDO_FUNC: u8 = 4;

/// Helper `bpf_map_lookup_elem`.
pub(super) const MAP_LOOKUP: i32 = 1;
/// Helper `bpf_task_storage_get`.
pub(super) const TASK_STORAGE_GET: i32 = 156;
/// Helper `bpf_get_current_task_btf`.
pub(super) const CURRENT_TASK_BTF: i32 = 158;
/// Helper `bpf_get_attach_cookie`.
pub(super) const ATTACH_COOKIE: i32 = 174;
/// Helper `bpf_loop`.
pub(super) const LOOP: i32 = 181;

/// One instruction.
pub(super) const fn word(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (off.cast_unsigned() as u64) << 16
        | (imm.cast_unsigned() as u64) << 32
}

/// `dst = src`
pub(super) const fn mov(dst: u8, src: u8) -> u64 {
    word(0xbf, dst, src, 0, 0)
}

/// `dst = imm`
pub(super) const fn mov_imm(dst: u8, imm: i32) -> u64 {
    word(0xb7, dst, 0, 0, imm)
}

/// `dst += imm`
pub(super) const fn add_imm(dst: u8, imm: i32) -> u64 {
    word(0x07, dst, 0, 0, imm)
}

/// `*(u32 *)(dst + off) = imm`
pub(super) const fn store32_imm(dst: u8, off: i16, imm: i32) -> u64 {
    word(0x62, dst, 0, off, imm)
}

/// `*(u64 *)(dst + off) = src`
pub(super) const fn store64(dst: u8, off: i16, src: u8) -> u64 {
    word(0x7b, dst, src, off, 0)
}

/// `*(u64 *)(dst + off) += src`, atomically
pub(super) const fn add64(dst: u8, off: i16, src: u8) -> u64 {
    word(0xdb, dst, src, off, 0)
}

/// `if dst == imm goto +off`
pub(super) const fn jump_eq(dst: u8, imm: i32, off: i16) -> u64 {
    word(0x15, dst, 0, off, imm)
}

/// `call helper`
pub(super) const fn call(helper: i32) -> u64 {
    word(CALL, 0, 0, 0, helper)
}

/// `call` of a kernel function by its BTF id.
pub(super) const fn call_kfunc(id: u32) -> u64 {
    word(CALL, 0, PSEUDO_KFUNC_CALL, 0, id.cast_signed())
}

/// `dst = map`
pub(super) const fn map_fd(dst: u8, fd: i32) -> [u64; 2] {
    [word(LD_IMM64, dst, PSEUDO_MAP_FD, 0, fd), 0]
}

/// `dst = function`, which starts `distance` words behind the second one of this instruction.
pub(super) const fn function_address(dst: u8, distance: i32) -> [u64; 2] {
    [word(LD_IMM64, dst, PSEUDO_FUNC, 0, distance), 0]
}

/// `exit`
pub(super) const fn exit() -> u64 {
    word(0x95, 0, 0, 0, 0)
}

/// Whether an instruction takes two words.
pub(super) const fn is_wide(word: u64) -> bool {
    code(word) == LD_IMM64
}

/// Whether an instruction loads the address of a function of this program.
pub(super) const fn is_function_address(word: u64) -> bool {
    is_wide(word) && source(word) == PSEUDO_FUNC
}

/// Whether an instruction calls a function of this program.
pub(super) const fn is_local_call(word: u64) -> bool {
    code(word) == CALL && source(word) == PSEUDO_CALL
}

/// An instruction's immediate.
pub(super) const fn immediate(word: u64) -> i32 {
    ((word >> 32) as u32).cast_signed()
}

const fn code(word: u64) -> u8 {
    word as u8
}

const fn source(word: u64) -> u8 {
    (word >> 12) as u8 & 0xf
}
