//! Takes events while a run goes on. They are put together, packed and written on a thread of their own, so that whoever
//! empties the kernel's ring never waits for a disk for long; what is on the way is bounded.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use profinfer_ebpf::TargetFacts;

use super::about::{Begin, Ended, Known, Process};
use super::block::{BlockWriter, Kind};
use super::events::{Encoder, Raw};
use super::head::{Head, Recorded};
use crate::target::FileIdentity;

/// Bytes of events that are handed over at once.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait for the disk.
const WAITING: usize = 64;
/// How long events are kept back at most.
const KEPT_BACK: Duration = Duration::from_millis(500);
/// What a recording is called until it is whole.
const PARTIAL: &str = "partial";

/// Where a recording goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, which has another name until it is whole.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum WriteError {
    #[error("cannot write {path}: {source}")]
    Make { path: String, source: io::Error },
    #[error(
        "{path} is there already: a recording that was cut off, or one that is being made. Replay it, or remove it"
    )]
    IsThere { path: String },
    #[error("{path} is a folder: give the name of a file")]
    IsFolder { path: String },
}

/// The name of a recording that is not whole.
pub fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PARTIAL);
    name.into()
}

/// What is handed over to the thread.
enum Message {
    Block(Kind, Vec<u8>),
    Events(Chunk),
}

/// Events as they came, one behind the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Stream, source and length of each.
    parts: Vec<(u32, u32, u32)>,
}

impl Chunk {
    fn events(&self) -> impl Iterator<Item = Raw<'_>> {
        let mut rest = self.bytes.as_slice();
        self.parts.iter().map(move |(stream, source, n)| {
            let (event, behind) = rest.split_at(*n as usize);
            rest = behind;
            Raw { stream: *stream as usize, source: u64::from(*source), event }
        })
    }
}

/// What is left when all is written.
struct Written {
    /// Events of each stream.
    events: Vec<u64>,
    out: BlockWriter<Box<dyn Write + Send>>,
}

/// A recording that is being made.
pub struct Recorder {
    place: Place,
    head: Head,
    /// The stream of each table of the plan that is recorded.
    streams: HashMap<usize, usize>,
    /// Before the thread runs.
    out: Option<BlockWriter<Box<dyn Write + Send>>>,
    thread: Option<(SyncSender<Message>, JoinHandle<io::Result<Written>>)>,
    chunk: Chunk,
    since: Instant,
    /// Numbers of engine builds.
    sources: Vec<(Vec<FileIdentity>, Known)>,
    /// When counting began.
    begun: Option<Instant>,
    stopped_ns: Option<u64>,
    /// What was written.
    pub bytes: u64,
}

impl Recorder {
    /// Begins a recording: whatever stands against writing it is told before anything is observed.
    ///
    /// # Errors
    /// [`WriteError`]
    pub fn new(place: Place, head: Head, tables: &[usize]) -> Result<Self, WriteError> {
        let out: Box<dyn Write + Send> = match &place {
            // As it is, without the buffer of lines.
            Place::Stdout => match io::stdout().as_fd().try_clone_to_owned() {
                Ok(fd) => Box::new(File::from(fd)),
                Err(source) => return Err(WriteError::Make { path: place.to_string(), source }),
            },
            Place::File(path) => Box::new(make(path)?),
        };
        let made = |source| WriteError::Make { path: place.to_string(), source };
        let begin = |out| {
            let mut out = BlockWriter::new(out)?;
            out.block(Kind::Head, &head.put())?;
            out.flush()?;
            Ok(out)
        };
        let out = begin(out).map_err(made)?;
        Ok(Self {
            streams: tables.iter().enumerate().map(|(stream, table)| (*table, stream)).collect(),
            place,
            head,
            out: Some(out),
            thread: None,
            chunk: Chunk::default(),
            since: Instant::now(),
            sources: Vec::new(),
            begun: None,
            stopped_ns: None,
            bytes: 0,
        })
    }

