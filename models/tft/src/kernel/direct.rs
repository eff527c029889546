//! The direct path of every target, for a tile of decoder rows: see [`crate::network::direct`].

use std::ops::Range;

use super::blend::{blend, blend_backward, simple_forecasts};
use super::direct_batch::{DirectBatch, TileRows};
use super::linear::{Linear, LinearGradient, add_to};
use super::resize;
use super::simd::{add, elu_backward, elus, layer_norm, layer_norm_backward};
use super::word::{gate, gate_backward};
use crate::direct_inputs::{STEP_INPUTS, TIME_INPUTS, WINDOW_INPUTS};
use crate::network::direct::DirectSpec;
use crate::simple_forecasts::SIMPLE_FORECASTS;
use crate::weights::{BlockId, Layout};

/// The direct paths of all targets.
#[derive(Debug)]
pub(super) struct Direct {
    places: Places,
    targets: Vec<Path>,
    width: usize,
    outputs: usize,
}

/// Where the stacked blocks lie.
#[derive(Debug)]
struct Places {
    /// Step, window, time and context weights.
    inputs: [Range<usize>; 4],
    bias: Range<usize>,
    /// Norm, first and second layer of each block, weight before bias.
    blocks: Vec<[Range<usize>; 6]>,
    /// Of the outputs and the gate.
    output: Range<usize>,
    blend: Range<usize>,
}

/// One target's network.
#[derive(Debug)]
struct Path {
    step: Linear,
    /// Its bias is the path's.
    window: Linear,
    time: Linear,
    context: Linear,
    blocks: Vec<Block>,
    output: Linear,
    blend: Linear,
}

#[derive(Debug)]
struct Block {
    scale: Vec<f32>,
    shift: Vec<f32>,
    first: Linear,
    second: Linear,
}

/// What happened to a tile, and working memory.
#[derive(Debug, Default)]
pub(super) struct DirectTrace {
    /// What the windows' inputs come to, `[m, n, s]`, bias included; the same for all tiles of a chunk.
    of_windows: Vec<f32>,
    d_of_windows: Vec<f32>,
    paths: Vec<PathTrace>,
    z: Vec<f32>,
    d_word: Vec<f32>,
    /// Of the simple forecasts, and the derivatives by them and by the logits of their weights.
    averages: Vec<f32>,
    gates: Vec<f32>,
    d_logits: Vec<f32>,
    d: Vec<f32>,
    d_inner: Vec<f32>,
    d_normal: Vec<f32>,
}

#[derive(Debug, Default)]
struct PathTrace {
    blocks: Vec<BlockTrace>,
    /// What the output layer reads, `[rows, s]`.
    last: Vec<f32>,
    /// `[rows, SIMPLE_FORECASTS]`, and their weights.
    simple: Vec<f32>,
    weights: Vec<f32>,
    /// The network's own word and the gate that it passes, `[rows, outputs + 1]`.
    word: Vec<f32>,
}

#[derive(Debug, Default)]
struct BlockTrace {
    normal: Vec<f32>,
    rstd: Vec<f32>,
    /// After scale and shift.
    scaled: Vec<f32>,
    /// After the first layer's unit.
    inner: Vec<f32>,
}

/// What the direct paths learn.
#[derive(Debug)]
pub(super) struct DirectGradient {
    targets: Vec<PathGradient>,
}

#[derive(Debug)]
struct PathGradient {
    step: LinearGradient,
    window: LinearGradient,
    time: LinearGradient,
    context: LinearGradient,
    blocks: Vec<BlockGradient>,
    output: LinearGradient,
    blend: LinearGradient,
}

#[derive(Debug)]
struct BlockGradient {
    scale: Vec<f32>,
    shift: Vec<f32>,
    first: LinearGradient,
    second: LinearGradient,
}

/// Target `target`'s part of a stacked block.
fn own(place: &Range<usize>, target: usize, targets: usize) -> Range<usize> {
    let len = place.len() / targets;
    let start = place.start + target * len;
    start..start + len
}

