//! The network on the processor, without libtorch: forward and backward, fused.
//!
//! libtorch runs one operator at a time over a whole chunk, and at this network's sizes every operator waits for
//! memory. Here a *tile* of a few steps goes through all row-wise parts at once while it is in the first-level cache.
//! Both implementations compute the same function (see `ARCHITECTURE.md`); libtorch's is the reference, runs on cards,
//! and serves what [`Kernel::supports`] refuses.
//!
//! Conventions: a chunk has `n` windows. Buffers are row-major `[rows, features]`, rows are time-major: row
//! `t · n + w` is step `t` of window `w`, encoder steps first, then decoder steps. A row's window is `row % n`.

mod matrix;
mod simd;

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
