//! `config.json` of our model directories: how windows become inputs, and what network reads them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, Direct, Embedding, Target, Variables};
use crate::direct_inputs::{DirectConfig, STEP_INPUTS, TIME_INPUTS, WINDOW_INPUTS};
use crate::normalise::NormaliserConfig;
use crate::schema_ref::SchemaRef;
use crate::source::{Calendar, Source, Variable};
use crate::usual::{Past, Usual};
use crate::widening::Widening;

/// The newest format that this code reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

/// Days that tell what is usual: as many as the daemon keeps of every entity in memory. While a bin is open the oldest
/// closed one is gone there.
const PAST_DAYS: u32 = 10;
/// More would be read from disk for every forecast.
const MOST_PAST_PERIODS: u32 = 60;

/// Everything about a model but its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Grows when old code could not read what new code writes.
    pub format_version: u32,
    /// The schema it was trained for.
    pub schema: SchemaRef,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Fewest closed bins a forecast is made from.
    pub min_context_steps: u32,
    /// Quantile levels of every target, ascending.
    pub quantile_levels: Vec<f64>,
    /// How each input column is computed.
    pub variables: Vec<Variable>,
    /// How metrics are scaled.
    pub normaliser: NormaliserConfig,
    /// The network.
    pub architecture: Architecture,
    /// The rhythms that the direct paths' inputs are made of, for an architecture that has these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<DirectConfig>,
    /// Factors on the quantiles' distances to the median, for metrics that have any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widening: Vec<Widening>,
}

/// The choices that [`ModelConfig::for_schema`] leaves to the trainer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// Width of the network.
    pub hidden_size: i64,
    /// Attention heads.
    pub attention_heads: i64,
    /// Width that reals are scaled up to.
    pub continuous_size: i64,
    /// LSTM layers.
    pub lstm_layers: i64,
    /// Share of activations dropped in training.
    pub dropout: f64,
    /// Length of a step in seconds.
    pub step_secs: u32,
    /// Longest encoder in steps.
    pub encoder_steps: u32,
    /// Horizon in steps.
    pub decoder_steps: u32,
    /// Fewest closed bins a forecast is made from.
    pub min_context_steps: u32,
    /// Quantile levels, ascending.
    pub quantile_levels: Vec<f64>,
    /// Lags, in steps, whose values of every metric become known inputs; none by default.
    pub lags: Vec<u32>,
    /// Width and residual blocks of each metric's direct path; none by default.
    pub direct: Option<(u32, u32)>,
}

impl Default for ModelOptions {
    /// Five-minute steps, a day of context, eight hours ahead.
    fn default() -> Self {
        Self {
            hidden_size: 32,
            attention_heads: 4,
            continuous_size: 16,
            lstm_layers: 1,
            dropout: 0.1,
            step_secs: 300,
            encoder_steps: 288,
            decoder_steps: 96,
            min_context_steps: 12,
            quantile_levels: vec![0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98],
            lags: Vec::new(),
            direct: None,
        }
    }
}

