//! Events in columns: of many events of one point the same field stands together, as differences to the one before, and
//! texts are numbers of a list.

use std::collections::HashMap;
use std::sync::Arc;

use profinfer_ebpf::layout::{ABSENT_TEXT, sent};

use super::bytes::{Put, Take};
use super::head::Recorded;

/// Bytes of different texts that are kept before the list of texts begins anew.
const MOST_TEXT: usize = 64 << 20;
/// Processes and sources that are told apart before their list begins anew.
const MOST_ORIGINS: usize = 1 << 16;
/// The number of a text that is absent.
const NO_TEXT: i64 = 0;

/// Puts events into blocks.
#[derive(Debug, Default)]
pub struct Encoder {
    streams: Vec<Recorded>,
    /// Numbers of texts, from 1.
    texts: HashMap<Vec<u8>, i64>,
    bytes_of_texts: usize,
    /// Numbers of (source, process).
    origins: HashMap<(u64, u32), u64>,
    /// How many events of each stream there were.
    pub events: Vec<u64>,
}

/// An event as it came through the ring.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'e> {
    /// Which stream it is of.
    pub stream: usize,
    /// Which engine build it is of.
    pub source: u64,
    /// The event: see [`sent`].
    pub event: &'e [u8],
}

#[derive(Debug, Default)]
struct Column {
    out: Put,
    before: i64,
}

impl Column {
    fn put(&mut self, value: i64) {
        self.out.signed(value.wrapping_sub(self.before));
        self.before = value;
    }
}

impl Encoder {
    /// For these streams.
    pub fn new(streams: &[Recorded]) -> Self {
        Self { streams: streams.to_vec(), events: vec![0; streams.len()], ..Self::default() }
    }

    /// A block of these events, in their order. Those that are no such events are left out.
    pub fn block<'e>(&mut self, all: impl Iterator<Item = Raw<'e>>) -> Vec<u8> {
        let anew = self.bytes_of_texts > MOST_TEXT || self.origins.len() > MOST_ORIGINS;
        if anew {
            (self.texts, self.origins, self.bytes_of_texts) = Default::default();
        }
        let (mut streams, mut origins, mut times) = (Put::default(), Put::default(), Column::default());
        let mut columns: Vec<Vec<Column>> =
            self.streams.iter().map(|s| s.fields.iter().map(|_| Column::default()).collect()).collect();
        let (mut new_texts, mut new_origins) = (Vec::new(), Vec::new());
        let mut n = 0u64;
        for raw in all {
            let Some(recorded) = self.streams.get(raw.stream) else { continue };
            let size: usize = recorded.fields.iter().map(super::head::Field::bytes).sum();
            if raw.event.len() < sent::KEY as usize + size {
                continue;
            }
            n += 1;
            self.events[raw.stream] += 1;
            streams.int(raw.stream as u64);
            let origin = (raw.source, (word(raw.event) >> 32) as u32);
            let known = self.origins.len() as u64;
            origins.int(*self.origins.entry(origin).or_insert_with(|| {
                new_origins.push(origin);
                known
            }));
            times.put(word(&raw.event[sent::TIME as usize..]).cast_signed());
            let mut rest = &raw.event[sent::KEY as usize..];
            for (field, column) in recorded.fields.iter().zip(&mut columns[raw.stream]) {
                let (bytes, behind) = rest.split_at(field.bytes());
                rest = behind;
                column.put(match field.text_bytes {
                    None => word(bytes).cast_signed(),
                    Some(_) if bytes[0] == ABSENT_TEXT => NO_TEXT,
                    Some(_) => {
                        let text = &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())];
                        match self.texts.get(text) {
                            Some(number) => *number,
                            None => {
                                let number = self.texts.len() as i64 + 1;
                                self.texts.insert(text.to_vec(), number);
                                self.bytes_of_texts += text.len() + 64;
                                new_texts.push(text.to_vec());
                                number
                            }
                        }
                    }
                });
            }
        }
        let mut out = Put::default();
        out.int(n);
        out.int(u64::from(anew));
        out.list(new_texts.iter(), |out, text| out.bytes(text));
        out.list(new_origins.iter(), |out, (source, pid)| {
            out.int(*source);
            out.int(u64::from(*pid));
        });
        out.bytes(&streams.0);
        out.bytes(&origins.0);
        out.bytes(&times.out.0);
        columns.iter().flatten().for_each(|column| out.bytes(&column.out.0));
        out.0
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |b| u64::from_ne_bytes(*b))
}

/// Takes events out of blocks.
#[derive(Debug, Default)]
pub struct Decoder {
    /// How many fields each stream has, and which of them are texts.
    texts_of: Vec<Vec<bool>>,
    texts: Vec<Arc<[u8]>>,
    origins: Vec<(u64, u32)>,
}

/// An event of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which stream it is of.
    pub stream: usize,
    /// Which engine build it is of.
    pub source: u64,
    /// Its process.
    pub pid: u32,
    /// When it ended, in ns of the monotonic clock.
    pub time: u64,
    /// Its fields.
    pub values: Vec<Value>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, as the kernel has it.
    Number(i64),
    /// A text; none if it is absent.
    Text(Option<Arc<[u8]>>),
}

impl Decoder {
    /// For these streams.
    pub fn new(streams: &[Recorded]) -> Self {
        let texts_of = streams.iter().map(|s| s.fields.iter().map(|f| f.text_bytes.is_some()).collect()).collect();
        Self { texts_of, ..Self::default() }
    }

