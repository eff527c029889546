//! From the network's raw output to the target's unit, as pytorch-forecasting's normalisers do it.

use serde_json::Value;
use tch::{Kind, Tensor};

use super::ParityError;
use crate::network::Torch;
use crate::transformation::Transformation;

impl Transformation {
    /// The transformation of each target, from the configuration's `target_normalisers`.
    ///
    /// One normaliser may stand for all targets; several come as a list, or as an object keyed by target name or index,
    /// possibly inside a multi-normaliser.
    pub(super) fn of_targets(config: &Value, targets: &[&str]) -> Result<Vec<Self>, ParityError> {
        const KEYS: [&str; 4] = [
            "target_normalisers",
            "target_normalizers",
            "target_normaliser",
            "target_normalizer",
        ];
        let normalisers = KEYS
            .iter()
            .find_map(|key| config.get(key))
            .unwrap_or(&Value::Null);
        let each = |(index, name): (usize, &&str)| {
            Self::of_value(normaliser_of(normalisers, index, name), index)
        };
        targets.iter().enumerate().map(each).collect()
    }

    fn of_value(normaliser: &Value, target: usize) -> Result<Self, ParityError> {
        let transformation = match normaliser {
            Value::Object(map) => map.get("transformation").unwrap_or(&Value::Null),
            other => other,
        };
        let of_target = match transformation {
            Value::Array(list) => list.get(target).unwrap_or(&Value::Null),
            one => one,
        };
        let name = if of_target.is_null() {
            Some("")
        } else {
            of_target.as_str()
        };
        name.and_then(Self::from_name)
            .ok_or_else(|| ParityError::Fixture {
                file: "config.json",
                problem: format!("target {target} has the unknown transformation {transformation}"),
            })
    }

    /// `raw · scale + centre`, then the transformation, in single precision like the original.
    ///
    /// `raw` is `[n, steps, outputs]`, `scales` `[n, 2]`: centre and scale.
    pub(super) fn apply(self, raw: &Tensor, scales: &Tensor) -> Torch<Tensor> {
        let column = |index: i64| {
            scales
                .f_select(1, index)?
                .f_view([-1, 1, 1])?
                .f_to_kind(Kind::Float)
        };
        let y = raw.f_mul(&column(1)?)?.f_add(&column(0)?)?;
        match self {
            Self::None => Ok(y),
            Self::Softplus | Self::Count => y.f_softplus(),
            Self::Relu => y.f_relu(),
            Self::Log | Self::Log1p => y.f_exp(),
            Self::Logit => y.f_sigmoid(),
            Self::Sqrt => y.f_square(),
        }
    }
}

/// The normaliser of one target among all of a description.
pub(crate) fn normaliser_of<'a>(normalisers: &'a Value, index: usize, name: &str) -> &'a Value {
    match normalisers {
        Value::Array(list) => list.get(index).unwrap_or(&Value::Null),
        Value::Object(map) => {
            let inner = ["normalisers", "normalizers"]
                .iter()
                .find_map(|key| map.get(*key));
            let keyed = map.get(name).or_else(|| map.get(&index.to_string()));
            match inner.filter(|inner| inner.is_array() || inner.is_object()) {
                Some(inner) => normaliser_of(inner, index, name),
                None => keyed.unwrap_or(normalisers),
            }
        }
        other => other,
    }
}
