//! What plugins remember: one file per plugin, `NAME.state`, in the host's folder.
//!
//! **Constraints.** Small (1 MB a plugin by default), read often, written rarely, and on disk when a change returns. A
//! power cut may lose the change in flight and nothing before it.
//!
//! **Layout.** A header of 8 bytes (`ARGUSPS1`), then entries, appended:
//!
//! ```text
//! length u32 LE of the rest │ crc32 u32 LE of the rest │ kind u8 │ expires i64 LE │ key length u16 LE │ key │ value
//! ```
//!
//! `kind` is 1 (set) or 2 (removed, no value); `expires` is ms since the epoch, `i64::MAX` for never. Later entries win.
//!
//! **Recovery.** Entries are read until the first one that is cut short or whose checksum is wrong: that is the torn end
//! of the last append, and it is cut off.
//!
//! **Compaction.** When the file has grown to twice what lives in it (and at least 64 KiB), what lives is written beside
//! and renamed over it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Longest key in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 256;
const MAX_VALUES: usize = 10_000;
const MAGIC: &[u8; 8] = b"ARGUSPS1";
const SET: u8 = 1;
const REMOVED: u8 = 2;
/// Bytes of an entry before key and value.
const ENTRY_HEAD: usize = 4 + 4 + 1 + 8 + 2;
const COMPACT_FROM_BYTES: u64 = 64 << 10;
/// No file is ever larger; a larger one is none of ours.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// A limit is reached.
    #[error("the state may hold {limit_bytes} bytes in {MAX_VALUES} values")]
    Full { limit_bytes: usize },
    /// The disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// A change to one key.
#[derive(Debug)]
pub(crate) struct Change {
    pub key: String,
    /// The change is made only if the key has this value (or, inside, none).
    pub expected: Option<Option<Vec<u8>>>,
    /// The new value; none removes the key.
    pub value: Option<Vec<u8>>,
    pub expires_ms: Option<i64>,
    pub limit_bytes: usize,
}

#[derive(Debug, Clone)]
struct Value {
    bytes: Vec<u8>,
    expires_ms: i64,
}

/// The state of one plugin. Without a path it lives as long as the process.
#[derive(Debug)]
pub(crate) struct PluginStore {
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    values: BTreeMap<String, Value>,
    /// Bytes of keys and values.
    live_bytes: usize,
    file: Option<File>,
    file_bytes: u64,
    /// The last append failed: what got there of it must not stand before the next entry.
    torn: bool,
}

impl PluginStore {
    /// Opens the state of the plugin `name` in a folder, which is made if need be.
    pub(crate) fn open(dir: Option<&Path>, name: &str) -> io::Result<Self> {
        let Some(dir) = dir else {
            return Ok(Self {
                path: None,
                inner: Mutex::default(),
            });
        };
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("{name}.state"));
        let inner = Inner::recover(&path)?;
        Ok(Self {
            path: Some(path),
            inner: Mutex::new(inner),
        })
    }

    /// The value of a key, unless it has expired.
    pub(crate) fn get(&self, key: &str, now_ms: i64) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        let value = inner.values.get(key)?;
        (value.expires_ms > now_ms).then(|| value.bytes.clone())
    }

    /// Makes a change and waits for the disk; says whether the key was as expected.
    pub(crate) fn change(&self, change: Change, now_ms: i64) -> Result<bool, StateError> {
        let mut inner = self.inner.lock();
        let current = inner.values.get(&change.key);
        let current = current.filter(|value| value.expires_ms > now_ms);
        if let Some(expected) = &change.expected
            && current.map(|value| &value.bytes) != expected.as_ref()
        {
            return Ok(false);
        }
        let (key, expires_ms) = (change.key, change.expires_ms.unwrap_or(i64::MAX));
        match change.value {
            None if !inner.values.contains_key(&key) => return Ok(true),
            None => {
                inner.append(&entry(REMOVED, expires_ms, &key, &[]))?;
                inner.forget(&key);
            }
            Some(bytes) => {
                let replaced = inner
                    .values
                    .get(&key)
                    .map_or(0, |v| key.len() + v.bytes.len());
                let fits = |inner: &Inner, replaced| {
                    inner.live_bytes - replaced + key.len() + bytes.len() <= change.limit_bytes
                        && inner.values.len() + usize::from(replaced == 0) <= MAX_VALUES
                };
                if !fits(&inner, replaced) {
                    inner.expire(now_ms);
                    let replaced = inner
                        .values
                        .get(&key)
                        .map_or(0, |v| key.len() + v.bytes.len());
                    if !fits(&inner, replaced) {
                        return Err(StateError::Full {
                            limit_bytes: change.limit_bytes,
                        });
                    }
                }
                inner.append(&entry(SET, expires_ms, &key, &bytes))?;
                inner.put(key, Value { bytes, expires_ms });
            }
        }
        if let Err(error) = self.compact(&mut inner, now_ms) {
            // The change itself is on disk; only the file is longer than it need be.
            tracing::warn!(path = ?self.path, "cannot compact a plugin's state: {error}");
        }
        Ok(true)
    }

    fn compact(&self, inner: &mut Inner, now_ms: i64) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let entries = inner.values.len() as u64 * ENTRY_HEAD as u64;
        let needed = MAGIC.len() as u64 + inner.live_bytes as u64 + entries;
        if inner.file_bytes < COMPACT_FROM_BYTES || inner.file_bytes < 2 * needed {
            return Ok(());
        }
        inner.expire(now_ms);
        let mut whole = MAGIC.to_vec();
        for (key, value) in &inner.values {
            whole.extend(entry(SET, value.expires_ms, key, &value.bytes));
        }
        let beside = path.with_extension("new");
        let mut file = open(&beside)?;
        file.set_len(0)?;
        file.write_all(&whole)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        inner.file_bytes = whole.len() as u64;
        inner.file = Some(file);
        Ok(())
    }
}

