//! The kernel against libtorch: the same function, the same derivatives.
#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use super::simd::tests::on_every_level;
use super::{Batch, DirectBatch, Half, Kernel, Workspace};
use crate::architecture::{Architecture, Direct, Embedding, Target, Variables};
use crate::direct_inputs::{STEP_INPUTS, TIME_INPUTS, WINDOW_INPUTS};
use crate::{Device, Mode, Network, Want, parity};

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

/// A network with random parameters, and a batch.
struct Case {
    architecture: Architecture,
    windows: usize,
    encoder_lengths: Vec<usize>,
    decoder_lengths: Vec<usize>,
}

fn bare(hidden: i64, heads: i64) -> Architecture {
    Architecture {
        hidden_size: hidden,
        attention_heads: heads,
        lstm_layers: 1,
        dropout: 0.0,
        continuous_size: 4,
        continuous_sizes: Default::default(),
        max_encoder_length: 20,
        max_decoder_length: 9,
        causal_attention: true,
        share_single_variable_networks: false,
        mask_bias: -1e9,
        embeddings: Vec::new(),
        real_columns: Vec::new(),
        categorical_columns: Vec::new(),
        static_variables: Variables::default(),
        encoder_variables: Variables::default(),
        decoder_variables: Variables::default(),
        targets: vec![Target {
            name: "y".to_owned(),
            outputs: 3,
            quantiles: vec![0.1, 0.5, 0.9],
        }],
        direct: None,
    }
}

impl Case {
    fn batch(&self, rng: &mut StdRng) -> Batch {
        let a = &self.architecture;
        let steps = (a.max_encoder_length as usize, a.max_decoder_length as usize);
        let classes = |column: &String| {
            let of_column = a.embeddings.iter().filter(|e| e.columns.contains(column));
            of_column.map(|e| e.classes).min().unwrap_or(1)
        };
        let half = |steps: usize, lengths: &[usize], rng: &mut StdRng| {
            let mut half = Half {
                steps,
                ..Half::default()
            };
            for step in 0..steps {
                for length in lengths {
                    let valid = step < *length;
                    for _ in &a.real_columns {
                        let value = rng.random_range(-2.0..2.0f32);
                        half.reals.push(if valid { value } else { 0.0 });
                    }
                    for column in &a.categorical_columns {
                        let code = rng.random_range(0..classes(column));
                        half.codes.push(if valid { code } else { 0 });
                    }
                }
            }
            half
        };
        let direct = a.direct.map(|_| {
            let mut direct = DirectBatch::zeros(a.targets.len(), self.windows, steps.1);
            for list in [&mut direct.step, &mut direct.window, &mut direct.time] {
                list.fill_with(|| rng.random_range(-2.0..2.0f32));
            }
            direct
        });
        Batch {
            direct,
            encoder: half(steps.0, &self.encoder_lengths, rng),
            decoder: half(steps.1, &self.decoder_lengths, rng),
            encoder_lengths: self.encoder_lengths.clone(),
            decoder_lengths: self.decoder_lengths.clone(),
        }
    }

