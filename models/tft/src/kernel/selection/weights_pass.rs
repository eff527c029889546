//! The weight network, forward, a tile at a time.

use super::category::Category;
use super::real_pass::{grow, moments};
use super::tile::{Lanes, ONES, ZERO, open, product};
use super::weights::{Channel, Source, Weights};
use crate::kernel::simd::{LANES, Simd, dispatched, elu, exp, get};

/// Some tiles as the weight network sees them.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) categories: &'a [Category],
    /// The real variables and a row of ones, `[tile][reals + 1]`.
    pub(super) x: &'a [Lanes],
    /// Class of every lane, `[tile][categories]`; lanes without a row are of no class.
    pub(super) classes: &'a [[usize; LANES]],
    /// Number of rows; the last tile may have fewer than its lanes.
    pub(super) rows: usize,
    /// The context's part of the first layer, `[inner][windows + lanes]`: entry `i` is that of window `i % windows`.
    pub(super) context: &'a [f32],
    pub(super) windows: usize,
    /// The first row's window.
    pub(super) window: usize,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) categories: &'a [Category],
    x: &'a [Lanes],
    pub(super) classes: &'a [[usize; LANES]],
    pub(super) lanes: usize,
    context: &'a [f32],
    pub(super) stride: usize,
    pub(super) window: usize,
}

impl<'a> Inputs<'a> {
    #[inline(always)]
    pub(super) fn tile(&self, index: usize, reals: usize) -> Tile<'a> {
        let count = self.categories.len();
        Tile {
            categories: self.categories,
            x: &self.x[index * (reals + 1)..][..reals + 1],
            classes: &self.classes[index * count..][..count],
            lanes: (self.rows - index * LANES).min(LANES),
            context: self.context,
            stride: self.windows + LANES,
            window: (self.window + index * LANES) % self.windows,
        }
    }
}

impl Tile<'_> {
    /// The classes of the rows, category by category.
    #[inline(always)]
    pub(super) fn classes(&self) -> impl Iterator<Item = (usize, &[usize])> {
        let lanes = self.lanes;
        self.classes
            .iter()
            .map(move |classes| &classes[..lanes])
            .enumerate()
    }
}

/// Intermediate results.
#[derive(Debug, Default)]
pub(super) struct WeightsScratch {
    /// Activations of the first layer and a row of ones, `[tile][inner + 1]`.
    pub(super) active: Vec<Lanes>,
    /// Values and gates, or derivatives by them, `[tile][2 variables]`.
    pub(super) gates: Vec<Lanes>,
    /// Derivatives by the first layer, `[tile][inner]`.
    pub(super) d_first: Vec<Lanes>,
    /// The residual, normalised if it is resampled; `[variables]` of one tile, as the rest.
    pub(super) residual: Vec<Lanes>,
    pub(super) open: Vec<Lanes>,
    /// The last norm's normalised input.
    pub(super) normal: Vec<Lanes>,
    pub(super) d_sum: Vec<Lanes>,
}

impl WeightsScratch {
    /// Makes room for `tiles` tiles.
    pub(super) fn reserve(&mut self, tiles: usize, net: &Weights) {
        let (inner, count) = (net.inner, net.channels.len());
        grow(&mut self.active, tiles * (inner + 1));
        grow(&mut self.gates, tiles * 2 * count);
        grow(&mut self.d_first, tiles * inner);
        for one in [
            &mut self.residual,
            &mut self.open,
            &mut self.normal,
            &mut self.d_sum,
        ] {
            grow(one, count);
        }
    }
}

dispatched! {
    /// The variables' weights, `[tile][variables]`.
    pub(super) fn forward(
        net: &Weights, inputs: Inputs<'_>, weights: &mut [Lanes], scratch: &mut WeightsScratch
    ) = forward_body;
}

/// Number of real variables.
#[inline(always)]
pub(super) fn reals(net: &Weights, categories: &[Category]) -> usize {
    net.channels.len() - categories.len()
}

