//! Buffers that inputs are written into, column by column.

use tch::{Kind, Tensor};

use crate::network::Torch;

/// Buffers of one half of the inputs, `[n, steps, columns]` each.
pub(crate) struct Block {
    reals: Vec<f32>,
    codes: Vec<i64>,
    shape: [usize; 2],
    columns: [usize; 2],
}

/// One column of one window.
pub(crate) struct Strided<'a, T> {
    values: &'a mut [T],
    offset: usize,
    stride: usize,
    pub(crate) len: usize,
}

impl<T> Strided<'_, T> {
    pub(crate) fn set(&mut self, step: usize, value: T) {
        self.values[self.offset + step * self.stride] = value;
    }
}

impl Block {
    pub(crate) fn new(windows: usize, steps: usize, reals: usize, categories: usize) -> Self {
        let rows = windows * steps;
        Self {
            reals: vec![0.0; rows * reals],
            codes: vec![0; rows * categories],
            shape: [windows, steps],
            columns: [reals, categories],
        }
    }

    pub(crate) fn real(&mut self, window: usize, column: usize) -> Strided<'_, f32> {
        let (stride, len) = (self.columns[0], self.shape[1]);
        Strided {
            values: &mut self.reals,
            offset: window * len * stride + column,
            stride,
            len,
        }
    }

    pub(crate) fn codes(&mut self, window: usize, column: usize) -> Strided<'_, i64> {
        let (stride, len) = (self.columns[1], self.shape[1]);
        Strided {
            values: &mut self.codes,
            offset: window * len * stride + column,
            stride,
            len,
        }
    }

    pub(crate) fn tensors(&self) -> Torch<(Tensor, Tensor)> {
        let shape = |columns: usize| [self.shape[0] as i64, self.shape[1] as i64, columns as i64];
        let reals = Tensor::f_from_slice(&self.reals)?.f_view(shape(self.columns[0]))?;
        let codes = Tensor::f_from_slice(&self.codes)?.f_view(shape(self.columns[1]))?;
        Ok((reals, codes.f_to_kind(Kind::Int64)?))
    }
}
