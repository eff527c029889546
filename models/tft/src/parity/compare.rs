//! Element by element, over valid steps.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::fixture::{Array, Fixture, problem};
use super::{Difference, ParityError, Tolerances};
use crate::errors::TorchError;
use crate::{Inputs, Outputs};

/// What kind of output a name stands for, and so which of its axes are subsampled or padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// `[n, decoder steps, outputs]`, in the target's unit.
    Prediction(usize),
    /// The same as the network says it.
    PredictionNormalised(usize),
    /// `[n, horizons, heads, encoder steps]`.
    EncoderAttention,
    /// `[n, horizons, heads, decoder steps]`.
    DecoderAttention,
    /// `[n, 1, variables]`, or `[n, 0]` without any.
    StaticWeights,
    /// `[n, encoder steps, 1, variables]`.
    EncoderWeights,
    /// `[n, decoder steps, 1, variables]`.
    DecoderWeights,
}

/// Collects the greatest differences batch by batch.
pub(super) struct Comparison {
    rows: Vec<(Output, Difference)>,
}

impl Comparison {
    /// # Errors
    /// When the fixture records no prediction at all.
    pub(super) fn new(fixture: &Fixture, tolerances: Tolerances) -> Result<Self, ParityError> {
        let targets = fixture.network.architecture().targets.len();
        let mut candidates = Vec::new();
        for target in 0..targets {
            for (name, output) in [
                ("prediction", Output::Prediction(target)),
                (
                    "prediction_normalised",
                    Output::PredictionNormalised(target),
                ),
            ] {
                let numbered = format!("{name}.{target}");
                let single = targets == 1 && !fixture.outputs.contains_key(&numbered);
                candidates.push((
                    if single { name.to_owned() } else { numbered },
                    output,
                    tolerances.prediction,
                ));
            }
        }
        let others = [
            (
                "encoder_attention",
                Output::EncoderAttention,
                tolerances.attention,
            ),
            (
                "decoder_attention",
                Output::DecoderAttention,
                tolerances.attention,
            ),
            ("static_weights", Output::StaticWeights, tolerances.weights),
            (
                "encoder_weights",
                Output::EncoderWeights,
                tolerances.weights,
            ),
            (
                "decoder_weights",
                Output::DecoderWeights,
                tolerances.weights,
            ),
        ];
        candidates
            .extend(others.map(|(name, output, tolerance)| (name.to_owned(), output, tolerance)));
        candidates.retain(|(name, ..)| fixture.outputs.contains_key(name));
        let is_prediction = |output: &Output| {
            matches!(
                output,
                Output::Prediction(_) | Output::PredictionNormalised(_)
            )
        };
        if !candidates
            .iter()
            .any(|(_, output, _)| is_prediction(output))
        {
            return Err(problem(
                "outputs.safetensors",
                "has neither `prediction` nor `prediction_normalised`",
            ));
        }
        let row = |(name, output, tolerance)| {
            (
                output,
                Difference {
                    output: name,
                    greatest: 0.0,
                    tolerance,
                    compared: 0,
                },
            )
        };
        Ok(Self {
            rows: candidates.into_iter().map(row).collect(),
        })
    }

