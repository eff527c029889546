//! Randomness: seeds, normal and Poisson numbers, correlated noise.

use rand::Rng;

/// Spreads a seed so that neighbouring servers share nothing (SplitMix64, Steele et al. 2014).
pub(crate) fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// A Poisson number (Knuth's product method; the normal approximation where that would take long).
pub(crate) fn poisson(rng: &mut impl Rng, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > 60.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let limit = (-mean).exp();
    let mut product = rng.random::<f64>();
    let mut count = 0.0;
    while product > limit {
        product *= rng.random::<f64>();
        count += 1.0;
    }
    count
}

/// An exponentially distributed waiting time.
pub(crate) fn exponential(rng: &mut impl Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// Noise that forgets: an AR(1) process of standard deviation 1, whatever the step.
#[derive(Debug, Clone)]
pub(crate) struct Correlated {
    keep: f64,
    fresh: f64,
    value: f64,
}

impl Correlated {
    /// `memory_secs` is the time after which the correlation has fallen to 1/e.
    pub(crate) fn new(memory_secs: f64, step_secs: f64, rng: &mut impl Rng) -> Self {
        let keep = (-step_secs / memory_secs).exp();
        Self {
            keep,
            fresh: (1.0 - keep * keep).sqrt(),
            value: normal(rng),
        }
    }

    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> f64 {
        self.value = self.keep * self.value + self.fresh * normal(rng);
        self.value
    }
}
