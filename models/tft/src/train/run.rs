//! A run from its first step, or from its checkpoint, to its last.

use std::time::Duration;

use rand::Rng;
use serde_json::json;
use tch::Tensor;

use super::checkpoint::{self, Snapshot, values};
use super::feed::Preparation;
use super::fit::Fitted;
use super::gradient::Workers;
use super::keeper::Keeper;
use super::lesson::LossWeights;
use super::optimiser::{AdamW, Average, Schedule, clip, copy};
use super::sample::Shape;
use super::sampler::{Position, Sampler};
use super::seeds::seeded;
use super::validation::Judge;
use super::{Ending, Job, Milestone, Progress, TrainError, TrainReport, Trained, Watch};
use crate::features::Preparer;
use crate::network::Network;

/// What a step's random sequence for dropout is seeded with, beside the run's seed and the step.
const DROPOUT: u64 = 4;

/// Trains a network.
///
/// libtorch's own thread pool should be set to one thread ([`super::single_threaded_torch`]) when
/// [`super::TrainOptions::threads`] is above 1.
///
/// # Errors
/// When an option is out of range, a source has no window, the loss diverges, the caller stops the run, rows cannot
/// be read, the checkpoint is of another run, or libtorch refuses.
pub fn run(job: &Job<'_>, watch: &mut Watch<'_>) -> Result<Trained, TrainError> {
    job.options.check()?;
    let identity = identity(job)?;
    let stored = match &job.checkpoint {
        Some(checkpoint) => Snapshot::read(checkpoint.path)?,
        None => None,
    };
    if let Some(stored) = &stored {
        stored.progress.check(&identity)?;
    }
    let fitted = match &stored {
        Some(stored) => stored.fitted.clone(),
        None => Fitted::over(job.corpus, job.config, job.start.map(|s| s.normaliser))?,
    };
    let preparer = Preparer::new(job.config, &fitted.normaliser).map_err(TrainError::Config)?;
    let weights = (job.options.scale_weight > 0.0).then(|| LossWeights {
        power: job.options.scale_weight as f32,
        mean_scales: fitted.mean_scales.clone(),
    });
    let shape = Shape::of(job.config);
    let mut sampler = Sampler::new(job.corpus, shape, job.options)?;
    let mut learner = Learner::new(job, &preparer, weights.as_ref(), identity, fitted.clone())?;
    if let Some(stored) = &stored {
        learner.restore(stored)?;
        sampler.go_to(&stored.progress.position);
        tracing::info!(
            step = learner.report.steps,
            "training goes on from its checkpoint"
        );
    }
    let position = sampler.position();
    let mut keeper = (job.checkpoint.as_ref())
        .map(|checkpoint| Keeper::new(checkpoint.path.to_owned(), &position));
    if stored.is_none() {
        if job.start.is_some() {
            learner.validate(0)?;
        }
        if let Some(keeper) = &mut keeper {
            keeper.before_first_step(learner.snapshot(&position)?, (watch.now)());
        }
    }
    let preparation = Preparation {
        preparer: &preparer,
        weights: weights.as_ref(),
        options: job.options,
    };
    // What went before is not training: paces and budgets are of the steps.
    let started = (watch.now)();
    std::thread::scope(|scope| {
        let batches = preparation.start(scope, sampler);
        while !learner.is_done() {
            let waits_from = (watch.now)();
            let batch = batches.recv().map_err(|_| TrainError::Worker)??;
            learner.report.waited_secs += (watch.now)().saturating_sub(waits_from).as_secs_f64();
            let lessons = batch.lessons;
            let progress = learner.step(&lessons, &batch.after, &|| {
                (watch.now)().saturating_sub(started)
            })?;
            if let Some(keeper) = &mut keeper {
                keeper.after_step(&batch.after, (watch.now)(), || {
                    learner.snapshot(&batch.after)
                })?;
            }
            if (watch.progress)(&progress).is_break() {
                return Err(TrainError::Stopped);
            }
        }
        Ok(())
    })?;
    drop(keeper);
    learner.finish(fitted)
}

