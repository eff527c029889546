//! Components written by hand to do harm: what no compiler would emit, and what no SDK lets through.
//!
//! Each costs its own call, or its own loading, an error that names plugin and version. Afterwards a well-behaved plugin
//! of the same host works as before, and at the end memory is back.

mod calls;
mod cases;
mod files;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_plugin_host::{Plugin, PluginError, PluginHost, PluginKind, PluginSpec};
use serde_json::json;

use crate::support::{deliver, host, hostile, load};

/// Writes a component into a folder of its own and makes a plugin of it, with limits that keep tests short.
fn spec(dir: &tempfile::TempDir, name: &str, kind: PluginKind, wasm: &[u8]) -> PluginSpec {
    let path: PathBuf = dir.path().join(format!("{name}.wasm"));
    std::fs::write(&path, wasm).expect("written");
    let mut spec = PluginSpec::new(name, kind, path);
    spec.limits.memory_bytes = 32_000_000;
    spec.limits.compute = Duration::from_millis(100);
    // Long enough for the tenth of a second of computing to pass on a machine that is busy with other things.
    spec.limits.timeout = Duration::from_secs(20);
    spec
}

/// More than a call may take by its limits, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(40);

#[track_caller]
fn check_error(name: &str, error: &PluginError, codes: &[&str], began: Instant) {
    let text = error.to_string();
    assert!(
        codes.contains(&error.code()),
        "{name}: {} {text}",
        error.code()
    );
    assert!(
        text.starts_with(&format!("plugin {name} 6.6.6: ")),
        "{text}"
    );
    assert!(text.len() < 4000, "{name}: {} bytes of error", text.len());
    assert!(
        began.elapsed() < PATIENCE,
        "{name} took {:?}",
        began.elapsed()
    );
}

/// A plugin that behaves, in the same host.
async fn well_behaved(host: &Arc<PluginHost>) -> Arc<Plugin> {
    load(host, hostile(json!({ "behaviour": "behave" }))).await
}

async fn works(plugin: &Plugin, after: &str) {
    let began = Instant::now();
    deliver(plugin)
        .await
        .unwrap_or_else(|error| panic!("after {after}: {error}"));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "after {after}: {:?}",
        began.elapsed()
    );
}

/// A host, and its well-behaved plugin.
async fn set_up() -> (Arc<PluginHost>, Arc<Plugin>, tempfile::TempDir) {
    let host = host();
    let good = well_behaved(&host).await;
    (host, good, tempfile::tempdir().expect("a folder"))
}
