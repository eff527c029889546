//! What a finished network is worth, and what follows from that: how far its quantiles are widened, how its risk is
//! calibrated, and its scores. Only then does the model appear under its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use argus_risk::Calibration;
use argus_schema::Schema;
use argus_score::ProbabilityScore;
use argus_tft::train::Trained;
use argus_tft::{Model, ModelFiles, SaveError, Widening};
use serde::Serialize;
use serde_json::Value;

use crate::calibrate::Calibrator;
use crate::data::Cut;
use crate::forecast::{OriginForecast, forecast_origins};
use crate::request::{Observer, Stage, TrainRequest};
use crate::score::Scorer;
use crate::spool::Spool;
use crate::widen::Widener;
use crate::{Scores, TrainingError, schema_ref};

/// How well the probability of passing a critical threshold within the horizon was told on the validation parts, which
/// are also what the calibration was fitted to; `None` where nothing was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskBeforeAndAfter {
    /// Before calibration.
    pub computed: Option<ProbabilityScore>,
    /// After it.
    pub calibrated: Option<ProbabilityScore>,
}

/// What a model is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) request: &'a TrainRequest,
    pub(crate) schema: &'a Schema,
    pub(crate) spool: &'a Spool,
    pub(crate) cuts: &'a [Cut],
    /// The model that this one went on from.
    pub(crate) former: Option<&'a ModelFiles>,
}

/// What was found.
pub(crate) struct Judged {
    /// Scores by trace name.
    pub(crate) scores: BTreeMap<String, Scores>,
    /// `calibration.json`.
    pub(crate) calibration: Value,
    pub(crate) risk: RiskBeforeAndAfter,
}

impl Judge<'_> {
    /// Runs the model from files, through the code that serves it, over the scored origins: once to see how far its
    /// quantiles must be widened by what came true, and once more, widened, to calibrate its risk and to score it.
    pub(crate) fn judge(
        &self,
        trained: &mut Trained,
        name: &str,
        observer: &mut Observer<'_>,
    ) -> Result<Judged, TrainingError> {
        let draft = self.request.output.join(format!(".{name}.unscored"));
        let wanted = schema_ref(self.schema);
        let levels = trained.config.quantile_levels.clone();
        // Of a model that this one went on from; better than none where the new data say too little.
        let former = std::mem::take(&mut trained.config.widening);
        let mut widener = Widener::new(&wanted, &levels, self.cuts.len());
        self.forecast(trained, &draft, observer, |source, forecast| {
            widener.add(source, forecast);
        })?;
        let mut widening = widener.finish();
        let is_new = |old: &Widening| widening.iter().all(|new| new.metric != old.metric);
        let kept: Vec<_> = former.into_iter().filter(is_new).collect();
        widening.extend(kept);
        trained.config.widening = widening;

        let step_secs = self.spool.step_secs();
        let scorer = |_| Scorer::new(self.schema, &levels, step_secs);
        let mut scorers: Vec<Scorer<'_>> = self.cuts.iter().map(scorer).collect();
        let rules = &self.request.thresholds;
        let mut calibrator = Calibrator::new(self.schema, rules, &levels, step_secs);
        self.forecast(trained, &draft, observer, |source, forecast| {
            scorers[source].add(forecast);
            calibrator.add(forecast);
        })?;
        let scored = self.cuts.iter().zip(scorers);
        let scored = scored.filter(|(cut, _)| cut.scored.is_some());
        let fit = calibrator.finish();
        let calibration = match (fit.finish(&self.scored_parts()), self.former) {
            (Some(fitted), _) => fitted,
            (None, Some(former)) => Calibration::from_json(&former.calibration.to_string())
                .unwrap_or_else(|error| {
                    tracing::warn!(%error, "the former model's calibration is not kept");
                    Calibration::Identity
                }),
            (None, None) => Calibration::Identity,
        };
        Ok(Judged {
            scores: scored
                .map(|(cut, scorer)| (cut.source.name.clone(), scorer.finish()))
                .collect(),
            risk: RiskBeforeAndAfter {
                computed: fit.score(&Calibration::Identity),
                calibrated: fit.score(&calibration),
            },
            calibration: serde_json::to_value(calibration)?,
        })
    }

    fn scored_parts(&self) -> String {
        let scored = self.cuts.iter().filter(|cut| cut.scored.is_some());
        let names: Vec<&str> = scored.map(|cut| cut.source.name.as_str()).collect();
        format!("the validation parts of {}", names.join(", "))
    }

    fn forecast(
        &self,
        trained: &Trained,
        draft: &Path,
        observer: &mut Observer<'_>,
        mut visit: impl FnMut(usize, &OriginForecast<'_>),
    ) -> Result<(), TrainingError> {
        if draft.exists() {
            remove(draft)?;
        }
        write(draft, trained, &Value::Null, &Value::Null)?;
        let model = Model::open(draft, &schema_ref(self.schema), self.request.device);
        remove(draft)?;
        let model = model?;
        if !model.answers_in_numbers()? {
            return Err(TrainingError::NotNumbers);
        }
        for (position, cut) in self.cuts.iter().enumerate() {
            let Some(origins) = &cut.scored else { continue };
            let trace = &cut.source.name;
            let _ = (observer.tell)(Stage::Scoring { trace });
            forecast_origins(&model, self.spool, position, origins, |forecast| {
                visit(position, forecast);
            })?;
        }
        Ok(())
    }
}

/// Writes a model directory.
pub(crate) fn write(
    dir: &Path,
    trained: &Trained,
    record: &Value,
    calibration: &Value,
) -> Result<(), SaveError> {
    argus_tft::write(
        dir,
        &trained.config,
        &trained.network,
        &trained.state,
        record,
        calibration,
    )
}

/// Whether a directory holds these weights.
pub(crate) fn is_written(dir: &Path, trained: &Trained) -> Result<bool, TrainingError> {
    let path = dir.join(argus_tft::WEIGHTS_FILE);
    let found = fs::read(&path).map_err(TrainingError::io(&path))?;
    Ok(found == argus_tft::encode_weights(&trained.network, &trained.state)?)
}

fn remove(dir: &Path) -> Result<(), TrainingError> {
    fs::remove_dir_all(dir).map_err(TrainingError::io(dir))
}
