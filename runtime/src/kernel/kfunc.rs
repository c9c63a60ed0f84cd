//! Numbers of kernel functions that programs may call, from the kernel's own BTF. Only headers of types are walked: a
//! few milliseconds where building all types takes ten times as long.

use std::{fs, io, path::Path};

use super::error::KernelError;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u32 = 0xeb9f;
const KIND_FUNC: u32 = 12;

/// The BTF id of each function, in the order of `names`; nothing for a function that this kernel does not have.
///
/// # Errors
/// [`KernelError::File`] if the kernel has no BTF or it cannot be read.
pub fn ids<const N: usize>(names: [&str; N]) -> Result<[Option<u32>; N], KernelError> {
    let path = Path::new(VMLINUX);
    let error = |source| KernelError::File { path: path.into(), source };
    let btf = fs::read(path).map_err(error)?;
    scan(&btf, names).ok_or_else(|| error(io::Error::new(io::ErrorKind::InvalidData, "not in BTF as it is known")))
}

fn scan<const N: usize>(btf: &[u8], names: [&str; N]) -> Option<[Option<u32>; N]> {
    if word(btf, 0)? & 0xffff != MAGIC {
        return None;
    }
    let header = word(btf, 4)? as usize;
    let section = |at: usize| -> Option<&[u8]> {
        let start = header.checked_add(word(btf, at)? as usize)?;
        btf.get(start..start.checked_add(word(btf, at + 4)? as usize)?)
    };
    let (types, strings) = (section(8)?, section(16)?);
    let mut found = [None; N];
    let (mut at, mut id) = (0, 1);
    while at < types.len() && found.contains(&None) {
        let (name, info) = (word(types, at)? as usize, word(types, at + 4)?);
        let kind = info >> 24 & 0x1f;
        if kind == KIND_FUNC {
            let text = strings.get(name..)?;
            for (slot, wanted) in found.iter_mut().zip(names) {
                if text.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                    *slot = Some(id);
                }
            }
        }
        at += 12 + trailing_bytes(kind, info as usize & 0xffff)?;
        id += 1;
    }
    Some(found)
}

/// Bytes behind a type's header, by `include/uapi/linux/btf.h`.
fn trailing_bytes(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // int, var, decl_tag
        1 | 14 | 17 => 4,
        // ptr, fwd, typedef, volatile, const, restrict, func, float, type_tag
        2 | 7..=12 | 16 | 18 => 0,
        // array
        3 => 12,
        // struct, union, datasec, enum64
        4 | 5 | 15 | 19 => 12 * members,
        // enum, func_proto
        6 | 13 => 8 * members,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use profinfer_ebpf::btf::{Linkage, Types};

    #[test]
    fn finds_functions_by_their_whole_name() {
        let mut types = Types::new();
        let int = types.int();
        types.array(int, int, 3);
        types.function("longer_name", int, Linkage::Global);
        let id = types.function("longer", int, Linkage::Global);
        let btf = types.encode();
        assert_eq!(super::scan(&btf, ["longer", "long", "int"]), Some([Some(id), None, None]));
        assert_eq!(super::scan(&btf[..btf.len() - 1], ["longer"]), None, "cut short");
        assert_eq!(super::scan(b"\x7fELF\x02\x01\x01\0", ["longer"]), None);
    }
}
