//! The manifest that travels inside a component, as JSON in a custom section named `argus:manifest`.
//!
//! It is made at compile time, since a custom section is a static.

/// Who a plugin is.
pub struct Manifest {
    /// The crate's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The crate's description.
    pub description: &'static str,
    /// The plugin's kind, e.g. `sink`.
    pub kind: &'static str,
    /// A JSON Schema of the settings, or `null`.
    pub config_schema: &'static str,
}

impl Manifest {
    /// Length of the JSON in bytes.
    pub const fn len(&self) -> usize {
        self.write::<0>().length
    }

    /// A manifest is never empty.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The JSON. `N` must be [`len`](Manifest::len).
    pub const fn to_bytes<const N: usize>(&self) -> [u8; N] {
        let written = self.write::<N>();
        assert!(
            written.length == N,
            "the array must be as long as the manifest"
        );
        written.bytes
    }

    const fn write<const N: usize>(&self) -> Writer<N> {
        Writer {
            bytes: [0; N],
            length: 0,
        }
        .raw("{\"manifest\":1,\"name\":")
        .text(self.name)
        .raw(",\"version\":")
        .text(self.version)
        .raw(",\"description\":")
        .text(self.description)
        .raw(",\"kind\":")
        .text(self.kind)
        .raw(",\"sdk\":")
        .text(concat!(
            env!("CARGO_PKG_NAME"),
            " ",
            env!("CARGO_PKG_VERSION")
        ))
        .raw(",\"config_schema\":")
        .raw(self.config_schema)
        .raw("}")
    }
}

/// Counts all bytes and keeps those that fit, so that the same code measures and writes.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    const fn byte(mut self, byte: u8) -> Self {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        self
    }

    const fn raw(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self = self.byte(bytes[i]);
            i += 1;
        }
        self
    }

    /// A JSON string.
    const fn text(mut self, text: &str) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self = self.byte(b'"');
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let byte = bytes[i];
            self = match byte {
                b'"' | b'\\' => self.byte(b'\\').byte(byte),
                0..0x20 => self
                    .raw("\\u00")
                    .byte(HEX[(byte >> 4) as usize])
                    .byte(HEX[(byte & 15) as usize]),
                _ => self.byte(byte),
            };
            i += 1;
        }
        self.byte(b'"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_json() {
        const MANIFEST: Manifest = Manifest {
            name: "slack",
            version: "1.2.3",
            description: "Says \"hello\",\n\\ünïcode",
            kind: "sink",
            config_schema: r#"{"type":"object"}"#,
        };
        static BYTES: [u8; MANIFEST.len()] = MANIFEST.to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&BYTES).expect("valid JSON");
        assert_eq!(json["name"], "slack");
        assert_eq!(json["description"], "Says \"hello\",\n\\ünïcode");
        assert_eq!(json["config_schema"]["type"], "object");
        assert_eq!(json["sdk"], "argus-plugin 0.1.0");
    }
}
