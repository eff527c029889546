//! Averages of simple forecasts, with weights of the network's: see [`crate::network::direct`].

use super::simd::{LANES, Lanes, Simd, dispatched, exp};
use crate::direct_inputs::{STEP_INPUTS, WINDOW_INPUTS};
use crate::simple_forecasts::{SIMPLE, SIMPLE_FORECASTS, Simple};

const _: () = assert!(SIMPLE_FORECASTS == LANES, "a row is one vector");

/// The simple forecasts of each row, `[rows, SIMPLE_FORECASTS]`; `step` is `[rows, STEP_INPUTS]`, and every row of
/// `window [n, WINDOW_INPUTS]` belongs to each `n`-th of them.
pub(super) fn simple_forecasts(step: &[f32], window: &[f32], out: &mut [f32]) {
    let of_window = |inputs: &[f32]| {
        let input = |input: Option<usize>| input.map_or(0.0, |input| inputs[input]);
        SIMPLE.map(|Simple { plus, minus, .. }| input(plus) - input(minus))
    };
    let windows: Vec<[f32; SIMPLE_FORECASTS]> =
        window.chunks_exact(WINDOW_INPUTS).map(of_window).collect();
    let rows = step.as_chunks::<STEP_INPUTS>().0.iter();
    let outs = out.as_chunks_mut::<SIMPLE_FORECASTS>().0.iter_mut();
    for ((inputs, out), window) in rows.zip(outs).zip(windows.iter().cycle()) {
        for ((out, simple), of_window) in out.iter_mut().zip(&SIMPLE).zip(window) {
            *out = of_window + simple.step.map_or(0.0, |input| inputs[input]);
        }
    }
}

dispatched! {
    /// Turns logits, a row of [`SIMPLE_FORECASTS`] each, into weights that add up to 1, and averages `simple` with them.
    pub(super) fn blend(simple: &[f32], weights: &mut [f32], averages: &mut [f32]) = blend_body;
    /// From the derivatives by the averages to those by the logits.
    pub(super) fn blend_backward(
        simple: &[f32], weights: &[f32], d_averages: &[f32], d_logits: &mut [f32]
    ) = blend_backward_body;
}

fn rows(of: &[f32]) -> &[Lanes] {
    of.as_chunks().0
}

#[inline(always)]
fn blend_body<S: Simd>(simd: S, simple: &[f32], weights: &mut [f32], averages: &mut [f32]) {
    let weights = weights.as_chunks_mut().0.iter_mut();
    for ((simple, weights), average) in rows(simple).iter().zip(weights).zip(averages) {
        let logits = simd.load(weights);
        let powers = exp(simd, simd.sub(logits, simd.splat(simd.greatest(logits))));
        let sum = simd.splat(simd.sum(powers));
        let shares = simd.mul(powers, simd.recip(sum));
        *average = simd.sum(simd.mul(shares, simd.load(simple)));
        simd.store(weights, shares);
    }
}

#[inline(always)]
fn blend_backward_body<S: Simd>(
    simd: S,
    simple: &[f32],
    weights: &[f32],
    d_averages: &[f32],
    d_logits: &mut [f32],
) {
    let outs = d_logits.as_chunks_mut().0.iter_mut().zip(d_averages);
    for ((simple, weights), (out, d)) in rows(simple).iter().zip(rows(weights)).zip(outs) {
        let (simple, weights) = (simd.load(simple), simd.load(weights));
        let average = simd.splat(simd.sum(simd.mul(weights, simple)));
        let d = simd.mul(weights, simd.splat(*d));
        simd.store(out, simd.mul(d, simd.sub(simple, average)));
    }
}
