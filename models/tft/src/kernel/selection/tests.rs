//! Against the network on libtorch: outputs, weights, and derivatives by parameters and context.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::super::simd::tests::{noise, on_every_level};
use super::*;
use crate::architecture::{Embedding, Variables};
use crate::network::Network;
use crate::network::grn::Binding;
use crate::network::selection as reference;
use crate::{Device, ModelConfig, ModelOptions, SchemaRef};

/// Rounding.
const EXACT: f32 = 3e-5;
/// The same where a norm of two channels, or of channels that are all but equal (a variable one wide), enlarges it;
/// libtorch in single precision is as far off.
const ENLARGED: f32 = 3e-3;

/// What differs between the shapes that are tested.
struct Shape {
    hidden: i64,
    continuous: i64,
    statics: (usize, usize),
    encoder: (usize, usize),
    decoder: (usize, usize),
    /// Classes and width of each category's embedding.
    embeddings: Vec<(i64, i64)>,
    /// A width of its own for the first real variable.
    first: Option<i64>,
    /// How far off a number may be, as a share of the greatest one beside it.
    tolerance: f32,
}

/// An architecture whose selection networks read the first categories and reals, as many as the shape says.
fn architecture(shape: &Shape) -> Architecture {
    let schema = SchemaRef::sized(0, 0, 0);
    let options = ModelOptions {
        attention_heads: 1,
        ..ModelOptions::default()
    };
    let mut architecture = ModelConfig::for_schema(&schema, &options).architecture;
    let reals = [shape.statics.1, shape.encoder.1, shape.decoder.1]
        .into_iter()
        .max();
    // Columns in reverse, so that places and columns differ.
    let named = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i}")).collect()
    };
    let variables = |(categories, reals): (usize, usize)| Variables {
        categoricals: named("c", categories),
        reals: named("r", reals),
    };
    architecture.hidden_size = shape.hidden;
    architecture.continuous_size = shape.continuous;
    architecture.continuous_sizes = shape
        .first
        .map(|size| ("r0".to_owned(), size))
        .into_iter()
        .collect::<BTreeMap<_, _>>();
    architecture.real_columns = named("r", reals.unwrap_or(0) + 1)
        .into_iter()
        .rev()
        .collect();
    architecture.categorical_columns = named("c", shape.embeddings.len())
        .into_iter()
        .rev()
        .collect();
    let embedding = |(index, (classes, size)): (usize, &(i64, i64))| Embedding {
        name: format!("c{index}"),
        columns: vec![format!("c{index}")],
        classes: *classes,
        size: *size,
        zero_padding: index == 0,
    };
    architecture.embeddings = shape.embeddings.iter().enumerate().map(embedding).collect();
    architecture.static_variables = variables(shape.statics);
    architecture.encoder_variables = variables(shape.encoder);
    architecture.decoder_variables = variables(shape.decoder);
    architecture.targets = vec![crate::Target {
        name: "t".to_owned(),
        outputs: 1,
        quantiles: Vec::new(),
    }];
    architecture
}

/// `[steps · n, width]` from `[n, steps, width]` and back.
fn time_major(x: &Tensor) -> Tensor {
    let width = x.size()[2];
    x.transpose(0, 1).contiguous().view([-1, width])
}

fn flat(x: &Tensor) -> Vec<f32> {
    Vec::try_from(x.detach().to_kind(Kind::Float).contiguous().view([-1])).expect("floats")
}

/// Fails where two vectors differ by more than `tolerance` of the greatest expected value.
fn assert_like(what: &str, ours: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), expected.len(), "{what}: lengths");
    let most = expected
        .iter()
        .fold(0f32, |most, x| most.max(x.abs()))
        .max(1e-2);
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let off = (ours - expected).abs();
        assert!(
            off <= tolerance * most,
            "{what}[{index}]: {ours}, expected {expected}, greatest {most}"
        );
    }
}

