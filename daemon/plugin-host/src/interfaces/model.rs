//! `argus:plugin/model`: windows as handles, variants in batches, a budget of evaluations.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::argus::plugin::model::{self as wit, Host, HostWindow};
use crate::bindings::argus::plugin::types::{Error, Pair};
use crate::call::CallState;
use crate::kinds::disarm::disarmed;
use crate::kinds::reported;
use crate::services::model::{
    Change, Edit, Output, Selection, VariantBatch, Window as Opened, WindowShape,
};

/// What a call has asked of the model so far.
#[derive(Debug, Default)]
pub(crate) struct CallModel {
    /// Evaluations used up.
    pub evaluations: u32,
}

/// What a handle stands for.
pub struct Window {
    opened: Arc<dyn Opened>,
    /// Attention and variable weights come from one evaluation.
    interpreted: bool,
}

/// Outputs per variant.
const MAX_OUTPUTS: usize = 256;
/// Windows open at a time.
const MAX_WINDOWS: usize = 16;
/// Variants are made at once up to this: a fraction of a millisecond, edits included. More is left to another thread.
const INLINE_BATCH_BYTES: usize = 1 << 20;
/// Variants are made in memory before they are evaluated.
const MAX_BATCH_BYTES: usize = 256 << 20;

type Handle = Resource<Window>;
type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for CallState {
    async fn open(&mut self, entity: String, options: Vec<Pair>) -> Answer<Handle> {
        let Some(service) = self.services.model.clone() else {
            return Err(wasmtime::Error::msg("there is no model"));
        };
        let mut origin_ms = None;
        for Pair { name, value } in options {
            match (name.as_str(), value.parse()) {
                ("at-ms", Ok(ms)) => origin_ms = Some(ms),
                _ => {
                    let name: String = name.chars().take(64).collect();
                    let message = format!("option {name:?} is unknown, or its value unusable");
                    return Ok(Err(reported("invalid_option", message)));
                }
            }
        }
        if self.resources.iter_mut().count() >= MAX_WINDOWS {
            let message = format!("a call may hold {MAX_WINDOWS} windows");
            return Ok(Err(reported("too_many_windows", message)));
        }
        match service.open(entity, origin_ms).await {
            Ok(opened) => {
                let window = Window {
                    opened,
                    interpreted: false,
                };
                Ok(Ok(self.resources.push(window)?))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn evaluations_left(&mut self) -> wasmtime::Result<u32> {
        Ok(self.evaluations_budget())
    }
}

impl HostWindow for CallState {
    async fn shape(&mut self, window: Handle) -> wasmtime::Result<wit::Shape> {
        let opened = self.opened(&window)?;
        let shape = opened.shape();
        let names: Vec<&str> = shape.metrics.iter().map(|m| m.name.as_str()).collect();
        Ok(wit::Shape {
            context_steps: narrow(shape.context_steps),
            horizon_steps: narrow(shape.horizon_steps),
            step_secs: shape.step_secs,
            origin_ms: shape.origin_ms,
            quantile_levels: shape.quantile_levels.clone(),
            metrics: names.join("\n"),
            profile: disarmed(shape.profile.clone()),
            model: disarmed(shape.model.clone()),
        })
    }

    async fn values(&mut self, window: Handle, metric: u32) -> Answer<Vec<f32>> {
        let opened = self.opened(&window)?;
        self.row(opened.shape(), opened.values(), metric)
    }

    async fn typical(&mut self, window: Handle, metric: u32) -> Answer<Vec<f32>> {
        let opened = self.opened(&window)?;
        self.row(opened.shape(), opened.typical(), metric)
    }

    async fn predict(
        &mut self,
        window: Handle,
        variants: u32,
        edits: Vec<wit::Edit>,
        values: Vec<f32>,
        outputs: Vec<wit::Output>,
    ) -> Answer<Vec<f32>> {
        let opened = self.opened(&window)?;
        self.received(size_of_val(edits.as_slice()) + size_of_val(values.as_slice()));
        let shape = opened.shape();
        let outputs = match select(shape, &outputs) {
            Ok(outputs) => outputs,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.spend(variants) {
            return Ok(Err(error));
        }
        let answers = (variants as usize).saturating_mul(outputs.len());
        self.hand_over(answers.saturating_mul(size_of::<f32>()))?;
        let batch_bytes = (variants as usize).saturating_mul(size_of_val(opened.values()));
        if batch_bytes > MAX_BATCH_BYTES {
            let most = MAX_BATCH_BYTES / size_of_val(opened.values()).max(1);
            let message = format!("at most {most} variants of this window at once");
            return Ok(Err(reported("invalid_edit", message)));
        }
        let batch = VariantBatch {
            variants,
            edits: edits.into_iter().map(edit).collect(),
            values,
        };
        let (opened_, counted) = (opened.clone(), outputs.len());
        let apply = move || batch.apply(opened_.shape(), opened_.values(), opened_.typical());
        let made = if batch_bytes <= INLINE_BATCH_BYTES {
            apply()
        } else {
            tokio::task::spawn_blocking(apply).await?
        };
        let made = match made {
            Ok(made) => made,
            Err(error) => return Ok(Err(reported(error.code, error.to_string()))),
        };
        let numbers = match opened.evaluate(made, outputs).await {
            Ok(numbers) => numbers,
            Err(error) => return Ok(Err(error.into())),
        };
        if numbers.len() != answers {
            debug_assert!(
                false,
                "{} numbers for {variants} × {counted}",
                numbers.len()
            );
            let message = "the model gave another number of answers than was asked for";
            return Ok(Err(reported("model_failed", message.to_owned())));
        }
        Ok(Ok(numbers))
    }

    async fn attention(&mut self, window: Handle) -> Answer<Vec<f32>> {
        if let Err(error) = self.interpret(&window)? {
            return Ok(Err(error));
        }
        let weights = self.opened(&window)?.attention().await;
        self.numbers(weights.map_err(Error::from))
    }

    async fn variable_weights(&mut self, window: Handle, of: wit::Selection) -> Answer<Vec<f32>> {
        if let Err(error) = self.interpret(&window)? {
            return Ok(Err(error));
        }
        let weights = self.opened(&window)?.variable_weights(selection(of)).await;
        self.numbers(weights.map_err(Error::from))
    }

    async fn variable_names(
        &mut self,
        window: Handle,
        of: wit::Selection,
    ) -> wasmtime::Result<String> {
        let names = self.opened(&window)?.variable_names(selection(of));
        Ok(disarmed(names.join("\n")))
    }

    async fn drop(&mut self, window: Handle) -> wasmtime::Result<()> {
        self.resources.delete(window)?;
        Ok(())
    }
}

impl CallState {
    fn opened(&self, window: &Handle) -> wasmtime::Result<Arc<dyn Opened>> {
        Ok(self.resources.get(window)?.opened.clone())
    }

    fn evaluations_budget(&self) -> u32 {
        let limit = self.loaded.limits.model_evaluations;
        limit.saturating_sub(self.model.evaluations)
    }

    fn spend(&mut self, evaluations: u32) -> Result<(), Error> {
        let left = self.evaluations_budget();
        if evaluations > left {
            let message = format!(
                "{evaluations} evaluations are asked for, {left} of {} are left to this call",
                self.loaded.limits.model_evaluations
            );
            return Err(reported("budget_exhausted", message));
        }
        self.model.evaluations += evaluations;
        Ok(())
    }

    /// Attention and weights of one window cost one evaluation together.
    fn interpret(&mut self, window: &Handle) -> Answer<()> {
        if self.resources.get(window)?.interpreted {
            return Ok(Ok(()));
        }
        if let Err(error) = self.spend(1) {
            return Ok(Err(error));
        }
        self.resources.get_mut(window)?.interpreted = true;
        Ok(Ok(()))
    }

    fn row(&mut self, shape: &WindowShape, numbers: &[f32], metric: u32) -> Answer<Vec<f32>> {
        let start = (metric as usize).saturating_mul(shape.context_steps);
        let end = start.saturating_add(shape.context_steps);
        match numbers.get(start..end) {
            Some(row) => self.numbers(Ok(row.to_vec())),
            None => Ok(Err(unknown_metric(metric, shape))),
        }
    }

    fn numbers(&mut self, numbers: Result<Vec<f32>, Error>) -> Answer<Vec<f32>> {
        if let Ok(numbers) = &numbers {
            self.hand_over(size_of_val(numbers.as_slice()))?;
        }
        Ok(numbers)
    }
}

fn unknown_metric(metric: u32, shape: &WindowShape) -> Error {
    let message = format!("there is no metric {metric}, only {}", shape.metrics.len());
    reported("unknown_metric", message)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn edit(from: wit::Edit) -> Edit {
    let change = match from.change {
        wit::Change::Mask => Change::Mask,
        wit::Change::Typical => Change::Typical,
        wit::Change::Set => Change::Set(from.amount),
        wit::Change::Add => Change::Add(from.amount),
        wit::Change::Scale => Change::Scale(from.amount),
        wit::Change::AtMost => Change::AtMost(from.amount),
        wit::Change::AtLeast => Change::AtLeast(from.amount),
        wit::Change::Replace => Change::Replace(from.values_at),
    };
    Edit {
        variant: from.variant,
        metric: from.metric,
        change,
        from_step: from.from_step,
        to_step: from.to_step,
    }
}

fn selection(of: wit::Selection) -> Selection {
    match of {
        wit::Selection::StaticVariables => Selection::Static,
        wit::Selection::ContextVariables => Selection::Context,
        wit::Selection::HorizonVariables => Selection::Horizon,
    }
}

/// Checks the outputs against the shape.
fn select(shape: &WindowShape, outputs: &[wit::Output]) -> Result<Vec<Output>, Error> {
    let unknown = |reason: String| reported("unknown_output", reason);
    if outputs.is_empty() || outputs.len() > MAX_OUTPUTS {
        return Err(unknown(format!(
            "a call asks for 1 to {MAX_OUTPUTS} outputs"
        )));
    }
    let one = |output: &wit::Output| {
        let (metric, step) = (output.metric as usize, output.step as usize);
        let of_metric = matches!(output.what.as_str(), "quantile" | "breach-probability");
        if of_metric && metric >= shape.metrics.len() {
            return Err(unknown_metric(output.metric, shape));
        }
        if of_metric && !(1..=shape.horizon_steps).contains(&step) {
            let reason = format!("step {step} is not 1 to {}", shape.horizon_steps);
            return Err(unknown(reason));
        }
        match output.what.as_str() {
            "risk" => Ok(Output::Risk),
            "risk-unclamped" => Ok(Output::RiskUnclamped),
            "risk-30m" => Ok(Output::Risk30m),
            "breach-probability" => Ok(Output::BreachProbability {
                metric,
                within: step,
            }),
            "quantile" => {
                let mut levels = shape.quantile_levels.iter();
                match levels.position(|level| (level - output.level).abs() < 1e-6) {
                    Some(level) => Ok(Output::Quantile {
                        metric,
                        step,
                        level,
                    }),
                    None => Err(unknown(format!(
                        "{} is no quantile level, there are {:?}",
                        output.level, shape.quantile_levels
                    ))),
                }
            }
            other => {
                let other: String = other.chars().take(64).collect();
                Err(unknown(format!("there is no output {other:?}")))
            }
        }
    };
    outputs.iter().map(one).collect()
}