impl ModelConfig {
    /// The usual model of a schema: every metric is observed and predicted; calendar and relative time are known;
    /// the profile and the window's own scales are static.
    pub fn for_schema(schema: &SchemaRef, options: &ModelOptions) -> Self {
        let mut variables = Vec::new();
        let mut add = |name: String, source: Source| {
            variables.push(Variable {
                name: name.clone(),
                source,
            });
            name
        };
        let metrics: Vec<&String> = schema.metrics.iter().map(|metric| &metric.name).collect();

        let profile = add(
            "profile".to_owned(),
            Source::Profile {
                categories: schema.profiles.clone(),
            },
        );
        let status = add("status".to_owned(), Source::Status);

        let mut statics = Vec::new();
        for metric in &metrics {
            let source = Source::PresentShare {
                metric: (*metric).clone(),
            };
            statics.push(add(format!("{metric}_present"), source));
        }
        statics.push(add("encoder_length".to_owned(), Source::EncoderLength));
        for metric in &metrics {
            statics.push(add(
                format!("{metric}_center"),
                Source::Center {
                    metric: (*metric).clone(),
                },
            ));
            statics.push(add(
                format!("{metric}_scale"),
                Source::Scale {
                    metric: (*metric).clone(),
                },
            ));
        }

        let calendar = [
            ("hour_sin", Calendar::HourSin),
            ("hour_cos", Calendar::HourCos),
            ("dow_sin", Calendar::DowSin),
            ("dow_cos", Calendar::DowCos),
            ("is_weekend", Calendar::IsWeekend),
        ];
        let mut known: Vec<String> = calendar
            .into_iter()
            .map(|(name, field)| add(name.to_owned(), Source::Calendar { field }))
            .collect();
        for steps in &options.lags {
            for metric in &metrics {
                let (steps, metric) = (*steps, (*metric).clone());
                known.push(add(
                    format!("{metric}_lag_{steps}"),
                    Source::Lag { metric, steps },
                ));
            }
        }
        known.push(add("relative_time_idx".to_owned(), Source::RelativeTime));

        let mut observed: Vec<String> = metrics
            .iter()
            .map(|metric| {
                add(
                    (*metric).clone(),
                    Source::Metric {
                        metric: (*metric).clone(),
                    },
                )
            })
            .collect();
        observed.push(add("observed_share".to_owned(), Source::ObservedShare));

        let real_columns = statics
            .iter()
            .chain(&known)
            .chain(&observed)
            .cloned()
            .collect();
        let target = |metric: &&String| Target {
            name: (*metric).clone(),
            outputs: options.quantile_levels.len() as i64,
            quantiles: options.quantile_levels.clone(),
        };
        let architecture = Architecture {
            hidden_size: options.hidden_size,
            attention_heads: options.attention_heads,
            lstm_layers: options.lstm_layers,
            dropout: options.dropout,
            continuous_size: options.continuous_size,
            continuous_sizes: std::collections::BTreeMap::new(),
            max_encoder_length: i64::from(options.encoder_steps),
            max_decoder_length: i64::from(options.decoder_steps),
            causal_attention: true,
            share_single_variable_networks: false,
            mask_bias: -1e9,
            embeddings: vec![
                embedding(&profile, schema.profiles.len(), options.hidden_size),
                embedding(&status, schema.statuses.len(), options.hidden_size),
            ],
            real_columns,
            categorical_columns: vec![profile.clone(), status.clone()],
            static_variables: Variables {
                categoricals: vec![profile],
                reals: statics,
            },
            encoder_variables: Variables {
                categoricals: vec![status],
                reals: known.iter().chain(&observed).cloned().collect(),
            },
            decoder_variables: Variables {
                categoricals: Vec::new(),
                reals: known,
            },
            targets: metrics.iter().map(target).collect(),
            direct: options.direct.map(|(width, blocks)| Direct {
                step_inputs: STEP_INPUTS as i64,
                window_inputs: WINDOW_INPUTS as i64,
                time_inputs: TIME_INPUTS as i64,
                hidden_size: i64::from(width),
                blocks: i64::from(blocks),
            }),
        };
        Self {
            format_version: FORMAT_VERSION,
            schema: schema.clone(),
            step_secs: options.step_secs,
            min_context_steps: options.min_context_steps,
            quantile_levels: options.quantile_levels.clone(),
            variables,
            normaliser: NormaliserConfig::default(),
            direct: architecture.direct.map(|_| DirectConfig {
                period_steps: 86_400 / options.step_secs.max(1),
                cycle_steps: 3_600 / options.step_secs.max(1),
                past_periods: PAST_DAYS,
            }),
            architecture,
            widening: Vec::new(),
        }
    }

    /// Longest context in steps.
    pub fn context_steps(&self) -> usize {
        self.architecture.max_encoder_length as usize
    }

    /// Steps ahead.
    pub fn horizon(&self) -> usize {
        self.architecture.max_decoder_length as usize
    }

    /// How many bins up to a forecast's newest one can matter to it: the context, or more for a model that asks what is
    /// [usual](Self::usual).
    pub fn history_steps(&self) -> usize {
        let past = self.direct.map_or(0, |rhythm| {
            rhythm.period_steps as usize * rhythm.past_periods as usize
        });
        past.max(self.context_steps())
    }

    /// What [`Window::usual`](crate::Window::usual) is for a model that asks for it, from one series for each metric of
    /// the schema: the newest [`history_steps`](Self::history_steps) bins up to the window's newest one, or as many of
    /// them as are known, NaN where missing.
    pub fn usual(&self, history: &[&[f32]]) -> Option<Usual> {
        let past = Past {
            rhythm: self.direct?,
            context: self.context_steps(),
            horizon: self.horizon(),
        };
        Some(Usual::read(past, history))
    }

    /// The source of a column.
    pub fn source(&self, column: &str) -> Option<&Source> {
        self.variables
            .iter()
            .find(|variable| variable.name == column)
            .map(|variable| &variable.source)
    }

    /// Checks that the parts agree with each other.
    ///
    /// # Errors
    /// Says what contradicts what.
    pub(crate) fn check(&self) -> Result<(), String> {
        let levels = &self.quantile_levels;
        if levels.is_empty()
            || !levels.is_sorted()
            || levels.iter().any(|level| !(0.0..=1.0).contains(level))
        {
            return Err("`quantile_levels` must be ascending and within 0..=1".to_owned());
        }
        if self.step_secs == 0 {
            return Err("`step_secs` must not be 0".to_owned());
        }
        if !(1..=self.context_steps()).contains(&(self.min_context_steps as usize)) {
            return Err(format!(
                "`min_context_steps` must lie in 1..={}",
                self.context_steps()
            ));
        }
        let targets = &self.architecture.targets;
        if !self.targets_fit() || targets.iter().any(|target| target.quantiles != *levels) {
            return Err(
                "targets must be the schema's metrics in order, each with all quantile levels"
                    .to_owned(),
            );
        }
        self.check_direct()?;
        self.check_widening()?;
        self.normaliser.check()?;
        self.check_columns()
    }

