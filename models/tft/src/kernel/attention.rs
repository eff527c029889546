//! Attention of one window at a time, a few queries at a time: scores never leave the first-level cache.
//!
//! Heads share their values and are averaged, so their attention is averaged first and multiplied with the values
//! once. Keys are put in an order in which what a query sees is a prefix: encoder steps within the window's length,
//! decoder steps, encoder steps past the length. Hidden keys then cost nothing.

use std::ops::Range;

use super::linear::{Linear, LinearGradient, add_to};
use super::matrix::{gemm, gemm_tn, transpose};
use super::resize;
use super::scores::{scores_backward, softmax_prefixes};
use crate::architecture::Architecture;
use crate::network::attention::AttentionSpec;
use crate::weights::Layout;

/// Queries that are worked on together.
const QUERIES: usize = 16;

/// Queries, keys and values of all heads.
#[derive(Debug)]
pub(super) struct Attention {
    heads: usize,
    head_size: usize,
    causal: bool,
    /// Weight and bias of the queries, of the keys, of the values.
    places: [Range<usize>; 6],
    /// What the scores are multiplied with; part of the queries.
    scale: f32,
    query: Linear,
    /// Keys of all heads, then the values.
    key_value: Linear,
}

/// What the attention layer learns.
#[derive(Debug)]
pub(super) struct AttentionGradient {
    query: LinearGradient,
    key_value: LinearGradient,
}

/// The size of a chunk, and how long a window is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) windows: usize,
    pub(super) encoder_steps: usize,
    pub(super) decoder_steps: usize,
    pub(super) encoder_length: usize,
    pub(super) decoder_length: usize,
}

/// Buffers of one window.
#[derive(Debug, Default)]
pub(super) struct AttentionSpace {
    /// Keys and values, `[steps, keys + values]`, and the same transposed.
    by_step: Vec<f32>,
    by_feature: Vec<f32>,
    d_by_feature: Vec<f32>,
    /// Attention of some queries: of each head `[heads, QUERIES, steps]`, and their mean.
    of_head: Vec<f32>,
    mean: Vec<f32>,
    d_mean: Vec<f32>,
}

impl Sequence {
    fn steps(&self) -> usize {
        self.encoder_steps + self.decoder_steps
    }

    /// The step whose key is the `index`th.
    fn step(&self, index: usize) -> usize {
        let (seen, hidden) = (
            self.encoder_length,
            self.encoder_steps - self.encoder_length,
        );
        if index < seen {
            index
        } else if index < seen + self.decoder_steps {
            index + hidden
        } else {
            index - self.decoder_steps
        }
    }

    /// How many keys a query sees. One that sees nothing attends to everything alike, as does a softmax of equal
    /// scores.
    fn seen(&self, query: usize, causal: bool) -> usize {
        let ahead = if causal { query } else { self.decoder_length };
        self.encoder_length + ahead
    }
}

impl Attention {
    pub(super) fn new(layout: &Layout, spec: &AttentionSpec, architecture: &Architecture) -> Self {
        let places = [
            spec.query.0,
            spec.query.1,
            spec.key.0,
            spec.key.1,
            spec.value.weight,
            spec.value.bias,
        ];
        let (heads, head_size) = (
            architecture.attention_heads as usize,
            architecture.head_size() as usize,
        );
        let (hidden, width) = (architecture.hidden_size as usize, heads * head_size);
        Self {
            heads,
            head_size,
            causal: architecture.causal_attention,
            places: places.map(|id| layout.range(id)),
            scale: 1.0 / (head_size as f32).sqrt(),
            query: Linear::new(hidden, width),
            key_value: Linear::new(hidden, width + head_size),
        }
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        let [query, query_bias, key, key_bias, value, value_bias] =
            self.places.clone().map(|place| &parameters[place]);
        let (own, own_bias) = (&mut self.query.weight, &mut self.query.bias);
        for (own, given) in [(own, query), (own_bias, query_bias)] {
            for (own, given) in own.iter_mut().zip(given) {
                *own = given * self.scale;
            }
        }
        let (own, own_bias) = (&mut self.key_value.weight, &mut self.key_value.bias);
        for (own, first, second) in [(own, key, value), (own_bias, key_bias, value_bias)] {
            let (keys, values) = own.split_at_mut(first.len());
            keys.copy_from_slice(first);
            values.copy_from_slice(second);
        }
        self.query.pack();
        self.key_value.pack();
    }

