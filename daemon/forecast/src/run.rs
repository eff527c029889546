//! The loop: who is due, one batch, risk, publish. It runs on a thread of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use argus_fleet::{EntityForecast, EntityState, Fleet, Risk};
use argus_risk::ThresholdRules;
use argus_schema::{EntityName, ProfileRules, Schema};
use argus_store::{Clock, EntityView, Store};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::MIN_CONTEXT_BINS;
use crate::batch;
use crate::errors::ForecastError;
use crate::past::known;
use crate::publish;
use crate::slot::{LoadedModel, ModelSlot};

/// Timing and sizes of the loop.
#[derive(Debug, Clone)]
pub struct LoopConfig {
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Most entities in one run of the model; readers see each run's results when it ends.
    pub batch_entities: usize,
    /// How long changes are gathered before a run, so that one feed call means one run.
    pub settle: Duration,
    /// How often the wall clock is looked at, for bins that close without a later record.
    pub poll: Duration,
}

impl LoopConfig {
    /// Defaults for a step length.
    pub fn new(step_secs: u32) -> Self {
        Self {
            step_secs,
            batch_entities: 256,
            settle: Duration::from_millis(100),
            poll: Duration::from_millis(500),
        }
    }
}

/// What the loop works with.
pub struct LoopParts {
    /// Where windows come from.
    pub store: Arc<Store>,
    /// Shape of the entities.
    pub schema: Arc<Schema>,
    /// Profiles of entities whose records name none.
    pub profiles: ProfileRules,
    /// The serving model.
    pub models: Arc<ModelSlot>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Thresholds that differ from the schema's.
    pub thresholds: ThresholdRules,
    /// Told after each publication, on the loop's thread.
    pub observer: Box<dyn ForecastObserver>,
}

/// One forecast that was just made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The entity with its new forecast and risk.
    pub state: Arc<EntityState>,
    /// False when somebody asked for it, or when only a late record or a new model changed an origin already seen:
    /// such a forecast never counts as a strike.
    pub scheduled: bool,
}

/// Takes part after each publication; alerts are evaluated here, never because somebody polled.
pub trait ForecastObserver: Send {
    /// `made` holds the forecasts that are new in `fleet`. Called on the loop's thread, a few times a second at most.
    fn published(&mut self, fleet: &Fleet, made: &[Made]);
}

type Answer = Result<(Arc<EntityForecast>, Arc<Risk>), ForecastError>;

/// Asks the loop for work, from any thread.
#[derive(Debug, Clone)]
pub struct ForecastHandle {
    requests: mpsc::Sender<Request>,
    tick: watch::Receiver<u64>,
}

#[derive(Debug)]
enum Request {
    Now(EntityName, oneshot::Sender<Answer>),
    Stop,
}

impl ForecastHandle {
    /// A forecast of this entity made now. It is published and never counts as a strike.
    ///
    /// # Errors
    /// When there is no model, no such entity, too little context, or the model fails.
    pub async fn forecast_now(&self, entity: EntityName) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request::Now(entity, answer))
            .await
            .map_err(|_| ForecastError::Stopped)?;
        answered.await.map_err(|_| ForecastError::Stopped)?
    }

    /// Ends the loop after the run in progress.
    pub async fn stop(&self) {
        // A loop that has gone already needs no stopping.
        let _ = self.requests.send(Request::Stop).await;
    }

    /// Resolves when the loop has ended, for whatever reason.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Changes with each publication.
    pub fn tick(&self) -> watch::Receiver<u64> {
        self.tick.clone()
    }
}

/// What is remembered of an entity's last forecast, to know when the next one is due.
#[derive(Debug, Clone)]
struct Last {
    bin: i64,
    revision: u64,
    scheduled_bin: i64,
    forecast: Arc<EntityForecast>,
}

/// The loop's state; [`ForecastLoop::spawn`] starts it.
pub struct ForecastLoop {
    config: LoopConfig,
    parts: LoopParts,
    fleet: Arc<ArcSwap<Fleet>>,
    last: HashMap<EntityName, Last>,
    tick: watch::Sender<u64>,
    forecast_ms: f64,
    /// Why the newest run failed, if it did.
    failing: Option<String>,
}

