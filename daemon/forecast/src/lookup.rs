//! Which model directory serves, shared by every command that runs a model.
//!
//! In this order: `--model DIR`, `--models-dir DIR`, the configuration, the data directory's active pointer,
//! `models/pretrained` upward from the executable, then upward from the current directory. A place that was named
//! and holds no model means *no model*, never another one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::registry::{ActivePointer, PointerError};

/// Places to look at; `None` where nothing was said.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// `--model DIR`: exactly this model directory.
    pub model: Option<PathBuf>,
    /// `--models-dir DIR`: the newest model in it.
    pub models_dir: Option<PathBuf>,
    /// `model.dir` of the configuration.
    pub config_model: Option<PathBuf>,
    /// `model.models_dir` of the configuration.
    pub config_models_dir: Option<PathBuf>,
    /// The data directory, whose `active-model` file may point at one.
    pub data_dir: Option<PathBuf>,
}

/// The outcome: model directories to try, best first, and why these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Directories in the order to try; empty means no model.
    pub candidates: Vec<PathBuf>,
    /// What decided, for people.
    pub because: String,
}

/// A model directory found in a models directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelListing {
    /// Its path.
    pub path: PathBuf,
    /// Its directory name.
    pub name: String,
    /// The `YYYYMMDD_HHMMSS` its name ends in; empty where it has none.
    pub timestamp: String,
}

/// Name of the file in the data directory that says which model is active; see [`ActivePointer`].
pub const ACTIVE_POINTER: &str = "active-model";

impl Lookup {
    /// Decides where the model comes from. Touches only directory listings.
    pub fn choose(&self) -> Choice {
        let exactly = |dir: &PathBuf, because: &str| Choice {
            candidates: vec![dir.clone()],
            because: format!("{because} {}", dir.display()),
        };
        let newest_in = |dir: &PathBuf, because: &str| Choice {
            candidates: list(dir).into_iter().map(|m| m.path).collect(),
            because: format!("{because} {}", dir.display()),
        };
        if let Some(dir) = &self.model {
            return exactly(dir, "--model");
        }
        if let Some(dir) = &self.models_dir {
            return newest_in(dir, "--models-dir");
        }
        if let Some(dir) = &self.config_model {
            return exactly(dir, "model.dir in the configuration:");
        }
        if let Some(dir) = &self.config_models_dir {
            return newest_in(dir, "model.models_dir in the configuration:");
        }
        match self.active_pointer() {
            Ok(Some(dir)) => exactly(&dir, "the active model of the data directory:"),
            Ok(None) => self.shipped(),
            // A pointer that cannot be read named some model: another one must not pass for it.
            Err(error) => Choice {
                candidates: Vec::new(),
                because: error.to_string(),
            },
        }
    }

    /// Whether the active pointer decides, because nothing before it in the order is given.
    pub fn follows_pointer(&self) -> bool {
        let given = [
            &self.model,
            &self.models_dir,
            &self.config_model,
            &self.config_models_dir,
        ];
        given.into_iter().all(Option::is_none) && self.data_dir.is_some()
    }

    /// The directory whose models are listed and offered for activation.
    pub fn models_dir(&self) -> Option<PathBuf> {
        let parent = |dir: &PathBuf| dir.parent().map(Path::to_path_buf);
        self.models_dir
            .clone()
            .or_else(|| self.model.as_ref().and_then(parent))
            .or_else(|| self.config_models_dir.clone())
            .or_else(|| self.config_model.as_ref().and_then(parent))
            .or_else(|| {
                self.active_pointer()
                    .ok()
                    .flatten()
                    .as_ref()
                    .and_then(parent)
            })
            .or_else(shipped_dir)
    }

    fn active_pointer(&self) -> Result<Option<PathBuf>, PointerError> {
        match &self.data_dir {
            Some(dir) => ActivePointer::of(dir).active(),
            None => Ok(None),
        }
    }

