//! A chunk's way back: from the derivatives by the heads' mean and the decoder's rows to those by the parameters.

use super::direct::Direct;
use super::lstm::{Lstm, LstmGradient, State};
use super::pass::{ENRICHMENT, SELECTION, part, sequence, tiles};
use super::selection::Selection;
use super::workspace::{Gradients, HalfSpace, Statics, Tile, Workspace};
use super::{Batch, Half, Kernel, resize};

impl Kernel {
    /// From the derivatives by the heads' mean and by the decoder's rows before and after the enrichment to those by
    /// the parameters.
    pub(super) fn backward(
        &self,
        batch: &Batch,
        space: &mut Workspace,
        gradients: &mut Gradients,
        flat: &mut [f32],
    ) {
        resize(&mut space.d_queries, space.queries.len());
        resize(&mut space.d_keys_values, space.keys_values.len());
        for window in 0..batch.windows() {
            self.attention.backward(
                (window, &sequence(batch, window)),
                &space.queries,
                &space.keys_values,
                &mut space.attention,
                &space.d_mean,
                &mut space.d_queries,
                &mut space.d_keys_values,
            );
        }
        let size = batch.windows() * self.hidden();
        let Statics {
            d_contexts,
            d_projected,
            ..
        } = &mut space.statics;
        for derivative in d_contexts.iter_mut().chain([d_projected]) {
            resize(derivative, size);
            derivative.fill(0.0);
        }
        space.state.clear();
        self.half_backward(batch, true, space, gradients, flat);
        self.half_backward(batch, false, space, gradients, flat);
        self.statics_backward(batch, space, gradients, flat);
    }

    fn half_backward(
        &self,
        batch: &Batch,
        future: bool,
        space: &mut Workspace,
        gradients: &mut Gradients,
        flat: &mut [f32],
    ) {
        let (n, h) = (batch.windows(), self.hidden());
        let half: (
            &Half,
            &[usize],
            &Selection,
            &Lstm,
            &mut HalfSpace,
            &mut LstmGradient,
        ) = if future {
            (
                &batch.decoder,
                &batch.decoder_lengths,
                &self.decoder,
                &self.lstm_decoder,
                &mut space.decoder,
                &mut gradients.lstm_decoder,
            )
        } else {
            (
                &batch.encoder,
                &batch.encoder_lengths,
                &self.encoder,
                &self.lstm_encoder,
                &mut space.encoder,
                &mut gradients.lstm_encoder,
            )
        };
        let (half, lengths, selection, lstm, own, of_lstm) = half;
        let (width, both) = (
            self.attention.query_width(),
            self.attention.key_value_width(),
        );
        let offset = if future { batch.encoder.steps } else { 0 };
        let statics = &mut space.statics;
        resize(&mut own.d_selected, half.steps * n * h);
        for tile in tiles(half.steps, n).rev() {
            let rows = part(&tile, n, h);
            let selected = &own.selected[rows.clone()];
            let out = own.lstm.outputs(tile.clone());
            self.enrich(out, selected, &statics.projected, &mut space.tile);
            let Tile {
                temporal,
                enriched,
                d_temporal,
                post_lstm,
                enrichment,
                ..
            } = &mut space.tile;
            let d = &mut own.d_selected[rows.clone()];
            resize(d_temporal, rows.len());
            let attention = &mut gradients.attention;
            if future {
                d.copy_from_slice(&space.future.d_enriched[rows.clone()]);
                let d_queries = &space.d_queries[part(&tile, n, width)];
                self.attention
                    .queries_backward(enriched, d_queries, d, attention);
            } else {
                d.fill(0.0);
            }
            let all = tile.start + offset..tile.end + offset;
            let d_keys_values = &space.d_keys_values[part(&all, n, both)];
            self.attention
                .keys_values_backward(enriched, d_keys_values, d, attention);
            let d_projected = Some(statics.d_projected.as_mut_slice());
            self.enrichment.backward(
                temporal,
                enrichment,
                d,
                d_projected,
                &mut gradients.enrichment,
            );
            if future {
                for (sum, own) in d.iter_mut().zip(&space.future.d_temporal[rows]) {
                    *sum += own;
                }
            }
            let gate = &self.post_lstm.gate;
            let learned = &mut gradients.post_lstm;
            gate.backward(out, post_lstm, d, (false, d_temporal), learned);
            let d_state: &mut State = &mut space.state;
            lstm.backward(
                selected,
                tile.clone(),
                lengths,
                &mut own.lstm,
                d_temporal,
                d_state,
                d,
                of_lstm,
            );
        }
        selection.backward(
            &half.rows(0..half.steps, n),
            Some(&statics.contexts[SELECTION]),
            &mut own.saved,
            &own.d_selected,
            flat,
            Some(&mut statics.d_contexts[SELECTION]),
        );
    }

    fn statics_backward(
        &self,
        batch: &Batch,
        space: &mut Workspace,
        gradients: &mut Gradients,
        flat: &mut [f32],
    ) {
        let statics = &mut space.statics;
        let [_, d_hidden, d_cell, _] = &mut statics.d_contexts;
        space.state.sums(d_hidden, d_cell);
        self.enrichment.project_backward(
            &statics.contexts[ENRICHMENT],
            &statics.d_projected,
            &mut statics.d_contexts[ENRICHMENT],
            &mut gradients.enrichment,
        );
        resize(&mut statics.d_selected, statics.selected.len());
        statics.d_selected.fill(0.0);
        let traces = statics.traces.iter_mut().zip(&mut statics.d_contexts);
        for ((grn, learned), (trace, d)) in self
            .contexts
            .iter()
            .zip(&mut gradients.contexts)
            .zip(traces)
        {
            grn.backward(&statics.selected, trace, d, None, learned);
            for (sum, own) in statics.d_selected.iter_mut().zip(&*d) {
                *sum += own;
            }
        }
        self.statics.backward(
            &batch.encoder.rows(0..1, batch.windows()),
            None,
            &mut statics.saved,
            &statics.d_selected,
            flat,
            None,
        );
    }

    pub(super) fn gradients(&self) -> Gradients {
        Gradients {
            contexts: self.contexts.each_ref().map(super::Grn::gradient),
            lstm_encoder: self.lstm_encoder.gradient(),
            lstm_decoder: self.lstm_decoder.gradient(),
            post_lstm: self.post_lstm.gate.gradient(),
            enrichment: self.enrichment.gradient(),
            attention: self.attention.gradient(),
            head: self.head.gradient(),
            direct: self.direct.as_ref().map(Direct::gradient),
        }
    }

    pub(super) fn collect(&self, gradients: &mut Gradients, flat: &mut [f32]) {
        for (grn, gradient) in self.contexts.iter().zip(&mut gradients.contexts) {
            grn.collect(gradient, flat);
        }
        self.lstm_encoder.collect(&mut gradients.lstm_encoder, flat);
        self.lstm_decoder.collect(&mut gradients.lstm_decoder, flat);
        self.post_lstm.collect(&mut gradients.post_lstm, flat);
        self.enrichment.collect(&mut gradients.enrichment, flat);
        self.attention.collect(&mut gradients.attention, flat);
        self.head.collect(&mut gradients.head, flat);
        if let (Some(direct), Some(learned)) = (&self.direct, &mut gradients.direct) {
            direct.collect(learned, flat);
        }
    }
}
