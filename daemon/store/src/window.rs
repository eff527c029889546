//! One entity's bins, without I/O.

/// One entity's bins.
#[derive(Debug, Clone)]
pub struct Window;
