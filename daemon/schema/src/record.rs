//! One validated observation, and the name of the entity it belongs to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of an entity: 1 to 255 bytes without control characters. Cheap to clone.
///
/// The full name is the key everywhere; `server_id` is only a label and may collide.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityName(Arc<str>);

/// Why a text is no entity name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No text at all.
    #[error("is empty; a name of 1 to 255 bytes is needed")]
    Empty,
    /// More than 255 bytes.
    #[error("is {0} bytes long; at most 255 are allowed")]
    TooLong(usize),
    /// A control character such as a newline.
    #[error("contains a control character")]
    Control,
}

impl EntityName {
    /// Longest legal name in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, longer than [`Self::MAX_BYTES`], or has control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        Ok(Self(name.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EntityName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl From<EntityName> for String {
    fn from(name: EntityName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// One observation of one entity, valid for its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Whose it is.
    pub entity: EntityName,
    /// When it was observed: milliseconds since the Unix epoch, UTC.
    pub time_ms: i64,
    /// Status category, 0 for missing (see [`crate::Schema::status_code`]).
    pub status: u8,
    /// Profile the sender named, if any.
    pub profile: Option<u8>,
    /// Number of processor cores, if the sender told.
    pub cores: Option<f32>,
    /// One value per metric of the schema, in its order and unit; NaN where the record has none.
    pub values: Box<[f32]>,
}
