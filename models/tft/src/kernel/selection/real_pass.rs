//! A real variable's network, forward and backward, a tile at a time.

use super::real::{Channel, Real};
use super::tile::{Features, Lanes, ONES, ZERO, accumulate, open, outer, product};
use crate::kernel::simd::{Simd, dispatched, elu, elu_slope};
use crate::network::NORM_EPS;

/// Some tiles as the network of one variable sees them.
#[derive(Clone, Copy)]
pub(super) struct Column<'a> {
    /// Vectors from which on the variable's own are found, every `stride`.
    pub(super) values: &'a [Lanes],
    pub(super) stride: usize,
}

impl Column<'_> {
    fn at(&self, tile: usize) -> &Lanes {
        &self.values[tile * self.stride]
    }
}

/// Intermediate results of some tiles.
#[derive(Debug, Default)]
pub(super) struct RealScratch {
    /// Activations of the first layer and a row of ones, `[tile][inner + 1]`.
    active: Vec<Lanes>,
    /// The residual's coefficients and a row of ones, `[tile][3]`.
    coefficients: Vec<Lanes>,
    /// Values and gates; backward, derivatives by them and by the residual: `[tile][3 hidden]`.
    gates: Vec<Lanes>,
    /// The sum before the last layer norm, and how open the gates are; `[hidden]` of one tile.
    sum: Vec<Lanes>,
    open: Vec<Lanes>,
    /// Derivatives by the first layer's activations, `[inner]` of one tile.
    d_active: Vec<Lanes>,
}

impl RealScratch {
    /// Makes room for `tiles` tiles of networks up to `inner` and `hidden` wide.
    pub(super) fn reserve(&mut self, tiles: usize, inner: usize, hidden: usize) {
        grow(&mut self.active, tiles * (inner + 1));
        grow(&mut self.coefficients, tiles * 3);
        grow(&mut self.gates, tiles * 3 * hidden);
        grow(&mut self.sum, hidden);
        grow(&mut self.open, hidden);
        grow(&mut self.d_active, inner);
    }
}

/// Makes a buffer at least `len` long.
pub(super) fn grow(buffer: &mut Vec<Lanes>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, ZERO);
    }
}

/// What a variable's network learned, in its folded form.
#[derive(Debug, Default)]
pub(super) struct RealGradient {
    /// By `matrix` and, in the last column, `bias`: `[2 hidden, inner + 1]`.
    pub(super) matrix: Vec<f32>,
    /// By the channels' slope, offset and shift, `[hidden, 3]`.
    pub(super) residual: Vec<f32>,
    /// By the last norm's scale and shift, `[hidden]`.
    pub(super) norm: Vec<[f32; 2]>,
    /// By `slope` and `offset` of the first layer, `[inner]`.
    pub(super) first: Vec<[f32; 2]>,
    /// By the coefficients of the residual's variance.
    pub(super) variance: [f32; 3],
    lanes: Vec<Lanes>,
}

impl RealGradient {
    /// Forgets everything and takes the sizes of a network.
    pub(super) fn start(&mut self, net: &Real) {
        let (inner, hidden) = (net.inner, net.channels.len());
        self.matrix.clear();
        self.matrix.resize(2 * hidden * (inner + 1), 0.0);
        self.residual.clear();
        self.residual.resize(hidden * 3, 0.0);
        self.norm.clear();
        self.norm.resize(hidden, [0.0; 2]);
        self.first.clear();
        self.first.resize(inner, [0.0; 2]);
        self.variance = [0.0; 3];
        self.lanes.clear();
        self.lanes.resize(2 * hidden + 2 * inner + 3, ZERO);
    }

    /// Adds the lanes up.
    pub(super) fn finish(&mut self) {
        let sums = self.lanes.iter().map(|lanes| lanes.iter().sum::<f32>());
        let pairs = self.norm.iter_mut().chain(&mut self.first).flatten();
        pairs
            .chain(&mut self.variance)
            .zip(sums)
            .for_each(|(to, sum)| *to = sum);
    }
}

