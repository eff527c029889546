//! Reads and writes the Parquet traces that people exchange.
//!
//! A *trace* holds one observation per row: `timestamp`, `server_name` and one column per metric of the schema;
//! `status`, `profile` and `cores` may be there, other columns are ignored. It is the input of `argus replay`,
//! `argus forecast` and `argus train`. Three ways to read one:
//!
//! - [`TraceReader`]: batches of rows as they lie in the file, in bounded memory;
//! - [`read_series`]: one time-sorted [`Series`] per server; [`read_servers`] the same for some servers at a time;
//! - [`read_merged`]: single rows of all servers in order of time, for a replay.
//!
//! [`read_origins`], [`ForecastWriter`], [`RiskWriter`] and [`AttentionWriter`] are the ends of an offline forecast,
//! [`read_incidents`] and [`write_alerts`] those of a backtest; [`TraceWriter`] and [`write_incidents`] are what the generator writes. Every output file appears whole under its name or not at all.

mod attention;
mod columns;
mod csv;
mod errors;
mod forecasts;
mod incidents;
mod merged;
mod origins;
mod output;
mod parts;
mod reader;
mod series;
mod verdicts;
mod writer;

pub use attention::{AttentionWriter, Weight};
pub use errors::TraceError;
pub use forecasts::ForecastWriter;
pub use incidents::{Incident, LabelledSpan, read_incidents, read_labelled, write_incidents};
pub use merged::{MergedRows, TraceRow, read_merged};
pub use origins::{Origin, read_origins};
pub use output::check_writable;
pub use parts::{ServerRows, count_servers, read_servers, trace_files};
pub use reader::{TraceReader, TraceRows, count_rows};
pub use series::{Series, read_series};
pub use verdicts::{FiredAlert, RiskWriter, write_alerts};
pub use writer::TraceWriter;
