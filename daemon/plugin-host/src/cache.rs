//! Compiled code on disk, so that a restart does not compile again.
//!
//! One file per component and engine: `SHA256-ENGINE.cwasm`, where ENGINE is a hash over the engine's version, its
//! settings and the processor's features. Content: SHA-256 of the rest (32 bytes), then the engine's serialised code.
//! Files are written beside and renamed, so a reader sees a whole file or none. Compiled code is trusted code: the
//! folder belongs to this user and has mode 0700, else it is refused.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, process};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::errors::HostError;

const CHECKSUM_BYTES: usize = 32;

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

    /// The compiled component, if it is there and whole.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let bytes = fs::read(&path).ok()?;
        let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        if checksum != Sha256::digest(code).as_slice() {
            tracing::warn!(path = %path.display(), "compiled plugin is damaged; compiling again");
            return None;
        }
        #[expect(unsafe_code, reason = "compiled code is loaded from the private cache")]
        // SAFETY: the bytes were serialised by an engine with the same compatibility hash (it is in the name, and the
        // engine checks again), they are whole (checksum), and nobody else can write them: `open` made sure that the
        // folder belongs to this user with mode 0700.
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded
            .inspect_err(
                |e| tracing::warn!(path = %path.display(), "compiled plugin is unusable: {e:#}"),
            )
            .ok()
    }

    /// Keeps a compiled component. A failure costs only time at the next start.
    pub(crate) fn store(&self, sha256: &str, component: &Component) {
        let kept = component.serialize().map_err(|e| e.to_string());
        let kept = kept.and_then(|code| self.write(sha256, &code).map_err(|e| e.to_string()));
        if let Err(reason) = kept {
            tracing::warn!(dir = %self.dir.display(), "cannot keep a compiled plugin: {reason}");
        }
    }

    fn write(&self, sha256: &str, code: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        let beside = path.with_extension(format!("{}.tmp", process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        drop(file);
        fs::rename(beside, path)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir
            .join(format!("{sha256}-{:016x}.cwasm", self.engine_hash))
    }
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
    if metadata.uid() != fs::metadata("/proc/self")?.uid() {
        return not_ours("it belongs to another user, who could replace compiled code");
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
