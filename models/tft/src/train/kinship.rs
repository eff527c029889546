//! Soft sharing of parameters between the targets' direct paths.
//!
//! Every target has a path of its own from its history to its outputs ([`crate::network::direct`]), and most traces
//! have few entities to learn it from. What a day ago or an hour ago says of what comes is much the same for all,
//! though. So a new network's paths start alike, and each step pulls them towards their mean: a difference stays only
//! where the data insist (Duong et al. 2015; Evgeniou & Pontil 2004). How a path reads the decoder's output is left
//! alone, as that vector holds all targets at once.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::optimiser::copy;
use crate::network::{Network, Torch};

/// Parameters that do the same for each of several targets.
#[derive(Debug)]
struct Kin {
    /// In the flat vector; each target's lie behind those of the one before.
    range: Range<usize>,
    targets: i64,
}

/// All that are pulled together.
#[derive(Debug)]
pub(crate) struct Kinship {
    kin: Vec<Kin>,
    pull: f64,
}

impl Kinship {
    /// Of a network's direct paths, if it has any. `pull` is relative to the learning rate; 0 for none.
    pub(crate) fn new(network: &Network, pull: f64) -> Self {
        let direct = network.parts.direct.as_ref().filter(|_| pull > 0.0);
        let targets = network.architecture().targets.len() as i64;
        let blocks = direct.map(|direct| direct.history_blocks());
        let kin = |block| Kin {
            range: network.layout.range(block),
            targets,
        };
        Self {
            kin: blocks.unwrap_or_default().into_iter().map(kin).collect(),
            pull,
        }
    }

    /// Gives all targets the first one's parameters.
    pub(crate) fn make_alike(&self, parameters: &mut Tensor) -> Torch<()> {
        for kin in &self.kin {
            let mut all = kin.of(parameters)?;
            let first = copy(&all.f_narrow(0, 0, 1)?)?;
            all.f_copy_(&first.f_expand_as(&all)?)?;
        }
        Ok(())
    }

    /// Pulls them together after a step of some learning rate.
    pub(crate) fn pull(&self, parameters: &mut Tensor, rate: f64) -> Torch<()> {
        for kin in &self.kin {
            let mut all = kin.of(parameters)?;
            let mean = all.f_mean_dim([0i64].as_slice(), true, Kind::Float)?;
            let _ = all.f_lerp_(&mean.f_expand_as(&all)?, (rate * self.pull).min(1.0))?;
        }
        Ok(())
    }
}

impl Kin {
    /// A view, `[targets, …]`.
    fn of(&self, parameters: &Tensor) -> Torch<Tensor> {
        let (start, len) = (self.range.start as i64, self.range.len() as i64);
        parameters
            .f_narrow(0, start, len)?
            .f_view([self.targets, len / self.targets])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::model_config::{ModelConfig, ModelOptions};
    use crate::schema_ref::{MetricRef, SchemaRef};

    const FLOAT: (Kind, tch::Device) = (Kind::Float, tch::Device::Cpu);

    fn network() -> Network {
        let metric = |name: &str| MetricRef {
            name: name.to_owned(),
            min: None,
            max: None,
        };
        let schema = SchemaRef {
            id: "test".to_owned(),
            version: 1,
            metrics: ["load", "memory", "disk"].map(metric).to_vec(),
            statuses: Vec::new(),
            profiles: vec!["generic".to_owned()],
        };
        let options = ModelOptions {
            hidden_size: 8,
            attention_heads: 2,
            continuous_size: 4,
            direct: Some((4, 1)),
            ..ModelOptions::default()
        };
        let config = ModelConfig::for_schema(&schema, &options);
        Network::new(&config.architecture, Device::Cpu, 1).expect("is small")
    }

    /// Greatest difference between a target's parameters and their mean, by name; of those that targets have each.
    fn apart(network: &Network, parameters: &Tensor) -> Vec<(String, f64)> {
        let named = network.name(parameters).expect("has their length");
        let of = |target: usize, name: &str| {
            let name = format!("direct.{target}.{name}");
            let found = named.iter().find(|(other, _)| *other == name);
            found.expect("each target has it").1.shallow_clone()
        };
        let names = named
            .iter()
            .filter_map(|(name, _)| name.strip_prefix("direct.0."));
        let gap = |name: &str| {
            let all = Tensor::stack(&[of(0, name), of(1, name), of(2, name)], 0);
            let mean = all.mean_dim([0i64].as_slice(), true, Kind::Float);
            (name.to_owned(), (all - mean).abs().max().double_value(&[]))
        };
        names.map(gap).collect()
    }

    #[test]
    fn all_but_the_way_to_read_the_decoder_is_pulled_together() {
        let network = network();
        let kinship = Kinship::new(&network, 5.0);
        // Biases start alike by themselves.
        let noise = Tensor::arange(network.parameters().numel() as i64, FLOAT).sin();
        let plain = network.parameters().detach() + noise;
        let mut parameters = copy(&plain).expect("is small");
        kinship.pull(&mut parameters, 0.1).expect("is small");
        let pairs = apart(&network, &plain);
        for ((name, before), (_, after)) in pairs.iter().zip(apart(&network, &parameters)) {
            let kept = if name == "context.weight" { 1.0 } else { 0.5 };
            assert!(
                (after - kept * before).abs() < 1e-6,
                "{name}: {before} {after}"
            );
        }
        kinship.make_alike(&mut parameters).expect("is small");
        for (name, gap) in apart(&network, &parameters) {
            assert_eq!(gap > 1e-6, name == "context.weight", "{name}: {gap}");
        }
        let direct = network.parts.direct.as_ref().expect("was asked for");
        let rest = network.layout.range(direct.step).start as i64;
        assert_eq!(parameters.narrow(0, 0, rest), plain.narrow(0, 0, rest));
    }

    #[test]
    fn without_a_pull_nothing_changes() {
        let network = network();
        let kinship = Kinship::new(&network, 0.0);
        let mut parameters = copy(network.parameters()).expect("is small");
        kinship.make_alike(&mut parameters).expect("is small");
        kinship.pull(&mut parameters, 0.1).expect("is small");
        assert_eq!(parameters, network.parameters().detach());
    }
}