impl Direct {
    pub(super) fn new(layout: &Layout, spec: &DirectSpec, targets: usize) -> Self {
        let range = |id: BlockId| layout.range(id);
        let block = |block: &crate::network::direct::BlockSpec| {
            let [[a, b], [c, d], [e, f]] = [block.norm, block.first, block.second];
            [a, b, c, d, e, f].map(range)
        };
        let places = Places {
            inputs: [spec.step, spec.window, spec.time, spec.context].map(range),
            bias: range(spec.bias),
            blocks: spec.blocks.iter().map(block).collect(),
            output: range(spec.output),
            blend: range(spec.blend),
        };
        let width = places.bias.len() / targets;
        let outputs = places.output.len() / (targets * width) - 1;
        let context = places.inputs[3].len() / (targets * width);
        let path = |_| Path {
            step: Linear::new(STEP_INPUTS, width),
            window: Linear::new(WINDOW_INPUTS, width),
            time: Linear::new(TIME_INPUTS, width),
            context: Linear::new(context, width),
            blocks: places
                .blocks
                .iter()
                .map(|_| Block {
                    scale: vec![0.0; width],
                    shift: vec![0.0; width],
                    first: Linear::new(width, width),
                    second: Linear::new(width, width),
                })
                .collect(),
            output: Linear::new(width, outputs + 1),
            blend: Linear::new(width, SIMPLE_FORECASTS),
        };
        Self {
            targets: (0..targets).map(path).collect(),
            places,
            width,
            outputs,
        }
    }

    pub(super) fn bind(&mut self, parameters: &[f32]) {
        let count = self.targets.len();
        for (target, path) in self.targets.iter_mut().enumerate() {
            let of = |place: &Range<usize>| &parameters[own(place, target, count)];
            let layers = [
                &mut path.step,
                &mut path.window,
                &mut path.time,
                &mut path.context,
            ];
            for (layer, place) in layers.into_iter().zip(&self.places.inputs) {
                layer.weight.copy_from_slice(of(place));
                layer.pack();
            }
            path.window.bias.copy_from_slice(of(&self.places.bias));
            for (block, places) in path.blocks.iter_mut().zip(&self.places.blocks) {
                let [scale, shift, first, first_bias, second, second_bias] = places;
                block.scale.copy_from_slice(of(scale));
                block.shift.copy_from_slice(of(shift));
                block.first.weight.copy_from_slice(of(first));
                block.first.bias.copy_from_slice(of(first_bias));
                block.first.pack();
                block.second.weight.copy_from_slice(of(second));
                block.second.bias.copy_from_slice(of(second_bias));
                block.second.pack();
            }
            path.output.weight.copy_from_slice(of(&self.places.output));
            path.output.pack();
            path.blend.weight.copy_from_slice(of(&self.places.blend));
            path.blend.pack();
        }
    }

    /// Reads the inputs that a window has once; before its tiles.
    pub(super) fn begin(&self, batch: &DirectBatch, windows: usize, trace: &mut DirectTrace) {
        let size = windows * self.width;
        resize(&mut trace.of_windows, self.targets.len() * size);
        resize(&mut trace.d_of_windows, self.targets.len() * size);
        trace.d_of_windows.fill(0.0);
        let outs = trace.of_windows.chunks_exact_mut(size);
        let inputs = batch.window.chunks_exact(windows * WINDOW_INPUTS);
        for ((path, out), x) in self.targets.iter().zip(outs).zip(inputs) {
            path.window.forward(x, out);
        }
        trace
            .paths
            .resize_with(self.targets.len(), PathTrace::default);
        for path in &mut trace.paths {
            path.blocks
                .resize_with(self.places.blocks.len(), BlockTrace::default);
        }
    }

