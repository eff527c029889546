//! API keys: made once, shown once, stored as hashes.
//!
//! `keys.json` holds `{"format_version":1,"keys":[{id, name, scopes, sha256, created_ms}]}`. A key is 256 random bits,
//! so a plain SHA-256 cannot be reversed by guessing. The file is replaced by rename, never written in place; `argus
//! key` changes it under a lock while a daemon runs, and the daemon reads it again when it has changed. A file that
//! cannot be read never opens the door: keys stay as they were, or the start fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Send records.
    Ingest,
    /// Read everything.
    Read,
    /// Change things: models, alerts, servers, plugins.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// `ingest`, `read` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no scope; there are ingest, read and admin"))
    }
}

/// A key as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Short id to revoke it by.
    pub id: String,
    /// What it is for, in the words of who made it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, ms since the epoch.
    pub created_ms: i64,
}

/// A key that was just made. The text is nowhere else.
pub struct NewKey {
    /// What is remembered of it.
    pub info: KeyInfo,
    /// The key itself.
    pub text: String,
}

/// What went wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("{} is damaged: {problem}; restore it from a backup, or delete it and create new keys", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A key needs a name and a scope.
    #[error("{0}")]
    Invalid(&'static str),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format_version: u32,
    keys: Vec<StoredKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    sha256: String,
    created_ms: i64,
}

const FORMAT_VERSION: u32 = 1;
/// A changed file is noticed after this time at the latest; looking at it costs one `stat`.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The keys of a data directory.
#[derive(Debug)]
pub struct KeyStore {
    path: PathBuf,
    keys: RwLock<Vec<StoredKey>>,
    seen: Mutex<(Instant, Option<Stamp>)>,
}

/// Tells one state of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_ns: i128,
}

impl KeyStore {
    /// Name of the file in the data directory.
    pub const FILE_NAME: &str = "keys.json";

    /// Reads the keys of a data directory; a missing file means none.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(Self::FILE_NAME);
        // The stamp is taken first, so that a change in between is seen at the next look.
        let stamp = stamp(&path);
        let keys = read(&path)?.keys;
        Ok(Self {
            path,
            keys: RwLock::new(keys),
            seen: Mutex::new((Instant::now(), stamp)),
        })
    }

    /// Makes a key and stores its hash.
    ///
    /// # Errors
    /// When `name` is empty or over 100 bytes, there is no scope, or the file cannot be written.
    pub fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        now_ms: i64,
        random: &mut impl CryptoRng,
    ) -> Result<NewKey, KeyError> {
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(KeyError::Invalid(
                "a key needs a name of 1 to 100 bytes that says what it is for",
            ));
        }
        if scopes.is_empty() {
            return Err(KeyError::Invalid(
                "a key needs at least one scope: ingest, read, admin",
            ));
        }
        let mut secret = [0; 32];
        random.fill_bytes(&mut secret);
        let mut id = [0; 4];
        random.fill_bytes(&mut id);
        let text = format!("argus_{}", hex(&secret));
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let key = StoredKey {
            id: hex(&id),
            name: name.to_owned(),
            scopes,
            sha256: digest(&text),
            created_ms: now_ms,
        };
        let info = info_of(&key);
        self.change(|keys| keys.push(key))?;
        Ok(NewKey { info, text })
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<KeyInfo> {
        self.refresh();
        self.keys.read().iter().map(info_of).collect()
    }

    /// Forgets a key; says whether there was one of this id.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(&self, id: &str) -> Result<bool, KeyError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.id != id);
            keys.len() < before
        })
    }

    /// Whether there is no key, so that a loopback listener asks for none.
    pub fn is_empty(&self) -> bool {
        self.refresh();
        self.keys.read().is_empty()
    }

    /// The key of this text. Every stored hash is compared in full, so that time tells nothing.
    pub fn find(&self, text: &str) -> Option<KeyInfo> {
        self.refresh();
        let digest = digest(text);
        let keys = self.keys.read();
        let mut found = None;
        for key in keys.iter() {
            if bool::from(key.sha256.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(key);
            }
        }
        found.map(info_of)
    }

    /// Reads the file again if it is another one than the last time.
    fn refresh(&self) {
        let Some(mut seen) = self.seen.try_lock() else {
            return;
        };
        let (looked, known) = *seen;
        if looked.elapsed() < LOOK_AGAIN {
            return;
        }
        let now = stamp(&self.path);
        if now != known {
            match read(&self.path) {
                Ok(file) => *self.keys.write() = file.keys,
                Err(error) => tracing::error!(%error, "keys stay as they were"),
            }
        }
        *seen = (Instant::now(), now);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<StoredKey>) -> T) -> Result<T, KeyError> {
        let lock_path = self.path.with_extension("json.lock");
        let lock = private_file(&lock_path, false)?;
        lock.lock().map_err(|source| KeyError::Io {
            action: "lock",
            path: lock_path,
            source,
        })?;
        let mut file = read(&self.path)?;
        let outcome = change(&mut file.keys);
        file.format_version = FORMAT_VERSION;
        write(&self.path, &file)?;
        *self.keys.write() = file.keys;
        *self.seen.lock() = (Instant::now(), stamp(&self.path));
        Ok(outcome)
    }
}

