//! One entity's past, as the caller has it.

use crate::usual::Usual;

/// The closed bins that a forecast starts from, newest last, without gaps in time: a bin without data is there and
/// holds NaN.
#[derive(Debug, Clone)]
pub struct Window<'a> {
    /// The entity's name, for models that keep a table of scales by entity; empty where nobody knows it.
    pub entity: &'a str,
    /// Start of the newest bin, ms since the epoch.
    pub end_bin_ms: i64,
    /// Length of a bin in seconds.
    pub step_secs: u32,
    /// One slice per metric of the schema, each `T` bins long; NaN is missing.
    pub values: Vec<&'a [f32]>,
    /// Status code of each bin as the schema numbers them, 0 for missing; `T` long.
    pub status: &'a [u8],
    /// Profile id of the entity; an unknown one counts as missing.
    pub profile: &'a str,
    /// What up to ten days say, these bins among them, for models that ask for them ([`ModelConfig::usual`]); `None` where nobody knows.
    ///
    /// [`ModelConfig::usual`]: crate::ModelConfig::usual
    pub usual: Option<&'a Usual>,
}

/// What came after a [`Window`], for training and scoring.
#[derive(Debug, Clone)]
pub struct Future<'a> {
    /// One slice per metric, each of the same length, at most the horizon; NaN is missing. The first value is that of
    /// the bin after [`Window::end_bin_ms`].
    pub values: Vec<&'a [f32]>,
}

impl Window<'_> {
    /// Number of bins.
    pub fn steps(&self) -> usize {
        self.status.len()
    }
}

/// Largest size of a value that is believed; keeps single-precision arithmetic from overflowing.
pub(crate) const MAX_SIZE: f32 = 1e18;

/// Whether a bin holds a usable value.
pub(crate) fn is_observed(value: f32) -> bool {
    value.abs() <= MAX_SIZE
}
