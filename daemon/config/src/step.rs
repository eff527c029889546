//! `[step]`: length of a time step.

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// Length of a time step, and how long late records are waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Length of a step. The shipped model was trained on 300; shorter ones are for demonstrations, and every answer
    /// says so by its `minutes_ahead`.
    pub step_secs: u32,
    /// How long after its end a step stays open for late records of a quiet entity.
    pub grace_secs: u32,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            step_secs: 300,
            grace_secs: 30,
        }
    }
}

impl Step {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(&["step", "step_secs"], &self.step_secs, 1..=86_400);
        found.range(&["step", "grace_secs"], &self.grace_secs, 0..=86_400);
    }
}
