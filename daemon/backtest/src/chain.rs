//! The alert chain over one server's forecasts: the daemon's own engine, in event time.

use std::collections::VecDeque;
use std::sync::Arc;

use argus_alerts::{AlertConfig, Alerts, Evaluation, TransitionKind};
use argus_fleet::{BreachForecast, Level, Risk};
use argus_schema::{Breach, Schema};
use argus_trace::FiredAlert;

use crate::bins::ServerBins;
use crate::errors::BacktestError;
use crate::replay::Answer;

/// Forecasts judged in one transaction of the engine.
const BATCH_EVALUATIONS: usize = 512;
/// Alerts are given this long to come true.
const HORIZON_MS: i64 = 8 * 3600 * 1000;

/// An alert with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// As written to a file.
    pub fired: FiredAlert,
    /// Whether the threshold was passed when it fired.
    pub already: bool,
    /// Minutes until the threshold was passed, where that happened within 8 hours; 0 where it had been already.
    pub lead_minutes: Option<u32>,
}

/// The engine of one server, fed in order of time.
pub struct Chain<'a> {
    schema: &'a Schema,
    server: &'a ServerBins,
    config: &'a AlertConfig,
    step_secs: u32,
    alerts: Arc<Alerts>,
    waiting: VecDeque<Waiting>,
    newest_ms: Option<i64>,
    fired: Vec<Alert>,
}

struct Waiting {
    at_ms: i64,
    origin_ms: i64,
    risk: Risk,
}

impl<'a> Chain<'a> {
    /// An engine that has seen nothing.
    ///
    /// # Errors
    /// When the settings contradict themselves.
    pub fn new(
        schema: &'a Schema,
        server: &'a ServerBins,
        config: &'a AlertConfig,
        step_secs: u32,
    ) -> Result<Self, BacktestError> {
        Ok(Self {
            schema,
            server,
            config,
            step_secs,
            alerts: Alerts::in_memory(config.clone())?,
            waiting: VecDeque::new(),
            newest_ms: None,
            fired: Vec::new(),
        })
    }

    /// Takes the next forecast; one without a judged metric does not count, as in the daemon.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn add(&mut self, answer: &Answer<'_>) -> Result<(), BacktestError> {
        let Some(risk) = answer.risk.clone() else {
            return Ok(());
        };
        let at_ms = answer.stroke.at_ms;
        let stale_ms = i64::try_from(self.config.stale_secs * 1000).unwrap_or(i64::MAX);
        if let Some(newest_ms) = self.newest_ms
            && at_ms - newest_ms >= stale_ms
        {
            // Meanwhile the daemon's upkeep has resolved what was open, for want of forecasts.
            self.flush()?;
            self.alerts.upkeep(newest_ms + stale_ms)?;
        }
        if self.newest_ms.is_none() {
            // From here on somebody looks after the alerts.
            self.alerts.upkeep(at_ms)?;
        }
        self.newest_ms = Some(at_ms);
        self.waiting.push_back(Waiting {
            at_ms,
            origin_ms: answer.forecast.origin_ms,
            risk,
        });
        if self.waiting.len() >= BATCH_EVALUATIONS {
            self.flush()?;
        }
        Ok(())
    }

    /// The alerts that fired, oldest first.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn finish(mut self) -> Result<Vec<Alert>, BacktestError> {
        self.flush()?;
        Ok(self.fired)
    }

    fn flush(&mut self) -> Result<(), BacktestError> {
        let waiting = std::mem::take(&mut self.waiting);
        let profile = &self.schema.profiles[usize::from(self.server.profile)].id;
        let evaluations: Vec<Evaluation<'_>> = waiting
            .iter()
            .map(|waiting| Evaluation {
                now_ms: waiting.at_ms,
                entity: &self.server.name,
                profile,
                origin_ms: waiting.origin_ms,
                step_secs: self.step_secs,
                scheduled: true,
                risk: &waiting.risk,
            })
            .collect();
        for transition in self.alerts.evaluate(&evaluations)? {
            if transition.kind != TransitionKind::Firing {
                continue;
            }
            let origin_ms = transition.origin_ms;
            let of_origin = |waiting: &&Waiting| waiting.origin_ms == origin_ms;
            let breach = waiting.iter().find(of_origin).and_then(|waiting| {
                let mut breaches = waiting.risk.breaches.iter();
                breaches
                    .find(|b| b.metric == transition.metric && b.severity == transition.severity)
            });
            let already = breach.is_some_and(|breach| breach.now);
            self.fired.push(Alert {
                already,
                lead_minutes: match already {
                    true => Some(0),
                    false => breach.and_then(|breach| self.lead_minutes(breach, transition.at_ms)),
                },
                fired: FiredAlert {
                    server: self.server.name.to_string(),
                    at_ms: transition.at_ms,
                    metric: transition.metric,
                    severity: match transition.severity {
                        Level::Warning => "warning",
                        _ => "critical",
                    },
                    probability: transition.probability,
                    risk_score: transition.risk_score,
                },
            });
        }
        Ok(())
    }

    /// Minutes from `at_ms` to the start of the first bin whose mean has passed the threshold, within 8 hours.
    fn lead_minutes(&self, breach: &BreachForecast, at_ms: i64) -> Option<u32> {
        let step_ms = i64::from(self.step_secs) * 1000;
        let first = self.server.position(at_ms.div_euclid(step_ms))?;
        let steps = usize::try_from(HORIZON_MS / step_ms).ok()?;
        let passed = |bin: &usize| {
            let value = self.truth(breach, *bin);
            match breach.side {
                Breach::Above => value >= breach.threshold,
                Breach::Below => value <= breach.threshold,
            }
        };
        let bin = (first..first + steps)
            .take_while(|bin| *bin < self.server.len())
            .find(passed)?;
        let passed_ms = (self.server.first_bin + i64::try_from(bin).ok()?) * step_ms;
        u32::try_from((passed_ms - at_ms).max(0) / 60_000).ok()
    }

    /// The value that a threshold is about; NaN where nothing was observed, which passes none.
    fn truth(&self, breach: &BreachForecast, bin: usize) -> f64 {
        let at = |metric: usize| f64::from(self.server.values[metric][bin]);
        if !breach.derived {
            return at(breach.metric_index);
        }
        // CPU used as the sum of what is observed, told as 100 − used of idle.
        let parts = ["cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct"];
        let parts = parts
            .iter()
            .filter_map(|name| self.schema.metric_index(name));
        let used = parts.map(at).filter(|v| !v.is_nan()).reduce(|a, b| a + b);
        used.map_or(f64::NAN, |used| 100.0 - used.min(100.0))
    }
}
