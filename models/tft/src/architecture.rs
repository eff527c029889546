//! What a network is made of: sizes, variables and their roles, targets.
//!
//! An [`Architecture`] is all that is needed to know the name and shape of every parameter. It is stored in our own
//! model directories and is also derived from the configuration of a pytorch-forecasting model
//! ([`Architecture::from_peer_config`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::errors::ArchitectureError;

/// Largest width (hidden size, classes of an embedding, outputs of a target) that is believed.
const MAX_WIDTH: i64 = 1 << 16;
/// Most LSTM layers that are believed.
const MAX_LAYERS: i64 = 32;
/// Longest encoder or decoder that is believed, in steps.
const MAX_STEPS: i64 = 1 << 16;

/// Sizes, variables and targets of a Temporal Fusion Transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Width of the network (`h` in shapes).
    pub hidden_size: i64,
    /// Attention heads; each is `hidden_size / attention_heads` wide, rounded down.
    pub attention_heads: i64,
    /// Layers of the encoder LSTM and of the decoder LSTM.
    pub lstm_layers: i64,
    /// Share of activations dropped in training.
    pub dropout: f64,
    /// Width that a real variable is scaled up to before selection.
    pub continuous_size: i64,
    /// Widths of single real variables that differ from `continuous_size`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub continuous_sizes: BTreeMap<String, i64>,
    /// Longest encoder, in steps.
    pub max_encoder_length: i64,
    /// Longest decoder (the horizon), in steps.
    pub max_decoder_length: i64,
    /// Whether a decoder step attends to earlier decoder steps only (never to itself); else to all valid ones.
    pub causal_attention: bool,
    /// Whether encoder and decoder selection share their single-variable networks.
    pub share_single_variable_networks: bool,
    /// What a masked attention score is set to.
    pub mask_bias: f64,
    /// Embedding tables of the categorical variables.
    pub embeddings: Vec<Embedding>,
    /// Columns of the real inputs, in tensor order.
    pub real_columns: Vec<String>,
    /// Columns of the categorical inputs, in tensor order.
    pub categorical_columns: Vec<String>,
    /// Static variables.
    pub static_variables: Variables,
    /// Variables of the encoder: known and observed ones.
    pub encoder_variables: Variables,
    /// Variables of the decoder: known ones.
    pub decoder_variables: Variables,
    /// What is predicted; one output layer each.
    pub targets: Vec<Target>,
    /// A path from each target's own history to its outputs; pytorch-forecasting's network has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Direct>,
}

/// Sizes of every target's direct path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direct {
    /// Inputs of a target at one decoder step.
    pub step_inputs: i64,
    /// Inputs of a target in one window.
    pub window_inputs: i64,
    /// Inputs at one decoder step that all targets share.
    pub time_inputs: i64,
    /// Width.
    pub hidden_size: i64,
    /// Residual blocks.
    pub blocks: i64,
}

/// The embedding table of a categorical variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Name of the variable.
    pub name: String,
    /// The input columns it reads; several are embedded with the same table and added up.
    pub columns: Vec<String>,
    /// Number of categories, the one for "missing" included.
    pub classes: i64,
    /// Width of a row, at most the hidden size.
    pub size: i64,
    /// Whether row 0 is the zero vector of "missing" and never trained.
    pub zero_padding: bool,
}

/// Variables of one selection network: its input order is all categoricals, then all reals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variables {
    /// Names of embeddings.
    pub categoricals: Vec<String>,
    /// Names of real columns.
    pub reals: Vec<String>,
}

/// One predicted quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, usually that of a real column.
    pub name: String,
    /// Outputs per step: one per quantile.
    pub outputs: i64,
    /// Quantile levels, ascending; empty where the loss had none.
    pub quantiles: Vec<f64>,
}

impl Variables {
    /// Number of variables.
    pub fn len(&self) -> usize {
        self.categoricals.len() + self.reals.len()
    }

    /// Whether there is no variable at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names in selection order: categoricals, then reals.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.categoricals
            .iter()
            .chain(&self.reals)
            .map(String::as_str)
    }
}

impl Architecture {
    /// Width that a real variable is scaled up to.
    pub fn continuous_size_of(&self, name: &str) -> i64 {
        self.continuous_sizes
            .get(name)
            .copied()
            .unwrap_or(self.continuous_size)
    }

    /// The embedding of a categorical variable.
    pub fn embedding(&self, name: &str) -> Option<(usize, &Embedding)> {
        self.embeddings
            .iter()
            .enumerate()
            .find(|(_, e)| e.name == name)
    }

    /// Real variables in use, each once: static, encoder, decoder order.
    pub fn reals(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let roles = [
            &self.static_variables,
            &self.encoder_variables,
            &self.decoder_variables,
        ];
        roles
            .into_iter()
            .flat_map(|role| &role.reals)
            .map(String::as_str)
            .filter(|name| seen.insert(*name))
            .collect()
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden_size / self.attention_heads
    }

    /// Outputs of all targets together, the last axis of the network's raw output.
    pub fn total_outputs(&self) -> i64 {
        self.targets.iter().map(|t| t.outputs).sum()
    }