    fn check(&self) {
        let mut rng = StdRng::seed_from_u64(5);
        let network = Network::new(&self.architecture, Device::Cpu, 3).unwrap();
        // Initial values leave biases, masks and norms at 0 and 1, where mistakes do not show.
        let noise: Vec<f32> = (0..network.parameters().numel())
            .map(|_| rng.random_range(-0.3..0.3f32))
            .collect();
        tch::no_grad(|| {
            let _ = network
                .parameters()
                .f_detach()
                .unwrap()
                .f_add_(&Tensor::from_slice(&noise))
                .unwrap();
        });
        let batch = self.batch(&mut rng);
        let inputs = batch.inputs().unwrap();
        let want = Want {
            attention: true,
            weights: true,
        };
        let reference = network.forward(&inputs, Mode::Eval, want).unwrap();
        let expected = super::Answer::from_outputs(&reference).unwrap();

        let mut kernel = Kernel::new(&self.architecture).unwrap();
        let parameters = Vec::<f32>::try_from(network.parameters().detach()).unwrap();
        kernel.bind(&parameters);
        let mut space = Workspace::default();
        let answer = kernel.forward(&batch, want, &mut space).unwrap();
        close("raw", &answer.raw, &expected.raw, 3e-5);
        close("attention", &answer.attention, &expected.attention, 1e-5);
        close(
            "static",
            &answer.static_weights,
            &expected.static_weights,
            1e-5,
        );
        close(
            "encoder",
            &answer.encoder_weights,
            &expected.encoder_weights,
            1e-5,
        );
        close(
            "decoder",
            &answer.decoder_weights,
            &expected.decoder_weights,
            1e-5,
        );

        let slopes: Vec<f32> = (0..expected.raw.len())
            .map(|_| rng.random_range(-1.0..1.0f32))
            .collect();
        let (n, steps) = (self.windows as i64, self.architecture.max_decoder_length);
        let turned = Tensor::from_slice(&slopes)
            .view([steps, n, -1])
            .transpose(0, 1);
        let loss = (&reference.raw * turned).sum(Kind::Float);
        loss.backward();
        let theirs = network.name(&network.parameters().grad()).unwrap();
        let mut gradient = vec![0.0; kernel.parameters()];
        let width = slopes.len() / (self.windows * steps as usize);
        kernel.learn(&batch, &mut space, &mut gradient, |rows, _, d_raw| {
            d_raw.copy_from_slice(&slopes[rows.start * width..rows.end * width]);
            0.0
        });
        let ours = network.name(&Tensor::from_slice(&gradient)).unwrap();
        for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            let gap = (ours - theirs).abs().max().double_value(&[]);
            let size = theirs.abs().max().double_value(&[]);
            assert!(
                gap <= 1e-4 * size + 2e-5,
                "{name}: differs by {gap}, size {size}"
            );
        }
    }
}

fn close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let gap = (ours - theirs).abs();
        assert!(
            gap <= tolerance,
            "{what}[{index}]: {ours}, expected {theirs}"
        );
    }
}

/// Variables of a network: how many of each kind.
#[derive(Debug, Clone, Copy)]
struct Counts {
    static_reals: usize,
    static_categories: usize,
    known: usize,
    known_categories: usize,
    observed: usize,
    observed_categories: usize,
}

/// An architecture with `counts` variables; columns are in another order than the variables.
fn with_variables(base: Architecture, counts: Counts) -> Architecture {
    let categories = [
        names("profile", counts.static_categories),
        names("weekday", counts.known_categories),
        names("status", counts.observed_categories),
    ];
    let reals = [
        names("center", counts.static_reals),
        names("hour", counts.known),
        names("metric", counts.observed),
    ];
    let embedding = |(index, name): (usize, &String)| Embedding {
        name: name.clone(),
        columns: vec![name.clone()],
        classes: 3 + index as i64,
        size: (2 + 3 * index as i64).min(base.hidden_size),
        zero_padding: index % 2 == 0,
    };
    let variables = |kinds: &[usize]| Variables {
        categoricals: kinds
            .iter()
            .flat_map(|kind| categories[*kind].clone())
            .collect(),
        reals: kinds.iter().flat_map(|kind| reals[*kind].clone()).collect(),
    };
    Architecture {
        embeddings: categories
            .iter()
            .flatten()
            .enumerate()
            .map(embedding)
            .collect(),
        real_columns: reals.iter().rev().flatten().cloned().collect(),
        categorical_columns: categories.iter().rev().flatten().cloned().collect(),
        static_variables: variables(&[0]),
        encoder_variables: variables(&[1, 2]),
        decoder_variables: variables(&[1]),
        ..base
    }
}

/// All kinds of lengths in one batch: full, short, of a single step, and none at all.
fn case(architecture: Architecture) -> Case {
    Case {
        windows: 5,
        encoder_lengths: vec![20, 3, 11, 0, 1],
        decoder_lengths: vec![9, 1, 4, 9, 0],
        architecture,
    }
}

