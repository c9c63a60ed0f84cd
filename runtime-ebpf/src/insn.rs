//! eBPF instructions as the kernel takes them: 8 bytes each.
//!
//! Source: the kernel's `Documentation/bpf/standardization/instruction-set.rst`.

/// One instruction slot.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination in the low, source in the high four bits.
    pub regs: u8,
    /// Jump distance in instructions, or memory offset in bytes.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl Insn {
    /// The slot as the 8-byte little-endian word that `bpf(2)` takes.
    pub fn word(self) -> u64 {
        u64::from(self.code)
            | u64::from(self.regs) << 8
            | u64::from(self.off as u16) << 16
            | u64::from(self.imm as u32) << 32
    }

    /// Destination register.
    pub fn dst(self) -> u8 {
        self.regs & 0xf
    }

    /// Source register.
    pub fn src(self) -> u8 {
        self.regs >> 4
    }
}

/// A register, r0 to r10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reg(pub u8);

/// Return value of calls, result of expressions.
pub const R0: Reg = Reg(0);
/// First argument of calls.
pub const R1: Reg = Reg(1);
/// Second argument of calls.
pub const R2: Reg = Reg(2);
/// Third argument of calls.
pub const R3: Reg = Reg(3);
/// Fourth argument of calls.
pub const R4: Reg = Reg(4);
/// The probed thread's registers (`struct pt_regs`).
pub const CTX: Reg = Reg(6);
/// The thread's slot.
pub const SLOT: Reg = Reg(7);
/// The open record of the point at hand.
pub const RECORD: Reg = Reg(8);
/// The time of the hit, monotonic ns.
pub const NOW: Reg = Reg(9);
/// The stack's top.
pub const FP: Reg = Reg(10);

/// Helper functions of the kernel, by number (`include/uapi/linux/bpf.h`).
pub mod helper {
    #![expect(missing_docs, reason = "each is the kernel's own name")]
    pub const MAP_LOOKUP_ELEM: i32 = 1;
    pub const MAP_UPDATE_ELEM: i32 = 2;
    pub const MAP_DELETE_ELEM: i32 = 3;
    pub const KTIME_GET_NS: i32 = 5;
    pub const GET_SMP_PROCESSOR_ID: i32 = 8;
    pub const GET_CURRENT_PID_TGID: i32 = 14;
    pub const GET_CURRENT_COMM: i32 = 16;
    pub const GET_STACKID: i32 = 27;
    pub const GET_CURRENT_TASK: i32 = 35;
    pub const PERF_EVENT_READ_VALUE: i32 = 55;
    pub const SEND_SIGNAL: i32 = 109;
    pub const PROBE_READ_USER: i32 = 112;
    pub const PROBE_READ_KERNEL: i32 = 113;
    pub const PROBE_READ_USER_STR: i32 = 114;
    pub const PROBE_READ_KERNEL_STR: i32 = 115;
    pub const GET_NS_CURRENT_PID_TGID: i32 = 120;
    pub const RINGBUF_OUTPUT: i32 = 130;
    pub const TASK_STORAGE_GET: i32 = 156;
    pub const GET_CURRENT_TASK_BTF: i32 = 158;
    pub const GET_ATTACH_COOKIE: i32 = 174;
    pub const TASK_PT_REGS: i32 = 175;

    /// The kernel's name of a helper.
    pub fn name(number: i32) -> &'static str {
        match number {
            MAP_LOOKUP_ELEM => "map_lookup_elem",
            MAP_UPDATE_ELEM => "map_update_elem",
            MAP_DELETE_ELEM => "map_delete_elem",
            KTIME_GET_NS => "ktime_get_ns",
            GET_SMP_PROCESSOR_ID => "get_smp_processor_id",
            GET_CURRENT_PID_TGID => "get_current_pid_tgid",
            GET_CURRENT_COMM => "get_current_comm",
            GET_STACKID => "get_stackid",
            PROBE_READ_KERNEL => "probe_read_kernel",
            PROBE_READ_KERNEL_STR => "probe_read_kernel_str",
            TASK_PT_REGS => "task_pt_regs",
            GET_CURRENT_TASK => "get_current_task",
            PERF_EVENT_READ_VALUE => "perf_event_read_value",
            SEND_SIGNAL => "send_signal",
            PROBE_READ_USER => "probe_read_user",
            PROBE_READ_USER_STR => "probe_read_user_str",
            GET_NS_CURRENT_PID_TGID => "get_ns_current_pid_tgid",
            RINGBUF_OUTPUT => "ringbuf_output",
            TASK_STORAGE_GET => "task_storage_get",
            GET_CURRENT_TASK_BTF => "get_current_task_btf",
            GET_ATTACH_COOKIE => "get_attach_cookie",
            _ => "?",
        }
    }
}
