//! Buffers that inputs are written into, column by column.

use crate::kernel::Half;

/// Buffers of one half of the inputs, step by step.
pub(crate) struct Block {
    half: Half,
    windows: usize,
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
            half: Half {
                steps,
                reals: vec![0.0; rows * reals],
                codes: vec![0; rows * categories],
            },
            windows,
            columns: [reals, categories],
        }
    }

    pub(crate) fn real(&mut self, window: usize, column: usize) -> Strided<'_, f32> {
        let width = self.columns[0];
        Strided {
            values: &mut self.half.reals,
            offset: window * width + column,
            stride: self.windows * width,
            len: self.half.steps,
        }
    }

    pub(crate) fn codes(&mut self, window: usize, column: usize) -> Strided<'_, i64> {
        let width = self.columns[1];
        Strided {
            values: &mut self.half.codes,
            offset: window * width + column,
            stride: self.windows * width,
            len: self.half.steps,
        }
    }

    pub(crate) fn into_half(self) -> Half {
        self.half
    }
}
