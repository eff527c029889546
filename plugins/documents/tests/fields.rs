//! What is read of a document's text, against the same over a tree of it.

mod oracle;

use argus_documents::{Condition, Fields, Found, Mapping, MappingConfig, Merge, Rule};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn read(text: &str, path: &str) -> Option<Value> {
    let mut found = Found::default();
    Fields::new([path]).read(text, &mut found).expect("JSON");
    let raw = found.at(0)?;
    Some(serde_json::from_str(raw.json()).expect("JSON"))
}

#[test]
fn paths_go_through_nesting_and_dotted_names() {
    for document in [
        r#"{"a": {"b": {"c": 1}}}"#,
        r#"{"a.b.c": 1}"#,
        r#"{"a.b": {"c": 1}}"#,
        r#"{"a": {"b.c": [1]}}"#,
        r#"{"a": [{"b": {"c": [[1]]}}]}"#,
        r#"[{"a": {"b": {"c": 1}}}]"#,
        r#"{"a": {"x": 2}, "a.b": {"c": 1}}"#,
        r#"{"\u0061": {"b": {"c" : 1 }}}"#,
        // The whole name counts before a part of it, a shorter part before a longer one, wherever they stand.
        r#"{"a": {"b": {"c": 2}}, "a.b": {"c": 3}, "a.b.c": 1}"#,
        r#"{"a.b.c": 1, "a": {"b": {"c": 2}}, "a.b": {"c": 3}}"#,
        r#"{"a.b": {"c": 3}, "a": {"b": {"c": 2}, "b.c": 1}}"#,
        r#"{"a.b.c": null, "a.b": {"c": 1}}"#,
    ] {
        assert_eq!(read(document, "a.b.c"), Some(json!(1)), "{document}");
    }
    for document in [
        r#"{}"#,
        r#"[]"#,
        r#"{"a": {"b": {"c": null}}}"#,
        r#"{"a": {"b": {"c": [null]}}}"#,
        r#"{"a": {"b": 3}}"#,
        r#"{"a": "b.c"}"#,
        r#"{"a": [{"b": {"c": 1}}, {}]}"#,
        r#"{"a.b.c.d": 1, "b.c": 1, "a.c": 1}"#,
    ] {
        assert_eq!(read(document, "a.b.c"), None, "{document}");
    }
}

