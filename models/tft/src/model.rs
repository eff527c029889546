//! A loaded model: windows in, quantiles in metric units out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

use crate::device::Device;
use crate::errors::{LoadError, PredictError, TorchError};
use crate::features::{Prepared, Preparer};
use crate::inputs::{Mode, Want};
use crate::kernel::{Answer, Batch, Kernel, Workspace};
use crate::model_config::ModelConfig;
use crate::model_dir::ModelFiles;
use crate::network::{Bound, Network};
use crate::schema_ref::SchemaRef;
use crate::widening;
use crate::window::Window;

/// Windows in one pass through the network: as many as keep activations within the processor's caches.
const CHUNK_WINDOWS: usize = 8;
/// The same on a card, where only memory bounds it.
const CARD_CHUNK_WINDOWS: usize = 256;
/// Threads that work on chunks unless told otherwise.
const DEFAULT_THREADS: usize = 2;

/// A model ready to predict. It can be shared between threads; every prediction uses its worker threads, one chunk of
/// windows each, and torch itself never runs a parallel region of its own. On the processor our own kernel runs the
/// network where it can, else libtorch.
#[derive(Debug)]
pub struct Model {
    dir: PathBuf,
    preparer: Preparer,
    /// Legal range of each metric.
    ranges: Vec<(f32, f32)>,
    /// Which target each metric is, if any.
    targets: Vec<Option<usize>>,
    /// Where each metric's widening is in the configuration, if it has one.
    widenings: Vec<Option<usize>>,
    /// Which quantile is the median.
    middle: usize,
    engine: Engine,
    chunk: usize,
    training: Value,
    calibration: Value,
    weights_sha256: String,
    parameters: u64,
    device: Device,
}

/// What runs the network, by thread. Both kinds compute the same function.
#[derive(Debug)]
enum Engine {
    /// On the processor, where the kernel can.
    Kernel(Box<Kernel>, [Vec<Mutex<Workspace>>; LANES]),
    /// Otherwise: one folded network per thread, for tensors cannot be shared.
    Torch([Vec<Mutex<Bound>>; LANES]),
}

/// Which of a model's workers run a batch. A batch never waits for one of the other lane, only for its share of the
/// processor: give the threads of [`Lane::Aside`] a lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What somebody waits for: forecasts.
    Main,
    /// Everything else that consults the model.
    Aside,
}

const LANES: usize = 2;

/// The model's forecast for one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Bins of context that were used.
    pub context_steps: u32,
    /// One entry per metric of the schema, `None` where the context holds no observation of it: quantiles
    /// `[step][level]`, row-major, in the metric's unit, rising along the levels, within the metric's legal range.
    pub metrics: Vec<Option<Box<[f32]>>>,
}

/// What the network looked at for one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Interpretation {
    /// Bins of context that were used.
    pub context_steps: u32,
    /// Attention averaged over heads: a row per step ahead, in it a weight for each context step, oldest first, and
    /// then for each step ahead. A row sums to 1.
    pub attention: Box<[f32]>,
    /// Weights of static variables: one row.
    pub statics: VariableWeights,
    /// Weights of the past's variables: a row per context step.
    pub encoder: VariableWeights,
    /// Weights of the future's variables: a row per step ahead.
    pub decoder: VariableWeights,
}

/// What a variable selection gave its variables.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableWeights {
    /// The variables, in the order of a row.
    pub names: Vec<String>,
    /// Row by row; a row sums to 1.
    pub weights: Box<[f32]>,
}

impl Model {
    /// Opens a model directory that was made for the schema `expect`.
    ///
    /// # Errors
    /// When the directory is incomplete, truncated, foreign, of a newer format, made for another schema, or holds NaN
    /// or infinity; each says so.
    pub fn open(dir: &Path, expect: &SchemaRef, device: Device) -> Result<Self, LoadError> {
        Self::open_with_threads(dir, expect, device, DEFAULT_THREADS)
    }

