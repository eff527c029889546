//! The network of one real variable, folded for the present parameters, and what it learned, unfolded again.
//!
//! A real variable is one number `x` a row. Its prescaler makes `w·x + b` of it, on which two things depend linearly:
//! the gated residual network's first layer, which becomes `u·x + t`, and the interpolated residual, which becomes
//! `r·x + s`. The residual's layer norm subtracts its mean over channels, so `r` and `s` are kept centred, and divides
//! by its deviation, whose square is a quadratic in `x`. The second layer is linear and folds into the gate's.

use super::gates::{Gates, dot};
use super::places::{
    LinearPlace, Places, ResamplePlace, Tap, copy, double_sigmoid, double_sigmoid_slope, taps,
};
use super::real_pass::RealGradient;

/// One channel of a variable's output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Channel {
    /// The residual is `slope · c₀ + offset · c₁ + shift`; see [`Real::variance`] for the coefficients.
    pub(super) slope: f32,
    pub(super) offset: f32,
    pub(super) shift: f32,
    /// Scale of the last layer norm.
    pub(super) norm_scale: f32,
    /// Its shift.
    pub(super) norm_shift: f32,
}

/// Where the parameters lie.
#[derive(Debug)]
struct Place {
    prescaler: LinearPlace,
    fc1: LinearPlace,
    norm: LinearPlace,
    resample: Option<ResamplePlace>,
}

/// The network of one real variable.
#[derive(Debug)]
pub(super) struct Real {
    /// Width of the prescaled variable.
    pub(super) input: usize,
    /// Width of the first two layers.
    pub(super) inner: usize,
    hidden: usize,
    place: Place,
    taps: Vec<Tap>,
    // Parameters as they are.
    pub(super) prescaler: Vec<f32>,
    pub(super) prescaler_bias: Vec<f32>,
    fc1: Vec<f32>,
    /// Gates of the resampling norm, `[hidden]`.
    mask: Vec<f32>,
    /// Interpolated, ungated weight and bias of the prescaler, `[hidden]`.
    interpolated: [Vec<f32>; 2],
    /// The same gated and centred.
    centred: [Vec<f32>; 2],
    /// Scale of the residual's layer norm, `[hidden]`.
    residual_scale: Vec<f32>,
    // Folded.
    /// `u`, `[inner]`.
    pub(super) slope: Vec<f32>,
    /// `t`, `[inner]`.
    pub(super) offset: Vec<f32>,
    /// Values and gates from the first layer's activations.
    pub(super) gates: Gates,
    pub(super) channels: Vec<Channel>,
    /// Coefficients of x², x and 1 in the residual's variance, in double precision because they may cancel. The
    /// residual's coefficients are then `x / deviation` and `1 / deviation`. Without resampling they are `x` and 1.
    pub(super) variance: Option<[f64; 3]>,
}

