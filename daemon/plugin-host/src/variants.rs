//! From a window and edits to variants of the window. Pure, and the same for every engine.

use std::fmt;

use crate::services::model::{MetricRange, WindowShape};

/// As a metric's position: all metrics.
pub const EVERY_METRIC: u32 = u32::MAX;

/// What an edit does to each value it covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Makes it missing.
    Mask,
    /// Replaces it by the profile's typical value.
    Typical,
    /// Sets it.
    Set(f32),
    /// Adds to it; a missing value stays missing.
    Add(f32),
    /// Multiplies it; a missing value stays missing.
    Scale(f32),
    /// Lowers it to at most this.
    AtMost(f32),
    /// Raises it to at least this.
    AtLeast(f32),
    /// Replaces it by the value of the same step, counted from this position in the batch's values.
    Replace(u32),
}

/// One change to one variant, over context steps `from_step` to `to_step` (not included).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edit {
    /// Which variant.
    pub variant: u32,
    /// Which metric; [`EVERY_METRIC`] for all.
    pub metric: u32,
    /// What happens.
    pub change: Change,
    /// First step.
    pub from_step: u32,
    /// Step after the last.
    pub to_step: u32,
}

/// Why an edit cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantError {
    /// Position of the edit.
    pub edit: usize,
    /// `invalid_edit` or `unknown_metric`.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for VariantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edit {}: {}", self.edit, self.reason)
    }
}

/// Variants of one window, and the edits that make them.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantBatch {
    /// How many variants.
    pub variants: u32,
    /// The edits; those of one variant apply in their order.
    pub edits: Vec<Edit>,
    /// What [`Change::Replace`] reads.
    pub values: Vec<f32>,
}

/// How often edits may change each value of their variants, on average: what they cost is bounded by the batch's size.
const MAX_CHANGES: usize = 16;

impl VariantBatch {
    /// The variants one after the other, each laid out as `window`: metric by metric, oldest step first. Values that
    /// an edit sets are brought into the metric's range, and infinite ones to the largest number; NaN stays missing.
    pub fn apply(
        &self,
        shape: &WindowShape,
        window: &[f32],
        typical: &[f32],
    ) -> Result<Vec<f32>, VariantError> {
        debug_assert_eq!(window.len(), shape.metrics.len() * shape.context_steps);
        debug_assert_eq!(typical.len(), window.len());
        let most = MAX_CHANGES * self.variants as usize * window.len();
        let mut changed = 0;
        for (position, edit) in self.edits.iter().enumerate() {
            let refused = |(code, reason)| VariantError {
                edit: position,
                code,
                reason,
            };
            self.check(edit, shape).map_err(refused)?;
            let metrics = match edit.metric {
                EVERY_METRIC => shape.metrics.len(),
                _ => 1,
            };
            changed += metrics * (edit.to_step - edit.from_step) as usize;
            if changed > most {
                let reason =
                    format!("the edits change each value more than {MAX_CHANGES} times on average");
                return Err(refused(("invalid_edit", reason)));
            }
        }
        let mut variants = window.repeat(self.variants as usize);
        for edit in &self.edits {
            let variant = edit.variant as usize * window.len();
            let metrics = match edit.metric {
                EVERY_METRIC => 0..shape.metrics.len(),
                metric => metric as usize..metric as usize + 1,
            };
            let (from, to) = (edit.from_step as usize, edit.to_step as usize);
            for metric in metrics {
                let row = metric * shape.context_steps;
                let typical = &typical[row + from..row + to];
                let replacements = match edit.change {
                    Change::Replace(at) => &self.values[at as usize..at as usize + to - from],
                    _ => typical,
                };
                let values = &mut variants[variant + row + from..variant + row + to];
                change(edit.change, values, replacements, &shape.metrics[metric]);
            }
        }
        Ok(variants)
    }

