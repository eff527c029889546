//! Bins → forecasts → risk, in large batches: what `argus forecast` and `argus backtest` share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_fleet::{EntityForecast, Risk};
use argus_forecast::{
    Edits, Input, Interpretation, Lane, LoadedModel, MIN_CONTEXT_BINS, interpret, predict,
};
use argus_risk::{Calibration, Subject, ThresholdRules};
use argus_schema::{ProfileRules, Schema};
use argus_tft::Usual;
use argus_trace::Series;

use crate::bins::ServerBins;
use crate::errors::BacktestError;
use crate::schedule::Stroke;

/// Windows in one call of the model: enough for all its threads, and little memory.
const BATCH_WINDOWS: usize = 512;

/// Everything that turns a server's past into a forecast and its risk, as the daemon would.
pub struct Replay {
    /// Shape of the servers.
    pub schema: Arc<Schema>,
    /// Who answers.
    pub model: Arc<LoadedModel>,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Profiles of servers whose rows name none.
    pub profiles: ProfileRules,
    /// The profile that the model is told for all servers, instead of their own.
    pub told_profile: Option<u8>,
    /// Thresholds that differ from the schema's.
    pub thresholds: ThresholdRules,
    /// Changes to every context before the model sees it.
    pub edits: Edits,
    /// Threads that share what is not the model's.
    pub threads: usize,
}

/// A forecast of a replay.
#[derive(Debug)]
pub struct Answer<'s> {
    /// Position of its server in the list.
    pub index: usize,
    /// The server.
    pub server: &'s ServerBins,
    /// From where, and when.
    pub stroke: Stroke,
    /// What the model says.
    pub forecast: EntityForecast,
    /// What that means; `None` where no observed metric has a threshold.
    pub risk: Option<Risk>,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Forecasts made.
    pub forecasts: usize,
    /// Origins with fewer observed bins than a forecast needs.
    pub too_short: usize,
    /// Time in the model, from windows to quantiles.
    pub in_model: Duration,
}

impl Replay {
    /// Length of a step in milliseconds.
    pub fn step_ms(&self) -> i64 {
        i64::from(self.step_secs) * 1000
    }

    /// Bins all series that have a usable row.
    ///
    /// # Errors
    /// When a server's name or times are not usable.
    pub fn bins(&self, series: Vec<Series>) -> Result<Vec<ServerBins>, BacktestError> {
        let bins = series.into_iter().map(|series| {
            ServerBins::new(&series, &self.schema, &self.profiles, self.step_ms()).transpose()
        });
        bins.flatten().collect()
    }

