//! Reads a recording, as far as it is whole.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::about::{Begin, Ended, Process, Source};
use super::block::{BlockError, BlockReader, Damage, Kind};
use super::events::{Decoder, Event};
use super::head::Head;
use super::writer::partial;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum ReadError {
    #[error("cannot read the recording {path}: {source}")]
    Open { path: String, source: io::Error },
    #[error(
        "there is no {path}, but {partial}, of a recording that was cut off or is being made: profinfer replay {partial}"
    )]
    OnlyPartial { path: String, partial: String },
    #[error("{path} cannot be replayed: {source}")]
    Block { path: String, source: BlockError },
}

/// What a recording tells, one after the other.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is what its type is")]
pub enum Told {
    Begin(Begin),
    Source(Source),
    Process(Process),
    Event(Event),
    End(Box<Ended>),
}

/// A recording that is being read.
pub struct Recording {
    /// What it begins with.
    pub head: Head,
    blocks: BlockReader<Box<dyn Read>>,
    decoder: Decoder,
    /// Why it is read no further than it was, once [`Recording::read`] is through.
    pub damage: Option<Damage>,
}

impl Recording {
    /// Opens a file, or standard input where its name is `-`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let shown = path.display().to_string();
        if path == Path::new("-") {
            return Self::new(Box::new(BufReader::new(io::stdin())), "standard input");
        }
        let file = File::open(path).map_err(|source| {
            let partial: PathBuf = partial(path);
            if source.kind() == io::ErrorKind::NotFound && partial.exists() {
                return ReadError::OnlyPartial { path: shown.clone(), partial: partial.display().to_string() };
            }
            ReadError::Open { path: shown.clone(), source }
        })?;
        Self::new(Box::new(BufReader::with_capacity(1 << 20, file)), &shown)
    }

    /// Reads the beginning of a recording.
    ///
    /// # Errors
    /// [`ReadError`]; `name` is what it calls the recording.
    pub fn new(from: Box<dyn Read>, name: &str) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Block { path: name.to_owned(), source };
        let mut blocks = BlockReader::new(from).map_err(failed)?;
        let first = blocks.next_block().map_err(|e| failed(e.into()))?;
        let damaged = |damage| failed(BlockError::Beginning(damage));
        let head = match first.map_err(damaged)? {
            Some((Kind::Head, bytes)) => Head::take(&bytes).ok_or_else(|| damaged(Damage::Block(12)))?,
            Some(_) => return Err(damaged(Damage::Block(12))),
            None => return Err(damaged(Damage::CutOff(12))),
        };
        let decoder = Decoder::new(&head.streams);
        Ok(Self { head, blocks, decoder, damage: None })
    }

    /// Tells all that is whole, in its order. What is not is in [`Recording::damage`] then.
    ///
    /// # Errors
    /// The file cannot be read, or `each` gives up.
    pub fn read<E: From<io::Error>>(&mut self, each: &mut dyn FnMut(Told) -> Result<(), E>) -> Result<(), E> {
        let mut ended = false;
        loop {
            let at = self.blocks.at();
            let block = self.blocks.next_block()?;
            let damage = match block {
                Ok(None) => (!ended).then_some(Damage::NotEnded),
                _ if ended => Some(Damage::BehindEnd(at)),
                Err(damage) => Some(damage),
                Ok(Some((kind, bytes))) => {
                    let told = match kind {
                        Kind::Begin => Begin::take(&bytes).map(Told::Begin),
                        Kind::Source => Source::take(&bytes).map(Told::Source),
                        Kind::Process => Process::take(&bytes).map(Told::Process),
                        Kind::End => Ended::take(&bytes).map(|ended| Told::End(Box::new(ended))),
                        // There is one head.
                        Kind::Head => None,
                        Kind::Events => {
                            let mut failed = None;
                            let n = self.decoder.block(&bytes, &mut |event| {
                                if failed.is_none() {
                                    failed = each(Told::Event(event)).err();
                                }
                            });
                            if let Some(e) = failed {
                                return Err(e);
                            }
                            match n {
                                Some(_) => continue,
                                None => None,
                            }
                        }
                    };
                    match told {
                        Some(told) => {
                            ended = matches!(told, Told::End(_));
                            each(told)?;
                            continue;
                        }
                        None => Some(Damage::Block(at)),
                    }
                }
            };
            self.damage = damage;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::recording::block::BlockWriter;
    use crate::recording::events::{Encoder, Raw};
    use crate::recording::head::{Field, Recorded, Text};

    fn head() -> Head {
        let field = |text_bytes| Field { text: "f".into(), ty: "t".into(), identity: "i".into(), text_bytes };
        let fields = vec![field(None), field(Some(16))];
        Head {
            script: Text { name: "x.pi".into(), text: "on p < count() >".into() },
            streams: vec![Recorded { point: "p".into(), template: "span".into(), fields }],
            ..Head::default()
        }
    }

    /// A small recording of 3 blocks of 4 events.
    fn file(ended: bool) -> Vec<u8> {
        let head = head();
        let mut out = BlockWriter::new(Vec::new()).unwrap();
        let mut encoder = Encoder::new(&head.streams);
        out.block(Kind::Head, &head.put()).unwrap();
        out.block(Kind::Begin, &Begin { monotonic_ns: 5, unix_ns: 6 }.put()).unwrap();
        out.block(Kind::Source, &Source { path: "/e.so".into(), ..Source::default() }.put()).unwrap();
        out.block(Kind::Process, &Process { pid: 7, who: "p (pid 7)".into(), ..Process::default() }.put()).unwrap();
        for block in 0..3u64 {
            let events: Vec<Vec<u8>> = (0..4u64)
                .map(|n| {
                    let time = 100 * block + n;
                    let words = [7 << 32, time, n * n, u64::from_ne_bytes(*b"name-\0\0\0") + n, 0];
                    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
                })
                .collect();
            let raw = events.iter().map(|event| Raw { stream: 0, source: 0, event });
            out.block(Kind::Events, &encoder.block(raw)).unwrap();
        }
        if ended {
            out.block(Kind::End, &Ended { wall_ns: 300, ..Ended::default() }.put()).unwrap();
        }
        out.into_inner()
    }

    /// What a recording tells, and why it tells no more.
    fn all(bytes: Vec<u8>) -> Result<(Vec<String>, Option<Damage>), ReadError> {
        let mut recording = Recording::new(Box::new(Cursor::new(bytes)), "it")?;
        let mut told = Vec::new();
        recording
            .read::<io::Error>(&mut |t| {
                told.push(format!("{t:?}"));
                Ok(())
            })
            .unwrap();
        Ok((told, recording.damage))
    }

    #[test]
    fn all_is_told_in_its_order() {
        let (told, damage) = all(file(true)).unwrap();
        let kinds: Vec<&str> = told.iter().map(|t| t.split_once('(').unwrap().0).collect();
        let events = ["Event"; 12];
        assert_eq!(kinds, [&["Begin", "Source", "Process"][..], &events, &["End"]].concat());
        assert_eq!(damage, None);
        let (unended, damage) = all(file(false)).unwrap();
        assert_eq!((&told[..15], damage), (&unended[..], Some(Damage::NotEnded)));
        let mut more = file(true);
        more.push(0);
        let at = more.len() as u64 - 1;
        assert_eq!(all(more).unwrap(), (told, Some(Damage::BehindEnd(at))));
    }

    #[test]
    fn a_damaged_recording_tells_a_part_of_the_whole_one_and_says_so() {
        let (whole, file) = (all(file(true)).unwrap().0, file(true));
        let (mut refused, mut parts) = (0, 0);
        let damaged = (0..file.len()).flat_map(|at| {
            let with = |byte: u8| {
                let mut wrong = file.clone();
                wrong[at] = byte;
                wrong
            };
            let old = file[at];
            let changed = [old ^ 1, old ^ 0x80, !old, old.wrapping_add(1)].map(with);
            changed.into_iter().chain([file[..at].to_vec()])
        });
        for wrong in damaged {
            match all(wrong) {
                Err(_) => refused += 1,
                Ok((told, damage)) => {
                    assert!(damage.is_some(), "damage was not noticed");
                    assert_eq!(told, whole[..told.len()]);
                    parts += 1;
                }
            }
        }
        assert!(refused > 100 && parts > 1000, "{refused} {parts}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.pirec");
        let said = |path: &Path| Recording::open(path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said(&path).starts_with("cannot read the recording"), "{}", said(&path));
        std::fs::write(partial(&path), file(false)).unwrap();
        assert!(said(&path).ends_with(&format!("profinfer replay {}", partial(&path).display())), "{}", said(&path));
        std::fs::write(&path, "no recording at all").unwrap();
        assert!(said(&path).ends_with("it is no recording of profinfer"), "{}", said(&path));
    }
}
