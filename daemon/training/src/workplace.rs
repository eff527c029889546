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

const LOCK: &str = "lock";
const RUN: &str = "run.json";
const RUN_PARTIAL: &str = "run.partial";
const CHECKPOINT: &str = "checkpoint.safetensors";
const CHECKPOINT_PARTIAL: &str = "checkpoint.partial";
const SPOOL: &str = "spool";

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
    /// Takes a folder that is empty or holds a run, and nothing else. A run of the same name that was cut off there goes
    /// on; otherwise, or with `restart`, one begins at `created_ms`.
    ///
    /// # Errors
    /// When another process works there, the folder holds the checkpoint of a run of another name or things that are no
    /// run's, or the system refuses.
    pub(crate) fn take(
        dir: &Path,
        name: &str,
        created_ms: i64,
        restart: bool,
    ) -> Result<Self, TrainingError> {
        fs::create_dir_all(dir).map_err(TrainingError::io(dir))?;
        refuse_others_things(dir)?;
        let path = dir.join(LOCK);
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
        let run = dir.join(RUN);
        let before: Option<Began> = fs::read(&run)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match before {
            Some(before) if !restart && before.name == name => place.began = before,
            before if !restart && place.checkpoint().exists() => {
                return Err(TrainingError::OtherName {
                    dir: dir.to_owned(),
                    name: before.map_or_else(|| "?".to_owned(), |run| run.name),
                });
            }
            _ => {
                remove_file(&place.checkpoint())?;
                let partial = dir.join(RUN_PARTIAL);
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
        self.dir.join(CHECKPOINT)
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.join(SPOOL)
    }

    /// Removes what the run kept, and the folder if nothing else came to lie there: the run is done.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn clear(self) -> Result<(), TrainingError> {
        // The checkpoint first: what is left of the folder must not look like an unfinished run.
        for file in [CHECKPOINT, CHECKPOINT_PARTIAL, RUN, RUN_PARTIAL] {
            remove_file(&self.dir.join(file))?;
        }
        let spool = self.spool();
        if spool.exists() {
            fs::remove_dir_all(&spool).map_err(TrainingError::io(&spool))?;
        }
        remove_file(&self.dir.join(LOCK))?;
        // A folder that stays harms nobody.
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }
}

/// A folder that somebody keeps other things in is not for a run to work in.
fn refuse_others_things(dir: &Path) -> Result<(), TrainingError> {
    let ours = [
        LOCK,
        RUN,
        RUN_PARTIAL,
        CHECKPOINT,
        CHECKPOINT_PARTIAL,
        SPOOL,
    ];
    for entry in fs::read_dir(dir).map_err(TrainingError::io(dir))? {
        let name = entry.map_err(TrainingError::io(dir))?.file_name();
        if !ours.iter().any(|ours| name == **ours) {
            return Err(TrainingError::NotARun {
                dir: dir.to_owned(),
                entry: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
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

    #[test]
    fn what_is_not_the_runs_is_left_alone() {
        let dir = tempfile::tempdir().expect("is writable");
        let theirs = dir.path().join("notes.txt");
        fs::write(&theirs, b"mine").expect("is writable");
        let refused = Workplace::take(dir.path(), "argus", 1, true);
        assert!(matches!(refused, Err(TrainingError::NotARun { .. })));
        fs::remove_file(&theirs).expect("is there");

        let first = Workplace::take(dir.path(), "argus", 1, false).expect("is empty");
        fs::write(first.checkpoint(), b"x").expect("is writable");
        drop(first);
        let other = Workplace::take(dir.path(), "other", 2, false);
        assert!(matches!(other, Err(TrainingError::OtherName { name, .. }) if name == "argus"));
        let first = Workplace::take(dir.path(), "argus", 3, false).expect("is its own");
        assert!(first.checkpoint().exists());
        fs::write(&theirs, b"mine").expect("is writable");
        first.clear().expect("is ours");
        assert!(theirs.exists() && !dir.path().join(RUN).exists());
    }
}
