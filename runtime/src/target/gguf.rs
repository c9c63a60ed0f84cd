//! The table of tensors of a GGUF file: which tensor lies where in it.
//!
//! The file is whatever a process has mapped under such a name, so nothing in it is believed: every length is bounded, what is
//! skipped is not read into memory, and a table that does not fit the file is refused as a whole.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

/// The first bytes of such a file.
const MAGIC: &[u8; 4] = b"GGUF";
/// Bytes of all that stands before the tensors.
const MAX_HEADER: u64 = 256 << 20;
/// Tensors of a file.
const MAX_TENSORS: u64 = 65_536;
/// Entries of metadata, and elements of one of their arrays that have to be looked at one by one.
const MAX_ENTRIES: u64 = 4 << 20;
/// Bytes of a tensor's name, and of a key.
const MAX_NAME: u64 = 256;
/// Arrays within arrays.
const MAX_DEPTH: u32 = 4;
/// Dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 8;
/// Where data begins is a multiple of this, unless the file says otherwise.
const ALIGNMENT: u64 = 32;
/// The key that says otherwise.
const ALIGNMENT_KEY: &[u8] = b"general.alignment";

/// A file that is no GGUF file, or not a sane one.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum GgufError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it does not begin with GGUF")]
    NotGguf,
    #[error("its version {0} is not known: 2 and 3 are")]
    Version(u32),
    #[error("it says {what} of {number}, and {limit} is the limit")]
    TooMuch { what: &'static str, number: u64, limit: u64 },
    #[error("it has metadata of a type that is not known: {0}")]
    Type(u32),
    #[error("tensor {name} begins behind the end of the file")]
    Outside { name: String },
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name: `blk.0.attn_q.weight`.
    pub name: String,
    /// Bytes from the start of the file to its data.
    pub offset: u64,
}

/// The tensors of a file in the order in which they lie there.
///
/// # Errors
/// [`GgufError`]: it is no such file, or what it says of itself is not sane.
pub fn tensors(file: &File) -> Result<Vec<Tensor>, GgufError> {
    let length = file.metadata()?.len();
    let mut header = Header { input: BufReader::new(file), at: 0 };
    header.input.seek(SeekFrom::Start(0))?;
    if header.bytes::<4>()? != *MAGIC {
        return Err(GgufError::NotGguf);
    }
    match header.u32()? {
        2 | 3 => {}
        other => return Err(GgufError::Version(other)),
    }
    let number = within("tensors", header.u64()?, MAX_TENSORS)?;
    let entries = within("entries of metadata", header.u64()?, MAX_ENTRIES)?;
    let mut alignment = ALIGNMENT;
    for _ in 0..entries {
        let key = header.text(MAX_NAME)?;
        let kind = header.u32()?;
        if key == ALIGNMENT_KEY && kind == 4 {
            alignment = u64::from(header.u32()?);
        } else {
            header.skip_value(kind, 0)?;
        }
    }
    let mut all = Vec::new();
    for _ in 0..number {
        let name = String::from_utf8_lossy(&header.text(MAX_NAME)?).into_owned();
        let dimensions = header.u32()?;
        within("dimensions", dimensions.into(), MAX_DIMENSIONS.into())?;
        header.skip(8 * u64::from(dimensions) + 4)?;
        all.push(Tensor { name, offset: header.u64()? });
    }
    if alignment == 0 || !alignment.is_power_of_two() || alignment > MAX_HEADER {
        return Err(GgufError::TooMuch { what: "an alignment", number: alignment, limit: MAX_HEADER });
    }
    let data = header.at.next_multiple_of(alignment);
    for tensor in &mut all {
        let offset = data.checked_add(tensor.offset).filter(|at| *at < length);
        tensor.offset = offset.ok_or_else(|| GgufError::Outside { name: tensor.name.clone() })?;
    }
    all.sort_by_key(|t| t.offset);
    Ok(all)
}

fn within(what: &'static str, number: u64, limit: u64) -> Result<u64, GgufError> {
    if number > limit { Err(GgufError::TooMuch { what, number, limit }) } else { Ok(number) }
}

/// What stands before the tensors, read from front to back.
struct Header<'f> {
    input: BufReader<&'f File>,
    at: u64,
}

