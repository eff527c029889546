//! Parity with pytorch-forecasting: predictions, attention, weights, gradients, training steps.
#![expect(clippy::print_stderr, reason = "a skipped test says so")]
#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use argus_tft::{Architecture, Device, Inputs, Mode, Network, Want, parity};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Kind, Tensor};

/// The shared fixture, where the checkout has it beside it.
fn fixture_a() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/tft-A");
    if !dir.is_dir() {
        eprintln!("skipped: ../shared/fixtures/tft-A is absent");
        return None;
    }
    Some(dir)
}

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn check(dir: &Path, rows: usize) {
    let report = parity::check(dir).unwrap();
    assert!(report.passes(), "{report}");
    assert_eq!(report.differences.len(), rows, "{report}");
}

#[test]
fn fixture_a_holds() {
    if let Some(dir) = fixture_a() {
        check(&dir, 7);
    }
}

#[test]
fn several_targets_without_statics_hold() {
    check(&committed("several_targets"), 11);
}

#[test]
fn one_static_real_holds() {
    check(&committed("one_static_real"), 7);
}

#[test]
fn shared_networks_and_every_tied_name_hold() {
    check(&committed("shared_networks"), 7);
}

/// More fixtures, e.g. all that `make_fixtures.py` makes.
#[test]
fn fixtures_of_the_environment_hold() {
    let Some(dirs) = std::env::var_os("ARGUS_PARITY_FIXTURES") else {
        return;
    };
    for entry in fs::read_dir(dirs).unwrap() {
        let report = parity::check(&entry.unwrap().path()).unwrap();
        eprintln!("{report}");
        assert!(report.passes());
    }
}

/// A copy of a committed fixture with one file replaced.
fn spoil(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(committed("one_static_real")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(file);
    let changed = change(fs::read(&path).unwrap());
    fs::write(&path, changed).unwrap();
    copy
}

fn edit_json(bytes: &[u8], pointer: &str, value: Value) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(bytes).unwrap();
    *config.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&config).unwrap()
}

