//! From what documents hold to a batch of records.

use std::collections::HashMap;

use argus_plugin::Error;
use argus_plugin::time::rfc3339;

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

    /// Writes the records as `POST /feed` takes them, one a line.
    pub(crate) fn write(&self, items: &mut Vec<u8>) -> Result<(), Error> {
        let names = self.mapping.metrics();
        let keys: Vec<Vec<u8>> = names
            .iter()
            .map(|name| key(name))
            .collect::<Result<_, _>>()?;
        let constants = self.mapping.constants().iter();
        let constants = constants.filter(|(name, _)| *name != "server_name");
        let constants: Vec<(&str, Vec<u8>)> = constants
            .map(|(name, value)| {
                let mut text = key(name)?;
                serde_json::to_writer(&mut text, value)?;
                Ok((name.as_str(), text))
            })
            .collect::<Result<_, Error>>()?;
        items.reserve(self.all.len() * TYPICAL_BYTES);
        for Record { time_ms, mapped } in &self.all {
            items.extend_from_slice(b"{\"server_name\":");
            serde_json::to_writer(&mut *items, &mapped.server)?;
            items.extend_from_slice(b",\"timestamp\":");
            if *time_ms >= FIRST_MILLISECONDS {
                serde_json::to_writer(&mut *items, time_ms)?;
            } else {
                serde_json::to_writer(&mut *items, &rfc3339(*time_ms))?;
            }
            for (metric, value, _) in &mapped.metrics {
                items.extend_from_slice(&keys[*metric]);
                serde_json::to_writer(&mut *items, value)?;
            }
            for (name, json) in &mapped.fields {
                items.extend_from_slice(&key(name)?);
                items.extend_from_slice(json.as_bytes());
            }
            for (name, text) in &constants {
                let is_field = mapped.fields.iter().any(|(known, _)| known == name);
                let mut metrics = mapped.metrics.iter();
                if !is_field && !metrics.any(|(known, ..)| names[*known] == *name) {
                    items.extend_from_slice(text);
                }
            }
            items.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

/// Numbers below are taken for seconds.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// Of a record with all metrics.
const TYPICAL_BYTES: usize = 320;

/// A name behind other members of an object.
fn key(name: &str) -> Result<Vec<u8>, Error> {
    let mut text = vec![b','];
    serde_json::to_writer(&mut text, name)?;
    text.push(b':');
    Ok(text)
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
