//! A few types written out as BTF: what task storage and programs with callbacks cannot do without.

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: u32 = 24;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const SIGNED: u32 = 1;

/// Types in the making; ids count from 1, as the kernel counts.
#[derive(Debug)]
pub(super) struct Types {
    words: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    /// Only its own program, as a callback must be.
    Static = 0,
    /// Anybody.
    Global = 1,
}

impl Types {
    pub(super) fn new() -> Self {
        Self { words: Vec::new(), strings: vec![0], count: 0 }
    }

    /// `int`, signed, 4 bytes.
    pub(super) fn int(&mut self) -> u32 {
        self.integer("int", 4, SIGNED)
    }

    /// An unsigned integer of 8 bytes.
    pub(super) fn u64(&mut self) -> u32 {
        self.integer("u64", 8, 0)
    }

    /// `len` elements of type `element`, counted by type `index`.
    pub(super) fn array(&mut self, element: u32, index: u32, len: u32) -> u32 {
        self.add(&[0, KIND_ARRAY << 24, 0, element, index, len])
    }

    /// A function without described parameters.
    pub(super) fn function(&mut self, name: &str, returns: u32, linkage: Linkage) -> u32 {
        let prototype = self.add(&[0, KIND_FUNC_PROTO << 24, returns]);
        let name = self.string(name);
        self.add(&[name, (KIND_FUNC << 24) | linkage as u32, prototype])
    }

    /// Header, types and strings, as `BPF_BTF_LOAD` takes them.
    pub(super) fn encode(&self) -> Vec<u8> {
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