    /// The events of a block, in their order, each told to `each`; how many they are. None, and none told, if it is no such block.
    pub fn block(&mut self, block: &[u8], each: &mut dyn FnMut(Event)) -> Option<u64> {
        let mut from = Take(block);
        let n = from.size()?;
        match from.int()? {
            0 => {}
            1 => (self.texts, self.origins) = Default::default(),
            _ => return None,
        }
        self.texts.extend(from.list(|from| Some(Arc::from(from.bytes()?)))?);
        self.origins.extend(from.list(|from| Some((from.int()?, u32::try_from(from.int()?).ok()?)))?);
        let (streams, origins, times) = (Take(from.bytes()?), Take(from.bytes()?), Take(from.bytes()?));
        let mut columns = Vec::new();
        for texts in &self.texts_of {
            columns.push(texts.iter().map(|_| from.bytes().map(Take)).collect::<Option<Vec<_>>>()?);
        }
        if !from.0.is_empty() {
            return None;
        }
        // All is looked at before any of it is told.
        self.walk(n, (streams, origins, times), columns.clone(), &mut |_| {})?;
        self.walk(n, (streams, origins, times), columns, each)?;
        Some(n as u64)
    }

    fn walk(
        &self,
        n: usize,
        (mut streams, mut origins, mut times): (Take<'_>, Take<'_>, Take<'_>),
        mut columns: Vec<Vec<Take<'_>>>,
        each: &mut dyn FnMut(Event),
    ) -> Option<()> {
        let mut before: Vec<Vec<i64>> = columns.iter().map(|c| vec![0; c.len()]).collect();
        let mut time = 0i64;
        for _ in 0..n {
            let stream = streams.size()?;
            let (source, pid) = *self.origins.get(origins.size()?)?;
            time = time.wrapping_add(times.signed()?);
            let columns = columns.get_mut(stream)?;
            let mut values = Vec::with_capacity(columns.len());
            for ((column, before), is_text) in columns.iter_mut().zip(&mut before[stream]).zip(&self.texts_of[stream]) {
                *before = before.wrapping_add(column.signed()?);
                values.push(match (*is_text, *before) {
                    (false, number) => Value::Number(number),
                    (true, NO_TEXT) => Value::Text(None),
                    (true, number) => {
                        let at = usize::try_from(number.checked_sub(1)?).ok()?;
                        Value::Text(Some(Arc::clone(self.texts.get(at)?)))
                    }
                });
            }
            each(Event { stream, source, pid, time: time.cast_unsigned(), values });
        }
        let empty = [streams, origins, times].iter().chain(columns.iter().flatten()).all(|take| take.0.is_empty());
        empty.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::head::Field;

    fn streams() -> Vec<Recorded> {
        let field = |text_bytes| Field { text_bytes, ..Field::default() };
        vec![
            Recorded { fields: vec![field(None), field(Some(12))], ..Recorded::default() },
            Recorded { fields: vec![field(None)], ..Recorded::default() },
        ]
    }

    fn event(pid: u32, time: u64, number: i64, text: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = (u64::from(pid) << 32 | 9).to_ne_bytes().to_vec();
        bytes.extend(time.to_ne_bytes());
        bytes.extend(number.to_ne_bytes());
        if let Some(text) = text {
            let mut padded = text.to_vec();
            padded.resize(16, 0);
            bytes.extend(padded);
        }
        bytes
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let raw = [
            (0, 3, event(1, 100, i64::MIN, Some(b"Qcur-1"))),
            (1, 3, event(1, 90, -1, None)),
            (0, 4, event(2, 110, i64::MAX, Some(&[ABSENT_TEXT]))),
            (0, 3, event(1, 120, 5, Some(b"Qcur-1"))),
            (0, 3, event(1, 120, 5, Some(b""))),
            // Too short for its stream, and of a stream that there is not.
            (0, 3, event(1, 120, 5, None)),
            (7, 3, event(1, 120, 5, None)),
        ];
        let mut encoder = Encoder::new(&streams());
        let mut decoder = Decoder::new(&streams());
        let all = || raw.iter().map(|(stream, source, event)| Raw { stream: *stream, source: *source, event });
        // Twice: the second block has the texts of the first.
        for _ in 0..2 {
            let block = encoder.block(all());
            let mut events = Vec::new();
            assert_eq!(decoder.block(&block, &mut |e| events.push(e)), Some(5));
            let text = |t: &[u8]| Value::Text(Some(Arc::from(t)));
            let number = Value::Number;
            let expected = [
                (0, 3, 1, 100, vec![number(i64::MIN), text(b"Qcur-1")]),
                (1, 3, 1, 90, vec![number(-1)]),
                (0, 4, 2, 110, vec![number(i64::MAX), Value::Text(None)]),
                (0, 3, 1, 120, vec![number(5), text(b"Qcur-1")]),
                (0, 3, 1, 120, vec![number(5), text(b"")]),
            ];
            let expected: Vec<Event> = expected
                .into_iter()
                .map(|(stream, source, pid, time, values)| Event { stream, source, pid, time, values })
                .collect();
            assert_eq!(events, expected);
        }
        assert_eq!(encoder.events, [8, 2]);
    }

    #[test]
    fn a_block_that_is_wrong_tells_nothing() {
        let raw = [event(1, 100, 7, Some(b"a")), event(1, 101, 8, Some(b"b"))];
        let block = Encoder::new(&streams()).block(raw.iter().map(|event| Raw { stream: 0, source: 0, event }));
        let mut told = 0;
        for n in 0..block.len() {
            assert_eq!(Decoder::new(&streams()).block(&block[..n], &mut |_| told += 1), None, "{n} bytes");
        }
        assert_eq!(told, 0);
        // Any byte may be any other: there is an answer, and never a panic.
        for at in 0..block.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wrong = block.clone();
                wrong[at] = value;
                let _answer = Decoder::new(&streams()).block(&wrong, &mut |_| {});
            }
        }
    }
}