/// Activations, gates (values turn into gated values plus residual in `normal`, then into normalised ones) and
/// residual of a tile; the reciprocal deviations of the last norm and of the residual's.
#[inline(always)]
pub(super) fn evaluate<S: Simd>(
    simd: S,
    net: &Weights,
    tile: Tile<'_>,
    index: usize,
    scratch: &mut WeightsScratch,
) -> (S::V, S::V) {
    let (inner, count) = (net.inner, net.channels.len());
    let active = &mut scratch.active[index * (inner + 1)..][..inner + 1];
    let (active, ones) = active.split_at_mut(inner);
    ones[0] = ONES;
    let gates = &mut scratch.gates[index * 2 * count..][..2 * count];
    let residual = &mut scratch.residual[..count];
    let (opens, normal) = (&mut scratch.open[..count], &mut scratch.normal[..count]);

    let x = &tile.x[..tile.x.len() - 1];
    product(simd, &net.slopes, x, active);
    for (category, classes) in tile.classes() {
        for (lane, class) in classes.iter().enumerate() {
            let row = &net.tables[category][class * inner..][..inner];
            for (first, part) in active.iter_mut().zip(row) {
                first[lane] += part;
            }
        }
    }
    for (channel, first) in active.iter_mut().enumerate() {
        let mut sum = simd.load(first);
        if net.takes_context() {
            let context = &tile.context[channel * tile.stride..][..tile.stride];
            sum = simd.add(sum, get(simd, context, tile.window));
        }
        simd.store(first, elu(simd, sum));
    }
    product(simd, &net.gates.matrix, active, gates);

    let residual_rstd = residuals(simd, net, tile, residual);
    let (values, shut) = gates.split_at(count);
    let mut total = simd.splat(0.0);
    let sums = normal.iter_mut().zip(&mut *opens).zip(&*residual);
    for ((((sum, opened), residual), (value, gate)), channel) in
        sums.zip(values.iter().zip(shut)).zip(&net.channels)
    {
        let open = open(simd, simd.load(gate));
        simd.store(opened, open);
        let value = simd.fma(
            simd.load(value),
            open,
            normed(simd, net, channel, simd.load(residual)),
        );
        total = simd.add(total, value);
        simd.store(sum, value);
    }
    let rstd = normalise(simd, normal, total);
    (rstd, residual_rstd)
}

/// What the residual's norm, if there is one, makes of its normalised input.
#[inline(always)]
fn normed<S: Simd>(simd: S, net: &Weights, channel: &Channel, normal: S::V) -> S::V {
    if net.resampled {
        let norm = channel.residual_norm;
        simd.fma(normal, simd.splat(norm.scale), simd.splat(norm.shift))
    } else {
        normal
    }
}

/// The residual, normalised if it is resampled; the reciprocal of its deviation.
#[inline(always)]
fn residuals<S: Simd>(simd: S, net: &Weights, tile: Tile<'_>, residual: &mut [Lanes]) -> S::V {
    let mut total = simd.splat(0.0);
    for (residual, channel) in residual.iter_mut().zip(&net.channels) {
        let mut sum = simd.splat(channel.constant);
        for term in &channel.terms {
            let value = simd.load(&value(tile, term.source));
            sum = simd.fma(value, simd.splat(term.factor), sum);
        }
        simd.store(residual, sum);
        total = simd.add(total, sum);
    }
    if net.resampled {
        normalise(simd, residual, total)
    } else {
        simd.splat(1.0)
    }
}

/// The numbers that a term multiplies.
#[inline(always)]
pub(super) fn value(tile: Tile<'_>, source: Source) -> Lanes {
    match source {
        Source::Real(real, _) => tile.x[real],
        Source::Category(category, at) => {
            let mut value = ZERO;
            let embedding = &tile.categories[category];
            let classes = &tile.classes[category][..tile.lanes];
            for (value, class) in value.iter_mut().zip(classes) {
                *value = embedding.table[class * embedding.size + at];
            }
            value
        }
    }
}

/// Subtracts the mean and divides by the deviation, whose reciprocal it gives.
#[inline(always)]
fn normalise<S: Simd>(simd: S, values: &mut [Lanes], total: S::V) -> S::V {
    let (mean, rstd) = moments(simd, values, total);
    for value in values {
        let centred = simd.sub(simd.load(value), mean);
        simd.store(value, simd.mul(centred, rstd));
    }
    rstd
}

#[inline(always)]
fn forward_body<S: Simd>(
    simd: S,
    net: &Weights,
    inputs: Inputs<'_>,
    weights: &mut [Lanes],
    scratch: &mut WeightsScratch,
) {
    let count = net.channels.len();
    for (index, weights) in weights.chunks_exact_mut(count).enumerate() {
        let tile = inputs.tile(index, reals(net, inputs.categories));
        evaluate(simd, net, tile, 0, scratch);
        let mut most = simd.splat(f32::NEG_INFINITY);
        for ((weight, normal), channel) in
            weights.iter_mut().zip(&scratch.normal).zip(&net.channels)
        {
            let norm = channel.norm;
            let score = simd.fma(
                simd.load(normal),
                simd.splat(norm.scale),
                simd.splat(norm.shift),
            );
            most = simd.max(most, score);
            simd.store(weight, score);
        }
        let mut total = simd.splat(0.0);
        for weight in &mut *weights {
            let power = exp(simd, simd.sub(simd.load(weight), most));
            total = simd.add(total, power);
            simd.store(weight, power);
        }
        let factor = simd.recip(total);
        for weight in weights {
            let share = simd.mul(simd.load(weight), factor);
            simd.store(weight, share);
        }
    }
}
