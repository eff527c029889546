//! `argus plugin bench`: what a call costs, beside a native call of the same function in the same run.
//!
//! The shipped component `bench.wasm` is an explainer: its check does nothing, so a check is the price of a fresh
//! instance; its explanation takes 1 MB of `f32` from the host, doubles them, and hands 1 MB back. Times are those of
//! the public interface, limits included, for a caller on the plugins' own threads. What a caller elsewhere waits
//! longer is the price of waking two threads, which depends on how deeply the processors sleep: it is told apart.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_plugin_host::services::Services;
use argus_plugin_host::services::model::{
    MetricRange, ModelService, Output, Selection, Window, WindowShape,
};
use argus_plugin_host::services::{BoxFuture, ServiceError};
use argus_plugin_host::{Plugin, PluginHost, PluginKind, PluginSpec, Subject};
use serde::Serialize;

use crate::case::{Case, Workbench, plugin_name, services};
use crate::errors::ToolError;
use crate::inspect;

/// 1 MB of `f32`.
const VALUES: usize = 262_144;
/// Calls before the first that counts.
const WARM_UP: usize = 20;
/// A call with bulk data takes a thousand times as long as one without.
const BULK_CALLS_PER_CALL: usize = 10;

/// Times of many calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// How many calls.
    pub calls: usize,
    /// The median, in microseconds.
    pub median_us: f64,
    /// 99 of 100 calls were at least so fast, in microseconds.
    pub p99_us: f64,
}

/// What calls of the shipped component cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overhead {
    /// A fresh instance and a call that does nothing.
    pub trivial: Times,
    /// The same for a caller on another thread.
    pub trivial_handed_over: Times,
    /// The same function called natively.
    pub trivial_native: Times,
    /// A fresh instance, 1 MB of `f32` in, doubled, 1 MB out.
    pub bulk: Times,
    /// The same numbers doubled natively.
    pub bulk_native: Times,
}

/// Measures the shipped component.
///
/// # Errors
/// When it cannot be loaded or called, or does not give the same answer as the native function.
pub fn overhead(bench: &Workbench, wasm: &Path, calls: usize) -> Result<Overhead, ToolError> {
    let window = Arc::new(BenchWindow::new());
    let host = bench.host(Services {
        model: Some(Arc::new(BenchModel(window.clone()))),
        ..Services::default()
    })?;
    let mut spec = PluginSpec::new(plugin_name(wasm), PluginKind::Explainer, wasm);
    spec.limits.copied_bytes = 4 * VALUES * size_of::<f32>();
    bench.block_on(async {
        let plugin = host.load(spec).await?;
        let trivial_handed_over = measure_checks(&plugin, calls).await?;
        let bulk_calls = (calls / BULK_CALLS_PER_CALL).max(1);
        let expected = BenchWindow::sum(&doubled(&window.values)).to_string();
        let (trivial, bulk) = on_plugins_threads(&host, async move {
            let trivial = measure_checks(&plugin, calls).await?;
            let bulk = measure_explanations(&plugin, bulk_calls, &expected).await?;
            Ok((trivial, bulk))
        })
        .await?;
        Ok(Overhead {
            trivial,
            trivial_handed_over,
            trivial_native: measure(calls, || black_box(nothing as fn())()),
            bulk,
            bulk_native: measure(bulk_calls, || {
                black_box(BenchWindow::sum(&doubled(black_box(&window.values))));
            }),
        })
    })
}

/// Measures the check of any plugin, with the settings, targets and window of a case.
///
/// # Errors
/// When it cannot be loaded, or its check fails.
pub fn check_of(
    bench: &Workbench,
    wasm: &Path,
    case: &Case,
    calls: usize,
) -> Result<Times, ToolError> {
    let bytes = std::fs::read(wasm).map_err(ToolError::file("read", wasm))?;
    let report = inspect::inspect(&bytes).map_err(|reason| ToolError::content(wasm, reason))?;
    let kind = report.kind.and_then(PluginKind::from_name);
    let kind = kind.ok_or_else(|| ToolError::content(wasm, report.problems().join("; ")))?;
    let host = bench.host(services(case)?)?;
    let mut spec = PluginSpec::new(plugin_name(wasm), kind, wasm);
    spec.config = case.config.clone();
    bench.block_on(async {
        let plugin = host.load(spec).await?;
        on_plugins_threads(&host, async move { measure_checks(&plugin, calls).await }).await
    })
}

