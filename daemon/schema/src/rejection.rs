//! Why one record of a batch was not taken.

use std::fmt;

use serde::Serialize;

use crate::shown::shown_text;

/// Machine-readable reason of a [`Rejection`]; part of the API, so codes are only ever added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// The record is no JSON object.
    NotAnObject,
    /// The record is an object whose text cannot be read (nested too deep, half a surrogate pair).
    Malformed,
    /// Nothing names the server.
    MissingServer,
    /// The server name is empty, too long, no text, or has control characters.
    BadServerName,
    /// Nothing tells the time.
    MissingTimestamp,
    /// The time is not RFC 3339 and no epoch number, or lies before 1970.
    BadTimestamp,
    /// The time lies too far ahead of the daemon's clock.
    FutureTimestamp,
    /// Older than the entity's own window.
    TooOld,
    /// The entity has a record of this time already.
    DuplicateTimestamp,
    /// A metric is NaN.
    Nan,
    /// A metric is infinite, or too large for any number.
    Infinite,
    /// A metric is no number.
    NotANumber,
    /// A metric lies outside its range.
    OutOfRange,
    /// `status` is present but no category of the schema.
    UnknownStatus,
    /// Neither a metric nor a status: nothing to store.
    NoMetrics,
    /// A new server, but the daemon tracks as many as it may.
    TooManyServers,
    /// More records of one server in one step than the daemon keeps apart.
    TooManyInBin,
}

impl RejectCode {
    /// All codes, for counters that start at zero.
    pub const ALL: [Self; 17] = [
        Self::NotAnObject,
        Self::Malformed,
        Self::MissingServer,
        Self::BadServerName,
        Self::MissingTimestamp,
        Self::BadTimestamp,
        Self::FutureTimestamp,
        Self::TooOld,
        Self::DuplicateTimestamp,
        Self::Nan,
        Self::Infinite,
        Self::NotANumber,
        Self::OutOfRange,
        Self::UnknownStatus,
        Self::NoMetrics,
        Self::TooManyServers,
        Self::TooManyInBin,
    ];

    /// The code as it is written in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Malformed => "malformed",
            Self::MissingServer => "missing_server",
            Self::BadServerName => "bad_server_name",
            Self::MissingTimestamp => "missing_timestamp",
            Self::BadTimestamp => "bad_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::TooOld => "too_old",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::Nan => "nan",
            Self::Infinite => "infinite",
            Self::NotANumber => "not_a_number",
            Self::OutOfRange => "out_of_range",
            Self::UnknownStatus => "unknown_status",
            Self::NoMetrics => "no_metrics",
            Self::TooManyServers => "too_many_servers",
            Self::TooManyInBin => "too_many_in_bin",
        }
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record that was not taken; the others of its batch are unaffected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Position of the record in its batch, from 0.
    pub index: usize,
    /// Why, for machines.
    pub code: RejectCode,
    /// The server it named, shortened; `None` where it named none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The field at fault as the sender wrote it; `None` where it is no single field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why, for people: names field, value and what is allowed. At most a few hundred bytes, no control characters.
    pub message: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.index, self.message)
    }
}

/// A rejection of the record at index 0 of a batch, its server still unnamed.
pub(crate) fn rejection(code: RejectCode, field: Option<&str>, message: String) -> Rejection {
    Rejection {
        index: 0,
        code,
        server: None,
        field: field.map(str::to_owned),
        message,
    }
}

impl Rejection {
    /// The same, naming the server.
    pub(crate) fn of_server(mut self, name: &str) -> Self {
        self.server = Some(shown_text(name));
        self
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_the_same_everywhere() {
        for code in RejectCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
