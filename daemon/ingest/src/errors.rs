//! Why a body as a whole was refused.

/// A body of which nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No bytes, or only white space.
    #[error("the body is empty; send records as JSON")]
    Empty,
    /// Bytes that are no UTF-8.
    #[error("the body is not UTF-8 at byte {offset}; JSON is UTF-8")]
    NotUtf8 {
        /// Position of the first bad byte.
        offset: usize,
    },
    /// Text that is no JSON.
    #[error("the body is not JSON at line {line}, column {column}: {problem}")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// JSON, but no records.
    #[error(
        "the body holds {found}; send {{\"records\":[…]}}, an array of records, one record, or one record per line"
    )]
    WrongShape {
        /// What it is instead, e.g. `a number`.
        found: &'static str,
    },
    /// One object without `records` that is no record either.
    #[error(
        "the object has no `records` and names no server (`server_name`); send {{\"records\":[…]}} or a record"
    )]
    NoRecords,
    /// `records` more than once, which one reader would understand differently from the next.
    #[error("the object has `records` more than once; send one array")]
    RepeatedRecords,
    /// More records than a request may carry.
    #[error("the body holds more than {limit} records; send smaller batches")]
    TooManyRecords {
        /// The most that are taken.
        limit: usize,
    },
    /// More bytes than a request may carry, after decompression.
    #[error("the body is larger than {limit} bytes when decompressed; send smaller batches")]
    TooLarge {
        /// The most that are taken.
        limit: usize,
    },
    /// A content encoding that is not understood.
    #[error("content encoding `{encoding}` is not supported here; send {supported}")]
    UnsupportedEncoding {
        /// What was asked for, shortened.
        encoding: String,
        /// What is understood instead.
        supported: &'static str,
    },
    /// A compressed body that does not decompress.
    #[error("the body is not valid {encoding}: {problem}")]
    BadCompression {
        /// The encoding it claims.
        encoding: &'static str,
        /// What the decompressor said.
        problem: String,
    },
    /// A remote write body that is no `prometheus.WriteRequest`.
    #[error("the body is not a Prometheus remote write 1.0 request: {problem}")]
    BadProtobuf {
        /// What is wrong.
        problem: String,
    },
    /// A remote write message of a version that is not understood.
    #[error(
        "content type `{content_type}` is not supported; send remote write 1.0 (prometheus.WriteRequest)"
    )]
    UnsupportedMessage {
        /// What was announced, shortened.
        content_type: String,
    },
}

impl BodyError {
    /// The HTTP status that fits: 400, 413, 415 or 422.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Empty
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::BadCompression { .. }
            | Self::BadProtobuf { .. } => 400,
            Self::TooManyRecords { .. } | Self::TooLarge { .. } => 413,
            Self::UnsupportedEncoding { .. } | Self::UnsupportedMessage { .. } => 415,
            Self::WrongShape { .. } | Self::NoRecords | Self::RepeatedRecords => 422,
        }
    }

    /// Machine-readable reason, for problem documents and counters.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_body",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::NotJson { .. } => "not_json",
            Self::WrongShape { .. } => "wrong_shape",
            Self::NoRecords => "no_records",
            Self::RepeatedRecords => "repeated_records",
            Self::TooManyRecords { .. } => "too_many_records",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedEncoding { .. } => "unsupported_encoding",
            Self::BadCompression { .. } => "bad_compression",
            Self::BadProtobuf { .. } => "bad_protobuf",
            Self::UnsupportedMessage { .. } => "unsupported_message",
        }
    }
}
