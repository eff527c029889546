//! Sums over bins that lie at the same place of a period, or beside each other.

use std::ops::AddAssign;

use crate::kernel::simd::{LANES, Simd, dispatched};
use crate::window::{MAX_SIZE, is_observed};

/// Neighbours on each side that a bin is averaged with.
pub(super) const REACH: usize = 3;

/// Sums over the bins at each of some places. Columns, so that the loops over places become vector instructions.
#[derive(Debug, Clone)]
pub(super) struct Places {
    sum: Vec<f64>,
    square: Vec<f64>,
    count: Vec<u32>,
}

/// Those of one place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    sum: f64,
    square: f64,
    pub(super) count: u32,
}

impl Places {
    pub(super) fn new(places: usize) -> Self {
        Self {
            sum: vec![0.0; places],
            square: vec![0.0; places],
            count: vec![0; places],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.iter().all(|count| *count == 0)
    }

    /// Adds a bin to each place from the `first` on, as far as there are places and bins.
    pub(super) fn add(&mut self, first: usize, bins: &[f32]) {
        let sums = (&mut self.sum[first..], &mut self.square[first..]);
        add_bins(bins, sums.0, sums.1, &mut self.count[first..]);
    }

    /// The same with the place `first` as place 0.
    pub(super) fn turned(mut self, first: usize) -> Self {
        self.sum.rotate_left(first);
        self.square.rotate_left(first);
        self.count.rotate_left(first);
        self
    }

    /// Sums over each place and its [`REACH`] neighbours on both sides; the first and the last place are neighbours.
    pub(super) fn around(&self) -> Self {
        let ring_of = Self {
            sum: ring(&self.sum),
            square: ring(&self.square),
            count: ring(&self.count),
        };
        ring_of.sliding()
    }

    /// Sums over each place and its [`REACH`] neighbours on both sides, of the places that have so many.
    pub(super) fn sliding(&self) -> Self {
        let mut sums = Self::new(self.count.len() - 2 * REACH);
        slide(&self.sum, &mut sums.sum);
        slide(&self.square, &mut sums.square);
        slide_counts(&self.count, &mut sums.count);
        sums
    }

    /// Leaves nothing at the first so many places.
    pub(super) fn forget(&mut self, places: usize) {
        self.count[..places].fill(0);
    }

    pub(super) fn at(&self, place: usize) -> Sums {
        Sums {
            sum: self.sum[place],
            square: self.square[place],
            count: self.count[place],
        }
    }
}

/// The last [`REACH`], all, and the first [`REACH`]; what is shorter goes round more than once.
fn ring<T: Copy>(of: &[T]) -> Vec<T> {
    let Some(first) = of.len().checked_sub(REACH) else {
        let before = (of.len() * REACH - REACH) % of.len();
        let round = of.iter().cycle().skip(before);
        return round.take(of.len() + 2 * REACH).copied().collect();
    };
    [&of[first..], of, &of[..REACH]].concat()
}

dispatched! {
    fn add_bins(bins: &[f32], sum: &mut [f64], square: &mut [f64], count: &mut [u32]) = add_bins_body;
    /// Adds to each sum the terms from its own place on to twice [`REACH`] after it.
    fn slide(terms: &[f64], sums: &mut [f64]) = slide_body;
    fn slide_counts(terms: &[u32], sums: &mut [u32]) = slide_body;
    fn add_distances(a: &[f32], b: &[f32], sum_and_count: &mut [f32; 2]) = add_distances_body;
    fn add_weighted(a: &[f32], b: &[f32], weights: &[f32], moved: [f32; 2], sums: &mut [f32; 2]) = add_weighted_body;
}

#[inline(always)]
fn add_bins_body<S: Simd>(
    _: S,
    bins: &[f32],
    sum: &mut [f64],
    square: &mut [f64],
    count: &mut [u32],
) {
    let sums = sum.iter_mut().zip(square);
    for (((sum, square), count), bin) in sums.zip(count).zip(bins) {
        let is_observed = is_observed(*bin);
        let value = if is_observed { f64::from(*bin) } else { 0.0 };
        *sum += value;
        *square += value * value;
        *count += u32::from(is_observed);
    }
}

#[inline(always)]
fn slide_body<S: Simd, T: Copy + AddAssign>(_: S, terms: &[T], sums: &mut [T]) {
    for first in 0..=2 * REACH {
        for (sum, term) in sums.iter_mut().zip(&terms[first..]) {
            *sum += *term;
        }
    }
}

/// Mean size of the difference between values of two series that lie beside each other, where both are observed; NaN
/// where that is nowhere.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sum_and_count = [0.0; 2];
    add_distances(a, b, &mut sum_and_count);
    sum_and_count[0] / sum_and_count[1]
}

