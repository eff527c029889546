//! Element-wise and row-wise functions on plain slices.
//!
//! Rows lie behind each other, `[rows, width]`; the number of rows follows from the slices' lengths.

use super::{LANES, Simd, dispatched, elu, sigmoid};

/// The vector that starts at `at`, with zeros past the slice's end.
#[inline(always)]
pub(in crate::kernel) fn get<S: Simd>(simd: S, from: &[f32], at: usize) -> S::V {
    match from[at..].first_chunk() {
        Some(lanes) => simd.load(lanes),
        None => simd.load_part(&from[at..]),
    }
}

/// Writes the vector that starts at `at`, up to the slice's end.
#[inline(always)]
pub(in crate::kernel) fn put<S: Simd>(simd: S, to: &mut [f32], at: usize, v: S::V) {
    match to[at..].first_chunk_mut() {
        Some(lanes) => simd.store(lanes, v),
        None => simd.store_part(&mut to[at..], v),
    }
}

/// Zeroes the lanes past the first `len`; sums and greatest values need it where a function of 0 is not 0.
#[inline(always)]
fn keep<S: Simd>(simd: S, v: S::V, len: usize) -> S::V {
    if len >= LANES {
        return v;
    }
    let mut lanes = [0f32; LANES];
    simd.store(&mut lanes, v);
    simd.load_part(&lanes[..len])
}

dispatched! {
    /// `x ← x` where positive, else `eˣ − 1`.
    pub(in crate::kernel) fn elus(x: &mut [f32]) = elus_body;
    /// `d ← d · elu′`, from the unit's output: its derivative is 1 where that is positive, else the output plus 1.
    pub(in crate::kernel) fn elu_backward(output: &[f32], d: &mut [f32]) = elu_backward_body;
    /// `x ← x + y`.
    pub(in crate::kernel) fn add(x: &mut [f32], y: &[f32]) = add_body;
    /// Adds `bias` to every row.
    pub(in crate::kernel) fn add_bias(x: &mut [f32], bias: &[f32]) = add_bias_body;
    /// `sums ← sums + ` the sum of the rows.
    pub(in crate::kernel) fn column_sums(x: &[f32], sums: &mut [f32]) = column_sums_body;
    /// Gated linear units: `out ← value · sigmoid(gate)`, plus `residual` if there is one. A row of `gates` is the
    /// `width` values, then the `width` gates; rows of the others are `width` long.
    pub(in crate::kernel) fn glu(
        width: usize, gates: &[f32], residual: Option<&[f32]>, out: &mut [f32]
    ) = glu_body;
    /// The derivative of [`glu`] for values and gates. That for the residual is `d_out` itself.
    pub(in crate::kernel) fn glu_backward(
        width: usize, gates: &[f32], d_out: &[f32], d_gates: &mut [f32]
    ) = glu_backward_body;
    /// Layer norm of rows as wide as `scale`: `x` turns into the normalised rows, `out` is those times `scale` plus
    /// `shift`, `rstd` (one a row) the reciprocal of the deviation. The backward pass wants `x` and `rstd`.
    pub(in crate::kernel) fn layer_norm(
        x: &mut [f32], scale: &[f32], shift: &[f32], out: &mut [f32], rstd: &mut [f32]
    ) = layer_norm_body;
    /// The derivative of [`layer_norm`]: `d` comes as that for the output and leaves as that for the input; those for
    /// scale and shift are added to `d_scale` and `d_shift`.
    pub(in crate::kernel) fn layer_norm_backward(
        normal: &[f32], rstd: &[f32], scale: &[f32], d: &mut [f32], d_scale: &mut [f32], d_shift: &mut [f32]
    ) = layer_norm_backward_body;
}

#[inline(always)]
fn elus_body<S: Simd>(simd: S, x: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        let v = elu(simd, get(simd, x, at));
        put(simd, x, at, v);
    }
}

/// The derivative of the exponential linear unit, from its output.
#[inline(always)]
pub(in crate::kernel) fn elu_slope<S: Simd>(simd: S, output: S::V) -> S::V {
    let one = simd.splat(1.0);
    simd.min(one, simd.add(output, one))
}

#[inline(always)]
fn elu_backward_body<S: Simd>(simd: S, output: &[f32], d: &mut [f32]) {
    let output = &output[..d.len()];
    for at in (0..d.len()).step_by(LANES) {
        let slope = elu_slope(simd, get(simd, output, at));
        let v = get(simd, d, at);
        put(simd, d, at, simd.mul(v, slope));
    }
}

#[inline(always)]
fn add_body<S: Simd>(simd: S, x: &mut [f32], y: &[f32]) {
    let y = &y[..x.len()];
    for at in (0..x.len()).step_by(LANES) {
        let v = simd.add(get(simd, x, at), get(simd, y, at));
        put(simd, x, at, v);
    }
}

#[inline(always)]
fn add_bias_body<S: Simd>(simd: S, x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        add_body(simd, row, bias);
    }
}

