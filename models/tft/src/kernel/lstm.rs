//! The LSTMs: a product for a whole tile of steps, then one small product and the cells for each step.

use std::ops::Range;

use super::linear::{Linear, LinearGradient, add_to};
use super::matrix::gemm_tn;
use super::resize;
use super::simd::{LANES, Simd, add, dispatched, get, put, sigmoid, tanh};
use crate::network::sequence::LstmSpec;
use crate::weights::{BlockId, Layout};

/// A (possibly layered) LSTM.
#[derive(Debug)]
pub(super) struct Lstm(Vec<Layer>);

/// One layer. Gates are in torch's order: input, forget, candidate, output.
#[derive(Debug)]
struct Layer {
    size: usize,
    /// Input weights, hidden weights, input bias, hidden bias in the flat vector.
    places: [Range<usize>; 4],
    /// From the input to the gates, with both biases.
    input: Linear,
    /// From the hidden state to the gates.
    hidden: Linear,
}

/// What an LSTM learns.
#[derive(Debug)]
pub(super) struct LstmGradient(Vec<LayerGradient>);

#[derive(Debug)]
struct LayerGradient {
    input: LinearGradient,
    hidden: LinearGradient,
}

/// State of every layer, or derivatives by it.
#[derive(Debug, Default)]
pub(super) struct State(Vec<LayerState>);

/// Hidden and cell state, `[n, size]` each.
#[derive(Debug, Default)]
struct LayerState {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

/// What an LSTM did over some steps.
#[derive(Debug, Default)]
pub(super) struct Trace {
    layers: Vec<LayerTrace>,
    /// Derivative by what a layer reads from the one below.
    d_between: Vec<f32>,
}

/// What a layer did. Slot `s + 1` holds what step `s` left; slot 0 what was before.
#[derive(Debug, Default)]
struct LayerTrace {
    /// Gates after their functions, `[steps, n, 4 size]`; the backward pass leaves derivatives there.
    gates: Vec<f32>,
    /// `[steps + 1, n, size]`.
    cells: Vec<f32>,
    /// Outputs, `[steps + 1, n, size]`: zeros past a window's length.
    hidden: Vec<f32>,
    /// Floats of a slot: `n · size`.
    slot: usize,
    /// Derivative by the hidden state, before it is known which windows it is for.
    spare: Vec<f32>,
}

impl LayerTrace {
    fn begin(&mut self, steps: usize, state: &LayerState) {
        self.slot = state.hidden.len();
        resize(&mut self.gates, steps * self.slot * 4);
        resize(&mut self.cells, (steps + 1) * self.slot);
        resize(&mut self.hidden, (steps + 1) * self.slot);
        self.cells[..self.slot].copy_from_slice(&state.cell);
        self.hidden[..self.slot].copy_from_slice(&state.hidden);
    }

    fn wrap(&mut self, steps: usize) {
        let last = steps * self.slot..(steps + 1) * self.slot;
        self.cells.copy_within(last.clone(), 0);
        self.hidden.copy_within(last, 0);
    }

    /// Outputs of some steps, `[steps · n, size]`.
    fn outputs(&self, steps: Range<usize>) -> &[f32] {
        &self.hidden[(steps.start + 1) * self.slot..(steps.end + 1) * self.slot]
    }
}

impl Trace {
    /// Makes room for `steps` steps that start at `state`.
    pub(super) fn begin(&mut self, steps: usize, state: &State) {
        self.layers.resize_with(state.0.len(), LayerTrace::default);
        for (layer, state) in self.layers.iter_mut().zip(&state.0) {
            layer.begin(steps, state);
        }
    }

    /// Goes on at slot 0 with what the last of `steps` steps left.
    pub(super) fn wrap(&mut self, steps: usize) {
        self.layers.iter_mut().for_each(|layer| layer.wrap(steps));
    }

    /// Outputs of some steps, `[steps · n, size]`.
    pub(super) fn outputs(&self, steps: Range<usize>) -> &[f32] {
        self.layers.last().map_or(&[], |layer| layer.outputs(steps))
    }
}

impl State {
    /// The same for each layer.
    pub(super) fn start(&mut self, layers: usize, hidden: &[f32], cell: &[f32]) {
        self.0.resize_with(layers, LayerState::default);
        for layer in &mut self.0 {
            for (own, given) in [(&mut layer.hidden, hidden), (&mut layer.cell, cell)] {
                own.clear();
                own.extend_from_slice(given);
            }
        }
    }

