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
    #[error("there is no {path}, but {partial}, of a recording that was cut off or is being made: profinfer replay {partial}")]
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
