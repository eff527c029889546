//! Input columns with their names resolved to positions.

use crate::calendar::Clock;
use crate::model_config::ModelConfig;
use crate::named_codes::NamedCodes;
use crate::source::{Calendar, Source};

/// A real column: where its values come from and which of them the network reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Real {
    pub(crate) column: Column,
    /// Encoder steps that are read, from the first: all, only one (static variables), or none.
    pub(crate) past_steps: usize,
    /// Whether decoder steps are read.
    pub(crate) future: bool,
}

/// A source with names resolved to positions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Calendar(Calendar),
    Clock {
        field: Clock,
        mean: f64,
        scale: f64,
    },
    RelativeTime,
    Metric(usize),
    Lag {
        metric: usize,
        steps: i64,
        flag: bool,
    },
    ObservedShare,
    EncoderLength,
    Center(usize),
    Scale(usize),
    PresentShare(usize),
}

#[derive(Debug)]
pub(crate) enum Category {
    Profile(Vec<String>),
    Status,
    Named(NamedCodes),
}

/// Resolves the source of a real column.
pub(crate) fn real_column(config: &ModelConfig, source: &Source) -> Result<Column, String> {
    let metric = |name: &String| {
        config
            .schema
            .metric_index(name)
            .ok_or_else(|| format!("the schema has no metric `{name}`"))
    };
    Ok(match source {
        Source::Calendar { field } => Column::Calendar(*field),
        Source::Clock { field, mean, scale } => Column::Clock {
            field: *field,
            mean: *mean,
            scale: *scale,
        },
        Source::RelativeTime => Column::RelativeTime,
        Source::Metric { metric: name } => Column::Metric(metric(name)?),
        Source::Lag {
            metric: name,
            steps,
        } => Column::Lag {
            metric: metric(name)?,
            steps: i64::from(*steps),
            flag: false,
        },
        Source::LagObserved {
            metric: name,
            steps,
        } => Column::Lag {
            metric: metric(name)?,
            steps: i64::from(*steps),
            flag: true,
        },
        Source::ObservedShare => Column::ObservedShare,
        Source::EncoderLength => Column::EncoderLength,
        Source::Center { metric: name } => Column::Center(metric(name)?),
        Source::Scale { metric: name } => Column::Scale(metric(name)?),
        Source::PresentShare { metric: name } => Column::PresentShare(metric(name)?),
        Source::Profile { .. } | Source::Status | Source::Named { .. } => {
            return Err("a category is no real column".to_owned());
        }
    })
}
