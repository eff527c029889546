//! What the daemon currently knows of its fleet, as plain data.
//!
//! The forecast loop publishes one immutable [`Fleet`] per tick; API, alerts and sinks read it. Nothing here
//! computes: these types are the vocabulary between the capabilities, so that none of them has to link libtorch.

mod edit;
mod forecast;
mod risk;

pub use edit::{EditAction, InputEdit};
pub use forecast::{EntityForecast, MetricForecast, ModelId};
pub use risk::{BreachForecast, FleetRisk, Level, Risk};

use std::collections::BTreeMap;
use std::sync::Arc;

use argus_schema::EntityName;
use serde::Serialize;

/// Where an entity stands with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForecastState {
    /// Fewer closed bins than the model needs.
    WarmingUp,
    /// A forecast of the newest closed bin is there.
    Ready,
    /// Enough bins, but no model is loaded or its first forecast is still to come.
    Pending,
}

/// One entity as readers see it.
#[derive(Debug, Clone)]
pub struct EntityState {
    /// Its name.
    pub name: EntityName,
    /// Position in the schema's profiles.
    pub profile: u8,
    /// Number of cores, where known.
    pub cores: Option<f32>,
    /// Closed bins in the window that hold data.
    pub closed_bins: u32,
    /// Start of the newest bin with data, ms since the epoch.
    pub newest_bin_ms: i64,
    /// Newest observed value of each metric (NaN where none in the context window).
    pub current: Box<[f32]>,
    /// Where it stands with the model.
    pub state: ForecastState,
    /// Its newest finished forecast.
    pub forecast: Option<Arc<EntityForecast>>,
    /// Risk computed from that forecast.
    pub risk: Option<Arc<Risk>>,
}

/// Everything readers see, replaced as a whole at each tick.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Counts up by one per published state.
    pub tick: u64,
    /// When it was published, ms since the epoch.
    pub published_ms: i64,
    /// The model that answered; `None` while none is loaded.
    pub model: Option<Arc<ModelId>>,
    /// Why there is no model, for people.
    pub no_model_reason: Option<String>,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// How long the newest forecast run took, in milliseconds.
    pub forecast_ms: f64,
    /// All entities by name.
    pub entities: BTreeMap<EntityName, Arc<EntityState>>,
}
