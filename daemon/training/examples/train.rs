//! Trains on traces from the command line: `train OUTPUT STEPS [key=value …] NAME=FILE[,START[,ORIGINS[,SHARE]]] …`.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a tool for developers"
)]

use std::ops::ControlFlow;
use std::time::Instant;

use argus_generate::FleetSpec;
use argus_schema::Schema;
use argus_tft::ModelOptions;
use argus_tft::train::{Progress, TrainOptions, Watch};
use argus_training::{SyntheticInput, TraceInput, TrainRequest, train};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let output = arguments.next().unwrap().into();
    let max_steps = arguments.next().unwrap().parse().unwrap();
    let mut request = TrainRequest {
        traces: Vec::new(),
        synthetic: None,
        model: ModelOptions {
            continuous_size: 8,
            dropout: 0.0,
            lags: vec![288],
            ..ModelOptions::default()
        },
        train: TrainOptions {
            max_steps,
            ..TrainOptions::default()
        },
        output,
        name: "argus".to_owned(),
        created_ms: jiff::Timestamp::now().as_millisecond(),
    };
    for argument in arguments {
        let (key, value) = argument.split_once('=').unwrap();
        let number = || value.parse::<f64>().unwrap();
        match key {
            "synthetic" => {
                let (servers, share) = value.split_once(',').unwrap();
                let fleet = FleetSpec {
                    servers: servers.parse().unwrap(),
                    days: 21,
                    seed: 7,
                    ..FleetSpec::default()
                };
                request.synthetic = Some(SyntheticInput {
                    fleet,
                    share: share.parse().unwrap(),
                });
            }
            "hidden" => request.model.hidden_size = number() as i64,
            "continuous" => request.model.continuous_size = number() as i64,
            "heads" => request.model.attention_heads = number() as i64,
            "dropout" => request.model.dropout = number(),
            "lag" => request.model.lags = vec![number() as u32],
            "nolag" => request.model.lags = Vec::new(),
            "batch" => request.train.batch_windows = number() as usize,
            "chunk" => request.train.chunk_windows = number() as usize,
            "threads" => request.train.threads = number() as usize,
            "rate" => request.train.learning_rate = number(),
            "every" => request.train.validate_every = number() as u64,
            "keep" => request.train.average_keep = number(),
            "clip" => request.train.clip_norm = number(),
            "created" => {
                request.created_ms = value.parse::<jiff::Timestamp>().unwrap().as_millisecond()
            }
            name => {
                let mut parts = value.split(',');
                request.traces.push(TraceInput {
                    name: name.to_owned(),
                    path: parts.next().unwrap().into(),
                    validation_start_ms: parts
                        .next()
                        .map(|t| t.parse::<jiff::Timestamp>().unwrap().as_millisecond()),
                    origins: parts.next().map(Into::into),
                    share: parts.next().map_or(1.0, |share| share.parse().unwrap()),
                });
            }
        }
    }
    let started = Instant::now();
    let mut progress = |p: &Progress| {
        if p.step.is_multiple_of(25) || p.validation_loss.is_some() {
            let validation = p
                .validation_loss
                .map(|loss| format!(" validation {loss:.4}"))
                .unwrap_or_default();
            let rate = p.windows_per_sec();
            eprintln!(
                "{}/{} loss {:.4}{validation} {rate:.1} windows/s eta {:.0?}",
                p.step,
                p.steps,
                p.loss,
                p.remaining()
            );
        }
        ControlFlow::Continue(())
    };
    let mut watch = Watch {
        progress: &mut progress,
        now: &|| started.elapsed(),
    };
    match train(&request, &Schema::server(), &mut watch) {
        Ok(outcome) => {
            eprintln!("{}", outcome.dir.display());
            for milestone in &outcome.report.milestones {
                eprintln!("{milestone:?}");
            }
            for (trace, scores) in &outcome.scores {
                for (metric, score) in scores {
                    let ratio = score.wql / score.seasonal_naive_wql;
                    eprintln!(
                        "{trace:12} {metric:16} wQL {:.4} naive {:.4} ratio {ratio:.3} coverage {:.3}",
                        score.wql, score.seasonal_naive_wql, score.coverage
                    );
                }
            }
        }
        Err(error) => {
            eprintln!("failed to train: {error}");
            std::process::exit(1);
        }
    }
}
