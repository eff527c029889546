//! What a backtest says, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::chain::Alert;
use crate::reliability::RiskScores;
use crate::scores::{HORIZONS, Scores};
use crate::warnings::{Warnings, median};

/// The outcome of a backtest; its `Display` is a report for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's directory.
    pub model: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Servers that were replayed.
    pub servers: usize,
    /// Forecasts made.
    pub forecasts: usize,
    /// Origins with fewer observed bins than a forecast needs.
    pub too_little_context: usize,
    /// Listed origins of servers that the trace lacks, or outside their rows.
    pub unknown_origins: usize,
    /// Values outside their metric's range; they were taken as missing.
    pub values_out_of_range: usize,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Seconds between two forecasts of a server; null where origins were listed. Strikes count these forecasts.
    pub every_secs: Option<u32>,
    /// First origin, RFC 3339.
    pub from: String,
    /// Last origin, RFC 3339.
    pub to: String,
    /// Forecast scores by metric and horizon.
    pub scores: Scores,
    /// How risk is calibrated: `identity` or `isotonic`.
    pub calibration: &'static str,
    /// Told risk against what came true.
    pub risk: RiskScores,
    /// The alerts that would have fired.
    pub alerts: AlertSummary,
    /// The alerts against known incidents, where they were given.
    pub incidents: Option<Warnings>,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Alerts against what the metrics did: each foretells that a metric passes its threshold within 8 hours.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AlertSummary {
    /// Consecutive forecasts that must agree before an alert fires.
    pub for_strikes: u32,
    /// Alerts that fired.
    pub fired: usize,
    /// Of these, on a threshold that had been passed already.
    pub already_passed: usize,
    /// Of the others, on one that was passed within 8 hours.
    pub came_true: usize,
    /// Of the others, on one that was not.
    pub false_alarms: usize,
    /// Share of the alerts on what was still to come that came true.
    pub precision: Option<f64>,
    /// Median minutes from the alert to the passing, over those that came true.
    pub lead_median_minutes: Option<f64>,
    /// False alarms per week of a server.
    pub false_per_server_week: Option<f64>,
    /// Alerts per week of a server.
    pub fired_per_server_week: Option<f64>,
    /// Weeks of servers that were replayed.
    pub server_weeks: f64,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// From the first byte read to the last written.
    pub total: f64,
    /// In the model, from windows to quantiles.
    pub model: f64,
    /// Everything else.
    pub outside_model: f64,
}

