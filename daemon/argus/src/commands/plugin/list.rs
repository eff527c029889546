//! `argus plugin list`: which plugins there are, and what each may do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use argus_config::Config;
use argus_plugin_host::plain_words;
use argus_plugin_tools::inspect::{self, Report};
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::output;
use crate::serve::plugins::{shipped_plugins, spec};

/// Configured plugins where there is a configuration, else those that come with Argus.
pub(super) fn run(config: Option<&Path>, json: bool) -> anyhow::Result<Outcome> {
    let listed = match config {
        Some(file) => configured(&Config::load(file)?),
        None => shipped()?,
    };
    let complete = listed.iter().all(|plugin| plugin["problems"] == json!([]));
    if json {
        output::line(json!({ "plugins": listed }));
    } else {
        listed.iter().for_each(tell);
    }
    Ok(if complete { Outcome::Done } else { Outcome::No })
}

fn configured(config: &Config) -> Vec<Value> {
    let describe = |(name, plugin): (&String, _)| {
        let spec = spec(config, name, plugin);
        let mut described = describe(&spec.path);
        described["name"] = json!(name);
        described["enabled"] = json!(plugin.enabled);
        described["may"] = json!(plain_words(&spec));
        described
    };
    config.plugins.iter().map(describe).collect()
}

fn shipped() -> anyhow::Result<Vec<Value>> {
    let Some(dir) = shipped_plugins() else {
        bail!("there are no shipped plugins: run `cargo xtask plugins`, or name a --config");
    };
    let entries = fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|end| end == "wasm"))
        .collect();
    files.sort();
    let describe = |file: &PathBuf| {
        let mut described = describe(file);
        described["name"] = json!(file.file_stem().map(|stem| stem.to_string_lossy()));
        described
    };
    Ok(files.iter().map(describe).collect())
}

fn describe(file: &Path) -> Value {
    let report = fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|wasm| inspect::inspect(&wasm));
    match report {
        Ok(report) => json!({
            "path": file,
            "kind": report.kind,
            "version": report.manifest.as_ref().map(|manifest| manifest.version.as_str()),
            "sha256": report.sha256,
            "asks_for": asks(&report),
            "problems": report.problems(),
        }),
        Err(reason) => json!({ "path": file, "problems": [reason] }),
    }
}

/// Imports by their short names; those of WASI do nothing.
fn asks(report: &Report) -> Vec<&str> {
    let own = report.imports.iter().filter_map(|import| {
        let (name, _) = import.name.strip_prefix("argus:plugin/")?.split_once('@')?;
        Some(name)
    });
    own.collect()
}

fn tell(plugin: &Value) {
    let text = |name: &str| plugin[name].as_str().unwrap_or("?").to_owned();
    let asks: Vec<&str> = plugin["asks_for"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let disabled = if plugin["enabled"] == false {
        " (disabled)"
    } else {
        ""
    };
    output::line(format_args!(
        "{} {}{disabled}  {}  asks for {}  {}",
        text("name"),
        text("version"),
        text("kind"),
        asks.join(", "),
        text("path"),
    ));
    if let Some(may) = plugin["may"].as_str() {
        output::line(format_args!("    {may}"));
    }
    for problem in plugin["problems"].as_array().into_iter().flatten() {
        output::line(format_args!(
            "    problem: {}",
            problem.as_str().unwrap_or_default()
        ));
    }
}