impl Real {
    /// The variable `name` of the selection network `prefix`, not bound to parameters yet.
    pub(super) fn new(
        places: &Places<'_>,
        prefix: &str,
        name: &str,
        input: usize,
        hidden: usize,
    ) -> Result<Self, &'static str> {
        let inner = input.min(hidden);
        let own = format!("{prefix}.single_variable_grns.{name}");
        let resample = || places.resample(&format!("{own}.resample_norm"), hidden);
        Ok(Self {
            place: Place {
                prescaler: places.linear(&format!("prescalers.{name}"), 1, input)?,
                fc1: places.linear(&format!("{own}.fc1"), input, inner)?,
                norm: places.linear(&format!("{own}.gate_norm.add_norm.norm"), 1, hidden)?,
                resample: (input != hidden).then(resample).transpose()?,
            },
            input,
            inner,
            hidden,
            taps: taps(input, hidden),
            prescaler: Vec::new(),
            prescaler_bias: Vec::new(),
            fc1: Vec::new(),
            mask: vec![0.0; hidden],
            interpolated: [vec![0.0; hidden], vec![0.0; hidden]],
            centred: [vec![0.0; hidden], vec![0.0; hidden]],
            residual_scale: Vec::new(),
            slope: vec![0.0; inner],
            offset: vec![0.0; inner],
            gates: Gates::new(places, &own, inner, hidden)?,
            channels: vec![Channel::default(); hidden],
            variance: None,
        })
    }

    /// Folds the parameters.
    pub(super) fn bind(&mut self, params: &[f32]) {
        let place = &self.place;
        copy(params, &place.prescaler.weight, &mut self.prescaler);
        copy(params, &place.prescaler.bias, &mut self.prescaler_bias);
        copy(params, &place.fc1.weight, &mut self.fc1);
        let fc1_bias = &params[place.fc1.bias.clone()];
        for (row, fc1) in self.fc1.chunks_exact(self.input).enumerate() {
            self.slope[row] = dot(fc1, &self.prescaler);
            self.offset[row] = fc1_bias[row] + dot(fc1, &self.prescaler_bias);
        }
        self.gates.bind(params);
        let norm = params[place.norm.weight.clone()]
            .iter()
            .zip(&params[place.norm.bias.clone()]);
        for (channel, (scale, shift)) in self.channels.iter_mut().zip(norm) {
            (channel.norm_scale, channel.norm_shift) = (*scale, *shift);
        }
        self.bind_residual(params);
    }

    fn bind_residual(&mut self, params: &[f32]) {
        let lines = [&self.prescaler, &self.prescaler_bias];
        let Some(place) = &self.place.resample else {
            for (index, channel) in self.channels.iter_mut().enumerate() {
                (channel.slope, channel.offset) = (lines[0][index], lines[1][index]);
            }
            return;
        };
        for (gate, mask) in self.mask.iter_mut().zip(&params[place.mask.clone()]) {
            *gate = double_sigmoid(*mask);
        }
        for ((interpolated, centred), line) in self
            .interpolated
            .iter_mut()
            .zip(&mut self.centred)
            .zip(lines)
        {
            let channels = interpolated.iter_mut().zip(&mut *centred);
            for ((interpolated, centred), (tap, gate)) in
                channels.zip(self.taps.iter().zip(&self.mask))
            {
                *interpolated = tap.both().iter().map(|(at, share)| line[*at] * share).sum();
                *centred = *interpolated * gate;
            }
            centre(centred);
        }
        let moment = |a: &[f32], b: &[f32]| {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum::<f64>() / a.len() as f64
        };
        let [slope, offset] = &self.centred;
        self.variance = Some([
            moment(slope, slope),
            2.0 * moment(slope, offset),
            moment(offset, offset),
        ]);
        copy(params, &place.norm.weight, &mut self.residual_scale);
        let shift = &params[place.norm.bias.clone()];
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.slope = slope[index] * self.residual_scale[index];
            channel.offset = offset[index] * self.residual_scale[index];
            channel.shift = shift[index];
        }
    }

    /// Adds the derivatives by the parameters to the flat gradient.
    pub(super) fn unfold(&self, learned: &mut RealGradient, flat: &mut [f32]) {
        let place = &self.place;
        self.gates.unfold(&mut learned.matrix, flat);
        for (row, [slope, offset]) in learned.first.iter().enumerate() {
            flat[place.fc1.bias.start + row] += offset;
            for column in 0..self.input {
                let at = row * self.input + column;
                let (weight, bias) = (self.prescaler[column], self.prescaler_bias[column]);
                flat[place.fc1.weight.start + at] += slope * weight + offset * bias;
                flat[place.prescaler.weight.start + column] += slope * self.fc1[at];
                flat[place.prescaler.bias.start + column] += offset * self.fc1[at];
            }
        }
        for (channel, [scale, shift]) in learned.norm.iter().enumerate() {
            flat[place.norm.weight.start + channel] += scale;
            flat[place.norm.bias.start + channel] += shift;
        }
        self.unfold_residual(learned, flat);
    }

    fn unfold_residual(&self, learned: &RealGradient, flat: &mut [f32]) {
        let lines = [&self.place.prescaler.weight, &self.place.prescaler.bias];
        let Some(place) = &self.place.resample else {
            for (channel, [slope, offset, _]) in learned.residual.as_chunks().0.iter().enumerate() {
                flat[lines[0].start + channel] += slope;
                flat[lines[1].start + channel] += offset;
            }
            return;
        };
        let [slope, offset] = &self.centred;
        let [quadratic, linear, constant] = learned.variance.map(|d| 2.0 * d / self.hidden as f32);
        let mut d_centred = [vec![0.0; self.hidden], vec![0.0; self.hidden]];
        for (channel, [d_slope, d_offset, d_shift]) in
            learned.residual.as_chunks().0.iter().enumerate()
        {
            let (slope, offset) = (slope[channel], offset[channel]);
            flat[place.norm.weight.start + channel] += d_slope * slope + d_offset * offset;
            flat[place.norm.bias.start + channel] += d_shift;
            let scale = self.residual_scale[channel];
            d_centred[0][channel] = d_slope * scale + slope * quadratic + offset * linear;
            d_centred[1][channel] = d_offset * scale + slope * linear + offset * constant;
        }
        for ((line, interpolated), mut d_line) in
            lines.into_iter().zip(&self.interpolated).zip(d_centred)
        {
            // Centring is its own transpose.
            centre(&mut d_line);
            for (channel, d) in d_line.iter().enumerate() {
                let gate = self.mask[channel];
                flat[place.mask.start + channel] +=
                    d * interpolated[channel] * double_sigmoid_slope(gate);
                for (at, share) in self.taps[channel].both() {
                    flat[line.start + at] += d * gate * share;
                }
            }
        }
    }

    /// Adds derivatives by the prescaler, which the weight network has too.
    pub(super) fn add_prescaler(&self, at: usize, weight: f32, bias: f32, flat: &mut [f32]) {
        flat[self.place.prescaler.weight.start + at] += weight;
        flat[self.place.prescaler.bias.start + at] += bias;
    }
}

/// Subtracts the mean.
fn centre(line: &mut [f32]) {
    let mean = line.iter().sum::<f32>() / line.len() as f32;
    line.iter_mut().for_each(|x| *x -= mean);
}
