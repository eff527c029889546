//! Components of released versions keep running: `tests/golden` holds one of every version of the WIT package, never
//! built again. They are run by the host as it is, and by one whose interfaces have gained functions.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wasmtime::component::{Component, Linker};

use crate::call::CallState;
use crate::services::model::{ModelService, Output, Selection, Window, WindowShape};
use crate::services::{BoxFuture, ServiceError, Services};
use crate::{
    HostConfig, PluginHost, PluginKind, PluginSpec, SinkNotification, Subject, TargetSpec,
};

/// The releases that have golden files.
const VERSIONS: [&str; 1] = ["0.1.0"];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Adds a function to every interface that the golden components import, as a later release may.
fn later(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    for interface in ["log", "clock", "state", "http", "model"] {
        linker
            .instance(&format!("argus:plugin/{interface}@0.1.0"))?
            .func_wrap("added-later", |_, (): ()| Ok(("new".to_owned(),)))?;
    }
    Ok(())
}

fn hosts() -> [Arc<PluginHost>; 2] {
    let config = || HostConfig {
        services: Services {
            model: Some(Arc::new(Summing)),
            ..Services::default()
        },
        ..HostConfig::default()
    };
    [
        PluginHost::new(config()).expect("a host"),
        PluginHost::with(config(), later).expect("a later host"),
    ]
}

/// A model whose risk is the sum of the window.
struct Summing;

struct Sums(WindowShape, Vec<f32>);

impl ModelService for Summing {
    fn open(
        &self,
        _: String,
        _: Option<i64>,
    ) -> BoxFuture<'_, Result<Arc<dyn Window>, ServiceError>> {
        let shape = WindowShape {
            context_steps: 3,
            horizon_steps: 2,
            step_secs: 300,
            origin_ms: 0,
            quantile_levels: vec![0.1, 0.5, 0.9],
            metrics: vec![crate::services::model::MetricRange {
                name: "cpu".into(),
                min: 0.0,
                max: 100.0,
            }],
            profile: "generic".into(),
            model: "sums".into(),
        };
        let window: Arc<dyn Window> = Arc::new(Sums(shape, vec![1.0, 2.0, 3.5]));
        Box::pin(async move { Ok(window) })
    }
}

impl Window for Sums {
    fn shape(&self) -> &WindowShape {
        &self.0
    }

    fn values(&self) -> &[f32] {
        &self.1
    }

    fn typical(&self) -> &[f32] {
        &self.1
    }

    fn evaluate(
        &self,
        variants: Vec<f32>,
        outputs: Vec<Output>,
    ) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        let sums = variants
            .chunks_exact(3)
            .map(|window| window.iter().sum::<f32>());
        let answers = sums.flat_map(|sum| vec![sum; outputs.len()]).collect();
        Box::pin(async move { Ok(answers) })
    }

    fn attention(&self) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(async { Ok(vec![0.2; 10]) })
    }

    fn variable_weights(&self, _: Selection) -> BoxFuture<'_, Result<Vec<f32>, ServiceError>> {
        Box::pin(async { Ok(vec![1.0; 3]) })
    }

    fn variable_names(&self, _: Selection) -> Vec<String> {
        vec!["cpu".into()]
    }
}

/// Answers one request with 200 and returns it.
async fn one_request(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if text.contains("\r\n\r\n") && text.trim_end().ends_with('}') {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.expect("answered");
            return text;
        }
        let read = stream.read(&mut buffer).await.expect("readable");
        assert!(read > 0, "cut short: {text}");
        request.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn a_sink_of_every_release_delivers() {
    for (version, host) in VERSIONS.iter().flat_map(|v| hosts().map(|host| (v, host))) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let path = golden(&format!("sink-{version}.wasm"));
        let mut spec = PluginSpec::new("old", PluginKind::Sink, path);
        let target = TargetSpec::new(format!("http://{address}/hook"));
        spec.targets.insert("webhook".into(), target);
        let plugin = host.load(spec).await.expect("still links");
        plugin.check().await.expect("still checks");
        let notification = SinkNotification {
            entity: "db-01".into(),
            ..SinkNotification::test(1_000)
        };
        let (delivered, request) = tokio::join!(
            plugin.deliver(&notification, "key-1"),
            one_request(&listener)
        );
        delivered.expect("still delivers");
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(r#""entity":"db-01""#), "{request}");
    }
}

#[tokio::test]
async fn an_explainer_of_every_release_explains() {
    for (version, host) in VERSIONS.iter().flat_map(|v| hosts().map(|host| (v, host))) {
        let path = golden(&format!("explainer-{version}.wasm"));
        let spec = PluginSpec::new("old", PluginKind::Explainer, path);
        let plugin = host.load(spec).await.expect("still links");
        let subject = Subject {
            entity: "db-01".into(),
            target: "risk".into(),
            ..Subject::default()
        };
        let explanation = plugin.explain(subject).await.expect("still explains");
        // The golden explainer doubles the values and tells the model's answer.
        assert_eq!(explanation.summary, "13");
    }
}

/// The later host does have the new function: a component that needs it fits that host only.
#[test]
fn the_later_host_has_more() {
    let [now, later] = hosts();
    let text = r#"(component
        (import "argus:plugin/clock@0.1.0" (instance (export "added-later" (func (result string))))))"#;
    let wasm = wat::parse_str(text).expect("text");
    let fits = |host: &PluginHost| {
        let component = Component::from_binary(&host.engine, &wasm).expect("a component");
        host.linker(PluginKind::Sink)
            .instantiate_pre(&component)
            .is_ok()
    };
    assert!(!fits(&now) && fits(&later));
}
