//! Variable selection: every variable goes through a network of its own, a further network weighs them by step.

use std::collections::BTreeMap;

use tch::{Kind, TchError, Tensor};

use super::Torch;
use super::embedding::Embedding;
use super::grn::{
    Binding, Grn, GrnSizes, GrnSpec, GrnTail, GrnTailSpec, LinearSpec, Norm, Resample, ResampleSpec,
};
use super::grn::{double_sigmoid, index, interpolation};
use super::selection_reals::{Prescalers, PrescalersSpec, RealNets, RealNetsSpec, add_weighted};
use crate::architecture::{Architecture, Variables};
use crate::weights::{BlockId, Init, Layout, Views};

/// Inputs with windows and steps as one axis of rows.
pub(crate) struct Rows {
    /// `[columns, rows]`, f32.
    reals: Tensor,
    /// `[columns, rows]`, i64.
    codes: Tensor,
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

    fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// `[rows, width]` with the rows as they are: `[n, width]` or `[n, steps, width]`.
    fn unfold(&self, t: &Tensor) -> Torch<Tensor> {
        let shape: Vec<i64> = self.shape.iter().copied().chain([t.size()[1]]).collect();
        t.f_view(shape.as_slice())
    }
}

/// Which of the three selection networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Static,
    Encoder,
    Decoder,
}

impl Role {
    fn prefix(self) -> &'static str {
        match self {
            Self::Static => "static_variable_selection",
            Self::Encoder => "encoder_variable_selection",
            Self::Decoder => "decoder_variable_selection",
        }
    }

    fn variables(self, architecture: &Architecture) -> &Variables {
        match self {
            Self::Static => &architecture.static_variables,
            Self::Encoder => &architecture.encoder_variables,
            Self::Decoder => &architecture.decoder_variables,
        }
    }
}

/// What selection networks share: the prescalers and, if so configured, single-variable networks.
#[derive(Debug)]
pub(crate) struct Shared {
    prescalers: Vec<PrescalersSpec>,
    reals: Vec<RealNetsSpec>,
    categories: BTreeMap<String, GrnSpec>,
}

impl Shared {
    pub(crate) fn register(layout: &mut Layout, architecture: &Architecture) -> Self {
        let names: Vec<String> = architecture
            .reals()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let by_size = group_by_size(architecture, &names);
        let prescalers = by_size
            .into_iter()
            .map(|(size, names)| PrescalersSpec::register(layout, names, size))
            .collect();
        for role in [Role::Static, Role::Encoder, Role::Decoder] {
            for name in &role.variables(architecture).reals {
                for part in ["weight", "bias"] {
                    let canonical = format!("prescalers.{name}.{part}");
                    layout.alias(&canonical, format!("{}.{canonical}", role.prefix()));
                }
            }
        }
        let mut shared = Self {
            prescalers,
            reals: Vec::new(),
            categories: BTreeMap::new(),
        };
        if architecture.share_single_variable_networks {
            shared.register_networks(layout, architecture);
        }
        shared
    }

    /// Shared networks are gated residual networks for categories too, unlike the unshared ones.
    fn register_networks(&mut self, layout: &mut Layout, architecture: &Architecture) {
        const PREFIX: &str = "shared_single_variable_grns";
        let roles = [Role::Encoder, Role::Decoder];
        let mut union = Variables::default();
        for variables in roles.map(|role| role.variables(architecture)) {
            for (all, some) in [
                (&mut union.categoricals, &variables.categoricals),
                (&mut union.reals, &variables.reals),
            ] {
                all.extend(
                    some.iter()
                        .filter(|name| !all.contains(name))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
            }
        }
        let hidden = architecture.hidden_size;
        for name in &union.categoricals {
            let size = architecture.embedding(name).map_or(1, |(_, e)| e.size);
            let sizes = GrnSizes {
                input: size,
                hidden: size.min(hidden),
                output: hidden,
                context: None,
            };
            self.categories.insert(
                name.clone(),
                GrnSpec::register(layout, &format!("{PREFIX}.{name}"), sizes),
            );
        }
        for (size, names) in group_by_size(architecture, &union.reals) {
            self.reals
                .push(RealNetsSpec::register(layout, PREFIX, names, size, hidden));
        }
        let canonical: Vec<String> = layout
            .entries()
            .map(|entry| entry.name.to_owned())
            .collect();
        for role in roles {
            for name in role.variables(architecture).names() {
                let owner = format!("{PREFIX}.{name}.");
                for parameter in canonical
                    .iter()
                    .filter(|parameter| parameter.starts_with(&owner))
                {
                    let rest = &parameter[PREFIX.len()..];
                    layout.alias(
                        parameter,
                        format!("{}.single_variable_grns{rest}", role.prefix()),
                    );
                }
            }
        }
    }

    fn prescalers(
        &self,
        views: &Views,
        names: &[String],
        size: i64,
        binding: Binding,
    ) -> Torch<Prescalers> {
        let group = self.prescalers.iter().find(|group| group.size == size);
        let group =
            group.ok_or_else(|| TchError::Shape("real variables without prescalers".to_owned()))?;
        group.bind(views, names, binding)
    }
}

fn group_by_size(architecture: &Architecture, names: &[String]) -> BTreeMap<i64, Vec<String>> {
    let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for name in names {
        groups
            .entry(architecture.continuous_size_of(name))
            .or_default()
            .push(name.clone());
    }
    groups
}

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

/// The network that weighs variables. Its input, the concatenation of all prescaled variables, is never made: the
/// first layer and the interpolated residual are linear in it, so each variable contributes on its own.
#[derive(Debug)]
struct WeightsSpec {
    fc1: LinearSpec,
    context: Option<BlockId>,
    resample: Option<ResampleSpec>,
    tail: GrnTailSpec,
    input: i64,
    variables: i64,
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
            CategoryNetSpec::Resample(spec) => CategoryNet::Resample(spec.bind(views, binding)?),
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

impl WeightsSpec {
    fn register(
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

    fn bind(
        &self,
        views: &Views,
        selection: &SelectionSpec,
        prescalers: &[Prescalers],
        embeddings: &[Embedding],
        binding: Binding,
    ) -> Torch<Weights> {
        let interpolation = interpolation(self.input, self.variables, binding.device)?;
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
        let fc1 = views[self.fc1.weight].f_transpose(0, 1)?;
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
            None => Tensor::f_zeros([width], (Kind::Float, binding.device))?,
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

#[derive(Debug)]
struct Weights {
    first: Contributions,
    residual: Contributions,
    residual_norm: Option<Norm>,
    context: Option<Tensor>,
    tail: GrnTail,
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

impl Weights {
    /// Softmax weights, `[rows, v]`.
    fn forward(
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
            .forward(&first, &residual)?
            .f_softmax(-1, None::<Kind>)
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
