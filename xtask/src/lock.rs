//! One setup at a time in a checkout.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};

use crate::step;

/// Holds `.deps/` for this process until dropped; the system lets go of it when the process dies.
pub struct DepsLock {
    _file: File,
}

impl DepsLock {
    /// Waits, saying so, while another xtask sets up.
    pub fn acquire(deps: &Path) -> Result<DepsLock> {
        fs::create_dir_all(deps).with_context(|| format!("failed to create {}", deps.display()))?;
        let path = deps.join("lock");
        let file =
            File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                step::note("waiting for another `cargo xtask` in this checkout");
                file.lock()
                    .with_context(|| format!("failed to lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        Ok(DepsLock { _file: file })
    }
}
