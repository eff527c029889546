//! Hosts, plugins, servers and clocks for the tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use argus_plugin_host::{
    Clock, HostConfig, Plugin, PluginError, PluginHost, PluginKind, PluginSpec, Receipt,
    SinkNotification, TargetSpec,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A built component's file.
pub fn component(name: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/dist/{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask plugins` first",
        path.display()
    );
    path
}

/// A host that keeps compiled code between test runs.
pub fn host() -> Arc<PluginHost> {
    host_with(HostConfig::default())
}

pub fn host_with(config: HostConfig) -> Arc<PluginHost> {
    let cache_dir = Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins"));
    PluginHost::new(HostConfig {
        cache_dir,
        ..config
    })
    .expect("a host")
}

/// A sink of that component, named like it.
pub fn spec(name: &str, config: Value) -> PluginSpec {
    let mut spec = PluginSpec::new(name, PluginKind::Sink, component(name));
    spec.config = config;
    spec
}

pub async fn load(host: &Arc<PluginHost>, spec: PluginSpec) -> Arc<Plugin> {
    host.load(spec).await.expect("loads")
}

/// The hostile sink with one behaviour and limits that keep tests short.
pub fn hostile(config: Value) -> PluginSpec {
    let mut spec = spec("hostile", config);
    spec.limits.memory_bytes = 32_000_000;
    spec.limits.compute = Duration::from_millis(100);
    spec.limits.timeout = Duration::from_secs(20);
    spec
}

pub async fn deliver(plugin: &Plugin) -> Result<Receipt, PluginError> {
    plugin
        .deliver(&SinkNotification::test(1_000), "key-1")
        .await
}

/// A clock that stands still until moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a server does with each request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Sends the whole request back as the body.
    Echo,
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Never answers.
    Silence,
}

impl Answer {
    pub fn status(line: &str) -> Self {
        Answer::Bytes(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
    }
}

/// A server on the loopback interface that reports every request it reads.
pub async fn serve(answer: Answer) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (report, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, report) = (answer.clone(), report.clone());
            tokio::spawn(async move {
                while let Some(request) = read_request(&mut stream).await {
                    let reply = match &answer {
                        Answer::Silence => std::future::pending().await,
                        Answer::Bytes(bytes) => bytes.clone(),
                        Answer::Echo => {
                            let head = format!(
                                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                                request.len()
                            );
                            [head.into_bytes(), request.clone()].concat()
                        }
                    };
                    let _ = report.send(String::from_utf8_lossy(&request).into_owned());
                    if stream.write_all(&reply).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, requests)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let head_end = request
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .map(|i| i + 4);
        if let Some(head_end) = head_end {
            let head = String::from_utf8_lossy(&request[..head_end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if request.len() >= head_end + length.unwrap_or(0) {
                return Some(request);
            }
        }
        let mut buffer = [0; 16 << 10];
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// A target at a server of the test.
pub fn target(address: SocketAddr) -> TargetSpec {
    TargetSpec::new(format!("http://{address}/base"))
}
