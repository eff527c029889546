//! Ground-truth incidents and labelled spans as CSV, in the layout that `score_alerts.py` reads.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::TraceError;
use crate::csv::Table;
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

/// Reads `server_name,start,end,kind,metrics`, the layout of [`write_incidents`]; `kind` and `metrics` may be absent.
///
/// # Errors
/// When the file cannot be read, a column is missing, a time is none, or an incident ends before it begins.
pub fn read_incidents(path: &Path) -> Result<Vec<Incident>, TraceError> {
    let table = Table::read(path)?;
    let (server, start, end) = (
        table.column("server_name")?,
        table.column("start")?,
        table.column("end")?,
    );
    let (kind, metrics) = (table.optional("kind"), table.optional("metrics"));
    let incident = |row: usize| {
        let metrics = metrics.map_or("", |column| table.text(row, column));
        let (start_ms, end_ms) = table.span_ms(row, start, end)?;
        Ok(Incident {
            server: table.text(row, server).to_owned(),
            start_ms,
            end_ms,
            kind: kind.map_or("", |column| table.text(row, column)).to_owned(),
            metrics: metrics
                .split('|')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    };
    (0..table.rows()).map(incident).collect()
}

/// The time over which somebody looked for a server's incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledSpan {
    /// The server.
    pub server: String,
    /// When it begins: milliseconds since the Unix epoch, UTC.
    pub from_ms: i64,
    /// When it ends (exclusive).
    pub to_ms: i64,
}

/// Reads `server_name,labelled_from,labelled_to`.
///
/// # Errors
/// When the file cannot be read, a column is missing, a time is none, or a span ends before it begins.
pub fn read_labelled(path: &Path) -> Result<Vec<LabelledSpan>, TraceError> {
    let table = Table::read(path)?;
    let (server, from, to) = (
        table.column("server_name")?,
        table.column("labelled_from")?,
        table.column("labelled_to")?,
    );
    let span = |row: usize| {
        let (from_ms, to_ms) = table.span_ms(row, from, to)?;
        Ok(LabelledSpan {
            server: table.text(row, server).to_owned(),
            from_ms,
            to_ms,
        })
    };
    (0..table.rows()).map(span).collect()
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