impl Inner {
    fn recover(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        if file.metadata()?.len() > MAX_FILE_BYTES {
            return Err(io::Error::other("it is too large for a plugin's state"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.len() < MAGIC.len() {
            // New, or torn before the header was on disk.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(MAGIC)?;
            file.sync_all()?;
            bytes = MAGIC.to_vec();
        } else if !bytes.starts_with(MAGIC) {
            return Err(io::Error::other("it is no state of a plugin"));
        }
        let mut inner = Self::default();
        let mut good = MAGIC.len();
        while let Some((kind, expires_ms, key, value, length)) = read_entry(&bytes[good..]) {
            if kind == SET {
                let bytes = value.to_vec();
                inner.put(key.to_owned(), Value { bytes, expires_ms });
            } else {
                inner.forget(key);
            }
            good += length;
        }
        if good < bytes.len() {
            tracing::warn!(path = %path.display(), "a torn end is cut off");
            file.set_len(good as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(good as u64))?;
        inner.file_bytes = good as u64;
        inner.file = Some(file);
        Ok(inner)
    }

    fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if self.torn {
            file.set_len(self.file_bytes)?;
            file.seek(SeekFrom::Start(self.file_bytes))?;
            self.torn = false;
        }
        let written = file.write_all(entry).and_then(|()| file.sync_data());
        match &written {
            Ok(()) => self.file_bytes += entry.len() as u64,
            Err(_) => self.torn = true,
        }
        written
    }

    fn put(&mut self, key: String, value: Value) {
        self.forget(&key);
        self.live_bytes += key.len() + value.bytes.len();
        self.values.insert(key, value);
    }

    fn forget(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.live_bytes -= key.len() + value.bytes.len();
        }
    }

    /// Expired values need no entry: they expire again when the file is read.
    fn expire(&mut self, now_ms: i64) {
        self.values.retain(|_, value| value.expires_ms > now_ms);
        let sizes = self.values.iter().map(|(k, v)| k.len() + v.bytes.len());
        self.live_bytes = sizes.sum();
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn entry(kind: u8, expires_ms: i64, key: &str, value: &[u8]) -> Vec<u8> {
    let key_length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut rest = vec![kind];
    rest.extend(expires_ms.to_le_bytes());
    rest.extend(key_length.to_le_bytes());
    rest.extend(key.as_bytes());
    rest.extend(value);
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let mut entry = length.to_le_bytes().to_vec();
    entry.extend(crc32fast::hash(&rest).to_le_bytes());
    entry.extend(rest);
    entry
}

/// The first entry: kind, expiry, key, value, and its whole length; none if it is torn.
fn read_entry(bytes: &[u8]) -> Option<(u8, i64, &str, &[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let rest = rest.get(..length)?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (&kind, rest) = rest.split_first()?;
    let (expires_ms, rest) = rest.split_first_chunk()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
    let key = std::str::from_utf8(key).ok()?;
    Some((
        kind,
        i64::from_le_bytes(*expires_ms),
        key,
        value,
        8 + length,
    ))
}

#[cfg(test)]
mod tests;
