//! What becomes known of a run on its way and at its end: the processes, the words of numbers, what was lost.

use std::collections::{BTreeMap, HashMap};

use super::bytes::{Put, Take};
use crate::record::{Counted, End, Silent};

/// When counting began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begin {
    /// In ns of the monotonic clock, which the events have.
    pub monotonic_ns: u64,
    /// In ns since 1970.
    pub unix_ns: u64,
}

/// What numbers of the events of one engine build stand for. A later one of the same number adds to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Its number.
    pub number: u64,
    /// The engine's file, or the program's.
    pub path: String,
    /// Words of enums, in the order of their numbers. An enum that is here again is another one now.
    pub enums: Vec<(String, Vec<(i64, String)>)>,
    /// Call stacks by number.
    pub stacks: Vec<(i64, String)>,
}

/// A process that was attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u64,
    /// As messages call it.
    pub who: String,
    /// Which [`Source`] its events are of.
    pub source: u64,
    /// The engine's description, or nothing where none is needed.
    pub engine: String,
    /// The files that were probed, with their build id and how many of their instructions.
    pub files: Vec<(String, String, u64)>,
}

/// The end of a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// How the run ended.
    pub end: End,
    /// From the beginning to when no new step was counted, in ns.
    pub stopped_ns: u64,
    /// From the beginning to when nothing was counted any more, in ns.
    pub wall_ns: u64,
    /// Events recorded and lost, by stream.
    pub streams: Vec<(u64, u64)>,
}

impl Begin {
    /// As a block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Put::default();
        out.int(self.monotonic_ns);
        out.int(self.unix_ns);
        out.0
    }

    /// Out of a block.
    pub fn take(block: &[u8]) -> Option<Self> {
        let mut from = Take(block);
        Some(Self { monotonic_ns: from.int()?, unix_ns: from.int()? })
    }
}

impl Source {
    /// As a block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Put::default();
        out.int(self.number);
        out.text(&self.path);
        let words = |out: &mut Put, words: &[(i64, String)]| {
            out.list(words.iter(), |out, (n, word)| {
                out.signed(*n);
                out.text(word);
            });
        };
        out.list(self.enums.iter(), |out, (name, all)| {
            out.text(name);
            words(out, all);
        });
        words(&mut out, &self.stacks);
        out.0
    }

    /// Out of a block.
    pub fn take(block: &[u8]) -> Option<Self> {
        let mut from = Take(block);
        let words = |from: &mut Take<'_>| from.list(|from| Some((from.signed()?, from.text()?)));
        Some(Self {
            number: from.int()?,
            path: from.text()?,
            enums: from.list(|from| Some((from.text()?, words(from)?)))?,
            stacks: words(&mut from)?,
        })
    }
}

impl Process {
    /// As a block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Put::default();
        out.int(self.pid);
        out.text(&self.who);
        out.int(self.source);
        out.text(&self.engine);
        out.list(self.files.iter(), |out, (path, build_id, sites)| {
            out.text(path);
            out.text(build_id);
            out.int(*sites);
        });
        out.0
    }

    /// Out of a block.
    pub fn take(block: &[u8]) -> Option<Self> {
        let mut from = Take(block);
        Some(Self {
            pid: from.int()?,
            who: from.text()?,
            source: from.int()?,
            engine: from.text()?,
            files: from.list(|from| Some((from.text()?, from.text()?, from.int()?)))?,
        })
    }
}

impl Ended {
    /// As a block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Put::default();
        let e = &self.end;
        for n in [self.stopped_ns, self.wall_ns, e.duration_ns, e.open, e.kernel_bytes] {
            out.int(n);
        }
        out.text(&e.reason);
        out.text(&e.layout);
        let counts = |out: &mut Put, all: &BTreeMap<String, u64>| {
            out.list(all.iter(), |out, (name, n)| {
                out.text(name);
                out.int(*n);
            });
        };
        counts(&mut out, &e.hits);
        counts(&mut out, &e.dropped);
        out.list(e.silent.iter(), |out, silent| {
            out.text(&silent.point);
            out.text(&silent.reason);
        });
        out.list(e.counted.iter(), |out, (name, c)| {
            out.text(name);
            [c.moved, c.uncounted, c.never_ran, c.scaled].into_iter().for_each(|n| out.int(n));
        });
        out.list(e.shared.iter(), |out, (name, ran)| {
            out.text(name);
            out.float(*ran);
        });
        out.list(self.streams.iter(), |out, (events, lost)| {
            out.int(*events);
            out.int(*lost);
        });
        out.0
    }

    /// Out of a block.
    pub fn take(block: &[u8]) -> Option<Self> {
        let mut from = Take(block);
        let (stopped_ns, wall_ns) = (from.int()?, from.int()?);
        let (duration_ns, open, kernel_bytes) = (from.int()?, from.int()?, from.int()?);
        let (reason, layout) = (from.text()?, from.text()?);
        let counts =
            |from: &mut Take<'_>| Some(from.list(|from| Some((from.text()?, from.int()?)))?.into_iter().collect());
        let (hits, dropped) = (counts(&mut from)?, counts(&mut from)?);
        let silent = from.list(|from| Some(Silent { point: from.text()?, reason: from.text()? }))?;
        let counted = from.list(|from| {
            let name = from.text()?;
            let (moved, uncounted) = (from.int()?, from.int()?);
            Some((name, Counted { moved, uncounted, never_ran: from.int()?, scaled: from.int()? }))
        })?;
        let shared = from.list(|from| Some((from.text()?, from.float()?)))?;
        let streams = from.list(|from| Some((from.int()?, from.int()?)))?;
        let end = End {
            duration_ns,
            reason,
            hits,
            dropped,
            open,
            silent,
            counted: counted.into_iter().collect(),
            shared: shared.into_iter().collect(),
            at_events: Vec::new(),
            kernel_bytes,
            layout,
            // What the recording cost is told when it is made.
            cost: None,
            no_cost: None,
            kept: None,
        };
        Some(Self { end, stopped_ns, wall_ns, streams })
    }
}

