//! The network that weighs variables, folded, and what it learned, unfolded again.
//!
//! Its input, the concatenation of all prescaled variables, is never made: its first layer and its interpolated
//! residual are linear in it, so each variable contributes on its own.

use std::ops::Range;

use super::category::{Category, CategoryGradient};
use super::gates::{Gates, dot};
use super::places::{
    LinearPlace, Places, ResamplePlace, copy, double_sigmoid, double_sigmoid_slope, taps,
};
use super::real::Real;
use super::tile::Packed;
use super::weights_back::WeightsGradient;
use crate::kernel::matrix::{gemm, gemm_tn};

/// Where the parameters lie.
#[derive(Debug)]
struct Place {
    fc1: LinearPlace,
    context: Option<Range<usize>>,
    norm: LinearPlace,
    resample: Option<ResamplePlace>,
}

/// One of the two numbers that an interpolated channel is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Of a real variable: which, and which channel of its prescaled form.
    Real(usize, usize),
    /// Of a categorical variable: which, and which channel of its embedding.
    Category(usize, usize),
}

/// A term of the residual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) source: Source,
    /// Its share in the interpolation.
    share: f32,
    /// What the variable, or the embedding's channel, is multiplied with.
    pub(super) factor: f32,
}

/// A norm's scale and shift, of one channel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Norm {
    pub(super) scale: f32,
    pub(super) shift: f32,
}

/// A channel of the residual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    pub(super) terms: [Term; 2],
    pub(super) constant: f32,
    /// Gate of the resampling norm; 1 where there is none.
    mask: f32,
    /// Of the residual's norm.
    pub(super) residual_norm: Norm,
    /// Of the last norm.
    pub(super) norm: Norm,
}

/// The network.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) inner: usize,
    hidden: usize,
    place: Place,
    /// First column of each variable in the first layer, categories before reals, and the end.
    offsets: Vec<usize>,
    fc1: Vec<f32>,
    /// `[inner, context]`, if there is a context.
    pub(super) context: Vec<f32>,
    /// Constant part of the first layer, `[inner]`.
    constant: Vec<f32>,
    /// First layer from the real variables, `[inner, reals]`, with the constant part.
    pub(super) slopes: Packed,
    /// Its part from each category, `[classes, inner]`.
    pub(super) tables: Vec<Vec<f32>>,
    /// Values and gates from the first layer's activations.
    pub(super) gates: Gates,
    pub(super) channels: Vec<Channel>,
    pub(super) resampled: bool,
}

