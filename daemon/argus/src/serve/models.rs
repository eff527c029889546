//! The models of the running daemon: which there are, which serves, how another takes over.
//!
//! A model is loaded and checked beside the serving one and swapped in between two batches of the forecast loop
//! ([`ModelSlot`]); when it is refused, the old one stays. What is activated is remembered in the data directory's
//! pointer ([`ActivePointer`]), which is also watched: `argus model activate` and `rollback` take effect in a running
//! daemon that follows the pointer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use argus_api::control::{ModelEntry, ModelList, ReloadError, Reloaded};
use argus_fleet::ModelId;
use argus_forecast::lookup::{self, ModelListing};
use argus_forecast::{Activation, ActivePointer, LoadedModel, Lookup, ModelSlot, PointerError};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How often the pointer is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Where models come from and which one serves. All methods block, except [`Models::watch`].
pub struct Models {
    slot: Arc<ModelSlot>,
    lookup: Lookup,
    pointer: ActivePointer,
    /// One change at a time: the pointer and the serving model must not come to differ.
    changing: Mutex<()>,
}

impl Models {
    /// Of a data directory.
    pub fn new(slot: Arc<ModelSlot>, lookup: Lookup, data_dir: &Path) -> Self {
        Self {
            slot,
            lookup,
            pointer: ActivePointer::of(data_dir),
            changing: Mutex::new(()),
        }
    }

