//! AdamW on one flat parameter vector, its schedule, and the running average of the weights.

use tch::{Kind, Tensor};

use crate::network::Torch;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Learning rate over a whole run: a linear rise, then half a cosine down (Smith 2018, Loshchilov & Hutter 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) peak: f64,
    pub(crate) steps: u64,
}

impl Schedule {
    /// Part of the run in which the rate rises.
    const RISE: f64 = 0.05;
    /// The last rate, relative to the peak.
    const LAST: f64 = 0.01;

    /// The rate of a step, counted from 0.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        let done = (step as f64 + 0.5) / self.steps.max(1) as f64;
        if done < Self::RISE {
            return self.peak * done / Self::RISE;
        }
        let along = ((done - Self::RISE) / (1.0 - Self::RISE)).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * along).cos());
        self.peak * (Self::LAST + (1.0 - Self::LAST) * cosine)
    }
}

/// AdamW (Loshchilov & Hutter 2019): decay is applied to the weights themselves, and only where the mask says so.
#[derive(Debug)]
pub(crate) struct AdamW {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    decay: Tensor,
    weight_decay: f64,
    /// Steps taken.
    pub(crate) steps: u64,
}

impl AdamW {
    /// `decay_mask` is 1 where weights decay, else 0, and has the parameters' length.
    pub(crate) fn new(decay_mask: Tensor, weight_decay: f64) -> Torch<Self> {
        let zeros = || decay_mask.f_zeros_like();
        Ok(Self {
            first: zeros()?,
            second: zeros()?,
            decay: decay_mask,
            weight_decay,
            steps: 0,
        })
    }

    /// One step against a gradient, in place.
    pub(crate) fn step(
        &mut self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        rate: f64,
    ) -> Torch<()> {
        self.steps += 1;
        let steps = self.steps as f64;
        let _ = self.first.f_lerp_(gradient, 1.0 - BETA1)?;
        let square = gradient.f_square()?;
        let _ = self.second.f_lerp_(&square, 1.0 - BETA2)?;
        let keep = self
            .decay
            .f_mul_scalar(-rate * self.weight_decay)?
            .f_add_scalar(1.0)?;
        let _ = parameters.f_mul_(&keep)?;
        let root = self
            .second
            .f_div_scalar(1.0 - BETA2.powf(steps))?
            .f_sqrt_()?
            .f_add_scalar_(EPS)?;
        let change = self
            .first
            .f_div(&root)?
            .f_mul_scalar_(-rate / (1.0 - BETA1.powf(steps)))?;
        let _ = parameters.f_add_(&change)?;
        Ok(())
    }
}

/// Scales a gradient down to a norm; returns the norm it had. A gradient with NaN or infinity has no usable norm.
pub(crate) fn clip(gradient: &mut Tensor, most: f64) -> Torch<f64> {
    let norm = f64::try_from(gradient.f_norm()?.f_to_kind(Kind::Double)?)?;
    if norm > most && norm.is_finite() {
        let _ = gradient.f_mul_scalar_(most / norm)?;
    }
    Ok(norm)
}

/// Average of the weights over the last steps (Polyak & Juditsky 1992): steadier than the last ones, free of cost.
#[derive(Debug)]
pub(crate) struct Average {
    pub(crate) weights: Tensor,
    keep: f64,
    /// Weights averaged.
    pub(crate) steps: u64,
}

impl Average {
    pub(crate) fn new(parameters: &Tensor, keep: f64) -> Torch<Self> {
        Ok(Self {
            weights: copy(parameters)?,
            keep,
            steps: 0,
        })
    }

    pub(crate) fn update(&mut self, parameters: &Tensor) -> Torch<()> {
        self.steps += 1;
        // The first steps are averaged evenly, or the start would linger.
        let keep = self
            .keep
            .min((self.steps as f64) / (self.steps as f64 + 9.0));
        let _ = self.weights.f_lerp_(&parameters.f_detach()?, 1.0 - keep)?;
        Ok(())
    }
}

/// A copy that shares neither memory nor derivative with the original.
pub(crate) fn copy(tensor: &Tensor) -> Torch<Tensor> {
    let mut copy = tensor.f_detach()?.f_zeros_like()?;
    copy.f_copy_(&tensor.f_detach()?)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_once() {
        let schedule = Schedule {
            peak: 1e-3,
            steps: 1_000,
        };
        let rates: Vec<f64> = (0..1_000).map(|step| schedule.rate(step)).collect();
        let top = rates.iter().position(|rate| *rate >= 0.999e-3).unwrap_or(0);
        assert!(rates[..top].is_sorted() && rates[top + 5..].iter().rev().is_sorted());
        assert!(rates[0] < 2e-5 && rates[999] < 2e-5);
    }

    #[test]
    fn adam_finds_the_bottom_of_a_bowl() {
        let goal = Tensor::from_slice(&[3f32, -2.0, 0.5]);
        let mut x = Tensor::zeros_like(&goal);
        let mut adam = AdamW::new(Tensor::zeros_like(&goal), 0.0).expect("is small");
        for _ in 0..2_000 {
            let gradient = &x - &goal;
            adam.step(&mut x, &gradient, 0.01).expect("is small");
        }
        assert!((&x - &goal).abs().max().double_value(&[]) < 1e-3);
    }

    #[test]
    fn a_long_gradient_is_shortened() {
        let mut gradient = Tensor::from_slice(&[3f32, 4.0]);
        assert_eq!(clip(&mut gradient, 1.0).expect("is small"), 5.0);
        assert!((gradient.norm().double_value(&[]) - 1.0).abs() < 1e-6);
    }
}
