//! The gradient of a batch: chunk by chunk, on our own threads, added up in a fixed order.
//!
//! On the processor the kernel does the work where it can, else libtorch; see [`Engine`].

use std::sync::{Mutex, PoisonError};

use tch::{Kind, Tensor};

use super::TrainError;
use super::lesson::Lesson;
use super::loss::quantile_loss;
use crate::device::Device;
use crate::inputs::{Mode, Want};
use crate::kernel::{Kernel, Workspace};
use crate::network::Network;

/// What computes losses and gradients, on several threads.
#[derive(Debug)]
pub(crate) struct Workers {
    /// What the trained weights end in.
    network: Network,
    engine: Engine,
    /// One gradient per lesson, kept from step to step.
    gradients: Vec<Vec<f32>>,
}

/// Both compute the same function. Threads never share what they write to.
#[derive(Debug)]
enum Engine {
    /// The processor, without dropout.
    Kernel {
        kernel: Box<Kernel>,
        spaces: Vec<Workspace>,
        levels: Vec<f32>,
    },
    /// Everything else. Each thread has parameters of its own, so that no two share a graph.
    Torch(Vec<TorchWorker>),
}

#[derive(Debug)]
struct TorchWorker {
    network: Network,
    /// Quantile levels, `[quantiles]`.
    levels: Tensor,
}

/// A thread's share in the work: the sum of the losses of a lesson's targets, and its gradient if there is room for
/// one.
trait Work: Send {
    fn part(&mut self, lesson: &Lesson, gradient: Option<&mut [f32]>) -> Result<f64, TrainError>;
}

impl Workers {
    /// As many threads as said; `levels` are the quantile levels of every target.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn new(
        network: Network,
        threads: usize,
        levels: &[f64],
    ) -> Result<Self, TrainError> {
        let architecture = network.architecture();
        let is_plain = network.device() == Device::Cpu && architecture.dropout == 0.0;
        let engine = if is_plain && Kernel::supports(architecture) {
            Engine::kernel(&network, threads, levels)?
        } else {
            Engine::torch(&network, threads, levels)?
        };
        Ok(Self {
            network,
            engine,
            gradients: Vec::new(),
        })
    }

    /// Mean loss per observed target of a batch, and its gradient at some parameters.
    ///
    /// # Errors
    /// When libtorch refuses, or a thread ended without an answer.
    pub(crate) fn gradient(
        &mut self,
        parameters: &Tensor,
        lessons: &[Lesson],
    ) -> Result<(f64, Tensor), TrainError> {
        let (loss, count) = self.run(parameters, lessons, true)?;
        let mut sums = vec![0f32; parameters.numel()];
        for own in &self.gradients[..lessons.len()] {
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        let share = 1.0 / count;
        sums.iter_mut()
            .for_each(|sum| *sum = (f64::from(*sum) * share) as f32);
        let gradient = Tensor::f_from_slice(&sums)?.f_to_device(parameters.device())?;
        Ok((loss * share, gradient))
    }

    /// Mean loss per observed target, without a gradient.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub(crate) fn loss(
        &mut self,
        parameters: &Tensor,
        lessons: &[Lesson],
    ) -> Result<f64, TrainError> {
        let (loss, count) = self.run(parameters, lessons, false)?;
        Ok(loss / count)
    }

    /// The network, with some weights.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn into_network(self, weights: &Tensor) -> Result<Network, TrainError> {
        set(&self.network, weights)?;
        Ok(self.network)
    }

    /// Sum of the losses and number of targets (at least 1), each target with its weight. Leaves each lesson's
    /// gradient in its place, if `learn`.
    fn run(
        &mut self,
        parameters: &Tensor,
        lessons: &[Lesson],
        learn: bool,
    ) -> Result<(f64, f64), TrainError> {
        let count = lessons.iter().map(Lesson::observed).sum::<f64>();
        let mut workers: Vec<Box<dyn Work + '_>> = Vec::new();
        match &mut self.engine {
            Engine::Kernel {
                kernel,
                spaces,
                levels,
            } => {
                let parameters = parameters.f_detach()?.f_to_device(tch::Device::Cpu)?;
                kernel.bind(&Vec::<f32>::try_from(parameters)?);
                for space in spaces {
                    let (kernel, levels) = (&*kernel, &*levels);
                    workers.push(Box::new(KernelWorker {
                        kernel,
                        space,
                        levels,
                    }));
                }
            }
            Engine::Torch(all) => {
                for worker in all {
                    set(&worker.network, parameters)?;
                    workers.push(Box::new(worker));
                }
            }
        }
        let length = if learn { parameters.numel() } else { 0 };
        self.gradients
            .resize_with(lessons.len().max(self.gradients.len()), Vec::new);
        for gradient in &mut self.gradients {
            gradient.clear();
            gradient.resize(length, 0.0);
        }
        let losses = spread(workers, lessons, &mut self.gradients, learn)?;
        Ok((losses.iter().sum(), count.max(1.0)))
    }
}

