//! Our model directories on disk.
//!
//! | file | holds |
//! |---|---|
//! | `config.json` | [`ModelConfig`]: architecture, schema, how inputs are computed; `format_version` |
//! | `model.safetensors` | the network's parameters, and the normaliser's fitted state as `normaliser.*` |
//! | `training.json` | how it was trained; free form |
//! | `calibration.json` | calibration of risks; its form belongs to whoever reads it |
//!
//! A directory is complete or absent: it is written under another name beside its place, flushed, and renamed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::device::Device;
use crate::errors::{LoadError, SaveError, TorchError, WeightsError};
use crate::model_config::{FORMAT_VERSION, ModelConfig};
use crate::network::Network;
use crate::normalise::NormaliserState;
use crate::schema_ref::SchemaRef;
use crate::weights::floats;

/// The configuration.
pub const CONFIG_FILE: &str = "config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// How it was trained.
pub const TRAINING_FILE: &str = "training.json";
/// Calibration of risks.
pub const CALIBRATION_FILE: &str = "calibration.json";

/// Largest JSON file that is read.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Largest weights file that is read.
const MAX_WEIGHTS_BYTES: u64 = 2 << 30;

/// The contents of a model directory.
#[derive(Debug)]
pub struct ModelFiles {
    /// `config.json`.
    pub config: ModelConfig,
    /// The network of `model.safetensors`.
    pub network: Network,
    /// The normaliser of `model.safetensors`.
    pub normaliser: NormaliserState,
    /// `training.json`.
    pub training: Value,
    /// `calibration.json`.
    pub calibration: Value,
    /// SHA-256 of `model.safetensors`, hexadecimal.
    pub weights_sha256: String,
}

impl ModelFiles {
    /// Reads and checks a model directory. `expect` is the schema it must have been made for, if that matters.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing is half loaded.
    pub fn read(dir: &Path, expect: Option<&SchemaRef>, device: Device) -> Result<Self, LoadError> {
        let config = read_config(dir)?;
        if let Some(difference) = expect.and_then(|expect| config.schema.difference(expect)) {
            return Err(LoadError::Schema(difference));
        }
        config.architecture.check()?;
        config.check().map_err(LoadError::Config)?;
        let training = read_json(dir, TRAINING_FILE)?;
        let calibration = read_json(dir, CALIBRATION_FILE)?;
        let bytes = read_file(dir, WEIGHTS_FILE, MAX_WEIGHTS_BYTES)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| WeightsError::Unreadable(error.to_string()))?;
        let state = file
            .tensors()
            .into_iter()
            .filter(|(name, _)| name.starts_with(NormaliserState::PREFIX));
        let mut lists: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (name, view) in state {
            if !matches!(view.dtype(), Dtype::F32 | Dtype::F64) {
                return Err(LoadError::Config(format!(
                    "`{name}` is {:?}, expected F32",
                    view.dtype()
                )));
            }
            lists.insert(name, floats(&view));
        }
        let normaliser = NormaliserState::from_lists(&mut lists, config.schema.metrics.len())
            .map_err(LoadError::Config)?;
        if let Some(name) = lists.keys().next() {
            return Err(LoadError::Config(format!(
                "`{name}` is unknown to this Argus"
            )));
        }
        let network = Network::load_from(
            &config.architecture,
            &file,
            Some(NormaliserState::PREFIX),
            device,
        )
        .map_err(|error| match error {
            WeightsError::Architecture(error) => LoadError::Architecture(error),
            other => LoadError::Weights(other),
        })?;
        Ok(Self {
            config,
            network,
            normaliser,
            training,
            calibration,
            weights_sha256: hex(&Sha256::digest(&bytes)),
        })
    }

    /// Writes a model directory.
    ///
    /// The directory appears at `dir` complete or not at all; a crash may leave one called `.<name>.partial-…` beside
    /// it.
    ///
    /// # Errors
    /// When `dir` exists, a number is NaN or infinite, or the disk refuses.
    pub fn write(&self, dir: &Path) -> Result<(), SaveError> {
        write(
            dir,
            &self.config,
            &self.network,
            &self.normaliser,
            &self.training,
            &self.calibration,
        )
    }
}

