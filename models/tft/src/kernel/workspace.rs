//! What a thread needs to run chunks; it grows to the largest chunk and is kept.

use super::answer::Answer;
use super::attention::{AttentionGradient, AttentionSpace};
use super::direct::{DirectGradient, DirectTrace};
use super::gate::{GateGradient, GateTrace};
use super::grn::{GrnGradient, GrnTrace};
use super::head::{HeadGradient, HeadTrace};
use super::lstm::{LstmGradient, State, Trace};
use super::selection::Saved;

/// Buffers of one thread. What they hold between two runs means nothing.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) answer: Answer,
    pub(super) statics: Statics,
    pub(super) encoder: HalfSpace,
    pub(super) decoder: HalfSpace,
    /// State between encoder and decoder; the derivative by it on the way back.
    pub(super) state: State,
    pub(super) tile: Tile,
    /// Decoder rows of what the tile has of the same name.
    pub(super) future: Tile,
    /// Queries of decoder rows, keys and values of all rows, mean of the heads for decoder rows.
    pub(super) queries: Vec<f32>,
    pub(super) keys_values: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) d_queries: Vec<f32>,
    pub(super) d_keys_values: Vec<f32>,
    pub(super) d_mean: Vec<f32>,
    pub(super) d_raw: Vec<f32>,
    pub(super) attention: AttentionSpace,
    pub(super) head: HeadTrace,
    pub(super) direct: DirectTrace,
    pub(super) gradients: Option<Box<Gradients>>,
}

/// What is computed once a window.
#[derive(Debug, Default)]
pub(super) struct Statics {
    pub(super) saved: Saved,
    /// The static vector, `[n, h]`.
    pub(super) selected: Vec<f32>,
    /// The four contexts, `[n, h]` each.
    pub(super) contexts: [Vec<f32>; 4],
    pub(super) traces: [GrnTrace; 4],
    /// The enrichment's context as its first layer adds it.
    pub(super) projected: Vec<f32>,
    pub(super) d_selected: Vec<f32>,
    pub(super) d_contexts: [Vec<f32>; 4],
    pub(super) d_projected: Vec<f32>,
}

/// Of the encoder or the decoder.
#[derive(Debug, Default)]
pub(super) struct HalfSpace {
    pub(super) saved: Saved,
    /// What the selection network selects, `[rows, h]`.
    pub(super) selected: Vec<f32>,
    pub(super) d_selected: Vec<f32>,
    /// Of all steps in training, of one tile otherwise.
    pub(super) lstm: Trace,
}

/// A few steps on their way from the LSTM to the attention.
#[derive(Debug, Default)]
pub(super) struct Tile {
    /// After the gate that follows the LSTM, `[rows, h]`.
    pub(super) temporal: Vec<f32>,
    /// After the enrichment, `[rows, h]`.
    pub(super) enriched: Vec<f32>,
    pub(super) d_temporal: Vec<f32>,
    pub(super) d_enriched: Vec<f32>,
    pub(super) post_lstm: GateTrace,
    pub(super) enrichment: GrnTrace,
}

/// What a chunk teaches, by part; brought together in the flat gradient at its end.
#[derive(Debug)]
pub(super) struct Gradients {
    pub(super) contexts: [GrnGradient; 4],
    pub(super) lstm_encoder: LstmGradient,
    pub(super) lstm_decoder: LstmGradient,
    pub(super) post_lstm: GateGradient,
    pub(super) enrichment: GrnGradient,
    pub(super) attention: AttentionGradient,
    pub(super) head: HeadGradient,
    pub(super) direct: Option<DirectGradient>,
}
