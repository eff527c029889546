//! For each action the least of it that brings the risk under the wanted level, else what helps most.
//!
//! All actions are tried together, batch by batch: first a coarse grid of strengths and spans, then for each action
//! that reaches the level a bisection between the least strength that does and the next weaker one.

use argus_plugin::Error;
use argus_plugin::model::{Edit, Output, Shape, Window};

use crate::action::{Action, Observed};

/// How long ago the action was taken, in steps: 1 h and 3 h at 5-minute steps.
const SPANS: [usize; 2] = [12, 36];
/// Each halves the distance to the least strength.
const REFINEMENTS: usize = 4;

/// An action at a strength over a span, and what the model makes of it.
#[derive(Debug, Clone)]
pub struct Tried {
    /// None: nothing was done.
    pub action: Option<Action>,
    pub strength: f32,
    pub steps: usize,
    /// Changed metrics with their values over the newest `steps`.
    pub changes: Vec<(String, Vec<f32>)>,
    pub risk: f32,
    pub risk_unclamped: f32,
    /// Median CPU used, where it is known.
    pub cpu_used: Option<f32>,
}

/// The model asked for variants.
pub struct Search<'a> {
    window: &'a Window,
    shape: Shape,
    observed: Observed,
    outputs: Vec<Output>,
    evaluations: u32,
}

impl<'a> Search<'a> {
    /// `cpu_step` is the step ahead whose CPU is told.
    ///
    /// # Errors
    /// The model's.
    pub fn new(window: &'a Window, cpu_step: u32) -> Result<Self, Error> {
        let shape = window.shape();
        let mut observed = Observed {
            step_secs: shape.step_secs,
            ..Observed::default()
        };
        for (metric, name) in (0..).zip(shape.metric_names()) {
            observed.own.insert(name.to_owned(), window.values(metric)?);
            observed
                .typical
                .insert(name.to_owned(), window.typical(metric)?);
        }
        let mut outputs = vec![Output::risk(), Output::risk_unclamped()];
        for name in [
            "cpu_idle_pct",
            "cpu_user_pct",
            "cpu_sys_pct",
            "cpu_iowait_pct",
        ] {
            if let Some(metric) = shape.metric(name) {
                outputs.push(Output::quantile(
                    metric,
                    cpu_step.min(shape.horizon_steps),
                    0.5,
                ));
            }
        }
        Ok(Self {
            window,
            shape,
            observed,
            outputs,
            evaluations: 0,
        })
    }

    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// What happens if nothing is done, and the best of each action that changes anything.
    ///
    /// # Errors
    /// The model's, or `no_prediction` where there is no risk to explain.
    pub fn run(&mut self, under: f32) -> Result<(Tried, Vec<Tried>), Error> {
        let context = self.shape.context_steps as usize;
        let mut spans: Vec<usize> = SPANS.iter().map(|span| *span.min(&context)).collect();
        spans.dedup();
        let mut plans = vec![self.plan(None, 0.0, 0)];
        for action in Action::all(&self.observed) {
            let strengths = action.strengths();
            for steps in &spans {
                let of_span = strengths
                    .iter()
                    .map(|s| self.plan(Some(action.clone()), *s, *steps));
                plans.extend(of_span.filter(|plan| !plan.changes.is_empty()));
            }
        }
        let mut tried = self.evaluate(plans)?;
        let nothing = tried.remove(0);
        if nothing.risk.is_nan() {
            let message = "there is no risk to explain: no observed metric has a threshold";
            return Err(Error::new("no_prediction", message));
        }
        // Where the risk is low enough as it is, what counts is how much lower it gets.
        let under = if nothing.risk < under {
            f32::MIN
        } else {
            under
        };
        let mut best: Vec<Tried> = Vec::new();
        for one in tried {
            match best.iter_mut().find(|best| best.action == one.action) {
                Some(best) if better(&one, best, under) => *best = one,
                Some(_) => {}
                None => best.push(one),
            }
        }
        self.refine(&mut best, under)?;
        Ok((nothing, best))
    }

