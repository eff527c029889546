//! `scalers`, `categories` and `target_normalisers` of a description.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::architecture::Architecture;
use crate::entity_table::MetricScales;
use crate::parity::normaliser_of;
use crate::transformation::Transformation;

/// A `StandardScaler`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scaler {
    pub(super) mean: f64,
    pub(super) scale: f64,
}

/// The normalisers of all targets.
#[derive(Debug)]
pub(super) struct Normalisers {
    tables: BTreeMap<String, MetricScales>,
    group: Option<String>,
    entities: usize,
}

impl Normalisers {
    /// By metric.
    pub(super) fn tables(&self) -> BTreeMap<String, MetricScales> {
        self.tables.clone()
    }

    /// The column that tells entities apart.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Entities in the tables.
    pub(super) fn entities(&self) -> usize {
        self.entities
    }
}

/// The scaler of a real column.
pub(super) fn scaler(description: &Value, name: &str) -> Result<Scaler, String> {
    let entry = description
        .get("scalers")
        .and_then(|scalers| scalers.get(name));
    let number = |key: &str| entry.and_then(|entry| entry.get(key)?.as_f64());
    let (mean, scale) = (number("mean"), number("scale"));
    match (mean, scale) {
        (Some(mean), Some(scale)) if mean.is_finite() && scale.is_finite() && scale > 0.0 => {
            Ok(Scaler { mean, scale })
        }
        _ => Err(format!(
            "`scalers.{name}` must hold the `mean` and the positive `scale` of a StandardScaler"
        )),
    }
}

/// The codes of a categorical column.
pub(super) fn codes(description: &Value, name: &str) -> Result<BTreeMap<String, i64>, String> {
    let map = description
        .get("categories")
        .and_then(|categories| categories.get(name)?.as_object())
        .ok_or_else(|| format!("`categories.{name}` must map each class to its code"))?;
    let code = |(class, code): (&String, &Value)| {
        let code = code
            .as_i64()
            .ok_or_else(|| format!("`categories.{name}.{class}` must be an integer"))?;
        Ok((class.clone(), code))
    };
    map.iter().map(code).collect()
}

/// Reads the normaliser of each target.
pub(super) fn read(
    description: &Value,
    architecture: &Architecture,
) -> Result<Normalisers, String> {
    let all = [
        "target_normalisers",
        "target_normalizers",
        "target_normaliser",
        "target_normalizer",
    ]
    .iter()
    .find_map(|key| description.get(key))
    .ok_or("`target_normalisers` is missing: without it forecasts have no unit")?;
    let mut normalisers = Normalisers {
        tables: BTreeMap::new(),
        group: None,
        entities: 0,
    };
    for (index, target) in architecture.targets.iter().enumerate() {
        let one = normaliser_of(all, index, &target.name);
        let told =
            |problem: String| format!("the normaliser of target `{}` {problem}", target.name);
        let (scales, group) = group_normaliser(description, one, index).map_err(told)?;
        if let MetricScales::ByEntity { entities, .. } = &scales {
            normalisers.entities = normalisers.entities.max(entities.len());
        }
        normalisers.tables.insert(target.name.clone(), scales);
        normalisers.group = normalisers.group.or(group);
    }
    Ok(normalisers)
}

/// A `GroupNormalizer` with its fitted table.
fn group_normaliser(
    description: &Value,
    normaliser: &Value,
    index: usize,
) -> Result<(MetricScales, Option<String>), String> {
    let kind = normaliser
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("nothing");
    if kind != "GroupNormalizer" {
        return Err(format!("is {kind}; GroupNormalizer can be imported"));
    }
    let method = normaliser.get("method").and_then(Value::as_str);
    if method.is_some_and(|method| method != "standard") {
        return Err(format!(
            "has the method {method:?}; `standard` can be imported"
        ));
    }
    let transformation = match normaliser.get("transformation") {
        Some(Value::Array(list)) => list.get(index).unwrap_or(&Value::Null),
        Some(one) => one,
        None => &Value::Null,
    };
    let name = if transformation.is_null() {
        Some("")
    } else {
        transformation.as_str()
    };
    let transformation = name
        .and_then(Transformation::from_name)
        .ok_or_else(|| format!("has the unknown transformation {transformation}"))?;
    let groups: Vec<&str> = normaliser
        .get("groups")
        .and_then(Value::as_array)
        .map(|groups| groups.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let usual = match normaliser.get("missing") {
        Some(pair) => pair_of(pair),
        None => None,
    };
    let usual = usual.ok_or("needs `missing`: [centre, scale] of an unknown group")?;
    let [group] = groups[..] else {
        return Err(format!("has {} groups; one can be imported", groups.len()));
    };
    let table = normaliser
        .get("table")
        .and_then(Value::as_object)
        .ok_or("needs `table`: [centre, scale] by code of the group")?;
    let names = names_by_code(description, group, table.keys())?;
    let mut entities = BTreeMap::new();
    for (code, pair) in table {
        let pair =
            pair_of(pair).ok_or_else(|| format!("has no [centre, scale] at table.{code}"))?;
        let Some(name) = names.get(code) else {
            return Err(format!(
                "has the code {code} in its table, which `categories.{group}` does not have"
            ));
        };
        entities.insert(name.clone(), pair);
    }
    let scales = MetricScales::ByEntity {
        transformation,
        centered: normaliser
            .get("center")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        entities,
        usual,
    };
    Ok((scales, Some(group.to_owned())))
}

fn pair_of(value: &Value) -> Option<[f64; 2]> {
    match value.as_array()?.as_slice() {
        [center, scale] => Some([center.as_f64()?, scale.as_f64()?]),
        _ => None,
    }
}

/// Names of the groups by the codes that a table is keyed with.
///
/// A description may hold two encoders of the group: the column's own, with which tables are keyed, and the one of the
/// library's internal copy of it, whose codes begin at 0 even where the column's own begin at 1. Whichever knows all of
/// the table's codes is meant; where both do, the column's own.
fn names_by_code<'a>(
    description: &Value,
    group: &str,
    keys: impl Iterator<Item = &'a String> + Clone,
) -> Result<BTreeMap<String, String>, String> {
    let internal = format!("__group_id__{group}");
    let encoders = [group, &internal];
    let found: Vec<BTreeMap<String, String>> = encoders
        .iter()
        .filter_map(|name| codes(description, name).ok())
        .map(|codes| {
            let named = codes.into_iter().filter(|(name, _)| name != "nan");
            named.map(|(name, code)| (code.to_string(), name)).collect()
        })
        .collect();
    let knows_all =
        |names: &&BTreeMap<String, String>| keys.clone().all(|key| names.contains_key(key));
    let chosen = found.iter().find(knows_all);
    chosen
        .cloned()
        .ok_or_else(|| format!("has a table whose codes `categories.{group}` does not name"))
}
