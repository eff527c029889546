//! One JSON object into one [`Record`], or the reason why not.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::mapping::{Meaning, SERVER_NAMES, STATUS_NAMES, TIME_NAMES};
use crate::number::finite_number;
use crate::shown::{shown, shown_text};
use crate::timestamp::parse_time;
use crate::{EntityName, Mapping, Record, RejectCode, Rejection, Schema};

/// Bounds that are not the schema's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How far ahead of the daemon's clock a record may lie, in milliseconds.
    pub max_future_ms: i64,
}

impl Default for Limits {
    /// Five minutes of future.
    fn default() -> Self {
        Self {
            max_future_ms: 5 * 60 * 1000,
        }
    }
}

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

/// Reads records of one schema. Immutable; share it.
#[derive(Debug)]
pub struct RecordParser {
    schema: Arc<Schema>,
    mbps_factor: f64,
    limits: Limits,
    fields: HashMap<Box<str>, Field>,
    /// Columns by role, for [`Meaning::CpuUsed`].
    cpu: CpuColumns,
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

#[derive(Debug, Clone, Copy)]
enum Scale {
    One,
    Mbps,
}

#[derive(Debug, Clone, Copy, Default)]
struct CpuColumns {
    user: Option<usize>,
    sys: Option<usize>,
    iowait: Option<usize>,
    idle: Option<usize>,
}

/// The field that currently stands for something: its rank, name and value.
#[derive(Debug, Clone, Copy)]
struct Found<'a, T = ()> {
    rank: usize,
    name: &'a str,
    value: &'a Value,
    extra: T,
}

/// The fields of one object, sorted by what they stand for.
struct Fields<'a> {
    server: Option<Found<'a>>,
    time: Option<Found<'a>>,
    status: Option<Found<'a>>,
    profile: Option<&'a Value>,
    cores: Option<&'a Value>,
    cpu_used: Option<Found<'a>>,
    metrics: Vec<Option<Found<'a, Scale>>>,
    notes: Notes,
}

impl RecordParser {
    /// A parser for records of `schema` under the names of `mapping`.
    pub fn new(schema: Arc<Schema>, mapping: Mapping, limits: Limits) -> Self {
        let fields = field_table(&schema, &mapping);
        let column = |name| schema.metric_index(name);
        let cpu = CpuColumns {
            user: column("cpu_user_pct"),
            sys: column("cpu_sys_pct"),
            iowait: column("cpu_iowait_pct"),
            idle: column("cpu_idle_pct"),
        };
        Self {
            schema,
            mbps_factor: mapping.mbps_factor,
            limits,
            fields,
            cpu,
        }
    }

    /// The schema of the records.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Reads one record; `now_ms` is the daemon's clock, which bounds the future.
    ///
    /// # Errors
    /// The first thing that is wrong, with index 0; the caller knows the record's place in its batch.
    pub fn parse(
        &self,
        object: &Map<String, Value>,
        now_ms: i64,
    ) -> Result<(Record, Notes), Rejection> {
        let fields = self.sort(object);
        let mut notes = fields.notes;
        let entity = server_name(&fields)?;
        let record = self.read(&fields, &entity, now_ms, &mut notes);
        record
            .map(|record| (record, notes))
            .map_err(|fault| fault.of_server(entity.as_str()))
    }

    fn read(
        &self,
        fields: &Fields<'_>,
        entity: &EntityName,
        now_ms: i64,
        notes: &mut Notes,
    ) -> Result<Record, Rejection> {
        let time_ms = self.time(fields, now_ms, notes)?;
        let status = self.status(fields)?;
        let cores = fields.cores.map(cores).transpose()?;
        let values = self.values(fields, notes)?;
        if status == 0 && values.iter().all(|value| value.is_nan()) {
            let known: Vec<_> = self
                .schema
                .metrics
                .iter()
                .map(|metric| metric.name.as_str())
                .collect();
            let message = format!(
                "holds no metric and no status; known metrics are {}",
                known.join(", ")
            );
            return Err(rejection(RejectCode::NoMetrics, None, message));
        }
        Ok(Record {
            entity: entity.clone(),
            time_ms,
            status,
            profile: self.profile(fields, notes),
            cores,
            values,
        })
    }

