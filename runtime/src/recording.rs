//! Recordings: events of a run in a file, from which tables can be made again and again. docs/recording.md describes the
//! format.
//!
//! - `bytes` are numbers and texts as they lie in a block.
//! - `block` is the file: blocks with checksums, one behind the other.
//! - `head` is what is known before the first event, `about` what becomes known on the way and at the end.
//! - `events` puts events into columns and takes them out.
//! - `writer` takes events of a run, on a thread of its own.
//! - `reader` reads what is there, up to the first block that is not whole.
//! - `parquet` writes the events as Parquet files, for other tools.

pub mod about;
pub mod block;
pub mod bytes;
pub mod events;
pub mod head;
pub mod parquet;
pub mod reader;
pub mod writer;
