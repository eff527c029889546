//! A linear layer over rows, and what it learns.

use super::matrix::{gemm, gemm_tn, transpose};
use super::simd::column_sums;

/// `x · weightᵀ + bias`.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub(super) input: usize,
    pub(super) output: usize,
    /// `[output, input]`.
    pub(super) weight: Vec<f32>,
    /// `[input, output]`, as the forward product reads it.
    packed: Vec<f32>,
    /// `[output]`, zeros for a layer without bias.
    pub(super) bias: Vec<f32>,
}

/// Sums of derivatives by a linear layer's parameters.
#[derive(Debug, Clone)]
pub(super) struct LinearGradient {
    /// `[output, input]`.
    pub(super) weight: Vec<f32>,
    /// `[output]`.
    pub(super) bias: Vec<f32>,
}

impl Linear {
    /// A layer of zeros.
    pub(super) fn new(input: usize, output: usize) -> Self {
        Self {
            input,
            output,
            weight: vec![0.0; output * input],
            packed: vec![0.0; output * input],
            bias: vec![0.0; output],
        }
    }

    /// Makes `weight` and `bias`, which the caller changed, known to the products.
    pub(super) fn pack(&mut self) {
        transpose(self.output, self.input, &self.weight, &mut self.packed);
    }

    /// `out [rows, output]` from `x [rows, input]`.
    pub(super) fn forward(&self, x: &[f32], out: &mut [f32]) {
        for row in out.chunks_exact_mut(self.output) {
            row.copy_from_slice(&self.bias);
        }
        self.add(x, out);
    }

    /// Adds `x · weightᵀ` to `out`.
    pub(super) fn add(&self, x: &[f32], out: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        let rows = out.len() / output;
        gemm(
            true,
            rows,
            output,
            input,
            x,
            input,
            &self.packed,
            output,
            out,
            output,
        );
    }

    /// The derivative by `x`, added to `d_x` or in its place.
    pub(super) fn backward(&self, add: bool, d_out: &[f32], d_x: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        let rows = d_out.len() / output;
        gemm(
            add,
            rows,
            input,
            output,
            d_out,
            output,
            &self.weight,
            input,
            d_x,
            input,
        );
    }

    /// A place for what is learned.
    pub(super) fn gradient(&self) -> LinearGradient {
        LinearGradient {
            weight: vec![0.0; self.weight.len()],
            bias: vec![0.0; self.bias.len()],
        }
    }

    /// Adds the derivatives by weight and bias.
    pub(super) fn learn(&self, x: &[f32], d_out: &[f32], gradient: &mut LinearGradient) {
        let (input, output) = (self.input, self.output);
        let rows = d_out.len() / output;
        gemm_tn(
            rows,
            input,
            output,
            d_out,
            output,
            x,
            input,
            &mut gradient.weight,
            input,
        );
        column_sums(d_out, &mut gradient.bias);
    }
}

impl LinearGradient {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.weight.fill(0.0);
        self.bias.fill(0.0);
    }
}

/// Adds derivatives to their place in the flat gradient.
pub(super) fn add_to(flat: &mut [f32], place: &std::ops::Range<usize>, values: &[f32]) {
    for (sum, value) in flat[place.clone()].iter_mut().zip(values) {
        *sum += value;
    }
}