    /// Makes the outputs `raw [rows, m · outputs]` of a tile's output layers those of the network, given the decoder's
    /// output `out [rows, h]`.
    pub(super) fn forward(
        &self,
        batch: &DirectBatch,
        tile: &TileRows,
        out: &[f32],
        trace: &mut DirectTrace,
        raw: &mut [f32],
    ) {
        let (rows, s) = (tile.rows(), self.width);
        let time = &batch.time[rows.start * TIME_INPUTS..rows.end * TIME_INPUTS];
        let row = self.targets.len() * self.outputs;
        resize(&mut trace.z, rows.len() * s);
        resize(&mut trace.averages, rows.len());
        let of_windows = trace.of_windows.chunks_exact(tile.windows * s);
        let paths = self.targets.iter().zip(&mut trace.paths).zip(of_windows);
        for (target, ((path, own), of_windows)) in paths.enumerate() {
            let z = &mut trace.z;
            for step in z.chunks_exact_mut(of_windows.len()) {
                step.copy_from_slice(of_windows);
            }
            path.step.add(tile.inputs(batch, target).0, z);
            path.time.add(time, z);
            path.context.add(out, z);
            for (block, saved) in path.blocks.iter().zip(&mut own.blocks) {
                saved.normal.clear();
                saved.normal.extend_from_slice(z);
                resize(&mut saved.scaled, z.len());
                resize(&mut saved.inner, z.len());
                resize(&mut saved.rstd, rows.len());
                let Block { scale, shift, .. } = block;
                let BlockTrace {
                    normal,
                    rstd,
                    scaled,
                    inner,
                } = saved;
                layer_norm(normal, scale, shift, scaled, rstd);
                block.first.forward(scaled, inner);
                elus(inner);
                block.second.add(inner, z);
                super::simd::add_bias(z, &block.second.bias);
            }
            own.last.clear();
            own.last.extend_from_slice(z);
            elus(&mut own.last);
            resize(&mut own.word, rows.len() * (self.outputs + 1));
            path.output.forward(&own.last, &mut own.word);
            let (step, window) = tile.inputs(batch, target);
            resize(&mut own.simple, rows.len() * SIMPLE_FORECASTS);
            resize(&mut own.weights, rows.len() * SIMPLE_FORECASTS);
            simple_forecasts(step, window, &mut own.simple);
            path.blend.forward(&own.last, &mut own.weights);
            blend(&own.simple, &mut own.weights, &mut trace.averages);
            let first = target * self.outputs;
            let outputs = raw
                .chunks_exact_mut(row)
                .map(|row| &mut row[first..first + self.outputs]);
            gate(&mut own.word, &trace.averages, &mut trace.gates, outputs);
        }
    }

    /// The derivatives of the [`Self::forward`] that `trace` is from; that by `out` is added to `d_out`, and `d_raw`
    /// becomes that by the output layers.
    pub(super) fn backward(
        &self,
        batch: &DirectBatch,
        tile: &TileRows,
        (out, d_out): (&[f32], &mut [f32]),
        trace: &mut DirectTrace,
        d_raw: &mut [f32],
        gradient: &mut DirectGradient,
    ) {
        let (rows, s) = (tile.rows(), self.width);
        let time = &batch.time[rows.start * TIME_INPUTS..rows.end * TIME_INPUTS];
        let row = self.targets.len() * self.outputs;
        for buffer in [&mut trace.d, &mut trace.d_inner, &mut trace.d_normal] {
            resize(buffer, rows.len() * s);
        }
        let DirectTrace {
            d,
            d_inner,
            d_normal,
            d_word,
            averages: d_averages,
            d_logits,
            ..
        } = trace;
        resize(d_logits, rows.len() * SIMPLE_FORECASTS);
        let sums = trace.d_of_windows.chunks_exact_mut(tile.windows * s);
        let paths = self.targets.iter().zip(&mut trace.paths).zip(sums);
        for (target, ((path, own), sums)) in paths.enumerate() {
            let learned = &mut gradient.targets[target];
            let first = target * self.outputs;
            resize(d_word, own.word.len());
            let words = own.word.chunks_exact(self.outputs + 1);
            let derivatives = d_word
                .chunks_exact_mut(self.outputs + 1)
                .zip(&mut *d_averages);
            for ((row, word), (d_word, d_average)) in
                d_raw.chunks_exact_mut(row).zip(words).zip(derivatives)
            {
                let d_out = &mut row[first..first + self.outputs];
                *d_average = d_out.iter().sum();
                gate_backward(word, d_out, d_word);
            }
            path.output.backward(false, d_word, d);
            path.output.learn(&own.last, d_word, &mut learned.output);
            blend_backward(&own.simple, &own.weights, d_averages, d_logits);
            path.blend.backward(true, d_logits, d);
            path.blend.learn(&own.last, d_logits, &mut learned.blend);
            elu_backward(&own.last, d);
            let blocks = path.blocks.iter().zip(&own.blocks).zip(&mut learned.blocks);
            for ((block, saved), learned) in blocks.rev() {
                block.second.backward(false, d, d_inner);
                block.second.learn(&saved.inner, d, &mut learned.second);
                elu_backward(&saved.inner, d_inner);
                block.first.backward(false, d_inner, d_normal);
                block
                    .first
                    .learn(&saved.scaled, d_inner, &mut learned.first);
                let (d_scale, d_shift) = (&mut learned.scale, &mut learned.shift);
                layer_norm_backward(
                    &saved.normal,
                    &saved.rstd,
                    &block.scale,
                    d_normal,
                    d_scale,
                    d_shift,
                );
                add(d, d_normal);
            }
            path.context.backward(true, d, d_out);
            path.context.learn(out, d, &mut learned.context);
            path.time.learn(time, d, &mut learned.time);
            path.step
                .learn(tile.inputs(batch, target).0, d, &mut learned.step);
            for step in d.chunks_exact(sums.len()) {
                add(sums, step);
            }
        }
    }

