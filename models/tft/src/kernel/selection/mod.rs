//! Variable selection: every variable goes through a network of its own, a further network weighs them by step.
//!
//! Rows are worked on in tiles ([`tile`]), a block of tiles at a time. Going forward, a block's weights come first,
//! then one variable after the other adds its weighted output. Going backward, nothing but inputs and weights has been
//! kept: outputs of `variables · hidden` numbers a row are cheaper to compute again than to fetch from memory. Each
//! variable takes all rows in turn, so that what it learns stays in cache.

mod category;
mod gates;
mod places;
mod real;
mod real_pass;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
mod tile;
mod weights;
mod weights_back;
mod weights_pass;

use self::category::{Category, CategoryGradient};
use self::places::Places;
use self::real::Real;
use self::real_pass::{Column, RealGradient, RealScratch, grow};
use self::tile::{Lanes, ONES, ZERO, from_tile, gather, tiles, to_tile};
use self::weights::Weights;
use self::weights_back::WeightsGradient;
use self::weights_pass::{Inputs, WeightsScratch};
use super::Rows;
use super::simd::LANES;
use crate::architecture::Architecture;
use crate::network::selection::Role;
use crate::weights::Layout;

/// Tiles that go through a variable's network together.
const BLOCK: usize = 16;

/// One of the three selection networks.
#[derive(Debug)]
pub(super) struct Selection {
    hidden: usize,
    categories: Vec<Category>,
    reals: Vec<Real>,
    /// Column of each real variable among the real inputs.
    columns: Vec<usize>,
    /// `None` where there is but one variable.
    weights: Option<Weights>,
}

/// Room to work, and what a forward pass leaves for the backward pass. One may serve all selection networks in turn,
/// but between a forward pass and its backward pass it must not be used otherwise.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The real variables and a row of ones, `[tile][reals + 1]`.
    x: Vec<Lanes>,
    /// `[tile][variables]`.
    weights: Vec<Lanes>,
    /// Class of each lane, `[tile][categories]`.
    classes: Vec<[usize; LANES]>,
    /// The context's part of the weight network's first layer; see [`Inputs`].
    context: Vec<f32>,
    projected: Vec<f32>,
    /// The sums of a block, or the derivatives by those of all rows, `[tile][hidden]`.
    out: Vec<Lanes>,
    d_weights: Vec<Lanes>,
    real: RealScratch,
    weigh: WeightsScratch,
    real_learned: RealGradient,
    learned: WeightsGradient,
    tables: Vec<CategoryGradient>,
}

/// Says why the selection networks of an architecture cannot run here; in training, dropout cannot either.
pub(super) fn supports(architecture: &Architecture) -> Result<(), &'static str> {
    if architecture.share_single_variable_networks {
        return Err("encoder and decoder share their variables' networks");
    }
    let roles = [Role::Static, Role::Encoder, Role::Decoder];
    let mut categories = roles
        .into_iter()
        .flat_map(|role| &role.variables(architecture).categoricals);
    let single = |name: &String| {
        architecture
            .embedding(name)
            .is_some_and(|(_, embedding)| embedding.columns.len() == 1)
    };
    if categories.all(single) {
        Ok(())
    } else {
        Err("a categorical variable has several columns")
    }
}

