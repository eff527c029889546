//! A log group: what one fsync makes durable.
//!
//! ```text
//! group  := written_ms (signed) names operations
//! names  := count, text…                       each entity named once per group
//! operations := count, operation…
//! operation := 0 record | 1 retire | 2 cursor
//! record := name index, time (signed, relative to the record before), flags,
//!           [status] [profile] [cores f32], mask of metrics present, f32 for each
//! retire := name index
//! cursor := name index of the source, length, bytes
//! ```
//! A group needs nothing from another one to be read: one that is lost takes only its own records with it.

use std::collections::HashMap;

use argus_schema::{EntityName, Record};

use super::{DecodeError, Put, Take};
use crate::cursor::Cursor;

const RECORD: u8 = 0;
const RETIRE: u8 = 1;
const CURSOR: u8 = 2;
const HAS_STATUS: u8 = 1;
const HAS_PROFILE: u8 = 2;
const HAS_CORES: u8 = 4;

/// One change of state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    /// An accepted record.
    Record(Record),
    /// An entity's window is forgotten.
    Retire(EntityName),
    /// A source has been read up to here.
    Cursor(Cursor),
}

impl Operation {
    /// The entity, or the source, that it is about.
    fn name(&self) -> &EntityName {
        match self {
            Self::Record(record) => &record.entity,
            Self::Retire(name) => name,
            Self::Cursor(cursor) => cursor.source_name(),
        }
    }
}

/// Appends a group to `out`. `written_ms` is the wall clock.
pub(crate) fn encode(out: &mut Vec<u8>, written_ms: i64, operations: &[Operation]) {
    let mut index_of: HashMap<&EntityName, u64> = HashMap::new();
    let mut names = Vec::new();
    for operation in operations {
        index_of.entry(operation.name()).or_insert_with(|| {
            names.push(operation.name());
            names.len() as u64 - 1
        });
    }
    out.put_signed(written_ms);
    out.put_varint(names.len() as u64);
    for name in names {
        out.put_text(name.as_str());
    }
    out.put_varint(operations.len() as u64);
    let mut previous_ms = written_ms;
    for operation in operations {
        let index = index_of.get(operation.name()).copied().unwrap_or(0);
        match operation {
            Operation::Retire(_) => {
                out.put_u8(RETIRE);
                out.put_varint(index);
            }
            Operation::Cursor(cursor) => {
                out.put_u8(CURSOR);
                out.put_varint(index);
                out.put_varint(cursor.position().len() as u64);
                out.put_bytes(cursor.position());
            }
            Operation::Record(record) => {
                out.put_u8(RECORD);
                out.put_varint(index);
                out.put_signed(record.time_ms.wrapping_sub(previous_ms));
                previous_ms = record.time_ms;
                encode_record(out, record);
            }
        }
    }
}

fn encode_record(out: &mut Vec<u8>, record: &Record) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.put_u8(
        flag(record.status != 0, HAS_STATUS)
            | flag(record.profile.is_some(), HAS_PROFILE)
            | flag(record.cores.is_some(), HAS_CORES),
    );
    if record.status != 0 {
        out.put_u8(record.status);
    }
    if let Some(profile) = record.profile {
        out.put_u8(profile);
    }
    if let Some(cores) = record.cores {
        out.put_f32(cores);
    }
    let present = record
        .values
        .iter()
        .enumerate()
        .filter(|(_, value)| !value.is_nan());
    out.put_varint(
        present
            .clone()
            .fold(0, |mask, (metric, _)| mask | 1u64 << (metric & 63)),
    );
    for (_, &value) in present {
        out.put_f32(value);
    }
}