/// What makes a run what it is. Threads, memory and time change how long it takes, not what comes out; threads do
/// where dropout draws from one sequence for all of them.
fn identity(job: &Job<'_>) -> Result<String, TrainError> {
    let config = |error: serde_json::Error| TrainError::Config(error.to_string());
    let mut options = serde_json::to_value(job.options).map_err(config)?;
    if let Some(options) = options.as_object_mut() {
        let indifferent = ["time_budget", "memory_mb"];
        indifferent
            .iter()
            .for_each(|name| drop(options.remove(*name)));
        if job.config.architecture.dropout == 0.0 {
            options.remove("threads");
        }
    }
    let start = match job.start {
        Some(start) => Some(checksum(&values(start.network.parameters())?)),
        None => None,
    };
    let identity = json!({
        "options": options,
        "model": serde_json::to_value(job.config).map_err(config)?,
        "device": job.device.to_string(),
        "start": start,
        "data": job.checkpoint.map(|checkpoint| checkpoint.identity),
    });
    Ok(identity.to_string())
}

fn checksum(values: &[f32]) -> String {
    use sha2::{Digest, Sha256};
    let mut sha = Sha256::new();
    values
        .iter()
        .for_each(|value| sha.update(value.to_le_bytes()));
    let bytes = sha.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All that changes from step to step.
pub(super) struct Learner<'a> {
    job: &'a Job<'a>,
    identity: String,
    fitted: Fitted,
    workers: Workers,
    judge: Judge<'a>,
    parameters: Tensor,
    optimiser: AdamW,
    average: Average,
    schedule: Schedule,
    report: TrainReport,
    recent: Recent,
    /// Time that the run took before it was resumed.
    earlier: Duration,
    out_of_time: bool,
}

