//! Where each parameter lies in the one flat vector that holds them all.
//!
//! The network keeps its parameters in a single flat tensor. An optimiser then steps on one tensor instead of on
//! several hundred small ones, a checkpoint is three vectors, and a shared parameter exists once by construction. A
//! [`Layout`] maps names to ranges. Parameters of like shape that are used together (say, the first layers of all
//! real variables' networks) lie next to each other in one *block*, so that the forward pass gets them stacked along a
//! leading axis without copying: splitting the flat vector at block borders gives views, and its derivative is a
//! single concatenation.

use std::collections::BTreeMap;
use std::ops::{Index, Range};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::Tensor;

use crate::errors::{Mismatch, WeightsError};
use crate::network::Torch;

/// Most parameters that are believed; keeps a malformed configuration from asking for all memory.
pub(crate) const MAX_PARAMETERS: usize = 1 << 28;

/// How a parameter is filled before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Uniform in `-bound ..= bound`.
    Uniform(f64),
    /// Normal with mean 0 and this deviation.
    Normal(f64),
    /// Standard normal rows, except the first, which is zero (the padding category).
    PaddedRows,
}

impl Init {
    /// Xavier's uniform distribution for a matrix `[fan_out, fan_in]`.
    pub(crate) fn xavier(fan_out: i64, fan_in: i64) -> Self {
        Self::Uniform((6.0 / (fan_in + fan_out) as f64).sqrt())
    }

    /// Kaiming's normal distribution for a layer followed by a rectifier.
    pub(crate) fn kaiming(fan_in: i64) -> Self {
        Self::Normal((2.0 / fan_in as f64).sqrt())
    }

    /// What torch gives weights and biases of a linear layer or LSTM by default.
    pub(crate) fn torch_default(fan_in: i64) -> Self {
        Self::Uniform(1.0 / (fan_in as f64).sqrt())
    }
}

/// A block of the flat vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId(usize);

#[derive(Debug)]
struct Block {
    /// One name per parameter of the block.
    names: Vec<String>,
    /// Shape of each parameter.
    shape: Vec<i64>,
    /// Shape of the view: `shape`, with the number of parameters in front if the block is stacked.
    view: Vec<i64>,
    init: Init,
    decay: bool,
}

/// One parameter: where it lies and what it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [i64],
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) decay: bool,
    init: Init,
}

/// Names, shapes and places of all parameters of a network.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    blocks: Vec<Block>,
    /// Further names under which a state dict may list a shared parameter.
    aliases: BTreeMap<String, Vec<String>>,
}

/// The blocks as views of one flat tensor.
pub(crate) struct Views(Vec<Tensor>);

impl Index<BlockId> for Views {
    type Output = Tensor;

    fn index(&self, id: BlockId) -> &Tensor {
        &self.0[id.0]
    }
}

impl Layout {
    /// Adds one parameter.
    pub(crate) fn add(&mut self, name: String, shape: &[i64], init: Init) -> BlockId {
        self.push(vec![name], shape, shape.to_vec(), init)
    }

    /// Adds parameters of like shape, seen as one tensor `[names, shape…]`.
    pub(crate) fn stack(&mut self, names: Vec<String>, shape: &[i64], init: Init) -> BlockId {
        let view = std::iter::once(names.len() as i64)
            .chain(shape.iter().copied())
            .collect();
        self.push(names, shape, view, init)
    }

    fn push(&mut self, names: Vec<String>, shape: &[i64], view: Vec<i64>, init: Init) -> BlockId {
        // Weight decay pulls matrices to zero; biases, norms and masks have no reason to be there.
        let decay = matches!(init, Init::Uniform(_) | Init::Normal(_)) && shape.len() == 2;
        self.blocks.push(Block {
            names,
            shape: shape.to_vec(),
            view,
            init,
            decay,
        });
        BlockId(self.blocks.len() - 1)
    }

    /// Lets a state dict list the parameter `name` as `alias` too.
    pub(crate) fn alias(&mut self, name: &str, alias: String) {
        self.aliases.entry(name.to_owned()).or_default().push(alias);
    }