    /// Takes strength away from what reaches the level.
    fn refine(&mut self, best: &mut [Tried], under: f32) -> Result<(), Error> {
        // The strength that is known to be too little; the first grid's next weaker one to begin with.
        let weaker = |best: &Tried| {
            let tried = best.action.as_ref().map_or(&[][..], Action::strengths);
            let weaker = tried.iter().rev().find(|s| **s < best.strength);
            weaker.copied().unwrap_or(0.0)
        };
        let mut too_little: Vec<f32> = best.iter().map(weaker).collect();
        for _ in 0..REFINEMENTS {
            let open: Vec<usize> = (0..best.len())
                .filter(|i| best[*i].risk < under)
                .filter(|i| best[*i].action.as_ref().is_some_and(Action::is_gradual))
                .collect();
            let halves = open.iter().map(|i| {
                let half = (best[*i].strength + too_little[*i]) / 2.0;
                self.plan(best[*i].action.clone(), half, best[*i].steps)
            });
            let plans: Vec<Tried> = halves.collect();
            for (i, tried) in open.into_iter().zip(self.evaluate(plans)?) {
                if tried.risk < under && !tried.changes.is_empty() {
                    best[i] = tried;
                } else {
                    too_little[i] = tried.strength;
                }
            }
        }
        Ok(())
    }

    fn plan(&self, action: Option<Action>, strength: f32, steps: usize) -> Tried {
        let changes = action
            .as_ref()
            .map(|a| a.apply(&self.observed, steps, strength));
        Tried {
            changes: changes.unwrap_or_default(),
            action,
            strength,
            steps,
            risk: f32::NAN,
            risk_unclamped: f32::NAN,
            cpu_used: None,
        }
    }

    /// Runs the plans as one batch.
    fn evaluate(&mut self, mut plans: Vec<Tried>) -> Result<Vec<Tried>, Error> {
        if plans.is_empty() {
            return Ok(plans);
        }
        let (mut edits, mut values) = (Vec::new(), Vec::new());
        let context = self.shape.context_steps;
        for (variant, plan) in (0..).zip(&plans) {
            for (name, series) in &plan.changes {
                let Some(metric) = self.shape.metric(name) else {
                    continue;
                };
                let span = context - plan.steps as u32..context;
                edits.push(Edit::replace(variant, metric, span, values.len() as u32));
                values.extend_from_slice(series);
            }
        }
        let variants = plans.len() as u32;
        let numbers = self
            .window
            .predict(variants, &edits, &values, &self.outputs)?;
        self.evaluations += variants;
        for (plan, row) in plans
            .iter_mut()
            .zip(numbers.chunks_exact(self.outputs.len()))
        {
            (plan.risk, plan.risk_unclamped) = (row[0], row[1]);
            plan.cpu_used = cpu_used(&row[2..]);
        }
        Ok(plans)
    }
}

/// From the medians of idle, user, sys and iowait: 100 − idle, else the sum of the others.
fn cpu_used(medians: &[f32]) -> Option<f32> {
    let (idle, parts) = medians.split_first()?;
    if !idle.is_nan() {
        return Some(100.0 - idle);
    }
    let seen: Vec<f32> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_nan())
        .collect();
    (!seen.is_empty()).then(|| seen.iter().sum::<f32>().min(100.0))
}

/// Among what reaches the level the weaker and then the shorter change; else the one that takes most risk away.
fn better(one: &Tried, other: &Tried, under: f32) -> bool {
    match (one.risk < under, other.risk < under) {
        (true, true) => (one.strength, one.steps) < (other.strength, other.steps),
        (false, false) => (one.risk, one.risk_unclamped) < (other.risk, other.risk_unclamped),
        (reaches, _) => reaches,
    }
}
