//! What the network says, in plain memory.

use tch::{Kind, Tensor};

use crate::inputs::{self, Outputs, SelectionWeights};
use crate::network::Torch;

/// Outputs of a batch of `n` windows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Number of windows.
    pub windows: usize,
    /// Number of encoder steps.
    pub encoder_steps: usize,
    /// Number of decoder steps.
    pub decoder_steps: usize,
    /// Raw outputs of all targets side by side, `[decoder steps, n, outputs]`.
    pub raw: Vec<f32>,
    /// Attention weights `[n, heads, decoder steps, encoder steps + decoder steps]`; empty unless wanted.
    pub attention: Vec<f32>,
    /// Weights of static variables, `[n, variables]`; empty unless wanted, as are those below.
    pub static_weights: Vec<f32>,
    /// Weights of encoder variables, `[encoder steps, n, variables]`.
    pub encoder_weights: Vec<f32>,
    /// Weights of decoder variables, `[decoder steps, n, variables]`.
    pub decoder_weights: Vec<f32>,
}

impl Answer {
    /// The same as libtorch's `outputs`.
    pub(crate) fn from_outputs(outputs: &Outputs) -> Torch<Self> {
        let (n, decoder_steps, _) = outputs.raw.size3()?;
        let flat = |tensor: &Tensor| {
            let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
            Vec::<f32>::try_from(tensor.f_flatten(0, -1)?)
        };
        let by_step = |tensor: &Tensor| flat(&tensor.f_transpose(0, 1)?);
        let mut answer = Self {
            windows: n as usize,
            decoder_steps: decoder_steps as usize,
            raw: by_step(&outputs.raw)?,
            ..Self::default()
        };
        if let Some(attention) = &outputs.attention {
            answer.encoder_steps = attention.encoder.size()[3] as usize;
            let whole = Tensor::f_cat(&[&attention.encoder, &attention.decoder], 3)?;
            answer.attention = flat(&whole.f_transpose(1, 2)?)?;
        }
        if let Some(weights) = &outputs.weights {
            answer.encoder_steps = weights.encoder.size()[1] as usize;
            answer.static_weights = flat(&weights.statics)?;
            answer.encoder_weights = by_step(&weights.encoder)?;
            answer.decoder_weights = by_step(&weights.decoder)?;
        }
        Ok(answer)
    }

    /// Attention of a window on its first `length` encoder steps and then the decoder steps, averaged over heads,
    /// `[decoder steps, length + decoder steps]`.
    pub(crate) fn mean_attention(&self, window: usize, length: usize) -> Box<[f32]> {
        let steps = self.encoder_steps + self.decoder_steps;
        let kept = length + self.decoder_steps;
        let of_head = self.decoder_steps * steps;
        let of_window = self.attention.len() / self.windows;
        let heads = self.attention[window * of_window..][..of_window].chunks_exact(of_head);
        let share = 1.0 / heads.len() as f32;
        let mut mean = vec![0f32; self.decoder_steps * kept].into_boxed_slice();
        for head in heads {
            for (sums, row) in mean.chunks_exact_mut(kept).zip(head.chunks_exact(steps)) {
                // Encoder steps beyond the window's own length are padding.
                let row = row[..length].iter().chain(&row[self.encoder_steps..]);
                for (sum, own) in sums.iter_mut().zip(row) {
                    *sum += own * share;
                }
            }
        }
        mean
    }

    /// As libtorch's outputs.
    pub(crate) fn outputs(&self, target_outputs: Vec<i64>) -> Torch<Outputs> {
        let (n, encoder, decoder) = (
            self.windows as i64,
            self.encoder_steps as i64,
            self.decoder_steps as i64,
        );
        let by_step = |values: &[f32], steps: i64| {
            let width = values.len() as i64 / (steps * n).max(1);
            Tensor::f_from_slice(values)?
                .f_to_kind(Kind::Float)?
                .f_view([steps, n, width])?
                .f_transpose(0, 1)
        };
        let attention = || {
            let steps = encoder + decoder;
            let whole = Tensor::f_from_slice(&self.attention)?
                .f_view([n, -1, decoder, steps])?
                .f_transpose(1, 2)?;
            Ok::<_, tch::TchError>(inputs::Attention {
                encoder: whole.f_narrow(3, 0, encoder)?,
                decoder: whole.f_narrow(3, encoder, decoder)?,
            })
        };
        let weights = || {
            Ok::<_, tch::TchError>(SelectionWeights {
                statics: by_step(&self.static_weights, 1)?.f_select(1, 0)?,
                encoder: by_step(&self.encoder_weights, encoder)?,
                decoder: by_step(&self.decoder_weights, decoder)?,
            })
        };
        let wanted = !self.attention.is_empty();
        Ok(Outputs {
            raw: by_step(&self.raw, decoder)?,
            target_outputs,
            attention: wanted.then(attention).transpose()?,
            weights: wanted.then(weights).transpose()?,
        })
    }
}
