//! A batch in plain memory, step by step.

use tch::{Kind, TchError, Tensor};

use super::{DirectBatch, Rows};
use crate::architecture::Architecture;
use crate::errors::TorchError;
use crate::inputs::Inputs;
use crate::network::Torch;
use crate::network::selection::Role;

/// One half of a batch's inputs, time-major: row `t · n + w` is step `t` of window `w`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Half {
    /// Number of steps.
    pub steps: usize,
    /// `[steps, n, real columns]`.
    pub reals: Vec<f32>,
    /// Category codes, `[steps, n, categorical columns]`.
    pub codes: Vec<i64>,
}

/// Inputs of a batch of `n` windows. What [`Inputs`] says of columns and padding holds here too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The past.
    pub encoder: Half,
    /// The future.
    pub decoder: Half,
    /// Valid encoder steps of each window; padding is on the right.
    pub encoder_lengths: Vec<usize>,
    /// Valid decoder steps of each window.
    pub decoder_lengths: Vec<usize>,
    /// What the direct paths read, for an architecture that has them.
    pub direct: Option<DirectBatch>,
}

impl Half {
    /// From `reals` and `codes`, each `[n, steps, columns]`.
    fn from_tensors(reals: &Tensor, codes: &Tensor) -> Torch<Self> {
        let (_, steps, _) = reals.size3()?;
        let turn = |t: &Tensor| {
            t.f_transpose(0, 1)?
                .f_contiguous()?
                .f_to_device(tch::Device::Cpu)?
                .f_flatten(0, -1)
        };
        Ok(Self {
            steps: steps as usize,
            reals: Vec::try_from(turn(reals)?.f_to_kind(Kind::Float)?)?,
            codes: Vec::try_from(turn(codes)?.f_to_kind(Kind::Int64)?)?,
        })
    }

    /// Tensors `[n, steps, columns]`; views of memory that is laid out as here.
    fn tensors(&self, windows: usize) -> Torch<(Tensor, Tensor)> {
        let shape = |len: usize| {
            let rows = (self.steps * windows).max(1);
            [self.steps as i64, windows as i64, (len / rows) as i64]
        };
        let reals = Tensor::f_from_slice(&self.reals)?.f_view(shape(self.reals.len()))?;
        let codes = Tensor::f_from_slice(&self.codes)?.f_view(shape(self.codes.len()))?;
        Ok((
            reals.f_transpose(0, 1)?,
            codes.f_to_kind(Kind::Int64)?.f_transpose(0, 1)?,
        ))
    }

    /// The rows of some steps.
    pub(super) fn rows(&self, steps: std::ops::Range<usize>, windows: usize) -> Rows<'_> {
        let rows = (self.steps * windows).max(1);
        let (reals, codes) = (self.reals.len() / rows, self.codes.len() / rows);
        let rows = steps.start * windows..steps.end * windows;
        Rows {
            windows,
            reals: &self.reals[rows.start * reals..rows.end * reals],
            codes: &self.codes[rows.start * codes..rows.end * codes],
            len: rows.len(),
        }
    }
}

impl Batch {
    /// The same as `inputs`.
    ///
    /// # Errors
    /// When the tensors are no batch, or libtorch refuses.
    pub fn from_inputs(inputs: &Inputs) -> Result<Self, TorchError> {
        let lengths = |lengths: &[i64]| lengths.iter().map(|l| (*l).max(0) as usize).collect();
        Ok(Self {
            encoder: Half::from_tensors(&inputs.encoder_reals, &inputs.encoder_categories)?,
            decoder: Half::from_tensors(&inputs.decoder_reals, &inputs.decoder_categories)?,
            encoder_lengths: lengths(&inputs.encoder_lengths),
            decoder_lengths: lengths(&inputs.decoder_lengths),
            direct: match &inputs.direct {
                Some(tensors) => Some(DirectBatch::from_tensors(tensors)?),
                None => None,
            },
        })
    }

