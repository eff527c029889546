//! What follows the attention, for decoder steps: two gates around a gated residual network, and the outputs.

use std::ops::Range;

use super::gate::{GateGradient, GateNorm, GateTrace};
use super::grn::{Grn, GrnGradient, GrnTrace};
use super::linear::{Linear, LinearGradient, add_to};
use super::resize;
use crate::network::parts::Parts;
use crate::weights::Layout;

/// From the heads' mean to the outputs of all targets.
#[derive(Debug)]
pub(super) struct Head {
    attended_place: Range<usize>,
    /// Weight and bias of each target's output layer.
    output_places: Vec<[Range<usize>; 2]>,
    /// The attention's last layer, without bias.
    attended: Linear,
    post_attention: GateNorm,
    position_wise: Grn,
    pre_output: GateNorm,
    /// The output layers of all targets.
    output: Linear,
}

/// What happened to a tile.
#[derive(Debug, Default)]
pub(super) struct HeadTrace {
    attended: Vec<f32>,
    gated: Vec<f32>,
    positioned: Vec<f32>,
    last: Vec<f32>,
    post_attention: GateTrace,
    position_wise: GrnTrace,
    pre_output: GateTrace,
    d_attended: Vec<f32>,
}

impl HeadTrace {
    /// The decoder's output `[rows, h]`, which the output layers read.
    pub(super) fn last(&self) -> &[f32] {
        &self.last
    }
}

/// What these layers learn.
#[derive(Debug)]
pub(super) struct HeadGradient {
    attended: LinearGradient,
    post_attention: GateGradient,
    position_wise: GrnGradient,
    pre_output: GateGradient,
    output: LinearGradient,
}

impl Head {
    pub(super) fn new(layout: &Layout, parts: &Parts, hidden: usize) -> Self {
        let attended_place = layout.range(parts.attention.output);
        let output_places: Vec<_> = parts
            .outputs
            .iter()
            .map(|(weight, bias)| [layout.range(*weight), layout.range(*bias)])
            .collect();
        let outputs = output_places.iter().map(|[_, bias]| bias.len()).sum();
        Self {
            attended: Linear::new(attended_place.len() / hidden, hidden),
            attended_place,
            post_attention: GateNorm::new(layout, &parts.post_attention),
            position_wise: Grn::new(layout, &parts.position_wise),
            pre_output: GateNorm::new(layout, &parts.pre_output),
            output: Linear::new(hidden, outputs),
            output_places,
        }
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        let weight = &parameters[self.attended_place.clone()];
        self.attended.weight.copy_from_slice(weight);
        self.attended.pack();
        self.post_attention.bind(parameters);
        self.position_wise.bind(parameters);
        self.pre_output.bind(parameters);
        let (mut weights, mut biases) = (&mut self.output.weight[..], &mut self.output.bias[..]);
        for [weight, bias] in &self.output_places {
            let own = weights.split_off_mut(..weight.len()).unwrap_or_default();
            own.copy_from_slice(&parameters[weight.clone()]);
            let own = biases.split_off_mut(..bias.len()).unwrap_or_default();
            own.copy_from_slice(&parameters[bias.clone()]);
        }
        self.output.pack();
    }

    /// Outputs of a row, all targets together.
    pub(super) fn outputs(&self) -> usize {
        self.output.output
    }

    pub(super) fn gradient(&self) -> HeadGradient {
        HeadGradient {
            attended: self.attended.gradient(),
            post_attention: self.post_attention.gate.gradient(),
            position_wise: self.position_wise.gradient(),
            pre_output: self.pre_output.gate.gradient(),
            output: self.output.gradient(),
        }
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut HeadGradient, flat: &mut [f32]) {
        add_to(flat, &self.attended_place, &gradient.attended.weight);
        gradient.attended.clear();
        self.post_attention
            .collect(&mut gradient.post_attention, flat);
        self.position_wise
            .collect(&mut gradient.position_wise, flat);
        self.pre_output.collect(&mut gradient.pre_output, flat);
        let (mut weights, mut biases) = (&gradient.output.weight[..], &gradient.output.bias[..]);
        for [weight, bias] in &self.output_places {
            let own = weights.split_off(..weight.len()).unwrap_or_default();
            add_to(flat, weight, own);
            let own = biases.split_off(..bias.len()).unwrap_or_default();
            add_to(flat, bias, own);
        }
        gradient.output.clear();
    }

    /// Raw outputs `[rows, outputs]` from the heads' mean `[rows, head size]` and the two residuals `[rows, h]`.
    pub(super) fn forward(
        &self,
        mean: &[f32],
        enriched: &[f32],
        temporal: &[f32],
        trace: &mut HeadTrace,
        raw: &mut [f32],
    ) {
        let HeadTrace {
            attended,
            gated,
            positioned,
            last,
            ..
        } = trace;
        for buffer in [&mut *attended, &mut *gated, &mut *positioned, &mut *last] {
            resize(buffer, enriched.len());
        }
        attended.fill(0.0);
        self.attended.add(mean, attended);
        let gate = &self.post_attention.gate;
        gate.forward(attended, enriched, &mut trace.post_attention, gated);
        self.position_wise
            .forward(gated, None, &mut trace.position_wise, positioned);
        let gate = &self.pre_output.gate;
        gate.forward(positioned, temporal, &mut trace.pre_output, last);
        self.output.forward(last, raw);
    }

    /// The derivatives of the [`Self::forward`] that `trace` is from: by the heads' mean, by `enriched` and by
    /// `temporal`, the first two in the place of what was there; `d_temporal` comes as the derivative by the decoder's
    /// output from elsewhere.
    pub(super) fn backward(
        &self,
        mean: &[f32],
        trace: &mut HeadTrace,
        d_raw: &[f32],
        (d_mean, d_enriched, d_temporal): (&mut [f32], &mut [f32], &mut [f32]),
        gradient: &mut HeadGradient,
    ) {
        self.output.backward(true, d_raw, d_temporal);
        self.output.learn(&trace.last, d_raw, &mut gradient.output);
        let (gate, d_x) = (&self.pre_output.gate, (false, &mut *d_enriched));
        let learned = &mut gradient.pre_output;
        gate.backward(
            &trace.positioned,
            &mut trace.pre_output,
            d_temporal,
            d_x,
            learned,
        );
        let learned = &mut gradient.position_wise;
        let of_grn = &mut trace.position_wise;
        self.position_wise
            .backward(&trace.gated, of_grn, d_enriched, None, learned);
        resize(&mut trace.d_attended, trace.attended.len());
        let (gate, d_x) = (
            &self.post_attention.gate,
            (false, &mut trace.d_attended[..]),
        );
        let learned = &mut gradient.post_attention;
        gate.backward(
            &trace.attended,
            &mut trace.post_attention,
            d_enriched,
            d_x,
            learned,
        );
        self.attended.backward(false, &trace.d_attended, d_mean);
        self.attended
            .learn(mean, &trace.d_attended, &mut gradient.attended);
    }
}
