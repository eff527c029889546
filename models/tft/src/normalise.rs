//! Scaling of metrics: each window by a centre and scale of its own.
//!
//! Servers differ by orders of magnitude, so a metric is scaled by what it did in the entity's own context: the centre
//! is the median of its newest bins, so that zero means "as now" and a level that has just changed is not forecast
//! back to where it was; the scale is a blend of the interquartile range (deaf to spikes) and the standard deviation (which sees
//! a metric that is zero most of the time). A constant series has neither; its scale is a floor made from the metric's
//! usual scale in the training data and from the size of the centre.
//!
//! What the network needs to know of centre and scale it gets as static inputs, standardised with moments that are
//! fitted once over the training data ([`crate::NormaliserFit`]) and stored with the weights ([`NormaliserState`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entity_table::EntityTable;
use crate::transformation::Transformation;
use crate::window::is_observed;

/// The interquartile range of a normal distribution in standard deviations.
const NORMAL_IQR: f32 = 1.349;

/// How scales are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NormaliserConfig {
    /// Median of the newest bins, and a blend of interquartile range and standard deviation, of the window's own
    /// context.
    WindowRobust {
        /// Newest observed bins whose median is the centre; 0 for all of the context.
        #[serde(default)]
        center_bins: u32,
        /// Weight of the interquartile range (divided by 1.349).
        iqr_weight: f32,
        /// Weight of the standard deviation.
        deviation_weight: f32,
        /// Least scale as a share of the metric's usual scale.
        floor_of_usual: f32,
        /// Least scale as a share of the centre's size.
        floor_of_center: f32,
        /// Scaled inputs are cut off at plus and minus this.
        clip: f32,
    },
    /// Fitted tables, for imported models.
    ByEntity(EntityTable),
}

impl Default for NormaliserConfig {
    fn default() -> Self {
        Self::WindowRobust {
            center_bins: 6,
            iqr_weight: 0.5,
            deviation_weight: 0.5,
            floor_of_usual: 0.05,
            floor_of_center: 0.01,
            clip: 20.0,
        }
    }
}

impl NormaliserConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self::WindowRobust {
            iqr_weight,
            deviation_weight,
            floor_of_usual,
            floor_of_center,
            clip,
            ..
        } = self
        else {
            return self.table().map_or(Ok(()), EntityTable::check);
        };
        let not_negative = [*iqr_weight, *deviation_weight, *floor_of_center];
        let positive = [*floor_of_usual, *clip, iqr_weight + deviation_weight];
        if not_negative.iter().all(|x| x.is_finite() && *x >= 0.0)
            && positive.iter().all(|x| x.is_finite() && *x > 0.0)
        {
            return Ok(());
        }
        Err("`normaliser` needs finite weights and shares, not negative, and a positive clip and usual floor".to_owned())
    }

    /// Where scaled inputs are cut off.
    pub(crate) fn clip(&self) -> f32 {
        match self {
            Self::WindowRobust { clip, .. } => *clip,
            Self::ByEntity(_) => f32::MAX,
        }
    }

    /// The tables, where scales come from those.
    pub(crate) fn table(&self) -> Option<&EntityTable> {
        match self {
            Self::WindowRobust { .. } => None,
            Self::ByEntity(table) => Some(table),
        }
    }

    /// Centre and blended scale of the observed values, oldest first, before any floor; `None` without an observation.
    /// `observed` is working memory.
    pub(crate) fn measure(&self, values: &[f32], observed: &mut Vec<f32>) -> Option<(f32, f32)> {
        let Self::WindowRobust {
            center_bins,
            iqr_weight,
            deviation_weight,
            ..
        } = self
        else {
            return None;
        };
        observed.clear();
        observed.extend(values.iter().copied().filter(|value| is_observed(*value)));
        if observed.is_empty() {
            return None;
        }
        let newest = match *center_bins as usize {
            0 => observed.len(),
            bins => bins.min(observed.len()),
        };
        let mut recent = observed[observed.len() - newest..].to_vec();
        let count = observed.len() as f64;
        let mean = observed.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = observed
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / count;
        let iqr = quantile(observed, 0.75) - quantile(observed, 0.25);
        let scale = iqr_weight * iqr / NORMAL_IQR + deviation_weight * variance.sqrt() as f32;
        Some((quantile(&mut recent, 0.5), scale))
    }
}

