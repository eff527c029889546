//! How much space is left.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Asks for the free bytes of the file system that holds a path; a parameter so that tests can fill the disk.
pub(crate) type FreeBytes = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Free bytes as the operating system tells them to a process without privileges.
pub(crate) fn file_system() -> FreeBytes {
    Box::new(|path| {
        let answer = rustix::fs::statvfs(path)?;
        Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
    })
}

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the free space, at most twice a second.
pub(crate) struct DiskGuard {
    dir: PathBuf,
    free_bytes: FreeBytes,
    min_free_bytes: u64,
    looked_at: Option<Instant>,
    seen: u64,
    write_failed: bool,
}

impl DiskGuard {
    pub(crate) fn new(dir: PathBuf, free_bytes: FreeBytes, min_free_bytes: u64) -> Self {
        Self {
            dir,
            free_bytes,
            min_free_bytes,
            looked_at: None,
            seen: u64::MAX,
            write_failed: false,
        }
    }

    /// Whether there is too little space to take records.
    pub(crate) fn is_full(&mut self) -> bool {
        let stale = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        // While full each group looks again: nothing else is done, and the answer may change any moment.
        if stale || self.seen < self.min_free_bytes || self.write_failed {
            // A file system that does not tell is not taken for full.
            self.seen = (self.free_bytes)(&self.dir).unwrap_or(u64::MAX);
            self.looked_at = Some(Instant::now());
            self.write_failed = false;
        }
        self.seen < self.min_free_bytes
    }

    /// A write failed for lack of space, whatever the file system says.
    pub(crate) fn note_full(&mut self) {
        self.write_failed = true;
    }

    /// Free bytes at the last look.
    pub(crate) fn last_seen(&self) -> u64 {
        self.seen
    }
}
