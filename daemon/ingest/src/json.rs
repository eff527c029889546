//! The JSON forms of records.
//!
//! `{"records":[…]}`, a bare array, one object, or one object per line (NDJSON). The body is scanned once for the bounds
//! of its records, which are then parsed one after the other, so that memory holds one record's tree at a time. A fault
//! of syntax refuses the body; a fault inside a well-formed record refuses that record.

use std::fmt;

use argus_schema::{Record, RecordParser, RejectCode, Rejection};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::BodyError;

/// What a readable body held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Records in the body, good and bad.
    pub received: usize,
    /// The good ones, each with its position in the body, in order.
    pub records: Vec<(usize, Record)>,
    /// The bad ones, in order.
    pub rejected: Vec<Rejection>,
    /// Fields of good records that nothing knows; not stored.
    pub unknown_fields: u64,
    /// Fields of good records that gave way to another name of the same metric.
    pub shadowed_fields: u64,
    /// Good records whose time had no zone and was taken as UTC.
    pub zoneless_timestamps: u64,
    /// Good records that named a profile which the schema lacks; taken as absent.
    pub unknown_profiles: u64,
}

/// Reads the records of a body in any of the four forms. `now_ms` is the daemon's clock.
///
/// # Errors
/// When the body as a whole is unusable; then nothing of it may be stored.
pub fn decode_json(
    body: &[u8],
    parser: &RecordParser,
    max_records: usize,
    now_ms: i64,
) -> Result<Decoded, BodyError> {
    let text = std::str::from_utf8(body).map_err(|error| BodyError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    // Some Windows tools begin UTF-8 files with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut batch = Batch {
        parser,
        max_records,
        now_ms,
        decoded: Decoded::default(),
    };
    let mut documents = 0_usize;
    let mut is_lone_object = false;
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|error| not_json(&error, text))?;
        documents += 1;
        is_lone_object = batch.add_document(document)? && documents == 1;
    }
    if documents == 0 {
        return Err(BodyError::Empty);
    }
    let names_no_server = |rejection: &Rejection| rejection.code == RejectCode::MissingServer;
    if is_lone_object && batch.decoded.rejected.iter().any(names_no_server) {
        return Err(BodyError::NoRecords);
    }
    Ok(batch.decoded)
}

struct Batch<'p> {
    parser: &'p RecordParser,
    max_records: usize,
    now_ms: i64,
    decoded: Decoded,
}

impl Batch<'_> {
    /// Adds the records of one top-level value; tells whether that value was itself taken for a record.
    fn add_document(&mut self, document: &RawValue) -> Result<bool, BodyError> {
        match first_byte(document) {
            b'[' => self.add_array(document).map(|()| false),
            b'{' => match records_of(document)? {
                Some(records) => self.add_array(records).map(|()| false),
                None => self.add(document).map(|()| true),
            },
            first => Err(BodyError::WrongShape { found: kind(first) }),
        }
    }

    fn add_array(&mut self, array: &RawValue) -> Result<(), BodyError> {
        let first = first_byte(array);
        if first != b'[' {
            return Err(BodyError::WrongShape {
                found: records_kind(first),
            });
        }
        let mut outcome = Ok(());
        let visitor = EachElement(|record: &RawValue| {
            outcome = self.add(record);
            outcome.is_ok()
        });
        let scanned = serde_json::Deserializer::from_str(array.get()).deserialize_seq(visitor);
        outcome.and_then(|()| scanned.map_err(|error| not_json(&error, array.get())))
    }

    fn add(&mut self, record: &RawValue) -> Result<(), BodyError> {
        let index = self.decoded.received;
        if index >= self.max_records {
            return Err(BodyError::TooManyRecords {
                limit: self.max_records,
            });
        }
        self.decoded.received += 1;
        let parsed = object_of(record).and_then(|object| self.parser.parse(&object, self.now_ms));
        match parsed {
            Ok((record, notes)) => {
                self.decoded.records.push((index, record));
                self.decoded.unknown_fields += u64::from(notes.unknown_fields);
                self.decoded.shadowed_fields += u64::from(notes.shadowed_fields);
                self.decoded.zoneless_timestamps += u64::from(notes.zoneless_timestamp);
                self.decoded.unknown_profiles += u64::from(notes.unknown_profile);
            }
            Err(rejection) => self.decoded.rejected.push(Rejection { index, ..rejection }),
        }
        Ok(())
    }
}

