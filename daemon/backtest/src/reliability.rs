//! Told risk against what came true, and the calibration that follows from it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use argus_fleet::Risk;
use argus_risk::{Calibration, CalibrationFit, Outcome};
use argus_score::{ProbabilityScore, ProbabilitySums};
use argus_trace::{count_servers, read_servers};
use serde::Serialize;

use crate::errors::BacktestError;
use crate::replay::{Answer, Replay};
use crate::run::{Origins, Progress, check_stride, expected, groups};
use crate::schedule;

/// How well risk was told: the probability that a server passes a critical threshold, against whether it did. Windows
/// of which more than a tenth was not observed are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskScores {
    /// Within 8 hours.
    pub within_8h: Option<ProbabilityScore>,
    /// Within 30 minutes.
    pub within_30m: Option<ProbabilityScore>,
}

/// Adds up what was told and what came true.
#[derive(Debug, Clone, Default)]
pub(crate) struct RiskTally {
    within_8h: ProbabilitySums,
    within_30m: ProbabilitySums,
}

impl RiskTally {
    pub(crate) fn add(&mut self, replay: &Replay, answer: &Answer<'_>) {
        let Some(risk) = &answer.risk else { return };
        if let Some(outcome) = outcome(replay, answer, risk) {
            self.within_8h
                .add(risk.prob_horizon, outcome.within_horizon);
            self.within_30m.add(risk.prob_30m, outcome.within_30m);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.within_8h.merge(&other.within_8h);
        self.within_30m.merge(&other.within_30m);
    }

    pub(crate) fn scores(&self) -> RiskScores {
        RiskScores {
            within_8h: self.within_8h.score(),
            within_30m: self.within_30m.score(),
        }
    }
}

/// Which part of a trace a calibration is fitted to.
#[derive(Debug, Clone)]
pub struct FitRequest {
    /// The trace's files; see [`argus_trace::trace_files`].
    pub files: Vec<PathBuf>,
    /// Seconds between two forecasts of a server, a multiple of the step.
    pub every_secs: u32,
    /// Origins before this time are left out: the model may have learned from what came after them. ms since the epoch.
    pub from_ms: i64,
}

/// What a model's risk says of a trace, and what came true.
///
/// # Errors
/// When the trace cannot be read or the model fails.
pub fn calibration_fit(
    replay: &Replay,
    request: &FitRequest,
    progress: &mut dyn Progress,
) -> Result<CalibrationFit, BacktestError> {
    check_stride(request.every_secs, replay.step_secs)?;
    let origins = Origins::Every(request.every_secs);
    let counts = count_servers(&request.files, &replay.schema)?;
    progress.begin(expected(&counts, &origins));
    let every_steps = i64::from(request.every_secs / replay.step_secs);
    let mut fit = CalibrationFit::default();
    for group in groups(&counts, |name| origins.mentions(name)) {
        fit.merge(&fit_group(replay, request, &group, every_steps, progress)?);
    }
    Ok(fit)
}

fn fit_group(
    replay: &Replay,
    request: &FitRequest,
    group: &BTreeSet<String>,
    every_steps: i64,
    progress: &mut dyn Progress,
) -> Result<CalibrationFit, BacktestError> {
    let servers = replay.bins(read_servers(&request.files, &replay.schema, group)?)?;
    let mut strokes = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let of_server = schedule::strided(server, every_steps, replay.step_ms());
        let wanted = of_server
            .into_iter()
            .filter(|stroke| stroke.at_ms >= request.from_ms);
        strokes.extend(wanted.map(|stroke| (index, stroke)));
    }
    let compare = |answers: &[Answer<'_>]| {
        let mut fit = CalibrationFit::default();
        for answer in answers {
            let computed = replay.with_subject(answer, &Calibration::Identity, |subject| {
                subject.assess(&answer.forecast)
            });
            if let Some(outcome) = outcome(replay, answer, &computed) {
                fit.add(&computed, outcome);
            }
        }
        fit
    };
    let mut fit = CalibrationFit::default();
    replay.run(&servers, &strokes, compare, |answers, part| {
        fit.merge(&part);
        progress.advance(answers.len() as u64);
        Ok::<_, BacktestError>(())
    })?;
    Ok(fit)
}

/// What the server's own later bins say of a forecast.
fn outcome(replay: &Replay, answer: &Answer<'_>, risk: &Risk) -> Option<Outcome> {
    let next = answer.stroke.origin + 1;
    let future: Vec<&[f32]> = (answer.server.values.iter())
        .map(|values| values.get(next..).unwrap_or_default())
        .collect();
    let horizon = answer.forecast.horizon();
    replay.with_subject(answer, &replay.model.calibration, |subject| {
        subject.outcome(risk.assessed, &future, horizon, replay.step_secs)
    })
}
