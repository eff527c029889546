//! The gradient of a batch: chunk by chunk, on our own threads, added up in a fixed order.

use tch::{Kind, Tensor};

use super::TrainError;
use super::lesson::Lesson;
use super::loss::quantile_loss;
use crate::inputs::{Mode, Want};
use crate::network::Network;

/// Copies of the network, one per thread. Each has its own parameters, so that no two threads share a graph.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    network: Network,
    /// Quantile levels, `[quantiles]`.
    levels: Tensor,
}

/// Sum of the losses of a lesson's observed targets, and its gradient.
struct Part {
    loss: f64,
    gradient: Option<Tensor>,
}

impl Workers {
    /// One thread for each network; `levels` are the quantile levels of every target.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn new(networks: Vec<Network>, levels: &[f64]) -> Result<Self, TrainError> {
        let worker = |network: Network| {
            let levels = Tensor::f_from_slice(levels)?.f_to_kind(Kind::Float)?;
            let levels = levels.f_to_device(network.device().torch())?;
            Ok(Worker { network, levels })
        };
        Ok(Self {
            workers: networks
                .into_iter()
                .map(worker)
                .collect::<Result<_, TrainError>>()?,
        })
    }

    /// Mean loss per observed target of a batch, and its gradient at some parameters.
    ///
    /// # Errors
    /// When libtorch refuses, or a thread ended without an answer.
    pub(crate) fn gradient(
        &mut self,
        parameters: &Tensor,
        lessons: &mut [Lesson],
    ) -> Result<(f64, Tensor), TrainError> {
        let (parts, count) = self.run(parameters, lessons, true)?;
        let mut loss = 0.0;
        let mut gradient = parameters.f_detach()?.f_zeros_like()?;
        for part in parts {
            loss += part.loss;
            if let Some(own) = part.gradient {
                let _ = gradient.f_add_(&own)?;
            }
        }
        let count = count.max(1.0);
        let _ = gradient.f_div_scalar_(count)?;
        Ok((loss / count, gradient))
    }

    /// Mean loss per observed target, without a gradient.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub(crate) fn loss(
        &mut self,
        parameters: &Tensor,
        lessons: &mut [Lesson],
    ) -> Result<f64, TrainError> {
        let (parts, count) = self.run(parameters, lessons, false)?;
        Ok(parts.iter().map(|part| part.loss).sum::<f64>() / count.max(1.0))
    }

    /// The first network, with some weights.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn into_network(mut self, weights: &Tensor) -> Result<Network, TrainError> {
        let worker = self.workers.swap_remove(0);
        set(&worker.network, weights)?;
        Ok(worker.network)
    }

    /// Each lesson's part, in their order whatever the number of threads, and the number of targets.
    fn run(
        &mut self,
        parameters: &Tensor,
        lessons: &mut [Lesson],
        learn: bool,
    ) -> Result<(Vec<Part>, f64), TrainError> {
        let count = lessons
            .iter()
            .map(Lesson::observed)
            .sum::<Result<f64, _>>()?;
        for worker in &self.workers {
            set(&worker.network, parameters)?;
        }
        let (threads, total) = (self.workers.len(), lessons.len());
        if let [worker] = self.workers.as_slice() {
            let parts = lessons.iter().map(|lesson| worker.part(lesson, learn));
            return Ok((parts.collect::<Result<_, _>>()?, count));
        }
        // Thread i takes the lessons i, i + threads, …
        let mut shares: Vec<Vec<&mut Lesson>> = (0..threads).map(|_| Vec::new()).collect();
        for (index, lesson) in lessons.iter_mut().enumerate() {
            shares[index % threads].push(lesson);
        }
        let mut parts: Vec<Option<Part>> = Vec::new();
        std::thread::scope(|scope| {
            let work = |(worker, share): (&'_ mut Worker, Vec<&'_ mut Lesson>)| {
                share
                    .into_iter()
                    .map(|lesson| worker.part(lesson, learn))
                    .collect::<Result<Vec<_>, _>>()
            };
            let pairs = self.workers.iter_mut().zip(shares);
            let threads: Vec<_> = pairs.map(|pair| scope.spawn(move || work(pair))).collect();
            let outcomes = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| TrainError::Worker)?);
            let mut outcomes: Vec<_> = outcomes
                .map(|parts| parts.map(Vec::into_iter))
                .collect::<Result<_, TrainError>>()?;
            for index in 0..total {
                let count = outcomes.len();
                parts.push(outcomes[index % count].next());
            }
            Ok::<_, TrainError>(())
        })?;
        let parts: Option<Vec<Part>> = parts.into_iter().collect();
        Ok((parts.ok_or(TrainError::Worker)?, count))
    }
}

impl Worker {
    fn part(&self, lesson: &Lesson, learn: bool) -> Result<Part, TrainError> {
        let mode = if learn { Mode::Train } else { Mode::Eval };
        let forward = || -> Result<Tensor, TrainError> {
            let outputs = self
                .network
                .forward(&lesson.inputs, mode, Want::default())?;
            Ok(quantile_loss(&outputs.raw, &lesson.targets, &self.levels)?)
        };
        let loss = if learn {
            forward()
        } else {
            tch::no_grad(forward)
        }?;
        let gradient = if learn {
            let mut gradients =
                Tensor::f_run_backward(&[&loss], &[self.network.parameters()], false, false)?;
            gradients.pop()
        } else {
            None
        };
        Ok(Part {
            loss: f64::try_from(loss.f_detach()?.f_to_kind(Kind::Double)?)?,
            gradient,
        })
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
