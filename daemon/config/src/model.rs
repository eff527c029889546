//! `[model]`: which model, on what device.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// Which model makes the forecasts, on what device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// One model directory. Without it, the newest one in [`Model::models_dir`] is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// A directory of model directories. Given but empty means no model, never another one. Unset: the shipped models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models_dir: Option<PathBuf>,
    /// Where the model runs.
    pub device: Device,
}

/// Where the model runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// On the GPU where libtorch has one, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On the first GPU; an error where there is none.
    Cuda,
}

impl Model {
    pub(crate) fn check(&self, found: &mut Checker) {
        if self.dir.is_some() && self.models_dir.is_some() {
            found.report(
                &["model", "dir"],
                "`dir` and `models_dir` exclude each other",
                "name one model with `dir`, or let the newest of `models_dir` be taken",
            );
        }
    }
}