impl Header<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), GgufError> {
        self.at += bytes.len() as u64;
        within("a header", self.at, MAX_HEADER)?;
        Ok(self.input.read_exact(bytes)?)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self, limit: u64) -> Result<Vec<u8>, GgufError> {
        let length = within("the length of a name", self.u64()?, limit)?;
        let mut text = vec![0; length as usize];
        self.read(&mut text)?;
        Ok(text)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), GgufError> {
        self.at = self.at.saturating_add(bytes);
        within("a header", self.at, MAX_HEADER)?;
        let by = i64::try_from(bytes).map_err(|_| io::Error::from(ErrorKind::UnexpectedEof))?;
        Ok(self.input.seek_relative(by)?)
    }

    /// Skips a value of metadata.
    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<(), GgufError> {
        if let Some(bytes) = width(kind) {
            return self.skip(bytes);
        }
        match kind {
            8 => {
                let length = self.u64()?;
                self.skip(length)
            }
            9 => {
                within("arrays in arrays", (depth + 1).into(), MAX_DEPTH.into())?;
                let (of, number) = (self.u32()?, self.u64()?);
                if let Some(bytes) = width(of) {
                    return self.skip(number.saturating_mul(bytes));
                }
                within("elements", number, MAX_ENTRIES)?;
                (0..number).try_for_each(|_| self.skip_value(of, depth + 1))
            }
            other => Err(GgufError::Type(other)),
        }
    }
}

/// Bytes of a value of a type, where it has always as many.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    fn text(into: &mut Vec<u8>, text: &str) {
        into.extend((text.len() as u64).to_le_bytes());
        into.extend(text.as_bytes());
    }

    /// A file of two tensors, the second one first in its table.
    fn sample() -> Vec<u8> {
        let mut b = b"GGUF".to_vec();
        b.extend(3u32.to_le_bytes());
        b.extend(2u64.to_le_bytes());
        b.extend(3u64.to_le_bytes());
        text(&mut b, "general.name");
        b.extend(8u32.to_le_bytes());
        text(&mut b, "a model");
        text(&mut b, "words");
        b.extend(9u32.to_le_bytes());
        b.extend(8u32.to_le_bytes());
        b.extend(2u64.to_le_bytes());
        text(&mut b, "one");
        text(&mut b, "two");
        text(&mut b, "general.alignment");
        b.extend(4u32.to_le_bytes());
        b.extend(64u32.to_le_bytes());
        for (name, offset) in [("b", 64u64), ("a", 0)] {
            text(&mut b, name);
            b.extend(1u32.to_le_bytes());
            b.extend(8u64.to_le_bytes());
            b.extend(0u32.to_le_bytes());
            b.extend(offset.to_le_bytes());
        }
        b.resize(b.len().next_multiple_of(64) + 128, 7);
        b
    }

    #[test]
    fn tensors_are_found_in_order() {
        let bytes = sample();
        let data = bytes.len() as u64 - 128;
        let found = tensors(&file(&bytes)).expect("sane");
        let found: Vec<(&str, u64)> = found.iter().map(|t| (t.name.as_str(), t.offset)).collect();
        assert_eq!(found, [("a", data), ("b", data + 64)]);
    }

    #[test]
    fn a_table_that_does_not_fit_its_file_is_refused() {
        let bytes = sample();
        assert!(matches!(tensors(&file(&bytes[..bytes.len() - 100])), Err(GgufError::Outside { .. })));
        assert!(matches!(tensors(&file(b"GGML....")), Err(GgufError::NotGguf)));
        let mut version = bytes.clone();
        version[4] = 9;
        assert!(matches!(tensors(&file(&version)), Err(GgufError::Version(9))));
    }

    /// Every cut and every single wrong byte ends with a table or an error, soon, and without taking memory for it.
    #[test]
    fn nothing_in_it_is_believed() {
        let bytes = sample();
        for end in 0..bytes.len() {
            let _any = tensors(&file(&bytes[..end]));
        }
        for at in 0..bytes.len() - 128 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] = value;
                let _any = tensors(&file(&wrong));
            }
        }
    }

    /// A length or number of 2^63 is refused before anything is made of it.
    #[test]
    fn lengths_are_bounded() {
        let mut bytes = sample();
        bytes[8..16].copy_from_slice(&(1u64 << 63).to_le_bytes());
        assert!(matches!(tensors(&file(&bytes)), Err(GgufError::TooMuch { what: "tensors", .. })));
        let mut bytes = sample();
        bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(tensors(&file(&bytes)), Err(GgufError::TooMuch { .. })));
    }
}
