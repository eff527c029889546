//! Mapping over a tree of the whole document: slower, and said differently. The daemon's own reads a document's text.

use argus_documents::value::{number, shown};
use argus_documents::{Condition, MappingConfig, Merge, Rule};
use serde_json::Value;

/// The value at a path: the whole path as one name, else the rest of it in what lies at a shorter, then a longer part of
/// it. A list of one is its element, null is nothing.
pub fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let Value::Object(fields) = alone(document) else {
        return None;
    };
    let whole = fields.get(path).map(alone).filter(|found| !found.is_null());
    whole.or_else(|| {
        let dots = path.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        dots.map(|(dot, _)| dot)
            .find_map(|dot| at(fields.get(&path[..dot])?, &path[dot + 1..]))
    })
}

fn alone(value: &Value) -> &Value {
    match value {
        Value::Array(one) if one.len() == 1 => alone(&one[0]),
        value => value,
    }
}

/// What a mapping without a layout and units makes of a document: server, metrics by name, other fields.
#[derive(Debug, PartialEq)]
pub struct Mapped {
    pub server: String,
    pub metrics: Vec<(String, f64, Merge)>,
    pub fields: Vec<(&'static str, Value)>,
}

pub fn apply(config: &MappingConfig, document: &Value) -> Result<Option<Mapped>, String> {
    let mut metrics: Vec<(String, f64, Merge)> = Vec::new();
    for rule in &config.metrics {
        let is_known = metrics.iter().any(|(name, ..)| *name == rule.metric);
        if !is_known && let Some(value) = value(rule, document)? {
            metrics.push((rule.metric.clone(), value, rule.merge));
        }
    }
    let first = |paths: &[String]| paths.iter().find_map(|path| at(document, path)).cloned();
    let fields: Vec<_> = [
        ("status", &config.status),
        ("profile", &config.profile),
        ("cores", &config.cores),
    ]
    .into_iter()
    .filter_map(|(name, paths)| Some((name, first(paths)?)))
    .collect();
    if metrics.is_empty() && fields.iter().all(|(name, _)| *name != "status") {
        return Ok(None);
    }
    for path in &config.server {
        if let Some(found) = at(document, path) {
            let server = found.as_str().ok_or_else(|| needs(path, found, "text"))?;
            let server = server.to_owned();
            return Ok(Some(Mapped {
                server,
                metrics,
                fields,
            }));
        }
    }
    let paths = config.server.join("`, no `");
    Err(format!("names no server: it has no `{paths}`"))
}

fn value(rule: &Rule, document: &Value) -> Result<Option<f64>, String> {
    let number_at = |path: &str| -> Result<Option<f64>, String> {
        let Some(found) = at(document, path) else {
            return Ok(None);
        };
        number(found)
            .map(Some)
            .ok_or_else(|| needs(path, found, "a number"))
    };
    let holds = |condition: &Condition| {
        let found = at(document, &condition.path).and_then(Value::as_str);
        found.is_some_and(|found| condition.is.iter().any(|is| is == found))
    };
    if !rule.only.as_ref().is_none_or(holds) || rule.unless.as_ref().is_some_and(holds) {
        return Ok(None);
    }
    let Some(mut value) = number_at(&rule.path)? else {
        return Ok(None);
    };
    for path in &rule.plus {
        value += number_at(path)?.unwrap_or(0.0);
    }
    let Some(divisor) = &rule.divide_by else {
        return Ok(Some(value));
    };
    let divisor = number_at(divisor)?.filter(|divisor| *divisor != 0.0);
    Ok(divisor.map(|divisor| value / divisor))
}

fn needs(path: &str, found: &Value, what: &str) -> String {
    format!("has {} at `{path}`, where {what} is needed", shown(found))
}