    /// All parameters in the order of the flat vector.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut offset = 0;
        self.blocks
            .iter()
            .flat_map(|block| block.names.iter().map(move |name| (block, name)))
            .map(move |(block, name)| {
                let len = elements(&block.shape);
                let entry = Entry {
                    name,
                    shape: &block.shape,
                    offset,
                    len,
                    decay: block.decay,
                    init: block.init,
                };
                offset += len;
                entry
            })
    }

    /// Length of the flat vector.
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().fold(0, |sum: usize, block| {
            sum.saturating_add(elements(&block.view))
        })
    }

    /// Where a block lies in the flat vector.
    pub(crate) fn range(&self, id: BlockId) -> Range<usize> {
        let start = self.blocks[..id.0]
            .iter()
            .map(|block| elements(&block.view))
            .sum();
        start..start + elements(&self.blocks[id.0].view)
    }

    /// Splits the flat tensor into its blocks. Views, so no value is copied.
    pub(crate) fn views(&self, flat: &Tensor) -> Torch<Views> {
        let sizes: Vec<i64> = self
            .blocks
            .iter()
            .map(|block| elements(&block.view) as i64)
            .collect();
        let parts = flat.f_split_with_sizes(sizes.as_slice(), 0)?;
        let shaped = parts
            .iter()
            .zip(&self.blocks)
            .map(|(part, block)| part.f_view(block.view.as_slice()));
        Ok(Views(shaped.collect::<Torch<_>>()?))
    }

    /// Initial values; the same for the same seed on every machine.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut values = Vec::with_capacity(self.len());
        for entry in self.entries() {
            let row = *entry.shape.last().unwrap_or(&1) as usize;
            values.extend((0..entry.len).map(|i| match entry.init {
                Init::Zeros => 0.0,
                Init::Ones => 1.0,
                Init::Uniform(bound) => rng.random_range(-bound..=bound) as f32,
                Init::Normal(deviation) => (deviation * standard_normal(&mut rng)) as f32,
                Init::PaddedRows if i < row => 0.0,
                Init::PaddedRows => standard_normal(&mut rng) as f32,
            }));
        }
        values
    }

    /// Reads the flat vector from a state dict. Tensors whose name starts with `skip` are left to the caller.
    ///
    /// A shared parameter may be listed under any of its names, once or several times with equal values.
    ///
    /// # Errors
    /// All missing, unexpected, mis-shaped, non-finite and untied tensors at once.
    pub(crate) fn read(
        &self,
        file: &SafeTensors<'_>,
        skip: Option<&str>,
    ) -> Result<Vec<f32>, WeightsError> {
        let mut found: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        found.retain(|name, _| !skip.is_some_and(|prefix| name.starts_with(prefix)));
        let mut mismatch = Mismatch::default();
        let mut chosen = Vec::new();
        for entry in self.entries() {
            let aliases = self.aliases.get(entry.name).map_or(&[][..], Vec::as_slice);
            let names = std::iter::once(entry.name).chain(aliases.iter().map(String::as_str));
            let mut views = names.filter_map(|name| found.remove(name).map(|view| (name, view)));
            let Some((name, view)) = views.next() else {
                mismatch.missing.push(entry.name.to_owned());
                continue;
            };
            let shape_fits = |view: &TensorView<'_>| {
                view.shape()
                    .iter()
                    .map(|s| *s as i64)
                    .eq(entry.shape.iter().copied())
            };
            if !shape_fits(&view) || !matches!(view.dtype(), Dtype::F32 | Dtype::F64) {
                let problem = format!(
                    "{name} ({:?} {:?}, expected F32 {:?})",
                    view.dtype(),
                    view.shape(),
                    entry.shape
                );
                mismatch.misshaped.push(problem);
                continue;
            }
            let unequal = views
                .filter(|(_, other)| other.shape() != view.shape() || other.data() != view.data());
            mismatch
                .untied
                .extend(unequal.map(|(other, _)| format!("{name} and {other}")));
            chosen.push(view);
        }
        mismatch.unexpected.extend(found.into_keys());
        if mismatch.is_empty() {
            let values: Vec<f32> = chosen.iter().flat_map(floats).collect();
            let entries = self
                .entries()
                .filter(|e| values[e.offset..][..e.len].iter().any(|v| !v.is_finite()));
            mismatch.not_finite = entries.map(|e| e.name.to_owned()).collect();
            if mismatch.is_empty() {
                return Ok(values);
            }
        }
        Err(WeightsError::Mismatch(mismatch))
    }
}

/// The values of an F32 or F64 tensor.
pub(crate) fn floats(view: &TensorView<'_>) -> Vec<f32> {
    match view.dtype() {
        Dtype::F64 => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes) as f32)
            .collect(),
        _ => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    }
}

fn elements(shape: &[i64]) -> usize {
    shape.iter().fold(1, |product: usize, size| {
        product.saturating_mul(*size as usize)
    })
}

/// Box and Muller's method; one of its two values is enough here.
pub(crate) fn standard_normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
