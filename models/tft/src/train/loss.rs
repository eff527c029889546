//! The quantile loss, over observed targets only.

use tch::{Kind, Tensor};

use crate::network::Torch;

/// Sum of the quantile losses of a batch and the number of observed targets it is the sum over.
///
/// `raw` is `[n, steps, targets · quantiles]` with each target's quantiles together, `truth` `[n, steps, targets]`
/// with NaN where nothing was observed, `levels` `[quantiles]`. For each observed target: the mean over quantiles q of
/// 2 · max((q − 1) e, q e) with e = truth − prediction (Koenker & Bassett 1978; twice the pinball, so that q = ½ is
/// the absolute error).
pub(crate) fn quantile_loss(raw: &Tensor, truth: &Tensor, levels: &Tensor) -> Torch<(Tensor, Tensor)> {
    let (n, steps, targets) = truth.size3()?;
    let observed = truth.f_isnan()?.f_logical_not()?;
    let count = observed.f_sum(Kind::Float)?;
    let truth = truth.f_nan_to_num(Some(0.0), None::<f64>, None::<f64>)?.f_unsqueeze(-1)?;
    let quantiles = raw.f_view([n, steps, targets, -1])?;
    let error = truth.f_sub(&quantiles)?;
    let loss = error.f_mul(&levels.f_sub_scalar(1.0)?)?.f_maximum(&error.f_mul(levels)?)?;
    let by_target = loss.f_mean_dim(-1, false, Kind::Float)?.f_mul_scalar(2.0)?;
    let sum = by_target.f_mul(&observed.f_to_kind(Kind::Float)?)?.f_sum(Kind::Float)?;
    Ok((sum, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_observed_targets_count() {
        // One window, one step, two targets of which the second is missing; quantiles 0.1, 0.5, 0.9.
        let raw = Tensor::from_slice(&[1f32, 2.0, 5.0, 7.0, 7.0, 7.0]).view([1, 1, 6]);
        let truth = Tensor::from_slice(&[3f32, f32::NAN]).view([1, 1, 2]);
        let levels = Tensor::from_slice(&[0.1f32, 0.5, 0.9]);
        let (sum, count) = quantile_loss(&raw, &truth, &levels).expect("shapes fit");
        assert_eq!(count.double_value(&[]), 1.0);
        // (0.1 · 2 + 0.5 · 1 + 0.1 · 2) · 2 / 3
        assert!((sum.double_value(&[]) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn missing_targets_have_no_gradient() {
        let raw = Tensor::zeros([1, 2, 3], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let truth = Tensor::from_slice(&[1f32, f32::NAN]).view([1, 2, 1]);
        let levels = Tensor::from_slice(&[0.1f32, 0.5, 0.9]);
        let (sum, _) = quantile_loss(&raw, &truth, &levels).expect("shapes fit");
        let gradient = Tensor::run_backward(&[sum], &[&raw], false, false).remove(0);
        assert!(gradient.select(1, 0).abs().min().double_value(&[]) > 0.0);
        assert_eq!(gradient.select(1, 1).abs().max().double_value(&[]), 0.0);
    }
}