#[test]
fn networks_without_inputs() {
    on_every_level(|| {
        for (hidden, heads) in [(16, 4), (7, 2), (32, 4), (40, 8)] {
            for causal_attention in [true, false] {
                let base = bare(hidden, heads);
                case(Architecture {
                    causal_attention,
                    ..base
                })
                .check();
            }
        }
    });
}

#[test]
fn networks_of_many_kinds() {
    let usual = Counts {
        static_reals: 3,
        static_categories: 1,
        known: 2,
        known_categories: 1,
        observed: 4,
        observed_categories: 1,
    };
    let target = |name: &str, outputs: i64| Target {
        name: name.to_owned(),
        outputs,
        quantiles: Vec::new(),
    };
    on_every_level(|| {
        case(with_variables(bare(16, 4), usual)).check();
        case(with_variables(bare(7, 2), usual)).check();
    });
    let layered = Architecture {
        lstm_layers: 3,
        ..bare(16, 4)
    };
    case(with_variables(layered, usual)).check();
    // Prescaled to the hidden size: nothing to interpolate.
    let wide = Architecture {
        continuous_size: 32,
        ..bare(32, 4)
    };
    case(with_variables(wide, usual)).check();
    let several = Architecture {
        targets: vec![target("a", 3), target("b", 1), target("c", 7)],
        continuous_sizes: [("metric0".to_owned(), 2), ("hour1".to_owned(), 9)].into(),
        ..bare(12, 3)
    };
    case(with_variables(several, usual)).check();
    let direct = Architecture {
        targets: vec![target("a", 5), target("b", 5), target("c", 5)],
        direct: Some(Direct {
            step_inputs: STEP_INPUTS as i64,
            window_inputs: WINDOW_INPUTS as i64,
            time_inputs: TIME_INPUTS as i64,
            hidden_size: 11,
            blocks: 2,
        }),
        ..bare(12, 3)
    };
    case(with_variables(direct, usual)).check();
    let no_statics = Counts {
        static_reals: 0,
        static_categories: 0,
        ..usual
    };
    case(with_variables(bare(16, 1), no_statics)).check();
    // One variable needs no weights.
    let single = Counts {
        static_reals: 0,
        static_categories: 1,
        known: 1,
        known_categories: 0,
        observed: 0,
        observed_categories: 0,
    };
    case(with_variables(bare(16, 4), single)).check();
    case(with_variables(
        bare(9, 3),
        Counts {
            static_categories: 0,
            static_reals: 1,
            observed: 3,
            ..single
        },
    ))
    .check();
    case(with_variables(
        bare(24, 4),
        Counts {
            known: 0,
            observed: 2,
            ..single
        },
    ))
    .check();
}

/// Recorded answers of pytorch-forecasting, whatever libtorch says.
#[test]
fn recorded_answers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![
        root.join("tests/fixtures/several_targets"),
        root.join("tests/fixtures/one_static_real"),
        // Where the checkout has it beside it.
        root.join("../../../shared/fixtures/tft-A"),
    ];
    dirs.retain(|dir| dir.is_dir());
    assert!(dirs.len() >= 2);
    for dir in dirs {
        let report = parity::check_kernel(&dir).unwrap();
        let report = report.expect("the kernel supports it");
        assert!(report.passes() && report.differences.len() >= 7, "{report}");
    }
    let shared = root.join("tests/fixtures/shared_networks");
    assert_eq!(parity::check_kernel(&shared).unwrap(), None);
}

#[test]
fn the_shipped_shape() {
    let counts = Counts {
        static_reals: 43,
        static_categories: 1,
        known: 6,
        known_categories: 0,
        observed: 15,
        observed_categories: 1,
    };
    let base = Architecture {
        continuous_size: 8,
        max_encoder_length: 288,
        max_decoder_length: 96,
        targets: (0..14)
            .map(|index| Target {
                name: format!("y{index}"),
                outputs: 7,
                quantiles: Vec::new(),
            })
            .collect(),
        ..bare(32, 4)
    };
    Case {
        windows: 3,
        encoder_lengths: vec![288, 100, 288],
        decoder_lengths: vec![96; 3],
        architecture: with_variables(base, counts),
    }
    .check();
}
