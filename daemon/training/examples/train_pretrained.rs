//! How the shipped model was made: three public traces, and a synthetic fleet for the metrics that they lack.
//!
//! ```text
//! cargo run --release -p argus-training --example train_pretrained -- TRACES OUTPUT
//! ```
//!
//! `TRACES` is the folder with `jumpstarter.parquet`, `bitbrains.parquet` and `smd.parquet`, and beside each the list
//! of origins that it is scored at, `<trace>_valid_origins.parquet`. Rows from a trace's validation start on are not
//! trained on. On one core the run takes half an hour.
#![expect(clippy::print_stderr, reason = "a tool for developers")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use argus_generate::FleetSpec;
use argus_schema::Schema;
use argus_tft::ModelOptions;
use argus_tft::train::{Progress, TrainOptions, Watch};
use argus_training::{SyntheticInput, TraceInput, TrainRequest, train};

/// Trace, validation start (ms since the epoch), share of the windows. The five machines of `smd` get less, or they
/// would be learned by heart; the synthetic fleet stays a minority.
const TRACES: [(&str, i64, f64); 3] = [
    ("jumpstarter", 1_580_256_000_000, 0.35), // 2020-01-29
    ("bitbrains", 1_376_611_200_000, 0.3),    // 2013-08-16
    ("smd", 1_579_824_000_000, 0.1),          // 2020-01-24
];
const SYNTHETIC_SHARE: f64 = 0.25;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [traces, output] = arguments.as_slice() else {
        eprintln!("usage: train_pretrained TRACES OUTPUT");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let mut watch = Watch {
        progress: &mut tell,
        now: &|| started.elapsed(),
    };
    match train(&request(traces, output), &Schema::server(), &mut watch) {
        Ok(outcome) => {
            for (trace, scores) in &outcome.scores {
                for (metric, score) in scores {
                    eprintln!("{trace} {metric}: {score:?}");
                }
            }
            eprintln!("{}", outcome.dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("failed to train: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(traces: &Path, output: &Path) -> TrainRequest {
    let input = |(name, validation_start_ms, share): (&str, i64, f64)| TraceInput {
        name: name.to_owned(),
        path: traces.join(format!("{name}.parquet")),
        validation_start_ms: Some(validation_start_ms),
        origins: Some(traces.join(format!("{name}_valid_origins.parquet"))),
        share,
    };
    TrainRequest {
        traces: TRACES.into_iter().map(input).collect(),
        synthetic: Some(SyntheticInput {
            fleet: FleetSpec {
                servers: 28,
                days: 21,
                seed: 7,
                ..FleetSpec::default()
            },
            share: SYNTHETIC_SHARE,
        }),
        model: ModelOptions {
            hidden_size: 32,
            attention_heads: 4,
            continuous_size: 8,
            // The run sees a tenth of the windows, few of them twice: there is nothing to learn by heart.
            dropout: 0.0,
            // A day before each predicted step.
            lags: vec![288],
            ..ModelOptions::default()
        },
        train: TrainOptions {
            seed: 42,
            max_steps: 2_600,
            batch_windows: 32,
            chunk_windows: 16,
            learning_rate: 3e-3,
            validate_every: 200,
            ..TrainOptions::default()
        },
        output: output.to_owned(),
        name: "argus".to_owned(),
        created_ms: jiff::Timestamp::now().as_millisecond(),
    }
}

fn tell(now: &Progress) -> ControlFlow<()> {
    if let Some(validation) = now.validation_loss {
        let (rate, remaining) = (now.windows_per_sec(), now.remaining().as_secs());
        let Progress {
            step, steps, loss, ..
        } = now;
        eprintln!(
            "{step}/{steps}: loss {loss:.4}, validation {validation:.4}, {rate:.0} windows/s, {remaining} s left"
        );
    }
    ControlFlow::Continue(())
}