    /// All zero, as derivatives start.
    pub(super) fn clear(&mut self) {
        for layer in &mut self.0 {
            layer.hidden.fill(0.0);
            layer.cell.fill(0.0);
        }
    }

    /// Adds the layers up.
    pub(super) fn sums(&self, hidden: &mut [f32], cell: &mut [f32]) {
        for layer in &self.0 {
            add(hidden, &layer.hidden);
            add(cell, &layer.cell);
        }
    }
}

impl Lstm {
    pub(super) fn new(layout: &Layout, spec: &LstmSpec, size: usize) -> Self {
        let layer = |blocks: &[BlockId; 4]| Layer {
            size,
            places: blocks.map(|block| layout.range(block)),
            input: Linear::new(size, 4 * size),
            hidden: Linear::new(size, 4 * size),
        };
        Self(spec.parameters.as_chunks().0.iter().map(layer).collect())
    }

    pub(super) fn layers(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        self.0.iter_mut().for_each(|layer| layer.bind(parameters));
    }

    pub(super) fn gradient(&self) -> LstmGradient {
        LstmGradient(self.0.iter().map(Layer::gradient).collect())
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut LstmGradient, flat: &mut [f32]) {
        for (layer, gradient) in self.0.iter().zip(&mut gradient.0) {
            layer.collect(gradient, flat);
        }
    }

    /// Runs the steps of `x [steps · n, size]`, which lie at `at` in the trace and of which the first is step `first`
    /// of the sequence. `state` takes each window's state after its last valid step.
    pub(super) fn forward(
        &self,
        x: &[f32],
        (at, first): (Range<usize>, usize),
        lengths: &[usize],
        trace: &mut Trace,
        state: &mut State,
    ) {
        for (index, (layer, state)) in self.0.iter().zip(&mut state.0).enumerate() {
            let (below, own) = trace.layers.split_at_mut(index);
            let x = below.last().map_or(x, |below| below.outputs(at.clone()));
            layer.forward(x, (at.clone(), first), lengths, &mut own[0], state);
        }
    }

    /// Walks the steps at `at`, which are those of the sequence too, backwards.
    ///
    /// `d_out` is the derivative by the outputs; `d_state`, by the state after the last of these steps, becomes that by
    /// the state before the first. The derivative by the input is added to `d_x`.
    #[expect(clippy::too_many_arguments, reason = "values in, derivatives out")]
    pub(super) fn backward(
        &self,
        x: &[f32],
        at: Range<usize>,
        lengths: &[usize],
        trace: &mut Trace,
        d_out: &mut [f32],
        d_state: &mut State,
        d_x: &mut [f32],
        gradient: &mut LstmGradient,
    ) {
        let Trace { layers, d_between } = trace;
        for (index, layer) in self.0.iter().enumerate().rev() {
            let (below, own) = layers.split_at_mut(index);
            let (state, learned) = (&mut d_state.0[index], &mut gradient.0[index]);
            let Some(below) = below.last() else {
                layer.backward(
                    x,
                    at.clone(),
                    lengths,
                    &mut own[0],
                    d_out,
                    state,
                    d_x,
                    learned,
                );
                continue;
            };
            resize(d_between, d_out.len());
            d_between.fill(0.0);
            let x = below.outputs(at.clone());
            layer.backward(
                x,
                at.clone(),
                lengths,
                &mut own[0],
                d_out,
                state,
                d_between,
                learned,
            );
            d_out.copy_from_slice(d_between);
        }
    }
}

impl Layer {
    fn bind(&mut self, parameters: &[f32]) {
        let [input, hidden, input_bias, hidden_bias] = self.places.clone().map(|p| &parameters[p]);
        self.input.weight.copy_from_slice(input);
        self.hidden.weight.copy_from_slice(hidden);
        for ((sum, a), b) in self.input.bias.iter_mut().zip(input_bias).zip(hidden_bias) {
            *sum = a + b;
        }
        self.input.pack();
        self.hidden.pack();
    }

    fn gradient(&self) -> LayerGradient {
        LayerGradient {
            input: self.input.gradient(),
            hidden: self.hidden.gradient(),
        }
    }