/// Of a source's words and stacks, how many are known: what has grown is written again.
#[derive(Debug, Clone, Default)]
pub struct Known {
    enums: HashMap<String, Vec<(i64, String)>>,
    stacks: HashMap<i64, String>,
}

impl Known {
    /// What is new among the words and stacks of a source; none if nothing is.
    pub fn news(
        &mut self,
        (number, path): (u64, &str),
        enums: &HashMap<String, Vec<(i64, String)>>,
        stacks: &HashMap<i64, String>,
    ) -> Option<Source> {
        let mut source = Source { number, path: path.to_owned(), ..Source::default() };
        for (name, words) in enums {
            if self.enums.get(name) != Some(words) {
                self.enums.insert(name.clone(), words.clone());
                source.enums.push((name.clone(), words.clone()));
            }
        }
        if stacks.len() != self.stacks.len() {
            for (number, text) in stacks {
                if self.stacks.insert(*number, text.clone()).is_none() {
                    source.stacks.push((*number, text.clone()));
                }
            }
        }
        source.enums.sort();
        source.stacks.sort();
        (!source.enums.is_empty() || !source.stacks.is_empty()).then_some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_comes_out_as_it_went_in() {
        let begin = Begin { monotonic_ns: 7, unix_ns: u64::MAX };
        assert_eq!(Begin::take(&begin.put()), Some(begin));
        let source = Source {
            number: 1,
            path: "/lib/a.so".into(),
            enums: vec![("op".into(), vec![(-1, "NONE".into()), (3, "ADD".into())])],
            stacks: vec![(i64::MIN, "main;f".into())],
        };
        assert_eq!(Source::take(&source.put()), Some(source));
        let process = Process {
            pid: 12,
            who: "python3 (pid 12)".into(),
            source: 1,
            engine: "ggml".into(),
            files: vec![("/a".into(), "00ff".into(), 3)],
        };
        assert_eq!(Process::take(&process.put()), Some(process));
        let end = End {
            duration_ns: 5,
            reason: "exit".into(),
            hits: [("p".to_owned(), 9)].into(),
            dropped: [("ring_full".to_owned(), 2)].into(),
            open: 1,
            silent: vec![Silent { point: "q".into(), reason: "why".into() }],
            counted: [("p".to_owned(), Counted { moved: 1, uncounted: 2, never_ran: 3, scaled: 4 })].into(),
            shared: [("cycles".to_owned(), 0.25)].into(),
            at_events: Vec::new(),
            kernel_bytes: 100,
            layout: "checked".into(),
            ..End::default()
        };
        let ended = Ended { end, stopped_ns: 3, wall_ns: 4, streams: vec![(9, 1)] };
        let bytes = ended.put();
        assert_eq!(Ended::take(&bytes), Some(ended));
        for n in 0..bytes.len() {
            assert_eq!(Ended::take(&bytes[..n]), None);
        }
    }

    #[test]
    fn only_what_is_new_is_written() {
        let mut known = Known::default();
        let mut enums: HashMap<_, _> = [("op".to_owned(), vec![(0, "A".to_owned())])].into();
        let mut stacks = HashMap::new();
        assert_eq!(known.news((0, "f"), &enums, &stacks).map(|s| s.enums.len()), Some(1));
        assert_eq!(known.news((0, "f"), &enums, &stacks), None);
        stacks.insert(1, "main".to_owned());
        assert_eq!(known.news((0, "f"), &enums, &stacks).map(|s| (s.enums.len(), s.stacks.len())), Some((0, 1)));
        enums.insert("op".to_owned(), vec![(0, "A".to_owned()), (1, "B".to_owned())]);
        assert_eq!(known.news((0, "f"), &enums, &stacks).map(|s| (s.enums.len(), s.stacks.len())), Some((1, 0)));
    }
}
