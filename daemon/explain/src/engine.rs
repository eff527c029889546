//! One thread that runs the model for explanations, and the service in front of it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use argus_fleet::{Fleet, ForecastState};
use argus_forecast::{CONTEXT_STEPS, Input, Interpretation, ModelSlot, Past, VariableWeights};
use argus_plugin_host::services::model::{ModelService, Output, Selection, Window, WindowShape};
use argus_plugin_host::services::{BoxFuture, ServiceError};
use argus_risk::ThresholdRules;
use argus_schema::{EntityName, Schema};
use argus_store::Store;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::subject::{Subject, profile_id};
use crate::typical::{Backgrounds, Source};

/// Calls that may wait for the model, each with one batch of at most [`CHUNK_VARIANTS`].
const MAX_WAITING: usize = 32;
/// Variants whose forecasts are in memory at a time.
const CHUNK_VARIANTS: usize = 64;
/// How much less of a busy processor explanations get: forecasts and readers come first.
const NICENESS: i32 = 3;

/// What the engine works with.
#[derive(Clone)]
pub struct EngineParts {
    /// Where contexts come from.
    pub store: Arc<Store>,
    /// Shape of the entities.
    pub schema: Arc<Schema>,
    /// The serving model.
    pub models: Arc<ModelSlot>,
    /// The published forecasts.
    pub fleet: Arc<ArcSwap<Fleet>>,
    /// Thresholds that differ from the schema's.
    pub thresholds: Arc<ThresholdRules>,
}

/// The model as explanations reach it. Clones share one thread.
#[derive(Clone)]
pub struct Engine {
    parts: EngineParts,
    backgrounds: Arc<Mutex<Backgrounds>>,
    queue: SyncSender<Job>,
}

/// Runs on the engine's thread.
type Job = Box<dyn FnOnce() + Send>;

impl Engine {
    /// Starts the thread; it ends when the last clone and the last open window are gone.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(parts: EngineParts) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("explain".to_owned())
            .spawn(move || work(&jobs))?;
        let engine = Self {
            parts,
            backgrounds: Arc::default(),
            queue,
        };
        Ok((engine, thread))
    }

    /// Whom the background of a profile is made of now.
    ///
    /// # Errors
    /// `model_busy`.
    pub async fn background(&self, profile: u8) -> Result<Source, ServiceError> {
        let this = self.clone();
        self.run(move || {
            let fleet = this.parts.fleet.load_full();
            let metrics = this.parts.schema.metrics.len();
            let mut made = this.backgrounds.lock();
            Ok(made.of(&fleet, &this.parts.store, profile, metrics).0)
        })
        .await
    }

    /// Runs something on the engine's thread, unless nobody waits for it any more when its turn comes.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !answer.is_closed() {
                // The asker may run out of time meanwhile.
                let _ = answer.send(work());
            }
        });
        let busy = |reason: &str| ServiceError::retryable("model_busy", reason);
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => busy("too many explanations wait for the model"),
            TrySendError::Disconnected(_) => busy("the daemon is shutting down"),
        })?;
        let lost =
            |_| ServiceError::new("model_failed", "the evaluation was lost; the log says why");
        answered.await.map_err(lost)?
    }

    fn open_now(
        &self,
        entity: &str,
        origin_ms: Option<i64>,
    ) -> Result<Arc<dyn Window>, ServiceError> {
        let EngineParts {
            store,
            schema,
            models,
            fleet,
            thresholds,
        } = &self.parts;
        let fleet = fleet.load_full();
        let unknown = || {
            let name: String = entity.chars().take(100).collect();
            ServiceError::new("unknown_entity", format!("there is no entity {name:?}"))
        };
        let soon = |why: &str| {
            let reason = format!("{why}; its next forecast is under way");
            ServiceError::retryable("model_busy", reason)
        };
        let name = EntityName::new(entity).map_err(|_| unknown())?;
        let state = fleet.entities.get(&name).ok_or_else(unknown)?;
        let no_model = |reason| ServiceError::new("no_model", reason);
        let model = models.current().map_err(no_model)?;
        let forecast = state.forecast.as_ref().ok_or_else(|| match state.state {
            ForecastState::WarmingUp => {
                let bins = state.closed_bins;
                let reason = format!("`{name}` has {bins} closed bins, too few for a forecast");
                ServiceError::new("warming_up", reason)
            }
            ForecastState::Ready | ForecastState::Pending => soon("it has no forecast yet"),
        })?;
        if origin_ms.is_some_and(|wanted| wanted != forecast.origin_ms) {
            let kept = forecast.origin_ms;
            let reason = format!("only the forecast from {kept} is kept");
            return Err(ServiceError::new("not_kept", reason));
        }
        if !Arc::ptr_eq(&forecast.model, &model.id) {
            return Err(soon("another model has just been loaded"));
        }
        let step_ms = i64::from(fleet.step_secs) * 1000;
        let bin = forecast.origin_ms.div_euclid(step_ms);
        let context = store
            .context(&name, bin, CONTEXT_STEPS)
            .ok_or_else(unknown)?;
        let profile = profile_id(schema, state.profile);
        let read = |bin, steps| store.context(&name, bin, steps);
        let past = Past::read(&model.model, bin, read);
        let input = Input::new(&name, profile, &context, past.own());
        if input.context_hash() != forecast.context_hash {
            return Err(soon("its data have changed since its newest forecast"));
        }
        let typical = {
            let mut made = self.backgrounds.lock();
            let metrics = schema.metrics.len();
            made.of(&fleet, store, state.profile, metrics).1
        };
        let typical = typical.over(&context, step_ms);
        let state = Arc::clone(state);
        let subject = Subject::new(
            schema,
            thresholds,
            model,
            Arc::clone(&state),
            forecast,
            (context, past),
            typical,
        );
        Ok(Arc::new(OpenWindow {
            engine: self.clone(),
            subject: Arc::new(subject),
            interpreted: tokio::sync::OnceCell::new(),
        }))
    }
}

