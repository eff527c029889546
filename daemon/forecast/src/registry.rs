//! Which model is active: a pointer file in the data directory that remembers what was active before.
//!
//! ```json
//! {"format_version": 1, "activations": [{"model": "/var/lib/argus/models/a_20260101_120000", "at": "…", "by": "…"}, …]}
//! ```
//!
//! The last activation holds. Rolling back removes it, so that the one before holds again. The file is written beside
//! its place, flushed and renamed; whoever reads it sees the old state or the new one. A file of a single line is the
//! path of the active model, as earlier versions wrote it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lookup::ACTIVE_POINTER;

const FORMAT_VERSION: u32 = 1;
/// Activations that are remembered; the oldest give way.
const MAX_ACTIVATIONS: usize = 50;
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// One model that was made the active one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// Its directory.
    pub model: PathBuf,
    /// When, RFC 3339; empty where nobody knows.
    #[serde(default)]
    pub at: String,
    /// By what, e.g. `argus model activate`; empty where nobody knows.
    #[serde(default)]
    pub by: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format_version: u32,
    activations: Vec<Activation>,
}

/// The pointer file of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivePointer {
    path: PathBuf,
}

/// Why the pointer cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PointerError {
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{} is damaged: {problem}; `argus model activate` writes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Nothing was active before.
    #[error("there is no earlier model to go back to")]
    NothingBefore,
}

impl ActivePointer {
    /// The pointer of a data directory, whether or not the file exists.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(ACTIVE_POINTER),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All activations, oldest first; none where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn activations(&self) -> Result<Vec<Activation>, PointerError> {
        let damaged = |problem: String| PointerError::Damaged {
            path: self.path.clone(),
            problem,
        };
        let text = match fs::metadata(&self.path) {
            Ok(file) if file.len() > MAX_BYTES => {
                return Err(damaged(format!("it has {} bytes", file.len())));
            }
            Ok(_) => fs::read(&self.path).map_err(|source| self.failed(source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.failed(source)),
        };
        let text = String::from_utf8(text).map_err(|_| damaged("it is no text".to_owned()))?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if !text.starts_with('{') {
            if text.lines().count() > 1 {
                return Err(damaged("it is neither JSON nor a single path".to_owned()));
            }
            return Ok(vec![Activation {
                model: PathBuf::from(text),
                at: String::new(),
                by: String::new(),
            }]);
        }
        let contents: Contents =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if contents.format_version != FORMAT_VERSION {
            let found = contents.format_version;
            return Err(damaged(format!(
                "it has format_version {found}, expected {FORMAT_VERSION}"
            )));
        }
        Ok(contents.activations)
    }

    /// The active model's directory.
    ///
    /// # Errors
    /// As [`ActivePointer::activations`].
    pub fn active(&self) -> Result<Option<PathBuf>, PointerError> {
        Ok(self.activations()?.pop().map(|activation| activation.model))
    }

    /// The directory that a rollback would make active.
    ///
    /// # Errors
    /// As [`ActivePointer::activations`], or when nothing was active before.
    pub fn before(&self) -> Result<PathBuf, PointerError> {
        let mut activations = self.activations()?;
        activations.pop();
        let before = activations.pop().ok_or(PointerError::NothingBefore)?;
        Ok(before.model)
    }

