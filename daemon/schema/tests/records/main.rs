//! What the parser takes, what it refuses, and what it says then.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accepted;
mod rejected;

use argus_schema::{Limits, Mapping, Notes, Record, RecordParser, Rejection, Schema};
use serde_json::{Value, json};

/// 2026-11-21T12:00:00Z.
const NOW_MS: i64 = 1_795_262_400_000;

fn parser(mapping: Mapping) -> RecordParser {
    RecordParser::new(Schema::server(), mapping, Limits::default())
}

fn parse_with(mapping: Mapping, record: &Value) -> Result<(Record, Notes), Rejection> {
    parser(mapping).parse(record.as_object().expect("tests pass objects"), NOW_MS)
}

fn parse(record: &Value) -> Result<(Record, Notes), Rejection> {
    parse_with(Mapping::default(), record)
}

/// A record of `web-1` at noon with these fields besides.
fn with(fields: Value) -> Value {
    let mut record = json!({"server_name": "web-1", "timestamp": "2026-11-21T12:00:00Z"});
    let object = record.as_object_mut().expect("it is one");
    object.extend(fields.as_object().expect("tests pass objects").clone());
    record
}
