//! An author's folder: which language, which plugin.
//!
//! Each language's own package file says it: `Cargo.toml`; `package.json` with an object `argus`; `pyproject.toml` with
//! a table `tool.argus`.

use std::fs;
use std::path::{Path, PathBuf};

use argus_plugin_host::PluginKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::errors::ToolError;

/// A plugin's sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// The folder with the package file.
    pub dir: PathBuf,
    /// The package's name.
    pub name: String,
    /// What its language needs to know.
    pub source: Source,
}

/// What to build, by language.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Cargo knows everything else; kind and manifest are in the code.
    Rust,
    /// An ES module.
    JavaScript {
        /// What the manifest will say.
        about: About,
        /// The module, relative to the folder.
        main: String,
        /// Which engine goes into the component.
        engine: Engine,
    },
    /// A Python module.
    Python {
        /// What the manifest will say.
        about: About,
        /// The module's name.
        main: String,
    },
}

/// What languages without the Rust SDK say in their package file.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The plugin's kind.
    pub kind: PluginKind,
    /// The package's version.
    pub version: String,
    /// What it does, in a line.
    pub description: String,
}

/// JavaScript engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// 1.6 MB, starts in a fraction of a millisecond.
    #[default]
    QuickJs,
    /// 12 MB, and the faster of the two once it runs.
    StarlingMonkey,
}

impl Project {
    /// Reads the project in a folder.
    ///
    /// # Errors
    /// When there is none, or its package file lacks something.
    pub fn open(dir: &Path) -> Result<Self, ToolError> {
        let dir = fs::canonicalize(dir).map_err(ToolError::file("open", dir))?;
        let (package_json, pyproject, cargo) = (
            dir.join("package.json"),
            dir.join("pyproject.toml"),
            dir.join("Cargo.toml"),
        );
        if package_json.is_file() {
            return Self::javascript(&dir, &package_json);
        }
        if pyproject.is_file() {
            return Self::python(&dir, &pyproject);
        }
        if cargo.is_file() {
            let manifest: CargoManifest = read_toml(&cargo)?;
            let package = manifest.package.ok_or_else(|| {
                ToolError::content(
                    &cargo,
                    "it has no [package]; go into the plugin's own folder",
                )
            })?;
            let (name, source) = (package.name, Source::Rust);
            return Ok(Self { dir, name, source });
        }
        Err(ToolError::Refused(format!(
            "there is no plugin in {}: no Cargo.toml, package.json or pyproject.toml; \
             `argus plugin new --kind sink --lang rust NAME` makes one",
            dir.display()
        )))
    }

    /// Where `build` puts the component.
    pub fn component(&self) -> PathBuf {
        self.dir.join("dist").join(format!("{}.wasm", self.name))
    }

    fn javascript(dir: &Path, file: &Path) -> Result<Self, ToolError> {
        let text = fs::read_to_string(file).map_err(ToolError::file("read", file))?;
        let package: NodePackage =
            serde_json::from_str(&text).map_err(|e| ToolError::content(file, e.to_string()))?;
        let settings = package.argus;
        Ok(Self {
            dir: dir.to_owned(),
            name: package.name,
            source: Source::JavaScript {
                about: About {
                    kind: kind(&settings.kind, file)?,
                    version: package.version,
                    description: package.description,
                },
                main: settings.main,
                engine: settings.engine,
            },
        })
    }

    fn python(dir: &Path, file: &Path) -> Result<Self, ToolError> {
        let project: PythonProject = read_toml(file)?;
        let settings = project.tool.argus;
        Ok(Self {
            dir: dir.to_owned(),
            name: project.project.name,
            source: Source::Python {
                about: About {
                    kind: kind(&settings.kind, file)?,
                    version: project.project.version,
                    description: project.project.description,
                },
                main: settings.main,
            },
        })
    }

    /// `config.schema.json`, null where there is none.
    pub(crate) fn config_schema(&self) -> Result<Value, ToolError> {
        let file = self.dir.join("config.schema.json");
        if !file.is_file() {
            return Ok(Value::Null);
        }
        let text = fs::read_to_string(&file).map_err(ToolError::file("read", &file))?;
        serde_json::from_str(&text).map_err(|e| ToolError::content(&file, e.to_string()))
    }
}

fn kind(name: &str, file: &Path) -> Result<PluginKind, ToolError> {
    PluginKind::from_name(name)
        .ok_or_else(|| ToolError::content(file, format!("there is no kind of plugin {name:?}")))
}

fn read_toml<T: DeserializeOwned>(file: &Path) -> Result<T, ToolError> {
    let text = fs::read_to_string(file).map_err(ToolError::file("read", file))?;
    toml::from_str(&text).map_err(|error| ToolError::content(file, error.message()))
}

// Package files hold much that is none of our business: unknown keys are fine here.

#[derive(Deserialize)]
struct CargoManifest {
    package: Option<CargoPackage>,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
}

#[derive(Deserialize)]
struct NodePackage {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    argus: NodeSettings,
}

/// The object `argus` of `package.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeSettings {
    kind: String,
    main: String,
    #[serde(default)]
    engine: Engine,
}

#[derive(Deserialize)]
struct PythonProject {
    project: PythonPackage,
    tool: PythonTools,
}

#[derive(Deserialize)]
struct PythonPackage {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct PythonTools {
    argus: PythonSettings,
}

/// The table `tool.argus` of `pyproject.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PythonSettings {
    kind: String,
    main: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(file: &str, content: &str, fragment: &str) {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join(file), content).expect("written");
        let error = Project::open(dir.path()).expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{error}");
    }

    #[test]
    fn package_files_that_lack_something_say_what() {
        check_error("README", "", "`argus plugin new --kind sink");
        check_error("Cargo.toml", "[workspace]", "it has no [package]");
        check_error("Cargo.toml", "[package", "unclosed table");
        check_error(
            "package.json",
            r#"{"name":"x","version":"1"}"#,
            "missing field `argus`",
        );
        check_error(
            "package.json",
            r#"{"name":"x","version":"1","argus":{"kind":"pump","main":"m.js"}}"#,
            "there is no kind of plugin \"pump\"",
        );
        check_error(
            "pyproject.toml",
            "[project]\nname='x'\nversion='1'\n[tool.argus]\nkind='sink'\nmane='m'",
            "unknown field `mane`",
        );
    }
}