    /// Forecasts all strokes, given as (position in `servers`, stroke) in the order wanted.
    ///
    /// `work` gets the answers of a batch in slices, side by side on several threads; `take` gets them in order with
    /// what `work` made of them.
    ///
    /// # Errors
    /// When the model fails, or `take` does.
    pub fn run<'s, T, W, E>(
        &self,
        servers: &'s [ServerBins],
        strokes: &[(usize, Stroke)],
        work: impl Fn(&[Answer<'s>]) -> W + Sync,
        mut take: T,
    ) -> Result<Done, E>
    where
        T: FnMut(&[Answer<'s>], W) -> Result<(), E>,
        W: Send,
        E: From<BacktestError>,
    {
        let mut done = Done::default();
        let usable: Vec<&(usize, Stroke)> = strokes
            .iter()
            .filter(|(index, stroke)| servers[*index].context(stroke.origin).1 >= MIN_CONTEXT_BINS)
            .collect();
        done.too_short = strokes.len() - usable.len();
        for batch in usable.chunks(BATCH_WINDOWS) {
            let started = Instant::now();
            let forecasts = self.forecast(servers, batch)?;
            done.in_model += started.elapsed();
            done.forecasts += forecasts.len();
            let mut answers: Vec<Answer<'s>> = batch
                .iter()
                .zip(forecasts)
                .map(|((index, stroke), forecast)| Answer {
                    index: *index,
                    server: &servers[*index],
                    stroke: *stroke,
                    forecast,
                    risk: None,
                })
                .collect();
            let slice = answers.len().div_ceil(self.threads.max(1)).max(1);
            let judge = |answers: &mut [Answer<'s>]| {
                for answer in answers.iter_mut() {
                    answer.risk = self.risk(answer);
                }
                work(answers)
            };
            let judge = &judge;
            let worked: Vec<W> = std::thread::scope(|scope| {
                let threads: Vec<_> = answers
                    .chunks_mut(slice)
                    .map(|slice| scope.spawn(move || judge(slice)))
                    .collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                joined
                    .collect::<Result<_, _>>()
                    .map_err(|_| BacktestError::Worker)
            })?;
            for (slice, worked) in answers.chunks(slice).zip(worked) {
                take(slice, worked)?;
            }
        }
        Ok(done)
    }

    /// What the network looked at for an answer: the same windows once more through the model.
    ///
    /// # Errors
    /// When the model fails.
    pub fn interpret(&self, answer: &Answer<'_>) -> Result<Interpretation, BacktestError> {
        let found = self.with_inputs(&[(answer.server, answer.stroke)], |inputs| {
            interpret(Lane::Main, &self.model.model, self.step_secs, &inputs[0])
        });
        Ok(found?)
    }

    fn forecast(
        &self,
        servers: &[ServerBins],
        batch: &[&(usize, Stroke)],
    ) -> Result<Vec<EntityForecast>, BacktestError> {
        let wanted: Vec<(&ServerBins, Stroke)> = batch
            .iter()
            .map(|(index, stroke)| (&servers[*index], *stroke))
            .collect();
        let LoadedModel { model, id, .. } = self.model.as_ref();
        let made = self.with_inputs(&wanted, |inputs| {
            predict(model, id, self.step_secs, 0, inputs)
        });
        Ok(made?)
    }

    /// Contexts as the model gets them, edits included.
    fn with_inputs<T>(
        &self,
        wanted: &[(&ServerBins, Stroke)],
        run: impl FnOnce(&[Input<'_>]) -> T,
    ) -> T {
        let edited: Vec<Vec<Vec<f32>>> = if self.edits.is_empty() {
            Vec::new()
        } else {
            let edit = |(server, stroke): &(&ServerBins, Stroke)| {
                let mut values = Self::context(server, stroke.origin);
                self.edits.apply(&mut values);
                values
            };
            wanted.iter().map(edit).collect()
        };
        let config = self.model.model.config();
        let usual = |(place, (server, stroke)): (usize, &(&ServerBins, Stroke))| {
            let history = server.history(stroke.origin, config.history_steps());
            let Some(edited) = edited.get(place) else {
                return config.usual(&history);
            };
            let joined = history.into_iter().zip(edited).map(|(values, newest)| {
                let before = &values[..values.len().saturating_sub(newest.len())];
                [before, newest].concat()
            });
            let joined: Vec<Vec<f32>> = joined.collect();
            config.usual(&joined.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let usual: Vec<Option<Usual>> = wanted.iter().enumerate().map(usual).collect();
        let inputs: Vec<Input<'_>> = wanted
            .iter()
            .enumerate()
            .map(|(place, (server, stroke))| {
                let (span, _) = server.context(stroke.origin);
                let profile = self.told_profile.unwrap_or(server.profile);
                let values = match edited.get(place) {
                    Some(edited) => edited.iter().map(Vec::as_slice).collect(),
                    None => server.values.iter().map(|v| &v[span.clone()]).collect(),
                };
                Input {
                    entity: &server.name,
                    profile: &self.schema.profiles[usize::from(profile)].id,
                    last_bin: server.first_bin + i64::try_from(stroke.origin).unwrap_or(0),
                    values,
                    status: &server.status[span],
                    usual: usual[place].as_ref(),
                }
            })
            .collect();
        run(&inputs)
    }

    /// The metrics of which the edits leave nothing.
    fn hidden(&self, server: &ServerBins, origin: usize) -> Vec<bool> {
        if self.edits.is_empty() {
            return Vec::new();
        }
        let own = Self::context(server, origin);
        let mut left = own.clone();
        self.edits.apply(&mut left);
        argus_risk::hidden(
            own.iter().map(Vec::as_slice),
            left.iter().map(Vec::as_slice),
        )
    }

    /// What a model sees of a server, before edits.
    fn context(server: &ServerBins, origin: usize) -> Vec<Vec<f32>> {
        let (span, _) = server.context(origin);
        let values = server.values.iter();
        values.map(|v| v[span.clone()].to_vec()).collect()
    }

    /// Asks something of an answer's server as it is judged.
    pub(crate) fn with_subject<T>(
        &self,
        answer: &Answer<'_>,
        calibration: &Calibration,
        ask: impl FnOnce(&Subject<'_>) -> T,
    ) -> T {
        let server = answer.server;
        let mut current = server.current(answer.stroke.origin);
        if !self.edits.is_empty() {
            // An edited past has an edited present; what the model saw last is "now".
            let seen = answer.forecast.metrics.iter().zip(&mut current);
            seen.for_each(|(seen, now)| *now = seen.as_ref().map_or(f32::NAN, |m| m.current));
        }
        ask(&Subject {
            schema: &self.schema,
            rules: &self.thresholds,
            calibration,
            profile: server.profile,
            cores: server.cores,
            name: &server.name,
            current: &current,
            hidden: &self.hidden(server, answer.stroke.origin),
        })
    }

    fn risk(&self, answer: &Answer<'_>) -> Option<Risk> {
        let calibration = &self.model.calibration;
        let risk = self.with_subject(answer, calibration, |subject| {
            subject.assess(&answer.forecast)
        });
        // Without a metric that has a threshold nothing was judged, which is not the same as fine.
        (risk.assessed != 0).then_some(risk)
    }
}
