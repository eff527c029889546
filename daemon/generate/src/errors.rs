//! Why no fleet could be made or written.

use argus_trace::TraceError;

/// A specification that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}; {allowed}")]
pub struct SpecError {
    /// Which field of the specification.
    pub field: &'static str,
    /// Its value.
    pub found: String,
    /// What would do.
    pub allowed: &'static str,
}

/// Why a fleet could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The specification is not usable.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
}
