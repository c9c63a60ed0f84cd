//! A few types written out as BTF: what task storage and programs with callbacks cannot do without, and what tells
//! loaders of an object file how its maps are to be made.
//!
//! Source: the kernel's `Documentation/bpf/btf.rst`.

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: u32 = 24;
const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const SIGNED: u32 = 1;
/// Bytes of a pointer.
const POINTER: u32 = 8;

/// Types in the making; ids count from 1, as the kernel counts.
#[derive(Debug, Default)]
pub struct Types {
    words: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// Only its own program, as a callback must be.
    Static = 0,
    /// Anybody.
    Global = 1,
}

impl Types {
    /// No types yet.
    pub fn new() -> Self {
        Self { words: Vec::new(), strings: vec![0], count: 0 }
    }

    /// `int`, signed, 4 bytes.
    pub fn int(&mut self) -> u32 {
        self.integer("int", 4, SIGNED)
    }

    /// An unsigned integer of 8 bytes.
    pub fn u64(&mut self) -> u32 {
        self.integer("u64", 8, 0)
    }

    /// `len` elements of type `element`, counted by type `index`.
    pub fn array(&mut self, element: u32, index: u32, len: u32) -> u32 {
        self.add(&[0, KIND_ARRAY << 24, 0, element, index, len])
    }

    /// A function without described parameters.
    pub fn function(&mut self, name: &str, returns: u32, linkage: Linkage) -> u32 {
        let prototype = self.add(&[0, KIND_FUNC_PROTO << 24, returns]);
        let name = self.string(name);
        self.add(&[name, (KIND_FUNC << 24) | linkage as u32, prototype])
    }

    /// A pointer to type `to`.
    pub fn pointer(&mut self, to: u32) -> u32 {
        self.add(&[0, KIND_PTR << 24, to])
    }

    /// A struct without a name, of pointers one behind the other: their names and types.
    pub fn pointers(&mut self, members: &[(&str, u32)]) -> u32 {
        let count = members.len() as u32;
        let mut words = vec![0, (KIND_STRUCT << 24) | count, POINTER * count];
        for (at, (name, of)) in (0..).zip(members) {
            words.extend([self.string(name), *of, 8 * POINTER * at]);
        }
        self.add(&words)
    }

    /// A variable that everybody knows.
    pub fn variable(&mut self, name: &str, of: u32) -> u32 {
        let name = self.string(name);
        self.add(&[name, KIND_VAR << 24, of, 1])
    }

    /// A section of data: of each variable its id, offset and size in bytes.
    pub fn section(&mut self, name: &str, variables: &[[u32; 3]]) -> u32 {
        let size = variables.iter().map(|[_, offset, size]| offset + size).max().unwrap_or(0);
        let name = self.string(name);
        let mut words = vec![name, (KIND_DATASEC << 24) | variables.len() as u32, size];
        words.extend(variables.iter().flatten());
        self.add(&words)
    }

    /// Header, types and strings, as `BPF_BTF_LOAD` takes them.
    pub fn encode(&self) -> Vec<u8> {
        let type_bytes = 4 * self.words.len() as u32;
        let mut out = Vec::with_capacity(HEADER_BYTES as usize + type_bytes as usize + self.strings.len());
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1, 0]);
        for word in [HEADER_BYTES, 0, type_bytes, type_bytes, self.strings.len() as u32] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(self.words.iter().flat_map(|word| word.to_ne_bytes()));
        out.extend(&self.strings);
        out
    }

    fn integer(&mut self, name: &str, bytes: u32, encoding: u32) -> u32 {
        let name = self.string(name);
        self.add(&[name, KIND_INT << 24, bytes, (encoding << 24) | (8 * bytes)])
    }

    fn add(&mut self, words: &[u32]) -> u32 {
        self.words.extend(words);
        self.count += 1;
        self.count
    }

    fn string(&mut self, text: &str) -> u32 {
        let offset = self.strings.len() as u32;
        self.strings.extend(text.bytes());
        self.strings.push(0);
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::Types;

    #[test]
    fn an_array_of_u64_takes_89_bytes() {
        let mut types = Types::new();
        let (int, u64) = (types.int(), types.u64());
        assert_eq!(types.array(u64, int, 4), 3);
        assert_eq!(types.encode().len(), 89);
    }
}
