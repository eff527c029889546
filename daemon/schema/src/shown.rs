//! Values of strangers as they are shown in messages: short, on one line, without control characters.

use serde_json::Value;

/// Longest piece of a foreign text in a message, in characters.
const MAX_CHARS: usize = 64;

/// A JSON value in a message.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => shown_text(&number.to_string()),
        Value::String(text) => format!("\"{}\"", shown_text(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A text in a message: escaped, and cut with `…` after 64 characters.
pub(crate) fn shown_text(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(MAX_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(shown(&json!("a\nb\u{1b}[31m\"")), r#""a\nb\u{1b}[31m\"""#);
        assert_eq!(shown_text(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(shown(&json!([1, 2])), "an array");
    }
}
