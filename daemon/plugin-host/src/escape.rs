//! How a text is written where only some characters may stand.

/// How a value is written where its placeholder stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As it is: headers, other bodies.
    None,
    /// Percent-encoded, slashes kept: paths.
    Path,
    /// Percent-encoded: form bodies.
    Form,
    /// Escaped for the inside of a JSON string.
    Json,
}

/// The value as it is written there.
pub(crate) fn escaped(value: &str, escape: Escape) -> String {
    let percent = |kept: &[u8]| {
        let mut encoded = String::new();
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded
    };
    match escape {
        Escape::None => value.to_owned(),
        Escape::Path => percent(b"/"),
        Escape::Form => percent(b""),
        Escape::Json => {
            let quoted = serde_json::Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}
