//! Embeddings of categorical variables.

use tch::{Kind, Tensor};

use super::Torch;
use super::grn::Binding;
use crate::architecture::Architecture;
use crate::weights::{BlockId, Init, Layout, Views};

/// Places of all embedding tables, in the architecture's order.
#[derive(Debug)]
pub(crate) struct EmbeddingsSpec(Vec<EmbeddingSpec>);

#[derive(Debug)]
struct EmbeddingSpec {
    table: BlockId,
    classes: i64,
    zero_padding: bool,
    /// Positions of its columns among the categorical inputs.
    columns: Vec<i64>,
}

impl EmbeddingsSpec {
    pub(crate) fn register(layout: &mut Layout, architecture: &Architecture) -> Self {
        let spec = |embedding: &crate::architecture::Embedding| {
            let name = format!("input_embeddings.embeddings.{}.weight", embedding.name);
            let init = if embedding.zero_padding {
                Init::PaddedRows
            } else {
                Init::Normal(1.0)
            };
            let position = |column| {
                architecture
                    .categorical_columns
                    .iter()
                    .position(|name| name == column)
            };
            EmbeddingSpec {
                table: layout.add(name, &[embedding.classes, embedding.size], init),
                classes: embedding.classes,
                zero_padding: embedding.zero_padding,
                columns: embedding
                    .columns
                    .iter()
                    .filter_map(position)
                    .map(|index| index as i64)
                    .collect(),
            }
        };
        Self(architecture.embeddings.iter().map(spec).collect())
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> Torch<Vec<Embedding>> {
        let bind = |spec: &EmbeddingSpec| {
            let table = &views[spec.table];
            // Looking every row up once marks row 0 as padding for the derivative and changes no value.
            let table = if spec.zero_padding {
                let rows = Tensor::f_arange(spec.classes, (Kind::Int64, binding.device))?;
                Tensor::f_embedding(table, &rows, 0, false, false)?
            } else {
                table.shallow_clone()
            };
            Ok(Embedding {
                table,
                columns: spec.columns.clone(),
            })
        };
        self.0.iter().map(bind).collect()
    }
}

/// One embedding: its table `[classes, size]` and the columns it reads.
#[derive(Debug)]
pub(crate) struct Embedding {
    pub(crate) table: Tensor,
    columns: Vec<i64>,
}

impl Embedding {
    /// Rows of `table` (this embedding's own, or one computed from it row by row) for the codes `[columns, rows]`;
    /// a variable of several columns adds their rows up.
    ///
    /// Only a function that is linear may be applied to the table beforehand where there are several columns.
    pub(crate) fn look_up(&self, table: &Tensor, codes: &Tensor) -> Torch<Tensor> {
        let mut sum: Option<Tensor> = None;
        for column in &self.columns {
            let rows = table.f_index_select(0, &codes.f_select(0, *column)?)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&rows)?,
                None => rows,
            });
        }
        sum.ok_or_else(|| tch::TchError::Shape("an embedding without columns is in use".to_owned()))
    }

    /// Whether a function of one row can be taken from a table of that function's values.
    pub(crate) fn is_single(&self) -> bool {
        self.columns.len() == 1
    }
}