#[inline(always)]
fn column_sums_body<S: Simd>(simd: S, x: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    for at in (0..width).step_by(LANES) {
        let mut sum = get(simd, sums, at);
        for row in x.chunks_exact(width) {
            sum = simd.add(sum, get(simd, row, at));
        }
        put(simd, sums, at, sum);
    }
}

#[inline(always)]
fn glu_body<S: Simd>(
    simd: S,
    width: usize,
    gates: &[f32],
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    let rows = out
        .chunks_exact_mut(width)
        .zip(gates.chunks_exact(2 * width));
    for (index, (out, gates)) in rows.enumerate() {
        let (values, gates) = gates.split_at(width);
        for at in (0..width).step_by(LANES) {
            let (value, open) = (get(simd, values, at), sigmoid(simd, get(simd, gates, at)));
            let sum = match residual {
                Some(residual) => {
                    let residual = get(simd, &residual[index * width..][..width], at);
                    simd.fma(value, open, residual)
                }
                None => simd.mul(value, open),
            };
            put(simd, out, at, sum);
        }
    }
}

#[inline(always)]
fn glu_backward_body<S: Simd>(
    simd: S,
    width: usize,
    gates: &[f32],
    d_out: &[f32],
    d_gates: &mut [f32],
) {
    let rows = gates
        .chunks_exact(2 * width)
        .zip(d_gates.chunks_exact_mut(2 * width));
    for ((gates, d_gates), d_out) in rows.zip(d_out.chunks_exact(width)) {
        let (values, gates) = gates.split_at(width);
        let (d_values, d_gates) = d_gates.split_at_mut(width);
        for at in (0..width).step_by(LANES) {
            let (value, open) = (get(simd, values, at), sigmoid(simd, get(simd, gates, at)));
            let d_value = simd.mul(get(simd, d_out, at), open);
            put(simd, d_values, at, d_value);
            // sigmoid′ = open · (1 − open), and one `open` is in `d_value` already.
            let slope = simd.fnma(open, value, value);
            put(simd, d_gates, at, simd.mul(d_value, slope));
        }
    }
}

#[inline(always)]
fn layer_norm_body<S: Simd>(
    simd: S,
    x: &mut [f32],
    scale: &[f32],
    shift: &[f32],
    out: &mut [f32],
    rstd: &mut [f32],
) {
    let width = scale.len();
    let share = 1.0 / width as f32;
    let rows = x.chunks_exact_mut(width).zip(out.chunks_exact_mut(width));
    for ((x, out), rstd) in rows.zip(rstd) {
        let mut sum = simd.splat(0.0);
        for at in (0..width).step_by(LANES) {
            sum = simd.add(sum, get(simd, x, at));
        }
        let mean = simd.splat(simd.sum(sum) * share);
        let mut squares = simd.splat(0.0);
        for at in (0..width).step_by(LANES) {
            let centred = keep(simd, simd.sub(get(simd, x, at), mean), width - at);
            squares = simd.fma(centred, centred, squares);
        }
        let variance = simd.sum(squares) * share;
        *rstd = 1.0 / (variance + crate::network::NORM_EPS as f32).sqrt();
        let factor = simd.splat(*rstd);
        for at in (0..width).step_by(LANES) {
            let normal = simd.mul(simd.sub(get(simd, x, at), mean), factor);
            put(simd, x, at, normal);
            put(
                simd,
                out,
                at,
                simd.fma(normal, get(simd, scale, at), get(simd, shift, at)),
            );
        }
    }
}

#[inline(always)]
fn layer_norm_backward_body<S: Simd>(
    simd: S,
    normal: &[f32],
    rstd: &[f32],
    scale: &[f32],
    d: &mut [f32],
    d_scale: &mut [f32],
    d_shift: &mut [f32],
) {
    let width = scale.len();
    let share = simd.splat(-1.0 / width as f32);
    let rows = d.chunks_exact_mut(width).zip(normal.chunks_exact(width));
    for ((d, normal), rstd) in rows.zip(rstd) {
        let (mut sum, mut product) = (simd.splat(0.0), simd.splat(0.0));
        for at in (0..width).step_by(LANES) {
            let (own, normal) = (get(simd, d, at), get(simd, normal, at));
            let sums = simd.fma(own, normal, get(simd, d_scale, at));
            put(simd, d_scale, at, sums);
            let sums = simd.add(own, get(simd, d_shift, at));
            put(simd, d_shift, at, sums);
            let scaled = simd.mul(own, get(simd, scale, at));
            sum = simd.add(sum, scaled);
            product = simd.fma(scaled, normal, product);
        }
        let mean = simd.mul(simd.splat(simd.sum(sum)), share);
        let along = simd.mul(simd.splat(simd.sum(product)), share);
        let factor = simd.splat(*rstd);
        for at in (0..width).step_by(LANES) {
            let scaled = simd.fma(get(simd, d, at), get(simd, scale, at), mean);
            let rest = simd.fma(along, get(simd, normal, at), scaled);
            put(simd, d, at, simd.mul(rest, factor));
        }
    }
}