impl<'a> Learner<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        preparer: &'a Preparer,
        weights: Option<&'a LossWeights>,
        identity: String,
        fitted: Fitted,
    ) -> Result<Self, TrainError> {
        let options = job.options;
        let network = Network::new(&job.config.architecture, job.device, options.seed)?;
        let parameters = match job.start {
            Some(start) => copy(start.network.parameters())?.f_to_device(job.device.torch())?,
            None => copy(network.parameters())?,
        };
        if parameters.size() != network.parameters().size() {
            return Err(TrainError::Config(
                "the model to go on from has another architecture".to_owned(),
            ));
        }
        Ok(Self {
            job,
            identity,
            fitted,
            judge: Judge::new(preparer, job.corpus, job.validation, weights, options),
            optimiser: AdamW::new(network.decay_mask()?, options.weight_decay)?,
            average: Average::new(&parameters, options.average_keep)?,
            schedule: Schedule {
                peak: options.learning_rate,
                steps: options.max_steps,
            },
            workers: Workers::new(network, options.threads, &job.config.quantile_levels)?,
            parameters,
            report: TrainReport::default(),
            recent: Recent::default(),
            earlier: Duration::ZERO,
            out_of_time: false,
        })
    }

    /// One step of the optimiser, and a validation where one is due. `position` is the sampler's after the batch.
    pub(super) fn step(
        &mut self,
        lessons: &[super::lesson::Lesson],
        position: &Position,
        elapsed: &dyn Fn() -> Duration,
    ) -> Result<Progress, TrainError> {
        let options = self.job.options;
        let step = self.report.steps;
        if self.job.config.architecture.dropout > 0.0 {
            let seed: u64 = seeded(options.seed, &[DROPOUT, step]).random();
            tch::manual_seed(seed as i64);
        }
        let (loss, mut gradient) = self.workers.gradient(&self.parameters, lessons)?;
        let norm = clip(&mut gradient, options.clip_norm)?;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(TrainError::Diverged { step, loss });
        }
        let rate = self.schedule.rate(step);
        self.optimiser.step(&mut self.parameters, &gradient, rate)?;
        self.average.update(&self.parameters)?;
        self.recent.add(loss);

        let done = step + 1;
        let elapsed = self.earlier + elapsed();
        self.out_of_time = options.time_budget.is_some_and(|budget| elapsed >= budget);
        self.report.steps = done;
        self.report.windows = done * options.batch_windows as u64;
        self.report.epochs = position.epoch();
        self.report.wall_secs = elapsed.as_secs_f64();
        let is_last = done == options.max_steps || self.out_of_time;
        // Before a validation, which begins a new mean.
        let mean_loss = self.recent.mean();
        let is_milestone = is_last || done.is_multiple_of(options.validate_every);
        let validation_loss = if is_milestone {
            self.validate(done)?
        } else {
            None
        };
        Ok(Progress {
            step: done,
            steps: options.max_steps,
            epoch: position.epoch(),
            windows: self.report.windows,
            loss: mean_loss,
            is_milestone,
            validation_loss,
            learning_rate: rate,
            elapsed,
        })
    }

    /// Judges the averaged weights after a step, and keeps the best.
    fn validate(&mut self, step: u64) -> Result<Option<f64>, TrainError> {
        let milestone = Milestone {
            step,
            loss: self.recent.take(),
            validation: self
                .judge
                .losses(&mut self.workers, &self.average.weights)?,
        };
        let before = self.report.best_validation_loss;
        let loss = self.report.add(milestone, self.job.corpus.sources());
        if self.report.best_validation_loss != before {
            self.judge.keep(&self.average.weights)?;
        }
        Ok(loss)
    }

    /// Whether the run is over, and why.
    fn is_done(&mut self) -> bool {
        let ending = if self.report.steps >= self.job.options.max_steps {
            Ending::Complete
        } else if self.out_of_time {
            Ending::TimeBudget
        } else if self.report.validations_without_gain() >= self.job.options.patience {
            Ending::NoGain
        } else {
            return false;
        };
        self.report.ending = ending;
        true
    }

    fn finish(self, fitted: Fitted) -> Result<Trained, TrainError> {
        let best = match self.judge.best() {
            Some(best) => copy(best)?,
            None => self.average.weights,
        };
        Ok(Trained {
            config: self.job.config.clone(),
            state: fitted.normaliser,
            network: self.workers.into_network(&best)?,
            report: self.report,
        })
    }

    fn snapshot(&self, position: &Position) -> Result<Snapshot, TrainError> {
        Ok(Snapshot {
            progress: checkpoint::Progress {
                format_version: checkpoint::Progress::FORMAT_VERSION,
                identity: self.identity.clone(),
                position: position.clone(),
                steps: self.report.steps,
                report: self.report.clone(),
                best_loss_bits: self.report.best_validation_loss.map(f64::to_bits),
                recent_sum_bits: self.recent.sum.to_bits(),
                recent_count: self.recent.count,
                elapsed_secs: self.report.wall_secs,
            },
            fitted: self.fitted.clone(),
            parameters: values(&self.parameters)?,
            average: values(&self.average.weights)?,
            first_moment: values(&self.optimiser.first)?,
            second_moment: values(&self.optimiser.second)?,
            best: self.judge.best().map(values).transpose()?,
        })
    }

    fn restore(&mut self, stored: &Snapshot) -> Result<(), TrainError> {
        let device = self.job.device.torch();
        let length = self.parameters.numel();
        let tensor = |values: &Vec<f32>| -> Result<Tensor, TrainError> {
            if values.len() != length {
                return Err(TrainError::Config(format!(
                    "the checkpoint holds {} weights, the model {length}",
                    values.len()
                )));
            }
            Ok(Tensor::f_from_slice(values)?.f_to_device(device)?)
        };
        self.parameters = tensor(&stored.parameters)?;
        self.average.weights = tensor(&stored.average)?;
        self.optimiser.first = tensor(&stored.first_moment)?;
        self.optimiser.second = tensor(&stored.second_moment)?;
        if let Some(best) = &stored.best {
            self.judge.keep(&tensor(best)?)?;
        }
        let progress = &stored.progress;
        (self.optimiser.steps, self.average.steps) = (progress.steps, progress.steps);
        self.report = progress.report.clone();
        self.report.best_validation_loss = progress.best_loss_bits.map(f64::from_bits);
        self.recent = Recent {
            sum: f64::from_bits(progress.recent_sum_bits),
            count: progress.recent_count,
        };
        self.earlier = Duration::try_from_secs_f64(progress.elapsed_secs).unwrap_or_default();
        Ok(())
    }
}

/// Mean loss since the last milestone.
#[derive(Debug, Default)]
struct Recent {
    sum: f64,
    count: u64,
}

impl Recent {
    fn add(&mut self, loss: f64) {
        self.sum += loss;
        self.count += 1;
    }

    /// Of at least one.
    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn take(&mut self) -> Option<f64> {
        let taken = std::mem::take(self);
        (taken.count > 0).then(|| taken.mean())
    }
}