    /// Counting begins.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn begin(&mut self, begin: Begin, now: Instant) -> io::Result<()> {
        let Some(out) = self.out.take() else { return Ok(()) };
        let (sender, receiver) = sync_channel(WAITING);
        let streams = self.head.streams.clone();
        let thread = std::thread::Builder::new().name("recording".to_owned());
        self.thread = Some((sender, thread.spawn(move || write(out, &streams, &receiver))?));
        self.begun = Some(now);
        self.since = now;
        self.hand_over(Message::Block(Kind::Begin, begin.put()));
        Ok(())
    }

    /// The number of an engine build; what its numbers stand for is written where that is new.
    pub fn source(&mut self, identity: &[FileIdentity], facts: &TargetFacts, path: &Path) -> u32 {
        let known = self.sources.iter().position(|(of, _)| of == identity);
        let at = known.unwrap_or_else(|| {
            self.sources.push((identity.to_vec(), Known::default()));
            self.sources.len() - 1
        });
        let news = self.sources[at].1.news((at as u64, &path.display().to_string()), &facts.enums, &facts.stacks);
        if let Some(source) = news {
            // Events before it do not need it, those behind it do.
            self.flush();
            self.hand_over(Message::Block(Kind::Source, source.put()));
        }
        at as u32
    }

    /// A process is attached to.
    pub fn process(&mut self, process: &Process) {
        self.hand_over(Message::Block(Kind::Process, process.put()));
    }

    /// Whether events of this table of the plan are recorded.
    pub fn takes(&self, table: usize) -> bool {
        self.streams.contains_key(&table)
    }

    /// Takes an event as it was sent, of an engine build.
    pub fn event(&mut self, source: u32, table: usize, event: &[u8]) {
        let Some(stream) = self.streams.get(&table) else { return };
        self.chunk.bytes.extend_from_slice(event);
        self.chunk.parts.push((*stream as u32, source, event.len() as u32));
        if self.chunk.bytes.len() >= CHUNK {
            self.flush();
        }
    }

    /// Hands events over that have waited for long.
    pub fn tick(&mut self) {
        if self.since.elapsed() >= KEPT_BACK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.since = Instant::now();
        if !self.chunk.parts.is_empty() {
            let chunk = std::mem::take(&mut self.chunk);
            self.hand_over(Message::Events(chunk));
        }
    }

    fn hand_over(&mut self, message: Message) {
        match &self.thread {
            // Who does not take any more has failed, and says why when it is asked.
            Some((sender, _)) => drop(sender.send(message)),
            None => {
                if let (Some(out), Message::Block(kind, bytes)) = (&mut self.out, message) {
                    let _told_later = out.block(kind, &bytes);
                }
            }
        }
    }

    /// Why nothing can be written any more, if that is so.
    pub fn fault(&mut self) -> Option<io::Error> {
        if !self.thread.as_ref().is_some_and(|(_, thread)| thread.is_finished()) {
            return None;
        }
        self.close().err()
    }

    /// Nothing new is counted from now on, or from that time after the beginning on.
    pub fn stop(&mut self, after: Option<Duration>) {
        let after = after.or_else(|| self.begun.map(|begun| begun.elapsed()));
        self.stopped_ns = after.map(|after| after.as_nanos() as u64);
    }

    /// Ends the recording and gives it its name. `lost` are events that found no room in the ring, by table.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&mut self, mut ended: Ended, lost: impl Fn(usize) -> u64) -> io::Result<Vec<u64>> {
        self.flush();
        ended.stopped_ns = self.stopped_ns.unwrap_or(ended.wall_ns);
        let Some(mut written) = self.close()? else { return Ok(Vec::new()) };
        let mut lost_of = vec![0; self.head.streams.len()];
        for (table, stream) in &self.streams {
            lost_of[*stream] = lost(*table);
        }
        ended.streams = written.events.iter().copied().zip(lost_of).collect();
        written.out.block(Kind::End, &ended.put())?;
        written.out.flush()?;
        self.bytes = written.out.bytes;
        drop(written.out);
        if let Place::File(path) = &self.place {
            fs::rename(partial(path), path)?;
        }
        Ok(written.events)
    }

    fn close(&mut self) -> io::Result<Option<Written>> {
        let Some((sender, thread)) = self.thread.take() else { return Ok(None) };
        drop(sender);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes has failed"))).map(Some)
    }

    /// Removes what was written: it is not to be trusted.
    pub fn discard(self) {
        if let Place::File(path) = &self.place {
            let _gone = fs::remove_file(partial(path));
        }
    }

    /// Where the recording is while it is not whole.
    pub fn unfinished(&self) -> String {
        match &self.place {
            Place::File(path) => partial(path).display().to_string(),
            Place::Stdout => "stdout".to_owned(),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nothing was observed: there is nothing in it.
        if let (Some(_), Place::File(path)) = (&self.out, &self.place) {
            let _gone = fs::remove_file(partial(path));
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("stdout"),
        }
    }
}

fn make(path: &Path) -> Result<File, WriteError> {
    if path.is_dir() {
        return Err(WriteError::IsFolder { path: path.display().to_string() });
    }
    let partial = partial(path);
    let shown = partial.display().to_string();
    match OpenOptions::new().write(true).create_new(true).open(&partial) {
        Ok(file) => Ok(file),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(WriteError::IsThere { path: shown }),
        Err(source) => Err(WriteError::Make { path: shown, source }),
    }
}

fn write(
    mut out: BlockWriter<Box<dyn Write + Send>>,
    streams: &[Recorded],
    messages: &Receiver<Message>,
) -> io::Result<Written> {
    let mut encoder = Encoder::new(streams);
    for message in messages {
        match message {
            Message::Block(kind, bytes) => out.block(kind, &bytes)?,
            Message::Events(chunk) => out.block(Kind::Events, &encoder.block(chunk.events()))?,
        }
        out.flush()?;
    }
    Ok(Written { events: encoder.events, out })
}