impl Selection {
    /// The selection network of a role, not bound to parameters yet.
    ///
    /// # Errors
    /// As [`supports`].
    pub(super) fn new(
        architecture: &Architecture,
        layout: &Layout,
        role: Role,
    ) -> Result<Self, &'static str> {
        supports(architecture)?;
        let (places, prefix) = (Places::new(layout), role.prefix());
        let (variables, hidden) = (
            role.variables(architecture),
            architecture.hidden_size as usize,
        );
        let column = |columns: &[String], name: &str| {
            columns
                .iter()
                .position(|column| column == name)
                .ok_or(places::ABSENT)
        };
        let category = |name: &String| {
            let (_, embedding) = architecture.embedding(name).ok_or(places::ABSENT)?;
            let column = column(&architecture.categorical_columns, &embedding.columns[0])?;
            Category::new(&places, prefix, embedding, column, hidden)
        };
        let real = |name: &String| {
            let input = architecture.continuous_size_of(name) as usize;
            Real::new(&places, prefix, name, input, hidden)
        };
        let categories = variables
            .categoricals
            .iter()
            .map(category)
            .collect::<Result<Vec<_>, _>>()?;
        let reals = variables
            .reals
            .iter()
            .map(real)
            .collect::<Result<Vec<_>, _>>()?;
        let columns = variables
            .reals
            .iter()
            .map(|name| column(&architecture.real_columns, name));
        let columns = columns.collect::<Result<_, _>>()?;
        let takes_context = role != Role::Static;
        let weigh = || Weights::new(&places, prefix, &categories, &reals, hidden, takes_context);
        Ok(Self {
            weights: (variables.len() > 1).then(weigh).transpose()?,
            hidden,
            columns,
            categories,
            reals,
        })
    }

    /// Number of variables, categories before reals.
    pub(super) fn variables(&self) -> usize {
        self.categories.len() + self.reals.len()
    }

    /// Folds the parameters, a flat vector in the layout's order.
    pub(super) fn bind(&mut self, params: &[f32]) {
        self.categories
            .iter_mut()
            .for_each(|category| category.bind(params));
        self.reals.iter_mut().for_each(|real| real.bind(params));
        if let Some(weights) = &mut self.weights {
            weights.bind(params, &self.categories, &self.reals);
        }
    }

    /// The selected vector of each row, `[rows, hidden]`, and, if wanted, the variables' weights, `[rows, variables]`.
    ///
    /// `context` is `[windows, hidden]`, for encoder and decoder. With `keep`, `saved` is ready for
    /// [`Self::backward`] of the same rows; without, it holds a block of rows at a time.
    pub(super) fn forward(
        &self,
        rows: &Rows<'_>,
        context: Option<&[f32]>,
        out: &mut [f32],
        saved: &mut Saved,
        keep: bool,
        mut weights_out: Option<&mut [f32]>,
    ) {
        let (total, count) = (tiles(rows.len), self.variables());
        let room = if keep { total } else { total.min(BLOCK) };
        grow(&mut saved.x, room * (self.reals.len() + 1));
        grow(&mut saved.weights, room * count);
        grow(&mut saved.out, BLOCK * self.hidden);
        saved
            .classes
            .resize(room * self.categories.len(), [0; LANES]);
        self.reserve(1, saved);
        self.spread_context(rows.windows, context, saved);
        for first in (0..total).step_by(BLOCK) {
            let block = Block {
                first: first * LANES,
                tiles: BLOCK.min(total - first),
                place: if keep { first } else { 0 },
            };
            self.load(rows, &block, saved);
            self.forward_block(rows, &block, saved);
            for tile in 0..block.tiles {
                let span = block.rows(tile, rows.len);
                let sums = &saved.out[tile * self.hidden..][..self.hidden];
                from_tile(
                    sums,
                    &mut out[span.start * self.hidden..span.end * self.hidden],
                );
                if let Some(out) = &mut weights_out {
                    let out = &mut out[span.start * count..span.end * count];
                    if self.weights.is_some() {
                        from_tile(&saved.weights[(block.place + tile) * count..][..count], out);
                    } else {
                        out.fill(1.0);
                    }
                }
            }
        }
    }

    /// From the derivative by the selected vectors, adds those by the parameters to `grads`, a flat vector in the
    /// layout's order, and those by the context to `d_context`. `saved` comes from [`Self::forward`] with `keep`.
    pub(super) fn backward(
        &self,
        rows: &Rows<'_>,
        context: Option<&[f32]>,
        saved: &mut Saved,
        d_out: &[f32],
        grads: &mut [f32],
        d_context: Option<&mut [f32]>,
    ) {
        let (total, count) = (tiles(rows.len), self.variables());
        grow(&mut saved.out, total * self.hidden);
        grow(&mut saved.d_weights, total * count);
        self.reserve(BLOCK, saved);
        let d_rows = d_out.chunks(LANES * self.hidden);
        for (tile, rows) in saved.out.chunks_exact_mut(self.hidden).zip(d_rows) {
            to_tile(rows, tile);
        }
        self.backward_categories(rows.len, saved);
        for index in 0..self.reals.len() {
            self.backward_real(index, total, saved, grads);
        }
        if let Some(net) = &self.weights {
            self.backward_weights(net, rows, saved, grads);
            if let Some(context) = context {
                self.gather_context(net, rows.windows, context, saved, grads, d_context);
            }
        }
        for (category, learned) in self.categories.iter().zip(&mut saved.tables) {
            category.unfold(learned, grads);
        }
    }

    /// Makes room for the intermediate results of some tiles.
    fn reserve(&self, tiles: usize, saved: &mut Saved) {
        for real in &self.reals {
            saved.real.reserve(tiles, real.inner, self.hidden);
        }
        if let Some(weights) = &self.weights {
            saved.weigh.reserve(tiles, weights);
        }
    }

    /// Lays the context's part of the first layer out so that any sixteen rows find theirs side by side.
    fn spread_context(&self, windows: usize, context: Option<&[f32]>, saved: &mut Saved) {
        saved.context.clear();
        let (Some(net), Some(context)) = (&self.weights, context) else {
            return;
        };
        net.project(context, &mut saved.projected);
        for channel in 0..net.inner {
            let entry = |index: usize| saved.projected[index % windows * net.inner + channel];
            saved.context.extend((0..windows + LANES).map(entry));
        }
    }

    /// The derivative of [`Self::spread_context`], and on to the context.
    fn gather_context(
        &self,
        net: &Weights,
        windows: usize,
        context: &[f32],
        saved: &mut Saved,
        grads: &mut [f32],
        d_context: Option<&mut [f32]>,
    ) {
        saved.projected.clear();
        saved.projected.resize(windows * net.inner, 0.0);
        for (channel, sums) in saved
            .learned
            .context
            .chunks_exact(windows + LANES)
            .enumerate()
        {
            for (index, sum) in sums.iter().enumerate() {
                saved.projected[index % windows * net.inner + channel] += sum;
            }
        }
        net.unfold_context(&saved.projected, context, d_context, grads);
    }

    /// Brings the inputs of a block into tiles.
    fn load(&self, rows: &Rows<'_>, block: &Block, saved: &mut Saved) {
        let (reals, categories) = (self.reals.len(), self.categories.len());
        let width = rows.reals.len() / rows.len;
        let code_width = rows.codes.len() / rows.len;
        for tile in 0..block.tiles {
            let span = block.rows(tile, rows.len);
            let x = &mut saved.x[(block.place + tile) * (reals + 1)..][..reals + 1];
            if width > 0 {
                let part = &rows.reals[span.start * width..span.end * width];
                gather(part, width, &self.columns, &mut x[..reals]);
            }
            x[reals] = ONES;
            let classes = &mut saved.classes[(block.place + tile) * categories..][..categories];
            for (category, classes) in self.categories.iter().zip(classes) {
                for (row, class) in span.clone().zip(classes) {
                    *class = rows.codes[row * code_width + category.column] as usize;
                }
            }
        }
    }

    fn inputs<'a>(
        &'a self,
        rows: &Rows<'_>,
        block: &Block,
        x: &'a [Lanes],
        classes: &'a [[usize; LANES]],
        context: &'a [f32],
    ) -> Inputs<'a> {
        Inputs {
            categories: &self.categories,
            x: &x[block.place * (self.reals.len() + 1)..],
            classes: &classes[block.place * self.categories.len()..],
            rows: rows.len - block.first,
            context,
            windows: rows.windows,
            window: block.first % rows.windows,
        }
    }

    /// Weights and sums of a block.
    fn forward_block(&self, rows: &Rows<'_>, block: &Block, saved: &mut Saved) {
        let count = self.variables();
        let (reals, categories) = (self.reals.len(), self.categories.len());
        if let Some(net) = &self.weights {
            let inputs = self.inputs(rows, block, &saved.x, &saved.classes, &saved.context);
            let weights = &mut saved.weights[block.place * count..][..block.tiles * count];
            weights_pass::forward(net, inputs, weights, &mut saved.weigh);
        }
        let weights = &saved.weights[block.place * count..];
        let out = &mut saved.out[..block.tiles * self.hidden];
        out.fill(ZERO);
        for (tile, out) in out.chunks_exact_mut(self.hidden).enumerate() {
            let lanes = block.rows(tile, rows.len).len();
            let classes = &saved.classes[(block.place + tile) * categories..][..categories];
            for (index, (category, classes)) in self.categories.iter().zip(classes).enumerate() {
                let weight = self
                    .weights
                    .is_some()
                    .then(|| &weights[tile * count + index]);
                category.forward(&classes[..lanes], weight, out);
            }
        }
        for (index, real) in self.reals.iter().enumerate() {
            let x = Column {
                values: &saved.x[block.place * (reals + 1) + index..],
                stride: reals + 1,
            };
            let weights = self.weights.is_some().then(|| Column {
                values: &weights[categories + index..],
                stride: count,
            });
            real_pass::forward(real, x, weights, out, &mut saved.real);
        }
    }

    /// Derivatives by the categories' outcomes and weights.
    fn backward_categories(&self, rows: usize, saved: &mut Saved) {
        let (count, categories) = (self.variables(), self.categories.len());
        if saved.tables.len() < categories {
            saved.tables.resize_with(categories, Default::default);
        }
        for (category, learned) in self.categories.iter().zip(&mut saved.tables) {
            learned.start(category);
        }
        for tile in 0..tiles(rows) {
            let lanes = (rows - tile * LANES).min(LANES);
            let d_out = &saved.out[tile * self.hidden..][..self.hidden];
            let classes = &saved.classes[tile * categories..][..categories];
            for (index, (category, classes)) in self.categories.iter().zip(classes).enumerate() {
                let at = tile * count + index;
                let weight = self.weights.is_some().then(|| &saved.weights[at]);
                let learned = &mut saved.tables[index];
                saved.d_weights[at] = category.backward(&classes[..lanes], weight, d_out, learned);
            }
        }
    }

    /// Derivatives by a real variable's network and weight.
    fn backward_real(&self, index: usize, total: usize, saved: &mut Saved, grads: &mut [f32]) {
        let (count, stride) = (self.variables(), self.reals.len() + 1);
        let at = self.categories.len() + index;
        let (real, learned) = (&self.reals[index], &mut saved.real_learned);
        learned.start(real);
        for first in (0..total).step_by(BLOCK) {
            let tiles = BLOCK.min(total - first);
            let x = Column {
                values: &saved.x[first * stride + index..],
                stride,
            };
            let weights = self.weights.is_some().then(|| Column {
                values: &saved.weights[first * count + at..],
                stride: count,
            });
            let d_out = &saved.out[first * self.hidden..][..tiles * self.hidden];
            let d_weights = &mut saved.d_weights[first * count + at..];
            let scratch = &mut saved.real;
            real_pass::backward(real, x, weights, d_out, d_weights, scratch, learned);
        }
        learned.finish();
        real.unfold(learned, grads);
    }

    /// Derivatives by the weight network.
    fn backward_weights(
        &self,
        net: &Weights,
        rows: &Rows<'_>,
        saved: &mut Saved,
        grads: &mut [f32],
    ) {
        let (total, count) = (tiles(rows.len), self.variables());
        let (tables, learned) = (&mut saved.tables, &mut saved.learned);
        learned.start(net, self.reals.len(), rows.windows);
        for first in (0..total).step_by(BLOCK) {
            let block = Block {
                first: first * LANES,
                tiles: BLOCK.min(total - first),
                place: first,
            };
            let inputs = self.inputs(rows, &block, &saved.x, &saved.classes, &saved.context);
            let span = first * count..(first + block.tiles) * count;
            let (weights, d_weights) = (&saved.weights[span.clone()], &saved.d_weights[span]);
            let scratch = &mut saved.weigh;
            weights_back::backward(net, inputs, weights, d_weights, scratch, tables, learned);
        }
        learned.finish();
        net.unfold(learned, &self.categories, tables, &self.reals, grads);
    }
}

/// Some tiles of a run of rows.
struct Block {
    /// Their first row.
    first: usize,
    tiles: usize,
    /// Where their first tile lies in buffers that may hold all rows or only a block.
    place: usize,
}

impl Block {
    /// The rows of one of its tiles.
    fn rows(&self, tile: usize, len: usize) -> std::ops::Range<usize> {
        let start = self.first + tile * LANES;
        start..len.min(start + LANES)
    }
}
