//! Compiled code on disk, so that a restart does not compile again.
//!
//! One file per component and engine: `SHA256-ENGINE.cwasm`, where ENGINE is a hash over the engine's version, its
//! settings and the processor's features. Content: SHA-256 of the rest (32 bytes), then the engine's serialised code.
//! Files are written beside and renamed, so a reader sees a whole file or none. Compiled code is trusted code: folder
//! and file must belong to this user, the folder has mode 0700, and nothing is read through a symbolic link; what is
//! otherwise is not loaded but compiled again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, process};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::errors::HostError;

const CHECKSUM_BYTES: usize = 32;
/// Versions that are kept, all plugins together; the ones that were made longest ago go.
const MAX_ENTRIES: usize = 64;

/// The folder of compiled code.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
    engine_hash: u64,
}

impl Cache {
    /// Opens the folder, making it if need be.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, HostError> {
        let unusable = |reason: String| HostError::Cache {
            path: dir.to_owned(),
            reason,
        };
        make_private(dir).map_err(|e| unusable(e.to_string()))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir: dir.to_owned(),
            engine_hash: hasher.finish(),
        })
    }

    /// The compiled code of a component, if it is there, ours and whole.
    pub(crate) fn load(&self, sha256: &str) -> Option<Vec<u8>> {
        let path = self.path(sha256);
        match read_ours(&path) {
            Ok(code) => Some(code),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled plugin is not used: {error}; compiling again");
                None
            }
        }
    }

    /// Keeps compiled code. A failure costs only time at the next start.
    pub(crate) fn store(&self, sha256: &str, code: &[u8]) {
        if let Err(error) = self.write(sha256, code).and_then(|()| self.thin_out()) {
            tracing::warn!(dir = %self.dir.display(), "cannot keep a compiled plugin: {error}");
        }
    }

    fn write(&self, sha256: &str, code: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.path(sha256);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_extension(format!("{}-{number}.tmp", process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        let written = file
            .write_all(&Sha256::digest(code))
            .and_then(|()| file.write_all(code))
            .and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // A full disk should not be made fuller.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn thin_out(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            entries.push((entry.metadata()?.modified()?, entry.path()));
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        for (_, path) in &entries[..surplus] {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir
            .join(format!("{sha256}-{:016x}.cwasm", self.engine_hash))
    }
}

fn read_ours(path: &Path) -> io::Result<Vec<u8>> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(no_follow)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != own_uid() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("another user could have written it"));
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    let mut code = Vec::new();
    file.read_exact(&mut checksum)?;
    file.read_to_end(&mut code)?;
    if checksum != Sha256::digest(&code).as_slice() {
        return Err(io::Error::other("it is damaged"));
    }
    Ok(code)
}

fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let metadata = fs::symlink_metadata(dir)?;
    let not_ours = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    if !metadata.is_dir() {
        return not_ours("it is not a folder");
    }
    if metadata.uid() != own_uid() {
        return not_ours("it belongs to another user, who could replace compiled code");
    }
    if metadata.mode() & 0o077 != 0 {
        // Who could write here before may have left something.
        if metadata.mode() & 0o022 != 0 {
            for entry in fs::read_dir(dir)? {
                fs::remove_file(entry?.path())?;
            }
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
