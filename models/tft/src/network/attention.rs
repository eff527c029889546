//! Interpretable multi-head attention: heads have their own queries and keys and share the values.

use tch::{Device, Kind, Tensor};

use super::Torch;
use super::grn::{Binding, LinearSpec};
use crate::architecture::Architecture;
use crate::weights::{BlockId, Init, Layout, Views};

/// Places of the attention's parameters.
#[derive(Debug)]
pub(crate) struct AttentionSpec {
    pub(crate) query: (BlockId, BlockId),
    pub(crate) key: (BlockId, BlockId),
    pub(crate) value: LinearSpec,
    pub(crate) output: BlockId,
    heads: i64,
    head_size: i64,
    causal: bool,
    mask_bias: f64,
}

impl AttentionSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, architecture: &Architecture) -> Self {
        let (hidden, heads, head_size) = (
            architecture.hidden_size,
            architecture.attention_heads,
            architecture.head_size(),
        );
        let init = Init::xavier(head_size, hidden);
        let mut per_head = |kind: &str| {
            let names = |part: &str| {
                (0..heads)
                    .map(|head| format!("{prefix}.{kind}_layers.{head}.{part}"))
                    .collect()
            };
            (
                layout.stack(names("weight"), &[head_size, hidden], init),
                layout.stack(names("bias"), &[head_size], Init::Zeros),
            )
        };
        Self {
            query: per_head("q"),
            key: per_head("k"),
            value: LinearSpec::register(
                layout,
                &format!("{prefix}.v_layer"),
                hidden,
                head_size,
                init,
            ),
            output: layout.add(
                format!("{prefix}.w_h.weight"),
                &[hidden, head_size],
                Init::xavier(hidden, head_size),
            ),
            heads,
            head_size,
            causal: architecture.causal_attention,
            mask_bias: architecture.mask_bias,
        }
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> Torch<Attention> {
        let width = self.heads * self.head_size;
        let flat = |(weight, bias): (BlockId, BlockId)| {
            Ok::<_, tch::TchError>((
                views[weight].f_view([width, -1])?,
                views[bias].f_view([width])?,
            ))
        };
        let (query_weight, query_bias) = flat(self.query)?;
        let (key_weight, key_bias) = flat(self.key)?;
        let scale = 1.0 / (self.head_size as f64).sqrt();
        Ok(Attention {
            query_weight: query_weight.f_mul_scalar(scale)?,
            query_bias: query_bias.f_mul_scalar(scale)?,
            key_value_weight: Tensor::f_cat(&[&key_weight, &views[self.value.weight]], 0)?,
            key_value_bias: Tensor::f_cat(&[&key_bias, &views[self.value.bias]], 0)?,
            output: views[self.output].shallow_clone(),
            heads: self.heads,
            head_size: self.head_size,
            causal: self.causal,
            mask_bias: self.mask_bias,
            binding,
        })
    }
}

/// The attention layer. The scores' scale is folded into the queries.
#[derive(Debug)]
pub(crate) struct Attention {
    query_weight: Tensor,
    query_bias: Tensor,
    key_value_weight: Tensor,
    key_value_bias: Tensor,
    output: Tensor,
    heads: i64,
    head_size: i64,
    causal: bool,
    mask_bias: f64,
    binding: Binding,
}

impl Attention {
    /// `x` is `[n, encoder + decoder, hidden]`; queries are its last `decoder_steps` steps.
    ///
    /// Returns the output `[n, decoder, hidden]` and the attention `[n, heads, decoder, encoder + decoder]`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        decoder_steps: i64,
        masks: &Masks,
    ) -> Torch<(Tensor, Tensor)> {
        let (n, steps, _) = x.size3()?;
        let (heads, size, width) = (self.heads, self.head_size, self.heads * self.head_size);
        let encoder_steps = steps - decoder_steps;
        let by_head =
            |t: &Tensor, steps: i64| t.f_reshape([n, steps, heads, size])?.f_transpose(1, 2);
        let future = x.f_narrow(1, encoder_steps, decoder_steps)?;
        let query = future.f_linear(&self.query_weight, Some(&self.query_bias))?;
        let key_value = x.f_linear(&self.key_value_weight, Some(&self.key_value_bias))?;
        let query = by_head(&query, decoder_steps)?;
        let key = by_head(&key_value.f_narrow(2, 0, width)?, steps)?;
        let value = key_value.f_narrow(2, width, size)?;
        let scores = query.f_matmul(&key.f_transpose(2, 3)?)?;
        // In place, and only where something can be hidden: the scores are the largest tensor of all.
        if let Some(past) = &masks.past {
            let _ = scores
                .f_narrow(3, 0, encoder_steps)?
                .f_masked_fill_(past, self.mask_bias)?;
        }
        let _ = scores
            .f_narrow(3, encoder_steps, decoder_steps)?
            .f_masked_fill_(&masks.future, self.mask_bias)?;
        let attention = scores.f_softmax(-1, None::<Kind>)?;
        let rows = attention.f_view([n, heads * decoder_steps, steps])?;
        let by_heads =
            self.binding
                .drop(rows.f_bmm(&value)?)?
                .f_view([n, heads, decoder_steps, size])?;
        let mean = by_heads.f_mean_dim(1, false, None::<Kind>)?;
        let output = self
            .binding
            .drop(mean.f_linear(&self.output, None::<&Tensor>)?)?;
        Ok((output, attention))
    }

    /// Which steps are hidden from a decoder step.
    ///
    /// Encoder steps at or past the encoder length are hidden. Causally, a decoder step sees only decoder steps before
    /// itself; otherwise it sees all valid ones.
    pub(crate) fn masks(&self, encoder: (i64, &[i64]), decoder: (i64, &[i64])) -> Torch<Masks> {
        let device = self.binding.device;
        let (encoder_steps, encoder_lengths) = encoder;
        let (decoder_steps, decoder_lengths) = decoder;
        let is_padded = encoder_lengths.iter().any(|length| *length < encoder_steps);
        let past = is_padded
            .then(|| padding(encoder_steps, encoder_lengths, device))
            .transpose()?;
        let future = if self.causal {
            Tensor::f_ones([decoder_steps, decoder_steps], (Kind::Bool, device))?.f_triu(0)?
        } else {
            padding(decoder_steps, decoder_lengths, device)?
        };
        Ok(Masks { past, future })
    }
}

/// True where a step is hidden; each broadcasts to `[n, heads, decoder, steps]`.
#[derive(Debug)]
pub(crate) struct Masks {
    /// Of encoder steps; `None` where all are seen.
    past: Option<Tensor>,
    /// Of decoder steps.
    future: Tensor,
}

/// True at and past each window's length: `[n, 1, 1, steps]`.
fn padding(steps: i64, lengths: &[i64], device: Device) -> Torch<Tensor> {
    let lengths = Tensor::f_from_slice(lengths)?
        .f_to_device(device)?
        .f_view([-1, 1, 1, 1])?;
    Tensor::f_arange(steps, (Kind::Int64, device))?.f_ge_tensor(&lengths)
}
