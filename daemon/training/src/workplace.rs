//! The folder in which a run lives until its model is written.
//!
//! | entry | holds |
//! |---|---|
//! | `lock` | held by the process that works here |
//! | `run.json` | when the run began, which names its model |
//! | `spool/` | the run's rows as bins |
//! | `checkpoint.safetensors` | where the run is |

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainingError;

/// A folder that only this process works in.
#[derive(Debug)]
pub(crate) struct Workplace {
    dir: PathBuf,
    began: Began,
    /// Released when the process ends, however it ends.
    _lock: File,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Began {
    created_ms: i64,
    /// Second part of the model's name is when the run began; this is the first.
    name: String,
}

impl Workplace {
    /// Takes a folder. A run of the same name that was cut off there goes on; otherwise, or with `restart`, one begins
    /// at `created_ms`.
    ///
    /// # Errors
    /// When another process works there, or the system refuses.
    pub(crate) fn take(
        dir: &Path,
        name: &str,
        created_ms: i64,
        restart: bool,
    ) -> Result<Self, TrainingError> {
        fs::create_dir_all(dir).map_err(TrainingError::io(dir))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(TrainingError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainingError::InUse {
                    dir: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(TrainingError::io(&path)(error)),
        }
        let mut place = Self {
            dir: dir.to_owned(),
            began: Began {
                created_ms,
                name: name.to_owned(),
            },
            _lock: lock,
        };
        let run = dir.join("run.json");
        let before: Option<Began> = fs::read(&run)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match before {
            Some(before) if !restart && before.name == name => place.began = before,
            _ => {
                remove_file(&place.checkpoint())?;
                let partial = run.with_extension("partial");
                fs::write(&partial, serde_json::to_vec(&place.began)?)
                    .and_then(|()| fs::rename(&partial, &run))
                    .map_err(TrainingError::io(&run))?;
            }
        }
        Ok(place)
    }

    /// When the run began, ms since the epoch.
    pub(crate) fn created_ms(&self) -> i64 {
        self.began.created_ms
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint.safetensors")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.join("spool")
    }

    /// Removes the folder: its run is done.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn clear(self) -> Result<(), TrainingError> {
        // The checkpoint first: what is left of the folder must not look like an unfinished run.
        remove_file(&self.checkpoint())?;
        remove_file(&self.dir.join("run.json"))?;
        fs::remove_dir_all(&self.dir).map_err(TrainingError::io(&self.dir))
    }
}

fn remove_file(path: &Path) -> Result<(), TrainingError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainingError::io(path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_works_in_a_folder_and_a_run_keeps_its_beginning() {
        let parent = tempfile::tempdir().expect("is writable");
        let dir = parent.path().join("run");
        let first = Workplace::take(&dir, "argus", 1, false).expect("is free");
        fs::write(first.checkpoint(), b"x").expect("is writable");
        let second = Workplace::take(&dir, "argus", 2, false);
        assert!(matches!(second, Err(TrainingError::InUse { .. })));
        drop(first);
        let again = Workplace::take(&dir, "argus", 3, false).expect("is free again");
        assert!(again.created_ms() == 1 && again.checkpoint().exists());
        drop(again);
        let restarted = Workplace::take(&dir, "argus", 4, true).expect("is free again");
        assert!(restarted.created_ms() == 4 && !restarted.checkpoint().exists());
        restarted.clear().expect("is ours");
        assert!(!dir.exists());
    }
}
