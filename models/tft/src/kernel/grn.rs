//! The gated residual networks whose widths are all the same.

use std::ops::Range;

use super::gate::{Gate, GateGradient, GateTrace};
use super::linear::{Linear, LinearGradient, add_to};
use super::matrix::{gemm, gemm_tn, transpose};
use super::resize;
use super::simd::{add, elu_backward, elus};
use crate::network::grn::GrnSpec;
use crate::weights::Layout;

/// `norm(glu(fc2(elu(fc1(x) + context))) + x)`. Without dropout `fc2` and the gate's layer are one.
#[derive(Debug)]
pub(super) struct Grn {
    /// Weight and bias of the first layer, of the second, and of the gate's.
    places: [Range<usize>; 6],
    context_place: Option<Range<usize>>,
    first: Linear,
    /// From the context; without bias.
    context: Option<Linear>,
    /// What is folded into the gate: `fc2`'s weight and bias, the gate's weight.
    second: [Vec<f32>; 3],
    gate: Gate,
}

/// What a network did to a tile.
#[derive(Debug, Default)]
pub(super) struct GrnTrace {
    /// After the first layer's ELU.
    active: Vec<f32>,
    gate: GateTrace,
    d_active: Vec<f32>,
}

/// What a network learns.
#[derive(Debug)]
pub(super) struct GrnGradient {
    first: LinearGradient,
    context: Option<LinearGradient>,
    gate: GateGradient,
    spare: Vec<f32>,
}

impl Grn {
    pub(super) fn new(layout: &Layout, spec: &GrnSpec) -> Self {
        let (fc1, fc2, gate) = (spec.fc1, spec.tail.fc2, spec.tail.gate.linear);
        let places = [
            fc1.weight,
            fc1.bias,
            fc2.weight,
            fc2.bias,
            gate.weight,
            gate.bias,
        ];
        let places = places.map(|id| layout.range(id));
        let size = places[1].len();
        let context_place = spec.context.map(|id| layout.range(id));
        Self {
            first: Linear::new(size, size),
            context: context_place
                .as_ref()
                .map(|place| Linear::new(place.len() / size, size)),
            second: [2, 3, 4].map(|index| vec![0.0; places[index].len()]),
            gate: Gate::new(layout, &spec.tail.gate),
            places,
            context_place,
        }
    }

    fn size(&self) -> usize {
        self.first.output
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        let size = self.size();
        let [first, first_bias, weight, bias, gate, gate_bias] =
            self.places.clone().map(|place| &parameters[place]);
        self.first.weight.copy_from_slice(first);
        self.first.bias.copy_from_slice(first_bias);
        self.first.pack();
        if let (Some(linear), Some(place)) = (&mut self.context, &self.context_place) {
            linear.weight.copy_from_slice(&parameters[place.clone()]);
            linear.pack();
        }
        for (own, given) in self.second.iter_mut().zip([weight, bias, gate]) {
            own.copy_from_slice(given);
        }
        let folded = &mut self.gate.linear;
        gemm(
            false,
            2 * size,
            size,
            size,
            gate,
            size,
            weight,
            size,
            &mut folded.weight,
            size,
        );
        folded.bias.copy_from_slice(gate_bias);
        gemm(
            true,
            2 * size,
            1,
            size,
            gate,
            size,
            bias,
            1,
            &mut folded.bias,
            1,
        );
        folded.pack();
        self.gate.bind_norm(parameters);
    }

    pub(super) fn gradient(&self) -> GrnGradient {
        GrnGradient {
            first: self.first.gradient(),
            context: self.context.as_ref().map(Linear::gradient),
            gate: self.gate.gradient(),
            spare: Vec::new(),
        }
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut GrnGradient, flat: &mut [f32]) {
        let size = self.size();
        add_to(flat, &self.places[0], &gradient.first.weight);
        add_to(flat, &self.places[1], &gradient.first.bias);
        gradient.first.clear();
        if let (Some(place), Some(context)) = (&self.context_place, &mut gradient.context) {
            add_to(flat, place, &context.weight);
            context.clear();
        }
        // The folded layer is gate · second: what it learned belongs to both.
        let [second, second_bias, gate] = &self.second;
        let LinearGradient { weight, bias } = &gradient.gate.linear;
        gemm_tn(
            2 * size,
            size,
            size,
            gate,
            size,
            weight,
            size,
            &mut flat[self.places[2].clone()],
            size,
        );
        gemm_tn(
            2 * size,
            1,
            size,
            gate,
            size,
            bias,
            1,
            &mut flat[self.places[3].clone()],
            1,
        );
        let spare = &mut gradient.spare;
        resize(spare, size * size);
        transpose(size, size, second, spare);
        let d_gate = &mut flat[self.places[4].clone()];
        gemm(
            true,
            2 * size,
            size,
            size,
            weight,
            size,
            spare,
            size,
            d_gate,
            size,
        );
        gemm(
            true,
            2 * size,
            size,
            1,
            bias,
            1,
            second_bias,
            size,
            d_gate,
            size,
        );
        add_to(flat, &self.places[5], bias);
        gradient.gate.linear.clear();
        self.gate.collect_norm(&mut gradient.gate, flat);
    }

    /// The context as the first layer adds it, `[n, size]`.
    pub(super) fn project(&self, context: &[f32], projected: &mut [f32]) {
        if let Some(linear) = &self.context {
            linear.forward(context, projected);
        }
    }

    /// Derivatives of [`Self::project`]; that by the context is added to `d_context`.
    pub(super) fn project_backward(
        &self,
        context: &[f32],
        d_projected: &[f32],
        d_context: &mut [f32],
        gradient: &mut GrnGradient,
    ) {
        if let (Some(linear), Some(gradient)) = (&self.context, &mut gradient.context) {
            linear.backward(true, d_projected, d_context);
            linear.learn(context, d_projected, gradient);
        }
    }

    /// `out [rows, size]` from `x [rows, size]` and, where there is a context, its projection `[n, size]`, of which a
    /// tile's row `r` takes row `r % n`.
    pub(super) fn forward(
        &self,
        x: &[f32],
        projected: Option<&[f32]>,
        trace: &mut GrnTrace,
        out: &mut [f32],
    ) {
        let active = &mut trace.active;
        resize(active, out.len());
        match projected {
            None => self.first.forward(x, active),
            // The projection was made with the bias of nothing; the first layer's own comes with it here.
            Some(projected) => {
                self.first.forward(x, active);
                for step in active.chunks_exact_mut(projected.len()) {
                    add(step, projected);
                }
            }
        }
        elus(active);
        self.gate.forward(active, x, &mut trace.gate, out);
    }

    /// `d` comes as the derivative by the output and leaves as that by `x`; that by the projected context is added to
    /// `d_projected`.
    pub(super) fn backward(
        &self,
        x: &[f32],
        trace: &mut GrnTrace,
        d: &mut [f32],
        d_projected: Option<&mut [f32]>,
        gradient: &mut GrnGradient,
    ) {
        let GrnTrace {
            active,
            gate,
            d_active,
        } = trace;
        resize(d_active, active.len());
        self.gate
            .backward(active, gate, d, (false, d_active), &mut gradient.gate);
        elu_backward(active, d_active);
        if let Some(sums) = d_projected {
            for step in d_active.chunks_exact(sums.len()) {
                add(sums, step);
            }
        }
        self.first.backward(true, d_active, d);
        self.first.learn(x, d_active, &mut gradient.first);
    }
}
