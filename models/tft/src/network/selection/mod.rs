//! Variable selection: every variable goes through a network of its own, a further network weighs them by step.

mod reals;
mod rows;
mod shared;
mod weights;

use std::collections::BTreeMap;

use tch::{Kind, TchError, Tensor};

use self::reals::{RealNets, RealNetsSpec, add_weighted};
use self::shared::group_by_size;
use self::weights::{Weights, WeightsSpec};
use super::Torch;
use super::embedding::Embedding;
use super::grn::{Binding, Grn, GrnSpec, Resample, ResampleSpec, index};
use crate::architecture::Architecture;
use crate::weights::{Layout, Views};

pub(crate) use self::rows::Rows;
pub(crate) use self::shared::{Role, Shared};

/// Places of one selection network.
#[derive(Debug)]
pub(crate) struct SelectionSpec {
    categories: Vec<CategorySpec>,
    reals: Vec<RealsSpec>,
    weights: Option<WeightsSpec>,
    hidden: i64,
}

#[derive(Debug)]
struct CategorySpec {
    embedding: usize,
    /// First row of its part of the concatenated inputs, and their number.
    span: (i64, i64),
    network: CategoryNetSpec,
}

#[derive(Debug)]
enum CategoryNetSpec {
    Resample(ResampleSpec),
    Shared(GrnSpec),
}

/// Real variables of one width.
#[derive(Debug)]
struct RealsSpec {
    names: Vec<String>,
    size: i64,
    /// Their columns among the real inputs.
    columns: Vec<i64>,
    /// Their positions among the variables of the network.
    positions: Vec<usize>,
    /// Rows of the concatenated inputs that belong to them, variable after variable.
    rows: Vec<i64>,
    /// `None` where the networks are shared ones.
    networks: Option<RealNetsSpec>,
}

impl SelectionSpec {
    pub(crate) fn register(
        layout: &mut Layout,
        architecture: &Architecture,
        role: Role,
        shared: &Shared,
    ) -> Self {
        let (variables, hidden, prefix) = (
            role.variables(architecture),
            architecture.hidden_size,
            role.prefix(),
        );
        let networks = format!("{prefix}.single_variable_grns");
        let sharing = architecture.share_single_variable_networks && role != Role::Static;
        let mut offset = 0;
        let mut categories = Vec::new();
        for name in &variables.categoricals {
            let Some((embedding, table)) = architecture.embedding(name) else {
                continue;
            };
            let network = match shared.categories.get(name).filter(|_| sharing) {
                Some(grn) => CategoryNetSpec::Shared(*grn),
                None => {
                    let prefix = format!("{networks}.{name}");
                    CategoryNetSpec::Resample(ResampleSpec::register(
                        layout, &prefix, table.size, hidden,
                    ))
                }
            };
            categories.push(CategorySpec {
                embedding,
                span: (offset, table.size),
                network,
            });
            offset += table.size;
        }
        let mut spans = BTreeMap::new();
        for (position, name) in variables.reals.iter().enumerate() {
            let size = architecture.continuous_size_of(name);
            spans.insert(name, (position + categories.len(), offset..offset + size));
            offset += size;
        }
        let group = |(size, names): (i64, Vec<String>)| {
            let own = (!sharing)
                .then(|| RealNetsSpec::register(layout, &networks, names.clone(), size, hidden));
            let column = |name: &String| {
                architecture
                    .real_columns
                    .iter()
                    .position(|other| other == name)
            };
            RealsSpec {
                size,
                columns: names
                    .iter()
                    .filter_map(column)
                    .map(|index| index as i64)
                    .collect(),
                positions: names.iter().map(|name| spans[name].0).collect(),
                rows: names
                    .iter()
                    .flat_map(|name| spans[name].1.clone())
                    .collect(),
                networks: own,
                names,
            }
        };
        let reals = group_by_size(architecture, &variables.reals)
            .into_iter()
            .map(group)
            .collect();
        let count = variables.len() as i64;
        let context = (role != Role::Static).then_some(hidden);
        let weights = (count > 1)
            .then(|| WeightsSpec::register(layout, prefix, offset, hidden, count, context));
        Self {
            categories,
            reals,
            weights,
            hidden,
        }
    }

    pub(crate) fn bind(
        &self,
        views: &Views,
        shared: &Shared,
        embeddings: &[Embedding],
        binding: Binding,
    ) -> Torch<Selection> {
        let categories = self
            .categories
            .iter()
            .map(|spec| spec.bind(views, embeddings, binding))
            .collect::<Torch<_>>()?;
        let mut reals = Vec::new();
        let mut prescalers = Vec::new();
        for spec in &self.reals {
            let scalers = shared.prescalers(views, &spec.names, spec.size, binding)?;
            let of_all = || {
                shared
                    .reals
                    .iter()
                    .find(|nets| nets.input() == spec.size && nets.serves(&spec.names[0]))
            };
            let networks = spec.networks.as_ref().or_else(of_all);
            let networks = networks
                .ok_or_else(|| TchError::Shape("real variables without networks".to_owned()))?;
            reals.push(Reals {
                columns: index(&spec.columns, binding.device)?,
                positions: spec.positions.clone(),
                networks: networks.bind(views, &spec.names, &scalers, binding)?,
            });
            prescalers.push(scalers);
        }
        let weights = self
            .weights
            .as_ref()
            .map(|spec| spec.bind(views, self, &prescalers, embeddings, binding));
        Ok(Selection {
            categories,
            reals,
            weights: weights.transpose()?,
            hidden: self.hidden,
            binding,
        })
    }
}

