//! The fields of one JSON object, sorted by what they stand for.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::mapping::{Meaning, SERVER_NAMES, STATUS_NAMES, TIME_NAMES};
use crate::{Mapping, Schema};

/// What was noticed in an accepted record without being a reason to refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notes {
    /// Fields that neither the schema nor the mapping knows; not stored.
    pub unknown_fields: u32,
    /// Known fields that gave way to another name of the same thing.
    pub shadowed_fields: u32,
    /// The time had no zone and was taken as UTC.
    pub zoneless_timestamp: bool,
    /// The named profile is none of the schema's and was taken as absent.
    pub unknown_profile: bool,
}

/// What each field name stands for, under a schema and a mapping.
#[derive(Debug)]
pub(crate) struct FieldTable {
    fields: HashMap<Box<str>, Field>,
    metric_count: usize,
}

/// What a field name stands for. A lower rank wins over a higher one of the same thing.
#[derive(Debug, Clone, Copy)]
enum Field {
    Server {
        rank: usize,
    },
    /// `host`: the name itself, or an object that holds it.
    Host {
        rank: usize,
    },
    Time {
        rank: usize,
    },
    Status {
        rank: usize,
    },
    Profile,
    Cores,
    Metric {
        column: usize,
        rank: usize,
        scale: Scale,
    },
    CpuUsed {
        rank: usize,
    },
}

/// What a metric's number is multiplied with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    /// 1.
    One,
    /// The factor of `*_mbps` names.
    Mbps,
}

/// The field that currently stands for something: its rank, name and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a, T = ()> {
    rank: usize,
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
    pub(crate) extra: T,
}

/// The fields of one object, sorted by what they stand for.
pub(crate) struct Fields<'a> {
    pub(crate) server: Option<Found<'a>>,
    pub(crate) time: Option<Found<'a>>,
    pub(crate) status: Option<Found<'a>>,
    pub(crate) profile: Option<&'a Value>,
    pub(crate) cores: Option<&'a Value>,
    pub(crate) cpu_used: Option<Found<'a>>,
    pub(crate) metrics: Vec<Option<Found<'a, Scale>>>,
    pub(crate) notes: Notes,
    /// The first field that neither the schema nor the mapping knows.
    pub(crate) unknown: Option<&'a str>,
}

impl FieldTable {
    /// The names of a schema and of a mapping.
    pub(crate) fn new(schema: &Schema, mapping: &Mapping) -> Self {
        let mut table = HashMap::new();
        let mut add = |name: &str, field| {
            table.entry(name.into()).or_insert(field);
        };
        for (column, metric) in schema.metrics.iter().enumerate() {
            add(
                &metric.name,
                Field::Metric {
                    column,
                    rank: 0,
                    scale: Scale::One,
                },
            );
        }
        for (rank, name) in STATUS_NAMES.iter().enumerate() {
            add(name, Field::Status { rank });
        }
        add("profile", Field::Profile);
        add("cores", Field::Cores);
        // The first name of each is canonical; the others are part of the mapping.
        let names_kept =
            |names: &'static [&'static str]| if mapping.enabled { names } else { &names[..1] };
        for (rank, name) in names_kept(&SERVER_NAMES).iter().enumerate() {
            add(
                name,
                if *name == "host" {
                    Field::Host { rank }
                } else {
                    Field::Server { rank }
                },
            );
        }
        for (rank, name) in names_kept(&TIME_NAMES).iter().enumerate() {
            add(name, Field::Time { rank });
        }
        if mapping.enabled {
            for (rank, alias) in (1..).zip(&mapping.aliases) {
                let Some(column) = schema.metric_index(&alias.metric) else {
                    continue;
                };
                let field = match alias.meaning {
                    Meaning::Same => Field::Metric {
                        column,
                        rank,
                        scale: Scale::One,
                    },
                    Meaning::Mbps => Field::Metric {
                        column,
                        rank,
                        scale: Scale::Mbps,
                    },
                    Meaning::CpuUsed => Field::CpuUsed { rank },
                };
                add(&alias.name, field);
            }
        }
        Self {
            fields: table,
            metric_count: schema.metrics.len(),
        }
    }

    /// Sorts the fields of an object; of several that stand for the same thing, the one of lowest rank stays.
    pub(crate) fn sort<'a>(&self, object: &'a Map<String, Value>) -> Fields<'a> {
        let mut fields = Fields {
            server: None,
            time: None,
            status: None,
            profile: None,
            cores: None,
            cpu_used: None,
            metrics: vec![None; self.metric_count],
            notes: Notes::default(),
            unknown: None,
        };
        for (name, value) in object {
            let Some(field) = self.fields.get(name.as_str()) else {
                fields.notes.unknown_fields += 1;
                fields.unknown.get_or_insert(name);
                continue;
            };
            // A null says as much as an absent field.
            if value.is_null() {
                continue;
            }
            let found = |rank| Found {
                rank,
                name,
                value,
                extra: (),
            };
            let shadowed = match *field {
                Field::Server { rank } => keep(&mut fields.server, found(rank)),
                Field::Host { rank } => match name_in_host(rank, name, value) {
                    Some(found) => keep(&mut fields.server, found),
                    None => false,
                },
                Field::Time { rank } => keep(&mut fields.time, found(rank)),
                Field::Status { rank } => keep(&mut fields.status, found(rank)),
                Field::Profile => fields.profile.replace(value).is_some(),
                Field::Cores => fields.cores.replace(value).is_some(),
                Field::CpuUsed { rank } => keep(&mut fields.cpu_used, found(rank)),
                Field::Metric {
                    column,
                    rank,
                    scale,
                } => keep(
                    &mut fields.metrics[column],
                    Found {
                        rank,
                        name,
                        value,
                        extra: scale,
                    },
                ),
            };
            fields.notes.shadowed_fields += u32::from(shadowed);
        }
        fields
    }
}

/// Keeps the field of lower rank; returns whether one of two had to give way.
fn keep<'a, T>(slot: &mut Option<Found<'a, T>>, found: Found<'a, T>) -> bool {
    let is_taken = slot.is_some();
    if slot.as_ref().is_none_or(|kept| found.rank < kept.rank) {
        *slot = Some(found);
    }
    is_taken
}

/// `host` as agents of the Elastic family send it: `"name"`, or `{"name": …}`, or `{"hostname": …}`.
fn name_in_host<'a>(rank: usize, name: &'a str, value: &'a Value) -> Option<Found<'a>> {
    let value = match value {
        Value::Object(host) => ["name", "hostname"]
            .iter()
            .find_map(|key| host.get(*key).filter(|v| !v.is_null()))?,
        other => other,
    };
    Some(Found {
        rank,
        name,
        value,
        extra: (),
    })
}