/// A quantile, interpolated between the values beside it. Puts them into another order.
fn quantile(values: &mut [f32], level: f32) -> f32 {
    let position = level * (values.len() - 1) as f32;
    let (_, lower, above) = values.select_nth_unstable_by(position as usize, f32::total_cmp);
    let upper = above.iter().copied().min_by(f32::total_cmp);
    let upper = upper.unwrap_or(*lower);
    *lower + (upper - *lower) * (position - position.floor())
}

/// Centre and scale of one metric in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Median of the context's newest bins, in the metric's unit; 0 without an observation.
    pub center: f32,
    /// Greater than 0, in the metric's unit.
    pub scale: f32,
    /// Share of the context's bins that hold an observation; 0 means the metric was never seen.
    pub present: f32,
    /// What goes before scaling and after the way back; only fitted tables have one, and then centre and scale lie in
    /// its space.
    pub transformation: Option<Transformation>,
}

impl Scale {
    /// A value in units of the scale.
    pub fn normalise(&self, value: f32) -> f32 {
        let value = match self.transformation {
            None => value,
            Some(transformation) => transformation.forward(f64::from(value)) as f32,
        };
        (value - self.center) / self.scale
    }

    /// And back.
    pub fn restore(&self, normalised: f32) -> f32 {
        let value = normalised * self.scale + self.center;
        self.transformation
            .map_or(value, |transformation| transformation.reverse(value))
    }

    /// Whether the context holds an observation.
    pub fn is_observed(&self) -> bool {
        self.present > 0.0
    }
}

/// What is fitted once over the training data; one value per metric in each list.
#[derive(Debug, Clone, PartialEq)]
pub struct NormaliserState {
    /// Usual scale of a metric, greater than 0.
    pub usual_scale: Vec<f32>,
    /// Mean of the compressed centres.
    pub center_mean: Vec<f32>,
    /// Deviation of the compressed centres, greater than 0.
    pub center_deviation: Vec<f32>,
    /// Mean of the scales' logarithms.
    pub scale_mean: Vec<f32>,
    /// Deviation of the scales' logarithms, greater than 0.
    pub scale_deviation: Vec<f32>,
}

impl NormaliserState {
    /// Prefix of its tensors in `model.safetensors`.
    pub(crate) const PREFIX: &'static str = "normaliser.";

    /// A state that changes nothing: usual scales of 1, moments 0 and 1.
    pub fn neutral(metrics: usize) -> Self {
        let filled = |value: f32| vec![value; metrics];
        Self {
            usual_scale: filled(1.0),
            center_mean: filled(0.0),
            center_deviation: filled(1.0),
            scale_mean: filled(0.0),
            scale_deviation: filled(1.0),
        }
    }

