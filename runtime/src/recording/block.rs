//! The file: a head of 12 bytes, then blocks, each with its checksum and, where that makes it smaller, packed.

use std::io::{self, ErrorKind, Read, Write};

/// What a recording begins with. Its line ends are those of both worlds, so that a transfer as text is noticed.
pub const MAGIC: [u8; 8] = *b"\x89PIREC\r\n";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Bytes of a block at most, unpacked.
pub const MAX_BLOCK: usize = 16 << 20;
/// Bytes before each block: kind, number, length unpacked, length as it lies there, checksum of what lies there, checksum of
/// the 20 bytes before.
const HEAD: usize = 24;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says, in `head` and `about`")]
pub enum Kind {
    Head = 1,
    Begin = 2,
    Source = 3,
    Process = 4,
    Events = 5,
    End = 6,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Head, Self::Begin, Self::Source, Self::Process, Self::Events, Self::End];
}

/// A block: its kind and what it holds.
pub type Block = (Kind, Vec<u8>);

/// Why a recording is read no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum Damage {
    #[error("it was not ended")]
    NotEnded,
    #[error("it is cut off in the middle of a block, at byte {0}")]
    CutOff(u64),
    #[error("the block at byte {0} is damaged")]
    Block(u64),
    #[error("there is something behind its end, from byte {0} on")]
    BehindEnd(u64),
}

/// What cannot be read as a recording at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum BlockError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it is no recording of profinfer")]
    NoRecording,
    #[error(
        "its format has the version {0}; this profinfer reads version {VERSION}: replay it with the profinfer that recorded it"
    )]
    Version(u32),
    #[error("its beginning is damaged: {0}")]
    Beginning(Damage),
}

/// Writes blocks.
#[derive(Debug)]
pub struct BlockWriter<W> {
    out: W,
    number: u32,
    /// Bytes written so far.
    pub bytes: u64,
}

impl<W: Write> BlockWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, number: 0, bytes: 12 })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// It cannot be written, or is larger than a block may be.
    pub fn block(&mut self, kind: Kind, raw: &[u8]) -> io::Result<()> {
        if raw.len() > MAX_BLOCK {
            return Err(io::Error::other(format!("a block of {} bytes, the most is {MAX_BLOCK}", raw.len())));
        }
        let packed = lz4_flex::block::compress(raw);
        let lies = if packed.len() < raw.len() { packed.as_slice() } else { raw };
        let mut head = Vec::with_capacity(HEAD);
        for n in [kind as u32, self.number, raw.len() as u32, lies.len() as u32, crc32fast::hash(lies)] {
            head.extend_from_slice(&n.to_le_bytes());
        }
        head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        // In one piece: what is cut off is cut off in as few places as can be.
        head.extend_from_slice(lies);
        self.out.write_all(&head)?;
        self.number += 1;
        self.bytes += head.len() as u64;
        Ok(())
    }

    /// Hands over what may still be kept back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What is written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Reads blocks.
#[derive(Debug)]
pub struct BlockReader<R> {
    from: R,
    number: u32,
    /// Where the next block begins.
    at: u64,
}

impl<R: Read> BlockReader<R> {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// [`BlockError`]: it is no recording, or of another version.
    pub fn new(mut from: R) -> Result<Self, BlockError> {
        let mut head = [0; 12];
        let n = fill(&mut from, &mut head)?;
        if n < 8 || head[..8] != MAGIC {
            return Err(BlockError::NoRecording);
        }
        if n < 12 {
            return Err(BlockError::Beginning(Damage::CutOff(8)));
        }
        match u32::from_le_bytes([head[8], head[9], head[10], head[11]]) {
            VERSION => Ok(Self { from, number: 0, at: 12 }),
            other => Err(BlockError::Version(other)),
        }
    }

