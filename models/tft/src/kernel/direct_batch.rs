//! What the direct paths read.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::direct_inputs::{STEP_INPUTS, TIME_INPUTS, WINDOW_INPUTS};
use crate::inputs::DirectTensors;
use crate::network::Torch;

/// Inputs of the direct path, in plain memory; `m` targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DirectBatch {
    /// `[m, decoder steps, n, STEP_INPUTS]`.
    pub step: Vec<f32>,
    /// `[m, n, WINDOW_INPUTS]`.
    pub window: Vec<f32>,
    /// `[decoder steps, n, TIME_INPUTS]`.
    pub time: Vec<f32>,
}

impl DirectBatch {
    /// Inputs that say nothing yet.
    pub(crate) fn zeros(targets: usize, windows: usize, steps: usize) -> Self {
        Self {
            step: vec![0.0; targets * steps * windows * STEP_INPUTS],
            window: vec![0.0; targets * windows * WINDOW_INPUTS],
            time: vec![0.0; steps * windows * TIME_INPUTS],
        }
    }

    pub(super) fn from_tensors(tensors: &DirectTensors) -> Torch<Self> {
        let plain = |t: &Tensor| {
            let t = t.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?;
            Vec::try_from(t.f_contiguous()?.f_flatten(0, -1)?)
        };
        Ok(Self {
            step: plain(&tensors.step)?,
            window: plain(&tensors.window)?,
            time: plain(&tensors.time)?,
        })
    }

    pub(super) fn tensors(&self, windows: usize, steps: usize) -> Torch<DirectTensors> {
        let (n, d) = (windows as i64, steps as i64);
        let (step, window, time) = (STEP_INPUTS as i64, WINDOW_INPUTS as i64, TIME_INPUTS as i64);
        Ok(DirectTensors {
            step: Tensor::f_from_slice(&self.step)?.f_view([-1, d, n, step])?,
            window: Tensor::f_from_slice(&self.window)?.f_view([-1, n, window])?,
            time: Tensor::f_from_slice(&self.time)?.f_view([d, n, time])?,
        })
    }

    pub(super) fn fits(&self, targets: usize, windows: usize, steps: usize) -> bool {
        self.step.len() == targets * steps * windows * STEP_INPUTS
            && self.window.len() == targets * windows * WINDOW_INPUTS
            && self.time.len() == steps * windows * TIME_INPUTS
    }
}

/// A tile of decoder rows: its steps, and the windows and decoder steps of the chunk.
#[derive(Debug, Clone)]
pub(super) struct TileRows {
    pub(super) steps: Range<usize>,
    pub(super) windows: usize,
    pub(super) horizon: usize,
}

impl TileRows {
    pub(super) fn rows(&self) -> Range<usize> {
        self.steps.start * self.windows..self.steps.end * self.windows
    }

    /// What target `target` reads of this tile's steps, and of the windows.
    pub(super) fn inputs<'a>(
        &self,
        batch: &'a DirectBatch,
        target: usize,
    ) -> (&'a [f32], &'a [f32]) {
        let first = target * self.horizon * self.windows;
        let rows = self.rows();
        let step = (first + rows.start) * STEP_INPUTS..(first + rows.end) * STEP_INPUTS;
        let window = self.windows * WINDOW_INPUTS;
        (
            &batch.step[step],
            &batch.window[target * window..(target + 1) * window],
        )
    }
}
