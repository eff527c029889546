//! Secrets: filled into what a plugin sends, blanked out of what comes back.
//!
//! A plugin writes `{{secret:NAME}}`; only the host knows the value. Text that reaches a plugin from outside is
//! [disarmed](disarm), so that a server called `{{secret:token}}` does not make a plugin send the token.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

use crate::config::SecretSource;

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
const BLANK: &str = "[secret]";
/// Derived forms shorter than this would blank innocent text.
const SHORTEST_DERIVED: usize = 8;

/// The secrets of one target.
#[derive(Default)]
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
    /// All forms a secret may come back in, longest first.
    forms: Vec<Vec<u8>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

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

/// A placeholder names a secret that the target does not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownSecret(pub String);

impl Secrets {
    /// Reads all values. The error says which secret is unusable and why, never its value.
    pub(crate) fn read(sources: &BTreeMap<String, SecretSource>) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for (name, source) in sources {
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return Err(format!(
                    "the secret name {name:?} may hold only letters, digits, - and _"
                ));
            }
            let value =
                read_value(source).map_err(|reason| format!("secret {name:?}: {reason}"))?;
            values.insert(name.clone(), value);
        }
        let mut forms: Vec<Vec<u8>> = values.values().flat_map(|value| forms_of(value)).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Ok(Self { values, forms })
    }

    /// Replaces placeholders. What only resembles one stays as it is.
    pub(crate) fn fill<'a>(
        &self,
        text: &'a [u8],
        escape: Escape,
    ) -> Result<Cow<'a, [u8]>, UnknownSecret> {
        let mut filled: Option<Vec<u8>> = None;
        let mut copied = 0;
        for start in memmem::find_iter(text, OPEN) {
            let after = &text[start + OPEN.len()..];
            let length = after.iter().take_while(|b| is_name_byte(**b)).count();
            if start < copied || !after[length..].starts_with(CLOSE.as_bytes()) {
                continue;
            }
            let name = String::from_utf8_lossy(&after[..length]);
            let value = self
                .values
                .get(&*name)
                .ok_or_else(|| UnknownSecret(name.chars().take(64).collect()))?;
            let target = filled.get_or_insert_default();
            target.extend_from_slice(&text[copied..start]);
            target.extend_from_slice(escaped(value, escape).as_bytes());
            copied = start + OPEN.len() + length + CLOSE.len();
        }
        match filled {
            None => Ok(Cow::Borrowed(text)),
            Some(mut filled) => {
                filled.extend_from_slice(&text[copied..]);
                Ok(Cow::Owned(filled))
            }
        }
    }

    /// Like [`fill`](Secrets::fill), for text.
    pub(crate) fn fill_text(&self, text: &str, escape: Escape) -> Result<String, UnknownSecret> {
        let filled = self.fill(text.as_bytes(), escape)?;
        Ok(String::from_utf8_lossy(&filled).into_owned())
    }

    /// Blanks every form of every secret.
    pub(crate) fn scrub<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut scrubbed = Cow::Borrowed(bytes);
        for form in &self.forms {
            if memmem::find(&scrubbed, form).is_some() {
                scrubbed = Cow::Owned(replace(&scrubbed, form, BLANK.as_bytes()));
            }
        }
        scrubbed
    }

    /// Like [`scrub`](Secrets::scrub), for text.
    pub(crate) fn scrub_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.scrub(text.as_bytes())).into_owned()
    }
}

