//! What a spool holds and where.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use argus_trace::trace_files;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Making, RowsFrom};
use crate::TrainingError;

/// Grows when old spools must be made anew.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The index of a spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(super) format_version: u32,
    /// The inputs; see [`made_of`].
    pub(super) made_of: Value,
    pub(super) metrics: usize,
    pub(super) step_secs: u32,
    /// Bins of all tracks.
    pub(super) bins: u64,
    /// SHA-256 over all sources.
    pub(super) digest: String,
    pub(super) sources: Vec<SourceIndex>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceIndex {
    pub(crate) name: String,
    /// Rows, doubles left out.
    pub(crate) rows: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// `[metric]`: whether it was ever observed.
    pub(crate) observed: Vec<bool>,
    /// Sorted by name.
    pub(crate) servers: Vec<ServerIndex>,
    /// Sorted by server and time.
    pub(crate) tracks: Vec<TrackIndex>,
    /// SHA-256 over servers, profiles and bins.
    pub(super) digest: String,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerIndex {
    pub(crate) name: String,
    /// Profile id: what its rows say, else what its name stands for, as in serving.
    pub(crate) profile: String,
}

/// Bins of a server that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackIndex {
    /// Position of the server.
    pub(crate) server: usize,
    /// First bin, counted from the epoch.
    pub(crate) first_bin: i64,
    pub(crate) bins: usize,
    /// Where its first bin lies, in bins from the start of the file.
    pub(super) start: u64,
}

impl SourceIndex {
    /// Positions of a server's tracks, in order of time.
    pub(crate) fn tracks_of(&self, server: &str) -> std::ops::Range<usize> {
        let place = (self.servers).binary_search_by(|known| known.name.as_str().cmp(server));
        let Ok(place) = place else { return 0..0 };
        let start = self.tracks.partition_point(|track| track.server < place);
        start..self.tracks.partition_point(|track| track.server <= place)
    }
}

impl Index {
    /// The index at `path`; `None` where there is none of this format.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let index: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (index.format_version == FORMAT_VERSION).then_some(index)
    }

    /// Makes the spool usable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, path: &Path) -> Result<(), TrainingError> {
        let partial = path.with_extension("partial");
        fs::write(&partial, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&partial, path))
            .map_err(TrainingError::io(path))
    }
}

/// What a spool is made of: files by path, size and time of change, or a fleet's specification.
///
/// # Errors
/// When a file cannot be found.
pub(super) fn made_of(
    sources: &[(&str, RowsFrom<'_>)],
    making: &Making<'_>,
) -> Result<Value, TrainingError> {
    let mut listed = Vec::new();
    for (name, origin) in sources {
        let origin = match origin {
            RowsFrom::Fleet(spec) => json!({ "fleet": format!("{spec:?}") }),
            RowsFrom::Files(path) => {
                let mut files = Vec::new();
                for file in trace_files(path)? {
                    let metadata = fs::metadata(&file).map_err(TrainingError::io(&file))?;
                    let changed = metadata.modified().ok();
                    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                    files.push(json!({
                        "path": file,
                        "size_bytes": metadata.len(),
                        "changed_ns": changed.map(|time| time.as_nanos().to_string()),
                    }));
                }
                json!({ "files": files })
            }
        };
        listed.push(json!({ "name": name, "origin": origin }));
    }
    let profiles: Vec<_> = making.profiles.iter().collect();
    Ok(json!({
        "sources": listed,
        "schema": making.schema.id,
        "schema_version": making.schema.version,
        "step_secs": making.step_secs,
        "profiles": profiles,
    }))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
