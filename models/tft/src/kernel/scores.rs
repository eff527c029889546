//! From scores to attention weights, and back.

use super::simd::{LANES, Simd, dispatched, exp, get, put};

dispatched! {
    /// Softmax over the first `lengths[row]` of each row, zeros after them up to `most`. Their `share` is added to the
    /// mean, or starts it.
    pub(super) fn softmax_prefixes(
        stride: usize,
        most_share: (usize, f32),
        lengths: &[usize],
        scores: &mut [f32],
        mean: (bool, &mut [f32]),
    ) = softmax_body;

    /// From attention weights (in `of_head`) and the derivative by their mean to the derivative by the scores.
    pub(super) fn scores_backward(
        stride: usize,
        most: usize,
        share: f32,
        d_mean: &[f32],
        of_head: &mut [f32],
    ) = scores_backward_body;
}

#[inline(always)]
fn softmax_body<S: Simd>(
    simd: S,
    stride: usize,
    (most, share): (usize, f32),
    lengths: &[usize],
    scores: &mut [f32],
    (starts, mean): (bool, &mut [f32]),
) {
    let rows = scores
        .chunks_exact_mut(stride)
        .zip(mean.chunks_exact_mut(stride));
    for ((row, mean), length) in rows.zip(lengths) {
        let (row, mean) = (&mut row[..most], &mut mean[..most]);
        let (seen, hidden) = row.split_at_mut(*length);
        hidden.fill(0.0);
        let mut greatest = simd.splat(f32::NEG_INFINITY);
        let whole = seen.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            greatest = simd.max(greatest, get(simd, seen, at));
        }
        let rest = seen[whole..]
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let greatest = simd.splat(rest.max(simd.greatest(greatest)));
        let mut sum = simd.splat(0.0);
        for at in (0..whole).step_by(LANES) {
            let power = exp(simd, simd.sub(get(simd, seen, at), greatest));
            put(simd, seen, at, power);
            sum = simd.add(sum, power);
        }
        if whole < seen.len() {
            let power = exp(simd, simd.sub(get(simd, seen, whole), greatest));
            put(simd, seen, whole, power);
            sum = simd.add(sum, get(simd, seen, whole));
        }
        let factor = simd.splat(1.0 / simd.sum(sum));
        let share = simd.splat(share);
        for at in (0..most).step_by(LANES) {
            let weight = simd.mul(get(simd, row, at), factor);
            put(simd, row, at, weight);
            let sum = if starts {
                simd.mul(weight, share)
            } else {
                simd.fma(weight, share, get(simd, mean, at))
            };
            put(simd, mean, at, sum);
        }
    }
}

#[inline(always)]
fn scores_backward_body<S: Simd>(
    simd: S,
    stride: usize,
    most: usize,
    share: f32,
    d_mean: &[f32],
    of_head: &mut [f32],
) {
    let rows = of_head
        .chunks_exact_mut(stride)
        .zip(d_mean.chunks_exact(stride));
    let share = simd.splat(share);
    for (weights, d_mean) in rows {
        let (weights, d_mean) = (&mut weights[..most], &d_mean[..most]);
        let mut sum = simd.splat(0.0);
        for at in (0..most).step_by(LANES) {
            sum = simd.fma(get(simd, weights, at), get(simd, d_mean, at), sum);
        }
        let sum = simd.splat(simd.sum(sum));
        for at in (0..most).step_by(LANES) {
            let own = simd.mul(simd.sub(get(simd, d_mean, at), sum), share);
            let weight = get(simd, weights, at);
            put(simd, weights, at, simd.mul(weight, own));
        }
    }
}