    /// Its lists by tensor name.
    pub(crate) fn lists(&self) -> [(&'static str, &Vec<f32>); 5] {
        [
            ("normaliser.usual_scale", &self.usual_scale),
            ("normaliser.center_mean", &self.center_mean),
            ("normaliser.center_deviation", &self.center_deviation),
            ("normaliser.scale_mean", &self.scale_mean),
            ("normaliser.scale_deviation", &self.scale_deviation),
        ]
    }

    /// From its lists by tensor name.
    ///
    /// # Errors
    /// Names a list that is absent, of another length than `metrics`, not finite, or not positive where it must be.
    pub(crate) fn from_lists(
        lists: &mut BTreeMap<String, Vec<f32>>,
        metrics: usize,
    ) -> Result<Self, String> {
        let mut take = |name: &str, positive: bool| {
            let name = format!("{}{name}", Self::PREFIX);
            let list = lists
                .remove(&name)
                .ok_or_else(|| format!("`{name}` is missing"))?;
            let legal = |value: &f32| value.is_finite() && (!positive || *value > 0.0);
            if list.len() != metrics || !list.iter().all(legal) {
                let sign = if positive { " positive" } else { "" };
                return Err(format!("`{name}` must hold {metrics} finite{sign} values"));
            }
            Ok(list)
        };
        Ok(Self {
            usual_scale: take("usual_scale", true)?,
            center_mean: take("center_mean", false)?,
            center_deviation: take("center_deviation", true)?,
            scale_mean: take("scale_mean", false)?,
            scale_deviation: take("scale_deviation", true)?,
        })
    }

    /// Centre and scale of a metric's context `values` (NaN missing).
    pub(crate) fn scale(
        &self,
        config: &NormaliserConfig,
        metric: usize,
        values: &[f32],
        observed: &mut Vec<f32>,
    ) -> Scale {
        let (of_usual, of_center) = match config {
            NormaliserConfig::WindowRobust {
                floor_of_usual,
                floor_of_center,
                ..
            } => (*floor_of_usual, *floor_of_center),
            NormaliserConfig::ByEntity(_) => (1.0, 0.0),
        };
        let usual = self.usual_scale[metric];
        let measured = config.measure(values, observed);
        let (center, scale) = measured.map_or((0.0, usual), |(center, scale)| {
            (
                center,
                scale.max(of_usual * usual).max(of_center * center.abs()),
            )
        });
        let seen = if measured.is_some() {
            observed.len()
        } else {
            0
        };
        Scale {
            center,
            scale,
            present: seen as f32 / values.len().max(1) as f32,
            transformation: None,
        }
    }

    /// The static input that tells a centre; 0 (the mean) without an observation.
    pub(crate) fn center_input(&self, metric: usize, scale: &Scale) -> f32 {
        if scale.transformation.is_some() {
            return (scale.center - self.center_mean[metric]) / self.center_deviation[metric];
        }
        if !scale.is_observed() {
            return 0.0;
        }
        (compress(scale.center) - self.center_mean[metric]) / self.center_deviation[metric]
    }

    /// The static input that tells a scale; 0 (the mean) without an observation.
    pub(crate) fn scale_input(&self, metric: usize, scale: &Scale) -> f32 {
        if scale.transformation.is_some() {
            return (scale.scale - self.scale_mean[metric]) / self.scale_deviation[metric];
        }
        if !scale.is_observed() {
            return 0.0;
        }
        (scale.scale.ln() - self.scale_mean[metric]) / self.scale_deviation[metric]
    }
}

/// A logarithm that takes both signs and zero.
pub(crate) fn compress(value: f32) -> f32 {
    value.signum() * value.abs().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normaliser_fit::NormaliserFit;
    use crate::window::Window;

    fn scale_of(values: &[f32]) -> Scale {
        NormaliserState::neutral(1).scale(&NormaliserConfig::default(), 0, values, &mut Vec::new())
    }

    #[test]
    fn zeros_constants_and_gaps_have_a_usable_scale() {
        let cases: [(&[f32], f32); 6] = [
            (&[0.0; 288], 0.0),
            (&[43.5; 288], 43.5),
            (&[1e6; 12], 1e6),
            (&[f32::NAN; 20], 0.0),
            (&[f32::NAN, 7.0, f32::NAN], 7.0),
            (&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 90.0], 0.0),
        ];
        for (values, center) in cases {
            let scale = scale_of(values);
            assert_eq!(scale.center, center, "{values:?}");
            assert!(
                scale.scale.is_finite() && scale.scale >= 0.05,
                "{values:?} {scale:?}"
            );
        }
        assert!(!scale_of(&[f32::NAN; 20]).is_observed());
        assert!(scale_of(&[1e6; 12]).scale >= 1e4);
    }

    #[test]
    fn restore_undoes_normalise() {
        let scale = scale_of(&[3.0, 9.0, 4.0, 1.0, 12.0]);
        for value in [-5.0, 0.0, 4.0, 1e4] {
            assert!(
                (scale.restore(scale.normalise(value)) - value).abs()
                    <= 1e-5 * value.abs().max(1.0)
            );
        }
    }

    #[test]
    fn fit_standardises_what_it_saw() {
        let config = NormaliserConfig::default();
        let mut fit = NormaliserFit::new(&config, 1);
        let series: Vec<Vec<f32>> = (1..50)
            .map(|level| {
                (0..48)
                    .map(|t| (level * 3) as f32 + (t % 7) as f32 * level as f32)
                    .collect()
            })
            .collect();
        let status = [0u8; 48];
        for values in &series {
            let values = vec![values.as_slice()];
            fit.observe(&Window {
                entity: "",
                end_bin_ms: 0,
                step_secs: 300,
                values,
                status: &status,
                profile: "",
                usual: None,
            });
        }
        let state = fit.finish();
        let scales: Vec<Scale> = series
            .iter()
            .map(|s| state.scale(&config, 0, s, &mut Vec::new()))
            .collect();
        let mean =
            scales.iter().map(|s| state.center_input(0, s)).sum::<f32>() / scales.len() as f32;
        let square = scales
            .iter()
            .map(|s| state.scale_input(0, s).powi(2))
            .sum::<f32>()
            / scales.len() as f32;
        assert!(mean.abs() < 1e-3, "{mean}");
        assert!((square - 1.0).abs() < 0.05, "{square}");
    }
}