/// Writes a model directory from its parts; see [`ModelFiles::write`].
///
/// # Errors
/// When `dir` exists, a number is NaN or infinite, or the disk refuses.
pub fn write(
    dir: &Path,
    config: &ModelConfig,
    network: &Network,
    normaliser: &NormaliserState,
    training: &Value,
    calibration: &Value,
) -> Result<(), SaveError> {
    if dir.exists() {
        return Err(SaveError::Exists(dir.to_owned()));
    }
    let pretty = |value: serde_json::Result<Vec<u8>>| {
        value.map_err(|error| SaveError::Encode(error.to_string()))
    };
    let files = [
        (WEIGHTS_FILE, encode_weights(network, normaliser)?),
        (TRAINING_FILE, pretty(serde_json::to_vec_pretty(training))?),
        (
            CALIBRATION_FILE,
            pretty(serde_json::to_vec_pretty(calibration))?,
        ),
        (CONFIG_FILE, pretty(serde_json::to_vec_pretty(config))?),
    ];
    let partial = partial_path(dir);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| SaveError::Io { path, source }
    };
    fs::create_dir_all(&partial).map_err(failed(&partial))?;
    let written = files.iter().try_for_each(|(name, bytes)| {
        let path = partial.join(name);
        write_synced(&path, bytes).map_err(failed(&path))
    });
    let renamed = written
        .and_then(|()| sync_dir(&partial).map_err(failed(&partial)))
        .and_then(|()| fs::rename(&partial, dir).map_err(failed(dir)));
    if renamed.is_err() {
        // Best effort: the first error is the one worth telling.
        let _ = fs::remove_dir_all(&partial);
        return renamed;
    }
    let parent = dir
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    sync_dir(parent).map_err(failed(parent))
}

/// Puts another `calibration.json` into a model directory: afterwards it holds the new one or the old one, whole.
///
/// # Errors
/// When the disk refuses.
pub fn replace_calibration(dir: &Path, calibration: &Value) -> Result<(), SaveError> {
    let text = serde_json::to_vec_pretty(calibration);
    let text = text.map_err(|error| SaveError::Encode(error.to_string()))?;
    let path = dir.join(CALIBRATION_FILE);
    let beside = partial_path(&path);
    let replaced = write_synced(&beside, &text)
        .and_then(|()| fs::rename(&beside, &path))
        .and_then(|()| sync_dir(dir));
    replaced.map_err(|source| {
        // Best effort: the first error is the one worth telling.
        let _ = fs::remove_file(&beside);
        SaveError::Io { path, source }
    })
}

/// The parameters and the normaliser's state in safetensors form; the same bytes for the same values.
///
/// # Errors
/// When a number is NaN or infinite.
pub fn encode_weights(
    network: &Network,
    normaliser: &NormaliserState,
) -> Result<Vec<u8>, SaveError> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (name, tensor) in network.name(network.parameters())? {
        let values = Vec::<f32>::try_from(tensor.f_flatten(0, -1).map_err(TorchError::from)?);
        let values = values.map_err(|error| SaveError::Torch(error.into()))?;
        tensors.push((
            name,
            tensor.size().iter().map(|size| *size as usize).collect(),
            values,
        ));
    }
    for (name, list) in normaliser.lists() {
        tensors.push((name.to_owned(), vec![list.len()], list.clone()));
    }
    if let Some((name, ..)) = tensors
        .iter()
        .find(|(_, _, values)| values.iter().any(|value| !value.is_finite()))
    {
        return Err(SaveError::Encode(format!("`{name}` holds NaN or infinity")));
    }
    let encode = |error: safetensors::SafeTensorError| SaveError::Encode(error.to_string());
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            (
                name,
                shape,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map(|view| (name.as_str(), view))
            .map_err(encode)
    });
    safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, None).map_err(encode)
}

fn read_config(dir: &Path) -> Result<ModelConfig, LoadError> {
    let path = dir.join(CONFIG_FILE);
    let foreign = |problem: String| LoadError::Foreign {
        path: path.clone(),
        problem,
    };
    let value = read_json(dir, CONFIG_FILE)?;
    let Some(version) = value.get("format_version") else {
        let hint = if value.get("hyper_parameters").is_some() {
            "it describes a pytorch-forecasting model: make it one with `argus model import`"
        } else {
            "it has no `format_version`"
        };
        return Err(foreign(hint.to_owned()));
    };
    match version.as_u64() {
        Some(found) if found > u64::from(FORMAT_VERSION) => Err(LoadError::NewerFormat {
            path: path.clone(),
            found,
            newest: FORMAT_VERSION,
        }),
        Some(found) if found == u64::from(FORMAT_VERSION) => {
            serde_json::from_value(value).map_err(|error| foreign(error.to_string()))
        }
        _ => Err(foreign(format!(
            "its `format_version` is {version}, expected {FORMAT_VERSION}"
        ))),
    }
}

fn read_json(dir: &Path, name: &'static str) -> Result<Value, LoadError> {
    let bytes = read_file(dir, name, MAX_JSON_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| LoadError::Foreign {
        path: dir.join(name),
        problem: format!("not JSON: {error}"),
    })
}

fn read_file(dir: &Path, name: &'static str, most: u64) -> Result<Vec<u8>, LoadError> {
    let path = dir.join(name);
    let file =
        File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
    let (file, bytes) = match file {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LoadError::MissingFile {
                dir: dir.to_owned(),
                file: name,
            });
        }
        Err(source) => return Err(LoadError::Io { path, source }),
    };
    if bytes > most {
        return Err(LoadError::TooLarge { path, bytes, most });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    match file.take(most).read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(source) => Err(LoadError::Io { path, source }),
    }
}

fn partial_path(dir: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(format!(".partial-{}", std::process::id()));
    dir.with_file_name(name)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes renames in a directory durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