async fn on_plugins_threads<T: Send + 'static>(
    host: &PluginHost,
    calls: impl Future<Output = Result<T, ToolError>> + Send + 'static,
) -> Result<T, ToolError> {
    let ended = host.spawn(calls).await;
    ended.map_err(|error| ToolError::Refused(format!("the calls did not end: {error}")))?
}

async fn measure_checks(plugin: &Plugin, calls: usize) -> Result<Times, ToolError> {
    let mut took = Vec::with_capacity(calls);
    for call in 0..WARM_UP + calls {
        let start = Instant::now();
        plugin.check().await?;
        if call >= WARM_UP {
            took.push(start.elapsed());
        }
    }
    Ok(times(took))
}

async fn measure_explanations(
    plugin: &Plugin,
    calls: usize,
    expected: &str,
) -> Result<Times, ToolError> {
    let subject = Subject {
        entity: "bench".into(),
        target: "risk".into(),
        ..Subject::default()
    };
    let mut took = Vec::with_capacity(calls);
    for call in 0..WARM_UP + calls {
        let start = Instant::now();
        let explanation = plugin.explain(subject.clone()).await?;
        let elapsed = start.elapsed();
        if explanation.summary != expected {
            return Err(ToolError::Refused(format!(
                "the component gives {}, the native function {expected}",
                explanation.summary
            )));
        }
        if call >= WARM_UP {
            took.push(elapsed);
        }
    }
    Ok(times(took))
}

fn measure(calls: usize, mut call: impl FnMut()) -> Times {
    let timed = |_| {
        let start = Instant::now();
        call();
        start.elapsed()
    };
    times((0..calls).map(timed).collect())
}

fn times(mut took: Vec<Duration>) -> Times {
    took.sort_unstable();
    let micros = |at: usize| {
        let at = at.min(took.len().saturating_sub(1));
        took.get(at).map_or(f64::NAN, |t| t.as_secs_f64() * 1e6)
    };
    Times {
        calls: took.len(),
        median_us: micros(took.len() / 2),
        p99_us: micros(took.len() * 99 / 100),
    }
}

/// What the component's check does.
#[inline(never)]
fn nothing() {}

/// What the component's explanation does.
#[inline(never)]
fn doubled(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value * 2.0).collect()
}

struct BenchModel(Arc<BenchWindow>);

struct BenchWindow {
    shape: WindowShape,
    values: Vec<f32>,
}

impl BenchWindow {
    fn new() -> Self {
        let metric = MetricRange {
            name: "m".into(),
            min: f32::NEG_INFINITY,
            max: f32::INFINITY,
        };
        Self {
            shape: WindowShape {
                context_steps: VALUES,
                horizon_steps: 1,
                step_secs: 300,
                origin_ms: 0,
                quantile_levels: vec![0.5],
                metrics: vec![metric],
                profile: "generic".into(),
                model: "bench".into(),
            },
            // Small whole numbers: sums of them are exact in any order.
            values: (0..VALUES).map(|at| (at % 7) as f32).collect(),
        }
    }

    /// In double precision, because it has to be exact.
    fn sum(values: &[f32]) -> f32 {
        values.iter().map(|value| f64::from(*value)).sum::<f64>() as f32
    }
}

impl ModelService for BenchModel {
    fn open(
        &self,
        _entity: String,
        _origin_ms: Option<i64>,
    ) -> BoxFuture<'_, Result<Arc<dyn Window>, ServiceError>> {
        let window: Arc<dyn Window> = self.0.clone();
        Box::pin(std::future::ready(Ok(window)))
    }
}

impl Window for BenchWindow {
    fn shape(&self) -> &WindowShape {
        &self.shape
    }

    fn values(&self) -> &[f32] {
        &self.values
    }

    fn typical(&self) -> &[f32] {
        &self.values
    }

    fn evaluate(
        &self,
        variants: Vec<f32>,
        _outputs: Vec<Output>,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(std::future::ready(Ok(vec![Self::sum(&variants)])))
    }

    fn attention(&self) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn variable_weights(&self, _: Selection) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn variable_names(&self, _: Selection) -> Vec<String> {
        Vec::new()
    }
}