impl Engine {
    fn kernel(network: &Network, threads: usize, levels: &[f64]) -> Result<Self, TrainError> {
        Ok(Self::Kernel {
            kernel: Box::new(Kernel::new(network.architecture())?),
            spaces: (0..threads).map(|_| Workspace::default()).collect(),
            levels: levels.iter().map(|level| *level as f32).collect(),
        })
    }

    fn torch(network: &Network, threads: usize, levels: &[f64]) -> Result<Self, TrainError> {
        let worker = |_| {
            let levels = Tensor::f_from_slice(levels)?.f_to_kind(Kind::Float)?;
            Ok(TorchWorker {
                network: Network::new(network.architecture(), network.device(), 0)?,
                levels: levels.f_to_device(network.device().torch())?,
            })
        };
        let workers = (0..threads)
            .map(worker)
            .collect::<Result<_, TrainError>>()?;
        Ok(Self::Torch(workers))
    }
}

/// Each lesson's loss, in the lessons' order whatever the number of threads.
fn spread(
    mut workers: Vec<Box<dyn Work + '_>>,
    lessons: &[Lesson],
    gradients: &mut [Vec<f32>],
    learn: bool,
) -> Result<Vec<f64>, TrainError> {
    let mut losses = vec![0.0; lessons.len()];
    let queue = Mutex::new(lessons.iter().zip(gradients).zip(&mut losses));
    let work = |worker: &mut Box<dyn Work + '_>| {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(((lesson, gradient), loss)) = next else {
                return Ok(());
            };
            *loss = worker.part(lesson, learn.then_some(gradient))?;
        }
    };
    let mut outcome = Ok(());
    if let [worker] = workers.as_mut_slice() {
        outcome = work(worker);
    } else {
        std::thread::scope(|scope| {
            let work = &work;
            let spawn = |worker| scope.spawn(move || work(worker));
            let threads: Vec<_> = workers.iter_mut().map(spawn).collect();
            for thread in threads {
                let ended = thread.join().unwrap_or(Err(TrainError::Worker));
                outcome = std::mem::replace(&mut outcome, Ok(())).and(ended);
            }
        });
    }
    outcome.map(|()| losses)
}

struct KernelWorker<'a> {
    kernel: &'a Kernel,
    space: &'a mut Workspace,
    levels: &'a [f32],
}

impl Work for KernelWorker<'_> {
    fn part(&mut self, lesson: &Lesson, gradient: Option<&mut [f32]>) -> Result<f64, TrainError> {
        let Lesson { batch, targets } = lesson;
        Ok(match gradient {
            Some(gradient) => {
                self.kernel
                    .gradient(batch, targets, self.levels, self.space, gradient)
            }
            None => self.kernel.loss(batch, targets, self.levels, self.space),
        }?)
    }
}

impl Work for &mut TorchWorker {
    fn part(&mut self, lesson: &Lesson, gradient: Option<&mut [f32]>) -> Result<f64, TrainError> {
        let mode = if gradient.is_some() {
            Mode::Train
        } else {
            Mode::Eval
        };
        let inputs = lesson.batch.inputs()?;
        let forward = || -> Result<Tensor, TrainError> {
            let outputs = self.network.forward(&inputs, mode, Want::default())?;
            Ok(quantile_loss(&outputs.raw, &lesson.targets, &self.levels)?)
        };
        let loss = match gradient {
            None => tch::no_grad(forward)?,
            Some(gradient) => {
                let loss = forward()?;
                let parameters = [self.network.parameters()];
                let own = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
                let own = own.first().ok_or(TrainError::Worker)?;
                let own = own.f_to_device(tch::Device::Cpu)?;
                own.f_copy_data(gradient, gradient.len())?;
                loss
            }
        };
        Ok(f64::try_from(loss.f_detach()?.f_to_kind(Kind::Double)?)?)
    }
}

