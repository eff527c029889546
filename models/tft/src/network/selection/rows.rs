//! Inputs as the selection networks read them.

use tch::Tensor;

use crate::network::Torch;

/// Inputs with windows and steps as one axis of rows.
pub(crate) struct Rows {
    /// `[columns, rows]`, f32.
    pub(crate) reals: Tensor,
    /// `[columns, rows]`, i64.
    pub(crate) codes: Tensor,
    /// What the rows are: `[n]` or `[n, steps]`.
    shape: Vec<i64>,
}

impl Rows {
    /// From `reals` and `codes`, each `[n, steps, columns]`.
    pub(crate) fn new(reals: &Tensor, codes: &Tensor) -> Torch<Self> {
        let (n, steps, _) = reals.size3()?;
        let turn = |t: &Tensor| t.f_permute([2, 0, 1])?.f_reshape([t.size()[2], n * steps]);
        Ok(Self {
            reals: turn(reals)?,
            codes: turn(codes)?,
            shape: vec![n, steps],
        })
    }

    /// The first step alone, from which static variables are read.
    pub(crate) fn first_step(&self) -> Torch<Self> {
        let first = |t: &Tensor| {
            t.f_view([t.size()[0], self.shape[0], self.shape[1]])?
                .f_select(2, 0)?
                .f_contiguous()
        };
        Ok(Self {
            reals: first(&self.reals)?,
            codes: first(&self.codes)?,
            shape: vec![self.shape[0]],
        })
    }

    pub(crate) fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// `[rows, width]` with the rows as they are: `[n, width]` or `[n, steps, width]`.
    pub(crate) fn unfold(&self, t: &Tensor) -> Torch<Tensor> {
        let shape: Vec<i64> = self.shape.iter().copied().chain([t.size()[1]]).collect();
        t.f_view(shape.as_slice())
    }
}