dispatched! {
    /// Adds the variable's output, times its weight, to `out`, `[tile][hidden]`.
    pub(super) fn forward(
        net: &Real, x: Column<'_>, weights: Option<Column<'_>>, out: &mut [Lanes], scratch: &mut RealScratch
    ) = forward_body;
    /// From the derivative by `out`, adds the ones by the parameters and writes the one by the weight, if there is
    /// one, into the vectors of `d_weights` at every `weights.stride`.
    pub(super) fn backward(
        net: &Real, x: Column<'_>, weights: Option<Column<'_>>, d_out: &[Lanes], d_weights: &mut [Lanes],
        scratch: &mut RealScratch, learned: &mut RealGradient
    ) = backward_body;
}

/// Coefficients of the residual and the reciprocal of its deviation; the latter is 0 where it does not depend on x.
#[inline(always)]
fn coefficients<S: Simd>(simd: S, net: &Real, x: &Lanes) -> (S::V, S::V) {
    let Some([quadratic, linear, constant]) = net.variance else {
        return (simd.load(x), simd.splat(1.0));
    };
    let mut variance = ZERO;
    for (variance, x) in variance.iter_mut().zip(x.iter()) {
        let x = f64::from(*x);
        // Rounding may leave a tiny negative number where the residual is constant.
        *variance = (((quadratic * x + linear) * x + constant).max(0.0) + NORM_EPS) as f32;
    }
    let inverse = simd.rsqrt(simd.load(&variance));
    (simd.mul(simd.load(x), inverse), inverse)
}

/// First layer and gates of a tile. `active` has `inner` vectors, `gates` `2 hidden`.
#[inline(always)]
fn layers<S: Simd>(simd: S, net: &Real, x: &Lanes, active: &mut [Lanes], gates: &mut [Lanes]) {
    let x = simd.load(x);
    let lines = net.slope.iter().zip(&net.offset);
    for (active, (slope, offset)) in active.iter_mut().zip(lines) {
        let first = simd.fma(x, simd.splat(*slope), simd.splat(*offset));
        simd.store(active, elu(simd, first));
    }
    product(simd, &net.gates.matrix, active, gates);
}

#[inline(always)]
fn residual<S: Simd>(simd: S, channel: &Channel, coefficients: (S::V, S::V)) -> S::V {
    let constant = simd.fma(
        coefficients.1,
        simd.splat(channel.offset),
        simd.splat(channel.shift),
    );
    simd.fma(coefficients.0, simd.splat(channel.slope), constant)
}

/// Mean and reciprocal deviation of some vectors, lane by lane, given their sum.
#[inline(always)]
pub(super) fn moments<S: Simd>(simd: S, values: &[Lanes], sum: S::V) -> (S::V, S::V) {
    let share = simd.splat(1.0 / values.len() as f32);
    let mean = simd.mul(sum, share);
    let mut squares = simd.splat(0.0);
    for value in values {
        let centred = simd.sub(simd.load(value), mean);
        squares = simd.fma(centred, centred, squares);
    }
    let variance = simd.fma(squares, share, simd.splat(NORM_EPS as f32));
    (mean, simd.rsqrt(variance))
}

