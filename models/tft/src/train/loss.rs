//! The quantile loss, over observed targets only.

use tch::{Kind, Tensor};

use crate::kernel::Targets;
use crate::network::Torch;

/// Scaled truths are cut off here. The loss's derivative does not depend on how far off a forecast is, so this changes
/// nothing that is learned; it keeps one burst on a server that was silent from drowning the loss that people watch.
const MOST_SCALED: f64 = 50.0;

/// Sum of the quantile losses over the observed targets of a batch.
///
/// `raw` is `[n, steps, targets · quantiles]` with each target's quantiles together, `levels` `[quantiles]`. For each
/// observed target, its weight times the mean over quantiles q of
/// 2 · max((q − 1) e, q e) with e = truth − prediction (Koenker & Bassett 1978; twice the pinball, so that q = ½ is
/// the absolute error).
pub(crate) fn quantile_loss(raw: &Tensor, truth: &Targets, levels: &Tensor) -> Torch<Tensor> {
    let (n, steps, outputs) = raw.size3()?;
    let targets = outputs / levels.numel() as i64;
    // Targets lie step by step.
    let turn = |values: &[f32]| {
        Tensor::f_from_slice(values)?
            .f_view([steps, n, targets])?
            .f_transpose(0, 1)?
            .f_to_device(raw.device())
    };
    let values = turn(&truth.values)?
        .f_clamp(-MOST_SCALED, MOST_SCALED)?
        .f_unsqueeze(-1)?;
    let error = values.f_sub(&raw.f_view([n, steps, targets, -1])?)?;
    let loss = error
        .f_mul(&levels.f_sub_scalar(1.0)?)?
        .f_maximum(&error.f_mul(levels)?)?;
    let by_target = loss.f_mean_dim(-1, false, Kind::Float)?.f_mul_scalar(2.0)?;
    by_target.f_mul(&turn(&truth.weights)?)?.f_sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(values: &[f32], weights: &[f32]) -> Targets {
        Targets {
            values: values.to_vec(),
            weights: weights.to_vec(),
        }
    }

    #[test]
    fn only_observed_targets_count() {
        // One window, one step, two targets of which the second is missing; quantiles 0.1, 0.5, 0.9.
        let raw = Tensor::from_slice(&[1f32, 2.0, 5.0, 7.0, 7.0, 7.0]).view([1, 1, 6]);
        let levels = Tensor::from_slice(&[0.1f32, 0.5, 0.9]);
        let sum =
            quantile_loss(&raw, &targets(&[3.0, 0.0], &[1.0, 0.0]), &levels).expect("shapes fit");
        // (0.1 · 2 + 0.5 · 1 + 0.1 · 2) · 2 / 3
        assert!((sum.double_value(&[]) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn missing_targets_have_no_gradient() {
        let raw = Tensor::zeros([1, 2, 3], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let levels = Tensor::from_slice(&[0.1f32, 0.5, 0.9]);
        let sum =
            quantile_loss(&raw, &targets(&[1.0, 0.0], &[1.0, 0.0]), &levels).expect("shapes fit");
        let gradient = Tensor::run_backward(&[sum], &[&raw], false, false).remove(0);
        assert!(gradient.select(1, 0).abs().min().double_value(&[]) > 0.0);
        assert_eq!(gradient.select(1, 1).abs().max().double_value(&[]), 0.0);
    }
}