    /// An imported model may forecast some of the metrics, in any order.
    fn targets_fit(&self) -> bool {
        let targets = self.architecture.targets.iter().map(|target| &target.name);
        if self.normaliser.table().is_none() {
            return targets.eq(self.schema.metrics.iter().map(|metric| &metric.name));
        }
        let known = |name: &&String| self.schema.metric_index(name).is_some();
        let distinct: BTreeSet<&String> = targets.clone().collect();
        targets.clone().all(|name| known(&name)) && distinct.len() == targets.len()
    }

    fn check_direct(&self) -> Result<(), String> {
        let agree = match (self.architecture.direct, self.direct) {
            (None, None) => true,
            (Some(sizes), Some(rhythm)) => {
                let inputs = [sizes.step_inputs, sizes.window_inputs, sizes.time_inputs];
                let limit = self.context_steps() as u32;
                inputs == [STEP_INPUTS, WINDOW_INPUTS, TIME_INPUTS].map(|size| size as i64)
                    && (1..=limit).contains(&rhythm.cycle_steps)
                    && (1..=limit).contains(&rhythm.period_steps)
                    && rhythm.past_periods <= MOST_PAST_PERIODS
            }
            _ => false,
        };
        if agree {
            return Ok(());
        }
        Err(format!(
            "`direct` and `architecture.direct` must both be there, the latter with {STEP_INPUTS} step, {WINDOW_INPUTS} \
             window and {TIME_INPUTS} time inputs, `cycle_steps` and `period_steps` from 1 to the context's length, and \
             at most {MOST_PAST_PERIODS} `past_periods`; a model with other numbers of inputs is another version's: train \
             it anew"
        ))
    }

    fn check_widening(&self) -> Result<(), String> {
        let mut widened = BTreeSet::new();
        for widening in &self.widening {
            let metric = &widening.metric;
            if self.schema.metric_index(metric).is_none() || !widened.insert(metric) {
                return Err(format!(
                    "`widening` names `{metric}`, which the schema does not have or which repeats"
                ));
            }
            widening.check(self.quantile_levels.len())?;
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), String> {
        let architecture = &self.architecture;
        let groups = [
            (&architecture.real_columns, false),
            (&architecture.categorical_columns, true),
        ];
        for (columns, categorical) in groups {
            for column in columns {
                let source = self
                    .source(column)
                    .ok_or_else(|| format!("column `{column}` has no variable"))?;
                if source.is_categorical() != categorical {
                    return Err(format!("column `{column}` mixes up reals and categories"));
                }
                if let Source::Clock { mean, scale, .. } = source
                    && !(mean.is_finite() && scale.is_finite() && *scale > 0.0)
                {
                    return Err(format!(
                        "column `{column}` needs a finite mean and a scale greater than 0"
                    ));
                }
                if let Some(metric) = source
                    .metric()
                    .filter(|metric| self.schema.metric_index(metric).is_none())
                {
                    return Err(format!(
                        "column `{column}` reads `{metric}`, which the schema does not have"
                    ));
                }
            }
        }
        for embedding in &architecture.embeddings {
            for column in &embedding.columns {
                let classes = match self.source(column) {
                    Some(Source::Profile { categories }) => categories.len() + 1,
                    Some(Source::Named { codes, other, .. }) => {
                        let most = codes.values().chain([other]).try_fold(0, |most, code| {
                            usize::try_from(*code).ok().map(|code| most.max(code))
                        });
                        most.map_or(usize::MAX, |code| code + 1)
                    }
                    _ => self.schema.statuses.len() + 1,
                };
                if i64::try_from(classes).map_or(true, |classes| classes > embedding.classes) {
                    return Err(format!(
                        "`{}` has {} classes for {classes}",
                        embedding.name, embedding.classes
                    ));
                }
            }
        }
        Ok(())
    }
}

/// An embedding of `categories` and "missing", with the width that pytorch-forecasting would give it.
fn embedding(column: &str, categories: usize, hidden_size: i64) -> Embedding {
    let classes = categories as i64 + 1;
    Embedding {
        name: column.to_owned(),
        columns: vec![column.to_owned()],
        classes,
        size: crate::peer_config::default_embedding_size(classes).min(hidden_size),
        zero_padding: true,
    }
}
