//! One training command, from files to a model directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use argus_generate::FleetSpec;
use argus_risk::ThresholdRules;
use argus_schema::{ProfileRules, Schema};
use argus_tft::train::{
    self, Checkpoint, CheckpointError, Corpus, Job, Progress, Start, TrainError, TrainOptions,
    TrainReport, Watch,
};
use argus_tft::{Device, ModelConfig, ModelFiles, ModelOptions, SaveError};
use argus_trace::trace_files;
use serde_json::{Value, json};

use crate::corpus::SpoolCorpus;
use crate::data::{Cut, Steps, cut_fleet, cut_trace};
use crate::judge::{Judge, RiskBeforeAndAfter, is_written, write};
use crate::record::record;
use crate::spool::{Making, RowsFrom, Spool};
use crate::workplace::Workplace;
use crate::{Scores, TrainingError, schema_ref};

/// What to train, on what, and where to put it.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// Traces.
    pub traces: Vec<TraceInput>,
    /// Fleets to fill in what the traces lack, no two of a kind.
    pub synthetic: Vec<SyntheticInput>,
    /// Profiles of servers whose rows name none; those of serving.
    pub profiles: ProfileRules,
    /// Thresholds that differ from the schema's: what risk is calibrated for.
    pub thresholds: ThresholdRules,
    /// Sizes of the network; not used where `from` is given.
    pub model: ModelOptions,
    /// A model directory to go on from: its sizes, encoders and normalisers are kept.
    pub from: Option<PathBuf>,
    /// Pace, seeds and memory.
    pub train: TrainOptions,
    /// Newest part of what lies before the validation start, and of a synthetic fleet, that is not learned from but
    /// watched, to end the run early and to keep its best weights; 0 learns from all of it and keeps the last steps'
    /// average.
    pub watched_share: f64,
    /// Where the network runs.
    pub device: Device,
    /// Where the model directory appears, as `<name>_YYYYMMDD_HHMMSS`.
    pub output: PathBuf,
    /// First part of its name.
    pub name: String,
    /// Second part of its name: milliseconds since the Unix epoch, UTC. A resumed run keeps the one it began with.
    pub created_ms: i64,
    /// Folder in which the run lives until its model is written. A run that was cut off there goes on.
    pub work_dir: PathBuf,
    /// Discards what the folder holds.
    pub restart: bool,
}

/// A trace to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceInput {
    /// What reports call it, usually the file's name without its ending.
    pub name: String,
    /// A Parquet file, or a folder of them.
    pub path: PathBuf,
    /// Rows from here on are kept from training and scored; without it, those of the last 15 % of the span.
    pub validation_start_ms: Option<i64>,
    /// Origins to score from; without it, one every 7 hours and server.
    pub origins: Option<PathBuf>,
    /// Share of the windows, relative to the other inputs' shares.
    pub share: f64,
}

/// A synthetic fleet to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticInput {
    /// Kind, size, span and seed.
    pub fleet: FleetSpec,
    /// Share of the windows, relative to the other inputs' shares.
    pub share: f64,
}

/// A finished model.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its directory.
    pub dir: PathBuf,
    /// How the run went.
    pub report: TrainReport,
    /// Scores of each trace on its validation part, by trace name.
    pub scores: BTreeMap<String, Scores>,
    /// How its risk is told there, before and after calibration.
    pub risk: RiskBeforeAndAfter,
}

/// Where a command is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage<'a> {
    /// The inputs are being read, so many rows of so many.
    Reading {
        /// Rows read.
        rows: u64,
        /// Rows in all files.
        rows_total: u64,
    },
    /// The network learns; told after each step.
    Training(&'a Progress),
    /// The finished model is scored on a trace.
    Scoring {
        /// Its name.
        trace: &'a str,
    },
}

/// What [`train`] asks of its caller while it works.
pub struct Observer<'a> {
    /// Told where the command is. [`ControlFlow::Break`] after a step ends it without a model; it can be resumed.
    pub tell: &'a mut dyn FnMut(Stage<'_>) -> ControlFlow<()>,
    /// Time since any fixed moment.
    pub now: &'a dyn Fn() -> Duration,
}