/// Writes weights into a network; its parameters share their memory with the detached view.
fn set(network: &Network, weights: &Tensor) -> Result<(), TrainError> {
    network
        .parameters()
        .f_detach()?
        .f_copy_(&weights.f_detach()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::kernel::{Batch, Half, Targets};
    use crate::model_config::{ModelConfig, ModelOptions};
    use crate::schema_ref::SchemaRef;

    const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
    const METRICS: usize = 3;

    fn network() -> Network {
        let schema = SchemaRef::sized(METRICS, 1, 1);
        let options = ModelOptions {
            hidden_size: 8,
            attention_heads: 2,
            continuous_size: 4,
            dropout: 0.0,
            encoder_steps: 12,
            decoder_steps: 5,
            min_context_steps: 1,
            quantile_levels: LEVELS.to_vec(),
            ..ModelOptions::default()
        };
        let config = ModelConfig::for_schema(&schema, &options);
        Network::new(&config.architecture, Device::Cpu, 3).expect("a small network")
    }

    /// Random inputs; targets with all kinds of weights, some far out and some hit to the bit.
    fn lessons(network: &Network, count: usize) -> Vec<Lesson> {
        let architecture = network.architecture();
        let mut rng = StdRng::seed_from_u64(8);
        let half = |steps: usize, windows: usize, rng: &mut StdRng| {
            let rows = steps * windows;
            let (reals, codes) = (
                rows * architecture.real_columns.len(),
                rows * architecture.categorical_columns.len(),
            );
            Half {
                steps,
                reals: (0..reals).map(|_| rng.random_range(-2.0..2.0)).collect(),
                codes: (0..codes).map(|_| rng.random_range(0..2)).collect(),
            }
        };
        let lesson = |index: usize| {
            let windows = 1 + index % 3;
            let values = 5 * windows * METRICS;
            Lesson {
                batch: Batch {
                    encoder: half(12, windows, &mut rng),
                    decoder: half(5, windows, &mut rng),
                    encoder_lengths: (0..windows).map(|window| 12 - window).collect(),
                    decoder_lengths: vec![5; windows],
                    ..Batch::default()
                },
                targets: Targets {
                    values: (0..values).map(|_| rng.random_range(-90.0..90.0)).collect(),
                    weights: (0..values).map(|i| (i % 4) as f32 * 0.7).collect(),
                },
            }
        };
        (0..count).map(lesson).collect()
    }

    fn workers(
        engine: impl Fn(&Network, usize, &[f64]) -> Result<Engine, TrainError>,
        threads: usize,
    ) -> Workers {
        let network = network();
        Workers {
            engine: engine(&network, threads, &LEVELS).expect("is supported"),
            network,
            gradients: Vec::new(),
        }
    }

    fn gradient(workers: &mut Workers, lessons: &[Lesson]) -> (f64, Vec<f32>) {
        let parameters = workers.network.parameters().detach().copy();
        let (loss, gradient) = workers
            .gradient(&parameters, lessons)
            .expect("has a gradient");
        (loss, Vec::try_from(gradient).expect("is flat"))
    }

    #[test]
    fn both_engines_learn_the_same() {
        let lessons = lessons(&network(), 4);
        let (loss, ours) = gradient(&mut workers(Engine::kernel, 1), &lessons);
        let (reference, theirs) = gradient(&mut workers(Engine::torch, 1), &lessons);
        assert!(
            (loss - reference).abs() < 1e-5 * reference,
            "{loss}, {reference}"
        );
        let size = theirs
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        let gap = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let gap = gap.fold(0f32, f32::max);
        assert!(
            size > 0.0 && gap < 1e-4 * size,
            "differs by {gap}, size {size}"
        );
        let parameters = network().parameters().detach().copy();
        for engine in [workers(Engine::kernel, 2), workers(Engine::torch, 2)] {
            let mut engine = engine;
            let alone = engine.loss(&parameters, &lessons).expect("has a loss");
            assert!((alone - reference).abs() < 1e-5 * reference);
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let lessons = lessons(&network(), 7);
        let once = gradient(&mut workers(Engine::kernel, 1), &lessons);
        for threads in [2, 3, 8] {
            let mut workers = workers(Engine::kernel, threads);
            assert_eq!(once, gradient(&mut workers, &lessons), "{threads} threads");
            // Nothing is left over from the step before.
            assert_eq!(once, gradient(&mut workers, &lessons), "{threads} threads");
        }
    }
}
