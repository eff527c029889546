//! Nested cargo, and where it put what it built.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The cargo that started us, in `folder`.
pub fn command(folder: &Path) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = process::command(PathBuf::from(cargo));
    command.current_dir(folder);
    command
}

/// One thing that cargo built or found up to date.
#[derive(Debug, PartialEq)]
pub struct Artifact {
    /// The target's name, such as `argus`.
    pub target: String,
    /// The target's kinds, such as `bin` or `cdylib`.
    pub kinds: Vec<String>,
    /// The manifest of the package it belongs to.
    pub manifest: PathBuf,
    /// Built as a test harness.
    pub is_test: bool,
    /// All files built.
    pub files: Vec<PathBuf>,
}

impl Artifact {
    /// The program `name` itself, not its unit tests.
    pub fn is_program(&self, name: &str) -> bool {
        self.target == name && !self.is_test && self.kinds.iter().any(|kind| kind == "bin")
    }
}

/// Runs a `cargo build` or `cargo test --no-run` and returns what it built. Asking cargo is the one way that holds for
/// every `CARGO_TARGET_DIR` and `build.target`.
pub fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| process::start_error(command, error))?;
    let stdout = child
        .stdout
        .take()
        .context("cargo's standard output is piped")?;
    let mut artifacts = Vec::new();
    for line in BufReader::new(stdout).lines() {
        artifacts.extend(parse_artifact(&line.context("failed to read from cargo")?));
    }
    let status = child.wait().context("failed to wait for cargo")?;
    process::succeeded(command, status)?;
    Ok(artifacts)
}

/// Cargo's message about an artifact; other messages are none.
fn parse_artifact(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Some(Artifact {
        target: message["target"]["name"].as_str()?.to_owned(),
        kinds: strings(&message["target"]["kind"]),
        manifest: message["manifest_path"].as_str()?.into(),
        is_test: message["profile"]["test"].as_bool()?,
        files: strings(&message["filenames"])
            .into_iter()
            .map(PathBuf::from)
            .collect(),
    })
}

/// The file of the program `name` among what was built.
pub fn program_among(artifacts: &[Artifact], name: &str) -> Result<PathBuf> {
    let artifact = artifacts.iter().find(|artifact| artifact.is_program(name));
    artifact
        .and_then(|artifact| artifact.files.first().cloned())
        .with_context(|| format!("cargo did not say where it put the program `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_from_its_unit_tests() {
        let lines = [
            r#"{"reason":"compiler-message","message":{}}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/daemon/argus/Cargo.toml","target":{"kind":["bin"],"name":"argus"},"profile":{"test":true},"filenames":["/t/debug/deps/argus-1"]}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/daemon/argus/Cargo.toml","target":{"kind":["bin"],"name":"argus"},"profile":{"test":false},"filenames":["/t/debug/argus"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let artifacts: Vec<Artifact> = lines.into_iter().filter_map(parse_artifact).collect();
        assert_eq!(artifacts.len(), 2);
        let program = program_among(&artifacts, "argus").expect("it was built");
        assert_eq!(program, Path::new("/t/debug/argus"));
        program_among(&artifacts, "other").expect_err("it was not built");
    }
}
