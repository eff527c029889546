//! The forecasting model. A subject's window stays in the host; a plugin describes variants of it by [`Edit`]s and asks
//! for [`Output`]s; all variants of one call run as one batch. See [`Host::window`](crate::Host::window).
#![cfg_attr(
    not(target_arch = "wasm32"),
    expect(
        clippy::useless_conversion,
        reason = "in a component the imports have an error type of their own"
    )
)]

use std::ops::Range;

use crate::error::Error;

pub use crate::bindings::host::model::{Change, Edit, Output, Selection, Shape};

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::model::Window as Backend;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::fake::Window as Backend;

/// Instead of a metric's index: all metrics.
pub const EVERY_METRIC: u32 = u32::MAX;

/// One subject's context as the model saw it in its newest forecast, kept in the host.
#[derive(Debug)]
pub struct Window {
    pub(crate) window: Backend,
}

impl Window {
    /// What the window and its model look like.
    pub fn shape(&self) -> Shape {
        self.window.shape()
    }

    /// A metric's values over the context, NaN where missing.
    pub fn values(&self, metric: u32) -> Result<Vec<f32>, Error> {
        self.window.values(metric).map_err(Error::from)
    }

    /// The metric's typical values over the same hours for the subject's profile.
    pub fn typical(&self, metric: u32) -> Result<Vec<f32>, Error> {
        self.window.typical(metric).map_err(Error::from)
    }

    /// Runs the model on variants `0..variants`, each the window with its edits, and returns the outputs variant by
    /// variant: `variants × outputs` numbers, NaN where the model gives none. `values` are what
    /// [`Edit::replace`] refers to.
    ///
    /// Errors, by code: `invalid_edit`, `unknown_metric`, `unknown_output`, `budget_exhausted`, `no_model`,
    /// `model_busy`, `model_failed`.
    pub fn predict(
        &self,
        variants: u32,
        edits: &[Edit],
        values: &[f32],
        outputs: &[Output],
    ) -> Result<Vec<f32>, Error> {
        self.window
            .predict(variants, edits, values, outputs)
            .map_err(Error::from)
    }

    /// The network's attention: a row per step ahead, in it a weight for each context step and then for each step
    /// ahead. Each row adds up to 1.
    pub fn attention(&self) -> Result<Vec<f32>, Error> {
        self.window.attention().map_err(Error::from)
    }

    /// Weights of a variable selection, row by row; columns are named by [`variable_names`](Window::variable_names).
    pub fn variable_weights(&self, of: Selection) -> Result<Vec<f32>, Error> {
        self.window.variable_weights(of).map_err(Error::from)
    }

    /// Names of the columns of a variable selection.
    pub fn variable_names(&self, of: Selection) -> Vec<String> {
        let names = self.window.variable_names(of);
        names.lines().map(str::to_owned).collect()
    }
}

impl Shape {
    /// Names of the metrics, by index.
    pub fn metric_names(&self) -> Vec<&str> {
        self.metrics.lines().collect()
    }

    /// Index of a metric.
    pub fn metric(&self, name: &str) -> Option<u32> {
        let position = self.metrics.lines().position(|metric| metric == name)?;
        u32::try_from(position).ok()
    }
}

impl Edit {
    /// A change to one metric of one variant over a span of context steps. `amount` matters to `Set`, `Add`, `Scale`,
    /// `AtMost` and `AtLeast`.
    pub fn new(variant: u32, metric: u32, change: Change, steps: Range<u32>, amount: f32) -> Self {
        Self {
            variant,
            metric,
            change,
            from_step: steps.start,
            to_step: steps.end,
            amount,
            values_at: 0,
        }
    }

    /// Makes values missing.
    pub fn mask(variant: u32, metric: u32, steps: Range<u32>) -> Self {
        Self::new(variant, metric, Change::Mask, steps, 0.0)
    }

    /// Replaces values by the typical ones of the subject's profile.
    pub fn typical(variant: u32, metric: u32, steps: Range<u32>) -> Self {
        Self::new(variant, metric, Change::Typical, steps, 0.0)
    }

    /// Replaces values by those of the call's `values` that begin at `values_at`, one per step.
    pub fn replace(variant: u32, metric: u32, steps: Range<u32>, values_at: u32) -> Self {
        Self {
            values_at,
            ..Self::new(variant, metric, Change::Replace, steps, 0.0)
        }
    }
}

impl Output {
    /// The risk, 0 to 100.
    pub fn risk() -> Self {
        Self::named("risk")
    }

    /// The risk before the floor that holds while the subject is in breach.
    pub fn risk_unclamped() -> Self {
        Self::named("risk-unclamped")
    }

    /// A quantile of a metric at a step ahead (from 1), in the metric's unit.
    pub fn quantile(metric: u32, step: u32, level: f32) -> Self {
        Self {
            metric,
            step,
            level,
            ..Self::named("quantile")
        }
    }

    /// The probability that a metric crosses its critical threshold within the first `step` steps.
    pub fn breach_probability(metric: u32, step: u32) -> Self {
        Self {
            metric,
            step,
            ..Self::named("breach-probability")
        }
    }

    fn named(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            metric: 0,
            step: 0,
            level: 0.0,
        }
    }
}
