//! What the three selection networks share.

use std::collections::BTreeMap;

use tch::TchError;

use super::reals::{Prescalers, PrescalersSpec, RealNetsSpec};
use crate::architecture::{Architecture, Variables};
use crate::network::Torch;
use crate::network::grn::{Binding, GrnSizes, GrnSpec};
use crate::weights::{Layout, Views};

/// Which of the three selection networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Static,
    Encoder,
    Decoder,
}

impl Role {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Static => "static_variable_selection",
            Self::Encoder => "encoder_variable_selection",
            Self::Decoder => "decoder_variable_selection",
        }
    }

    pub(crate) fn variables(self, architecture: &Architecture) -> &Variables {
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
    pub(crate) reals: Vec<RealNetsSpec>,
    pub(crate) categories: BTreeMap<String, GrnSpec>,
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

    pub(crate) fn prescalers(
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

pub(crate) fn group_by_size(
    architecture: &Architecture,
    names: &[String],
) -> BTreeMap<i64, Vec<String>> {
    let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for name in names {
        groups
            .entry(architecture.continuous_size_of(name))
            .or_default()
            .push(name.clone());
    }
    groups
}
