//! Training: windows of a corpus in, the weights of a network out.
//!
//! [`run`] draws windows from a [`Corpus`] (chunk by chunk, so a corpus need not fit in memory), roughens some of them
//! so that the network learns to live with short histories, gaps and missing metrics, and fits the network to the
//! quantile loss of all targets that were observed. Optimiser and schedule span the whole run; the normaliser is
//! fitted once before it. What comes out is the running average of the weights at the best validation.
//!
//! The same corpus, options and seed give the same weights.

mod corpus;
mod errors;
mod gradient;
mod loss;
mod optimiser;
mod options;
mod report;
mod sampler;
mod validation;

use std::ops::ControlFlow;

use self::gradient::{Lesson, Workers};
use self::optimiser::{AdamW, Average, Schedule, clip, copy};
use self::sampler::Sampler;
use self::validation::Judge;
use crate::device::Device;
use crate::features::Preparer;
use crate::model_config::ModelConfig;
use crate::network::Network;
use crate::normalise::{NormaliserFit, NormaliserState};

pub use self::corpus::{Chunk, Corpus, LEAST_STEPS, MemoryCorpus, Source, Track};
pub use self::errors::TrainError;
pub use self::options::{Roughening, TrainOptions};
pub use self::report::{Ending, Milestone, Progress, TrainReport};
pub use self::validation::ValidationWindow;

/// Windows that the normaliser is fitted on.
const FITTED_WINDOWS: usize = 4_096;

/// A network that has learned, with all that is needed to use it.
#[derive(Debug)]
pub struct Trained {
    /// How windows become inputs, and the architecture.
    pub config: ModelConfig,
    /// The fitted normaliser.
    pub state: NormaliserState,
    /// The network, with the averaged weights of the best validation.
    pub network: Network,
    /// How the run went.
    pub report: TrainReport,
}

/// What [`run`] asks of its caller while it works.
pub struct Watch<'a> {
    /// Called after every step; [`ControlFlow::Break`] ends the run without a model.
    pub progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    /// Time since any fixed moment.
    pub now: &'a dyn Fn() -> std::time::Duration,
}

/// Trains a network.
///
/// `validation` are windows that the corpus does not have; without any, the last average is taken. libtorch's own
/// thread pool should be set to one thread ([`single_threaded_torch`]) when [`TrainOptions::threads`] is above 1.
///
/// # Errors
/// When an option is out of range, a source has no window, the loss diverges, the caller stops the run, rows cannot
/// be read, or libtorch refuses.
pub fn run(
    config: &ModelConfig,
    options: &TrainOptions,
    corpus: &dyn Corpus,
    validation: &[ValidationWindow],
    device: Device,
    watch: &mut Watch<'_>,
) -> Result<Trained, TrainError> {
    options.check()?;
    let started = (watch.now)();
    let state = fit_normaliser(config, options, corpus)?;
    let preparer = Preparer::new(config, &state).map_err(TrainError::Config)?;
    let shape = (config.context_steps(), config.horizon());
    let mut sampler = Sampler::new(
        corpus,
        shape,
        options.epoch_share,
        options.roughening,
        options.seed.wrapping_add(1),
    )?;

    tch::manual_seed(options.seed as i64);
    let network = Network::new(&config.architecture, device, options.seed)?;
    let mut parameters = copy(network.parameters())?;
    let mut optimiser = AdamW::new(network.decay_mask()?, options.weight_decay)?;
    let mut average = Average::new(&parameters, options.average_keep)?;
    let schedule = Schedule {
        peak: options.learning_rate,
        steps: options.max_steps,
    };
    let mut judge = Judge::new(
        &preparer,
        validation,
        corpus.sources(),
        options.chunk_windows,
        device,
    )?;
    let more =
        (1..options.threads).map(|_| Network::new(&config.architecture, device, options.seed));
    let networks = std::iter::once(Ok(network))
        .chain(more)
        .collect::<Result<Vec<_>, _>>()?;
    let mut workers = Workers::new(networks, &config.quantile_levels)?;

    let mut report = TrainReport::default();
    let mut recent = Recent::default();
    for step in 0..options.max_steps {
        let samples = sampler.batch(options.batch_windows)?;
        let mut lessons =
            Lesson::prepare(&preparer, &samples, options.chunk_windows, device.torch())?;
        let (loss, mut gradient) = workers.gradient(&parameters, &mut lessons)?;
        let norm = clip(&mut gradient, options.clip_norm)?;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(TrainError::Diverged { step, loss });
        }
        optimiser.step(&mut parameters, &gradient, schedule.rate(step))?;
        average.update(&parameters)?;
        recent.add(loss);

        let done = step + 1;
        let elapsed = (watch.now)().saturating_sub(started);
        let out_of_time = options.time_budget.is_some_and(|budget| elapsed >= budget);
        let is_last = done == options.max_steps || out_of_time;
        report.steps = done;
        report.windows = done * options.batch_windows as u64;
        report.epochs = sampler.epoch();
        report.wall_secs = elapsed.as_secs_f64();
        let mut validated = None;
        if is_last || done % options.validate_every == 0 {
            let by_source = judge.losses(&mut workers, &average.weights)?;
            let milestone = Milestone {
                step: done,
                loss: recent.take(),
                validation: by_source,
            };
            validated = report.add(milestone, corpus.sources());
            if report.best_step == done {
                judge.keep(&average.weights)?;
            }
        }
        let progress = Progress {
            step: done,
            steps: options.max_steps,
            epoch: sampler.epoch(),
            windows: report.windows,
            loss: recent.mean_or(loss),
            validation_loss: validated,
            learning_rate: schedule.rate(step),
            elapsed,
        };
        if (watch.progress)(&progress).is_break() {
            return Err(TrainError::Stopped);
        }
        report.ending = if done == options.max_steps {
            Ending::Complete
        } else {
            Ending::TimeBudget
        };
        if is_last {
            break;
        }
        if report.validations_without_gain() >= options.patience {
            report.ending = Ending::NoGain;
            break;
        }
    }
    let best = judge.best().unwrap_or(&average.weights);
    let network = workers.into_network(best)?;
    Ok(Trained {
        config: config.clone(),
        state,
        network,
        report,
    })
}

/// Makes libtorch use one thread per operation: parallel work is spread over our own threads instead.
pub fn single_threaded_torch() {
    tch::set_num_threads(1);
}

fn fit_normaliser(
    config: &ModelConfig,
    options: &TrainOptions,
    corpus: &dyn Corpus,
) -> Result<NormaliserState, TrainError> {
    let shape = (config.context_steps(), config.horizon());
    let mut sampler = Sampler::new(
        corpus,
        shape,
        options.epoch_share,
        Roughening::NONE,
        options.seed,
    )?;
    let mut fit = NormaliserFit::new(&config.normaliser, config.schema.metrics.len());
    for sample in sampler.batch(FITTED_WINDOWS)? {
        fit.observe(&sample.window());
    }
    Ok(fit.finish())
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

    fn mean_or(&self, otherwise: f64) -> f64 {
        if self.count == 0 {
            otherwise
        } else {
            self.sum / self.count as f64
        }
    }

    fn take(&mut self) -> f64 {
        let mean = self.mean_or(f64::NAN);
        *self = Self::default();
        mean
    }
}
