//! Sites in x86-64 code.

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, EncodingKind, FlowControl, Formatter, GasFormatter, Instruction,
    InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::{CostClass, FlagTest, Site, SiteError};

/// The registers of the first six integer arguments.
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// How many instructions past the entry are looked at: farther on, "the entry" would no longer be true in time either.
const MAX_WALK: usize = 64;

/// How many instructions before an indirect jump may compute its target.
const MAX_LOOK_BACK: usize = 16;

pub(super) fn entry_site(code: &[u8], vaddr: u64, args_used: u8) -> Result<Site, SiteError> {
    let sweep = Sweep::new(code, vaddr);
    let first = sweep.instructions.first().ok_or(SiteError::NoCode { vaddr })?;
    if first.is_invalid() {
        return Err(SiteError::Undecodable { vaddr, at: 0 });
    }
    let walk = sweep.straight_line(args_used);
    let emulated = walk.iter().find(|step| matches!(step.class, Class::Emulated(_)));
    let stepped = || walk.iter().find(|step| matches!(step.class, Class::Stepped));
    let Some(step) = emulated.or_else(stepped) else {
        let reason = match &walk[0].class {
            Class::Refused(reason) => reason,
            _ => "a five-byte nop, where newest kernels have bugs",
        };
        return Err(SiteError::Refused { vaddr, instruction: text(first), reason });
    };
    let at = step.instruction.ip() - vaddr;
    let (cost, why) = match (&step.class, at) {
        (Class::Emulated(cost), 0) => (*cost, "the entry, which the kernel emulates".to_owned()),
        (Class::Emulated(cost), _) => {
            (*cost, format!("the first instruction that the kernel emulates, {at} bytes past the entry"))
        }
        (_, 0) => {
            (CostClass::Step, "the entry: nothing that the kernel emulates can be reached with all intact".into())
        }
        _ => (CostClass::Step, format!("the first instruction that the kernel accepts, {at} bytes past the entry")),
    };
    Ok(site(&step.instruction, vaddr, cost, step.stack_intact, why))
}

pub(super) fn return_sites(code: &[u8], vaddr: u64, cold: Option<(&[u8], u64)>) -> Result<Vec<Site>, SiteError> {
    if code.is_empty() {
        return Err(SiteError::NoCode { vaddr });
    }
    let parts = [Some((code, vaddr)), cold];
    let inside =
        |target: u64| parts.iter().flatten().any(|(code, start)| (*start..start + code.len() as u64).contains(&target));
    let mut sites = Vec::new();
    for (code, start) in parts.into_iter().flatten() {
        let sweep = Sweep::new(code, start);
        for (number, instruction) in sweep.instructions.iter().enumerate() {
            if instruction.is_invalid() {
                let at = instruction.ip();
                return Err(SiteError::Undecodable { vaddr: at, at: at.wrapping_sub(vaddr) });
            }
            let why = match instruction.flow_control() {
                FlowControl::Return => "returns",
                FlowControl::UnconditionalBranch if !inside(instruction.near_branch_target()) => {
                    "jumps to another function"
                }
                FlowControl::ConditionalBranch if !inside(instruction.near_branch_target()) => {
                    "jumps to another function if its condition holds"
                }
                FlowControl::IndirectBranch if !sweep.is_table_jump(number) => "jumps to a function that it computed",
                _ => continue,
            };
            let cost = match classify(instruction, sweep.bytes(instruction)) {
                Class::Emulated(cost) => cost,
                Class::Refused(reason) => {
                    let (vaddr, instruction) = (instruction.ip(), text(instruction));
                    return Err(SiteError::Refused { vaddr, instruction, reason });
                }
                Class::Stepped | Class::FiveByteNop => CostClass::Step,
            };
            let taken_if = flag_test(instruction.condition_code());
            let goes_on = instruction.flow_control() != FlowControl::Return;
            sites.push(Site { taken_if, goes_on, ..site(instruction, vaddr, cost, false, why.to_owned()) });
        }
    }
    sites.sort_by_key(|site| site.vaddr);
    Ok(sites)
}

/// Bytes of the first instruction.
pub(super) fn first_length(code: &[u8], vaddr: u64) -> usize {
    Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE).decode().len()
}