    fn collect(&self, gradient: &mut LayerGradient, flat: &mut [f32]) {
        let [input, hidden, input_bias, hidden_bias] = &self.places;
        add_to(flat, input, &gradient.input.weight);
        add_to(flat, hidden, &gradient.hidden.weight);
        add_to(flat, input_bias, &gradient.input.bias);
        add_to(flat, hidden_bias, &gradient.input.bias);
        gradient.input.clear();
        gradient.hidden.clear();
    }

    fn forward(
        &self,
        x: &[f32],
        (at, first): (Range<usize>, usize),
        lengths: &[usize],
        trace: &mut LayerTrace,
        state: &mut LayerState,
    ) {
        let (slot, size) = (trace.slot, self.size);
        let gates = &mut trace.gates[at.start * slot * 4..at.end * slot * 4];
        self.input.forward(x, gates);
        for (step, gates) in gates.chunks_exact_mut(slot * 4).enumerate() {
            let before = (at.start + step) * slot;
            let (old, new) = trace.hidden[before..before + 2 * slot].split_at_mut(slot);
            let (old_cells, new_cells) = trace.cells[before..before + 2 * slot].split_at_mut(slot);
            self.hidden.add(old, gates);
            step_forward(size, gates, old_cells, new_cells, new);
            for (window, length) in lengths.iter().enumerate() {
                let of_window = window * size..(window + 1) * size;
                if first + step + 1 == *length {
                    state.hidden[of_window.clone()].copy_from_slice(&new[of_window.clone()]);
                    state.cell[of_window.clone()].copy_from_slice(&new_cells[of_window]);
                } else if first + step >= *length {
                    new[of_window.clone()].fill(0.0);
                    new_cells[of_window].fill(0.0);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "values in, derivatives out")]
    fn backward(
        &self,
        x: &[f32],
        at: Range<usize>,
        lengths: &[usize],
        trace: &mut LayerTrace,
        d_out: &[f32],
        d_state: &mut LayerState,
        d_x: &mut [f32],
        gradient: &mut LayerGradient,
    ) {
        let (slot, size) = (trace.slot, self.size);
        let shortest = lengths.iter().copied().min().unwrap_or(0);
        resize(&mut trace.spare, slot);
        for step in at.clone().rev() {
            let gates = &mut trace.gates[step * slot * 4..(step + 1) * slot * 4];
            let (old_cells, new_cells) = trace.cells[step * slot..(step + 2) * slot].split_at(slot);
            let d_out = &d_out[(step - at.start) * slot..][..slot];
            let LayerState { hidden, cell } = &mut *d_state;
            if step < shortest {
                step_backward(size, gates, old_cells, new_cells, d_out, hidden, cell);
                self.hidden.backward(false, gates, hidden);
                continue;
            }
            for (window, length) in lengths.iter().enumerate() {
                let span = window * size..(window + 1) * size;
                let gates = &mut gates[window * size * 4..(window + 1) * size * 4];
                if step < *length {
                    let (old, new) = (&old_cells[span.clone()], &new_cells[span.clone()]);
                    let d_out = &d_out[span.clone()];
                    let (hidden, cell) = (&hidden[span.clone()], &mut cell[span]);
                    step_backward(size, gates, old, new, d_out, hidden, cell);
                } else {
                    gates.fill(0.0);
                }
            }
            self.hidden.backward(false, gates, &mut trace.spare);
            for (window, length) in lengths.iter().enumerate() {
                let span = window * size..(window + 1) * size;
                if step < *length {
                    hidden[span.clone()].copy_from_slice(&trace.spare[span]);
                }
            }
        }
        let d_gates = &trace.gates[at.start * slot * 4..at.end * slot * 4];
        let before = &trace.hidden[at.start * slot..at.end * slot];
        self.input.backward(true, d_gates, d_x);
        self.input.learn(x, d_gates, &mut gradient.input);
        let (rows, width) = (d_gates.len() / (4 * size), 4 * size);
        let weight = &mut gradient.hidden.weight;
        gemm_tn(
            rows, size, width, d_gates, width, before, size, weight, size,
        );
    }
}

dispatched! {
    /// The functions of one step: `gates [n, 4 size]` before and after them, cells and outputs `[n, size]`.
    fn step_forward(
        size: usize,
        gates: &mut [f32],
        old_cells: &[f32],
        new_cells: &mut [f32],
        out: &mut [f32],
    ) = forward_body;

    /// From the derivatives by outputs and state after a step to those by the gates before their functions, which
    /// take the gates' place, and by the cells before the step, which take the place of `d_cells`.
    fn step_backward(
        size: usize,
        gates: &mut [f32],
        old_cells: &[f32],
        new_cells: &[f32],
        d_out: &[f32],
        d_hidden: &[f32],
        d_cells: &mut [f32],
    ) = backward_body;
}

/// Cuts a row of gates in its four kinds.
#[inline(always)]
fn kinds(row: &mut [f32], size: usize) -> [&mut [f32]; 4] {
    let (input, rest) = row.split_at_mut(size);
    let (forget, rest) = rest.split_at_mut(size);
    let (candidate, output) = rest.split_at_mut(size);
    [input, forget, candidate, output]
}

#[inline(always)]
fn forward_body<S: Simd>(
    simd: S,
    size: usize,
    gates: &mut [f32],
    old_cells: &[f32],
    new_cells: &mut [f32],
    out: &mut [f32],
) {
    let states = old_cells
        .chunks_exact(size)
        .zip(new_cells.chunks_exact_mut(size))
        .zip(out.chunks_exact_mut(size));
    for (row, ((old, new), out)) in gates.chunks_exact_mut(4 * size).zip(states) {
        let [input, forget, candidate, output] = kinds(row, size);
        for at in (0..size).step_by(LANES) {
            let i = sigmoid(simd, get(simd, input, at));
            let f = sigmoid(simd, get(simd, forget, at));
            let g = tanh(simd, get(simd, candidate, at));
            let o = sigmoid(simd, get(simd, output, at));
            let cell = simd.fma(f, get(simd, old, at), simd.mul(i, g));
            put(simd, input, at, i);
            put(simd, forget, at, f);
            put(simd, candidate, at, g);
            put(simd, output, at, o);
            put(simd, new, at, cell);
            put(simd, out, at, simd.mul(o, tanh(simd, cell)));
        }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "values in, derivatives out")]
fn backward_body<S: Simd>(
    simd: S,
    size: usize,
    gates: &mut [f32],
    old_cells: &[f32],
    new_cells: &[f32],
    d_out: &[f32],
    d_hidden: &[f32],
    d_cells: &mut [f32],
) {
    let one = simd.splat(1.0);
    let states = old_cells
        .chunks_exact(size)
        .zip(new_cells.chunks_exact(size));
    let derivatives = d_out
        .chunks_exact(size)
        .zip(d_hidden.chunks_exact(size))
        .zip(d_cells.chunks_exact_mut(size));
    let rows = gates.chunks_exact_mut(4 * size);
    for ((row, (old, new)), ((d_out, d_hidden), d_cells)) in rows.zip(states).zip(derivatives) {
        let [input, forget, candidate, output] = kinds(row, size);
        for at in (0..size).step_by(LANES) {
            let (i, f) = (get(simd, input, at), get(simd, forget, at));
            let (g, o) = (get(simd, candidate, at), get(simd, output, at));
            let squashed = tanh(simd, get(simd, new, at));
            let d_h = simd.add(get(simd, d_out, at), get(simd, d_hidden, at));
            // tanh' = 1 − tanh², sigmoid' = s · (1 − s).
            let slope = simd.mul(o, simd.fnma(squashed, squashed, one));
            let d_c = simd.fma(d_h, slope, get(simd, d_cells, at));
            let d_i = simd.mul(simd.mul(d_c, g), simd.mul(i, simd.sub(one, i)));
            let d_f = simd.mul(
                simd.mul(d_c, get(simd, old, at)),
                simd.mul(f, simd.sub(one, f)),
            );
            let d_g = simd.mul(simd.mul(d_c, i), simd.fnma(g, g, one));
            let d_o = simd.mul(simd.mul(d_h, squashed), simd.mul(o, simd.sub(one, o)));
            put(simd, d_cells, at, simd.mul(d_c, f));
            put(simd, input, at, d_i);
            put(simd, forget, at, d_f);
            put(simd, candidate, at, d_g);
            put(simd, output, at, d_o);
        }
    }
}