    /// Where the next block begins, in bytes.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next block; none at the end of the file.
    ///
    /// # Errors
    /// The outer: the file cannot be read. The inner: the block is not whole.
    pub fn next_block(&mut self) -> io::Result<Result<Option<Block>, Damage>> {
        let mut head = [0; HEAD];
        let n = fill(&mut self.from, &mut head)?;
        if n == 0 {
            return Ok(Ok(None));
        }
        if n < HEAD {
            return Ok(Err(Damage::CutOff(self.at)));
        }
        let word = |i: usize| u32::from_le_bytes([head[4 * i], head[4 * i + 1], head[4 * i + 2], head[4 * i + 3]]);
        let damaged = || Ok(Err(Damage::Block(self.at)));
        let (raw, lies) = (word(2) as usize, word(3) as usize);
        let kind = Kind::ALL.into_iter().find(|k| *k as u32 == word(0));
        if crc32fast::hash(&head[..20]) != word(5) || word(1) != self.number || raw > MAX_BLOCK || lies > raw {
            return damaged();
        }
        let Some(kind) = kind else { return damaged() };
        let mut bytes = vec![0; lies];
        if fill(&mut self.from, &mut bytes)? < lies {
            return Ok(Err(Damage::CutOff(self.at)));
        }
        if crc32fast::hash(&bytes) != word(4) {
            return damaged();
        }
        if lies < raw {
            match lz4_flex::block::decompress(&bytes, raw) {
                Ok(unpacked) if unpacked.len() == raw => bytes = unpacked,
                _ => return damaged(),
            }
        }
        self.number += 1;
        self.at += (HEAD + lies) as u64;
        Ok(Ok(Some((kind, bytes))))
    }
}

/// Reads as much as there is; how many bytes that are.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < into.len() {
        match from.read(&mut into[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = BlockWriter::new(Vec::new()).unwrap();
        writer.block(Kind::Head, b"a head").unwrap();
        writer.block(Kind::Events, &[7; 1000]).unwrap();
        writer.block(Kind::End, b"").unwrap();
        writer.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Block>, Option<Damage>), BlockError> {
        let mut reader = BlockReader::new(bytes)?;
        let mut all = Vec::new();
        loop {
            match reader.next_block()? {
                Ok(Some(block)) => all.push(block),
                Ok(None) => return Ok((all, None)),
                Err(damage) => return Ok((all, Some(damage))),
            }
        }
    }

    #[test]
    fn blocks_come_out_as_they_went_in() {
        let (all, damage) = read(&file()).unwrap();
        assert_eq!(damage, None);
        assert_eq!(all, [(Kind::Head, b"a head".to_vec()), (Kind::Events, vec![7; 1000]), (Kind::End, Vec::new())]);
    }

    #[test]
    fn whatever_bit_is_wrong_is_noticed() {
        let (whole, file) = (read(&file()).unwrap().0, file());
        for bit in 0..8 * file.len() {
            let mut wrong = file.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            match read(&wrong) {
                Err(_) => assert!(bit < 8 * 12, "bit {bit}"),
                Ok((all, damage)) => {
                    assert!(damage.is_some(), "bit {bit} was not noticed");
                    assert_eq!(all, whole[..all.len()], "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_read_up_to_there() {
        let (whole, file) = (read(&file()).unwrap().0, file());
        let ends: Vec<usize> = {
            let mut reader = BlockReader::new(&file[..]).unwrap();
            let mut ends = vec![12];
            while let Ok(Ok(Some(_))) = reader.next_block() {
                ends.push(reader.at() as usize);
            }
            ends
        };
        for n in 0..file.len() {
            match read(&file[..n]) {
                Err(_) => assert!(n < 12),
                Ok((all, damage)) => {
                    assert_eq!(damage.is_none(), ends.contains(&n), "{n} bytes");
                    assert_eq!(all, whole[..all.len()]);
                    assert_eq!(all.len() + 1, ends.iter().filter(|e| **e <= n).count());
                }
            }
        }
    }

    #[test]
    fn other_files_and_versions_are_named() {
        assert!(matches!(read(b""), Err(BlockError::NoRecording)));
        assert!(matches!(read(b"{\"a\": 1}\n and more"), Err(BlockError::NoRecording)));
        let mut newer = file();
        newer[8] = 9;
        assert!(matches!(read(&newer), Err(BlockError::Version(9))));
    }
}
