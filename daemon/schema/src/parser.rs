//! One JSON object into one [`Record`], or the reason why not.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::fields::{FieldTable, Fields, Found, Notes, Scale};
use crate::number::finite_number;
use crate::rejection::rejection;
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

/// Reads records of one schema. Immutable; share it.
#[derive(Debug)]
pub struct RecordParser {
    schema: Arc<Schema>,
    mbps_factor: f64,
    limits: Limits,
    fields: FieldTable,
    /// Columns by role, for [`crate::Meaning::CpuUsed`].
    cpu: CpuColumns,
}

#[derive(Debug, Clone, Copy, Default)]
struct CpuColumns {
    user: Option<usize>,
    sys: Option<usize>,
    iowait: Option<usize>,
    idle: Option<usize>,
}

impl RecordParser {
    /// A parser for records of `schema` under the names of `mapping`.
    pub fn new(schema: Arc<Schema>, mapping: Mapping, limits: Limits) -> Self {
        let fields = FieldTable::new(&schema, &mapping);
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
        let fields = self.fields.sort(object);
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
            let unknown = fields.unknown.map(shown_text);
            let is_unknown = |name| format!(" (`{name}` is unknown)");
            let message = format!(
                "holds no metric and no status{}; known metrics are {}",
                unknown.as_ref().map_or_else(String::new, is_unknown),
                known.join(", ")
            );
            return Err(rejection(
                RejectCode::NoMetrics,
                unknown.as_deref(),
                message,
            ));
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
