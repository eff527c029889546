//! The manifest that travels inside a component: JSON in a custom section named `argus:manifest`.
//!
//! The Rust SDK's linker puts it into the core module that the component wraps; for other languages it is appended to
//! the component after the build.

use argus_plugin_host::PluginKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmparser::{Parser, Payload};

/// Name of the section.
pub const SECTION: &str = "argus:manifest";

/// Version of the manifest's own format.
const FORMAT: u32 = 1;
const CUSTOM_SECTION: u8 = 0;

/// Who a plugin says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub manifest: u32,
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// What it does, in a line.
    pub description: String,
    /// Its kind, e.g. `sink`.
    pub kind: String,
    /// The SDK it was made with.
    pub sdk: String,
    /// A JSON Schema of its settings, or null.
    pub config_schema: Value,
}

impl Manifest {
    /// A manifest for a component that was made without the Rust SDK.
    pub fn new(
        name: &str,
        version: &str,
        description: &str,
        kind: PluginKind,
        sdk: &str,
        config_schema: Value,
    ) -> Self {
        Self {
            manifest: FORMAT,
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            kind: kind.as_str().to_owned(),
            sdk: sdk.to_owned(),
            config_schema,
        }
    }

    /// The manifest inside a component; none where there is none.
    ///
    /// # Errors
    /// What is wrong with the file or with the manifest.
    pub fn of_component(wasm: &[u8]) -> Result<Option<Self>, String> {
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(|error| format!("it is no component: {error}"))?;
            if let Payload::CustomSection(section) = payload
                && section.name() == SECTION
            {
                let manifest = serde_json::from_slice(section.data());
                return manifest
                    .map(Some)
                    .map_err(|error| format!("its manifest is unusable: {error}"));
            }
        }
        Ok(None)
    }

    /// Appends the manifest to a component.
    pub fn append_to(&self, wasm: &mut Vec<u8>) {
        let json = serde_json::json!(self).to_string();
        let mut content = Vec::with_capacity(json.len() + SECTION.len() + 1);
        write_leb128(SECTION.len(), &mut content);
        content.extend_from_slice(SECTION.as_bytes());
        content.extend_from_slice(json.as_bytes());
        wasm.push(CUSTOM_SECTION);
        write_leb128(content.len(), wasm);
        wasm.extend_from_slice(&content);
    }
}

/// An unsigned number, seven bits a byte, the lowest first.
fn write_leb128(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_found() {
        let schema = serde_json::json!({ "type": "object", "description": "x".repeat(500) });
        let manifest = Manifest::new(
            "chat",
            "1.2.3",
            "Says \"hi\"",
            PluginKind::Sink,
            "js",
            schema,
        );
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        assert_eq!(Manifest::of_component(&wasm), Ok(None));
        manifest.append_to(&mut wasm);
        assert_eq!(Manifest::of_component(&wasm), Ok(Some(manifest)));
    }

    #[test]
    fn broken_files_are_told() {
        let error = Manifest::of_component(b"<html>").expect_err("no wasm");
        assert!(error.starts_with("it is no component"), "{error}");
    }
}