impl CategorySpec {
    fn bind(&self, views: &Views, embeddings: &[Embedding], binding: Binding) -> Torch<Category> {
        let embedding = &embeddings[self.embedding];
        let network = match &self.network {
            CategoryNetSpec::Resample(spec) => CategoryNet::Resample(spec.bind(views)?),
            CategoryNetSpec::Shared(spec) => CategoryNet::Shared(spec.bind(views, binding)?),
        };
        // Dropout must differ from row to row, so a table will not do for a network that drops.
        let drops = binding.dropout > 0.0 && matches!(network, CategoryNet::Shared(_));
        let outcome = if embedding.is_single() && !drops {
            Some(network.forward(&embedding.table)?)
        } else {
            None
        };
        Ok(Category {
            embedding: self.embedding,
            network,
            outcome,
        })
    }
}

/// One selection network.
#[derive(Debug)]
pub(crate) struct Selection {
    categories: Vec<Category>,
    reals: Vec<Reals>,
    weights: Option<Weights>,
    hidden: i64,
    binding: Binding,
}

#[derive(Debug)]
struct Category {
    embedding: usize,
    network: CategoryNet,
    /// The network's output for every category, `[classes, h]`, where a table will do.
    outcome: Option<Tensor>,
}

#[derive(Debug)]
enum CategoryNet {
    Resample(Resample),
    Shared(Grn),
}

#[derive(Debug)]
struct Reals {
    columns: Tensor,
    positions: Vec<usize>,
    networks: RealNets,
}

impl CategoryNet {
    fn forward(&self, embedded: &Tensor) -> Torch<Tensor> {
        match self {
            Self::Resample(resample) => resample.forward(embedded),
            Self::Shared(grn) => grn.forward(embedded, None),
        }
    }
}

impl Category {
    /// `[rows, h]`.
    fn forward(&self, rows: &Rows, embeddings: &[Embedding]) -> Torch<Tensor> {
        let embedding = &embeddings[self.embedding];
        match &self.outcome {
            Some(table) => embedding.look_up(table, &rows.codes),
            None => self
                .network
                .forward(&embedding.look_up(&embedding.table, &rows.codes)?),
        }
    }
}

impl Selection {
    /// The selected vector (`[n, h]` or `[n, steps, h]`, as the rows are) and the weights, which end in the variables.
    pub(crate) fn forward(
        &self,
        rows: &Rows,
        context: Option<&Tensor>,
        embeddings: &[Embedding],
    ) -> Torch<(Tensor, Tensor)> {
        let options = (Kind::Float, self.binding.device);
        let variables = self.categories.len()
            + self
                .reals
                .iter()
                .map(|reals| reals.positions.len())
                .sum::<usize>();
        if variables == 0 {
            let nothing = Tensor::f_zeros([rows.len(), self.hidden], options)?;
            return Ok((
                rows.unfold(&nothing)?,
                rows.unfold(&Tensor::f_zeros([rows.len(), 0], options)?)?,
            ));
        }
        let select = |group: &Reals| rows.reals.f_index_select(0, &group.columns);
        let reals = self.reals.iter().map(select).collect::<Torch<Vec<_>>>()?;
        let weights = self
            .weights
            .as_ref()
            .map(|net| net.forward(self, rows, &reals, context, embeddings))
            .transpose()?;
        let columns = match &weights {
            Some(weights) => weights.f_transpose(0, 1)?.f_unsqueeze(2)?.f_unbind(0)?,
            None => Vec::new(),
        };
        let mut sum = None;
        for (position, category) in self.categories.iter().enumerate() {
            sum = Some(add_weighted(
                sum,
                category.forward(rows, embeddings)?,
                columns.get(position),
            )?);
        }
        for (group, x) in self.reals.iter().zip(&reals) {
            let weights: Vec<&Tensor> = group
                .positions
                .iter()
                .filter_map(|position| columns.get(*position))
                .collect();
            sum = Some(group.networks.accumulate(x, &weights, sum)?);
        }
        let sum =
            sum.ok_or_else(|| TchError::Shape("a selection network without variables".to_owned()))?;
        let weights = match weights {
            Some(weights) => weights,
            None => Tensor::f_ones([rows.len(), 1], options)?,
        };
        Ok((rows.unfold(&sum)?, rows.unfold(&weights)?))
    }
}
