//! One training command, from files to a model directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use argus_generate::FleetSpec;
use argus_schema::Schema;
use argus_tft::train::{self, Job, MemoryCorpus, Roughening, TrainOptions, TrainReport, Watch};
use argus_tft::{Device, Model, ModelConfig, ModelOptions};
use serde_json::{Value, json};

use crate::data::{Cut, Steps, cut_fleet, cut_trace, rfc3339};
use crate::score::Scorer;
use crate::{Scores, TrainingError, forecast_origins, schema_ref};

/// What to train, on what, and where to put it.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// Traces.
    pub traces: Vec<TraceInput>,
    /// A fleet to fill in what the traces lack.
    pub synthetic: Option<SyntheticInput>,
    /// Sizes of the network.
    pub model: ModelOptions,
    /// Pace and seeds.
    pub train: TrainOptions,
    /// Where the model directory appears, as `<name>_YYYYMMDD_HHMMSS`.
    pub output: PathBuf,
    /// First part of its name.
    pub name: String,
    /// Second part of its name: milliseconds since the Unix epoch, UTC.
    pub created_ms: i64,
}

/// A trace to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceInput {
    /// What reports call it, usually the file's name without its ending.
    pub name: String,
    /// The Parquet file.
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

/// Trains a model, scores it on the validation parts and writes its directory. Blocking, and long.
///
/// libtorch's own thread pool is set to one thread: work is spread over [`TrainOptions::threads`] instead.
///
/// # Errors
/// When an input cannot be read or has nothing to learn from, the run ends without a model, or the directory cannot be
/// written.
pub fn train(
    request: &TrainRequest,
    schema: &Schema,
    watch: &mut Watch<'_>,
) -> Result<Outcome, TrainingError> {
    train::single_threaded_torch();
    let steps = Steps {
        secs: request.model.step_secs,
        horizon: request.model.decoder_steps as usize,
    };
    let cuts = cuts(request, schema, steps)?;
    let (mut data, mut watched, mut scored, mut facts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for cut in cuts {
        scored.extend(cut.scored.map(|scored| (cut.source.name.clone(), scored)));
        data.push((cut.source, cut.learned, cut.validation));
        watched.extend(cut.watched);
        facts.push(cut.facts);
    }
    let corpus = MemoryCorpus::new(steps.secs, data);
    let config = model_config(schema, &request.model);
    let job = Job {
        config: &config,
        options: &request.train,
        corpus: &corpus,
        validation: &watched,
        device: Device::best(),
        start: None,
        checkpoint: None,
    };
    let trained = train::run(&job, watch)?;

    let dir = request
        .output
        .join(directory_name(&request.name, request.created_ms));
    let write = |dir: &Path, record: &Value| {
        let calibration = json!({ "kind": "identity" });
        argus_tft::write(
            dir,
            &trained.config,
            &trained.network,
            &trained.state,
            record,
            &calibration,
        )
    };
    fs::create_dir_all(&request.output).map_err(|source| TrainingError::Io {
        path: request.output.clone(),
        source,
    })?;
    // Scored from files, through the code that serves it; only then does it appear under its name.
    let draft = request.output.join(format!(
        ".{}.unscored",
        directory_name(&request.name, request.created_ms)
    ));
    if draft.exists() {
        remove(&draft)?;
    }
    write(&draft, &Value::Null)?;
    let scores = Model::open(&draft, &schema_ref(schema), Device::best())
        .map_err(TrainingError::from)
        .and_then(|model| {
            let score = |(name, scored): (String, crate::data::Scored)| {
                let mut scorer = Scorer::new(schema, model.quantile_levels(), steps.secs);
                forecast_origins(&model, &scored.series, &scored.origins, |forecast| {
                    scorer.add(forecast)
                })?;
                Ok((name, scorer.finish()))
            };
            scored
                .into_iter()
                .map(score)
                .collect::<Result<BTreeMap<_, _>, TrainingError>>()
        });
    remove(&draft)?;
    let scores = scores?;
    write(&dir, &record(request, &facts, &trained.report, &scores)?)?;
    Ok(Outcome {
        dir,
        report: trained.report,
        scores,
    })
}

fn cuts(request: &TrainRequest, schema: &Schema, steps: Steps) -> Result<Vec<Cut>, TrainingError> {
    let mut names = BTreeSet::new();
    let mut cuts = Vec::new();
    for input in &request.traces {
        if input.name == "synthetic" || !names.insert(&input.name) {
            return Err(TrainingError::SameName(input.name.clone()));
        }
        cuts.push(cut_trace(input, cuts.len(), schema, steps)?);
    }
    if let Some(input) = &request.synthetic {
        cuts.push(cut_fleet(input, cuts.len(), schema, steps)?);
    }
    if cuts.is_empty() {
        return Err(TrainingError::NoInput);
    }
    Ok(cuts)
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
    fs::remove_dir_all(dir).map_err(|source| TrainingError::Io {
        path: dir.to_owned(),
        source,
    })
}

fn record(
    request: &TrainRequest,
    facts: &[crate::data::SourceFacts],
    report: &TrainReport,
    scores: &BTreeMap<String, Scores>,
) -> Result<Value, TrainingError> {
    let TrainOptions { roughening, .. } = request.train;
    let Roughening {
        shorten,
        drop_metrics,
        gaps,
        drop_status,
        drop_profile,
    } = roughening;
    let options = &request.train;
    Ok(json!({
        "format_version": 1,
        "created": rfc3339(request.created_ms),
        "versions": { "argus": env!("CARGO_PKG_VERSION"), "network": "tft" },
        "seed": options.seed,
        "data": serde_json::to_value(facts)?,
        "options": {
            "max_steps": options.max_steps,
            "batch_windows": options.batch_windows,
            "chunk_windows": options.chunk_windows,
            "threads": options.threads,
            "learning_rate": options.learning_rate,
            "weight_decay": options.weight_decay,
            "clip_norm": options.clip_norm,
            "average_keep": options.average_keep,
            "epoch_share": options.epoch_share,
            "chunk_secs": options.chunk_secs,
            "scale_weight": options.scale_weight,
            "roughening": {
                "shorten": shorten,
                "drop_metrics": drop_metrics,
                "gaps": gaps,
                "drop_status": drop_status,
                "drop_profile": drop_profile,
            },
        },
        "run": serde_json::to_value(report)?,
        "scores": serde_json::to_value(scores)?,
    }))
}
