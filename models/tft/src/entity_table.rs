//! Scales by entity, for imported models: the tables that pytorch-forecasting's `GroupNormalizer` has fitted.
//!
//! The original looks its table up with codes that are off by one where the group's encoder has a class for missing
//! values, so that each server gets its predecessor's scale. Here the table is keyed by name: each entity gets its own.
//! An entity that the table does not have gets the scale of its own context, measured as the table was, or, if so
//! configured, the usual one, which is what the original does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::normalise::Scale;
use crate::transformation::Transformation;
use crate::window::is_observed;

/// What the original adds to every deviation: the resolution of half precision.
const EPSILON: f64 = 0.000_976_562_5;

/// Scales of metrics by entity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityTable {
    /// By metric; one that is not here is not read.
    pub metrics: BTreeMap<String, MetricScales>,
    /// What an entity gets that a table does not have.
    pub unknown: UnknownEntity,
}

/// How one metric is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MetricScales {
    /// Alike for all entities.
    Fixed {
        /// Subtracted.
        center: f64,
        /// Divided by; greater than 0.
        scale: f64,
    },
    /// By entity, after a transformation.
    ByEntity {
        /// What goes before scaling.
        transformation: Transformation,
        /// Whether the centre is subtracted; else it serves as the scale.
        centered: bool,
        /// Centre and scale by the entity's name, or by its short id (see [`short_id`]).
        entities: BTreeMap<String, [f64; 2]>,
        /// Centre and scale of the usual entity.
        usual: [f64; 2],
    },
}

/// What an entity gets that a table does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownEntity {
    /// The scale of its own context.
    #[default]
    Own,
    /// The median of the table, as the original.
    Usual,
}

impl EntityTable {
    pub(crate) fn check(&self) -> Result<(), String> {
        for (metric, scales) in &self.metrics {
            let pairs: Vec<[f64; 2]> = match scales {
                MetricScales::Fixed { center, scale } => vec![[*center, *scale]],
                MetricScales::ByEntity {
                    entities, usual, ..
                } => entities.values().copied().chain([*usual]).collect(),
            };
            let sound = |[center, scale]: &[f64; 2]| {
                center.is_finite() && scale.is_finite() && *scale as f32 > 0.0
            };
            if !pairs.iter().all(sound) {
                return Err(format!(
                    "the scales of `{metric}` must be finite and greater than 0"
                ));
            }
        }
        Ok(())
    }

    /// Centre and scale of a metric for an entity whose context holds `values` (NaN missing).
    pub(crate) fn scale(&self, entity: &str, metric: &str, values: &[f32]) -> Scale {
        let observed = values.iter().filter(|value| is_observed(**value)).count();
        let unread = Scale {
            center: 0.0,
            scale: 1.0,
            present: 0.0,
            transformation: None,
        };
        let (transformation, [center, scale]) = match self.metrics.get(metric) {
            None => return unread,
            Some(MetricScales::Fixed { center, scale }) => (None, [*center, *scale]),
            Some(MetricScales::ByEntity {
                transformation,
                centered,
                entities,
                usual,
            }) => {
                let known = entities
                    .get(entity)
                    .or_else(|| entities.get(&short_id(entity)));
                let own = || match self.unknown {
                    UnknownEntity::Own => measure(*transformation, *centered, values),
                    UnknownEntity::Usual => None,
                };
                let scale = known.copied().or_else(own).unwrap_or(*usual);
                (Some(*transformation), scale)
            }
        };
        Scale {
            center: center as f32,
            scale: scale as f32,
            present: observed as f32 / values.len().max(1) as f32,
            transformation,
        }
    }
}

/// Mean and sample deviation of the transformed values, as the table's own are made; `None` of fewer than two.
fn measure(transformation: Transformation, centered: bool, values: &[f32]) -> Option<[f64; 2]> {
    let observed = values.iter().copied().filter(|value| is_observed(*value));
    let transformed = observed.map(|value| transformation.forward(f64::from(value)));
    let transformed: Vec<f64> = transformed.filter(|value| value.is_finite()).collect();
    if transformed.len() < 2 {
        return None;
    }
    let count = transformed.len() as f64;
    let mean = transformed.iter().sum::<f64>() / count;
    let squares = transformed.iter().map(|value| (value - mean).powi(2));
    let deviation = (squares.sum::<f64>() / (count - 1.0)).sqrt();
    let pair = if centered {
        [mean, deviation + EPSILON]
    } else {
        [0.0, mean + EPSILON]
    };
    (pair[1] > 0.0).then_some(pair)
}

/// The first 8 hexadecimal digits of a name's SHA-256 as a number, modulo a million, in decimal: what systems put in a
/// group column that must not hold names.
pub fn short_id(name: &str) -> String {
    let digest = Sha256::digest(name);
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    (first % 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(unknown: UnknownEntity) -> EntityTable {
        let entities = BTreeMap::from([
            ("a".to_owned(), [10.0, 2.0]),
            (short_id("hashed"), [5.0, 0.5]),
        ]);
        let cpu = MetricScales::ByEntity {
            transformation: Transformation::Softplus,
            centered: true,
            entities,
            usual: [7.0, 1.0],
        };
        let load = MetricScales::Fixed {
            center: 1.0,
            scale: 4.0,
        };
        EntityTable {
            metrics: BTreeMap::from([("cpu".to_owned(), cpu), ("load".to_owned(), load)]),
            unknown,
        }
    }

    #[test]
    fn each_entity_gets_its_own_scale() {
        let check = |unknown, entity: &str, metric: &str, expected: (f32, f32, f32)| {
            let values = [30.0, f32::NAN, 34.0, 38.0];
            let scale = table(unknown).scale(entity, metric, &values);
            let found = (scale.center, scale.scale, scale.present);
            assert!(
                (found.0 - expected.0).abs() < 1e-5 && (found.1 - expected.1).abs() < 1e-5,
                "{entity} {metric} {found:?}"
            );
            assert_eq!(found.2, expected.2);
        };
        let (own, usual) = (UnknownEntity::Own, UnknownEntity::Usual);
        check(own, "a", "cpu", (10.0, 2.0, 0.75));
        check(own, "hashed", "cpu", (5.0, 0.5, 0.75));
        // Above 20 the inverse softplus changes nothing: mean 34, sample deviation 4.
        check(own, "new", "cpu", (34.0, 4.0 + EPSILON as f32, 0.75));
        check(usual, "new", "cpu", (7.0, 1.0, 0.75));
        check(own, "new", "load", (1.0, 4.0, 0.75));
        check(own, "a", "other", (0.0, 1.0, 0.0));
        let alone = table(own).scale("new", "cpu", &[f32::NAN, 3.0]);
        assert_eq!((alone.center, alone.scale), (7.0, 1.0));
    }

    #[test]
    fn scales_that_divide_by_nothing_are_refused() {
        table(UnknownEntity::Own).check().expect("sound");
        for scale in [0.0, f64::NAN, 1e-60, f64::INFINITY] {
            let mut broken = table(UnknownEntity::Own);
            let fixed = MetricScales::Fixed { center: 0.0, scale };
            broken.metrics.insert("load".to_owned(), fixed);
            broken.check().expect_err("refused");
        }
    }
}