#[inline(always)]
fn add_distances_body<S: Simd>(simd: S, a: &[f32], b: &[f32], sum_and_count: &mut [f32; 2]) {
    let len = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..len].as_chunks::<LANES>(), b[..len].as_chunks::<LANES>());
    let (zero, one, most) = (simd.splat(0.0), simd.splat(1.0), simd.splat(MAX_SIZE));
    let (mut sum, mut count) = (zero, zero);
    for (a, b) in a.iter().zip(b) {
        let size = simd.abs(simd.sub(simd.load(a), simd.load(b)));
        // Not where it is NaN.
        sum = simd.add(sum, simd.select_greater(most, size, size, zero));
        count = simd.add(count, simd.select_greater(most, size, one, zero));
    }
    let [mut of_rest, mut in_rest] = [0.0; 2];
    for (a, b) in a_rest.iter().zip(b_rest) {
        let size = (a - b).abs();
        if size < MAX_SIZE {
            of_rest += size;
            in_rest += 1.0;
        }
    }
    *sum_and_count = [simd.sum(sum) + of_rest, simd.sum(count) + in_rest];
}

/// Of series of one length with a weight for each bin, the second of them times a factor and plus a summand: the weighted
/// sum of the differences between what is observed of both, and the weight of that.
pub(super) fn weighted_distance(
    a: &[f32],
    b: &[f32],
    weights: &[f32],
    moved: [f32; 2],
) -> [f32; 2] {
    let mut sums = [0.0; 2];
    add_weighted(a, b, weights, moved, &mut sums);
    sums
}

#[inline(always)]
fn add_weighted_body<S: Simd>(
    simd: S,
    a: &[f32],
    b: &[f32],
    weights: &[f32],
    [factor, summand]: [f32; 2],
    sums: &mut [f32; 2],
) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (weights, rest) = weights.as_chunks::<LANES>();
    let (zero, most) = (simd.splat(0.0), simd.splat(MAX_SIZE));
    let (times, plus) = (simd.splat(factor), simd.splat(summand));
    let (mut sum, mut weight) = (zero, zero);
    for ((a, b), weights) in a.iter().zip(b).zip(weights) {
        let (moved, weights) = (simd.fma(simd.load(b), times, plus), simd.load(weights));
        let size = simd.abs(simd.sub(simd.load(a), moved));
        // Not where it is NaN.
        let weighted = simd.mul(size, weights);
        sum = simd.add(sum, simd.select_greater(most, size, weighted, zero));
        weight = simd.add(weight, simd.select_greater(most, size, weights, zero));
    }
    *sums = [simd.sum(sum), simd.sum(weight)];
    for ((a, b), weight) in a_rest.iter().zip(b_rest).zip(rest) {
        let size = (a - (factor * b + summand)).abs();
        if size < MAX_SIZE {
            sums[0] += size * weight;
            sums[1] += weight;
        }
    }
}

impl Sums {
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            square: self.square + other.square,
            count: self.count + other.count,
        }
    }

    /// NaN without any.
    pub(super) fn mean(self) -> f32 {
        if self.count == 0 {
            return f32::NAN;
        }
        (self.sum / f64::from(self.count)) as f32
    }

    /// Standard deviation; NaN without any.
    pub(super) fn spread(self) -> f32 {
        if self.count == 0 {
            return f32::NAN;
        }
        let mean = self.sum / f64::from(self.count);
        (self.square / f64::from(self.count) - mean * mean)
            .max(0.0)
            .sqrt() as f32
    }
}