pub(super) fn behind_call(code: &[u8], vaddr: u64, call: u64, next: u64) -> Result<Option<Site>, SiteError> {
    let sweep = Sweep::new(code, vaddr);
    let Ok(at) = sweep.instructions.binary_search_by_key(&call, Instruction::ip) else { return Ok(None) };
    let is_call = matches!(sweep.instructions[at].flow_control(), FlowControl::Call | FlowControl::IndirectCall);
    if !is_call || sweep.instructions[at].next_ip() != next {
        return Ok(None);
    }
    let mut refused = None;
    for instruction in &sweep.instructions[at + 1..] {
        if instruction.is_invalid() {
            break;
        }
        let cost = match classify(instruction, sweep.bytes(instruction)) {
            Class::Emulated(cost) => cost,
            Class::Stepped | Class::FiveByteNop => CostClass::Step,
            Class::Refused(reason) => {
                refused.get_or_insert((instruction.ip(), text(instruction), reason));
                // A jump or a change of the stack, and it would not be the place behind the call any more.
                if instruction.flow_control() != FlowControl::Next || instruction.stack_pointer_increment() != 0 {
                    break;
                }
                continue;
            }
        };
        return Ok(Some(site(instruction, vaddr, cost, false, "behind a call".to_owned())));
    }
    match refused {
        Some((vaddr, instruction, reason)) => Err(SiteError::Refused { vaddr, instruction, reason }),
        None => Ok(None),
    }
}

/// Where the direct jumps go that leave this code.
pub(super) fn outward_jumps(code: &[u8], vaddr: u64) -> Vec<u64> {
    let inside = vaddr..vaddr + code.len() as u64;
    let is_jump = |instruction: &&Instruction| {
        matches!(instruction.flow_control(), FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch)
    };
    let jumps = Sweep::new(code, vaddr).instructions;
    jumps
        .iter()
        .filter(is_jump)
        .map(Instruction::near_branch_target)
        .filter(|target| !inside.contains(target))
        .collect()
}

fn site(instruction: &Instruction, vaddr: u64, cost: CostClass, stack_intact: bool, why: String) -> Site {
    Site {
        vaddr: instruction.ip(),
        at: instruction.ip().wrapping_sub(vaddr),
        file_offset: 0,
        instruction: text(instruction),
        cost,
        stack_intact,
        taken_if: None,
        goes_on: false,
        why,
    }
}

fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_uppercase_hex(false);
    formatter.format(instruction, &mut text);
    text
}

/// What the kernel does with a probe on an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Emulated(CostClass),
    FiveByteNop,
    Stepped,
    Refused(&'static str),
}

/// One instruction that can be the site of an entry.
#[derive(Debug)]
struct Step {
    instruction: Instruction,
    class: Class,
    /// The stack pointer is as it was at the entry.
    stack_intact: bool,
}

/// All instructions of a piece of code, from its first byte to its last.
struct Sweep<'code> {
    code: &'code [u8],
    vaddr: u64,
    instructions: Vec<Instruction>,
}