    /// Learns from the windows' inputs; after the last tile.
    pub(super) fn end(
        &self,
        batch: &DirectBatch,
        windows: usize,
        trace: &DirectTrace,
        gradient: &mut DirectGradient,
    ) {
        let inputs = batch.window.chunks_exact(windows * WINDOW_INPUTS);
        let sums = trace.d_of_windows.chunks_exact(windows * self.width);
        let paths = self.targets.iter().zip(&mut gradient.targets);
        for ((path, learned), (x, d)) in paths.zip(inputs.zip(sums)) {
            path.window.learn(x, d, &mut learned.window);
        }
    }

    pub(super) fn gradient(&self) -> DirectGradient {
        let path = |path: &Path| PathGradient {
            step: path.step.gradient(),
            window: path.window.gradient(),
            time: path.time.gradient(),
            context: path.context.gradient(),
            blocks: path
                .blocks
                .iter()
                .map(|block| BlockGradient {
                    scale: vec![0.0; self.width],
                    shift: vec![0.0; self.width],
                    first: block.first.gradient(),
                    second: block.second.gradient(),
                })
                .collect(),
            output: path.output.gradient(),
            blend: path.blend.gradient(),
        };
        DirectGradient {
            targets: self.targets.iter().map(path).collect(),
        }
    }

    /// Adds what was learned to the flat gradient and forgets it.
    pub(super) fn collect(&self, gradient: &mut DirectGradient, flat: &mut [f32]) {
        let count = self.targets.len();
        for (target, learned) in gradient.targets.iter_mut().enumerate() {
            let mut give = |place: &Range<usize>, values: &mut Vec<f32>| {
                add_to(flat, &own(place, target, count), values);
                values.fill(0.0);
            };
            let inputs = [
                &mut learned.step,
                &mut learned.window,
                &mut learned.time,
                &mut learned.context,
            ];
            for (layer, place) in inputs.into_iter().zip(&self.places.inputs) {
                give(place, &mut layer.weight);
            }
            give(&self.places.bias, &mut learned.window.bias);
            for layer in [&mut learned.step, &mut learned.time, &mut learned.context] {
                layer.bias.fill(0.0);
            }
            for (block, places) in learned.blocks.iter_mut().zip(&self.places.blocks) {
                let lists = [
                    &mut block.scale,
                    &mut block.shift,
                    &mut block.first.weight,
                    &mut block.first.bias,
                    &mut block.second.weight,
                    &mut block.second.bias,
                ];
                for (place, values) in places.iter().zip(lists) {
                    give(place, values);
                }
            }
            give(&self.places.output, &mut learned.output.weight);
            give(&self.places.blend, &mut learned.blend.weight);
            for layer in [&mut learned.output, &mut learned.blend] {
                layer.bias.fill(0.0);
            }
        }
    }
}