fn check(shape: &Shape, role: Role, n: usize, steps: usize) {
    let architecture = architecture(shape);
    let network = Network::new(&architecture, Device::Cpu, 1).expect("a possible architecture");
    let mut params = flat(network.parameters());
    // Norms, masks and biases start at plain values that would hide mistakes.
    params
        .iter_mut()
        .zip(noise(network.layout.len(), 2))
        .for_each(|(p, x)| *p += 0.2 * x);
    for (index, _) in shape.embeddings.iter().enumerate().take(1) {
        let name = format!("input_embeddings.embeddings.c{index}.weight");
        let entry = network
            .layout
            .entries()
            .find(|e| e.name == name)
            .expect("registered");
        params[entry.offset..][..entry.shape[1] as usize].fill(0.0);
    }

    let (columns, codes) = (
        architecture.real_columns.len(),
        architecture.categorical_columns.len(),
    );
    let (wide, steps_wide) = (n as i64, steps as i64);
    let reals =
        Tensor::from_slice(&noise(n * steps * columns, 3)).view([wide, steps_wide, columns as i64])
            * 2.0;
    let least = shape
        .embeddings
        .iter()
        .map(|(classes, _)| *classes)
        .min()
        .unwrap_or(1);
    let code = |index: usize| (index as i64 * 7 + index as i64 / 3) % least;
    let codes_of = Tensor::from_slice(&(0..n * steps * codes).map(code).collect::<Vec<_>>());
    let codes_of = codes_of.view([wide, steps_wide, codes as i64]);
    let context = noise(n * shape.hidden as usize, 4);
    let d_out = Tensor::from_slice(&noise(n * steps * shape.hidden as usize, 5)).view([
        wide,
        steps_wide,
        shape.hidden,
    ]);

    // libtorch, in double precision.
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    let leaf = double(&Tensor::from_slice(&params)).set_requires_grad(true);
    let context_leaf = double(&Tensor::from_slice(&context).view([wide, shape.hidden]));
    let context_leaf = context_leaf.set_requires_grad(true);
    let binding = Binding {
        dropout: 0.0,
        device: tch::Device::Cpu,
    };
    let views = network.layout.views(&leaf).expect("views");
    let embeddings = network
        .parts
        .embeddings
        .bind(&views, binding)
        .expect("embeddings");
    let spec = match role {
        Role::Static => &network.parts.statics,
        Role::Encoder => &network.parts.encoder,
        Role::Decoder => &network.parts.decoder,
    };
    let net = spec
        .bind(&views, &network.parts.shared, &embeddings, binding)
        .expect("bound");
    let given = (role != Role::Static).then_some(&context_leaf);
    let rows = reference::Rows::new(&double(&reals), &codes_of).expect("rows");
    let (out, weights) = net.forward(&rows, given, &embeddings).expect("forward");
    let loss = (&out * double(&d_out)).sum(Kind::Double);
    let used = given.is_some() && spec_weighs(shape, role);
    let (gradient, d_context) = if !loss.requires_grad() {
        (vec![0.0; params.len()], None)
    } else if used {
        let both = Tensor::run_backward(&[loss], &[&leaf, &context_leaf], false, false);
        (flat(&both[0]), Some(flat(&both[1])))
    } else {
        (
            flat(&Tensor::run_backward(&[loss], &[&leaf], false, false)[0]),
            None,
        )
    };

    // Here.
    on_every_level(|| {
        let mut ours = Selection::new(&architecture, &network.layout, role).expect("supported");
        ours.bind(&params);
        let (reals, d_out) = (flat(&time_major(&reals)), flat(&time_major(&d_out)));
        let codes: Vec<i64> = Vec::try_from(time_major(&codes_of).view([-1])).expect("codes");
        let rows = Rows {
            windows: n,
            reals: &reals,
            codes: &codes,
            len: n * steps,
        };
        let given = given.map(|_| context.as_slice());
        let hidden = shape.hidden as usize;
        let mut saved = Saved::default();
        let mut found = vec![f32::NAN; rows.len * hidden];
        let mut found_weights = vec![f32::NAN; rows.len * ours.variables()];
        ours.forward(
            &rows,
            given,
            &mut found,
            &mut saved,
            false,
            Some(&mut found_weights),
        );
        assert_like("out", &found, &flat(&time_major(&out)), shape.tolerance);
        assert_like(
            "weights",
            &found_weights,
            &flat(&time_major(&weights)),
            shape.tolerance,
        );
        // Twice, as every chunk after the first finds the buffers used.
        for _ in 0..2 {
            let mut again = vec![f32::NAN; rows.len * hidden];
            ours.forward(&rows, given, &mut again, &mut saved, true, None);
            assert_eq!(found, again, "keeping changes nothing");
            let mut grads = vec![0.0; params.len()];
            let mut found_context = vec![0.0; context.len()];
            // Derivatives are added to what is there.
            for times in [1.0, 2.0] {
                let to = Some(&mut found_context[..]);
                ours.backward(&rows, given, &mut saved, &d_out, &mut grads, to);
                for entry in network.layout.entries() {
                    let part = entry.offset..entry.offset + entry.len;
                    let expected: Vec<f32> =
                        gradient[part.clone()].iter().map(|g| g * times).collect();
                    assert_like(entry.name, &grads[part], &expected, shape.tolerance);
                }
                if let Some(d_context) = &d_context {
                    let expected: Vec<f32> = d_context.iter().map(|g| g * times).collect();
                    assert_like("context", &found_context, &expected, shape.tolerance);
                }
            }
        }
    });
}

