//! What goes into the network and what comes out.

use tch::Tensor;

/// A batch of network inputs. All columns are there in encoder and decoder; the network picks by name, and what it
/// does not read (static columns after the first step, observed ones ahead) may hold anything finite.
#[derive(Debug)]
pub struct Inputs {
    /// Real inputs of the past, `[n, encoder steps, real columns]`, f32; zero past a window's length.
    pub encoder_reals: Tensor,
    /// Category codes of the past, `[n, encoder steps, categorical columns]`, i64.
    pub encoder_categories: Tensor,
    /// Real inputs of the future, `[n, decoder steps, real columns]`, f32.
    pub decoder_reals: Tensor,
    /// Category codes of the future, `[n, decoder steps, categorical columns]`, i64.
    pub decoder_categories: Tensor,
    /// Valid encoder steps of each window; padding is on the right.
    pub encoder_lengths: Vec<i64>,
    /// Valid decoder steps of each window.
    pub decoder_lengths: Vec<i64>,
    /// What the direct paths read; `None` for an architecture without.
    pub direct: Option<DirectTensors>,
}

/// Inputs of the direct paths of `m` targets, f32.
#[derive(Debug)]
pub struct DirectTensors {
    /// `[m, decoder steps, n, inputs]`.
    pub step: Tensor,
    /// `[m, n, inputs]`.
    pub window: Tensor,
    /// `[decoder steps, n, inputs]`.
    pub time: Tensor,
}

impl Inputs {
    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.encoder_lengths.len()
    }
}

/// Whether dropout is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No dropout.
    Eval,
    /// Dropout from torch's global generator (`tch::manual_seed`).
    Train,
}

/// What to return beside the predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// Attention weights.
    pub attention: bool,
    /// Variable selection weights.
    pub weights: bool,
}

/// What the network says.
#[derive(Debug)]
pub struct Outputs {
    /// Raw outputs of all targets side by side, `[n, decoder steps, sum of the targets' outputs]`.
    pub raw: Tensor,
    /// Number of outputs of each target.
    pub(crate) target_outputs: Vec<i64>,
    /// Attention weights, if asked for.
    pub attention: Option<Attention>,
    /// Variable selection weights, if asked for.
    pub weights: Option<SelectionWeights>,
}

impl Outputs {
    /// Raw outputs of one target, `[n, decoder steps, outputs]`; a view.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn target(&self, index: usize) -> Tensor {
        let start = self.target_outputs[..index].iter().sum();
        self.raw.narrow(-1, start, self.target_outputs[index])
    }
}

/// Attention weights of each decoder step (horizon); they sum to 1 over encoder and decoder together.
#[derive(Debug)]
pub struct Attention {
    /// On encoder steps, `[n, decoder steps, heads, encoder steps]`.
    pub encoder: Tensor,
    /// On decoder steps, `[n, decoder steps, heads, decoder steps]`.
    pub decoder: Tensor,
}

/// Variable selection weights; they sum to 1 over the last axis.
#[derive(Debug)]
pub struct SelectionWeights {
    /// Of static variables, `[n, variables]`.
    pub statics: Tensor,
    /// Of encoder variables, `[n, encoder steps, variables]`.
    pub encoder: Tensor,
    /// Of decoder variables, `[n, decoder steps, variables]`.
    pub decoder: Tensor,
}
