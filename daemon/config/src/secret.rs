//! Secrets: where they come from, and how they stay unseen.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Said when a secret stands in the file itself.
const LITERAL_SECRET: &str = "a secret must not stand in the configuration file";

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable.
    Env(String),
    /// In a file; a line break at its end is not part of it.
    File(PathBuf),
}

/// Why a secret is not there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not Unicode.
    #[error("environment variable `{0}` is not set; set it in the daemon's environment")]
    Env(String),
    /// The file cannot be read.
    #[error("cannot read secret file `{}`: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There, but nothing in it.
    #[error("the secret from {0} is empty")]
    Empty(String),
}

impl SecretSource {
    /// Fetches the secret; relative files are looked up below `base_dir`.
    ///
    /// # Errors
    /// When the variable or file is missing, or holds nothing.
    pub fn read(&self, base_dir: &Path) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            Self::File(file) => {
                let path = base_dir.join(file);
                std::fs::read_to_string(&path)
                    .map_err(|source| SecretError::File { path, source })?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(SecretError::Empty(self.to_string()));
        }
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
        }
    }
}

/// A secret that was fetched. It does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for the place that sends it, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Env(name) => map.serialize_entry("env", name)?,
            Self::File(path) => map.serialize_entry("file", path)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, because a derived error would repeat a secret that was written here by mistake.
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl SourceVisitor {
    fn refuse<E: Error>() -> E {
        E::custom(format_args!(
            "{LITERAL_SECRET}; write {{ env = \"NAME\" }} or {{ file = \"PATH\" }}"
        ))
    }
}

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(Self::refuse())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(Self::refuse())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(Self::refuse())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let source = match map.next_key::<String>()?.as_deref() {
            Some("env") => SecretSource::Env(map.next_value()?),
            Some("file") => SecretSource::File(map.next_value()?),
            Some(other) => return Err(A::Error::unknown_field(other, &["env", "file"])),
            None => {
                return Err(A::Error::custom(
                    "a secret needs { env = \"NAME\" } or { file = \"PATH\" }",
                ));
            }
        };
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom(
                "a secret has one source: either env or file",
            ));
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_from_files_and_variables_and_stays_unseen() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("token"), "s3cret\n").expect("write");
        let secret = SecretSource::File("token".into())
            .read(dir.path())
            .expect("secret");
        assert_eq!(secret.expose(), "s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(***)");

        std::fs::write(dir.path().join("empty"), "\n").expect("write");
        let empty = SecretSource::File("empty".into()).read(dir.path());
        assert!(matches!(empty, Err(SecretError::Empty(_))));
        let missing = SecretSource::Env("ARGUS_TEST_NO_SUCH_VARIABLE".into()).read(dir.path());
        assert!(matches!(missing, Err(SecretError::Env(_))));
    }
}
