//! Ground-truth incidents as CSV, in the layout that `score_alerts.py` reads.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::TraceError;
use crate::output::Pending;

/// Something that truly went wrong on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The server.
    pub server: String,
    /// When it began: milliseconds since the Unix epoch, UTC.
    pub start_ms: i64,
    /// When it was over (exclusive).
    pub end_ms: i64,
    /// What kind, snake case, e.g. `memory_leak`.
    pub kind: String,
    /// The metrics that showed it.
    pub metrics: Vec<String>,
}

/// Writes `server_name,start,end,kind,metrics`, times as RFC 3339, metrics joined by `|`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_incidents(path: &Path, incidents: &[Incident]) -> Result<(), TraceError> {
    let (pending, file) = Pending::create(path)?;
    let mut out = BufWriter::new(&file);
    let outcome = write_lines(&mut out, incidents).and_then(|()| out.flush());
    outcome.map_err(|source| TraceError::File {
        path: path.to_owned(),
        source,
    })?;
    drop(out);
    pending.publish(&file)
}

fn write_lines(out: &mut impl std::io::Write, incidents: &[Incident]) -> std::io::Result<()> {
    writeln!(out, "server_name,start,end,kind,metrics")?;
    for incident in incidents {
        let Incident {
            server,
            start_ms,
            end_ms,
            kind,
            metrics,
        } = incident;
        let (start, end) = (rfc3339(*start_ms), rfc3339(*end_ms));
        writeln!(
            out,
            "{},{start},{end},{},{}",
            quoted(server),
            quoted(kind),
            quoted(&metrics.join("|"))
        )?;
    }
    Ok(())
}

fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// A CSV field (RFC 4180): quoted only where it must be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
