//! The quantile loss on plain memory: what `train::loss` says of tensors.

/// Scaled truths are cut off here, as in `train::loss`.
const MOST_SCALED: f32 = 50.0;

/// What the network should have said of a batch of `n` windows; time-major like [`super::Batch`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targets {
    /// `[decoder steps, n, targets]`, scaled like the inputs; anything finite where the weight is 0.
    pub values: Vec<f32>,
    /// Weight of each value's loss, not negative: 0 where the future is not observed or the metric was never seen in
    /// the context.
    pub weights: Vec<f32>,
}

impl Targets {
    /// Sum of the weights, in double precision.
    pub fn weight(&self) -> f64 {
        self.weights.iter().copied().map(f64::from).sum()
    }
}

/// The weighted sum of the losses of some rows, and its derivative by their raw outputs.
///
/// `raw` is `[rows, targets, levels]`; `values` and `weights` are `[rows, targets]`.
pub(super) fn quantile_loss(
    levels: &[f32],
    raw: &[f32],
    values: &[f32],
    weights: &[f32],
    d_raw: &mut [f32],
) -> f64 {
    let count = levels.len();
    let share = 2.0 / count as f32;
    let outputs = raw.chunks_exact(count).zip(d_raw.chunks_exact_mut(count));
    let mut sum = 0.0;
    for ((raw, d_raw), (value, weight)) in outputs.zip(values.iter().zip(weights)) {
        if *weight == 0.0 {
            d_raw.fill(0.0);
            continue;
        }
        let truth = value.clamp(-MOST_SCALED, MOST_SCALED);
        let factor = weight * share;
        let mut of_target = 0.0;
        for ((raw, d_raw), level) in raw.iter().zip(d_raw).zip(levels) {
            let error = truth - raw;
            let (below, above) = ((level - 1.0) * error, level * error);
            of_target += below.max(above);
            // A forecast that is right to the bit lies in the corner: libtorch takes the mean of both slopes.
            let slope = if error > 0.0 {
                -level
            } else if error < 0.0 {
                1.0 - level
            } else {
                0.5 - level
            };
            *d_raw = if error.is_nan() {
                f32::NAN
            } else {
                slope * factor
            };
        }
        sum += f64::from(of_target * factor);
    }
    sum
}
