//! Runs cases: one fresh host each, so that none remembers another's state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_plugin_host::services::Services;
use argus_plugin_host::{
    Clock, CompilerCommand, Failure, HostConfig, Plugin, PluginError, PluginHost, PluginKind,
    PluginSpec, SecretSource, SinkNotification, SystemClock, TargetSpec,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::expect::{Happened, differences};
use super::input::{self, Delivery, Explain, Poll};
use super::model::CaseModel;
use super::{Answer, Case, Target};
use crate::errors::ToolError;
use crate::receiver::{self, Receiver};

/// What cases run on.
#[derive(Debug)]
pub struct Workbench {
    runtime: Runtime,
    cache_dir: Option<PathBuf>,
    compiler: Option<CompilerCommand>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// What is not as expected; empty where all is.
    pub differences: Vec<String>,
}

impl Workbench {
    /// A workbench that keeps compiled code in `cache_dir` and compiles in a child process where there is a command
    /// for it.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(
        cache_dir: Option<PathBuf>,
        compiler: Option<CompilerCommand>,
    ) -> Result<Self, ToolError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(argus_plugin_host::HostError::Threads)?;
        Ok(Self {
            runtime,
            cache_dir,
            compiler,
        })
    }

    /// Waits for a future on the workbench's threads.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A new host that lends these services, and whose clock stands at the moment of all samples: what a plugin does
    /// is the same in every run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn host(&self, services: Services) -> Result<Arc<PluginHost>, ToolError> {
        self.host_at(Arc::new(SampleClock), services)
    }

    fn host_at(
        &self,
        clock: Arc<dyn Clock>,
        services: Services,
    ) -> Result<Arc<PluginHost>, ToolError> {
        Ok(PluginHost::new(HostConfig {
            cache_dir: self.cache_dir.clone(),
            compiler: self.compiler.clone(),
            services,
            clock,
            ..HostConfig::default()
        })?)
    }

    /// Runs a case.
    ///
    /// # Errors
    /// When the case makes no sense or the component cannot be loaded; what a component does wrong is a difference.
    pub fn run(&self, wasm: &Path, kind: PluginKind, case: &Case) -> Result<Outcome, ToolError> {
        let refused =
            |reason: String| ToolError::Refused(format!("case {:?}: {reason}", case.name));
        let host = self.host(services(case)?)?;
        let mut receivers = BTreeMap::new();
        for (name, target) in &case.targets {
            let answers = target.answers.iter().map(receiver::Answer::from).collect();
            let receiver = Receiver::scripted(answers)
                .map_err(ToolError::file("listen for", Path::new(name)))?;
            receivers.insert(name.clone(), receiver);
        }
        let mut spec = PluginSpec::new(plugin_name(wasm), kind, wasm);
        spec.config = case.config.clone();
        for (name, target) in &case.targets {
            let url = format!("http://{}/", receivers[name].address());
            spec.targets.insert(name.clone(), target_spec(target, url));
        }
        let result = self.block_on(async {
            match host.load(spec).await {
                Ok(plugin) => call(&plugin, kind, case).await.map_err(refused),
                // Unusable settings show when the plugin is loaded: a case may be about that.
                Err(error) if case.expect.error.is_some() => Ok(Err(error_json(&error))),
                Err(error) => Err(error.into()),
            }
        })?;
        let requests = receivers.iter().flat_map(|(name, receiver)| {
            let received = receiver.received().into_iter();
            received.map(|request| (name.clone(), request))
        });
        let happened = Happened {
            requests: requests.collect(),
            result,
        };
        Ok(Outcome {
            name: case.name.clone(),
            differences: differences(&case.expect, &happened),
        })
    }

    /// Delivers a test notification to `url` through a sink: every target of the case is bound to that URL.
    ///
    /// # Errors
    /// When the component cannot be loaded, or what it or the far side did wrong.
    pub fn deliver(&self, wasm: &Path, case: &Case, url: &str) -> Result<Value, ToolError> {
        let host = self.host_at(Arc::new(SystemClock), Services::default())?;
        let mut spec = PluginSpec::new(plugin_name(wasm), PluginKind::Sink, wasm);
        spec.config = case.config.clone();
        for (name, target) in &case.targets {
            spec.targets
                .insert(name.clone(), target_spec(target, url.to_owned()));
        }
        let delivered = self.block_on(async {
            let plugin = host.load(spec).await?;
            plugin.check().await?;
            let now_ms = SystemClock.now_ms();
            let notification = SinkNotification::test(now_ms);
            plugin.deliver(&notification, &notification.id).await
        });
        let receipt = delivered?;
        Ok(json!({ "remote_id": receipt.remote_id, "message": receipt.message }))
    }
}

#[derive(Debug)]
struct SampleClock;

impl Clock for SampleClock {
    fn now_ms(&self) -> i64 {
        input::NOW_MS
    }
}

/// What a case's host lends: the window that it describes, and otherwise nothing that was ever measured.
pub(crate) fn services(case: &Case) -> Result<Services, ToolError> {
    let model = CaseModel::new(case.window.as_ref())
        .map_err(|reason| ToolError::Refused(format!("case {:?}: {reason}", case.name)))?;
    Ok(Services {
        model: Some(Arc::new(model)),
        metrics: Some(Arc::new(Nothing)),
        incidents: Some(Arc::new(Nothing)),
        ..Services::default()
    })
}

