//! Where an output's bytes go: stdout, a file as it grows, or a file that gets its name when it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::args::Format;
use crate::recording::writer::partial;

/// An output that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DestinationError {
    #[error("the format {format} is not for reading, and stdout is a terminal: name a file with -o, or pipe it")]
    Terminal { format: &'static str },
    #[error("cannot write {}: it is a folder; give the name of a file", path.display())]
    Folder { path: PathBuf },
    #[error("cannot write {}: another profinfer is writing to it", path.display())]
    Busy { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
}

/// Where bytes go.
pub(super) struct Destination {
    out: Box<dyn Write>,
    /// The name that the file has yet to get.
    wanted: Option<PathBuf>,
    /// Whether it is a terminal.
    pub(super) terminal: bool,
}

impl Destination {
    /// Opens it: stdout without a name, or where it is `-`.
    ///
    /// Formats of lines are written under their name, so that they can be followed as they grow. Others are of use only when they
    /// are whole: such a file is called `NAME.partial` until [`finish`](Self::finish), and is gone without it.
    pub(super) fn open(format: Format, name: Option<&Path>) -> Result<Self, DestinationError> {
        let Some(path) = name.filter(|name| name.as_os_str() != "-") else {
            let terminal = io::stdout().is_terminal();
            if terminal && !format.is_for_reading() {
                return Err(DestinationError::Terminal { format: format.name() });
            }
            return Ok(Self { out: Box::new(io::stdout()), wanted: None, terminal });
        };
        if path.is_dir() {
            return Err(DestinationError::Folder { path: path.to_owned() });
        }
        // Devices and pipes have no other name to be written under.
        let is_special = fs::metadata(path).is_ok_and(|m| !m.is_file());
        let (file, wanted) = if format.grows() || is_special {
            (File::create(path).map_err(|source| DestinationError::Make { path: path.to_owned(), source })?, None)
        } else {
            (make_partial(path)?, Some(path.to_owned()))
        };
        Ok(Self { out: Box::new(BufWriter::new(file)), wanted, terminal: false })
    }

    /// All is written: the file gets its name.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        if let Some(path) = &self.wanted {
            fs::rename(partial(path), path)?;
            self.wanted = None;
        }
        Ok(())
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(path) = &self.wanted {
            let _gone = fs::remove_file(partial(path));
        }
    }
}

/// The file under the name that it has until it is whole. One that a killed run left is written over.
fn make_partial(path: &Path) -> Result<File, DestinationError> {
    let name = partial(path);
    let failed = |source| DestinationError::Make { path: name.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DestinationError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_there_as_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut out = Destination::open(Format::Json, Some(&path)).unwrap();
        out.write_all(b"{}\n").unwrap();
        out.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
        drop(out);
        assert!(path.exists(), "what was written stays");
    }

    #[test]
    fn what_is_of_use_only_when_whole_gets_its_name_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        for format in [Format::Flame, Format::Folded, Format::Pprof] {
            let path = dir.path().join(format.name());
            let open = || {
                let mut out = Destination::open(format, Some(&path)).unwrap();
                out.write_all(b"half").unwrap();
                out.flush().unwrap();
                assert!(!path.exists() && partial(&path).exists(), "{format:?} while it is written");
                out
            };
            drop(open());
            assert!(!path.exists() && !partial(&path).exists(), "{format:?} that was given up");
            let mut out = open();
            out.finish().unwrap();
            drop(out);
            assert_eq!(fs::read(&path).unwrap(), b"half");
            assert!(!partial(&path).exists(), "{format:?} that is whole");
        }
    }

    #[test]
    fn a_folder_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Destination::open(Format::Csv, Some(dir.path())), Err(DestinationError::Folder { .. })));
    }

    #[test]
    fn a_partial_file_is_written_over_unless_somebody_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(partial(&path), "left by a killed run").unwrap();
        let first = make_partial(&path).unwrap();
        assert_eq!(fs::read(partial(&path)).unwrap(), b"");
        assert!(matches!(make_partial(&path), Err(DestinationError::Busy { .. })));
        drop(first);
        make_partial(&path).unwrap();
    }
}