#[inline(always)]
fn forward_body<S: Simd>(
    simd: S,
    net: &Real,
    x: Column<'_>,
    weights: Option<Column<'_>>,
    out: &mut [Lanes],
    scratch: &mut RealScratch,
) {
    let hidden = net.channels.len();
    let active = &mut scratch.active[..net.inner];
    let gates = &mut scratch.gates[..2 * hidden];
    let sums = &mut scratch.sum[..hidden];
    for (tile, out) in out.chunks_exact_mut(hidden).enumerate() {
        let x = x.at(tile);
        layers(simd, net, x, active, gates);
        let coefficients = coefficients(simd, net, x);
        let (values, gates) = gates.split_at(hidden);
        let mut total = simd.splat(0.0);
        for (((sum, value), gate), channel) in
            sums.iter_mut().zip(values).zip(gates).zip(&net.channels)
        {
            let open = open(simd, simd.load(gate));
            let value = simd.fma(
                simd.load(value),
                open,
                residual(simd, channel, coefficients),
            );
            total = simd.add(total, value);
            simd.store(sum, value);
        }
        let (mean, rstd) = moments(simd, sums, total);
        let weight = match weights {
            Some(weights) => simd.load(weights.at(tile)),
            None => simd.splat(1.0),
        };
        let factor = simd.mul(weight, rstd);
        let start = simd.mul(mean, factor);
        for ((out, sum), channel) in out.iter_mut().zip(&*sums).zip(&net.channels) {
            let normal = simd.sub(simd.mul(simd.load(sum), factor), start);
            let shifted = simd.fma(weight, simd.splat(channel.norm_shift), simd.load(out));
            simd.store(
                out,
                simd.fma(normal, simd.splat(channel.norm_scale), shifted),
            );
        }
    }
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "what goes in, what comes out, and room to work"
)]
fn backward_body<S: Simd>(
    simd: S,
    net: &Real,
    x: Column<'_>,
    weights: Option<Column<'_>>,
    d_out: &[Lanes],
    d_weights: &mut [Lanes],
    scratch: &mut RealScratch,
    learned: &mut RealGradient,
) {
    let (hidden, wide) = (net.channels.len(), net.inner + 1);
    let tiles = d_out.len() / hidden;
    for (tile, d_out) in d_out.chunks_exact(hidden).enumerate() {
        let weight = weights.map_or(simd.splat(1.0), |weights| simd.load(weights.at(tile)));
        let d_weight = backward_tile(simd, net, x.at(tile), weight, d_out, tile, scratch, learned);
        if let Some(weights) = weights {
            simd.store(&mut d_weights[tile * weights.stride], d_weight);
        }
    }
    let part = |values, stride, first, count| Features {
        values,
        stride,
        first,
        count,
    };
    let gates = part(&scratch.gates, 3 * hidden, 0, 2 * hidden);
    let active = part(&scratch.active, wide, 0, wide);
    outer(simd, tiles, gates, active, &mut learned.matrix);
    let residual = part(&scratch.gates, 3 * hidden, 2 * hidden, hidden);
    let coefficients = part(&scratch.coefficients, 3, 0, 3);
    outer(simd, tiles, residual, coefficients, &mut learned.residual);
}

