//! What a hit costs here with a program that does nothing, by the kind of instruction that is probed.

use std::thread::JoinHandle;

use crate::kernel::{KernelError, Toll};
use crate::target::CostClass;

/// Tolls by what the kernel has to do for a hit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tolls {
    emulated: Toll,
    jumped: Toll,
    stepped: Toll,
}

impl Tolls {
    /// Measures them in the background: some 10 ms of one processor.
    pub(super) fn measure() -> JoinHandle<Result<Tolls, KernelError>> {
        std::thread::spawn(|| {
            Ok(Tolls {
                emulated: Toll::measure(emulated)?,
                jumped: Toll::measure(jumped)?,
                stepped: Toll::measure(stepped)?,
            })
        })
    }

    /// What a hit of an instruction of that kind costs.
    pub(super) fn of(&self, class: CostClass) -> Toll {
        match class {
            CostClass::Nop5 | CostClass::Nop | CostClass::Push => self.emulated,
            CostClass::Branch | CostClass::Address => self.jumped,
            CostClass::Step => self.stepped,
        }
    }

    #[cfg(test)]
    pub(super) fn fixed(hit: f64, counting: f64, empty: f64) -> Tolls {
        let toll = Toll { hit, counting, empty };
        Tolls { emulated: toll, jumped: toll, stepped: Toll { hit: 10.0 * hit, ..toll } }
    }
}

/// A function whose first instruction the kernel emulates.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn emulated() {
    std::arch::naked_asm!("push rbp", "pop rbp", "ret")
}

/// A function whose first instruction is a jump.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn jumped() {
    std::arch::naked_asm!("jmp 2f", "2:", "ret")
}

/// A function whose first instruction the kernel has to step over.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn stepped() {
    std::arch::naked_asm!("mov eax, edi", "ret")
}

/// A function whose first instruction the kernel emulates.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn emulated() {
    std::arch::naked_asm!("nop", "ret")
}

/// A function whose first instruction is a jump.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn jumped() {
    std::arch::naked_asm!("b 2f", "2:", "ret")
}

/// A function whose first instruction the kernel has to step over.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn stepped() {
    std::arch::naked_asm!("mov x0, x1", "ret")
}
