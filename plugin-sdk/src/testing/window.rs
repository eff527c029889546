//! A window and a model to run on it, for tests.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::error::Error;
use crate::model::{Change, EVERY_METRIC, Edit, Output, Selection, Shape};

/// A subject's context and a model: a function from the (edited) context to the outputs that are asked for.
///
/// ```
/// use argus_plugin::model::{Edit, Output};
/// use argus_plugin::testing;
///
/// // Risk is the newest value of the first metric.
/// let window = testing::Window::new(&["cpu_user_pct"], 3, 2, |context, _| context[0][2])
///     .values("cpu_user_pct", &[10.0, 20.0, 90.0])
///     .typical("cpu_user_pct", &[15.0, 15.0, 15.0]);
/// let host = testing::Host::new().with_window("web-1", window);
/// let window = host.window("web-1", &[]).unwrap();
/// let edits = [Edit::typical(1, 0, 0..3)];
/// let risks = window.predict(2, &edits, &[], &[Output::risk()]).unwrap();
/// assert_eq!(risks, [90.0, 15.0]);
/// ```
pub struct Window {
    shape: Shape,
    values: Vec<Vec<f32>>,
    typical: Vec<Vec<f32>>,
    model: Box<Model>,
    attention: Vec<f32>,
}

/// Context by metric and step, and what is asked for.
type Model = dyn Fn(&[Vec<f32>], &Output) -> f32;

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Window {
    /// A window of `context_steps` with every value missing. `model` is given the context by metric and step, and what
    /// is asked for.
    pub fn new(
        metrics: &[&str],
        context_steps: u32,
        horizon_steps: u32,
        model: impl Fn(&[Vec<f32>], &Output) -> f32 + 'static,
    ) -> Self {
        let missing = vec![vec![f32::NAN; context_steps as usize]; metrics.len()];
        let row = context_steps + horizon_steps;
        Self {
            shape: Shape {
                context_steps,
                horizon_steps,
                step_secs: 300,
                origin_ms: super::samples::NOW_MS,
                quantile_levels: vec![0.1, 0.5, 0.9],
                metrics: metrics.join("\n"),
                profile: "generic".into(),
                model: "fake".into(),
            },
            values: missing.clone(),
            typical: missing,
            model: Box::new(model),
            attention: vec![1.0 / row as f32; (horizon_steps * row) as usize],
        }
    }

    /// Sets a metric's values over the context, NaN where missing.
    ///
    /// # Panics
    /// If there is no such metric, or the number of values is not that of the context's steps.
    pub fn values(mut self, metric: &str, values: &[f32]) -> Self {
        let metric = self.metric(metric, values);
        self.values[metric] = values.to_vec();
        self
    }

    /// Sets a metric's typical values over the context.
    ///
    /// # Panics
    /// As [`values`](Window::values).
    pub fn typical(mut self, metric: &str, values: &[f32]) -> Self {
        let metric = self.metric(metric, values);
        self.typical[metric] = values.to_vec();
        self
    }

    /// Sets the attention, which is even without this.
    pub fn attention(mut self, weights: &[f32]) -> Self {
        self.attention = weights.to_vec();
        self
    }

    fn metric(&self, name: &str, values: &[f32]) -> usize {
        assert_eq!(
            values.len(),
            self.shape.context_steps as usize,
            "one value per context step"
        );
        self.shape.metric(name).expect("no such metric") as usize
    }

    /// The context with one variant's edits, in their order.
    fn edited(&self, variant: u32, edits: &[Edit], values: &[f32]) -> Result<Vec<Vec<f32>>, Error> {
        let mut context = self.values.clone();
        for edit in edits.iter().filter(|edit| edit.variant == variant) {
            let steps = edit.from_step as usize..edit.to_step as usize;
            let span = steps.len();
            let replacements = values.get(edit.values_at as usize..).unwrap_or_default();
            let lacks_values = edit.change == Change::Replace && replacements.len() < span;
            if edit.from_step > edit.to_step
                || edit.to_step > self.shape.context_steps
                || lacks_values
            {
                return Err(Error::new("invalid_edit", "an edit's span does not fit"));
            }
            let metrics = match edit.metric {
                EVERY_METRIC => 0..context.len(),
                one if (one as usize) < context.len() => one as usize..one as usize + 1,
                _ => return Err(unknown_metric()),
            };
            for metric in metrics {
                for (nth, step) in steps.clone().enumerate() {
                    let (old, amount) = (context[metric][step], edit.amount);
                    context[metric][step] = match edit.change {
                        Change::Mask => f32::NAN,
                        Change::Typical => self.typical[metric][step],
                        Change::Set => amount,
                        Change::Add => old + amount,
                        Change::Scale => old * amount,
                        // `f32::min` would turn a missing value into the amount.
                        Change::AtMost if old > amount => amount,
                        Change::AtLeast if old < amount => amount,
                        Change::AtMost | Change::AtLeast => old,
                        Change::Replace => replacements[nth],
                    };
                }
            }
        }
        Ok(context)
    }
}

