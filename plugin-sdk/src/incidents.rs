//! What went, or is going, wrong. See [`Host::incidents`](crate::Host::incidents).

pub use crate::bindings::host::incidents::Incident;
