//! Checkpoints: one file that holds a whole run between two steps.
//!
//! It is a safetensors file. Its tensors are the weights, their average, the best average so far, both moments of the
//! optimiser and what was fitted before the run; its metadata hold one JSON text, [`Progress`], and the SHA-256 of the
//! tensors. Numbers that decide how the run goes on are stored as tensors or as the bits of an f64, never as decimals,
//! so that a resumed run ends with the same bits.
//!
//! The file is written beside its place, flushed, and renamed; the folder is flushed too. So there is the newest
//! checkpoint, or the one before it, and never half of one.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::fit::Fitted;
use super::report::TrainReport;
use super::sampler::Position;
use super::{CheckpointError, TrainError};
use crate::normalise::NormaliserState;
use crate::weights::floats;

const FORMAT_VERSION: u32 = 1;
const PROGRESS: &str = "progress";
const SHA256: &str = "sha256";
const MEAN_SCALES: &str = "mean_scales";

/// Where a run is; what is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    pub(crate) format_version: u32,
    /// Options, data and starting weights of the run, as JSON text; a run with others cannot go on from here.
    pub(crate) identity: String,
    pub(crate) position: Position,
    /// Steps of the optimiser and of the average; with them and `max_steps` the schedule is known.
    pub(crate) steps: u64,
    pub(crate) report: TrainReport,
    pub(crate) best_loss_bits: Option<u64>,
    /// Sum of the training losses since the last validation, and how many.
    pub(crate) recent_sum_bits: u64,
    pub(crate) recent_count: u64,
    /// Time spent so far.
    pub(crate) elapsed_secs: f64,
}

/// A whole run between two steps, in plain memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) progress: Progress,
    pub(crate) fitted: Fitted,
    pub(crate) parameters: Vec<f32>,
    pub(crate) average: Vec<f32>,
    pub(crate) first_moment: Vec<f32>,
    pub(crate) second_moment: Vec<f32>,
    pub(crate) best: Option<Vec<f32>>,
}

/// A tensor's values.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    Ok(Vec::<f32>::try_from(
        tensor
            .f_detach()?
            .f_flatten(0, -1)?
            .f_to_device(tch::Device::Cpu)?,
    )?)
}

impl Snapshot {
    fn lists(&self) -> Vec<(String, &[f32])> {
        let mut lists = vec![
            ("parameters".to_owned(), self.parameters.as_slice()),
            ("average".to_owned(), &self.average),
            ("first_moment".to_owned(), &self.first_moment),
            ("second_moment".to_owned(), &self.second_moment),
        ];
        lists.extend(
            self.best
                .as_ref()
                .map(|best| ("best".to_owned(), best.as_slice())),
        );
        for (name, list) in self.fitted.normaliser.lists() {
            lists.push((name.to_owned(), list));
        }
        for (source, list) in self.fitted.mean_scales.iter().enumerate() {
            lists.push((format!("{MEAN_SCALES}.{source}"), list));
        }
        lists
    }

    /// The file's bytes.
    fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        let encode = |error: &dyn std::fmt::Display| CheckpointError::Encode(error.to_string());
        let lists: Vec<(String, Vec<u8>)> = (self.lists().into_iter())
            .map(|(name, list)| (name, list.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let progress = serde_json::to_string(&self.progress).map_err(|error| encode(&error))?;
        let sha256 = digest(
            &progress,
            lists.iter().map(|(n, b)| (n.as_str(), b.as_slice())),
        );
        let views = lists.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            view.map(|view| (name.as_str(), view))
        });
        let views = views
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| encode(&error))?;
        let metadata =
            HashMap::from([(PROGRESS.to_owned(), progress), (SHA256.to_owned(), sha256)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| encode(&error))
    }

    /// Puts the file in place of the one before it.
    ///
    /// # Errors
    /// When the disk refuses; the file of before is still there then.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.encode()?;
        let partial = path.with_extension("partial");
        let written = write_synced(&partial, &bytes)
            .and_then(|()| fs::rename(&partial, path))
            .and_then(|()| sync_folder_of(path));
        written.map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The checkpoint at `path`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read or is not one of ours.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| CheckpointError::Io {
                path: path.to_owned(),
                source,
            })?,
        };
        let decoded = Self::decode(&bytes).map_err(|problem| CheckpointError::Foreign {
            path: path.to_owned(),
            problem,
        });
        decoded.map(Some)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| text(&error))?;
        let metadata = header.metadata().as_ref();
        let entry = |name: &str| {
            let value = metadata.and_then(|metadata| metadata.get(name));
            value.ok_or_else(|| format!("`{name}` is missing"))
        };
        let (progress, sha256) = (entry(PROGRESS)?, entry(SHA256)?);
        let file = SafeTensors::deserialize(bytes).map_err(|error| text(&error))?;
        let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let pairs = views
            .iter()
            .map(|(name, view)| (name.as_str(), view.data()));
        if digest(progress, pairs) != *sha256 {
            return Err("its checksum is wrong; the file is damaged".to_owned());
        }
        let progress: Progress = serde_json::from_str(progress).map_err(|error| text(&error))?;
        if progress.format_version != FORMAT_VERSION {
            return Err(format!(
                "its format is {}, not {FORMAT_VERSION}",
                progress.format_version
            ));
        }
        let mut lists: BTreeMap<String, Vec<f32>> = views
            .iter()
            .map(|(name, view)| (name.clone(), floats(view)))
            .collect();
        let mut take = |name: &str| {
            lists
                .remove(name)
                .ok_or_else(|| format!("`{name}` is missing"))
        };
        let parameters = take("parameters")?;
        let average = take("average")?;
        let first_moment = take("first_moment")?;
        let second_moment = take("second_moment")?;
        let best = take("best").ok();
        let mut mean_scales = Vec::new();
        while let Ok(list) = take(&format!("{MEAN_SCALES}.{}", mean_scales.len())) {
            mean_scales.push(list);
        }
        let metrics = mean_scales.first().map_or(0, Vec::len);
        let normaliser = NormaliserState::from_lists(&mut lists, metrics)?;
        Ok(Self {
            progress,
            fitted: Fitted {
                normaliser,
                mean_scales,
            },
            parameters,
            average,
            first_moment,
            second_moment,
            best,
        })
    }
}

