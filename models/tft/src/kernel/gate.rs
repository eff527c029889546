//! Layer norm, and the gated linear unit with residual and norm that most parts of the network end in.

use std::ops::Range;

use super::linear::{Linear, LinearGradient, add_to};
use super::resize;
use super::simd::{glu, glu_backward, layer_norm, layer_norm_backward};
use crate::network::grn::{GateNormSpec, NormSpec};
use crate::weights::Layout;

/// Layer norm over rows.
#[derive(Debug)]
pub(super) struct Norm {
    places: [Range<usize>; 2],
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// `norm(glu(x) + residual)`; the linear layer in the gated unit is somebody else's to fill.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) linear: Linear,
    norm: Norm,
}

/// What a gate did to a tile.
#[derive(Debug, Default)]
pub(super) struct GateTrace {
    /// Values and gates, `[rows, 2 output]`; the backward pass leaves derivatives there.
    open: Vec<f32>,
    /// Normalised sums, `[rows, output]`.
    normal: Vec<f32>,
    /// `[rows]`.
    rstd: Vec<f32>,
    d_open: Vec<f32>,
}

/// What a gate learns.
#[derive(Debug)]
pub(super) struct GateGradient {
    pub(super) linear: LinearGradient,
    norm: [Vec<f32>; 2],
}

impl Norm {
    pub(super) fn new(layout: &Layout, spec: &NormSpec) -> Self {
        let places = [layout.range(spec.weight), layout.range(spec.bias)];
        let width = places[0].len();
        Self {
            places,
            scale: vec![0.0; width],
            shift: vec![0.0; width],
        }
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        self.scale
            .copy_from_slice(&parameters[self.places[0].clone()]);
        self.shift
            .copy_from_slice(&parameters[self.places[1].clone()]);
    }
}

impl Gate {
    pub(super) fn new(layout: &Layout, spec: &GateNormSpec) -> Self {
        let norm = Norm::new(layout, &spec.norm);
        let output = norm.scale.len();
        let input = layout.range(spec.linear.weight).len() / (2 * output);
        Self {
            linear: Linear::new(input, 2 * output),
            norm,
        }
    }

    /// Takes the norm; [`Self::linear`] must be filled and packed too.
    pub(super) fn bind_norm(&mut self, parameters: &[f32]) {
        self.norm.bind(parameters);
    }

    fn output(&self) -> usize {
        self.norm.scale.len()
    }

    pub(super) fn gradient(&self) -> GateGradient {
        GateGradient {
            linear: self.linear.gradient(),
            norm: [vec![0.0; self.output()], vec![0.0; self.output()]],
        }
    }

    /// Adds what the norm learned to the flat gradient and forgets it.
    pub(super) fn collect_norm(&self, gradient: &mut GateGradient, flat: &mut [f32]) {
        for (place, sums) in self.norm.places.iter().zip(&mut gradient.norm) {
            add_to(flat, place, sums);
            sums.fill(0.0);
        }
    }

    /// `out [rows, output]` from `x [rows, input]` and `residual [rows, output]`.
    pub(super) fn forward(
        &self,
        x: &[f32],
        residual: &[f32],
        trace: &mut GateTrace,
        out: &mut [f32],
    ) {
        let output = self.output();
        resize(&mut trace.open, 2 * out.len());
        resize(&mut trace.normal, out.len());
        resize(&mut trace.rstd, out.len() / output);
        self.linear.forward(x, &mut trace.open);
        glu(output, &trace.open, Some(residual), &mut trace.normal);
        let Norm { scale, shift, .. } = &self.norm;
        layer_norm(&mut trace.normal, scale, shift, out, &mut trace.rstd);
    }

    /// `d` comes as the derivative by the output and leaves as that by the residual; that by `x` goes to `d_x`, added
    /// or in its place.
    pub(super) fn backward(
        &self,
        x: &[f32],
        trace: &mut GateTrace,
        d: &mut [f32],
        (add, d_x): (bool, &mut [f32]),
        gradient: &mut GateGradient,
    ) {
        let [d_scale, d_shift] = &mut gradient.norm;
        let GateTrace {
            open,
            normal,
            rstd,
            d_open,
        } = trace;
        layer_norm_backward(normal, rstd, &self.norm.scale, d, d_scale, d_shift);
        resize(d_open, open.len());
        glu_backward(self.output(), open, d, d_open);
        self.linear.backward(add, d_open, d_x);
        self.linear.learn(x, d_open, &mut gradient.linear);
    }
}

/// A gate whose linear layer is a parameter of its own.
#[derive(Debug)]
pub(super) struct GateNorm {
    places: [Range<usize>; 2],
    pub(super) gate: Gate,
}

impl GateNorm {
    pub(super) fn new(layout: &Layout, spec: &GateNormSpec) -> Self {
        Self {
            places: [
                layout.range(spec.linear.weight),
                layout.range(spec.linear.bias),
            ],
            gate: Gate::new(layout, spec),
        }
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        let [weight, bias] = self.places.clone().map(|place| &parameters[place]);
        self.gate.linear.weight.copy_from_slice(weight);
        self.gate.linear.bias.copy_from_slice(bias);
        self.gate.linear.pack();
        self.gate.bind_norm(parameters);
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut GateGradient, flat: &mut [f32]) {
        add_to(flat, &self.places[0], &gradient.linear.weight);
        add_to(flat, &self.places[1], &gradient.linear.bias);
        gradient.linear.clear();
        self.gate.collect_norm(gradient, flat);
    }
}