    /// The serving model.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn current(&self) -> Result<Arc<LoadedModel>, String> {
        self.slot.current()
    }

    /// Model directories that could serve, newest first.
    pub fn list(&self) -> ModelList {
        let Some(dir) = self.lookup.models_dir() else {
            return ModelList::default();
        };
        ModelList {
            models: lookup::list(&dir).into_iter().map(entry).collect(),
            models_dir: Some(dir.display().to_string()),
        }
    }

    /// Lets the named model serve from now on, also after a restart; without a name the one that a restart would take.
    ///
    /// # Errors
    /// When there is no such model, it may not be loaded, or it is broken; the old one still serves.
    pub fn activate(&self, name: Option<String>) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.changing.lock();
        let chosen = name.is_some();
        let candidates = self.candidates(name)?;
        let previous = self.current().ok().map(|loaded| Arc::clone(&loaded.id));
        let current = self.load_first(&candidates)?;
        if chosen {
            let serving = previous.as_ref().map(|id| Path::new(&id.path));
            let new = activation(&current.path, "the API");
            if let Err(error) = self.pointer.activate(new, serving) {
                tracing::error!(%error, "the model serves, but not after a restart");
            }
        }
        Ok(self.reloaded(previous, current))
    }

    /// Lets the model serve that was active before the active one.
    ///
    /// # Errors
    /// When none was, or it is gone or broken; then nothing has changed.
    pub fn roll_back(&self) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.changing.lock();
        let before = self.pointer.before().map_err(|error| match error {
            PointerError::NothingBefore => ReloadError::NotFound(error.to_string()),
            other => ReloadError::Unavailable(other.to_string()),
        })?;
        let previous = self.current().ok().map(|loaded| Arc::clone(&loaded.id));
        let current = self.load_first(&[before])?;
        self.pointer
            .roll_back()
            .map_err(|error| ReloadError::Unavailable(error.to_string()))?;
        Ok(self.reloaded(previous, current))
    }

    /// Follows the pointer until told to stop: what somebody else activates there is loaded here.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        if !self.lookup.follows_pointer() {
            return;
        }
        let mut seen = self.active();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WATCH_EVERY) => {}
            }
            let this = Arc::clone(&self);
            let before = seen.clone();
            // The read and the load block; a load that panics is in the log, and the pointer is looked at again.
            let looked = tokio::task::spawn_blocking(move || this.follow(before)).await;
            seen = looked.unwrap_or(seen);
        }
    }

    /// Loads the active model if the pointer has changed and another one serves; returns what the pointer says.
    fn follow(&self, seen: Option<PathBuf>) -> Option<PathBuf> {
        let _one_at_a_time = self.changing.lock();
        let now = self.active();
        if now == seen {
            return seen;
        }
        let Some(dir) = &now else {
            return now;
        };
        let serving = self.current().ok().map(|loaded| loaded.id.path.clone());
        if serving.is_some_and(|serving| same_place(Path::new(&serving), dir)) {
            return now;
        }
        match self.slot.load(dir) {
            Ok(id) => tracing::info!(model = %id.name, path = %id.path, "activated model loaded"),
            Err(reason) => {
                tracing::error!(%reason, "activated model refused; the one before still serves");
            }
        }
        now
    }

    fn active(&self) -> Option<PathBuf> {
        self.pointer.active().unwrap_or_else(|error| {
            tracing::error!(%error, "the active model cannot be told");
            None
        })
    }

    fn reloaded(&self, previous: Option<Arc<ModelId>>, current: Arc<ModelId>) -> Reloaded {
        Reloaded {
            previous: previous.map(|id| id.name.clone()),
            timestamp: Some(lookup::timestamp_of(&current.name)).filter(|t| !t.is_empty()),
            current,
        }
    }

    /// Directories to try: the named one, which must be one of those that are listed, or those that a restart would.
    fn candidates(&self, name: Option<String>) -> Result<Vec<PathBuf>, ReloadError> {
        let Some(name) = name else {
            let choice = self.lookup.choose();
            if choice.candidates.is_empty() {
                let told = format!("no model found ({})", choice.because);
                return Err(ReloadError::NotFound(told));
            }
            return Ok(choice.candidates);
        };
        let dir = self.lookup.models_dir().ok_or_else(|| {
            let told = "there is no models directory; start with --models-dir DIR";
            ReloadError::NotFound(told.to_owned())
        })?;
        let wanted = Path::new(&name);
        if let Some(model) = lookup::find(&dir, &name) {
            return Ok(vec![model.path]);
        }
        let here = wanted
            .parent()
            .is_some_and(|parent| same_place(parent, &dir));
        if here {
            return Err(ReloadError::Refused(format!(
                "`{name}` is no model directory: it holds no config.json"
            )));
        }
        if wanted.is_absolute() && wanted.exists() {
            return Err(ReloadError::NotAllowed(format!(
                "`{name}` does not lie in the models directory {}; only models there may be loaded",
                dir.display()
            )));
        }
        let told = format!("no model `{name}` in {}", dir.display());
        Err(ReloadError::NotFound(told))
    }

    /// Loads the first of `candidates` that can be loaded; else says why the last could not.
    fn load_first(&self, candidates: &[PathBuf]) -> Result<Arc<ModelId>, ReloadError> {
        let mut refusal = "no model directory".to_owned();
        for dir in candidates {
            match self.slot.load(dir) {
                Ok(id) => return Ok(id),
                Err(reason) => refusal = reason,
            }
        }
        Err(ReloadError::Refused(refusal))
    }
}

/// An activation now.
pub fn activation(model: &str, by: &str) -> Activation {
    Activation {
        model: PathBuf::from(model),
        at: jiff::Timestamp::now().to_string(),
        by: by.to_owned(),
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn entry(listing: ModelListing) -> ModelEntry {
    let files: Vec<_> = std::fs::read_dir(&listing.path)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|e| e.metadata().ok())
                .collect()
        })
        .unwrap_or_default();
    let modified = files.iter().filter_map(|m| m.modified().ok()).max();
    let modified_ms = modified
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_millis());
    let training = std::fs::read(listing.path.join("training.json")).ok();
    ModelEntry {
        path: listing.path.display().to_string(),
        name: listing.name,
        timestamp: Some(listing.timestamp).filter(|t| !t.is_empty()),
        size_bytes: files.iter().map(std::fs::Metadata::len).sum(),
        modified_ms: i64::try_from(modified_ms).unwrap_or(i64::MAX),
        training: training
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or(Value::Null),
    }
}
