//! `config.json` of our model directories: how windows become inputs, and what network reads them.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, Embedding, Target, Variables};
use crate::normalise::NormaliserConfig;
use crate::schema_ref::SchemaRef;

/// The newest format that this code reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

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
}

/// One input column of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its column name in the architecture.
    pub name: String,
    /// Where its values come from.
    pub source: Source,
}

/// How the values of an input column are computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Category: the entity's profile. Code `i + 1` is `categories[i]`, 0 is any other.
    Profile {
        /// Profile ids.
        categories: Vec<String>,
    },
    /// Category: the status of the bin, coded as the schema does; 0 is missing.
    Status,
    /// A function of the bin's start in UTC.
    Calendar {
        /// Which.
        field: Calendar,
    },
    /// Steps to the first forecast bin, over the longest encoder: below 0 in the past, 0 at the first forecast bin.
    RelativeTime,
    /// A metric, scaled; carried forward, then backward, where missing; 0 where never observed.
    Metric {
        /// Its name.
        metric: String,
    },
    /// A metric some steps before the bin in question, scaled; 0 where not observed or outside what the caller gave.
    Lag {
        /// Its name.
        metric: String,
        /// How many steps before.
        steps: u32,
    },
    /// 1 where [`Source::Lag`] has an observed value, else 0.
    LagObserved {
        /// The metric's name.
        metric: String,
        /// How many steps before.
        steps: u32,
    },
    /// Share of the schema's metrics that were observed in the bin: 0 is a gap.
    ObservedShare,
    /// Length of the encoder, centred: `(length - longest / 2) / longest · 2`.
    EncoderLength,
    /// The metric's centre in this window, compressed and standardised.
    Center {
        /// Its name.
        metric: String,
    },
    /// The metric's scale in this window, its logarithm standardised.
    Scale {
        /// Its name.
        metric: String,
    },
    /// Share of the context's bins in which the metric was observed.
    PresentShare {
        /// Its name.
        metric: String,
    },
}

/// Functions of the time of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// Sine of the time of day.
    HourSin,
    /// Cosine of the time of day.
    HourCos,
    /// Sine of the time of the week, which starts on Monday.
    DowSin,
    /// Cosine of the time of the week.
    DowCos,
    /// 1 on Saturdays and Sundays, else 0.
    IsWeekend,
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
        };
        Self {
            format_version: FORMAT_VERSION,
            schema: schema.clone(),
            step_secs: options.step_secs,
            min_context_steps: options.min_context_steps,
            quantile_levels: options.quantile_levels.clone(),
            variables,
            normaliser: NormaliserConfig::default(),
            architecture,
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
        let targets_fit = targets.iter().map(|t| &t.name).eq(self
            .schema
            .metrics
            .iter()
            .map(|metric| &metric.name));
        if !targets_fit || targets.iter().any(|target| target.quantiles != *levels) {
            return Err(
                "targets must be the schema's metrics in order, each with all quantile levels"
                    .to_owned(),
            );
        }
        self.normaliser.check()?;
        self.check_columns()
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
                    _ => self.schema.statuses.len() + 1,
                };
                if classes as i64 > embedding.classes {
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

impl Source {
    /// Whether values are category codes.
    pub(crate) fn is_categorical(&self) -> bool {
        matches!(self, Self::Profile { .. } | Self::Status)
    }

    fn metric(&self) -> Option<&str> {
        match self {
            Self::Metric { metric }
            | Self::Lag { metric, .. }
            | Self::LagObserved { metric, .. }
            | Self::Center { metric }
            | Self::Scale { metric }
            | Self::PresentShare { metric } => Some(metric),
            _ => None,
        }
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