#[test]
fn malformed_fixtures_are_errors() {
    let edits: [(&str, Value, &str); 9] = [
        (
            "/hyper_parameters/hidden_size",
            Value::from(0),
            "hidden_size",
        ),
        (
            "/hyper_parameters/hidden_size",
            Value::from(60_000),
            "at most",
        ),
        (
            "/hyper_parameters/hidden_size",
            Value::from("8"),
            "must be an integer",
        ),
        (
            "/hyper_parameters/attention_head_size",
            Value::from(9),
            "attention_heads",
        ),
        (
            "/hyper_parameters/lstm_layers",
            Value::from(2),
            "lstm_encoder.weight_ih_l1",
        ),
        (
            "/variables/x_reals",
            Value::from(vec!["cpu_pct"]),
            "neither a column nor an embedding",
        ),
        ("/variables/static_reals", Value::Null, "list of names"),
        (
            "/target_normalisers/transformation",
            Value::from("cosh"),
            "unknown transformation",
        ),
        ("/hyper_parameters", Value::Null, "must be an object"),
    ];
    for (pointer, value, expected) in edits {
        let dir = spoil("config.json", |bytes| edit_json(&bytes, pointer, value));
        let error = parity::check(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{pointer}: {error}");
    }
    for file in [
        "config.json",
        "model.safetensors",
        "inputs.safetensors",
        "outputs.safetensors",
    ] {
        for keep in [0, 7, 100] {
            let dir = spoil(file, |mut bytes| {
                bytes.truncate(keep);
                bytes
            });
            parity::check(dir.path()).unwrap_err();
        }
        let dir = spoil(file, |bytes| bytes);
        fs::remove_file(dir.path().join(file)).unwrap();
        let error = parity::check(dir.path()).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
}

#[test]
fn nan_weights_are_named_and_wrong_outputs_differ() {
    let last_value = |bytes: &mut Vec<u8>| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    let dir = spoil("model.safetensors", |mut bytes| {
        last_value(&mut bytes);
        bytes
    });
    let error = parity::check(dir.path()).unwrap_err().to_string();
    assert!(error.contains("with NaN or infinity"), "{error}");
    let dir = spoil("outputs.safetensors", |bytes| {
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let zeros = vec![0; bytes.len() - header];
        [&bytes[..header], &zeros].concat()
    });
    let report = parity::check(dir.path()).unwrap();
    assert!(!report.passes(), "{report}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A fixture with bytes overwritten gives a report or an error, never a panic.
    #[test]
    fn damaged_fixtures_never_panic(
        file in prop::sample::select(vec!["config.json", "model.safetensors", "inputs.safetensors", "outputs.safetensors"]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        in_header in any::<bool>(),
    ) {
        let dir = spoil(file, |mut bytes| {
            let span = if in_header { bytes.len().min(3000) } else { bytes.len() };
            for (place, value) in edits {
                bytes[place.index(span)] = value;
            }
            bytes
        });
        let _ = parity::check(dir.path());
    }
}

/// The shared fixture's network and inputs, and what training compares with.
struct Lesson {
    network: Network,
    inputs: Inputs,
    target: Tensor,
    scale: Tensor,
    config: Value,
    gradients: Vec<u8>,
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap();
    let kind = if view.dtype() == safetensors::Dtype::I64 {
        Kind::Int64
    } else {
        Kind::Float
    };
    let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
    Tensor::from_data_size(view.data(), &shape, kind)
}

impl Lesson {
    fn load(dir: &Path) -> Self {
        let config: Value =
            serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
        let architecture = Architecture::from_peer_config(&config).unwrap();
        let weights = fs::read(dir.join("model.safetensors")).unwrap();
        let bytes = fs::read(dir.join("inputs.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        Self {
            network: Network::load(&architecture, &weights, Device::Cpu).unwrap(),
            inputs: Inputs {
                direct: None,
                encoder_reals: tensor(&file, "encoder_cont"),
                encoder_categories: tensor(&file, "encoder_cat"),
                decoder_reals: tensor(&file, "decoder_cont"),
                decoder_categories: tensor(&file, "decoder_cat"),
                encoder_lengths: Vec::try_from(tensor(&file, "encoder_lengths")).unwrap(),
                decoder_lengths: Vec::try_from(tensor(&file, "decoder_lengths")).unwrap(),
            },
            target: tensor(&file, "decoder_target"),
            scale: tensor(&file, "target_scale"),
            gradients: fs::read(dir.join("gradients.safetensors")).unwrap(),
            config,
        }
    }

    /// The original's quantile loss on rescaled values, over valid steps.
    fn loss(&self) -> Tensor {
        let raw = self
            .network
            .forward(&self.inputs, Mode::Eval, Want::default())
            .unwrap()
            .raw;
        let of = |column: i64| self.scale.select(1, column).view([-1, 1, 1]);
        let y = (raw * of(1) + of(0)).softplus();
        let levels = Tensor::from_slice(&[0.1f32, 0.5, 0.9]);
        let error = self.target.unsqueeze(-1) - y;
        let loss = (&error * (&levels - 1.0)).maximum(&(&error * &levels)) * 2.0;
        let lengths = Tensor::from_slice(&self.inputs.decoder_lengths).unsqueeze(-1);
        let valid = Tensor::arange(self.target.size()[1], (Kind::Int64, tch::Device::Cpu))
            .lt_tensor(&lengths);
        let per_step = loss.mean_dim(-1, false, Kind::Float) * valid.to_kind(Kind::Float);
        per_step.sum(Kind::Float) / valid.sum(Kind::Float)
    }
}

#[test]
fn gradients_of_fixture_a_hold() {
    let Some(dir) = fixture_a() else { return };
    let lesson = Lesson::load(&dir);
    let loss = lesson.loss();
    let recorded = lesson.config["loss_eval_mode"].as_f64().unwrap();
    assert!((loss.double_value(&[]) - recorded).abs() < 1e-5);
    loss.backward();
    let expected = SafeTensors::deserialize(&lesson.gradients).unwrap();
    let gradients = lesson
        .network
        .name(&lesson.network.parameters().grad())
        .unwrap();
    assert_eq!(gradients.len(), expected.len());
    for (name, gradient) in gradients {
        let theirs = tensor(&expected, &name);
        let gap = (&gradient - &theirs).abs().max().double_value(&[]);
        let size = theirs.abs().max().double_value(&[]);
        assert!(
            gap <= 1e-5 + 1e-4 * size,
            "{name}: differs by {gap}, size {size}"
        );
    }
}

#[test]
fn clipped_adam_steps_of_fixture_a_hold() {
    let Some(dir) = fixture_a() else { return };
    let lesson = Lesson::load(&dir);
    let recorded = lesson.config["adam_lr_0_001_clip_0_1_losses"]
        .as_array()
        .unwrap();
    let mut parameters = lesson.network.parameters().shallow_clone();
    let (mut first, mut second) = (parameters.zeros_like(), parameters.zeros_like());
    for (step, recorded) in recorded.iter().enumerate() {
        let loss = lesson.loss();
        let gap = (loss.double_value(&[]) - recorded.as_f64().unwrap()).abs();
        assert!(gap < 2e-4, "step {step}: loss differs by {gap}");
        parameters.zero_grad();
        loss.backward();
        let gradient = parameters.grad();
        let norm = gradient.norm().double_value(&[]);
        let gradient = &gradient * (0.1 / (norm + 1e-6)).min(1.0);
        first = first * 0.9 + &gradient * 0.1;
        second = second * 0.999 + gradient.square() * 0.001;
        let steps = step as i32 + 1;
        let mean = &first / (1.0 - 0.9f64.powi(steps));
        let deviation = (&second / (1.0 - 0.999f64.powi(steps))).sqrt() + 1e-8;
        tch::no_grad(|| {
            let _ = parameters.f_sub_(&(mean / deviation * 0.001)).unwrap();
        });
    }
}
