//! What was measured. See [`Host::history`](crate::Host::history).

pub use crate::bindings::host::metrics::{Metric, Series, Statistic};
