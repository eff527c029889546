//! Bins in, the file and its index out.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use argus_schema::Schema;
use sha2::{Digest, Sha256};

use super::index::{FORMAT_VERSION, Index, ServerIndex, SourceIndex, TrackIndex, hex};
use super::scatter::Server;
use super::{LONGEST_GAP_BINS, Making};
use crate::TrainingError;

/// Writes the bins of one source after the other.
pub(super) struct SpoolWriter<'a> {
    making: &'a Making<'a>,
    path: PathBuf,
    file: BufWriter<File>,
    /// One bin's bytes.
    record: Vec<u8>,
    bins: u64,
    sources: Vec<SourceIndex>,
    source: OpenSource,
    track: Option<OpenTrack>,
}

/// The source that is being written.
#[derive(Default)]
struct OpenSource {
    rows: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    /// Whether a metric was ever observed.
    observed: Vec<bool>,
    tracks: Vec<ClosedTrack>,
}

/// The track that is being written.
struct OpenTrack {
    server: ServerIndex,
    first_bin: i64,
    bins: usize,
    start: u64,
    sha: Sha256,
}

struct ClosedTrack {
    server: ServerIndex,
    first_bin: i64,
    bins: usize,
    start: u64,
    digest: [u8; 32],
}

impl<'a> SpoolWriter<'a> {
    pub(super) fn create(path: &Path, making: &'a Making<'a>) -> Result<Self, TrainingError> {
        let file = File::create(path).map_err(TrainingError::io(path))?;
        Ok(Self {
            making,
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            record: Vec::new(),
            bins: 0,
            sources: Vec::new(),
            source: OpenSource::default(),
            track: None,
        })
    }

    /// The folder of the spool.
    pub(super) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Notes a row that counts.
    pub(super) fn count_row(&mut self, time_ms: i64) {
        let source = &mut self.source;
        source.rows += 1;
        source.first_ms = Some(source.first_ms.map_or(time_ms, |first| first.min(time_ms)));
        source.last_ms = Some(source.last_ms.map_or(time_ms, |last| last.max(time_ms)));
    }

    /// Appends a bin. All bins of a server come after each other, in order of time.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn bin(
        &mut self,
        server: &Server,
        bin: i64,
        means: &[f32],
        status: u8,
    ) -> Result<(), TrainingError> {
        self.source.observed.resize(means.len(), false);
        for (observed, mean) in self.source.observed.iter_mut().zip(means) {
            *observed |= !mean.is_nan();
        }
        let next = self.track.as_ref().map(|track| {
            let same = track.server.name.as_str() == server.name.as_ref();
            (same, bin - (track.first_bin + track.bins as i64))
        });
        match next {
            Some((true, gap)) if (0..LONGEST_GAP_BINS).contains(&gap) => {
                for _ in 0..gap {
                    self.append(std::iter::repeat_n(f32::NAN, means.len()), 0)?;
                }
            }
            _ => {
                self.close_track();
                self.track = Some(self.open_track(server, bin));
            }
        }
        self.append(means.iter().copied(), status)
    }

    fn open_track(&self, server: &Server, first_bin: i64) -> OpenTrack {
        let Making {
            schema, profiles, ..
        } = self.making;
        let profile = profiles.resolve(server.profile, &server.name, schema);
        OpenTrack {
            server: ServerIndex {
                name: server.name.as_ref().to_owned(),
                profile: schema.profiles[usize::from(profile)].id.clone(),
            },
            first_bin,
            bins: 0,
            start: self.bins,
            sha: Sha256::new(),
        }
    }

    fn append(
        &mut self,
        means: impl Iterator<Item = f32>,
        status: u8,
    ) -> Result<(), TrainingError> {
        self.record.clear();
        self.record.extend(means.flat_map(f32::to_le_bytes));
        self.record.push(status);
        self.file
            .write_all(&self.record)
            .map_err(TrainingError::io(&self.path))?;
        self.bins += 1;
        if let Some(track) = &mut self.track {
            track.bins += 1;
            track.sha.update(&self.record);
        }
        Ok(())
    }

    fn close_track(&mut self) {
        if let Some(track) = self.track.take() {
            self.source.tracks.push(ClosedTrack {
                server: track.server,
                first_bin: track.first_bin,
                bins: track.bins,
                start: track.start,
                digest: track.sha.finalize().into(),
            });
        }
    }

    /// Ends a source. In the index its servers are in the order of their names, wherever their bins lie.
    ///
    /// # Errors
    /// When it has no row.
    pub(super) fn end_source(&mut self, name: &str) -> Result<(), TrainingError> {
        self.close_track();
        let mut open = std::mem::take(&mut self.source);
        let (Some(first_ms), Some(last_ms)) = (open.first_ms, open.last_ms) else {
            return Err(TrainingError::NoRows(name.to_owned()));
        };
        open.tracks
            .sort_by(|a, b| (&a.server.name, a.first_bin).cmp(&(&b.server.name, b.first_bin)));
        let mut sha = Sha256::new();
        let (mut servers, mut tracks) = (Vec::<ServerIndex>::new(), Vec::new());
        for track in open.tracks {
            sha.update(track.server.name.as_bytes());
            sha.update([0]);
            sha.update(track.server.profile.as_bytes());
            sha.update(track.first_bin.to_le_bytes());
            sha.update(track.digest);
            if servers.last() != Some(&track.server) {
                servers.push(track.server);
            }
            tracks.push(TrackIndex {
                server: servers.len() - 1,
                first_bin: track.first_bin,
                bins: track.bins,
                start: track.start,
            });
        }
        self.sources.push(SourceIndex {
            name: name.to_owned(),
            rows: open.rows,
            first_ms,
            last_ms,
            observed: open.observed,
            servers,
            tracks,
            digest: hex(&sha.finalize()),
        });
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn finish(mut self, made_of: serde_json::Value) -> Result<Index, TrainingError> {
        self.file.flush().map_err(TrainingError::io(&self.path))?;
        let mut sha = Sha256::new();
        for source in &self.sources {
            sha.update(source.name.as_bytes());
            sha.update(source.digest.as_bytes());
        }
        let schema: &Schema = self.making.schema;
        Ok(Index {
            format_version: FORMAT_VERSION,
            made_of,
            metrics: schema.metrics.len(),
            step_secs: self.making.step_secs,
            bins: self.bins,
            digest: hex(&sha.finalize()),
            sources: self.sources,
        })
    }
}
