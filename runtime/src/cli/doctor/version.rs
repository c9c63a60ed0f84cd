//! The text that a function gives back, read from its code where that is all it does.

use iced_x86::{Code, Decoder, DecoderOptions, Register};

use crate::cli::page::clean;
use crate::target::{Arch, Function, Module};

/// The longest text that is believed to be a version, in bytes.
const LONGEST: u64 = 64;

/// The constant text that a function returns: its code is an address and a return, nothing else. Nothing if it is not
/// there, does anything more, or on another processor.
pub(super) fn read(module: &Module, function: &Function) -> Option<String> {
    if module.arch() != Arch::X86_64 {
        return None;
    }
    let address = returned_address(module.code(function), function.vaddr)?;
    let mut text = Vec::new();
    for at in 0..LONGEST {
        match module.read(address + at, 1)?.first()? {
            0 => return printable(text),
            byte => text.push(*byte),
        }
    }
    None
}

/// `lea address(%rip), %rax` (or `mov $address, %eax`) and `ret`, behind `endbr64` or not.
fn returned_address(code: &[u8], vaddr: u64) -> Option<u64> {
    let decoder = Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE);
    let mut insns = decoder.into_iter().filter(|i| i.code() != Code::Endbr64);
    let (first, second) = (insns.next()?, insns.next()?);
    let address = match first.code() {
        Code::Lea_r64_m if first.op0_register() == Register::RAX && first.is_ip_rel_memory_operand() => {
            first.ip_rel_memory_address()
        }
        Code::Mov_r32_imm32 if first.op0_register() == Register::EAX => u64::from(first.immediate32()),
        _ => return None,
    };
    (second.code() == Code::Retnq).then_some(address)
}

fn printable(text: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(text).ok().filter(|t| !t.is_empty())?;
    Some(clean(&text))
}

#[cfg(test)]
mod tests {
    use super::returned_address;

    #[test]
    fn only_a_function_that_gives_back_a_constant_is_believed() {
        let lea_ret = [0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0xc3];
        assert_eq!(returned_address(&lea_ret, 0x1000), Some(0x1017));
        let cet = [&[0xf3, 0x0f, 0x1e, 0xfa][..], &lea_ret].concat();
        assert_eq!(returned_address(&cet, 0x1000), Some(0x101b));
        let mov_ret = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3];
        assert_eq!(returned_address(&mov_ret, 0x1000), Some(0x1234_5678));
        let calls_more = [&lea_ret[..7], &[0xe8, 0, 0, 0, 0, 0xc3]].concat();
        assert_eq!(returned_address(&calls_more, 0x1000), None);
        let other_register = [0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0xc3];
        assert_eq!(returned_address(&other_register, 0x1000), None);
        assert_eq!(returned_address(&[], 0x1000), None);
    }
}
