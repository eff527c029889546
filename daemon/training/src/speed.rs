//! How fast this machine trains: what `argus bench train` measures.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use argus_generate::FleetSpec;
use argus_schema::{ProfileRules, Schema};
use argus_tft::train::{self, Job, Progress, Source, TrainOptions, Watch};
use argus_tft::{Device, ModelConfig};

use crate::TrainingError;
use crate::corpus::SpoolCorpus;
use crate::spool::{Making, RowsFrom, Spool};

/// Windows per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingSpeed {
    /// Of the network alone: forward, backward and optimiser, on batches that are ready in memory.
    pub network: f64,
    /// Of a whole run: windows read from disk, roughened and prepared beside the network.
    pub fit: f64,
    /// Part of the run in which the network waited for data, from 0 to 1.
    pub waited_share: f64,
}

/// Measures on a synthetic fleet, which is spooled into `dir`. `windows` are learned from in each measurement;
/// `options` give batch, threads and memory.
///
/// # Errors
/// When the folder cannot be written or training fails.
pub fn measure_speed(
    config: &ModelConfig,
    schema: &Schema,
    options: &TrainOptions,
    windows: usize,
    dir: &Path,
    now: &dyn Fn() -> Duration,
) -> Result<TrainingSpeed, TrainingError> {
    options.check()?;
    train::single_threaded_torch();
    let fleet = FleetSpec {
        servers: 14,
        days: 7,
        ..FleetSpec::default()
    };
    let making = Making {
        schema,
        profiles: &ProfileRules::default(),
        step_secs: config.step_secs,
        memory_bytes: options.memory_mb << 20,
    };
    let sources = [("synthetic", RowsFrom::Fleet(&fleet))];
    let spool = Spool::open_or_make(dir, &sources, &making, &mut |_, _| {})?;
    let source = Source {
        name: "synthetic".to_owned(),
        share: 1.0,
    };
    let corpus = SpoolCorpus::new(&spool, vec![(source, i64::MAX)]);
    let steps = windows.div_ceil(options.batch_windows).max(2) as u64;
    // No validation: what is measured is training.
    let endless = TrainOptions {
        max_steps: u64::MAX,
        validate_every: u64::MAX,
        ..options.clone()
    };
    let fit = TrainOptions {
        max_steps: steps,
        ..endless.clone()
    };
    let job = Job {
        config,
        options: &endless,
        corpus: &corpus,
        validation: &[],
        device: Device::Cpu,
        start: None,
        checkpoint: None,
    };
    let network = train::step_speed(&job, windows, now)?;

    let job = Job {
        options: &fit,
        ..job
    };
    // From the end of the first step: before it the normaliser is fitted.
    let first = Cell::new(None::<Duration>);
    let mut progress = |_: &Progress| {
        if first.get().is_none() {
            first.set(Some(now()));
        }
        ControlFlow::Continue(())
    };
    let mut watch = Watch {
        progress: &mut progress,
        now,
    };
    let trained = train::run(&job, &mut watch)?;
    let taken = now().saturating_sub(first.get().unwrap_or_default());
    let seconds = taken.as_secs_f64().max(1e-9);
    Ok(TrainingSpeed {
        network,
        fit: ((steps - 1) * options.batch_windows as u64) as f64 / seconds,
        waited_share: (trained.report.waited_secs / seconds).min(1.0),
    })
}
