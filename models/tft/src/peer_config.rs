//! Reads the architecture of a pytorch-forecasting model from its JSON description.
//!
//! The layout is that of the parity fixtures: `hyper_parameters`, `variables`, `embedding_sizes`,
//! `embedding_paddings`; other keys describe how the data was prepared and are ignored here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::architecture::{Architecture, Embedding, Target, Variables};
use crate::errors::ArchitectureError;

impl Architecture {
    /// Derives the architecture from the description of a pytorch-forecasting `TemporalFusionTransformer`.
    ///
    /// # Errors
    /// Names the key that is missing or has the wrong type, and whatever [`Architecture::check`] finds.
    pub fn from_peer_config(config: &Value) -> Result<Self, ArchitectureError> {
        let root = Section::root(config)?;
        let hyper = root.section("hyper_parameters")?;
        let variables = root.section("variables")?;
        let hidden_size = hyper.integer("hidden_size")?;
        let role = |categoricals: &str, reals: &str| {
            Ok::<_, ArchitectureError>(Variables {
                categoricals: variables.names(categoricals)?,
                reals: variables.names(reals)?,
            })
        };
        let categorical_columns = variables.names("x_categoricals")?;
        let architecture = Self {
            direct: None,
            hidden_size,
            attention_heads: hyper.integer("attention_head_size")?,
            lstm_layers: hyper.integer("lstm_layers")?,
            dropout: hyper.optional_number("dropout")?.unwrap_or(0.0),
            continuous_size: hyper.integer("hidden_continuous_size")?,
            continuous_sizes: continuous_sizes(&hyper)?,
            max_encoder_length: hyper.integer("max_encoder_length")?,
            max_decoder_length: hyper.integer("max_prediction_length")?,
            causal_attention: hyper.optional_flag("causal_attention")?.unwrap_or(true),
            share_single_variable_networks: hyper
                .optional_flag("share_single_variable_networks")?
                .unwrap_or(false),
            mask_bias: hyper.optional_number("mask_bias")?.unwrap_or(-1e9),
            embeddings: embeddings(&root, &hyper, &categorical_columns, hidden_size)?,
            real_columns: variables.names("x_reals")?,
            categorical_columns,
            static_variables: role("static_categoricals", "static_reals")?,
            encoder_variables: role(
                "time_varying_categoricals_encoder",
                "time_varying_reals_encoder",
            )?,
            decoder_variables: role(
                "time_varying_categoricals_decoder",
                "time_varying_reals_decoder",
            )?,
            targets: targets(&hyper)?,
        };
        architecture.check()?;
        Ok(architecture)
    }
}

/// Parses the JSON that Python writes: `NaN`, `Infinity` and `-Infinity`, which JSON does not have, become null.
///
/// # Errors
/// When the text is not JSON even so.
pub(crate) fn parse_python_json(text: &[u8]) -> serde_json::Result<Value> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    let (mut in_string, mut escaped) = (false, false);
    while let Some((byte, tail)) = rest.split_first() {
        if !in_string && let Some(tail) = strip_non_number(rest) {
            plain.extend_from_slice(b"null");
            rest = tail;
            continue;
        }
        in_string ^= *byte == b'"' && !escaped;
        escaped = in_string && *byte == b'\\' && !escaped;
        plain.push(*byte);
        rest = tail;
    }
    serde_json::from_slice(&plain)
}

fn strip_non_number(text: &[u8]) -> Option<&[u8]> {
    let words: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    words.into_iter().find_map(|word| text.strip_prefix(word))
}

fn continuous_sizes(hyper: &Section<'_>) -> Result<BTreeMap<String, i64>, ArchitectureError> {
    let Some(sizes) = hyper.optional_section("hidden_continuous_sizes")? else {
        return Ok(BTreeMap::new());
    };
    sizes
        .map
        .keys()
        .map(|name| Ok((name.clone(), sizes.integer(name)?)))
        .collect()
}

/// Every entry of `embedding_sizes` is a table of the state dict, whether or not a role uses it.
fn embeddings(
    root: &Section<'_>,
    hyper: &Section<'_>,
    columns: &[String],
    hidden_size: i64,
) -> Result<Vec<Embedding>, ArchitectureError> {
    let sizes = match root.optional_section("embedding_sizes")? {
        Some(sizes) => sizes,
        None => hyper.section("embedding_sizes")?,
    };
    let either = |key: &str| {
        if root.has(key) {
            root.optional_names(key)
        } else {
            hyper.optional_names(key)
        }
    };
    let paddings = either("embedding_paddings")?.unwrap_or_default();
    let groups = match root.optional_section("categorical_groups")? {
        Some(groups) => Some(groups),
        None => hyper.optional_section("categorical_groups")?,
    };
    let embedding = |name: &String| {
        let (classes, size) = match &sizes.map[name] {
            Value::Array(pair) => match pair.as_slice() {
                [classes, size] => (classes.as_i64(), size.as_i64()),
                _ => (None, None),
            },
            only => (only.as_i64(), only.as_i64().map(default_embedding_size)),
        };
        let (Some(classes), Some(size)) = (classes, size) else {
            return Err(sizes.wrong(name, "[number of categories, width]"));
        };
        let group = groups.as_ref().filter(|groups| groups.has(name));
        let read = match group {
            Some(groups) => groups.names(name)?,
            None => columns
                .iter()
                .filter(|column| *column == name)
                .cloned()
                .collect(),
        };
        Ok(Embedding {
            name: name.clone(),
            columns: read,
            classes,
            size: size.min(hidden_size),
            zero_padding: group.is_none() && paddings.contains(name),
        })
    };
    sizes.map.keys().map(embedding).collect()
}

