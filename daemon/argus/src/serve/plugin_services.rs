//! What the daemon lends to plugins: history of metrics, and incidents.

use std::sync::Arc;

use argus_alerts::{Alert, AlertId, AlertState, Alerts, HistoryQuery as AlertQuery};
use argus_plugin_host::services::incidents::{Incident, IncidentQuery, IncidentsService};
use argus_plugin_host::services::metrics::{
    HistoryRequest, MAX_BINS, MetricInfo, MetricsService, Series, Statistic,
};
use argus_plugin_host::services::{BoxFuture, ServiceError, Services};
use argus_schema::{Breach, EntityName, Schema};
use argus_store::{HistoryQuery, HistoryRow, Store};

/// The services that need nothing but what is stored; the model is lent by `argus-explain`.
pub fn services(
    store: &Arc<Store>,
    schema: &Arc<Schema>,
    alerts: &Arc<Alerts>,
    step_secs: u32,
) -> Services {
    Services {
        metrics: Some(Arc::new(Metrics {
            store: Arc::clone(store),
            schema: Arc::clone(schema),
            step_secs,
        })),
        incidents: Some(Arc::new(Incidents {
            alerts: Arc::clone(alerts),
        })),
        ..Services::default()
    }
}

struct Metrics {
    store: Arc<Store>,
    schema: Arc<Schema>,
    step_secs: u32,
}

impl MetricsService for Metrics {
    fn schema(&self) -> Vec<MetricInfo> {
        let metrics = self.schema.metrics.iter().map(|metric| MetricInfo {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            worse: match metric.breach {
                Some(Breach::Above) => "up",
                Some(Breach::Below) => "down",
                None => "none",
            },
            warning: metric.thresholds.map(|t| t.warning),
            critical: metric.thresholds.map(|t| t.critical),
        });
        metrics.collect()
    }