impl<'code> Sweep<'code> {
    /// Decodes up to the end or the first byte that begins no instruction, which then is the last, invalid one.
    fn new(code: &'code [u8], vaddr: u64) -> Self {
        let mut decoder = Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE);
        let mut instructions = Vec::with_capacity(code.len() / 4);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            instructions.push(instruction);
            if instruction.is_invalid() {
                break;
            }
        }
        Self { code, vaddr, instructions }
    }

    fn bytes(&self, instruction: &Instruction) -> &'code [u8] {
        let start = usize::try_from(instruction.ip() - self.vaddr).unwrap_or(usize::MAX);
        self.code.get(start..).and_then(|rest| rest.get(..instruction.len())).unwrap_or_default()
    }

    /// The instructions that are executed exactly once in every call, from the entry on, with all used arguments
    /// intact. Never empty.
    fn straight_line(&self, args_used: u8) -> Vec<Step> {
        let used: Vec<Register> =
            (0..).zip(ARGUMENTS).filter(|(n, _)| args_used >> n & 1 == 1).map(|(_, r)| r).collect();
        let landing = self.first_landing();
        let mut info = InstructionInfoFactory::new();
        let mut walk = Vec::new();
        let mut stack_intact = true;
        let mut last_growth = 0;
        for (number, instruction) in self.instructions.iter().take(MAX_WALK).enumerate() {
            if instruction.is_invalid() || number > 0 && instruction.ip() >= landing {
                break;
            }
            let class = classify(instruction, self.bytes(instruction));
            walk.push(Step { instruction: *instruction, class, stack_intact });
            if grows_stack(instruction) {
                last_growth = number;
            }
            let mut overwrites_argument = false;
            for register in info.info(instruction).used_registers() {
                if writes(register.access()) {
                    let full = register.register().full_register();
                    stack_intact &= full != Register::RSP;
                    overwrites_argument |= used.contains(&full);
                }
            }
            if overwrites_argument || instruction.flow_control() != FlowControl::Next {
                break;
            }
        }
        if self.instructions.iter().any(leads_anywhere) {
            walk.truncate(last_growth + 1);
        }
        walk
    }

    /// The lowest address past the entry that a branch of this code goes to. If the code was not understood to its
    /// end, that may be anything.
    fn first_landing(&self) -> u64 {
        if self.instructions.last().is_some_and(Instruction::is_invalid) {
            return self.vaddr + 1;
        }
        let targets = self.instructions.iter().filter(|instruction| {
            matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch
                    | FlowControl::ConditionalBranch
                    | FlowControl::Call
                    | FlowControl::XbeginXabortXend
            )
        });
        let is_near = |instruction: &&Instruction| instruction.near_branch_target() != 0;
        let past_entry = |target: &u64| *target > self.vaddr;
        targets.filter(is_near).map(Instruction::near_branch_target).filter(past_entry).min().unwrap_or(u64::MAX)
    }

    /// The indirect jump with this number goes through a table of this function (`switch`, computed `goto`).
    fn is_table_jump(&self, number: usize) -> bool {
        let jump = &self.instructions[number];
        if jump.segment_prefix() == Register::DS {
            return true; // `notrack`: without it a target must be a function, or marked as if
        }
        let before = self.block_before(number);
        if jump.op0_kind() == OpKind::Memory {
            return jump.memory_index() != Register::None && self.is_own_table(jump, before);
        }
        let target = jump.op0_register().full_register();
        let mut info = InstructionInfoFactory::new();
        let Some(computes) = before.iter().rposition(|instruction| overwrites(&mut info, instruction, target)) else {
            return false;
        };
        let compute = &before[computes];
        match compute.mnemonic() {
            // base + (offset from a table of four-byte offsets)
            Mnemonic::Add | Mnemonic::Lea => before[..computes].iter().any(|instruction| {
                let loads_offset = matches!(instruction.mnemonic(), Mnemonic::Movsxd | Mnemonic::Mov)
                    && instruction.memory_index() != Register::None
                    && instruction.memory_index_scale() == 4;
                let loaded = instruction.op0_register().full_register();
                loads_offset && (loaded == target || uses(compute, loaded))
            }),
            Mnemonic::Mov if compute.op1_kind() == OpKind::Memory && compute.memory_index() != Register::None => {
                compute.memory_index_scale() == 8 && self.is_own_table(compute, before)
            }
            _ => false,
        }
    }

    /// Whether a load from a table of eight-byte pointers reads places in this function or other functions. A table at
    /// a fixed address is the compiler's. Else it is a tail call only where the frame has been given up or there is none.
    fn is_own_table(&self, load: &Instruction, before: &[Instruction]) -> bool {
        let has_frame = self.instructions.iter().any(grows_stack);
        let frame_given_up = before.iter().any(|instruction| instruction.stack_pointer_increment() > 0);
        load.memory_base() == Register::None || has_frame && !frame_given_up
    }

    /// The instructions that lead straight to this one.
    fn block_before(&self, number: usize) -> &[Instruction] {
        let window = &self.instructions[number.saturating_sub(MAX_LOOK_BACK)..number];
        let start = window.iter().rposition(|instruction| {
            !matches!(instruction.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch)
        });
        &window[start.map_or(0, |start| start + 1)..]
    }
}

/// An indirect jump of which the target cannot be told to be outside.
fn leads_anywhere(instruction: &Instruction) -> bool {
    instruction.flow_control() == FlowControl::IndirectBranch && !instruction.is_ip_rel_memory_operand()
}

fn grows_stack(instruction: &Instruction) -> bool {
    let subtracts = instruction.mnemonic() == Mnemonic::Sub && instruction.op0_register() == Register::RSP;
    instruction.flow_control() == FlowControl::Next && (subtracts || instruction.stack_pointer_increment() < 0)
}