/// Reads a group; the wall clock when it was written comes first.
pub(crate) fn decode(payload: &[u8], metrics: usize) -> Result<(i64, Vec<Operation>), DecodeError> {
    let mut take = Take::new(payload);
    let written_ms = take.signed()?;
    let name_count = take.count(2)?;
    let mut names = Vec::with_capacity(name_count);
    for _ in 0..name_count {
        names.push(
            EntityName::new(take.text()?)
                .map_err(|_| DecodeError("an entity has an impossible name"))?,
        );
    }
    let count = take.count(2)?;
    let mut operations = Vec::with_capacity(count);
    let mut previous_ms = written_ms;
    for _ in 0..count {
        let tag = take.u8()?;
        let name = names
            .get(take.small()? as usize)
            .ok_or(DecodeError("no such name in the group"))?
            .clone();
        match tag {
            RETIRE => operations.push(Operation::Retire(name)),
            CURSOR => {
                let length = take.count(1)?;
                let position = take.bytes(length)?.into();
                operations.push(Operation::Cursor(Cursor::from_parts(name, position)));
            }
            RECORD => {
                let time_ms = previous_ms.wrapping_add(take.signed()?);
                previous_ms = time_ms;
                operations.push(Operation::Record(decode_record(
                    &mut take, name, time_ms, metrics,
                )?));
            }
            _ => return Err(DecodeError("unknown operation")),
        }
    }
    take.finish()?;
    Ok((written_ms, operations))
}

fn decode_record(
    take: &mut Take<'_>,
    entity: EntityName,
    time_ms: i64,
    metrics: usize,
) -> Result<Record, DecodeError> {
    let flags = take.u8()?;
    let status = if flags & HAS_STATUS == 0 {
        0
    } else {
        take.u8()?
    };
    let profile = if flags & HAS_PROFILE == 0 {
        None
    } else {
        Some(take.u8()?)
    };
    let cores = if flags & HAS_CORES == 0 {
        None
    } else {
        Some(take.f32()?)
    };
    let mask = take.varint()?;
    if metrics < 64 && mask >> metrics != 0 {
        return Err(DecodeError("a record has more metrics than the schema"));
    }
    let mut values = vec![f32::NAN; metrics].into_boxed_slice();
    for (metric, value) in values.iter_mut().enumerate() {
        if mask & (1 << metric) != 0 {
            *value = take.f32()?;
        }
    }
    Ok(Record {
        entity,
        time_ms,
        status,
        profile,
        cores,
        values,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operation() -> impl Strategy<Value = Operation> {
        let value =
            prop_oneof![1 => Just(None), 3 => any::<i32>().prop_map(|v| Some(v as f32 / 7.0))];
        let record = (
            "[a-z]{1,3}",
            any::<i64>(),
            0u8..9,
            proptest::option::of(0u8..7),
            proptest::option::of(0.5f32..64.0),
            proptest::collection::vec(value, 14),
        );
        let record = record.prop_map(|(name, time_ms, status, profile, cores, values)| {
            let entity = EntityName::new(&name).expect("legal");
            let values = values.into_iter().map(|v| v.unwrap_or(f32::NAN)).collect();
            Operation::Record(Record {
                entity,
                time_ms,
                status,
                profile,
                cores,
                values,
            })
        });
        let cursor = ("[a-z]{1,3}", proptest::collection::vec(any::<u8>(), 0..9)).prop_map(
            |(source, position)| Operation::Cursor(Cursor::new(&source, position).expect("legal")),
        );
        let retire =
            "[a-z]{1,3}".prop_map(|name| Operation::Retire(EntityName::new(&name).expect("legal")));
        prop_oneof![9 => record, 1 => retire, 1 => cursor]
    }

    proptest! {
        #[test]
        fn groups_survive(written_ms: i64, operations in proptest::collection::vec(operation(), 0..20)) {
            let mut bytes = Vec::new();
            encode(&mut bytes, written_ms, &operations);
            let (time, read) = decode(&bytes, 14).expect("whole");
            prop_assert_eq!(time, written_ms);
            // NaN is not equal to itself; the texts are.
            prop_assert_eq!(format!("{read:?}"), format!("{operations:?}"));
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 14);
        }
    }
}
