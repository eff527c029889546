//! Checks the network against recorded answers of pytorch-forecasting.
//!
//! A fixture directory holds `config.json`, `model.safetensors`, `inputs.safetensors` and `outputs.safetensors`; other
//! files are ignored. The network is built from `config.json` alone, loads the weights by name, answers the inputs,
//! and every recorded output that it knows is compared over valid steps. Outputs may be subsampled: a shorter window
//! axis means the first windows, a shorter attention horizon axis of size `k` means horizons `0, H/k, 2·H/k, …`.

mod compare;
mod fixture;
mod rescale;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::errors::{ArchitectureError, TorchError, WeightsError};
use crate::inputs::{Inputs, Outputs, Want};
use crate::kernel::{Batch, Kernel, Workspace};

use self::compare::Comparison;
use self::fixture::Fixture;
pub(crate) use self::rescale::normaliser_of;

/// Windows that run in one batch; bounds memory, not the size of a fixture.
const WINDOWS_PER_BATCH: usize = 32;

/// How far an output may differ from the recorded one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Of predictions, before and after rescaling.
    pub prediction: f64,
    /// Of attention weights.
    pub attention: f64,
    /// Of variable selection weights.
    pub weights: f64,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self {
            prediction: 5e-5,
            attention: 2e-5,
            weights: 2e-5,
        }
    }
}

/// One compared output.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its name in the fixture, e.g. `prediction.0`.
    pub output: String,
    /// Greatest absolute difference; infinite where one side is not a number.
    pub greatest: f64,
    /// How much is allowed.
    pub tolerance: f64,
    /// Number of values compared.
    pub compared: usize,
}

impl Difference {
    /// Whether it is small enough.
    pub fn passes(&self) -> bool {
        self.greatest <= self.tolerance
    }
}

/// The outcome of a parity check; its `Display` is a table for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The fixture.
    pub dir: PathBuf,
    /// Windows in its inputs.
    pub windows: usize,
    /// Parameters of the network, shared ones counted once.
    pub parameters: usize,
    /// One row per output that the fixture records.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether every output is within its tolerance.
    pub fn passes(&self) -> bool {
        self.differences.iter().all(Difference::passes)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dir,
            windows,
            parameters,
            ..
        } = self;
        writeln!(
            f,
            "{}: {windows} windows, {parameters} parameters",
            dir.display()
        )?;
        writeln!(
            f,
            "{:<26} {:>12} {:>12} {:>10}",
            "output", "greatest", "tolerance", "values"
        )?;
        for Difference {
            output,
            greatest,
            tolerance,
            compared,
        } in &self.differences
        {
            let verdict = if greatest <= tolerance {
                "ok"
            } else {
                "DIFFERS"
            };
            writeln!(
                f,
                "{output:<26} {greatest:>12.3e} {tolerance:>12.1e} {compared:>10}  {verdict}"
            )?;
        }
        f.write_str(if self.passes() {
            "parity holds"
        } else {
            "parity does not hold"
        })
    }
}

/// Why a fixture could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// A file could not be read.
    #[error("{path} could not be read: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{file}: {problem}")]
    Fixture {
        /// Its name.
        file: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The configuration describes no network.
    #[error("config.json: {0}")]
    Architecture(#[from] ArchitectureError),
    /// The weights do not load.
    #[error("model.safetensors: {0}")]
    Weights(#[from] WeightsError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<tch::TchError> for ParityError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// Compares the network on libtorch with a fixture, with the tolerances that its configuration advises, else the
/// default ones.
///
/// # Errors
/// When a file is missing, malformed or contradicts another; a difference is no error but part of the report.
pub fn check(dir: &Path) -> Result<Report, ParityError> {
    let fixture = Fixture::open(dir)?;
    let tolerances = fixture.advised_tolerances();
    check_torch(dir, &fixture, tolerances)
}

/// The same with tolerances of the caller's own.
///
/// # Errors
/// As [`check`].
pub fn check_with(dir: &Path, tolerances: Tolerances) -> Result<Report, ParityError> {
    check_torch(dir, &Fixture::open(dir)?, tolerances)
}

/// As [`check`], but of our own [`Kernel`]; `None` where it does not support the architecture.
///
/// # Errors
/// As [`check`].
pub fn check_kernel(dir: &Path) -> Result<Option<Report>, ParityError> {
    let fixture = Fixture::open(dir)?;
    let architecture = fixture.network.architecture();
    if !Kernel::supports(architecture) {
        return Ok(None);
    }
    let mut kernel = Kernel::new(architecture)?;
    let parameters = fixture.network.parameters().f_detach()?;
    kernel.bind(&Vec::<f32>::try_from(parameters)?);
    let widths: Vec<i64> = architecture.targets.iter().map(|t| t.outputs).collect();
    let mut space = Workspace::default();
    let forward = |inputs: &Inputs, want| {
        let answer = kernel.forward(&Batch::from_inputs(inputs)?, want, &mut space)?;
        Ok(answer.outputs(widths.clone())?)
    };
    run(dir, &fixture, fixture.advised_tolerances(), forward).map(Some)
}

fn check_torch(
    dir: &Path,
    fixture: &Fixture,
    tolerances: Tolerances,
) -> Result<Report, ParityError> {
    let _no_grad = tch::no_grad_guard();
    let bound = fixture.network.bind(crate::Mode::Eval)?;
    let forward = |inputs: &Inputs, want| Ok(bound.forward(inputs, want)?);
    run(dir, fixture, tolerances, forward)
}

fn run(
    dir: &Path,
    fixture: &Fixture,
    tolerances: Tolerances,
    mut forward: impl FnMut(&Inputs, Want) -> Result<Outputs, TorchError>,
) -> Result<Report, ParityError> {
    let (windows, parameters) = (fixture.windows(), fixture.network.parameters().numel());
    let mut comparison = Comparison::new(fixture, tolerances)?;
    let want = Want {
        attention: true,
        weights: true,
    };
    for start in (0..windows).step_by(WINDOWS_PER_BATCH) {
        let range = start..windows.min(start + WINDOWS_PER_BATCH);
        let inputs = fixture.inputs(range.clone())?;
        let outputs = forward(&inputs, want)?;
        comparison.add(fixture, range, &inputs, &outputs)?;
    }
    Ok(Report {
        dir: dir.to_owned(),
        windows,
        parameters,
        differences: comparison.finish(),
    })
}
