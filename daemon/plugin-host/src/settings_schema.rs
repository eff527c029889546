//! A plugin's own settings, checked against the JSON Schema that travels in its file.
//!
//! Schemas come from outside: a schema may be wrong or hostile, so checking is bounded in depth and in findings, and
//! patterns run in linear time. The words that settings need are understood (draft 2020-12: `type enum const properties
//! required additionalProperties propertyNames minProperties items minItems maxItems uniqueItems minLength maxLength
//! pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf anyOf oneOf allOf not $ref $defs`); words that
//! only describe are passed over, and any other word makes the schema unusable, rather than unchecked.

use std::fmt::Write;

use regex::RegexBuilder;
use serde_json::{Map, Value};

const MAX_DEPTH: usize = 32;
const MAX_FINDINGS: usize = 10;
/// Steps of one check, all alternatives included.
const MAX_STEPS: usize = 100_000;
/// Of a compiled pattern; eighty characters of a negated class are a few hundred kilobytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Compiling a pattern costs as much as so many other steps.
const STEPS_PER_PATTERN: usize = 1_000;
const MAX_SHOWN_CHARS: usize = 60;
/// Words that say nothing about validity.
const DESCRIBING: [&str; 12] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
];

/// What is wrong, one sentence per finding, each with the place: `config.labels.team: …`.
pub fn check(schema: &Value, settings: &Value) -> Result<(), String> {
    let mut checker = Checker {
        root: schema,
        steps: 0,
        findings: Vec::new(),
    };
    checker.value(schema, settings, "config", 0)?;
    match checker.findings.as_slice() {
        [] => Ok(()),
        findings => Err(findings.join("; ")),
    }
}

struct Checker<'a> {
    root: &'a Value,
    steps: usize,
    findings: Vec<String>,
}

/// An error is a schema that cannot be used; what is wrong with the settings becomes a finding.
type Checked = Result<(), String>;

