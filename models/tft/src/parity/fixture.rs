//! The files of a fixture.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tch::Tensor;

use super::{ParityError, Tolerances};
use crate::architecture::Architecture;
use crate::network::{Network, Torch};
use crate::peer_config::parse_python_json;
use crate::transformation::Transformation;
use crate::weights::floats;
use crate::{Device, Inputs};

/// An array on the host, row-major.
#[derive(Debug, Clone)]
pub(super) struct Array<T> {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<T>,
}

impl<T: tch::kind::Element + Copy> Array<T> {
    /// Values in one step of the leading axis.
    pub(super) fn row_len(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The rows of some windows as a tensor.
    fn windows(&self, range: &Range<usize>) -> Torch<Tensor> {
        let row = self.row_len();
        let mut shape: Vec<i64> = self.shape.iter().map(|size| *size as i64).collect();
        shape[0] = range.len() as i64;
        Tensor::f_from_slice(&self.values[range.start * row..range.end * row])?
            .f_view(shape.as_slice())
    }
}

/// Everything that a comparison needs, checked to fit together.
#[derive(Debug)]
pub(super) struct Fixture {
    config: Value,
    pub(super) network: Network,
    encoder_reals: Array<f32>,
    decoder_reals: Array<f32>,
    encoder_categories: Array<i64>,
    decoder_categories: Array<i64>,
    encoder_lengths: Vec<i64>,
    decoder_lengths: Vec<i64>,
    /// Centre and scale of each target, `[n, 2]`; `None` where not recorded.
    scales: Vec<Option<Array<f32>>>,
    transformations: Vec<Transformation>,
    /// Recorded outputs of floating-point type.
    pub(super) outputs: BTreeMap<String, Array<f32>>,
}

const INPUTS: &str = "inputs.safetensors";
const OUTPUTS: &str = "outputs.safetensors";

pub(super) fn problem(file: &'static str, problem: impl Into<String>) -> ParityError {
    ParityError::Fixture {
        file,
        problem: problem.into(),
    }
}

impl Fixture {
    pub(super) fn open(dir: &Path) -> Result<Self, ParityError> {
        let config = read(dir, "config.json")?;
        let config: Value =
            parse_python_json(&config).map_err(|e| problem("config.json", e.to_string()))?;
        let architecture = Architecture::from_peer_config(&config)?;
        let names: Vec<&str> = architecture
            .targets
            .iter()
            .map(|target| target.name.as_str())
            .collect();
        let transformations = Transformation::of_targets(&config, &names)?;
        let network = Network::load(&architecture, &read(dir, "model.safetensors")?, Device::Cpu)?;

        let bytes = read(dir, INPUTS)?;
        let file = Tensors::open(INPUTS, &bytes)?;
        let encoder_lengths = file.integers("encoder_lengths", &[None])?.values;
        let decoder_lengths = file.integers("decoder_lengths", &[None])?.values;
        let n = Some(encoder_lengths.len());
        let (reals, categories) = (
            architecture.real_columns.len(),
            architecture.categorical_columns.len(),
        );
        let encoder_reals = file.floats("encoder_cont", &[n, None, Some(reals)])?;
        let decoder_reals = file.floats("decoder_cont", &[n, None, Some(reals)])?;
        let steps = (Some(encoder_reals.shape[1]), Some(decoder_reals.shape[1]));
        let fixture = Self {
            encoder_categories: file.integers("encoder_cat", &[n, steps.0, Some(categories)])?,
            decoder_categories: file.integers("decoder_cat", &[n, steps.1, Some(categories)])?,
            scales: scales(&file, names.len(), n)?,
            outputs: outputs(&read(dir, OUTPUTS)?)?,
            config,
            network,
            encoder_reals,
            decoder_reals,
            encoder_lengths,
            decoder_lengths,
            transformations,
        };
        fixture.check()?;
        Ok(fixture)
    }