/// The width pytorch-forecasting gives an embedding of `classes` categories when none is stated.
pub(crate) fn default_embedding_size(classes: i64) -> i64 {
    if classes <= 2 {
        1
    } else {
        ((1.6 * (classes as f64).powf(0.56)).round() as i64).min(100)
    }
}

/// One target has an integer `output_size` and one list of quantiles; several have a list of sizes, and one list of
/// quantiles for all or one each.
fn targets(hyper: &Section<'_>) -> Result<Vec<Target>, ArchitectureError> {
    let sizes: Vec<i64> = match hyper.value("output_size")? {
        Value::Array(list) => list.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    };
    let names = match hyper.map.get("targets") {
        None | Some(Value::Null) => (0..sizes.len()).map(|i| format!("target_{i}")).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(_) => hyper.names("targets")?,
    };
    if sizes.is_empty() || (sizes.len() != 1 && sizes.len() != names.len()) {
        return Err(hyper.wrong("output_size", "an integer, or one integer for each target"));
    }
    let levels: Vec<Vec<f64>> = match hyper.map.get("quantiles") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) if list.iter().any(Value::is_array) => {
            list.iter().map(numbers).collect()
        }
        Some(one) => vec![numbers(one)],
    };
    let pick = |index: usize| {
        levels.get(index).or(if levels.len() == 1 {
            levels.first()
        } else {
            None
        })
    };
    let target = |(index, name): (usize, String)| {
        let outputs = sizes.get(index).copied().unwrap_or(sizes[0]);
        Target {
            name,
            outputs,
            quantiles: pick(index).cloned().unwrap_or_default(),
        }
    };
    Ok(names.into_iter().enumerate().map(target).collect())
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .map(|list| list.iter().filter_map(Value::as_f64).collect())
        .unwrap_or_default()
}

/// A JSON object with its path, for errors that say where.
struct Section<'a> {
    path: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn root(config: &'a Value) -> Result<Self, ArchitectureError> {
        match config {
            Value::Object(map) => Ok(Self { path: "", map }),
            _ => Err(ArchitectureError::WrongType {
                key: "config.json".to_owned(),
                expected: "an object",
            }),
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn wrong(&self, key: &str, expected: &'static str) -> ArchitectureError {
        ArchitectureError::WrongType {
            key: self.key(key),
            expected,
        }
    }

    fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn value(&self, key: &str) -> Result<&'a Value, ArchitectureError> {
        self.map
            .get(key)
            .ok_or_else(|| ArchitectureError::Missing { key: self.key(key) })
    }

    /// `None` for a key that is absent or null.
    fn optional(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn section(&self, key: &'a str) -> Result<Self, ArchitectureError> {
        let map = self
            .value(key)?
            .as_object()
            .ok_or_else(|| self.wrong(key, "an object"))?;
        Ok(Self { path: key, map })
    }

    fn optional_section(&self, key: &'a str) -> Result<Option<Self>, ArchitectureError> {
        self.optional(key).map(|_| self.section(key)).transpose()
    }

    fn integer(&self, key: &str) -> Result<i64, ArchitectureError> {
        self.value(key)?
            .as_i64()
            .ok_or_else(|| self.wrong(key, "an integer"))
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>, ArchitectureError> {
        self.optional(key)
            .map(|v| v.as_f64().ok_or_else(|| self.wrong(key, "a number")))
            .transpose()
    }

    fn optional_flag(&self, key: &str) -> Result<Option<bool>, ArchitectureError> {
        self.optional(key)
            .map(|v| v.as_bool().ok_or_else(|| self.wrong(key, "true or false")))
            .transpose()
    }

    fn names(&self, key: &str) -> Result<Vec<String>, ArchitectureError> {
        let wrong = || self.wrong(key, "a list of names");
        let list = self.value(key)?.as_array().ok_or_else(wrong)?;
        list.iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect()
    }

    fn optional_names(&self, key: &str) -> Result<Option<Vec<String>>, ArchitectureError> {
        self.optional(key).map(|_| self.names(key)).transpose()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]
mod tests {
    use super::*;

    #[test]
    fn python_numbers_that_are_none_become_null() {
        let text =
            br#"{"a": NaN, "b": [-Infinity, Infinity, 1.5], "c": "NaN \" Infinity \\", "d": NaN}"#;
        let value = parse_python_json(text).unwrap();
        let expected = serde_json::json!({"a": null, "b": [null, null, 1.5], "c": "NaN \" Infinity \\", "d": null});
        assert_eq!(value, expected);
        parse_python_json(b"{nan}").unwrap_err();
    }
}
