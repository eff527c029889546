//! A categorical variable. It has no network, only a resampling norm, so its output is a table by category.

use std::ops::Range;

use super::places::{
    LinearPlace, Places, ResamplePlace, Tap, add_to, copy, double_sigmoid, double_sigmoid_slope,
    taps,
};
use super::tile::{Lanes, ZERO};
use crate::architecture::Embedding;
use crate::network::NORM_EPS;

/// A categorical variable.
#[derive(Debug)]
pub(super) struct Category {
    /// Its column among the category codes.
    pub(super) column: usize,
    /// Width of its embedding.
    pub(super) size: usize,
    pub(super) classes: usize,
    hidden: usize,
    table_place: Range<usize>,
    place: ResamplePlace,
    /// The first row is no parameter but the zero vector of "missing".
    zero_padding: bool,
    taps: Vec<Tap>,
    /// The embedding, `[classes, size]`.
    pub(super) table: Vec<f32>,
    mask: Vec<f32>,
    scale: Vec<f32>,
    /// Normalised rows, `[classes, hidden]`, and the reciprocals of their deviations.
    normal: Vec<f32>,
    rstd: Vec<f32>,
    /// The variable's output by category, `[classes, hidden]`.
    outcome: Vec<f32>,
}

/// Derivatives by a category's tables.
#[derive(Debug, Default)]
pub(super) struct CategoryGradient {
    /// By the embedding, `[classes, size]`.
    pub(super) table: Vec<f32>,
    /// By the outcome, `[classes, hidden]`.
    outcome: Vec<f32>,
}

impl CategoryGradient {
    /// Forgets everything and takes the sizes of a category.
    pub(super) fn start(&mut self, category: &Category) {
        for (sums, len) in [
            (&mut self.table, category.table.len()),
            (&mut self.outcome, category.outcome.len()),
        ] {
            sums.clear();
            sums.resize(len, 0.0);
        }
    }
}

impl Category {
    /// The variable with this embedding in the selection network `prefix`, not bound to parameters yet.
    pub(super) fn new(
        places: &Places<'_>,
        prefix: &str,
        embedding: &Embedding,
        column: usize,
        hidden: usize,
    ) -> Result<Self, &'static str> {
        let (name, size) = (&embedding.name, embedding.size as usize);
        let classes = embedding.classes as usize;
        let table = format!("input_embeddings.embeddings.{name}.weight");
        let place = places.resample(&format!("{prefix}.single_variable_grns.{name}"), hidden)?;
        Ok(Self {
            column,
            size,
            classes,
            hidden,
            table_place: places.get(&table, classes * size)?,
            place,
            zero_padding: embedding.zero_padding,
            taps: taps(size, hidden),
            table: Vec::new(),
            mask: vec![0.0; hidden],
            scale: Vec::new(),
            normal: vec![0.0; classes * hidden],
            rstd: vec![0.0; classes],
            outcome: vec![0.0; classes * hidden],
        })
    }

    /// Makes the tables.
    pub(super) fn bind(&mut self, params: &[f32]) {
        copy(params, &self.table_place, &mut self.table);
        copy(params, &self.place.norm.weight, &mut self.scale);
        for (gate, mask) in self.mask.iter_mut().zip(&params[self.place.mask.clone()]) {
            *gate = double_sigmoid(*mask);
        }
        let shift = &params[self.place.norm.bias.clone()];
        let rows = self
            .normal
            .chunks_exact_mut(self.hidden)
            .zip(&mut self.rstd);
        for (class, (normal, rstd)) in rows.enumerate() {
            let row = &self.table[class * self.size..][..self.size];
            for ((x, tap), gate) in normal.iter_mut().zip(&self.taps).zip(&self.mask) {
                *x = gate
                    * tap
                        .both()
                        .iter()
                        .map(|(at, share)| row[*at] * share)
                        .sum::<f32>();
            }
            let mean = normal.iter().sum::<f32>() / self.hidden as f32;
            let squares = normal.iter().map(|x| (x - mean) * (x - mean));
            let variance = squares.sum::<f32>() / self.hidden as f32;
            *rstd = 1.0 / (variance + NORM_EPS as f32).sqrt();
            normal.iter_mut().for_each(|x| *x = (*x - mean) * *rstd);
        }
        for (outcome, normal) in self
            .outcome
            .chunks_exact_mut(self.hidden)
            .zip(self.normal.chunks_exact(self.hidden))
        {
            let lines = self.scale.iter().zip(shift);
            for ((y, normal), (scale, shift)) in outcome.iter_mut().zip(normal).zip(lines) {
                *y = normal * scale + shift;
            }
        }
    }

    /// Adds the variable's output, times its weight, to a tile `[hidden]` of rows with these categories.
    pub(super) fn forward(&self, classes: &[usize], weight: Option<&Lanes>, out: &mut [Lanes]) {
        for (lane, class) in classes.iter().enumerate() {
            let weight = weight.map_or(1.0, |weight| weight[lane]);
            let row = &self.outcome[class * self.hidden..][..self.hidden];
            for (out, y) in out.iter_mut().zip(row) {
                out[lane] += weight * y;
            }
        }
    }

    /// Adds the derivative by the outcome; gives the one by the weight.
    pub(super) fn backward(
        &self,
        classes: &[usize],
        weight: Option<&Lanes>,
        d_out: &[Lanes],
        learned: &mut CategoryGradient,
    ) -> Lanes {
        let mut d_weight = ZERO;
        for (lane, class) in classes.iter().enumerate() {
            let weight = weight.map_or(1.0, |weight| weight[lane]);
            let span = class * self.hidden..(class + 1) * self.hidden;
            let rows = self.outcome[span.clone()]
                .iter()
                .zip(&mut learned.outcome[span]);
            for ((y, d_y), d_out) in rows.zip(d_out) {
                d_weight[lane] += d_out[lane] * y;
                *d_y += d_out[lane] * weight;
            }
        }
        d_weight
    }

    /// Adds the derivatives by the parameters to the flat gradient.
    pub(super) fn unfold(&self, learned: &mut CategoryGradient, flat: &mut [f32]) {
        let LinearPlace { weight, bias } = &self.place.norm;
        let share = 1.0 / self.hidden as f32;
        let mut d_row = vec![0.0; self.hidden];
        for (class, d_outcome) in learned.outcome.chunks_exact(self.hidden).enumerate() {
            let normal = &self.normal[class * self.hidden..][..self.hidden];
            let (mut plain, mut along) = (0.0, 0.0);
            for (channel, (d, normal)) in d_outcome.iter().zip(normal).enumerate() {
                flat[weight.start + channel] += d * normal;
                flat[bias.start + channel] += d;
                d_row[channel] = d * self.scale[channel];
                plain += d_row[channel] * share;
                along += d_row[channel] * normal * share;
            }
            let row = class * self.size..(class + 1) * self.size;
            let (row, d_table) = (&self.table[row.clone()], &mut learned.table[row]);
            for (channel, d) in d_row.iter().enumerate() {
                let d = (d - plain - normal[channel] * along) * self.rstd[class];
                let gate = self.mask[channel];
                let mut interpolated = 0.0;
                for (at, share) in self.taps[channel].both() {
                    interpolated += row[at] * share;
                    d_table[at] += d * gate * share;
                }
                flat[self.place.mask.start + channel] +=
                    d * interpolated * double_sigmoid_slope(gate);
            }
        }
        let first = if self.zero_padding { self.size } else { 0 };
        let place = self.table_place.start + first..self.table_place.end;
        add_to(flat, &place, &learned.table[first..]);
    }
}
