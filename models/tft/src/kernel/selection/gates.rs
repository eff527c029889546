//! Second layer and gated linear unit of a network, as one folded product.

use super::places::{LinearPlace, Places, add_to, copy};
use super::tile::{GATE_SCALE, Packed};
use crate::kernel::matrix::{gemm, gemm_tn, transpose};

/// `gate · (fc2 · a + b) + c`, from the first layer's activations `a` to values and gates.
#[derive(Debug)]
pub(super) struct Gates {
    /// Width of both layers' inputs.
    inner: usize,
    /// Number of values, and of gates.
    channels: usize,
    fc2_place: LinearPlace,
    gate_place: LinearPlace,
    fc2: Vec<f32>,
    fc2_bias: Vec<f32>,
    gate: Vec<f32>,
    bias: Vec<f32>,
    /// The folded product, `[2 channels, inner]`; the gates are times [`GATE_SCALE`].
    pub(super) matrix: Packed,
    /// `matrix`, transposed.
    pub(super) turned: Packed,
}

impl Gates {
    /// The layers of the gated residual network `prefix`, not bound to parameters yet.
    pub(super) fn new(
        places: &Places<'_>,
        prefix: &str,
        inner: usize,
        channels: usize,
    ) -> Result<Self, &'static str> {
        let gate = format!("{prefix}.gate_norm.glu.fc");
        Ok(Self {
            inner,
            channels,
            fc2_place: places.linear(&format!("{prefix}.fc2"), inner, inner)?,
            gate_place: places.linear(&gate, inner, 2 * channels)?,
            fc2: Vec::new(),
            fc2_bias: Vec::new(),
            gate: Vec::new(),
            matrix: Packed::default(),
            bias: Vec::new(),
            turned: Packed::default(),
        })
    }

    /// Folds the parameters.
    pub(super) fn bind(&mut self, params: &[f32]) {
        let (inner, rows) = (self.inner, 2 * self.channels);
        copy(params, &self.fc2_place.weight, &mut self.fc2);
        copy(params, &self.fc2_place.bias, &mut self.fc2_bias);
        copy(params, &self.gate_place.weight, &mut self.gate);
        copy(params, &self.gate_place.bias, &mut self.bias);
        let mut folded = vec![0.0; rows * inner];
        let (gate, fc2) = (&self.gate, &self.fc2);
        gemm(
            false,
            rows,
            inner,
            inner,
            gate,
            inner,
            fc2,
            inner,
            &mut folded,
            inner,
        );
        for (bias, gate) in self.bias.iter_mut().zip(self.gate.chunks_exact(inner)) {
            *bias += dot(gate, &self.fc2_bias);
        }
        let scaled = folded[self.channels * inner..].iter_mut();
        for value in scaled.chain(&mut self.bias[self.channels..]) {
            *value *= GATE_SCALE;
        }
        let cell = |row: usize, column: usize| folded[row * inner + column];
        self.matrix.pack((rows, inner), cell, |row| self.bias[row]);
        let turned = |row, column| cell(column, row);
        self.turned.pack((inner, rows), turned, |_| 0.0);
    }

    /// Adds the derivatives by the parameters to the flat gradient. `learned` is `[2 channels, inner + 1]`: those by
    /// `matrix` and, in the last column, `bias`.
    pub(super) fn unfold(&self, learned: &mut [f32], flat: &mut [f32]) {
        let (inner, rows, wide) = (self.inner, 2 * self.channels, self.inner + 1);
        for value in &mut learned[self.channels * wide..] {
            *value *= GATE_SCALE;
        }
        // The folded layer is gate · (fc2 | fc2_bias), its bias the last column.
        let mut second = vec![0.0; wide * inner];
        transpose(inner, inner, &self.fc2, &mut second[..inner * inner]);
        second[inner * inner..].copy_from_slice(&self.fc2_bias);
        let gate = &mut flat[self.gate_place.weight.clone()];
        gemm(
            true, rows, inner, wide, learned, wide, &second, inner, gate, inner,
        );
        let biases = &mut flat[self.gate_place.bias.clone()];
        for (bias, d) in biases.iter_mut().zip(learned.chunks_exact(wide)) {
            *bias += d[inner];
        }
        second.fill(0.0);
        gemm_tn(
            rows,
            wide,
            inner,
            &self.gate,
            inner,
            learned,
            wide,
            &mut second,
            wide,
        );
        for (row, d) in second.chunks_exact(wide).enumerate() {
            let start = self.fc2_place.weight.start + row * inner;
            add_to(flat, &(start..start + inner), &d[..inner]);
            flat[self.fc2_place.bias.start + row] += d[inner];
        }
    }
}

/// The inner product.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