    /// The same on so many threads; on a card it is always one.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_with_threads(
        dir: &Path,
        expect: &SchemaRef,
        device: Device,
        threads: usize,
    ) -> Result<Self, LoadError> {
        let files = ModelFiles::read(dir, Some(expect), device)?;
        Self::from_files(dir, files, expect, device, threads.max(1))
    }

    fn from_files(
        dir: &Path,
        files: ModelFiles,
        expect: &SchemaRef,
        device: Device,
        threads: usize,
    ) -> Result<Self, LoadError> {
        let preparer =
            Preparer::new(&files.config, &files.normaliser).map_err(LoadError::Config)?;
        let (threads, chunk) = match device {
            Device::Cpu => (threads, CHUNK_WINDOWS),
            Device::Cuda(_) => (1, CARD_CHUNK_WINDOWS),
        };
        let engine = Engine::new(&files.network, threads)
            .map_err(|error| LoadError::Weights(error.into()))?;
        let target = |m: &crate::MetricRef| {
            let mut targets = files.config.architecture.targets.iter();
            targets.position(|target| target.name == m.name)
        };
        let widening = |m: &crate::MetricRef| {
            let mut widenings = files.config.widening.iter();
            widenings.position(|widening| widening.metric == m.name)
        };
        Ok(Self {
            dir: dir.to_owned(),
            preparer,
            ranges: expect.metrics.iter().map(crate::MetricRef::range).collect(),
            targets: expect.metrics.iter().map(target).collect(),
            widenings: expect.metrics.iter().map(widening).collect(),
            middle: widening::middle(&files.config.quantile_levels),
            engine,
            chunk,
            training: files.training,
            calibration: files.calibration,
            weights_sha256: files.weights_sha256,
            parameters: files.network.parameters().numel() as u64,
            device,
        })
    }

    /// The directory it was opened from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its configuration.
    pub fn config(&self) -> &ModelConfig {
        self.preparer.config()
    }

    /// `training.json`.
    pub fn training(&self) -> &Value {
        &self.training
    }

    /// `calibration.json`.
    pub fn calibration(&self) -> &Value {
        &self.calibration
    }

    /// Number of parameters, shared ones counted once.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// SHA-256 of the weights file, hexadecimal.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Threads that predict side by side.
    pub fn threads(&self) -> usize {
        self.engine.threads()
    }

    /// Steps ahead.
    pub fn horizon(&self) -> usize {
        self.config().horizon()
    }

    /// Quantile levels of a prediction, ascending.
    pub fn quantile_levels(&self) -> &[f64] {
        &self.config().quantile_levels
    }

    /// Predicts for each window, in order.
    ///
    /// The answer for a window does not depend on which others are in the batch, up to rounding (1e-5 of the scale).
    ///
    /// # Errors
    /// When a window has fewer bins than [`ModelConfig::min_context_steps`] or does not fit the model, or libtorch
    /// fails.
    pub fn predict(&self, windows: &[Window<'_>]) -> Result<Vec<Prediction>, PredictError> {
        self.predict_on(Lane::Main, windows)
    }

    /// Whether it forecasts an ordinary window in numbers: weights may be finite and still be the ruins of a run that
    /// diverged.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn answers_in_numbers(&self) -> Result<bool, PredictError> {
        let config = self.config();
        let wave = |bin: usize| 1.0 + 0.2 * (bin as f32 / 40.0).sin();
        let values: Vec<f32> = (0..config.context_steps()).map(wave).collect();
        let window = Window {
            entity: "",
            end_bin_ms: 0,
            step_secs: config.step_secs,
            values: vec![&values; config.schema.metrics.len()],
            status: &vec![0; values.len()],
            profile: "",
            usual: None,
        };
        let answers = self.predict(&[window])?;
        let mut quantiles = (answers.iter().flat_map(|answer| &answer.metrics).flatten()).flatten();
        Ok(quantiles.all(|value| value.is_finite()))
    }

    /// [`Model::predict`] on the workers of a lane.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn predict_on(
        &self,
        lane: Lane,
        windows: &[Window<'_>],
    ) -> Result<Vec<Prediction>, PredictError> {
        let want = Want::default();
        self.run(lane, windows, want, |prepared, outputs, answers| {
            self.predictions(prepared, outputs, answers)
        })
    }

    /// Attention and variable weights for each window, in order, on the workers of a lane.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn interpret(
        &self,
        lane: Lane,
        windows: &[Window<'_>],
    ) -> Result<Vec<Interpretation>, PredictError> {
        let want = Want {
            attention: true,
            weights: true,
        };
        self.run(lane, windows, want, |prepared, outputs, answers| {
            self.interpretations(prepared, outputs, answers)
        })
    }

    /// Spreads chunks of windows over the workers and puts the answers back in order.
    fn run<A, F>(
        &self,
        lane: Lane,
        windows: &[Window<'_>],
        want: Want,
        read: F,
    ) -> Result<Vec<A>, PredictError>
    where
        A: Send,
        F: Fn(&Prepared, &Answer, &mut Vec<A>) + Sync,
    {
        let least = self.config().min_context_steps as usize;
        if let Some(index) = windows.iter().position(|window| window.steps() < least) {
            let problem = format!(
                "it has {} bins, a forecast needs {least}",
                windows[index].steps()
            );
            return Err(PredictError::Window { index, problem });
        }
        // Windows of like length share a chunk: little padding, and mostly no packing for the LSTM.
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(windows[*index].steps()));
        let chunks: Vec<&[usize]> = order.chunks(self.chunk).collect();
        let next = AtomicUsize::new(0);
        let work = |thread: usize| {
            let mut worker = self.engine.worker(lane, thread);
            let mut answers = Vec::new();
            while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let batch: Vec<Window<'_>> =
                    chunk.iter().map(|index| windows[*index].clone()).collect();
                let prepared = self.preparer.prepare(&batch).map_err(|error| match error {
                    PredictError::Window { index, problem } => PredictError::Window {
                        index: chunk[index],
                        problem,
                    },
                    other => other,
                })?;
                let mut of_chunk = Vec::with_capacity(chunk.len());
                worker.run(&prepared.batch, want, |answer| {
                    read(&prepared, answer, &mut of_chunk);
                })?;
                answers.extend(chunk.iter().copied().zip(of_chunk));
            }
            Ok(answers)
        };
        let threads = self.engine.threads().min(chunks.len());
        let parts: Vec<Result<Vec<(usize, A)>, PredictError>> = thread::scope(|scope| {
            let work = &work;
            let handles: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || work(thread)))
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap_or(Err(PredictError::Worker)))
                .collect()
        });
        let mut answers: Vec<(usize, A)> = Vec::with_capacity(windows.len());
        for part in parts {
            answers.extend(part?);
        }
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn predictions(&self, prepared: &Prepared, answer: &Answer, answers: &mut Vec<Prediction>) {
        let levels = self.quantile_levels().len();
        let horizon = self.horizon();
        let targets = self.config().architecture.targets.len();
        for (window, scales) in prepared.scales.iter().enumerate() {
            let of_metric = |metric: usize| {
                let (scale, (least, most)) = (scales[metric], self.ranges[metric]);
                let target = self.targets[metric]?;
                let widening = self.widenings[metric].map(|at| &self.config().widening[at]);
                scale.is_observed().then(|| {
                    let mut quantiles = Vec::with_capacity(horizon * levels);
                    for step in 0..horizon {
                        let row = (step * answer.windows + window) * targets;
                        let start = (row + target) * levels;
                        let restored = answer.raw[start..start + levels]
                            .iter()
                            .map(|raw| scale.restore(*raw));
                        quantiles.extend(restored.map(|value| value.clamp(least, most)));
                        // The network may cross its quantiles; what is served never does.
                        let row = &mut quantiles[step * levels..];
                        row.sort_unstable_by(f32::total_cmp);
                        if let Some(widening) = widening {
                            widening.apply(self.middle, (least, most), row);
                            row.sort_unstable_by(f32::total_cmp);
                        }
                    }
                    quantiles.into_boxed_slice()
                })
            };
            answers.push(Prediction {
                context_steps: prepared.batch.encoder_lengths[window] as u32,
                metrics: (0..self.ranges.len()).map(of_metric).collect(),
            });
        }
    }

    fn interpretations(
        &self,
        prepared: &Prepared,
        answer: &Answer,
        answers: &mut Vec<Interpretation>,
    ) {
        let architecture = &self.config().architecture;
        for (window, length) in prepared.batch.encoder_lengths.iter().enumerate() {
            let of_window = |variables: &crate::Variables, weights: &[f32], steps: usize| {
                let width = variables.len();
                let row =
                    |step: usize| &weights[(step * answer.windows + window) * width..][..width];
                VariableWeights {
                    names: variables.names().map(str::to_owned).collect(),
                    weights: (0..steps).flat_map(row).copied().collect(),
                }
            };
            let (statics, past, future) = (
                &architecture.static_variables,
                &architecture.encoder_variables,
                &architecture.decoder_variables,
            );
            answers.push(Interpretation {
                context_steps: *length as u32,
                attention: answer.mean_attention(window, *length),
                statics: of_window(statics, &answer.static_weights, 1),
                encoder: of_window(past, &answer.encoder_weights, *length),
                decoder: of_window(future, &answer.decoder_weights, self.horizon()),
            });
        }
    }
}

