//! `argus plugin inspect`: what a component is, and what it may ask for.

use argus_plugin_host::{PluginKind, granted};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmparser::{ComponentExternName, Parser, Payload};

use crate::manifest::Manifest;

/// What a component says of itself, and what can be seen of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What it says of itself; none for components of foreign tools.
    pub manifest: Option<Manifest>,
    /// The kind whose interface it exports; none where it exports none.
    pub kind: Option<&'static str>,
    /// Version of the WIT package that it was built against, e.g. `0.1.0`.
    pub wit_version: Option<String>,
    /// Interfaces it imports, in order.
    pub imports: Vec<Import>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// Size of the file.
    pub size_bytes: usize,
    /// SHA-256 of the file, as `sha256 = "…"` pins it.
    pub sha256: String,
}

/// An interface that a component imports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Import {
    /// Its full name, e.g. `argus:plugin/http@0.1.0`.
    pub name: String,
    /// What that lets it do.
    pub meaning: &'static str,
    /// Whether a plugin of its kind may have it.
    pub allowed: bool,
}

const PACKAGE: &str = "argus:plugin/";
const WIT_VERSION: &str = "0.1.0";

/// Kinds and the interface that each exports.
const EXPORTS: [(&str, PluginKind); 5] = [
    ("delivery", PluginKind::Sink),
    ("ingress", PluginKind::Source),
    ("explanations", PluginKind::Explainer),
    ("repair", PluginKind::Remediation),
    ("reasoning", PluginKind::Investigator),
];

/// Looks into a component.
///
/// # Errors
/// When it is none.
pub fn inspect(wasm: &[u8]) -> Result<Report, String> {
    let manifest = Manifest::of_component(wasm)?;
    let (names, exports) = interfaces(wasm).map_err(|e| format!("it is no component: {e}"))?;
    let exported = |(interface, kind): &(&str, PluginKind)| {
        let (name, version) = exports.iter().find_map(|export| own(export))?;
        (name == *interface).then(|| (*kind, version.to_owned()))
    };
    let found = EXPORTS.iter().find_map(exported);
    let kind = found.as_ref().map(|(kind, _)| *kind);
    let imports = names.into_iter().map(|name| Import {
        meaning: meaning(&name),
        allowed: kind.is_some_and(|kind| is_allowed(&name, kind)),
        name,
    });
    Ok(Report {
        manifest,
        kind: kind.map(PluginKind::as_str),
        wit_version: found.map(|(_, version)| version),
        imports: imports.collect(),
        exports,
        size_bytes: wasm.len(),
        sha256: hex(&Sha256::digest(wasm)),
    })
}

impl Report {
    /// What is wrong with it; empty for a good plugin.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.refusals();
        if self.kind.is_some() && self.manifest.is_none() {
            let missing = "it has no manifest: build it with `argus plugin build`";
            problems.insert(0, missing.to_owned());
        }
        problems
    }

    /// What a host would refuse it for. A manifest may be missing: other tools add none.
    pub fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        let Some(kind) = self.kind else {
            let exports = self.exports.join(", ");
            return vec![format!(
                "it exports none of the plugins' interfaces (delivery, ingress, explanations, repair, reasoning), \
                 but: {exports}"
            )];
        };
        if let Some(manifest) = self.manifest.as_ref().filter(|known| known.kind != kind) {
            refusals.push(format!(
                "its manifest says {}, but it exports the interface of a {kind}",
                manifest.kind
            ));
        }
        if let Some(version) = self.wit_version.as_deref().filter(|v| *v != WIT_VERSION) {
            refusals.push(format!(
                "it needs argus:plugin@{version}, this is {WIT_VERSION}"
            ));
        }
        for import in self.imports.iter().filter(|import| !import.allowed) {
            refusals.push(format!("a {kind} may not import {}", import.name));
        }
        refusals
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push(format!("{name:<9} {value}"));
        if let Some(manifest) = &self.manifest {
            line("plugin", format!("{} {}", manifest.name, manifest.version));
            line("does", manifest.description.clone());
            line("made with", manifest.sdk.clone());
        }
        line(
            "kind",
            self.kind.unwrap_or("none that Argus knows").to_owned(),
        );
        let wit = self.wit_version.as_deref().unwrap_or("unknown");
        line("WIT", format!("argus:plugin@{wit}"));
        line("size", format!("{:.1} KB", self.size_bytes as f64 / 1000.0));
        line("sha256", self.sha256.clone());
        for import in &self.imports {
            let allowed = if import.allowed {
                ""
            } else {
                " (NOT allowed for this kind)"
            };
            line(
                "may",
                format!("{} [{}]{allowed}", import.meaning, import.name),
            );
        }
        let manifest = self.manifest.as_ref();
        let schema = manifest.map_or(&Value::Null, |manifest| &manifest.config_schema);
        match schema["properties"].as_object() {
            None => line("settings", "not described".to_owned()),
            Some(properties) if properties.is_empty() => line("settings", "none".to_owned()),
            Some(properties) => {
                for (name, property) in properties {
                    line("setting", setting(name, property, schema));
                }
            }
        }
        lines
    }
}

/// One line on a setting: name, type, whether it must be there, what it does.
fn setting(name: &str, property: &Value, schema: &Value) -> String {
    let required = schema["required"]
        .as_array()
        .is_some_and(|names| names.iter().any(|required| required == name));
    let values = property["enum"].as_array().map(|values| {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        values.join(" | ")
    });
    let kind = values.unwrap_or_else(|| property["type"].as_str().unwrap_or("any").to_owned());
    let presence = match &property["default"] {
        _ if required => ", required".to_owned(),
        Value::Null => String::new(),
        default => format!(", default {default}"),
    };
    let description = property["description"].as_str().unwrap_or_default();
    format!("{name} ({kind}{presence}) {description}")
}

/// Imports and exports of the outermost component.
fn interfaces(wasm: &[u8]) -> wasmparser::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    let text = |name: ComponentExternName<'_>| name.name.to_owned();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(text(import?.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(text(export?.name));
                }
            }
            _ => {}
        }
    }
    // Types are shared shapes: importing them asks for nothing.
    imports.retain(|name| !name.starts_with("argus:plugin/types@"));
    Ok((imports, exports))
}

/// An interface of our own package, and its version.
fn own(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

fn is_allowed(name: &str, kind: PluginKind) -> bool {
    // Inert in the host, and linked for interpreters that cannot do without.
    if name.starts_with("wasi:") {
        return true;
    }
    let Some((interface, _)) = own(name) else {
        return false;
    };
    // The exported interface's own types are imported by tools that split them off.
    let is_granted = granted(kind)
        .iter()
        .any(|known| known.as_str() == interface);
    is_granted || interface == "types" || EXPORTS.contains(&(interface, kind))
}

fn meaning(name: &str) -> &'static str {
    if name.starts_with("wasi:") {
        return "nothing: WASI is inert here (no files, environment, sockets)";
    }
    match own(name).map(|(interface, _)| interface) {
        Some("log") => "write lines to the daemon's log",
        Some("clock") => "read the time",
        Some("config") => "read its own settings",
        Some("state") => "remember small values from call to call",
        Some("http") => "send HTTP requests to the targets that its configuration names",
        Some("connector") => "query the connectors that its configuration names",
        Some("model") => "run the forecasting model on windows that stay in the host",
        Some("metrics") => "read the history of metrics",
        Some("incidents") => "read incidents",
        Some(_) => "use shapes of its own interface",
        None => "something that this host does not know",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