fn unknown_metric() -> Error {
    Error::new("unknown_metric", "there is no such metric")
}

/// A window that a plugin opened.
#[derive(Debug)]
pub(crate) struct Opened {
    window: Rc<Window>,
    evaluations: Rc<Cell<u32>>,
}

impl Opened {
    pub(super) fn new(window: Rc<Window>, evaluations: Rc<Cell<u32>>) -> Self {
        Self {
            window,
            evaluations,
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.window.shape.clone()
    }

    pub(crate) fn values(&self, metric: u32) -> Result<Vec<f32>, Error> {
        let values = self.window.values.get(metric as usize);
        values.cloned().ok_or_else(unknown_metric)
    }

    pub(crate) fn typical(&self, metric: u32) -> Result<Vec<f32>, Error> {
        let typical = self.window.typical.get(metric as usize);
        typical.cloned().ok_or_else(unknown_metric)
    }

    pub(crate) fn predict(
        &self,
        variants: u32,
        edits: &[Edit],
        values: &[f32],
        outputs: &[Output],
    ) -> Result<Vec<f32>, Error> {
        if edits.iter().any(|edit| edit.variant >= variants) {
            return Err(Error::new("invalid_edit", "there is no such variant"));
        }
        self.spend(variants)?;
        let mut results = Vec::new();
        for variant in 0..variants {
            let context = self.window.edited(variant, edits, values)?;
            let answers = outputs
                .iter()
                .map(|output| (self.window.model)(&context, output));
            results.extend(answers);
        }
        Ok(results)
    }

    pub(crate) fn attention(&self) -> Result<Vec<f32>, Error> {
        self.spend(1)?;
        Ok(self.window.attention.clone())
    }

    pub(crate) fn variable_weights(&self, of: Selection) -> Result<Vec<f32>, Error> {
        self.spend(1)?;
        let columns = self.variable_names(of).lines().count();
        let rows = match of {
            Selection::StaticVariables => 1,
            Selection::ContextVariables => self.window.shape.context_steps,
            Selection::HorizonVariables => self.window.shape.horizon_steps,
        };
        Ok(vec![1.0 / columns as f32; rows as usize * columns])
    }

    pub(crate) fn variable_names(&self, of: Selection) -> String {
        match of {
            Selection::StaticVariables => "profile".into(),
            Selection::ContextVariables => self.window.shape.metrics.clone(),
            Selection::HorizonVariables => "hour".into(),
        }
    }

    fn spend(&self, evaluations: u32) -> Result<(), Error> {
        let left = self.evaluations.get().checked_sub(evaluations);
        let exhausted = || {
            Error::new(
                "budget_exhausted",
                "this call may not evaluate the model any further",
            )
        };
        self.evaluations.set(left.ok_or_else(exhausted)?);
        Ok(())
    }
}
