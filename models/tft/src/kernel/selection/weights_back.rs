//! The weight network, backward, a tile at a time, after going forward again.

use super::category::CategoryGradient;
use super::tile::{Features, Lanes, ZERO, accumulate, outer, product};
use super::weights::{Source, Weights};
use super::weights_pass::{Inputs, Tile, WeightsScratch, evaluate, reals, value};
use crate::kernel::simd::{LANES, Simd, dispatched, elu_slope, get, put};

/// What the network learned, in its folded form.
#[derive(Debug, Default)]
pub(super) struct WeightsGradient {
    /// By `matrix` and, in the last column, `bias`: `[2 variables, inner + 1]`.
    pub(super) matrix: Vec<f32>,
    /// By `slopes` and, in the last column, `constant`: `[inner, reals + 1]`.
    pub(super) first: Vec<f32>,
    /// By the first layer's part from each category, `[classes, inner]`.
    pub(super) tables: Vec<Vec<f32>>,
    /// By the two terms (for a category: summed over its embedding's values) and the constant of each channel.
    pub(super) terms: Vec<[f32; 3]>,
    /// By scale and shift of the last norm, then of the residual's, for each channel.
    pub(super) norms: Vec<[f32; 4]>,
    /// By the context's part, laid out as in [`Inputs`].
    pub(super) context: Vec<f32>,
    lanes: Vec<Lanes>,
}

impl WeightsGradient {
    /// Forgets everything and takes the sizes of a network.
    pub(super) fn start(&mut self, net: &Weights, reals: usize, windows: usize) {
        let (inner, count) = (net.inner, net.channels.len());
        let zero = |sums: &mut Vec<f32>, len: usize| {
            sums.clear();
            sums.resize(len, 0.0);
        };
        zero(&mut self.matrix, 2 * count * (inner + 1));
        zero(&mut self.first, inner * (reals + 1));
        zero(&mut self.context, inner * (windows + LANES));
        self.tables.resize(net.tables.len(), Vec::new());
        for (sums, table) in self.tables.iter_mut().zip(&net.tables) {
            zero(sums, table.len());
        }
        self.terms.resize(count, [0.0; 3]);
        self.norms.resize(count, [0.0; 4]);
        self.lanes.clear();
        self.lanes.resize(count * 7, ZERO);
    }

    /// Adds the lanes up.
    pub(super) fn finish(&mut self) {
        for ((lanes, terms), norms) in self
            .lanes
            .as_chunks::<7>()
            .0
            .iter()
            .zip(&mut self.terms)
            .zip(&mut self.norms)
        {
            let sums = lanes.map(|lanes| lanes.iter().sum::<f32>());
            terms
                .iter_mut()
                .chain(norms)
                .zip(sums)
                .for_each(|(to, sum)| *to = sum);
        }
    }
}

dispatched! {
    /// Adds the derivatives by the parameters, from the weights and the derivative by them. `tables` are those by the
    /// categories' embeddings.
    pub(super) fn backward(
        net: &Weights, inputs: Inputs<'_>, weights: &[Lanes], d_weights: &[Lanes],
        scratch: &mut WeightsScratch, tables: &mut [CategoryGradient], learned: &mut WeightsGradient
    ) = backward_body;
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "what goes in, what comes out, and room to work"
)]
fn backward_body<S: Simd>(
    simd: S,
    net: &Weights,
    inputs: Inputs<'_>,
    weights: &[Lanes],
    d_weights: &[Lanes],
    scratch: &mut WeightsScratch,
    tables: &mut [CategoryGradient],
    learned: &mut WeightsGradient,
) {
    let (inner, count) = (net.inner, net.channels.len());
    let reals = reals(net, inputs.categories);
    let tiles = weights.len() / count;
    let rows = weights
        .chunks_exact(count)
        .zip(d_weights.chunks_exact(count));
    for (index, (weights, d_weights)) in rows.enumerate() {
        let tile = inputs.tile(index, reals);
        let (rstd, residual_rstd) = evaluate(simd, net, tile, index, scratch);
        norms(simd, net, weights, d_weights, rstd, scratch, learned);
        gates(simd, net, index, scratch);
        if net.resampled {
            residual_norm(simd, net, residual_rstd, scratch, learned);
        }
        terms(simd, net, tile, scratch, tables, learned);
        first(simd, net, tile, index, scratch, learned);
    }
    let part = |values, stride, count| Features {
        values,
        stride,
        first: 0,
        count,
    };
    let gates = part(&scratch.gates, 2 * count, 2 * count);
    let active = part(&scratch.active, inner + 1, inner + 1);
    outer(simd, tiles, gates, active, &mut learned.matrix);
    let d_first = part(&scratch.d_first, inner, inner);
    outer(
        simd,
        tiles,
        d_first,
        part(inputs.x, reals + 1, reals + 1),
        &mut learned.first,
    );
}