    /// Checks everything that building the network relies on.
    ///
    /// # Errors
    /// Names the offending key and what is allowed.
    pub fn check(&self) -> Result<(), ArchitectureError> {
        let invalid = |key: &str, problem: String| {
            Err(ArchitectureError::Invalid {
                key: key.to_owned(),
                problem,
            })
        };
        if let Some(direct) = self.direct {
            let sizes = [
                direct.step_inputs,
                direct.window_inputs,
                direct.time_inputs,
                direct.hidden_size,
                direct.blocks,
            ];
            if sizes.iter().any(|size| !(1..=MAX_WIDTH).contains(size)) {
                return invalid("direct", format!("needs sizes within 1..={MAX_WIDTH}"));
            }
            if self
                .targets
                .windows(2)
                .any(|pair| pair[0].outputs != pair[1].outputs)
            {
                return invalid(
                    "direct",
                    "needs targets with equally many outputs".to_owned(),
                );
            }
        }
        let sizes = [
            ("hidden_size", self.hidden_size, MAX_WIDTH),
            ("attention_heads", self.attention_heads, self.hidden_size),
            ("lstm_layers", self.lstm_layers, MAX_LAYERS),
            ("continuous_size", self.continuous_size, MAX_WIDTH),
            ("max_encoder_length", self.max_encoder_length, MAX_STEPS),
            ("max_decoder_length", self.max_decoder_length, MAX_STEPS),
        ];
        let continuous = self
            .continuous_sizes
            .iter()
            .map(|(name, size)| (name.as_str(), *size, MAX_WIDTH));
        let classes = self
            .embeddings
            .iter()
            .map(|e| (e.name.as_str(), e.classes, MAX_WIDTH));
        let widths = self
            .embeddings
            .iter()
            .map(|e| (e.name.as_str(), e.size, self.hidden_size));
        let outputs = self
            .targets
            .iter()
            .map(|t| (t.name.as_str(), t.outputs, MAX_WIDTH));
        for (key, size, most) in sizes
            .into_iter()
            .chain(continuous)
            .chain(classes)
            .chain(widths)
            .chain(outputs)
        {
            if !(1..=most).contains(&size) {
                return invalid(key, format!("is {size}; 1 to {most} is possible"));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return invalid(
                "dropout",
                format!("is {}; it must lie in 0 <= dropout < 1", self.dropout),
            );
        }
        if self.mask_bias.is_nan() || self.mask_bias > 0.0 {
            return invalid(
                "mask_bias",
                format!("is {}; it must be negative", self.mask_bias),
            );
        }
        if self.targets.is_empty() {
            return invalid(
                "targets",
                "is empty; a network predicts at least one target".to_owned(),
            );
        }
        for target in &self.targets {
            let levels = &target.quantiles;
            if !levels.is_empty() && levels.len() as i64 != target.outputs {
                let problem = format!(
                    "lists {} levels for {} outputs of `{}`",
                    levels.len(),
                    target.outputs,
                    target.name
                );
                return invalid("quantiles", problem);
            }
        }
        self.check_names()
    }

    fn check_names(&self) -> Result<(), ArchitectureError> {
        let invalid = |key: &str, problem: String| {
            Err(ArchitectureError::Invalid {
                key: key.to_owned(),
                problem,
            })
        };
        let embeddings: Vec<String> = self.embeddings.iter().map(|e| e.name.clone()).collect();
        let lists = [
            ("real_columns", &self.real_columns),
            ("categorical_columns", &self.categorical_columns),
            ("embeddings", &embeddings),
            (
                "static_variables.categoricals",
                &self.static_variables.categoricals,
            ),
            ("static_variables.reals", &self.static_variables.reals),
            (
                "encoder_variables.categoricals",
                &self.encoder_variables.categoricals,
            ),
            ("encoder_variables.reals", &self.encoder_variables.reals),
            (
                "decoder_variables.categoricals",
                &self.decoder_variables.categoricals,
            ),
            ("decoder_variables.reals", &self.decoder_variables.reals),
        ];
        for (key, names) in lists {
            let mut seen = BTreeSet::new();
            if let Some(repeated) = names
                .iter()
                .find(|name| name.is_empty() || !seen.insert(name.as_str()))
            {
                return invalid(key, format!("`{repeated}` is empty or repeats"));
            }
            let known: Option<&[String]> = match key.rsplit_once('.') {
                Some((_, "reals")) => Some(&self.real_columns),
                Some(_) => Some(&embeddings),
                None => None,
            };
            if let Some(unknown) =
                known.and_then(|known| names.iter().find(|name| !known.contains(name)))
            {
                return invalid(
                    key,
                    format!("`{unknown}` is neither a column nor an embedding"),
                );
            }
        }
        for embedding in &self.embeddings {
            let unknown = embedding
                .columns
                .iter()
                .find(|column| !self.categorical_columns.contains(column));
            if let Some(column) = unknown {
                return invalid(
                    &embedding.name,
                    format!("reads `{column}`, which is no categorical column"),
                );
            }
        }
        let used = [
            &self.static_variables,
            &self.encoder_variables,
            &self.decoder_variables,
        ];
        for name in used.into_iter().flat_map(|role| &role.categoricals) {
            if self
                .embedding(name)
                .is_some_and(|(_, e)| e.columns.is_empty())
            {
                return invalid(name, "is in use but reads no categorical column".to_owned());
            }
        }
        Ok(())
    }
}