fn info_of(key: &StoredKey) -> KeyInfo {
    KeyInfo {
        id: key.id.clone(),
        name: key.name.clone(),
        scopes: key.scopes.clone(),
        created_ms: key.created_ms,
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Some(Stamp {
        inode: meta.ino(),
        bytes: meta.len(),
        modified_ns,
    })
}

fn read(path: &Path) -> Result<KeyFile, KeyError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(KeyFile::default()),
        Err(source) => {
            return Err(KeyError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let damaged = |problem: String| KeyError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let file: KeyFile = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if file.format_version != FORMAT_VERSION {
        return Err(damaged(format!(
            "format version {} is not {FORMAT_VERSION}",
            file.format_version
        )));
    }
    Ok(file)
}

fn write(path: &Path, file: &KeyFile) -> Result<(), KeyError> {
    let io_error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Io {
            action,
            path,
            source,
        }
    };
    let text = serde_json::to_vec(file).map_err(|e| KeyError::Damaged {
        path: path.to_owned(),
        problem: e.to_string(),
    })?;
    let beside = path.with_extension("json.new");
    let mut new = private_file(&beside, true)?;
    new.write_all(&text)
        .and_then(|()| new.sync_all())
        .map_err(io_error("write", &beside))?;
    fs::rename(&beside, path).map_err(io_error("replace", path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(io_error("sync", dir))
}

/// Opens a file that only its owner can read.
fn private_file(path: &Path, truncate: bool) -> Result<File, KeyError> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
        .map_err(|source| KeyError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, KeyStore) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let keys = KeyStore::open(dir.path()).expect("no keys yet");
        (dir, keys)
    }

    #[test]
    fn a_key_is_found_by_its_text_until_it_is_revoked() {
        let (dir, keys) = store();
        assert!(keys.is_empty());
        let made = keys
            .create("grafana", &[Scope::Read], 5, &mut rand::rng())
            .expect("made");
        assert_eq!(made.text.len(), 6 + 64);
        assert_eq!(keys.find(&made.text), Some(made.info.clone()));
        assert_eq!(keys.find("argus_0000"), None);

        let text = fs::read_to_string(dir.path().join("keys.json")).expect("file");
        assert!(!text.contains(&made.text[6..]), "the key itself is stored");
        let mode = fs::metadata(dir.path().join("keys.json"))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        assert!(!keys.revoke("nothing").expect("written"));
        assert!(keys.revoke(&made.info.id).expect("written"));
        assert_eq!(keys.find(&made.text), None);
    }

    #[test]
    fn another_process_changes_are_seen() {
        let (dir, daemon) = store();
        let cli = KeyStore::open(dir.path()).expect("no keys yet");
        let made = cli
            .create("feeder", &[Scope::Ingest], 5, &mut rand::rng())
            .expect("made");
        std::thread::sleep(LOOK_AGAIN);
        assert_eq!(daemon.find(&made.text).map(|k| k.id), Some(made.info.id));
    }

    #[test]
    fn a_damaged_file_opens_no_door() {
        let (dir, keys) = store();
        let made = keys
            .create("grafana", &[Scope::Read], 5, &mut rand::rng())
            .expect("made");
        fs::write(dir.path().join("keys.json"), "{").expect("write");
        std::thread::sleep(LOOK_AGAIN);
        assert!(keys.find(&made.text).is_some());
        assert!(!keys.is_empty());
        assert!(matches!(
            KeyStore::open(dir.path()),
            Err(KeyError::Damaged { .. })
        ));
    }
}