/// Trains a model, scores it on the validation parts and writes its directory. Blocking, and long.
///
/// Whatever ends the process, the same request goes on from its last checkpoint, and ends with the same weights.
/// libtorch's own thread pool is set to one thread: work is spread over [`TrainOptions::threads`] instead.
///
/// # Errors
/// When an input cannot be read or has nothing to learn from, the work folder is taken or holds another run, the run
/// ends without a model, or the directory cannot be written.
pub fn train(
    request: &TrainRequest,
    schema: &Schema,
    observer: &mut Observer<'_>,
) -> Result<Outcome, TrainingError> {
    train::single_threaded_torch();
    request.train.check()?;
    if request.from.is_some() && request.watched_share <= 0.0 {
        return Err(TrainingError::NothingWatched);
    }
    check_names(request)?;
    // Most mistakes are in a path; none should leave a work folder behind.
    for input in &request.traces {
        trace_files(&input.path)?;
    }
    let output = &request.output;
    std::fs::create_dir_all(output).map_err(TrainingError::io(output))?;
    let place = Workplace::take(
        &request.work_dir,
        &request.name,
        request.created_ms,
        request.restart,
    )?;
    let from = match &request.from {
        Some(dir) => Some(ModelFiles::read(
            dir,
            Some(&schema_ref(schema)),
            request.device,
        )?),
        None => None,
    };
    let config = match &from {
        Some(files) => files.config.clone(),
        None => model_config(schema, &request.model),
    };
    let steps = Steps {
        secs: config.step_secs,
        horizon: config.horizon(),
    };
    let spool = open_spool(request, schema, steps, &place, observer)?;
    let cuts = cuts(request, schema, steps, &spool)?;
    let mut watched = Vec::new();
    for (position, cut) in cuts.iter().enumerate() {
        watched.extend(cut.watched(&spool, position, steps)?);
    }
    if watched.is_empty() && request.from.is_some() {
        return Err(TrainingError::NothingWatched);
    }
    if watched.is_empty() && request.watched_share > 0.0 {
        tracing::warn!("the data are too short for a watched part: nothing ends the run early");
    }
    let sources = cuts
        .iter()
        .map(|cut| (cut.source.clone(), cut.learned_until_ms()));
    let corpus = SpoolCorpus::new(&spool, sources.collect());
    let identity = identity(&spool, &corpus, &cuts);
    let checkpoint = place.checkpoint();
    let job = Job {
        config: &config,
        options: &request.train,
        corpus: &corpus,
        validation: &watched,
        device: request.device,
        start: from.as_ref().map(|files| Start {
            network: &files.network,
            normaliser: &files.normaliser,
        }),
        checkpoint: Some(Checkpoint {
            path: &checkpoint,
            identity: &identity,
        }),
    };
    let mut progress = |progress: &Progress| (observer.tell)(Stage::Training(progress));
    let mut watch = Watch {
        progress: &mut progress,
        now: observer.now,
    };
    let mut trained = train::run(&job, &mut watch).map_err(|error| match error {
        TrainError::Checkpoint(source @ CheckpointError::OtherRun { .. }) => {
            TrainingError::OtherRun {
                dir: place.dir().to_owned(),
                source,
            }
        }
        error => error.into(),
    })?;

    let name = directory_name(&request.name, place.created_ms());
    let dir = request.output.join(&name);
    let judge = Judge {
        request,
        schema,
        spool: &spool,
        cuts: &cuts,
        former: from.as_ref(),
    };
    let judged = judge.judge(&mut trained, &name, observer)?;
    let facts: Vec<_> = cuts.iter().map(|cut| &cut.facts).collect();
    let from = from.as_ref().map(|files| files.weights_sha256.as_str());
    let record = record(request, &facts, from, place.created_ms(), &trained, &judged)?;
    match write(&dir, &trained, &record, &judged.calibration) {
        // Killed after this very model was written.
        Err(SaveError::Exists(_)) if is_written(&dir, &trained)? => {}
        written => written?,
    }
    place.clear()?;
    Ok(Outcome {
        dir,
        report: trained.report,
        scores: judged.scores,
        risk: judged.risk,
    })
}

