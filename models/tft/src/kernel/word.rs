//! The gates through which the network's own word passes on to its outputs: see [`crate::network::direct`].

use super::simd::{LANES, Simd, dispatched, sigmoid};

/// Makes outputs, `[outputs]` of each row, of those of the output layers, of the direct path's `words [rows, outputs + 1]`,
/// whose last numbers are the gates' logits, and of the averages of the simple forecasts, one a row. `words` become the
/// whole of the network's word, and the gates themselves.
pub(super) fn gate<'a>(
    words: &mut [f32],
    averages: &[f32],
    gates: &mut Vec<f32>,
    outputs: impl Iterator<Item = &'a mut [f32]>,
) {
    let width = words.len() / averages.len().max(1);
    gates.clear();
    gates.extend(words.iter().skip(width - 1).step_by(width));
    open(gates);
    let words = words.chunks_exact_mut(width).zip(&*gates);
    for ((out, (word, open)), average) in outputs.zip(words).zip(averages) {
        word[width - 1] = *open;
        for (out, word) in out.iter_mut().zip(word) {
            *word += *out;
            *out = open * *word + average;
        }
    }
}

dispatched! {
    /// What is let through of each logit, 0 to 2.
    fn open(logits: &mut [f32]) = open_body;
}

#[inline(always)]
fn open_body<S: Simd>(simd: S, logits: &mut [f32]) {
    for logits in logits.chunks_mut(LANES) {
        let half = sigmoid(simd, simd.load_part(logits));
        simd.store_part(logits, simd.add(half, half));
    }
}

/// From the derivatives of a row by the outputs to those by the direct path's word and its gate's logit, and in place to
/// those by the output layers.
pub(super) fn gate_backward(word: &[f32], d_out: &mut [f32], d_word: &mut [f32]) {
    let (Some((open, word)), Some((d_logit, d_word))) =
        (word.split_last(), d_word.split_last_mut())
    else {
        return;
    };
    let d_open: f32 = word.iter().zip(&*d_out).map(|(word, d)| word * d).sum();
    *d_logit = d_open * open * (1.0 - open / 2.0);
    for (d_out, d_word) in d_out.iter_mut().zip(d_word) {
        *d_out *= open;
        *d_word = *d_out;
    }
}
