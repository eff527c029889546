//! Changes to what the model sees, as a counterfactual names them.

use serde::{Deserialize, Serialize};

/// A change of one metric over a span of the context, made before the model runs.
///
/// Steps count from the origin, the newest bin that the model sees: 0 is the origin itself, −1 the bin before it, −287
/// the oldest of a full day of 5-minute bins. Both ends belong to the span; what lies before the context is ignored.
///
/// ```json
/// {"metric": "cpu_user_pct", "from_step": -11, "to_step": 0, "action": {"scale": 0.5}}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEdit {
    /// Name of the metric.
    pub metric: String,
    /// First step of the span, at most `to_step`.
    pub from_step: i32,
    /// Last step of the span, at most 0.
    pub to_step: i32,
    /// What happens to the values there.
    pub action: EditAction,
}

/// What an edit does: `"mask"`, `{"set": v}`, `{"add": v}`, `{"scale": v}` or `{"replace": [v, …]}`, values in the
/// metric's unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditAction {
    /// As if nothing had been observed.
    Mask,
    /// This value at each step, also where nothing was observed.
    Set(f32),
    /// Added to what was observed.
    Add(f32),
    /// Multiplies what was observed.
    Scale(f32),
    /// One value per step of the span, oldest first; null is missing.
    Replace(Vec<Option<f32>>),
}