    pub(super) fn gradient(&self) -> AttentionGradient {
        AttentionGradient {
            query: self.query.gradient(),
            key_value: self.key_value.gradient(),
        }
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut AttentionGradient, flat: &mut [f32]) {
        let [query, query_bias, key, key_bias, value, value_bias] = &self.places;
        let own = &mut gradient.query;
        for (place, sums) in [(query, &mut own.weight), (query_bias, &mut own.bias)] {
            sums.iter_mut().for_each(|sum| *sum *= self.scale);
            add_to(flat, place, sums);
        }
        let own = &gradient.key_value;
        add_to(flat, key, &own.weight[..key.len()]);
        add_to(flat, value, &own.weight[key.len()..]);
        add_to(flat, key_bias, &own.bias[..key_bias.len()]);
        add_to(flat, value_bias, &own.bias[key_bias.len()..]);
        gradient.query.clear();
        gradient.key_value.clear();
    }

    /// Floats of a row of queries.
    pub(super) fn query_width(&self) -> usize {
        self.query.output
    }

    /// Floats of a row of keys and values.
    pub(super) fn key_value_width(&self) -> usize {
        self.key_value.output
    }

    /// Floats of a row of the heads' mean.
    pub(super) fn head_size(&self) -> usize {
        self.head_size
    }

    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    /// Queries of rows `x [rows, h]`.
    pub(super) fn queries(&self, x: &[f32], out: &mut [f32]) {
        self.query.forward(x, out);
    }

    /// Keys and values of rows `x [rows, h]`.
    pub(super) fn keys_values(&self, x: &[f32], out: &mut [f32]) {
        self.key_value.forward(x, out);
    }

    /// Derivatives of [`Self::queries`]; that by `x` is added to `d_x`.
    pub(super) fn queries_backward(
        &self,
        x: &[f32],
        d_queries: &[f32],
        d_x: &mut [f32],
        gradient: &mut AttentionGradient,
    ) {
        self.query.backward(true, d_queries, d_x);
        self.query.learn(x, d_queries, &mut gradient.query);
    }

    /// Derivatives of [`Self::keys_values`]; that by `x` is added to `d_x`.
    pub(super) fn keys_values_backward(
        &self,
        x: &[f32],
        d_keys_values: &[f32],
        d_x: &mut [f32],
        gradient: &mut AttentionGradient,
    ) {
        self.key_value.backward(true, d_keys_values, d_x);
        self.key_value
            .learn(x, d_keys_values, &mut gradient.key_value);
    }

    /// Attends for one window of a chunk.
    ///
    /// `queries [decoder steps · n, …]` and `keys_values [steps · n, …]` hold the rows of all windows, and so does the
    /// mean of the heads, `out [decoder steps · n, head size]`. `weights`, if wanted, takes the window's attention
    /// `[heads, decoder steps, steps]`.
    pub(super) fn forward(
        &self,
        (window, sequence): (usize, &Sequence),
        queries: &[f32],
        keys_values: &[f32],
        space: &mut AttentionSpace,
        out: &mut [f32],
        mut weights: Option<&mut [f32]>,
    ) {
        let (n, steps, size) = (sequence.windows, sequence.steps(), self.head_size);
        let (width, both) = (self.query_width(), self.key_value_width());
        self.gather((window, sequence), keys_values, space);
        for first in (0..sequence.decoder_steps).step_by(QUERIES) {
            let block = first..sequence.decoder_steps.min(first + QUERIES);
            let most = self.attend((window, sequence), block.clone(), queries, space);
            if let Some(weights) = &mut weights {
                self.spread(sequence, block.clone(), space, weights);
            }
            let out = &mut out[(first * n + window) * size..];
            let values = &space.by_step[width..];
            gemm(
                false,
                block.len(),
                size,
                most,
                &space.mean,
                steps,
                values,
                both,
                out,
                n * size,
            );
        }
    }

