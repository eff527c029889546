//! How far a source has been read, stored together with what was read.

use argus_schema::{EntityName, NameError};

/// Position of a pulling source (a database, a topic), in its own words.
///
/// Given to [`crate::Store::append_from`], it becomes durable in the same group as the records read up to it: after a
/// crash a source that starts from [`crate::Store::cursor`] neither loses a record nor sends one twice, also where
/// records are too old for duplicates to be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    source: EntityName,
    position: Box<[u8]>,
}

/// Why a cursor is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The source's name is not a legal one.
    #[error("source name {0}")]
    Name(#[from] NameError),
    /// The position is too long.
    #[error("position is {0} bytes long; at most {max} are allowed", max = Cursor::MAX_POSITION_BYTES)]
    TooLong(usize),
}

impl Cursor {
    /// Longest position in bytes.
    pub const MAX_POSITION_BYTES: usize = 64 << 10;

    /// A position of a source. The name follows the rules of entity names.
    ///
    /// # Errors
    /// When the name is not legal or the position longer than [`Self::MAX_POSITION_BYTES`].
    pub fn new(source: &str, position: impl Into<Box<[u8]>>) -> Result<Self, CursorError> {
        let (source, position) = (EntityName::new(source)?, position.into());
        if position.len() > Self::MAX_POSITION_BYTES {
            return Err(CursorError::TooLong(position.len()));
        }
        Ok(Self { source, position })
    }

    /// Whose position it is.
    pub fn source(&self) -> &str {
        self.source.as_str()
    }

    /// The position.
    pub fn position(&self) -> &[u8] {
        &self.position
    }

    pub(crate) fn source_name(&self) -> &EntityName {
        &self.source
    }

    pub(crate) fn from_parts(source: EntityName, position: Box<[u8]>) -> Self {
        Self { source, position }
    }
}