/// Softmax and last norm: leaves the derivative by the sum of gated values and residual in `d_sum`.
#[inline(always)]
fn norms<S: Simd>(
    simd: S,
    net: &Weights,
    weights: &[Lanes],
    d_weights: &[Lanes],
    rstd: S::V,
    scratch: &mut WeightsScratch,
    learned: &mut WeightsGradient,
) {
    let mut mean = simd.splat(0.0);
    for (weight, d_weight) in weights.iter().zip(d_weights) {
        mean = simd.fma(simd.load(weight), simd.load(d_weight), mean);
    }
    let (mut plain, mut along) = (simd.splat(0.0), simd.splat(0.0));
    let channels = net
        .channels
        .iter()
        .zip(learned.lanes.as_chunks_mut::<7>().0);
    let places = scratch.normal.iter().zip(&mut scratch.d_sum);
    for (((normal, d_sum), (channel, lanes)), (weight, d_weight)) in
        places.zip(channels).zip(weights.iter().zip(d_weights))
    {
        let d_score = simd.mul(simd.load(weight), simd.sub(simd.load(d_weight), mean));
        let normal = simd.load(normal);
        accumulate(simd, &mut lanes[3], simd.mul(d_score, normal));
        accumulate(simd, &mut lanes[4], d_score);
        let d_normal = simd.mul(d_score, simd.splat(channel.norm.scale));
        plain = simd.add(plain, d_normal);
        along = simd.fma(d_normal, normal, along);
        simd.store(d_sum, d_normal);
    }
    let count = net.channels.len();
    center(
        simd,
        &scratch.normal[..count],
        &mut scratch.d_sum[..count],
        plain,
        along,
        rstd,
    );
}

/// The derivative of a norm: `d ← (d − mean d − normal · mean (d · normal)) · rstd`, from the sums.
#[inline(always)]
fn center<S: Simd>(
    simd: S,
    normal: &[Lanes],
    d: &mut [Lanes],
    plain: S::V,
    along: S::V,
    rstd: S::V,
) {
    let share = simd.splat(1.0 / d.len() as f32);
    let (plain, along) = (simd.mul(plain, share), simd.mul(along, share));
    for (d, normal) in d.iter_mut().zip(normal) {
        let rest = simd.fnma(simd.load(normal), along, simd.sub(simd.load(d), plain));
        simd.store(d, simd.mul(rest, rstd));
    }
}

/// Values and gates turn into the derivatives by them.
#[inline(always)]
fn gates<S: Simd>(simd: S, net: &Weights, index: usize, scratch: &mut WeightsScratch) {
    let count = net.channels.len();
    let (values, gates) = scratch.gates[index * 2 * count..][..2 * count].split_at_mut(count);
    let log = simd.splat(1.0 / super::tile::GATE_SCALE);
    let places = values.iter_mut().zip(gates);
    for (((value, gate), open), d_sum) in places.zip(&scratch.open).zip(&scratch.d_sum) {
        let (open, held) = (simd.load(open), simd.load(value));
        let d_value = simd.mul(simd.load(d_sum), open);
        simd.store(value, d_value);
        let slope = simd.fnma(open, held, held);
        simd.store(gate, simd.mul(simd.mul(d_value, slope), log));
    }
}