    /// The derivatives of [`Self::forward`]: from `d_out` to `d_queries` and `d_keys_values`, whose rows of the window
    /// are overwritten.
    #[expect(clippy::too_many_arguments, reason = "values in, derivatives out")]
    pub(super) fn backward(
        &self,
        (window, sequence): (usize, &Sequence),
        queries: &[f32],
        keys_values: &[f32],
        space: &mut AttentionSpace,
        d_out: &[f32],
        d_queries: &mut [f32],
        d_keys_values: &mut [f32],
    ) {
        let (n, steps, size) = (sequence.windows, sequence.steps(), self.head_size);
        let (width, both) = (self.query_width(), self.key_value_width());
        self.gather((window, sequence), keys_values, space);
        resize(&mut space.d_by_feature, both * steps);
        space.d_by_feature.fill(0.0);
        resize(&mut space.d_mean, QUERIES * steps);
        for first in (0..sequence.decoder_steps).step_by(QUERIES) {
            let block = first..sequence.decoder_steps.min(first + QUERIES);
            let count = block.len();
            let most = self.attend((window, sequence), block.clone(), queries, space);
            let row = first * n + window;
            let d_out = &d_out[row * size..];
            let values = &space.by_feature[width * steps..];
            gemm(
                false,
                count,
                most,
                size,
                d_out,
                n * size,
                values,
                steps,
                &mut space.d_mean,
                steps,
            );
            let d_values = &mut space.d_by_feature[width * steps..];
            gemm_tn(
                count,
                most,
                size,
                d_out,
                n * size,
                &space.mean,
                steps,
                d_values,
                steps,
            );
            for head in 0..self.heads {
                let of_head = &mut space.of_head[head * QUERIES * steps..][..count * steps];
                let share = 1.0 / self.heads as f32;
                scores_backward(steps, most, share, &space.d_mean, of_head);
                for (index, scores) in of_head.chunks_exact_mut(steps).enumerate() {
                    if sequence.seen(first + index, self.causal) == 0 {
                        // Equal scores that are not made of queries and keys.
                        scores.fill(0.0);
                    }
                }
                let at = head * size;
                let keys = &space.by_step[at..];
                let d_queries = &mut d_queries[row * width + at..];
                gemm(
                    false,
                    count,
                    size,
                    most,
                    of_head,
                    steps,
                    keys,
                    both,
                    d_queries,
                    n * width,
                );
                let queries = &queries[row * width + at..];
                let d_keys = &mut space.d_by_feature[at * steps..];
                gemm_tn(
                    count,
                    most,
                    size,
                    queries,
                    n * width,
                    of_head,
                    steps,
                    d_keys,
                    steps,
                );
            }
        }
        transpose(both, steps, &space.d_by_feature, &mut space.by_step);
        for (index, row) in space.by_step.chunks_exact(both).enumerate() {
            let at = (sequence.step(index) * n + window) * both;
            d_keys_values[at..at + both].copy_from_slice(row);
        }
    }

    /// Collects the window's keys and values in the order in which they are seen.
    fn gather(
        &self,
        (window, sequence): (usize, &Sequence),
        keys_values: &[f32],
        space: &mut AttentionSpace,
    ) {
        let (both, steps) = (self.key_value_width(), sequence.steps());
        resize(&mut space.by_step, steps * both);
        resize(&mut space.by_feature, steps * both);
        resize(&mut space.of_head, self.heads * QUERIES * steps);
        resize(&mut space.mean, QUERIES * steps);
        for (index, row) in space.by_step.chunks_exact_mut(both).enumerate() {
            let at = (sequence.step(index) * sequence.windows + window) * both;
            row.copy_from_slice(&keys_values[at..at + both]);
        }
        transpose(steps, both, &space.by_step, &mut space.by_feature);
    }

    /// Attention of some queries, of each head and on average; zeros for hidden keys. Returns up to where there is any.
    fn attend(
        &self,
        (window, sequence): (usize, &Sequence),
        block: Range<usize>,
        queries: &[f32],
        space: &mut AttentionSpace,
    ) -> usize {
        let (width, size) = (self.query_width(), self.head_size);
        let (steps, n) = (sequence.steps(), sequence.windows);
        let seen = |query| match sequence.seen(query, self.causal) {
            0 => steps,
            seen => seen,
        };
        let mut lengths = [0; QUERIES];
        for (query, length) in block.clone().zip(&mut lengths) {
            *length = seen(query);
        }
        let lengths = &lengths[..block.len()];
        let most = lengths.iter().copied().max().unwrap_or(0);
        let share = 1.0 / self.heads as f32;
        for head in 0..self.heads {
            let scores = &mut space.of_head[head * QUERIES * steps..][..block.len() * steps];
            let queries = &queries[(block.start * n + window) * width + head * size..];
            let keys = &space.by_feature[head * size * steps..];
            gemm(
                false,
                block.len(),
                most,
                size,
                queries,
                n * width,
                keys,
                steps,
                scores,
                steps,
            );
            for (query, scores) in block.clone().zip(scores.chunks_exact_mut(steps)) {
                if sequence.seen(query, self.causal) == 0 {
                    scores[..steps].fill(0.0);
                }
            }
            softmax_prefixes(
                steps,
                (most, share),
                lengths,
                scores,
                (head == 0, &mut space.mean),
            );
        }
        most
    }

    /// Writes the attention of some queries where each step's weight belongs.
    fn spread(
        &self,
        sequence: &Sequence,
        block: Range<usize>,
        space: &AttentionSpace,
        weights: &mut [f32],
    ) {
        let steps = sequence.steps();
        for head in 0..self.heads {
            for query in block.clone() {
                let from = &space.of_head[(head * QUERIES + query - block.start) * steps..];
                let to = &mut weights[(head * sequence.decoder_steps + query) * steps..][..steps];
                let most = match sequence.seen(query, self.causal) {
                    0 => steps,
                    seen => seen,
                };
                to.fill(0.0);
                for (index, weight) in from[..most].iter().enumerate() {
                    to[sequence.step(index)] = *weight;
                }
            }
        }
    }
}
