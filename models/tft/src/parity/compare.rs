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
            let expected = &fixture.outputs[&difference.output];
            let answer = Answer::of(*output, fixture, &range, outputs)?;
            answer.compare(expected, *output, &range, inputs, difference)?;
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

/// The network's answer for a batch.
struct Answer {
    values: Vec<f32>,
    /// Windows, steps (1 for static ones), heads (1 for all but attention), and the last axis.
    shape: [usize; 4],
}

impl Answer {
    fn of(
        output: Output,
        fixture: &Fixture,
        range: &Range<usize>,
        outputs: &Outputs,
    ) -> Result<Self, ParityError> {
        let no_scale = || {
            problem(
                "inputs.safetensors",
                "has no `target_scale` to rescale with",
            )
        };
        let not_asked = || {
            problem(
                "outputs.safetensors",
                "holds what the network was not asked for",
            )
        };
        let weights = || outputs.weights.as_ref().ok_or_else(not_asked);
        let attention = || outputs.attention.as_ref().ok_or_else(not_asked);
        let tensor = match output {
            Output::PredictionNormalised(target) => outputs.target(target).f_unsqueeze(2)?,
            Output::Prediction(target) => {
                let rescaled = fixture.rescale(target, &outputs.target(target), range)?;
                rescaled.ok_or_else(no_scale)?.f_unsqueeze(2)?
            }
            Output::EncoderAttention => attention()?.encoder.shallow_clone(),
            Output::DecoderAttention => attention()?.decoder.shallow_clone(),
            Output::StaticWeights => weights()?.statics.f_unsqueeze(1)?.f_unsqueeze(2)?,
            Output::EncoderWeights => weights()?.encoder.f_unsqueeze(2)?,
            Output::DecoderWeights => weights()?.decoder.f_unsqueeze(2)?,
        };
        let (a, b, c, d) = tensor.size4()?;
        Ok(Self {
            values: host(&tensor)?,
            shape: [a, b, c, d].map(|size| size as usize),
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
        let [windows, steps, heads, width] = self.shape;
        let Some(theirs) = self.align(&expected.shape, output) else {
            let (found, wanted) = (&expected.shape, self.shape);
            let told = format!(
                "`{}` has shape {found:?}, which does not fit {wanted:?}",
                difference.output
            );
            return Err(problem("outputs.safetensors", told));
        };
        let stride = steps.checked_div(theirs[1]).unwrap_or(1);
        let recorded = theirs[0].saturating_sub(range.start).min(windows);
        for window in 0..recorded {
            let encoder = inputs.encoder_lengths[window] as usize;
            let decoder = inputs.decoder_lengths[window] as usize;
            // Valid steps, and valid elements of the last axis.
            let (valid_steps, valid_width) = match output {
                Output::StaticWeights => (1, width),
                Output::EncoderWeights => (encoder, width),
                Output::Prediction(_)
                | Output::PredictionNormalised(_)
                | Output::DecoderWeights => (decoder, width),
                Output::EncoderAttention => (decoder, encoder),
                Output::DecoderAttention => (decoder, decoder),
            };
            for (row, step) in (0..valid_steps).step_by(stride).take(theirs[1]).enumerate() {
                for head in 0..heads {
                    let ours = ((window * steps + step) * heads + head) * width;
                    let other = (((range.start + window) * theirs[1] + row) * heads + head) * width;
                    let pairs = self.values[ours..][..valid_width]
                        .iter()
                        .zip(&expected.values[other..][..valid_width]);
                    for (ours, other) in pairs {
                        let gap = (f64::from(*ours) - f64::from(*other)).abs();
                        difference.greatest =
                            difference
                                .greatest
                                .max(if gap.is_nan() { f64::INFINITY } else { gap });
                        difference.compared += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// The recorded shape in the axes of ours, if it can be compared: only the window axis and an attention's horizon
    /// axis may be shorter, and axes of length 1 may be left out.
    fn align(&self, found: &[usize], output: Output) -> Option<[usize; 4]> {
        let is_attention = matches!(output, Output::EncoderAttention | Output::DecoderAttention);
        let [_, steps, heads, width] = self.shape;
        let (first, rest) = found.split_first()?;
        let significant = |sizes: &[usize]| {
            sizes
                .iter()
                .copied()
                .filter(|size| *size != 1)
                .collect::<Vec<_>>()
        };
        if !is_attention {
            let fits = significant(rest) == significant(&[steps, heads, width]);
            return fits.then_some([*first, steps, heads, width]);
        }
        let horizons = *rest.first()?;
        let fits = rest.len() == 3 && rest[1..] == [heads, width] && horizons <= steps;
        fits.then_some([*first, horizons, heads, width])
    }
}

fn host(tensor: &Tensor) -> Result<Vec<f32>, TorchError> {
    Ok(Vec::<f32>::try_from(
        tensor.f_to_kind(Kind::Float)?.f_flatten(0, -1)?,
    )?)
}