fn spec_weighs(shape: &Shape, role: Role) -> bool {
    let (categories, reals) = match role {
        Role::Static => shape.statics,
        Role::Encoder => shape.encoder,
        Role::Decoder => shape.decoder,
    };
    categories + reals > 1
}

fn usual() -> Shape {
    Shape {
        hidden: 16,
        continuous: 8,
        statics: (1, 3),
        encoder: (2, 5),
        decoder: (0, 3),
        embeddings: vec![(5, 3), (4, 16)],
        first: None,
        tolerance: EXACT,
    }
}

#[test]
fn the_usual_shapes() {
    for (n, steps) in [(1, 1), (1, 5), (3, 7), (8, 40), (20, 3)] {
        check(&usual(), Role::Encoder, n, steps);
        check(&usual(), Role::Decoder, n, steps);
        check(&usual(), Role::Static, n, 1);
    }
}

#[test]
fn odd_sizes() {
    let shape = Shape {
        hidden: 13,
        continuous: 5,
        encoder: (1, 21),
        embeddings: vec![(9, 4), (3, 1)],
        ..usual()
    };
    check(&shape, Role::Encoder, 3, 11);
    let shape = Shape {
        hidden: 1,
        continuous: 1,
        embeddings: vec![(3, 1), (2, 1)],
        ..usual()
    };
    check(&shape, Role::Encoder, 2, 9);
}

#[test]
fn as_wide_as_the_network_or_wider() {
    let shape = Shape {
        continuous: 16,
        ..usual()
    };
    check(&shape, Role::Encoder, 2, 9);
    let shape = Shape {
        continuous: 24,
        ..usual()
    };
    check(&shape, Role::Encoder, 2, 9);
}

#[test]
fn a_width_of_its_own() {
    let shape = Shape {
        first: Some(16),
        ..usual()
    };
    check(&shape, Role::Encoder, 2, 9);
    let shape = Shape {
        first: Some(3),
        continuous: 1,
        embeddings: vec![(5, 1), (4, 1)],
        tolerance: ENLARGED,
        ..usual()
    };
    check(&shape, Role::Encoder, 2, 9);
}

#[test]
fn as_many_inputs_as_variables() {
    // Then the weight network does not resample.
    let shape = Shape {
        continuous: 1,
        embeddings: vec![(5, 1), (4, 1)],
        tolerance: ENLARGED,
        ..usual()
    };
    check(&shape, Role::Encoder, 3, 9);
}

#[test]
fn few_variables() {
    let one_real = Shape {
        statics: (0, 1),
        encoder: (0, 1),
        decoder: (1, 0),
        ..usual()
    };
    for role in [Role::Static, Role::Encoder, Role::Decoder] {
        check(&one_real, role, 3, 1);
    }
    let none = Shape {
        statics: (0, 0),
        encoder: (2, 0),
        tolerance: ENLARGED,
        ..usual()
    };
    check(&none, Role::Encoder, 3, 6);
    let mut selection = Selection::new(
        &architecture(&none),
        &Network::new(&architecture(&none), Device::Cpu, 1)
            .expect("possible")
            .layout,
        Role::Static,
    )
    .expect("supported");
    selection.bind(&[]);
    let rows = Rows {
        windows: 2,
        reals: &[0.0; 8],
        codes: &[0; 4],
        len: 2,
    };
    let mut out = vec![f32::NAN; 2 * 16];
    selection.forward(
        &rows,
        None,
        &mut out,
        &mut Saved::default(),
        true,
        Some(&mut []),
    );
    assert_eq!(out, vec![0.0; 2 * 16]);
}

#[test]
fn refuses_what_it_cannot_do() {
    let mut architecture = architecture(&usual());
    assert_eq!(supports(&architecture), Ok(()));
    architecture.embeddings[1].columns.push("c0".to_owned());
    assert!(supports(&architecture).is_err());
    architecture.embeddings[1].columns.pop();
    architecture.share_single_variable_networks = true;
    assert!(supports(&architecture).is_err());
}
