use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn fits(schema: &Value, settings: Value) {
    assert_eq!(check(schema, &settings), Ok(()), "{settings}");
}

#[track_caller]
fn refused(schema: &Value, settings: Value, expected: &str) {
    let error = check(schema, &settings).expect_err("refused");
    assert_eq!(error, expected);
}

#[test]
fn settings_of_a_chat() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Chat",
        "type": "object",
        "properties": {
            "channel": { "type": "string", "pattern": "^#", "maxLength": 20 },
            "retries": { "type": "integer", "minimum": 0, "maximum": 5 },
            "level": { "$ref": "#/$defs/level" },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "hosts": { "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true },
            "ratio": { "type": ["number", "null"], "exclusiveMinimum": 0 },
            "auth": { "oneOf": [
                { "type": "object", "required": ["user"], "properties": { "user": { "type": "string" } },
                  "additionalProperties": false },
                { "type": "object", "required": ["token"] },
            ] },
        },
        "required": ["channel"],
        "additionalProperties": false,
        "$defs": { "level": { "enum": ["warning", "critical"] } },
    });
    fits(&schema, json!({ "channel": "#ops" }));
    fits(
        &schema,
        json!({
            "channel": "#ops", "retries": 5, "level": "critical", "labels": { "a": "b" }, "hosts": ["x", "y"],
            "ratio": null, "auth": { "user": "me" },
        }),
    );
    refused(&schema, json!({}), "config lacks `channel`");
    refused(
        &schema,
        json!({ "channel": "ops" }),
        "config.channel does not match \"^#\"",
    );
    refused(
        &schema,
        json!({ "channel": 3 }),
        "config.channel must be string, not 3",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "chanel": 1 }),
        "config has no setting `chanel`; there are channel, retries, level, labels, hosts, ratio, auth",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "retries": 6 }),
        "config.retries must be at most 5, not 6",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "retries": 1.5 }),
        "config.retries must be integer, not 1.5",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "level": "loud" }),
        "config.level must be one of \"warning\", \"critical\", not \"loud\"",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "labels": { "a": 1 } }),
        "config.labels.a must be string, not 1",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "hosts": ["x", "x"] }),
        "config.hosts names \"x\" twice",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "hosts": [] }),
        "config.hosts needs at least 1 items",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "ratio": 0 }),
        "config.ratio must be more than 0, not 0",
    );
    refused(
        &schema,
        json!({ "channel": "#o", "auth": {} }),
        "config.auth fits none of the alternatives: config.auth lacks `user`",
    );
}

#[test]
fn a_schema_that_cannot_be_used_says_so() {
    for (schema, fragment) in [
        (json!({ "if": {} }), "the word \"if\""),
        (json!({ "$ref": "#/$defs/none" }), "not in it"),
        (
            json!({ "$ref": "https://elsewhere.example/x" }),
            "not in it",
        ),
        (json!({ "$ref": "#" }), "too deeply"),
        (json!(3), "neither"),
        (
            json!({ "properties": { "a": { "pattern": "(" } } }),
            "pattern is unusable",
        ),
        (
            json!({ "properties": { "a": { "pattern": "((a{1,300}){1,300}){1,300}" } } }),
            "pattern is unusable",
        ),
    ] {
        let error = check(&schema, &json!({ "a": "b" })).expect_err("unusable");
        assert!(error.contains(fragment), "{error}");
    }
}

#[test]
fn alternatives_of_alternatives_end() {
    let mut schema = json!({ "type": "string" });
    for _ in 0..20 {
        schema = json!({ "anyOf": [schema.clone(), schema.clone()] });
        if schema.to_string().len() > 1_000_000 {
            break;
        }
    }
    // Doubled at every level: either checked within the bounds or given up, never stuck.
    let _ = check(&schema, &json!(1));
}

proptest! {
    #[test]
    fn no_schema_panics(text in r#"[{}\[\]":,a-z$#/0-9 ]{0,60}"#, word in "(type|enum|properties|items|pattern|minItems|anyOf|required)") {
        let inner: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let _ = check(&json!({ word: inner.clone() }), &json!({ "a": [inner, 1.5, null, "x"] }));
    }
}
