//! What a data directory says of itself.

use argus_schema::Schema;

use crate::codec::frame::{self, Header, Kind};
use crate::codec::{DecodeError, Put, Take};
use crate::cursor::Cursor;

/// State as of the newest checkpoint, and the settings that cannot change under the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Sequence number that the checkpoint covers: everything up to it is in the windows and in history.
    pub(crate) checkpoint: u64,
    /// Id of the next new entity.
    pub(crate) next_id: u64,
    pub(crate) step_secs: u32,
    pub(crate) schema_id: String,
    pub(crate) schema_version: u32,
    pub(crate) metrics: Vec<String>,
    /// How far each source has been read.
    pub(crate) cursors: Vec<Cursor>,
    /// Ids of all entities, ascending. Only salvage needs them: pages of retired entities may outlive these.
    pub(crate) entities: Vec<u64>,
}

impl Meta {
    /// State of an empty store.
    pub(crate) fn new(schema: &Schema, step_secs: u32) -> Self {
        Self {
            checkpoint: 0,
            next_id: 1,
            step_secs,
            schema_id: schema.id.clone(),
            schema_version: schema.version,
            metrics: schema
                .metrics
                .iter()
                .map(|metric| metric.name.clone())
                .collect(),
            cursors: Vec::new(),
            entities: Vec::new(),
        }
    }

    /// As a frame.
    pub(crate) fn seal(&self) -> Vec<u8> {
        let header = Header {
            kind: Kind::Meta,
            key: 0,
            block: 0,
            sequence: self.checkpoint,
        };
        frame::seal(header, |out| {
            out.put_varint(self.next_id);
            out.put_varint(u64::from(self.step_secs));
            out.put_text(&self.schema_id);
            out.put_varint(u64::from(self.schema_version));
            out.put_varint(self.metrics.len() as u64);
            self.metrics.iter().for_each(|name| out.put_text(name));
            out.put_varint(self.cursors.len() as u64);
            for cursor in &self.cursors {
                out.put_text(cursor.source());
                out.put_varint(cursor.position().len() as u64);
                out.put_bytes(cursor.position());
            }
            out.put_varint(self.entities.len() as u64);
            let mut previous = 0;
            for &id in &self.entities {
                out.put_varint(id.wrapping_sub(previous));
                previous = id;
            }
        })
    }

    /// From a frame.
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, payload) = frame::open(bytes)?;
        if header.kind != Kind::Meta {
            return Err(DecodeError("is no state"));
        }
        let mut take = Take::new(payload);
        let next_id = take.varint()?;
        let step_secs = take.small()?;
        let schema_id = take.text()?.to_owned();
        let schema_version = take.small()?;
        let metrics = (0..take.count(1)?)
            .map(|_| take.text().map(str::to_owned))
            .collect::<Result<_, DecodeError>>()?;
        let mut cursors = Vec::new();
        for _ in 0..take.count(2)? {
            let source = take.text()?;
            let length = take.count(1)?;
            let cursor = Cursor::new(source, take.bytes(length)?);
            cursors.push(cursor.map_err(|_| DecodeError("a cursor is impossible"))?);
        }
        let mut previous = 0u64;
        let mut entities = Vec::new();
        for _ in 0..take.count(1)? {
            previous = previous.wrapping_add(take.varint()?);
            entities.push(previous);
        }
        take.finish()?;
        Ok(Self {
            checkpoint: header.sequence,
            next_id,
            step_secs,
            schema_id,
            schema_version,
            metrics,
            cursors,
            entities,
        })
    }

    /// The first setting in which a configured store differs from what is stored: name, stored, configured.
    pub(crate) fn mismatch(
        &self,
        schema: &Schema,
        step_secs: u32,
    ) -> Option<(&'static str, String, String)> {
        let configured = Self::new(schema, step_secs);
        if self.step_secs != step_secs {
            return Some((
                "step_secs",
                self.step_secs.to_string(),
                step_secs.to_string(),
            ));
        }
        let name = |meta: &Self| format!("{} version {}", meta.schema_id, meta.schema_version);
        if name(self) != name(&configured) {
            return Some(("schema", name(self), name(&configured)));
        }
        if self.metrics != configured.metrics {
            return Some((
                "schema metrics",
                self.metrics.join(" "),
                configured.metrics.join(" "),
            ));
        }
        None
    }
}
