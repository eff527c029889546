//! Secrets: filled into what a plugin sends, blanked out of what comes back.
//!
//! A plugin writes `{{secret:NAME}}`; only the host knows the value. Text that reaches a plugin from outside is
//! [disarmed](disarm), so that a server called `{{secret:token}}` does not make a plugin send the token.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use memchr::memmem;

use crate::escape::{Escape, escaped};
use crate::scrub::Scrubber;
use crate::target_spec::SecretSource;

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";

/// The secrets of one target.
#[derive(Default)]
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
    scrubber: Scrubber,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Why placeholders are not filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// One names a secret that the target does not have.
    Unknown(String),
    /// The result would have more bytes than this.
    TooLarge(usize),
}

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
        let scrubber = Scrubber::new(values.values().map(String::as_str));
        Ok(Self { values, scrubber })
    }

    /// Replaces placeholders, as long as the result has at most so many bytes. What only resembles one stays as it is.
    pub(crate) fn fill<'a>(
        &self,
        text: &'a [u8],
        escape: Escape,
        most: usize,
    ) -> Result<Cow<'a, [u8]>, Unfilled> {
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
                .ok_or_else(|| Unfilled::Unknown(name.chars().take(64).collect()))?;
            let target = filled.get_or_insert_default();
            target.extend_from_slice(&text[copied..start]);
            target.extend_from_slice(escaped(value, escape).as_bytes());
            // Each time: many short placeholders of one long secret would else fill the host's memory.
            if target.len() > most {
                return Err(Unfilled::TooLarge(most));
            }
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
    pub(crate) fn fill_text(
        &self,
        text: &str,
        escape: Escape,
        most: usize,
    ) -> Result<String, Unfilled> {
        let filled = self.fill(text.as_bytes(), escape, most)?;
        Ok(String::from_utf8_lossy(&filled).into_owned())
    }

    /// Takes a secret out of the reach of placeholders; its value. It is still blanked out of answers.
    pub(crate) fn withhold(&mut self, name: &str) -> Result<String, Unfilled> {
        let value = self.values.remove(name);
        value.ok_or_else(|| Unfilled::Unknown(name.to_owned()))
    }

    /// Blanks every form of every secret.
    pub(crate) fn scrub<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.scrubber.scrub(bytes)
    }

    /// Like [`scrub`](Secrets::scrub), for text.
    pub(crate) fn scrub_text(&self, text: &str) -> String {
        self.scrubber.scrub_text(text)
    }
}

/// The names of the secrets that a text asks for.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split(OPEN).skip(1);
    names.filter_map(|rest| rest.split_once(CLOSE).map(|(name, _)| name))
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
                    .fill_text("<{{secret:token}}>", escape, 100)
                    .expect("known"),
                expected
            );
        }
        let twice = secrets
            .fill_text("{{secret:token}}{{secret:token}}", Escape::None, 100)
            .expect("known");
        assert_eq!(twice, "a\"b/c da\"b/c d");
    }

    #[test]
    fn unknown_names_are_errors_and_lookalikes_are_text() {
        let secrets = secrets("x1");
        let unknown = secrets.fill_text("{{secret:other}}", Escape::None, 100);
        assert_eq!(unknown, Err(Unfilled::Unknown("other".into())));
        let many = "{{secret:token}}".repeat(1_000_000);
        let large = secrets.fill_text(&many, Escape::None, 99);
        assert_eq!(large, Err(Unfilled::TooLarge(99)));
        for text in [
            "{{secret:",
            "{{secret:to ken}}",
            "{{secret:token}",
            "{secret:token}",
            "{{ secret:token}}",
        ] {
            assert_eq!(
                secrets.fill_text(text, Escape::None, 100).expect("text"),
                text
            );
        }
        let nested = secrets
            .fill_text("{{secret:{{secret:token}}}}", Escape::None, 100)
            .expect("known");
        assert_eq!(nested, "{{secret:x1}}");
    }

    #[test]
    fn a_withheld_secret_is_unknown_to_placeholders_and_still_blanked() {
        let mut secrets = secrets("hush hush hush");
        assert_eq!(placeholders("a {{secret:token}} b {{secret:").count(), 1);
        assert_eq!(secrets.withhold("token").as_deref(), Ok("hush hush hush"));
        assert!(
            secrets
                .fill_text("{{secret:token}}", Escape::None, 100)
                .is_err()
        );
        assert_eq!(secrets.scrub_text("<hush hush hush>"), "<[secret]>");
        assert!(secrets.withhold("token").is_err());
    }

    #[test]
    fn outside_text_is_disarmed() {
        assert_eq!(disarm("db-01"), "db-01");
        let disarmed = disarm("{{secret:token}}");
        assert_eq!(
            secrets("x1")
                .fill_text(&disarmed, Escape::None, 1000)
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
        fn filling_arbitrary_bytes_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = secrets("x1").fill(&bytes, Escape::Json, 100);
        }
    }
}