    fn entities(&self, after: &str, limit: usize) -> Vec<String> {
        let mut names: Vec<String> = self
            .store
            .entities()
            .into_iter()
            .map(|view| view.name.to_string())
            .filter(|name| name.as_str() > after)
            .collect();
        names.sort_unstable();
        names.truncate(limit);
        names
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Series, ServiceError>> {
        Box::pin(async move {
            let plan = self.plan(&request)?;
            let (store, query) = (Arc::clone(&self.store), plan.query.clone());
            let rows = tokio::task::spawn_blocking(move || store.history(&query)).await;
            let unavailable =
                |reason: String| ServiceError::retryable("history_unavailable", reason);
            let rows = rows
                .map_err(|e| unavailable(e.to_string()))?
                .map_err(|e| unavailable(e.to_string()))?;
            Ok(plan.series(&rows))
        })
    }
}

/// A request that was understood.
#[derive(Debug)]
struct Plan {
    query: HistoryQuery,
    metric: usize,
    statistic: Statistic,
    start_ms: i64,
    step_secs: u32,
    bins: usize,
}

impl Metrics {
    fn plan(&self, request: &HistoryRequest) -> Result<Plan, ServiceError> {
        let invalid = |reason: String| ServiceError::new("invalid_range", reason);
        let metric = self
            .schema
            .metrics
            .iter()
            .position(|m| m.name == request.metric);
        let Some(metric) = metric else {
            let reason = format!("there is no metric {:?}", shorten(&request.metric));
            return Err(ServiceError::new("unknown_metric", reason));
        };
        let unknown = || {
            let reason = format!("there is no entity {:?}", shorten(&request.entity));
            ServiceError::new("unknown_entity", reason)
        };
        let entity = EntityName::new(&request.entity).map_err(|_| unknown())?;
        if self.store.entity(&entity).is_none() {
            return Err(unknown());
        }
        let step_secs = match request.step_secs {
            0 => self.step_secs,
            asked if asked.is_multiple_of(self.step_secs) => asked,
            asked => {
                return Err(invalid(format!(
                    "{asked} s is no multiple of the step of {} s",
                    self.step_secs
                )));
            }
        };
        let step_ms = i64::from(step_secs) * 1000;
        let start_ms = request.from_ms.div_euclid(step_ms).saturating_mul(step_ms);
        let span_ms = request.to_ms.saturating_sub(start_ms);
        if request.from_ms >= request.to_ms {
            return Err(invalid("the range is empty".to_owned()));
        }
        let bins = usize::try_from((span_ms - 1) / step_ms + 1).unwrap_or(usize::MAX);
        if bins > MAX_BINS {
            return Err(invalid(format!("{bins} bins, at most {MAX_BINS} at once")));
        }
        Ok(Plan {
            query: HistoryQuery {
                entity,
                from_ms: start_ms,
                to_ms: request.to_ms,
                max_rows: bins.saturating_mul((step_secs / self.step_secs) as usize),
            },
            metric,
            statistic: request.statistic,
            start_ms,
            step_secs,
            bins,
        })
    }
}

impl Plan {
    /// Rows of the daemon's step, brought together into the bins that were asked for. A mean is weighted by the records
    /// of each row.
    fn series(&self, rows: &[HistoryRow]) -> Series {
        let mut sums = vec![0.0_f64; self.bins];
        let mut weights = vec![0.0_f64; self.bins];
        for row in rows {
            let since_ms = row.bin_ms - self.start_ms;
            let bin = usize::try_from(since_ms / (i64::from(self.step_secs) * 1000));
            let Some(bin) = bin.ok().filter(|bin| *bin < self.bins && since_ms >= 0) else {
                continue;
            };
            let (mean, max) = (row.mean[self.metric], row.max[self.metric]);
            let records = f64::from(row.count);
            match self.statistic {
                Statistic::Count => {
                    sums[bin] += records;
                    weights[bin] = 1.0;
                }
                Statistic::Mean if mean.is_finite() => {
                    sums[bin] += f64::from(mean) * records;
                    weights[bin] += records;
                }
                Statistic::Maximum if max.is_finite() => {
                    let first = weights[bin] == 0.0;
                    let max = f64::from(max);
                    sums[bin] = if first { max } else { sums[bin].max(max) };
                    weights[bin] = 1.0;
                }
                Statistic::Mean | Statistic::Maximum => {}
            }
        }
        let values = sums.iter().zip(&weights).map(|(sum, weight)| {
            if *weight > 0.0 {
                (sum / weight) as f32
            } else {
                f32::NAN
            }
        });
        Series {
            start_ms: self.start_ms,
            step_secs: self.step_secs,
            values: values.collect(),
        }
    }
}

/// Alerts as incidents; regressions will join them.
struct Incidents {
    alerts: Arc<Alerts>,
}

impl Incidents {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Alerts) -> Result<T, argus_alerts::AlertError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let alerts = Arc::clone(&self.alerts);
        let unavailable = |reason: String| ServiceError::retryable("incidents_unavailable", reason);
        tokio::task::spawn_blocking(move || read(&alerts))
            .await
            .map_err(|e| unavailable(e.to_string()))?
            .map_err(|e| unavailable(e.to_string()))
    }

    async fn one(&self, id: String) -> Result<Alert, ServiceError> {
        let unknown = || {
            ServiceError::new(
                "not_found",
                format!("there is no incident {:?}", shorten(&id)),
            )
        };
        let number = id.parse().map_err(|_| unknown())?;
        let found = self
            .read(move |alerts| alerts.alert(AlertId(number)))
            .await?;
        // A pending alert is no incident yet.
        found
            .filter(|alert| alert.started_at_ms.is_some())
            .ok_or_else(unknown)
    }
}