/// The file's stem: what stands in errors and log lines.
pub(crate) fn plugin_name(wasm: &Path) -> String {
    let stem = wasm.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn target_spec(target: &Target, url: String) -> TargetSpec {
    let secret =
        |(name, value): (&String, &String)| (name.clone(), SecretSource::Value(value.clone()));
    TargetSpec {
        methods: target.methods.clone(),
        headers: target.headers.clone(),
        secrets: target.secrets.iter().map(secret).collect(),
        ..TargetSpec::new(url)
    }
}

impl From<&Answer> for receiver::Answer {
    fn from(answer: &Answer) -> Self {
        let body = match &answer.body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let mut headers: Vec<(String, String)> = answer.headers.clone().into_iter().collect();
        if matches!(answer.body, Value::Object(_) | Value::Array(_)) {
            headers.push(("content-type".into(), "application/json".into()));
        }
        Self {
            headers,
            ..Self::new(answer.status, body)
        }
    }
}

/// Calls what the case asks for. The outer error is the case's fault, the inner one the plugin's answer.
async fn call(
    plugin: &Plugin,
    kind: PluginKind,
    case: &Case,
) -> Result<Result<Value, Value>, String> {
    let usual = match kind {
        PluginKind::Sink => "deliver",
        PluginKind::Source => "poll",
        PluginKind::Explainer => "explain",
        _ => "check",
    };
    let function = case.call.as_deref().unwrap_or(usual);
    let result = match function {
        "check" => plugin.check().await.map(|()| json!({})),
        "deliver" if kind == PluginKind::Sink => {
            let delivery: Delivery = input::read(input::delivery_sample(), &case.input)?;
            let receipt = plugin
                .deliver(&delivery.notification.into(), &delivery.idempotency_key)
                .await;
            receipt.map(|it| json!({ "remote_id": it.remote_id, "message": it.message }))
        }
        "poll" if kind == PluginKind::Source => {
            let poll: Poll = input::read(input::poll_sample(), &case.input)?;
            let checkpoint = poll.checkpoint.map(String::into_bytes);
            let batch = plugin.poll(checkpoint, poll.max_records).await;
            batch.map(|batch| {
                let items = String::from_utf8_lossy(&batch.items);
                let record = |line| serde_json::from_str(line).unwrap_or_else(|_| json!(line));
                let records: Vec<Value> = items.lines().map(record).collect();
                json!({
                    "records": records,
                    "checkpoint": String::from_utf8_lossy(&batch.checkpoint),
                    "more": batch.more,
                    "skipped": batch.skipped,
                })
            })
        }
        "explain" if kind == PluginKind::Explainer => {
            let explain: Explain = input::read(input::explain_sample(), &case.input)?;
            let explanation = plugin.explain(explain.into()).await;
            explanation.map(|explanation| {
                let drivers = explanation.drivers.iter().map(|driver| {
                    json!({
                        "name": driver.name,
                        "impact": driver.impact,
                        "standard_error": driver.standard_error,
                        "text": driver.text,
                    })
                });
                json!({
                    "summary": explanation.summary,
                    "drivers": drivers.collect::<Vec<_>>(),
                    "details": explanation.details,
                })
            })
        }
        other => {
            return Err(format!(
                "a {kind} cannot be asked to {other:?}: `check` or `{usual}`"
            ));
        }
    };
    Ok(result.map_err(|error| error_json(&error)))
}

/// What a plugin said itself, else what the host says of it.
pub(crate) fn error_json(error: &PluginError) -> Value {
    let message = match &error.failure {
        Failure::Reported { message, .. } => message.clone(),
        other => other.to_string(),
    };
    json!({ "code": error.code(), "message": message, "retryable": error.retryable() })
}

use nothing::Nothing;

mod nothing {
    //! Services of a host that has measured nothing and knows of no incident.

    use argus_plugin_host::services::incidents::{Incident, IncidentQuery, IncidentsService};
    use argus_plugin_host::services::metrics::{
        HistoryRequest, MetricInfo, MetricsService, Series,
    };
    use argus_plugin_host::services::{BoxFuture, ServiceError};

    pub(super) struct Nothing;

    fn refuse<'a, T: Send + 'a>(
        code: &'static str,
        message: String,
    ) -> BoxFuture<'a, Result<T, ServiceError>> {
        Box::pin(std::future::ready(Err(ServiceError::new(code, message))))
    }

    impl MetricsService for Nothing {
        fn schema(&self) -> Vec<MetricInfo> {
            Vec::new()
        }

        fn entities(&self, _after: &str, _limit: usize) -> Vec<String> {
            Vec::new()
        }

        fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Series, ServiceError>> {
            refuse(
                "unknown_entity",
                format!("nobody is named {:?}", request.entity),
            )
        }
    }

    impl IncidentsService for Nothing {
        fn find(
            &self,
            _query: IncidentQuery,
        ) -> BoxFuture<'_, Result<Vec<Incident>, ServiceError>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }

        fn get(&self, id: String) -> BoxFuture<'_, Result<Incident, ServiceError>> {
            refuse("not_found", format!("there is no incident {id:?}"))
        }

        fn facts(&self, id: String) -> BoxFuture<'_, Result<Vec<(String, String)>, ServiceError>> {
            refuse("not_found", format!("there is no incident {id:?}"))
        }
    }
}
