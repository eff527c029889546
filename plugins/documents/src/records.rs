//! From what documents hold to a batch of records.

use std::collections::HashMap;

use argus_plugin::Error;
use argus_plugin::source::Batch;
use argus_plugin::time::rfc3339;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::mapping::{Mapped, Mapping, Merge};

/// Records of a batch; the parts of one are put together.
pub(crate) struct Records<'a> {
    mapping: &'a Mapping,
    all: Vec<Record>,
    /// Where the record of a server and time is, for documents that are parts.
    known: Option<HashMap<(String, i64), usize>>,
}

struct Record {
    time_ms: i64,
    mapped: Mapped,
}

impl<'a> Records<'a> {
    pub(crate) fn new(mapping: &'a Mapping) -> Self {
        Self {
            mapping,
            all: Vec::new(),
            known: mapping.parts.then(HashMap::new),
        }
    }

    pub(crate) fn add(&mut self, time_ms: i64, mapped: Mapped) {
        if let Some(known) = &mut self.known {
            let place = *known
                .entry((mapped.server.clone(), time_ms))
                .or_insert(self.all.len());
            if let Some(record) = self.all.get_mut(place) {
                record.merge(mapped);
                return;
            }
        }
        self.all.push(Record { time_ms, mapped });
    }

    pub(crate) fn write(&self, batch: &mut Batch) -> Result<(), Error> {
        let mut records = self.all.iter();
        records.try_for_each(|record| {
            batch.push(&Shown {
                record,
                mapping: self.mapping,
            })
        })
    }
}

impl Record {
    fn merge(&mut self, other: Mapped) {
        for (metric, value, merge) in other.metrics {
            let metrics = &mut self.mapped.metrics;
            match metrics.iter_mut().find(|(known, ..)| *known == metric) {
                None => metrics.push((metric, value, merge)),
                Some((_, known, _)) => match merge {
                    Merge::First => {}
                    Merge::Max => *known = known.max(value),
                    Merge::Sum => *known += value,
                },
            }
        }
        for (name, value) in other.fields {
            let fields = &mut self.mapped.fields;
            if fields.iter().all(|(known, _)| *known != name) {
                fields.push((name, value));
            }
        }
    }
}

/// A record as `POST /feed` takes it.
struct Shown<'a> {
    record: &'a Record,
    mapping: &'a Mapping,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Numbers below are taken for seconds.
        const FIRST_MILLISECONDS: i64 = 100_000_000_000;
        let Record { time_ms, mapped } = self.record;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("server_name", &mapped.server)?;
        if *time_ms >= FIRST_MILLISECONDS {
            map.serialize_entry("timestamp", time_ms)?;
        } else {
            map.serialize_entry("timestamp", &rfc3339(*time_ms))?;
        }
        let names = self.mapping.metrics();
        for (metric, value, _) in &mapped.metrics {
            map.serialize_entry(&names[*metric], value)?;
        }
        for (name, value) in &mapped.fields {
            map.serialize_entry(name, value)?;
        }
        for (name, value) in self.mapping.constants() {
            let is_said = name == "server_name"
                || mapped
                    .metrics
                    .iter()
                    .any(|(known, ..)| names[*known] == *name)
                || mapped.fields.iter().any(|(known, _)| known == name);
            if !is_said {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}