impl<'a> Checker<'a> {
    fn found(&mut self, place: &str, what: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(format!("{place} {what}"));
        }
    }

    fn value(&mut self, schema: &'a Value, value: &Value, place: &str, depth: usize) -> Checked {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            return Err("its schema, or the settings, are nested too deeply".into());
        }
        let words = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => {
                self.found(place, "is not allowed".into());
                return Ok(());
            }
            Value::Object(words) => words,
            _ => return Err("its schema is neither an object nor a boolean".into()),
        };
        for (word, wanted) in words {
            if !DESCRIBING.contains(&word.as_str()) {
                self.word(word, wanted, words, value, place, depth)?;
            }
        }
        Ok(())
    }

    fn word(
        &mut self,
        word: &str,
        wanted: &'a Value,
        words: &'a Map<String, Value>,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Checked {
        match word {
            "$ref" => {
                let pointer = wanted.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer.and_then(|pointer| self.root.pointer(pointer));
                let target = target.ok_or("its schema refers to what is not in it")?;
                self.value(target, value, place, depth + 1)
            }
            "type" => {
                let names: Vec<&str> = match wanted {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    name => name.as_str().into_iter().collect(),
                };
                if !names.iter().any(|name| is_type(value, name)) {
                    let what = format!("must be {}, not {}", names.join(" or "), show(value));
                    self.found(place, what);
                }
                Ok(())
            }
            "const" if wanted != value => {
                self.found(
                    place,
                    format!("must be {}, not {}", show(wanted), show(value)),
                );
                Ok(())
            }
            "enum" => {
                let allowed = wanted.as_array().ok_or("its schema's enum is no list")?;
                if !allowed.contains(value) {
                    let allowed: Vec<String> = allowed.iter().map(show).collect();
                    let what =
                        format!("must be one of {}, not {}", allowed.join(", "), show(value));
                    self.found(place, what);
                }
                Ok(())
            }
            "allOf" | "anyOf" | "oneOf" | "not" => {
                self.combination(word, wanted, value, place, depth)
            }
            "properties"
            | "required"
            | "additionalProperties"
            | "propertyNames"
            | "minProperties" => match value {
                Value::Object(object) => self.object(word, wanted, words, object, place, depth),
                _ => Ok(()),
            },
            "items" | "minItems" | "maxItems" | "uniqueItems" => match value {
                Value::Array(items) => self.array(word, wanted, items, place, depth),
                _ => Ok(()),
            },
            "minLength" | "maxLength" | "pattern" => match value {
                Value::String(text) => self.text(word, wanted, text, place),
                _ => Ok(()),
            },
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                match value.as_f64() {
                    Some(number) => self.number(word, wanted, number, place),
                    None => Ok(()),
                }
            }
            "const" => Ok(()),
            unknown => Err(format!(
                "its schema uses the word {unknown:?}, which Argus does not know"
            )),
        }
    }

    fn combination(
        &mut self,
        word: &str,
        wanted: &'a Value,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Checked {
        let single = std::slice::from_ref(wanted);
        let schemas = if word == "not" {
            single
        } else {
            wanted
                .as_array()
                .ok_or("its schema's alternatives are no list")?
        };
        if word == "allOf" {
            let mut each = schemas.iter();
            return each.try_for_each(|schema| self.value(schema, value, place, depth + 1));
        }
        let before = std::mem::take(&mut self.findings);
        let mut fitting = 0;
        let mut closest: Option<Vec<String>> = None;
        for schema in schemas {
            self.value(schema, value, place, depth + 1)?;
            let findings = std::mem::take(&mut self.findings);
            if findings.is_empty() {
                fitting += 1;
            } else if closest
                .as_ref()
                .is_none_or(|best| findings.len() < best.len())
            {
                closest = Some(findings);
            }
        }
        self.findings = before;
        match (word, fitting) {
            ("not", 1) => self.found(place, format!("must not be {}", show(value))),
            ("anyOf" | "oneOf", 0) => {
                let closest = closest.unwrap_or_default().join("; ");
                self.found(place, format!("fits none of the alternatives: {closest}"));
            }
            ("oneOf", 2..) => self.found(place, "fits several alternatives".into()),
            _ => {}
        }
        Ok(())
    }

    fn object(
        &mut self,
        word: &str,
        wanted: &'a Value,
        words: &'a Map<String, Value>,
        object: &Map<String, Value>,
        place: &str,
        depth: usize,
    ) -> Checked {
        let known = words.get("properties").and_then(Value::as_object);
        match word {
            "properties" => {
                for (name, schema) in wanted
                    .as_object()
                    .ok_or("its schema's properties are none")?
                {
                    if let Some(value) = object.get(name) {
                        self.value(schema, value, &format!("{place}.{name}"), depth + 1)?;
                    }
                }
            }
            "required" => {
                for name in wanted
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    if !object.contains_key(name) {
                        self.found(place, format!("lacks `{name}`"));
                    }
                }
            }
            "additionalProperties" => {
                let is_known = |name: &str| known.is_some_and(|known| known.contains_key(name));
                for (name, value) in object.iter().filter(|(name, _)| !is_known(name)) {
                    if *wanted == Value::Bool(false) {
                        let mut what = format!("has no setting `{}`", shorten(name));
                        let names: Vec<&str> = known
                            .into_iter()
                            .flat_map(Map::keys)
                            .map(String::as_str)
                            .collect();
                        if !names.is_empty() {
                            let _ = write!(what, "; there are {}", names.join(", "));
                        }
                        self.found(place, what);
                    } else {
                        self.value(
                            wanted,
                            value,
                            &format!("{place}.{}", shorten(name)),
                            depth + 1,
                        )?;
                    }
                }
            }
            "propertyNames" => {
                for name in object.keys() {
                    let text = Value::String(name.clone());
                    self.value(wanted, &text, &format!("{place}: the name"), depth + 1)?;
                }
            }
            _ if (object.len() as u64) < count(wanted)? => {
                self.found(place, format!("needs at least {wanted} entries"));
            }
            _ => {}
        }
        Ok(())
    }

    fn array(
        &mut self,
        word: &str,
        wanted: &'a Value,
        items: &[Value],
        place: &str,
        depth: usize,
    ) -> Checked {
        let length = items.len() as u64;
        match word {
            "items" => {
                for (index, item) in items.iter().enumerate() {
                    self.value(wanted, item, &format!("{place}[{index}]"), depth + 1)?;
                }
            }
            "minItems" if length < count(wanted)? => {
                self.found(place, format!("needs at least {wanted} items"));
            }
            "maxItems" if length > count(wanted)? => {
                self.found(place, format!("may have at most {wanted} items"));
            }
            "uniqueItems" if *wanted == Value::Bool(true) => {
                self.steps += items.len() * items.len();
                let doubled = items
                    .iter()
                    .enumerate()
                    .find(|(i, item)| items[..*i].contains(item));
                if let Some((_, item)) = doubled {
                    self.found(place, format!("names {} twice", show(item)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, word: &str, wanted: &Value, text: &str, place: &str) -> Checked {
        let length = text.chars().count() as u64;
        match word {
            "pattern" => {
                let pattern = wanted.as_str().ok_or("its schema's pattern is no text")?;
                self.steps += STEPS_PER_PATTERN;
                let regex = RegexBuilder::new(pattern)
                    .size_limit(MAX_PATTERN_BYTES)
                    .build();
                let regex = regex.map_err(|e| format!("its schema's pattern is unusable: {e}"))?;
                if !regex.is_match(text) {
                    self.found(place, format!("does not match {pattern:?}"));
                }
            }
            "minLength" if length < count(wanted)? => {
                self.found(place, format!("must have at least {wanted} characters"));
            }
            "maxLength" if length > count(wanted)? => {
                self.found(place, format!("must have at most {wanted} characters"));
            }
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self, word: &str, wanted: &Value, number: f64, place: &str) -> Checked {
        let limit = wanted.as_f64().ok_or("its schema's limit is no number")?;
        let wrong = match word {
            "minimum" if number < limit => format!("must be at least {limit}"),
            "maximum" if number > limit => format!("must be at most {limit}"),
            "exclusiveMinimum" if number <= limit => format!("must be more than {limit}"),
            "exclusiveMaximum" if number >= limit => format!("must be less than {limit}"),
            "multipleOf" if limit > 0.0 && (number / limit).fract() != 0.0 => {
                format!("must be a multiple of {limit}")
            }
            _ => return Ok(()),
        };
        self.found(place, format!("{wrong}, not {number}"));
        Ok(())
    }
}

fn count(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| "its schema's limit is no count".into())
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

fn show(value: &Value) -> String {
    shorten(&value.to_string())
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
