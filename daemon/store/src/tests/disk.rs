//! A disk in memory under the database: what was synced survives a crash, of what was not, any part may.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Builder, StorageBackend};

use crate::store::Environment;

#[derive(Debug, Clone)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
    /// Operations until everything fails, as if the power went.
    power_for: Option<u64>,
    is_full: bool,
    /// Whether the next sync does its work and fails all the same.
    next_sync_lies: bool,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    /// Lets the power go after this many operations.
    pub(super) fn cut_power_after(&self, operations: u64) {
        self.0.lock().power_for = Some(operations);
    }

    /// From now on writes fail for lack of space, or no longer.
    pub(super) fn set_full(&self, is_full: bool) {
        self.0.lock().is_full = is_full;
    }

    /// Has the next sync do its work and fail all the same.
    pub(super) fn let_next_sync_lie(&self) {
        self.0.lock().next_sync_lies = true;
    }

    /// The disk after a crash: of what was not synced each piece of 512 bytes survives if `survives` says so.
    pub(super) fn after_crash(&self, mut survives: impl FnMut() -> bool) -> Self {
        let state = self.0.lock();
        let mut image = state.durable.clone();
        for change in &state.pending {
            match change {
                Change::Length(length) if survives() => image.resize(*length as usize, 0),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    for (at, piece) in bytes.chunks(512).enumerate() {
                        if survives() {
                            put(&mut image, offset + at as u64 * 512, piece);
                        }
                    }
                }
            }
        }
        let (durable, current) = (image.clone(), image);
        Self(Arc::new(Mutex::new(State {
            durable,
            current,
            ..State::default()
        })))
    }

    /// An environment whose database lies on this disk.
    pub(super) fn environment(&self) -> Environment {
        let disk = self.clone();
        let opener = move || -> crate::engine::Opener {
            let disk = disk.clone();
            Box::new(move |_| {
                Builder::new()
                    .set_cache_size(1 << 20)
                    .set_check_integrity_on_open(true)
                    .create_with_backend(disk.clone())
            })
        };
        Environment {
            opener: Box::new(opener),
            free_bytes: Box::new(|_| Ok(u64::MAX)),
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &change {
            Change::Length(length) => state.current.resize(*length as usize, 0),
            Change::Write(offset, bytes) => put(&mut state.current, *offset, bytes),
        }
        state.pending.push(change);
        Ok(())
    }
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.power_for {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset as usize..end].copy_from_slice(bytes);
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock();
        let from = state
            .current
            .get(offset as usize..)
            .and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        state.durable = state.current.clone();
        state.pending.clear();
        match std::mem::take(&mut state.next_sync_lies) {
            true => Err(io::Error::other("nobody knows")),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}
