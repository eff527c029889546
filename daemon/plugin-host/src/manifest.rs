//! The manifest inside a component: JSON in a custom section named `argus:manifest`.
//!
//! A binary is a header of 8 bytes and sections of the form id, size (LEB128), content. The SDK's linker leaves the
//! section in the core module that the component wraps, other tools put it on the component itself; both are found.

use serde::Deserialize;
use serde_json::Value;

/// Who a plugin says it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Manifest {
    /// The name of its package.
    #[serde(default)]
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// The name of its kind.
    pub kind: String,
    /// The JSON Schema of its settings; null where it brought none.
    #[serde(default)]
    pub config_schema: Value,
}

const SECTION: &str = "argus:manifest";
const HEADER_BYTES: usize = 8;
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Second half of the header's version field: 0 for core modules, 1 for components.
const COMPONENT_LAYER: [u8; 2] = [1, 0];
const MAX_DEPTH: u32 = 8;

impl Manifest {
    /// The manifest of a component's binary, if it has one; else what is wrong with it.
    pub fn of_component(wasm: &[u8]) -> Result<Option<Self>, String> {
        let Some(json) = find_section(wasm, MAX_DEPTH) else {
            return Ok(None);
        };
        let manifest: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !plain(&manifest.version) || !plain(&manifest.kind) {
            return Err("version and kind must be short words".into());
        }
        Ok(Some(manifest))
    }
}

fn find_section(wasm: &[u8], depth: u32) -> Option<&[u8]> {
    let is_component = wasm.get(6..HEADER_BYTES)? == COMPONENT_LAYER;
    let mut rest = wasm.get(HEADER_BYTES..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = leb128(after)?;
        let content = after.get(..size)?;
        rest = after.get(size..)?;
        let found = match id {
            CUSTOM => custom_section(content),
            CORE_MODULE | COMPONENT if is_component && depth > 0 => {
                find_section(content, depth - 1)
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn custom_section(content: &[u8]) -> Option<&[u8]> {
    let (length, after) = leb128(content)?;
    let name = after.get(..length)?;
    (name == SECTION.as_bytes()).then(|| &after[length..])
}

/// An unsigned 32-bit number in LEB128.
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CORE: &[u8] = b"\0asm\x01\0\0\0";
    const OUTER: &[u8] = b"\0asm\x0d\0\x01\0";

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut size = content.len();
        let mut bytes = vec![id];
        while size >= 0x80 {
            bytes.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        bytes.push(size as u8);
        bytes.extend_from_slice(content);
        bytes
    }

    fn manifest_section(json: &str) -> Vec<u8> {
        section(
            CUSTOM,
            &[&[SECTION.len() as u8], SECTION.as_bytes(), json.as_bytes()].concat(),
        )
    }

    const JSON: &str =
        r#"{"manifest":1,"name":"x","version":"1.2.3","kind":"sink","config_schema":null}"#;

    #[test]
    fn found_inside_the_core_module_and_on_the_component() {
        let padding = section(CUSTOM, &[vec![3], b"abc".to_vec(), vec![0; 300]].concat());
        let core = [CORE, &padding, &manifest_section(JSON)].concat();
        let inside = [OUTER, &padding, &section(CORE_MODULE, &core)].concat();
        let outside = [OUTER, &section(CORE_MODULE, CORE), &manifest_section(JSON)].concat();
        for wasm in [inside, outside] {
            let manifest = Manifest::of_component(&wasm)
                .expect("readable")
                .expect("there");
            assert_eq!(
                (manifest.version.as_str(), manifest.kind.as_str()),
                ("1.2.3", "sink")
            );
        }
    }

    #[test]
    fn absent_or_broken() {
        assert!(Manifest::of_component(OUTER).expect("readable").is_none());
        assert!(Manifest::of_component(b"").expect("readable").is_none());
        let broken = [OUTER, &manifest_section("{")].concat();
        assert!(Manifest::of_component(&broken).is_err());
        let odd = [
            OUTER,
            &manifest_section(r#"{"version":"1\n2","kind":"sink"}"#),
        ]
        .concat();
        assert!(Manifest::of_component(&odd).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_survived(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::of_component(&[OUTER, &tail].concat());
            let _ = Manifest::of_component(&tail);
        }
    }
}