    fn check(&self) -> Result<(), ParityError> {
        let n = self.encoder_lengths.len();
        if n == 0 || self.encoder_reals.shape[1] == 0 || self.decoder_reals.shape[1] == 0 {
            return Err(problem(
                INPUTS,
                "needs at least one window, one encoder step and one decoder step",
            ));
        }
        let lengths = [
            (
                "encoder_lengths",
                &self.encoder_lengths,
                self.encoder_reals.shape[1],
            ),
            (
                "decoder_lengths",
                &self.decoder_lengths,
                self.decoder_reals.shape[1],
            ),
        ];
        for (name, values, steps) in lengths {
            if values.len() != n
                || values
                    .iter()
                    .any(|length| !(0..=steps as i64).contains(length))
            {
                return Err(problem(
                    INPUTS,
                    format!("`{name}` must hold {n} lengths from 0 to {steps}"),
                ));
            }
        }
        for (name, array) in [
            ("encoder_cont", &self.encoder_reals),
            ("decoder_cont", &self.decoder_reals),
        ] {
            if array.values.iter().any(|value| !value.is_finite()) {
                return Err(problem(INPUTS, format!("`{name}` holds NaN or infinity")));
            }
        }
        let architecture = self.network.architecture();
        let columns = architecture.categorical_columns.len();
        for embedding in &architecture.embeddings {
            for (position, column) in architecture.categorical_columns.iter().enumerate() {
                let arrays = [&self.encoder_categories, &self.decoder_categories];
                let mut codes = arrays
                    .into_iter()
                    .flat_map(|a| a.values.iter().skip(position).step_by(columns));
                if embedding.columns.contains(column)
                    && codes.any(|code| !(0..embedding.classes).contains(code))
                {
                    let most = embedding.classes - 1;
                    return Err(problem(
                        INPUTS,
                        format!("`{column}` has a category code outside 0..={most}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Number of windows.
    pub(super) fn windows(&self) -> usize {
        self.encoder_lengths.len()
    }

    /// The tolerances in `tolerance_advice`, each the default where there is none.
    pub(super) fn advised_tolerances(&self) -> Tolerances {
        let default = Tolerances::default();
        let advice = |key: &str| {
            self.config
                .get("tolerance_advice")
                .and_then(|advice| advice.get(key)?.as_f64())
        };
        Tolerances {
            prediction: advice("prediction_abs").unwrap_or(default.prediction),
            attention: advice("attention_abs").unwrap_or(default.attention),
            weights: advice("weights_abs").unwrap_or(default.weights),
        }
    }

    /// Network inputs of some windows.
    pub(super) fn inputs(&self, range: Range<usize>) -> Torch<Inputs> {
        Ok(Inputs {
            direct: None,
            encoder_reals: self.encoder_reals.windows(&range)?,
            encoder_categories: self.encoder_categories.windows(&range)?,
            decoder_reals: self.decoder_reals.windows(&range)?,
            decoder_categories: self.decoder_categories.windows(&range)?,
            encoder_lengths: self.encoder_lengths[range.clone()].to_vec(),
            decoder_lengths: self.decoder_lengths[range].to_vec(),
        })
    }

    /// A target's raw output in its unit; `None` where the inputs record no scale.
    pub(super) fn rescale(
        &self,
        target: usize,
        raw: &Tensor,
        range: &Range<usize>,
    ) -> Torch<Option<Tensor>> {
        let apply =
            |scales: &Array<f32>| self.transformations[target].apply(raw, &scales.windows(range)?);
        self.scales[target].as_ref().map(apply).transpose()
    }
}

/// `target_scale` of one target, `target_scale.0`, `target_scale.1`, … of several.
fn scales(
    file: &Tensors<'_>,
    targets: usize,
    n: Option<usize>,
) -> Result<Vec<Option<Array<f32>>>, ParityError> {
    let of_target = |index: usize| {
        let numbered = format!("target_scale.{index}");
        let name = if targets == 1 && !file.has(&numbered) {
            "target_scale"
        } else {
            &numbered
        };
        if file.has(name) {
            file.floats(name, &[n, Some(2)]).map(Some)
        } else {
            Ok(None)
        }
    };
    (0..targets).map(of_target).collect()
}

fn outputs(bytes: &[u8]) -> Result<BTreeMap<String, Array<f32>>, ParityError> {
    let file = Tensors::open(OUTPUTS, bytes)?;
    let real = file
        .tensors
        .iter()
        .filter(|(_, view)| matches!(view.dtype(), Dtype::F32 | Dtype::F64));
    Ok(real
        .map(|(name, view)| {
            (
                name.clone(),
                Array {
                    shape: view.shape().to_vec(),
                    values: floats(view),
                },
            )
        })
        .collect())
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, ParityError> {
    let path = dir.join(name);
    fs::read(&path).map_err(|source| ParityError::Io { path, source })
}

/// An opened safetensors file.
struct Tensors<'a> {
    file: &'static str,
    tensors: BTreeMap<String, TensorView<'a>>,
}

impl<'a> Tensors<'a> {
    fn open(file: &'static str, bytes: &'a [u8]) -> Result<Self, ParityError> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| problem(file, format!("is truncated or not safetensors: {error}")))?;
        Ok(Self {
            file,
            tensors: tensors.tensors().into_iter().collect(),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor of the given shape, `None` standing for any size. Absent is the same as empty where a size is 0.
    fn get(
        &self,
        name: &str,
        shape: &[Option<usize>],
    ) -> Result<(Option<&TensorView<'a>>, Vec<usize>), ParityError> {
        if !self.has(name) && shape.contains(&Some(0)) {
            return Ok((None, shape.iter().map(|size| size.unwrap_or(0)).collect()));
        }
        let view = self
            .tensors
            .get(name)
            .ok_or_else(|| problem(self.file, format!("has no tensor `{name}`")))?;
        let fits = view.shape().len() == shape.len()
            && view
                .shape()
                .iter()
                .zip(shape)
                .all(|(found, wanted)| wanted.is_none_or(|wanted| wanted == *found));
        if !fits {
            let wanted: Vec<String> = shape
                .iter()
                .map(|s| s.map_or("any".to_owned(), |s| s.to_string()))
                .collect();
            let told = format!(
                "`{name}` has shape {:?}, expected [{}]",
                view.shape(),
                wanted.join(", ")
            );
            return Err(problem(self.file, told));
        }
        Ok((Some(view), view.shape().to_vec()))
    }

    fn wrong_type(&self, name: &str, view: &TensorView<'_>, wanted: &str) -> ParityError {
        problem(
            self.file,
            format!("`{name}` is {:?}, expected {wanted}", view.dtype()),
        )
    }

    fn floats(&self, name: &str, shape: &[Option<usize>]) -> Result<Array<f32>, ParityError> {
        let (view, shape) = self.get(name, shape)?;
        let values = match view {
            None => Vec::new(),
            Some(view) if matches!(view.dtype(), Dtype::F32 | Dtype::F64) => floats(view),
            Some(view) => return Err(self.wrong_type(name, view, "F32 or F64")),
        };
        Ok(Array { shape, values })
    }

    fn integers(&self, name: &str, shape: &[Option<usize>]) -> Result<Array<i64>, ParityError> {
        let (view, shape) = self.get(name, shape)?;
        let values = match view.map(|view| (view.dtype(), view)) {
            None => Vec::new(),
            Some((Dtype::I64, view)) => view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b))
                .collect(),
            Some((Dtype::I32, view)) => view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|b| i64::from(i32::from_le_bytes(*b)))
                .collect(),
            Some((_, view)) => return Err(self.wrong_type(name, view, "I64 or I32")),
        };
        Ok(Array { shape, values })
    }
}
