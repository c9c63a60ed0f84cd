//! Where functions begin and end according to the unwind tables, which stay in stripped files.
//!
//! Only the sorted table of `.eh_frame_hdr` is used, in the one encoding that linkers write (relative to the section,
//! four bytes each); anything else counts as "unknown".

/// A start of a function and its length in bytes, if that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// Address of the first instruction.
    pub(super) start: u64,
    /// Length; `None` where the entry is encoded in a way not understood.
    pub(super) size: Option<u64>,
}

/// The rules that hold at the entry of any function, as compilers write them (without padding): on x86-64 the frame's
/// address is `rsp + 8` and the return address lies below it; on 64-bit Arm it is `sp`.
const PLAIN_FRAMES: [&[u8]; 2] = [&[0x0c, 7, 8, 0x90, 1], &[0x0c, 31]];

/// The unwind tables of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct EhFrame<'data> {
    /// Bytes and address of `.eh_frame_hdr`.
    pub(super) header: (&'data [u8], u64),
    /// Bytes and address of `.eh_frame`.
    pub(super) frames: (&'data [u8], u64),
}

impl EhFrame<'_> {
    /// The function that holds the address or is the last to begin before it.
    pub(super) fn at_or_before(&self, vaddr: u64) -> Option<Range> {
        let after = self.first_after(vaddr)?;
        self.entry(after.checked_sub(1)?)
    }

    /// Address of the first function that begins behind the address.
    pub(super) fn next_start(&self, vaddr: u64) -> Option<u64> {
        self.start(self.first_after(vaddr)?)
    }

    /// The code at this start of an entry begins with a frame already there: it is no function but a part of one.
    pub(super) fn begins_within_frame(&self, start: u64) -> bool {
        self.initial_rules(start).is_some_and(|(common, first)| {
            let is_plain = PLAIN_FRAMES.contains(&common);
            // A rule for the frame's address (0x0c to 0x0f) or for a saved register (0x05, 0x80 and up) before the code
            // has made any step. The assembler moves such rules to the common entry if it can.
            !is_plain || matches!(first, Some(0x05 | 0x0c..=0x0f | 0x80..=0xbf))
        })
    }

    /// The unwind instructions of the common entry, without padding, and the first one of the entry that starts there.
    fn initial_rules(&self, start: u64) -> Option<(&[u8], Option<u8>)> {
        let entry = self.first_after(start)?.checked_sub(1)?;
        let frame = self.frame(entry)?;
        if self.start(entry)? != start || self.size_of(frame, start).is_none() {
            return None;
        }
        let (bytes, base) = self.frames;
        let at = usize::try_from(frame.checked_sub(base)?).ok()?;
        let end = at + 4 + number(bytes, at)? as usize;
        let (length, rest) = leb(bytes.get(at + 16..end)?)?;
        let first = rest.get(length..)?.iter().copied().find(|rule| *rule != 0);
        let common = Common::read(bytes, (at + 4).checked_sub(number(bytes, at + 4)? as usize)?)?;
        let padding = common.rules.iter().rev().take_while(|byte| **byte == 0).count();
        Some((&common.rules[..common.rules.len() - padding], first))
    }

    /// Number of the first entry that starts behind the address.
    fn first_after(&self, vaddr: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.count()?);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.start(middle)? <= vaddr { low = middle + 1 } else { high = middle }
        }
        Some(low)
    }

    /// Version 1, a pointer of four bytes, a count of four, and a table of two four-byte numbers relative to the start.
    fn count(&self) -> Option<usize> {
        let (bytes, _) = self.header;
        let [1, pointer, 0x03, 0x3b] = *bytes.first_chunk::<4>()? else { return None };
        (matches!(pointer & 0x0f, 0x03 | 0x0b)).then(|| number(bytes, 8)).flatten().map(|count| count as usize)
    }

    fn start(&self, entry: usize) -> Option<u64> {
        let (bytes, base) = self.header;
        (entry < self.count()?).then(|| relative(bytes, 12 + entry * 8, base)).flatten()
    }

    fn entry(&self, entry: usize) -> Option<Range> {
        let start = self.start(entry)?;
        Some(Range { start, size: self.size_of(self.frame(entry)?, start) })
    }

    /// Address of the entry's frame description.
    fn frame(&self, entry: usize) -> Option<u64> {
        let (bytes, base) = self.header;
        relative(bytes, 16 + entry * 8, base)
    }

    /// The length in the frame description at this address, if its addresses are relative and of four bytes.
    fn size_of(&self, frame: u64, start: u64) -> Option<u64> {
        let (bytes, base) = self.frames;
        let at = usize::try_from(frame.checked_sub(base)?).ok()?;
        // A length of all ones announces the 64-bit form, which no linker here writes.
        if number(bytes, at)? == u32::MAX {
            return None;
        }
        let id_at = at + 4;
        let common = id_at.checked_sub(number(bytes, id_at)? as usize)?;
        if Common::read(bytes, common)?.encoding != 0x1b
            || relative(bytes, id_at + 4, base + id_at as u64 + 4)? != start
        {
            return None;
        }
        number(bytes, id_at + 8).map(u64::from)
    }
}

/// What is used of a common entry.
struct Common<'data> {
    /// How its frames write addresses.
    encoding: u8,
    /// Its unwind instructions, with the padding behind them.
    rules: &'data [u8],
}

impl<'data> Common<'data> {
    /// The common entry that begins there.
    fn read(bytes: &'data [u8], at: usize) -> Option<Self> {
        let end = at + 4 + number(bytes, at)? as usize;
        let (version, rest) = bytes.get(at + 8..end)?.split_first()?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (letters, rest) = (&rest[..end], &rest[end + 1..]);
        if *version != 1 || letters.first() != Some(&b'z') {
            return None;
        }
        // Code alignment, data alignment, return register (a byte in version 1), length of what the letters announce.
        let rest = leb(leb(rest)?.1)?.1;
        let (length, rest) = leb(rest.get(1..)?)?;
        let (mut announced, rules) = rest.split_at_checked(length)?;
        for letter in &letters[1..] {
            match letter {
                b'R' => return Some(Self { encoding: *announced.first()?, rules }),
                b'L' => announced = announced.get(1..)?,
                b'P' => {
                    let size = match announced.first()? & 0x0f {
                        0x02 | 0x0a => 2,
                        0x03 | 0x0b => 4,
                        0x00 | 0x04 | 0x0c => 8,
                        _ => return None,
                    };
                    announced = announced.get(1 + size..)?;
                }
                b'S' | b'B' | b'G' => {}
                _ => return None,
            }
        }
        None
    }
}

/// A number of seven bits a byte, and what follows it.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0).filter(|last| *last < 4)?;
    let value = bytes[..=last].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, &bytes[last + 1..]))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn relative(bytes: &[u8], at: usize, base: u64) -> Option<u64> {
    let distance = number(bytes, at)?.cast_signed();
    Some(base.wrapping_add_signed(i64::from(distance)))
}
