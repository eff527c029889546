//! The model that serves now, swappable between two batches.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use argus_fleet::ModelId;
use argus_risk::Calibration;
use argus_schema::Schema;
use argus_tft::{Device, Model};

use crate::MIN_CONTEXT_BINS;
use crate::batch::schema_ref;
use crate::lookup::Choice;

/// A model and what to call it.
#[derive(Debug)]
pub struct LoadedModel {
    /// The network with its normalisers.
    pub model: Model,
    /// Its name in answers.
    pub id: Arc<ModelId>,
    /// From its `calibration.json`: computed probabilities into observed frequencies.
    pub calibration: Calibration,
}

/// Either a model or the reason why there is none.
type Content = Result<Arc<LoadedModel>, String>;

/// Holds the serving model. A failed load never replaces one that works.
#[derive(Debug)]
pub struct ModelSlot {
    content: ArcSwap<Content>,
    schema: Arc<Schema>,
    device: Device,
    /// Threads that run a model; `None` for the usual number.
    threads: Option<usize>,
}

impl ModelSlot {
    /// An empty slot.
    pub fn new(schema: Arc<Schema>, device: Device) -> Self {
        let nothing = Err("no model was looked for yet".to_owned());
        Self {
            content: ArcSwap::from_pointee(nothing),
            schema,
            device,
            threads: None,
        }
    }

    /// The same, whose models run on so many threads of their own.
    pub fn with_threads(schema: Arc<Schema>, device: Device, threads: usize) -> Self {
        Self {
            threads: Some(threads.max(1)),
            ..Self::new(schema, device)
        }
    }

    /// Takes the first candidate that loads; logs the ones that do not. Without any, the slot says why.
    pub fn load_first(&self, choice: &Choice) {
        if choice.candidates.is_empty() {
            self.refuse(format!("no model directory found ({})", choice.because));
            return;
        }
        for dir in &choice.candidates {
            match self.load(dir) {
                Ok(id) => {
                    tracing::info!(model = %id.name, path = %id.path, because = %choice.because, "model loaded");
                    return;
                }
                Err(reason) => {
                    tracing::error!(path = %dir.display(), %reason, "model directory refused");
                    self.refuse(reason);
                }
            }
        }
    }

    /// Loads `dir` and swaps it in; on failure the running model stays.
    ///
    /// # Errors
    /// A sentence that names the directory and what is wrong with it.
    pub fn load(&self, dir: &Path) -> Result<Arc<ModelId>, String> {
        let loaded = self.open(dir)?;
        let id = Arc::clone(&loaded.id);
        self.content.store(Arc::new(Ok(Arc::new(loaded))));
        Ok(id)
    }

    fn open(&self, dir: &Path) -> Result<LoadedModel, String> {
        let schema = schema_ref(&self.schema);
        let opened = match self.threads {
            None => Model::open(dir, &schema, self.device),
            Some(threads) => Model::open_with_threads(dir, &schema, self.device, threads),
        };
        let model = opened.map_err(|error| format!("{}: {error}", dir.display()))?;
        let least = model.config().min_context_steps;
        if least > MIN_CONTEXT_BINS {
            return Err(format!(
                "{}: the model needs {least} steps of context; the daemon promises forecasts from {MIN_CONTEXT_BINS} on",
                dir.display()
            ));
        }
        let calibration = serde_json::from_value(model.calibration().clone())
            .map_err(|error| format!("{}: calibration.json: {error}", dir.display()))?;
        let answers = model.answers_in_numbers();
        if !answers.map_err(|error| format!("{}: {error}", dir.display()))? {
            return Err(format!(
                "{}: the model's forecasts of an ordinary window are not numbers; it has to be trained again",
                dir.display()
            ));
        }
        let path = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let id = ModelId {
            name,
            path: path.display().to_string(),
            weights_sha256: model.weights_sha256().to_owned(),
            device: self.device.to_string(),
        };
        Ok(LoadedModel {
            model,
            id: Arc::new(id),
            calibration,
        })
    }

    /// The serving model.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn current(&self) -> Content {
        Content::clone(&self.content.load())
    }

    fn refuse(&self, reason: String) {
        if self.current().is_err() {
            self.content.store(Arc::new(Err(reason)));
        }
    }
}
