//! A chunk's way through the network; [`super::back`] is its way back.

use std::ops::Range;

use super::attention::Sequence;
use super::direct_batch::TileRows;
use super::loss::quantile_loss;
use super::workspace::{Tile, Workspace};
use super::{Answer, Batch, Kernel, Targets, resize};
use crate::errors::TorchError;
use crate::inputs::Want;
use crate::network::Torch;

/// Rows that are worked on together: as many as keep a tile's buffers in the first-level cache.
const TILE_ROWS: usize = 64;

/// Positions of the contexts.
pub(super) const SELECTION: usize = 0;
const HIDDEN: usize = 1;
const CELL: usize = 2;
pub(super) const ENRICHMENT: usize = 3;

/// What a pass is for.
#[derive(Debug, Clone, Copy)]
struct Purpose {
    want: Want,
    /// Whether the backward pass follows.
    learn: bool,
}

/// The steps of a half in tiles.
pub(super) fn tiles(
    steps: usize,
    windows: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> + DoubleEndedIterator {
    let size = (TILE_ROWS / windows).max(1);
    (0..steps.div_ceil(size)).map(move |tile| tile * size..steps.min((tile + 1) * size))
}

/// The part of a buffer `[rows, width]` that belongs to some steps.
pub(super) fn part(steps: &Range<usize>, windows: usize, width: usize) -> Range<usize> {
    steps.start * windows * width..steps.end * windows * width
}

impl Kernel {
    /// Runs a batch.
    ///
    /// # Errors
    /// When the batch does not have the shape the architecture asks for, or a category code is out of range.
    pub fn forward<'a>(
        &self,
        batch: &Batch,
        want: Want,
        space: &'a mut Workspace,
    ) -> Result<&'a Answer, TorchError> {
        batch.check(&self.architecture, &self.limits)?;
        let purpose = Purpose { want, learn: false };
        self.to_attention(batch, purpose, space);
        let rows = batch.decoder.steps * batch.windows();
        resize(&mut space.answer.raw, rows * self.head.outputs());
        self.begin_direct(batch, space);
        for tile in tiles(batch.decoder.steps, batch.windows()) {
            self.head_forward(batch, &tile, space);
        }
        Ok(&space.answer)
    }

    /// Sum of the quantile losses of a batch, each times its weight.
    ///
    /// # Errors
    /// As [`Self::forward`], and when `targets` have another shape.
    pub fn loss(
        &self,
        batch: &Batch,
        targets: &Targets,
        levels: &[f32],
        space: &mut Workspace,
    ) -> Result<f64, TorchError> {
        self.check_targets(batch, targets, levels)?;
        self.forward(batch, Want::default(), space)?;
        let Workspace { answer, d_raw, .. } = space;
        resize(d_raw, answer.raw.len());
        Ok(quantile_loss(
            levels,
            &answer.raw,
            &targets.values,
            &targets.weights,
            d_raw,
        ))
    }

    /// The same, and its derivative by the parameters, which is added to `gradient`.
    ///
    /// # Errors
    /// As [`Self::loss`].
    ///
    /// # Panics
    /// When `gradient` is not as long as the parameters.
    pub fn gradient(
        &self,
        batch: &Batch,
        targets: &Targets,
        levels: &[f32],
        space: &mut Workspace,
        gradient: &mut [f32],
    ) -> Result<f64, TorchError> {
        batch.check(&self.architecture, &self.limits)?;
        self.check_targets(batch, targets, levels)?;
        assert_eq!(
            gradient.len(),
            self.parameters,
            "the gradient of another network"
        );
        let width = self.head.outputs() / levels.len();
        Ok(self.learn(batch, space, gradient, |rows, raw, d_raw| {
            let rows = rows.start * width..rows.end * width;
            quantile_loss(
                levels,
                raw,
                &targets.values[rows.clone()],
                &targets.weights[rows],
                d_raw,
            )
        }))
    }

    fn check_targets(&self, batch: &Batch, targets: &Targets, levels: &[f32]) -> Torch<()> {
        let outputs = self.head.outputs();
        let rows = batch.decoder.steps * batch.windows();
        let fits = !levels.is_empty()
            && outputs.is_multiple_of(levels.len())
            && targets.values.len() == rows * (outputs / levels.len())
            && targets.weights.len() == targets.values.len();
        if fits {
            return Ok(());
        }
        let problem =
            format!("a loss needs targets and weights for {rows} rows of {outputs} outputs");
        Err(tch::TchError::Shape(problem))
    }

    /// A pass there and back. `loss` gets a range of decoder rows and their raw outputs, fills in the derivative by
    /// these and returns their loss; the sum of all is returned.
    pub(super) fn learn(
        &self,
        batch: &Batch,
        space: &mut Workspace,
        gradient: &mut [f32],
        mut loss: impl FnMut(Range<usize>, &[f32], &mut [f32]) -> f64,
    ) -> f64 {
        let purpose = Purpose {
            want: Want::default(),
            learn: true,
        };
        self.to_attention(batch, purpose, space);
        let mut gradients = match space.gradients.take() {
            Some(gradients) => gradients,
            None => Box::new(self.gradients()),
        };
        let (n, h, outputs) = (batch.windows(), self.hidden(), self.head.outputs());
        let rows = batch.decoder.steps * n;
        resize(&mut space.answer.raw, rows * outputs);
        resize(&mut space.d_mean, space.mean.len());
        resize(&mut space.future.d_temporal, rows * h);
        resize(&mut space.future.d_enriched, rows * h);
        self.begin_direct(batch, space);
        let mut sum = 0.0;
        for tile in tiles(batch.decoder.steps, n) {
            self.head_forward(batch, &tile, space);
            let raw = part(&tile, n, outputs);
            resize(&mut space.d_raw, raw.len());
            sum += loss(part(&tile, n, 1), &space.answer.raw[raw], &mut space.d_raw);
            let (of_mean, of_rows) = (
                part(&tile, n, self.attention.head_size()),
                part(&tile, n, h),
            );
            let d_last = &mut space.future.d_temporal[of_rows.clone()];
            d_last.fill(0.0);
            if let (Some(direct), Some(inputs), Some(learned)) =
                (&self.direct, &batch.direct, &mut gradients.direct)
            {
                direct.backward(
                    inputs,
                    &tile_rows(batch, &tile),
                    (space.head.last(), d_last),
                    &mut space.direct,
                    &mut space.d_raw,
                    learned,
                );
            }
            let derivatives = (
                &mut space.d_mean[of_mean.clone()],
                &mut space.future.d_enriched[of_rows.clone()],
                &mut space.future.d_temporal[of_rows],
            );
            let (mean, head) = (&space.mean[of_mean], &mut space.head);
            self.head
                .backward(mean, head, &space.d_raw, derivatives, &mut gradients.head);
        }
        if let (Some(direct), Some(inputs), Some(learned)) =
            (&self.direct, &batch.direct, &mut gradients.direct)
        {
            direct.end(inputs, n, &space.direct, learned);
        }
        self.backward(batch, space, &mut gradients, gradient);
        self.collect(&mut gradients, gradient);
        space.gradients = Some(gradients);
        sum
    }

    pub(super) fn hidden(&self) -> usize {
        self.architecture.hidden_size as usize
    }

    fn begin_direct(&self, batch: &Batch, space: &mut Workspace) {
        if let (Some(direct), Some(inputs)) = (&self.direct, &batch.direct) {
            direct.begin(inputs, batch.windows(), &mut space.direct);
        }
    }

    fn head_forward(&self, batch: &Batch, tile: &Range<usize>, space: &mut Workspace) {
        let windows = batch.windows();
        let rows = part(tile, windows, self.hidden());
        let raw = &mut space.answer.raw[part(tile, windows, self.head.outputs())];
        self.head.forward(
            &space.mean[part(tile, windows, self.attention.head_size())],
            &space.future.enriched[rows.clone()],
            &space.future.temporal[rows],
            &mut space.head,
            raw,
        );
        if let (Some(direct), Some(inputs)) = (&self.direct, &batch.direct) {
            let (tile, trace) = (tile_rows(batch, tile), &mut space.direct);
            direct.forward(inputs, &tile, space.head.last(), trace, raw);
        }
    }

    /// Everything up to the mean of the attention's heads.
    fn to_attention(&self, batch: &Batch, purpose: Purpose, space: &mut Workspace) {
        let n = batch.windows();
        let Want { attention, weights } = purpose.want;
        let answer = &mut space.answer;
        (answer.windows, answer.encoder_steps, answer.decoder_steps) =
            (n, batch.encoder.steps, batch.decoder.steps);
        let a = &self.architecture;
        let variables = [
            &a.static_variables,
            &a.encoder_variables,
            &a.decoder_variables,
        ];
        let sizes = [1, batch.encoder.steps, batch.decoder.steps];
        let lists = [
            &mut answer.static_weights,
            &mut answer.encoder_weights,
            &mut answer.decoder_weights,
        ];
        for ((list, steps), variables) in lists.into_iter().zip(sizes).zip(variables) {
            resize(
                list,
                if weights {
                    steps * n * variables.len()
                } else {
                    0
                },
            );
        }

        self.statics_forward(batch, purpose, space);
        let rows = (batch.encoder.steps + batch.decoder.steps) * n;
        resize(
            &mut space.keys_values,
            rows * self.attention.key_value_width(),
        );
        let contexts = &space.statics.contexts;
        let layers = self.lstm_encoder.layers();
        (space.state).start(layers, &contexts[HIDDEN], &contexts[CELL]);
        self.half_forward(batch, false, purpose, space);
        self.half_forward(batch, true, purpose, space);

        let heads = self.attention.heads();
        let of_window = heads * batch.decoder.steps * (batch.encoder.steps + batch.decoder.steps);
        resize(
            &mut space.answer.attention,
            if attention { n * of_window } else { 0 },
        );
        resize(
            &mut space.mean,
            batch.decoder.steps * n * self.attention.head_size(),
        );
        let mut weights = space.answer.attention.chunks_exact_mut(of_window);
        for window in 0..n {
            self.attention.forward(
                (window, &sequence(batch, window)),
                &space.queries,
                &space.keys_values,
                &mut space.attention,
                &mut space.mean,
                weights.next(),
            );
        }
    }

    fn statics_forward(&self, batch: &Batch, purpose: Purpose, space: &mut Workspace) {
        let size = batch.windows() * self.hidden();
        let statics = &mut space.statics;
        resize(&mut statics.selected, size);
        self.statics.forward(
            &batch.encoder.rows(0..1, batch.windows()),
            None,
            &mut statics.selected,
            &mut statics.saved,
            purpose.learn,
            purpose
                .want
                .weights
                .then_some(&mut space.answer.static_weights[..]),
        );
        let outputs = statics.contexts.iter_mut().zip(&mut statics.traces);
        for (grn, (out, trace)) in self.contexts.iter().zip(outputs) {
            resize(out, size);
            grn.forward(&statics.selected, None, trace, out);
        }
        resize(&mut statics.projected, size);
        self.enrichment
            .project(&statics.contexts[ENRICHMENT], &mut statics.projected);
    }

    /// Encoder or decoder steps, from the inputs to keys, values and queries.
    fn half_forward(&self, batch: &Batch, future: bool, purpose: Purpose, space: &mut Workspace) {
        let (n, h) = (batch.windows(), self.hidden());
        let Purpose { want, learn } = purpose;
        let (half, lengths, selection, lstm, own, weights) = if future {
            (
                &batch.decoder,
                &batch.decoder_lengths,
                &self.decoder,
                &self.lstm_decoder,
                &mut space.decoder,
                &mut space.answer.decoder_weights,
            )
        } else {
            (
                &batch.encoder,
                &batch.encoder_lengths,
                &self.encoder,
                &self.lstm_encoder,
                &mut space.encoder,
                &mut space.answer.encoder_weights,
            )
        };
        if future {
            resize(
                &mut space.queries,
                half.steps * n * self.attention.query_width(),
            );
            resize(&mut space.future.temporal, half.steps * n * h);
            resize(&mut space.future.enriched, half.steps * n * h);
        }
        let kept = if learn {
            half.steps
        } else {
            tiles(half.steps, n).next().map_or(0, |tile| tile.len())
        };
        own.lstm.begin(kept, &space.state);
        resize(&mut own.selected, half.steps * n * h);
        selection.forward(
            &half.rows(0..half.steps, n),
            Some(&space.statics.contexts[SELECTION]),
            &mut own.selected,
            &mut own.saved,
            learn,
            want.weights.then_some(&mut weights[..]),
        );
        let (width, both) = (
            self.attention.query_width(),
            self.attention.key_value_width(),
        );
        let offset = if future { batch.encoder.steps } else { 0 };
        for tile in tiles(half.steps, n) {
            let at = if learn { tile.clone() } else { 0..tile.len() };
            let selected = &own.selected[part(&tile, n, h)];
            let place = (at.clone(), tile.start);
            lstm.forward(selected, place, lengths, &mut own.lstm, &mut space.state);
            let all = tile.start + offset..tile.end + offset;
            let keys_values = &mut space.keys_values[part(&all, n, both)];
            let projected = &space.statics.projected;
            let out = own.lstm.outputs(at);
            self.enrich(out, selected, projected, &mut space.tile);
            self.attention
                .keys_values(&space.tile.enriched, keys_values);
            if future {
                let queries = &mut space.queries[part(&tile, n, width)];
                self.attention.queries(&space.tile.enriched, queries);
                let rows = part(&tile, n, h);
                space.future.temporal[rows.clone()].copy_from_slice(&space.tile.temporal);
                space.future.enriched[rows].copy_from_slice(&space.tile.enriched);
            }
            if !learn {
                own.lstm.wrap(tile.len());
            }
        }
    }

    /// From the LSTM's outputs to the attention's inputs.
    pub(super) fn enrich(&self, out: &[f32], selected: &[f32], projected: &[f32], tile: &mut Tile) {
        resize(&mut tile.temporal, out.len());
        resize(&mut tile.enriched, out.len());
        let gate = &self.post_lstm.gate;
        gate.forward(out, selected, &mut tile.post_lstm, &mut tile.temporal);
        let (x, trace) = (&tile.temporal, &mut tile.enrichment);
        self.enrichment
            .forward(x, Some(projected), trace, &mut tile.enriched);
    }
}

fn tile_rows(batch: &Batch, tile: &Range<usize>) -> TileRows {
    TileRows {
        steps: tile.clone(),
        windows: batch.windows(),
        horizon: batch.decoder.steps,
    }
}

pub(super) fn sequence(batch: &Batch, window: usize) -> Sequence {
    Sequence {
        windows: batch.windows(),
        encoder_steps: batch.encoder.steps,
        decoder_steps: batch.decoder.steps,
        encoder_length: batch.encoder_lengths[window],
        decoder_length: batch.decoder_lengths[window],
    }
}
