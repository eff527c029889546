//! A fleet as files.

use std::path::Path;

use argus_schema::Schema;
use argus_trace::{TraceWriter, write_incidents};

use crate::{FleetSpec, GenerateError, generate};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Servers.
    pub servers: usize,
    /// Rows of all servers.
    pub rows: usize,
    /// Incidents of all servers.
    pub incidents: usize,
}

/// Writes a fleet as a Parquet trace, and its incidents as CSV where a path is given. One server is in memory at a
/// time.
///
/// # Errors
/// When the specification is not usable or a file cannot be written.
pub fn write(
    spec: &FleetSpec,
    trace: &Path,
    incidents: Option<&Path>,
) -> Result<Written, GenerateError> {
    let mut writer = TraceWriter::create(trace, &Schema::server())?;
    let mut written = Written {
        servers: 0,
        rows: 0,
        incidents: 0,
    };
    let mut listed = Vec::new();
    for server in generate(spec)? {
        writer.write(&server.series)?;
        written.servers += 1;
        written.rows += server.series.times_ms.len();
        listed.extend(server.incidents);
    }
    written.incidents = listed.len();
    writer.finish()?;
    if let Some(path) = incidents {
        write_incidents(path, &listed)?;
    }
    Ok(written)
}