impl Progress {
    pub(crate) const FORMAT_VERSION: u32 = FORMAT_VERSION;

    /// Whether this run may go on from here.
    ///
    /// # Errors
    /// Names what differs.
    pub(crate) fn check(&self, identity: &str) -> Result<(), CheckpointError> {
        if self.identity == identity {
            return Ok(());
        }
        let parse = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        let mut differences = Vec::new();
        differ(
            "",
            &parse(&self.identity),
            &parse(identity),
            &mut differences,
        );
        Err(CheckpointError::OtherRun { differences })
    }
}

/// Lists where two JSON values differ, as `path: old -> new`.
fn differ(
    path: &str,
    old: &serde_json::Value,
    new: &serde_json::Value,
    differences: &mut Vec<String>,
) {
    use serde_json::Value::{Null, Object};
    match (old, new) {
        (Object(before), Object(now)) => {
            let names = before
                .keys()
                .chain(now.keys().filter(|name| !before.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let side = |side: &serde_json::Map<_, _>| side.get(name).cloned().unwrap_or(Null);
                differ(&path, &side(before), &side(now), differences);
            }
        }
        _ if old == new => {}
        _ => differences.push(format!("{path}: {} -> {}", shown(old), shown(new))),
    }
}

/// A value short enough for a message.
fn shown(value: &serde_json::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Over the progress and the tensors by name.
fn digest<'a>(progress: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable();
    let mut sha = Sha256::new();
    sha.update(progress);
    for (name, bytes) in tensors {
        sha.update(name);
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    }
    sha.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            progress: Progress {
                format_version: FORMAT_VERSION,
                identity: r#"{"options":{"seed":1,"learning_rate":0.1},"data":"abc"}"#.to_owned(),
                position: serde_json::from_str(r#"{"step":7,"sources":[]}"#).expect("is one"),
                steps: 7,
                report: TrainReport::default(),
                best_loss_bits: Some(0.1f64.to_bits()),
                recent_sum_bits: 0.3f64.to_bits(),
                recent_count: 3,
                elapsed_secs: 1.5,
            },
            fitted: Fitted {
                normaliser: NormaliserState::neutral(2),
                mean_scales: vec![vec![1.0, 2.0], vec![0.0, 3.0]],
            },
            parameters: vec![1.0, f32::MIN_POSITIVE],
            average: vec![2.0, -0.0],
            first_moment: vec![3.0, 0.1],
            second_moment: vec![4.0, 1e-30],
            best: None,
        }
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let dir = tempfile::tempdir().expect("is writable");
        let path = dir.path().join("checkpoint.safetensors");
        assert_eq!(Snapshot::read(&path).expect("is absent"), None);
        for best in [None, Some(vec![5.0, 6.0])] {
            let written = Snapshot { best, ..snapshot() };
            written.write(&path).expect("is writable");
            let read = Snapshot::read(&path).expect("was just written");
            assert_eq!(read.as_ref(), Some(&written));
            assert_eq!(
                read.expect("is there").average[1].to_bits(),
                (-0.0f32).to_bits()
            );
        }
        let left = fs::read_dir(dir.path()).expect("is readable").count();
        assert_eq!(left, 1, "no partial file stays");
    }

    #[test]
    fn a_damaged_file_is_refused_wherever_the_damage_is() {
        let dir = tempfile::tempdir().expect("is writable");
        let path = dir.path().join("checkpoint.safetensors");
        snapshot().write(&path).expect("is writable");
        let bytes = fs::read(&path).expect("was just written");
        for place in (0..bytes.len()).step_by(13) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).expect("is writable");
            assert!(Snapshot::read(&path).is_err(), "byte {place}");
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("is writable");
        assert!(Snapshot::read(&path).is_err());
    }

    #[test]
    fn another_run_is_told_what_differs() {
        let progress = snapshot().progress;
        assert!(progress.check(&progress.identity).is_ok());
        let other = r#"{"options":{"seed":2,"learning_rate":0.1},"data":"abc","from":"x"}"#;
        let error = progress.check(other).expect_err("differs").to_string();
        assert!(error.contains("options.seed: 1 -> 2"), "{error}");
        assert!(error.contains("from: null -> \"x\""), "{error}");
        assert!(!error.contains("learning_rate"), "{error}");
    }
}