impl AlertSummary {
    pub(crate) fn new(alerts: &[Alert], for_strikes: u32, server_weeks: f64) -> Self {
        let already = alerts.iter().filter(|alert| alert.already).count();
        let ahead: Vec<&Alert> = alerts.iter().filter(|alert| !alert.already).collect();
        let leads: Vec<i64> = ahead
            .iter()
            .filter_map(|a| a.lead_minutes.map(i64::from))
            .collect();
        let false_alarms = ahead.len() - leads.len();
        let per_week = |count: usize| (server_weeks > 0.0).then(|| count as f64 / server_weeks);
        Self {
            for_strikes,
            fired: alerts.len(),
            already_passed: already,
            came_true: leads.len(),
            false_alarms,
            precision: (!ahead.is_empty()).then(|| leads.len() as f64 / ahead.len() as f64),
            lead_median_minutes: median(leads),
            false_per_server_week: per_week(false_alarms),
            fired_per_server_week: per_week(alerts.len()),
            server_weeks,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stride = match self.every_secs {
            Some(secs) => format!("a forecast every {}", span(secs)),
            None => "listed origins".to_owned(),
        };
        writeln!(f, "model {}", self.model)?;
        writeln!(
            f,
            "{} forecasts of {} servers, {} to {}, {stride} (step {})",
            self.forecasts,
            self.servers,
            self.from,
            self.to,
            span(self.step_secs)
        )?;
        if self.too_little_context + self.unknown_origins + self.values_out_of_range > 0 {
            writeln!(
                f,
                "left out: {} origins with too little context, {} outside the trace; {} values out of range taken as missing",
                self.too_little_context, self.unknown_origins, self.values_out_of_range
            )?;
        }
        self.write_scores(f)?;
        self.write_risk(f)?;
        self.write_alerts(f)?;
        if let Some(incidents) = &self.incidents {
            write_incidents(f, incidents)?;
        }
        write!(
            f,
            "\n{:.1} s, of which {:.1} s in the model and {:.1} s elsewhere",
            self.seconds.total, self.seconds.model, self.seconds.outside_model
        )
    }
}

impl Report {
    fn write_scores(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<18} {:>7} {:>10} | {:>7} {:>7} {:>8} {:>7} | {:>9} {:>9} {:>9} {:>9} | {:>8}",
            "metric",
            "within",
            "values",
            "wQL",
            "last",
            "seasonal",
            "average",
            "MAE",
            "last",
            "seasonal",
            "average",
            "coverage"
        )?;
        for (metric, horizons) in &self.scores {
            for (name, _) in HORIZONS {
                let Some(score) = horizons.get(name) else {
                    continue;
                };
                writeln!(
                    f,
                    "{metric:<18} {name:>7} {:>10} | {:>7.4} {:>7.4} {:>8.4} {:>7.4} | {:>9.4} {:>9.4} {:>9.4} {:>9.4} | {:>8.3}",
                    score.model.values,
                    score.model.wql,
                    score.naive_last.wql,
                    score.seasonal_naive.wql,
                    score.moving_average.wql,
                    score.model.mae,
                    score.naive_last.mae,
                    score.seasonal_naive.mae,
                    score.moving_average.mae,
                    score.model.coverage
                )?;
            }
        }
        Ok(())
    }

    fn write_risk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = [
            ("8 h", &self.risk.within_8h),
            ("30 min", &self.risk.within_30m),
        ];
        for (span, score) in told {
            let Some(score) = score else { continue };
            writeln!(
                f,
                "\nrisk within {span} ({}): {} of {} forecasts came true; Brier score {:.4}, of always telling their share {:.4}",
                self.calibration, score.came_true, score.count, score.brier, score.base
            )?;
            let tenths = score.tenths.iter().map(|tenth| {
                let [told, came] = [tenth.told, tenth.came_true].map(|share| 100.0 * share);
                format!("{told:.1} → {came:.1} % ({})", tenth.count)
            });
            writeln!(
                f,
                "  told → came true: {}",
                tenths.collect::<Vec<_>>().join(", ")
            )?;
        }
        Ok(())
    }

    fn write_alerts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alerts = &self.alerts;
        writeln!(
            f,
            "\nalerts ({} strikes of scheduled forecasts): {} fired in {:.1} server-weeks ({} a week)",
            alerts.for_strikes,
            alerts.fired,
            alerts.server_weeks,
            rate(alerts.fired_per_server_week)
        )?;
        writeln!(
            f,
            "  {} on a threshold already passed, {} passed within 8 h ({} min ahead at the median), {} not: {} false alarms a server-week, precision {}",
            alerts.already_passed,
            alerts.came_true,
            minutes(alerts.lead_median_minutes),
            alerts.false_alarms,
            rate(alerts.false_per_server_week),
            rate(alerts.precision)
        )
    }
}

fn write_incidents(f: &mut fmt::Formatter<'_>, told: &Warnings) -> fmt::Result {
    writeln!(
        f,
        "incidents: {} of {} warned of ({} min ahead at the median), {} noticed late; {} of {} episodes false: {} a server-week over {:.1}, precision {}",
        told.warned,
        told.incidents,
        minutes(told.lead_median_minutes),
        told.late,
        told.false_episodes,
        told.episodes,
        rate(told.false_per_server_week),
        told.server_weeks,
        rate(told.precision)
    )
}

fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

fn minutes(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
}

/// Seconds as people say them.
fn span(secs: u32) -> String {
    match secs {
        secs if secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}