fn work(jobs: &Receiver<Job>) {
    // Threads inherit it, so it also holds for the model's workers that a batch starts. Without it explanations are no
    // worse, only less polite.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "explanations run at normal priority");
    }
    while let Ok(job) = jobs.recv() {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        if done.is_err() {
            tracing::error!("an evaluation for an explanation panicked");
        }
    }
}

impl ModelService for Engine {
    fn open(
        &self,
        entity: String,
        origin_ms: Option<i64>,
    ) -> BoxFuture<'_, Result<Arc<dyn Window>, ServiceError>> {
        let this = self.clone();
        Box::pin(self.run(move || this.open_now(&entity, origin_ms)))
    }
}

struct OpenWindow {
    engine: Engine,
    subject: Arc<Subject>,
    interpreted: tokio::sync::OnceCell<Arc<Interpretation>>,
}

impl OpenWindow {
    async fn interpretation(&self) -> Result<Arc<Interpretation>, ServiceError> {
        let subject = Arc::clone(&self.subject);
        let made = self
            .interpreted
            .get_or_try_init(|| self.engine.run(move || subject.interpret().map(Arc::new)));
        made.await.cloned()
    }
}

impl Window for OpenWindow {
    fn shape(&self) -> &WindowShape {
        &self.subject.shape
    }

    fn values(&self) -> &[f32] {
        &self.subject.values
    }

    fn typical(&self) -> &[f32] {
        &self.subject.typical
    }

    fn evaluate(
        &self,
        variants: Vec<f32>,
        outputs: Vec<Output>,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(async move {
            let chunk = CHUNK_VARIANTS * self.subject.values.len();
            let (variants, outputs) = (Arc::new(variants), Arc::new(outputs));
            let mut numbers = Vec::new();
            // A chunk at a time, so that a call with thousands of variants takes turns with the others.
            for start in (0..variants.len()).step_by(chunk.max(1)) {
                let (subject, variants) = (Arc::clone(&self.subject), Arc::clone(&variants));
                let outputs = Arc::clone(&outputs);
                let end = variants.len().min(start + chunk);
                let work = move || subject.evaluate(&variants[start..end], &outputs);
                numbers.extend(self.engine.run(work).await?);
            }
            Ok(numbers)
        })
    }

    fn attention(&self) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(async { Ok(self.interpretation().await?.attention.to_vec()) })
    }

    fn variable_weights(
        &self,
        selection: Selection,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(async move {
            let found = self.interpretation().await?;
            Ok(of(&found, selection).weights.to_vec())
        })
    }

    fn variable_names(&self, selection: Selection) -> Vec<String> {
        let architecture = &self.subject.model.model.config().architecture;
        let variables = match selection {
            Selection::Static => &architecture.static_variables,
            Selection::Context => &architecture.encoder_variables,
            Selection::Horizon => &architecture.decoder_variables,
        };
        variables.names().map(str::to_owned).collect()
    }
}

fn of(found: &Interpretation, selection: Selection) -> &VariableWeights {
    match selection {
        Selection::Static => &found.statics,
        Selection::Context => &found.encoder,
        Selection::Horizon => &found.decoder,
    }
}
