//! Where the parameters of a selection network lie in the flat vector, by name.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::weights::Layout;

/// Why a kernel could not be made: the network has other parameters than expected here.
pub(super) const ABSENT: &str =
    "a parameter of the selection networks is not where the kernel expects it";

/// All parameters by name.
pub(super) struct Places<'a>(BTreeMap<&'a str, Range<usize>>);

/// A linear layer's weight and bias.
#[derive(Debug, Clone)]
pub(super) struct LinearPlace {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// A resampling norm's gates, scale and shift.
#[derive(Debug, Clone)]
pub(super) struct ResamplePlace {
    pub(super) mask: Range<usize>,
    pub(super) norm: LinearPlace,
}

impl<'a> Places<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        let place =
            |entry: crate::weights::Entry<'a>| (entry.name, entry.offset..entry.offset + entry.len);
        Self(layout.entries().map(place).collect())
    }

    /// A parameter of `len` values.
    pub(super) fn get(&self, name: &str, len: usize) -> Result<Range<usize>, &'static str> {
        let place = self.0.get(name).filter(|place| place.len() == len);
        place.cloned().ok_or(ABSENT)
    }

    /// `{prefix}.weight` and `{prefix}.bias`: a linear layer, or a norm where the input is 1.
    pub(super) fn linear(
        &self,
        prefix: &str,
        input: usize,
        output: usize,
    ) -> Result<LinearPlace, &'static str> {
        Ok(LinearPlace {
            weight: self.get(&format!("{prefix}.weight"), input * output)?,
            bias: self.get(&format!("{prefix}.bias"), output)?,
        })
    }

    /// A resampling norm under `prefix`.
    pub(super) fn resample(
        &self,
        prefix: &str,
        width: usize,
    ) -> Result<ResamplePlace, &'static str> {
        Ok(ResamplePlace {
            mask: self.get(&format!("{prefix}.mask"), width)?,
            norm: self.linear(&format!("{prefix}.norm"), 1, width)?,
        })
    }
}

/// Where a channel of an interpolated vector comes from: two neighbours, and the share of the upper one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tap {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) share: f32,
}

impl Tap {
    /// Both neighbours with their shares.
    pub(super) fn both(self) -> [(usize, f32); 2] {
        [(self.lower, 1.0 - self.share), (self.upper, self.share)]
    }
}

/// Linear interpolation over the feature axis with aligned corners; the identity where the sizes are equal.
pub(super) fn taps(input: usize, output: usize) -> Vec<Tap> {
    // Single precision, like the operator whose effect this is.
    let step = if output > 1 {
        (input - 1) as f32 / (output - 1) as f32
    } else {
        0.0
    };
    let tap = |column: usize| {
        let position = step * column as f32;
        let lower = (position as usize).min(input - 1);
        Tap {
            lower,
            upper: (lower + 1).min(input - 1),
            share: position - lower as f32,
        }
    };
    (0..output).map(tap).collect()
}

/// Adds `values` to a part of the flat gradient.
pub(super) fn add_to(flat: &mut [f32], place: &Range<usize>, values: &[f32]) {
    for (sum, value) in flat[place.clone()].iter_mut().zip(values) {
        *sum += value;
    }
}

/// Copies a part of the flat vector.
pub(super) fn copy(params: &[f32], place: &Range<usize>, to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(&params[place.clone()]);
}

/// `2 · sigmoid(mask)`, the gate of a resampling norm.
pub(super) fn double_sigmoid(mask: f32) -> f32 {
    2.0 / (1.0 + (-mask).exp())
}

/// Its derivative, from its value.
pub(super) fn double_sigmoid_slope(gate: f32) -> f32 {
    gate * (1.0 - gate / 2.0)
}