    fn shipped(&self) -> Choice {
        match shipped_dir() {
            Some(dir) => Choice {
                candidates: list(&dir).into_iter().map(|m| m.path).collect(),
                because: format!("the shipped models in {}", dir.display()),
            },
            None => Choice {
                candidates: Vec::new(),
                because: "no models/pretrained above the executable or the current directory; \
                          name one with --models-dir DIR"
                    .to_owned(),
            },
        }
    }
}

fn shipped_dir() -> Option<PathBuf> {
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|dir| dir.join("models/pretrained"))
        .find(|dir| dir.is_dir())
}

/// The model directories in `dir`, newest first by the time in their names.
///
/// A directory counts when it holds a `config.json`; whether it is sound shows when it is loaded.
pub fn list(dir: &Path) -> Vec<ModelListing> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut models: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("config.json").is_file())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            // What begins with a point is still being written, or was left by a process that was ended.
            if name.starts_with('.') {
                return None;
            }
            Some(ModelListing {
                timestamp: timestamp_of(&name),
                name,
                path,
            })
        })
        .collect();
    models.sort_by(|a, b| (&b.timestamp, &b.name).cmp(&(&a.timestamp, &a.name)));
    models
}

/// The model directory in `dir` that goes by a name or lies at a path.
pub fn find(dir: &Path, name_or_path: &str) -> Option<ModelListing> {
    let wanted = Path::new(name_or_path);
    let place = wanted.canonicalize().ok();
    let is_wanted = |model: &ModelListing| {
        model.name == name_or_path
            || model.path == wanted
            || place.is_some() && model.path.canonicalize().ok() == place
    };
    list(dir).into_iter().find(is_wanted)
}

/// The `YYYYMMDD_HHMMSS` at the end of a model directory's name, or an empty text.
pub fn timestamp_of(name: &str) -> String {
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.rsplitn(3, '_');
    match (parts.next(), parts.next()) {
        (Some(time), Some(date)) if digits(time, 6) && digits(date, 8) => format!("{date}_{time}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        fs::create_dir_all(&path).expect("temp dir");
        fs::write(path.join("config.json"), "{}").expect("temp dir");
        path
    }

    #[test]
    fn newest_by_time_in_the_name_comes_first() {
        let dir = tempfile::tempdir().expect("temp dir");
        model(dir.path(), "zebra_20250101_000000");
        model(dir.path(), "argus_20260101_000000");
        model(dir.path(), "notes");
        fs::create_dir(dir.path().join("empty_20270101_000000")).expect("temp dir");
        let names: Vec<_> = list(dir.path()).into_iter().map(|m| m.name).collect();
        assert_eq!(
            names,
            ["argus_20260101_000000", "zebra_20250101_000000", "notes"]
        );
    }

    #[test]
    fn a_named_place_without_a_model_means_no_model() {
        let dir = tempfile::tempdir().expect("temp dir");
        let lookup = Lookup {
            models_dir: Some(dir.path().to_path_buf()),
            ..Lookup::default()
        };
        assert!(lookup.choose().candidates.is_empty());
    }

    #[test]
    fn the_command_line_wins_over_the_pointer() {
        let dir = tempfile::tempdir().expect("temp dir");
        let active = model(dir.path(), "active_20260101_000000");
        fs::write(
            dir.path().join(ACTIVE_POINTER),
            format!("{}\n", active.display()),
        )
        .expect("temp dir");
        let mut lookup = Lookup {
            data_dir: Some(dir.path().to_path_buf()),
            ..Lookup::default()
        };
        assert_eq!(lookup.choose().candidates, [active]);
        assert!(lookup.follows_pointer());
        fs::write(dir.path().join(ACTIVE_POINTER), "{").expect("temp dir");
        let damaged = lookup.choose();
        assert!(damaged.candidates.is_empty() && damaged.because.contains("damaged"));
        lookup.model = Some(PathBuf::from("/elsewhere"));
        assert!(!lookup.follows_pointer());
        assert_eq!(lookup.choose().candidates, [PathBuf::from("/elsewhere")]);
    }
}