/// One tile; gives the derivative by the weight. Leaves derivatives by gates and residual in the scratch space.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "what goes in, what comes out, and room to work"
)]
fn backward_tile<S: Simd>(
    simd: S,
    net: &Real,
    x: &Lanes,
    weight: S::V,
    d_out: &[Lanes],
    tile: usize,
    scratch: &mut RealScratch,
    learned: &mut RealGradient,
) -> S::V {
    let (inner, hidden) = (net.inner, net.channels.len());
    let active = &mut scratch.active[tile * (inner + 1)..][..inner + 1];
    let (active, ones) = active.split_at_mut(inner);
    ones[0] = ONES;
    let gates = &mut scratch.gates[tile * 3 * hidden..][..3 * hidden];
    let (gates, d_sums) = gates.split_at_mut(2 * hidden);
    let (sums, opens) = (&mut scratch.sum[..hidden], &mut scratch.open[..hidden]);
    layers(simd, net, x, active, gates);
    let coefficients = coefficients(simd, net, x);
    let stored = &mut scratch.coefficients[tile * 3..][..3];
    simd.store(&mut stored[0], coefficients.0);
    simd.store(&mut stored[1], coefficients.1);
    stored[2] = ONES;
    let (values, shut) = gates.split_at_mut(hidden);

    // Forward again, as far as the last norm.
    let mut total = simd.splat(0.0);
    for ((((sum, opened), value), gate), channel) in sums
        .iter_mut()
        .zip(&mut *opens)
        .zip(&*values)
        .zip(&*shut)
        .zip(&net.channels)
    {
        let open = open(simd, simd.load(gate));
        simd.store(opened, open);
        let value = simd.fma(
            simd.load(value),
            open,
            residual(simd, channel, coefficients),
        );
        total = simd.add(total, value);
        simd.store(sum, value);
    }
    let (mean, rstd) = moments(simd, sums, total);

    // The weight and the norm's parameters; what the norm's input needs.
    let (norm_lanes, lanes) = learned.lanes.split_at_mut(2 * hidden);
    let (mut plain, mut along, mut d_weight) = (simd.splat(0.0), simd.splat(0.0), simd.splat(0.0));
    for (((sum, d_out), channel), lanes) in sums
        .iter_mut()
        .zip(d_out)
        .zip(&net.channels)
        .zip(norm_lanes.as_chunks_mut::<2>().0)
    {
        let normal = simd.mul(simd.sub(simd.load(sum), mean), rstd);
        simd.store(sum, normal);
        let d_out = simd.load(d_out);
        let d_normal = simd.mul(d_out, simd.splat(channel.norm_scale));
        plain = simd.add(plain, d_normal);
        along = simd.fma(d_normal, normal, along);
        d_weight = simd.fma(d_out, simd.splat(channel.norm_shift), d_weight);
        let weighted = simd.mul(d_out, weight);
        let d_scale = simd.fma(weighted, normal, simd.load(&lanes[0]));
        simd.store(&mut lanes[0], d_scale);
        accumulate(simd, &mut lanes[1], weighted);
    }
    let d_weight = simd.add(d_weight, along);
    let factor = simd.mul(weight, rstd);
    let share = simd.mul(factor, simd.splat(1.0 / hidden as f32));
    let (plain, along) = (simd.mul(plain, share), simd.mul(along, share));

    // The norm's input: gates and residual.
    let log = simd.splat(1.0 / super::tile::GATE_SCALE);
    let (mut by_slope, mut by_offset) = (simd.splat(0.0), simd.splat(0.0));
    let gates = values.iter_mut().zip(shut).zip(d_sums);
    let norms = sums.iter().zip(&*opens).zip(d_out).zip(&net.channels);
    for (((value, gate), d_sum), (((normal, open), d_out), channel)) in gates.zip(norms) {
        let d_normal = simd.mul(simd.load(d_out), simd.splat(channel.norm_scale));
        let d = simd.fnma(
            simd.load(normal),
            along,
            simd.sub(simd.mul(d_normal, factor), plain),
        );
        simd.store(d_sum, d);
        by_slope = simd.fma(d, simd.splat(channel.slope), by_slope);
        by_offset = simd.fma(d, simd.splat(channel.offset), by_offset);
        let (open, held) = (simd.load(open), simd.load(value));
        let d_value = simd.mul(d, open);
        simd.store(value, d_value);
        let slope = simd.fnma(open, held, held);
        simd.store(gate, simd.mul(simd.mul(d_value, slope), log));
    }

    // The first layer.
    let x = simd.load(x);
    let d_active = &mut scratch.d_active[..inner];
    let d_gates = &scratch.gates[tile * 3 * hidden..][..2 * hidden];
    product(simd, &net.gates.turned, d_gates, d_active);
    let (first, variance) = lanes.split_at_mut(2 * inner);
    for ((d_active, active), lanes) in d_active
        .iter()
        .zip(&*active)
        .zip(first.as_chunks_mut::<2>().0)
    {
        let d_first = simd.mul(simd.load(d_active), elu_slope(simd, simd.load(active)));
        let d_slope = simd.fma(d_first, x, simd.load(&lanes[0]));
        simd.store(&mut lanes[0], d_slope);
        accumulate(simd, &mut lanes[1], d_first);
    }

    // The residual's deviation: d (v^-½) = -½ v^-3/2 dv.
    if net.variance.is_some() {
        let inverse = coefficients.1;
        let cube = simd.mul(
            simd.mul(inverse, inverse),
            simd.mul(inverse, simd.splat(-0.5)),
        );
        let d_variance = simd.mul(simd.fma(by_slope, x, by_offset), cube);
        let by_x = simd.mul(d_variance, x);
        accumulate(simd, &mut variance[0], simd.mul(by_x, x));
        accumulate(simd, &mut variance[1], by_x);
        accumulate(simd, &mut variance[2], d_variance);
    }
    d_weight
}