#[test]
fn a_path_may_lie_within_another() {
    let fields = Fields::new(["host", "host.name", "host"]);
    let mut found = Found::default();
    for (document, host, name) in [
        (r#"{"host":"h"}"#, Some(r#""h""#), None),
        (
            r#"{"host":{"name":"n"}}"#,
            Some(r#"{"name":"n"}"#),
            Some(r#""n""#),
        ),
        (
            r#"{"host":[{"name":"n"}]}"#,
            Some(r#"{"name":"n"}"#),
            Some(r#""n""#),
        ),
        (r#"{"host.name":"n"}"#, None, Some(r#""n""#)),
    ] {
        fields.read(document, &mut found).expect("JSON");
        let at = |path| found.at(path).map(|raw| raw.json());
        assert_eq!((at(0), at(1), at(2)), (host, name, None), "{document}");
    }
}

/// Compound ids of MongoDB are other ids if their fields are reordered.
#[test]
fn what_is_kept_is_the_documents_own_text() {
    let mut found = Found::default();
    let text = r#"{"x":1,"_id":{"b":1,"a":2.50}}"#;
    Fields::new(["_id"]).read(text, &mut found).expect("JSON");
    let id = found.at(0).expect("an id");
    assert_eq!(id.json(), r#"{"b":1,"a":2.50}"#);
}

/// As much as fits a document: neither the stack nor the time of a call is used up by it.
#[test]
fn what_nests_for_ever_is_nothing() {
    let deep = format!("{}1{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    for path in ["host", "host.name"] {
        let text = format!(r#"{{"host":{deep},"other":7}}"#);
        let fields = Fields::new([path, "other"]);
        let mut found = Found::default();
        fields.read(&text, &mut found).expect("JSON");
        assert!(found.at(1).is_some(), "{path}");
    }
    assert_eq!(
        read(r#"{"host":[[[{"name":[["a"]]}]]]}"#, "host.name"),
        Some(json!("a"))
    );
}

/// JSON, but no number and no text: it is nothing, and the rest of the document counts.
#[test]
fn what_nothing_can_hold_harms_nobody() {
    for odd in ["1e999", "-1e999", r#""\ud800""#, r#"{"\ud800":1}"#] {
        for document in [
            format!(r#"{{"x":{odd},"a":{{"b":1}}}}"#),
            format!(r#"{{"a":{{"x":[{odd},{odd}],"b":1}}}}"#),
            format!(r#"{{"a":{odd},"a.b":1}}"#),
            format!(r#"{{"a":[{odd}],"a.b":1}}"#),
            format!(r#"{{"a":[{odd},{{"b":2}}],"a.b":1}}"#),
            format!(r#"{{"\ud800":{odd},"a":{{"\udc00.b":2,"b":1}}}}"#),
        ] {
            assert_eq!(read(&document, "a.b"), Some(json!(1)), "{document}");
        }
    }
    let mut found = Found::default();
    let text = r#"{"a":{"b":1e999,"c":"\ud800"}}"#;
    let fields = Fields::new(["a.b", "a.c"]);
    fields.read(text, &mut found).expect("JSON");
    assert_eq!(found.at(0).expect("a number").number(), None);
    assert_eq!(found.at(1).expect("text").text(), None);
}

#[test]
fn what_is_no_json_is_an_error() {
    let (fields, mut found) = (Fields::new(["a.b", "a"]), Found::default());
    for text in [
        "",
        "{",
        r#"{"a":{"b":}}"#,
        r#"{"a":1}{"#,
        r#"{"a":tru}"#,
        r#"{"x":[1,}"#,
    ] {
        assert!(fields.read(text, &mut found).is_err(), "{text}");
    }
}

const NAMES: [&str; 4] = ["a", "b", "host", "pct"];

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("."))
}

fn document() -> impl Strategy<Value = Value> {
    let number = |text: &str| json!({ "$numberDouble": text });
    let leaf = prop_oneof![
        4 => (-4000..4000_i32).prop_map(|n| json!(f64::from(n) / 8.0)),
        2 => any::<i32>().prop_map(|n| json!(n)),
        2 => prop::sample::select(&["a", "b", "7", "e\"s\\c\n", "high", "inf"][..]).prop_map(|text| json!(text)),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(|is| json!(is)),
        1 => Just(number("2.5")),
        1 => Just(number("NaN")),
        1 => Just(json!([1, 2])),
    ];
    let tree = leaf.prop_recursive(4, 40, 5, |inner| {
        let object = prop::collection::vec((path(), inner.clone()), 0..5);
        prop_oneof![
            5 => object.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    });
    prop::collection::vec((path(), tree), 0..7)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn condition() -> impl Strategy<Value = Condition> {
    (
        path(),
        prop::collection::vec(prop::sample::select(&["a", "b", "e\"s\\c\n"][..]), 1..3),
    )
        .prop_map(|(path, is)| Condition {
            path,
            is: is.into_iter().map(str::to_owned).collect(),
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    let merge = prop::sample::select(&[Merge::First, Merge::Max, Merge::Sum][..]);
    (
        prop::sample::select(&["m1", "m2", "m3"][..]),
        path(),
        prop::collection::vec(path(), 0..2),
        prop::option::of(path()),
        prop::option::of(condition()),
        prop::option::of(condition()),
        merge,
    )
        .prop_map(
            |(metric, path, plus, divide_by, only, unless, merge)| Rule {
                metric: metric.to_owned(),
                path,
                plus,
                divide_by,
                unit: None,
                only,
                unless,
                merge,
            },
        )
}

fn mapping() -> impl Strategy<Value = MappingConfig> {
    let paths = || prop::collection::vec(path(), 0..3);
    let server = prop::collection::vec(path(), 1..3);
    (
        server,
        paths(),
        paths(),
        prop::collection::vec(rule(), 1..6),
    )
        .prop_map(|(server, status, cores, metrics)| MappingConfig {
            server,
            status,
            cores,
            metrics,
            ..MappingConfig::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_and_tree_give_the_same(config in mapping(), documents in prop::collection::vec(document(), 1..8)) {
        let mapping = Mapping::new(config.clone()).expect("a mapping");
        let fields = Fields::new(mapping.paths());
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        let mut found = Found::default();
        for (document, text) in documents.iter().zip(&texts) {
            fields.read(text, &mut found).expect("JSON");
            let ours = mapping.apply(&found).map(|mapped| {
                mapped.map(|mapped| oracle::Mapped {
                    server: mapped.server,
                    metrics: mapped
                        .metrics
                        .into_iter()
                        .map(|(metric, value, merge)| (mapping.metrics()[metric].clone(), value, merge))
                        .collect(),
                    fields: mapped
                        .fields
                        .into_iter()
                        .map(|(name, json)| (name, serde_json::from_str(&json).expect("JSON")))
                        .collect(),
                })
            });
            prop_assert_eq!(ours, oracle::apply(&config, document), "{}", text);
        }
    }
}