impl IncidentsService for Incidents {
    fn find(&self, query: IncidentQuery) -> BoxFuture<'_, Result<Vec<Incident>, ServiceError>> {
        Box::pin(async move {
            let from_ms = query.from_ms.unwrap_or(i64::MIN);
            let to_ms = query.to_ms.unwrap_or(i64::MAX);
            let mut asked = AlertQuery::between(from_ms, to_ms);
            if let Some(entity) = &query.entity {
                match EntityName::new(entity) {
                    Ok(entity) => asked.entity = Some(entity),
                    // No entity has such a name.
                    Err(_) => return Ok(Vec::new()),
                }
            }
            let alerts = self.read(move |alerts| alerts.fired(&asked)).await?;
            let incidents = alerts.iter().map(incident);
            let wanted = |wanted: &Option<String>, value: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == value)
            };
            let matching = incidents.filter(|found| {
                wanted(&query.state, &found.state)
                    && wanted(&query.kind, &found.kind)
                    && wanted(&query.severity, &found.severity)
                    && wanted(&query.metric, found.metric.as_deref().unwrap_or_default())
            });
            Ok(matching.take(query.limit).collect())
        })
    }

    fn get(&self, id: String) -> BoxFuture<'_, Result<Incident, ServiceError>> {
        Box::pin(async move { Ok(incident(&self.one(id).await?)) })
    }

    fn facts(&self, id: String) -> BoxFuture<'_, Result<Vec<(String, String)>, ServiceError>> {
        Box::pin(async move {
            let alert = self.one(id).await?;
            let mut facts = vec![
                ("fingerprint".to_owned(), alert.fingerprint.to_string()),
                ("unit".to_owned(), alert.unit.clone()),
                ("threshold".to_owned(), alert.threshold.to_string()),
                ("below".to_owned(), alert.below.to_string()),
                ("probability".to_owned(), alert.probability.to_string()),
                (
                    "probability_30m".to_owned(),
                    alert.probability_30m.to_string(),
                ),
                ("risk_score".to_owned(), alert.risk_score.to_string()),
                ("in_breach".to_owned(), alert.in_breach.to_string()),
                (
                    "peak_severity".to_owned(),
                    alert.peak_severity.as_str().to_owned(),
                ),
                ("origin_ms".to_owned(), alert.origin_ms.to_string()),
                ("flaps".to_owned(), alert.flaps.to_string()),
            ];
            let mut known = |name: &str, value: Option<String>| {
                facts.extend(value.map(|value| (name.to_owned(), value)));
            };
            known("current", alert.current.map(|v| v.to_string()));
            known(
                "predicted_peak",
                alert.predicted_peak.map(|v| v.to_string()),
            );
            known(
                "expected_breach_ms",
                alert.expected_breach_ms.map(|v| v.to_string()),
            );
            known("acknowledged_by", alert.acknowledged.map(|a| a.who));
            Ok(facts)
        })
    }
}

fn incident(alert: &Alert) -> Incident {
    let state = match (alert.state, &alert.acknowledged) {
        (AlertState::Resolved, _) => "resolved",
        (_, Some(_)) => "acknowledged",
        (_, None) => "open",
    };
    let side = if alert.below { "below" } else { "above" };
    Incident {
        id: alert.id.to_string(),
        kind: "alert".to_owned(),
        state: state.to_owned(),
        severity: alert.severity.as_str().to_owned(),
        entity: alert.entity.to_string(),
        profile: alert.profile.clone(),
        metric: Some(alert.metric.clone()),
        started_at_ms: alert.started_at_ms.unwrap_or(alert.pending_since_ms),
        updated_at_ms: alert.updated_at_ms,
        ended_at_ms: alert.resolved_at_ms,
        summary: format!(
            "{}: {} {side} {} {} with a probability of {:.0} %",
            alert.entity,
            alert.metric,
            alert.threshold,
            alert.unit,
            alert.probability * 100.0
        ),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bin_ms: i64, count: u32, mean: f32, max: f32) -> HistoryRow {
        HistoryRow {
            entity: EntityName::new("db-1").expect("a name"),
            bin_ms,
            count,
            mean: vec![mean].into(),
            max: vec![max].into(),
            status: 0,
        }
    }

    #[test]
    fn rows_become_wider_bins() {
        let nan = f32::NAN;
        let rows = [
            row(0, 1, 10.0, 12.0),
            row(300_000, 3, 20.0, 30.0),
            row(600_000, 2, nan, nan),
            row(1_200_000, 5, 7.0, 8.0),
        ];
        for (statistic, expected) in [
            (Statistic::Mean, [17.5, nan, 7.0, nan]),
            (Statistic::Maximum, [30.0, nan, 8.0, nan]),
            (Statistic::Count, [4.0, 2.0, 5.0, nan]),
        ] {
            let plan = Plan {
                query: HistoryQuery {
                    entity: EntityName::new("db-1").expect("a name"),
                    from_ms: 0,
                    to_ms: 2_400_000,
                    max_rows: 8,
                },
                metric: 0,
                statistic,
                start_ms: 0,
                step_secs: 600,
                bins: 4,
            };
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&plan.series(&rows).values),
                bits(&expected),
                "{statistic:?}"
            );
        }
    }
}