    /// Makes a model the active one. `serving` is the one that serves without the pointer; it is remembered where
    /// nothing else was active, so that there is something to go back to. A damaged file is replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn activate(&self, new: Activation, serving: Option<&Path>) -> Result<(), PointerError> {
        let mut activations = match self.activations() {
            Ok(activations) => activations,
            Err(PointerError::Damaged { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        if activations.is_empty()
            && let Some(serving) = serving.filter(|serving| *serving != new.model)
        {
            activations.push(Activation {
                model: serving.to_owned(),
                at: String::new(),
                by: "served before anything was activated".to_owned(),
            });
        }
        if activations
            .last()
            .is_some_and(|last| last.model == new.model)
        {
            activations.pop();
        }
        activations.push(new);
        let surplus = activations.len().saturating_sub(MAX_ACTIVATIONS);
        activations.drain(..surplus);
        self.write(activations)
    }

    /// Forgets the active model, so that the one before is active again; returns that one's directory.
    ///
    /// # Errors
    /// When nothing was active before, or the file cannot be read or written.
    pub fn roll_back(&self) -> Result<PathBuf, PointerError> {
        let mut activations = self.activations()?;
        activations.pop();
        let before = activations.last().ok_or(PointerError::NothingBefore)?;
        let before = before.model.clone();
        self.write(activations)?;
        Ok(before)
    }

    fn write(&self, activations: Vec<Activation>) -> Result<(), PointerError> {
        let contents = Contents {
            format_version: FORMAT_VERSION,
            activations,
        };
        let text = serde_json::to_vec_pretty(&contents).map_err(io::Error::other);
        // The process's number keeps a command and the daemon from writing into each other's file.
        let beside = self
            .path
            .with_extension(format!("new-{}", std::process::id()));
        let written = text.and_then(|text| {
            let mut file = File::create(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            match self.path.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        });
        written.map_err(|source| {
            // Best effort: the first error is the one worth telling.
            let _ = fs::remove_file(&beside);
            self.failed(source)
        })
    }

    fn failed(&self, source: io::Error) -> PointerError {
        PointerError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation(model: &str) -> Activation {
        Activation {
            model: PathBuf::from(model),
            at: "2026-01-01T00:00:00Z".to_owned(),
            by: "a test".to_owned(),
        }
    }

    fn models(pointer: &ActivePointer) -> Vec<String> {
        let activations = pointer.activations().expect("readable");
        let name = |a: Activation| a.model.display().to_string();
        activations.into_iter().map(name).collect()
    }

    #[test]
    fn what_was_active_is_remembered_and_comes_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let pointer = ActivePointer::of(dir.path());
        assert_eq!(pointer.active().expect("no file"), None);
        assert!(matches!(
            pointer.roll_back(),
            Err(PointerError::NothingBefore)
        ));
        let serving = Path::new("/shipped");
        pointer
            .activate(activation("/a"), Some(serving))
            .expect("writable");
        pointer
            .activate(activation("/b"), Some(serving))
            .expect("writable");
        // Activated twice in a row, it is remembered once.
        pointer.activate(activation("/b"), None).expect("writable");
        assert_eq!(models(&pointer), ["/shipped", "/a", "/b"]);
        assert_eq!(pointer.before().expect("one before"), Path::new("/a"));
        assert_eq!(pointer.roll_back().expect("one before"), Path::new("/a"));
        assert_eq!(pointer.roll_back().expect("one before"), serving);
        assert!(matches!(
            pointer.roll_back(),
            Err(PointerError::NothingBefore)
        ));
        assert_eq!(models(&pointer), ["/shipped"]);
        let files = fs::read_dir(dir.path()).expect("temp dir").count();
        assert_eq!(files, 1, "nothing is left beside the pointer");
    }

    #[test]
    fn a_path_alone_is_an_earlier_versions_pointer_and_rubbish_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let pointer = ActivePointer::of(dir.path());
        let write = |text: &[u8]| fs::write(pointer.path(), text).expect("temp dir");
        write(b"/models/old_20250101_000000\n");
        assert_eq!(models(&pointer), ["/models/old_20250101_000000"]);
        pointer
            .activate(activation("/new"), None)
            .expect("writable");
        assert_eq!(models(&pointer), ["/models/old_20250101_000000", "/new"]);
        let newer: &[u8] = br#"{"format_version": 9, "activations": []}"#;
        for rubbish in [newer, b"{", b"a\nb", &[0xff, 0xfe]] {
            write(rubbish);
            let error = pointer.active().expect_err("damaged").to_string();
            assert!(error.contains("damaged"), "{error}");
            pointer
                .activate(activation("/new"), None)
                .expect("replaced");
            assert_eq!(models(&pointer), ["/new"]);
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().expect("temp dir");
        let pointer = ActivePointer::of(dir.path());
        for number in 0..60 {
            let new = activation(&format!("/{number}"));
            pointer.activate(new, None).expect("writable");
        }
        let kept = models(&pointer);
        assert_eq!((kept.len(), kept[0].as_str()), (50, "/10"));
    }
}
