//! How each input column is computed, by its name and role.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ImportOptions;
use super::normalisers::{self, Normalisers, Scaler};
use crate::architecture::Architecture;
use crate::calendar::Clock;
use crate::entity_table::{EntityTable, MetricScales};
use crate::normalise::{NormaliserConfig, NormaliserState};
use crate::source::{Naming, Source, Variable};

/// What the columns of a description become.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) variables: Vec<Variable>,
    pub(super) normaliser: NormaliserConfig,
    pub(super) state: NormaliserState,
    /// Entities in the tables.
    pub(super) entities: usize,
}

/// Names under which a column of categories may hold the entity itself.
const ENTITY_NAMES: [&str; 4] = ["server_id", "server_name", "server", "entity"];

struct Builder<'a> {
    description: &'a Value,
    architecture: &'a Architecture,
    options: &'a ImportOptions,
    normalisers: Normalisers,
    table: EntityTable,
    state: NormaliserState,
}

pub(super) fn build(
    description: &Value,
    architecture: &Architecture,
    options: &ImportOptions,
) -> Result<Built, String> {
    let schema = &options.schema;
    for target in &architecture.targets {
        if schema.metric_index(&target.name).is_none() {
            let known: Vec<&str> = schema.metrics.iter().map(|m| m.name.as_str()).collect();
            return Err(format!(
                "target `{}` is no metric of the schema `{}`, which has: {}",
                target.name,
                schema.id,
                known.join(", ")
            ));
        }
    }
    let normalisers = normalisers::read(description, architecture)?;
    let entities = normalisers.entities();
    let mut builder = Builder {
        description,
        architecture,
        options,
        table: EntityTable {
            metrics: normalisers.tables(),
            unknown: options.unknown,
        },
        normalisers,
        state: NormaliserState::neutral(schema.metrics.len()),
    };
    let mut variables = Vec::new();
    for name in &architecture.real_columns {
        let source = builder.real(name)?;
        variables.push(Variable {
            name: name.clone(),
            source,
        });
    }
    for name in &architecture.categorical_columns {
        let source = builder.category(name)?;
        variables.push(Variable {
            name: name.clone(),
            source,
        });
    }
    Ok(Built {
        variables,
        normaliser: NormaliserConfig::ByEntity(builder.table),
        state: builder.state,
        entities,
    })
}

impl Builder<'_> {
    fn is_target(&self, name: &str) -> bool {
        self.architecture
            .targets
            .iter()
            .any(|target| target.name == name)
    }

    fn scaler(&self, name: &str) -> Result<Scaler, String> {
        normalisers::scaler(self.description, name)
    }

    fn real(&mut self, name: &str) -> Result<Source, String> {
        let metric = name.to_owned();
        let schema = &self.options.schema;
        match name {
            "encoder_length" => return Ok(Source::EncoderLength),
            "relative_time_idx" => return Ok(Source::RelativeTime),
            _ => {}
        }
        if self.is_target(name) {
            return Ok(Source::Metric { metric });
        }
        let of_target = |suffix: &str| {
            let target = name
                .strip_suffix(suffix)
                .filter(|target| self.is_target(target))?;
            Some((target.to_owned(), schema.metric_index(target)?))
        };
        if let Some((metric, column)) = of_target("_center") {
            let scaler = self.scaler(name)?;
            self.state.center_mean[column] = scaler.mean as f32;
            self.state.center_deviation[column] = scaler.scale as f32;
            return Ok(Source::Center { metric });
        }
        if let Some((metric, column)) = of_target("_scale") {
            let scaler = self.scaler(name)?;
            self.state.scale_mean[column] = scaler.mean as f32;
            self.state.scale_deviation[column] = scaler.scale as f32;
            return Ok(Source::Scale { metric });
        }
        if schema.metric_index(name).is_some() {
            let Scaler { mean, scale } = self.scaler(name)?;
            let fixed = MetricScales::Fixed {
                center: mean,
                scale,
            };
            self.table.metrics.insert(metric.clone(), fixed);
            return Ok(Source::Metric { metric });
        }
        if let Some(field) = Clock::named(name) {
            let Scaler { mean, scale } = self.scaler(name)?;
            return Ok(Source::Clock { field, mean, scale });
        }
        let (metrics, clocks) = (schema.metrics.iter().map(|m| m.name.as_str()), Clock::NAMES);
        let known: Vec<&str> = metrics
            .chain(clocks.iter().map(|(name, _)| *name))
            .collect();
        Err(format!(
            "the input column `{name}` cannot be computed; what can be: {}, and what the library adds itself",
            known.join(", ")
        ))
    }

    fn category(&self, name: &str) -> Result<Source, String> {
        let codes = normalisers::codes(self.description, name)?;
        let embedding = self.architecture.embeddings.iter();
        let classes = embedding
            .filter(|embedding| embedding.columns.iter().any(|column| column == name))
            .map(|embedding| embedding.classes)
            .min();
        let greatest = codes.values().copied().max().unwrap_or(0);
        if codes.values().any(|code| *code < 0) || classes.is_some_and(|n| greatest >= n) {
            return Err(format!(
                "categories.{name} has codes up to {greatest}, its embedding has {} rows",
                classes.unwrap_or(0)
            ));
        }
        let naming = match name {
            "profile" => Naming::Profile,
            "status" | "state" => Naming::Status,
            name if self.normalisers.group() == Some(name) || ENTITY_NAMES.contains(&name) => {
                Naming::Entity
            }
            name => match Clock::named(name) {
                Some(field) => Naming::Clock { field },
                None => {
                    return Err(format!(
                        "the category column `{name}` cannot be computed; what can be: profile, status, the group, and the calendar"
                    ));
                }
            },
        };
        Ok(Source::Named {
            of: naming,
            other: other(&codes),
            codes,
        })
    }
}

/// The code of what has none: the class for missing values, which comes first where there is one.
fn other(codes: &BTreeMap<String, i64>) -> i64 {
    codes.get("nan").copied().unwrap_or(0)
}