    fn sort<'a>(&self, object: &'a Map<String, Value>) -> Fields<'a> {
        let mut fields = Fields {
            server: None,
            time: None,
            status: None,
            profile: None,
            cores: None,
            cpu_used: None,
            metrics: vec![None; self.schema.metrics.len()],
            notes: Notes::default(),
        };
        for (name, value) in object {
            let Some(field) = self.fields.get(name.as_str()) else {
                fields.notes.unknown_fields += 1;
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

    fn time(&self, fields: &Fields<'_>, now_ms: i64, notes: &mut Notes) -> Result<i64, Rejection> {
        let Some(found) = fields.time else {
            let message =
                "has no `timestamp`; RFC 3339 text or epoch seconds are needed".to_owned();
            return Err(rejection(
                RejectCode::MissingTimestamp,
                Some("timestamp"),
                message,
            ));
        };
        let time = parse_time(found.value).map_err(|why| {
            let message = format!("`{}` is {}; {why}", found.name, shown(found.value));
            rejection(RejectCode::BadTimestamp, Some(found.name), message)
        })?;
        if time.ms > now_ms.saturating_add(self.limits.max_future_ms) {
            let ahead_secs = time.ms.saturating_sub(now_ms) / 1000;
            let allowed_secs = self.limits.max_future_ms / 1000;
            let message = format!(
                "`{}` is {}, {ahead_secs} s ahead of this daemon's clock; at most {allowed_secs} s are allowed",
                found.name,
                shown(found.value),
            );
            return Err(rejection(
                RejectCode::FutureTimestamp,
                Some(found.name),
                message,
            ));
        }
        notes.zoneless_timestamp = time.zoneless;
        Ok(time.ms)
    }

    fn status(&self, fields: &Fields<'_>) -> Result<u8, Rejection> {
        let Some(found) = fields.status else {
            return Ok(0);
        };
        found
            .value
            .as_str()
            .and_then(|status| self.schema.status_code(status))
            .ok_or_else(|| {
                let message = format!(
                    "`{}` is {}; one of {} is needed, or no status at all",
                    found.name,
                    shown(found.value),
                    self.schema.statuses.join(", "),
                );
                rejection(RejectCode::UnknownStatus, Some(found.name), message)
            })
    }

    fn profile(&self, fields: &Fields<'_>, notes: &mut Notes) -> Option<u8> {
        let profile = fields
            .profile?
            .as_str()
            .and_then(|id| self.schema.profile_code(id));
        notes.unknown_profile = profile.is_none();
        profile
    }

    fn values(&self, fields: &Fields<'_>, notes: &mut Notes) -> Result<Box<[f32]>, Rejection> {
        let mut values = vec![f32::NAN; self.schema.metrics.len()].into_boxed_slice();
        for (column, found) in fields.metrics.iter().enumerate() {
            if let Some(found) = found {
                let scale = match found.extra {
                    Scale::One => 1.0,
                    Scale::Mbps => self.mbps_factor,
                };
                values[column] = self.metric(column, found.name, found.value, scale)?;
            }
        }
        if let Some(found) = fields.cpu_used {
            self.spread_cpu_used(&found, &mut values, notes)?;
        }
        Ok(values)
    }

    fn metric(
        &self,
        column: usize,
        name: &str,
        value: &Value,
        scale: f64,
    ) -> Result<f32, Rejection> {
        let metric = &self.schema.metrics[column];
        let value_in_unit = finite_number(name, value)? * scale;
        metric.stored(value_in_unit).ok_or_else(|| {
            let means = if name == metric.name {
                String::new()
            } else {
                format!(" (it means `{}`)", metric.name)
            };
            let message = format!(
                "`{name}` is {}{means}; {} is allowed",
                shown(value),
                metric.allowed()
            );
            rejection(RejectCode::OutOfRange, Some(name), message)
        })
    }

    /// One number for the whole processor: idle is the rest, and all of the use counts as user where nothing tells
    /// otherwise. A record that has sys or iowait has split its use already; adding the sum to that would count twice.
    fn spread_cpu_used(
        &self,
        found: &Found<'_>,
        values: &mut [f32],
        notes: &mut Notes,
    ) -> Result<(), Rejection> {
        let Some(user) = self.cpu.user else {
            return Ok(());
        };
        let used = self.metric(user, found.name, found.value, 1.0)?;
        let is_missing =
            |column: Option<usize>, values: &[f32]| column.is_none_or(|c| values[c].is_nan());
        let mut is_used = false;
        if [self.cpu.user, self.cpu.sys, self.cpu.iowait]
            .into_iter()
            .all(|column| is_missing(column, values))
        {
            values[user] = used;
            is_used = true;
        }
        if let Some(idle) = self.cpu.idle
            && values[idle].is_nan()
        {
            values[idle] = 100.0 - used;
            is_used = true;
        }
        notes.shadowed_fields += u32::from(!is_used);
        Ok(())
    }
}

fn field_table(schema: &Schema, mapping: &Mapping) -> HashMap<Box<str>, Field> {
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
    table
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

fn server_name(fields: &Fields<'_>) -> Result<EntityName, Rejection> {
    let Some(found) = fields.server else {
        let message = "names no server; `server_name` is needed".to_owned();
        return Err(rejection(
            RejectCode::MissingServer,
            Some("server_name"),
            message,
        ));
    };
    let bad = |why: String| rejection(RejectCode::BadServerName, Some(found.name), why);
    let Some(name) = found.value.as_str() else {
        return Err(bad(format!(
            "`{}` is {}; text is needed",
            found.name,
            shown(found.value)
        )));
    };
    EntityName::new(name).map_err(|why| {
        let fault = bad(format!("`{}` {} {why}", found.name, shown(found.value)));
        fault.of_server(name)
    })
}

fn cores(value: &Value) -> Result<f32, Rejection> {
    let number = finite_number("cores", value)?;
    if number > 0.0 && number <= 1e6 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a million has an exact f32 neighbour"
        )]
        return Ok(number as f32);
    }
    let message = format!(
        "`cores` is {}; more than 0 and at most 1000000 is allowed",
        shown(value)
    );
    Err(rejection(RejectCode::OutOfRange, Some("cores"), message))
}

/// A rejection of the record at index 0 of a batch, its server still unnamed.
pub(crate) fn rejection(code: RejectCode, field: Option<&str>, message: String) -> Rejection {
    Rejection {
        index: 0,
        code,
        server: None,
        field: field.map(str::to_owned),
        message,
    }
}

impl Rejection {
    fn of_server(mut self, name: &str) -> Self {
        self.server = Some(shown_text(name));
        self
    }
}
