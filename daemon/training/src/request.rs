//! One training command, from files to a model directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_generate::FleetSpec;
use argus_schema::{ProfileRules, Schema};
use argus_tft::train::{
    self, Checkpoint, CheckpointError, Corpus, Job, Progress, Start, TrainError, TrainOptions,
    TrainReport, Trained, Watch,
};
use argus_tft::{Device, Model, ModelConfig, ModelFiles, ModelOptions, SaveError, Widening};
use serde_json::{Value, json};

use crate::corpus::SpoolCorpus;
use crate::data::{Cut, SYNTHETIC, Steps, cut_fleet, cut_trace};
use crate::forecast::{OriginForecast, forecast_origins};
use crate::record::record;
use crate::score::Scorer;
use crate::spool::{Making, RowsFrom, Spool};
use crate::widen::Widener;
use crate::workplace::Workplace;
use crate::{Scores, TrainingError, schema_ref};

/// What to train, on what, and where to put it.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// Traces.
    pub traces: Vec<TraceInput>,
    /// A fleet to fill in what the traces lack.
    pub synthetic: Option<SyntheticInput>,
    /// Profiles of servers whose rows name none; those of serving.
    pub profiles: ProfileRules,
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
    /// Size, span and seed.
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
    check_names(request)?;
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
    let scores = widen_and_score(
        request,
        schema,
        &spool,
        &cuts,
        &mut trained,
        &name,
        observer,
    )?;
    let dir = request.output.join(&name);
    let facts: Vec<_> = cuts.iter().map(|cut| &cut.facts).collect();
    let from = from.map(|files| files.weights_sha256);
    let record = record(request, &facts, from, place.created_ms(), &trained, &scores)?;
    match write(&dir, &trained, &record) {
        // Killed after this very model was written.
        Err(SaveError::Exists(_)) if is_written(&dir, &trained)? => {}
        written => written?,
    }
    place.clear()?;
    Ok(Outcome {
        dir,
        report: trained.report,
        scores,
    })
}

fn check_names(request: &TrainRequest) -> Result<(), TrainingError> {
    let mut names = BTreeSet::new();
    for input in &request.traces {
        if input.name == SYNTHETIC || !names.insert(&input.name) {
            return Err(TrainingError::SameName(input.name.clone()));
        }
    }
    if names.is_empty() && request.synthetic.is_none() {
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
    let fleet = request
        .synthetic
        .iter()
        .map(|input| (SYNTHETIC, RowsFrom::Fleet(&input.fleet)));
    let sources: Vec<_> = traces.chain(fleet).collect();
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
    for (input, index) in request.traces.iter().zip(spool.sources()) {
        cuts.push(cut_trace(
            input,
            index,
            schema,
            steps,
            request.watched_share,
        )?);
    }
    if let (Some(input), Some(index)) = (&request.synthetic, spool.sources().last()) {
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

/// Scores the model from files, through the code that serves it, and widens its quantiles by what came true there; only
/// then does it appear under its name.
fn widen_and_score(
    request: &TrainRequest,
    schema: &Schema,
    spool: &Spool,
    cuts: &[Cut],
    trained: &mut Trained,
    name: &str,
    observer: &mut Observer<'_>,
) -> Result<BTreeMap<String, Scores>, TrainingError> {
    fs::create_dir_all(&request.output).map_err(TrainingError::io(&request.output))?;
    let draft = request.output.join(format!(".{name}.unscored"));
    let wanted = schema_ref(schema);
    let mut forecast = |trained: &Trained, visit: &mut dyn FnMut(usize, &OriginForecast<'_>)| {
        if draft.exists() {
            remove(&draft)?;
        }
        write(&draft, trained, &Value::Null)?;
        let model = Model::open(&draft, &wanted, request.device);
        remove(&draft)?;
        let model = model?;
        for (position, cut) in cuts.iter().enumerate() {
            let Some(origins) = &cut.scored else { continue };
            let name = &cut.source.name;
            let _ = (observer.tell)(Stage::Scoring { trace: name });
            forecast_origins(&model, spool, position, origins, |forecast| {
                visit(position, forecast)
            })?;
        }
        Ok::<_, TrainingError>(())
    };
    let levels = trained.config.quantile_levels.clone();
    // Of a model that this one went on from; better than none where the new data say too little.
    let former = std::mem::take(&mut trained.config.widening);
    let mut widener = Widener::new(&wanted, &levels, cuts.len());
    forecast(trained, &mut |source, forecast| {
        widener.add(source, forecast);
    })?;
    let mut widening = widener.finish();
    let is_new = |old: &Widening| widening.iter().all(|new| new.metric != old.metric);
    let kept: Vec<_> = former.into_iter().filter(is_new).collect();
    widening.extend(kept);
    trained.config.widening = widening;

    let scorer = |_| Scorer::new(schema, &levels, spool.step_secs());
    let mut scorers: Vec<Scorer<'_>> = cuts.iter().map(scorer).collect();
    forecast(trained, &mut |source, forecast| {
        scorers[source].add(forecast);
    })?;
    let scored = cuts.iter().zip(scorers);
    let scored = scored.filter(|(cut, _)| cut.scored.is_some());
    Ok(scored
        .map(|(cut, scorer)| (cut.source.name.clone(), scorer.finish()))
        .collect())
}

fn write(dir: &Path, trained: &Trained, record: &Value) -> Result<(), SaveError> {
    let calibration = json!({ "kind": "identity" });
    argus_tft::write(
        dir,
        &trained.config,
        &trained.network,
        &trained.state,
        record,
        &calibration,
    )
}

/// Whether a directory holds these weights.
fn is_written(dir: &Path, trained: &Trained) -> Result<bool, TrainingError> {
    let path = dir.join(argus_tft::WEIGHTS_FILE);
    let found = fs::read(&path).map_err(TrainingError::io(&path))?;
    Ok(found == argus_tft::encode_weights(&trained.network, &trained.state)?)
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

fn remove(dir: &Path) -> Result<(), TrainingError> {
    fs::remove_dir_all(dir).map_err(TrainingError::io(dir))
}