impl ForecastLoop {
    /// Starts the loop on its own thread. `fleet` is where it publishes.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(
        config: LoopConfig,
        parts: LoopParts,
        fleet: Arc<ArcSwap<Fleet>>,
    ) -> std::io::Result<(ForecastHandle, std::thread::JoinHandle<()>)> {
        let (requests, inbox) = mpsc::channel(64);
        let (tick, ticked) = watch::channel(0);
        // The thread's own small runtime: it only waits on several things at once.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let mut this = Self {
            config,
            parts,
            fleet,
            last: HashMap::new(),
            tick,
            forecast_ms: 0.0,
            failing: None,
        };
        let thread = std::thread::Builder::new()
            .name("forecast".to_owned())
            .spawn(move || this.run(&runtime, inbox))?;
        Ok((
            ForecastHandle {
                requests,
                tick: ticked,
            },
            thread,
        ))
    }

    fn run(&mut self, runtime: &Runtime, mut inbox: mpsc::Receiver<Request>) {
        let mut changed = self.parts.store.changed();
        self.turn();
        loop {
            match runtime.block_on(next_event(&mut inbox, &mut changed, self.config.poll)) {
                Event::Stop => return,
                Event::Now(entity, answer) => {
                    let forecast = self.forecast_now(&entity);
                    // The asker may have gone away; the forecast is published all the same.
                    let _ = answer.send(forecast);
                }
                Event::Changed => {
                    std::thread::sleep(self.config.settle);
                    changed.mark_unchanged();
                    self.turn();
                }
                Event::Poll => self.poll(),
            }
        }
    }

    /// All entities, sorted by name.
    fn views(&self) -> Vec<EntityView> {
        let mut views = self.parts.store.entities();
        views.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// A quiet moment: only the wall clock or a new model can have made something due.
    fn poll(&mut self) {
        let views = self.views();
        let model = self.parts.models.current().ok();
        let same_model = match (&self.fleet.load().model, &model) {
            (Some(served), Some(model)) => Arc::ptr_eq(served, &model.id),
            (None, None) => true,
            _ => false,
        };
        if !same_model
            || views
                .iter()
                .any(|view| self.due(view, model.as_deref()).is_some())
        {
            self.turn();
        }
    }

    /// One turn: forecast everything that is due, batch by batch, and publish after each.
    fn turn(&mut self) {
        let views = self.views();
        self.last
            .retain(|name, _| views.binary_search_by(|v| v.name.cmp(name)).is_ok());
        let model = self.parts.models.current();
        let Ok(model) = model else {
            self.publish(&views, &[]);
            return;
        };
        let due: Vec<(&EntityView, i64)> = views
            .iter()
            .filter_map(|view| Some((view, self.due(view, Some(&model))?)))
            .collect();
        if due.is_empty() {
            self.publish(&views, &[]);
            return;
        }
        for batch in due.chunks(self.config.batch_entities) {
            let made = self.forecast(&model, batch, true);
            self.report(made.as_ref().err(), batch.len());
            self.publish(&views, &made.unwrap_or_default());
        }
    }

    /// Says that runs fail, once per reason: the loop tries again at every poll.
    fn report(&mut self, error: Option<&ForecastError>, entities: usize) {
        let reason = error.map(ToString::to_string);
        if let Some(reason) = &reason
            && self.failing.as_ref() != Some(reason)
        {
            tracing::error!(%reason, entities, "forecast run failed; earlier forecasts stay");
        }
        self.failing = reason;
    }

    /// The closed bin to forecast from, if this entity has a newer state than its last forecast.
    fn due(&self, view: &EntityView, model: Option<&LoadedModel>) -> Option<i64> {
        let model = model?;
        let bin = view.closed_bin?;
        if view.closed_bins < MIN_CONTEXT_BINS {
            return None;
        }
        // One that somebody asked for leaves the bin due: only the scheduled forecast counts as a strike.
        let fresh = self.last.get(&view.name).is_some_and(|last| {
            last.bin == bin
                && last.revision == view.closed_revision
                && last.scheduled_bin >= bin
                && Arc::ptr_eq(&last.forecast.model, &model.id)
        });
        (!fresh).then_some(bin)
    }

    /// Runs the model over `due` (entity, origin bin) and remembers the results. Returns whose forecasts are new, and
    /// whether each counts as scheduled.
    fn forecast(
        &mut self,
        model: &LoadedModel,
        due: &[(&EntityView, i64)],
        scheduled: bool,
    ) -> Result<Vec<(EntityName, bool)>, ForecastError> {
        let read = |view: &EntityView, bin, steps| self.parts.store.context(&view.name, bin, steps);
        let known = known(&model.model, due, read);
        let inputs: Vec<batch::Input<'_>> = (known.iter())
            .map(|known| {
                let view = known.entity;
                let profile = publish::profile_of(view, &self.parts.profiles, &self.parts.schema);
                let profile = self.parts.schema.profiles[usize::from(profile)].id.as_str();
                batch::Input::new(&view.name, profile, &known.context, known.usual.as_ref())
            })
            .collect();
        let started = Instant::now();
        let made_ms = self.parts.clock.now_ms();
        let forecasts = batch::predict(
            &model.model,
            &model.id,
            self.config.step_secs,
            made_ms,
            &inputs,
        )?;
        self.forecast_ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(
            entities = inputs.len(),
            ms = self.forecast_ms,
            "forecast run"
        );

        let mut made = Vec::with_capacity(forecasts.len());
        for (known, forecast) in known.iter().zip(forecasts) {
            let (view, bin) = (known.entity, known.context.last_bin);
            let before = self
                .last
                .get(&view.name)
                .map_or(i64::MIN, |last| last.scheduled_bin);
            let counts = scheduled && bin > before;
            let last = Last {
                bin,
                // A record that arrived since the view was taken changes the revision, so it is due again.
                revision: view.closed_revision,
                scheduled_bin: if counts { bin } else { before },
                forecast: Arc::new(forecast),
            };
            self.last.insert(view.name.clone(), last);
            made.push((view.name.clone(), counts));
        }
        Ok(made)
    }

    fn forecast_now(&mut self, entity: &EntityName) -> Answer {
        let model = self
            .parts
            .models
            .current()
            .map_err(ForecastError::NoModel)?;
        let view = self
            .parts
            .store
            .entity(entity)
            .ok_or_else(|| ForecastError::UnknownEntity(entity.to_string()))?;
        let bin = view
            .closed_bin
            .filter(|_| view.closed_bins >= MIN_CONTEXT_BINS)
            .ok_or_else(|| ForecastError::WarmingUp {
                entity: entity.to_string(),
                closed_bins: view.closed_bins,
                needed: MIN_CONTEXT_BINS,
            })?;
        let made = self.forecast(&model, &[(&view, bin)], false)?;
        let views = self.views();
        self.publish(&views, &made);
        let fleet = self.fleet.load();
        let state = fleet.entities.get(entity).ok_or(ForecastError::Stopped)?;
        match (&state.forecast, &state.risk) {
            (Some(forecast), Some(risk)) => Ok((Arc::clone(forecast), Arc::clone(risk))),
            _ => Err(ForecastError::NotJudged(entity.to_string())),
        }
    }

    /// Publishes the present state of every entity and tells the observer.
    fn publish(&mut self, views: &[EntityView], made: &[(EntityName, bool)]) {
        let before = self.fleet.load_full();
        let model = self.parts.models.current();
        let forecasts = |name: &EntityName| self.last.get(name).map(|last| &last.forecast);
        let entities = publish::states(
            &self.parts,
            self.config.step_secs,
            views,
            &before,
            model.as_deref().ok(),
            forecasts,
        );
        let fleet = Fleet {
            tick: before.tick + 1,
            published_ms: self.parts.clock.now_ms(),
            model: model.as_ref().ok().map(|m| Arc::clone(&m.id)),
            no_model_reason: model.err(),
            step_secs: self.config.step_secs,
            forecast_ms: self.forecast_ms,
            entities,
        };
        let made: Vec<Made> = made
            .iter()
            .filter_map(|(name, scheduled)| {
                Some(Made {
                    state: Arc::clone(fleet.entities.get(name)?),
                    scheduled: *scheduled,
                })
            })
            .collect();
        let fleet = Arc::new(fleet);
        self.fleet.store(Arc::clone(&fleet));
        self.parts.observer.published(&fleet, &made);
        self.tick.send_replace(fleet.tick);
    }
}

enum Event {
    Changed,
    Poll,
    Now(EntityName, oneshot::Sender<Answer>),
    Stop,
}

async fn next_event(
    inbox: &mut mpsc::Receiver<Request>,
    changed: &mut watch::Receiver<u64>,
    poll: Duration,
) -> Event {
    tokio::select! {
        request = inbox.recv() => match request {
            Some(Request::Now(entity, answer)) => Event::Now(entity, answer),
            Some(Request::Stop) | None => Event::Stop,
        },
        news = changed.changed() => if news.is_ok() { Event::Changed } else { Event::Stop },
        () = tokio::time::sleep(poll) => Event::Poll,
    }
}
