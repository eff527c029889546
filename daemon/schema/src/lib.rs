//! Schemas as data, records, and their validation.
//!
//! A [`Schema`] is an ordered list of metrics with unit, range and thresholds; the built-in one for servers is
//! `schemas/server.toml`. A [`Record`] is one validated observation of one entity. This crate does no I/O and
//! knows no clock: the caller passes the time.

mod record;
mod schema;

pub use record::{EntityName, NameError, Record};
pub use schema::{Breach, Metric, Profile, Schema, SchemaError, Thresholds};
