//! `argus plugin build`: from a [`Project`] to a component with its manifest inside.

mod javascript;
mod process;
mod python;
mod rust;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use argus_plugin_host::PluginKind;

use crate::errors::ToolError;
use crate::inspect::{self, Report};
use crate::manifest::Manifest;
use crate::project::{About, Project, Source};

pub use tools::Tools;

/// Builds the project and returns the component's file and what is in it. `progress` is told what takes its time.
///
/// # Errors
/// When a tool is missing or fails, or the component asks for more than its kind may have.
pub fn build(
    project: &Project,
    tools: &Tools,
    progress: &dyn Fn(&str),
) -> Result<(PathBuf, Report), ToolError> {
    let wasm = match &project.source {
        Source::Rust => rust::build(project, progress)?,
        Source::JavaScript {
            about,
            main,
            engine,
        } => {
            let wasm = javascript::build(project, about.kind, main, *engine, tools, progress)?;
            with_manifest(project, about, "argus.js", wasm)?
        }
        Source::Python { about, main } => {
            let wasm = python::build(project, about.kind, main, tools, progress)?;
            with_manifest(project, about, "argus.py", wasm)?
        }
    };
    let file = project.component();
    let report = inspect::inspect(&wasm).map_err(|reason| ToolError::content(&file, reason))?;
    if let Some(problem) = report.problems().into_iter().next() {
        return Err(ToolError::Refused(problem));
    }
    put(&wasm, &file)?;
    Ok((file, report))
}

fn with_manifest(
    project: &Project,
    about: &About,
    sdk: &str,
    mut wasm: Vec<u8>,
) -> Result<Vec<u8>, ToolError> {
    let sdk = format!("{sdk} {}", env!("CARGO_PKG_VERSION"));
    let schema = project.config_schema()?;
    let About {
        kind,
        version,
        description,
    } = about;
    Manifest::new(&project.name, version, description, *kind, &sdk, schema).append_to(&mut wasm);
    Ok(wasm)
}

/// Where a tool puts a component that lacks its manifest yet.
fn unfinished(project: &Project) -> Result<PathBuf, ToolError> {
    let file = project.component().with_extension("unfinished");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(ToolError::file("create", folder))?;
    }
    Ok(file)
}

/// By rename, so that a daemon that watches the file never reads half of it.
fn put(wasm: &[u8], file: &Path) -> Result<(), ToolError> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(ToolError::file("create", folder))?;
    }
    let partial = file.with_extension("wasm.partial");
    fs::write(&partial, wasm).map_err(ToolError::file("write", &partial))?;
    fs::rename(&partial, file).map_err(ToolError::file("create", file))
}

/// The world that a kind implements has the kind's name.
fn world(kind: PluginKind) -> &'static str {
    kind.as_str()
}