/// The `records` of an object, unparsed.
fn records_of(object: &RawValue) -> Result<Option<&RawValue>, BodyError> {
    let scanned = serde_json::Deserializer::from_str(object.get()).deserialize_map(FindRecords);
    match scanned {
        Ok(Found::Once(records)) => Ok(Some(records)),
        Ok(Found::No) => Ok(None),
        Ok(Found::Repeatedly) => Err(BodyError::RepeatedRecords),
        // A key with half a surrogate pair: no fault of the body's syntax, so the record answers for it.
        Err(_) => Ok(None),
    }
}

/// Parses one record's object. Where a value cannot be represented the fault is the record's, not the body's.
fn object_of(record: &RawValue) -> Result<Map<String, Value>, Rejection> {
    let reject = |code, message: String| Rejection {
        index: 0,
        code,
        server: None,
        field: None,
        message,
    };
    let first = first_byte(record);
    if first != b'{' {
        return Err(reject(
            RejectCode::NotAnObject,
            format!("is {}; an object is needed", kind(first)),
        ));
    }
    match serde_json::from_str(record.get()) {
        Ok(object) => Ok(object),
        Err(_) => object_with_overflows(record).map_err(|error| {
            reject(
                RejectCode::Malformed,
                format!("cannot be read: {}", without_position(&error)),
            )
        }),
    }
}

/// Reads an object that has numbers beyond the range of a double, such as `1e999`, keeping those as text: the parser
/// then names field and value as it does for any other infinite number.
fn object_with_overflows(record: &RawValue) -> Result<Map<String, Value>, serde_json::Error> {
    let fields: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(record.get())?;
    let read = |(name, raw): (String, &RawValue)| match first_byte(raw) {
        b'-' | b'0'..=b'9' => {
            let value = serde_json::from_str(raw.get())
                .unwrap_or_else(|_| Value::String(raw.get().to_owned()));
            Ok((name, value))
        }
        _ => Ok((name, serde_json::from_str(raw.get())?)),
    };
    fields.into_iter().map(read).collect()
}

fn first_byte(value: &RawValue) -> u8 {
    value
        .get()
        .bytes()
        .find(|byte| !byte.is_ascii_whitespace())
        .unwrap_or(b' ')
}

fn kind(first_byte: u8) -> &'static str {
    match first_byte {
        b'"' => "text",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        b'[' => "an array",
        b'{' => "an object",
        _ => "a number",
    }
}

fn records_kind(first_byte: u8) -> &'static str {
    match first_byte {
        b'"' => "text under `records`",
        b't' | b'f' => "a boolean under `records`",
        b'n' => "null under `records`",
        b'{' => "an object under `records`",
        _ => "a number under `records`",
    }
}

fn not_json(error: &serde_json::Error, text: &str) -> BodyError {
    let at_fault = text
        .lines()
        .nth(error.line().saturating_sub(1))
        .unwrap_or_default();
    let rest = at_fault
        .get(error.column().saturating_sub(1)..)
        .unwrap_or_default();
    let is_bare_constant = ["NaN", "Infinity", "Inf", "nan", "inf"]
        .iter()
        .any(|word| rest.starts_with(word));
    let hint = if is_bare_constant {
        " (NaN and Infinity are not JSON; send null)"
    } else {
        ""
    };
    BodyError::NotJson {
        line: error.line(),
        column: error.column(),
        problem: format!("{}{hint}", without_position(error)),
    }
}

/// serde_json's message without its trailing " at line 1 column 2".
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message
        .strip_suffix(&position)
        .unwrap_or(&message)
        .to_owned()
}

/// Hands every element of an array to a function, until that returns false (the array then reads as not ended).
struct EachElement<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> bool> Visitor<'de> for EachElement<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !(self.0)(element) {
                break;
            }
        }
        Ok(())
    }
}

enum Found<'a> {
    No,
    Once(&'a RawValue),
    Repeatedly,
}

/// Looks for the key `records` of an object.
struct FindRecords;

impl<'de> Visitor<'de> for FindRecords {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::No;
        while let Some(is_records) = fields.next_key_seed(IsRecords)? {
            if !is_records {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let records = fields.next_value()?;
            found = match found {
                Found::No => Found::Once(records),
                Found::Once(_) | Found::Repeatedly => Found::Repeatedly,
            };
        }
        Ok(found)
    }
}

/// Whether a key is `records`, without keeping it.
struct IsRecords;

impl<'de> DeserializeSeed<'de> for IsRecords {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for IsRecords {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == "records")
    }
}
