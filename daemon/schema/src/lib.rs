//! Schemas as data, records, and their validation.
//!
//! A [`Schema`] is an ordered list of metrics with unit, range and thresholds; the built-in one for servers is
//! `schemas/server.toml`. A [`Record`] is one validated observation of one entity. This crate does no I/O and
//! knows no clock: the caller passes the time.

mod fields;
mod mapping;
mod number;
mod parser;
mod profile_rules;
mod record;
mod rejection;
mod schema;
mod server_id;
pub mod server_metrics;
mod server_reading;
mod shown;
mod timestamp;

pub use fields::Notes;
pub use mapping::{Alias, Mapping, Meaning};
pub use parser::{Limits, RecordParser};
pub use profile_rules::ProfileRules;
pub use record::{EntityName, NameError, Record};
pub use rejection::{RejectCode, Rejection};
pub use schema::{Breach, Metric, Profile, Schema, SchemaError, Thresholds};
pub use server_id::server_id;
pub use server_reading::ServerReading;
