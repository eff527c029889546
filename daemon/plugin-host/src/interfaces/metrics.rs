//! `argus:plugin/metrics`: history, read.

use std::sync::Arc;

use crate::bindings::argus::plugin::metrics::{Host, Metric, Series, Statistic};
use crate::bindings::argus::plugin::types::Error;
use crate::call::CallState;
use crate::kinds::disarm::disarmed;
use crate::kinds::reported;
use crate::services::metrics::{
    HistoryRequest, MAX_BINS, MetricsService, Statistic as ServiceStatistic,
};

/// Names of one answer; more are asked for after the last.
const MAX_ENTITIES: usize = 10_000;

impl Host for CallState {
    async fn schema(&mut self) -> wasmtime::Result<Vec<Metric>> {
        let schema = self.metrics_service()?.schema();
        let metrics = schema.into_iter().map(|metric| Metric {
            name: metric.name,
            unit: metric.unit,
            worse: metric.worse.to_owned(),
            warning: metric.warning,
            critical: metric.critical,
        });
        Ok(metrics.collect())
    }

    async fn entities(&mut self, after: String, limit: u32) -> wasmtime::Result<String> {
        let limit = (limit as usize).min(MAX_ENTITIES);
        let names = self.metrics_service()?.entities(&after, limit).join("\n");
        self.hand_over(names.len())?;
        Ok(disarmed(names))
    }

    async fn history(
        &mut self,
        entity: String,
        metric: String,
        statistic: Statistic,
        from_ms: i64,
        to_ms: i64,
        step_secs: u32,
    ) -> wasmtime::Result<Result<Series, Error>> {
        let request = HistoryRequest {
            entity,
            metric,
            statistic: match statistic {
                Statistic::Mean => ServiceStatistic::Mean,
                Statistic::Maximum => ServiceStatistic::Maximum,
                Statistic::Count => ServiceStatistic::Count,
            },
            from_ms,
            to_ms,
            step_secs,
        };
        let series = match self.metrics_service()?.history(request).await {
            Ok(series) => series,
            Err(error) => return Ok(Err(error.into())),
        };
        if series.values.len() > MAX_BINS {
            let message = format!("at most {MAX_BINS} bins at once");
            return Ok(Err(reported("invalid_range", message)));
        }
        self.hand_over(size_of_val(series.values.as_slice()))?;
        Ok(Ok(Series {
            start_ms: series.start_ms,
            step_secs: series.step_secs,
            values: series.values,
        }))
    }
}

impl CallState {
    /// There whenever the interface is linked.
    fn metrics_service(&self) -> wasmtime::Result<Arc<dyn MetricsService>> {
        let service = self.services.metrics.clone();
        service.ok_or_else(|| wasmtime::Error::msg("there is no history of metrics"))
    }
}