/// Breaks placeholders in text that comes from outside the plugin.
pub(crate) fn disarm(text: &str) -> Cow<'_, str> {
    if text.contains(OPEN) {
        Cow::Owned(text.replace(OPEN, "{{ secret:"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Like [`disarm`], for bytes.
pub(crate) fn disarm_bytes(bytes: Vec<u8>) -> Vec<u8> {
    if memmem::find(&bytes, OPEN.as_bytes()).is_some() {
        replace(&bytes, OPEN.as_bytes(), b"{{ secret:")
    } else {
        bytes
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn read_value(source: &SecretSource) -> Result<String, String> {
    let value = match source {
        SecretSource::Value(value) => value.clone(),
        SecretSource::Env(name) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set"))?,
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("read {}: {e}", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
    };
    match value {
        empty if empty.is_empty() => Err("it is empty".into()),
        value if value.chars().any(char::is_control) => Err("it holds control characters".into()),
        value => Ok(value),
    }
}

/// The forms a far side is likely to echo: plain, JSON-escaped, percent-encoded, hexadecimal, and base64 at each of
/// the three alignments (as in `Basic` credentials, where a user name stands before the secret).
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let mut derived = vec![
        escaped(value, Escape::Json),
        escaped(value, Escape::Form),
        escaped(value, Escape::Path),
    ];
    derived.push(derived[1].to_lowercase());
    derived.push(derived[2].to_lowercase());
    let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
    derived.push(hex.to_uppercase());
    derived.push(hex);
    for offset in 0..3 {
        let padded = [&[0_u8; 2][..offset], value.as_bytes()].concat();
        // Characters that also depend on the neighbours are cut off.
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            derived.extend(encoded.get(first..last).map(str::to_owned));
        }
    }
    derived.retain(|form| form.len() >= SHORTEST_DERIVED);
    let mut forms: Vec<Vec<u8>> = derived.into_iter().map(String::into_bytes).collect();
    forms.push(value.as_bytes().to_vec());
    forms
}

fn escaped(value: &str, escape: Escape) -> String {
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

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for start in memmem::find_iter(bytes, what) {
        replaced.extend_from_slice(&bytes[copied..start]);
        replaced.extend_from_slice(by);
        copied = start + what.len();
    }
    replaced.extend_from_slice(&bytes[copied..]);
    replaced
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(value: &str) -> Secrets {
        let source = SecretSource::Value(value.into());
        Secrets::read(&BTreeMap::from([("token".to_owned(), source)])).expect("readable")
    }

    #[test]
    fn placeholders_are_filled_as_the_place_demands() {
        let secrets = secrets("a\"b/c d");
        for (escape, expected) in [
            (Escape::None, "<a\"b/c d>"),
            (Escape::Json, "<a\\\"b/c d>"),
            (Escape::Path, "<a%22b/c%20d>"),
            (Escape::Form, "<a%22b%2Fc%20d>"),
        ] {
            assert_eq!(
                secrets
                    .fill_text("<{{secret:token}}>", escape)
                    .expect("known"),
                expected
            );
        }
        let twice = secrets
            .fill_text("{{secret:token}}{{secret:token}}", Escape::None)
            .expect("known");
        assert_eq!(twice, "a\"b/c da\"b/c d");
    }

    #[test]
    fn unknown_names_are_errors_and_lookalikes_are_text() {
        let secrets = secrets("x1");
        let unknown = secrets.fill_text("{{secret:other}}", Escape::None);
        assert_eq!(unknown, Err(UnknownSecret("other".into())));
        for text in [
            "{{secret:",
            "{{secret:to ken}}",
            "{{secret:token}",
            "{secret:token}",
            "{{ secret:token}}",
        ] {
            assert_eq!(secrets.fill_text(text, Escape::None).expect("text"), text);
        }
        let nested = secrets
            .fill_text("{{secret:{{secret:token}}}}", Escape::None)
            .expect("known");
        assert_eq!(nested, "{{secret:x1}}");
    }

    #[test]
    fn every_usual_form_is_scrubbed() {
        let value = "s3cr3t/v@lue+more";
        let secrets = secrets(value);
        let mut echoes = vec![
            value.to_owned(),
            "s3cr3t%2Fv%40lue%2Bmore".into(),
            "s3cr3t%2fv%40lue%2bmore".into(),
            value.bytes().map(|b| format!("{b:02x}")).collect(),
        ];
        for user in ["", "u", "us", "use", "user:", "longer:"] {
            echoes.push(STANDARD_NO_PAD.encode(format!("{user}{value}")));
            echoes.push(URL_SAFE_NO_PAD.encode(format!("{user}{value}:after")));
        }
        for echo in echoes {
            let scrubbed = secrets.scrub_text(&format!("before {echo} after"));
            assert!(scrubbed.contains(BLANK), "{echo} -> {scrubbed}");
            assert!(
                scrubbed.starts_with("before ") && scrubbed.ends_with(" after"),
                "{scrubbed}"
            );
        }
        assert_eq!(secrets.scrub_text("nothing here"), "nothing here");
    }

    #[test]
    fn outside_text_is_disarmed() {
        assert_eq!(disarm("db-01"), "db-01");
        let disarmed = disarm("{{secret:token}}");
        assert_eq!(
            secrets("x1")
                .fill_text(&disarmed, Escape::None)
                .expect("text"),
            "{{ secret:token}}"
        );
        assert_eq!(
            disarm_bytes(b"{{secret:token}}".to_vec()),
            b"{{ secret:token}}"
        );
    }

    #[test]
    fn unusable_sources_say_why_without_the_value() {
        for (source, fragment) in [
            (SecretSource::Value(String::new()), "empty"),
            (SecretSource::Value("two\nlines".into()), "control"),
            (
                SecretSource::Env("ARGUS_TEST_SURELY_NOT_SET".into()),
                "ARGUS_TEST_SURELY_NOT_SET is not set",
            ),
            (
                SecretSource::File("/nonexistent/secret".into()),
                "/nonexistent/secret",
            ),
        ] {
            let error =
                Secrets::read(&BTreeMap::from([("token".to_owned(), source)])).expect_err(fragment);
            assert!(
                error.contains("\"token\"") && error.contains(fragment),
                "{error}"
            );
            assert!(!error.contains("two"), "{error}");
        }
        assert!(
            Secrets::read(&BTreeMap::from([(
                "a b".to_owned(),
                SecretSource::Value("x".into())
            )]))
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_plain_secret_survives(before in ".{0,20}", value in "[ -~]{1,24}", after in ".{0,20}") {
            let scrubbed = secrets(&value).scrub_text(&format!("{before}{value}{after}"));
            // The blank itself may hold a very short secret.
            prop_assert!(!scrubbed.replace(BLANK, "").contains(&value) || value.len() < 4);
        }

        #[test]
        fn filling_arbitrary_bytes_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = secrets("x1").fill(&bytes, Escape::Json);
        }
    }
}