fn check_names(request: &TrainRequest) -> Result<(), TrainingError> {
    let mut names = BTreeSet::new();
    let fleets = (request.synthetic.iter()).map(|input| -> &str { input.fleet.kind.source_name() });
    for name in fleets.chain(request.traces.iter().map(|input| input.name.as_str())) {
        if !names.insert(name) {
            return Err(TrainingError::SameName(name.to_owned()));
        }
    }
    if names.is_empty() {
        return Err(TrainingError::NoInput);
    }
    Ok(())
}

fn open_spool(
    request: &TrainRequest,
    schema: &Schema,
    steps: Steps,
    place: &Workplace,
    observer: &mut Observer<'_>,
) -> Result<Spool, TrainingError> {
    let traces = request
        .traces
        .iter()
        .map(|input| (input.name.as_str(), RowsFrom::Files(&input.path)));
    let fleets = (request.synthetic.iter()).map(|input| {
        (
            input.fleet.kind.source_name(),
            RowsFrom::Fleet(&input.fleet),
        )
    });
    let sources: Vec<_> = traces.chain(fleets).collect();
    let making = Making {
        schema,
        profiles: &request.profiles,
        step_secs: steps.secs,
        memory_bytes: request.train.memory_mb << 20,
    };
    // Reading cannot be stopped half-way; a process that is told to end simply ends.
    let mut tell = |rows, rows_total| {
        let _ = (observer.tell)(Stage::Reading { rows, rows_total });
    };
    Spool::open_or_make(&place.spool(), &sources, &making, &mut tell)
}

/// The sources in the order of the spool's.
fn cuts(
    request: &TrainRequest,
    schema: &Schema,
    steps: Steps,
    spool: &Spool,
) -> Result<Vec<Cut>, TrainingError> {
    let mut cuts = Vec::new();
    let mut indices = spool.sources().iter();
    for (input, index) in request.traces.iter().zip(&mut indices) {
        cuts.push(cut_trace(
            input,
            index,
            schema,
            steps,
            request.watched_share,
        )?);
    }
    for (input, index) in request.synthetic.iter().zip(indices) {
        cuts.push(cut_fleet(input, index, schema, request.watched_share));
    }
    Ok(cuts)
}

/// What a checkpoint must agree with, beside the options: the data and how they are cut.
fn identity(spool: &Spool, corpus: &SpoolCorpus<'_>, cuts: &[Cut]) -> Value {
    let sources = corpus.sources().iter().zip(cuts).map(|(source, cut)| {
        json!({
            "name": source.name,
            "share": source.share,
            "learned_until_ms": cut.learned_until_ms(),
            "watched_until_ms": cut.watched_until_ms(),
        })
    });
    json!({ "sources": sources.collect::<Vec<_>>(), "sha256": spool.digest() })
}

/// The schema's usual model. A lag as long as the context is known for every future step and for no past one, so the
/// encoder is spared those inputs.
fn model_config(schema: &Schema, options: &ModelOptions) -> ModelConfig {
    let mut config = ModelConfig::for_schema(&schema_ref(schema), options);
    let beyond_context: BTreeSet<String> = (config.variables.iter())
        .filter(|variable| match &variable.source {
            argus_tft::Source::Lag { steps, .. } | argus_tft::Source::LagObserved { steps, .. } => {
                *steps >= options.encoder_steps
            }
            _ => false,
        })
        .map(|variable| variable.name.clone())
        .collect();
    config
        .architecture
        .encoder_variables
        .reals
        .retain(|name| !beyond_context.contains(name));
    config
}

fn directory_name(name: &str, created_ms: i64) -> String {
    let created =
        jiff::Timestamp::from_millisecond(created_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{name}_{}", created.strftime("%Y%m%d_%H%M%S"))
}