    fn check(&self, edit: &Edit, shape: &WindowShape) -> Result<(), (&'static str, String)> {
        let invalid = |reason| Err(("invalid_edit", reason));
        if edit.variant >= self.variants {
            return invalid(format!("variant {} of {}", edit.variant, self.variants));
        }
        if edit.metric != EVERY_METRIC && edit.metric as usize >= shape.metrics.len() {
            return Err((
                "unknown_metric",
                format!("metric {} of {}", edit.metric, shape.metrics.len()),
            ));
        }
        if edit.from_step > edit.to_step || edit.to_step as usize > shape.context_steps {
            return invalid(format!(
                "steps {} to {} of {}",
                edit.from_step, edit.to_step, shape.context_steps
            ));
        }
        match edit.change {
            Change::Set(x)
            | Change::Add(x)
            | Change::Scale(x)
            | Change::AtMost(x)
            | Change::AtLeast(x)
                if !x.is_finite() =>
            {
                invalid("its amount is not a finite number".to_owned())
            }
            Change::Replace(at) => {
                let end = u64::from(at) + u64::from(edit.to_step - edit.from_step);
                if end > self.values.len() as u64 {
                    return invalid(format!("values up to {end} of {}", self.values.len()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Makes a change on a stretch of one metric. What to do is decided once, so that each loop is one that the compiler
/// makes vectors of.
fn change(change: Change, values: &mut [f32], replacements: &[f32], range: &MetricRange) {
    let legal = |new: f32| {
        let within = new.max(range.min).min(range.max);
        if new.is_nan() {
            f32::NAN
        } else {
            within.clamp(f32::MIN, f32::MAX)
        }
    };
    match change {
        Change::Mask => values.fill(f32::NAN),
        Change::Set(amount) => values.fill(legal(amount)),
        Change::Typical | Change::Replace(_) => {
            for (value, new) in values.iter_mut().zip(replacements) {
                *value = legal(*new);
            }
        }
        // Arithmetic keeps NaN, and NaN is neither above nor below a limit.
        Change::Add(amount) => values.iter_mut().for_each(|v| *v = legal(*v + amount)),
        Change::Scale(factor) => values.iter_mut().for_each(|v| *v = legal(*v * factor)),
        Change::AtMost(limit) => {
            let above = values.iter_mut().filter(|value| **value > limit);
            above.for_each(|value| *value = legal(limit));
        }
        Change::AtLeast(limit) => {
            let below = values.iter_mut().filter(|value| **value < limit);
            below.for_each(|value| *value = legal(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape() -> WindowShape {
        let metric = |name: &str, max| MetricRange {
            name: name.to_owned(),
            min: 0.0,
            max,
        };
        WindowShape {
            context_steps: 3,
            horizon_steps: 2,
            step_secs: 300,
            origin_ms: 0,
            quantile_levels: vec![0.5],
            metrics: vec![metric("cpu", 100.0), metric("load", f32::INFINITY)],
            profile: "generic".into(),
            model: "m".into(),
        }
    }

    const NAN: f32 = f32::NAN;
    const WINDOW: [f32; 6] = [10.0, 20.0, NAN, 1.0, 2.0, 3.0];
    const TYPICAL: [f32; 6] = [5.0, 6.0, 7.0, 8.0, 9.0, 150.0];

    fn edit(metric: u32, change: Change, from_step: u32, to_step: u32) -> Edit {
        Edit {
            variant: 0,
            metric,
            change,
            from_step,
            to_step,
        }
    }

    #[track_caller]
    fn check(edits: &[Edit], expected: [f32; 6]) {
        let batch = VariantBatch {
            variants: 1,
            edits: edits.to_vec(),
            values: vec![-1.0, 50.0, NAN, 1000.0],
        };
        let made = batch.apply(&shape(), &WINDOW, &TYPICAL).expect("valid");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&made), bits(&expected), "{made:?}");
    }

    #[test]
    fn values_are_not_changed_over_and_over() {
        let batch = |edits: usize| VariantBatch {
            variants: 1,
            edits: vec![edit(EVERY_METRIC, Change::Add(1.0), 0, 3); edits],
            values: Vec::new(),
        };
        assert!(batch(16).apply(&shape(), &WINDOW, &TYPICAL).is_ok());
        let error = batch(17).apply(&shape(), &WINDOW, &TYPICAL);
        let error = error.expect_err("too many");
        assert_eq!((error.edit, error.code), (16, "invalid_edit"));
    }

    #[test]
    fn every_change_does_what_it_says() {
        check(&[], WINDOW);
        check(
            &[edit(0, Change::Mask, 0, 2)],
            [NAN, NAN, NAN, 1.0, 2.0, 3.0],
        );
        check(
            &[edit(EVERY_METRIC, Change::Typical, 2, 3)],
            [10.0, 20.0, 7.0, 1.0, 2.0, 150.0],
        );
        check(
            &[edit(0, Change::Set(120.0), 2, 3)],
            [10.0, 20.0, 100.0, 1.0, 2.0, 3.0],
        );
        check(
            &[edit(0, Change::Add(-15.0), 0, 3)],
            [0.0, 5.0, NAN, 1.0, 2.0, 3.0],
        );
        check(
            &[edit(0, Change::Scale(0.5), 0, 3)],
            [5.0, 10.0, NAN, 1.0, 2.0, 3.0],
        );
        check(
            &[edit(1, Change::AtMost(1.5), 0, 3)],
            [10.0, 20.0, NAN, 1.0, 1.5, 1.5],
        );
        check(
            &[edit(0, Change::AtLeast(15.0), 0, 3)],
            [15.0, 20.0, NAN, 1.0, 2.0, 3.0],
        );
        check(
            &[edit(0, Change::Replace(1), 0, 3)],
            [50.0, NAN, 100.0, 1.0, 2.0, 3.0],
        );
        check(
            &[
                edit(0, Change::Set(4.0), 0, 3),
                edit(0, Change::Scale(2.0), 0, 1),
            ],
            [8.0, 4.0, 4.0, 1.0, 2.0, 3.0],
        );
    }

    #[test]
    fn variants_are_apart() {
        let batch = VariantBatch {
            variants: 3,
            edits: vec![Edit {
                variant: 1,
                ..edit(0, Change::Set(1.0), 0, 1)
            }],
            values: Vec::new(),
        };
        let made = batch.apply(&shape(), &WINDOW, &TYPICAL).expect("valid");
        assert_eq!((made[0], made[6], made[12]), (10.0, 1.0, 10.0));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (bad, code) in [
            (
                Edit {
                    variant: 1,
                    ..edit(0, Change::Mask, 0, 1)
                },
                "invalid_edit",
            ),
            (edit(2, Change::Mask, 0, 1), "unknown_metric"),
            (edit(0, Change::Mask, 2, 1), "invalid_edit"),
            (edit(0, Change::Mask, 0, 4), "invalid_edit"),
            (edit(0, Change::Set(NAN), 0, 1), "invalid_edit"),
            (edit(0, Change::Replace(u32::MAX), 0, 3), "invalid_edit"),
        ] {
            let batch = VariantBatch {
                variants: 1,
                edits: vec![edit(0, Change::Mask, 0, 1), bad],
                values: vec![0.0; 2],
            };
            let error = batch.apply(&shape(), &WINDOW, &TYPICAL).expect_err(code);
            assert_eq!((error.edit, error.code), (1, code), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_edit_panics_or_leaves_the_range(
            raw in proptest::collection::vec(
                (0u32..3, 0u32..4, 0usize..8, any::<f32>(), 0u32..5, 0u32..5, any::<u32>()), 0..8),
        ) {
            let edits = raw.into_iter().map(|(variant, metric, kind, x, from_step, to_step, at)| Edit {
                variant,
                metric: if metric == 3 { EVERY_METRIC } else { metric },
                change: [Change::Mask, Change::Typical, Change::Set(x), Change::Add(x), Change::Scale(x),
                    Change::AtMost(x), Change::AtLeast(x), Change::Replace(at % 8)][kind],
                from_step,
                to_step,
            });
            let batch = VariantBatch { variants: 2, edits: edits.collect(), values: vec![7.0; 6] };
            if let Ok(made) = batch.apply(&shape(), &WINDOW, &TYPICAL) {
                prop_assert_eq!(made.len(), 12);
                prop_assert!(made.iter().all(|v| v.is_nan() || *v >= 0.0));
            }
        }
    }
}
