//! The network on the processor, without libtorch: forward and backward, fused.
//!
//! libtorch runs one operator at a time over a whole chunk, and at this network's sizes every operator waits for
//! memory. Here a *tile* of a few steps goes through all row-wise parts at once while it is in the first-level cache.
//! Both implementations compute the same function (see `ARCHITECTURE.md`); libtorch's is the reference, runs on cards,
//! and serves what [`Kernel::supports`] refuses.
//!
//! Conventions: a chunk has `n` windows. Buffers are row-major `[rows, features]`, rows are time-major: row
//! `t · n + w` is step `t` of window `w`, encoder steps first, then decoder steps. A row's window is `row % n`.

mod answer;
mod attention;
mod back;
mod batch;
mod blend;
mod direct;
mod direct_batch;
mod gate;
mod grn;
mod head;
mod linear;
mod loss;
mod lstm;
mod matrix;
mod pass;
mod scores;
mod selection;
pub(crate) mod simd;
#[cfg(test)]
mod tests;
mod word;
mod workspace;

use self::attention::Attention;
use self::batch::CodeLimit;
use self::direct::Direct;
use self::gate::GateNorm;
use self::grn::Grn;
use self::head::Head;
use self::lstm::Lstm;
use self::selection::Selection;
use crate::architecture::Architecture;
use crate::errors::{ArchitectureError, WeightsError};
use crate::network::lay_out;
use crate::network::selection::Role;

pub use self::answer::Answer;
pub use self::batch::{Batch, Half};
pub use self::direct_batch::DirectBatch;
pub use self::loss::Targets;
pub use self::workspace::Workspace;

/// Masks weaker than this would leave hidden steps a share of the attention.
const WEAKEST_MASK: f64 = -1e4;

/// Inputs of a run of rows, time-major and of whole steps: row `r` belongs to window `r % windows`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Windows of the chunk.
    pub(crate) windows: usize,
    /// `[rows, real columns]`.
    pub(crate) reals: &'a [f32],
    /// Category codes, `[rows, categorical columns]`; within the embeddings' classes.
    pub(crate) codes: &'a [i64],
    /// Number of rows, a multiple of `windows`.
    pub(crate) len: usize,
}

/// The network's parameters, folded and packed for its products. Threads share one; each has a [`Workspace`].
#[derive(Debug)]
pub struct Kernel {
    architecture: Architecture,
    limits: Vec<CodeLimit>,
    parameters: usize,
    statics: Selection,
    encoder: Selection,
    decoder: Selection,
    /// From the static vector to what selection, the LSTMs' start and the enrichment get.
    contexts: [Grn; 4],
    lstm_encoder: Lstm,
    lstm_decoder: Lstm,
    post_lstm: GateNorm,
    enrichment: Grn,
    attention: Attention,
    head: Head,
    direct: Option<Direct>,
}

impl Kernel {
    /// Whether the kernel computes what a network of this architecture computes. It has no shared
    /// single-variable networks, no categorical variable of several columns, and no dropout.
    pub fn supports(architecture: &Architecture) -> bool {
        architecture.mask_bias <= WEAKEST_MASK && selection::supports(architecture).is_ok()
    }

    /// A kernel for an architecture that it [supports](Self::supports); [`Self::bind`] gives it parameters.
    ///
    /// # Errors
    /// When the architecture is impossible or not supported.
    pub fn new(architecture: &Architecture) -> Result<Self, WeightsError> {
        let (layout, parts) = lay_out(architecture)?;
        let hidden = architecture.hidden_size as usize;
        let select = |role: Role| {
            let refuse = |problem: &str| ArchitectureError::Invalid {
                key: role.prefix().to_owned(),
                problem: format!("is not for the kernel: {problem}"),
            };
            Selection::new(architecture, &layout, role).map_err(refuse)
        };
        let contexts = [
            &parts.context_selection,
            &parts.context_hidden,
            &parts.context_cell,
            &parts.context_enrichment,
        ];
        Ok(Self {
            limits: CodeLimit::all(architecture),
            parameters: layout.len(),
            statics: select(Role::Static)?,
            encoder: select(Role::Encoder)?,
            decoder: select(Role::Decoder)?,
            contexts: contexts.map(|spec| Grn::new(&layout, spec)),
            lstm_encoder: Lstm::new(&layout, &parts.lstm_encoder, hidden),
            lstm_decoder: Lstm::new(&layout, &parts.lstm_decoder, hidden),
            post_lstm: GateNorm::new(&layout, &parts.post_lstm),
            enrichment: Grn::new(&layout, &parts.enrichment),
            attention: Attention::new(&layout, &parts.attention, architecture),
            head: Head::new(&layout, &parts, hidden),
            direct: (parts.direct.as_ref())
                .map(|spec| Direct::new(&layout, spec, architecture.targets.len())),
            architecture: architecture.clone(),
        })
    }

    /// Takes parameters, in the order of [`crate::Network::parameters`].
    ///
    /// # Panics
    /// When there are not as many as the architecture has.
    pub fn bind(&mut self, parameters: &[f32]) {
        assert_eq!(
            parameters.len(),
            self.parameters,
            "parameters of another network"
        );
        for selection in [&mut self.statics, &mut self.encoder, &mut self.decoder] {
            selection.bind(parameters);
        }
        self.contexts
            .iter_mut()
            .for_each(|grn| grn.bind(parameters));
        self.lstm_encoder.bind(parameters);
        self.lstm_decoder.bind(parameters);
        self.post_lstm.bind(parameters);
        self.enrichment.bind(parameters);
        self.attention.bind(parameters);
        self.head.bind(parameters);
        if let Some(direct) = &mut self.direct {
            direct.bind(parameters);
        }
    }

    /// Length of the parameters and of their gradient.
    pub fn parameters(&self) -> usize {
        self.parameters
    }
}

/// Gives a buffer a length. What it holds means nothing; memory is asked for when it grows, and kept.
fn resize(buffer: &mut Vec<f32>, len: usize) {
    buffer.resize(len, 0.0);
}
