//! `plugins/dist/*.wasm`: the plugins, built as WebAssembly components.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cargo::{self, Artifact};
use crate::workspace::Workspace;
use crate::{step, wasm};
use argus_wasm_toolchain::Toolchain;

/// Builds every plugin of the workspace `plugins/` and puts each into `plugins/dist/`, named after its library.
pub fn build(workspace: &Workspace, compiler: &Toolchain) -> Result<()> {
    let folder = workspace.plugins();
    if !folder.join("Cargo.toml").is_file() {
        step::note("there are no plugins in plugins/");
        return Ok(());
    }
    let artifacts = cargo::build(wasm::build_command(compiler, &folder).arg("--workspace"))?;
    let dist = workspace.plugins_dist();
    fs::create_dir_all(&dist).with_context(|| format!("failed to create {}", dist.display()))?;
    let mut names = Vec::new();
    for artifact in artifacts
        .iter()
        .filter(|artifact| is_plugin(artifact, &folder))
    {
        let name = file_name(&artifact.target);
        for component in artifact
            .files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "wasm"))
        {
            put(component, &dist.join(&name))?;
        }
        names.push(name);
    }
    names.sort();
    step::note(format!("plugins/dist has {}", names.join(", ")));
    Ok(())
}

/// A dynamic library of a package in `plugins/`; dependencies may be of that kind too.
fn is_plugin(artifact: &Artifact, plugins: &Path) -> bool {
    artifact.manifest.starts_with(plugins) && artifact.kinds.iter().any(|kind| kind == "cdylib")
}

/// Cargo writes the library of `webhook-action` as `webhook_action`; the configuration names it as the package.
fn file_name(library: &str) -> String {
    format!("{}.wasm", library.replace('_', "-"))
}

/// Copies a component, by rename, so that a daemon never reads half of one; an unchanged one is left alone, so that a
/// daemon does not load it again.
fn put(component: &Path, place: &Path) -> Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let built = read(component)?;
    if place.is_file() && read(place)? == built {
        return Ok(());
    }
    let partial = place.with_extension("wasm.partial");
    fs::write(&partial, built).with_context(|| format!("failed to write {}", partial.display()))?;
    fs::rename(&partial, place).with_context(|| format!("failed to create {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_named_as_their_packages() {
        assert_eq!(file_name("webhook_action"), "webhook-action.wasm");
    }

    #[test]
    fn an_unchanged_component_is_left_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (component, place) = (
            folder.path().join("built"),
            folder.path().join("webhook.wasm"),
        );
        fs::write(&component, "one").expect("write");
        put(&component, &place).expect("first");
        let first = fs::metadata(&place)
            .and_then(|metadata| metadata.modified())
            .expect("modified");
        put(&component, &place).expect("again");
        let second = fs::metadata(&place)
            .and_then(|metadata| metadata.modified())
            .expect("modified");
        assert_eq!(first, second);
        fs::write(&component, "two").expect("write");
        put(&component, &place).expect("changed");
        assert_eq!(fs::read(&place).expect("read"), b"two");
    }
}
