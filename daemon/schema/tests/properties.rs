//! For whatever a stranger sends: no panic, and what is accepted satisfies the schema.

use argus_schema::{Limits, Mapping, RecordParser, Schema};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

const NOW_MS: i64 = 1_795_262_400_000;

/// Field names that mean something, and some that do not.
fn field_name() -> impl Strategy<Value = String> {
    let mut names: Vec<String> = [
        "server_name",
        "timestamp",
        "status",
        "state",
        "profile",
        "cores",
        "host",
        "@timestamp",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(
        Schema::server()
            .metrics
            .iter()
            .map(|metric| metric.name.clone()),
    );
    names.extend(
        Mapping::default()
            .aliases
            .iter()
            .map(|alias| alias.name.clone()),
    );
    prop_oneof![8 => prop::sample::select(names), 1 => any::<String>()]
}

fn leaf() -> impl Strategy<Value = Value> {
    let texts = [
        "NaN",
        "1e999",
        "-inf",
        "45.2",
        "healthy",
        "database",
        "2026-11-21T11:00:00Z",
        "2026-11-21 11:00:00",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
        (0.0..120.0_f64).prop_map(Value::from),
        (NOW_MS - 1000..NOW_MS + 400_000).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((field_name(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Objects of any content, often with a good name and time so that the rest is looked at.
fn object() -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop::collection::vec((field_name(), json()), 0..12);
    (fields, any::<bool>()).prop_map(|(fields, is_named)| {
        let mut object: Map<String, Value> = fields.into_iter().collect();
        if is_named {
            object.insert("server_name".to_owned(), "web-1".into());
            object.insert("timestamp".to_owned(), NOW_MS.into());
        }
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn accepted_records_satisfy_the_schema(object in object(), mbps_factor in 0.0..1e6_f64) {
        let schema = Schema::server();
        let mapping = Mapping { mbps_factor, ..Mapping::default() };
        let parser = RecordParser::new(Schema::server(), mapping, Limits::default());
        match parser.parse(&object, NOW_MS) {
            Ok((record, notes)) => {
                prop_assert_eq!(record.values.len(), schema.metrics.len());
                for (metric, value) in schema.metrics.iter().zip(&record.values) {
                    let in_range = metric.stored(f64::from(*value)).is_some();
                    prop_assert!(value.is_nan() || in_range, "{} is {value}", metric.name);
                }
                prop_assert!(record.status != 0 || record.values.iter().any(|value| !value.is_nan()));
                prop_assert!(usize::from(record.status) <= schema.statuses.len());
                prop_assert!(record.profile.is_none_or(|code| usize::from(code) < schema.profiles.len()));
                prop_assert!(record.cores.is_none_or(|cores| cores > 0.0 && cores <= 1e6));
                prop_assert!((0..=NOW_MS + 300_000).contains(&record.time_ms));
                prop_assert!((notes.unknown_fields + notes.shadowed_fields) as usize <= object.len());
            }
            Err(rejection) => {
                prop_assert!(rejection.message.len() < 1500, "{}", rejection.message);
                prop_assert!(!rejection.message.chars().any(char::is_control), "{:?}", rejection.message);
            }
        }
    }
}
