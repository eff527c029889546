//! Alert states, their history, and the durable outbox.
//!
//! An alert is one entity and one condition (a metric that is expected to pass its threshold), known by a stable
//! [`Fingerprint`]. Scheduled forecasts drive it through `pending → firing → resolved`; see `machine` for the rules.
//! A tour:
//!
//! - [`Alerts`] is the engine: [`Alerts::evaluate`] takes the risk of entities and commits the new state, its history
//!   and one outbox row per sink in a single SQLite transaction. Memory follows the commit, never runs ahead of it.
//! - [`Delivery`] is the worker: per sink it takes rows from the outbox, in order per fingerprint, and hands them to a
//!   [`Sink`] until it answers, is not worth trying any more, or a deadline passes.
//! - [`Notification`] is what a sink gets: plain data.
//! - [`routing`] says which sink is told of what and when, [`MessageTemplate`] in whose words.
//!
//! What a sink does (a plugin, usually) is not known here. All methods of [`Alerts`] that write or query history block
//! on SQLite and belong on a blocking thread; [`Alerts::active`] and [`Alerts::stats`] read memory only.

mod acknowledge;
mod alert;
mod config;
mod database;
mod delivery;
mod engine;
mod errors;
mod evaluate;
mod history;
mod lifecycle;
mod machine;
mod notification;
mod outbox;
pub mod routing;
mod samples;
mod sink;
mod stats;
mod template;
mod text;
mod upkeep;

pub use alert::{Acknowledgement, Alert, AlertId, AlertState, Fingerprint};
pub use config::{AlertConfig, DeliveryConfig, SeverityRule};
pub use delivery::{Delivery, Now};
pub use engine::Alerts;
pub use errors::{AcknowledgeError, AlertError};
pub use evaluate::Evaluation;
pub use history::{HistoryQuery, Transition, TransitionKind};
pub use notification::{Event, Notification};
pub use outbox::DeadLetter;
pub use sink::{DeliveryError, Receipt, Sink, SinkRoute};
pub use stats::{AlertStats, SinkStats};
pub use template::{MessageTemplate, TemplateError};
