//! Fits what the normaliser needs to know of the training data.

use crate::normalise::{NormaliserConfig, NormaliserState, compress};
use crate::window::Window;

/// Fits a [`NormaliserState`] over the windows of the training data, in one pass and constant memory.
#[derive(Debug, Clone)]
pub struct NormaliserFit {
    config: NormaliserConfig,
    windows: u64,
    centers: Vec<Moments>,
    /// Of the scales' logarithms.
    scales: Vec<Moments>,
    /// Of the scales themselves.
    plain_scales: Vec<Moments>,
    sorted: Vec<f32>,
}

impl NormaliserFit {
    /// Of a schema with so many metrics.
    pub fn new(config: &NormaliserConfig, metrics: usize) -> Self {
        let moments = vec![Moments::default(); metrics];
        Self {
            config: config.clone(),
            windows: 0,
            centers: moments.clone(),
            scales: moments.clone(),
            plain_scales: moments,
            sorted: Vec::new(),
        }
    }

    /// Takes a window into account. A sample of the windows is enough; the order does not matter much.
    pub fn observe(&mut self, window: &Window<'_>) {
        self.windows += 1;
        for (metric, values) in window.values.iter().enumerate().take(self.centers.len()) {
            if let Some((center, scale)) = self.config.measure(values, &mut self.sorted) {
                self.centers[metric].add(f64::from(compress(center)));
                self.plain_scales[metric].add(f64::from(scale));
                if scale > 0.0 {
                    self.scales[metric].add(f64::from(scale.ln()));
                }
            }
        }
    }

    /// Mean scale of each metric, in its unit and before any floor; 0 where it was never seen.
    pub fn mean_scales(&self) -> Vec<f32> {
        self.plain_scales.iter().map(|m| m.mean as f32).collect()
    }

    /// The fitted state; metrics that were never seen get neutral values.
    pub fn finish(self) -> NormaliserState {
        Self::combine(&[(1.0, self)])
    }

    /// One state for several kinds of data, each given with its share of what the network will see.
    ///
    /// # Panics
    /// When `fits` is empty or they are of different schemas.
    pub fn combine(fits: &[(f64, Self)]) -> NormaliserState {
        let metrics = fits[0].1.centers.len();
        let pooled = |of: fn(&Self) -> &Vec<Moments>| -> Vec<Pooled> {
            let metric = |metric: usize| {
                let parts = fits.iter().map(|(share, fit)| {
                    let moments = &of(fit)[metric];
                    (
                        share * moments.count as f64 / fit.windows.max(1) as f64,
                        moments,
                    )
                });
                Pooled::of(parts)
            };
            (0..metrics).map(metric).collect()
        };
        let (centers, scales) = (pooled(|fit| &fit.centers), pooled(|fit| &fit.scales));
        let means = |all: &[Pooled]| all.iter().map(|m| m.mean as f32).collect();
        let deviations = |all: &[Pooled]| all.iter().map(Pooled::deviation).collect();
        NormaliserState {
            usual_scale: scales.iter().map(|m| (m.mean as f32).exp()).collect(),
            center_mean: means(&centers),
            center_deviation: deviations(&centers),
            scale_mean: means(&scales),
            scale_deviation: deviations(&scales),
        }
    }
}

/// Mean and variance of several samples, each with a weight.
struct Pooled {
    mean: f64,
    variance: f64,
}

impl Pooled {
    fn of<'a>(parts: impl Iterator<Item = (f64, &'a Moments)> + Clone) -> Self {
        let total: f64 = parts.clone().map(|(weight, _)| weight).sum();
        if total <= 0.0 {
            let (mean, variance) = (0.0, 0.0);
            return Self { mean, variance };
        }
        let weighted = parts.clone().map(|(weight, part)| weight * part.mean);
        let mean = weighted.sum::<f64>() / total;
        let spread = parts.map(|(weight, part)| {
            let within = part.squares / part.count.max(1) as f64;
            weight * (within + (part.mean - mean).powi(2))
        });
        let variance = spread.sum::<f64>() / total;
        Self { mean, variance }
    }

    /// 1 where there is no spread to divide by.
    fn deviation(&self) -> f32 {
        let deviation = self.variance.sqrt() as f32;
        if deviation > 1e-6 { deviation } else { 1.0 }
    }
}

/// Running mean and variance (Welford).
#[derive(Debug, Clone, Default)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }
}
