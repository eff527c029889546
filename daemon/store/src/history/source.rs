//! A part's bytes, and whether the system failed to give them.
//!
//! The decoder turns every error into text. A part that cannot be read right now (a disk or network hiccup) must not be
//! taken for a damaged one, so the source itself remembers which it was.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// An open part; clones are the same file and share what they remember.
#[derive(Clone)]
pub(super) struct Source {
    file: Arc<File>,
    failed: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
            failed: Arc::default(),
        }
    }

    /// Whether any read so far failed for a reason that does not lie in the file's content.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| {
            // A file that ends too early is damaged; an interrupted read is simply repeated.
            if !matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::Interrupted
            ) {
                self.failed.store(true, Ordering::Relaxed);
            }
        })
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.note(self.file.metadata())
            .map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for Source {
    type T = BufReader<Tail>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Tail {
            source: self.clone(),
            at: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // A damaged footer may name any length; memory is taken only for what the file has.
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} lie beyond the end"
            )));
        }
        let mut bytes = vec![0; length];
        self.note(self.file.read_exact_at(&mut bytes, start))?;
        Ok(bytes.into())
    }
}

/// Reads a source from a position on.
pub(super) struct Tail {
    source: Source,
    at: u64,
}

impl Read for Tail {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.note(self.source.file.read_at(into, self.at))?;
        self.at += read as u64;
        Ok(read)
    }
}