fn writes(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn overwrites(info: &mut InstructionInfoFactory, instruction: &Instruction, register: Register) -> bool {
    let used = info.info(instruction).used_registers();
    used.iter().any(|used| used.register().full_register() == register && writes(used.access()))
}

fn uses(instruction: &Instruction, register: Register) -> bool {
    let operands = [instruction.op0_register(), instruction.op1_register()];
    let address = [instruction.memory_base(), instruction.memory_index()];
    operands.into_iter().chain(address).any(|operand| operand != Register::None && operand.full_register() == register)
}

/// What the kernel (`arch/x86/kernel/uprobes.c`) does with the instruction.
fn classify(instruction: &Instruction, bytes: &[u8]) -> Class {
    let has = |wanted: &[u8]| prefixes(bytes).iter().any(|prefix| wanted.contains(prefix));
    if has(&[0xf0]) {
        return Class::Refused("it has a lock prefix");
    }
    if has(&[0x26, 0x2e, 0x36, 0x3e]) {
        return Class::Refused("it has a segment prefix");
    }
    if instruction.code().encoding() != EncodingKind::Legacy {
        // It takes some of them, by an opcode that it reads as if it were another instruction's: not to be relied on.
        return Class::Refused("it is a vector instruction in VEX or EVEX encoding");
    }
    if instruction.is_privileged()
        || matches!(instruction.flow_control(), FlowControl::Interrupt | FlowControl::Exception)
    {
        return Class::Refused("it traps by itself");
    }
    if instruction.op0_register() == Register::SS {
        return Class::Refused("it holds back exceptions");
    }
    match instruction.code() {
        Code::Jmp_rel8_64 | Code::Jmp_rel32_64 | Code::Call_rel32_64 => branch(&has),
        _ if instruction.is_jcc_short_or_near() => branch(&has),
        Code::Push_r64 if matches!(bytes, [0x50..=0x57] | [0x41, 0x50..=0x57]) => Class::Emulated(CostClass::Push),
        Code::Nopw | Code::Nopd | Code::Nopq => Class::Emulated(CostClass::Nop),
        Code::Nop_rm16 | Code::Nop_rm32 | Code::Nop_rm64 => match bytes {
            // Only the forms that the kernel itself writes count as nops there.
            [0x0f, 0x1f, 0x44, 0, 0] => Class::FiveByteNop,
            [0x0f, 0x1f, 0x00]
            | [0x0f, 0x1f, 0x40, 0]
            | [0x66, 0x0f, 0x1f, 0x44, 0, 0]
            | [0x0f, 0x1f, 0x80, 0, 0, 0, 0]
            | [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0] => Class::Emulated(CostClass::Nop),
            _ => Class::Stepped,
        },
        _ => Class::Stepped,
    }
}

fn branch(has: &impl Fn(&[u8]) -> bool) -> Class {
    if has(&[0x66]) {
        Class::Refused("it is a branch with an operand-size prefix")
    } else {
        Class::Emulated(CostClass::Branch)
    }
}

/// The legacy prefixes of an instruction.
fn prefixes(bytes: &[u8]) -> &[u8] {
    let is_prefix =
        |byte: &u8| matches!(*byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3);
    &bytes[..bytes.iter().position(|byte| !is_prefix(byte)).unwrap_or(bytes.len())]
}

/// Bits of the flags register.
const CARRY: u32 = 1;
const PARITY: u32 = 1 << 2;
const ZERO: u32 = 1 << 6;
const SIGN: u32 = 1 << 7;
const OVERFLOW: u32 = 1 << 11;

/// What a condition asks of the flags; `None` for an unconditional jump and those that ask a register.
fn flag_test(condition: ConditionCode) -> Option<FlagTest> {
    let (any_set, signs_differ, negated) = match condition {
        ConditionCode::None => return None,
        ConditionCode::o => (OVERFLOW, false, false),
        ConditionCode::no => (OVERFLOW, false, true),
        ConditionCode::b => (CARRY, false, false),
        ConditionCode::ae => (CARRY, false, true),
        ConditionCode::e => (ZERO, false, false),
        ConditionCode::ne => (ZERO, false, true),
        ConditionCode::be => (CARRY | ZERO, false, false),
        ConditionCode::a => (CARRY | ZERO, false, true),
        ConditionCode::s => (SIGN, false, false),
        ConditionCode::ns => (SIGN, false, true),
        ConditionCode::p => (PARITY, false, false),
        ConditionCode::np => (PARITY, false, true),
        ConditionCode::l => (0, true, false),
        ConditionCode::ge => (0, true, true),
        ConditionCode::le => (ZERO, true, false),
        ConditionCode::g => (ZERO, true, true),
    };
    Some(FlagTest { any_set, signs_differ, negated })
}

#[cfg(test)]
mod tests;
