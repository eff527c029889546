//! The network that weighs variables, step by step.
//!
//! Its input, the concatenation of all prescaled variables, is never made: the first layer and the interpolated
//! residual are linear in it, so each variable contributes on its own.

use tch::{Kind, Tensor};

use super::reals::Prescalers;
use super::rows::Rows;
use super::{CategorySpec, Selection, SelectionSpec};
use crate::network::Torch;
use crate::network::embedding::Embedding;
use crate::network::grn::{
    Binding, GrnTail, GrnTailSpec, LinearSpec, Norm, ResampleSpec, double_sigmoid, index,
    interpolation,
};
use crate::weights::{BlockId, Init, Layout, Views};

/// Places of the network's parameters.
#[derive(Debug)]
pub(crate) struct WeightsSpec {
    fc1: LinearSpec,
    context: Option<BlockId>,
    resample: Option<ResampleSpec>,
    tail: GrnTailSpec,
    input: i64,
    variables: i64,
}

impl WeightsSpec {
    pub(crate) fn register(
        layout: &mut Layout,
        prefix: &str,
        input: i64,
        hidden: i64,
        variables: i64,
        context: Option<i64>,
    ) -> Self {
        let prefix = format!("{prefix}.flattened_grn");
        let inner = hidden.min(variables);
        Self {
            fc1: LinearSpec::register(
                layout,
                &format!("{prefix}.fc1"),
                input,
                inner,
                Init::kaiming(input),
            ),
            context: context.map(|size| {
                layout.add(
                    format!("{prefix}.context.weight"),
                    &[inner, size],
                    Init::xavier(inner, size),
                )
            }),
            resample: (input != variables).then(|| {
                ResampleSpec::register(layout, &format!("{prefix}.resample_norm"), input, variables)
            }),
            tail: GrnTailSpec::register(layout, &prefix, inner, variables),
            input,
            variables,
        }
    }

    pub(crate) fn bind(
        &self,
        views: &Views,
        selection: &SelectionSpec,
        prescalers: &[Prescalers],
        embeddings: &[Embedding],
        binding: Binding,
    ) -> Torch<Weights> {
        let fc1 = views[self.fc1.weight].f_transpose(0, 1)?;
        let interpolation = interpolation(self.input, self.variables, &fc1)?;
        let (residual, residual_norm) = match &self.resample {
            Some(spec) => {
                let gate = double_sigmoid(&views[spec.mask])?;
                (interpolation.f_mul(&gate)?, Some(spec.norm.bind(views)))
            }
            None => (interpolation, None),
        };
        let contribute = |matrix: &Tensor, bias: Option<&Tensor>| {
            Contributions::bind(matrix, bias, selection, prescalers, embeddings, binding)
        };
        Ok(Weights {
            first: contribute(&fc1, Some(&views[self.fc1.bias]))?,
            residual: contribute(&residual, None)?,
            residual_norm,
            context: self.context.map(|id| views[id].shallow_clone()),
            tail: self.tail.bind(views, binding)?,
        })
    }
}

/// A product of the concatenated inputs with a matrix, taken apart by variable.
#[derive(Debug)]
struct Contributions {
    /// One table `[classes, width]` per categorical variable.
    tables: Vec<Tensor>,
    /// One matrix `[v, width]` per group of real variables.
    slopes: Vec<Tensor>,
    /// What does not depend on the inputs, `[width]`.
    constant: Tensor,
}

impl Contributions {
    /// `matrix` is `[concatenated inputs, width]`.
    fn bind(
        matrix: &Tensor,
        bias: Option<&Tensor>,
        selection: &SelectionSpec,
        prescalers: &[Prescalers],
        embeddings: &[Embedding],
        binding: Binding,
    ) -> Torch<Self> {
        let width = matrix.size()[1];
        let table = |spec: &CategorySpec| {
            embeddings[spec.embedding].table.f_matmul(&matrix.f_narrow(
                0,
                spec.span.0,
                spec.span.1,
            )?)
        };
        let tables = selection
            .categories
            .iter()
            .map(table)
            .collect::<Torch<_>>()?;
        let mut constant = match bias {
            Some(bias) => bias.shallow_clone(),
            None => Tensor::f_zeros([width], (matrix.kind(), binding.device))?,
        };
        let mut slopes = Vec::new();
        for (spec, scalers) in selection.reals.iter().zip(prescalers) {
            let rows = matrix.f_index_select(0, &index(&spec.rows, binding.device)?)?;
            let by_variable = rows.f_view([-1, spec.size, width])?;
            slopes.push(
                scalers
                    .weight
                    .f_unsqueeze(1)?
                    .f_bmm(&by_variable)?
                    .f_squeeze_dim(1)?,
            );
            constant = constant.f_add(
                &scalers
                    .bias
                    .f_reshape([1, -1])?
                    .f_matmul(&rows)?
                    .f_squeeze_dim(0)?,
            )?;
        }
        Ok(Self {
            tables,
            slopes,
            constant,
        })
    }

    /// `[rows, width]`, from each real group's inputs `[v, rows]`.
    fn forward(
        &self,
        selection: &Selection,
        rows: &Rows,
        reals: &[Tensor],
        embeddings: &[Embedding],
    ) -> Torch<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (x, slopes) in reals.iter().zip(&self.slopes) {
            let x = x.f_transpose(0, 1)?;
            sum = Some(match sum {
                None => self.constant.f_addmm(&x, slopes)?,
                Some(mut sum) => sum.f_addmm_(&x, slopes)?,
            });
        }
        let mut sum = match sum {
            Some(sum) => sum,
            None => self.constant.f_unsqueeze(0)?.f_repeat([rows.len(), 1])?,
        };
        for (category, table) in selection.categories.iter().zip(&self.tables) {
            sum = sum.f_add_(&embeddings[category.embedding].look_up(table, &rows.codes)?)?;
        }
        Ok(sum)
    }
}

/// The network.
#[derive(Debug)]
pub(crate) struct Weights {
    first: Contributions,
    residual: Contributions,
    residual_norm: Option<Norm>,
    context: Option<Tensor>,
    tail: GrnTail,
}

impl Weights {
    /// Softmax weights, `[rows, v]`.
    pub(crate) fn forward(
        &self,
        selection: &Selection,
        rows: &Rows,
        reals: &[Tensor],
        context: Option<&Tensor>,
        embeddings: &[Embedding],
    ) -> Torch<Tensor> {
        let first = self.first.forward(selection, rows, reals, embeddings)?;
        let first = match (&self.context, context) {
            (Some(weight), Some(context)) => {
                let context = context.f_linear(weight, None::<&Tensor>)?.f_unsqueeze(1)?;
                rows.unfold(&first)?
                    .f_add(&context)?
                    .f_view([rows.len(), -1])?
            }
            _ => first,
        };
        let residual = self.residual.forward(selection, rows, reals, embeddings)?;
        let residual = match &self.residual_norm {
            Some(norm) => norm.forward(&residual)?,
            None => residual,
        };
        self.tail
            .forward(first, &residual)?
            .f_softmax(-1, None::<Kind>)
    }
}