    /// As tensors, for [`crate::Network::forward`].
    ///
    /// # Errors
    /// When the buffers are not as long as the lengths say, or libtorch refuses.
    pub fn inputs(&self) -> Result<Inputs, TorchError> {
        let windows = self.windows();
        let (encoder_reals, encoder_categories) = self.encoder.tensors(windows)?;
        let (decoder_reals, decoder_categories) = self.decoder.tensors(windows)?;
        let lengths = |lengths: &[usize]| lengths.iter().map(|length| *length as i64).collect();
        Ok(Inputs {
            encoder_reals,
            encoder_categories,
            decoder_reals,
            decoder_categories,
            encoder_lengths: lengths(&self.encoder_lengths),
            decoder_lengths: lengths(&self.decoder_lengths),
            direct: match &self.direct {
                Some(direct) => Some(direct.tensors(windows, self.decoder.steps)?),
                None => None,
            },
        })
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.encoder_lengths.len()
    }

    /// Whether it is a batch for an architecture whose codes are bounded by `limits`.
    pub(super) fn check(&self, architecture: &Architecture, limits: &[CodeLimit]) -> Torch<()> {
        let refuse = |problem: String| Err(TchError::Shape(problem));
        let windows = self.windows();
        let (reals, codes) = (
            architecture.real_columns.len(),
            architecture.categorical_columns.len(),
        );
        if windows == 0 || self.encoder.steps == 0 || self.decoder.steps == 0 {
            return refuse("a batch needs a window, an encoder step and a decoder step".to_owned());
        }
        for half in [&self.encoder, &self.decoder] {
            let rows = half.steps * windows;
            if half.reals.len() != rows * reals || half.codes.len() != rows * codes {
                return refuse(format!(
                    "{rows} rows need {reals} real and {codes} categorical columns"
                ));
            }
        }
        let targets = architecture.targets.len();
        match (&self.direct, architecture.direct) {
            (None, None) => {}
            (Some(direct), Some(_)) if direct.fits(targets, windows, self.decoder.steps) => {}
            _ => {
                return refuse(
                    "the direct paths' inputs are not those of the architecture".to_owned(),
                );
            }
        }
        let fits = |lengths: &[usize], steps: usize| {
            lengths.len() == windows && lengths.iter().all(|length| *length <= steps)
        };
        if !fits(&self.encoder_lengths, self.encoder.steps)
            || !fits(&self.decoder_lengths, self.decoder.steps)
        {
            return refuse("lengths must be one per window and within the steps".to_owned());
        }
        for limit in limits {
            let (half, rows) = match limit.role {
                Role::Static => (&self.encoder, windows),
                Role::Encoder => (&self.encoder, self.encoder.steps * windows),
                Role::Decoder => (&self.decoder, self.decoder.steps * windows),
            };
            let mut rows = half.codes.chunks_exact(codes).take(rows);
            if rows.any(|row| !(0..limit.classes).contains(&row[limit.column])) {
                let column = &architecture.categorical_columns[limit.column];
                let most = limit.classes - 1;
                return refuse(format!(
                    "`{column}` holds a code that is not in 0 to {most}"
                ));
            }
        }
        Ok(())
    }
}

/// Codes that a selection network can look up.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodeLimit {
    role: Role,
    column: usize,
    classes: i64,
}

impl CodeLimit {
    /// All of an architecture.
    pub(super) fn all(architecture: &Architecture) -> Vec<Self> {
        let mut limits = Vec::new();
        for role in [Role::Static, Role::Encoder, Role::Decoder] {
            for name in &role.variables(architecture).categoricals {
                let Some((_, embedding)) = architecture.embedding(name) else {
                    continue;
                };
                let columns = architecture.categorical_columns.iter().enumerate();
                limits.extend(
                    columns
                        .filter(|(_, column)| embedding.columns.contains(column))
                        .map(|(column, _)| Self {
                            role,
                            column,
                            classes: embedding.classes,
                        }),
                );
            }
        }
        limits
    }
}
