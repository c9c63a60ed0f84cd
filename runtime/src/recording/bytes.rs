//! Numbers and texts as they lie in a block: numbers of 7 bits a byte, the lowest first; texts behind their length.

/// Bytes that are put together.
#[derive(Debug, Clone, Default)]
pub struct Put(pub Vec<u8>);

impl Put {
    /// A number.
    pub fn int(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// A number that may be negative: small ones of either sign are short.
    pub fn signed(&mut self, n: i64) {
        self.int(((n << 1) ^ (n >> 63)).cast_unsigned());
    }

    /// Bytes behind their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.int(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A list, each of which is put by `each`.
    pub fn list<T>(&mut self, all: impl ExactSizeIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.int(all.len() as u64);
        for one in all {
            each(self, one);
        }
    }

    /// A number with a fraction, by its bits.
    pub fn float(&mut self, x: f64) {
        self.0.extend_from_slice(&x.to_bits().to_le_bytes());
    }
}

/// Bytes that are taken apart. Nothing is taken for granted: what is not there is none.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    /// A number.
    pub fn int(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    /// A number that fits into memory's.
    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }

    /// A number that may be negative.
    pub fn signed(&mut self) -> Option<i64> {
        let n = self.int()?;
        Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// Bytes behind their number.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.size()?;
        let (bytes, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// A list. Each of its parts takes a byte at least.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = self.size().filter(|n| *n <= self.0.len())?;
        (0..n).map(|_| each(self)).collect()
    }

    /// A number with a fraction.
    pub fn float(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken() {
        let numbers = [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN];
        let mut put = Put::default();
        for n in numbers {
            put.signed(n);
            put.int(n.cast_unsigned());
        }
        put.text("wört");
        put.float(-0.5);
        put.list([3u64, 4].into_iter(), Put::int);
        let mut take = Take(&put.0);
        for n in numbers {
            assert_eq!((take.signed(), take.int()), (Some(n), Some(n.cast_unsigned())));
        }
        assert_eq!(take.text().as_deref(), Some("wört"));
        assert_eq!(take.float(), Some(-0.5));
        assert_eq!(take.list(Take::int), Some(vec![3, 4]));
        assert!(take.0.is_empty());
        assert_eq!(take.int(), None);
    }

    #[test]
    fn nothing_is_taken_for_granted() {
        // A number of more than 64 bits, one that does not end, lists and texts that are longer than what is there.
        assert_eq!(Take(&[0xff; 9]).int(), None);
        assert_eq!(Take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).int(), None);
        assert_eq!(Take(&[5, 1, 2]).bytes(), None);
        assert_eq!(Take(&[0xff, 0xff, 0xff, 0x7f]).list(Take::int), None);
        assert_eq!(Take(&[2, 0xc3, 0x28]).text(), None);
        assert_eq!(Take(&[1, 2, 3]).float(), None);
    }
}
