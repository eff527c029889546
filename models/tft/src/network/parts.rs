//! The modules of a network and where their parameters lie.

use super::attention::AttentionSpec;
use super::direct::DirectSpec;
use super::embedding::EmbeddingsSpec;
use super::grn::{GateNormSpec, GrnSizes, GrnSpec};
use super::selection::{Role, SelectionSpec, Shared};
use super::sequence::LstmSpec;
use crate::architecture::Architecture;
use crate::weights::{BlockId, Init, Layout};

/// Where the parameters of each module lie.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) embeddings: EmbeddingsSpec,
    pub(crate) shared: Shared,
    pub(crate) statics: SelectionSpec,
    pub(crate) encoder: SelectionSpec,
    pub(crate) decoder: SelectionSpec,
    pub(crate) context_selection: GrnSpec,
    pub(crate) context_hidden: GrnSpec,
    pub(crate) context_cell: GrnSpec,
    pub(crate) context_enrichment: GrnSpec,
    pub(crate) lstm_encoder: LstmSpec,
    pub(crate) lstm_decoder: LstmSpec,
    pub(crate) post_lstm: GateNormSpec,
    pub(crate) enrichment: GrnSpec,
    pub(crate) attention: AttentionSpec,
    pub(crate) post_attention: GateNormSpec,
    pub(crate) position_wise: GrnSpec,
    pub(crate) pre_output: GateNormSpec,
    pub(crate) outputs: Vec<(BlockId, BlockId)>,
    pub(crate) direct: Option<DirectSpec>,
}

impl Parts {
    pub(crate) fn register(layout: &mut Layout, architecture: &Architecture) -> Self {
        let h = architecture.hidden_size;
        let embeddings = EmbeddingsSpec::register(layout, architecture);
        let shared = Shared::register(layout, architecture);
        let statics = SelectionSpec::register(layout, architecture, Role::Static, &shared);
        let encoder = SelectionSpec::register(layout, architecture, Role::Encoder, &shared);
        let decoder = SelectionSpec::register(layout, architecture, Role::Decoder, &shared);
        let mut square = |name: &str| GrnSpec::register(layout, name, GrnSizes::square(h));
        let context_selection = square("static_context_variable_selection");
        let context_hidden = square("static_context_initial_hidden_lstm");
        let context_cell = square("static_context_initial_cell_lstm");
        let context_enrichment = square("static_context_enrichment");
        let position_wise = square("pos_wise_ff");
        let lstm_encoder = LstmSpec::register(layout, "lstm_encoder", h, architecture.lstm_layers);
        let lstm_decoder = LstmSpec::register(layout, "lstm_decoder", h, architecture.lstm_layers);
        let post_lstm = GateNormSpec::register(
            layout,
            "post_lstm_gate_encoder.fc",
            "post_lstm_add_norm_encoder.norm",
            h,
            h,
        );
        for part in ["weight", "bias"] {
            layout.alias(
                &format!("post_lstm_gate_encoder.fc.{part}"),
                format!("post_lstm_gate_decoder.fc.{part}"),
            );
            let norm = format!("post_lstm_add_norm_encoder.norm.{part}");
            layout.alias(&norm, format!("post_lstm_add_norm_decoder.norm.{part}"));
        }
        let enrichment = GrnSizes {
            context: Some(h),
            ..GrnSizes::square(h)
        };
        Self {
            embeddings,
            shared,
            statics,
            encoder,
            decoder,
            context_selection,
            context_hidden,
            context_cell,
            context_enrichment,
            lstm_encoder,
            lstm_decoder,
            post_lstm,
            enrichment: GrnSpec::register(layout, "static_enrichment", enrichment),
            attention: AttentionSpec::register(layout, "multihead_attn", architecture),
            post_attention: GateNormSpec::register_under(layout, "post_attn_gate_norm", h, h),
            position_wise,
            pre_output: GateNormSpec::register_under(layout, "pre_output_gate_norm", h, h),
            outputs: register_outputs(layout, architecture),
            direct: DirectSpec::register(layout, architecture),
        }
    }
}

/// A single target's layer is called `output_layer`, those of several `output_layer.0`, `output_layer.1`, …
fn register_outputs(layout: &mut Layout, architecture: &Architecture) -> Vec<(BlockId, BlockId)> {
    let h = architecture.hidden_size;
    let several = architecture.targets.len() > 1;
    let init = Init::torch_default(h);
    let mut register = |(index, outputs): (usize, i64)| {
        let prefix = if several {
            format!("output_layer.{index}")
        } else {
            "output_layer".to_owned()
        };
        let weight = layout.add(format!("{prefix}.weight"), &[outputs, h], init);
        (
            weight,
            layout.add(format!("{prefix}.bias"), &[outputs], init),
        )
    };
    architecture
        .targets
        .iter()
        .map(|target| target.outputs)
        .enumerate()
        .map(&mut register)
        .collect()
}