    /// Compares what the network said about some windows.
    pub(super) fn add(
        &mut self,
        fixture: &Fixture,
        range: Range<usize>,
        inputs: &Inputs,
        outputs: &Outputs,
    ) -> Result<(), ParityError> {
        for (output, difference) in &mut self.rows {
            let ours = Answer::of(*output, fixture, &range, outputs)?;
            let expected = &fixture.outputs[&difference.output];
            ours.compare(expected, *output, &range, inputs, difference)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Difference> {
        self.rows
            .into_iter()
            .map(|(_, difference)| difference)
            .collect()
    }
}

/// The network's answer for a batch, as a host array in the fixture's axes.
struct Answer {
    array: Array<f32>,
}

impl Answer {
    fn of(
        output: Output,
        fixture: &Fixture,
        range: &Range<usize>,
        outputs: &Outputs,
    ) -> Result<Self, ParityError> {
        let missing = || {
            problem(
                "inputs.safetensors",
                "has no `target_scale`, without which nothing is rescaled",
            )
        };
        let absent = || {
            problem(
                "outputs.safetensors",
                "asks for what the network was not asked for",
            )
        };
        let weights = || outputs.weights.as_ref().ok_or_else(absent);
        let attention = || outputs.attention.as_ref().ok_or_else(absent);
        let tensor = match output {
            Output::PredictionNormalised(target) => outputs.target(target),
            Output::Prediction(target) => fixture
                .rescale(target, &outputs.target(target), range)?
                .ok_or_else(missing)?,
            Output::EncoderAttention => attention()?.encoder.shallow_clone(),
            Output::DecoderAttention => attention()?.decoder.shallow_clone(),
            // The original has an axis of length 1 where there is a static variable, and none where there is none.
            Output::StaticWeights => match &weights()?.statics {
                none if none.size()[1] == 0 => none.shallow_clone(),
                some => some.f_unsqueeze(1)?,
            },
            Output::EncoderWeights => weights()?.encoder.f_unsqueeze(2)?,
            Output::DecoderWeights => weights()?.decoder.f_unsqueeze(2)?,
        };
        Ok(Self {
            array: host(&tensor)?,
        })
    }

    fn compare(
        &self,
        expected: &Array<f32>,
        output: Output,
        range: &Range<usize>,
        inputs: &Inputs,
        difference: &mut Difference,
    ) -> Result<(), ParityError> {
        let is_attention = matches!(output, Output::EncoderAttention | Output::DecoderAttention);
        let (ours, theirs) = (&self.array.shape, &expected.shape);
        // Only the window axis (shorter: the first ones) and an attention's horizon axis (shorter: every so many) may
        // differ.
        let free_axes = if is_attention { 2 } else { 1 };
        let horizons = if is_attention {
            (ours[1], theirs.get(1).copied().unwrap_or(0))
        } else {
            (1, 1)
        };
        let fits = ours.len() == theirs.len()
            && ours[free_axes..] == theirs[free_axes..]
            && horizons.1 <= horizons.0;
        if !fits {
            let told = format!(
                "`{}` has shape {theirs:?}, expected {ours:?} (or fewer windows)",
                difference.output
            );
            return Err(problem("outputs.safetensors", told));
        }
        let stride = horizons.0.checked_div(horizons.1).unwrap_or(1);
        for index in 0..self.array.values.len() {
            let Some(position) = Position::of(index, ours, is_attention.then_some(stride)) else {
                continue;
            };
            let window = range.start + position.axes[0];
            if window >= theirs[0]
                || position
                    .axes
                    .get(1)
                    .is_some_and(|_| is_attention && position.horizon >= horizons.1)
            {
                continue;
            }
            if !is_valid(output, &position, inputs) {
                continue;
            }
            let mut place = window;
            for (axis, size) in theirs.iter().enumerate().skip(1) {
                let along = if is_attention && axis == 1 {
                    position.horizon
                } else {
                    position.axes[axis]
                };
                place = place * size + along;
            }
            let gap =
                (f64::from(self.array.values[index]) - f64::from(expected.values[place])).abs();
            let gap = if gap.is_nan() { f64::INFINITY } else { gap };
            difference.greatest = difference.greatest.max(gap);
            difference.compared += 1;
        }
        Ok(())
    }
}

/// Where an element lies.
struct Position {
    /// Index along each axis of our array; the window counts from the batch's start.
    axes: Vec<usize>,
    /// Index along the recorded horizon axis.
    horizon: usize,
}

impl Position {
    /// `None` for a horizon that is not recorded.
    fn of(index: usize, shape: &[usize], horizon_stride: Option<usize>) -> Option<Self> {
        let mut axes = vec![0; shape.len()];
        let mut rest = index;
        for (axis, size) in axes.iter_mut().zip(shape).rev() {
            *axis = rest % size;
            rest /= size;
        }
        let horizon = match horizon_stride {
            Some(stride) if !axes[1].is_multiple_of(stride) => return None,
            Some(stride) => axes[1] / stride,
            None => 0,
        };
        Some(Self { axes, horizon })
    }
}

/// Whether an element lies on valid steps only.
fn is_valid(output: Output, position: &Position, inputs: &Inputs) -> bool {
    let axes = &position.axes;
    let encoder = inputs.encoder_lengths[axes[0]] as usize;
    let decoder = inputs.decoder_lengths[axes[0]] as usize;
    match output {
        Output::StaticWeights => true,
        Output::EncoderWeights => axes[1] < encoder,
        Output::Prediction(_) | Output::PredictionNormalised(_) | Output::DecoderWeights => {
            axes[1] < decoder
        }
        Output::EncoderAttention => axes[1] < decoder && axes[3] < encoder,
        Output::DecoderAttention => axes[1] < decoder && axes[3] < decoder,
    }
}

fn host(tensor: &Tensor) -> Result<Array<f32>, TorchError> {
    let shape: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
    let flat = tensor.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0f32; flat.numel()];
    let len = values.len();
    if len > 0 {
        flat.f_copy_data(&mut values, len)?;
    }
    Ok(Array { shape, values })
}