impl Weights {
    /// The network of the selection network `prefix`, not bound to parameters yet.
    pub(super) fn new(
        places: &Places<'_>,
        prefix: &str,
        categories: &[Category],
        reals: &[Real],
        hidden: usize,
        takes_context: bool,
    ) -> Result<Self, &'static str> {
        let prefix = format!("{prefix}.flattened_grn");
        let sizes = categories
            .iter()
            .map(|c| c.size)
            .chain(reals.iter().map(|r| r.input));
        let mut offsets = vec![0];
        let mut sources = Vec::new();
        for (variable, size) in sizes.enumerate() {
            offsets.push(offsets[variable] + size);
            sources.extend(
                (0..size).map(|at| match variable.checked_sub(categories.len()) {
                    Some(real) => Source::Real(real, at),
                    None => Source::Category(variable, at),
                }),
            );
        }
        let (input, count) = (sources.len(), offsets.len() - 1);
        let inner = hidden.min(count);
        let context = || places.get(&format!("{prefix}.context.weight"), inner * hidden);
        let resample = || places.resample(&format!("{prefix}.resample_norm"), count);
        let channel = |tap: super::places::Tap| Channel {
            terms: tap.both().map(|(at, share)| Term {
                source: sources[at],
                share,
                factor: 0.0,
            }),
            constant: 0.0,
            mask: 1.0,
            residual_norm: Norm::default(),
            norm: Norm::default(),
        };
        Ok(Self {
            place: Place {
                fc1: places.linear(&format!("{prefix}.fc1"), input, inner)?,
                context: takes_context.then(context).transpose()?,
                norm: places.linear(&format!("{prefix}.gate_norm.add_norm.norm"), 1, count)?,
                resample: (input != count).then(resample).transpose()?,
            },
            inner,
            hidden,
            offsets,
            fc1: Vec::new(),
            context: Vec::new(),
            slopes: Packed::default(),
            constant: Vec::new(),
            tables: categories
                .iter()
                .map(|c| vec![0.0; c.classes * inner])
                .collect(),
            gates: Gates::new(places, &prefix, inner, count)?,
            channels: taps(input, count).into_iter().map(channel).collect(),
            resampled: input != count,
        })
    }

    /// Whether the first layer takes a context.
    pub(super) fn takes_context(&self) -> bool {
        self.place.context.is_some()
    }

    /// Folds the parameters; the variables must be bound already.
    pub(super) fn bind(&mut self, params: &[f32], categories: &[Category], reals: &[Real]) {
        let (place, inner, count) = (&self.place, self.inner, self.channels.len());
        copy(params, &place.fc1.weight, &mut self.fc1);
        copy(params, &place.fc1.bias, &mut self.constant);
        if let Some(place) = &place.context {
            copy(params, place, &mut self.context);
        }
        let input = self.offsets[count];
        let mut slopes = vec![0.0; inner * reals.len()];
        for (row, fc1) in self.fc1.chunks_exact(input).enumerate() {
            for (variable, (category, table)) in categories.iter().zip(&mut self.tables).enumerate()
            {
                let part = &fc1[self.offsets[variable]..self.offsets[variable + 1]];
                for (class, embedding) in category.table.chunks_exact(category.size).enumerate() {
                    table[class * inner + row] = dot(part, embedding);
                }
            }
            for (variable, real) in reals.iter().enumerate() {
                let at = variable + categories.len();
                let part = &fc1[self.offsets[at]..self.offsets[at + 1]];
                slopes[row * reals.len() + variable] = dot(part, &real.prescaler);
                self.constant[row] += dot(part, &real.prescaler_bias);
            }
        }
        let slope = |row: usize, column: usize| slopes[row * reals.len() + column];
        self.slopes
            .pack((inner, reals.len()), slope, |row| self.constant[row]);
        self.gates.bind(params);
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let norm = |place: &LinearPlace| Norm {
                scale: params[place.weight.start + index],
                shift: params[place.bias.start + index],
            };
            channel.norm = norm(&place.norm);
            if let Some(place) = &place.resample {
                channel.residual_norm = norm(&place.norm);
                channel.mask = double_sigmoid(params[place.mask.start + index]);
            }
            channel.constant = 0.0;
            for term in &mut channel.terms {
                term.factor = term.share * channel.mask;
                if let Source::Real(real, at) = term.source {
                    channel.constant += term.factor * reals[real].prescaler_bias[at];
                    term.factor *= reals[real].prescaler[at];
                }
            }
        }
    }

    /// Adds the derivatives by the parameters to the flat gradient, and those by embeddings to theirs.
    pub(super) fn unfold(
        &self,
        learned: &mut WeightsGradient,
        categories: &[Category],
        tables: &mut [CategoryGradient],
        reals: &[Real],
        flat: &mut [f32],
    ) {
        let (place, inner, count) = (&self.place, self.inner, self.channels.len());
        let (input, wide) = (self.offsets[count], reals.len() + 1);
        for (row, d_first) in learned.first.chunks_exact(wide).enumerate() {
            let d_constant = d_first[reals.len()];
            flat[place.fc1.bias.start + row] += d_constant;
            let fc1 = &self.fc1[row * input..][..input];
            let start = place.fc1.weight.start + row * input;
            for (variable, (category, gradient)) in categories.iter().zip(&mut *tables).enumerate()
            {
                let offset = self.offsets[variable];
                for class in 0..category.classes {
                    let d = learned.tables[variable][class * inner + row];
                    for at in 0..category.size {
                        let cell = class * category.size + at;
                        flat[start + offset + at] += d * category.table[cell];
                        gradient.table[cell] += d * fc1[offset + at];
                    }
                }
            }
            for ((variable, real), d_slope) in reals.iter().enumerate().zip(d_first) {
                let offset = self.offsets[variable + categories.len()];
                for at in 0..real.input {
                    let weight = fc1[offset + at];
                    flat[start + offset + at] +=
                        d_slope * real.prescaler[at] + d_constant * real.prescaler_bias[at];
                    real.add_prescaler(at, d_slope * weight, d_constant * weight, flat);
                }
            }
        }
        self.gates.unfold(&mut learned.matrix, flat);
        for (index, channel) in self.channels.iter().enumerate() {
            let [d_terms @ .., d_constant] = learned.terms[index];
            let mut d_mask = 0.0;
            for (term, d_term) in channel.terms.iter().zip(d_terms) {
                match term.source {
                    Source::Real(real, at) => {
                        let net = &reals[real];
                        d_mask += term.share
                            * (d_term * net.prescaler[at] + d_constant * net.prescaler_bias[at]);
                        let factor = term.share * channel.mask;
                        net.add_prescaler(at, d_term * factor, d_constant * factor, flat);
                    }
                    // The pass sums the embedding's channel times the derivative.
                    Source::Category(..) => d_mask += term.share * d_term,
                }
            }
            let [scale, shift, residual_scale, residual_shift] = learned.norms[index];
            flat[place.norm.weight.start + index] += scale;
            flat[place.norm.bias.start + index] += shift;
            if let Some(place) = &place.resample {
                flat[place.mask.start + index] += d_mask * double_sigmoid_slope(channel.mask);
                flat[place.norm.weight.start + index] += residual_scale;
                flat[place.norm.bias.start + index] += residual_shift;
            }
        }
    }

    /// The context's part of the first layer for each window, `[n, inner]`.
    pub(super) fn project(&self, context: &[f32], projected: &mut Vec<f32>) {
        projected.clear();
        for row in context.chunks_exact(self.hidden) {
            projected.extend(
                self.context
                    .chunks_exact(self.hidden)
                    .map(|weight| dot(weight, row)),
            );
        }
    }

    /// The derivatives by the context and its weight from the one by its part of the first layer.
    pub(super) fn unfold_context(
        &self,
        d_projected: &[f32],
        context: &[f32],
        d_context: Option<&mut [f32]>,
        flat: &mut [f32],
    ) {
        let (inner, hidden) = (self.inner, self.hidden);
        let (Some(place), n) = (&self.place.context, context.len() / hidden) else {
            return;
        };
        gemm_tn(
            n,
            hidden,
            inner,
            d_projected,
            inner,
            context,
            hidden,
            &mut flat[place.clone()],
            hidden,
        );
        if let Some(d_context) = d_context {
            gemm(
                true,
                n,
                hidden,
                inner,
                d_projected,
                inner,
                &self.context,
                hidden,
                d_context,
                hidden,
            );
        }
    }
}