/// `d_sum` turns from the derivative by the residual into the one by the norm's input.
#[inline(always)]
fn residual_norm<S: Simd>(
    simd: S,
    net: &Weights,
    rstd: S::V,
    scratch: &mut WeightsScratch,
    learned: &mut WeightsGradient,
) {
    let (mut plain, mut along) = (simd.splat(0.0), simd.splat(0.0));
    let channels = net
        .channels
        .iter()
        .zip(learned.lanes.as_chunks_mut::<7>().0);
    for ((normal, d_sum), (channel, lanes)) in scratch
        .residual
        .iter()
        .zip(&mut scratch.d_sum)
        .zip(channels)
    {
        let (d, normal) = (simd.load(d_sum), simd.load(normal));
        accumulate(simd, &mut lanes[5], simd.mul(d, normal));
        accumulate(simd, &mut lanes[6], d);
        let d_normal = simd.mul(d, simd.splat(channel.residual_norm.scale));
        plain = simd.add(plain, d_normal);
        along = simd.fma(d_normal, normal, along);
        simd.store(d_sum, d_normal);
    }
    let count = net.channels.len();
    center(
        simd,
        &scratch.residual[..count],
        &mut scratch.d_sum[..count],
        plain,
        along,
        rstd,
    );
}

/// The residual's terms.
#[inline(always)]
fn terms<S: Simd>(
    simd: S,
    net: &Weights,
    tile: Tile<'_>,
    scratch: &WeightsScratch,
    tables: &mut [CategoryGradient],
    learned: &mut WeightsGradient,
) {
    let lanes = learned.lanes.as_chunks_mut::<7>().0;
    for ((channel, d), lanes) in net.channels.iter().zip(&scratch.d_sum).zip(lanes) {
        let own = simd.load(d);
        for (term, lanes) in channel.terms.iter().zip(&mut *lanes) {
            let value = simd.load(&value(tile, term.source));
            accumulate(simd, lanes, simd.mul(own, value));
            if let Source::Category(category, at) = term.source {
                let size = tile.categories[category].size;
                let classes = &tile.classes[category][..tile.lanes];
                for (class, d) in classes.iter().zip(d.iter()) {
                    tables[category].table[class * size + at] += d * term.factor;
                }
            }
        }
        accumulate(simd, &mut lanes[2], own);
    }
}

/// The first layer.
#[inline(always)]
fn first<S: Simd>(
    simd: S,
    net: &Weights,
    tile: Tile<'_>,
    index: usize,
    scratch: &mut WeightsScratch,
    learned: &mut WeightsGradient,
) {
    let (inner, count) = (net.inner, net.channels.len());
    let d_gates = &scratch.gates[index * 2 * count..][..2 * count];
    let active = &scratch.active[index * (inner + 1)..][..inner];
    let d_first = &mut scratch.d_first[index * inner..][..inner];
    product(simd, &net.gates.turned, d_gates, d_first);
    for (channel, (d_first, active)) in d_first.iter_mut().zip(active).enumerate() {
        let d = simd.mul(simd.load(d_first), elu_slope(simd, simd.load(active)));
        simd.store(d_first, d);
        if net.takes_context() {
            let sums = &mut learned.context[channel * tile.stride..][..tile.stride];
            let sum = simd.add(get(simd, sums, tile.window), d);
            put(simd, sums, tile.window, sum);
        }
    }
    for (category, classes) in tile.classes() {
        for (lane, class) in classes.iter().enumerate() {
            let row = &mut learned.tables[category][class * inner..][..inner];
            for (sum, d) in row.iter_mut().zip(&*d_first) {
                *sum += d[lane];
            }
        }
    }
}