/// One thread's part of an engine.
enum Worker<'a> {
    Kernel(&'a Kernel, MutexGuard<'a, Workspace>),
    Torch(MutexGuard<'a, Bound>),
}

impl Engine {
    fn new(network: &Network, threads: usize) -> Result<Self, TorchError> {
        if network.device() == Device::Cpu
            && Kernel::supports(network.architecture())
            && let Ok(mut kernel) = Kernel::new(network.architecture())
        {
            let parameters = network.parameters().f_detach()?;
            kernel.bind(&Vec::<f32>::try_from(parameters)?);
            // Workspaces are empty until they are used.
            let spaces = || (0..threads).map(|_| Mutex::default()).collect();
            return Ok(Self::Kernel(Box::new(kernel), [spaces(), spaces()]));
        }
        let _no_grad = tch::no_grad_guard();
        let bind = |_| network.bind(Mode::Eval).map(Mutex::new);
        let networks = || (0..threads).map(bind).collect::<Result<_, _>>();
        Ok(Self::Torch([networks()?, networks()?]))
    }

    fn threads(&self) -> usize {
        match self {
            Self::Kernel(_, [spaces, _]) => spaces.len(),
            Self::Torch([networks, _]) => networks.len(),
        }
    }

    fn worker(&self, lane: Lane, thread: usize) -> Worker<'_> {
        let lane = match lane {
            Lane::Main => 0,
            Lane::Aside => 1,
        };
        match self {
            Self::Kernel(kernel, spaces) => {
                let space = spaces[lane][thread].lock();
                Worker::Kernel(kernel, space.unwrap_or_else(PoisonError::into_inner))
            }
            Self::Torch(networks) => {
                let network = networks[lane][thread].lock();
                Worker::Torch(network.unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl Worker<'_> {
    fn run(
        &mut self,
        batch: &Batch,
        want: Want,
        read: impl FnOnce(&Answer),
    ) -> Result<(), TorchError> {
        match self {
            Self::Kernel(kernel, space) => read(kernel.forward(batch, want, space)?),
            Self::Torch(network) => {
                let _no_grad = tch::no_grad_guard();
                // Threads of ours work side by side, so torch must not start more of its own.
                tch::set_num_threads(1);
                let outputs = network.forward(&batch.inputs()?, want)?;
                read(&Answer::from_outputs(&outputs)?);
            }
        }
        Ok(())
    }
}
